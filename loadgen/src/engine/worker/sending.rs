//! The sending half of a turn: phases begin and end, requests fall due, free connections take them, sockets are opened.
//!
//! It never looks at an answer.

use super::activity::{Activity, Running};
use super::{BATCH_MAX, BATCH_PART, BLOCK_NS, OPENS_PER_TURN, PROBE_NS, WAIT_MAX_NS, Worker};
use crate::engine::causes::OwnCause;
use crate::engine::clock::RunInstant;
use crate::engine::connection::State;
use crate::engine::contestant::{LookedAt, OutcomeRecorder};
use crate::engine::exchange::Exchange;
use crate::engine::index::{ContestantIndex, Key, LocalSlot, RingSlot};
use crate::engine::pacer::Due;
use crate::engine::plan::{Load, TrafficMode};
use crate::engine::ring::Kernel;
use crate::engine::timeouts::LateWindow;
use crate::engine::trace::Unsent;
use crate::engine::wheel::Sleeper;
use flowtest_contract::verdict::Failure;
use flowtest_journal::record::LateCause;

impl<K: Kernel> Worker<K> {
    /// Starts what is due, within what one turn may open.
    pub(super) fn start_due(&mut self) {
        self.turn += 1;
        self.opens = OPENS_PER_TURN;
        self.shaken_ns = 0;
        self.shakers = [0, self.shakers[0]];
        self.looked_at = LookedAt::default();
        self.quantum.on_turn(self.now);
        // Before those that something has happened to since.
        self.held.append(&mut self.ready);
        std::mem::swap(&mut self.held, &mut self.ready);
        if self.now >= self.rested_at {
            self.rested_at = RunInstant::NEVER;
            self.ready.append(&mut self.resting);
        }
        self.enter_phase();
        // Those that waited for their turn to open come before what happened in this one.
        for _ in 0..self.deferring.len() {
            if self.opens == 0 {
                break;
            }
            let index = self.deferring.pop_front().expect("as many as were counted");
            self.is_deferring[index] = false;
            for _ in 0..self.opens_each {
                let Some(local) = self.contestants[index].undefer() else { break };
                let slot = self.contestants[index].slot(local);
                self.feed(slot);
            }
            self.queue_to_open(index);
        }
        // What has become free first, so that what waits finds it in this turn.
        self.feed_ready();
        self.fall_due();
        let mut next = 0;
        while let Some(index) = self.pacing.get(next).copied() {
            self.is_pacing[index] = false;
            self.pace(index);
            next += 1;
        }
        self.pacing.clear();
        self.feed_ready();
    }

    /// Looks at every slot that something happened to. One that cannot be opened is looked at again in the next turn.
    #[inline]
    fn feed_ready(&mut self) {
        let count = self.ready.len();
        for index in 0..count {
            let slot = self.ready[index];
            self.queued[slot] = false;
            self.feed(slot);
        }
        self.ready.drain(..count);
    }

    /// Changes the load when a phase begins or ends, or a pause does, or another split counts.
    fn enter_phase(&mut self) {
        let (phases, schedule) = (&self.plan.phases, &self.plan.schedule);
        let planned = schedule.plan_clock(self.now);
        let rests = schedule.is_paused(self.now);
        let split_since = self.pacer.takes().split_since(planned);
        let is_other_split = std::mem::replace(&mut self.split_since, split_since) != split_since;
        let mut changed = (rests && self.activity.leave_phase()) || is_other_split;
        while phases.get(self.phase).is_some_and(|phase| planned >= phase.end) {
            self.phase += 1;
            self.activity.leave_phase();
            changed = true;
        }
        if self.activity == Activity::Between
            && !rests
            && let Some(phase) = phases.get(self.phase).filter(|phase| planned >= phase.start)
        {
            self.activity = Activity::Playing(Running::of(phase));
            self.open_since = match phase.load {
                Load::Open(_) | Load::Step(_) => self.open_since.or(Some(self.now)),
                Load::Closed { .. } => None,
            };
            self.scored = phase.scored;
            changed = true;
        }
        if !changed {
            return;
        }
        self.want = 1;
        if self.phase >= phases.len() {
            return;
        }
        let mut connections = 0;
        for index in self.in_turn() {
            self.look_at_waiting(index);
            let contestant = &mut self.contestants[index];
            contestant.limit = self.pacer.takes().of(self.phase, index, planned).connections;
            // Whoever gets no flood fills no batch.
            if self.plan.contestants[index].traffic == TrafficMode::Flood {
                connections += contestant.limit;
            }
            for local in contestant.connections.keys() {
                let contestant = &self.contestants[index];
                let (slot, connection) = (contestant.slot(local), &contestant.connections[local]);
                if !contestant.is_left(local) {
                    self.look_at(slot);
                } else if connection.state() == State::Open && connection.load() == 0 {
                    self.close(slot);
                }
            }
        }
        if self.activity.is_closed_loop() {
            self.want = (connections / BATCH_PART).clamp(1, BATCH_MAX);
        }
    }

