//! Where a summary goes: a file, standard output as JSON, or standard output for people.

use crate::Failed;
use crate::summary::Summary;
use std::io::Write;
use std::path::Path;

/// Looks before a run whether the result can be written after it.
pub fn prepare(json: Option<&Path>) -> Result<(), Failed> {
    let Some(path) = json.filter(|path| *path != Path::new("-")) else { return Ok(()) };
    match std::fs::OpenOptions::new().create(true).append(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(unwritable(path, &error)),
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failed {
    Failed::Message(format!(
        "the result cannot be written to {} ({error}): name a file in a folder of yours",
        path.display()
    ))
}

/// Writes the summary where `--json` says, and for people where that leaves standard output free.
pub fn write(summary: &Summary, json: Option<&Path>, quiet: bool) -> Result<(), Failed> {
    let to_stdout = json == Some(Path::new("-"));
    if let Some(path) = json {
        let mut text = serde_json::to_vec_pretty(summary).map_err(|error| Failed::Message(error.to_string()))?;
        text.push(b'\n');
        let written = if to_stdout { std::io::stdout().write_all(&text) } else { std::fs::write(path, &text) };
        written.map_err(|error| unwritable(path, &error))?;
    }
    if !quiet && !to_stdout {
        let mut out = anstream::stdout().lock();
        // A closed pipe is the reader's wish, not a failure.
        let _ = writeln!(out, "{summary}");
    }
    Ok(())
}
