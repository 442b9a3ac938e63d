//! The open-loop schedule of a worker: the intended instant of every request, computed, not stored.
//!
//! Contestants are spread evenly inside each request's interval, so that no burst of ours stands in anybody's latency and
//! no place in the roster comes first. With *r(t)* the rate of one contestant, *n* the length of the roster, *k* the number of
//! a request, counted from 0 in each phase, and *p* its contestant's place in this interval ([`Spread`]; from 0 to n - 1, and
//! everybody is in each of them in turn), request *k* falls due at the instant *t* at which
//!
//! ```text
//!     ∫ r dt  =  k + p/n                     from the phase's start to t
//!
//!     p = 0   |k=0         |1           |2           |3
//!     p = 1   |   |k=0         |1           |2           |3
//!     p = 2   |       |k=0         |1           |2           |3        n = 3
//!             +------------+------------+------------+-------> t
//! ```
//!
//! All are offered the same number: the integral over the phase, rounded up; what the spread would carry over the phase's
//! end falls due at its last nanosecond. Generator g of G takes the numbers that are g modulo G, worker w of W of a
//! contestant's every W-th of these, so that together they send each exactly once. The split may change at an instant of the
//! plan: a request is its who has it by the split of its own instant.
//!
//! **Who joins** while the round is played has had its place from the beginning: *n* counts the places of those who may still
//! come, too, so that nobody else's request moves by a nanosecond. What is planned before it joined is nobody's; from then on it
//! is offered the rest of the integral exactly.
//!
//! All contestants have the same rate, so requests in order of their instants are those of number 0 by place, those of number
//! 1 by place, ..: the next one is reckoned from the last one, whatever n is. In the steps of a breakpoint phase each has a rate
//! of its own; there the next request of each is kept in order (`climbing`).

mod climbing;

use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{Load, NS_PER_SECOND, Phase, Ramp};
use crate::engine::schedule::{Schedule, StepRates, step_rate};
use crate::engine::share::Share;
use crate::engine::split::{PhaseShare, Split};
use crate::engine::spread::{Class, Spread};
use climbing::Climbing;
use std::sync::Arc;

/// A request that has fallen due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When the plan wants it sent.
    pub intended: RunInstant,
    /// Its phase counts.
    pub scored: bool,
}

/// Where in its interval a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub index: u64,
    pub of: u64,
}

impl Ramp {
    /// Requests that fall due within a phase of `length` nanoseconds: the integral of the rate, exactly, rounded up
    /// because number 0 is due at the start.
    pub fn count(&self, length: u64) -> u64 {
        let doubled = (u128::from(self.from) + u128::from(self.to)) * u128::from(length);
        u64::try_from(doubled.div_ceil(2_000_000_000 * u128::from(self.seconds))).unwrap_or(u64::MAX)
    }

    /// Requests a second at an instant after the phase's start.
    pub fn rate(&self, instant: u64, length: u64) -> u64 {
        let (from, to) = (i128::from(self.from), i128::from(self.to));
        let rate = from + (to - from) * i128::from(instant) / i128::from(length.max(1));
        rate as u64 / self.seconds
    }

    /// When request `number` in this place falls due, in nanoseconds after the phase's start.
    pub fn instant(&self, number: u64, place: Place, length: u64) -> u64 {
        let last = length.saturating_sub(1);
        if self.from == self.to {
            // (k + p/n) / r, of whole numbers, with r requests in s seconds: (k n + p) s / (r n).
            let (whole, rate) = (number * place.of + place.index, self.from.max(1) * place.of);
            let unit = NS_PER_SECOND * self.seconds;
            let instant = match whole.checked_mul(unit) {
                Some(scaled) => scaled / rate,
                None => u64::try_from(u128::from(whole) * u128::from(unit) / u128::from(rate)).unwrap_or(last),
            };
            return instant.min(last);
        }
        // x = a t + (b - a) t^2 / 2T, solved for t in the form that does not cancel.
        let seconds = length as f64 / 1e9;
        let [from, to] = self.ends();
        let number = number as f64 + place.index as f64 / place.of as f64;
        let root = (from * from + 2.0 * (to - from) * number / seconds).max(0.0).sqrt();
        let instant = if from + root > 0.0 { 2.0 * number / (from + root) } else { 0.0 };
        ((instant * 1e9) as u64).min(last)
    }
}

/// One request of the plan, and when it falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub contestant: ContestantIndex,
    pub phase: usize,
    pub number: u64,
    /// [`PlanInstant::NEVER`] behind the last request.
    pub at: PlanInstant,
}

impl Planned {
    const NOTHING: Planned =
        Planned { contestant: ContestantIndex::FIRST, phase: usize::MAX, number: 0, at: PlanInstant::NEVER };
}

