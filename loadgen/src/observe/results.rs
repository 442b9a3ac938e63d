//! Where a command's result goes: a file, or with `-` standard output.

use crate::Failed;
use flowtest_contract::text::shown;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Whether a flag names standard output.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Looks before a command's work whether its result can be written after it.
///
/// # Errors
/// [`Failed::Message`] when it cannot.
pub fn prepare(file: Option<&Path>) -> Result<(), Failed> {
    let Some(path) = file.filter(|path| !is_stdout(path)) else { return Ok(()) };
    let opened = match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = OpenOptions::new().append(true).create_new(true).open(path);
            // Who is killed before there is a result leaves no empty file.
            made.and_then(|_| std::fs::remove_file(path))
        }
        opened => opened.map(drop),
    };
    opened.map_err(|error| unwritable(path, &error))
}

/// Writes a result where a flag says.
///
/// # Errors
/// [`Failed::Message`] when it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let written = if is_stdout(path) { io::stdout().write_all(bytes) } else { std::fs::write(path, bytes) };
    unless_closed(written).map_err(|error| unwritable(path, &error))
}

/// The same as JSON.
///
/// # Errors
/// As [`write()`].
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Failed> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| Failed::Message(error.to_string()))?;
    text.push(b'\n');
    write(path, &text)
}

/// Writes what a person reads to standard output.
///
/// # Errors
/// [`Failed::Message`] when it cannot be written, as on a full disk.
pub fn print(text: impl Display) -> Result<(), Failed> {
    let mut out = anstream::stdout().lock();
    let written = write!(out, "{text}").and_then(|()| out.flush());
    unless_closed(written)
        .map_err(|error| Failed::Message(format!("standard output takes no result ({error}): name a file by --json")))
}

/// A closed pipe is the reader's wish, not a failure.
pub fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    written.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// What is told of a file that cannot be written.
pub fn unwritable(path: &Path, error: &io::Error) -> Failed {
    Failed::Message(format!(
        "the result cannot be written to {} ({error}): name a file in a folder of yours",
        shown(path)
    ))
}
