//! What is given up first when the journal's disk fills, and whether a plan fits it at all. Pure.
//!
//! Evidence goes first, then traces, then batches come more slowly; counts are never given up. When not even a batch
//! can be written, load pauses (that is not decided here: the write says so).

use crate::engine::plan::{Load, NS_PER_SECOND, Plan};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Below so many free bytes no evidence is written.
const EVIDENCE_FREE: u64 = 256 * MIB;
/// Below so many no traces are: three segments.
const TRACES_FREE: u64 = 192 * MIB;
/// Below so many batches come slowly: one segment.
const BATCHES_FREE: u64 = 64 * MIB;
/// So much more must be free before something is taken up again, or each segment would toggle it.
const AGAIN_FREE: u64 = 64 * MIB;

const _: () = assert!(EVIDENCE_FREE > TRACES_FREE && TRACES_FREE > BATCHES_FREE);

/// Between two batches, when there is room and when there is hardly any.
const BATCH_INTERVAL: Duration = Duration::from_millis(100);
const SLOW_INTERVAL: Duration = Duration::from_secs(1);

/// What there is room for. Each level gives up what the one before it gave up, and more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    All,
    NoEvidence,
    NoTraces,
    SlowBatches,
}

impl Level {
    /// The level at so many free bytes, coming from this one.
    pub fn next(self, free: u64) -> Level {
        let at = |free| match free {
            EVIDENCE_FREE.. => Level::All,
            TRACES_FREE.. => Level::NoEvidence,
            BATCHES_FREE.. => Level::NoTraces,
            _ => Level::SlowBatches,
        };
        // Up at once, down only with something to spare.
        at(free).max(self.min(at(free.saturating_sub(AGAIN_FREE))))
    }

    pub fn keeps_evidence(self) -> bool {
        self < Level::NoEvidence
    }

    pub fn keeps_traces(self) -> bool {
        self < Level::NoTraces
    }

    pub fn interval(self) -> Duration {
        if self < Level::SlowBatches { BATCH_INTERVAL } else { SLOW_INTERVAL }
    }
}

/// Bytes that the journal of a plan takes at the most, as far as that can be known beforehand.
pub fn needed(plan: &Plan, traces: bool) -> u64 {
    /// A trace with its part of the framing.
    const TRACE: u128 = 17;
    /// An almost empty batch, padded to a block, and what each contestant adds to it with usual histograms.
    const BATCH: u128 = 4096;
    const ENTRY: u128 = 1024;
    /// What a core gets answered in a closed loop, at one and at many in flight: the best that was measured, doubled.
    const CLOSED: u128 = 400_000;
    const PIPELINED: u128 = 4_000_000;
    let contestants = plan.contestants.len() as u128;
    let mut bytes = 0;
    for phase in plan.phases.iter() {
        let length = u128::from(phase.end - phase.start);
        let second = u128::from(NS_PER_SECOND);
        let requests = match phase.load {
            Load::Open(ramp) => u128::from(ramp.count(phase.end - phase.start)) * contestants,
            // No faster than a core gets answers.
            Load::Step(step) => {
                let highest = u128::from(step.terms.rate_at_most(step.number - step.first));
                (highest * contestants).min(CLOSED * u128::from(plan.workers)) * length / second
            }
            Load::Closed { pipeline } => {
                (if pipeline > 1 { PIPELINED } else { CLOSED }) * u128::from(plan.workers) * length / second
            }
        };
        let batches = length / BATCH_INTERVAL.as_nanos() + 1;
        bytes += batches * (BATCH + contestants * ENTRY) + if traces { requests * TRACE } else { 0 };
    }
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// So much must be free for a plan that needs `needed`: other things grow as well.
pub fn wanted(needed: u64) -> u64 {
    needed.saturating_add(needed / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock::PlanInstant;
    use crate::engine::plan::{Phase, Ramp};
    use proptest::prelude::*;

    #[test]
    fn evidence_goes_first_then_traces_then_the_pace_of_batches() {
        let levels = [Level::All, Level::NoEvidence, Level::NoTraces, Level::SlowBatches];
        let free = [1000 * MIB, 200 * MIB, 100 * MIB, 0];
        for (level, free) in levels.into_iter().zip(free) {
            assert_eq!(Level::All.next(free), level);
        }
        assert!(Level::NoEvidence.keeps_traces() && !Level::NoEvidence.keeps_evidence());
        assert!(!Level::NoTraces.keeps_traces() && Level::NoTraces.interval() == BATCH_INTERVAL);
        assert_eq!(Level::SlowBatches.interval(), SLOW_INTERVAL);
    }

    #[test]
    fn what_was_given_up_comes_back_only_with_something_to_spare() {
        assert_eq!(Level::NoTraces.next(TRACES_FREE), Level::NoTraces);
        assert_eq!(Level::NoTraces.next(TRACES_FREE + AGAIN_FREE), Level::NoEvidence);
        assert_eq!(Level::SlowBatches.next(EVIDENCE_FREE + AGAIN_FREE), Level::All);
    }

    proptest! {
        #[test]
        fn less_room_never_keeps_more(before in 0usize..4, free: u64, less: u64) {
            let before = [Level::All, Level::NoEvidence, Level::NoTraces, Level::SlowBatches][before];
            prop_assert!(before.next(free.min(less)) >= before.next(free));
        }
    }

    #[test]
    fn an_open_plan_needs_what_its_requests_leave() {
        let phase = Phase {
            start: PlanInstant::START,
            end: PlanInstant::START + 60 * NS_PER_SECOND,
            load: Load::Open(Ramp::per_second(0, 2000)),
            connections: 8,
            scored: true,
        };
        let plan = Plan { phases: [phase].into(), ..Plan::default() };
        // Nobody plays: nothing but batches.
        assert_eq!(needed(&plan, true), 601 * 4096);
        assert_eq!(wanted(100), 150);
        let closed = Plan { phases: [Phase { load: Load::Closed { pipeline: 1 }, ..phase }].into(), ..plan };
        assert_eq!(needed(&closed, true) - needed(&closed, false), 60 * 400_000 * 17);
    }
}
