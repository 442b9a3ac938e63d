//! A coarse wheel of wake-up instants, looked at once per turn (CONTRIBUTING.md, rule 7 of the ring).
//!
//! Each slot is in the wheel at most once and is not moved when its deadline does: when its bucket comes up, the owner
//! looks at the real deadline and puts it back. A request therefore costs nothing here, and a slot one look per timeout.

use crate::engine::clock::RunInstant;

/// Buckets. With a tick of timeout / 256 the wheel reaches two timeouts ahead.
const BUCKETS: usize = 512;
const NONE: u32 = u32::MAX;

/// The wheel.
#[derive(Debug)]
pub struct Wheel {
    tick: u64,
    /// The first tick that has not been looked at.
    cursor: u64,
    heads: Box<[u32]>,
    next: Box<[u32]>,
    member: Box<[bool]>,
}

impl Wheel {
    pub fn new(slots: u32, timeout: u64, now: RunInstant) -> Wheel {
        let tick = (timeout / 256).clamp(500_000, 1_000_000_000);
        Wheel {
            tick,
            cursor: now.ns() / tick,
            heads: vec![NONE; BUCKETS].into_boxed_slice(),
            next: vec![NONE; slots as usize].into_boxed_slice(),
            member: vec![false; slots as usize].into_boxed_slice(),
        }
    }

    /// Wakes the slot at `at` or up to a tick later. Does nothing for a slot that is in the wheel.
    #[inline]
    pub fn insert(&mut self, slot: u32, at: RunInstant) {
        if self.member[slot as usize] {
            return;
        }
        self.member[slot as usize] = true;
        // A deadline beyond the wheel's reach is looked at early and put back.
        let tick = (at.ns() / self.tick + 1).clamp(self.cursor, self.cursor + BUCKETS as u64 - 1);
        let bucket = (tick % BUCKETS as u64) as usize;
        self.next[slot as usize] = self.heads[bucket];
        self.heads[bucket] = slot;
    }

    /// The next slot whose bucket has come up; it has left the wheel. At most one whole turn of the wheel is made.
    pub fn pop(&mut self, now: RunInstant) -> Option<u32> {
        let last = now.ns() / self.tick;
        if last >= self.cursor + BUCKETS as u64 {
            self.cursor = last - BUCKETS as u64 + 1;
        }
        while self.cursor <= last {
            let bucket = (self.cursor % BUCKETS as u64) as usize;
            let slot = self.heads[bucket];
            if slot != NONE {
                self.heads[bucket] = self.next[slot as usize];
                self.member[slot as usize] = false;
                return Some(slot);
            }
            self.cursor += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_slot_wakes_after_its_instant_within_a_tick(at in 0u64..4_000_000_000, step in 100_000u64..50_000_000) {
            let timeout = 3_000_000_000;
            let mut wheel = Wheel::new(4, timeout, RunInstant::START);
            let at = RunInstant::from_ns(at);
            wheel.insert(3, at);
            let mut now = RunInstant::START;
            let woke = loop {
                match wheel.pop(now) {
                    Some(slot) => { prop_assert_eq!(slot, 3); break now; }
                    None => now = now + step,
                }
            };
            prop_assert!(woke >= at && woke <= at + 2 * (timeout / 256) + step);
            prop_assert_eq!(wheel.pop(now + 10_000_000_000), None);
        }
    }

    #[test]
    fn a_long_gap_loses_nobody() {
        let mut wheel = Wheel::new(3, 1_000_000_000, RunInstant::START);
        for slot in 0..3 {
            wheel.insert(slot, RunInstant::from_ns(u64::from(slot) * 400_000_000));
        }
        let mut woken: Vec<u32> = std::iter::from_fn(|| wheel.pop(RunInstant::from_ns(100_000_000_000))).collect();
        woken.sort_unstable();
        assert_eq!(woken, [0, 1, 2]);
    }
}