/// What a worker takes of a plan's phases: the arithmetic of the schedule.
#[derive(Clone, Debug)]
pub struct Takes {
    phases: Arc<[Phase]>,
    /// Places in an interval: of the contestants that there are, and of those who may join.
    places: u64,
    spread: Spread,
    /// Who was there from the beginning.
    founders: u64,
    /// Among the workers of this generator.
    worker: Share,
    /// In order, the first from the beginning on.
    splits: Vec<SplitSince>,
    /// What was decided of steps.
    steps: Vec<StepRates>,
}

/// How the phases are split from an instant of the plan on, and among how many contestants.
#[derive(Clone, Debug)]
struct SplitSince {
    from: PlanInstant,
    generator: Share,
    /// How many of the roster have joined by then, or with it.
    contestants: u64,
    /// By phase; none where nothing is ours.
    phases: Vec<Option<Split>>,
}

impl Takes {
    /// `places`: of the contestants and of those who may join. `contestants`: all that are known, those who join later among
    /// them. `worker`: of the generator, before it is rotated by where the contestants are shuffled to.
    pub fn new(phases: Arc<[Phase]>, places: usize, contestants: usize, worker: Share, schedule: &Schedule) -> Takes {
        let (places, founders) = (places as u64, schedule.founders(contestants) as u64);
        let spread = Spread::new(places);
        let steps = schedule.steps().to_vec();
        let mut takes = Takes { phases, places, spread, founders, worker, splits: Vec::new(), steps };
        takes.splits = takes.splits_of(schedule);
        takes
    }

    /// One for each share of ours and each join, as the schedule says them.
    fn splits_of(&self, schedule: &Schedule) -> Vec<SplitSince> {
        let (shares, joins) = (schedule.shares(), schedule.joins());
        assert!(
            shares.first().is_some_and(|(from, _)| *from == PlanInstant::START),
            "some share counts from the start on"
        );
        let mut instants: Vec<PlanInstant> =
            shares.iter().map(|(from, _)| *from).chain(joins.iter().copied()).collect();
        instants.sort_unstable();
        instants.dedup();
        let split_since = |from: PlanInstant| {
            let held = shares.partition_point(|(since, _)| *since <= from) - 1;
            let generator = shares[held].1;
            let contestants = self.founders + joins.partition_point(|at| *at <= from) as u64;
            let split = |phase| Split::of(phase, generator, self.worker.of).filter(|_| contestants > 0);
            SplitSince { from, generator, contestants, phases: self.phases.iter().map(split).collect() }
        };
        instants.into_iter().map(split_since).collect()
    }

    /// From where on these splits are others. `None`: nowhere.
    fn differs_from(&self, splits: &[SplitSince]) -> Option<PlanInstant> {
        let said = |split: &SplitSince| (split.from, split.generator, split.contestants);
        let same = self.splits.iter().zip(splits).take_while(|(held, told)| said(held) == said(told)).count();
        let [held, told] = [&self.splits[..], splits].map(|splits| splits.get(same).map(|split| split.from));
        held.into_iter().chain(told).min()
    }

    /// From where on the rates of steps are others. `None`: nowhere.
    fn rates_differ_from(&self, steps: &[StepRates]) -> Option<PlanInstant> {
        let fresh = steps.iter().filter(|told| !self.steps.contains(told)).map(|told| told.step).min()?;
        let is_fresh = |phase: &&Phase| matches!(phase.load, Load::Step(step) if step.number >= fresh);
        self.phases.iter().find(is_fresh).map(|phase| phase.start)
    }

    /// From where on a schedule says otherwise. `None`: nowhere.
    fn changes_from(&self, splits: &[SplitSince], schedule: &Schedule) -> Option<PlanInstant> {
        self.differs_from(splits).into_iter().chain(self.rates_differ_from(schedule.steps())).min()
    }

    /// The rate of one contestant over a phase; `None` where none falls due by the clock.
    #[inline]
    pub fn ramp(&self, phase: usize, contestant: ContestantIndex) -> Option<Ramp> {
        match self.phases[phase].load {
            Load::Open(ramp) => Some(ramp),
            Load::Step(step) => {
                let rate = step_rate(&self.steps, &step, contestant);
                (rate > 0).then_some(Ramp::per_second(rate, rate))
            }
            Load::Closed { .. } => None,
        }
    }

    /// Whether everybody has a rate of its own in a phase.
    #[inline]
    fn is_step(&self, phase: usize) -> bool {
        matches!(self.phases[phase].load, Load::Step(_))
    }

    /// Whether there is any such phase.
    pub fn has_steps(&self) -> bool {
        (0..self.phases.len()).any(|phase| self.is_step(phase))
    }

    /// Contestants that play, as far as is known.
    pub fn contestants(&self) -> u64 {
        self.splits.last().map_or(0, |split| split.contestants)
    }

    /// The first request of a contestant that this worker sends in a step, at an instant of the plan or later.
    pub fn climb_from(&self, contestant: ContestantIndex, mut planned: PlanInstant) -> Option<Planned> {
        loop {
            let is_ahead = |phase: &&Phase| planned < phase.end && matches!(phase.load, Load::Step(_));
            planned = planned.max(self.phases.iter().find(is_ahead)?.start);
            let split = self.split_index(planned);
            let first = self.first_of_split(split, contestant, planned);
            let request = self.up_to_next_split(split, contestant, first)?;
            if self.is_step(request.phase) {
                return Some(request);
            }
            planned = request.at;
        }
    }

