//! A coarse wheel of wake-up instants, looked at once per turn (CONTRIBUTING.md, rule 7 of the ring).
//!
//! Each slot, and each contestant that something waits for, is in the wheel at most once and is not moved when its deadline
//! does: when its bucket comes up, the owner looks at the real deadline and puts it back. A request therefore costs nothing
//! here, and a slot one look per timeout.

use crate::engine::clock::RunInstant;
use crate::engine::index::{ContestantIndex, Key, RingSlot};

/// Buckets. With a tick of timeout / 256 the wheel reaches two timeouts ahead.
const BUCKETS: usize = 512;
const NONE: u32 = u32::MAX;

/// Who wants to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleeper {
    /// What is in flight there may be too late, or its rest be over.
    Slot(RingSlot),
    /// The oldest request that waits for a connection of it may be too late.
    Contestant(ContestantIndex),
}

#[derive(Debug)]
pub struct Wheel {
    tick: u64,
    /// Places of slots; behind them each contestant has one.
    slots: u32,
    /// The first tick that has not been looked at.
    cursor: u64,
    heads: Box<[u32]>,
    next: Box<[u32]>,
    member: Box<[bool]>,
}

impl Wheel {
    pub fn new(slots: u32, contestants: usize, timeout: u64, now: RunInstant) -> Wheel {
        let tick = (timeout / 256).clamp(500_000, 1_000_000_000);
        let places = slots as usize + contestants;
        Wheel {
            tick,
            slots,
            cursor: now.ns() / tick,
            heads: vec![NONE; BUCKETS].into_boxed_slice(),
            next: vec![NONE; places].into_boxed_slice(),
            member: vec![false; places].into_boxed_slice(),
        }
    }

    /// There are so many contestants at least.
    pub fn grow(&mut self, contestants: usize) {
        let places = self.slots as usize + contestants;
        let longer = |list: &mut Box<[u32]>| {
            let mut items = std::mem::take(list).into_vec();
            items.resize(places.max(items.len()), NONE);
            *list = items.into_boxed_slice();
        };
        longer(&mut self.next);
        let mut member = std::mem::take(&mut self.member).into_vec();
        member.resize(self.next.len(), false);
        self.member = member.into_boxed_slice();
    }

    /// Wakes it at `at` or up to a tick later. Does nothing for one that is in the wheel.
    #[inline]
    pub fn insert(&mut self, sleeper: Sleeper, at: RunInstant) {
        let place = match sleeper {
            Sleeper::Slot(slot) => slot.number(),
            Sleeper::Contestant(contestant) => self.slots + contestant.index() as u32,
        };
        if self.member[place as usize] {
            return;
        }
        self.member[place as usize] = true;
        // A deadline beyond the wheel's reach is looked at early and put back.
        let tick = (at.ns() / self.tick + 1).clamp(self.cursor, self.cursor + BUCKETS as u64 - 1);
        let bucket = (tick % BUCKETS as u64) as usize;
        self.next[place as usize] = self.heads[bucket];
        self.heads[bucket] = place;
    }

    /// The next one whose bucket has come up; it has left the wheel. At most one whole turn of the wheel is made.
    pub fn pop(&mut self, now: RunInstant) -> Option<Sleeper> {
        let last = now.ns() / self.tick;
        if last >= self.cursor + BUCKETS as u64 {
            self.cursor = last - BUCKETS as u64 + 1;
        }
        while self.cursor <= last {
            let bucket = (self.cursor % BUCKETS as u64) as usize;
            let place = self.heads[bucket];
            if place != NONE {
                self.heads[bucket] = self.next[place as usize];
                self.member[place as usize] = false;
                return Some(match place.checked_sub(self.slots) {
                    None => Sleeper::Slot(RingSlot::from_number(place)),
                    Some(index) => Sleeper::Contestant(ContestantIndex::from_index(index as usize)),
                });
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
            let mut wheel = Wheel::new(4, 0, timeout, RunInstant::START);
            let at = RunInstant::from_ns(at);
            let sleeper = Sleeper::Slot(RingSlot::from_number(3));
            wheel.insert(sleeper, at);
            let mut now = RunInstant::START;
            let woke = loop {
                match wheel.pop(now) {
                    Some(woken) => { prop_assert_eq!(woken, sleeper); break now; }
                    None => now = now + step,
                }
            };
            prop_assert!(woke >= at && woke <= at + 2 * (timeout / 256) + step);
            prop_assert_eq!(wheel.pop(now + 10_000_000_000), None);
        }
    }

    #[test]
    fn a_long_gap_loses_nobody() {
        let mut wheel = Wheel::new(2, 1, 1_000_000_000, RunInstant::START);
        wheel.grow(2);
        let sleepers = [
            Sleeper::Slot(RingSlot::from_number(0)),
            Sleeper::Slot(RingSlot::from_number(1)),
            Sleeper::Contestant(ContestantIndex::from_index(0)),
            Sleeper::Contestant(ContestantIndex::from_index(1)),
        ];
        for (number, sleeper) in (0..).zip(sleepers) {
            wheel.insert(sleeper, RunInstant::from_ns(number * 400_000_000));
        }
        let woken: Vec<Sleeper> = std::iter::from_fn(|| wheel.pop(RunInstant::from_ns(100_000_000_000))).collect();
        assert_eq!(woken.len(), sleepers.len());
        assert!(sleepers.iter().all(|sleeper| woken.contains(sleeper)), "{woken:?}");
    }
}
