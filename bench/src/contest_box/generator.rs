//! The load generator as a child, and what it says its contest came to.

use super::Journal;
use crate::child::{self, Child};
use crate::error::{Error, Result};
use flowtest_contract::Tally;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long it may take until it serves a contest.
const START: Duration = Duration::from_secs(30);
/// How long one that is asked to stop may take.
const STOP: Duration = Duration::from_secs(30);

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
        let redis = redis_url.map(|url| ["--redis", url]);
        let flags: Vec<&str> = flags.iter().copied().chain(redis.into_iter().flatten()).collect();
        Generator::run_by(child::sibling("flowtest-loadgen")?, contest, folder, &flags)
    }

    /// The same, by a program that becomes the generator: `ip netns exec NAME`, `chrt`.
    pub fn run_under(program: &[&str], contest: &Path, folder: &Path, flags: &[&str]) -> Result<Generator> {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(child::sibling("flowtest-loadgen")?.get_program());
        Generator::run_by(command, contest, folder, flags)
    }

    fn run_by(mut command: Command, contest: &Path, folder: &Path, flags: &[&str]) -> Result<Generator> {
        let json = folder.join("generator.json");
        command.arg("run").arg(contest).arg("--json").arg(&json).args(flags);
        Ok(Generator { child: Child::start("flowtest-loadgen", &command)?, json })
    }

    /// Starts `flowtest-loadgen stress` on these URLs.
    pub fn stress(urls: &[String], folder: &Path, flags: &[&str]) -> Result<Generator> {
        let json = folder.join("generator.json");
        let mut command = child::sibling("flowtest-loadgen")?;
        command.arg("stress").args(urls).arg("--json").arg(&json).args(flags);
        Ok(Generator { child: Child::start("flowtest-loadgen", &command)?, json })
    }

    /// Starts `flowtest-loadgen serve`, which may flood loopback, and waits until it serves. Its result of each round
    /// goes into `folder`.
    pub fn serve(
        contest: &str,
        redis_url: &str,
        id: &str,
        journal: &Journal,
        folder: &Path,
        flags: &[&str],
    ) -> Result<Generator> {
        let json = folder.join("generator.json");
        let ceiling = folder.join("ceiling.toml");
        let text = "[policy]\nallow = [\"127.0.0.0/8\"]\n";
        std::fs::write(&ceiling, text).map_err(Error::io(format!("writing {}", ceiling.display())))?;
        let mut command = child::sibling("flowtest-loadgen")?;
        command.args(["serve", "--contest", contest, "--redis", redis_url, "--id", id]).args(journal.flags());
        command.arg("--policy").arg(ceiling).arg("--json").arg(&json).args(flags);
        let mut child = Child::start("flowtest-loadgen", &command)?;
        child.wait_for("serves", START, |line| line.contains(" serves ").then_some(()))?;
        Ok(Generator { child, json })
    }

    /// Ends it in order, and reads its result of the newest round.
    pub fn stop(self) -> Result<Outcome> {
        self.wait_while(STOP, || false)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        self.child.signal(signal);
    }

    pub fn is_running(&mut self) -> bool {
        self.child.is_alive()
    }

    /// Its process id, for signals that no order is.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without a word, as a crash would.
    pub fn kill(self) -> Result<()> {
        self.child.kill().map(drop)
    }

    pub fn last_words(&self) -> String {
        self.child.last_words()
    }

    /// What it said on its log so far.
    pub fn log(&self) -> String {
        self.child.log()
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
    /// Whether it played to its end. A machine that took the cores away makes it late by itself, which it says with code
    /// 3; whatever it counted is exact all the same.
    pub fn is_whole(&self) -> bool {
        matches!(self.exit_code, Some(0 | 3))
    }

    /// The tally of each contestant, as far as the result tells it: all but `sent`, which stays 0.
    pub fn tallies(&self) -> Result<BTreeMap<String, Tally>> {
        let unreadable =
            || Error::Other(format!("the generator's result has no figures per contestant: {}", self.json));
        let contestants = self.json["contestants"].as_array().ok_or_else(unreadable)?;
        contestants
            .iter()
            .map(|figures| {
                let name = figures["name"].as_str().ok_or_else(unreadable)?;
                Ok((name.to_string(), read_tally(figures).ok_or_else(unreadable)?))
            })
            .collect()
    }

    /// All that the result says of one contestant; null when it says nothing.
    pub fn figures(&self, name: &str) -> &Value {
        let contestants = self.json["contestants"].as_array();
        contestants.and_then(|all| all.iter().find(|figures| figures["name"] == name)).unwrap_or(&Value::Null)
    }

    /// Points of each contestant as the generator says them.
    pub fn points(&self) -> BTreeMap<String, i64> {
        let contestants = self.json["contestants"].as_array().into_iter().flatten();
        contestants
            .filter_map(|figures| Some((figures["name"].as_str()?.to_string(), figures["points"].as_i64()?)))
            .collect()
    }
}

/// The figures say what was wrong; what was right is the rest.
fn read_tally(figures: &Value) -> Option<Tally> {
    let of = |key: &str| figures.get(key)?.as_u64();
    let failed = |key: &str| figures.get("failed")?.get(key)?.as_u64();
    let mut tally = Tally {
        due: of("requests")?,
        resent: of("resent")?,
        token_wrong: failed("token")?,
        version_wrong: failed("version")?,
        from_wrong: failed("from")?,
        timeout: failed("timeout")?,
        refused: failed("refused")?,
        reset: failed("reset")?,
        malformed: failed("malformed")?,
        status: failed("status")?,
        missed: failed("missed")?,
        own_fault: failed("own_fault")?,
        tls: failed("tls")?,
        unsolicited: of("unsolicited")?,
        bytes: of("bytes")?,
        ..Tally::default()
    };
    // `settled` counts tokens, so the failures alone are what it says before any token is right.
    let responses = tally.due.checked_sub(tally.settled() - tally.token_wrong)?;
    tally.token_right = responses.checked_sub(tally.token_wrong)?;
    tally.version_right = responses.checked_sub(tally.version_wrong)?;
    tally.from_right = responses.checked_sub(tally.from_wrong)?;
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_the_tally_that_they_came_from() {
        let figures = serde_json::json!({
            "requests": 108, "resent": 1, "unsolicited": 2, "bytes": 3000,
            "failed": { "token": 5, "version": 4, "from": 3, "timeout": 1, "refused": 2, "reset": 3, "malformed": 4,
                        "status": 5, "missed": 6, "own_fault": 7, "tls": 8 },
        });
        let tally = read_tally(&figures).expect("all is there");
        assert!(tally.is_partition(), "{tally:?}");
        assert_eq!((tally.responses(), tally.token_right, tally.version_right, tally.from_right), (72, 67, 68, 69));
    }
}