    /// What waits for this contestant is to be looked at before the next enter.
    pub(super) fn look_at_waiting(&mut self, index: ContestantIndex) {
        if !std::mem::replace(&mut self.is_pacing[index], true) {
            self.pacing.push(index);
        }
    }

    /// Open loop: requests fall due, in order of their instants.
    #[inline]
    fn fall_due(&mut self) {
        self.fallen = (self.now, self.late_ns);
        while let Some((fallen, due)) = self.pacer.fall_due(self.now) {
            let index = fallen.contestant;
            match self.plan.contestants[index].traffic {
                TrafficMode::Halted => continue,
                // Other phases are for getting ready.
                TrafficMode::Absent | TrafficMode::Unable if !due.scored => continue,
                TrafficMode::Unable => {
                    self.cannot_send(index, due);
                    continue;
                }
                TrafficMode::Absent | TrafficMode::Flood | TrafficMode::Probe { .. } => {}
            }
            let is_late = self.timeouts.on_due(due.intended, !self.activity.is_paused());
            let is_over = self.now > due.intended + self.timeouts.timeout;
            if is_over {
                self.note(OwnCause::Late(LateCause::Control));
            }
            let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
            outcomes.fell_due(due, is_late);
            if is_over {
                // We come to it later than its timeout: after a gap that is noted, and a look at the plan that took long. What
                // waits is older still.
                let contestant = &mut self.contestants[index];
                while let Some(waiting) = contestant.backlog.take(self.pacer.takes(), &self.plan.schedule) {
                    outcomes.never_sent(waiting, Unsent::OwnFault);
                }
                outcomes.never_sent(due, Unsent::OwnFault);
            } else {
                self.contestants[index].backlog.push(fallen);
                self.look_at_waiting(index);
            }
        }
    }

    /// What falls due to somebody to whom our own machine can send nothing.
    #[cold]
    fn cannot_send(&mut self, index: ContestantIndex, due: Due) {
        let cause = OwnCause::Trust;
        self.timeouts.note(cause);
        // One window for as long as it lasts, in each block from its begin on.
        let from = RunInstant::from_ns(self.block_at.ns().saturating_sub(BLOCK_NS));
        self.block.late.note(LateWindow { from, to: self.now, cause: cause.recorded() });
        let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
        outcomes.fell_due(due, false);
        outcomes.never_sent(due, Unsent::OwnFault);
    }

    /// Gives what waits to free connections, or gives it up.
    #[inline]
    fn pace(&mut self, index: ContestantIndex) {
        let traffic = self.plan.contestants[index].traffic;
        let (is_probed, is_absent) = (matches!(traffic, TrafficMode::Probe { .. }), traffic == TrafficMode::Absent);
        if is_probed && self.activity.is_closed_loop() {
            self.wake_for_probe(index);
        }
        loop {
            let Some(oldest) = self.contestants[index].backlog.oldest(&self.plan.schedule) else {
                self.contestants[index].on_nothing_waits();
                break;
            };
            if self.is_up(index, oldest) {
                self.give_up_oldest(index, oldest);
            } else if self.activity.is_paused() {
                break;
            } else if is_absent {
                self.miss_oldest(index);
            } else if is_probed && !self.contestants[index].backlog.is_oldest_first_of_its_second(self.pacer.takes()) {
                self.give_up_oldest(index, oldest);
            } else if let Some(local) = self.free_slot(index) {
                let contestant = &mut self.contestants[index];
                let due = contestant.backlog.take(self.pacer.takes(), &self.plan.schedule).expect("the oldest waits");
                contestant.connections[local].begin(Exchange::new(due, self.now));
                let slot = contestant.slot(local);
                self.costs.on_begun(index);
                self.look_at(slot);
            } else {
                // Looked at again when a slot is free, or when its time is up.
                let contestant = &mut self.contestants[index];
                contestant.on_full(oldest, &self.timeouts);
                let at = oldest + self.timeouts.timeout + contestant.held_up(&self.timeouts);
                self.wheel.insert(Sleeper::Contestant(index), at.max(self.now));
                break;
            }
        }
    }

