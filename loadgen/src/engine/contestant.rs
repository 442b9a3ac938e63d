//! One contestant in one worker: its slots, its schedule, its outcomes.
//!
//! Everything that is shared between the connections of a contestant lives here and nowhere else, so that a contestant
//! that hangs, floods, resets or refuses can spend only what is its own.

use crate::engine::backlog::Backlog;
use crate::engine::block::{Block, Counts};
use crate::engine::causes::{Cause, OwnCause, OwnTrouble};
use crate::engine::clock::RunInstant;
use crate::engine::connection::{Connection, OutcomeSink};
use crate::engine::exchange::Exchange;
use crate::engine::http::Shape;
use crate::engine::index::{ContestantIndex, Key, LocalSlot, RingSlot, Table};
use crate::engine::pacer::{Due, Takes};
use crate::engine::plan::{AddressCounts, ContestantPlan, NS_PER_US, Plan, Target, TlsServer, TrafficMode};
use crate::engine::timeouts::Timeouts;
use crate::engine::tls::{Allowance, KEPT_BEYOND_MAX, KEPT_USUAL, Remembering, Tls};
use crate::engine::trace::{Missed, ResponseBytes, Unsent};
use flowtest_contract::verdict::{Failure, Observed, Outcome, Verdict, judge};
use flowtest_journal::record::{NEVER_SENT, Observation, Trace};
use rustls::AlertDescription;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a contestant may always send us in one turn before its receives pause until the next: four large responses.
pub const BYTES_PER_TURN_MIN: usize = 4 * (64 + 16) * 1024;
/// Room for one usual answer, where a contestant has many requests in flight.
const ANSWER_BYTES: usize = 1024;

/// What a contestant may send us in one turn: what its requests in flight need, but never more than half of all
/// receive buffers, so that rivals find some.
pub fn bytes_per_turn(plan: &Plan, buffers: usize) -> usize {
    let usual = plan.connections_max() as usize * plan.pipeline_max() as usize * ANSWER_BYTES;
    usual.min(buffers / 2).max(BYTES_PER_TURN_MIN)
}

/// Looking at chains of certificates may take this part of a worker's time for one contestant, as a divisor, and what three looks
/// of the longest kind take in one go: a name may stand for many servers, each with a chain that takes a fraction of a
/// millisecond, and whoever shows another one each time takes up to ten milliseconds with it.
const LOOKS_PART: u64 = 25;
const LOOK_NS_MAX: u64 = 10_000_000;
const LOOKS_IN_ONE_GO: u64 = 3;

/// Samples that one contestant may leave in a block.
const SAMPLES_EACH: u32 = 4;

/// The longest time that a trace can say: over an hour.
const TRACED_US_MAX: u64 = NEVER_SENT as u64 - 1;

/// What was looked at in a turn of what comes after handshakes.
#[derive(Clone, Copy, Debug, Default)]
pub struct LookedAt {
    pub messages: u32,
    /// Records of a few bytes.
    pub short_records: u32,
}

impl LookedAt {
    /// So much might be before, and so much still may.
    pub fn add(&mut self, before: Allowance, after: Allowance) {
        self.messages += before.messages - after.messages;
        self.short_records += before.short_records - after.short_records;
    }
}

