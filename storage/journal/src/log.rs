//! Records in, operations on files out: what is written where, in which order, and what a failure means.
//!
//! Sans-I/O. The writer executes [`Step`]s on glommio, the crash model on a disk made of memory. Rules:
//!
//! - a group is written after the one before it was synced, and never straddles segments;
//! - what was synced is never written again;
//! - a segment whose write or sync failed is never synced again: its group goes to a new one;
//! - a new segment has its header, and the folder the segment's name, on disk before the first group;
//! - a segment that failed before its first group was synced is given up; the next one does not go on from it.

pub use crate::header::SEGMENT_BYTES;

use crate::JournalError;
use crate::frame::{BLOCK, Chain, Seed, origin};
use crate::group::Group;
use crate::header::{Header, Previous};
use crate::record::{
    Batch, Control, Decision, DecisionEntry, End, Entry, Evidence, FORMAT, Further, FurtherEntry, Join, Kind, Late,
    LateWindow, Notice, Start, Trace,
};
use crate::sense::Sense;
use crate::stream::{Found, StreamFolder, Tail};
use flowtest_contract::{RoundId, StreamId};
use rkyv::with::AsOwned;
use rkyv::{Archive, Serialize};
use std::borrow::Cow;

/// More than what a record takes beside its lists.
const RECORD_BYTES: usize = 256;

/// One operation. They are executed in order; after one that fails, none of the others is.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Gives back what the segment does not need beyond `len`. It may fail, and a crash may undo it.
    Cut { index: u32, len: u64 },
    /// Makes the file and sets `size` bytes aside, as zeros.
    Create { index: u32, size: u64 },
    /// Writes whole blocks.
    Write { index: u32, at: u64, bytes: Cow<'a, [u8]> },
    /// Returns when all that was written to the segment will survive a crash.
    Sync { index: u32 },
    /// Returns when the names in the stream's folder will survive a crash.
    SyncFolder,
}

/// A segment that can take groups.
#[derive(Clone, Copy, Debug)]
struct Open {
    index: u32,
    /// Where the next group starts. All before it is synced.
    end: u64,
    size: u64,
}

/// A closed group, and where it goes. Either [`Log::committed`] or [`Log::failed`] takes it.
#[derive(Clone, Copy, Debug)]
struct Plan {
    chain: Chain,
    into: Open,
    creates: bool,
}

/// The state of a stream's one writer.
#[derive(Debug)]
pub struct Log {
    round: RoundId,
    stream: StreamId,
    /// Of the last synced group.
    seq: u64,
    chain: Chain,
    group: Group,
    open: Option<Open>,
    /// The segment that holds the last synced group, and where that ends. Not looked at while one is open.
    last: Option<Previous>,
    /// A segment of ours that is to be cut before the next one is made.
    to_cut: Option<Previous>,
    free_index: u32,
    plan: Option<Plan>,
}

impl Log {
    /// A stream that has nothing on disk.
    pub fn begin(round: RoundId, stream: StreamId) -> Log {
        Log {
            round,
            stream,
            seq: 0,
            chain: origin(round, stream),
            group: Group::new(Seed::new(stream), Sense::default()),
            open: None,
            last: None,
            to_cut: None,
            free_index: 0,
            plan: None,
        }
    }

    /// A stream that was read to its end, by somebody who holds its lock. It goes on in a new segment. Refuses one that
    /// never began, has its end, or is damaged.
    ///
    /// # Errors
    /// [`JournalError::NeverBegan`], [`JournalError::Ended`] and [`JournalError::Damaged`].
    pub fn go_on(folder: &StreamFolder, found: &Found) -> Result<Log, JournalError> {
        let path = folder.path.clone();
        match &found.tail {
            Tail::Ended => return Err(JournalError::Ended { path }),
            Tail::Damaged { segment, at, why } => {
                return Err(JournalError::Damaged { path, segment: *segment, at: *at, why: why.clone() });
            }
            Tail::Open | Tail::Torn { .. } if found.last_seq == 0 => return Err(JournalError::NeverBegan { path }),
            Tail::Open | Tail::Torn { .. } => {}
        }
        Ok(Log {
            seq: found.last_seq,
            chain: found.chain,
            group: Group::new(Seed::new(folder.stream), found.sense),
            last: found.last,
            free_index: found.free_index,
            ..Log::begin(folder.round, folder.stream)
        })
    }

