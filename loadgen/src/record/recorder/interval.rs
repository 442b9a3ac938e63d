//! What has been counted since the last batch.

use super::explain::Explained;
use super::requests::Requests;
use crate::engine::block::{Block, Counts};
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{NS_PER_SECOND, NS_PER_US, Plan};
use crate::engine::timeouts;
use crate::engine::trace::Sample;
use crate::observe::wording;
use flowtest_contract::judge;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::verdict::{Failure, Outcome};
use flowtest_journal::record::{Batch, Evidence, Further, Late, LateWindow, Observation};

/// Between two samples of one contestant and kind that are kept.
const SAMPLE_US: u64 = NS_PER_SECOND / NS_PER_US / 2;
/// Without anything to count a batch is written so often, to say that the stream lives.
const QUIET_US: u64 = NS_PER_SECOND / NS_PER_US;
/// Kinds of failure: those of the contract and the three headers.
const KINDS: usize = Failure::ALL.len() + 3;

/// The open interval.
#[derive(Debug)]
pub(super) struct Interval {
    from: UtcUs,
    scored: Vec<Counts>,
    unscored: Vec<Counts>,
    pub(super) traced: u64,
    pub(super) untraced: u64,
    pub(super) explained: Vec<Explained>,
    /// When each contestant's next sample of each kind may be kept.
    next_sample: Vec<[UtcUs; KINDS]>,
}

impl Interval {
    pub(super) fn new(contestants: usize, from: UtcUs) -> Interval {
        Interval {
            from,
            scored: vec![Counts::default(); contestants],
            unscored: vec![Counts::default(); contestants],
            traced: 0,
            untraced: 0,
            explained: Vec::new(),
            next_sample: vec![[UtcUs::EPOCH; KINDS]; contestants],
        }
    }

    pub(super) fn add(&mut self, block: &Block) {
        let contestants = block.scored.len().max(self.scored.len());
        self.scored.resize(contestants, Counts::default());
        self.unscored.resize(contestants, Counts::default());
        self.next_sample.resize(contestants, [UtcUs::EPOCH; KINDS]);
        for (ours, theirs) in self.scored.iter_mut().zip(&block.scored) {
            ours.merge(theirs);
        }
        for (ours, theirs) in self.unscored.iter_mut().zip(&block.unscored) {
            ours.merge(theirs);
        }
        self.untraced += block.traces.untraced;
    }

    /// Whether a sample is kept: two a second of each contestant and kind.
    pub(super) fn admits(&mut self, sample: &Sample, plan: &Plan) -> bool {
        let Some(next) = self.next_sample.get_mut(sample.contestant.index()) else { return false };
        let mut admitted = false;
        for kind in kinds(sample, plan) {
            if sample.at >= next[kind] {
                next[kind] = sample.at + SAMPLE_US;
                admitted = true;
            }
        }
        admitted
    }

    /// The batch of the interval that ends now, with what it has no room for, and an empty interval. `None` when there is
    /// nothing to say.
    pub(super) fn close(&mut self, now: UtcUs, last: bool) -> Option<(Batch, Option<Further>)> {
        let to = now.max(self.from);
        let mut batch =
            Batch { from: self.from.0, to: to.0, traced: self.traced, untraced: self.untraced, ..Batch::default() };
        let mut further = Further::default();
        // By contestant, scored before unscored: the order that the journal demands.
        for (contestant, both) in ContestantIndex::all().zip(self.scored.iter_mut().zip(&mut self.unscored)) {
            for (scored, counts) in [(true, both.0), (false, both.1)] {
                let row = &counts.row;
                batch.push(contestant.in_records(), scored, &row.tally, &row.latency, &row.service);
                further.push(contestant.in_records(), scored, &row.tally);
                counts.clear();
            }
        }
        let quiet = batch.entries.is_empty() && batch.traced == 0 && batch.untraced == 0;
        if quiet && !last && to - self.from < QUIET_US {
            return None;
        }
        (self.from, self.traced, self.untraced) = (to, 0, 0);
        Some((batch, (!further.entries.is_empty()).then_some(further)))
    }
}