/// A contestant's part of a worker.
#[derive(Debug)]
pub struct Contestant {
    pub index: ContestantIndex,
    /// The first of its slots in the ring.
    base: RingSlot,
    pub connections: Table<LocalSlot, Connection>,
    /// Requests of the open loop that are due and wait for a connection.
    pub backlog: Backlog,
    /// All our lateness by the time that the first of what waits found no connection; none while nothing has to wait.
    held_up: Option<u64>,
    pub shape: Shape,
    /// Slots that may take a request of the open loop, in turn, so that all addresses get their share. Looked at again
    /// when taken.
    idle: VecDeque<LocalSlot>,
    cold: Vec<LocalSlot>,
    /// Connections that were begun and are not closed.
    pub open: u32,
    listed: Table<LocalSlot, bool>,
    /// How many of its slots this phase may use.
    pub limit: u32,
    /// What the closed loop of scored phases may still start.
    pub quota: Option<u64>,
    /// The turn that `bytes` and `opens` are of.
    turn: u64,
    /// Bytes received in a turn.
    bytes: usize,
    /// Connections begun in a turn.
    opens: u32,
    /// In a turn.
    looked_at: LookedAt,
    /// Slots that wait for their turn to open a connection, in order, each once.
    later: VecDeque<LocalSlot>,
    deferred: Table<LocalSlot, bool>,
    next_address: usize,
    /// Which address of the plan each slot's connection goes to; none when it has left the plan.
    peers: Table<LocalSlot, Option<usize>>,
    /// What was counted at each address of the plan since the last hand-over.
    at_address: Vec<AddressCounts>,
    /// Addresses that the flood is spread over.
    pub spread: u32,
    /// Slots whose connection shall take no more requests: the endpoint has changed.
    stale: Table<LocalSlot, bool>,
    /// When the next probe of a closed phase may be sent to a contestant that gets only these.
    pub probe_at: RunInstant,
    /// When a connection was last not to be had, and for want of what of our own machine.
    pub short: Option<(RunInstant, OwnCause)>,
    /// When each slot's connection was begun.
    opened_at: Table<LocalSlot, RunInstant>,
    /// The shortest time that a connection took to be made: a round trip, and what a turn adds to it.
    round_trip: Option<u64>,
    /// How long its answers take of late, in µs, a moving mean; 0 while none has come.
    took_us: u64,
    /// TLS was spoken on one of its slots.
    pub has_tls: bool,
    /// Of each slot whose connection speaks it.
    pub tls: Table<LocalSlot, Option<Box<Tls>>>,
    /// Bytes that each keeps of what the peer has said, as far as that is known, and what all together keep beyond the usual.
    kept: Table<LocalSlot, usize>,
    kept_beyond: usize,
    /// What connections begin with: the plan's configuration with sessions of this contestant and worker alone.
    tls_config: Option<Remembering>,
    /// What steps of handshakes took beyond its part of the turns since, in nanoseconds, and the turn that this is of.
    shaken_ns: u64,
    shaken_turn: u64,
    /// The last turn in which a handshake of it wanted to go on.
    shaker_turn: Option<u64>,
    /// The last turn in which a handshake of it was held back.
    held_turn: Option<u64>,
    /// When no chain that was looked at is counted any more.
    looks_until: RunInstant,
}

impl Contestant {
    pub fn new(plan: &Plan, index: ContestantIndex, base: RingSlot, slots: usize, quota: Option<u64>) -> Contestant {
        let pipeline = plan.pipeline_max() as usize;
        Contestant {
            index,
            base,
            connections: (0..slots).map(|_| Connection::new(pipeline)).collect(),
            backlog: Backlog::EMPTY,
            held_up: None,
            shape: Shape::new(),
            idle: VecDeque::with_capacity(slots),
            open: 0,
            cold: Vec::with_capacity(slots),
            listed: Table::filled(false, slots),
            limit: 0,
            quota,
            turn: 0,
            bytes: 0,
            opens: 0,
            looked_at: LookedAt::default(),
            later: VecDeque::with_capacity(slots),
            deferred: Table::filled(false, slots),
            next_address: index.index(),
            peers: Table::filled(None, slots),
            at_address: vec![AddressCounts::default(); plan.contestants[index].addresses.len()],
            spread: plan.contestants[index].spread() as u32,
            stale: Table::filled(false, slots),
            probe_at: RunInstant::START,
            short: None,
            opened_at: Table::filled(RunInstant::START, slots),
            round_trip: None,
            took_us: 0,
            has_tls: false,
            tls: (0..slots).map(|_| None).collect(),
            kept: Table::filled(0, slots),
            kept_beyond: 0,
            tls_config: None,
            shaken_ns: 0,
            shaken_turn: 0,
            shaker_turn: None,
            held_turn: None,
            looks_until: RunInstant::START,
        }
    }

    /// Where one of its slots lies among all of the ring.
    #[inline]
    pub fn slot(&self, local: LocalSlot) -> RingSlot {
        RingSlot::from_number(self.base.number() + local.index() as u32)
    }

    /// One of the ring's slots that is its own.
    #[inline]
    pub fn local(&self, slot: RingSlot) -> LocalSlot {
        LocalSlot::from_index((slot.number() - self.base.number()) as usize)
    }

    /// Whether this phase may not use the slot.
    #[inline]
    pub fn is_surplus(&self, local: LocalSlot) -> bool {
        local.index() >= self.limit as usize
    }

    /// Whether nothing is to begin on the slot: this phase may not use it. Where that leaves none, what fell due before is still
    /// this worker's, and takes any.
    #[inline]
    pub fn is_left(&self, local: LocalSlot) -> bool {
        self.is_surplus(local) && (self.limit > 0 || self.backlog.is_empty())
    }

