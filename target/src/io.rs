//! One connection with I/O: reads, lets [`Connection`] decide, writes, and ends the connection as it says. On the TLS port
//! what is read and written goes through [`Tls`] first.
//!
//! The responses of one read leave in one write, and the next read is asked for once they have left: under load the next
//! request is there by then, and the kernel need not be told to wait for it (BENCHMARKS.md: a tenth more answers).

use crate::connection::{Connection, End, Step};
use crate::deadlines::{Deadline, Expired, WaitsFor};
use crate::faults::HandshakeFault;
use crate::tls::{Peer, Tls};
use crate::worker::Worker;
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

/// Room for what is read at once. Twice the largest head, so that a head that is not complete always leaves room.
const IN_BYTES: usize = 16 * 1024;
const _: () = assert!(IN_BYTES > crate::request::HEAD_BYTES_MAX);
/// Room for responses to begin with: a dozen pages.
const OUT_BYTES: usize = 8 * 1024;
/// A larger buffer for responses is given back once they are sent.
const OUT_BYTES_KEPT: usize = 4 * OUT_BYTES;

/// How long we wait for the peer's end after ours. Closing at once, with bytes unread, would send RST, and RST can
/// overtake and destroy the response.
const LINGER: Duration = Duration::from_secs(2);
/// How long `silence` holds a connection open: ten times the default timeout of a judge.
const SILENCE: Duration = Duration::from_secs(30);
/// How long `reset` waits between the part of a head and RST, so that the part arrives.
const BEFORE_RESET: Duration = Duration::from_millis(10);
/// How much `endless_head` sends: eight times what a judge reads of a head.
const ENDLESS_BYTES: usize = 64 * 1024;

type Reading = OwnedReadHalf<TcpStream>;
type Writing = OwnedWriteHalf<TcpStream>;

/// The connection is over: the peer went away, or waited too long, or an operation failed. Nothing is left to say.
struct Closed;

impl From<Expired> for Closed {
    fn from(_: Expired) -> Closed {
        Closed
    }
}

/// Serves one connection to its end. `handle` is a second handle to the same socket, where a reset may be due.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, handle: Option<std::net::TcpStream>, port: Port) {
    worker.responder.borrow_mut().counts.connections += 1;
    worker.responder.borrow_mut().counts.connections_open += 1;
    let deadline = worker.deadlines.register(WaitsFor::Idle).await;
    let (mut reading, mut writing) = stream.into_split();
    let tls = match port {
        Port::Plain => None,
        Port::Tls => Some(Box::default()),
    };
    let mut serving = Serving { worker: &worker, deadline: &deadline, out: Vec::with_capacity(OUT_BYTES), tls };
    if let Ok(end) = serving.run(&mut reading, &mut writing).await {
        // However it ends, it is over afterwards.
        let _ = serving.end(end, &mut reading, &mut writing, handle).await;
    }
    let mut responder = worker.responder.borrow_mut();
    responder.counts.connections_open -= 1;
    responder.publish();
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Plain,
    Tls,
}

struct Serving<'a> {
    worker: &'a Worker,
    deadline: &'a Deadline,
    out: Vec<u8>,
    tls: Option<Box<Tls>>,
}

