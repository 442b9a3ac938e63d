//! Stops upon a document: what it says then, and whether another one is nothing but that. Pure.

use flowtest_contest::lifecycle::{self, Change};
use flowtest_contest::{Control, Refusal, State};
use flowtest_contract::rules::UtcUs;

/// The document after an urgent change. A start that could not be saved yet does not keep a round from being paused.
pub(super) fn urgently(control: &Control, urgent: &Change, now: UtcUs) -> Result<Control, Refusal> {
    let has_begun = control.timeline.start_at.is_some_and(|start| start <= now);
    if *urgent == Change::Pause && control.state == State::Armed && has_begun {
        let begun = lifecycle::change(control, Change::Begin, now)?;
        return lifecycle::change(&begun, Change::Pause, now);
    }
    lifecycle::change(control, urgent.clone(), now)
}

/// Somebody else's newer document with what was stopped in ours while nobody could be told: `untold`. Above it, so that generators
/// obey. None: it stops as much already, or ours does not any more.
pub(super) fn stopped_as(ours: &Control, untold: &[Change], found: &Control, now: UtcUs) -> Option<Control> {
    let is_due = |stop: &&Change| match stop {
        Change::Halt { .. } => ours.halted && !found.halted,
        Change::Pause => ours.state == State::Paused && ours.round == found.round && found.state != State::Paused,
        _ => false,
    };
    let due = untold.iter().filter(is_due);
    due.fold(None, |stopped, stop| urgently(stopped.as_ref().unwrap_or(found), stop, now).ok().or(stopped))
}

/// Whether a document is another one with all traffic stopped, by a later revision, and nothing else.
pub(super) fn is_stop_of(ours: &Control, found: &Control) -> bool {
    let stopped = || Control { halted: true, revision: found.revision, ..ours.clone() };
    found.halted && found.revision > ours.revision && *found == stopped()
}
