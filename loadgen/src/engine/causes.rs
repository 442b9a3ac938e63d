//! Why exchanges failed, more exactly than the tally says it: which status, what was malformed. Counted, never sampled.
//!
//! The room is there from the start and never grows. What finds none is counted together.

use crate::engine::http::Malformed;
use crate::engine::index::ContestantIndex;

/// A cause behind one kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A status that is not 2xx.
    Status(u16),
    /// What was wrong with the answer; none: an answer before it on the same connection was malformed.
    Malformed(Option<Malformed>),
}

/// One cause at one contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub contestant: ContestantIndex,
    pub cause: Cause,
    pub count: u64,
}

/// Causes that are told apart: several for each of some dozen endpoints. Looking through all costs less than an answer.
pub const CAUSES: usize = 128;

/// The causes of scored exchanges.
#[derive(Clone, Debug, Default)]
pub struct Causes {
    counted: Vec<Counted>,
    /// Those for which no room was left.
    pub others: u64,
}

impl Causes {
    pub fn with_room() -> Causes {
        Causes { counted: Vec::with_capacity(CAUSES), others: 0 }
    }

    #[cold]
    pub fn add(&mut self, contestant: ContestantIndex, cause: Cause, count: u64) {
        let is_same = |known: &Counted| known.contestant == contestant && known.cause == cause;
        match self.counted.iter().position(is_same) {
            Some(place) => self.counted[place].count += count,
            None if self.counted.len() < CAUSES => self.counted.push(Counted { contestant, cause, count }),
            None => self.others += count,
        }
    }

    pub fn merge(&mut self, other: &Causes) {
        other.counted.iter().for_each(|more| self.add(more.contestant, more.cause, more.count));
        self.others += other.others;
    }

    pub fn clear(&mut self) {
        self.counted.clear();
        self.others = 0;
    }

    pub fn as_slice(&self) -> &[Counted] {
        &self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_add_up_and_what_finds_no_room_is_counted_together() {
        let first = ContestantIndex::FIRST;
        let (mut causes, mut sum) = (Causes::with_room(), Causes::with_room());
        for status in 0..CAUSES as u16 + 2 {
            causes.add(first, Cause::Status(status), 1);
        }
        sum.merge(&causes);
        sum.merge(&causes);
        assert_eq!((sum.as_slice().len(), sum.others), (CAUSES, 4));
        assert!(sum.as_slice().iter().all(|counted| counted.count == 2));
        causes.clear();
        assert!(causes.as_slice().is_empty() && causes.others == 0);
    }
}
