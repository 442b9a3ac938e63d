//! One connection slot, without I/O: bytes and the time in, [`Step`]s out.
//!
//! It owns the exchanges of its slot, from the moment that a request takes the slot until its outcome, across as many
//! TCP connections as that takes. It decides what a response, a close, an error or the passing of time means for each
//! of them. It knows neither rings nor sockets nor points, so it runs under virtual time and in the fuzzer.
//!
//! One response consumes one request, in order. A request is settled exactly once.

use crate::http::{End, Read, Reader, Shape};
use flowtest_contract::token::{TOKEN_LEN, Token};
use flowtest_contract::verdict::{Failure, Outcome};

/// A request from the moment it takes a slot. Instants are nanoseconds of the run clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When the plan wanted it sent.
    pub intended: u64,
    /// When it took the slot: its timeout counts from here.
    pub started: u64,
    /// When it was handed to the kernel, the last time. Zero before.
    pub sent: u64,
    /// The token that it carries now. Kept, not computed again: an AES block costs more than the whole fast path of the
    /// parser, and 32 bytes beside the other fields cost nothing (docs/decisions/0002-token-kept.md).
    token: Token,
    /// Its phase counts.
    pub scored: bool,
    /// It was sent once more by the keep-alive rule.
    pub resent: bool,
}

impl Exchange {
    pub fn new(intended: u64, started: u64, scored: bool) -> Exchange {
        Exchange { intended, started, sent: 0, token: Token([0; TOKEN_LEN]), scored, resent: false }
    }
}

/// Where the slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Without a connection, free to begin one.
    Cold,
    Connecting,
    Open,
    /// The socket is being closed; the slot counts as held.
    Closing,
    /// After failures in a row: held until this instant, so that failing fast costs as much as failing slowly.
    Resting {
        until: u64,
    },
}

/// What the worker has to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but to send what is ready.
    Go,
    /// End the connection.
    Close,
    /// End it, and count that bytes came which nobody had asked for.
    Unsolicited,
}

/// How many of our own stalls are remembered: more than 50 ms each, so that these cover the default timeout.
const STALLS: usize = 64;

/// How long an exchange may take, and what our own stalls add to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    pub timeout: u64,
    /// (end, length) of our last stalls, the oldest overwritten first.
    stalls: [(u64, u64); STALLS],
    next: usize,
}

impl Patience {
    pub fn new(timeout: u64) -> Patience {
        Patience { timeout, stalls: [(0, 0); STALLS], next: 0 }
    }

    /// Our worker did not run for `gap` until `now`.
    pub fn on_stall(&mut self, now: u64, gap: u64) {
        self.stalls[self.next] = (now, gap);
        self.next = (self.next + 1) % STALLS;
    }

    /// Whether something begun at `started` is late: each stall since then is added to its timeout.
    #[inline]
    pub fn is_late(&self, started: u64, now: u64) -> bool {
        now > started + self.timeout
            && now > started + self.timeout + self.since(started).map(|(_, gap)| gap).sum::<u64>()
    }

    /// What failed although it began before a single stall above half the timeout failed by our own fault.
    pub fn blames_us(&self, started: u64) -> bool {
        self.since(started).any(|(_, gap)| gap > self.timeout / 2)
    }

    fn since(&self, started: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.stalls.iter().copied().filter(move |(end, _)| *end > started)
    }

    fn failure(&self, started: u64, failure: Failure) -> Failure {
        if self.blames_us(started) { Failure::OwnFault } else { failure }
    }
}

/// Receives every outcome, with the exchange it belongs to.
pub trait Ledger {
    fn settle(&mut self, exchange: &Exchange, outcome: Outcome);
}

