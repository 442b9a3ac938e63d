//! The open-loop schedule of one contestant in one worker: the intended instant of every request, computed, not stored.
//!
//! Requests of a phase are numbered from 0; number k falls due when the integral of the rate reaches k. Generator g of n
//! takes the numbers that are g modulo n, worker p of m of it every m-th of these, so that together they send each exactly
//! once. What waits for a free connection is the range between two cursors: a million late requests cost no memory.

use crate::engine::plan::{Load, NS_PER_SECOND, Phase, Ramp};
use crate::engine::schedule::Schedule;
use crate::engine::share::Share;
use std::sync::Arc;

/// A request that has fallen due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When the plan wants it sent, in nanoseconds of the run clock.
    pub intended: u64,
    /// Its phase counts.
    pub scored: bool,
}

impl Ramp {
    /// Requests that fall due within a phase of `length` nanoseconds: the integral of the rate, exactly, rounded up
    /// because number 0 is due at the start.
    pub fn count(&self, length: u64) -> u64 {
        let doubled = (u128::from(self.from) + u128::from(self.to)) * u128::from(length);
        u64::try_from(doubled.div_ceil(2_000_000_000)).unwrap_or(u64::MAX)
    }

    /// Requests a second at an instant after the phase's start.
    pub fn rate(&self, instant: u64, length: u64) -> u64 {
        let (from, to) = (i128::from(self.from), i128::from(self.to));
        (from + (to - from) * i128::from(instant) / i128::from(length.max(1))) as u64
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
    /// On the plan clock; `u64::MAX` behind the last request.
    planned: u64,
}

impl Cursor {
    const NOWHERE: Cursor = Cursor { phase: usize::MAX, number: 0, planned: u64::MAX };
}

/// What a worker takes of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PhaseShare {
    requests: Share,
    /// How many generators share the requests.
    generators: u64,
    connections: u32,
}

/// The two cursors over the plan.
#[derive(Debug)]
pub struct Pacer {
    phases: Arc<[Phase]>,
    schedule: Arc<Schedule>,
    /// Among the workers of this generator.
    worker: Share,
    shares: Vec<PhaseShare>,
    /// The oldest request that is due and has no connection.
    waiting: Cursor,
    /// The next request to fall due.
    next: Cursor,
    waiting_count: u64,
    stopped: bool,
}

impl Pacer {
    /// The part of `worker`; a phase with fewer connections than workers uses only so many of them.
    pub fn new(phases: Arc<[Phase]>, schedule: Arc<Schedule>, worker: Share) -> Pacer {
        let (_, share) = schedule.newest_share();
        let shares = shares(&phases, share, worker);
        let nowhere = Cursor::NOWHERE;
        let (waiting, next) = (nowhere, nowhere);
        let mut pacer = Pacer { phases, schedule, worker, shares, waiting, next, waiting_count: 0, stopped: false };
        let first = pacer.enter(0);
        (pacer.waiting, pacer.next) = (first, first);
        pacer
    }

    /// Goes on by another schedule. A new share counts from where it begins; nothing may wait then.
    pub fn follow(&mut self, schedule: Arc<Schedule>) {
        let (before, now) = (self.schedule.newest_share(), schedule.newest_share());
        self.schedule = schedule;
        if before.1 != now.1 && !self.stopped {
            assert_eq!(self.waiting_count, 0, "what waits is ours by the old share");
            self.shares = shares(&self.phases, now.1, self.worker);
            self.next = self.first_from(now.0);
            self.waiting = self.next;
        }
    }

    /// Whether [`Pacer::follow`] would change the share.
    pub fn is_new_share(&self, schedule: &Schedule) -> bool {
        self.schedule.newest_share().1 != schedule.newest_share().1
    }

    /// How many connections this worker may have in a phase.
    pub fn connections(&self, phase: usize) -> u32 {
        self.shares[phase].connections
    }

    /// The instant at which the next request falls due; `u64::MAX` when none will.
    #[inline]
    pub fn next_due(&self) -> u64 {
        if self.next.planned == u64::MAX { u64::MAX } else { self.schedule.run_clock(self.next.planned) }
    }

    /// Requests that are due and wait for a connection.
    #[inline]
    pub fn waiting(&self) -> u64 {
        self.waiting_count
    }