    /// Whether the oldest that waits has waited too long for a connection.
    #[inline]
    fn is_up(&self, index: ContestantIndex, oldest: RunInstant) -> bool {
        let held_up = || self.contestants[index].held_up(&self.timeouts);
        self.now > oldest + self.timeouts.timeout && self.timeouts.is_up_in_queue(oldest, held_up(), self.now)
    }

    /// The oldest that waits has waited too long for a connection, or is none of the probes: our own fault where we had none for
    /// it, also when it might have been a probe's answer that would have brought the flood back.
    #[cold]
    fn give_up_oldest(&mut self, index: ContestantIndex, oldest: RunInstant) {
        // A slot that was short may rest for a timeout.
        let contestant = &self.contestants[index];
        let short = contestant.short.filter(|(at, _)| *at + self.timeouts.timeout >= oldest).map(|(_, cause)| cause);
        // Without a slot here there was no room left for one that joined.
        let no_room = contestant.connections.is_empty().then_some(OwnCause::Late(LateCause::Resources));
        let short = short.or(no_room);
        let held_up = contestant.held_up(&self.timeouts);
        let is_ours = short.is_some() || self.timeouts.missed_in_queue(oldest, held_up) == Failure::OwnFault;
        if !is_ours {
            return self.miss_oldest(index);
        }
        if let Some(cause) = short {
            self.note(cause);
        }
        let taken = self.contestants[index].backlog.take(self.pacer.takes(), &self.plan.schedule);
        let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
        if let Some(due) = taken {
            outcomes.never_sent(due, Unsent::OwnFault);
        }
    }

    /// The oldest that waits is not sent, and that is the contestant's.
    #[cold]
    fn miss_oldest(&mut self, index: ContestantIndex) {
        let contestant = &mut self.contestants[index];
        let why = contestant.why_missed(&self.plan, self.pacer.takes());
        let taken = contestant.backlog.take(self.pacer.takes(), &self.plan.schedule);
        let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
        if let Some(due) = taken {
            outcomes.never_sent(due, Unsent::Missed(why));
        }
    }

    /// Closed loop: whether the next probe of a contestant that gets only these is due, and ours to send. In open loop that
    /// is said by the schedule.
    #[inline]
    fn may_probe(&self, index: ContestantIndex) -> bool {
        self.probes(index) && self.now >= self.contestants[index].probe_at
    }

    /// Whether this is the worker that sends a contestant its probes in a closed phase.
    fn probes(&self, index: ContestantIndex) -> bool {
        let planned = self.plan.schedule.plan_clock(self.now);
        self.pacer.takes().of(self.phase, index, planned).is_first_worker
    }

    /// Closed loop: nothing else looks at the slots of a contestant that only gets probes.
    fn wake_for_probe(&mut self, index: ContestantIndex) {
        if !self.probes(index) {
            return;
        }
        if self.may_probe(index)
            && let Some(local) = self.free_slot(index)
        {
            let slot = self.contestants[index].slot(local);
            self.look_at(slot);
        }
        // Also while the one before is under way: the next one comes when that has ended.
        let at = self.contestants[index].probe_at.max(self.now + WAIT_MAX_NS);
        self.wheel.insert(Sleeper::Contestant(index), at);
    }

    /// A slot that can take a request now: connected, or free to connect.
    fn free_slot(&mut self, index: ContestantIndex) -> Option<LocalSlot> {
        // One connection to each address at least, or a name with several would be a name with one.
        let enough = self.contestants[index].spread;
        loop {
            let contestant = &mut self.contestants[index];
            let local = contestant.unlist(enough)?;
            if contestant.is_left(local) && self.activity.running().is_some() {
                continue;
            }
            let connection = &contestant.connections[local];
            match connection.state() {
                State::Open if connection.load() == 0 && connection.is_retiring(self.now) => {
                    let slot = contestant.slot(local);
                    self.close(slot);
                }
                State::Open | State::Cold if connection.load() == 0 => return Some(local),
                _ => {}
            }
        }
    }

