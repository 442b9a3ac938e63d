//! The holds of breakpoint steps at one worker: room for what is counted in them, and the word that nothing is missing any more.

use super::Worker;
use crate::engine::clock::RunInstant;
use crate::engine::index::{Key, RingSlot};
use crate::engine::ring::Kernel;
use flowtest_contract::rules::UtcUs;

/// The hold that was over last, and how far its requests are known to have their outcomes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HoldWatch {
    step: Option<u32>,
    /// Slots before this one have none of them: nothing that fell due in the hold comes to them again.
    next_slot: usize,
    is_settled: bool,
}

impl<K: Kernel> Worker<K> {
    /// Counts of holds take room only where the plan has some.
    pub(super) fn make_room_for_holds(&mut self) {
        if !self.plan.holds.is_empty() {
            self.block.hold.grow(self.contestants.len());
        }
    }

    /// Says once of a hold that is over that each of its requests here has its outcome. Without that nobody could tell figures
    /// that are whole from such as lack the last few.
    pub(super) fn settle_hold(&mut self) {
        let now = self.plan.utc_us(self.now);
        let over = self.plan.holds.partition_point(|window| window.to <= now);
        let Some(window) = over.checked_sub(1).map(|last| self.plan.holds[last]) else { return };
        if self.hold_watch.step.is_none_or(|step| step < window.step) {
            self.hold_watch = HoldWatch { step: Some(window.step), ..HoldWatch::default() };
        }
        let is_it = self.hold_watch.step == Some(window.step) && !self.hold_watch.is_settled;
        if is_it && self.has_settled(window.to) {
            self.hold_watch.is_settled = true;
            self.block.hold.settle(window.step, 1);
        }
    }

    /// Whether all that fell due before an instant, or is to fall due before it, has its outcome.
    fn has_settled(&mut self, until: UtcUs) -> bool {
        let (plan, pacer) = (&self.plan, &self.pacer);
        // Traces count whole microseconds, by which a request may look so much earlier.
        let is_behind = |intended: RunInstant| plan.utc_us(intended) > until + 1;
        let waits = |oldest: Option<RunInstant>| oldest.is_some_and(|oldest| !is_behind(oldest));
        if !is_behind(pacer.next_due()) || self.contestants.iter().any(|one| waits(one.backlog.oldest(&plan.schedule)))
        {
            return false;
        }
        while let Some(owner) = self.owner.get(RingSlot::from_index(self.hold_watch.next_slot)) {
            let contestant = &self.contestants[*owner];
            let local = contestant.local(RingSlot::from_index(self.hold_watch.next_slot));
            if waits(contestant.connections[local].oldest()) {
                return false;
            }
            self.hold_watch.next_slot += 1;
        }
        true
    }
}