    /// The number of the last synced group.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The digest of everything that is synced.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Bytes of the open group.
    pub fn open_bytes(&self) -> usize {
        self.group.len()
    }

    pub fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Whether the open group, or one before it, holds the end.
    pub fn is_ended(&self) -> bool {
        self.group.is_ended()
    }

    /// # Errors
    /// [`JournalError::GroupFull`]: commit first. [`JournalError::Refused`]: no reader would take it. The group is then as it
    /// was before.
    pub fn append_start(&mut self, start: &Start) -> Result<(), JournalError> {
        let lists = [start.contest.len(), start.names.len(), 2 * start.name_lens.len(), start.document.len()];
        self.group.append(Kind::Start, start, sized(lists) + start.program.len())
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_batch(&mut self, batch: &Batch) -> Result<(), JournalError> {
        let lists = [batch.entries.len() * size_of::<<Entry as Archive>::Archived>(), 8 * batch.buckets.len()];
        self.group.append(Kind::Batch, batch, sized(lists))
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_traces(&mut self, worker: u16, base: u64, traces: &[Trace]) -> Result<(), JournalError> {
        let lent = LentTraces { base, worker, traces: Cow::Borrowed(traces) };
        self.group.append(Kind::Traces, &lent, sized([size_of_val(traces)]))
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_evidence(&mut self, evidence: &Evidence) -> Result<(), JournalError> {
        let lists = [evidence.request.len(), evidence.response.len(), evidence.reason.len()];
        self.group.append(Kind::Evidence, evidence, sized(lists))
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_control(&mut self, control: &Control) -> Result<(), JournalError> {
        self.group.append(Kind::Control, control, sized([control.document.len()]))
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_notice(&mut self, notice: &Notice) -> Result<(), JournalError> {
        self.group.append(Kind::Notice, notice, sized([notice.text.len()]))
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_late(&mut self, late: &Late) -> Result<(), JournalError> {
        self.group.append(Kind::Late, late, sized([late.windows.len() * size_of::<LateWindow>()]))
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_join(&mut self, join: &Join) -> Result<(), JournalError> {
        self.group.append(Kind::Join, join, sized([join.name.len()]))
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_further(&mut self, further: &Further) -> Result<(), JournalError> {
        self.group.append(Kind::Further, further, sized([further.entries.len() * size_of::<FurtherEntry>()]))
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_decision(&mut self, decision: &Decision) -> Result<(), JournalError> {
        self.group.append(Kind::Decision, decision, sized([decision.entries.len() * size_of::<DecisionEntry>()]))
    }

    /// # Errors
    /// As [`Log::append_start`].
    pub fn append_end(&mut self, end: &End) -> Result<(), JournalError> {
        self.group.append(Kind::End, end, sized([]))
    }

    /// Closes the open group, which must not be empty, and decides where it goes. `size` is what is set aside if that
    /// is a new segment; it is never less than what the group needs.
    ///
    /// A plan before this one that was never settled has failed.
    ///
    /// # Errors
    /// [`JournalError::Refused`] when the batches of the group do not count its traces. Nothing is planned then.
    pub fn plan(&mut self, size: u64) -> Result<(), JournalError> {
        assert!(!self.group.is_empty(), "an empty group is not written");
        self.failed();
        let chain = self.group.close(self.seq + 1, self.chain)?;
        let needed = self.group.blocks().len() as u64;
        let plan = match self.open {
            Some(open) if open.end + needed <= open.size => Plan { chain, into: open, creates: false },
            _ => {
                self.give_up_open();
                let index = self.free_index;
                self.free_index += 1;
                let size = size.max(BLOCK as u64 + needed);
                Plan { chain, into: Open { index, end: BLOCK as u64, size }, creates: true }
            }
        };
        self.plan = Some(plan);
        Ok(())
    }

    /// What is to be done for the plan.
    pub fn steps(&self) -> Vec<Step<'_>> {
        let Some(Plan { into, creates, .. }) = self.plan else {
            return Vec::new();
        };
        let index = into.index;
        let mut steps = Vec::with_capacity(7);
        if creates {
            steps.extend(self.to_cut.map(|Previous { index, len }| Step::Cut { index, len }));
            let header = Header {
                round: self.round,
                stream: self.stream,
                index,
                format: FORMAT,
                first_seq: self.seq + 1,
                previous: self.last,
                chain: self.chain,
            };
            steps.push(Step::Create { index, size: into.size });
            steps.push(Step::Write { index, at: 0, bytes: Cow::Owned(header.encode()) });
            steps.push(Step::Sync { index });
            steps.push(Step::SyncFolder);
        }
        steps.push(Step::Write { index, at: into.end, bytes: Cow::Borrowed(self.group.blocks()) });
        steps.push(Step::Sync { index });
        steps
    }

    /// Every step of the plan succeeded. Returns the number of the group.
    pub fn committed(&mut self) -> u64 {
        let plan = self.plan.take().expect("steps are taken from a plan");
        self.seq += 1;
        self.chain = plan.chain;
        self.open = Some(Open { end: plan.into.end + self.group.blocks().len() as u64, ..plan.into });
        if plan.creates {
            self.to_cut = None;
        }
        self.group.next(self.seq);
        self.seq
    }

    /// A step of the plan failed. The group is open as before, and goes to a new segment. Returns the segment that was
    /// to be made, which may be removed: nothing of it was acknowledged, and nothing will go on from it.
    pub fn failed(&mut self) -> Option<u32> {
        let plan = self.plan.take()?;
        if plan.creates {
            self.to_cut = None;
            return Some(plan.into.index);
        }
        self.give_up_open();
        None
    }

    /// What is left to do when nothing more will be written. Not after a failure: that segment is not synced again.
    pub fn finish(&self) -> Vec<Step<'_>> {
        match self.open {
            Some(Open { index, end, .. }) => vec![Step::Cut { index, len: end }, Step::Sync { index }],
            None => Vec::new(),
        }
    }

    /// Nothing more goes to the open segment. What was synced in it stays.
    fn give_up_open(&mut self) {
        if let Some(open) = self.open.take() {
            let last = Previous { index: open.index, len: open.end };
            (self.last, self.to_cut) = (Some(last), Some(last));
        }
    }
}

fn sized<const N: usize>(lists: [usize; N]) -> usize {
    // Each list may be aligned, and the record itself after them.
    lists.iter().fold(RECORD_BYTES, |sum, bytes| sum.saturating_add(*bytes))
}

/// [`crate::record::Traces`] of a slice: archived alike, without a list of its own.
#[derive(Archive, Serialize)]
struct LentTraces<'a> {
    base: u64,
    worker: u16,
    #[rkyv(with = AsOwned)]
    traces: Cow<'a, [Trace]>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Terms, Traces};
    use flowtest_contract::rules::{Deadlines, Rules};

    fn log_of_one() -> Log {
        let mut log = Log::begin(RoundId::from_bits(1), StreamId::from_bits(2));
        let mut start = Start {
            at: 1,
            clock_offset_us: 0,
            clock_error_us: 0,
            terms: Terms::new(&Rules::default(), &Deadlines::default()),
            contest: b"finals".to_vec(),
            names: Vec::new(),
            name_lens: Vec::new(),
            document: Vec::new(),
            program: Vec::new(),
        };
        start.set_names(["alice"]);
        log.append_start(&start).expect("a start");
        log
    }

    fn batch() -> Batch {
        Batch { from: 1, to: 2, ..Batch::default() }
    }

    fn commit(log: &mut Log) -> u64 {
        log.plan(SEGMENT_BYTES as u64).expect("a group");
        log.committed()
    }

    fn names(steps: &[Step<'_>]) -> Vec<String> {
        let name = |step: &Step<'_>| match step {
            Step::Cut { index, .. } => format!("cut {index}"),
            Step::Create { index, .. } => format!("create {index}"),
            Step::Write { index, at, .. } => format!("write {index} at {at}"),
            Step::Sync { index } => format!("sync {index}"),
            Step::SyncFolder => "sync folder".into(),
        };
        steps.iter().map(name).collect()
    }

    #[test]
    fn lent_traces_are_archived_as_traces() {
        let traces = vec![Trace { sent_us: -1, latency_us: 2, lag_us: 3, contestant: 4, observed: 5 }; 3];
        let owned = Traces { base: 7, worker: 8, traces: traces.clone() };
        let lent = LentTraces { base: 7, worker: 8, traces: Cow::Borrowed(&traces) };
        let bytes = |record: Result<AlignedBytes, rkyv::rancor::Error>| record.expect("archives").to_vec();
        assert_eq!(bytes(rkyv::to_bytes(&owned)), bytes(rkyv::to_bytes(&lent)));
    }

    type AlignedBytes = rkyv::util::AlignedVec;

    #[test]
    fn the_first_group_makes_a_segment_and_the_second_goes_on_in_it() {
        let mut log = log_of_one();
        log.plan(SEGMENT_BYTES as u64).expect("a group");
        let made = ["create 0", "write 0 at 0", "sync 0", "sync folder", "write 0 at 4096", "sync 0"];
        assert_eq!(names(&log.steps()), made);
        assert_eq!(log.committed(), 1);
        log.append_batch(&batch()).expect("a batch");
        log.plan(SEGMENT_BYTES as u64).expect("a group");
        assert_eq!(names(&log.steps()), ["write 0 at 8192", "sync 0"]);
        assert_eq!(log.committed(), 2);
        assert_eq!(names(&log.finish()), ["cut 0", "sync 0"]);
    }

    #[test]
    fn a_failed_group_goes_to_a_new_segment_with_what_came_later() {
        let mut log = log_of_one();
        commit(&mut log);
        log.append_batch(&batch()).expect("a batch");
        log.plan(SEGMENT_BYTES as u64).expect("a group");
        log.failed();
        log.append_notice(&Notice { at: 2, code: 4, text: Vec::new() }).expect("still open");
        log.plan(SEGMENT_BYTES as u64).expect("a group");
        let steps = names(&log.steps());
        assert_eq!(steps[..2], ["cut 0", "create 1"]);
        assert!(!steps.contains(&"sync 0".to_owned()), "never synced again");
        assert_eq!(log.committed(), 2);
    }

    #[test]
    fn a_segment_that_cannot_be_made_is_given_up() {
        let mut log = log_of_one();
        commit(&mut log);
        log.append_batch(&batch()).expect("a batch");
        log.plan(SEGMENT_BYTES as u64).expect("a group");
        log.failed();
        log.plan(SEGMENT_BYTES as u64).expect("a group");
        log.failed();
        log.plan(0).expect("a group");
        let steps = log.steps();
        assert_eq!(names(&steps)[..2], ["create 2", "write 2 at 0"]);
        assert!(matches!(steps[0], Step::Create { size: 8192, .. }), "no more than it needs: {:?}", steps[0]);
        let Step::Write { bytes, .. } = &steps[1] else { panic!("a header") };
        let header = Header::parse(bytes).expect("a header");
        assert_eq!(header.previous, Some(Previous { index: 0, len: 8192 }), "it goes on from the last that counts");
    }

    #[test]
    fn what_a_reader_would_not_take_is_refused_and_leaves_the_group_as_it_was() {
        let mut log = log_of_one();
        let before = log.open_bytes();
        let one = [Trace { contestant: 1, ..Trace::default() }];
        assert!(matches!(log.append_traces(0, 0, &one), Err(JournalError::Refused { .. })), "no such contestant");
        assert_eq!(log.open_bytes(), before);
        commit(&mut log);
        log.append_batch(&Batch { traced: 1, ..batch() }).expect("a batch");
        assert!(matches!(log.plan(0), Err(JournalError::Refused { .. })), "its trace is missing");
        log.append_traces(0, 0, &[Trace::default()]).expect("the trace");
        assert_eq!(commit(&mut log), 2);
        log.append_end(&End { at: 3, code: 1 }).expect("the end");
        assert!(matches!(log.append_batch(&batch()), Err(JournalError::Refused { .. })), "behind the end");
    }

    #[test]
    fn a_group_is_never_longer_than_a_segment() {
        let mut log = log_of_one();
        commit(&mut log);
        let many = vec![Trace::default(); 1 << 20];
        let mut taken = 0;
        while log.append_traces(0, 0, &many).is_ok() {
            taken += many.len() as u64;
        }
        assert_eq!(taken, 3 << 20);
        log.append_batch(&Batch { traced: taken, ..batch() }).expect("there is room for it");
        log.plan(0).expect("a group");
        assert!(log.group.blocks().len() + BLOCK <= SEGMENT_BYTES);
    }
}