    /// What it has used of this turn counts from here.
    #[inline]
    fn enter_turn(&mut self, turn: u64) {
        if self.turn != turn {
            (self.turn, self.bytes, self.opens) = (turn, 0, 0);
            self.looked_at = LookedAt::default();
        }
    }

    /// Bytes have come in this turn; how many in all.
    #[inline]
    pub fn on_received(&mut self, turn: u64, bytes: usize) -> usize {
        self.enter_turn(turn);
        self.bytes += bytes;
        self.bytes
    }

    /// How many bytes have.
    #[inline]
    pub fn received(&mut self, turn: u64) -> usize {
        self.on_received(turn, 0)
    }

    /// What was looked at in this turn of what comes after its handshakes.
    pub fn looked_at(&mut self, turn: u64) -> &mut LookedAt {
        self.enter_turn(turn);
        &mut self.looked_at
    }

    /// Connections that it has begun in this turn.
    pub fn opens(&mut self, turn: u64) -> u32 {
        self.enter_turn(turn);
        self.opens
    }

    /// A connection of this slot is begun.
    pub fn on_opening(&mut self, local: LocalSlot, turn: u64, now: RunInstant) {
        self.enter_turn(turn);
        self.opens += 1;
        self.opened_at[local] = now;
    }

    /// It is made. `true`: requests may be sent on it; else a handshake comes first.
    pub fn on_connected(&mut self, local: LocalSlot, now: RunInstant) -> bool {
        let took = now - self.opened_at[local];
        self.round_trip = Some(self.round_trip.map_or(took, |least| least.min(took)));
        let is_plain = !(self.has_tls && self.tls[local].is_some());
        if is_plain {
            self.connections[local].on_connected();
        }
        is_plain
    }

    /// Where the slot's connection goes to.
    pub fn peer(&self, local: LocalSlot, targets: &[Target]) -> Option<SocketAddr> {
        self.peers[local].and_then(|peer| targets.get(peer)).map(|target| target.address)
    }

    /// The slot's next connection is to this server.
    pub fn prepare_tls(&mut self, local: LocalSlot, server: Option<&TlsServer>) {
        let Some(server) = server else { return self.end_tls(local) };
        let begin = || Remembering::new(&server.config, server.verifier.as_ref());
        let Remembering { config, .. } = self.tls_config.get_or_insert_with(begin);
        self.has_tls = true;
        self.tls[local] = Some(Box::new(Tls::new(Arc::clone(config), server.name.clone())));
    }

    /// The slot's connection is over.
    pub fn end_tls(&mut self, local: LocalSlot) {
        if self.has_tls {
            self.tls[local] = None;
            self.count_kept(local);
        }
    }

    /// The slot's connection may keep another number of bytes of what the peer has said now. Whether that is more than it was, and more
    /// than it may keep.
    #[inline]
    pub fn count_kept(&mut self, local: LocalSlot) -> bool {
        let kept = self.tls[local].as_ref().map_or(0, |tls| tls.kept());
        let before = std::mem::replace(&mut self.kept[local], kept);
        let beyond = |kept: usize| kept.saturating_sub(KEPT_USUAL);
        self.kept_beyond = self.kept_beyond - beyond(before) + beyond(kept);
        kept > before && kept > KEPT_USUAL && self.kept_beyond > KEPT_BEYOND_MAX
    }

    /// The slot's connection keeps too much: it hears nothing more, and its server is told so.
    pub fn keep_nothing(&mut self, local: LocalSlot) {
        if let Some(tls) = &mut self.tls[local] {
            tls.refuse(AlertDescription::UnexpectedMessage);
        }
        self.count_kept(local);
    }

    /// Whether records of the slot's connection wait for a turn that has time for them.
    #[inline]
    pub fn is_behind(&self, local: LocalSlot) -> bool {
        self.has_tls && self.tls[local].as_ref().is_some_and(|tls| tls.is_behind())
    }

    /// A step of a handshake is wanted; whether it is the first one of this turn.
    pub fn wants_to_shake(&mut self, turn: u64) -> bool {
        self.shaker_turn.replace(turn) != Some(turn)
    }

    /// Whether one more step of a handshake may begin, where its part of a turn is so many nanoseconds: what a step took beyond
    /// that is taken from the turns that follow.
    pub fn may_shake(&mut self, turn: u64, part_ns: u64) -> bool {
        let turns = turn - std::mem::replace(&mut self.shaken_turn, turn);
        self.shaken_ns = self.shaken_ns.saturating_sub(part_ns.saturating_mul(turns));
        self.shaken_ns < part_ns
    }

    /// A step of a handshake waits for a later turn.
    pub fn on_held(&mut self, turn: u64) {
        self.held_turn = Some(turn);
    }

