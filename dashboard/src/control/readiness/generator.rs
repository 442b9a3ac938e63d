//! Generators: who is heard, and who can play.

use super::check::{Group, List, Mark};
use super::situation::Situation;
use crate::control::instant;
use flowtest_contest::Contest;
use flowtest_contest::contest::Contestant;
use flowtest_contest::endpoint::Scheme;
use flowtest_contest::policy::TlsTrust;
use flowtest_contract::RoundValidity;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::clock::OFFSET_MAX_US;
use flowtest_scoreboard::{GeneratorHealth, MayPlay, SeenGenerator};

/// A generator not heard for longer is gone, in microseconds: eight beats.
const SILENT_US: u64 = 2_000_000;
/// Batches that wait for Redis: a second of them is no trouble.
const BACKLOG_WARN: u64 = 10;
/// A worker this busy before a round has no room for one.
const BUSY_WARN_PERCENT: u8 = 50;
/// Free disk below which a generator gives up evidence, with room for a long round.
const DISK_WARN_BYTES: u64 = 2 << 30;
const DISK_NO_BYTES: u64 = 256 << 20;

/// Whether a generator was heard a moment ago.
pub fn is_heard(seen: &SeenGenerator, now: UtcUs) -> bool {
    seen.health.is_some() && now.saturating_since(seen.beat) <= SILENT_US
}

/// One of whom nothing was heard a moment ago says nothing any more.
pub fn as_heard(seen: &SeenGenerator, now: UtcUs) -> SeenGenerator {
    SeenGenerator { health: seen.health.clone().filter(|_| is_heard(seen, now)), ..seen.clone() }
}

pub(super) fn heard(situation: &Situation) -> impl Iterator<Item = &GeneratorHealth> {
    let fresh = |seen: &&SeenGenerator| is_heard(seen, situation.now);
    situation.generators.iter().filter(fresh).filter_map(|seen| seen.health.as_ref())
}

pub(super) fn generators(list: &mut List, situation: &Situation) {
    if heard(situation).next().is_none() {
        let message = match &situation.redis {
            Some(_) => "No generator can be heard while Redis does not do its part: see above.",
            None => "No generator is heard: start one with flowtest-loadgen serve, for this contest and this Redis.",
        };
        list.add(Group::Platform, "Generators", Mark::No, message);
    }
    for one in &situation.may_play {
        list.add(Group::Generator, &one.id, Mark::No, may_play_on(one));
    }
    let is_told = |seen: &&SeenGenerator| situation.may_play.iter().any(|one| one.id == seen.id);
    for seen in situation.generators.iter().filter(|seen| !is_told(seen)) {
        let silent_us = situation.now.saturating_since(seen.beat);
        match &seen.health {
            Some(health) if is_heard(seen, situation.now) => {
                let found = with_what_it_follows(judge_generator(health), health, situation.due_revision);
                let (mark, message) = with_trust(with_who_waits(found, seen), health, situation.contest.as_ref());
                list.add(Group::Generator, &seen.id, mark, message);
            }
            _ if situation.is_unwritten => {
                let message = "It cannot be heard while Redis takes no writes; it may well play on.";
                list.add(Group::Generator, &seen.id, Mark::Warn, message);
            }
            // Generators of yesterday are nobody's trouble.
            _ => list.add(
                Group::Generator,
                &seen.id,
                Mark::Warn,
                format!(
                    "Silent for {}: start it again, or go without it.",
                    instant::duration(silent_us / 1_000_000 * 1_000_000)
                ),
            ),
        }
    }
}

/// Until when somebody may play, behind what it may play; nothing where nobody knows.
pub fn until(end: Option<UtcUs>) -> String {
    end.map_or_else(String::new, |end| format!(" until {}", instant::rfc3339(end)))
}

/// What is to be done about one that nobody hears, and that may play a round which is over here.
pub fn may_play_on(one: &MayPlay) -> String {
    let until = until(one.until);
    format!(
        "It is not heard, and may play a round that is over here{until}: stop it on its machine, by SIGUSR1 (at once) or \
         SIGTERM. If it has died, start it again on its journal folder, or run rebuild there: that ends its stream."
    )
}

/// Adds of one that plays what it does not follow of the document. `due_revision`: what it has had the time to.
pub fn with_what_it_follows(
    (mark, message): (Mark, String),
    health: &GeneratorHealth,
    due_revision: u64,
) -> (Mark, String) {
    if health.round.is_none() {
        return (mark, message);
    }
    let (mut mark, mut message) = (mark, message);
    if let Some(trouble) = health.trouble.as_ref().filter(|trouble| !message.contains(trouble.as_str())) {
        (mark, message) =
            (mark.max(Mark::Warn), format!("It does not play as the document says: {trouble}. {message}"));
    }
    if health.revision < due_revision {
        let behind = format!(
            "It follows revision {} of the document, and {due_revision} has been there for two seconds: what was changed since \
             does not reach it, also no stop. Stop it on its machine, by SIGUSR1 (at once) or SIGTERM",
            health.revision
        );
        (mark, message) = (Mark::No, format!("{behind}. {message}"));
    }
    (mark, message)
}

