//! The open-loop schedule of one contestant in one worker: the intended instant of every request, computed, not stored.
//!
//! Requests of a phase are numbered from 0; number k falls due when the integral of the rate reaches k. Worker p of n
//! takes the numbers that are p modulo n, so that together they send each exactly once. What waits for a free
//! connection is the range between two cursors: a million late requests cost no memory.

use crate::plan::{Load, Phase, Ramp};
use std::sync::Arc;

/// Which part of a contestant's requests a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub index: u64,
    pub of: u64,
}

impl Part {
    /// This part's share of `total` things.
    pub fn share(self, total: u64) -> u64 {
        if self.index >= self.of { 0 } else { total / self.of + u64::from(self.index < total % self.of) }
    }
}

impl Ramp {
    /// Requests that fall due within a phase of `length` nanoseconds: the integral of the rate, exactly, rounded up
    /// because number 0 is due at the start.
    pub fn count(&self, length: u64) -> u64 {
        let doubled = (u128::from(self.from) + u128::from(self.to)) * u128::from(length);
        u64::try_from(doubled.div_ceil(2_000_000_000)).unwrap_or(u64::MAX)
    }

    /// When request `number` falls due, in nanoseconds after the phase's start.
    pub fn instant(&self, number: u64, length: u64) -> u64 {
        if self.from == self.to {
            return u64::try_from(u128::from(number) * 1_000_000_000 / u128::from(self.from.max(1)))
                .unwrap_or(u64::MAX);
        }
        // k = a t + (b - a) t^2 / 2T, solved for t in the form that does not cancel.
        let seconds = length as f64 / 1e9;
        let (from, to, number) = (self.from as f64, self.to as f64, number as f64);
        let root = (from * from + 2.0 * (to - from) * number / seconds).max(0.0).sqrt();
        let instant = if from + root > 0.0 { 2.0 * number / (from + root) } else { 0.0 };
        ((instant * 1e9) as u64).min(length.saturating_sub(1))
    }
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    phase: usize,
    number: u64,
    /// `u64::MAX` behind the last request.
    instant: u64,
}

/// The two cursors over the plan.
#[derive(Debug)]
pub struct Pacer {
    phases: Arc<[Phase]>,
    part: Vec<Part>,
    /// The oldest request that is due and has no connection.
    waiting: Cursor,
    /// The next request to fall due.
    next: Cursor,
    waiting_count: u64,
}

impl Pacer {
    /// `worker` of `workers`; a phase with fewer connections than workers uses only so many of them.
    pub fn new(phases: Arc<[Phase]>, worker: u64, workers: u64) -> Pacer {
        let part = phases.iter().map(|phase| part(phase, worker, workers)).collect();
        let start = Cursor { phase: 0, number: 0, instant: u64::MAX };
        let mut pacer = Pacer { phases, part, waiting: start, next: start, waiting_count: 0 };
        let first = pacer.enter(0);
        (pacer.waiting, pacer.next) = (first, first);
        pacer
    }

    pub fn part(&self, phase: usize) -> Part {
        self.part[phase]
    }

    /// The instant at which the next request falls due; `u64::MAX` when none will.
    #[inline]
    pub fn next_due(&self) -> u64 {
        self.next.instant
    }

    /// Requests that are due and wait for a connection.
    #[inline]
    pub fn waiting(&self) -> u64 {
        self.waiting_count
    }

    /// The intended instant of the oldest waiting request.
    pub fn oldest(&self) -> u64 {
        self.waiting.instant
    }

    /// Lets the next request fall due if its instant has come: its intended instant and whether it is scored.
    #[inline]
    pub fn fall_due(&mut self, now: u64) -> Option<(u64, bool)> {
        if self.next.instant > now {
            return None;
        }
        let due = (self.next.instant, self.phases[self.next.phase].scored);
        self.next = self.advance(self.next);
        self.waiting_count += 1;
        Some(due)
    }