    /// The next request of the same contestant that this worker sends in a step.
    pub fn climb_after(&self, request: Planned) -> Option<Planned> {
        let next = self.next(request)?;
        if self.is_step(next.phase) { Some(next) } else { self.climb_from(next.contestant, next.at) }
    }

    /// The split that counts at an instant of the plan.
    #[inline]
    fn split_index(&self, at: PlanInstant) -> usize {
        self.splits.partition_point(|split| split.from <= at) - 1
    }

    /// Since when the split counts that counts at an instant of the plan.
    #[inline]
    pub fn split_since(&self, at: PlanInstant) -> PlanInstant {
        self.splits[self.split_index(at)].from
    }

    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// What the worker takes of one contestant's requests in a phase, by the split of an instant of the plan.
    pub fn of(&self, phase: usize, contestant: ContestantIndex, at: PlanInstant) -> PhaseShare {
        self.of_split(self.split_index(at), phase, contestant)
    }

    fn of_split(&self, split: usize, phase: usize, contestant: ContestantIndex) -> PhaseShare {
        let index = (self.worker.index + self.spread.shuffled(contestant)) % self.worker.of;
        let held = self.splits[split].phases[phase].filter(|_| self.has(split, contestant));
        let share = held.map_or(PhaseShare::NOTHING, |split| split.worker(index));
        match (held, self.phases[phase].load) {
            // In a step connections follow the rate.
            (Some(split), Load::Step(step)) => {
                let rate = step_rate(&self.steps, &step, contestant);
                let wanted = step.terms.connections(rate, self.phases[phase].connections);
                PhaseShare {
                    connections: share.connections.min(u64::from(wanted).div_ceil(split.step()) as u32),
                    ..share
                }
            }
            _ => share,
        }
    }

    /// Whether a contestant has joined by a split.
    fn has(&self, split: usize, contestant: ContestantIndex) -> bool {
        (contestant.index() as u64) < self.splits[split].contestants
    }

    /// The request of the same contestant that this generator sends before this one by the same split.
    pub fn before(&self, request: Planned) -> Option<Planned> {
        let Planned { contestant, phase, number, .. } = request;
        let since = &self.splits[self.split_index(request.at)];
        let before = self.at(phase, contestant, number.checked_sub(since.phases[phase]?.generator.of)?)?;
        (before.at >= since.from).then_some(before)
    }

    /// The next request of the same contestant that this worker sends.
    pub fn next(&self, request: Planned) -> Option<Planned> {
        let split = self.split_index(request.at);
        self.up_to_next_split(split, request.contestant, self.next_of_split(split, request))
    }

    fn next_of_split(&self, split: usize, request: Planned) -> Option<Planned> {
        let Planned { contestant, phase, number, .. } = request;
        self.at(phase, contestant, number + self.splits[split].phases[phase]?.step()).or_else(|| {
            (phase + 1..self.phases.len()).find_map(|phase| {
                let share = self.of_split(split, phase, contestant).requests;
                if share.is_none() { None } else { self.at(phase, contestant, share.index) }
            })
        })
    }

    /// A contestant's request if the next split has not begun by then; otherwise the first one that this worker sends by that.
    fn up_to_next_split(&self, split: usize, contestant: ContestantIndex, request: Option<Planned>) -> Option<Planned> {
        match self.splits.get(split + 1) {
            Some(following) if request.is_none_or(|request| request.at >= following.from) => {
                let first = self.first_of_split(split + 1, contestant, following.from);
                self.up_to_next_split(split + 1, contestant, first)
            }
            _ => request,
        }
    }

    /// The first request of a contestant at an instant of the plan or later, as if this split never ended.
    fn first_of_split(&self, split: usize, contestant: ContestantIndex, planned: PlanInstant) -> Option<Planned> {
        let first = self.phases.iter().position(|phase| planned < phase.end)?;
        (first..self.phases.len()).find_map(|phase| {
            let share = self.of_split(split, phase, contestant).requests;
            let Phase { start, end, .. } = self.phases[phase];
            let ramp = self.ramp(phase, contestant)?;
            let number = |step: u64| share.index + share.of * step;
            let (mut low, mut high) = (0, share.take(ramp.count(end - start)));
            while low < high {
                let middle = low + (high - low) / 2;
                let is_before = self.at(phase, contestant, number(middle)).is_some_and(|request| request.at < planned);
                if is_before { low = middle + 1 } else { high = middle }
            }
            if share.is_none() { None } else { self.at(phase, contestant, number(low)) }
        })
    }

    /// A request by its number; `None` behind the phase's last one, or when its load is not open.
    pub fn at(&self, phase: usize, contestant: ContestantIndex, number: u64) -> Option<Planned> {
        let Phase { start, end, .. } = self.phases[phase];
        let ramp = self.ramp(phase, contestant)?;
        let place = Place { index: self.spread.place(contestant, number), of: self.places };
        let length = end - start;
        let at = start + ramp.instant(number, place, length);
        (number < ramp.count(length)).then_some(Planned { contestant, phase, number, at })
    }

