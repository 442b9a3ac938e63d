//! One contestant in one worker: its slots, its schedule, its outcomes.
//!
//! Everything that is shared between the connections of a contestant lives here and nowhere else, so that a contestant
//! that hangs, floods, resets or refuses can spend only what is its own.

use crate::engine::backlog::Backlog;
use crate::engine::block::{Block, Counts};
use crate::engine::causes::Cause;
use crate::engine::clock::RunInstant;
use crate::engine::connection::{Connection, OutcomeSink};
use crate::engine::exchange::Exchange;
use crate::engine::http::Shape;
use crate::engine::index::{ContestantIndex, Key, LocalSlot, RingSlot, Table};
use crate::engine::pacer::{Due, Takes};
use crate::engine::plan::{NS_PER_US, Plan, TrafficMode};
use crate::engine::timeouts::LATE_NS;
use crate::engine::trace::{Missed, ResponseBytes, Unsent};
use flowtest_contract::verdict::{Failure, Outcome, Verdict, judge};
use flowtest_journal::record::{NEVER_SENT, Observation, Trace};
use std::collections::VecDeque;
use std::net::SocketAddr;

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

/// Samples that one contestant may leave in a block.
const SAMPLES_EACH: u32 = 4;

/// The longest time that a trace can say: over an hour.
const TRACED_US_MAX: u64 = NEVER_SENT as u64 - 1;

/// A contestant's part of a worker.
#[derive(Debug)]
pub struct Contestant {
    pub index: ContestantIndex,
    /// The first of its slots in the ring.
    base: RingSlot,
    pub connections: Table<LocalSlot, Connection>,
    /// Requests of the open loop that are due and wait for a connection.
    pub backlog: Backlog,
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
    /// Slots that wait for their turn to open a connection, in control, each once.
    later: VecDeque<LocalSlot>,
    deferred: Table<LocalSlot, bool>,
    next_address: usize,
    /// Where each slot's connection goes.
    peers: Table<LocalSlot, Option<SocketAddr>>,
    /// Slots whose connection shall take no more requests: the endpoint has changed.
    stale: Table<LocalSlot, bool>,
    /// When the next probe of a closed phase may be sent to a contestant that gets only these.
    pub probe_at: RunInstant,
    /// When a connection was last not to be had, for want of something of our own machine's.
    pub short_at: Option<RunInstant>,
    /// When each slot's connection was begun.
    opened_at: Table<LocalSlot, RunInstant>,
    /// The shortest time that a connection took to be made: a round trip, and what a turn adds to it.
    round_trip: Option<u64>,
}

impl Contestant {
    pub fn new(plan: &Plan, index: ContestantIndex, base: RingSlot, slots: usize, quota: Option<u64>) -> Contestant {
        let pipeline = plan.pipeline_max() as usize;
        Contestant {
            index,
            base,
            connections: (0..slots).map(|_| Connection::new(pipeline)).collect(),
            backlog: Backlog::EMPTY,
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
            later: VecDeque::with_capacity(slots),
            deferred: Table::filled(false, slots),
            next_address: index.index(),
            peers: Table::filled(None, slots),
            stale: Table::filled(false, slots),
            probe_at: RunInstant::START,
            short_at: None,
            opened_at: Table::filled(RunInstant::START, slots),
            round_trip: None,
        }
    }

    /// One of its slots, in the ring.
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

    /// What it has used of this turn counts from here.
    #[inline]
    fn enter_turn(&mut self, turn: u64) {
        if self.turn != turn {
            (self.turn, self.bytes, self.opens) = (turn, 0, 0);
        }
    }

    /// Bytes have come in this turn; how many in all.
    #[inline]
    pub fn on_received(&mut self, turn: u64, bytes: usize) -> usize {
        self.enter_turn(turn);
        self.bytes += bytes;
        self.bytes
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

    /// It is made.
    pub fn on_connected(&mut self, local: LocalSlot, now: RunInstant) {
        let took = now - self.opened_at[local];
        self.round_trip = Some(self.round_trip.map_or(took, |least| least.min(took)));
        self.connections[local].on_connected();
    }

    /// Why its oldest waiting request has found no connection.
    pub fn why_missed(&self, plan: &Plan, takes: &Takes) -> Missed {
        let (connections, rate) = self.backlog.oldest_demand(takes);
        let round_trip_us = self.round_trip.map_or(0, |took| (took / NS_PER_US).clamp(1, u64::from(u32::MAX)) as u32);
        match plan.contestants[self.index].traffic {
            TrafficMode::Probe { since } => Missed::Probed { since: plan.utc_us(since) },
            TrafficMode::Flood | TrafficMode::Halted => Missed::NoConnection { connections, rate, round_trip_us },
        }
    }

    /// The next address of the endpoint, in turn, for a connection of this slot.
    pub fn address(&mut self, local: LocalSlot, addresses: &[SocketAddr]) -> SocketAddr {
        self.next_address = (self.next_address + 1) % addresses.len();
        let address = addresses[self.next_address];
        self.peers[local] = Some(address);
        self.stale[local] = false;
        address
    }

    /// The endpoint is another: `moved` as a whole, or only some of its addresses. Connections to what it was end when
    /// they are quiet.
    pub fn redirect(&mut self, moved: bool, addresses: &[SocketAddr]) {
        for (peer, stale) in self.peers.iter().zip(self.stale.iter_mut()) {
            *stale |= moved || peer.is_some_and(|peer| !addresses.contains(&peer));
        }
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
    pub contestant: ContestantIndex,
    pub now: RunInstant,
}

impl OutcomeRecorder<'_> {
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
        let noted = self.note(&exchange, Outcome::Failed(failure));
        self.sample(&exchange, noted, 1 << failure as u16, missed, &ResponseBytes::NOTHING);
    }

