//! The sending half of a turn: phases begin and end, requests fall due, free connections take them, sockets are opened.
//!
//! It never looks at an answer.

use super::{BATCH_FROM, BATCH_MAX, PROBE_NS, Worker};
use crate::engine::connection::State;
use crate::engine::contestant::Books;
use crate::engine::exchange::Exchange;
use crate::engine::plan::{Load, Traffic};
use crate::engine::ring::Kernel;
use crate::engine::trace::Unsent;
use flowtest_contract::verdict::Failure;

impl<K: Kernel> Worker<K> {
    /// Starts what is due, within what one turn may open.
    pub(super) fn start_due(&mut self) {
        self.enter_phase();
        // Those that waited for their turn to open come before what happened in this one.
        for index in 0..self.entrants.len() {
            self.entrants[index].opens = 0;
            for _ in 0..self.opens_per_turn {
                let Some(local) = self.entrants[index].undefer() else { break };
                let slot = self.entrants[index].base + local;
                self.feed(slot);
            }
        }
        // What has become free first, so that what waits finds it in this turn.
        self.feed_ready();
        for index in 0..self.entrants.len() {
            self.entrants[index].bytes = 0;
            self.pace(index);
            self.wake_for_probe(index);
        }
        self.feed_ready();
    }

    /// Looks at every slot that something happened to. One that cannot be opened is looked at again in the next turn.
    #[inline]
    fn feed_ready(&mut self) {
        let count = self.ready.len();
        for index in 0..count {
            let slot = self.ready[index];
            self.queued[slot as usize] = false;
            self.feed(slot);
        }
        self.ready.drain(..count);
    }