    /// Whether one does, as far as is known before this turn's are looked at.
    pub fn has_held(&self, turn: u64) -> bool {
        self.held_turn.is_some_and(|held| held + 1 >= turn)
    }

    /// A step of a handshake took so long, of which so much is its contestant's.
    pub fn on_shaken(&mut self, its_ns: u64, took_ns: u64, now: RunInstant) {
        self.shaken_ns += its_ns;
        if self.tls_config.as_ref().is_some_and(Remembering::has_looked) {
            self.looks_until = self.looks_until.max(now) + took_ns.min(LOOK_NS_MAX) * LOOKS_PART;
        }
    }

    /// It goes on with no handshake before then, for it has had its part of chains looked at. `None`: it may now.
    pub fn shakes_at(&self, now: RunInstant) -> Option<RunInstant> {
        let excess = self.looks_until.saturating_since(now).saturating_sub(LOOKS_IN_ONE_GO * LOOK_NS_MAX * LOOKS_PART);
        (excess > 0).then(|| now + excess)
    }

    /// The slot takes no more requests on this connection.
    pub fn wear_out(&mut self, local: LocalSlot) {
        self.stale[local] = true;
    }

    /// Its oldest waiting request finds no connection, and others wait behind it.
    pub fn on_full(&mut self, oldest: RunInstant, timeouts: &Timeouts) {
        self.held_up.get_or_insert_with(|| timeouts.late_until(oldest));
    }

    #[inline]
    pub fn on_nothing_waits(&mut self) {
        self.held_up = None;
    }

    /// How long we were late since something has to wait.
    pub fn held_up(&self, timeouts: &Timeouts) -> u64 {
        self.held_up.map_or(0, |before| timeouts.late_after(before))
    }

    /// Why its oldest waiting request has found no connection.
    pub fn why_missed(&self, plan: &Plan, takes: &Takes) -> Missed {
        let (connections, rate) = self.backlog.oldest_demand(takes);
        let round_trip_us = self.round_trip.map_or(0, |took| (took / NS_PER_US).clamp(1, u64::from(u32::MAX)) as u32);
        match plan.contestants[self.index].traffic {
            TrafficMode::Absent => Missed::NotAdmitted,
            TrafficMode::Probe { since } => Missed::Probed { since: plan.utc_us(since) },
            TrafficMode::Flood | TrafficMode::Unable | TrafficMode::Halted => {
                let answer_us = u32::try_from(self.took_us).unwrap_or(u32::MAX);
                Missed::NoConnection { connections, rate, round_trip_us, answer_us }
            }
        }
    }

    /// The next address of the endpoint, in turn, for a connection of this slot: one that answers, while there is one.
    pub fn address(&mut self, local: LocalSlot, targets: &[Target]) -> SocketAddr {
        let all_are_silent = targets.iter().all(|target| target.is_silent);
        loop {
            self.next_address = (self.next_address + 1) % targets.len();
            if all_are_silent || !targets[self.next_address].is_silent {
                break;
            }
        }
        self.peers[local] = Some(self.next_address);
        self.stale[local] = false;
        targets[self.next_address].address
    }

    /// So much was settled of what the slot held.
    #[inline]
    pub fn on_settled(&mut self, local: LocalSlot, settled: AddressCounts, took_us: u64) {
        if took_us > 0 {
            self.took_us = if self.took_us == 0 { took_us } else { (self.took_us * 7 + took_us) / 8 };
        }
        if settled.asked + settled.own > 0
            && let Some(counts) = self.peers[local].and_then(|peer| self.at_address.get_mut(peer))
        {
            counts.asked += settled.asked;
            counts.alive += settled.alive;
            counts.own += settled.own;
        }
    }

    /// Tells the addresses' meters what was counted there.
    pub fn hand_over(&mut self, targets: &[Target]) {
        for (counts, target) in self.at_address.iter_mut().zip(targets) {
            if *counts != AddressCounts::default() {
                target.meter.add(std::mem::take(counts));
            }
        }
    }

    /// The endpoint is another: `moved` as a whole, or only some of its addresses. Connections to what it was, and to what
    /// gets nothing any more, end when they are quiet.
    pub fn redirect(&mut self, moved: bool, was: &[Target], is: &ContestantPlan) {
        self.hand_over(was);
        if moved {
            self.tls_config = None;
        }
        let all_are_silent = is.addresses.iter().all(|target| target.is_silent);
        let place = |peer: usize| is.addresses.iter().position(|target| target.address == was[peer].address);
        for (peer, stale) in self.peers.iter_mut().zip(self.stale.iter_mut()) {
            let had_one = peer.is_some();
            *peer = peer.and_then(place);
            let is_left = peer.is_none_or(|peer| is.addresses[peer].is_silent && !all_are_silent);
            *stale |= moved || (had_one && is_left);
        }
        self.at_address.clear();
        self.at_address.resize(is.addresses.len(), AddressCounts::default());
        self.spread = is.spread() as u32;
    }

