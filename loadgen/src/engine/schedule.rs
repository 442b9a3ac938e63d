//! What may change while a round is played: pauses, the end, deadlines, and which requests are ours. Pure.
//!
//! A plan's phases are written on the *plan clock*, which stands still in pauses; everything else happens on the run
//! clock. Both count nanoseconds from the same instant, and agree until the first pause.

use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::share::Share;
use flowtest_contest::breakpoint::Breakpoint;
use flowtest_contract::rules::{Deadlines, UtcUs};
use std::sync::Arc;

/// Nothing falls due from `from` on until `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: RunInstant,
    /// [`RunInstant::NEVER`] while nobody knows.
    pub to: RunInstant,
}

/// One step of a breakpoint phase: a phase of its own here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Over all breakpoint phases of the plan, from 0.
    pub number: u32,
    /// The number of the first step of the same phase.
    pub first: u32,
    /// Its hold is judged. What is left behind the last whole step is not.
    pub is_judged: bool,
    pub terms: Breakpoint,
}

/// What contestants get from a step of a breakpoint phase on, by their place in the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRates {
    pub step: u32,
    pub rates: Arc<[StepRate]>,
}

/// Requests a second of one contestant: in the step itself, and in those behind it of which nobody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRate {
    pub rate: u64,
    pub rest: u64,
}

/// Decisions that are kept: what falls due and waits is of the last two steps.
const STEPS_KEPT: usize = 4;

/// The rate of a contestant in a step. Without a decision of its phase it is the start's.
#[inline]
pub fn step_rate(steps: &[StepRates], step: &Step, contestant: ContestantIndex) -> u64 {
    let decided = steps.iter().rev().find(|decided| decided.step <= step.number && decided.step > step.first);
    let told = decided.and_then(|decided| Some((decided.step, decided.rates.get(contestant.index())?)));
    match told {
        Some((number, told)) if number == step.number => told.rate,
        Some((_, told)) => told.rest,
        None => step.terms.ladder.start,
    }
}

/// The schedule of a round as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The deadlines by which requests that are sent from an instant on are judged. In order, the first from 0 on.
    deadlines: Vec<(UtcUs, Deadlines)>,
    /// In order, none within another.
    pauses: Vec<Gap>,
    /// Nothing falls due from here on.
    stop_at: RunInstant,
    /// Since when which share is ours. In order, the first from the clock's beginning on.
    shares: Vec<(RunInstant, Share)>,
    /// When each of those joined that were not there from the beginning, in order: they are the last of the roster.
    joins: Vec<RunInstant>,
    /// What was decided of the steps of breakpoint phases, in order; the newest.
    steps: Vec<StepRates>,
}

