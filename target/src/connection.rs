//! One connection without I/O: bytes in, responses and a [`Step`] out.
//!
//! It knows no socket and no clock, so tests can feed it any bytes split anywhere. All requests that are complete
//! in the bytes at hand are answered in one go, in order, into one buffer.

use crate::body::Body;
use crate::careful::Parsed;
use crate::desk::Desk;
use crate::faults::Fault;
use crate::request::{Answer, Persistence, Refusal, Request};
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
}

/// What one connection is in the middle of.
#[derive(Debug, Default)]
pub struct Connection {
    state: State,
    /// Complete responses written since the last time somebody asked, `/healthz` excepted.
    answered: u64,
}

impl Connection {
    /// Whether a request has begun that is not answered yet, `left` bytes being unread.
    pub fn is_busy(&self, left: usize) -> bool {
        left > 0 || !matches!(self.state, State::Head)
    }

    /// Complete responses since the last call.
    #[inline]
    pub fn take_answered(&mut self) -> u64 {
        std::mem::take(&mut self.answered)
    }

    /// Answers what is complete in `input`. Returns how many bytes of it are done with, and what to do next.
    pub fn advance(&mut self, input: &[u8], desk: &mut Desk, out: &mut Vec<u8>) -> (usize, Step) {
        let mut at = 0;
        loop {
            let request = match &mut self.state {
                State::Head => match desk.shape.parse(&input[at..]) {
                    Parsed::Partial => return (at, Step::Read),
                    Parsed::Refused(refusal) => {
                        let head_only = input[at..].starts_with(b"HEAD ");
                        return (at, self.refuse(refusal, head_only, desk, out));
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
                            return (at, self.refuse(refusal, head_only, desk, out));
                        }
                    }
                    if !body.is_done() {
                        return (at, Step::Read);
                    }
                    let request = *request;
                    self.state = State::Head;
                    request
                }
                State::Delayed(request) => {
                    let request = *request;
                    self.state = State::Head;
                    desk.counts.status(200);
                    desk.pages.write(out, &request);
                    if let Some(step) = self.after(&request, out) {
                        return (at, step);
                    }
                    continue;
                }
            };
            if let Some(step) = self.answer(request, at < input.len(), desk, out) {
                return (at, step);
            }
        }
    }

    /// Answers one request whose body is read. `None`: go on with the next one.
    #[inline]
    fn answer(&mut self, mut request: Request, more: bool, desk: &mut Desk, out: &mut Vec<u8>) -> Option<Step> {
        // What already stands behind it is still answered; the last one tells the client to go.
        if desk.draining && !more {
            request.persistence = Persistence::Close;
        }
        match request.answer {
            Answer::Page => {
                desk.counts.requests += 1;
                if request.token.is_some()
                    && let Some(fault) = desk.fault()
                {
                    return self.inject(request, fault, desk, out);
                }
                desk.counts.status(200);
                desk.pages.write(out, &request);
            }
            Answer::Health => {
                let json = desk.health();
                desk.pages.write_json(out, &json, &request);
                return step_after(&request, out);
            }
            Answer::Refusal(refusal) => {
                desk.counts.requests += 1;
                desk.counts.status(refusal.code());
                desk.pages.write_refusal(out, refusal, request.persistence, request.head_only);
            }
        }
        self.after(&request, out)
    }

    #[cold]
    fn inject(&mut self, request: Request, fault: Fault, desk: &mut Desk, out: &mut Vec<u8>) -> Option<Step> {
        if !matches!(fault, Fault::Delay(_)) {
            desk.pages.write_faulty(out, &request, fault);
        }
        match fault {
            Fault::Delay(delay) => {
                self.state = State::Delayed(request);
                Some(Step::Wait(delay))
            }
            Fault::Reset => Some(Step::End(End::Reset)),
            Fault::Silence => Some(Step::End(End::Silence)),
            Fault::Garbage => Some(Step::End(End::Close)),
            Fault::EndlessHead => Some(Step::End(End::EndlessHead)),
            Fault::Status(code) => {
                desk.counts.status(code);
                self.after(&request, out)
            }
            Fault::WrongToken
            | Fault::MissingToken
            | Fault::StaleVersion
            | Fault::MissingVersion
            | Fault::StaleFrom
            | Fault::MissingFrom => {
                desk.counts.status(200);
                self.after(&request, out)
            }
        }
    }

    /// Refuses bytes that are no request of ours, or a body that is not worth reading. HEAD gets no body here either.
    #[cold]
    fn refuse(&mut self, refusal: Refusal, head_only: bool, desk: &mut Desk, out: &mut Vec<u8>) -> Step {
        desk.counts.requests += 1;
        desk.counts.status(refusal.code());
        self.answered += 1;
        desk.pages.write_refusal(out, refusal, Persistence::Close, head_only);
        Step::End(End::Close)
    }

    /// What follows a complete response that counts.
    #[inline]
    fn after(&mut self, request: &Request, out: &[u8]) -> Option<Step> {
        self.answered += 1;
        step_after(request, out)
    }

    /// The request did not come to its end in time: says so when one has begun.
    pub fn on_too_late(&mut self, left: usize, desk: &mut Desk, out: &mut Vec<u8>) {
        if self.is_busy(left) {
            self.refuse(Refusal::RequestTimeout, false, desk, out);
        }
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
