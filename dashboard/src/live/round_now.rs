//! The round at an instant, as frames show it: state, phase, and which values are due. Pure.

use super::facts::{Facts, RevealWait};
use crate::live::clock::{Millis, utc_ms};
use flowtest_contest::breakpoint::{Breakpoint, Decision, SETTLE_US, StepClock};
use flowtest_contest::contest::{Load, RankBy};
use flowtest_contest::ladder::{LadderTerms, Pass};
use flowtest_contest::{Control, State};
use flowtest_contract::header::{Flip, Platform, Version};
use flowtest_contract::rules::{Deadline, UtcUs};
use serde::Serialize;

/// The round that is prepared, played, or was the last, as frames, `/api/standings` and pages tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoundNow {
    /// Empty before it is armed.
    pub id: String,
    pub number: u32,
    pub state: State,
    pub scored: bool,
    pub start_at: Option<Millis>,
    /// `None` before it is armed, and while a pause lasts.
    pub end_at: Option<Millis>,
    /// Since when it rests, while a pause lasts.
    pub paused_at: Option<Millis>,
    /// From 1; nothing outside the plan.
    pub phase: Option<usize>,
    /// How many there are.
    pub phases: usize,
    /// Contestants climb in one of them, or rank by what they hold: standings have a column for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_breakpoint: bool,
    /// In a breakpoint phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub climb: Option<ClimbNow>,
    /// Once the freeze has begun.
    pub frozen_at: Option<Millis>,
    pub revealed: bool,
    /// What a reveal that was set for an instant waits for, once that has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reveal_waits: Option<RevealWait>,
}

/// The step of a breakpoint phase that is played: all contestants begin it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClimbNow {
    /// From 1, of this phase; what is left of it behind the last step belongs to that one.
    pub step: u32,
    pub steps: u32,
    /// From when to when its hold is judged, and when the next step begins. `None` while a pause lasts, and behind the last
    /// step.
    pub judged_from: Option<Millis>,
    pub judged_to: Option<Millis>,
    pub next_at: Option<Millis>,
    /// Requests a second that all begin with, and that nobody is asked for more than.
    pub start: u64,
    pub max: u64,
    /// What a step has to reach.
    pub pass: Pass,
}

/// How far the climb has come of which something was decided last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClimbState {
    /// Its steps go on.
    Climbing,
    /// All its steps are decided, or its phase is over.
    Over,
    /// Another one is played, and nothing of that is decided yet.
    NextBegun,
}

/// What a right answer holds now, and when that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Due {
    pub version: &'static str,
    pub from: &'static str,
    /// Only what lies ahead, and is known.
    pub version_at: Option<Millis>,
    pub from_at: Option<Millis>,
}

impl RoundNow {
    pub fn of(control: &Control, facts: &Facts, now: UtcUs) -> RoundNow {
        let timeline = &control.timeline;
        // A draft keeps the id of the round before it.
        let id = control.round.filter(|_| control.state != State::Draft);
        let next = facts.numbers.values().max().map_or(1, |last| last.saturating_add(1));
        let freeze = facts.freeze_then(now);
        let frozen_at = freeze.at.filter(|at| *at <= now);
        RoundNow {
            id: id.map(|id| id.to_string()).unwrap_or_default(),
            number: id.and_then(|id| facts.numbers.get(&id).copied()).unwrap_or(next),
            state: control.state,
            scored: control.scored,
            start_at: timeline.start_at.map(utc_ms),
            end_at: timeline.start_at.and(timeline.end_at(&control.contest)).map(utc_ms),
            paused_at: paused_at(control, now).map(utc_ms),
            phase: phase_at(control, now),
            phases: control.contest.phases.len(),
            has_breakpoint: control.contest.rank_by == RankBy::Holds || !control.contest.breakpoints().is_empty(),
            climb: ClimbNow::of(control, now),
            frozen_at: frozen_at.map(utc_ms),
            revealed: frozen_at.is_some() && freeze.is_revealed(now),
            reveal_waits: freeze.reveal_waits(now).or_else(|| freeze.reveal_waited(now, control)),
        }
    }
}