/// One slot.
#[derive(Debug)]
pub struct Connection {
    state: State,
    reader: Reader,
    /// In order; the first `on_wire` of them have been handed to the kernel on this connection.
    exchanges: Fifo,
    on_wire: u32,
    /// Responses on this connection.
    answered: u64,
    failures_in_row: u32,
    /// `started` of the exchange that failed last.
    failed_started: u64,
    /// When this connection should be retired.
    retire_at: u64,
    /// Tokens that this slot has used.
    tokens: u64,
}

impl Connection {
    /// A slot that holds at most `pipeline` exchanges.
    pub fn new(pipeline: usize) -> Connection {
        Connection {
            state: State::Cold,
            reader: Reader::new(),
            exchanges: Fifo::new(pipeline),
            on_wire: 0,
            answered: 0,
            failures_in_row: 0,
            failed_started: 0,
            retire_at: u64::MAX,
            tokens: 0,
        }
    }

    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// Exchanges that this slot holds.
    #[inline]
    pub fn load(&self) -> usize {
        self.exchanges.len()
    }

    /// A request takes this slot.
    #[inline]
    pub fn begin(&mut self, exchange: Exchange) {
        self.exchanges.push(exchange);
    }

    /// The earliest instant at which this slot wants [`Connection::on_wake`]; `None` when it waits for nothing.
    pub fn wake_at(&self, patience: &Patience) -> Option<u64> {
        match self.state {
            State::Resting { until } => Some(until),
            // Exchanges stand in the order of their start, so the first is the first to be late.
            _ => self.exchanges.front().map(|front| front.started + patience.timeout),
        }
    }

    /// A connection is begun; it is retired at `retire_at`.
    pub fn on_open(&mut self, retire_at: u64) {
        assert!(matches!(self.state, State::Cold | State::Resting { .. }));
        self.state = State::Connecting;
        self.reader.reset();
        self.on_wire = 0;
        self.answered = 0;
        self.retire_at = retire_at;
    }

    pub fn on_connected(&mut self) {
        assert_eq!(self.state, State::Connecting);
        self.state = State::Open;
    }

    /// No socket, or no connection: everything that waited for it fails.
    pub fn on_unconnected(&mut self, failure: Failure, patience: &Patience, ledger: &mut impl Ledger) -> Step {
        self.fail_all(failure, patience, ledger);
        Step::Close
    }

    /// Writes the next requests by `write(index, counter, scored, first_time)`, which makes the token of that counter and
    /// returns it, and says how many; 0 when none may be sent now.
    ///
    /// A resent request goes alone, as the first on a fresh connection. [`Connection::wants_fresh`] says when it needs
    /// one. The caller sends what was written as one send.
    #[inline]
    pub fn send(&mut self, now: u64, mut write: impl FnMut(usize, u64, bool, bool) -> Token) -> usize {
        debug_assert_eq!(self.state, State::Open);
        let from = self.on_wire as usize;
        let mut written = 0;
        while let Some(exchange) = self.exchanges.get_mut(from + written) {
            if exchange.resent && (from + written > 0 || self.answered > 0) {
                break;
            }
            let first_time = exchange.sent == 0;
            exchange.sent = now.max(1);
            exchange.token = write(written, self.tokens, exchange.scored, first_time);
            self.tokens += 1;
            written += 1;
            if exchange.resent {
                break;
            }
        }
        self.on_wire += written as u32;
        written
    }

