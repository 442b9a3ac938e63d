//! The load generator as a child, and what it says its contest came to.

use crate::child::{self, Child};
use crate::error::{Error, Result};
use flowtest_contract::Tally;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug)]
pub struct Generator {
    child: Child,
    json: PathBuf,
}

/// How a contest ended, by the generator's own sums.
#[derive(Debug)]
pub struct Outcome {
    pub exit_code: Option<i32>,
    pub json: Value,
    pub said: String,
}

impl Generator {
    /// Starts `flowtest-loadgen run` on a contest file. Its result goes into `folder`.
    pub fn run(contest: &Path, redis_url: Option<&str>, folder: &Path, flags: &[&str]) -> Result<Generator> {
        let json = folder.join("generator.json");
        let mut command = child::sibling("flowtest-loadgen")?;
        command.arg("run").arg(contest).arg("--json").arg(&json).args(flags);
        if let Some(url) = redis_url {
            command.args(["--redis", url]);
        }
        Ok(Generator { child: Child::start("flowtest-loadgen", &command)?, json })
    }

    pub fn is_running(&mut self) -> bool {
        self.child.is_alive()
    }

    pub fn last_words(&self) -> String {
        self.child.last_words()
    }

    /// Waits for its end, or stops it in order when `go_on` says no.
    pub fn wait_while(self, within: Duration, go_on: impl Fn() -> bool) -> Result<Outcome> {
        let json = self.json.clone();
        let ended = self.child.wait_while(within, go_on)?;
        let said = format!("{}\n{}", ended.stdout, ended.stderr);
        let text = std::fs::read_to_string(&json).map_err(|source| Error::Ended {
            name: "flowtest-loadgen".into(),
            status: ended.status.to_string(),
            last_words: format!("{} ({}: {source})", said.trim(), json.display()),
        })?;
        let json = serde_json::from_str(&text)
            .map_err(|error| Error::Other(format!("the generator's result is no JSON ({error}): {text}")))?;
        Ok(Outcome { exit_code: ended.status.code(), json, said })
    }

    pub fn wait(self, within: Duration) -> Result<Outcome> {
        self.wait_while(within, || true)
    }
}

impl Outcome {
    /// The tally of each contestant.
    pub fn tallies(&self) -> Result<BTreeMap<String, Tally>> {
        let unreadable = || Error::Other(format!("the generator's result has no tally per contestant: {}", self.json));
        let contestants = self.json["contestants"].as_array().ok_or_else(unreadable)?;
        contestants
            .iter()
            .map(|contestant| {
                let name = contestant["name"].as_str().ok_or_else(unreadable)?;
                let tally = read_tally(&contestant["tally"]).ok_or_else(unreadable)?;
                Ok((name.to_string(), tally))
            })
            .collect()
    }
}

fn read_tally(value: &Value) -> Option<Tally> {
    let mut counters = [0u64; Tally::LEN];
    for (slot, field) in counters.iter_mut().zip(Tally::FIELDS) {
        *slot = value.get(field)?.as_u64()?;
    }
    Some(Tally::from_array(counters))
}