/// What is wrong with a sample, by number.
fn kinds(sample: &Sample, plan: &Plan) -> impl Iterator<Item = usize> {
    let bits: u16 = match Observation::unpack(sample.observed).map(|observation| observation.outcome) {
        None => 0,
        Some(Outcome::Failed(failure)) => 1 << failure as u16,
        Some(Outcome::Answered(observed)) => crate::engine::contestant::wrong_headers(judge(
            observed,
            &plan.rules,
            plan.schedule.deadlines(sample.sent),
            sample.sent,
        )),
    };
    (0..KINDS).filter(move |kind| bits >> kind & 1 != 0)
}

/// What the bytes of a sample do not say.
fn reason(plan: &Plan, sample: &Sample) -> String {
    match (sample.malformed, sample.tls, sample.missed) {
        (Some(why), ..) => why.to_string(),
        (None, Some(why), _) => why.to_string(),
        (None, None, Some(why)) => wording::missed(why, plan.rules.timeout_us).0,
        (None, None, None) => String::new(),
    }
}

/// When a worker was late, as it is recorded; `None` when it was not.
pub(super) fn late(plan: &Plan, worker: u16, block: &Block) -> Option<Late> {
    let window = |window: &timeouts::LateWindow| LateWindow {
        from: plan.utc_us(window.from).0,
        to: plan.utc_us(window.to).0,
        cause: window.cause as u16,
    };
    let windows: Vec<LateWindow> = block.late.as_slice().iter().map(window).collect();
    (!windows.is_empty()).then_some(Late { worker, windows })
}

/// A sample as it is recorded.
pub(super) fn evidence(requests: &Requests, worker: u16, sample: &Sample) -> Evidence {
    Evidence {
        at: sample.at.0,
        sent: sample.sent.0,
        latency_us: sample.latency_us,
        contestant: sample.contestant.in_records(),
        worker,
        observed: sample.observed,
        skipped: sample.skipped,
        request: requests.sent(sample),
        response: sample.answer().to_vec(),
        reason: reason(requests.plan(), sample).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::trace::Tracing;

    fn block(due: u64) -> Block {
        let mut block = Block::new(2, Tracing::Off);
        block.scored[1].row.tally.due = due;
        block.scored[1].row.tally.missed = due;
        block.scored[1].row.latency.record(5);
        block.traces.untraced = due;
        block
    }

    #[test]
    fn a_batch_is_in_order_when_a_warm_up_meets_a_scored_phase() {
        let mut interval = Interval::new(2, UtcUs::EPOCH);
        let mut both = block(1);
        both.scored[0].row.tally.due = 1;
        both.unscored[0].row.tally.due = 1;
        both.unscored[1].row.tally.due = 1;
        interval.add(&both);
        let (batch, further) = interval.close(UtcUs(1), false).expect("there is something to say");
        assert_eq!(further, None);
        let worker_control: Vec<_> = batch.entries.iter().map(|entry| (entry.contestant, entry.scored)).collect();
        assert_eq!(worker_control, [(0, 1), (0, 0), (1, 1), (1, 0)]);
    }

    #[test]
    fn a_batch_has_what_was_added_since_the_last_one() {
        let mut interval = Interval::new(2, UtcUs(100));
        interval.add(&block(3));
        interval.add(&block(4));
        let (batch, _) = interval.close(UtcUs(150), false).expect("there is something to say");
        assert_eq!((batch.from, batch.to, batch.untraced), (100, 150, 7));
        assert_eq!(batch.entries.len(), 1);
        assert_eq!((batch.entries[0].contestant, batch.entries[0].counters[0]), (1, 7));
        assert_eq!(batch.buckets.len(), 1);
        assert_eq!(interval.close(UtcUs(160), false), None);
        let (quiet, _) = interval.close(UtcUs(150 + QUIET_US), false).expect("it lives");
        assert_eq!((quiet.from, quiet.to, quiet.entries.len()), (150, 150 + QUIET_US, 0));
        assert!(interval.close(UtcUs(160 + QUIET_US), true).is_some());
    }
}
