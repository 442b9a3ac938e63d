//! `stop`: ends all traffic of a contest from any host that has the address of its Redis, whoever steers it.
//!
//! It changes one word of the control document, `halted`, as the dashboard's red switch does, also where nobody can read the
//! rest of that, and waits until the generators have heard of it. Whoever may send something and is not heard is named.

use crate::Failed;
use crate::journal::folders::instant;
use crate::redis_flags::RedisFlags;
use clap::Args;
use flowtest_contest::Control;
use flowtest_contest::control::UnreadControl;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, utc_us};
use flowtest_scoreboard::{MayPlay, RoundStreams, Scoreboard, ScoreboardError, SeenGenerator, StopStatus, Stopped};
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// How long generators are waited for. They look four times a second.
const HEARD_TIMEOUT: Duration = Duration::from_secs(3);
/// The same of a `run`, which looks once a second and says nothing before it has ended.
const RUN_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
/// How traffic is stopped on the machine that it comes from. SIGUSR1 is no signal of a `run`, and would kill that.
const BY_HAND: &str = "by SIGUSR1 (at once) or SIGTERM, and a run by SIGTERM alone";

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
    let stopped = scoreboard.stop_traffic(contest).map_err(|error| match error {
        ScoreboardError::Permission { url, .. } => Failed::Message(format!(
            "this user of Redis may not change the document of a contest: give the dashboard's user and password to --redis \
             ({url}) and --redis-password-file, or stop each generator on its machine, {BY_HAND}"
        )),
        error => error.into(),
    })?;
    let revision = match stopped {
        Stopped::NoContest => {
            return Err(Failed::Message(format!(
                "Redis at {address} holds no contest {contest:?}, and knows no generator of it: look at --contest and --redis. A \
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
    let (said, newest, seen) = loop {
        let newest = match scoreboard.read_control(contest) {
            Ok(Some(control)) => Ok(control),
            Err(ScoreboardError::Control(unread)) => Err(unread),
            Ok(None) => {
                return Err(Failed::Message(format!(
                    "Redis has lost the document of {contest:?} since it was stopped, and nobody knows who has heard: stop it again, \
                     or each generator on its machine by SIGUSR1"
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let seen = scoreboard.read_generators(contest)?;
        let said = match &newest {
            Ok(control) => {
                let now = utc_us().saturating_add_signed(offset_us);
                status(scoreboard, contest, control, revision, &seen, now)?
            }
            Err(_) => StopStatus::of_heard(revision, revision, &seen),
        };
        runs.extend(said.silent.iter().filter(|one| one.until.is_none()).map(|one| one.id.clone()));
        let timeout = if runs.is_empty() { HEARD_TIMEOUT } else { RUN_TIMEOUT };
        if said.is_whole() || begun.elapsed() >= timeout {
            break (said, newest, seen);
        }
        thread::sleep(LOOK);
    };
    runs.retain(|run| !said.silent.iter().any(|one| one.id == *run));
    let applied: Vec<String> =
        said.applied.iter().cloned().chain(runs.iter().map(|run| format!("the run of stream {run}"))).collect();
    match applied.is_empty() {
        true if said.is_whole() && newest.is_ok() => eprintln!("flowtest-loadgen: no generator plays"),
        true => {}
        false => eprintln!("flowtest-loadgen: stop applied by {}", applied.join(", ")),
    }
    match &newest {
        Ok(_) if said.is_whole() => Ok(0),
        Ok(newest) => Err(Failed::Message(going_on(&said, newest))),
        Err(unread) => Err(Failed::Message(unknown(&said, contest, unread, &seen))),
    }
}

/// Who has applied it, and who may play on by a document.
fn status(
    scoreboard: &mut Scoreboard,
    contest: &str,
    control: &Control,
    revision: u64,
    seen: &[SeenGenerator],
    now: UtcUs,
) -> Result<StopStatus, ScoreboardError> {
    let said = StopStatus::of(control, revision, seen, &RoundStreams::new(), now);
    let rounds: BTreeSet<RoundId> = said.silent.iter().map(|one| one.round).collect();
    if rounds.is_empty() {
        return Ok(said);
    }
    let streams = scoreboard.read_streams_of(contest, &rounds)?;
    Ok(StopStatus::of(control, revision, seen, &streams, now))
}

fn not_said(said: &StopStatus) -> Option<String> {
    let names = said.going_on.join(", ");
    (!names.is_empty()).then(|| format!("these generators have not said that they applied it: {names}"))
}

/// Who may play on, and what to do.
fn going_on(said: &StopStatus, newest: &Control) -> String {
    let mut troubles: Vec<String> = not_said(said).into_iter().collect();
    let mut next = format!("Stop them on their machines, {BY_HAND}");
    if !said.silent.is_empty() {
        let names: Vec<String> = said.silent.iter().map(|one| name(one, newest)).collect();
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
    format!("{}. {next}", troubles.join(". "))
}

/// The same where nobody can read who has a share.
fn unknown(said: &StopStatus, contest: &str, unread: &UnreadControl, seen: &[SeenGenerator]) -> String {
    let silent: Vec<&str> = seen.iter().filter(|seen| seen.health.is_none()).map(|seen| seen.id.as_str()).collect();
    let silent = if silent.is_empty() { String::new() } else { format!(", such as {}", silent.join(", ")) };
    let mut troubles: Vec<String> = not_said(said).into_iter().collect();
    troubles.push(format!(
        "the document of {contest:?} cannot be read here ({unread}), and so nobody knows who else has a share and is not \
         heard{silent}; one that does not reach Redis plays on by what it knows"
    ));
    format!("{}. Stop those on their machines, {BY_HAND}", troubles.join(". "))
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
    use flowtest_scoreboard::GeneratorHealth;
    use flowtest_scoreboard::keys::{control, generators};
    use flowtest_testkit::RedisServer;
    use flowtest_testkit::documents::generator_health;

    #[test]
    fn a_document_that_goes_while_generators_are_waited_for_is_no_success() {
        let server = RedisServer::start();
        let lost = wait_until_heard(&mut server.scoreboard(), "cup", 7).expect_err("nobody knows who has heard");
        assert!(lost.to_string().contains("Redis has lost the document of \"cup\""), "{lost}");
    }

    #[test]
    fn a_stop_in_a_document_that_nobody_can_read_says_so_and_names_whom_redis_knows() {
        let server = RedisServer::start();
        let mut scoreboard = server.scoreboard();
        let now = utc_us();
        let heard = |id, halted_by| GeneratorHealth { halted_by: Some(halted_by), ..generator_health(id, now) };
        scoreboard.write_health("cup", &heard("g1", 0)).expect("Redis answers");
        server.command(&["SET", &control("cup"), r#"{"dialect":99,"revision":6}"#]);
        assert_eq!(scoreboard.stop_traffic("cup").expect("whatever it says"), Stopped::Now(7));
        scoreboard.write_health("cup", &heard("g1", 7)).expect("Redis answers");
        server.command(&["ZADD", &generators("cup"), &now.0.to_string(), "g2"]);
        let told = wait_until_heard(&mut scoreboard, "cup", 7).expect_err("nobody knows who plays").to_string();
        for part in ["of \"cup\" cannot be read here (it speaks dialect 99", "is not heard, such as g2;", "SIGUSR1"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("g1"), "it has applied it: {told}");
    }
}
