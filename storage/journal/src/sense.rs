//! What must hold in a record beyond its checksum, asked by the writer before it writes and by the reader before it
//! believes: lists that are as long as they say, contestants of the roster, numbers in order.
//!
//! Pure. Whether points are right is not asked here; that is the audit's part.

use crate::record::{
    ArchivedBatch, ArchivedDecision, ArchivedEvidence, ArchivedFurther, ArchivedJoin, ArchivedLate, ArchivedStart,
    ArchivedTerms, ArchivedTraces, Kind, Observation, unbucket,
};
use crate::synced::Record;
use flowtest_contract::Tally;
use flowtest_contract::histogram::BUCKETS;
use rkyv::rancor::Failure;

/// Contestants are numbered by u16.
const ROSTER_MAX: usize = 1 << 16;

/// Every value that [`Observation::unpack`] takes is below this.
const OBSERVATIONS: usize = 1 << 10;

/// The record of this kind that stands in an aligned payload. `None` if it is none.
pub(crate) fn access(kind: Kind, payload: &[u8]) -> Option<Record<'_>> {
    Some(match kind {
        Kind::Start => Record::Start(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::Batch => Record::Batch(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::Traces => Record::Traces(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::Evidence => Record::Evidence(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::Control => Record::Control(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::Notice => Record::Notice(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::End => Record::End(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::Late => Record::Late(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::Join => Record::Join(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::Further => Record::Further(rkyv::access::<_, Failure>(payload).ok()?),
        Kind::Decision => Record::Decision(rkyv::access::<_, Failure>(payload).ok()?),
    })
}

/// What is known of a stream up to some record. Copied before a group, so that a refused group leaves no trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sense {
    /// Contestants, once the start was seen: its own, and those who joined.
    roster: Option<usize>,
    ended: bool,
    /// Of the open group.
    records: u64,
    traces: u64,
    /// Traces that the batches of the open group speak of.
    traced: u64,
}

impl Sense {
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn on_record(&mut self, record: &Record<'_>) -> Result<(), String> {
        if self.ended {
            return Err("a record stands behind the end of the stream".into());
        }
        match (self.roster, record) {
            (None, Record::Start(start)) => self.roster = Some(self::start(start)?),
            (None, _) => return Err("a stream begins with its start".into()),
            (Some(_), Record::Start(_)) => return Err("a stream has one start".into()),
            (Some(roster), Record::Batch(batch)) => {
                self::batch(batch, roster)?;
                self.traced = self.traced.saturating_add(batch.traced.to_native());
            }
            (Some(roster), Record::Traces(block)) => {
                traces(block, roster)?;
                self.traces += block.traces.len() as u64;
            }
            (Some(roster), Record::Evidence(shown)) => evidence(shown, roster)?,
            (Some(_), Record::Control(control)) => terms(&control.terms)?,
            (Some(_), Record::Notice(_)) => {}
            (Some(_), Record::Late(late)) => self::late(late)?,
            (Some(roster), Record::Join(join)) => self.roster = Some(self::join(join, roster)?),
            (Some(roster), Record::Further(counters)) => further(counters, roster)?,
            (Some(roster), Record::Decision(decided)) => step(decided, roster)?,
            (Some(_), Record::End(_)) => self.ended = true,
        }
        self.records += 1;
        Ok(())
    }

    /// The open group is complete. `seq` is its number.
    pub(crate) fn on_commit(&mut self, seq: u64) -> Result<(), String> {
        if seq == 1 && self.records != 1 {
            return Err("the first group holds more than the start".into());
        }
        if self.traces != self.traced {
            return Err(format!("{} traces stand in a group whose batches speak of {}", self.traces, self.traced));
        }
        (self.records, self.traces, self.traced) = (0, 0, 0);
        Ok(())
    }
}

/// How many contestants it names.
fn start(start: &ArchivedStart) -> Result<usize, String> {
    terms(&start.terms)?;
    if start.name_lens.len() > ROSTER_MAX {
        return Err(format!("a roster of {} contestants is too long", start.name_lens.len()));
    }
    let mut rest = start.names.as_slice();
    for len in start.name_lens.iter() {
        let (name, after) = rest.split_at_checked(usize::from(len.to_native())).ok_or("a name is cut short")?;
        std::str::from_utf8(name).map_err(|_| "a name is not UTF-8")?;
        rest = after;
    }
    if !rest.is_empty() {
        return Err("there are more bytes of names than names".into());
    }
    Ok(start.name_lens.len())
}

/// How many contestants there are with it.
fn join(join: &ArchivedJoin, roster: usize) -> Result<usize, String> {
    std::str::from_utf8(join.name.as_slice()).map_err(|_| "a name is not UTF-8")?;
    if roster >= ROSTER_MAX {
        return Err(format!("a roster of {} contestants is too long", roster + 1));
    }
    Ok(roster + 1)
}

fn late(late: &ArchivedLate) -> Result<(), String> {
    match late.windows.iter().find(|window| window.from > window.to) {
        Some(_) => Err("a worker's lateness ends before it begins".into()),
        None => Ok(()),
    }
}

fn further(further: &ArchivedFurther, roster: usize) -> Result<(), String> {
    let mut last = None;
    for entry in further.entries.iter() {
        let contestant = contestant(entry.contestant.to_native(), roster)?;
        if entry.scored > 1 {
            return Err("whether a further counter counts is neither yes nor no".into());
        }
        if !(Tally::LEN_FIRST..Tally::LEN).contains(&usize::from(entry.counter)) || entry.count == 0 {
            return Err("a further counter is none, or zero".into());
        }
        let place = (contestant, 1 - entry.scored, entry.counter);
        if last.is_some_and(|last| last >= place) {
            return Err("further counters are not in order".into());
        }
        last = Some(place);
    }
    Ok(())
}

fn step(step: &ArchivedDecision, roster: usize) -> Result<(), String> {
    if step.from > step.to || step.judged >= step.step {
        return Err("a step ends before it begins, or is judged before it was held".into());
    }
    for (place, entry) in step.entries.iter().enumerate() {
        if usize::from(contestant(entry.contestant.to_native(), roster)?) != place {
            return Err("the contestants of a step are not in order".into());
        }
    }
    Ok(())
}

fn terms(terms: &ArchivedTerms) -> Result<(), String> {
    if terms.token_required > 1 {
        return Err("whether the token is required is neither yes nor no".into());
    }
    Ok(())
}

fn batch(batch: &ArchivedBatch, roster: usize) -> Result<(), String> {
    if batch.from > batch.to {
        return Err("a batch ends before it begins".into());
    }
    let mut last = None;
    let mut rest = batch.buckets.as_slice();
    for entry in batch.entries.iter() {
        let contestant = contestant(entry.contestant.to_native(), roster)?;
        if entry.scored > 1 {
            return Err("whether an entry counts is neither yes nor no".into());
        }
        let place = (contestant, 1 - entry.scored);
        if last.is_some_and(|last| last >= place) {
            return Err("the entries of a batch are not in order".into());
        }
        last = Some(place);
        for len in [entry.latency.to_native(), entry.service.to_native()] {
            let (list, after) = rest.split_at_checked(usize::from(len)).ok_or("a batch has too few buckets")?;
            in_order(list)?;
            rest = after;
        }
    }
    if !rest.is_empty() {
        return Err("a batch has more buckets than its entries".into());
    }
    Ok(())
}

/// A sparse histogram: each bucket once, in order, and none of them empty.
fn in_order(list: &[rkyv::primitive::ArchivedU64]) -> Result<(), String> {
    let mut next = 0;
    for packed in list {
        let (index, count) = unbucket(packed.to_native());
        if index < next || index >= BUCKETS || count == 0 {
            return Err("the buckets of an entry are not in order".into());
        }
        next = index + 1;
    }
    Ok(())
}

fn contestant(number: u16, roster: usize) -> Result<u16, String> {
    if usize::from(number) >= roster {
        return Err(format!("contestant {number} is not in a roster of {roster}"));
    }
    Ok(number)
}

fn evidence(shown: &ArchivedEvidence, roster: usize) -> Result<(), String> {
    contestant(shown.contestant.to_native(), roster)?;
    Observation::unpack(shown.observed.to_native()).map(drop).ok_or_else(|| "evidence of something unknown".into())
}

/// Asked of each trace, so it decides by two comparisons and a look-up, without a branch.
fn traces(block: &ArchivedTraces, roster: usize) -> Result<(), String> {
    static KNOWN: std::sync::LazyLock<[bool; OBSERVATIONS]> =
        std::sync::LazyLock::new(|| std::array::from_fn(|bits| Observation::unpack(bits as u16).is_some()));
    let known: &[bool; OBSERVATIONS] = &KNOWN;
    let mut good = true;
    for trace in block.traces.iter() {
        let observed = usize::from(trace.observed.to_native());
        good &= usize::from(trace.contestant.to_native()) < roster;
        good &= observed < OBSERVATIONS && known[observed % OBSERVATIONS];
    }
    if !good {
        return Err(format!("a trace is of something unknown, or of a contestant outside a roster of {roster}"));
    }
    Ok(())
}
