//! One connection without I/O: bytes in, responses and a [`Step`] out.
//!
//! It knows no socket and no clock, so tests can feed it any bytes split anywhere. All requests that are complete
//! in the bytes at hand are answered in one go, in order, into one buffer.

use crate::body::Body;
use crate::capacity::Place;
use crate::faults::Fault;
use crate::page::{JSON, METRICS};
use crate::request::{Answer, Persistence, Refusal, Request};
use crate::responder::Responder;
use crate::strict_parser::Parsed;
use std::time::Duration;

/// Above this many bytes of responses the buffer is sent before further requests are answered.
const OUT_BYTES_MAX: usize = 256 * 1024;

/// What to do once the responses at hand are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All complete requests are answered: read on.
    Read,
    /// The buffer is full: send it, then come again with the rest.
    Flush,
    /// Wait this long, then come again with the rest.
    Wait(Duration),
    /// The connection is over, this way.
    End(End),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Orderly: FIN, then wait a moment for the peer's.
    Close,
    /// RST.
    Reset,
    /// Never send another byte, hold it open for a while.
    Silence,
    /// Send header lines up to a limit, then close.
    EndlessHead,
}

#[derive(Debug, Default)]
enum State {
    /// At the first byte of a head.
    #[default]
    Head,
    /// Dropping the body of a request that is answered after it.
    Body(Body, Request),
    /// The answer is due after a delay.
    Delayed(Request),
    /// The request waits for its turn, by `--capacity`.
    Queued(Request),
}

/// What one connection is in the middle of.
#[derive(Debug, Default)]
pub struct Connection {
    state: State,
    /// Complete responses written since the last time somebody asked, `/healthz` and `/metrics` excepted.
    answered: u64,
    /// Requests that were read to their end, all of them.
    completed: u64,
}

impl Connection {
    /// Whether a request has begun that is not answered yet, `left` bytes being unread.
    pub fn is_busy(&self, left: usize) -> bool {
        left > 0 || !matches!(self.state, State::Head)
    }

    /// Grows with every request that was read to its end: whoever sends whole requests is not slow.
    #[inline]
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Complete responses since the last call.
    #[inline]
    pub fn take_answered(&mut self) -> u64 {
        std::mem::take(&mut self.answered)
    }

    /// Answers what is complete in `input`. Returns how many bytes of it are done with, and what to do next.
    pub fn advance(&mut self, input: &[u8], responder: &mut Responder, out: &mut Vec<u8>) -> (usize, Step) {
        let mut at = 0;
        loop {
            let mut request = match &mut self.state {
                State::Head => match responder.head_cache.parse(&input[at..]) {
                    Parsed::Partial => return (at, Step::Read),
                    Parsed::Refused(refusal) => {
                        let head_only = input[at..].starts_with(b"HEAD ");
                        return (at, self.refuse(refusal, head_only, responder, out));
                    }
                    Parsed::Head(request, head_len) => {
                        at += head_len;
                        if let Some(body) = Body::new(request.framing) {
                            if request.waits_for_continue {
                                out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                            }
                            self.state = State::Body(body, request);
                            continue;
                        }
                        request
                    }
                },
                State::Body(body, request) => {
                    match body.drop_from(&input[at..]) {
                        Ok(dropped) => at += dropped,
                        Err(refusal) => {
                            let head_only = request.head_only;
                            return (at, self.refuse(refusal, head_only, responder, out));
                        }
                    }
                    if !body.is_done() {
                        return (at, Step::Read);
                    }
                    let request = request.clone();
                    self.state = State::Head;
                    request
                }
                State::Delayed(request) => {
                    let mut request = request.clone();
                    self.state = State::Head;
                    close_when_draining(&mut request, at < input.len(), responder);
                    responder.counts.status(200);
                    responder.pages.write(out, &request);
                    if let Some(step) = self.after(&request, out) {
                        return (at, step);
                    }
                    continue;
                }
                State::Queued(request) => {
                    let request = request.clone();
                    self.state = State::Head;
                    if let Some(step) = self.answer_queued(request, at < input.len(), responder, out) {
                        return (at, step);
                    }
                    continue;
                }
            };
            if let Some(step) = self.answer(&mut request, at < input.len(), responder, out) {
                return (at, step);
            }
        }
    }

