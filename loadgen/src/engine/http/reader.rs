//! The responses of one connection, in the order of its requests, however the bytes are cut.
//!
//! Sans-I/O: bytes in, responses out. It keeps the beginning of a line that was cut, never a body.

use super::body::Body;
use super::careful::Head;
use super::framing::{Framing, Response, frame};
use super::malformed::Malformed;
use super::shape::Shape;
use flowtest_contract::Token;
use flowtest_contract::header::INTERIM_MAX;

/// What came of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All bytes were taken; the response is not complete.
    Partial,
    Response(Response),
    /// Not a response. Nothing that follows on this connection can be one.
    Malformed(Malformed),
}

/// What the end of the stream makes of the bytes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The body lasted until the end of the stream.
    Response(Response),
    /// Some bytes of a response came, but not all.
    Incomplete,
    /// No byte of a response came.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte of a response.
    Between,
    Head,
    Body(Body, Response),
    Broken(Malformed),
}

/// Reads the responses of one connection.
#[derive(Debug)]
pub struct Reader {
    state: State,
    head: Head,
    /// Interim responses before the final one.
    interim: u32,
}

// Ten thousand connections have one each.
const _: () = assert!(size_of::<Reader>() <= 128);

impl Default for Reader {
    fn default() -> Reader {
        Reader::new()
    }
}

impl Reader {
    pub fn new() -> Reader {
        Reader { state: State::Between, head: Head::default(), interim: 0 }
    }

    /// The connection is a new one. Memory is kept.
    pub fn reset(&mut self) {
        self.state = State::Between;
    }

    /// Whether no byte of the next response was taken.
    #[inline]
    pub fn is_between_responses(&self) -> bool {
        matches!(self.state, State::Between)
    }

    /// Whether only the end of the connection ends the response.
    pub fn is_until_close(&self) -> bool {
        matches!(self.state, State::Body(Body::UntilClose { .. }, _))
    }

    /// Takes bytes of the response to the oldest request, whose token is `expected`.
    ///
    /// `Response`: `bytes` begins behind it; more may follow. `Partial`: all of `bytes` was taken. `Malformed`:
    /// what is left of `bytes` means nothing, and the reader says the same until it is reset.
    #[inline]
    pub fn read(&mut self, bytes: &mut &[u8], expected: &Token, shape: &mut Shape) -> Read {
        if self.is_between_responses()
            && let Some(response) = shape.take_response(bytes, expected)
        {
            return Read::Response(response);
        }
        self.read_on(bytes, expected, shape)
    }

    /// Everything but a whole response that looks like the last one.
    #[inline(never)]
    fn read_on(&mut self, bytes: &mut &[u8], expected: &Token, shape: &mut Shape) -> Read {
        match self.advance(bytes, expected, shape) {
            Ok(None) => Read::Partial,
            Ok(Some(response)) => {
                self.state = State::Between;
                Read::Response(response)
            }
            Err(malformed) => {
                self.state = State::Broken(malformed);
                Read::Malformed(malformed)
            }
        }
    }

    fn advance(
        &mut self,
        bytes: &mut &[u8],
        expected: &Token,
        shape: &mut Shape,
    ) -> Result<Option<Response>, Malformed> {
        // Where the present head begins, unless it did in an earlier call: a head that was cut is not learned.
        let mut head_start = None;
        loop {
            match &mut self.state {
                State::Between => {
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    if let Some((response, body)) = shape.take_head(bytes, expected) {
                        self.state = State::Body(Body::new(body), response);
                        continue;
                    }
                    head_start = Some(*bytes);
                    shape.slow += 1;
                    self.interim = 0;
                    self.head.start();
                    self.state = State::Head;
                }
                State::Head => {
                    if !self.head.read(bytes, expected)? {
                        return Ok(None);
                    }
                    match frame(&self.head.facts)? {
                        Framing::Interim if self.interim as usize == INTERIM_MAX => {
                            return Err(Malformed::TooManyInterim);
                        }
                        Framing::Interim => {
                            self.interim += 1;
                            self.head.start();
                            head_start = Some(*bytes);
                        }
                        Framing::Final { body, keep_alive } => {
                            let response = Response::new(&self.head.facts, keep_alive);
                            if let Some(from) = head_start.filter(|_| !self.head.is_folded) {
                                shape.learn(&from[..from.len() - bytes.len()], response, body);
                            }
                            self.state = State::Body(Body::new(body), response);
                        }
                    }
                }
                State::Body(body, response) => {
                    let response = *response;
                    return Ok(body.read(bytes, &mut self.head, expected)?.then_some(response));
                }
                State::Broken(malformed) => return Err(*malformed),
            }
        }
    }

    /// The peer ended the stream.
    pub fn on_end(&mut self) -> End {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Between => End::Nothing,
            State::Body(Body::UntilClose { .. }, response) => End::Response(response),
            State::Head | State::Body(..) | State::Broken(_) => End::Incomplete,
        }
    }
}
