//! The rules of a round's life: what may be changed, when, and which document may follow another.
//!
//! `draft -> armed -> running -> draining -> sealed`, and `paused`, `aborted`. The dashboard makes every change through
//! [`change`]; a generator asks [`follows`] before it obeys a newer document. Both are functions of their arguments:
//! time comes in as `now`. Nothing here talks to Redis.
//!
//! A change of a running round counts from [`NOTICE_US`] after it was made, so that all generators, which look four
//! times a second, do it at one instant.

mod check;
mod refusal;
#[cfg(test)]
mod tests;

pub use check::{check, follows};
pub use refusal::Refusal;

use crate::contest::Contest;
use crate::control::{Control, GENERATORS_MAX, State};
use crate::endpoint::Endpoint;
use crate::policy::Policy;
use crate::timeline::{DeadlineName, EVENTS_MAX, Moved, Pause, Split, Timeline};
use flowtest_contract::RoundId;
use flowtest_contract::row::COUNT_MAX;
use flowtest_contract::rules::{Deadline, UtcUs};
use std::collections::{BTreeMap, BTreeSet};

/// A start, the end of a pause and a moved deadline lie at least so far ahead, in microseconds: time to connect, and
/// for contestants to see it coming.
pub const LEAD_US: u64 = 5_000_000;
/// From when on a change counts, in microseconds after it was made: four looks at the document.
pub const NOTICE_US: u64 = 1_000_000;
/// A split in mid-round lies at least so far ahead, in microseconds: eight looks at the document.
pub const SPLIT_LEAD_US: u64 = 2_000_000;
/// The last instant that a document may name, in the year 2255: every reader holds it exactly.
pub const INSTANT_MAX: UtcUs = COUNT_MAX;

const _: () = assert!(NOTICE_US < SPLIT_LEAD_US && SPLIT_LEAD_US < LEAD_US);

/// What somebody wants to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another plan, roster, rules: only of a draft. `ids` by name of contestant.
    Edit {
        contest: Box<Contest>,
        ids: BTreeMap<String, String>,
    },
    /// Freezes rules, timeout and roster and sets the start.
    Arm {
        /// Random, never used before.
        round: RoundId,
        start_at: UtcUs,
        /// False: a practice round.
        scored: bool,
        /// In the order of their shares.
        generators: Vec<String>,
    },
    /// The start has come.
    Begin,
    Pause,
    /// Ends a pause at an instant, with these generators.
    Resume {
        at: UtcUs,
        generators: Vec<String>,
    },
    /// Gives the requests from an instant on to these generators, without a pause.
    Split {
        at: UtcUs,
        generators: Vec<String>,
    },
    /// These generators are in no split that nobody has asked for.
    LeaveOut {
        generators: BTreeSet<String>,
    },
    MoveDeadline {
        deadline: DeadlineName,
        to: UtcUs,
    },
    /// The organiser ends the traffic before the end of the plan. The round counts.
    Stop,
    /// The end of the plan has come.
    Drain,
    /// Redis has sealed the round.
    Seal,
    /// The round does not count.
    Abort,
    /// A sealed or aborted round is left behind, and the next one is prepared.
    Draft,
    /// A contestant has moved.
    Endpoint {
        contestant: String,
        endpoint: Endpoint,
    },
    /// A contestant gets no traffic, or gets it again.
    Park {
        contestant: String,
        parked: bool,
    },
    /// Nobody gets traffic, at once, or everybody does again. The clock goes on.
    Halt {
        halted: bool,
    },
    /// Where traffic may go. A generator's own ceiling still counts.
    Policy(Policy),
}

impl Change {
    /// What it does, behind "cannot".
    fn name(&self) -> &'static str {
        match self {
            Change::Edit { .. } => "be edited",
            Change::Arm { .. } => "be armed",
            Change::Begin => "begin",
            Change::Pause => "be paused",
            Change::Resume { .. } => "be resumed",
            Change::Split { .. } => "be split anew",
            Change::LeaveOut { .. } => "leave generators out",
            Change::MoveDeadline { .. } => "have its deadlines moved",
            Change::Stop => "be stopped",
            Change::Drain => "drain",
            Change::Seal => "be sealed",
            Change::Abort => "be aborted",
            Change::Draft => "be left for the next",
            Change::Endpoint { .. } => "have an endpoint changed",
            Change::Park { .. } => "have a contestant parked",
            Change::Halt { .. } => "be halted",
            Change::Policy(_) => "have its policy changed",
        }
    }
}