    /// Requests stand here that were not handed to the kernel yet.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        self.exchanges.len() > self.on_wire as usize
    }

    /// Nothing is on the wire and the next request must not use this connection, or its life is over.
    #[inline]
    pub fn wants_fresh(&self, now: u64) -> bool {
        self.on_wire == 0
            && self.answered > 0
            && (now >= self.retire_at || self.exchanges.front().is_some_and(|front| front.resent))
    }

    /// Its life is over: start nothing more on it.
    #[inline]
    pub fn is_retiring(&self, now: u64) -> bool {
        now >= self.retire_at && self.answered > 0
    }

    /// After two failures in a row, and until the last one's start + timeout, the closed loop starts nothing here: failing
    /// fast shall cost as much as failing slowly, also over a connection that is kept alive.
    #[inline]
    pub fn must_rest(&self, now: u64, patience: &Patience) -> bool {
        self.failures_in_row >= 2 && self.failed_started + patience.timeout > now
    }

    /// Bytes of the peer.
    #[inline]
    pub fn on_bytes(
        &mut self,
        bytes: &[u8],
        now: u64,
        shape: &mut Shape,
        patience: &Patience,
        ledger: &mut impl Ledger,
    ) -> Step {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.on_wire == 0 {
                return Step::Unsolicited;
            }
            let front = *self.exchanges.front().expect("what is on the wire is in the queue");
            match self.reader.read(&mut rest, &front.token, shape) {
                Read::Partial => return Step::Go,
                Read::Response(response) => {
                    if !self.on_response(&front, &response, now, patience, ledger) {
                        self.resend(Failure::Reset, patience, ledger);
                        return Step::Close;
                    }
                }
                Read::Malformed(_) => {
                    self.fail_wire(Failure::Malformed, patience, ledger);
                    return Step::Close;
                }
            }
        }
        Step::Go
    }

    /// The peer sent FIN.
    pub fn on_end(&mut self, now: u64, patience: &Patience, ledger: &mut impl Ledger) -> Step {
        if self.on_wire > 0 {
            match self.reader.on_end() {
                End::Response(response) => {
                    let front = *self.exchanges.front().expect("what is on the wire is in the queue");
                    self.on_response(&front, &response, now, patience, ledger);
                }
                End::Incomplete => self.fail_front(Failure::Reset, patience, ledger),
                End::Nothing => {}
            }
        }
        self.resend(Failure::Reset, patience, ledger);
        Step::Close
    }

    /// The connection broke; `failure` is what the errno means.
    pub fn on_broken(&mut self, failure: Failure, patience: &Patience, ledger: &mut impl Ledger) -> Step {
        if self.on_wire > 0 && !self.reader.is_between_responses() {
            self.fail_front(failure, patience, ledger);
        }
        self.resend(failure, patience, ledger);
        Step::Close
    }

    /// Time has passed. `None`: nothing is due yet.
    pub fn on_wake(&mut self, now: u64, patience: &Patience, ledger: &mut impl Ledger) -> Option<Step> {
        if let State::Resting { until } = self.state {
            if now < until {
                return None;
            }
            self.state = State::Cold;
            return Some(Step::Go);
        }
        let front = *self.exchanges.front()?;
        if !patience.is_late(front.started, now) {
            return None;
        }
        // The peer is silent: whatever else stands behind this response on the connection cannot be told from it.
        self.fail_wire(Failure::Timeout, patience, ledger);
        while let Some(front) = self.exchanges.front().copied() {
            if !patience.is_late(front.started, now) {
                break;
            }
            self.fail_front(Failure::Timeout, patience, ledger);
        }
        Some(Step::Close)
    }

    /// The worker began to close the connection.
    pub fn on_closing(&mut self) {
        self.state = State::Closing;
        self.on_wire = 0;
    }

    /// The socket is closed. What waits for a fresh connection keeps the slot; two failures in a row make it rest
    /// until the last one's start + timeout.
    pub fn on_closed(&mut self, now: u64, patience: &Patience) {
        self.state = if self.exchanges.len() == 0 && self.must_rest(now, patience) {
            State::Resting { until: self.failed_started + patience.timeout }
        } else {
            State::Cold
        };
    }

    /// Settles one response. `false`: the connection ends with it.
    #[inline]
    fn on_response(
        &mut self,
        front: &Exchange,
        response: &crate::http::Response,
        now: u64,
        patience: &Patience,
        ledger: &mut impl Ledger,
    ) -> bool {
        if patience.is_late(front.started, now) {
            self.fail_front(Failure::Timeout, patience, ledger);
        } else if response.status / 100 == 2 {
            self.pop();
            self.failures_in_row = 0;
            ledger.settle(front, Outcome::Answered(response.observed));
        } else {
            self.fail_front(Failure::Status, patience, ledger);
        }
        self.answered += 1;
        response.keep_alive
    }

    #[inline]
    fn pop(&mut self) -> Exchange {
        self.on_wire -= u32::from(self.on_wire > 0);
        self.exchanges.pop().expect("an outcome belongs to an exchange")
    }

    fn fail_front(&mut self, failure: Failure, patience: &Patience, ledger: &mut impl Ledger) {
        let exchange = self.pop();
        self.fail(&exchange, failure, patience, ledger);
    }

    fn fail(&mut self, exchange: &Exchange, failure: Failure, patience: &Patience, ledger: &mut impl Ledger) {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        self.failed_started = exchange.started;
        ledger.settle(exchange, Outcome::Failed(patience.failure(exchange.started, failure)));
    }

    /// All that is on the wire fails.
    fn fail_wire(&mut self, failure: Failure, patience: &Patience, ledger: &mut impl Ledger) {
        while self.on_wire > 0 {
            self.fail_front(failure, patience, ledger);
        }
    }

    fn fail_all(&mut self, failure: Failure, patience: &Patience, ledger: &mut impl Ledger) {
        while self.exchanges.len() > 0 {
            self.fail_front(failure, patience, ledger);
        }
    }

    /// The peer ended a connection: what is on the wire is sent once more where the keep-alive rule says so.
    fn resend(&mut self, failure: Failure, patience: &Patience, ledger: &mut impl Ledger) {
        let wire = self.on_wire as usize;
        let mut kept = 0;
        for _ in 0..wire {
            let front = self.exchanges.get_mut(kept).expect("what is on the wire is in the queue");
            // RFC 9112 9.3.1: a client may retry a GET whose connection was closed before any byte of the response.
            if self.answered > 0 && !front.resent {
                front.resent = true;
                kept += 1;
                continue;
            }
            let exchange = self.exchanges.remove(kept);
            self.fail(&exchange, failure, patience, ledger);
        }
        self.on_wire = 0;
    }
}