    /// The next one of this part.
    fn after(&self, last: Planned) -> Planned {
        let split = self.split_index(last.at);
        self.within(split, self.after_by(split, last))
    }

    /// The first request of this part that is planned at `planned` or later.
    fn first_from(&self, planned: PlanInstant) -> Planned {
        let split = self.split_index(planned);
        self.within(split, self.first_from_by(split, planned))
    }

    /// The request if the next split has not begun by then; otherwise the first one by that.
    #[inline]
    fn within(&self, split: usize, request: Planned) -> Planned {
        match self.splits.get(split + 1) {
            Some(following) if request.at >= following.from => self.first_from(following.from),
            _ => request,
        }
    }

    /// The first request in `phase` or a later one, as if this split counted from the start on and never ended.
    fn first_by(&self, split: usize, mut phase: usize) -> Planned {
        while phase < self.phases.len() {
            if !self.is_step(phase)
                && let Some(planned) = self.first_of_round(split, phase, 0)
            {
                return planned;
            }
            phase += 1;
        }
        Planned::NOTHING
    }

    fn after_by(&self, split: usize, last: Planned) -> Planned {
        let first_of_next = || self.first_by(split, last.phase + 1);
        let Some(Split { generator, .. }) = self.splits[split].phases[last.phase] else { return first_of_next() };
        let round = (last.number - generator.index) / generator.of;
        self.first_from_place(split, last.phase, round, self.place(last) + 1).unwrap_or_else(first_of_next)
    }

    fn first_from_by(&self, split: usize, planned: PlanInstant) -> Planned {
        let Some(phase) = self.phases.iter().position(|phase| planned < phase.end) else { return Planned::NOTHING };
        let Phase { start, end, load, .. } = self.phases[phase];
        let Load::Open(ramp) = load else { return self.first_by(split, phase) };
        let Some(held) = self.splits[split].phases[phase] else { return self.first_by(split, phase + 1) };
        // By halves: instants rise from request to request of the merged schedule.
        let (mut low, mut high) = (0, u128::from(ramp.count(end - start)) * u128::from(self.places));
        while low < high {
            let middle = low + (high - low) / 2;
            let (number, place) = self.merged(middle);
            let is_before = self.in_place(phase, number, place).is_some_and(|request| request.at < planned);
            if is_before { low = middle + 1 } else { high = middle }
        }
        let (number, place) = self.merged(low);
        let found = match number.checked_sub(held.generator.index) {
            Some(after) if after % held.generator.of == 0 => {
                self.first_from_place(split, phase, after / held.generator.of, place)
            }
            Some(after) => self.first_of_round(split, phase, after / held.generator.of + 1),
            None => self.first_of_round(split, phase, 0),
        };
        found.unwrap_or_else(|| self.first_by(split, phase + 1))
    }

    /// The number of a request in the merged schedule, and the place that it has there.
    fn merged(&self, at: u128) -> (u64, u64) {
        let of = u128::from(self.places);
        ((at / of) as u64, (at % of) as u64)
    }

    /// The request of whoever has this place.
    fn in_place(&self, phase: usize, number: u64, place: u64) -> Option<Planned> {
        let contestant = self.spread.first_from(number, place, Class { residue: 0, of: 1 })?;
        self.at(phase, contestant, number)
    }

    /// Where in its interval a request stands.
    fn place(&self, request: Planned) -> u64 {
        self.spread.place(request.contestant, request.number)
    }

    /// The first request of this part in a step of the generator, from a place on, or in a later step.
    fn first_from_place(&self, split: usize, phase: usize, round: u64, place: u64) -> Option<Planned> {
        let held = self.splits[split].phases[phase]?;
        let number = held.generator.index + held.generator.of * round;
        match self.first_of_class(split, number, place, self.class(&held, round)) {
            Some(contestant) => self.at(phase, contestant, number),
            None => self.first_of_round(split, phase, round + 1),
        }
    }

    /// The first request among the numbers that this generator sends in its `round`-th step, or in a later one: every
    /// contestant has one number in a step, and each worker takes every W-th contestant's.
    fn first_of_round(&self, split: usize, phase: usize, mut round: u64) -> Option<Planned> {
        let held = self.splits[split].phases[phase]?;
        // With fewer contestants than workers some steps have nobody for this one.
        for _ in 0..held.workers {
            let number = held.generator.index + held.generator.of * round;
            if let Some(contestant) = self.first_of_class(split, number, 0, self.class(&held, round)) {
                return self.at(phase, contestant, number);
            }
            round += 1;
        }
        None
    }

    /// The first contestant of a class at this place or a later one that has joined by a split.
    fn first_of_class(&self, split: usize, number: u64, mut place: u64, class: Class) -> Option<ContestantIndex> {
        loop {
            let contestant = self.spread.first_from(number, place, class)?;
            if self.has(split, contestant) {
                return Some(contestant);
            }
            place = self.spread.place(contestant, number) + 1;
        }
    }