    /// The slot may take a request of the open loop. `open`: it has a connection.
    #[inline]
    pub(super) fn list(&mut self, index: ContestantIndex, local: LocalSlot, open: bool) {
        self.contestants[index].list(local, open);
        if !self.contestants[index].backlog.is_empty() {
            self.look_at_waiting(index);
        }
    }

    /// The slot opens its connection in a later turn.
    fn defer(&mut self, index: ContestantIndex, local: LocalSlot) {
        self.contestants[index].defer(local);
        self.queue_to_open(index);
    }

    fn queue_to_open(&mut self, index: ContestantIndex) {
        if self.contestants[index].is_deferring() && !std::mem::replace(&mut self.is_deferring[index], true) {
            self.deferring.push_back(index);
        }
    }

    /// The slot wants to be fed before the next enter.
    #[inline]
    pub(super) fn look_at(&mut self, slot: RingSlot) {
        if !std::mem::replace(&mut self.queued[slot], true) {
            self.ready.push(slot);
        }
    }

    /// Starts and sends whatever the slot may.
    #[inline]
    fn feed(&mut self, slot: RingSlot) {
        let index = self.owner[slot];
        let contestant = &self.contestants[index];
        let local = contestant.local(slot);
        let connection = &contestant.connections[local];
        match connection.state() {
            State::Open if contestant.is_behind(local) => self.catch_up(slot),
            State::Open if contestant.is_stale(local) => {
                if connection.is_quiet() {
                    self.close(slot);
                }
            }
            State::Open => {
                let closed_loop = self.activity.is_closed_loop();
                let rests = closed_loop && connection.must_rest(self.now, &self.timeouts);
                let surplus = self.activity.running().is_some() && contestant.is_left(local);
                if connection.wants_fresh(self.now) || ((rests || surplus) && connection.load() == 0) {
                    return self.close(slot);
                }
                if !rests && !connection.is_retiring(self.now) {
                    if closed_loop && self.quantum.is_used_up(index) {
                        if !std::mem::replace(&mut self.queued[slot], true) {
                            self.held.push(slot);
                        }
                    } else {
                        self.fill(index, local);
                    }
                }
                self.send(index, slot, local);
            }
            State::Cold if self.plan.contestants[index].traffic == TrafficMode::Absent => {
                // Nothing is sent to it any more: what the slot still holds is over when its time is.
                if let Some(at) = connection.wake_at(&self.timeouts) {
                    self.wheel.insert(Sleeper::Slot(slot), at);
                }
            }
            State::Cold => {
                let is_empty = connection.load() == 0;
                let wanted = !is_empty || self.may_start(index, local);
                if wanted && (self.opens == 0 || self.contestants[index].opens(self.turn) >= self.opens_each) {
                    return self.defer(index, local);
                }
                // No exchange begins whose handshake would only wait for us.
                if wanted && is_empty && self.contestants[index].has_held(self.turn) {
                    return self.defer(index, local);
                }
                if is_empty {
                    self.fill(index, local);
                }
                if self.contestants[index].connections[local].load() > 0 {
                    self.open(index, slot, local);
                } else {
                    self.list(index, local, false);
                }
            }
            State::Resting { until } => self.wheel.insert(Sleeper::Slot(slot), until),
            State::Connecting if contestant.has_tls => self.shake(slot),
            State::Connecting | State::Closing => {}
        }
    }

    /// Whether the closed loop starts requests on this slot now.
    #[inline]
    fn may_start(&self, index: ContestantIndex, local: LocalSlot) -> bool {
        let contestant = &self.contestants[index];
        let traffic = self.plan.contestants[index].traffic;
        let begins = |running| match running {
            Running { load: Load::Closed { .. }, scored } => !scored || contestant.quota != Some(0),
            Running { load: Load::Open(_) | Load::Step(_), .. } => false,
        };
        self.activity.running().is_some_and(begins)
            && !contestant.is_surplus(local)
            && match traffic {
                TrafficMode::Flood => true,
                TrafficMode::Probe { .. } => self.may_probe(index),
                TrafficMode::Absent | TrafficMode::Unable | TrafficMode::Halted => false,
            }
    }