impl ClimbState {
    /// `newest`: what was decided last in the round.
    pub fn of(control: &Control, newest: &Decision, now: UtcUs) -> ClimbState {
        let contest = &control.contest;
        let Some((steps, _)) = contest.breakpoint_of(newest.judged) else { return ClimbState::Climbing };
        let first_played = breakpoint_at(control, now).map(|(index, _)| {
            let before = contest.phases[..index].iter().filter(|phase| matches!(phase.load, Load::Breakpoint(_)));
            contest.breakpoints()[before.count()].0
        });
        match first_played {
            Some(first) if steps.end <= first => ClimbState::NextBegun,
            Some(_) if newest.step < steps.end => ClimbState::Climbing,
            _ => ClimbState::Over,
        }
    }
}

impl ClimbNow {
    /// `None` where no breakpoint phase is played.
    pub fn of(control: &Control, now: UtcUs) -> Option<ClimbNow> {
        let (timeline, phases) = (&control.timeline, &control.contest.phases);
        let (index, breakpoint) = breakpoint_at(control, now)?;
        let begins: u64 = phases[..index].iter().map(|phase| phase.duration_us).sum();
        let StepClock { step_us, count } =
            breakpoint.clock(phases[index].duration_us, control.contest.rules.timeout_us);
        let nth = timeline.elapsed_us(now).saturating_sub(begins) / step_us;
        let step = u32::try_from(nth).unwrap_or(u32::MAX).min(count.saturating_sub(1));
        let instant = |within_us: u64| {
            let at = timeline.instant_of(begins + u64::from(step) * step_us + within_us);
            at.filter(|_| nth < u64::from(count)).map(utc_ms)
        };
        let LadderTerms { start, max, pass, .. } = breakpoint.ladder;
        Some(ClimbNow {
            step: step + 1,
            steps: count,
            judged_from: instant(SETTLE_US),
            judged_to: instant(breakpoint.hold_us),
            next_at: instant(step_us).filter(|_| step + 1 < count),
            start,
            max,
            pass,
        })
    }
}

impl Due {
    /// Without a contest: what holds before anything is decided.
    pub fn of(control: Option<&Control>, now: UtcUs) -> Due {
        let (version, from) = match control {
            None => (Deadline::NEVER, Deadline::NEVER),
            Some(control) => {
                let deadlines = control.timeline.deadlines_at(&control.contest, now);
                (deadlines.version, deadlines.from)
            }
        };
        let ahead = |deadline: Deadline| Some(deadline).filter(|at| at.0 > now && *at != Deadline::NEVER);
        Due {
            version: value::<Version>(version, now),
            from: value::<Platform>(from, now),
            version_at: ahead(version).map(|at| utc_ms(at.0)),
            from_at: ahead(from).map(|at| utc_ms(at.0)),
        }
    }
}

/// A pause that was decided and begins in a moment counts as begun: traffic stops.
fn paused_at(control: &Control, now: UtcUs) -> Option<UtcUs> {
    let paused = control.state == State::Paused;
    let last = control.timeline.pauses.last().filter(|pause| paused && pause.to.is_none_or(|to| now < to));
    last.map(|pause| pause.from)
}

fn value<T: Flip>(deadline: Deadline, now: UtcUs) -> &'static str {
    if now < deadline.0 { T::BEFORE.as_str() } else { T::AFTER.as_str() }
}

/// The breakpoint phase that is played, by its place in the plan from 0.
fn breakpoint_at(control: &Control, now: UtcUs) -> Option<(usize, Breakpoint)> {
    let index = phase_at(control, now)? - 1;
    match control.contest.phases[index].load {
        Load::Breakpoint(breakpoint) => Some((index, breakpoint)),
        Load::Open { .. } | Load::Closed { .. } => None,
    }
}

