//! One connection slot, without I/O: bytes and the time in, [`Step`]s out.
//!
//! It owns the exchanges of its slot, from the moment that a request takes the slot until its outcome, across as many
//! TCP connections as that takes. It decides what a response, a close, an error or the passing of time means for each
//! of them. It knows neither rings nor sockets nor points, so it runs under virtual time and in the fuzzer.
//!
//! One response consumes one request, in order. A request is settled exactly once.

use crate::engine::clock::RunInstant;
use crate::engine::exchange::Exchange;
use crate::engine::http::{End, Read, Reader, Shape};
use crate::engine::step::Step;
use crate::engine::timeouts::Timeouts;
use crate::engine::tls::TlsReason;
use crate::engine::trace::ResponseBytes;
use flowtest_contract::Token;
use flowtest_contract::verdict::{Failure, Outcome};
use std::collections::VecDeque;

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
        until: RunInstant,
    },
}

/// Receives every outcome, with the exchange it belongs to and what had come of its answer.
pub trait OutcomeSink {
    fn settle(&mut self, exchange: &Exchange, outcome: Outcome, received: &ResponseBytes<'_>);
}

/// A request that is to be written, among those of one send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    pub index: usize,
    /// Of its token.
    pub counter: u64,
    pub scored: bool,
    /// It was not sent before, on another connection.
    pub is_first: bool,
}

/// One slot.
#[derive(Debug)]
pub struct Connection {
    state: State,
    reader: Reader,
    /// In order; the first `on_wire` of them have been handed to the kernel on this connection.
    exchanges: VecDeque<Exchange>,
    on_wire: u32,
    /// Responses on this connection.
    answered: u64,
    failures_in_row: u32,
    /// `started` of the exchange that failed last.
    failed_started: RunInstant,
    /// When this connection should be retired.
    retire_at: RunInstant,
    /// Which request it sends: the endpoint may have moved since it was begun.
    request_mark: u32,
    /// Tokens that this slot has used.
    tokens: u64,
    /// Bytes of the answer under way that came before the ones at hand.
    before: u32,
    /// Held until then: the machine had nothing for it.
    held_until: RunInstant,
}

impl Connection {
    /// A slot that holds at most `pipeline` exchanges.
    pub fn new(pipeline: usize) -> Connection {
        Connection {
            state: State::Cold,
            reader: Reader::new(),
            exchanges: VecDeque::with_capacity(pipeline.max(1)),
            on_wire: 0,
            answered: 0,
            failures_in_row: 0,
            failed_started: RunInstant::START,
            retire_at: RunInstant::NEVER,
            request_mark: 0,
            tokens: 0,
            before: 0,
            held_until: RunInstant::START,
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

    /// When the oldest request that has no outcome yet was to be sent.
    pub fn oldest(&self) -> Option<RunInstant> {
        self.exchanges.front().map(|front| front.intended)
    }

    /// A request takes this slot.
    #[inline]
    pub fn begin(&mut self, exchange: Exchange) {
        // Its room is there from the start and never grows.
        assert!(self.exchanges.len() < self.exchanges.capacity(), "a slot holds no more than its pipeline");
        self.exchanges.push_back(exchange);
    }

    /// The earliest instant at which this slot wants [`Connection::on_wake`]; `None` when it waits for nothing.
    pub fn wake_at(&self, timeouts: &Timeouts) -> Option<RunInstant> {
        match self.state {
            State::Resting { until } => Some(until),
            // Exchanges stand in the control of their start, so the first is the first to be late.
            _ => self.exchanges.front().map(|front| front.started + timeouts.timeout),
        }
    }

    /// A connection is begun that sends the request of this mark; it is retired at `retire_at`.
    pub fn on_open(&mut self, retire_at: RunInstant, request_mark: u32) {
        assert!(matches!(self.state, State::Cold | State::Resting { .. }));
        self.state = State::Connecting;
        self.reader.reset();
        self.on_wire = 0;
        self.answered = 0;
        self.before = 0;
        self.retire_at = retire_at;
        self.request_mark = request_mark;
    }

    pub fn on_connected(&mut self) {
        assert_eq!(self.state, State::Connecting);
        self.state = State::Open;
    }

    /// No socket, or no connection: everything that waited for it fails.
    pub fn on_unconnected(&mut self, failure: Failure, timeouts: &Timeouts, sink: &mut impl OutcomeSink) -> Step {
        while !self.exchanges.is_empty() {
            self.fail_front(failure, timeouts, sink);
        }
        Step::Close
    }

    /// Writes the next requests by `write`, which makes the token of that counter and returns it, and says how many; 0 when
    /// none may be sent now.
    ///
    /// A resent request goes alone, as the first on a fresh connection. [`Connection::wants_fresh`] says when it needs
    /// one. The caller sends what was written as one send.
    #[inline]
    pub fn send(&mut self, now: RunInstant, mut write: impl FnMut(Outgoing) -> Token) -> usize {
        debug_assert_eq!(self.state, State::Open);
        let from = self.on_wire as usize;
        let mut written = 0;
        while let Some(exchange) = self.exchanges.get_mut(from + written) {
            if exchange.resent && (from + written > 0 || self.answered > 0) {
                break;
            }
            let is_first = exchange.sent == Exchange::NOT_SENT;
            exchange.sent = now.max(Exchange::NOT_SENT + 1);
            exchange.request_mark = self.request_mark;
            let (counter, scored) = (self.tokens, exchange.scored);
            exchange.token = write(Outgoing { index: written, counter, scored, is_first });
            self.tokens += 1;
            written += 1;
            if exchange.resent {
                break;
            }
        }
        self.on_wire += written as u32;
        written
    }

    /// No answer is awaited.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.on_wire == 0
    }

    /// Requests stand here that were not handed to the kernel yet.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        self.exchanges.len() > self.on_wire as usize
    }

