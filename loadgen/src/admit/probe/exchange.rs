//! One token over one socket, plain or by TLS: the request bytes of the flood out, its reader on what comes, within a deadline.
//!
//! It owns its connection and blocks its thread. It keeps the contract's keep-alive rule: on a reused connection that the
//! peer ends before any byte of the answer, the request goes out once more, fresh and with its old deadline.

use super::answer::{Answer, ResponseBytes};
use super::report::{Finding, ProbedExchange, head_for_people};
use super::{Team, Terms};
use crate::engine::contestant::meaning;
use crate::engine::http::{Malformed, RequestTemplate};
use crate::engine::plan::TlsServer;
use crate::engine::tls::TlsReason;
use crate::observe::wording;
use flowtest_contract::header::TEAM;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::verdict::Failure;
use flowtest_contract::{TokenMint, utc_us};
use rustls::ClientConnection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BUFFER_BYTES: usize = 16 * 1024;

/// A connection to one address, as long as the peer keeps it.
#[derive(Debug)]
pub struct Line<'a> {
    address: SocketAddr,
    request: &'a RequestTemplate,
    /// None: plain http.
    tls: Option<&'a TlsServer>,
    mint: &'a TokenMint,
    /// Part of the tokens, so that no two lines share one.
    slot: u32,
    tokens: u64,
    stream: Option<Wire>,
}

/// A socket, and what is spoken over it.
#[derive(Debug)]
struct Wire {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// How an attempt over a socket ended, when not with an answer.
enum Lost {
    Failed(Failure),
    Tls(TlsReason),
    /// Over TLS the connection ended where that would have ended the answer, without a word of TLS.
    NoCloseNotify,
    /// The peer had ended a connection that was kept alive, before it saw the request.
    Stale,
}

/// What is known of an attempt, whether or not it went well.
struct Attempt {
    answer: Answer,
    certificate: Option<String>,
    sent: UtcUs,
    sent_at: Instant,
}

impl<'a> Line<'a> {
    pub fn new(
        address: SocketAddr,
        slot: u32,
        request: &'a RequestTemplate,
        tls: Option<&'a TlsServer>,
        mint: &'a TokenMint,
    ) -> Line<'a> {
        Line { address, request, tls, mint, slot, tokens: 0, stream: None }
    }

    /// Sends one fresh token and waits for its answer, at most as long as the rules say and not beyond `until`.
    pub fn exchange(&mut self, terms: &Terms, team: Option<Team<'_>>, until: Instant) -> ProbedExchange {
        let begun = Instant::now();
        let until = until.min(begun + Duration::from_micros(terms.rules.timeout_us));
        let allowed_us = micros(until.saturating_duration_since(begun));
        let (mut attempt, mut received) = self.attempt(until);
        let resent = matches!(received, Err(Lost::Stale));
        if resent {
            (attempt, received) = self.attempt(until);
        }
        let latency_us = micros(attempt.sent_at.elapsed());
        let head = attempt.answer.head();
        let status_line = wording::first_line(head);
        let (mut whole, mut unsolicited) = (false, false);
        let words = |failure, malformed: Option<Malformed>| wording::failed(failure, malformed, allowed_us);
        let fail = |failure, (message, expected): (String, String)| {
            let received = status_line.clone().unwrap_or_else(|| match attempt.answer.count() {
                0 => "not a byte".to_owned(),
                count => format!("{count} bytes of an answer"),
            });
            Finding::Failed { failure, message, expected, received }
        };
        let finding = match received {
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
                    fail(Failure::Status, words(Failure::Status, None))
                }
            }
            Ok(ResponseBytes::Malformed(why)) => fail(Failure::Malformed, words(Failure::Malformed, Some(why))),
            // A fresh connection is never stale.
            Ok(ResponseBytes::Cut | ResponseBytes::Nothing) | Err(Lost::Stale) => {
                fail(Failure::Reset, words(Failure::Reset, None))
            }
            Err(Lost::Failed(failure)) => fail(failure, words(failure, None)),
            Err(Lost::Tls(why)) => fail(Failure::Tls, wording::tls(why)),
            Err(Lost::NoCloseNotify) => fail(Failure::Reset, wording::tls(TlsReason::NoCloseNotify)),
        };
        let answered = matches!(finding, Finding::Answered(_));
        ProbedExchange {
            team: team.filter(|_| answered).map(|Team(name)| wording::team(head, name)),
            team_seen: wording::header_value(head, TEAM).filter(|_| answered),
            certificate: attempt.certificate,
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
        let (sent, sent_at) = (utc_us(), Instant::now());
        let mut attempt = Attempt { answer: Answer::new(token), certificate: None, sent, sent_at };
        let reused = self.stream.take();
        let is_reused = reused.is_some();
        let mut wire = match reused.map_or_else(|| self.connect(until), Ok) {
            Ok(wire) => wire,
            Err(lost) => return (attempt, Err(lost)),
        };
        attempt.certificate = wire.certificate();
        attempt.sent = utc_us();
        attempt.sent_at = Instant::now();
        let received = match wire.talk(&self.request.with(&token), &mut attempt.answer, until) {
            // RFC 9112 9.3.1: a client may retry a GET whose connection was closed before any byte of the response.
            Ok(ResponseBytes::Nothing) | Err(Lost::Failed(Failure::Reset))
                if is_reused && attempt.answer.count() == 0 =>
            {
                Err(Lost::Stale)
            }
            received => received,
        };
        if let Ok(ResponseBytes::Response { response, unsolicited: false }) = &received
            && response.keep_alive
        {
            self.stream = Some(wire);
        }
        (attempt, received)
    }

    fn connect(&self, until: Instant) -> Result<Wire, Lost> {
        let connected = left(until).and_then(|left| TcpStream::connect_timeout(&self.address, left));
        let socket = connected.map_err(|error| Lost::Failed(means(&error, true)))?;
        // The request is one write; nothing is gained by waiting for more.
        socket.set_nodelay(true).map_err(|error| Lost::Failed(means(&error, true)))?;
        let tls = self.tls.map(|server| shake(server, &socket, until)).transpose()?;
        Ok(Wire { socket, tls })
    }
}