/// The document after a change that is made at `now`, or why it may not be.
///
/// # Errors
/// The [`Refusal`] that says why not now, or not so, and what to do instead.
pub fn change(control: &Control, change: Change, now: UtcUs) -> Result<Control, Refusal> {
    use State::{Aborted, Armed, Draft, Draining, Paused, Running, Sealed};
    let mut next = control.clone();
    next.revision = Some(control.revision + 1).filter(|revision| *revision <= COUNT_MAX).ok_or(Refusal::Revisions)?;
    match (change, control.state) {
        (Change::Edit { contest, ids }, Draft) => edit(&mut next, *contest, ids)?,
        (Change::Arm { round, start_at, scored, generators }, Draft) => {
            let split = Split { from: start_at, generators };
            arm(&mut next, round, scored, split, now)?;
        }
        (Change::Begin, Armed) => begin(&mut next, now)?,
        (Change::Pause, Running) => pause(&mut next, now)?,
        (Change::Resume { at, generators }, Paused) => resume(&mut next, Split { from: at, generators }, now)?,
        (Change::Split { at, generators }, Armed | Running) => split(&mut next, Split { from: at, generators }, now)?,
        (Change::LeaveOut { generators }, _) => leave_out(&mut next, generators)?,
        (Change::MoveDeadline { deadline, to }, Armed | Running) => move_deadline(&mut next, deadline, to, now)?,
        (Change::Stop, Running | Paused) => stop(&mut next, now)?,
        (Change::Drain, Running) => drain(&mut next, now)?,
        (Change::Seal, Draining) => seal(&mut next, now)?,
        (Change::Abort, Armed | Running | Paused | Draining) => next.state = Aborted,
        (Change::Draft, Sealed | Aborted) => {
            next.state = Draft;
            next.timeline = Timeline::default();
            next.split = Vec::new();
            next.scored = true;
            next.left_out = BTreeSet::new();
        }
        (Change::Endpoint { contestant, endpoint }, _) => move_contestant(&mut next, &contestant, endpoint)?,
        (Change::Park { contestant, parked }, _) => park(&mut next, contestant, parked)?,
        (Change::Halt { halted }, _) => next.halted = halted,
        (Change::Policy(policy), _) => next.contest.policy = policy,
        (change, state) => return Err(Refusal::State { change: change.name(), state }),
    }
    Ok(next)
}

fn edit(next: &mut Control, contest: Contest, ids: BTreeMap<String, String>) -> Result<(), Refusal> {
    if contest.name != next.contest.name {
        return Err(Refusal::Name { ours: next.contest.name.clone(), theirs: contest.name });
    }
    let names: BTreeSet<&str> = contest.contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    if let Some(stranger) = ids.keys().find(|name| !names.contains(name.as_str())) {
        return Err(Refusal::Stranger(stranger.clone()));
    }
    let different: BTreeSet<&String> = ids.values().filter(|id| !id.is_empty()).collect();
    if different.len() < ids.len() {
        return Err(Refusal::Ids);
    }
    next.parked.retain(|name| names.contains(name.as_str()));
    next.contest = contest;
    next.ids = ids;
    Ok(())
}

fn arm(next: &mut Control, round: RoundId, scored: bool, split: Split, now: UtcUs) -> Result<(), Refusal> {
    if next.round == Some(round) {
        return Err(Refusal::RoundAgain(round));
    }
    if next.halted {
        return Err(Refusal::Halted);
    }
    ahead("start", split.from, now, LEAD_US)?;
    check_generators(&split.generators)?;
    for contestant in &next.contest.contestants {
        next.contest
            .policy
            .judge_endpoint(&contestant.endpoint)
            .map_err(|error| Refusal::Policy { contestant: contestant.name.clone(), error })?;
    }
    next.round = Some(round);
    next.scored = scored;
    next.split = split.generators.clone();
    next.timeline = Timeline { start_at: Some(split.from), splits: vec![split], ..Timeline::default() };
    next.state = State::Armed;
    Ok(())
}

