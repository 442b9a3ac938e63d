//! A folder of journals, and the commands that prove, mend and read it.

use crate::child::{self, Child, Ended};
use crate::error::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No command on a journal of a play takes longer.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The folder. It is there as soon as a generator has written to it.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: PathBuf,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub exit_code: Option<i32>,
    pub json: Value,
    pub text: String,
}

impl Journal {
    pub fn in_folder(folder: &Path) -> Journal {
        Journal { folder: folder.join("journal") }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The flags that have a generator write here.
    pub fn flags(&self) -> [String; 2] {
        ["--journal".to_owned(), self.folder.display().to_string()]
    }

    /// Judges every trace again, compares, and says it as JSON.
    pub fn audit(&self, redis_url: Option<&str>) -> Result<Said> {
        let redis = redis_url.map(|url| ["--redis", url]);
        self.as_json("audit", redis.iter().flatten().copied())
    }

    /// The same as a table for people.
    pub fn audit_shown(&self, redis_url: &str) -> Result<Ended> {
        self.run("audit", ["--redis", redis_url])
    }

    /// Publishes whatever Redis lacks, and seals what has ended.
    pub fn rebuild(&self, redis_url: &str) -> Result<Said> {
        self.as_json("rebuild", ["--redis", redis_url, "--seal"])
    }

    pub fn inspect(&self) -> Result<Said> {
        self.as_json("inspect", [])
    }

    fn as_json<'a>(&self, what: &str, flags: impl IntoIterator<Item = &'a str>) -> Result<Said> {
        let ended = self.run(what, flags.into_iter().chain(["--json", "-"]))?;
        let text = format!("{}\n{}", ended.stdout, ended.stderr);
        let json = serde_json::from_str(&ended.stdout)
            .map_err(|error| Error::Other(format!("{what} printed no JSON ({error}): {text}")))?;
        Ok(Said { exit_code: ended.status.code(), json, text })
    }

    fn run<'a>(&self, what: &str, flags: impl IntoIterator<Item = &'a str>) -> Result<Ended> {
        let mut command = child::sibling("flowtest-loadgen")?;
        command.arg(what).args(self.flags()).args(flags);
        Child::start("flowtest-loadgen", &command)?.wait(TIMEOUT)
    }
}