    /// Changes the load when a phase begins or ends, or a pause does.
    fn enter_phase(&mut self) {
        let (phases, course) = (&self.plan.phases, &self.plan.course);
        let planned = course.plan_clock(self.now);
        let rests = self.paused || self.draining || course.is_paused(self.now);
        let mut changed = rests && self.load.take().is_some();
        while phases.get(self.phase).is_some_and(|phase| planned >= phase.end) {
            self.phase += 1;
            self.load = None;
            changed = true;
        }
        if self.load.is_none()
            && !rests
            && let Some(phase) = phases.get(self.phase).filter(|phase| planned >= phase.start)
        {
            self.load = Some((phase.load, phase.scored));
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
        for index in 0..self.entrants.len() {
            let entrant = &mut self.entrants[index];
            entrant.limit = entrant.pacer.connections(self.phase);
            connections += entrant.limit;
            let (base, limit, slots) = (entrant.base, entrant.limit, entrant.connections.len() as u32);
            for local in 0..slots {
                let connection = &self.entrants[index].connections[local as usize];
                if local < limit {
                    self.look_at(base + local);
                } else if connection.state() == State::Open && connection.load() == 0 {
                    self.close(base + local);
                }
            }
        }
        if matches!(self.load, Some((Load::Closed { .. }, _))) && connections >= BATCH_FROM {
            self.want = (connections / 8).min(BATCH_MAX);
        }
    }

    /// Open loop: lets requests fall due and gives them to free connections.
    #[inline]
    fn pace(&mut self, index: usize) {
        let traffic = self.plan.contestants[index].traffic;
        let entrant = &mut self.entrants[index];
        if traffic == Traffic::Nothing {
            while entrant.pacer.fall_due(self.now).is_some() {
                entrant.pacer.take();
            }
            return;
        }
        let mut books = Books { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
        let before = entrant.pacer.waiting();
        while let Some((intended, scored)) = entrant.pacer.fall_due(self.now) {
            books.fell_due(intended, scored);
        }
        // Those that waited too long for a connection, and those that we came to later than the timeout ourselves.
        let mut taken = 0;
        while entrant.pacer.waiting() > 0 {
            let oldest = entrant.pacer.oldest();
            let fell_due_now = taken >= before;
            let late = if self.paused {
                true
            } else if fell_due_now {
                self.now > oldest + self.patience.timeout
            } else {
                self.patience.is_late(oldest, self.now)
            };
            if !late {
                break;
            }
            let why = entrant.why_missed(&self.plan);
            let Some((intended, scored)) = entrant.pacer.take() else { break };
            let ours = self.paused || fell_due_now || self.patience.blames_us(intended);
            books.never_sent(intended, scored, if ours { Unsent::OwnFault } else { Unsent::Missed(why) });
            taken += 1;
        }
        while self.entrants[index].pacer.waiting() > 0 {
            if matches!(traffic, Traffic::Probe { .. }) && !self.entrants[index].pacer.is_oldest_first_of_its_second() {
                self.miss_oldest(index);
                continue;
            }
            let Some(local) = self.free_slot(index) else { break };
            let entrant = &mut self.entrants[index];
            let Some((intended, scored)) = entrant.pacer.take() else { break };
            entrant.connections[local as usize].begin(Exchange::new(intended, self.now, scored));
            let slot = entrant.base + local;
            self.look_at(slot);
        }
    }

    /// What is due and not sent to a contestant that only gets probes counts as missed.
    fn miss_oldest(&mut self, index: usize) {
        let entrant = &mut self.entrants[index];
        let why = entrant.why_missed(&self.plan);
        let mut books = Books { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
        if let Some((intended, scored)) = entrant.pacer.take() {
            books.never_sent(intended, scored, Unsent::Missed(why));
        }
    }

    /// Closed loop: whether the next probe of a contestant that gets only these is due, and ours to send. In open loop that
    /// is said by the schedule.
    #[inline]
    fn may_probe(&self, index: usize) -> bool {
        let entrant = &self.entrants[index];
        entrant.pacer.is_first_worker() && self.now >= entrant.probe_at
    }

    /// Closed loop: nothing else looks at the slots of a contestant that only gets probes.
    fn wake_for_probe(&mut self, index: usize) {
        let is_probed = matches!(self.plan.contestants[index].traffic, Traffic::Probe { .. });
        if is_probed
            && matches!(self.load, Some((Load::Closed { .. }, _)))
            && self.may_probe(index)
            && let Some(local) = self.free_slot(index)
        {
            let slot = self.entrants[index].base + local;
            self.look_at(slot);
        }
    }

    /// A slot that can take a request now: connected, or free to connect.
    fn free_slot(&mut self, index: usize) -> Option<u32> {
        // One connection to each address at least, or a name with several would be a name with one.
        let enough = self.plan.contestants[index].addresses.len() as u32;
        loop {
            let entrant = &mut self.entrants[index];
            let local = entrant.unlist(enough)?;
            if local >= entrant.limit && self.load.is_some() {
                continue;
            }
            let connection = &entrant.connections[local as usize];
            match connection.state() {
                State::Open if connection.load() == 0 && connection.is_retiring(self.now) => {
                    let slot = entrant.base + local;
                    self.close(slot);
                }
                State::Open | State::Cold if connection.load() == 0 => return Some(local),
                _ => {}
            }
        }
    }

    /// The slot wants to be fed before the next enter.
    #[inline]
    pub(super) fn look_at(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.queued[slot as usize], true) {
            self.ready.push(slot);
        }
    }

    /// Starts and sends whatever the slot may.
    #[inline]
    fn feed(&mut self, slot: u32) {
        let index = self.owner[slot as usize] as usize;
        let entrant = &self.entrants[index];
        let local = slot - entrant.base;
        let connection = &entrant.connections[local as usize];
        match connection.state() {
            State::Open if entrant.is_stale(local) => {
                if connection.is_quiet() {
                    self.close(slot);
                }
            }
            State::Open => {
                let closed_loop = matches!(self.load, Some((Load::Closed { .. }, _)));
                let rests = closed_loop && connection.must_rest(self.now, &self.patience);
                let surplus = self.load.is_some() && local >= entrant.limit;
                if connection.wants_fresh(self.now) || ((rests || surplus) && connection.load() == 0) {
                    return self.close(slot);
                }
                if !rests && !connection.is_retiring(self.now) {
                    self.fill(index, local);
                }
                self.send(index, slot, local);
            }
            State::Cold => {
                let wanted = connection.load() > 0 || self.may_start(index, local);
                if wanted && entrant.opens >= self.opens_per_turn {
                    return self.entrants[index].defer(local);
                }
                if connection.load() == 0 {
                    self.fill(index, local);
                }
                if self.entrants[index].connections[local as usize].load() > 0 {
                    self.open(index, slot, local);
                } else {
                    self.entrants[index].list(local, false);
                }
            }
            State::Resting { until } => self.wheel.insert(slot, until),
            State::Connecting | State::Closing => {}
        }
    }

    /// Whether the closed loop starts requests on this slot now.
    #[inline]
    fn may_start(&self, index: usize, local: u32) -> bool {
        let entrant = &self.entrants[index];
        let traffic = self.plan.contestants[index].traffic;
        matches!(self.load, Some((Load::Closed { .. }, scored)) if !scored || entrant.quota != Some(0))
            && local < entrant.limit
            && match traffic {
                Traffic::Flood => true,
                Traffic::Probe { .. } => self.may_probe(index),
                Traffic::Nothing => false,
            }
    }

    /// Closed loop: as many requests as the pipeline holds.
    #[inline]
    fn fill(&mut self, index: usize, local: u32) {
        let Some((Load::Closed { pipeline }, scored)) = self.load else { return };
        if local >= self.entrants[index].limit {
            return;
        }
        let traffic = self.plan.contestants[index].traffic;
        let idle = self.entrants[index].connections[local as usize].load() == 0;
        let pipeline = match traffic {
            Traffic::Flood => pipeline,
            Traffic::Probe { .. } if idle && self.may_probe(index) => {
                self.entrants[index].probe_at = self.now + PROBE_NS;
                1
            }
            Traffic::Probe { .. } | Traffic::Nothing => return,
        };
        let entrant = &mut self.entrants[index];
        let connection = &mut entrant.connections[local as usize];
        let counts = self.block.counts(index, scored);
        while connection.load() < pipeline as usize {
            // What an open phase before this one left waiting comes first.
            if let Some((intended, scored)) = entrant.pacer.take() {
                connection.begin(Exchange::new(intended, self.now, scored));
                continue;
            }
            if scored && let Some(quota) = &mut entrant.quota {
                if *quota == 0 {
                    break;
                }
                *quota -= 1;
            }
            connection.begin(Exchange::new(self.now, self.now, scored));
            counts.row.tally.due += 1;
        }
    }

    #[inline]
    fn send(&mut self, index: usize, slot: u32, local: u32) {
        let entrant = &mut self.entrants[index];
        let connection = &mut entrant.connections[local as usize];
        if !connection.has_unsent() {
            if connection.load() == 0 {
                entrant.list(local, true);
            }
            return;
        }
        // Also when it cannot be sent now: a peer that reads nothing keeps the send before it in flight.
        if let Some(at) = connection.wake_at(&self.patience) {
            self.wheel.insert(slot, at);
        }
        if !self.ring.can_send(slot) {
            return;
        }
        let request = &self.plan.contestants[index].request;
        let (mint, block) = (&self.mint, &mut self.block);
        let area = self.ring.area(slot);
        let written = connection.send(self.now, |copy, counter, scored, first_time| {
            let token = mint.token(slot, counter);
            request.patch(area, copy, &token);
            let tally = &mut block.counts(index, scored).row.tally;
            tally.sent += u64::from(first_time);
            tally.resent += u64::from(!first_time);
            token
        });
        if written > 0 {
            self.ring.send(slot, written * request.len());
        }
    }

    fn open(&mut self, index: usize, slot: u32, local: u32) {
        let plan = &self.plan;
        let contestant = &plan.contestants[index];
        let entrant = &mut self.entrants[index];
        let address = entrant.address(local, &contestant.addresses);
        entrant.on_opening(local, self.now);
        let connection = &mut entrant.connections[local as usize];
        // Staggered: the first connections of a contestant's slots end at evenly spread times.
        let life = match plan.connection_life {
            0 => u64::MAX,
            life => self.now + life / 2 + life / 2 * u64::from(local + 1) / u64::from(entrant.limit.max(1)),
        };
        connection.on_open(life);
        match self.ring.open(slot, address) {
            Ok(()) => {
                entrant.open += 1;
                contestant.request.fill(self.ring.area(slot));
                if let Some(at) = connection.wake_at(&self.patience) {
                    self.wheel.insert(slot, at);
                }
            }
            Err(_) => {
                let mut books = Books { plan, block: &mut self.block, contestant: index, now: self.now };
                connection.on_unconnected(Failure::OwnFault, &self.patience, &mut books);
                connection.on_closing();
                connection.on_closed(self.now, &self.patience);
                self.look_at(slot);
            }
        }
    }
}
