//! What counts for nobody (`own_fault`), held against when the workers say that they were late.
//!
//! No exchange may be void that lived outside every window of its worker; and a window that says that a turn came late must be
//! one in which the worker did nothing: no request sent, no outcome. Both by the instants in the traces.

use super::late::{CUT_US, LATE_US};
use super::traces::OUTCOME_BITS;
use flowtest_contract::rules::UtcUs;
use flowtest_journal::record::{ArchivedEntry, ArchivedTrace, ArchivedTraces, LateCause, NEVER_SENT, tally_of};
use flowtest_journal::stream::{Group, Record};
use std::collections::BTreeMap;

/// Windows of several causes that may end within one of them.
const OVERLAPPING_MAX: usize = 64;
/// Windows are remembered for longer than any exchange lives.
const KEPT_US: u64 = 600_000_000;

/// As in [`flowtest_journal::record::Observation`].
pub(super) const OWN_FAULT: u16 = 7;

/// What one stream says of its lateness.
#[derive(Debug, Default)]
pub(super) struct Void {
    /// By worker: from, to. Their ends rise.
    windows: BTreeMap<u16, Vec<(UtcUs, UtcUs)>>,
    /// Exchanges that are void, by their traces.
    pub(super) void: u64,
    /// Of these, such as no window covers.
    pub(super) outside: u64,
    /// Traces of a worker that was at work while a turn of it came late, and gaps too short to be any.
    pub(super) contradicted: u64,
}

impl Void {
    /// Looks at a group. Windows stand before the traces that they void, or in an earlier group.
    pub(super) fn group(&mut self, group: &Group<'_>) {
        let mut gaps: Vec<(u16, UtcUs, UtcUs)> = Vec::new();
        let mut has_void = false;
        for record in &group.records {
            match record {
                Record::Late(late) => {
                    for window in late.windows.iter() {
                        let (worker, from, to) =
                            (late.worker.to_native(), UtcUs(window.from.to_native()), UtcUs(window.to.to_native()));
                        if window.cause == LateCause::Gap as u16 {
                            self.contradicted += u64::from(to.saturating_since(from) + CUT_US <= LATE_US);
                            gaps.push((worker, from, to));
                        }
                        self.remember(worker, from, to);
                    }
                }
                Record::Batch(batch) => {
                    let counters = |entry: &ArchivedEntry| entry.counters.map(|count| count.to_native());
                    has_void |= batch.entries.iter().any(|entry| tally_of(counters(entry)).own_fault > 0);
                }
                _ => {}
            }
        }
        if !has_void && gaps.is_empty() {
            return;
        }
        for record in &group.records {
            let Record::Traces(block) = record else { continue };
            if has_void {
                self.look_for_void(block);
            }
            for (_, from, to) in gaps.iter().filter(|(worker, ..)| block.worker == *worker) {
                self.contradicted += at_work(block, *from, *to);
            }
        }
    }

    fn remember(&mut self, worker: u16, from: UtcUs, to: UtcUs) {
        let windows = self.windows.entry(worker).or_default();
        if windows.len() == windows.capacity() {
            windows.retain(|(_, old)| old.saturating_add(KEPT_US) >= to);
        }
        let place = windows.partition_point(|(_, old)| *old <= to);
        windows.insert(place, (from, to));
    }

    fn look_for_void(&mut self, block: &ArchivedTraces) {
        let windows = self.windows.get(&block.worker.to_native()).map_or(&[][..], Vec::as_slice);
        for trace in block.traces.iter().filter(|trace| trace.observed.to_native() & OUTCOME_BITS == OWN_FAULT) {
            let Life { intended, outcome, .. } = Life::of(UtcUs(block.base.to_native()), trace);
            let ended = windows.partition_point(|(_, to)| to.saturating_add(CUT_US) < intended);
            // A window that ends later may begin before one that ends earlier, where two causes overlap.
            let after = windows[ended..].iter().take(OVERLAPPING_MAX);
            let covered = after.map(|(from, _)| *from).any(|from| from <= outcome.saturating_add(CUT_US));
            self.void += 1;
            self.outside += u64::from(!covered);
        }
    }
}

/// When an exchange fell due, was sent and had its outcome.
struct Life {
    intended: UtcUs,
    sent: Option<UtcUs>,
    outcome: UtcUs,
}

impl Life {
    fn of(base: UtcUs, trace: &ArchivedTrace) -> Life {
        let intended = trace.intended(base);
        let was_sent = trace.lag_us.to_native() != NEVER_SENT;
        let outcome = intended.saturating_add(u64::from(trace.latency_us.to_native()));
        Life { intended, sent: was_sent.then(|| trace.sent(base)), outcome }
    }
}

