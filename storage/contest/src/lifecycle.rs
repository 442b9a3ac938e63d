//! The rules of a round's life: what may be changed, when, and which document may follow another.
//!
//! `draft -> armed -> running -> draining -> sealed`, and `paused`, `aborted`. The dashboard makes every change through
//! [`change`]; a generator asks [`follows`] before it applies a newer document. Both are functions of their arguments:
//! time comes in as `now`. Nothing here talks to Redis.
//!
//! A change of a running round counts from [`NOTICE_US`] after it was made, so that all generators, which look four
//! times a second, do it at one instant.

mod follows;
#[cfg(test)]
mod tests;

pub use follows::follows;

use crate::contest::{Contest, Contestant};
use crate::control::{Control, check_generators};
use crate::endpoint::{Endpoint, Host};
use crate::names::is_name;
use crate::policy::{ENTRIES_MAX, Policy};
use crate::refusal::Refusal;
use crate::state::State;
use crate::timeline::{
    DeadlineName, EVENTS_MAX, GENERATORS_MAX, INSTANT_MAX, Join, LEAD_US, Moved, NOTICE_US, Pause, SPLIT_LEAD_US,
    Split, Timeline,
};
use flowtest_contract::RoundId;
use flowtest_contract::row::COUNT_MAX;
use flowtest_contract::rules::{Deadline, UtcUs};
use std::collections::{BTreeMap, BTreeSet};

/// What somebody wants to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another plan, roster, rules: only of a draft. `ids` by name of contestant, as is `since`: when each has named its server, as
    /// far as that is known.
    Edit {
        contest: Box<Contest>,
        ids: BTreeMap<String, String>,
        since: BTreeMap<String, UtcUs>,
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
    /// A contestant that is not in the roster plays from an instant on, in the round that is armed or being played. `id`: its
    /// lasting one, where there are such. `since`: when it has named its server.
    Join {
        contestant: String,
        id: Option<String>,
        endpoint: Endpoint,
        since: UtcUs,
        at: UtcUs,
    },
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
            Change::Join { .. } => "be joined",
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
        (Change::Edit { contest, ids, since }, Draft) => edit(&mut next, *contest, ids, &since, now)?,
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
            next.earlier = control.left_behind(now);
            next.timeline = Timeline::default();
            next.split = Vec::new();
            next.scored = true;
            next.left_out = BTreeSet::new();
        }
        (Change::Join { contestant, id, endpoint, since, at }, Armed | Running | Paused) => {
            next.since.insert(contestant.clone(), since.min(now).min(INSTANT_MAX));
            join(&mut next, Contestant { name: contestant, endpoint }, id, at, now)?;
        }
        (Change::Endpoint { contestant, endpoint }, _) => move_contestant(&mut next, &contestant, endpoint, now)?,
        (Change::Park { contestant, parked }, _) => park(&mut next, contestant, parked)?,
        (Change::Halt { halted }, _) => next.halted = halted,
        (Change::Policy(policy), _) => {
            // Nobody could read a longer list.
            let lists = [("allow", policy.allow.len()), ("deny", policy.deny.len())];
            if let Some((list, _)) = lists.into_iter().find(|(_, length)| *length > ENTRIES_MAX) {
                return Err(Refusal::Entries(list));
            }
            next.contest.policy = policy;
        }
        (change, state) => return Err(Refusal::State { change: change.name(), state }),
    }
    Ok(next)
}

fn edit(
    next: &mut Control,
    contest: Contest,
    ids: BTreeMap<String, String>,
    typed_at: &BTreeMap<String, UtcUs>,
    now: UtcUs,
) -> Result<(), Refusal> {
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
    next.since = since(next, &contest, typed_at, now);
    next.contest = contest;
    next.ids = ids;
    Ok(())
}