impl Wire {
    /// SHA-256 of the certificate that was shown.
    fn certificate(&self) -> Option<String> {
        let shown = self.tls.as_ref()?.peer_certificates()?.first()?;
        let digest = ring::digest::digest(&ring::digest::SHA256, shown);
        Some(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn talk(&mut self, request: &[u8], answer: &mut Answer, until: Instant) -> Result<ResponseBytes, Lost> {
        let mut socket = Timed { socket: &self.socket, until };
        match &mut self.tls {
            Some(connection) => talk(&mut rustls::Stream::new(&mut **connection, &mut socket), request, answer),
            None => talk(&mut socket, request, answer),
        }
    }
}

/// The whole handshake. However slowly it comes, it ends in time, and rustls bounds how much it may be.
fn shake(server: &TlsServer, socket: &TcpStream, until: Instant) -> Result<Box<ClientConnection>, Lost> {
    let connection = ClientConnection::new(Arc::clone(&server.config), server.name.clone());
    let mut connection = Box::new(connection.map_err(|error| Lost::Tls(TlsReason::of(&error)))?);
    let mut socket = Timed { socket, until };
    while connection.is_handshaking() {
        match connection.complete_io(&mut socket) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(match lost(&error) {
                    Lost::Failed(Failure::Reset) => Lost::Tls(TlsReason::Closed),
                    lost => lost,
                });
            }
        }
    }
    Ok(connection)
}

/// Sends a request and reads until the answer is known.
fn talk(stream: &mut (impl Read + Write), request: &[u8], answer: &mut Answer) -> Result<ResponseBytes, Lost> {
    let mut rest = request;
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(0) => return Err(Lost::Failed(Failure::Reset)),
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(lost(&error)),
        }
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answer.on_end()),
            Ok(count) => {
                if let Some(received) = answer.on_bytes(&buffer[..count]) {
                    return Ok(received);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // So rustls calls an end without close_notify.
            Err(error)
                if error.kind() == ErrorKind::UnexpectedEof
                    && matches!(answer.on_end(), ResponseBytes::Response { .. }) =>
            {
                return Err(Lost::NoCloseNotify);
            }
            Err(error) => return Err(lost(&error)),
        }
    }
}

/// A socket of which nothing lasts longer than until then, in however many pieces it comes.
struct Timed<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.until)?))?;
        self.socket.read(bytes)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.until)?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is left until then; none is a timeout, which sockets do not take as one.
fn left(until: Instant) -> io::Result<Duration> {
    match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// Why a connection that was made brings nothing more.
fn lost(error: &io::Error) -> Lost {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls.map_or_else(|| Lost::Failed(means(error, false)), |error| Lost::Tls(TlsReason::of(error)))
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