    #[inline]
    pub fn is_stale(&self, local: LocalSlot) -> bool {
        self.stale[local]
    }

    /// The slot may take a request of the open loop. `open`: it has a connection.
    pub fn list(&mut self, local: LocalSlot, open: bool) {
        if !std::mem::replace(&mut self.listed[local], true) {
            if open { self.idle.push_back(local) } else { self.cold.push(local) }
        }
    }

    /// The slot opens its connection in a later turn.
    pub fn defer(&mut self, local: LocalSlot) {
        if !std::mem::replace(&mut self.deferred[local], true) {
            self.later.push_back(local);
        }
    }

    pub fn is_deferring(&self) -> bool {
        !self.later.is_empty()
    }

    /// The slot that has waited longest for its turn to open.
    pub fn undefer(&mut self) -> Option<LocalSlot> {
        let local = self.later.pop_front()?;
        self.deferred[local] = false;
        Some(local)
    }

    /// A slot that was listed, connected ones first as soon as there are `enough` of them. It may have changed since.
    pub fn unlist(&mut self, enough: u32) -> Option<LocalSlot> {
        let fresh = if self.open < enough { self.cold.pop() } else { None };
        let local = fresh.or_else(|| self.idle.pop_front()).or_else(|| self.cold.pop())?;
        self.listed[local] = false;
        Some(local)
    }
}

/// Writes outcomes into the open block, judging answers on the way.
#[derive(Debug)]
pub struct OutcomeRecorder<'a> {
    pub plan: &'a Plan,
    pub block: &'a mut Block,
    pub timeouts: &'a Timeouts,
    pub contestant: ContestantIndex,
    pub now: RunInstant,
    /// Outcomes that it has written, by what they say of who was asked.
    pub settled: AddressCounts,
    /// How long the last whole answer took from its send, in µs; 0: none came.
    pub took_us: u64,
}