    /// Answers one request whose body is read. `None`: go on with the next one.
    #[inline]
    fn answer(
        &mut self,
        request: &mut Request,
        more: bool,
        responder: &mut Responder,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        self.completed += 1;
        close_when_draining(request, more, responder);
        match request.answer {
            Answer::Page => {
                responder.counts.requests += 1;
                match responder.place() {
                    None => self.answer_page(request, responder, out),
                    Some(place) => self.answer_in_place(place, request, responder, out),
                }
            }
            Answer::Health => {
                let json = responder.health();
                responder.pages.write_report(out, JSON, &json, request);
                step_after(request, out)
            }
            Answer::Metrics => {
                let text = responder.metrics();
                responder.pages.write_report(out, METRICS, &text, request);
                step_after(request, out)
            }
            Answer::Refusal(refusal) => {
                responder.counts.requests += 1;
                self.refuse_in_turn(refusal, request, responder, out)
            }
        }
    }

    /// The page, whose turn it is. A call of its own costs as much as all that it does.
    #[inline(always)]
    fn answer_page(&mut self, request: &Request, responder: &mut Responder, out: &mut Vec<u8>) -> Option<Step> {
        if request.token.is_some()
            && let Some(fault) = responder.fault()
        {
            return self.inject(request, fault, responder, out);
        }
        responder.counts.status(200);
        responder.pages.write(out, request);
        self.after(request, out)
    }

    /// The page now or in its turn, or none.
    #[cold]
    fn answer_in_place(
        &mut self,
        place: Place,
        request: &Request,
        responder: &mut Responder,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        match place {
            Place::Now => self.answer_page(request, responder, out),
            Place::After(wait) => {
                self.state = State::Queued(request.clone());
                Some(Step::Wait(wait))
            }
            Place::Full => self.refuse_in_turn(Refusal::OverCapacity, request, responder, out),
        }
    }

    #[cold]
    fn answer_queued(
        &mut self,
        mut request: Request,
        more: bool,
        responder: &mut Responder,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        close_when_draining(&mut request, more, responder);
        self.answer_page(&request, responder, out)
    }

    /// Refuses a request that is one: the connection goes on as it asked to.
    #[cold]
    fn refuse_in_turn(
        &mut self,
        refusal: Refusal,
        request: &Request,
        responder: &mut Responder,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        responder.counts.status(refusal.code());
        responder.pages.write_refusal(out, refusal, request.persistence, request.head_only);
        self.after(request, out)
    }

    #[cold]
    fn inject(
        &mut self,
        request: &Request,
        fault: Fault,
        responder: &mut Responder,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        if !matches!(fault, Fault::Delay(_)) {
            responder.pages.write_faulty(out, request, fault);
        }
        match fault {
            Fault::Delay(delay) => {
                self.state = State::Delayed(request.clone());
                Some(Step::Wait(delay))
            }
            Fault::Reset => Some(Step::End(End::Reset)),
            Fault::Silence => Some(Step::End(End::Silence)),
            Fault::Garbage => Some(Step::End(End::Close)),
            Fault::EndlessHead => Some(Step::End(End::EndlessHead)),
            Fault::Status(_) => {
                responder.counts.status_injected();
                self.after(request, out)
            }
            Fault::WrongToken
            | Fault::MissingToken
            | Fault::StaleVersion
            | Fault::MissingVersion
            | Fault::StaleFrom
            | Fault::MissingFrom => {
                responder.counts.status(200);
                self.after(request, out)
            }
        }
    }

    /// Refuses bytes that are no request of ours, or a body that is not worth reading. HEAD gets no body here either.
    #[cold]
    fn refuse(&mut self, refusal: Refusal, head_only: bool, responder: &mut Responder, out: &mut Vec<u8>) -> Step {
        responder.counts.requests += 1;
        responder.counts.status(refusal.code());
        self.answered += 1;
        responder.pages.write_refusal(out, refusal, Persistence::Close, head_only);
        Step::End(End::Close)
    }

    /// What follows a complete response that counts.
    #[inline]
    fn after(&mut self, request: &Request, out: &[u8]) -> Option<Step> {
        self.answered += 1;
        step_after(request, out)
    }

    /// The request did not come to its end in time: says so when one has begun.
    pub fn on_too_late(&mut self, left: usize, responder: &mut Responder, out: &mut Vec<u8>) {
        if self.is_busy(left) {
            self.refuse(Refusal::RequestTimeout, false, responder, out);
        }
    }
}

