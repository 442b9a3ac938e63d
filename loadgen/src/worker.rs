//! The worker: one core, one ring, its connections, schedule and tallies; it shares nothing.
//!
//! The loop is *start what is due; submit and wait once; handle completions; expire; hand off*. On its path there is
//! no allocation, lock, log, format or per-request clock read: the clock is read once per turn, right after the enter,
//! and completions are handled before deadlines expire, so that our own delay never fails an answer that is there.

use crate::block::{Block, Sender};
use crate::connection::{Connection, State, Step};
use crate::entrant::{Books, Entrant, bytes_per_turn, meaning};
use crate::exchange::Exchange;
use crate::order::Order;
use crate::pacer::{Pacer, Part};
use crate::patience::Patience;
use crate::plan::{Load, NS_PER_SECOND, Plan, Traffic};
use crate::ring::{Event, Kernel, Ring, thread_cpu_us};
use crate::share::{part_of, sizes, slots_of};
use crate::trace::Tracing;
use crate::wheel::Wheel;
use flowtest_contract::TokenMint;
use flowtest_contract::verdict::Failure;
use std::io;
use std::sync::Arc;

/// Longest wait of a turn: also how soon a stop is seen and a stall noticed.
const WAIT_MAX_NS: u64 = 10_000_000;
/// A longer gap between turns was our own stall and is added to what is in flight.
const STALL_NS: u64 = 50_000_000;
/// After a gap as long as this nothing is started before somebody has looked whether the plan is still the newest.
const LONG_STALL_NS: u64 = 500_000_000;
/// How often a contestant that answers nothing right is asked.
const PROBE_NS: u64 = NS_PER_SECOND;
/// How often a block is handed over.
const BLOCK_NS: u64 = 100_000_000;
/// How often at the most, when its traces fill it sooner.
const BLOCK_HURRIED_NS: u64 = 5_000_000;
/// Connections begun in one turn, over all contestants, each of which has an equal part: a thousand at once would overrun
/// a listener's backlog and delay everybody's next turn.
const OPENS_PER_TURN: u32 = 64;
/// How long sockets may take to close at the end of a run.
const CLOSE_NS: u64 = NS_PER_SECOND;

/// In closed phases with at least so many connections a turn waits for a batch of answers: an eighth of them, but not
/// more than [`BATCH_MAX`]. With fewer connections waiting only delays the next request.
const BATCH_FROM: u32 = 128;
const BATCH_MAX: u32 = 32;

const _: () = assert!(WAIT_MAX_NS * 2 < STALL_NS);

/// One worker.
#[derive(Debug)]
pub struct Worker<K> {
    ring: Ring<K>,
    plan: Arc<Plan>,
    mint: TokenMint,
    entrants: Vec<Entrant>,
    /// The entrant that a slot belongs to.
    owner: Vec<u32>,
    wheel: Wheel,
    patience: Patience,
    /// What one contestant may send in a turn.
    bytes_per_turn: usize,
    block: Box<Block>,
    /// Slots to look at before the next enter.
    ready: Vec<u32>,
    queued: Vec<bool>,
    /// Connections that one contestant may begin in a turn.
    opens_per_turn: u32,
    phase: usize,
    /// The load of the phase that runs now; `None` between and after phases.
    load: Option<(Load, bool)>,
    /// Whether the phase that ran last is scored: bytes that come after it are counted with it.
    scored: bool,
    /// Completions that a turn waits for.
    want: u32,
    now: u64,
    block_at: u64,
    draining: bool,
    paused: bool,
    /// The version of the plan.
    version: u64,
    /// When we last found that we had stood still for long.
    stalled_at: u64,
    number: u32,
    stalls: u64,
}