/// A queue of fixed capacity: no allocation after start.
#[derive(Debug)]
struct Fifo {
    items: Box<[Exchange]>,
    head: usize,
    len: usize,
}

impl Fifo {
    fn new(capacity: usize) -> Fifo {
        let capacity = capacity.max(1).next_power_of_two();
        Fifo { items: vec![Exchange::new(0, 0, false); capacity].into_boxed_slice(), head: 0, len: 0 }
    }

    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn at(&self, index: usize) -> usize {
        (self.head + index) & (self.items.len() - 1)
    }

    #[inline]
    fn push(&mut self, exchange: Exchange) {
        assert!(self.len < self.items.len(), "a slot holds no more than its pipeline");
        let at = self.at(self.len);
        self.items[at] = exchange;
        self.len += 1;
    }

    #[inline]
    fn front(&self) -> Option<&Exchange> {
        (self.len > 0).then(|| &self.items[self.head])
    }

    #[inline]
    fn get_mut(&mut self, index: usize) -> Option<&mut Exchange> {
        (index < self.len).then(|| {
            let at = self.at(index);
            &mut self.items[at]
        })
    }

    #[inline]
    fn pop(&mut self) -> Option<Exchange> {
        let front = *self.front()?;
        self.head = self.at(1);
        self.len -= 1;
        Some(front)
    }

    /// Removes the `index`-th and closes the gap.
    fn remove(&mut self, index: usize) -> Exchange {
        assert!(index < self.len);
        let removed = self.items[self.at(index)];
        for later in index + 1..self.len {
            let (from, to) = (self.at(later), self.at(later - 1));
            self.items[to] = self.items[from];
        }
        self.len -= 1;
        removed
    }
}