    /// Closed loop: as many requests as the pipeline holds.
    #[inline]
    fn fill(&mut self, index: ContestantIndex, local: LocalSlot) {
        let Some(Running { load: Load::Closed { pipeline }, scored }) = self.activity.running() else { return };
        if self.contestants[index].is_surplus(local) {
            return;
        }
        let traffic = self.plan.contestants[index].traffic;
        let idle = self.contestants[index].connections[local].load() == 0;
        let pipeline = match traffic {
            TrafficMode::Flood => pipeline,
            TrafficMode::Probe { .. } if idle && self.may_probe(index) => {
                self.contestants[index].probe_at = self.now + PROBE_NS;
                1
            }
            TrafficMode::Probe { .. } | TrafficMode::Absent | TrafficMode::Unable | TrafficMode::Halted => return,
        };
        let contestant = &mut self.contestants[index];
        let connection = &mut contestant.connections[local];
        let counts = self.block.counts(index, scored);
        let before = connection.load();
        while connection.load() < pipeline as usize {
            // What an open phase before this one left waiting comes first.
            if let Some(due) = contestant.backlog.take(self.pacer.takes(), &self.plan.schedule) {
                connection.begin(Exchange::new(due, self.now));
                continue;
            }
            if scored && let Some(quota) = &mut contestant.quota {
                if *quota == 0 {
                    break;
                }
                *quota -= 1;
            }
            connection.begin(Exchange::new(Due { intended: self.now, scored }, self.now));
            counts.row.tally.due += 1;
        }
        self.quantum.on_begun(index, (connection.load() - before) as u64);
    }

    #[inline]
    fn send(&mut self, index: ContestantIndex, slot: RingSlot, local: LocalSlot) {
        let contestant = &mut self.contestants[index];
        let is_sealed = contestant.has_tls && contestant.tls[local].is_some();
        let connection = &mut contestant.connections[local];
        if !connection.has_unsent() {
            if connection.load() == 0 {
                self.list(index, local, true);
            }
            if is_sealed {
                self.send_outgoing(slot);
            }
            return;
        }
        // Also when it cannot be sent now: a peer that reads nothing keeps the send before it in flight.
        if let Some(at) = connection.wake_at(&self.timeouts) {
            self.wheel.insert(Sleeper::Slot(slot), at);
        }
        if !self.ring.can_send(slot) {
            return;
        }
        if is_sealed {
            return self.send_sealed(index, slot, local);
        }
        let request = &self.plan.contestants[index].request;
        let (mint, block) = (&self.mint, &mut self.block);
        let area = self.ring.area(slot);
        let written = connection.send(self.now, |outgoing| {
            let token = mint.token(slot.number(), outgoing.counter);
            request.patch(area, outgoing.index, &token);
            block.count_sent(index, outgoing.scored, outgoing.is_first);
            token
        });
        if written > 0 {
            self.ring.send(slot, written * request.len());
        }
    }

    fn open(&mut self, index: ContestantIndex, slot: RingSlot, local: LocalSlot) {
        let is_closed_loop = self.activity.is_closed_loop();
        let plan = &self.plan;
        let target = &plan.contestants[index];
        let contestant = &mut self.contestants[index];
        let address = contestant.address(local, &target.addresses);
        contestant.on_opening(local, self.turn, self.now);
        contestant.prepare_tls(local, target.tls.as_ref());
        if is_closed_loop {
            self.quantum.on_opening(index);
        } else {
            self.costs.on_opening(index);
        }
        self.opens = self.opens.saturating_sub(1);
        let connection = &mut contestant.connections[local];
        // Staggered: the first connections of a contestant's slots end at evenly spread times.
        let life = match plan.connection_life {
            0 => RunInstant::NEVER,
            life => self.now + life / 2 + life / 2 * (local.index() as u64 + 1) / u64::from(contestant.limit.max(1)),
        };
        connection.on_open(life, target.request.mark());
        match self.ring.open(slot, address) {
            Ok(()) => {
                contestant.open += 1;
                target.request.fill(self.ring.area(slot));
                if let Some(at) = connection.wake_at(&self.timeouts) {
                    self.wheel.insert(Sleeper::Slot(slot), at);
                }
            }
            Err(error) => {
                self.is_short(slot, OwnCause::of_errno(error.raw_os_error().unwrap_or(0)));
                let plan = &self.plan;
                let connection = &mut self.contestants[index].connections[local];
                let mut outcomes = OutcomeRecorder::new(plan, &mut self.block, &self.timeouts, index, self.now);
                connection.on_unconnected(Failure::OwnFault, &self.timeouts, &mut outcomes);
                let settled = outcomes.settled;
                connection.on_closing();
                connection.on_closed(self.now, &self.timeouts);
                self.contestants[index].on_settled(local, settled, 0);
                self.look_at(slot);
            }
        }
    }
}