    /// The intended instant of the oldest waiting request.
    pub fn oldest(&self) -> u64 {
        self.schedule.run_clock(self.waiting.planned)
    }

    /// Whether the oldest waiting request is the first that this generator sends in its second of the plan: the one that a
    /// contestant gets which only gets probes. All workers agree about it, whatever each of them takes.
    pub fn is_oldest_first_of_its_second(&self) -> bool {
        let Cursor { phase, number, planned } = self.waiting;
        let before = number.checked_sub(self.shares[phase].generators).and_then(|before| self.at(phase, before));
        before.is_none_or(|before| before.planned / NS_PER_SECOND != planned / NS_PER_SECOND)
    }

    /// What the phase of the oldest waiting request asks: its connections, and the rate when it fell due, of all
    /// generators.
    pub fn oldest_demand(&self) -> (u32, u64) {
        let phase = &self.phases[self.waiting.phase];
        let rate = match phase.load {
            Load::Open(ramp) => ramp.rate(self.waiting.planned - phase.start, phase.end - phase.start),
            Load::Closed { .. } => 0,
        };
        (phase.connections, rate)
    }

    /// Whether this is the worker that a phase with few connections uses first.
    #[inline]
    pub fn is_first_worker(&self) -> bool {
        self.worker.index == 0
    }

    /// Lets the next request fall due if its instant has come.
    #[inline]
    pub fn fall_due(&mut self, now: u64) -> Option<Due> {
        let instant = self.next_due();
        if instant > now || instant == u64::MAX {
            return None;
        }
        let due = Due { intended: instant, scored: self.phases[self.next.phase].scored };
        self.next = self.advance(self.next);
        self.waiting_count += 1;
        Some(due)
    }

    /// Takes the oldest waiting request.
    #[inline]
    pub fn take(&mut self) -> Option<Due> {
        if self.waiting_count == 0 {
            return None;
        }
        let taken = Due { intended: self.oldest(), scored: self.phases[self.waiting.phase].scored };
        self.waiting = self.advance(self.waiting);
        self.waiting_count -= 1;
        Some(taken)
    }

    /// Nothing more falls due; what waits goes on waiting.
    pub fn stop(&mut self) {
        self.next = Cursor::NOWHERE;
        self.stopped = true;
    }

    fn advance(&self, cursor: Cursor) -> Cursor {
        let number = cursor.number + self.shares[cursor.phase].requests.of;
        self.at(cursor.phase, number).unwrap_or_else(|| self.enter(cursor.phase + 1))
    }

    /// The first request of this part in `phase` or a later one.
    fn enter(&self, mut phase: usize) -> Cursor {
        while phase < self.phases.len() {
            let share = self.shares[phase].requests;
            if !share.is_none()
                && let Some(cursor) = self.at(phase, share.index)
            {
                return cursor;
            }
            phase += 1;
        }
        Cursor::NOWHERE
    }

    /// The first request of this part that is planned at `planned` or later.
    fn first_from(&self, planned: u64) -> Cursor {
        let Some(phase) = self.phases.iter().position(|phase| planned < phase.end) else { return Cursor::NOWHERE };
        let share = self.shares[phase].requests;
        let Load::Open(ramp) = self.phases[phase].load else { return self.enter(phase) };
        if share.is_none() {
            return self.enter(phase + 1);
        }
        // By halves: instants rise with their numbers.
        let begin = self.phases[phase].start;
        let length = self.phases[phase].end - begin;
        let (mut low, mut high) = (0, ramp.count(length));
        while low < high {
            let middle = low + (high - low) / 2;
            if begin + ramp.instant(middle, length) < planned { low = middle + 1 } else { high = middle }
        }
        let number = low + (share.index + share.of - low % share.of) % share.of;
        self.at(phase, number).unwrap_or_else(|| self.enter(phase + 1))
    }

    fn at(&self, index: usize, number: u64) -> Option<Cursor> {
        let phase = &self.phases[index];
        let Load::Open(ramp) = phase.load else { return None };
        let length = phase.end - phase.start;
        (number < ramp.count(length)).then(|| Cursor {
            phase: index,
            number,
            planned: phase.start + ramp.instant(number, length),
        })
    }
}