/// A server that stops still answers what already stands behind a request; the last response tells the client to go.
#[inline]
fn close_when_draining(request: &mut Request, more: bool, responder: &Responder) {
    if responder.draining && !more {
        request.persistence = Persistence::Close;
    }
}

/// What follows a complete response.
#[inline]
fn step_after(request: &Request, out: &[u8]) -> Option<Step> {
    if request.persistence == Persistence::Close {
        return Some(Step::End(End::Close));
    }
    (out.len() >= OUT_BYTES_MAX).then_some(Step::Flush)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::Capacity;
    use crate::counters::Counters;
    use crate::faults::Faults;
    use crate::page::Bodies;
    use crate::responder::{Common, Schedules};
    use crate::schedule::Schedule;
    use flowtest_contract::rules::UtcUs;
    use flowtest_contract::{Platform, Version};
    use proptest::prelude::*;
    use proptest::sample::select;
    use std::sync::Arc;

    const GET: &str = "GET / HTTP/1.1\r\nHost: t\r\nToken: 0123456789abcdef0123456789abcdef\r\n\r\n";

    fn responder(faults: &str) -> Responder {
        limited(faults, None)
    }

    fn limited(faults: &str, capacity: Option<Capacity>) -> Responder {
        let counters =
            Arc::new(Counters::new(1, Arc::new(Faults::parse(faults).unwrap()), capacity.map(Arc::new), None));
        let schedules = Schedules { version: Schedule::Always(Version::V2), from: Schedule::Always(Platform::Ecs) };
        Responder::new(Common { bodies: Bodies::render().unwrap(), schedules, team: None, counters }, 0, UtcUs::EPOCH)
    }

    /// Feeds the pieces as reads would; returns all that was written and how it ended.
    fn feed(responder: &mut Responder, pieces: &[&[u8]]) -> (Vec<u8>, Option<End>, u64) {
        let (mut connection, mut input, mut out) = (Connection::default(), Vec::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                let (done, step) = connection.advance(&input, responder, &mut out);
                input.drain(..done);
                match step {
                    Step::Read => break,
                    Step::Flush | Step::Wait(_) => {}
                    Step::End(end) => return (out, Some(end), connection.take_answered()),
                }
            }
        }
        (out, None, connection.take_answered())
    }

    fn count(out: &[u8], what: &str) -> usize {
        memchr::memmem::find_iter(out, what).count()
    }

    #[test]
    fn sixteen_at_once_are_answered_at_once_and_in_order() {
        let requests: String = (0..16).map(|n| GET.replace("cdef\r\n", &format!("cd{n:02x}\r\n"))).collect();
        let (out, end, answered) = feed(&mut responder("none"), &[requests.as_bytes()]);
        let tokens: Vec<_> =
            memchr::memmem::find_iter(&out, "Token: ").map(|at| out[at + 37..at + 39].to_vec()).collect();
        assert_eq!(tokens, (0..16).map(|n| format!("{n:02x}").into_bytes()).collect::<Vec<_>>());
        assert_eq!((end, answered), (None, 16));
    }

    #[test]
    fn what_stands_behind_the_end_of_a_connection_is_not_counted() {
        for (faults, end) in [("reset:3", End::Reset), ("silence:3", End::Silence), ("garbage:3", End::Close)] {
            let mut responder = responder(faults);
            let (out, ended, answered) = feed(&mut responder, &[GET.repeat(9).as_bytes()]);
            assert_eq!((ended, answered, count(&out, "Token: ")), (Some(end), 2, 2), "{faults}");
            assert_eq!((responder.counts.requests, responder.counts.tokens), (3, 3), "{faults}");
        }
    }

    #[test]
    fn a_delayed_answer_comes_in_its_turn() {
        let mut responder = responder("delay:2=5ms");
        let (mut connection, mut out) = (Connection::default(), Vec::new());
        let requests = GET.repeat(3);
        let (done, step) = connection.advance(requests.as_bytes(), &mut responder, &mut out);
        assert_eq!((step, count(&out, "Token: "), done), (Step::Wait(Duration::from_millis(5)), 1, GET.len() * 2));
        let (done, step) = connection.advance(GET.as_bytes(), &mut responder, &mut out);
        assert_eq!((step, count(&out, "Token: "), done), (Step::Read, 3, GET.len()));
    }

    #[test]
    fn a_full_buffer_is_sent_before_more_is_answered() {
        let mut responder = responder("none");
        let (mut connection, mut out) = (Connection::default(), Vec::new());
        let requests = GET.repeat(2000);
        let (done, step) = connection.advance(requests.as_bytes(), &mut responder, &mut out);
        assert_eq!(step, Step::Flush);
        assert!(done < requests.len() && out.len() < OUT_BYTES_MAX + 1024);
    }

    #[test]
    fn above_the_capacity_a_request_waits_in_its_place_and_then_gets_503_and_the_connection_stays() {
        let mut responder = limited("wrong_token:2", Some(Capacity::new(1)));
        let (mut queue, mut out) = ((0..3).map(|_| Connection::default()).collect::<Vec<_>>(), Vec::new());
        let mut ask = |at: usize, input: &str, responder: &mut Responder| {
            out.clear();
            let (_, step) = queue[at].advance(input.as_bytes(), responder, &mut out);
            (step, out.clone())
        };
        // One from the bucket, one that waits a second less the burst, and no place for a third.
        assert_eq!(ask(0, GET, &mut responder).0, Step::Read);
        assert_eq!(ask(1, GET, &mut responder), (Step::Wait(Duration::from_millis(950)), Vec::new()));
        let (step, refused) = ask(2, GET, &mut responder);
        assert!(step == Step::Read && refused.starts_with(b"HTTP/1.1 503 ") && count(&refused, "Connection: ") == 0);
        // Health is asked for freely, and what is refused for what it is costs nothing.
        assert_eq!(count(&ask(2, &GET.replace("/ ", "/healthz "), &mut responder).1, r#""refused":1"#), 1);
        assert_eq!(count(&ask(2, &GET.replace("GET", "PUT"), &mut responder).1, " 405 "), 1);
        // The one that waited is the second with a token: the one that was refused was not shown to the faults.
        let (step, answered) = ask(1, "", &mut responder);
        assert!(step == Step::Read && count(&answered, "Token: 1123") == 1);
        assert_eq!((responder.counts.requests, responder.counts.tokens), (4, 2));
    }

    #[test]
    fn only_the_last_answer_of_a_stopping_server_says_close() {
        let mut responder = responder("none");
        responder.draining = true;
        let (out, end, answered) = feed(&mut responder, &[GET.repeat(4).as_bytes()]);
        assert_eq!((end, answered), (Some(End::Close), 4));
        assert_eq!(count(&out, "Connection: close"), 1);
    }

    #[test]
    fn health_and_metrics_are_neither_counted_nor_faulted() {
        for (path, says) in [("/healthz?x ", r#""status":"ok""#), ("/metrics ", "\nflowtest_target_tokens_total 0\n")] {
            let mut responder = responder("reset:1");
            let (out, end, answered) = feed(&mut responder, &[&GET.replace("/ ", path).repeat(3).into_bytes()]);
            assert_eq!((end, answered, responder.counts.requests), (None, 0, 0));
            assert_eq!(count(&out, says), 3);
        }
    }

    /// Requests of all kinds, one behind the other.
    fn requests() -> impl Strategy<Value = Vec<u8>> {
        const PIECES: &[&str] = &[
            GET,
            GET,
            "HEAD /x HTTP/1.1\r\nHost: t\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
            "PUT / HTTP/1.1\r\nHost: t\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
        ];
        let mutation = proptest::option::of((any::<prop::sample::Index>(), any::<u8>()));
        (proptest::collection::vec(select(PIECES), 1..6), mutation).prop_map(|(pieces, mutation)| {
            let mut bytes = pieces.concat().into_bytes();
            if let Some((at, byte)) = mutation {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn requests_split_anywhere_are_answered_alike(bytes in requests(), at in any::<prop::sample::Index>()) {
            let at = at.index(bytes.len() + 1);
            let whole = feed(&mut responder("none"), &[&bytes]);
            prop_assert_eq!(&feed(&mut responder("none"), &[&bytes[..at], &bytes[at..]]), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&feed(&mut responder("none"), &single), &whole);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            feed(&mut responder("wrong_token:2,delay:3=1ms"), &[&bytes]);
        }
    }
}