    /// Whose requests this worker takes in a step of the generator.
    fn class(&self, split: &Split, round: u64) -> Class {
        let residue = (round % split.workers + self.worker.of - self.worker.index) % self.worker.of;
        Class { residue, of: self.worker.of }
    }
}

/// Lets the requests of all contestants fall due, in order of their instants. A turn costs what falls due in it.
#[derive(Debug)]
pub struct Pacer {
    takes: Takes,
    schedule: Arc<Schedule>,
    /// Where all have one rate.
    next: Planned,
    /// Where each has its own.
    climbing: Climbing,
    /// The newest that has fallen due.
    fallen: Option<Planned>,
    stopped: bool,
}

impl Pacer {
    pub fn new(takes: Takes, schedule: Arc<Schedule>) -> Pacer {
        let next = takes.first_from(PlanInstant::START);
        let climbing = Climbing::new(&takes);
        Pacer { takes, schedule, next, climbing, fallen: None, stopped: false }
    }

    pub fn takes(&self) -> &Takes {
        &self.takes
    }

    /// Goes on by another schedule. What has fallen due stays what it was: of a share that is told after it began only the rest
    /// is taken, and what waits must be settled before.
    pub fn follow(&mut self, schedule: Arc<Schedule>) {
        let splits = self.takes.splits_of(&schedule);
        let changed = self.takes.changes_from(&splits, &schedule);
        self.schedule = schedule;
        let Some(from) = changed else { return };
        self.takes.splits = splits;
        self.takes.steps = self.schedule.steps().to_vec();
        if self.stopped {
            return;
        }
        self.climbing.follow(&self.takes, from, self.fallen);
        if self.next.at < from {
            return;
        }
        self.next = match self.fallen.filter(|fallen| fallen.at >= from) {
            None => self.takes.first_from(from),
            Some(fallen) => {
                let in_order = |request: Planned| (request.phase, request.number, self.takes.place(request));
                let mut next = self.takes.first_from(fallen.at);
                while next.at == fallen.at && in_order(next) <= in_order(fallen) {
                    next = self.takes.after(next);
                }
                next
            }
        };
    }

    /// Whether a schedule says that something of what has fallen due was somebody else's: it is heard too late.
    pub fn is_late_for(&self, schedule: &Schedule) -> bool {
        let changed = self.takes.changes_from(&self.takes.splits_of(schedule), schedule);
        changed.is_some_and(|from| self.fallen.is_some_and(|fallen| fallen.at >= from))
    }

    /// The instant at which the next request falls due; [`RunInstant::NEVER`] when none will.
    #[inline]
    pub fn next_due(&self) -> RunInstant {
        let at = self.next.at.min(self.climbing.next_at());
        if at == PlanInstant::NEVER { RunInstant::NEVER } else { self.schedule.run_clock(at) }
    }

    /// Lets the next request fall due if its instant has come.
    #[inline]
    pub fn fall_due(&mut self, now: RunInstant) -> Option<(Planned, Due)> {
        let intended = self.next_due();
        if intended > now || intended == RunInstant::NEVER {
            return None;
        }
        let fallen = if self.climbing.next_at() < self.next.at {
            self.climbing.fall_due(&self.takes)
        } else {
            let following = self.takes.after(self.next);
            std::mem::replace(&mut self.next, following)
        };
        self.fallen = Some(fallen);
        Some((fallen, Due { intended, scored: self.takes.phases[fallen.phase].scored }))
    }

