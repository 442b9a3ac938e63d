//! The worker: one core, one ring, its connections, schedule and tallies; it shares nothing.
//!
//! The loop is *start what is due; submit and wait once; handle completions; expire; hand off*. On its path there is
//! no allocation, lock, log, format or per-request clock read: the clock is read once per turn, right after the enter,
//! and completions are handled before deadlines expire, so that our own delay never fails an answer that is there.
//! What is due is started in `sending`, what speaks TLS in `sealed`; what others control is carried out in `steering`; `holds`
//! says when the figures of a breakpoint step are whole. What it is doing meanwhile is one word, its `activity`.

mod activity;
mod holds;
mod sealed;
mod sending;
mod steering;

use crate::engine::block::{Block, Sender};
use crate::engine::causes::{OwnCause, OwnTrouble};
use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::connection::{Connection, State};
use crate::engine::contestant::{Contestant, LookedAt, OutcomeRecorder, bytes_per_turn, meaning};
use crate::engine::control::{GoOn, WorkerControl};
use crate::engine::cost::Costs;
use crate::engine::index::{ContestantIndex, Key, RingSlot, Table};
use crate::engine::occupied::Occupancy;
use crate::engine::pacer::{Pacer, Takes};
use crate::engine::plan::{NS_PER_SECOND, NS_PER_US, Plan};
use crate::engine::quantum::Quantum;
use crate::engine::ring::{Event, Kernel, Ring, thread_cpu_us};
use crate::engine::share::Share;
use crate::engine::sizes::sizes;
use crate::engine::split::{index_of, slots_of};
use crate::engine::spread::Spread;
use crate::engine::step::Step;
use crate::engine::timeouts::{LATE_NS, LateWindow, Timeouts};
use crate::engine::trace::Tracing;
use crate::engine::wheel::{Sleeper, Wheel};
use activity::Activity;
use flowtest_contract::TokenMint;
use flowtest_contract::verdict::Failure;
use flowtest_journal::record::LateCause;
use holds::HoldWatch;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Longest wait of a turn: also how soon a stop is seen and a stall noticed.
const WAIT_MAX_NS: u64 = 10_000_000;
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

/// In closed phases a turn waits, for as long as the kernel takes to wait for a batch, for as many completions as this part of the
/// connections, our own sends among them: whoever wakes us for each answer pays for that, and a server that is waited for
/// answers more in one go.
const BATCH_PART: u32 = 8;
const BATCH_MAX: u32 = 32;

/// A worker that ran, or waited for its core, for more of an interval than this, in thousandths, never rested.
const BUSY_MAX: u64 = 980;
/// The golden section of 2^64: turns that follow each other at whatever distance begin all over the roster.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// How long a slot is held for which our own machine had no descriptor, memory or port.
const SHORT_NS: u64 = 100_000_000;

#[derive(Debug)]
pub struct Worker<K> {
    ring: Ring<K>,
    /// Among the workers of this generator.
    number: u32,
    /// All that the ring has, those for contestants that may join among them.
    slots: u32,
    /// Of the schedule: those of contestants that may join among them.
    places: usize,
    plan: Arc<Plan>,
    mint: TokenMint,
    contestants: Table<ContestantIndex, Contestant>,
    /// The contestant that a slot belongs to.
    owner: Table<RingSlot, ContestantIndex>,
    wheel: Wheel,
    timeouts: Timeouts,
    /// What one contestant may send in a turn.
    bytes_per_turn: usize,
    block: Box<Block>,
    pacer: Pacer,
    /// Slots to look at before the next enter.
    ready: Vec<RingSlot>,
    /// Those that could begin a request when their contestant had had its part of the turn.
    held: Vec<RingSlot>,
    /// Among the ready, the held or the resting.
    queued: Table<RingSlot, bool>,
    quantum: Quantum,
    /// Of open phases.
    costs: Costs,
    /// Contestants whose waiting requests are to be looked at before the next enter.
    pacing: Vec<ContestantIndex>,
    is_pacing: Table<ContestantIndex, bool>,
    /// Contestants that have slots waiting for their turn to open a connection, in order, each once.
    deferring: VecDeque<ContestantIndex>,
    is_deferring: Table<ContestantIndex, bool>,
    /// Counts turns.
    turn: u64,
    /// Connections that may still be begun in this turn, and how many of them by one contestant.
    opens: u32,
    opens_each: u32,
    /// What steps of handshakes took in this turn, in nanoseconds, and what they may take.
    shaken_ns: u64,
    shaking_ns: u64,
    /// How many contestants want a step of one, in this turn and in the one before.
    shakers: [u64; 2],
    /// What all else of the last turn took that did not rest.
    work_ns: u64,
    /// What was looked at in this turn of what comes after handshakes of all contestants.
    looked_at: LookedAt,
    /// Slots whose contestant goes on with no handshake yet, among the queued, and when the first of them is looked at again.
    resting: Vec<RingSlot>,
    rested_at: RunInstant,
    activity: Activity,
    /// The phase that runs or comes next.
    phase: usize,
    /// Since when the split counts by which the limits of connections are set.
    split_since: PlanInstant,
    /// Since when the phase that ran last, and those of its kind before it, are open.
    open_since: Option<RunInstant>,
    /// Whether the phase that ran last is scored: bytes that come after it are counted with it.
    scored: bool,
    /// Completions that a turn waits for.
    want: u32,
    now: RunInstant,
    block_at: RunInstant,
    /// When it came to what had fallen due, and how late it was by then.
    fallen: (RunInstant, u64),
    /// When addresses' meters are told what was counted there.
    meter_at: RunInstant,
    /// The version of the plan.
    version: u64,
    /// When we last found that we had stood still for long.
    stalled_at: RunInstant,
    stalls: u64,
    /// How long turns of phases that came late were late beyond what is let pass, and those in which nothing might be sent.
    late_ns: u64,
    /// Our own machine can send nothing to one of the contestants.
    is_unable: bool,
    /// When a block was handed over last, and how long we had been occupied by then.
    occupied: (RunInstant, Occupancy),
    hold_watch: HoldWatch,
}

