//! The contest file of a box, from what matters to a script.

use crate::error::{Error, Result};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// One traffic step. `rate` in requests per second and contestant; closed loop without it.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    pub length: Duration,
    pub rate: Option<u64>,
    pub connections: usize,
    pub pipeline: usize,
}

#[derive(Clone, Debug)]
pub struct ContestFile {
    pub name: String,
    /// RFC 3339, or `now`.
    pub start: String,
    /// From the start.
    pub version_deadline: Option<Duration>,
    pub from_deadline: Option<Duration>,
    pub grace: Duration,
    pub timeout: Duration,
    pub phases: Vec<Phase>,
    /// Name and endpoint.
    pub contestants: Vec<(String, String)>,
    /// The network that may be flooded.
    pub allow: String,
    /// Each server has to say whose it is.
    pub ownership: bool,
    /// Any certificate is taken over https.
    pub tls_any: bool,
}

impl ContestFile {
    /// A contest that starts at once, with the default rules, one phase and no deadlines.
    pub fn new(name: &str, phase: Phase) -> ContestFile {
        ContestFile {
            name: name.into(),
            start: "now".into(),
            version_deadline: None,
            from_deadline: None,
            grace: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            phases: vec![phase],
            contestants: Vec::new(),
            allow: "127.0.0.0/8".into(),
            ownership: false,
            tls_any: false,
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, endpoint: &str) -> ContestFile {
        self.contestants.push((name.into(), endpoint.into()));
        self
    }

    pub fn to_toml(&self) -> String {
        let mut text = format!("name = {:?}\nstart = {:?}\n", self.name, self.start);
        if self.version_deadline.is_some() || self.from_deadline.is_some() {
            text.push_str("[deadlines]\n");
        }
        for (key, deadline) in [("version", self.version_deadline), ("from", self.from_deadline)] {
            if let Some(deadline) = deadline {
                let _ = writeln!(text, "{key} = \"+{}ms\"", deadline.as_millis());
            }
        }
        let (timeout, grace) = (self.timeout.as_millis(), self.grace.as_millis());
        let _ = writeln!(text, "[rules]\ntimeout = \"{timeout}ms\"\ngrace = \"{grace}ms\"");
        text.push_str(&self.plan());
        for (name, endpoint) in &self.contestants {
            let _ = writeln!(text, "[[contestant]]\nname = {name:?}\nendpoint = {endpoint:?}");
        }
        let _ = writeln!(text, "[policy]\nallow = [{:?}]", self.allow);
        if self.ownership {
            text.push_str("ownership = \"header\"\n");
        }
        if self.tls_any {
            text.push_str("tls = \"any\"\n");
        }
        text
    }

    /// The `[[phase]]` blocks alone.
    pub fn plan(&self) -> String {
        let mut text = String::new();
        for phase in &self.phases {
            let _ = writeln!(text, "[[phase]]\nfor = \"{}ms\"", phase.length.as_millis());
            let _ = writeln!(text, "connections = {}", phase.connections);
            match phase.rate {
                Some(rate) => drop(writeln!(text, "rate = {rate}")),
                None => drop(writeln!(text, "pipeline = {}", phase.pipeline)),
            }
        }
        text
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.to_toml()).map_err(Error::io(format!("writing {}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_the_script_meant() {
        let phase = Phase { length: Duration::from_secs(3), rate: Some(1000), connections: 8, pipeline: 1 };
        let mut contest = ContestFile::new("box", phase).with("alice", "127.0.0.1:1");
        contest.version_deadline = Some(Duration::from_secs(1));
        assert_eq!(
            contest.to_toml(),
            "name = \"box\"\nstart = \"now\"\n[deadlines]\nversion = \"+1000ms\"\n[rules]\ntimeout = \"3000ms\"\n\
             grace = \"5000ms\"\n[[phase]]\nfor = \"3000ms\"\nconnections = 8\nrate = 1000\n[[contestant]]\n\
             name = \"alice\"\nendpoint = \"127.0.0.1:1\"\n[policy]\nallow = [\"127.0.0.0/8\"]\n"
        );
    }
}