    /// How many stand here that were not.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.exchanges.len() - self.on_wire as usize
    }

    /// Nothing is on the wire and the next request must not use this connection, or its life is over.
    #[inline]
    pub fn wants_fresh(&self, now: RunInstant) -> bool {
        self.on_wire == 0
            && self.answered > 0
            && (now >= self.retire_at || self.exchanges.front().is_some_and(|front| front.resent))
    }

    /// Its life is over: start nothing more on it.
    #[inline]
    pub fn is_retiring(&self, now: RunInstant) -> bool {
        now >= self.retire_at && self.answered > 0
    }

    /// After two failures in a row, and until the last one's start + timeout, the closed loop starts nothing here: failing
    /// fast shall cost as much as failing slowly, also over a connection that is kept alive.
    #[inline]
    pub fn must_rest(&self, now: RunInstant, timeouts: &Timeouts) -> bool {
        self.failures_in_row >= 2 && self.failed_started + timeouts.timeout > now
    }

    /// Bytes of the peer.
    #[inline]
    pub fn on_bytes(
        &mut self,
        bytes: &[u8],
        now: RunInstant,
        shape: &mut Shape,
        timeouts: &Timeouts,
        sink: &mut impl OutcomeSink,
    ) -> Step {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.on_wire == 0 {
                self.fail_unsent(Failure::Malformed, timeouts, sink);
                return Step::Unsolicited;
            }
            let front = *self.exchanges.front().expect("what is on the wire is in the queue");
            let at_hand = rest;
            match self.reader.read(&mut rest, &front.token, shape) {
                Read::Partial => {
                    self.before = self.before.saturating_add(at_hand.len() as u32);
                    return Step::Go;
                }
                Read::Response(response) => {
                    let bytes = &at_hand[..at_hand.len() - rest.len()];
                    let skipped = std::mem::take(&mut self.before);
                    let received = ResponseBytes { bytes, skipped, status: response.status, ..ResponseBytes::NOTHING };
                    if !self.on_response(&front, &response, now, &received, timeouts, sink) {
                        self.resend(Failure::Reset, timeouts, sink);
                        return Step::Close;
                    }
                }
                Read::Malformed(why) => {
                    let (bytes, skipped) = (at_hand, self.before);
                    let received = ResponseBytes { bytes, skipped, malformed: Some(why), ..ResponseBytes::NOTHING };
                    self.fail_first(Failure::Malformed, &received, timeouts, sink);
                    self.fail_wire(Failure::Malformed, timeouts, sink);
                    return Step::Close;
                }
            }
        }
        Step::Go
    }

    /// The peer sent FIN.
    pub fn on_end(&mut self, now: RunInstant, timeouts: &Timeouts, sink: &mut impl OutcomeSink) -> Step {
        if self.on_wire > 0 {
            match self.reader.on_end() {
                End::Response(response) => {
                    let front = *self.exchanges.front().expect("what is on the wire is in the queue");
                    let received = self.received_before();
                    self.on_response(&front, &response, now, &received, timeouts, sink);
                }
                End::Incomplete => self.fail_first(Failure::Reset, &self.received_before(), timeouts, sink),
                End::Nothing => {}
            }
        }
        self.on_lost(Failure::Reset, timeouts, sink)
    }

    /// The connection broke; `failure` is what the errno means.
    pub fn on_broken(&mut self, failure: Failure, timeouts: &Timeouts, sink: &mut impl OutcomeSink) -> Step {
        if self.on_wire > 0 && !self.reader.is_between_responses() {
            self.fail_first(failure, &self.received_before(), timeouts, sink);
        }
        self.on_lost(failure, timeouts, sink)
    }

    /// The same over TLS: an end without a word of TLS is the end of no answer, and one that it would have ended is told why.
    pub fn on_cut(&mut self, failure: Failure, timeouts: &Timeouts, sink: &mut impl OutcomeSink) -> Step {
        if self.on_wire > 0 && !self.reader.is_between_responses() {
            let is_told = self.reader.is_until_close() && failure == Failure::Reset;
            let tls = is_told.then_some(TlsReason::NoCloseNotify);
            self.fail_first(failure, &ResponseBytes { tls, ..self.received_before() }, timeouts, sink);
        }
        self.on_lost(failure, timeouts, sink)
    }

    /// TLS failed: before the handshake was done everything that waited for it does, later what is under way.
    pub fn on_tls_failed(&mut self, reason: TlsReason, timeouts: &Timeouts, sink: &mut impl OutcomeSink) -> Step {
        let received = ResponseBytes { skipped: self.before, tls: Some(reason), ..ResponseBytes::NOTHING };
        if self.state == State::Connecting {
            while !self.exchanges.is_empty() {
                self.fail_first(Failure::Tls, &received, timeouts, sink);
            }
            return Step::Close;
        }
        if self.on_wire > 0 && !self.reader.is_between_responses() {
            self.fail_first(Failure::Tls, &received, timeouts, sink);
        } else if self.on_wire > 0 && self.answered == 0 {
            // Nothing was read of its answer either, and it is not sent once more.
            self.fail_first(Failure::Tls, &received, timeouts, sink);
            if self.on_wire == 0 {
                return Step::Close;
            }
        }
        self.on_lost(Failure::Tls, timeouts, sink)
    }

    fn on_lost(&mut self, failure: Failure, timeouts: &Timeouts, sink: &mut impl OutcomeSink) -> Step {
        if self.on_wire > 0 {
            self.resend(failure, timeouts, sink);
        } else {
            self.fail_unsent(failure, timeouts, sink);
        }
        Step::Close
    }

    /// Time has passed. `None`: nothing is due yet.
    pub fn on_wake(&mut self, now: RunInstant, timeouts: &Timeouts, sink: &mut impl OutcomeSink) -> Option<Step> {
        if let State::Resting { until } = self.state {
            if now < until {
                return None;
            }
            self.state = State::Cold;
            return Some(Step::Go);
        }
        let front = *self.exchanges.front()?;
        if !timeouts.is_up(front.intended, front.started, now) {
            return None;
        }
        // The peer is silent: whatever else stands behind this response on the connection cannot be told from it.
        if self.on_wire > 0 {
            self.fail_first(Failure::Timeout, &self.received_before(), timeouts, sink);
        }
        self.fail_wire(Failure::Timeout, timeouts, sink);
        while let Some(front) = self.exchanges.front().copied() {
            if !timeouts.is_up(front.intended, front.started, now) {
                break;
            }
            self.fail_front(Failure::Timeout, timeouts, sink);
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
    pub fn on_closed(&mut self, now: RunInstant, timeouts: &Timeouts) {
        let failed =
            if self.must_rest(now, timeouts) { self.failed_started + timeouts.timeout } else { RunInstant::START };
        let until = failed.max(self.held_until);
        self.state = if self.exchanges.is_empty() && until > now { State::Resting { until } } else { State::Cold };
    }

    /// The machine had no descriptor, memory or port for it: it is not asked again before this instant.
    pub fn hold(&mut self, until: RunInstant) {
        self.held_until = until;
    }

    /// Settles one response. `false`: the connection ends with it.
    #[inline]
    fn on_response(
        &mut self,
        front: &Exchange,
        response: &crate::engine::http::Response,
        now: RunInstant,
        received: &ResponseBytes<'_>,
        timeouts: &Timeouts,
        sink: &mut impl OutcomeSink,
    ) -> bool {
        if let Some(failure) = timeouts.too_late(front.intended, front.started, now) {
            self.fail_first(failure, received, timeouts, sink);
        } else if response.status / 100 == 2 {
            self.pop();
            self.failures_in_row = 0;
            sink.settle(front, Outcome::Answered(response.observed), received);
        } else {
            self.fail_first(Failure::Status, received, timeouts, sink);
        }
        self.answered += 1;
        response.keep_alive
    }

    #[inline]
    fn pop(&mut self) -> Exchange {
        self.on_wire -= u32::from(self.on_wire > 0);
        self.exchanges.pop_front().expect("an outcome belongs to an exchange")
    }

    /// What came of the answer under way, when nothing of it is at hand any more.
    fn received_before(&self) -> ResponseBytes<'static> {
        ResponseBytes { skipped: self.before, ..ResponseBytes::NOTHING }
    }

    /// The first exchange fails, and it is the one that the bytes belong to.
    fn fail_first(
        &mut self,
        failure: Failure,
        received: &ResponseBytes<'_>,
        timeouts: &Timeouts,
        sink: &mut impl OutcomeSink,
    ) {
        let exchange = self.pop();
        self.fail(&exchange, failure, received, timeouts, sink);
    }

    /// The first exchange fails without a byte of its own.
    fn fail_front(&mut self, failure: Failure, timeouts: &Timeouts, sink: &mut impl OutcomeSink) {
        self.fail_first(failure, &ResponseBytes::NOTHING, timeouts, sink);
    }

    fn fail(
        &mut self,
        exchange: &Exchange,
        failure: Failure,
        received: &ResponseBytes<'_>,
        timeouts: &Timeouts,
        sink: &mut impl OutcomeSink,
    ) {
        let failure = timeouts.failure(exchange.intended, exchange.started, failure);
        // Our own fault is no reason for the slot to rest.
        if failure != Failure::OwnFault {
            self.failures_in_row = self.failures_in_row.saturating_add(1);
            self.failed_started = exchange.started;
        }
        sink.settle(exchange, Outcome::Failed(failure), received);
    }

    /// Every exchange on the wire fails in the same way.
    fn fail_wire(&mut self, failure: Failure, timeouts: &Timeouts, sink: &mut impl OutcomeSink) {
        while self.on_wire > 0 {
            self.fail_front(failure, timeouts, sink);
        }
    }

    /// A fresh connection is over before anything was sent on it. It costs the first request that waited for it, or a peer
    /// that only ever accepts could make us connect without end.
    fn fail_unsent(&mut self, failure: Failure, timeouts: &Timeouts, sink: &mut impl OutcomeSink) {
        if self.answered == 0 && !self.exchanges.is_empty() {
            self.fail_front(failure, timeouts, sink);
        }
    }

    /// The peer ended a connection: what is on the wire is sent once more where the keep-alive rule says so.
    fn resend(&mut self, failure: Failure, timeouts: &Timeouts, sink: &mut impl OutcomeSink) {
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
            let exchange = self.exchanges.remove(kept).expect("an outcome belongs to an exchange");
            self.fail(&exchange, failure, &ResponseBytes::NOTHING, timeouts, sink);
        }
        self.on_wire = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pacer::Due;
    use crate::engine::timeouts::LateWindow;
    use flowtest_contract::TokenMint;
    use flowtest_journal::record::LateCause;
    use proptest::prelude::*;

    const TIMEOUT: u64 = 1_000;

    /// Counts how often each exchange, known by its intended instant, is settled.
    #[derive(Default)]
    struct Count(Vec<u32>, Vec<Outcome>);

    impl OutcomeSink for Count {
        fn settle(&mut self, exchange: &Exchange, outcome: Outcome, _: &ResponseBytes<'_>) {
            self.0[exchange.intended.ns() as usize] += 1;
            self.1.push(outcome);
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Begin,
        Open,
        Connected,
        Unconnected,
        Send,
        /// Right answers to so many of the oldest on the wire, cut at random, perhaps with a close.
        Answer {
            count: usize,
            cut: usize,
            close: bool,
        },
        Junk(Vec<u8>),
        End,
        Break,
        Pass(u64),
        Stall(u64),
        Closed,
    }

    fn acts() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => Just(Act::Begin),
            2 => Just(Act::Open),
            3 => Just(Act::Connected),
            1 => Just(Act::Unconnected),
            5 => Just(Act::Send),
            5 => (1usize..5, 0usize..400, proptest::bool::weighted(0.1)).prop_map(|(count, cut, close)| Act::Answer { count, cut, close }),
            1 => proptest::collection::vec(any::<u8>(), 1..40).prop_map(Act::Junk),
            1 => Just(Act::End),
            1 => Just(Act::Break),
            2 => (0u64..1500).prop_map(Act::Pass),
            1 => (51u64..1500).prop_map(Act::Stall),
            3 => Just(Act::Closed),
        ]
    }

    proptest! {
        #[test]
        fn every_exchange_is_settled_exactly_once_whatever_happens(acts in proptest::collection::vec(acts(), 1..120), pipeline in 1usize..6) {
            let mint = TokenMint::new([3; 16], 0);
            let (mut connection, mut sink) = (Connection::new(pipeline), Count::default());
            let (mut shape, mut timeouts) = (Shape::new(), Timeouts::new(TIMEOUT));
            let mut now = RunInstant::START;
            let mut wire: std::collections::VecDeque<Token> = Default::default();
            let mut sent = std::collections::HashSet::new();
            for act in acts {
                let open = connection.state() == State::Open;
                let step = match act {
                    Act::Begin if connection.load() < pipeline => {
                        let intended = RunInstant::from_ns(sink.0.len() as u64);
                        connection.begin(Exchange::new(Due { intended, scored: true }, now));
                        sink.0.push(0);
                        None
                    }
                    Act::Open if connection.state() == State::Cold => {
                        connection.on_open(now + 5_000, 0);
                        wire.clear();
                        None
                    }
                    Act::Connected if connection.state() == State::Connecting => {
                        connection.on_connected();
                        None
                    }
                    Act::Unconnected if connection.state() == State::Connecting => {
                        Some(connection.on_unconnected(Failure::Refused, &timeouts, &mut sink))
                    }
                    Act::Send if open => {
                        connection.send(now, |outgoing| {
                            let token = mint.token(0, outgoing.counter);
                            assert!(sent.insert(token), "a token is used once");
                            wire.push_back(token);
                            token
                        });
                        None
                    }
                    Act::Answer { count, cut, close } if open && !wire.is_empty() => {
                        let count = count.min(wire.len());
                        let mut bytes = Vec::new();
                        for token in wire.drain(..count) {
                            let last = if close { "Connection: close\r\n" } else { "" };
                            bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nToken: ");
                            bytes.extend_from_slice(&token.0);
                            bytes.extend_from_slice(format!("\r\n{last}\r\n").as_bytes());
                        }
                        let (first, rest) = bytes.split_at(cut.min(bytes.len()));
                        match connection.on_bytes(first, now, &mut shape, &timeouts, &mut sink) {
                            Step::Go => Some(connection.on_bytes(rest, now, &mut shape, &timeouts, &mut sink)),
                            other => Some(other),
                        }
                    }
                    Act::Junk(bytes) if open => {
                        Some(connection.on_bytes(&bytes, now, &mut shape, &timeouts, &mut sink))
                    }
                    Act::End if open => Some(connection.on_end(now, &timeouts, &mut sink)),
                    Act::Break if open => Some(connection.on_broken(Failure::Reset, &timeouts, &mut sink)),
                    Act::Pass(time) => {
                        now = now + time;
                        connection.on_wake(now, &timeouts, &mut sink).filter(|_| open || connection.state() == State::Connecting)
                    }
                    Act::Stall(gap) => {
                        let from = now;
                        now = from + gap;
                        timeouts.on_late(LateWindow { from, to: now, cause: LateCause::Gap });
                        None
                    }
                    Act::Closed if connection.state() == State::Closing => {
                        connection.on_closed(now, &timeouts);
                        None
                    }
                    _ => None,
                };
                if matches!(step, Some(Step::Close | Step::Unsolicited)) {
                    connection.on_closing();
                }
            }
            // What was settled was settled once, and the rest is still there.
            prop_assert!(sink.0.iter().all(|count| *count <= 1));
            prop_assert_eq!(sink.0.iter().filter(|count| **count == 0).count(), connection.load());
            connection.on_unconnected(Failure::Refused, &timeouts, &mut sink);
            prop_assert!(sink.0.iter().all(|count| *count == 1));
            // A right answer is right, whichever way the bytes were cut.
            for outcome in &sink.1 {
                if let Outcome::Answered(observed) = outcome {
                    prop_assert!(observed.token_right);
                }
            }
        }
    }
}