/// Since when the contestants of the next document have named their servers: as before for those who had the same; else since
/// they typed it, for who was left out for a while has not become younger; and where nobody knows that, now.
fn since(
    before: &Control,
    contest: &Contest,
    typed_at: &BTreeMap<String, UtcUs>,
    now: UtcUs,
) -> BTreeMap<String, UtcUs> {
    let now = now.min(INSTANT_MAX);
    let servers: BTreeMap<&str, (Host, u16)> =
        before.contest.contestants.iter().map(|one| (one.name.as_str(), one.endpoint.server())).collect();
    let since = contest.contestants.iter().filter_map(|one| {
        let stays = servers.get(one.name.as_str()) == Some(&one.endpoint.server());
        let at = if stays {
            before.since.get(&one.name).copied()
        } else {
            Some(typed_at.get(&one.name).map_or(now, |at| now.min(*at)))
        };
        Some((one.name.clone(), at?))
    });
    since.collect()
}

fn arm(next: &mut Control, round: RoundId, scored: bool, split: Split, now: UtcUs) -> Result<(), Refusal> {
    if next.round == Some(round) {
        return Err(Refusal::RoundAgain(round));
    }
    if next.halted {
        return Err(Refusal::Halted);
    }
    if let Some(message) = next.contest.beyond_fleet() {
        return Err(Refusal::BeyondFleet(message));
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
    let Deadline(before) = next.timeline.deadline_at(&next.contest, deadline, at);
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

/// It is the last of the roster from now on, and has no requests before its instant.
fn join(next: &mut Control, contestant: Contestant, id: Option<String>, at: UtcUs, now: UtcUs) -> Result<(), Refusal> {
    ahead("instant of joining", at, now, LEAD_US)?;
    let start = next.timeline.start_at.ok_or(Refusal::NoStart)?;
    let earliest = next.timeline.joins.last().map_or(start, |last| last.at);
    if at < earliest {
        return Err(Refusal::Soon { what: "instant of joining", at, earliest });
    }
    match next.timeline.end_at(&next.contest) {
        Some(end) if at >= end => return Err(Refusal::Over { at: end }),
        _ => {}
    }
    let name = &contestant.name;
    if !is_name(name) || next.contest.contestants.iter().any(|other| other.name == *name) {
        return Err(Refusal::Known(name.clone()));
    }
    let armed = next.contest.contestants.len() - next.timeline.joins.len();
    let places = next.contest.places(armed);
    if next.contest.contestants.len() >= places {
        return Err(Refusal::NoRoom { contestant: name.clone(), places });
    }
    check_place(&next.contest, name, &contestant.endpoint)?;
    if let Some(id) = id {
        if id.is_empty() || next.ids.values().any(|other| *other == id) {
            return Err(Refusal::Ids);
        }
        next.ids.insert(name.clone(), id);
    }
    next.timeline.joins.push(Join { contestant: name.clone(), at });
    next.contest.contestants.push(contestant);
    Ok(())
}

fn move_contestant(next: &mut Control, name: &str, endpoint: Endpoint, now: UtcUs) -> Result<(), Refusal> {
    let contest = &mut next.contest;
    let stranger = || Refusal::Stranger(name.to_owned());
    let index = contest.contestants.iter().position(|contestant| contestant.name == name).ok_or_else(stranger)?;
    check_place(contest, name, &endpoint)?;
    // Another path is the same server.
    if contest.contestants[index].endpoint.server() != endpoint.server() {
        next.since.insert(name.to_owned(), now.min(INSTANT_MAX));
    }
    contest.contestants[index].endpoint = endpoint;
    Ok(())
}

/// Whether a contestant may be there, as far as an endpoint says.
fn check_place(contest: &Contest, name: &str, endpoint: &Endpoint) -> Result<(), Refusal> {
    contest.policy.judge_endpoint(endpoint).map_err(|error| Refusal::Policy { contestant: name.to_owned(), error })?;
    let same = |other: &Endpoint| other.server() == endpoint.server();
    let other = contest.contestants.iter().find(|other| other.name != name && same(&other.endpoint));
    match other.filter(|_| !contest.policy.may_name_one_server()) {
        Some(other) => Err(Refusal::Shared { contestant: name.to_owned(), other: other.name.clone() }),
        None => Ok(()),
    }
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
