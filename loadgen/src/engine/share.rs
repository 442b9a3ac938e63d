//! Which part of the plan a worker takes: its number for a contestant, its connections, its memory.

use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{Phase, Plan};
use crate::engine::ring::Sizes;

/// One of `of` equal parts of numbered things: number k is in it if k modulo `of` is `index`. Requests of a contestant are
/// shared so, among generators and among the workers of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub index: u64,
    pub of: u64,
}

impl Share {
    /// Of one who is alone.
    pub const WHOLE: Share = Share { index: 0, of: 1 };
    /// Somebody else's: nothing is ours.
    pub const NONE: Share = Share { index: u64::MAX, of: 1 };

    pub fn is_none(self) -> bool {
        self.index >= self.of
    }

    /// How many of `total` things are in it.
    pub fn take(self, total: u64) -> u64 {
        if self.is_none() { 0 } else { total / self.of + u64::from(self.index < total % self.of) }
    }
}

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

/// How many slots a worker needs, and how large.
pub fn sizes(plan: &Plan, worker: u32) -> Sizes {
    let slots = plan.contestants.keys().map(|index| slots_of(plan, worker, index)).sum::<u32>().max(1);
    let request = plan.contestants.iter().map(|contestant| contestant.request.len()).max().unwrap_or(0);
    let request = request + plan.request_spare;
    let pipeline = plan.pipeline_max() as usize;
    // One in flight: an answer fits a small buffer, and all of them fit the L2 cache. More in flight come in bursts.
    let (buffers, buffer_bytes) = if pipeline == 1 { (512, 2048) } else { (256, 8192) };
    // A multiple of the cache line, so that no two slots share one.
    Sizes { slots, area_bytes: (request * pipeline).next_multiple_of(64), buffers, buffer_bytes }
}

/// The worker's number for a contestant: rotated, so that remainders fall on different workers.
pub fn index_of(plan: &Plan, worker: u32, contestant: ContestantIndex) -> u64 {
    (u64::from(worker) + contestant.index() as u64) % u64::from(plan.workers)
}

/// How many of a contestant's connections the worker holds.
pub fn slots_of(plan: &Plan, worker: u32, contestant: ContestantIndex) -> u32 {
    let share = Share { index: index_of(plan, worker, contestant), of: u64::from(plan.workers) };
    share.take(u64::from(plan.connections_max())) as u32
}