/// Traces with an instant inside a stretch of time in which the worker did nothing, as it says.
fn at_work(block: &ArchivedTraces, from: UtcUs, to: UtcUs) -> u64 {
    let inside = |at: UtcUs| from.saturating_add(CUT_US) < at && at.saturating_add(CUT_US) < to;
    let lives = block.traces.iter().map(|trace| Life::of(UtcUs(block.base.to_native()), trace));
    lives.filter(|life| inside(life.outcome) || life.sent.is_some_and(inside)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::Tally;
    use flowtest_contract::verdict::{Failure, Outcome};
    use flowtest_journal::record::{Batch, Entry, Late, LateWindow, Observation, Trace, Traces};

    /// A group as it would be read: the worker's windows, its traces as (intended, sent, outcome, void), and a batch.
    fn void_of(windows: &[(u64, u64, LateCause)], lives: &[(u64, u64, u64, bool)]) -> Void {
        let windows = windows.iter().map(|(from, to, cause)| LateWindow { from: *from, to: *to, cause: *cause as u16 });
        let late = Late { worker: 3, windows: windows.collect() };
        let trace = |&(intended, sent, outcome, void): &(u64, u64, u64, bool)| Trace {
            sent_us: sent as i32,
            latency_us: (outcome - intended) as u32,
            lag_us: (sent - intended) as u32,
            contestant: 0,
            observed: Observation {
                outcome: Outcome::Failed(if void { Failure::OwnFault } else { Failure::Timeout }),
                scored: true,
            }
            .pack(),
        };
        let traces = Traces { base: 0, worker: 3, traces: lives.iter().map(trace).collect() };
        let tally = Tally { own_fault: 1, ..Tally::default() };
        let counters = *tally.to_array().first_chunk().expect("the first counters");
        let entry = Entry { counters, contestant: 0, scored: 1, latency: 0, service: 0 };
        let batch = Batch { entries: vec![entry], ..Batch::default() };
        let bytes = [
            rkyv::to_bytes::<rkyv::rancor::Error>(&late).expect("archived"),
            rkyv::to_bytes::<rkyv::rancor::Error>(&traces).expect("archived"),
            rkyv::to_bytes::<rkyv::rancor::Error>(&batch).expect("archived"),
        ];
        let records = vec![
            Record::Late(rkyv::access::<_, rkyv::rancor::Error>(&bytes[0]).expect("valid")),
            Record::Traces(rkyv::access::<_, rkyv::rancor::Error>(&bytes[1]).expect("valid")),
            Record::Batch(rkyv::access::<_, rkyv::rancor::Error>(&bytes[2]).expect("valid")),
        ];
        let mut void = Void::default();
        void.group(&Group { seq: 2, records });
        void
    }

    #[test]
    fn what_is_void_lived_in_a_window() {
        let windows = [(100_000, 120_000, LateCause::Gap), (300_000, 300_000, LateCause::Control)];
        let inside =
            [(50_000, 50_000, 120_000, true), (120_000, 120_000, 130_000, true), (290_000, 290_000, 300_000, true)];
        let void = void_of(&windows, &inside);
        assert_eq!((void.void, void.outside, void.contradicted), (3, 0, 0));
        let void = void_of(&windows, &[(130_000, 130_000, 140_000, true), (310_000, 310_000, 320_000, true)]);
        assert_eq!((void.void, void.outside), (2, 2));
        // What is charged is no matter of ours.
        assert_eq!(void_of(&windows, &[(130_000, 130_000, 140_000, false)]).void, 0);
    }

    #[test]
    fn a_worker_that_was_at_work_was_not_late() {
        let gap = [(100_000, 120_000, LateCause::Gap)];
        assert_eq!(void_of(&gap, &[(90_000, 90_000, 110_000, false)]).contradicted, 1, "an outcome");
        assert_eq!(void_of(&gap, &[(90_000, 110_000, 130_000, false)]).contradicted, 1, "a request that was sent");
        assert_eq!(void_of(&gap, &[(90_000, 100_000, 120_000, false)]).contradicted, 0, "at its ends");
        assert_eq!(void_of(&[(0, 9_000, LateCause::Gap)], &[]).contradicted, 1, "too short to be late");
        let busy = [(100_000, 200_000, LateCause::Busy)];
        assert_eq!(void_of(&busy, &[(90_000, 110_000, 130_000, false)]).contradicted, 0, "busy is at work");
    }
}
