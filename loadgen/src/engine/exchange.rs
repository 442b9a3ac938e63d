//! One request from the moment it takes a slot until its outcome, and the queue that a slot keeps of them.

use flowtest_contract::token::{TOKEN_LEN, Token};

/// A request from the moment it takes a slot. Instants are nanoseconds of the run clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When the plan wanted it sent.
    pub intended: u64,
    /// When it took the slot: its timeout counts from here.
    pub started: u64,
    /// When it was handed to the kernel, the last time. Zero before.
    pub sent: u64,
    /// The token that it carries now. Kept, not computed again: an AES block costs more than the whole fast path of the
    /// parser, and 32 bytes beside the other fields cost nothing (docs/decisions/0002-token-kept.md).
    pub(crate) token: Token,
    /// Its phase counts.
    pub scored: bool,
    /// It was sent once more by the keep-alive rule.
    pub resent: bool,
}

impl Exchange {
    pub fn new(intended: u64, started: u64, scored: bool) -> Exchange {
        Exchange { intended, started, sent: 0, token: Token([0; TOKEN_LEN]), scored, resent: false }
    }
}

/// A queue of fixed capacity: no allocation after start.
#[derive(Debug)]
pub(crate) struct Fifo {
    items: Box<[Exchange]>,
    head: usize,
    len: usize,
}

impl Fifo {
    pub(crate) fn new(capacity: usize) -> Fifo {
        let capacity = capacity.max(1).next_power_of_two();
        Fifo { items: vec![Exchange::new(0, 0, false); capacity].into_boxed_slice(), head: 0, len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn at(&self, index: usize) -> usize {
        (self.head + index) & (self.items.len() - 1)
    }

    #[inline]
    pub(crate) fn push(&mut self, exchange: Exchange) {
        assert!(self.len < self.items.len(), "a slot holds no more than its pipeline");
        let at = self.at(self.len);
        self.items[at] = exchange;
        self.len += 1;
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<&Exchange> {
        (self.len > 0).then(|| &self.items[self.head])
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Exchange> {
        (index < self.len).then(|| {
            let at = self.at(index);
            &mut self.items[at]
        })
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Exchange> {
        let front = *self.front()?;
        self.head = self.at(1);
        self.len -= 1;
        Some(front)
    }

    /// Removes the `index`-th and closes the gap.
    pub(crate) fn remove(&mut self, index: usize) -> Exchange {
        assert!(index < self.len);
        let removed = self.items[self.at(index)];
        for later in index + 1..self.len {
            let (from, to) = (self.at(later), self.at(later - 1));
            self.items[to] = self.items[from];
        }
        self.len -= 1;
        removed
    }
}
