//! What can go wrong, as sentences that name the cause and the next step.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{program} is not there (looked in {}); build it first: {make}", .folder.display())]
    NotBuilt { program: String, folder: PathBuf, make: &'static str },
    #[error("{program} is not installed; {make} installs it")]
    NotInstalled { program: String, make: &'static str },
    #[error("{name} could not be started: {source}")]
    Start { name: String, source: std::io::Error },
    #[error("{name} ended before it was ready ({status}); its last words: {last_words}")]
    Ended { name: String, status: String, last_words: String },
    #[error("{name} said nothing of '{awaited}' within {} s; its last words: {last_words}", .within.as_secs())]
    Silent { name: String, awaited: String, within: Duration, last_words: String },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{0}")]
    Other(String),
}

impl Error {
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

pub type Result<T> = std::result::Result<T, Error>;
