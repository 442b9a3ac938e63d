//! One of equal parts of numbered things. Pure.

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
