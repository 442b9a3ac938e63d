//! The requests of one contestant that are due and wait for a connection: a range between two numbers of its schedule, so
//! that a million late requests cost no memory.

use crate::engine::clock::RunInstant;
use crate::engine::pacer::{Due, Planned, Takes};
use crate::engine::plan::NS_PER_SECOND;
use crate::engine::schedule::Schedule;

/// What waits, oldest first. All of it is this worker's, by the split of its own instant.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    oldest: Option<Planned>,
    count: u64,
}

impl Backlog {
    pub const EMPTY: Backlog = Backlog { oldest: None, count: 0 };

    /// One more has fallen due, the next of its schedule.
    #[inline]
    pub fn push(&mut self, fallen: Planned) {
        self.oldest.get_or_insert(fallen);
        self.count += 1;
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The intended instant of the oldest.
    #[inline]
    pub fn oldest(&self, schedule: &Schedule) -> Option<RunInstant> {
        self.oldest.map(|oldest| schedule.run_clock(oldest.at))
    }

    /// Takes the oldest.
    #[inline]
    pub fn take(&mut self, takes: &Takes, schedule: &Schedule) -> Option<Due> {
        let taken = self.oldest?;
        self.count -= 1;
        self.oldest = if self.count == 0 { None } else { takes.next(taken) };
        Some(Due { intended: schedule.run_clock(taken.at), scored: takes.phases()[taken.phase].scored })
    }

    /// Whether the oldest is the first that this generator sends in its second of the plan: the one that a contestant gets
    /// which only gets probes. All workers agree about it, whatever each of them takes.
    pub fn is_oldest_first_of_its_second(&self, takes: &Takes) -> bool {
        let Some(oldest) = self.oldest else { return false };
        let second = |request: Planned| request.at.ns() / NS_PER_SECOND;
        takes.before(oldest).is_none_or(|before| second(before) != second(oldest))
    }

    /// What the phase of the oldest asks: its connections, and the rate when it fell due, of all generators.
    pub fn oldest_demand(&self, takes: &Takes) -> (u32, u64) {
        let Some(oldest) = self.oldest else { return (0, 0) };
        let phase = &takes.phases()[oldest.phase];
        let ramp = takes.ramp(oldest.phase, oldest.contestant);
        let rate = ramp.map_or(0, |ramp| ramp.rate(oldest.at - phase.start, phase.end - phase.start));
        (phase.connections, rate)
    }
}
