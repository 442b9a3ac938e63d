//! The worker: one core, one ring, its connections, schedule and tallies; it shares nothing.
//!
//! The loop is *start what is due; submit and wait once; handle completions; expire; hand off*. On its path there is
//! no allocation, lock, log, format or per-request clock read: the clock is read once per turn, right after the enter,
//! and completions are handled before deadlines expire, so that our own delay never fails an answer that is there.
//! What is due is started in `sending`; what others control is carried out in `steering`.

mod sending;
mod steering;

use crate::engine::block::{Block, Sender};
use crate::engine::connection::{Connection, State, Step};
use crate::engine::contestant::{Contestant, OutcomeRecorder, bytes_per_turn, meaning};
use crate::engine::control::{Stage, WorkerControl};
use crate::engine::pacer::Pacer;
use crate::engine::plan::{Load, NS_PER_SECOND, Plan};
use crate::engine::ring::{Event, Kernel, Ring, thread_cpu_us};
use crate::engine::share::{Share, index_of, sizes, slots_of};
use crate::engine::timeouts::Timeouts;
use crate::engine::trace::Tracing;
use crate::engine::wheel::Wheel;
use flowtest_contract::TokenMint;
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

/// The phase that runs now.
#[derive(Clone, Copy, Debug)]
struct Running {
    load: Load,
    scored: bool,
}

/// One worker.
#[derive(Debug)]
pub struct Worker<K> {
    ring: Ring<K>,
    plan: Arc<Plan>,
    mint: TokenMint,
    contestants: Vec<Contestant>,
    /// The contestant that a slot belongs to.
    owner: Vec<u32>,
    wheel: Wheel,
    timeouts: Timeouts,
    /// What one contestant may send in a turn.
    bytes_per_turn: usize,
    block: Box<Block>,
    /// Slots to look at before the next enter.
    ready: Vec<u32>,
    queued: Vec<bool>,
    /// Connections that one contestant may begin in a turn.
    opens_per_turn: u32,
    phase: usize,
    /// `None` between and after phases.
    running: Option<Running>,
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
    stalls: u64,
}

impl<K: Kernel> Worker<K> {
    pub fn new(kernel: K, plan: Arc<Plan>, number: u32, key: [u8; 16], tracing: Tracing) -> Worker<K> {
        let sizes = sizes(&plan, number);
        let ring = Ring::new(kernel, sizes);
        let now = ring.now();
        let mut contestants = Vec::with_capacity(plan.contestants.len());
        let mut owner = Vec::with_capacity(sizes.slots as usize);
        for index in 0..plan.contestants.len() {
            let place = index_of(&plan, number, index);
            let slots = slots_of(&plan, number, index);
            let worker = Share { index: place, of: u64::from(plan.workers) };
            let pacer = Pacer::new(plan.phases.clone(), plan.schedule.clone(), worker);
            let parts = u64::from(plan.workers.min(plan.connections_max()).max(1));
            let quota = plan.requests.map(|total| Share { index: place, of: parts }.take(total));
            contestants.push(Contestant::new(&plan, index, owner.len() as u32, slots, pacer, quota));
            owner.extend(std::iter::repeat_n(index as u32, slots as usize));
        }
        let slots = owner.len();
        let mut block = Box::new(Block::new(plan.contestants.len(), tracing));
        block.traces.open(plan.utc_us(now), true);
        Worker {
            ring,
            mint: TokenMint::new(key, number as u16),
            contestants,
            owner,
            wheel: Wheel::new(sizes.slots, plan.timeout(), now),
            timeouts: Timeouts::new(plan.timeout()),
            bytes_per_turn: bytes_per_turn(&plan, sizes.buffers as usize * sizes.buffer_bytes),
            block,
            ready: Vec::with_capacity(slots),
            queued: vec![false; slots],
            opens_per_turn: (OPENS_PER_TURN / plan.contestants.len().max(1) as u32).max(1),
            phase: 0,
            running: None,
            scored: false,
            want: 1,
            now,
            block_at: now + BLOCK_NS,
            draining: false,
            paused: false,
            version: 0,
            stalled_at: 0,
            stalls: 0,
            plan,
        }
    }

    /// Runs the plan to its end. An error is the ring's: it ends the worker, and with it the run.
    pub fn run(&mut self, control: &WorkerControl, sender: &mut Sender) -> io::Result<()> {
        let result = self.run_plan(control, sender);
        if result.is_err() {
            control.drain();
            self.give_up();
        }
        result
    }

    fn run_plan(&mut self, control: &WorkerControl, sender: &mut Sender) -> io::Result<()> {
        while self.go_on(control, sender)? {}
        self.close_all()
    }

    /// One turn; `false` when the plan is played or the worker was stopped.
    pub(crate) fn go_on(&mut self, control: &WorkerControl, sender: &mut Sender) -> io::Result<bool> {
        match control.stage() {
            Stage::Run => {}
            Stage::Drain => self.drain(),
            // Stopped at once: what is in flight is nobody's fault but ours.
            Stage::Stop => {
                self.give_up();
                return Ok(false);
            }
        }
        if control.version() != self.version {
            self.version = control.version();
            self.adopt(control.plan());
        }
        self.pause(control.is_paused());
        // Whoever stood still may have missed that its share is somebody else's now.
        if control.looked_at() >= self.stalled_at {
            self.start_due();
        }
        if self.plan.schedule.is_stopped(self.now) {
            self.drain();
        }
        if self.is_done() {
            return Ok(false);
        }
        self.turn()?;
        self.expire();
        if self.now >= self.block_at || self.is_hurried() {
            self.hand_off(control, sender);
        }
        Ok(true)
    }

