//! Whether a control document contradicts itself.

use super::Control;
use crate::refusal::Refusal;
use crate::state::State;
use crate::timeline::{GENERATORS_MAX, INSTANT_MAX, LEAD_US, NOTICE_US, Timeline};
use flowtest_contract::rules::UtcUs;
use std::collections::BTreeSet;

/// As [`Control::check`].
pub(super) fn control(control: &Control) -> Result<(), Refusal> {
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
    check_joins(control, start)?;
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

fn check_pauses(control: &Control, start: UtcUs) -> Result<(), Refusal> {
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

fn check_splits(control: &Control, start: UtcUs) -> Result<(), Refusal> {
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

/// Who joined is the end of the roster, in this order.
fn check_joins(control: &Control, start: UtcUs) -> Result<(), Refusal> {
    let (joins, roster) = (&control.timeline.joins, &control.contest.contestants);
    let Some(armed) = roster.len().checked_sub(joins.len()) else {
        return Err(Refusal::Document("more have joined than play"));
    };
    if !joins.iter().map(|join| &join.contestant).eq(roster[armed..].iter().map(|one| &one.name)) {
        return Err(Refusal::Document("those who joined are not the last of the roster"));
    }
    let in_order = joins.is_sorted_by_key(|join| join.at) && joins.first().is_none_or(|first| first.at >= start);
    if !in_order || joins.last().is_some_and(|last| last.at > INSTANT_MAX) {
        return Err(Refusal::Document("the instants at which contestants joined are out of order"));
    }
    Ok(())
}

fn check_moved(control: &Control) -> Result<(), Refusal> {
    // Each move is judged as when it was made: by those before it.
    let mut before = Timeline { moved: Vec::new(), ..control.timeline.clone() };
    for moved in &control.timeline.moved {
        let in_order = before.moved.last().is_none_or(|last| last.at < moved.at);
        if !in_order || moved.to > INSTANT_MAX || moved.to < moved.at.saturating_add(LEAD_US - NOTICE_US) - 1 {
            return Err(Refusal::Document("its moved deadlines are out of order or too soon"));
        }
        if before.deadline_at(&control.contest, moved.deadline, moved.at).0 <= moved.at {
            return Err(Refusal::Document("a deadline was moved after it had passed"));
        }
        before.moved.push(*moved);
    }
    Ok(())
}

/// Whether these may share a round.
pub(crate) fn check_generators(generators: &[String]) -> Result<(), Refusal> {
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