fn begin(next: &mut Control, now: UtcUs) -> Result<(), Refusal> {
    let start = next.timeline.start_at.ok_or(Refusal::NoStart)?;
    if now < start {
        return Err(Refusal::Early { what: "start", at: start });
    }
    next.state = State::Running;
    Ok(())
}

fn pause(next: &mut Control, now: UtcUs) -> Result<(), Refusal> {
    let from = counts_from(next, now)?;
    if next.timeline.pauses.len() >= EVENTS_MAX {
        return Err(Refusal::Events);
    }
    if let Some(to) = next.timeline.pauses.last().and_then(|last| last.to).filter(|to| from < *to) {
        return Err(Refusal::Resuming { at: to });
    }
    // A pause that begins at the end would never be seen.
    match next.timeline.end_at(&next.contest) {
        Some(end) if from < end => {}
        end => return Err(Refusal::Over { at: end.unwrap_or(now) }),
    }
    next.timeline.pauses.push(Pause { from, to: None });
    next.state = State::Paused;
    Ok(())
}

fn resume(next: &mut Control, split: Split, now: UtcUs) -> Result<(), Refusal> {
    ahead("end of the pause", split.from, now, LEAD_US)?;
    check_generators(&split.generators)?;
    let last = next.timeline.pauses.last_mut().filter(|pause| pause.to.is_none()).ok_or(Refusal::NoPause)?;
    if split.from <= last.from {
        return Err(Refusal::ClockBack { at: last.from });
    }
    // A split that was made before the pause may lie further ahead.
    if let Some(ahead) = next.timeline.splits.last().filter(|ahead| split.from < ahead.from) {
        return Err(Refusal::Soon { what: "end of the pause", at: split.from, earliest: ahead.from });
    }
    last.to = Some(split.from);
    next.split = split.generators.clone();
    next.timeline.splits.push(split);
    next.state = State::Running;
    Ok(())
}

/// One that begins where the last one does takes its place: of a round that has not begun, or goes on at an instant ahead.
fn split(next: &mut Control, split: Split, now: UtcUs) -> Result<(), Refusal> {
    ahead("split", split.from, now, SPLIT_LEAD_US)?;
    check_generators(&split.generators)?;
    let last = next.timeline.splits.last().ok_or(Refusal::NoStart)?;
    if split.from < last.from {
        return Err(Refusal::ClockBack { at: last.from });
    }
    if next.timeline.splits.len() >= EVENTS_MAX {
        return Err(Refusal::Events);
    }
    match next.timeline.end_at(&next.contest) {
        Some(end) if split.from < end => {}
        end => return Err(Refusal::Over { at: end.unwrap_or(now) }),
    }
    next.split = split.generators.clone();
    next.timeline.splits.push(split);
    Ok(())
}

fn leave_out(next: &mut Control, generators: BTreeSet<String>) -> Result<(), Refusal> {
    if generators.len() > GENERATORS_MAX {
        return Err(Refusal::Generators(generators.len()));
    }
    if generators.contains("") {
        return Err(Refusal::GeneratorTwice(String::new()));
    }
    next.left_out = generators;
    Ok(())
}

fn move_deadline(next: &mut Control, deadline: DeadlineName, to: UtcUs, now: UtcUs) -> Result<(), Refusal> {
    let at = counts_from(next, now)?;
    if next.timeline.moved.len() >= EVENTS_MAX {
        return Err(Refusal::Events);
    }
    ahead("moved deadline", to, now, LEAD_US)?;
    let Deadline(before) = deadline_of(&next.timeline, &next.contest, deadline, at);
    if before <= at {
        return Err(Refusal::DeadlinePassed { deadline, at: before });
    }
    next.timeline.moved.push(Moved { deadline, at, to });
    Ok(())
}

