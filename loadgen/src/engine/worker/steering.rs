//! What others want of a running worker: another plan, a pause, an end. Whatever it cuts off is our own fault.

use super::{CLOSE_NS, Worker};
use crate::engine::clock::RunInstant;
use crate::engine::connection::State;
use crate::engine::contestant::OutcomeRecorder;
use crate::engine::index::{ContestantIndex, Key, LocalSlot};
use crate::engine::plan::{Plan, TrafficMode};
use crate::engine::ring::Kernel;
use crate::engine::trace::Unsent;
use flowtest_contract::verdict::Failure;
use flowtest_journal::record::LateCause;
use std::io;
use std::sync::Arc;

impl<K: Kernel> Worker<K> {
    /// Goes on by another plan of the same round: another schedule, other endpoints, other traffic.
    pub(super) fn adopt(&mut self, plan: Arc<Plan>) {
        let before = std::mem::replace(&mut self.plan, plan);
        let rewritten = self.plan.schedule.rewrites(&before.schedule, self.now);
        let anew = rewritten || self.pacer.is_late_for(&self.plan.schedule);
        self.note(LateCause::Control);
        for index in self.contestants.keys() {
            let (was, is) = (&before.contestants[index], &self.plan.contestants[index]);
            let (moved, halted) = (was.request != is.request, is.traffic == TrafficMode::Halted);
            let contestant = &mut self.contestants[index];
            // What waits may have fallen due by a clock or a share that was not so any more.
            if halted || anew {
                let mut outcomes =
                    OutcomeRecorder { plan: &before, block: &mut self.block, contestant: index, now: self.now };
                while let Some(due) = contestant.backlog.take(self.pacer.takes(), &before.schedule) {
                    outcomes.never_sent(due, Unsent::OwnFault);
                }
            }
            if moved || was.addresses != is.addresses {
                contestant.redirect(moved, &is.addresses);
            }
            for local in contestant.connections.keys() {
                let slot = self.contestants[index].slot(local);
                if halted {
                    self.silence(index, local);
                } else if self.contestants[index].is_stale(local) {
                    self.look_at(slot);
                }
            }
        }
        self.pacer.follow(self.plan.schedule.clone());
        // The phase is entered anew, with its limits as they are now.
        self.running = None;
    }

    /// Whatever the slot holds is our own fault, and its connection ends.
    fn silence(&mut self, index: ContestantIndex, local: LocalSlot) {
        let contestant = &mut self.contestants[index];
        let slot = contestant.slot(local);
        let connection = &mut contestant.connections[local];
        let mut outcomes =
            OutcomeRecorder { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
        connection.on_unconnected(Failure::OwnFault, &self.timeouts, &mut outcomes);
        if matches!(connection.state(), State::Open | State::Connecting) {
            self.close(slot);
        }
    }

    /// Sends nothing until told otherwise; then the phase is entered anew, wherever it stands.
    pub(super) fn pause(&mut self, paused: bool) {
        if std::mem::replace(&mut self.paused, paused) != paused {
            self.running = None;
            // What waited meanwhile, for everybody alike.
            self.contestants.keys().for_each(|index| self.look_at_waiting(index));
        }
    }

    /// Starts nothing more; what is in flight or waits is finished.
    pub(super) fn drain(&mut self) {
        if !std::mem::replace(&mut self.draining, true) {
            self.running = None;
            self.pacer.stop();
        }
    }

    pub(super) fn is_done(&self) -> bool {
        (self.draining || self.phase >= self.plan.phases.len() || self.is_spent())
            && self.pacer.next_due() == RunInstant::NEVER
            && self.contestants.iter().all(|contestant| {
                contestant.backlog.is_empty() && contestant.connections.iter().all(|connection| connection.load() == 0)
            })
    }

    /// Nothing in flight can have another outcome any more than our own fault.
    pub(super) fn give_up(&mut self) {
        self.note(LateCause::Control);
        for (index, contestant) in ContestantIndex::all().zip(self.contestants.iter_mut()) {
            let mut outcomes =
                OutcomeRecorder { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
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
            && self.running.is_some()
            && self.contestants.iter().all(|contestant| contestant.quota == Some(0))
    }

    pub(super) fn close_all(&mut self) -> io::Result<()> {
        for slot in self.owner.keys() {
            if matches!(self.connection(slot).state(), State::Open | State::Connecting) {
                self.close(slot);
            }
        }
        self.running = None;
        self.draining = true;
        let until = self.now + CLOSE_NS;
        while self.now < until && self.owner.keys().any(|slot| self.connection(slot).state() == State::Closing) {
            self.turn(true)?;
        }
        Ok(())
    }
}
