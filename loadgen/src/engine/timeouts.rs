//! How long an exchange may take, and what our own stalls change about that.

use flowtest_contract::Failure;

/// How many of our own stalls are remembered: more than 50 ms each, so that these cover the default timeout.
const STALLS: usize = 64;

/// How long an exchange may take, and what our own stalls add to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub timeout: u64,
    /// (end, length) of our last stalls, the oldest overwritten first.
    stalls: [(u64, u64); STALLS],
    next: usize,
}

impl Timeouts {
    pub fn new(timeout: u64) -> Timeouts {
        Timeouts { timeout, stalls: [(0, 0); STALLS], next: 0 }
    }

    /// Our worker did not run for `gap` until `now`.
    pub fn on_stall(&mut self, now: u64, gap: u64) {
        self.stalls[self.next] = (now, gap);
        self.next = (self.next + 1) % STALLS;
    }

    /// Whether something begun at `started` is late: each stall since then is added to its timeout.
    #[inline]
    pub fn is_late(&self, started: u64, now: u64) -> bool {
        now > started + self.timeout
            && now > started + self.timeout + self.since(started).map(|(_, gap)| gap).sum::<u64>()
    }

    /// What failed although it began before a single stall above half the timeout failed by our own fault.
    pub fn blames_us(&self, started: u64) -> bool {
        self.since(started).any(|(_, gap)| gap > self.timeout / 2)
    }

    fn since(&self, started: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.stalls.iter().copied().filter(move |(end, _)| *end > started)
    }

    /// What a failure of something begun at `started` is called.
    pub fn failure(&self, started: u64, failure: Failure) -> Failure {
        if self.blames_us(started) { Failure::OwnFault } else { failure }
    }
}