impl<'a> OutcomeRecorder<'a> {
    pub fn new(
        plan: &'a Plan,
        block: &'a mut Block,
        timeouts: &'a Timeouts,
        contestant: ContestantIndex,
        now: RunInstant,
    ) -> OutcomeRecorder<'a> {
        OutcomeRecorder { plan, block, timeouts, contestant, now, settled: AddressCounts::default(), took_us: 0 }
    }

    #[inline]
    pub fn counts(&mut self, scored: bool) -> &mut Counts {
        self.block.counts(self.contestant, scored)
    }

    /// A request never found a connection, or we never came to it.
    pub fn never_sent(&mut self, due: Due, why: Unsent) {
        let timeout_us = self.plan.rules.timeout_us;
        let counts = self.counts(due.scored);
        let (failure, missed) = match why {
            Unsent::OwnFault => (Failure::OwnFault, None),
            Unsent::Missed(why) => (Failure::Missed, Some(why)),
        };
        counts.row.tally.failed(failure);
        if failure == Failure::Missed {
            counts.row.latency.record(timeout_us);
        }
        let exchange = Exchange::new(due, due.intended);
        let noted = self.note(&exchange, Outcome::Failed(failure), false);
        self.sample(&exchange, noted, 1 << failure as u16, missed, &ResponseBytes::NOTHING);
    }

    /// Leaves a trace of an outcome. `verified`: all three headers right.
    #[inline]
    fn note(&mut self, exchange: &Exchange, outcome: Outcome, verified: bool) -> Trace {
        let latency_us = (self.now - exchange.intended) / NS_PER_US;
        let (instant, lag_us) = match exchange.sent {
            Exchange::NOT_SENT => (exchange.intended, NEVER_SENT),
            // By this difference the service time can be had from the trace exactly as the histogram counted it.
            sent => (sent, (latency_us - (self.now - sent) / NS_PER_US).min(TRACED_US_MAX) as u32),
        };
        let since_base = self.plan.utc_us(instant).signed_since(self.block.traces.base);
        let trace = Trace {
            sent_us: since_base.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32,
            latency_us: latency_us.min(TRACED_US_MAX) as u32,
            lag_us,
            contestant: self.contestant.in_records(),
            observed: Observation { outcome, scored: exchange.scored }.pack(),
        };
        if i64::from(trace.sent_us) == since_base {
            self.block.traces.push(trace);
        } else {
            // A block that lay open for more than half an hour, because nobody took it.
            self.block.traces.untraced += 1;
        }
        let is_void = outcome == Outcome::Failed(Failure::OwnFault);
        let was_late = self.timeouts.was_late_for(exchange.intended);
        if is_void || was_late {
            // It was counted as late when it fell due: `rate_ratio` takes away each request once.
            self.counts(exchange.scored).meter.late_void += u64::from(is_void && was_late);
            let trouble = |cause| OwnTrouble { is_void, at: self.now, cause };
            self.block.note_trouble(self.timeouts.own_cause().map(trouble));
        }
        if !self.plan.holds.is_empty() {
            self.count_in_hold(&trace, outcome, verified, was_late && !is_void);
        }
        trace
    }

    /// Counts an outcome in the hold of its step, by what its trace says, so that the audit comes to the same.
    fn count_in_hold(&mut self, trace: &Trace, outcome: Outcome, verified: bool, late: bool) {
        let Some(step) = self.plan.hold_at(trace.intended(self.block.traces.base)) else { return };
        let Some(counts) = self.block.hold.of(step, self.contestant) else { return };
        counts.due += 1;
        counts.verified += u64::from(verified);
        counts.late += u64::from(late);
        match outcome {
            Outcome::Answered(_) | Outcome::Failed(Failure::Status) => counts.latency.record(trace.latency_us.into()),
            Outcome::Failed(Failure::Timeout | Failure::Missed) => counts.latency.record(self.plan.rules.timeout_us),
            Outcome::Failed(Failure::OwnFault) => counts.own_fault += 1,
            Outcome::Failed(Failure::Refused | Failure::Reset | Failure::Malformed | Failure::Tls) => {}
        }
    }

    /// Counts what the tally does not tell apart.
    #[cold]
    fn note_cause(&mut self, exchange: &Exchange, outcome: Outcome, received: &ResponseBytes<'_>) {
        let cause = match outcome {
            Outcome::Failed(Failure::Status) => Cause::Status(received.status),
            Outcome::Failed(Failure::Malformed) => Cause::Malformed(received.malformed),
            Outcome::Failed(Failure::Tls) => Cause::Tls(received.tls),
            _ => return,
        };
        if exchange.scored {
            self.block.causes.add(self.contestant, cause, 1);
        }
    }

    /// Keeps the bytes of a failing exchange, one of each kind in a block.
    #[cold]
    fn sample(
        &mut self,
        exchange: &Exchange,
        trace: Trace,
        kinds: u16,
        missed: Option<Missed>,
        received: &ResponseBytes<'_>,
    ) {
        let counts = self.block.counts(self.contestant, exchange.scored);
        // Nobody takes the room of others, however many ways of failing it knows.
        if counts.sampled & kinds == kinds || counts.sampled.count_ones() >= SAMPLES_EACH {
            return;
        }
        counts.sampled |= kinds;
        let (contestant, at) = (self.contestant, self.plan.utc_us(self.now));
        let is_void = kinds & 1 << Failure::OwnFault as u16 != 0;
        let own = self.timeouts.own_cause().filter(|_| is_void);
        let sent = trace.sent(self.block.traces.base);
        self.block.samples.push(received, |sample| {
            sample.at = at;
            sample.sent = sent;
            sample.latency_us = trace.latency_us;
            sample.contestant = contestant;
            sample.observed = trace.observed;
            sample.never_sent = trace.lag_us == NEVER_SENT;
            sample.missed = missed;
            sample.own = own;
            sample.token = exchange.token;
            sample.request_mark = exchange.request_mark;
        });
    }

    /// A request has fallen due: how late we come to it is our own lag, whether or not a connection is free.
    #[inline]
    pub fn fell_due(&mut self, due: Due, is_late: bool) {
        self.block.lag.record((self.now - due.intended) / NS_PER_US);
        let counts = self.counts(due.scored);
        counts.row.tally.due += 1;
        counts.meter.late += u64::from(is_late);
    }
}

