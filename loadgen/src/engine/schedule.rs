//! What may change while a round is played: pauses, the end, deadlines, and which requests are ours. Pure.
//!
//! A plan's phases are written on the *plan clock*, which stands still in pauses; everything else happens on the run
//! clock. Both count nanoseconds from the same instant, and agree until the first pause.

use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::share::Share;
use flowtest_contract::rules::{Deadlines, UtcUs};

/// Nothing falls due from `from` on until `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: RunInstant,
    /// [`RunInstant::NEVER`] while nobody knows.
    pub to: RunInstant,
}

/// The schedule of a round as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The deadlines by which requests that are sent from an instant on are judged. In control, the first from 0 on.
    deadlines: Vec<(UtcUs, Deadlines)>,
    /// In control, none within another.
    pauses: Vec<Gap>,
    /// Nothing falls due from here on.
    stop_at: RunInstant,
    /// Since when which share is ours. In order, the first from the clock's beginning on.
    shares: Vec<(RunInstant, Share)>,
}

impl Schedule {
    /// A run that nobody changes.
    pub fn steady(deadlines: Deadlines) -> Schedule {
        Schedule {
            deadlines: vec![(0, deadlines)],
            pauses: Vec::new(),
            stop_at: RunInstant::NEVER,
            shares: vec![(RunInstant::START, Share::WHOLE)],
        }
    }

    /// The schedule of a round on a clock. What comes first counts from the beginning of time.
    pub fn new(
        deadlines: Vec<(UtcUs, Deadlines)>,
        pauses: Vec<Gap>,
        stop_at: RunInstant,
        shares: Vec<(RunInstant, Share)>,
    ) -> Schedule {
        assert!(deadlines.is_sorted_by(|a, b| a.0 < b.0) && !deadlines.is_empty(), "deadlines in control");
        assert!(shares.is_sorted_by(|a, b| a.0 < b.0) && !shares.is_empty(), "shares in control");
        assert!(pauses.is_sorted_by(|a, b| a.to <= b.from) && pauses.iter().all(|gap| gap.from < gap.to));
        Schedule { deadlines, pauses, stop_at, shares }
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
        gaps.chain(shares).chain([self.stop_at]).filter(|at| *at > now).min().unwrap_or(RunInstant::NEVER)
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
        let at = |version| Deadlines { version: Deadline(version), from: Deadline::PASSED };
        let deadlines = vec![(0, at(1)), (10, at(2)), (20, at(3))];
        let schedule = Schedule::new(deadlines, Vec::new(), run(99), vec![(RunInstant::START, Share::WHOLE)]);
        assert_eq!([0, 9, 10, 19, 20, 99].map(|sent| schedule.deadlines(sent).version.0), [1, 1, 2, 2, 3, 3]);
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
