//! The dashboard as a child: the real program on a database of its own, reached over a real socket.

use super::visitor::Visitor;
use crate::child::{self, Child, Ended, Usage};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long it may take until it listens; migrations are part of it.
const START: Duration = Duration::from_secs(30);
/// A command beside it hashes one password at the most.
const COMMAND: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Dashboard {
    child: Option<Child>,
    database: PathBuf,
    redis_url: String,
    contest: String,
    /// WebSockets at most; none: as many as it lets in by itself.
    viewers_max: Option<u32>,
    /// `http://127.0.0.1:PORT`, the same after a restart.
    url: String,
}

impl Dashboard {
    /// Starts one on a free port, with its database in `folder`.
    pub fn start(folder: &Path, redis_url: &str, contest: &str) -> Result<Dashboard> {
        Dashboard::start_for(folder, redis_url, contest, None)
    }

    /// The same for so many viewers.
    pub fn start_for(folder: &Path, redis_url: &str, contest: &str, viewers_max: Option<u32>) -> Result<Dashboard> {
        let mut dashboard = Dashboard {
            child: None,
            database: folder.join("flowtest.db"),
            redis_url: redis_url.to_owned(),
            contest: contest.to_owned(),
            viewers_max,
            url: "http://127.0.0.1:0".into(),
        };
        dashboard.restart()?;
        Ok(dashboard)
    }

    /// Starts it again where it was, with whatever its database holds.
    pub fn restart(&mut self) -> Result<()> {
        assert!(self.child.is_none(), "a running dashboard is not started twice");
        let mut command = child::sibling("flowtest-dashboard")?;
        command.args(["serve", "--listen", self.url.trim_start_matches("http://"), "--redis", &self.redis_url]);
        command.args(["--contest", &self.contest, "--metrics", "127.0.0.1:0", "--database"]).arg(&self.database);
        if let Some(viewers) = self.viewers_max {
            command.args(["--viewers-max", &viewers.to_string()]);
        }
        let mut child = Child::start("flowtest-dashboard", &command)?;
        self.url = child.wait_for("flowtest-dashboard: http://", START, listening_at)?;
        self.child = Some(child);
        Ok(())
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Somebody who has not been here yet.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(&self.url)
    }

    /// Makes an admin, by the command that an organiser uses.
    pub fn create_admin(&self, name: &str, password: &str) -> Result<()> {
        let secret = tempfile::NamedTempFile::new().map_err(Error::io("making a password file"))?;
        std::fs::write(secret.path(), password).map_err(Error::io("writing a password file"))?;
        let file = secret.path().display().to_string();
        self.command(&["admin", "create", name, "--password-file", &file]).map(drop)
    }

    /// Makes invitations, and returns their tokens.
    pub fn invite(&self, count: usize) -> Result<Vec<String>> {
        let said = self.command(&["invite", "create", "--count", &count.to_string()])?.stdout;
        let tokens: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        if tokens.len() == count {
            Ok(tokens)
        } else {
            Err(Error::Other(format!("invite create printed {} tokens of {count}: {said}", tokens.len())))
        }
    }

    fn command(&self, arguments: &[&str]) -> Result<Ended> {
        let mut command = child::sibling("flowtest-dashboard")?;
        command.args(arguments).arg("--database").arg(&self.database);
        let ended = Child::start("flowtest-dashboard", &command)?.wait(COMMAND)?;
        if ended.status.success() {
            return Ok(ended);
        }
        Err(Error::Other(format!("flowtest-dashboard {} failed: {}", arguments[..2].join(" "), ended.stderr.trim())))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(Child::is_running)
    }

    pub fn last_words(&self) -> String {
        self.child.as_ref().map_or_else(|| "(it does not run)".into(), Child::last_words)
    }

    /// What it has used of the processor so far; nothing while it does not run.
    pub fn usage(&self) -> Usage {
        self.child.as_ref().map(Child::usage).unwrap_or_default()
    }

    /// What it holds in memory, in KiB.
    pub fn memory_kib(&self) -> Result<u64> {
        let child = self.child.as_ref().ok_or_else(|| Error::Other("the dashboard does not run".into()))?;
        let path = format!("/proc/{}/status", child.id());
        let status = std::fs::read_to_string(&path).map_err(Error::io(format!("reading {path}")))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.ok_or_else(|| Error::Other(format!("{path} tells no VmRSS")))
    }

    /// Stops it in order and returns all it said.
    pub fn stop(&mut self) -> Result<Option<Ended>> {
        self.child.take().map(Child::stop).transpose()
    }
}

/// The address in `flowtest-dashboard: http://127.0.0.1:8000 contest finals`.
fn listening_at(line: &str) -> Option<String> {
    let said = line.strip_prefix("flowtest-dashboard: ")?;
    let (address, _) = said.split_once(" contest ")?;
    address.starts_with("http://").then(|| address.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_that_tells_it() {
        let line = "flowtest-dashboard: http://127.0.0.1:41233 contest demo";
        assert_eq!(listening_at(line).as_deref(), Some("http://127.0.0.1:41233"));
        assert_eq!(listening_at("flowtest-dashboard: metrics http://127.0.0.1:4/metrics"), None);
    }
}