impl OutcomeSink for OutcomeRecorder<'_> {
    #[inline]
    fn settle(&mut self, exchange: &Exchange, outcome: Outcome, received: &ResponseBytes<'_>) {
        let (plan, timeouts) = (self.plan, self.timeouts);
        let now = self.now;
        self.block.last = now;
        let counts = self.counts(exchange.scored);
        let row = &mut counts.row;
        let mut verified = false;
        let failing = match outcome {
            Outcome::Answered(observed) => {
                let sent = plan.utc_us(exchange.sent);
                let verdict = judge(observed, &plan.rules, plan.schedule.deadlines(sent), sent);
                if !verdict.verified() && may_be_right(plan, timeouts, exchange, observed, verdict) {
                    return self.settle(exchange, Outcome::Failed(Failure::OwnFault), received);
                }
                row.tally.answered(verdict);
                verified = verdict.verified();
                counts.meter.verified += u64::from(verified);
                row.latency.record((now - exchange.intended) / NS_PER_US);
                let took_us = (now - exchange.sent) / NS_PER_US;
                row.service.record(took_us);
                self.took_us = took_us;
                self.settled.asked += 1;
                self.settled.alive += u64::from(verdict.token);
                wrong_headers(verdict)
            }
            Outcome::Failed(failure) => {
                row.tally.failed(failure);
                match failure {
                    Failure::Timeout => {
                        row.latency.record(plan.rules.timeout_us);
                        row.service.record(plan.rules.timeout_us);
                    }
                    Failure::Status => {
                        row.latency.record((now - exchange.intended) / NS_PER_US);
                        row.service.record((now - exchange.sent) / NS_PER_US);
                    }
                    // As for one that never found a connection: a trace cannot tell them apart.
                    Failure::Missed => row.latency.record(plan.rules.timeout_us),
                    Failure::Refused | Failure::Reset | Failure::Malformed | Failure::Tls | Failure::OwnFault => {}
                }
                let is_own = u64::from(failure == Failure::OwnFault);
                self.settled.asked += 1 - is_own;
                self.settled.own += is_own;
                1 << failure as u16
            }
        };
        let trace = self.note(exchange, outcome, verified);
        if failing != 0 {
            self.note_cause(exchange, outcome, received);
            self.sample(exchange, trace, failing, None, received);
        }
    }
}

/// Whether a header is wrong by the stamp of the request alone: it was sent late, and is right by a later instant at which it may
/// have left us.
#[cold]
fn may_be_right(plan: &Plan, timeouts: &Timeouts, exchange: &Exchange, observed: Observed, verdict: Verdict) -> bool {
    let left_by = timeouts.left_by(exchange.sent);
    // Of its four borders each is at an instant from which on something else is right.
    let by = plan.utc_us(left_by);
    let then = judge(observed, &plan.rules, plan.schedule.deadlines(by), by);
    left_by > exchange.sent && ((then.version && !verdict.version) || (then.from && !verdict.from))
}

/// The wrong headers as bits behind those of the failures.
#[inline]
pub(crate) fn wrong_headers(verdict: Verdict) -> u16 {
    let first = Failure::ALL.len();
    u16::from(!verdict.token) << first
        | u16::from(!verdict.version) << (first + 1)
        | u16::from(!verdict.from) << (first + 2)
}

/// What an errno of a connect, send or receive means for the exchange. Decided here and nowhere else. (That no socket
/// can be had at all is always our own fault.)
pub fn meaning(errno: i32, connecting: bool) -> Failure {
    match errno {
        // EADDRNOTAVAIL: out of local ports towards this one contestant. ENETDOWN: our own link is down. For ENETUNREACH, which
        // others may send us too, the worker asks whether we have a route.
        libc::ENOMEM
        | libc::ENOBUFS
        | libc::EMFILE
        | libc::ENFILE
        | libc::EPERM
        | libc::ECANCELED
        | libc::EADDRNOTAVAIL
        | libc::ENETDOWN => Failure::OwnFault,
        libc::ETIMEDOUT => Failure::Timeout,
        // EACCES among them: a peer's ICMPv6 "administratively prohibited" arrives as that.
        _ if connecting => Failure::Refused,
        _ => Failure::Reset,
    }
}

