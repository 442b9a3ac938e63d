//! What others want of a running worker: another plan, a pause, an end. Whatever it cuts off is our own fault; it cuts nothing
//! off of who is sent away by its own doing.

use super::activity::Activity;
use super::{CLOSE_NS, OPENS_PER_TURN, Worker};
use crate::engine::causes::OwnCause;
use crate::engine::clock::RunInstant;
use crate::engine::connection::State;
use crate::engine::contestant::{Contestant, OutcomeRecorder};
use crate::engine::index::{ContestantIndex, Key, LocalSlot, RingSlot};
use crate::engine::plan::{Plan, TrafficMode};
use crate::engine::ring::Kernel;
use crate::engine::split::slots_of;
use crate::engine::spread::Spread;
use crate::engine::trace::Unsent;
use flowtest_contract::verdict::Failure;
use flowtest_journal::record::LateCause;
use std::io;
use std::sync::Arc;

impl<K: Kernel> Worker<K> {
    /// Goes on by another plan of the same round: another schedule, other endpoints, other traffic. It costs what has changed: an
    /// address that falls silent and comes back all the time is no matter of the others.
    pub(super) fn adopt(&mut self, plan: Arc<Plan>) {
        let before = std::mem::replace(&mut self.plan, plan);
        self.is_unable = self.plan.is_unable();
        let rewritten = self.plan.schedule.rewrites(&before.schedule, self.now);
        let anew = rewritten || self.pacer.is_late_for(&self.plan.schedule);
        self.note(OwnCause::Late(LateCause::Control));
        let has_joined = self.plan.contestants.len() > self.contestants.len();
        self.grow();
        // Whether everybody's requests, connections and batches are what they were.
        let mut goes_on = Arc::ptr_eq(&self.plan.schedule, &before.schedule)
            && Arc::ptr_eq(&self.plan.phases, &before.phases)
            && !anew
            && !has_joined;
        for index in self.in_turn() {
            let is = &self.plan.contestants[index];
            // Who has just joined was nowhere before.
            let was = before.contestants.get(index).unwrap_or(is);
            let moved = was.request != is.request || was.tls != is.tls;
            let is_same = !moved && was.addresses == is.addresses && was.traffic == is.traffic;
            if is_same && !anew {
                continue;
            }
            goes_on &= was.traffic == is.traffic;
            let halted = matches!(is.traffic, TrafficMode::Halted | TrafficMode::Unable);
            let absent = is.traffic == TrafficMode::Absent;
            let contestant = &mut self.contestants[index];
            // What waits may have fallen due by a clock or a share that was not so any more.
            if halted || anew {
                let mut outcomes = OutcomeRecorder::new(&before, &mut self.block, &self.timeouts, index, self.now);
                while let Some(due) = contestant.backlog.take(self.pacer.takes(), &before.schedule) {
                    outcomes.never_sent(due, Unsent::OwnFault);
                }
            }
            if moved || was.addresses != is.addresses {
                contestant.redirect(moved, &was.addresses, is);
            }
            self.look_at_waiting(index);
            for local in self.contestants[index].connections.keys() {
                let slot = self.contestants[index].slot(local);
                if halted {
                    self.silence(index, local);
                } else if absent {
                    // What was sent is answered or not, as ever; what waits is missed when it is looked at.
                    self.contestants[index].wear_out(local);
                    self.look_at(slot);
                } else if !self.contestants[index].is_left(local) || self.contestants[index].is_stale(local) {
                    self.look_at(slot);
                }
            }
        }
        if goes_on {
            return;
        }
        self.pacer.follow(self.plan.schedule.clone());
        // The phase is entered anew, with its limits as they are now.
        self.activity.leave_phase();
    }

    /// Makes places for contestants that have joined, with slots that were kept for them. Where there are none left, what falls
    /// due to them here is our own fault.
    fn grow(&mut self) {
        let (had, has) = (self.contestants.len(), self.plan.contestants.len());
        let spread = Spread::new(self.places as u64);
        for index in ContestantIndex::all().take(has).skip(had) {
            let free = self.slots as usize - self.owner.len();
            let slots = Some(slots_of(&self.plan, &spread, self.number, index) as usize).filter(|slots| *slots <= free);
            let (base, slots) = (RingSlot::from_index(self.owner.len()), slots.unwrap_or(0));
            self.contestants.push(Contestant::new(&self.plan, index, base, slots, None));
            self.owner.grow(self.owner.len() + slots, index);
        }
        if had == has {
            return;
        }
        self.queued.grow(self.owner.len(), false);
        self.wheel.grow(has);
        self.is_pacing.grow(has, false);
        self.is_deferring.grow(has, false);
        self.quantum.grow(has);
        self.costs.grow(has);
        self.block.grow(has);
        self.make_room_for_holds();
        self.opens_each = (OPENS_PER_TURN / has as u32).max(1);
    }

    /// Whatever the slot holds is our own fault, and its connection ends.
    fn silence(&mut self, index: ContestantIndex, local: LocalSlot) {
        let contestant = &mut self.contestants[index];
        let slot = contestant.slot(local);
        let connection = &mut contestant.connections[local];
        let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
        connection.on_unconnected(Failure::OwnFault, &self.timeouts, &mut outcomes);
        if matches!(connection.state(), State::Open | State::Connecting) {
            self.close(slot);
        }
    }

    /// Sends nothing until told otherwise; then the phase is entered anew, wherever it stands.
    pub(super) fn pause(&mut self, paused: bool) {
        if self.activity.pause(paused) {
            // What waited meanwhile, for everybody alike.
            self.in_turn().for_each(|index| self.look_at_waiting(index));
        }
    }

    /// Starts nothing more; what is in flight or waits is finished.
    pub(super) fn drain(&mut self) {
        if self.activity.drain() {
            self.pacer.stop();
        }
    }

    pub(super) fn is_done(&self) -> bool {
        (self.activity.is_draining() || self.phase >= self.plan.phases.len() || self.is_spent())
            && self.pacer.next_due() == RunInstant::NEVER
            && self.contestants.iter().all(|contestant| {
                contestant.backlog.is_empty() && contestant.connections.iter().all(|connection| connection.load() == 0)
            })
    }

    /// Nothing in flight can have another outcome any more than our own fault.
    pub(super) fn give_up(&mut self) {
        self.note(OwnCause::Late(LateCause::Control));
        for (index, contestant) in ContestantIndex::all().zip(self.contestants.iter_mut()) {
            let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
            for connection in contestant.connections.iter_mut() {
                connection.on_unconnected(Failure::OwnFault, &self.timeouts, &mut outcomes);
            }
            while let Some(due) = contestant.backlog.take(self.pacer.takes(), &self.plan.schedule) {
                outcomes.never_sent(due, Unsent::OwnFault);
            }
        }
    }

    /// The last phase runs on a number of requests, and they are spent.
    fn is_spent(&self) -> bool {
        self.phase + 1 == self.plan.phases.len()
            && self.activity.running().is_some()
            && self.contestants.iter().all(|contestant| contestant.quota == Some(0))
    }

    pub(crate) fn close_all(&mut self) -> io::Result<()> {
        for slot in self.owner.keys() {
            if matches!(self.connection(slot).state(), State::Open | State::Connecting) {
                self.close(slot);
            }
        }
        self.activity = Activity::Over;
        let until = self.now + CLOSE_NS;
        while self.now < until && self.owner.keys().any(|slot| self.connection(slot).state() == State::Closing) {
            self.turn(true)?;
        }
        Ok(())
    }
}