impl<K: Kernel> Worker<K> {
    pub fn new(kernel: K, plan: Arc<Plan>, number: u32, key: [u8; 16], tracing: Tracing) -> Worker<K> {
        let sizes = sizes(&plan, number);
        let ring = Ring::new(kernel, sizes);
        let now = ring.now();
        let mut entrants = Vec::with_capacity(plan.contestants.len());
        let mut owner = Vec::with_capacity(sizes.slots as usize);
        for index in 0..plan.contestants.len() {
            let part = part_of(&plan, number, index);
            let slots = slots_of(&plan, number, index);
            let worker = Part { index: part, of: u64::from(plan.workers) };
            let pacer = Pacer::new(plan.phases.clone(), plan.course.clone(), worker);
            let parts = u64::from(plan.workers.min(plan.connections_max()).max(1));
            let quota = plan.requests.map(|total| Part { index: part, of: parts }.share(total));
            entrants.push(Entrant::new(&plan, index, owner.len() as u32, slots, pacer, quota));
            owner.extend(std::iter::repeat_n(index as u32, slots as usize));
        }
        let slots = owner.len();
        let mut block = Box::new(Block::new(plan.contestants.len(), tracing));
        block.traces.open(plan.utc_us(now), true);
        Worker {
            ring,
            mint: TokenMint::new(key, number as u16),
            entrants,
            owner,
            wheel: Wheel::new(sizes.slots, plan.timeout(), now),
            patience: Patience::new(plan.timeout()),
            bytes_per_turn: bytes_per_turn(&plan, sizes.buffers as usize * sizes.buffer_bytes),
            block,
            ready: Vec::with_capacity(slots),
            queued: vec![false; slots],
            opens_per_turn: (OPENS_PER_TURN / plan.contestants.len().max(1) as u32).max(1),
            phase: 0,
            load: None,
            scored: false,
            want: 1,
            now,
            block_at: now + BLOCK_NS,
            draining: false,
            paused: false,
            version: 0,
            stalled_at: 0,
            number,
            stalls: 0,
            plan,
        }
    }

    /// Runs the plan to its end. An error is the ring's: it ends the worker, and with it the run.
    pub fn run(&mut self, order: &Order, sender: &mut Sender) -> io::Result<()> {
        let result = self.run_plan(order, sender);
        if result.is_err() {
            order.drain();
            self.give_up();
        }
        result
    }

    fn run_plan(&mut self, order: &Order, sender: &mut Sender) -> io::Result<()> {
        loop {
            match order.get() {
                0 => {}
                1 => self.drain(),
                // Stopped at once: what is in flight is nobody's fault but ours.
                _ => {
                    self.give_up();
                    break;
                }
            }
            if order.version() != self.version {
                self.version = order.version();
                self.adopt(order.plan());
            }
            self.pause(order.is_paused());
            // Whoever stood still may have missed that its share is somebody else's now.
            if order.looked_at() >= self.stalled_at {
                self.start_due();
            }
            if self.plan.course.is_stopped(self.now) {
                self.drain();
            }
            if self.is_done() {
                break;
            }
            self.turn()?;
            self.expire();
            if self.now >= self.block_at || self.is_hurried() {
                self.hand_off(order, sender);
            }
        }
        self.close_all()
    }

    /// The last block, for [`Sender::finish`].
    pub fn into_block(mut self) -> Box<Block> {
        self.stamp_block();
        std::mem::take(&mut self.block)
    }

    #[cfg(test)]
    pub(crate) fn ring_mut(&mut self) -> &mut Ring<K> {
        &mut self.ring
    }

    // --- start what is due ---------------------------------------------------------------------------------------