    /// Nothing more falls due.
    pub fn stop(&mut self) {
        self.next = Planned::NOTHING;
        self.climbing.clear();
        self.stopped = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::backlog::Backlog;
    use crate::engine::schedule::Gap;
    use flowtest_contract::rules::{Deadlines, UtcUs};
    use proptest::prelude::*;

    const SECOND: u64 = NS_PER_SECOND;

    fn open(start: PlanInstant, length: u64, from: u64, to: u64) -> Phase {
        Phase { start, end: start + length, load: Load::Open(Ramp::per_second(from, to)), connections: 8, scored: true }
    }

    /// One phase behind the other, from (length, rate from, rate to, connections).
    fn phases(steps: &[(u64, u64, u64, u32)]) -> Arc<[Phase]> {
        let mut start = PlanInstant::from_ns(7);
        let phase = |&(length, from, to, connections): &(u64, u64, u64, u32)| {
            let phase = Phase { connections, ..open(start, length, from, to) };
            start = phase.end;
            phase
        };
        steps.iter().map(phase).collect()
    }

    fn schedule(shares: Vec<(RunInstant, Share)>, pauses: Vec<Gap>) -> Arc<Schedule> {
        Arc::new(Schedule::new(vec![(UtcUs::EPOCH, Deadlines::default())], pauses, RunInstant::NEVER, shares))
    }

    fn pacer(phases: &Arc<[Phase]>, contestants: usize, worker: Share, schedule: Arc<Schedule>) -> Pacer {
        let takes = Takes::new(phases.clone(), contestants, contestants, worker, &schedule);
        Pacer::new(takes, schedule)
    }

    /// (contestant, intended instant) of everything that falls due as far as it is known, in order. A backlog says the same.
    fn due_of(pacer: &mut Pacer, contestants: usize) -> Vec<(usize, u64)> {
        let mut backlogs = vec![Backlog::EMPTY; contestants];
        let mut fallen = Vec::new();
        while let Some((planned, due)) = pacer.fall_due(RunInstant::from_ns(u64::MAX - 1)) {
            let contestant = planned.contestant.index();
            backlogs[contestant].push(planned);
            fallen.push((contestant, due.intended.ns()));
        }
        for (contestant, backlog) in backlogs.iter_mut().enumerate() {
            let taken = std::iter::from_fn(|| backlog.take(pacer.takes(), &pacer.schedule));
            let taken: Vec<u64> = taken.map(|due| due.intended.ns()).collect();
            let pushed = fallen.iter().filter(|(index, _)| *index == contestant).map(|(_, intended)| *intended);
            assert_eq!(taken, pushed.collect::<Vec<_>>());
        }
        fallen
    }

    fn alone(phases: &Arc<[Phase]>, contestants: usize, schedule: Arc<Schedule>) -> Vec<(usize, u64)> {
        due_of(&mut pacer(phases, contestants, Share::WHOLE, schedule), contestants)
    }

    fn whole() -> Arc<Schedule> {
        schedule(vec![(RunInstant::START, Share::WHOLE)], Vec::new())
    }

    #[test]
    fn contestants_are_spread_evenly_inside_the_interval() {
        let phases = phases(&[(SECOND, 4, 4, 8)]);
        let at = |ms: u64| ms * 1_000_000 + 7;
        assert_eq!(alone(&phases, 1, whole()), [(0, at(0)), (0, at(250)), (0, at(500)), (0, at(750))]);
        let two = [(0, 0), (1, 125), (0, 250), (1, 375), (0, 500), (1, 625), (0, 750), (1, 875)];
        assert_eq!(alone(&phases, 2, whole()), two.map(|(contestant, ms)| (contestant, at(ms))));
    }

    #[test]
    fn no_instant_has_more_than_its_share_of_a_full_house() {
        // A thousand contestants at 20/s: one request every 50 microseconds, on all of a second.
        let phases = phases(&[(SECOND, 20, 20, 8)]);
        let fallen = alone(&phases, 1_000, whole());
        assert_eq!(fallen.len(), 20_000);
        assert!(fallen.windows(2).all(|two| two[1].1 - two[0].1 == 50_000));
    }

    #[test]
    fn the_spread_follows_the_integral_of_a_ramp() {
        // From 0 to 100/s in 2 s: x = 25 t^2.
        let ramp = Ramp::per_second(0, 100);
        for (number, index) in [(0, 0), (0, 1), (1, 0), (24, 2), (99, 3)] {
            let x = number as f64 + f64::from(index) / 4.0;
            let at = ramp.instant(number, Place { index: u64::from(index as u32), of: 4 }, 2 * SECOND);
            let expected = ((x / 25.0).sqrt() * 1e9) as u64;
            assert!(at.abs_diff(expected) <= 1_000, "{number} + {index}/4: {at} instead of {expected}");
        }
    }

    #[test]
    fn rates_below_one_a_second_come_at_their_nanosecond() {
        let fifth = Ramp { from: 1, to: 1, seconds: 5 };
        let alone = Place { index: 0, of: 1 };
        assert_eq!((fifth.count(20 * SECOND), fifth.count(20 * SECOND + 1), fifth.rate(0, SECOND)), (4, 5, 0));
        assert_eq!([0, 1, 3].map(|number| fifth.instant(number, alone, 20 * SECOND)), [0, 5 * SECOND, 15 * SECOND]);
        // Half a request a second, of three who share each interval of two seconds.
        let half = Ramp { from: 500, to: 500, seconds: 1_000 };
        let second = Place { index: 1, of: 3 };
        assert_eq!(half.instant(7, second, 60 * SECOND), 14 * SECOND + 2 * SECOND / 3);
        // From none to 1/s in 8 s: x = t^2 / 16.
        let ramp = Ramp { from: 0, to: 1_000, seconds: 1_000 };
        assert_eq!((ramp.count(8 * SECOND), ramp.instant(1, alone, 8 * SECOND)), (4, 4 * SECOND));
    }

    #[test]
    fn more_workers_than_connections_leave_some_without_work() {
        let phases = phases(&[(SECOND, 10, 10, 2)]);
        let of = |worker: u64, contestants| {
            due_of(&mut pacer(&phases, contestants, Share { index: worker, of: 3 }, whole()), contestants).len()
        };
        assert_eq!((of(0, 1) + of(1, 1), of(2, 1)), (10, 0));
        // Rotated by the contestants' places, so that others have work then.
        assert_eq!((of(0, 3), of(1, 3), of(2, 3)), (10, 10, 10));
    }

    fn steps(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(u64, u64, u64, u32)>> {
        proptest::collection::vec((1u64..3 * SECOND, 0u64..900, 0u64..900, 1u32..9), count)
    }

    proptest! {
        #[test]
        fn each_is_offered_the_integral_in_order_of_instants_and_workers_split_it(
            steps in steps(1..4), contestants in 1usize..6, workers in 1u64..6,
        ) {
            // The doubled trapezoid, rounded up.
            let doubled = |&(length, from, to, _): &(u64, u64, u64, u32)| u128::from(from + to) * u128::from(length);
            let expected: u64 = steps.iter().map(|step| doubled(step).div_ceil(2_000_000_000) as u64).sum();
            let phases = phases(&steps);
            let whole_of = alone(&phases, contestants, whole());
            prop_assert!(whole_of.is_sorted_by_key(|(_, intended)| *intended));
            for contestant in 0..contestants {
                let count = whole_of.iter().filter(|(index, _)| *index == contestant).count() as u64;
                prop_assert_eq!(count, expected, "each is offered the same");
            }
            let mut all = Vec::new();
            for index in 0..workers {
                let mine = due_of(&mut pacer(&phases, contestants, Share { index, of: workers }, whole()), contestants);
                prop_assert!(mine.is_sorted_by_key(|(_, intended)| *intended));
                all.extend(mine);
            }
            let sorted = |mut all: Vec<(usize, u64)>| { all.sort_unstable(); all };
            prop_assert_eq!(sorted(all), sorted(whole_of));
        }

        #[test]
        fn generators_that_are_told_of_splits_ahead_lose_and_double_nothing(
            steps in steps(1..4), contestants in 1usize..6, workers in 1u64..4, first in 1u64..5,
            // After so long the next split begins, between so many, and each hears of it so much before.
            splits in proptest::collection::vec((1u64..SECOND, 1u64..5, 0u64..SECOND), 1..5),
        ) {
            let phases = phases(&steps);
            let start = RunInstant::START;
            let share = |index: u64, of: u64| if index < of { Share { index, of } } else { Share::NONE };
            let mut all = Vec::new();
            for (generator, index) in (0..5).flat_map(|generator| (0..workers).map(move |index| (generator, index))) {
                let mut shares = vec![(start, share(generator, first))];
                let mut pacer = pacer(&phases, contestants, Share { index, of: workers }, schedule(shares.clone(), vec![]));
                let mut backlogs = vec![Backlog::EMPTY; contestants];
                let mut begins = start;
                for (after, of, notice) in &splits {
                    let hears = begins + after.saturating_sub(*notice + generator);
                    begins = begins + *after;
                    while let Some((planned, due)) = pacer.fall_due(hears) {
                        all.push((planned.contestant.index(), due.intended.ns()));
                        backlogs[planned.contestant.index()].push(planned);
                    }
                    shares.push((begins, share(generator, *of)));
                    let told = schedule(shares.clone(), vec![]);
                    let is_late = pacer.is_late_for(&told);
                    prop_assert!(!is_late);
                    pacer.follow(told);
                }
                while let Some((planned, due)) = pacer.fall_due(RunInstant::from_ns(u64::MAX - 1)) {
                    all.push((planned.contestant.index(), due.intended.ns()));
                    backlogs[planned.contestant.index()].push(planned);
                }
                // What waited from the start on is all that fell due here, though the splits changed meanwhile.
                for (contestant, backlog) in backlogs.iter_mut().enumerate() {
                    let mut waited = 0;
                    while let Some(due) = backlog.take(pacer.takes(), &pacer.schedule) {
                        prop_assert!(all.contains(&(contestant, due.intended.ns())));
                        waited += 1;
                    }
                    prop_assert!(backlog.is_empty() && waited <= all.len());
                }
            }
            all.sort_unstable();
            let mut whole = alone(&phases, contestants, whole());
            whole.sort_unstable();
            prop_assert_eq!(all, whole);
        }

        #[test]
        fn generators_split_it_and_a_pause_with_another_split_loses_and_doubles_nothing(
            steps in steps(1..4), contestants in 1usize..6,
            before in 1u64..4, after in 1u64..4, workers in 1u64..4,
            at in 0u64..4 * SECOND, length in 1u64..2 * SECOND,
        ) {
            let phases = phases(&steps);
            let from = RunInstant::from_ns(7 + at);
            let to = from + length;
            let start = RunInstant::START;
            let share = |index: u64, of: u64| if index < of { Share { index, of } } else { Share::NONE };
            let mut all = Vec::new();
            for generator in 0..before.max(after) {
                for index in 0..workers {
                    let first = schedule(vec![(start, share(generator, before))], vec![Gap { from, to: RunInstant::NEVER }]);
                    let mut pacer = pacer(&phases, contestants, Share { index, of: workers }, first);
                    let mine = due_of(&mut pacer, contestants);
                    prop_assert!(mine.iter().all(|(_, intended)| *intended < from.ns()));
                    all.extend(mine);
                    let shares = vec![(start, share(generator, before)), (to, share(generator, after))];
                    pacer.follow(schedule(shares, vec![Gap { from, to }]));
                    let mine = due_of(&mut pacer, contestants);
                    prop_assert!(mine.iter().all(|(_, intended)| *intended >= to.ns()));
                    all.extend(mine);
                }
            }
            all.sort_unstable();
            let mut whole = alone(&phases, contestants, schedule(vec![(start, Share::WHOLE)], vec![Gap { from, to }]));
            whole.sort_unstable();
            prop_assert_eq!(all, whole);
        }

        /// Contestants join, shares change and pauses come; each generator hears of it some time before.
        #[test]
        fn whoever_joins_gets_the_rest_of_the_integral_and_nobody_elses_requests_change(
            steps in steps(1..4), founders in 1usize..5, spare in 0usize..4, workers in 1u64..4, first in 1u64..4,
            // Joins come so much after one another, each with another split, and each is heard of so much before.
            joins in proptest::collection::vec((0u64..2 * SECOND, 1u64..4, 1u64..SECOND), 1..5),
            pause in (0u64..4 * SECOND, 1u64..SECOND),
        ) {
            let phases = phases(&steps);
            let start = RunInstant::START;
            let share = |index: u64, of: u64| if index < of { Share { index, of } } else { Share::NONE };
            let gap = Gap { from: RunInstant::from_ns(7 + pause.0), to: RunInstant::from_ns(7 + pause.0 + pause.1) };
            let told = |generator: Option<u64>, count: usize| {
                let own = |of: u64| generator.map_or(Share::WHOLE, |generator| share(generator, of));
                let (mut at, mut shares, mut joined) = (start, vec![(start, own(first))], Vec::new());
                for (after, of, _) in &joins[..count] {
                    at = at + *after + 1;
                    shares.push((at, own(*of)));
                    joined.push(at);
                }
                let schedule = Schedule::new(vec![(UtcUs::EPOCH, Deadlines::default())], vec![gap], RunInstant::NEVER, shares);
                Arc::new(schedule.with_joins(joined))
            };
            let (all, places) = (founders + joins.len(), founders + joins.len() + spare);
            let pacer = |index: u64, of: u64, contestants: usize, schedule: Arc<Schedule>| {
                let takes = Takes::new(phases.clone(), places, contestants, Share { index, of }, &schedule);
                Pacer::new(takes, schedule)
            };
            let end = RunInstant::from_ns(u64::MAX - 1);
            let mut fallen = Vec::new();
            for (generator, index) in (0..4).flat_map(|generator| (0..workers).map(move |index| (generator, index))) {
                let mut pacer = pacer(index, workers, founders, told(Some(generator), 0));
                let mut backlogs = vec![Backlog::EMPTY; all];
                let mut at = start;
                let mut mine = Vec::new();
                let mut fall = |pacer: &mut Pacer, until: RunInstant| {
                    while let Some((planned, _)) = pacer.fall_due(until) {
                        mine.push(planned);
                        backlogs[planned.contestant.index()].push(planned);
                    }
                };
                for (count, (after, _, notice)) in joins.iter().enumerate() {
                    at = at + *after + 1;
                    fall(&mut pacer, RunInstant::from_ns(at.ns().saturating_sub(notice + generator)));
                    pacer.follow(told(Some(generator), count + 1));
                }
                fall(&mut pacer, end);
                prop_assert!(mine.is_sorted_by_key(|planned| planned.at));
                // What waited from the start on is all that fell due here.
                for (contestant, backlog) in backlogs.iter_mut().enumerate() {
                    let own = mine.iter().filter(|planned| planned.contestant.index() == contestant);
                    let own: Vec<u64> = own.map(|planned| pacer.schedule.run_clock(planned.at).ns()).collect();
                    let taken: Vec<u64> = std::iter::from_fn(|| backlog.take(pacer.takes(), &pacer.schedule))
                        .map(|due| due.intended.ns())
                        .collect();
                    prop_assert_eq!(own, taken);
                }
                fallen.append(&mut mine);
            }
            // As if all places had been taken from the beginning, less what was planned before somebody joined.
            let schedule = told(None, joins.len());
            let (joined, mut full) = (schedule.joins(), Vec::new());
            let mut whole = pacer(0, 1, places, Arc::new(Schedule::clone(&schedule).with_joins(Vec::new())));
            while let Some((planned, _)) = whole.fall_due(end) {
                let contestant = planned.contestant.index();
                let is_in = contestant < founders || joined.get(contestant - founders).is_some_and(|at| *at <= planned.at);
                if is_in {
                    full.push(planned);
                }
            }
            let order = |planned: &Planned| (planned.contestant, planned.phase, planned.number, planned.at);
            fallen.sort_unstable_by_key(order);
            full.sort_unstable_by_key(order);
            prop_assert_eq!(fallen, full);
        }
    }
}
