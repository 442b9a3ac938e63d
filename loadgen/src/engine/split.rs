//! Who takes which part of the plan: its requests, and its connections.

use crate::engine::index::ContestantIndex;
use crate::engine::plan::{Phase, Plan};
use crate::engine::share::Share;
use crate::engine::spread::Spread;

/// Between whom the requests and connections of a phase are shared: first the generators, then the workers of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    pub generator: Share,
    /// How many workers of this generator share what it takes.
    pub workers: u64,
    /// Of this generator.
    connections: u64,
}

/// What a worker takes of a phase, of one contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseShare {
    pub requests: Share,
    pub connections: u32,
    /// Whether this is the worker that a phase with few connections uses first.
    pub is_first_worker: bool,
}

impl Split {
    /// `None`: nothing of the phase is this generator's. Who gets no connection sends nothing.
    pub fn of(phase: &Phase, generator: Share, workers: u64) -> Option<Split> {
        let generator = Share { index: generator.index, of: generator.of.min(u64::from(phase.connections)).max(1) };
        let connections = generator.take(u64::from(phase.connections));
        (!generator.is_none()).then(|| Split { generator, workers: workers.min(connections).max(1), connections })
    }

    /// Of the numbers that the worker of this number takes of a contestant, it takes every so many'th.
    pub fn step(&self) -> u64 {
        self.generator.of * self.workers
    }

    /// What the worker of this number takes.
    pub fn worker(&self, index: u64) -> PhaseShare {
        let worker = Share { index, of: self.workers };
        if worker.is_none() {
            return PhaseShare::NOTHING;
        }
        PhaseShare {
            requests: Share { index: self.generator.index + self.generator.of * index, of: self.step() },
            connections: worker.take(self.connections) as u32,
            is_first_worker: index == 0,
        }
    }
}

impl PhaseShare {
    pub const NOTHING: PhaseShare = PhaseShare { requests: Share::NONE, connections: 0, is_first_worker: false };
}

/// The worker's number for a contestant: rotated by where it is shuffled to, as what it takes of the requests, so that remainders fall on
/// different workers.
pub fn index_of(plan: &Plan, spread: &Spread, worker: u32, contestant: ContestantIndex) -> u64 {
    (u64::from(worker) + spread.shuffled(contestant)) % u64::from(plan.workers)
}

/// How many of a contestant's connections the worker holds.
pub fn slots_of(plan: &Plan, spread: &Spread, worker: u32, contestant: ContestantIndex) -> u32 {
    let share = Share { index: index_of(plan, spread, worker, contestant), of: u64::from(plan.workers) };
    share.take(u64::from(plan.connections_max())) as u32
}