    fn start_due(&mut self) {
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
            let Some((intended, scored)) = entrant.pacer.take() else { break };
            let ours = self.paused || fell_due_now || self.patience.blames_us(intended);
            books.never_sent(intended, scored, if ours { Failure::OwnFault } else { Failure::Missed });
            taken += 1;
        }
        while self.entrants[index].pacer.waiting() > 0 {
            if traffic == Traffic::Probe && !self.may_probe(index) {
                self.miss_waiting(index);
                break;
            }
            let Some(local) = self.free_slot(index) else { break };
            let entrant = &mut self.entrants[index];
            let Some((intended, scored)) = entrant.pacer.take() else { break };
            entrant.connections[local as usize].begin(Exchange::new(intended, self.now, scored));
            let slot = entrant.base + local;
            self.look_at(slot);
        }
    }

    /// Whether the next probe of a contestant is due, and ours to send. Says yes once.
    fn may_probe(&mut self, index: usize) -> bool {
        let entrant = &mut self.entrants[index];
        let ours = self.number as usize == index % self.plan.workers as usize;
        let may = ours && self.now >= entrant.probe_at;
        if may {
            entrant.probe_at = self.now + PROBE_NS;
        }
        may
    }

    /// What is due and not sent to a contestant that only gets probes counts as missed.
    fn miss_waiting(&mut self, index: usize) {
        let mut books = Books { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
        while let Some((intended, scored)) = self.entrants[index].pacer.take() {
            books.never_sent(intended, scored, Failure::Missed);
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
    fn look_at(&mut self, slot: u32) {
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
            && (traffic == Traffic::Flood || (traffic == Traffic::Probe && self.now >= entrant.probe_at))
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
            Traffic::Probe if idle && self.may_probe(index) => 1,
            Traffic::Probe | Traffic::Nothing => return,
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
        let connection = &mut entrant.connections[local as usize];
        // Staggered: the first connections of a contestant's slots end at evenly spread times.
        let life = match plan.connection_life {
            0 => u64::MAX,
            life => self.now + life / 2 + life / 2 * u64::from(local + 1) / u64::from(entrant.limit.max(1)),
        };
        connection.on_open(life);
        entrant.opens += 1;
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

    fn close(&mut self, slot: u32) {
        self.connection(slot).on_closing();
        self.ring.close(slot);
    }

    fn connection(&mut self, slot: u32) -> &mut Connection {
        let entrant = &mut self.entrants[self.owner[slot as usize] as usize];
        &mut entrant.connections[(slot - entrant.base) as usize]
    }

    // --- submit and wait once, handle completions ----------------------------------------------------------------

    fn turn(&mut self) -> io::Result<()> {
        let wait =
            if self.ready.is_empty() && !self.entrants.iter().any(Entrant::is_deferring) { self.wait() } else { 0 };
        self.ring.turn(self.want, wait)?;
        let now = self.ring.now();
        let gap = now - self.now;
        if gap > STALL_NS {
            self.patience.on_stall(now, gap);
            self.stalls += 1;
            if gap > LONG_STALL_NS {
                self.stalled_at = now;
            }
        }
        self.now = now;
        while let Some(event) = self.ring.event() {
            self.on_event(event);
        }
        Ok(())
    }

    /// Until the next request falls due or the phase changes, but not longer than a stall may stay unseen.
    fn wait(&self) -> u64 {
        let course = &self.plan.course;
        let due = self.entrants.iter().map(|entrant| entrant.pacer.next_due()).min().unwrap_or(u64::MAX);
        let rests = self.draining || self.paused || course.is_paused(self.now);
        let phase = self.plan.phases.get(self.phase).map_or(u64::MAX, |phase| match self.load {
            Some(_) => course.run_clock(phase.end),
            None if rests => u64::MAX,
            None => course.run_clock(phase.start),
        });
        due.min(phase).min(course.next_change(self.now)).saturating_sub(self.now).min(WAIT_MAX_NS)
    }

    #[inline]
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Received { slot, buffer } => {
                let index = self.owner[slot as usize] as usize;
                self.block.counts(index, self.scored).row.tally.bytes += buffer.len() as u64;
                let entrant = &mut self.entrants[index];
                entrant.bytes += buffer.len();
                let greedy = entrant.bytes > self.bytes_per_turn;
                let mut books = Books { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
                let step = entrant.connections[(slot - entrant.base) as usize].on_bytes(
                    self.ring.bytes(buffer),
                    self.now,
                    &mut entrant.shape,
                    &self.patience,
                    &mut books,
                );
                self.ring.recycle(buffer);
                if greedy {
                    self.ring.pause(slot);
                }
                self.apply(slot, index, step);
            }
            Event::Sent { slot } => {
                let connection = self.connection(slot);
                if connection.has_unsent() {
                    self.look_at(slot);
                }
            }
            Event::Connected { slot } => {
                self.connection(slot).on_connected();
                self.look_at(slot);
            }
            Event::Closed { slot } => {
                let entrant = &mut self.entrants[self.owner[slot as usize] as usize];
                entrant.open -= 1;
                entrant.connections[(slot - entrant.base) as usize].on_closed(self.now, &self.patience);
                self.look_at(slot);
            }
            Event::Unconnected { slot, errno } => {
                self.settle(slot, |connection, patience, books| {
                    connection.on_unconnected(meaning(errno, true), patience, books)
                });
            }
            Event::Ended { slot } => {
                self.settle(slot, |connection, patience, books| connection.on_end(books.now, patience, books));
            }
            Event::Broken { slot, errno } => {
                self.settle(slot, |connection, patience, books| {
                    connection.on_broken(meaning(errno, false), patience, books)
                });
            }
        }
    }

    fn settle(&mut self, slot: u32, on: impl FnOnce(&mut Connection, &Patience, &mut Books<'_>) -> Step) {
        let index = self.owner[slot as usize] as usize;
        let entrant = &mut self.entrants[index];
        let connection = &mut entrant.connections[(slot - entrant.base) as usize];
        let mut books = Books { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
        let step = on(connection, &self.patience, &mut books);
        self.apply(slot, index, step);
    }

    #[inline]
    fn apply(&mut self, slot: u32, index: usize, step: Step) {
        match step {
            Step::Go => self.look_at(slot),
            Step::Close => self.close(slot),
            Step::Unsolicited => {
                self.block.counts(index, self.scored).row.tally.unsolicited += 1;
                self.close(slot);
            }
        }
    }

    // --- expire, hand off, end -----------------------------------------------------------------------------------

    fn expire(&mut self) {
        while let Some(slot) = self.wheel.pop(self.now) {
            let index = self.owner[slot as usize] as usize;
            let entrant = &mut self.entrants[index];
            let connection = &mut entrant.connections[(slot - entrant.base) as usize];
            let mut books = Books { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
            let step = connection.on_wake(self.now, &self.patience, &mut books);
            if let Some(at) = connection.wake_at(&self.patience) {
                self.wheel.insert(slot, at.max(self.now));
            }
            match step {
                None => {}
                // A slot without a socket has nothing to close.
                Some(_) if matches!(self.connection(slot).state(), State::Cold | State::Closing) => {
                    self.look_at(slot);
                }
                Some(step) => self.apply(slot, index, step),
            }
        }
    }

    /// Traces need an empty block before the time; but asking for one is not free.
    fn is_hurried(&self) -> bool {
        self.block.traces.is_nearly_full() && self.now + BLOCK_NS >= self.block_at + BLOCK_HURRIED_NS
    }

    fn hand_off(&mut self, order: &Order, sender: &mut Sender) {
        self.stamp_block();
        if sender.hand_off(&mut self.block) {
            self.block.traces.open(self.plan.utc_us(self.now), order.wants_traces());
        }
        self.block_at = self.now + BLOCK_NS;
    }

    fn stamp_block(&mut self) {
        self.block.counters = self.ring.counters();
        self.block.counters.stalls = self.stalls;
        self.block.counters.slow_parses = self.entrants.iter().map(|entrant| entrant.shape.slow).sum();
        self.block.cpu_us = thread_cpu_us();
    }

    /// Goes on by another plan of the same round: another course, other endpoints, other traffic.
    fn adopt(&mut self, plan: Arc<Plan>) {
        let before = std::mem::replace(&mut self.plan, plan);
        let rewritten = self.plan.course.rewrites(&before.course, self.now);
        for index in 0..self.entrants.len() {
            let (was, is) = (&before.contestants[index], &self.plan.contestants[index]);
            let (moved, halted) = (was.request != is.request, is.traffic == Traffic::Nothing);
            let entrant = &mut self.entrants[index];
            // What waits has fallen due by the old clock and the old share.
            if halted || rewritten || entrant.pacer.is_new_share(&self.plan.course) {
                let mut books = Books { plan: &before, block: &mut self.block, contestant: index, now: self.now };
                while let Some((intended, scored)) = entrant.pacer.take() {
                    books.never_sent(intended, scored, Failure::OwnFault);
                }
            }
            entrant.pacer.follow(self.plan.course.clone());
            entrant.redirect(moved, &is.addresses);
            let (base, slots) = (entrant.base, entrant.connections.len() as u32);
            for slot in base..base + slots {
                if halted {
                    self.silence(index, slot);
                } else if self.entrants[index].is_stale(slot - base) {
                    self.look_at(slot);
                }
            }
        }
        // The phase is entered anew, with its limits as they are now.
        self.load = None;
    }

    /// Whatever the slot holds is our own fault, and its connection ends.
    fn silence(&mut self, index: usize, slot: u32) {
        let entrant = &mut self.entrants[index];
        let connection = &mut entrant.connections[(slot - entrant.base) as usize];
        let mut books = Books { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
        connection.on_unconnected(Failure::OwnFault, &self.patience, &mut books);
        if matches!(connection.state(), State::Open | State::Connecting) {
            self.close(slot);
        }
    }

    /// Sends nothing until told otherwise; then the phase is entered anew, wherever it stands.
    fn pause(&mut self, paused: bool) {
        if std::mem::replace(&mut self.paused, paused) != paused {
            self.load = None;
        }
    }

    /// Starts nothing more; what is in flight or waits is finished.
    fn drain(&mut self) {
        if !std::mem::replace(&mut self.draining, true) {
            self.load = None;
            self.entrants.iter_mut().for_each(|entrant| entrant.pacer.stop());
        }
    }

    fn is_done(&self) -> bool {
        (self.draining || self.phase >= self.plan.phases.len() || self.is_spent())
            && self.entrants.iter().all(|entrant| {
                entrant.pacer.waiting() == 0
                    && entrant.pacer.next_due() == u64::MAX
                    && entrant.connections.iter().all(|connection| connection.load() == 0)
            })
    }

    /// Nothing in flight can have another outcome any more than our own fault.
    fn give_up(&mut self) {
        for (index, entrant) in self.entrants.iter_mut().enumerate() {
            let mut books = Books { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
            for connection in &mut entrant.connections {
                connection.on_unconnected(Failure::OwnFault, &self.patience, &mut books);
            }
            while let Some((intended, scored)) = entrant.pacer.take() {
                books.never_sent(intended, scored, Failure::OwnFault);
            }
        }
    }

    /// The last phase runs on a number of requests, and they are spent.
    fn is_spent(&self) -> bool {
        self.phase + 1 == self.plan.phases.len()
            && self.load.is_some()
            && self.entrants.iter().all(|entrant| entrant.quota == Some(0))
    }

    fn close_all(&mut self) -> io::Result<()> {
        for slot in 0..self.owner.len() as u32 {
            if matches!(self.connection(slot).state(), State::Open | State::Connecting) {
                self.close(slot);
            }
        }
        self.load = None;
        self.draining = true;
        let until = self.now + CLOSE_NS;
        while self.now < until
            && (0..self.owner.len() as u32).any(|slot| self.connection(slot).state() == State::Closing)
        {
            self.turn()?;
        }
        Ok(())
    }
}
