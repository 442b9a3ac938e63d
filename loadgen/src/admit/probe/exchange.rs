//! One token over one plain socket: the request bytes of the flood out, its reader on what comes, within a deadline.
//!
//! It owns its connection and blocks its thread. It keeps the contract's keep-alive rule: on a reused connection that the
//! peer ends before any byte of the answer, the request goes out once more, fresh and with its old deadline.

use super::Terms;
use super::answer::{Answer, ResponseBytes};
use super::report::{Finding, ProbedExchange, head_for_people};
use crate::engine::contestant::meaning;
use crate::engine::http::{Malformed, RequestTemplate};
use crate::engine::run::Clock;
use crate::observe::wording;
use flowtest_contract::TokenMint;
use flowtest_contract::verdict::Failure;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const BUFFER_BYTES: usize = 16 * 1024;

/// A connection to one address, as long as the peer keeps it.
#[derive(Debug)]
pub struct Line<'a> {
    address: SocketAddr,
    request: &'a RequestTemplate,
    mint: &'a TokenMint,
    /// Part of the tokens, so that no two lines share one.
    slot: u32,
    tokens: u64,
    stream: Option<TcpStream>,
}

/// How an attempt over a socket ended, when not with an answer.
enum Lost {
    Failed(Failure),
    /// The peer had ended a connection that was kept alive, before it saw the request.
    Stale,
}

/// What is known of an attempt, whether or not it went well.
struct Attempt {
    answer: Answer,
    sent: u64,
    sent_at: Instant,
}

impl<'a> Line<'a> {
    pub fn new(address: SocketAddr, slot: u32, request: &'a RequestTemplate, mint: &'a TokenMint) -> Line<'a> {
        Line { address, request, mint, slot, tokens: 0, stream: None }
    }

    /// Sends one fresh token and waits for its answer, at most as long as the rules say and not beyond `until`.
    pub fn exchange(&mut self, terms: &Terms, until: Instant) -> ProbedExchange {
        let begun = Instant::now();
        let until = until.min(begun + Duration::from_micros(terms.rules.timeout_us));
        let allowed_us = micros(until.saturating_duration_since(begun));
        let (mut attempt, mut came) = self.attempt(until);
        let resent = matches!(came, Err(Lost::Stale));
        if resent {
            (attempt, came) = self.attempt(until);
        }
        let latency_us = micros(attempt.sent_at.elapsed());
        let head = attempt.answer.head();
        let status_line = wording::first_line(head);
        let (mut whole, mut unsolicited) = (false, false);
        let fail = |failure, malformed: Option<Malformed>| {
            let (sentence, expected) = wording::failed(failure, malformed, allowed_us);
            let received = status_line.clone().unwrap_or_else(|| match attempt.answer.count() {
                0 => "not a byte".to_owned(),
                count => format!("{count} bytes of an answer"),
            });
            Finding::Failed { failure, sentence, expected, received }
        };
        let finding = match came {
            Ok(ResponseBytes::Response { response, unsolicited: more }) => {
                (whole, unsolicited) = (true, more);
                if response.status / 100 == 2 {
                    let lines =
                        |name: &str| wording::header_lines(head, name).unwrap_or_else(|| wording::no_header(name));
                    let (rules, deadlines) = (&terms.rules, &terms.deadlines);
                    let token = attempt.answer.token();
                    let headers = wording::headers(response.observed, rules, deadlines, attempt.sent, token, lines);
                    Finding::Answered(Box::new(headers))
                } else {
                    fail(Failure::Status, None)
                }
            }
            Ok(ResponseBytes::Malformed(why)) => fail(Failure::Malformed, Some(why)),
            // A fresh connection is never stale.
            Ok(ResponseBytes::Cut | ResponseBytes::Nothing) | Err(Lost::Stale) => fail(Failure::Reset, None),
            Err(Lost::Failed(failure)) => fail(failure, None),
        };
        ProbedExchange {
            address: self.address,
            sent: attempt.sent,
            latency_us: whole.then_some(latency_us),
            resent,
            unsolicited,
            head: head_for_people(head),
            status_line: status_line.clone(),
            finding,
        }
    }

    /// One request on the connection that is there, or on a fresh one.
    fn attempt(&mut self, until: Instant) -> (Attempt, Result<ResponseBytes, Lost>) {
        let token = self.mint.token(self.slot, self.tokens);
        self.tokens += 1;
        let mut attempt = Attempt { answer: Answer::new(token), sent: Clock::now().utc_base, sent_at: Instant::now() };
        let reused = self.stream.take();
        let is_reused = reused.is_some();
        let stream = match reused.map_or_else(|| self.connect(until), Ok) {
            Ok(stream) => stream,
            Err(failure) => return (attempt, Err(Lost::Failed(failure))),
        };
        attempt.sent = Clock::now().utc_base;
        attempt.sent_at = Instant::now();
        let came = match talk(&stream, &self.request.with(&token), &mut attempt.answer, until) {
            // RFC 9112 9.3.1: a client may retry a GET whose connection was closed before any byte of the response.
            Ok(ResponseBytes::Nothing) | Err(Failure::Reset) if is_reused && attempt.answer.count() == 0 => {
                Err(Lost::Stale)
            }
            Ok(came) => Ok(came),
            Err(failure) => Err(Lost::Failed(failure)),
        };
        if let Ok(ResponseBytes::Response { response, unsolicited: false }) = &came
            && response.keep_alive
        {
            self.stream = Some(stream);
        }
        (attempt, came)
    }

    fn connect(&self, until: Instant) -> Result<TcpStream, Failure> {
        let stream = TcpStream::connect_timeout(&self.address, left(until)?).map_err(|error| means(&error, true))?;
        // The request is one write; nothing is gained by waiting for more.
        stream.set_nodelay(true).map_err(|error| means(&error, true))?;
        Ok(stream)
    }
}

/// Sends a request and reads until the answer is known.
fn talk(mut stream: &TcpStream, request: &[u8], answer: &mut Answer, until: Instant) -> Result<ResponseBytes, Failure> {
    let mut rest = request;
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(until)?)).map_err(|error| means(&error, false))?;
        match stream.write(rest) {
            Ok(0) => return Err(Failure::Reset),
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(means(&error, false)),
        }
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        stream.set_read_timeout(Some(left(until)?)).map_err(|error| means(&error, false))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answer.on_end()),
            Ok(count) => {
                if let Some(came) = answer.on_bytes(&buffer[..count]) {
                    return Ok(came);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(means(&error, false)),
        }
    }
}

/// What is left until then; none is a timeout, which sockets do not take as one.
fn left(until: Instant) -> Result<Duration, Failure> {
    match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(Failure::Timeout),
        left => Ok(left),
    }
}

fn means(error: &io::Error, connecting: bool) -> Failure {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::TimedOut | ErrorKind::WouldBlock, _) => Failure::Timeout,
        (_, Some(errno)) => meaning(errno, connecting),
        (_, None) if connecting => Failure::Refused,
        (_, None) => Failure::Reset,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