fn stop(next: &mut Control, now: UtcUs) -> Result<(), Refusal> {
    let at = counts_from(next, now)?;
    // At the end of the plan there is nothing left to stop.
    next.timeline.stopped_at = Some(at).filter(|at| next.timeline.end_at(&next.contest).is_none_or(|end| *at < end));
    next.state = State::Draining;
    Ok(())
}

fn drain(next: &mut Control, now: UtcUs) -> Result<(), Refusal> {
    over(next, now)?;
    next.state = State::Draining;
    Ok(())
}

fn seal(next: &mut Control, now: UtcUs) -> Result<(), Refusal> {
    over(next, now)?;
    next.state = State::Sealed;
    Ok(())
}

fn over(next: &Control, now: UtcUs) -> Result<(), Refusal> {
    match next.timeline.end_at(&next.contest) {
        Some(end) if now < end => Err(Refusal::Early { what: "end", at: end }),
        Some(_) => Ok(()),
        None => Err(Refusal::NoStart),
    }
}

fn move_contestant(next: &mut Control, name: &str, endpoint: Endpoint) -> Result<(), Refusal> {
    let contest = &mut next.contest;
    let stranger = || Refusal::Stranger(name.to_owned());
    let index = contest.contestants.iter().position(|contestant| contestant.name == name).ok_or_else(stranger)?;
    contest.policy.judge_endpoint(&endpoint).map_err(|error| Refusal::Policy { contestant: name.to_owned(), error })?;
    let same = |other: &Endpoint| other.port == endpoint.port && other.host == endpoint.host;
    let other = contest.contestants.iter().find(|other| other.name != name && same(&other.endpoint));
    if let Some(other) = other.filter(|_| !contest.policy.allow_shared) {
        return Err(Refusal::Shared { contestant: name.to_owned(), other: other.name.clone() });
    }
    contest.contestants[index].endpoint = endpoint;
    Ok(())
}

fn park(next: &mut Control, contestant: String, parked: bool) -> Result<(), Refusal> {
    if !next.contest.contestants.iter().any(|one| one.name == contestant) {
        return Err(Refusal::Stranger(contestant));
    }
    if parked {
        next.parked.insert(contestant);
    } else {
        next.parked.remove(&contestant);
    }
    Ok(())
}

/// From when on a change counts: after all that was changed before, even when our clock was set back a little.
fn counts_from(control: &Control, now: UtcUs) -> Result<UtcUs, Refusal> {
    let at = now.saturating_add(NOTICE_US);
    if at > INSTANT_MAX {
        return Err(Refusal::TooFar { what: "change" });
    }
    let paused = control.timeline.pauses.last().map(|pause| pause.from);
    let moved = control.timeline.moved.last().map(|moved| moved.at);
    match paused.max(moved) {
        Some(last) if at < last => Err(Refusal::ClockBack { at: last }),
        // Two changes in one microsecond have an order too.
        Some(last) if at == last => Ok(at + 1),
        _ => Ok(at),
    }
}

fn ahead(what: &'static str, at: UtcUs, now: UtcUs, lead_us: u64) -> Result<(), Refusal> {
    if at > INSTANT_MAX {
        return Err(Refusal::TooFar { what });
    }
    let earliest = now.saturating_add(lead_us);
    if at < earliest { Err(Refusal::Soon { what, at, earliest }) } else { Ok(()) }
}

fn check_generators(generators: &[String]) -> Result<(), Refusal> {
    if generators.is_empty() {
        return Err(Refusal::NoGenerators);
    }
    if generators.len() > GENERATORS_MAX {
        return Err(Refusal::Generators(generators.len()));
    }
    let mut different = BTreeSet::new();
    match generators.iter().find(|name| name.is_empty() || !different.insert(*name)) {
        Some(twice) => Err(Refusal::GeneratorTwice(twice.clone())),
        None => Ok(()),
    }
}

fn deadline_of(timeline: &Timeline, contest: &Contest, deadline: DeadlineName, at: UtcUs) -> Deadline {
    let deadlines = timeline.deadlines_at(contest, at);
    match deadline {
        DeadlineName::Version => deadlines.version,
        DeadlineName::From => deadlines.from,
    }
}