/// The phase that is played, from 1.
fn phase_at(control: &Control, now: UtcUs) -> Option<usize> {
    let timeline = &control.timeline;
    let started = timeline.start_at.is_some_and(|start| start <= now);
    let over = timeline.end_at(&control.contest).is_some_and(|end| end <= now);
    let plays = matches!(control.state, State::Armed | State::Running | State::Paused);
    if !started || over || !plays {
        return None;
    }
    let elapsed = timeline.elapsed_us(now);
    let mut end = 0u64;
    let phase = control.contest.phases.iter().position(|phase| {
        end = end.saturating_add(phase.duration_us);
        elapsed < end
    });
    phase.map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::facts::Freeze;
    use flowtest_contest::Contest;
    use flowtest_contest::lifecycle::{Change, change};
    use flowtest_contract::RoundId;

    const SECOND: u64 = 1_000_000;
    const NOW: UtcUs = UtcUs(1_700_000_000 * SECOND);

    fn contest() -> Control {
        let text = "name = \"x\"\n[deadlines]\nversion = \"+20s\"\n[[phase]]\nfor = \"30s\"\nrate = 1\nconnections = 1\n\
                    [[phase]]\nfor = \"30s\"\nconnections = 1\n[[contestant]]\nname = \"a\"\nendpoint = \"10.0.0.1\"\n\
                    [policy]\nallow = [\"10.0.0.0/8\"]\n";
        Control::new(Contest::from_toml(text).expect("a contest"))
    }

    fn make(control: &Control, wanted: Change, now: UtcUs) -> Control {
        change(control, wanted, now).expect("it may be")
    }

    fn armed(round: u128) -> Control {
        let (round, start_at) = (RoundId::from_bits(round), NOW + 10 * SECOND);
        let generators = vec!["g1".to_owned()];
        make(&contest(), Change::Arm { round, start_at, scored: true, generators }, NOW)
    }

    #[test]
    fn a_draft_has_the_next_number_and_no_times() {
        let facts = Facts { numbers: [(RoundId::from_bits(1), 4)].into(), ..Facts::default() };
        let round = RoundNow::of(&contest(), &facts, NOW);
        assert_eq!((round.id.as_str(), round.number, round.state), ("", 5, State::Draft));
        assert_eq!((round.start_at, round.end_at, round.phase, round.phases), (None, None, None, 2));
        let due = Due::of(Some(&contest()), NOW);
        assert_eq!((due.version, due.version_at), ("v1", None), "nobody knows when a relative deadline will be");
        assert_eq!((due.from, due.from_at), ("ECS", None), "absent: from the start");
    }

    #[test]
    fn phases_and_deadlines_follow_the_clock_and_a_pause_moves_them() {
        let control = armed(7);
        let start = NOW + 10 * SECOND;
        let round = |control: &Control, at: UtcUs| RoundNow::of(control, &Facts::default(), at);
        assert_eq!(round(&control, start - 1).phase, None);
        assert_eq!(round(&control, start).phase, Some(1));
        assert_eq!(round(&control, start + 30 * SECOND).phase, Some(2));
        assert_eq!(round(&control, start + 60 * SECOND).phase, None);
        assert_eq!(Due::of(Some(&control), start).version_at, Some(utc_ms(start + 20 * SECOND)));
        assert_eq!(Due::of(Some(&control), start + 20 * SECOND).version, "v2");
        let running = make(&control, Change::Begin, start);
        let paused = make(&running, Change::Pause, start + 9 * SECOND);
        let seen = round(&paused, start + 25 * SECOND);
        assert_eq!((seen.state, seen.phase, seen.end_at), (State::Paused, Some(1), None));
        let since = seen.paused_at.expect("it says since when");
        assert!((utc_ms(start + 9 * SECOND)..utc_ms(start + 12 * SECOND)).contains(&since), "{since}");
        assert_eq!(round(&running, start).paused_at, None);
        assert_eq!(Due::of(Some(&paused), start + 25 * SECOND).version, "v1");
    }

    #[test]
    fn a_step_of_a_breakpoint_says_when_it_is_judged_and_when_the_next_begins() {
        let mut draft = contest();
        let text = "name = \"x\"\n[rules]\ntimeout = \"1s\"\n[[phase]]\nfor = \"10s\"\nrate = 1\n[[phase]]\n\
                    kind = \"breakpoint\"\nfor = \"30s\"\nstart = 50\nstep = \"x2\"\nhold = \"4s\"\n\
                    pass = { verified = 0.99, p99 = \"50ms\" }\nmax = 900\n[[contestant]]\nname = \"a\"\n\
                    endpoint = \"10.0.0.1\"\n[policy]\nallow = [\"10.0.0.0/8\"]\n";
        draft.contest = Contest::from_toml(text).expect("a contest");
        let (round, start_at) = (RoundId::from_bits(7), NOW + 10 * SECOND);
        let arm = Change::Arm { round, start_at, scored: true, generators: vec!["g1".to_owned()] };
        let running = make(&make(&draft, arm, NOW), Change::Begin, start_at);
        let climb = |control: &Control, second: u64| ClimbNow::of(control, start_at + second * SECOND);
        let has_breakpoint = |control: &Control| RoundNow::of(control, &Facts::default(), NOW).has_breakpoint;
        assert!(has_breakpoint(&draft) && !has_breakpoint(&contest()), "a column for it, from the draft on");
        assert_eq!(climb(&running, 9), None, "the phase before it");
        let at = |second: u64| Some(utc_ms(start_at + second * SECOND));
        let second = climb(&running, 19).expect("its second step");
        assert_eq!((second.step, second.steps, second.start, second.max), (2, 3, 50, 900));
        assert_eq!((second.judged_from, second.judged_to, second.next_at), (at(19), at(22), at(26)));
        let last = climb(&running, 30).expect("its last step");
        assert_eq!((last.step, last.judged_to, last.next_at), (3, at(30), None));
        // What is left of the phase.
        let rest = climb(&running, 35).expect("still the phase");
        assert_eq!((rest.step, rest.judged_from, rest.next_at), (3, None, None));
        // A pause moves all of it, and while it lasts nobody knows.
        let paused = make(&running, Change::Pause, start_at + 19 * SECOND);
        assert_eq!(climb(&paused, 25).map(|climb| (climb.step, climb.next_at)), Some((2, None)));
    }

    #[test]
    fn a_freeze_is_told_once_it_has_begun() {
        let facts = Facts { freeze: Freeze { at: Some(NOW + 1), ..Freeze::default() }, ..Facts::default() };
        assert_eq!(RoundNow::of(&armed(7), &facts, NOW).frozen_at, None);
        assert_eq!(RoundNow::of(&armed(7), &facts, NOW + 1).frozen_at, Some(utc_ms(NOW)));
    }

    #[test]
    fn a_freeze_of_a_round_before_is_told_of_its_time() {
        let (begun, shown) = (NOW + 10 * SECOND, NOW + 20 * SECOND);
        let past = Freeze { at: Some(begun), revealed: true, revealed_at: Some(shown), ..Freeze::default() };
        let freeze = Freeze { at: Some(NOW + 900 * SECOND), ..Freeze::default() };
        let facts = Facts { freeze, past_freezes: [past].into(), ..Facts::default() };
        let told = [begun - 1, begun, shown].map(|at| {
            let round = RoundNow::of(&armed(7), &facts, at);
            (round.frozen_at, round.revealed)
        });
        assert_eq!(told, [(None, false), (Some(utc_ms(begun)), false), (Some(utc_ms(begun)), true)]);
    }

    #[test]
    fn what_a_reveal_waited_for_goes_by_the_round_that_was_over_and_not_by_the_one_that_is_prepared() {
        use RevealWait::{Ruling, Seal};
        let (start, end) = (NOW + 10 * SECOND, NOW + 70 * SECOND);
        let shown = end + 900 * SECOND;
        let freeze = Freeze {
            at: Some(start),
            revealed: true,
            revealed_at: Some(shown),
            reveal_at: Some(end),
            ..Freeze::default()
        };
        let facts = Facts { freeze, ..Facts::default() };
        let waited = |control: &Control, at| RoundNow::of(control, &facts, at).reveal_waits;
        let running = make(&armed(7), Change::Begin, start);
        let draining = make(&running, Change::Drain, end);
        let sealed = make(&draining, Change::Seal, end + SECOND);
        let draft = make(&sealed, Change::Draft, end + 2 * SECOND);
        let generators = vec!["g1".to_owned()];
        let next = Change::Arm { round: RoundId::from_bits(8), start_at: end + 60 * SECOND, scored: true, generators };
        let armed = make(&draft, next, end + 10 * SECOND);
        // (document, what was waited for)
        let cases = [(&running, Seal), (&draining, Seal), (&sealed, Ruling), (&draft, Ruling), (&armed, Ruling)];
        for (control, word) in cases {
            assert_eq!(waited(control, end), Some(word), "{:?}", control.state);
            assert_eq!((waited(control, end - 1), waited(control, shown)), (None, None), "{:?}", control.state);
        }
    }
}
