//! One stream's cumulative rows, as its generator would have published them.

use crate::journal::audit::decided::Decided;
use crate::journal::folders;
use flowtest_contract::row::COUNT_MAX;
use flowtest_contract::{Histogram, Row, StreamId, Tally, utc_us};
use flowtest_journal::JournalError;
use flowtest_journal::record::{ArchivedBatch, ArchivedFurther, End, EndCode, unbucket};
use flowtest_journal::stream::{self, Found, Record, StreamFolder, Tail};
use flowtest_journal::writer::{self, Writer};
use std::sync::Arc;

/// A stream and what it counts.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    pub(super) folder: StreamFolder,
    /// Its writer lives.
    pub(super) live: bool,
    pub(super) found: Found,
    /// Contest and roster; `None` when it never began, or is damaged at its first record.
    pub(super) names: Option<(String, Vec<String>)>,
    /// Scored phases, in the order of the roster. Who counted nothing costs no memory: a roster may be long.
    pub(super) rows: Vec<Option<Box<Row>>>,
    /// The number of the last group that counts anything.
    pub(super) last_counted: u64,
    /// The contest as JSON, and what was decided of steps.
    pub(super) document: Vec<u8>,
    pub(super) decided: Vec<Decided>,
    /// Its sums are larger than Redis holds.
    pub(super) overflows: bool,
}

impl Journal {
    pub(super) fn read(folder: &StreamFolder, progress: &dyn Fn(u64)) -> Result<Journal, JournalError> {
        let live = stream::is_live(folder)?;
        let (mut names, mut rows, mut last_counted, mut fits) = (None, Vec::new(), 0, true);
        let (mut document, mut decided) = (Vec::new(), Vec::new());
        let found = stream::read(folder, |group| {
            for record in &group.records {
                match record {
                    Record::Start(start) => {
                        let (contest, roster) = folders::names(start);
                        rows = vec![None; roster.len()];
                        document = start.document.to_vec();
                        names = Some((contest, roster));
                    }
                    Record::Join(join) => {
                        rows.push(None);
                        names.iter_mut().for_each(|(_, roster)| roster.push(folders::joined(join)));
                    }
                    Record::Batch(batch) => {
                        fits &= add(&mut rows, batch);
                        if !batch.entries.is_empty() {
                            last_counted = group.seq;
                        }
                    }
                    Record::Further(further) => fits &= add_further(&mut rows, further),
                    Record::Decision(decision) => decided.push(Decided::new(decision)),
                    Record::Traces(block) => progress(size_of_val(block.traces.as_slice()) as u64),
                    Record::Evidence(_) | Record::Control(_) | Record::Notice(_) | Record::Late(_) | Record::End(_) => {
                    }
                }
            }
        })?;
        let total = |histogram: &Histogram| histogram.sparse().fold(0u64, |sum, (_, count)| sum.saturating_add(count));
        fits &= rows.iter().flatten().all(|row| total(&row.latency).max(total(&row.service)) <= COUNT_MAX);
        let overflows = !fits;
        Ok(Journal { folder: folder.clone(), live, found, names, rows, last_counted, document, decided, overflows })
    }

    /// All rows, as Redis gets them.
    pub(super) fn all_rows(&self) -> Arc<[Row]> {
        self.rows.iter().map(|row| row.as_deref().cloned().unwrap_or_default()).collect()
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.found.tail, Tail::Ended)
    }

    /// Its process died before it registered anywhere.
    pub(super) fn never_began(&self) -> bool {
        !self.live && self.found.last_seq == 0 && !self.is_damaged()
    }

    /// Its process cannot be said to have died early, for a writer leaves at least a header: not a byte is left of it.
    pub(super) fn is_lost(&self, but: &[StreamId]) -> bool {
        self.never_began() && folders::bytes(&self.folder) == 0 && !but.contains(&self.folder.stream)
    }

    pub(super) fn is_damaged(&self) -> bool {
        matches!(self.found.tail, Tail::Damaged { .. })
    }
}

/// Adds the scored entries of a batch. `false` when a sum is too large or an entry makes no sense.
fn add(rows: &mut [Option<Box<Row>>], batch: &ArchivedBatch) -> bool {
    let mut fits = true;
    let mut at = 0;
    for entry in batch.entries.iter() {
        let (latency, service) = (usize::from(entry.latency.to_native()), usize::from(entry.service.to_native()));
        let (middle, end) = (at + latency, at + latency + service);
        let (Some(latencies), Some(services)) = (batch.buckets.get(at..middle), batch.buckets.get(middle..end)) else {
            return false;
        };
        at = end;
        if entry.scored == 0 {
            continue;
        }
        let Some(row) = rows.get_mut(usize::from(entry.contestant.to_native())) else { return false };
        let row = row.get_or_insert_default();
        let mut sums = row.tally.to_array();
        for (sum, count) in sums.iter_mut().zip(&entry.counters) {
            *sum = sum.saturating_add(count.to_native());
            fits &= *sum <= COUNT_MAX;
        }
        row.tally = Tally::from_array(sums);
        for (histogram, buckets) in [(&mut row.latency, latencies), (&mut row.service, services)] {
            for packed in buckets {
                let (index, count) = unbucket(packed.to_native());
                fits &= histogram.add_bucket(index, count);
            }
        }
    }
    fits
}

/// The same of counters that a batch has no room for.
fn add_further(rows: &mut [Option<Box<Row>>], further: &ArchivedFurther) -> bool {
    further.entries.iter().filter(|entry| entry.scored != 0).all(|entry| {
        let Some(row) = rows.get_mut(usize::from(entry.contestant.to_native())) else { return false };
        let tally = &mut row.get_or_insert_default().tally;
        entry.add_to(tally) && tally.to_array().iter().all(|count| *count <= COUNT_MAX)
    })
}

/// Ends a stream whose writer is gone. It may have fewer groups afterwards than were seen before: what was never on the
/// disk, though it could be read, is dropped.
pub(super) fn close(folder: &StreamFolder) -> Result<(), JournalError> {
    let folder = folder.clone();
    let adopt = async move || {
        let mut writer = Writer::adopt(&folder).await?;
        writer.append_end(&End { at: utc_us().0, code: EndCode::Abandoned as u16 })?;
        writer.commit().await?;
        writer.close().await
    };
    // The kernel is asked for a ring by the thread that calls; when that ring goes, it interrupts whatever this thread waits
    // for by then (EINTR, seen on Linux 6.18), such as an answer from Redis. So another thread calls.
    let work = move || writer::spawn(None, adopt)?.join()?;
    let stopped = |_| JournalError::Executor { why: "its thread panicked".to_owned() };
    std::thread::spawn(work).join().map_err(stopped)?
}