impl<K: Kernel> Worker<K> {
    pub fn new(kernel: K, plan: Arc<Plan>, number: u32, key: [u8; 16], tracing: Tracing) -> Worker<K> {
        let sizes = sizes(&plan, number);
        let ring = Ring::new(kernel, sizes);
        let now = ring.now();
        let mut contestants = Vec::with_capacity(plan.contestants.len());
        let mut owner = Vec::with_capacity(sizes.slots as usize);
        let spread = Spread::new(plan.places() as u64);
        for index in plan.contestants.keys() {
            let place = index_of(&plan, &spread, number, index);
            let slots = slots_of(&plan, &spread, number, index) as usize;
            let parts = u64::from(plan.workers.min(plan.connections_max()).max(1));
            let quota = plan.requests.map(|total| Share { index: place, of: parts }.take(total));
            contestants.push(Contestant::new(&plan, index, RingSlot::from_index(owner.len()), slots, quota));
            owner.extend(std::iter::repeat_n(index, slots));
        }
        let (slots, count) = (owner.len(), plan.contestants.len());
        let worker = Share { index: u64::from(number), of: u64::from(plan.workers) };
        let takes = Takes::new(plan.phases.clone(), plan.places(), count, worker, &plan.schedule);
        let mut block = Box::new(Block::new(plan.contestants.len(), tracing));
        block.traces.open(plan.utc_us(now), true);
        let mut worker = Worker {
            ring,
            number,
            slots: sizes.slots,
            places: plan.places(),
            mint: TokenMint::new(key, number as u16),
            contestants: contestants.into(),
            owner: owner.into(),
            wheel: Wheel::new(sizes.slots, plan.places(), plan.timeout(), now),
            timeouts: Timeouts::new(plan.timeout()),
            bytes_per_turn: bytes_per_turn(&plan, sizes.buffers as usize * sizes.buffer_bytes),
            block,
            pacer: Pacer::new(takes, plan.schedule.clone()),
            ready: Vec::with_capacity(slots),
            held: Vec::with_capacity(slots),
            queued: Table::filled(false, slots),
            quantum: Quantum::new(count),
            costs: Costs::new(count),
            pacing: Vec::with_capacity(count),
            is_pacing: Table::filled(false, count),
            deferring: VecDeque::with_capacity(count),
            is_deferring: Table::filled(false, count),
            turn: 0,
            opens: OPENS_PER_TURN,
            opens_each: (OPENS_PER_TURN / count.max(1) as u32).max(1),
            shaken_ns: 0,
            shaking_ns: sealed::shaking_ns(0),
            shakers: [0; 2],
            work_ns: 0,
            looked_at: LookedAt::default(),
            resting: Vec::new(),
            rested_at: RunInstant::NEVER,
            activity: Activity::Between,
            phase: 0,
            split_since: PlanInstant::START,
            open_since: None,
            scored: false,
            want: 1,
            now,
            block_at: now + BLOCK_NS,
            fallen: (now, 0),
            meter_at: now + BLOCK_NS,
            version: 0,
            stalled_at: RunInstant::START,
            stalls: 0,
            late_ns: 0,
            is_unable: plan.is_unable(),
            occupied: (now, Occupancy::default()),
            hold_watch: HoldWatch::default(),
            plan,
        };
        worker.make_room_for_holds();
        worker
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
        match control.go_on() {
            GoOn::Run => {}
            GoOn::Drain => self.drain(),
            // Stopped at once: what is in flight is nobody's fault but ours.
            GoOn::Stop => {
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
        let may_start = self.activity.is_draining() || control.looked_at() >= self.stalled_at;
        if may_start {
            self.start_due();
        }
        if self.plan.schedule.is_stopped(self.now) {
            self.drain();
        }
        if self.is_done() {
            return Ok(false);
        }
        self.turn(may_start)?;
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
    pub(crate) fn now(&self) -> RunInstant {
        self.now
    }

    #[cfg(test)]
    pub(crate) fn ring_mut(&mut self) -> &mut Ring<K> {
        &mut self.ring
    }

    /// Bytes that connections keep of what servers have said.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.contestants.iter().flat_map(|contestant| contestant.tls.iter().flatten()).map(|tls| tls.kept()).sum()
    }

    /// All contestants, begun at another place of the roster each time: nobody is always the first.
    fn in_turn(&self) -> impl Iterator<Item = ContestantIndex> + use<K> {
        let (count, turn) = (self.contestants.len(), self.turn.wrapping_mul(GOLDEN) >> u32::BITS);
        (0..count).map(move |step| ContestantIndex::from_index((turn as usize + step) % count))
    }

    fn close(&mut self, slot: RingSlot) {
        self.part(slot);
        self.connection(slot).on_closing();
        self.ring.close(slot);
    }

    fn connection(&mut self, slot: RingSlot) -> &mut Connection {
        let contestant = &mut self.contestants[self.owner[slot]];
        let local = contestant.local(slot);
        &mut contestant.connections[local]
    }

    // --- submit and wait once, handle completions ----------------------------------------------------------------

    /// One enter. Without leave to start anything, what waits for that is no reason not to rest.
    fn turn(&mut self, may_start: bool) -> io::Result<()> {
        let rests =
            self.ready.is_empty() && self.held.is_empty() && self.pacing.is_empty() && self.deferring.is_empty();
        let wait = match (may_start, rests) {
            (false, _) => WAIT_MAX_NS,
            (true, true) => self.wait(),
            (true, false) => 0,
        };
        self.ring.turn(self.want, wait)?;
        let now = self.ring.now();
        let before = std::mem::replace(&mut self.now, now);
        self.timeouts.on_turn(now);
        let work_ns = if wait == 0 { (now - before).saturating_sub(self.shaken_ns) } else { 0 };
        // The shorter of two: one alone may have been interrupted.
        self.shaking_ns = sealed::shaking_ns(work_ns.min(std::mem::replace(&mut self.work_ns, work_ns)));
        // What was to be a rest is none of our lateness; how much of a longer gap it was nobody can tell.
        if now - before > wait + LATE_NS {
            self.stalls += 1;
            self.was_late(before, LateCause::Gap);
            if now - before > LONG_STALL_NS {
                self.stalled_at = now;
            }
        }
        if self.activity.is_paused() {
            // What waits may not be sent, and keeps its place.
            self.was_late(before, LateCause::Journal);
            self.late_ns += self.late_in_phases(before);
        } else if !may_start {
            // What falls due meanwhile leaves together.
            self.was_late(before, LateCause::Control);
            self.late_ns += self.late_in_phases(before);
        } else if self.is_unable && self.scored && self.activity.is_closed_loop() {
            self.could_not_send(before);
        } else {
            self.late_ns += self.late_in_phases(before + wait + LATE_NS);
        }
        while let Some(event) = self.ring.event() {
            self.on_event(event);
        }
        Ok(())
    }

    /// How much of the time since then, in which we did nothing, was a phase's: between phases nobody waits for us.
    fn late_in_phases(&self, from: RunInstant) -> u64 {
        if from >= self.now {
            return 0;
        }
        let schedule = &self.plan.schedule;
        let Some(phase) = self.plan.phases.get(self.phase).filter(|_| !self.activity.is_draining()) else { return 0 };
        // By the plan's clock, which stands still in pauses.
        let (from, now) = (schedule.plan_clock(from), schedule.plan_clock(self.now));
        now.min(self.plan.end()).ns().saturating_sub(from.max(phase.start).ns())
    }

    /// We were late since then.
    fn was_late(&mut self, from: RunInstant, cause: LateCause) {
        let window = LateWindow { from, to: self.now, cause };
        self.timeouts.on_late(window);
        self.block.late.note(window);
        self.block.note_trouble(Some(OwnTrouble { is_void: false, at: self.now, cause: OwnCause::Late(cause) }));
    }

    /// In a closed phase nothing falls due to whom we can send nothing: since then we have not kept to the plan. For all others we
    /// were not late.
    fn could_not_send(&mut self, from: RunInstant) {
        let cause = OwnCause::Trust;
        self.block.late.note(LateWindow { from, to: self.now, cause: cause.recorded() });
        self.block.note_trouble(Some(OwnTrouble { is_void: false, at: self.now, cause }));
        self.late_ns += self.late_in_phases(from);
    }

    /// What is void now is so for another reason than our lateness.
    fn note(&mut self, cause: OwnCause) {
        self.timeouts.note(cause);
        self.block.late.note(LateWindow { from: self.now, to: self.now, cause: cause.recorded() });
    }

    /// Until the next request falls due or the phase changes, but not longer than a stall may stay unseen.
    fn wait(&self) -> u64 {
        let schedule = &self.plan.schedule;
        let due = self.pacer.next_due();
        let phase = self.plan.phases.get(self.phase).map_or(RunInstant::NEVER, |phase| match self.activity {
            Activity::Playing(_) => schedule.run_clock(phase.end),
            Activity::Between if !schedule.is_paused(self.now) => schedule.run_clock(phase.start),
            Activity::Between | Activity::Paused | Activity::Draining { .. } | Activity::Over => RunInstant::NEVER,
        });
        due.min(phase)
            .min(schedule.next_change(self.now))
            .min(self.rested_at)
            .saturating_since(self.now)
            .min(WAIT_MAX_NS)
    }

    #[inline]
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Received { slot, buffer } => {
                let index = self.owner[slot];
                self.block.counts(index, self.scored).row.tally.bytes += buffer.len() as u64;
                // What an open phase receives belongs to no request that the quantum counts.
                if self.activity.is_closed_loop() {
                    self.quantum.on_received(index, buffer.len());
                } else {
                    self.costs.on_received(index, buffer.len());
                }
                let contestant = &mut self.contestants[index];
                let greedy = contestant.on_received(self.turn, buffer.len()) > self.bytes_per_turn;
                let local = contestant.local(slot);
                if contestant.has_tls && contestant.tls[local].is_some() {
                    return self.on_sealed(slot, buffer);
                }
                let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
                let step = contestant.connections[local].on_bytes(
                    self.ring.bytes(buffer),
                    self.now,
                    &mut contestant.shape,
                    &self.timeouts,
                    &mut outcomes,
                );
                let (settled, took_us) = (outcomes.settled, outcomes.took_us);
                contestant.on_settled(local, settled, took_us);
                self.ring.recycle(buffer);
                if greedy {
                    self.ring.pause(slot);
                }
                self.apply(slot, index, step);
            }
            Event::Sent { slot } => {
                if self.connection(slot).has_unsent() || self.has_outgoing(slot) {
                    self.look_at(slot);
                }
            }
            Event::Connected { slot } => {
                let contestant = &mut self.contestants[self.owner[slot]];
                contestant.on_connected(contestant.local(slot), self.now);
                self.look_at(slot);
            }
            Event::Closed { slot } => {
                let contestant = &mut self.contestants[self.owner[slot]];
                contestant.open -= 1;
                let local = contestant.local(slot);
                contestant.end_tls(local);
                contestant.connections[local].on_closed(self.now, &self.timeouts);
                self.look_at(slot);
            }
            Event::Unconnected { slot, errno } => {
                let failure = self.meaning(slot, errno, true);
                self.settle(slot, |connection, timeouts, outcomes| {
                    connection.on_unconnected(failure, timeouts, outcomes)
                });
            }
            Event::Ended { slot } if self.speaks_tls(slot) => self.on_cut(slot, Failure::Reset),
            Event::Ended { slot } => {
                self.settle(slot, |connection, timeouts, outcomes| connection.on_end(outcomes.now, timeouts, outcomes));
            }
            Event::Broken { slot, errno } => {
                let failure = self.meaning(slot, errno, false);
                if self.speaks_tls(slot) {
                    return self.on_cut(slot, failure);
                }
                self.settle(slot, |connection, timeouts, outcomes| connection.on_broken(failure, timeouts, outcomes));
            }
        }
    }

