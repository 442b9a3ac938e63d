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

/// What a worker takes of a phase, of one contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseShare {
    pub requests: Share,
    /// Which generator this is among those that share the requests, and how many they are.
    pub generator: u64,
    pub generators: u64,
    /// How many workers of this generator share what it takes.
    pub workers: u64,
    pub connections: u32,
}

impl PhaseShare {
    /// Whether this is the worker that a phase with few connections uses first.
    pub fn is_first_worker(&self) -> bool {
        self.workers > 0 && self.requests.index < self.generators
    }
}

/// Connections are split first among the generators, then among the workers of each; who gets none sends nothing.
pub fn phase_share(phase: &Phase, generator: Share, worker: Share) -> PhaseShare {
    const NOTHING: PhaseShare =
        PhaseShare { requests: Share::NONE, generator: 0, generators: 1, workers: 0, connections: 0 };
    let generators = Share { index: generator.index, of: generator.of.min(u64::from(phase.connections)).max(1) };
    if generators.index >= generators.of {
        return NOTHING;
    }
    let connections = generators.take(u64::from(phase.connections));
    let workers = Share { index: worker.index, of: worker.of.min(connections).max(1) };
    if workers.index >= workers.of {
        return NOTHING;
    }
    PhaseShare {
        requests: Share { index: generators.index + generators.of * workers.index, of: generators.of * workers.of },
        generator: generators.index,
        generators: generators.of,
        workers: workers.of,
        connections: workers.take(connections) as u32,
    }
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
