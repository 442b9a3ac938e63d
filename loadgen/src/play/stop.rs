//! `stop`: ends all traffic of a contest from any host that has the address of its Redis, whoever steers it.
//!
//! It changes one word of the control document, `halted`, as the dashboard's red switch does, and waits until the generators
//! have heard of it. Whoever may send something and is not heard is named.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "the comments of flags are their help texts, which clap prints as they stand"
)]

use crate::Failed;
use crate::engine::run::Clock;
use crate::journal::folders::instant;
use crate::redis_flags::RedisFlags;
use clap::Args;
use flowtest_contest::Control;
use flowtest_contract::RoundId;
use flowtest_scoreboard::{MayPlay, RoundStreams, Scoreboard, ScoreboardError, StopStatus, Stopped};
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// How long generators are waited for. They look four times a second.
const HEARD_TIMEOUT: Duration = Duration::from_secs(3);
/// The same of a `run`, which looks once a second and says nothing before it has ended.
const RUN_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct Stop {
    /// The contest whose traffic is to end.
    #[arg(long, value_name = "NAME", env = "FLOWTEST_LOADGEN_CONTEST")]
    pub contest: String,
    #[command(flatten)]
    pub redis: RedisFlags,
}

/// Stops it, and says who has heard.
///
/// # Errors
/// What is wrong with Redis, and that there is no such contest.
pub fn stop(flags: &Stop) -> Result<u8, Failed> {
    let address = flags.redis.address()?;
    let contest = &flags.contest;
    let mut scoreboard = Scoreboard::open(address.clone())?;
    let stopped = scoreboard.stop_traffic(contest, Clock::now().utc_base).map_err(|error| match error {
        ScoreboardError::Permission { url, .. } => Failed::Message(format!(
            "this user of Redis may not change the document of a contest: give the dashboard's user and password to --redis \
             ({url}) and --redis-password-file, or stop each generator on its machine, by SIGUSR1 (at once) or SIGTERM"
        )),
        error => error.into(),
    })?;
    let revision = match stopped {
        Stopped::NoContest => {
            return Err(Failed::Message(format!(
                "Redis at {address} holds no contest {contest:?}, so nobody floods by it: look at --contest and --redis. A \
                 generator is stopped on its own machine by SIGUSR1, at once and until SIGUSR2, or by SIGTERM"
            )));
        }
        Stopped::Now(revision) => {
            eprintln!("flowtest-loadgen: all traffic of {contest} is stopped from revision {revision} on");
            revision
        }
        Stopped::Before(revision) => {
            eprintln!(
                "flowtest-loadgen: all traffic of {contest} was stopped already, by revision {revision} or before"
            );
            revision
        }
    };
    wait_until_heard(&mut scoreboard, contest, revision)
}

/// Waits until everybody has said that it applies the stop who may send something. Code 1 and a sentence for those who have not.
fn wait_until_heard(scoreboard: &mut Scoreboard, contest: &str, revision: u64) -> Result<u8, Failed> {
    let begun = Instant::now();
    // Rounds go by Redis's clock.
    let offset_us = scoreboard.measure_clock()?.offset_us;
    let mut runs = BTreeSet::new();
    let (said, newest) = loop {
        let control = scoreboard.read_control(contest)?;
        let seen = scoreboard.read_generators(contest)?;
        let now = Clock::now().utc_base.saturating_add_signed(offset_us);
        let Some(control) = control else {
            return Err(Failed::Message(format!(
                "Redis has lost the document of {contest:?} since it was stopped, and nobody knows who has heard: stop it again, or \
                 each generator on its machine by SIGUSR1"
            )));
        };
        let mut said = StopStatus::of(&control, revision, &seen, &RoundStreams::new(), now);
        let rounds: BTreeSet<RoundId> = said.silent.iter().map(|one| one.round).collect();
        if !rounds.is_empty() {
            let streams = scoreboard.read_streams_of(contest, &rounds)?;
            said = StopStatus::of(&control, revision, &seen, &streams, now);
        }
        runs.extend(said.silent.iter().filter(|one| one.until.is_none()).map(|one| one.id.clone()));
        let timeout = if runs.is_empty() { HEARD_TIMEOUT } else { RUN_TIMEOUT };
        if said.is_whole() || begun.elapsed() >= timeout {
            break (said, control);
        }
        thread::sleep(LOOK);
    };
    runs.retain(|run| !said.silent.iter().any(|one| one.id == *run));
    let applied: Vec<String> =
        said.applied.iter().cloned().chain(runs.iter().map(|run| format!("the run of stream {run}"))).collect();
    match applied.is_empty() {
        true if said.is_whole() => eprintln!("flowtest-loadgen: no generator plays"),
        true => {}
        false => eprintln!("flowtest-loadgen: stop applied by {}", applied.join(", ")),
    }
    if said.is_whole() {
        return Ok(0);
    }
    let mut troubles = Vec::new();
    if !said.going_on.is_empty() {
        troubles.push(format!("these generators have not said that they applied it: {}", said.going_on.join(", ")));
    }
    let mut next = "Stop them on their machines, by SIGUSR1 (at once) or SIGTERM".to_owned();
    if !said.silent.is_empty() {
        let names: Vec<String> = said.silent.iter().map(|one| name(one, &newest)).collect();
        troubles.push(format!(
            "these have played a round and are not heard: {}; one that does not reach Redis plays on by what it knows",
            names.join(", ")
        ));
        next.push_str(
            ". If one has died, it has left a stream without an end: flowtest-loadgen rebuild --journal DIR --redis URL on its \
             machine ends it",
        );
        if said.silent.iter().any(|one| one.until.is_none()) {
            next.push_str("; a run that wrote no journal is forgotten with the next round of the contest");
        }
    }
    Err(Failed::Message(format!("{}. {next}", troubles.join(". "))))
}

/// Who it is, and what it may play where that is not the round of the document.
fn name(one: &MayPlay, newest: &Control) -> String {
    match one.until {
        None => format!("the run of stream {}", one.id),
        Some(until) if newest.earlier.iter().any(|it| it.round == one.round) => {
            format!("{} (of an earlier round, until {})", one.id, instant(until))
        }
        Some(_) => one.id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_testkit::RedisServer;

    #[test]
    fn a_document_that_goes_while_generators_are_waited_for_is_no_success() {
        let server = RedisServer::start();
        let lost = wait_until_heard(&mut server.scoreboard(), "cup", 7).expect_err("nobody knows who has heard");
        assert!(lost.to_string().contains("Redis has lost the document of \"cup\""), "{lost}");
    }
}