impl Serving<'_> {
    /// Reads and answers until the connection ends.
    async fn run(&mut self, reading: &mut Reading, writing: &mut Writing) -> Result<End, Closed> {
        let mut connection = Connection::default();
        let mut input = Vec::with_capacity(IN_BYTES);
        let mut was_busy = false;
        let mut completed = 0;
        loop {
            let left = input.len();
            let unread = left + self.unread();
            let busy = connection.is_busy(unread) || self.is_handshaking();
            if !busy {
                self.deadline.limit(self.worker.limits.idle, WaitsFor::Idle);
            } else if !was_busy || connection.completed() != completed {
                // Once per request: whoever sends a byte now and then gains nothing by it, and whoever keeps a long
                // pipeline full is not taken for one request that never ends.
                self.deadline.limit(self.worker.limits.request, WaitsFor::Busy);
            }
            was_busy = busy;
            completed = connection.completed();

            let wire = self.take_wire()?;
            let room = match &mut self.tls {
                None => std::mem::take(&mut input).slice_mut(left..IN_BYTES),
                Some(tls) => tls.take_incoming(),
            };
            let received = if wire.is_empty() {
                self.put_back(wire);
                self.deadline.within(reading.read(room)).await
            } else {
                let (result, wire) = self.deadline.within(writing.write(wire)).await?;
                self.send_rest(writing, result, wire).await?;
                self.on_sent(&mut connection);
                self.deadline.within(reading.read(room)).await
            };
            let Ok((result, slice)) = received else {
                connection.on_too_late(unread, &mut self.worker.responder.borrow_mut(), &mut self.out);
                if self.out.is_empty() {
                    return Err(Closed);
                }
                self.deadline.last_limit(LINGER);
                self.send(writing).await?;
                self.on_sent(&mut connection);
                return Ok(End::Close);
            };
            let mut peer = Peer::Open;
            match &mut self.tls {
                None => input = slice.into_inner(),
                Some(tls) => tls.incoming = slice.into_inner(),
            }
            if result.unwrap_or(0) == 0 {
                return Err(Closed);
            }
            if self.tls.is_some() {
                match self.open(&mut input).await? {
                    Ok(said) => peer = said,
                    Err(end) => return Ok(end),
                }
            }

            let mut at = 0;
            loop {
                self.worker.responder.borrow_mut().read_clock();
                let (done, step) =
                    connection.advance(&input[at..], &mut self.worker.responder.borrow_mut(), &mut self.out);
                at += done;
                match step {
                    Step::Read => break,
                    Step::Flush => self.send(writing).await?,
                    Step::Wait(delay) => {
                        self.send(writing).await?;
                        self.on_sent(&mut connection);
                        self.deadline.limit(delay.saturating_add(self.worker.limits.request), WaitsFor::Busy);
                        self.deadline.within(monoio::time::sleep(delay)).await?;
                    }
                    Step::End(end) => {
                        self.send(writing).await?;
                        self.on_sent(&mut connection);
                        return Ok(end);
                    }
                }
            }
            input.drain(..at);
            if peer == Peer::Closed {
                self.send(writing).await?;
                self.on_sent(&mut connection);
                return Ok(End::Close);
            }
        }
    }

    /// Received bytes of records that are not whole, once there are requests in them.
    fn unread(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| if tls.is_handshaking() { 0 } else { tls.incoming.len() })
    }

    fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Adds the plaintext of what came to `input`; or says how the connection ends that should have brought some.
    async fn open(&mut self, input: &mut Vec<u8>) -> Result<Result<Peer, End>, Closed> {
        let worker = self.worker;
        let (Some(tls), Some(certificates)) = (&mut self.tls, &worker.certificates) else {
            return Ok(Ok(Peer::Open));
        };
        if !tls.has_begun() {
            let mut config = certificates.current();
            // Not in the match: it would stay borrowed over the wait.
            let fault = worker.responder.borrow().handshake_fault();
            match fault {
                None => {}
                Some(HandshakeFault::Expired) => config = certificates.expired().unwrap_or(config),
                Some(HandshakeFault::Reset) => return Ok(Err(End::Reset)),
                Some(HandshakeFault::Slow(delay)) => {
                    self.deadline.limit(delay.saturating_add(worker.limits.request), WaitsFor::Busy);
                    self.deadline.within(monoio::time::sleep(delay)).await?;
                }
            }
            tls.begin(config).map_err(|_| Closed)?;
        }
        let was_handshaking = tls.is_handshaking();
        let opened = tls.open(input);
        if let Some(handshake) = tls.take_handshake() {
            worker.responder.borrow().count_handshake(Some(handshake));
        }
        match opened {
            Ok(peer) => Ok(Ok(peer)),
            Err(_) => {
                if was_handshaking {
                    worker.responder.borrow().count_handshake(None);
                }
                // What was answered before is in `out`, and the alert is what is left to say.
                Ok(Err(End::Close))
            }
        }
    }

    /// What waits to be sent, as the peer shall get it.
    #[inline]
    fn take_wire(&mut self) -> Result<Vec<u8>, Closed> {
        match &mut self.tls {
            None => Ok(std::mem::take(&mut self.out)),
            Some(tls) => {
                if !self.out.is_empty() {
                    tls.seal(&self.out).map_err(|_| Closed)?;
                    self.out.clear();
                    give_back(&mut self.out);
                }
                Ok(std::mem::take(&mut tls.wire))
            }
        }
    }

    /// The buffer of what was sent.
    #[inline]
    fn put_back(&mut self, mut wire: Vec<u8>) {
        wire.clear();
        let place = match &mut self.tls {
            None => &mut self.out,
            Some(tls) => &mut tls.wire,
        };
        *place = wire;
        give_back(place);
    }

    /// Ends the connection this way.
    async fn end(
        &mut self,
        end: End,
        reading: &mut Reading,
        writing: &mut Writing,
        handle: Option<std::net::TcpStream>,
    ) -> Result<(), Closed> {
        match end {
            End::Close => {
                self.deadline.last_limit(LINGER);
                self.send(writing).await?;
            }
            End::Reset => {
                monoio::time::sleep(BEFORE_RESET).await;
                if let Some(handle) = handle {
                    // Linux sends RST when a connected socket is dissolved. Without the handle (no descriptor
                    // was left for it) the peer sees FIN in the middle of a head, which is worth the same.
                    let _ = rustix::net::connect_unspec(&handle);
                }
                return Ok(());
            }
            End::Silence => {
                self.deadline.limit(SILENCE, WaitsFor::Idle);
                return self.drop_input(reading).await;
            }
            End::EndlessHead => {
                self.deadline.limit(self.worker.limits.request, WaitsFor::Busy);
                let line = [b"X-Endless: ".as_slice(), &[b'x'; 1000], b"\r\n"].concat();
                for _ in 0..ENDLESS_BYTES / line.len() {
                    self.out.extend_from_slice(&line);
                    self.send(writing).await?;
                }
                self.deadline.limit(LINGER, WaitsFor::Busy);
            }
        }
        if let Some(tls) = &mut self.tls {
            tls.close();
            self.send(writing).await?;
        }
        writing.shutdown().await.map_err(|_| Closed)?;
        self.drop_input(reading).await
    }

    /// Reads until the peer is done.
    async fn drop_input(&mut self, reading: &mut Reading) -> Result<(), Closed> {
        let mut input = Vec::with_capacity(IN_BYTES);
        loop {
            let (result, buffer) = self.deadline.within(reading.read(input)).await?;
            if result.unwrap_or(0) == 0 {
                return Ok(());
            }
            input = buffer;
        }
    }

    async fn send(&mut self, writing: &mut Writing) -> Result<(), Closed> {
        let wire = self.take_wire()?;
        if wire.is_empty() {
            self.put_back(wire);
            return Ok(());
        }
        let (result, wire) = self.deadline.within(writing.write(wire)).await?;
        self.send_rest(writing, result, wire).await
    }

    /// A send may be short; the rest follows.
    async fn send_rest(
        &mut self,
        writing: &mut Writing,
        first: std::io::Result<usize>,
        mut wire: Vec<u8>,
    ) -> Result<(), Closed> {
        let mut sent = first.map_err(|_| Closed)?;
        while sent < wire.len() {
            let (result, slice) = self.deadline.within(writing.write(wire.slice(sent..))).await?;
            wire = slice.into_inner();
            match result {
                Ok(0) | Err(_) => return Err(Closed),
                Ok(more) => sent += more,
            }
        }
        self.put_back(wire);
        Ok(())
    }

    #[inline]
    fn on_sent(&self, connection: &mut Connection) {
        let mut responder = self.worker.responder.borrow_mut();
        responder.counts.responses += connection.take_answered();
        responder.publish();
    }
}

/// What one burst needed is not held for as long as the connection idles.
#[inline]
fn give_back(buffer: &mut Vec<u8>) {
    if buffer.capacity() > OUT_BYTES_KEPT {
        *buffer = Vec::with_capacity(OUT_BYTES);
    }
}
