//! What a chart marks beside the lines: when phases begin, what falls due when, pauses, the freeze. Pure.

use crate::live::clock::{Millis, utc_ms};
use flowtest_contest::contest::{Load, Phase};
use flowtest_contest::{Control, State};
use flowtest_contract::header::{Flip, Platform, Version};
use flowtest_contract::rules::{Deadline, UtcUs};
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    pub at: Millis,
    pub kind: MarkKind,
    pub label: String,
}

impl Mark {
    /// Of seconds that nobody wrote down.
    pub fn of_gap(from: UtcUs, to: UtcUs) -> Mark {
        let label = format!("no history for {} s", to.saturating_since(from) / 1_000_000);
        Mark { at: utc_ms(from), kind: MarkKind::Gap, label }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkKind {
    Version,
    From,
    Phase,
    Pause,
    Resume,
    Freeze,
    /// Seconds that nobody wrote down.
    Gap,
}

/// The marks of the round that is armed, played or was the last, and those of `freezes` that have begun, in order. `now` only
/// tells which deadlines hold.
pub fn marks(control: Option<&Control>, freezes: impl Iterator<Item = UtcUs>, now: UtcUs) -> Vec<Mark> {
    let mut marks = control.map(|control| of_round(control, now)).unwrap_or_default();
    let freeze = |at| Mark { at: utc_ms(at), kind: MarkKind::Freeze, label: "freeze".to_owned() };
    marks.extend(freezes.filter(|at| *at <= now).map(freeze));
    marks.sort_by_key(|mark| (mark.at, mark.kind));
    marks
}

/// Those of the round of a document, in no order.
pub fn of_round(control: &Control, now: UtcUs) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut add = |at: UtcUs, kind: MarkKind, label: String| marks.push(Mark { at: utc_ms(at), kind, label });
    if control.state != State::Draft {
        let timeline = &control.timeline;
        let deadlines = timeline.deadlines_at(&control.contest, now);
        let known = |deadline: Deadline| ![Deadline::PASSED, Deadline::NEVER].contains(&deadline);
        if known(deadlines.version) {
            add(deadlines.version.0, MarkKind::Version, format!("Version: {}", Version::AFTER.as_str()));
        }
        if known(deadlines.from) {
            add(deadlines.from.0, MarkKind::From, format!("From: {}", Platform::AFTER.as_str()));
        }
        let mut elapsed = 0u64;
        for (index, phase) in control.contest.phases.iter().enumerate() {
            if let Some(at) = timeline.instant_of(elapsed) {
                add(at, MarkKind::Phase, format!("phase {}: {}", index + 1, load(phase)));
            }
            elapsed = elapsed.saturating_add(phase.duration_us);
        }
        for pause in &timeline.pauses {
            add(pause.from, MarkKind::Pause, "pause".to_owned());
            if let Some(to) = pause.to {
                add(to, MarkKind::Resume, "goes on".to_owned());
            }
        }
    }
    marks
}

fn load(phase: &Phase) -> String {
    match phase.load {
        Load::Open { from, to } if from == to => format!("{from}/s"),
        Load::Open { from, to } => format!("{from} to {to}/s"),
        Load::Breakpoint(climb) => format!("breakpoint, from {}/s", climb.ladder.start),
        Load::Closed { .. } => "as fast as answers come".to_owned(),
    }
}
