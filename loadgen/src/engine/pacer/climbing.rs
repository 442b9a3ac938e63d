//! Who is next where each contestant has a rate of its own: the next request of each, in order of their instants. It costs the
//! logarithm of the roster for a request, and no allocation once everybody has joined.

use crate::engine::clock::PlanInstant;
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::pacer::{Planned, Takes};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The steps of a worker, as far as they are known.
#[derive(Debug)]
pub(super) struct Climbing {
    /// Of each contestant that has one.
    next: BinaryHeap<Reverse<InOrder>>,
}

/// A request by its instant, then by its contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InOrder(Planned);

impl Ord for InOrder {
    fn cmp(&self, other: &InOrder) -> std::cmp::Ordering {
        let order = |one: &InOrder| (one.0.at, one.0.contestant);
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for InOrder {
    fn partial_cmp(&self, other: &InOrder) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Climbing {
    pub(super) fn new(takes: &Takes) -> Climbing {
        let mut climbing = Climbing { next: BinaryHeap::new() };
        climbing.refill(takes, |_| PlanInstant::START);
        climbing
    }

    /// When the next one is planned; [`PlanInstant::NEVER`]: there is none.
    #[inline]
    pub(super) fn next_at(&self) -> PlanInstant {
        self.next.peek().map_or(PlanInstant::NEVER, |Reverse(next)| next.0.at)
    }

    /// The next one falls due.
    ///
    /// # Panics
    /// Where there is none.
    pub(super) fn fall_due(&mut self, takes: &Takes) -> Planned {
        let Reverse(InOrder(fallen)) = self.next.pop().expect("one is next");
        if let Some(next) = takes.climb_after(fallen) {
            self.next.push(Reverse(InOrder(next)));
        }
        fallen
    }

    /// All that is planned from `from` on is otherwise now. What has fallen due stays so.
    pub(super) fn follow(&mut self, takes: &Takes, from: PlanInstant, fallen: Option<Planned>) {
        let from = fallen.filter(|fallen| fallen.at >= from).map_or(from, |fallen| fallen.at + 1);
        self.next.retain(|Reverse(InOrder(next))| next.at < from);
        let mut is_kept = vec![false; takes.contestants() as usize];
        self.next.iter().for_each(|Reverse(InOrder(next))| is_kept[next.contestant.index()] = true);
        self.refill(takes, |contestant| if is_kept[contestant.index()] { PlanInstant::NEVER } else { from });
    }

    /// Nothing more falls due.
    pub(super) fn clear(&mut self) {
        self.next.clear();
    }

    /// The next of each contestant from an instant of its own on.
    fn refill(&mut self, takes: &Takes, from: impl Fn(ContestantIndex) -> PlanInstant) {
        if !takes.has_steps() {
            return;
        }
        let contestants = ContestantIndex::all().take(takes.contestants() as usize);
        let upcoming = contestants.filter_map(|index| takes.climb_from(index, from(index)));
        self.next.extend(upcoming.map(|next| Reverse(InOrder(next))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::backlog::Backlog;
    use crate::engine::clock::RunInstant;
    use crate::engine::pacer::Pacer;
    use crate::engine::plan::{Load, NS_PER_SECOND, Phase, Ramp};
    use crate::engine::schedule::{Schedule, Step, StepRate, StepRates};
    use crate::engine::share::Share;
    use flowtest_contest::breakpoint::Breakpoint;
    use flowtest_contest::ladder::{self, LadderTerms, Pass};
    use flowtest_contract::rules::{Deadlines, UtcUs};
    use proptest::prelude::*;
    use std::sync::Arc;

    const SECOND: u64 = NS_PER_SECOND;
    const START: u64 = 70;

    /// A second at one rate for all, steps of a second, and a second at one rate again.
    fn phases(steps: u32) -> Arc<[Phase]> {
        let pass = Pass { verified: 0.995, p99_us: 50_000 };
        let ladder = LadderTerms { start: START, step: ladder::Step::Plus(1), max: 10_000, pass };
        let terms = Breakpoint { ladder, hold_us: 2_000_000, fleet_max: None };
        let step = |number| Load::Step(Step { number, first: 0, is_judged: true, terms });
        let loads = [open(30)].into_iter().chain((0..steps).map(step)).chain([open(50)]);
        let phase = |(second, load): (u64, Load)| {
            let start = PlanInstant::from_ns(7 + second * SECOND);
            Phase { start, end: start + SECOND, load, connections: 64, scored: true }
        };
        (0..).zip(loads).map(phase).collect()
    }

    fn open(rate: u64) -> Load {
        Load::Open(Ramp::per_second(rate, rate))
    }

    fn schedule(shares: &[(RunInstant, Share)], steps: &[StepRates]) -> Arc<Schedule> {
        let deadlines = vec![(UtcUs::EPOCH, Deadlines::default())];
        let schedule = Schedule::new(deadlines, Vec::new(), RunInstant::NEVER, shares.to_vec());
        Arc::new(steps.iter().cloned().fold(schedule, Schedule::with_step))
    }

    /// What each contestant gets in each phase, when only so much was decided.
    fn rates(decided: &[StepRates], steps: u32, contestant: usize) -> Vec<u64> {
        let rate = |step: u32| {
            let last = decided.iter().rev().find(|one| one.step <= step);
            let told = last.map(|one| (one.step, one.rates[contestant]));
            told.map_or(START, |(number, told)| if number == step { told.rate } else { told.rest })
        };
        [30].into_iter().chain((0..steps).map(rate)).chain([50]).collect()
    }

    proptest! {
        /// Decisions are told some time before their steps, or never; shares change; and each generator has some workers.
        #[test]
        fn each_is_offered_the_integral_of_its_own_rate_and_parts_lose_and_double_nothing(
            contestants in 1usize..5, workers in 1u64..4, first in 1u64..4, then in 1u64..4, split_at in 1u64..5 * SECOND,
            told in proptest::collection::vec(
                proptest::option::of((proptest::collection::vec((0u64..900, 1u64..900), 5), 1u64..SECOND)), 3,
            ),
        ) {
            let steps = told.len() as u32 + 1;
            let phases = phases(steps);
            let decisions: Vec<(StepRates, u64)> = (1u32..).zip(&told).filter_map(|(step, told)| {
                let (rates, notice) = told.as_ref()?;
                let rates = rates.iter().map(|(rate, rest)| StepRate { rate: *rate, rest: *rest }).take(contestants);
                Some((StepRates { step, rates: rates.collect() }, *notice))
            }).collect();
            let decided: Vec<StepRates> = decisions.iter().map(|(decided, _)| decided.clone()).collect();
            let share = |index: u64, of: u64| if index < of { Share { index, of } } else { Share::NONE };
            let mut all: Vec<Planned> = Vec::new();
            for (generator, index) in (0..4).flat_map(|generator| (0..workers).map(move |index| (generator, index))) {
                let split = (RunInstant::from_ns(split_at), share(generator, then));
                let shares = [(RunInstant::START, share(generator, first)), split];
                let before = schedule(&shares, &[]);
                let takes = Takes::new(phases.clone(), contestants, contestants, Share { index, of: workers }, &before);
                let mut pacer = Pacer::new(takes, before);
                let mut backlogs = vec![Backlog::EMPTY; contestants];
                let mut mine: Vec<Planned> = Vec::new();
                let mut fall = |pacer: &mut Pacer, until: RunInstant| {
                    while let Some((planned, due)) = pacer.fall_due(until) {
                        assert_eq!(due.intended.ns(), planned.at.ns(), "nothing pauses here");
                        mine.push(planned);
                        backlogs[planned.contestant.index()].push(planned);
                    }
                };
                for (count, (one, notice)) in decisions.iter().enumerate() {
                    let begins = 7 + u64::from(one.step + 1) * SECOND;
                    fall(&mut pacer, RunInstant::from_ns(begins - notice));
                    let schedule = schedule(&shares, &decided[..=count]);
                    prop_assert!(!pacer.is_late_for(&schedule));
                    pacer.follow(schedule);
                }
                fall(&mut pacer, RunInstant::from_ns(u64::MAX - 1));
                prop_assert!(mine.is_sorted_by_key(|planned| planned.at));
                // What waited from the start on is all that fell due here.
                let schedule = schedule(&shares, &decided);
                for (contestant, backlog) in backlogs.iter_mut().enumerate() {
                    let own = mine.iter().filter(|planned| planned.contestant.index() == contestant);
                    let taken = std::iter::from_fn(|| backlog.take(pacer.takes(), &schedule)).map(|due| due.intended.ns());
                    prop_assert!(own.map(|planned| planned.at.ns()).eq(taken));
                }
                all.append(&mut mine);
            }
            let order = |planned: &Planned| (planned.contestant, planned.phase, planned.number);
            all.sort_unstable_by_key(order);
            prop_assert!(all.windows(2).all(|two| order(&two[0]) != order(&two[1])), "nothing is sent twice");
            for contestant in 0..contestants {
                for (phase, rate) in rates(&decided, steps, contestant).into_iter().enumerate() {
                    let of = |planned: &&Planned| planned.contestant.index() == contestant && planned.phase == phase;
                    let due: Vec<u64> = all.iter().filter(of).map(|planned| planned.at.ns()).collect();
                    prop_assert_eq!(due.len() as u64, rate, "contestant {} in phase {}", contestant, phase);
                    // At the pace of its rate, from one request to the next.
                    let interval = SECOND / rate.max(1);
                    let paces = due.windows(2).map(|two| two[1].abs_diff(two[0] + interval));
                    prop_assert!(paces.max().unwrap_or(0) <= interval, "the spread moves it by its place, and no more");
                }
            }
        }
    }

    #[test]
    fn a_decision_that_is_told_too_late_is_seen_to_be() {
        let phases = phases(2);
        let shares = [(RunInstant::START, Share::WHOLE)];
        let before = schedule(&shares, &[]);
        let takes = Takes::new(phases, 1, 1, Share::WHOLE, &before);
        assert!(takes.has_steps());
        let mut pacer = Pacer::new(takes, before);
        let told = [StepRates { step: 1, rates: [StepRate { rate: 200, rest: 70 }].into() }];
        while pacer.fall_due(RunInstant::from_ns(7 + 2 * SECOND + SECOND / 2)).is_some() {}
        assert!(pacer.is_late_for(&schedule(&shares, &told)));
        pacer.follow(schedule(&shares, &told));
        let rest = std::iter::from_fn(|| pacer.fall_due(RunInstant::from_ns(7 + 3 * SECOND - 1)));
        // The one in the very middle was sent already.
        assert_eq!(rest.count(), 99, "half of a second is left, at the new rate");
    }
}