    /// Takes the oldest waiting request: its intended instant and whether it is scored.
    #[inline]
    pub fn take(&mut self) -> Option<(u64, bool)> {
        if self.waiting_count == 0 {
            return None;
        }
        let taken = (self.waiting.instant, self.phases[self.waiting.phase].scored);
        self.waiting = self.advance(self.waiting);
        self.waiting_count -= 1;
        Some(taken)
    }

    /// Nothing more falls due; what waits goes on waiting.
    pub fn stop(&mut self) {
        self.next.instant = u64::MAX;
    }

    fn advance(&self, cursor: Cursor) -> Cursor {
        let number = cursor.number + self.part[cursor.phase].of;
        self.at(cursor.phase, number).unwrap_or_else(|| self.enter(cursor.phase + 1))
    }

    /// The first request of this part in `phase` or a later one.
    fn enter(&self, mut phase: usize) -> Cursor {
        while phase < self.phases.len() {
            let part = self.part[phase];
            if part.index < part.of
                && let Some(cursor) = self.at(phase, part.index)
            {
                return cursor;
            }
            phase += 1;
        }
        Cursor { phase, number: 0, instant: u64::MAX }
    }

    fn at(&self, index: usize, number: u64) -> Option<Cursor> {
        let phase = &self.phases[index];
        let Load::Open(ramp) = phase.load else { return None };
        let length = phase.end - phase.start;
        (number < ramp.count(length)).then(|| Cursor {
            phase: index,
            number,
            instant: phase.start + ramp.instant(number, length),
        })
    }
}

fn part(phase: &Phase, worker: u64, workers: u64) -> Part {
    Part { index: worker, of: workers.min(u64::from(phase.connections)).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(start: u64, length: u64, from: u64, to: u64) -> Phase {
        Phase { start, end: start + length, load: Load::Open(Ramp { from, to }), connections: 8, scored: true }
    }

    fn instants(phases: &Arc<[Phase]>, worker: u64, workers: u64) -> Vec<u64> {
        let mut pacer = Pacer::new(phases.clone(), worker, workers);
        let mut instants = Vec::new();
        while pacer.next_due() != u64::MAX {
            let now = pacer.next_due();
            while pacer.fall_due(now).is_some() {}
            while let Some((instant, _)) = pacer.take() {
                assert!(instant <= now);
                instants.push(instant);
            }
        }
        instants
    }

    #[test]
    fn a_constant_rate_is_evenly_spaced() {
        let phases: Arc<[Phase]> = Arc::new([open(5, 1_000_000_000, 4, 4)]);
        assert_eq!(instants(&phases, 0, 1), [5, 250_000_005, 500_000_005, 750_000_005]);
    }

    #[test]
    fn more_workers_than_connections_leave_some_without_work() {
        let mut phase = open(0, 1_000_000_000, 10, 10);
        phase.connections = 2;
        let phases: Arc<[Phase]> = Arc::new([phase]);
        assert_eq!(instants(&phases, 0, 3).len() + instants(&phases, 1, 3).len(), 10);
        assert!(instants(&phases, 2, 3).is_empty());
    }

    proptest! {
        #[test]
        fn due_is_the_integral_of_the_rate_and_workers_split_it(
            steps in proptest::collection::vec((1u64..3_000_000_000, 0u64..3_000, 0u64..3_000), 1..4),
            workers in 1u64..5,
        ) {
            let mut start = 7;
            let mut phases = Vec::new();
            for (length, from, to) in steps {
                phases.push(open(start, length, from, to));
                start += length;
            }
            let expected: u64 = phases.iter().map(|phase| {
                let Load::Open(ramp) = phase.load else { unreachable!() };
                // The doubled trapezoid, rounded up.
                let doubled = u128::from(ramp.from + ramp.to) * u128::from(phase.end - phase.start);
                doubled.div_ceil(2_000_000_000) as u64
            }).sum();
            let phases: Arc<[Phase]> = phases.into();
            let mut all: Vec<u64> = (0..workers).flat_map(|worker| instants(&phases, worker, workers)).collect();
            all.sort_unstable();
            prop_assert_eq!(all.len() as u64, expected);
            let alone = instants(&phases, 0, 1);
            prop_assert!(alone.is_sorted());
            prop_assert_eq!(all, alone);
        }
    }
}