    /// The last block, for [`Sender::finish`].
    pub fn into_block(mut self) -> Box<Block> {
        self.stamp_block();
        std::mem::take(&mut self.block)
    }

    #[cfg(test)]
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    #[cfg(test)]
    pub(crate) fn ring_mut(&mut self) -> &mut Ring<K> {
        &mut self.ring
    }

    fn close(&mut self, slot: u32) {
        self.connection(slot).on_closing();
        self.ring.close(slot);
    }

    fn connection(&mut self, slot: u32) -> &mut Connection {
        let contestant = &mut self.contestants[self.owner[slot as usize] as usize];
        &mut contestant.connections[(slot - contestant.base) as usize]
    }

    // --- submit and wait once, handle completions ----------------------------------------------------------------

    fn turn(&mut self) -> io::Result<()> {
        let wait = if self.ready.is_empty() && !self.contestants.iter().any(Contestant::is_deferring) {
            self.wait()
        } else {
            0
        };
        self.ring.turn(self.want, wait)?;
        let now = self.ring.now();
        let gap = now - self.now;
        if gap > STALL_NS {
            self.timeouts.on_stall(now, gap);
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
        let schedule = &self.plan.schedule;
        let due = self.contestants.iter().map(|contestant| contestant.pacer.next_due()).min().unwrap_or(u64::MAX);
        let rests = self.draining || self.paused || schedule.is_paused(self.now);
        let phase = self.plan.phases.get(self.phase).map_or(u64::MAX, |phase| match self.running {
            Some(_) => schedule.run_clock(phase.end),
            None if rests => u64::MAX,
            None => schedule.run_clock(phase.start),
        });
        due.min(phase).min(schedule.next_change(self.now)).saturating_sub(self.now).min(WAIT_MAX_NS)
    }

    #[inline]
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Received { slot, buffer } => {
                let index = self.owner[slot as usize] as usize;
                self.block.counts(index, self.scored).row.tally.bytes += buffer.len() as u64;
                let contestant = &mut self.contestants[index];
                contestant.bytes += buffer.len();
                let greedy = contestant.bytes > self.bytes_per_turn;
                let mut outcomes =
                    OutcomeRecorder { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
                let step = contestant.connections[(slot - contestant.base) as usize].on_bytes(
                    self.ring.bytes(buffer),
                    self.now,
                    &mut contestant.shape,
                    &self.timeouts,
                    &mut outcomes,
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
                let contestant = &mut self.contestants[self.owner[slot as usize] as usize];
                contestant.on_connected(slot - contestant.base, self.now);
                self.look_at(slot);
            }
            Event::Closed { slot } => {
                let contestant = &mut self.contestants[self.owner[slot as usize] as usize];
                contestant.open -= 1;
                contestant.connections[(slot - contestant.base) as usize].on_closed(self.now, &self.timeouts);
                self.look_at(slot);
            }
            Event::Unconnected { slot, errno } => {
                self.settle(slot, |connection, timeouts, outcomes| {
                    connection.on_unconnected(meaning(errno, true), timeouts, outcomes)
                });
            }
            Event::Ended { slot } => {
                self.settle(slot, |connection, timeouts, outcomes| connection.on_end(outcomes.now, timeouts, outcomes));
            }
            Event::Broken { slot, errno } => {
                self.settle(slot, |connection, timeouts, outcomes| {
                    connection.on_broken(meaning(errno, false), timeouts, outcomes)
                });
            }
        }
    }

    fn settle(&mut self, slot: u32, on: impl FnOnce(&mut Connection, &Timeouts, &mut OutcomeRecorder<'_>) -> Step) {
        let index = self.owner[slot as usize] as usize;
        let contestant = &mut self.contestants[index];
        let connection = &mut contestant.connections[(slot - contestant.base) as usize];
        let mut outcomes =
            OutcomeRecorder { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
        let step = on(connection, &self.timeouts, &mut outcomes);
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

    // --- expire, hand off -----------------------------------------------------------------------------------

    fn expire(&mut self) {
        while let Some(slot) = self.wheel.pop(self.now) {
            let index = self.owner[slot as usize] as usize;
            let contestant = &mut self.contestants[index];
            let connection = &mut contestant.connections[(slot - contestant.base) as usize];
            let mut outcomes =
                OutcomeRecorder { plan: &self.plan, block: &mut self.block, contestant: index, now: self.now };
            let step = connection.on_wake(self.now, &self.timeouts, &mut outcomes);
            if let Some(at) = connection.wake_at(&self.timeouts) {
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

    fn hand_off(&mut self, control: &WorkerControl, sender: &mut Sender) {
        self.stamp_block();
        if sender.hand_off(&mut self.block) {
            self.block.traces.open(self.plan.utc_us(self.now), control.wants_traces());
        }
        self.block_at = self.now + BLOCK_NS;
    }

    fn stamp_block(&mut self) {
        self.block.counters = self.ring.counters();
        self.block.counters.stalls = self.stalls;
        self.block.counters.slow_parses = self.contestants.iter().map(|contestant| contestant.shape.slow).sum();
        self.block.cpu_us = thread_cpu_us();
    }
}