    /// What an errno means; our own machine's want is noted.
    fn meaning(&mut self, slot: RingSlot, errno: i32, connecting: bool) -> Failure {
        let index = self.owner[slot];
        let contestant = &self.contestants[index];
        let address = contestant.peer(contestant.local(slot), &self.plan.contestants[index].addresses);
        let is_cut_off = errno == libc::ENETUNREACH && connecting && address.is_some_and(|at| !self.ring.has_route(at));
        let failure = if is_cut_off { Failure::OwnFault } else { meaning(errno, connecting) };
        if failure == Failure::OwnFault {
            self.is_short(slot, OwnCause::of_errno(errno));
        }
        failure
    }

    /// Our own machine has no descriptor, memory or port for this slot.
    fn is_short(&mut self, slot: RingSlot, cause: OwnCause) {
        self.note(cause);
        let until = self.now + SHORT_NS;
        self.connection(slot).hold(until);
        let contestant = &mut self.contestants[self.owner[slot]];
        contestant.short = Some((self.now, cause));
    }

    fn settle(
        &mut self,
        slot: RingSlot,
        on: impl FnOnce(&mut Connection, &Timeouts, &mut OutcomeRecorder<'_>) -> Step,
    ) {
        let index = self.owner[slot];
        let contestant = &mut self.contestants[index];
        let local = contestant.local(slot);
        let connection = &mut contestant.connections[local];
        let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
        let step = on(connection, &self.timeouts, &mut outcomes);
        let (settled, took_us) = (outcomes.settled, outcomes.took_us);
        contestant.on_settled(local, settled, took_us);
        self.apply(slot, index, step);
    }

    #[inline]
    fn apply(&mut self, slot: RingSlot, index: ContestantIndex, step: Step) {
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
        while let Some(sleeper) = self.wheel.pop(self.now) {
            let slot = match sleeper {
                Sleeper::Slot(slot) => slot,
                Sleeper::Contestant(index) => {
                    self.look_at_waiting(index);
                    continue;
                }
            };
            let index = self.owner[slot];
            let contestant = &mut self.contestants[index];
            let local = contestant.local(slot);
            let connection = &mut contestant.connections[local];
            let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
            let step = connection.on_wake(self.now, &self.timeouts, &mut outcomes);
            let settled = outcomes.settled;
            if let Some(at) = connection.wake_at(&self.timeouts) {
                self.wheel.insert(Sleeper::Slot(slot), at.max(self.now));
            }
            contestant.on_settled(local, settled, 0);
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
        self.look_whether_it_rested();
        self.settle_hold();
        self.stamp_block();
        // Not with every hurried block: it walks over all contestants.
        if self.now >= self.meter_at {
            self.meter_at = self.now + BLOCK_NS;
            for (contestant, planned) in self.contestants.iter_mut().zip(self.plan.contestants.iter()) {
                contestant.hand_over(&planned.addresses);
            }
        }
        if sender.hand_off(&mut self.block) {
            // An empty one may be from before somebody joined.
            self.block.grow(self.contestants.len());
            self.make_room_for_holds();
            self.block.traces.open(self.plan.utc_us(self.now), control.wants_traces());
        }
        self.block_at = self.now + BLOCK_NS;
    }

    /// A worker that never rests looks at answers late, and connections seem busy that are free. In a closed phase that is
    /// what it shall do.
    fn look_whether_it_rested(&mut self) {
        let (since, before) = self.occupied;
        let elapsed = self.now - since;
        if elapsed < BLOCK_NS {
            return;
        }
        let occupied = self.ring.occupancy();
        self.occupied = (self.now, occupied);
        let (ran, waited) = (occupied.ran_ns - before.ran_ns, occupied.waited_ns - before.waited_ns);
        let fills_its_time = |ns: u64| ns.saturating_mul(1_000) > elapsed.saturating_mul(BUSY_MAX);
        let is_open = self.open_since.is_some_and(|open_since| open_since <= since);
        if is_open && fills_its_time(ran + waited) {
            self.was_late(since, LateCause::Busy);
        }
        // Whoever had no core was filled by nobody's exchanges.
        let is_filled = is_open && fills_its_time(ran);
        let (block, scored) = (&mut self.block, self.scored);
        self.costs.take(|index, cost| {
            if is_filled {
                block.counts(index, scored).meter.busy.add(cost);
            }
        });
    }

    fn stamp_block(&mut self) {
        let (until, late_ns) = self.fallen;
        self.block.until = until;
        self.block.counters = self.ring.counters();
        self.block.counters.late_us = late_ns / NS_PER_US;
        self.block.counters.stalls = self.stalls;
        self.block.counters.slow_parses = self.contestants.iter().map(|contestant| contestant.shape.slow).sum();
        self.block.cpu_us = thread_cpu_us();
    }
}