/// Adds that it can trust no server, where certificates are to be looked at: somebody plays over https, or may move there.
pub fn with_trust(
    (mark, message): (Mark, String),
    health: &GeneratorHealth,
    contest: Option<&Contest>,
) -> (Mark, String) {
    let asked = contest.filter(|contest| contest.policy.tls == TlsTrust::Verify);
    let (Some(trouble), Some(contest)) = (&health.tls_trouble, asked) else { return (mark, message) };
    let is_https = |contestant: &Contestant| contestant.endpoint.scheme == Scheme::Https;
    match contest.contestants.iter().any(is_https) {
        true => (Mark::No, format!("It sends nothing to contestants over https: {trouble}. {message}")),
        false => {
            let message = format!("It sends nothing to whoever moves to https: {trouble}. {message}");
            (mark.max(Mark::Warn), message)
        }
    }
}

/// Adds that another process wants its name: whoever set up both believes that two play.
pub fn with_who_waits((mark, message): (Mark, String), seen: &SeenGenerator) -> (Mark, String) {
    let Some(waiting) = &seen.waiting else { return (mark, message) };
    let who = format!("A second process asks for the name {} and takes no part ({waiting})", seen.id);
    (mark.max(Mark::Warn), format!("{who}: give it a name of its own by --id, or end it. {message}"))
}

/// What is fatal about a generator, or all that somebody should look at.
pub fn judge_generator(health: &GeneratorHealth) -> (Mark, String) {
    let cores = match health.cores {
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    };
    let fine = [cores].into_iter().chain(health.features.clone()).collect::<Vec<_>>().join(", ");
    let gib = health.disk_free_bytes >> 30;
    if health.disk_free_bytes < DISK_NO_BYTES {
        let mib = health.disk_free_bytes >> 20;
        return (Mark::No, format!("{mib} MiB are free on its disk: make room for its journal."));
    }
    if let Some(us) = health.journal_still_us {
        let message = format!(
            "Nothing has come to its journal's disk for {}: counts wait in its memory, and its load pauses. Look at the disk.",
            instant::duration(us / 1_000_000 * 1_000_000)
        );
        return (Mark::No, message);
    }
    if let Some(stopped) = &health.stopped {
        return (Mark::No, format!("It sends nothing: {stopped}."));
    }
    if let Some(error) = &health.publish_error {
        return (Mark::No, format!("Redis does not take its points: {error}."));
    }
    // Of a round that is on: its clock is not to be set again meanwhile, also where it is off.
    let step_us = health.clock_step_us.filter(|step_us| step_us.unsigned_abs() > OFFSET_MAX_US);
    match health.clock() {
        _ if step_us.is_some() => {}
        None => return (Mark::No, "Its clock was not measured against Redis yet: wait a moment.".to_owned()),
        Some(clock) if !clock.is_fit() => {
            let message = format!(
                "Its clock is {} ms off (± {} ms), more than {} ms: set it, as with chrony.",
                clock.offset_us / 1000,
                clock.error_us.div_ceil(1000),
                OFFSET_MAX_US / 1000
            );
            return (Mark::No, message);
        }
        Some(_) => {}
    }
    let warnings = warnings(health, step_us);
    if !warnings.is_empty() {
        return (Mark::Warn, format!("{fine}. {}", warnings.join(" ")));
    }
    (Mark::Go, format!("{fine}, {gib} GiB free."))
}

/// What costs points first. None of them hides another: some last as long as the round does.
fn warnings(health: &GeneratorHealth, step_us: Option<i64>) -> Vec<String> {
    let mut told = Vec::new();
    if health.rate_ratio.is_some_and(|ratio| ratio < RoundValidity::RATIO_MIN) {
        told.push("It does not keep up with what it should send: add cores or generators.".to_owned());
    }
    if let Some(busy_with) = &health.busy_with {
        told.push(format!(
            "It was late, and what was is void for all: {busy_with}. Add cores or generators, or park whom that names."
        ));
    }
    if health.backlog > BACKLOG_WARN {
        told.push(format!("{} batches of it wait for Redis: wait until they are there.", health.backlog));
    }
    if let Some(step_us) = step_us {
        told.push(format!(
            "Its clock was set by {} ms after the round was armed: it plays on by the clock as it was. Leave it alone until the \
             round is over.",
            step_us / 1_000
        ));
    }
    if let Some(trouble) = &health.beside_trouble {
        told.push(format!("Redis refuses what it needs beside a round: {trouble}."));
    }
    if health.disk_free_bytes < DISK_WARN_BYTES {
        let gib = health.disk_free_bytes >> 30;
        told.push(format!("{gib} GiB are free on its disk: enough for a short round only."));
    }
    let busy = health.busy_percent.iter().copied().max().unwrap_or(0);
    if health.round.is_some() {
        told.push("It is still busy with a round: wait until that is sealed.".to_owned());
    } else if busy >= BUSY_WARN_PERCENT {
        told.push(format!("A worker is {busy} % busy before the round: see what else runs there."));
    }
    told
}
