//! Which document may be applied after which.

use crate::control::Control;
use crate::refusal::Refusal;
use crate::state::State;

/// Whether a newer document may be applied after an older one; changes in between may have been missed. When it is
/// refused, the running round goes on by the older one.
///
/// # Errors
/// The [`Refusal`] that names what may not have changed between the two.
pub fn follows(older: &Control, newer: &Control) -> Result<(), Refusal> {
    if older == newer {
        return Ok(());
    }
    if newer.revision <= older.revision {
        return Err(Refusal::Revision { ours: older.revision, theirs: newer.revision });
    }
    if newer.contest.name != older.contest.name {
        return Err(Refusal::Name { ours: older.contest.name.clone(), theirs: newer.contest.name.clone() });
    }
    newer.check()?;
    if newer.state != State::Draft && newer.timeline.start_at.is_none() {
        return Err(Refusal::NoStart);
    }
    let Some(round) = older.round else { return Ok(()) };
    match newer.round {
        None => return Err(Refusal::Document("it has forgotten the last round")),
        // Ours has ended without our hearing of it.
        Some(other) if other != round => return Ok(()),
        Some(_) => {}
    }
    if !reaches(older.state, newer.state) {
        return Err(Refusal::Backwards { round, from: older.state, to: newer.state });
    }
    // A draft has left the round behind.
    if newer.state == State::Draft { Ok(()) } else { check_frozen(older, newer) }
}

/// Whether a round gets from one state to the other, in any number of changes.
fn reaches(from: State, to: State) -> bool {
    use State::{Aborted, Armed, Draft, Draining, Paused, Running, Sealed};
    match from {
        Draft => to == Draft,
        Armed => true,
        Running | Paused => to != Armed,
        Draining => matches!(to, Draining | Sealed | Aborted | Draft),
        Sealed => matches!(to, Sealed | Draft),
        Aborted => matches!(to, Aborted | Draft),
    }
}

fn check_frozen(older: &Control, newer: &Control) -> Result<(), Refusal> {
    let names = |control: &Control| -> Vec<String> {
        control.contest.contestants.iter().map(|contestant| contestant.name.clone()).collect()
    };
    let (was, is) = (&older.contest, &newer.contest);
    let (before, after) = (&older.timeline, &newer.timeline);
    // Those who joined since are the only ones that may be new.
    let grown = is.contestants.len().saturating_sub(was.contestants.len());
    // The last pause may have ended since; all before it are as they were.
    let pauses_go_on = before.pauses.iter().enumerate().all(|(index, was)| {
        after.pauses.get(index).is_some_and(|is| {
            is.from == was.from && (is.to == was.to || (was.to.is_none() && index + 1 == before.pauses.len()))
        })
    });
    let same = [
        (was.rules == is.rules, "the rules"),
        (was.phases == is.phases, "the phases"),
        (was.deadlines == is.deadlines && was.start == is.start, "the deadlines of the plan"),
        (names(newer).starts_with(&names(older)), "the roster"),
        (names(older).iter().all(|name| older.ids.get(name) == newer.ids.get(name)), "the ids of contestants"),
        (was.absent == is.absent, "what becomes of the absent"),
        (
            (was.rank_by, was.breakpoint_points) == (is.rank_by, is.breakpoint_points),
            "what puts one contestant before another",
        ),
        (
            after.joins.starts_with(&before.joins) && grown == after.joins.len().saturating_sub(before.joins.len()),
            "the roster",
        ),
        (older.scored == newer.scored, "whether the round counts"),
        (before.start_at == after.start_at, "the start"),
        (pauses_go_on, "a pause of the past"),
        (after.moved.starts_with(&before.moved), "a deadline that was moved before"),
        (after.splits.starts_with(&before.splits), "a split of the past"),
        (
            matches!(older.state, State::Armed | State::Running | State::Paused) || before == after,
            "a round that is over",
        ),
    ];
    match same.iter().find(|(same, _)| !same) {
        Some((_, what)) => Err(Refusal::Frozen(what)),
        None => Ok(()),
    }
}
