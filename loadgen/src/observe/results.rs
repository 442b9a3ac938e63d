//! Where a command's result goes: a file, or with `-` standard output.

use crate::Failed;
use flowtest_contract::text::shown;
use std::fmt::Display;
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
    match std::fs::OpenOptions::new().create(true).append(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(unwritable(path, &error)),
    }
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
pub fn print(text: impl Display) {
    let _ = write!(anstream::stdout().lock(), "{text}");
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