    /// Leaves a trace of an outcome.
    #[inline]
    fn note(&mut self, exchange: &Exchange, outcome: Outcome) -> Trace {
        let latency_us = (self.now - exchange.intended) / NS_PER_US;
        let (instant, lag_us) = match exchange.sent {
            Exchange::NOT_SENT => (exchange.intended, NEVER_SENT),
            // By this difference the service time can be had from the trace exactly as the histogram counted it.
            sent => (sent, (latency_us - (self.now - sent) / NS_PER_US).min(TRACED_US_MAX) as u32),
        };
        let since_base = self.plan.utc_us(instant).wrapping_sub(self.block.traces.base) as i64;
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
        trace
    }

    /// Counts what the tally does not tell apart.
    #[cold]
    fn note_cause(&mut self, exchange: &Exchange, outcome: Outcome, came: &ResponseBytes<'_>) {
        let cause = match outcome {
            Outcome::Failed(Failure::Status) => Cause::Status(came.status),
            Outcome::Failed(Failure::Malformed) => Cause::Malformed(came.malformed),
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
        came: &ResponseBytes<'_>,
    ) {
        let counts = self.block.counts(self.contestant, exchange.scored);
        // Nobody takes the room of others, however many ways of failing it knows.
        if counts.sampled & kinds == kinds || counts.sampled.count_ones() >= SAMPLES_EACH {
            return;
        }
        counts.sampled |= kinds;
        let (contestant, at) = (self.contestant, self.plan.utc_us(self.now));
        let sent = self.block.traces.base.wrapping_add_signed(i64::from(trace.sent_us));
        self.block.samples.push(came, |sample| {
            sample.at = at;
            sample.sent = sent;
            sample.latency_us = trace.latency_us;
            sample.contestant = contestant;
            sample.observed = trace.observed;
            sample.never_sent = trace.lag_us == NEVER_SENT;
            sample.missed = missed;
            sample.token = exchange.token;
            sample.request_mark = exchange.request_mark;
        });
    }

    /// A request has fallen due: how late we come to it is our own lag, whether or not a connection is free.
    #[inline]
    pub fn fell_due(&mut self, due: Due) {
        let lag = self.now - due.intended;
        self.block.lag.record(lag / NS_PER_US);
        // Later than the timeout it becomes `own_fault`, which `rate_ratio` counts already.
        let late = lag > LATE_NS && lag <= self.plan.timeout();
        let counts = self.counts(due.scored);
        counts.row.tally.due += 1;
        counts.meter.late += u64::from(late);
    }
}

impl OutcomeSink for OutcomeRecorder<'_> {
    #[inline]
    fn settle(&mut self, exchange: &Exchange, outcome: Outcome, came: &ResponseBytes<'_>) {
        let plan = self.plan;
        let now = self.now;
        self.block.last = now;
        let counts = self.counts(exchange.scored);
        let row = &mut counts.row;
        let failing = match outcome {
            Outcome::Answered(observed) => {
                let sent = plan.utc_us(exchange.sent);
                let verdict = judge(observed, &plan.rules, plan.schedule.deadlines(sent), sent);
                row.tally.answered(verdict);
                counts.meter.verified += u64::from(verdict.verified());
                row.latency.record((now - exchange.intended) / NS_PER_US);
                row.service.record((now - exchange.sent) / NS_PER_US);
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
                    Failure::Refused | Failure::Reset | Failure::Malformed | Failure::OwnFault => {}
                }
                1 << failure as u16
            }
        };
        let trace = self.note(exchange, outcome);
        if failing != 0 {
            self.note_cause(exchange, outcome, came);
            self.sample(exchange, trace, failing, None, came);
        }
    }
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
        // EADDRNOTAVAIL: out of local ports towards this one contestant.
        libc::ENOMEM
        | libc::ENOBUFS
        | libc::EMFILE
        | libc::ENFILE
        | libc::EPERM
        | libc::ECANCELED
        | libc::EADDRNOTAVAIL => Failure::OwnFault,
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
