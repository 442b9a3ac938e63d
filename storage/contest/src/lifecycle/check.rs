//! Which documents make sense, alone and one after another.

use super::{INSTANT_MAX, LEAD_US, NOTICE_US, Refusal, check_generators, deadline_of};
use crate::control::{Control, State};
use crate::timeline::Timeline;

/// Whether a document makes sense by itself. One that names a running round without a start is from before rounds
/// had a clock, and passes.
///
/// # Errors
/// The [`Refusal`] that names what contradicts what.
pub fn check(control: &Control) -> Result<(), Refusal> {
    let timeline = &control.timeline;
    let wrong = |cause| Err(Refusal::Document(cause));
    if control.state == State::Draft && *timeline != Timeline::default() {
        return wrong("a draft has no clock yet");
    }
    let Some(start) = timeline.start_at else {
        return if *timeline == Timeline::default() { Ok(()) } else { wrong("it has a clock without a start") };
    };
    if control.round.is_none() {
        return wrong("it has a start and no round");
    }
    check_pauses(control, start)?;
    check_splits(control, start)?;
    check_moved(control)?;
    let Some(stopped) = timeline.stopped_at else { return Ok(()) };
    if !matches!(control.state, State::Draining | State::Sealed | State::Aborted) {
        return wrong("the round is stopped and goes on");
    }
    let planned = timeline.instant_of(control.contest.duration_us());
    if stopped < start || stopped > INSTANT_MAX || planned.is_some_and(|planned| stopped >= planned) {
        return wrong("the round is stopped outside its time");
    }
    Ok(())
}

fn check_pauses(control: &Control, start: u64) -> Result<(), Refusal> {
    let pauses = &control.timeline.pauses;
    let wrong = |cause| Err(Refusal::Document(cause));
    let lasting = pauses.last().is_some_and(|pause| pause.to.is_none());
    match control.state {
        State::Armed if !pauses.is_empty() => return wrong("the round is paused before its start"),
        State::Paused if !lasting => return wrong("the round is paused without a pause that lasts"),
        State::Running if lasting => return wrong("the round is running in a pause that lasts"),
        _ => {}
    }
    let mut earliest = start;
    let mut planned = start.saturating_add(control.contest.duration_us());
    for (index, pause) in pauses.iter().enumerate() {
        let to = match pause.to {
            Some(to) => to,
            None if index + 1 == pauses.len() => INSTANT_MAX + 1,
            None => return wrong("a pause lasts and another one follows"),
        };
        if pause.from < earliest || pause.from >= planned || to <= pause.from || to > INSTANT_MAX + 1 {
            return wrong("its pauses are out of order or outside the round");
        }
        planned = planned.saturating_add(to - pause.from);
        earliest = to;
    }
    Ok(())
}

fn check_splits(control: &Control, start: u64) -> Result<(), Refusal> {
    let splits = &control.timeline.splits;
    let mut instants = std::iter::once(start).chain(control.timeline.pauses.iter().filter_map(|pause| pause.to));
    if !instants.all(|instant| splits.iter().any(|split| split.from == instant)) {
        return Err(Refusal::Document("there is no split for the start and the end of each pause"));
    }
    let is_in_order = splits.is_sorted_by_key(|split| split.from) && splits[0].from == start;
    if !is_in_order || splits.iter().any(|split| split.from > INSTANT_MAX) {
        return Err(Refusal::Document("its splits are out of order"));
    }
    if splits.last().is_some_and(|last| last.generators != control.split) {
        return Err(Refusal::Document("`split` is not the last of `splits`"));
    }
    splits.iter().try_for_each(|split| check_generators(&split.generators))
}

fn check_moved(control: &Control) -> Result<(), Refusal> {
    // Each move is judged as when it was made: by those before it.
    let mut before = Timeline { moved: Vec::new(), ..control.timeline.clone() };
    for moved in &control.timeline.moved {
        let in_order = before.moved.last().is_none_or(|last| last.at < moved.at);
        if !in_order || moved.to > INSTANT_MAX || moved.to < moved.at.saturating_add(LEAD_US - NOTICE_US) - 1 {
            return Err(Refusal::Document("its moved deadlines are out of order or too soon"));
        }
        if deadline_of(&before, &control.contest, moved.deadline, moved.at).0 <= moved.at {
            return Err(Refusal::Document("a deadline was moved after it had passed"));
        }
        before.moved.push(*moved);
    }
    Ok(())
}

/// Whether a newer document may be obeyed after an older one; changes in between may have been missed. When it is
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
    check(newer)?;
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
        (names(older) == names(newer), "the roster"),
        (older.ids == newer.ids, "the ids of contestants"),
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