// A paused contestant must always have been able to send one whole response.
const _: () = assert!(
    BYTES_PER_TURN_MIN >= flowtest_contract::header::HEAD_BYTES_MAX + flowtest_contract::header::BODY_BYTES_MAX
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::http::RequestTemplate;

    fn targets(silent: &[bool]) -> Vec<Target> {
        let target = |(index, is_silent): (usize, &bool)| {
            let address = SocketAddr::from(([127, 0, 0, index as u8 + 1], 80));
            Target { is_silent: *is_silent, ..Target::new(address) }
        };
        silent.iter().enumerate().map(target).collect()
    }

    fn planned(addresses: Vec<Target>) -> ContestantPlan {
        let (name, endpoint) = ("alice".to_owned(), "http://alice.test/".to_owned());
        ContestantPlan {
            name,
            endpoint,
            addresses,
            request: RequestTemplate::new("/", "alice.test"),
            tls: None,
            traffic: TrafficMode::Flood,
        }
    }

    fn contestant(addresses: &[Target]) -> Contestant {
        let plan = Plan { contestants: vec![planned(addresses.to_vec())].into(), ..Plan::default() };
        Contestant::new(&plan, ContestantIndex::FIRST, RingSlot::from_number(0), 6, None)
    }

    fn counts(asked: u64, alive: u64) -> AddressCounts {
        AddressCounts { asked, alive, own: 0 }
    }

    /// Where so many slots are opened to, by the last byte of the address.
    fn opened(contestant: &mut Contestant, targets: &[Target], slots: usize) -> Vec<u8> {
        let mut opened: Vec<u8> = (0..slots)
            .map(|slot| match contestant.address(LocalSlot::from_index(slot), targets) {
                SocketAddr::V4(address) => address.ip().octets()[3],
                SocketAddr::V6(_) => 0,
            })
            .collect();
        opened.sort_unstable();
        opened
    }

    #[test]
    fn connections_go_in_turn_to_the_addresses_that_answer_and_to_all_when_none_does() {
        // (which are silent, how many share the flood, where six connections go)
        let cases: [(&[bool], u32, &[u8]); 4] = [
            (&[false, false, false], 3, &[1, 1, 2, 2, 3, 3]),
            (&[false, true, false], 2, &[1, 1, 1, 3, 3, 3]),
            (&[true, true, false], 1, &[3, 3, 3, 3, 3, 3]),
            (&[true, true, true], 3, &[1, 1, 2, 2, 3, 3]),
        ];
        for (silent, spread, expected) in cases {
            let targets = targets(silent);
            let mut contestant = contestant(&targets);
            assert_eq!((contestant.spread, opened(&mut contestant, &targets, 6)), (spread, expected.to_vec()));
        }
    }

    #[test]
    fn an_errno_is_the_contestants_or_ours() {
        let meaning = |errno| meaning(errno, true);
        assert_eq!([libc::ECONNREFUSED, libc::ENETUNREACH, libc::EHOSTUNREACH].map(meaning), [Failure::Refused; 3]);
        let ours = [libc::EADDRNOTAVAIL, libc::EPERM, libc::ENOBUFS, libc::EMFILE, libc::ENETDOWN];
        assert_eq!(ours.map(meaning), [Failure::OwnFault; 5]);
        assert_eq!(meaning(libc::ETIMEDOUT), Failure::Timeout);
    }

    #[test]
    fn what_is_counted_over_a_connection_is_counted_at_its_address_also_when_the_addresses_change() {
        let was = targets(&[false, false]);
        let mut contestant = contestant(&was);
        opened(&mut contestant, &was, 2);
        let at = |contestant: &Contestant, peer: usize| {
            contestant.peers.keys().find(|local| contestant.peers[*local] == Some(peer)).expect("it is open")
        };
        let (first, second) = (at(&contestant, 0), at(&contestant, 1));
        contestant.on_settled(first, counts(3, 2), 0);
        contestant.hand_over(&was);
        assert_eq!(was[0].meter.counts(), counts(3, 2));
        assert_eq!(was[1].meter.counts(), counts(0, 0));
        // The first leaves, a third comes, the second stays where it is in another place of the list.
        contestant.on_settled(first, counts(1, 0), 0);
        contestant.on_settled(second, counts(5, 5), 0);
        let third = Target::new(([127, 0, 0, 3], 80).into());
        let is = planned(vec![third, was[1].clone()]);
        contestant.redirect(false, &was, &is);
        assert_eq!((was[0].meter.counts().asked, was[1].meter.counts().alive), (4, 5));
        assert!(contestant.is_stale(first) && !contestant.is_stale(second));
        contestant.on_settled(second, counts(1, 1), 0);
        // What still comes from where it was counts nowhere.
        contestant.on_settled(first, counts(1, 1), 0);
        contestant.hand_over(&is.addresses);
        assert_eq!(is.addresses.iter().map(|target| target.meter.counts().alive).collect::<Vec<_>>(), [0, 6]);
        // One that falls silent is left when its connections are quiet.
        let silent = Target { is_silent: true, ..was[1].clone() };
        let now = planned(vec![is.addresses[0].clone(), silent]);
        contestant.redirect(false, &is.addresses, &now);
        assert!(contestant.is_stale(second));
    }
}