fn shares(phases: &[Phase], share: Share, worker: Share) -> Vec<PhaseShare> {
    phases.iter().map(|phase| phase_share(phase, share, worker)).collect()
}

/// Connections are split first among the generators, then among the workers of each; who gets none sends nothing.
fn phase_share(phase: &Phase, share: Share, worker: Share) -> PhaseShare {
    const NOTHING: PhaseShare = PhaseShare { requests: Share::NONE, generators: 1, connections: 0 };
    let generators = Share { index: share.index, of: share.of.min(u64::from(phase.connections)).max(1) };
    if generators.index >= generators.of {
        return NOTHING;
    }
    let connections = generators.take(u64::from(phase.connections));
    let workers = Share { index: worker.index, of: worker.of.min(connections).max(1) };
    if workers.index >= workers.of {
        return NOTHING;
    }
    let requests = Share { index: generators.index + generators.of * workers.index, of: generators.of * workers.of };
    PhaseShare { requests, generators: generators.of, connections: workers.take(connections) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::schedule::Gap;
    use flowtest_contract::rules::Deadlines;
    use proptest::prelude::*;

    fn open(start: u64, length: u64, from: u64, to: u64) -> Phase {
        Phase { start, end: start + length, load: Load::Open(Ramp { from, to }), connections: 8, scored: true }
    }

    fn schedule(shares: Vec<(u64, Share)>, pauses: Vec<Gap>) -> Arc<Schedule> {
        Arc::new(Schedule::new(vec![(0, Deadlines::default())], pauses, u64::MAX, shares))
    }

    fn instants(phases: &Arc<[Phase]>, worker: u64, workers: u64) -> Vec<u64> {
        let schedule = schedule(vec![(0, Share::WHOLE)], Vec::new());
        all_of(Pacer::new(phases.clone(), schedule, Share { index: worker, of: workers }))
    }

    /// Everything that falls due as far as it is known.
    fn all_of(mut pacer: Pacer) -> Vec<u64> {
        due_of(&mut pacer)
    }

    fn due_of(pacer: &mut Pacer) -> Vec<u64> {
        let mut instants = Vec::new();
        while pacer.next_due() != u64::MAX {
            let now = pacer.next_due();
            while pacer.fall_due(now).is_some() {}
            while let Some(due) = pacer.take() {
                assert!(due.intended <= now);
                instants.push(due.intended);
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

        #[test]
        fn generators_split_it_and_a_pause_with_another_split_loses_and_doubles_nothing(
            steps in proptest::collection::vec((1u64..3_000_000_000, 0u64..2_000, 0u64..2_000, 1u32..9), 1..4),
            before in 1u64..4,
            after in 1u64..4,
            workers in 1u64..3,
            at in 0u64..4_000_000_000,
            length in 1u64..2_000_000_000,
        ) {
            let mut start = 7;
            let mut phases = Vec::new();
            for (length, from, to, connections) in steps {
                phases.push(Phase { connections, ..open(start, length, from, to) });
                start += length;
            }
            let phases: Arc<[Phase]> = phases.into();
            let (from, to) = (7 + at, 7 + at + length);
            let share = |index: u64, of: u64| if index < of { Share { index, of } } else { Share::NONE };
            let mut all = Vec::new();
            for generator in 0..before.max(after) {
                for worker in 0..workers {
                    let part = Share { index: worker, of: workers };
                    let first = schedule(vec![(0, share(generator, before))], vec![Gap { from, to: u64::MAX }]);
                    let mut pacer = Pacer::new(phases.clone(), first, part);
                    let mine = due_of(&mut pacer);
                    prop_assert!(mine.iter().all(|instant| *instant < from));
                    all.extend(mine);
                    let shares = vec![(0, share(generator, before)), (to, share(generator, after))];
                    pacer.follow(schedule(shares, vec![Gap { from, to }]));
                    let mine = due_of(&mut pacer);
                    prop_assert!(mine.iter().all(|instant| *instant >= to));
                    all.extend(mine);
                }
            }
            all.sort_unstable();
            let whole = schedule(vec![(0, Share::WHOLE)], vec![Gap { from, to }]);
            prop_assert_eq!(all, all_of(Pacer::new(phases, whole, Share { index: 0, of: 1 })));
        }
    }
}
