//! What Redis holds of a round, and may lose: the answers of `put`, `register` and `seal` on absolute rows.

use flowtest_contract::{StreamId, Tally};
use std::collections::BTreeMap;

/// Cumulative counters by contestant.
pub(crate) type Rows = Vec<(u16, [u64; Tally::LEN_FIRST])>;

/// One delivery. It may arrive late, or again.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) stream: StreamId,
    pub(crate) seq: u64,
    pub(crate) rows: Rows,
    pub(crate) is_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok,
    Dup,
    Unknown,
    Closed,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Redis {
    /// Forgotten by a wipe.
    pub(crate) streams: BTreeMap<StreamId, Held>,
    pub(crate) is_sealed: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    seq: u64,
    ended: Option<u64>,
    rows: BTreeMap<u16, [u64; Tally::LEN_FIRST]>,
}

impl Redis {
    pub(crate) fn register(&mut self, stream: StreamId) {
        if !self.is_sealed {
            self.streams.entry(stream).or_default();
        }
    }

    pub(crate) fn put(&mut self, put: &Put) -> Answer {
        let Some(held) = self.streams.get_mut(&put.stream) else {
            return Answer::Unknown;
        };
        if held.ended.is_some_and(|ended| put.seq <= ended) {
            return Answer::Dup;
        }
        if held.ended.is_some() || self.is_sealed {
            return Answer::Closed;
        }
        if put.seq < held.seq || (put.seq == held.seq && !put.is_end) {
            return Answer::Dup;
        }
        held.rows.extend(put.rows.iter().copied());
        held.seq = put.seq;
        held.ended = put.is_end.then_some(put.seq);
        Answer::Ok
    }

    /// `true` when every registered stream has put its end.
    pub(crate) fn seal(&mut self) -> bool {
        self.is_sealed = !self.streams.is_empty() && self.streams.values().all(|held| held.ended.is_some());
        self.is_sealed
    }

    /// The sum over streams.
    pub(crate) fn totals(&self) -> Rows {
        let mut totals = BTreeMap::new();
        for (contestant, row) in self.streams.values().flat_map(|held| &held.rows) {
            let sum = totals.entry(*contestant).or_insert([0; Tally::LEN_FIRST]);
            sum.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
        }
        totals.into_iter().collect()
    }
}