impl Schedule {
    /// A run that nobody changes.
    pub fn steady(deadlines: Deadlines) -> Schedule {
        Schedule {
            deadlines: vec![(UtcUs::EPOCH, deadlines)],
            pauses: Vec::new(),
            stop_at: RunInstant::NEVER,
            shares: vec![(RunInstant::START, Share::WHOLE)],
            joins: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// The schedule of a round on a clock. What comes first counts from the beginning of time.
    pub fn new(
        deadlines: Vec<(UtcUs, Deadlines)>,
        pauses: Vec<Gap>,
        stop_at: RunInstant,
        shares: Vec<(RunInstant, Share)>,
    ) -> Schedule {
        assert!(deadlines.is_sorted_by(|a, b| a.0 < b.0) && !deadlines.is_empty(), "deadlines in order");
        assert!(shares.is_sorted_by(|a, b| a.0 < b.0) && !shares.is_empty(), "shares in order");
        assert!(pauses.is_sorted_by(|a, b| a.to <= b.from) && pauses.iter().all(|gap| gap.from < gap.to));
        Schedule { deadlines, pauses, stop_at, shares, joins: Vec::new(), steps: Vec::new() }
    }

    /// The same with contestants that join, one at each of these instants, in order.
    #[must_use]
    pub fn with_joins(self, joins: Vec<RunInstant>) -> Schedule {
        assert!(joins.is_sorted(), "joins in order");
        Schedule { joins, ..self }
    }

    /// The same with what was decided of steps.
    #[must_use]
    pub fn with_steps(self, steps: Vec<StepRates>) -> Schedule {
        assert!(steps.is_sorted_by(|a, b| a.step < b.step), "steps in order");
        Schedule { steps, ..self }
    }

    /// The same with one more decision, of a step behind all that were decided.
    #[must_use]
    pub fn with_step(mut self, decided: StepRates) -> Schedule {
        if self.steps.len() == STEPS_KEPT {
            self.steps.remove(0);
        }
        self.steps.push(decided);
        let steps = std::mem::take(&mut self.steps);
        self.with_steps(steps)
    }

    /// What was decided of steps, the newest.
    pub fn steps(&self) -> &[StepRates] {
        &self.steps
    }

    /// When those joined who were not there from the beginning, on the plan clock.
    pub fn joins(&self) -> Vec<PlanInstant> {
        self.joins.iter().map(|at| self.plan_clock(*at)).collect()
    }

    /// How many of a roster were there from the beginning.
    pub fn founders(&self, contestants: usize) -> usize {
        contestants.saturating_sub(self.joins.len())
    }

    /// The deadlines for a request that was sent at this instant.
    #[inline]
    pub fn deadlines(&self, sent: UtcUs) -> &Deadlines {
        // As a rule there is one entry, and when there are more the last one counts.
        let found = self.deadlines.iter().rev().find(|(from, _)| *from <= sent);
        &found.unwrap_or(&self.deadlines[0]).1
    }

    /// All deadlines with the instants from which on they count.
    pub fn all_deadlines(&self) -> &[(UtcUs, Deadlines)] {
        &self.deadlines
    }

    /// The instant of the plan for one that no pause precedes, as its start: until the first one both clocks agree.
    #[inline]
    pub fn before_pauses(at: RunInstant) -> PlanInstant {
        PlanInstant::from_ns(at.ns())
    }

    /// When an instant of the plan comes.
    ///
    /// What would fall on the first instant of a pause comes after it.
    #[inline]
    pub fn run_clock(&self, planned: PlanInstant) -> RunInstant {
        let mut at = RunInstant::from_ns(planned.ns());
        for gap in &self.pauses {
            if at < gap.from {
                break;
            }
            if gap.to == RunInstant::NEVER {
                return RunInstant::NEVER;
            }
            at = at.saturating_add(gap.to - gap.from);
        }
        if at >= self.stop_at { RunInstant::NEVER } else { at }
    }

    /// How far the plan has come by then.
    pub fn plan_clock(&self, now: RunInstant) -> PlanInstant {
        let paused: u64 = self.pauses.iter().map(|gap| gap.to.min(now).saturating_since(gap.from)).sum();
        PlanInstant::from_ns(now.ns() - paused)
    }

    /// Whether nothing falls due now.
    #[inline]
    pub fn is_paused(&self, now: RunInstant) -> bool {
        self.pauses.iter().any(|gap| gap.from <= now && now < gap.to)
    }

    #[inline]
    pub fn is_stopped(&self, now: RunInstant) -> bool {
        now >= self.stop_at
    }

    /// When something of this changes next after `now`.
    pub fn next_change(&self, now: RunInstant) -> RunInstant {
        let gaps = self.pauses.iter().flat_map(|gap| [gap.from, gap.to]);
        let shares = self.shares.iter().map(|(from, _)| *from);
        gaps.chain(shares)
            .chain(self.joins.iter().copied())
            .chain([self.stop_at])
            .filter(|at| *at > now)
            .min()
            .unwrap_or(RunInstant::NEVER)
    }

    /// Whether this says that something of the past was otherwise than `before` did: a pause or a stop of which we hear
    /// too late.
    pub fn rewrites(&self, before: &Schedule, now: RunInstant) -> bool {
        let past = |schedule: &Schedule| -> Vec<Gap> {
            schedule
                .pauses
                .iter()
                .filter(|gap| gap.from <= now)
                .map(|gap| Gap { to: gap.to.min(now), ..*gap })
                .collect()
        };
        past(self) != past(before) || self.stop_at.min(now) != before.stop_at.min(now)
    }

    /// All shares and since when each is ours, the first from the clock's beginning on. Each is another than the one before
    /// it. Of those that begin at one instant of the plan, as in a pause, the last one counts.
    pub fn shares(&self) -> Vec<(PlanInstant, Share)> {
        let mut shares: Vec<(PlanInstant, Share)> = Vec::with_capacity(self.shares.len());
        for (from, share) in self.shares.iter().map(|(from, share)| (self.plan_clock(*from), *share)) {
            shares.pop_if(|(held, _)| *held == from);
            if shares.last().is_none_or(|(_, held)| *held != share) {
                shares.push((from, share));
            }
        }
        shares
    }

    /// The share that is ours at an instant.
    pub fn share_at(&self, now: RunInstant) -> Share {
        let begun = self.shares.iter().rev().find(|(from, _)| *from <= now);
        begun.map_or(Share::NONE, |(_, share)| *share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::rules::Deadline;
    use proptest::prelude::*;

    const NEVER: u64 = u64::MAX;

    fn run(ns: u64) -> RunInstant {
        RunInstant::from_ns(ns)
    }

    fn paused(pauses: &[(u64, u64)]) -> Schedule {
        let pauses = pauses.iter().map(|(from, to)| Gap { from: run(*from), to: run(*to) }).collect();
        Schedule { pauses, ..Schedule::steady(Deadlines::default()) }
    }

    #[test]
    fn a_pause_moves_what_was_still_to_come() {
        let schedule = paused(&[(100, 150), (200, NEVER)]);
        let run_clock = |at| schedule.run_clock(PlanInstant::from_ns(at)).ns();
        assert_eq!([99, 100, 149, 150].map(run_clock), [99, 150, 199, NEVER]);
        assert_eq!([100, 120, 150, 199, 300].map(|now| schedule.plan_clock(run(now)).ns()), [100, 100, 100, 149, 150]);
        assert_eq!([99, 100, 149, 150, 200].map(|now| schedule.is_paused(run(now))), [false, true, true, false, true]);
        assert_eq!([0, 100, 150, 200].map(|now| schedule.next_change(run(now)).ns()), [100, 150, 200, NEVER]);
    }

    #[test]
    fn nothing_falls_due_from_the_stop_on() {
        let schedule = Schedule { stop_at: run(160), ..paused(&[(100, 150)]) };
        assert_eq!([99, 109, 110].map(|at| schedule.run_clock(PlanInstant::from_ns(at)).ns()), [99, 159, NEVER]);
        assert!(schedule.is_stopped(run(160)) && !schedule.is_stopped(run(159)));
    }

    #[test]
    fn only_what_is_heard_too_late_rewrites_the_past() {
        let (before, stop) = (paused(&[(100, 150)]), |at| Schedule { stop_at: run(at), ..paused(&[(100, 150)]) });
        // (what is told, when, whether it rewrites)
        let cases = [
            (paused(&[(100, 150), (200, NEVER)]), 199, false),
            (paused(&[(100, 150), (200, NEVER)]), 201, true),
            (stop(300), 299, false),
            (stop(300), 301, true),
        ];
        for (told, now, rewrites) in cases {
            assert_eq!(told.rewrites(&before, run(now)), rewrites, "{told:?} at {now}");
        }
        // The end of a lasting pause is told while it lasts.
        assert!(!paused(&[(100, 150)]).rewrites(&paused(&[(100, NEVER)]), run(140)));
    }

    #[test]
    fn of_shares_that_begin_at_one_instant_of_the_plan_the_last_counts() {
        let of = |of: u64| Share { index: 0, of };
        let shares = |shares: &[(u64, u64)], pauses: &[(u64, u64)]| {
            let shares = shares.iter().map(|(from, n)| (run(*from), of(*n))).collect();
            let schedule = Schedule { shares, ..paused(pauses) };
            schedule.shares().into_iter().map(|(from, share)| (from.ns(), share.of)).collect::<Vec<_>>()
        };
        // (shares since when, pauses, the same on the plan clock)
        type Pairs = &'static [(u64, u64)];
        let cases: [(Pairs, Pairs, Pairs); 6] = [
            (&[(0, 1)], &[], &[(0, 1)]),
            (&[(0, 3), (50, 2)], &[], &[(0, 3), (50, 2)]),
            // the one before it again is no change
            (&[(0, 3), (50, 3)], &[], &[(0, 3)]),
            // one in a pause, and one with its end
            (&[(0, 3), (120, 2), (150, 4)], &[(100, 150)], &[(0, 3), (100, 4)]),
            (&[(0, 3), (120, 2), (150, 3)], &[(100, 150)], &[(0, 3)]),
            (&[(0, 3), (170, 2)], &[(100, 150)], &[(0, 3), (120, 2)]),
        ];
        for (told, pauses, expected) in cases {
            assert_eq!(shares(told, pauses), expected, "{told:?} {pauses:?}");
        }
    }

    #[test]
    fn a_request_is_judged_by_what_counts_when_it_is_sent() {
        let at = |version| Deadlines { version: Deadline(UtcUs(version)), from: Deadline::PASSED };
        let deadlines = vec![(UtcUs::EPOCH, at(1)), (UtcUs(10), at(2)), (UtcUs(20), at(3))];
        let schedule = Schedule::new(deadlines, Vec::new(), run(99), vec![(RunInstant::START, Share::WHOLE)]);
        assert_eq!([0, 9, 10, 19, 20, 99].map(|sent| schedule.deadlines(UtcUs(sent)).version.0.0), [1, 1, 2, 2, 3, 3]);
    }

    proptest! {
        #[test]
        fn both_clocks_agree_outside_pauses(lengths in proptest::collection::vec(1u64..50, 0..8), planned in 0u64..500) {
            let (mut at, mut pauses) = (0, Vec::new());
            for pair in lengths.chunks_exact(2) {
                pauses.push((at + pair[0], at + pair[0] + pair[1]));
                at += pair[0] + pair[1];
            }
            let schedule = paused(&pauses);
            let planned = PlanInstant::from_ns(planned);
            let run = schedule.run_clock(planned);
            prop_assert!(!schedule.is_paused(run));
            prop_assert_eq!(schedule.plan_clock(run), planned);
        }
    }
}
