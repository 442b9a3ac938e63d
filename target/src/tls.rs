//! TLS of one connection without I/O: records in, plaintext and records out.
//!
//! rustls decides; this holds the bytes that belong to no whole record yet and those that wait to be sent. Order of calls:
//! [`Tls::begin`] with the first bytes at hand, then [`Tls::open`] after each read, [`Tls::seal`] before each write, and
//! [`Tls::close`] once.

use monoio::buf::{IoBufMut, SliceMut};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{Error, HandshakeKind, ServerConfig};
use std::fmt;
use std::sync::Arc;

/// Room for what is read at once: more than the largest record of TLS 1.2, 5 + 2^14 + 2048 bytes. A handshake message
/// does not fit either when it is longer; no client has use for a hello of that size.
pub const INCOMING_BYTES: usize = 18 * 1024 + 64;
const _: () = assert!(INCOMING_BYTES > 5 + (1 << 14) + 2048);

/// What a record is longer than its plaintext, at most: header, explicit nonce of TLS 1.2, content type and tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;
/// The most plaintext that a record holds.
const RECORD_PLAINTEXT: usize = 1 << 14;

/// Whether the peer may say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Open,
    /// It sent close_notify: what it said before is all.
    Closed,
}

/// What a handshake was, told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Full,
    Resumed,
}

/// TLS of one connection.
#[derive(Default)]
pub struct Tls {
    /// `None` until the peer's first byte.
    connection: Option<UnbufferedServerConnection>,
    /// Received, and not yet a whole record.
    pub incoming: Vec<u8>,
    /// Records to be sent.
    pub wire: Vec<u8>,
    told: bool,
    /// It has said its last. rustls is not to be shown anything after an error.
    has_failed: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("has_begun", &self.has_begun()).field("told", &self.told).finish_non_exhaustive()
    }
}

impl Tls {
    /// The buffer for received bytes, as room for more of them.
    pub(crate) fn take_incoming(&mut self) -> SliceMut<Vec<u8>> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let filled = incoming.len();
        incoming.reserve_exact(INCOMING_BYTES.saturating_sub(filled));
        incoming.slice_mut(filled..INCOMING_BYTES)
    }

    pub fn has_begun(&self) -> bool {
        self.connection.is_some()
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection.is_handshaking())
    }

    /// Answers the handshake as `config` says.
    pub fn begin(&mut self, config: Arc<ServerConfig>) -> Result<(), Error> {
        self.connection = Some(UnbufferedServerConnection::new(config)?);
        Ok(())
    }

    /// Which handshake has come to its end since the last call.
    pub fn take_handshake(&mut self) -> Option<Handshake> {
        let connection = self.connection.as_ref().filter(|connection| !self.told && !connection.is_handshaking())?;
        self.told = true;
        Some(match connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            _ => Handshake::Full,
        })
    }

    /// Works off the whole records in `incoming`: their plaintext is added to `plain`, what the handshake answers to
    /// `wire`. After an error `wire` ends with the alert that says why.
    pub fn open(&mut self, plain: &mut Vec<u8>) -> Result<Peer, Error> {
        let connection = self.connection.as_mut().filter(|_| !self.has_failed).ok_or(Error::HandshakeNotComplete)?;
        let mut peer = Peer::Open;
        let mut at = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = connection.process_tls_records(&mut self.incoming[at..]);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut self.wire, &mut data)?,
                // It is in `wire`, which is sent before anything else.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => peer = Peer::Closed,
                Ok(_) => is_done = true,
                Err(error) => {
                    self.fail();
                    return Err(error);
                }
            }
            at += discard;
            if is_done {
                break;
            }
        }
        self.incoming.drain(..at);
        Ok(peer)
    }

    /// Adds what is left to say to `wire`: an alert as a rule.
    fn fail(&mut self) {
        self.has_failed = true;
        self.incoming.clear();
        let Some(connection) = &mut self.connection else { return };
        while connection.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = connection.process_tls_records(&mut []).state else {
                return;
            };
            if encode(&mut self.wire, &mut data).is_err() {
                return;
            }
        }
    }

    /// Adds `plain` to `wire`, in as few records as hold it. Only after the handshake, and after [`Tls::open`].
    pub fn seal(&mut self, plain: &[u8]) -> Result<(), Error> {
        let overhead = plain.len().div_ceil(RECORD_PLAINTEXT) * RECORD_OVERHEAD;
        self.write(plain.len() + overhead, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Adds close_notify to `wire`, where the handshake came so far.
    pub fn close(&mut self) {
        // A connection that failed has said so by an alert, and one that never began has nothing to say.
        let _ = self.write(RECORD_OVERHEAD + 2, |traffic, room| traffic.queue_close_notify(room));
    }

    fn write(
        &mut self,
        bytes: usize,
        mut write: impl FnMut(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        let connection = self.connection.as_mut().filter(|_| !self.has_failed).ok_or(Error::HandshakeNotComplete)?;
        let UnbufferedStatus { discard, state } = connection.process_tls_records(&mut self.incoming);
        match state? {
            ConnectionState::WriteTraffic(mut traffic) => append(&mut self.wire, bytes, |room| {
                write(&mut traffic, room).map_err(|error| match error {
                    EncryptError::InsufficientSize(size) => Refused::Room(size),
                    EncryptError::EncryptExhausted => Refused::Never,
                })
            })?,
            _ => return Err(Error::HandshakeNotComplete),
        }
        self.incoming.drain(..discard);
        Ok(())
    }
}

type Traffic<'a> = rustls::unbuffered::WriteTraffic<'a, rustls::server::ServerConnectionData>;

/// Adds a record of the handshake.
fn encode(wire: &mut Vec<u8>, data: &mut EncodeTlsData<'_, rustls::server::ServerConnectionData>) -> Result<(), Error> {
    append(wire, 0, |room| {
        data.encode(room).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => Refused::Room(size),
            EncodeError::AlreadyEncoded => Refused::Never,
        })
    })
}

enum Refused {
    Room(InsufficientSizeError),
    /// The keys are used up, which takes years.
    Never,
}

/// Adds what `encode` writes to `wire`, `bytes` long or as long as it says.
fn append(
    wire: &mut Vec<u8>,
    mut bytes: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, Refused>,
) -> Result<(), Error> {
    let start = wire.len();
    loop {
        wire.resize(start + bytes, 0);
        match encode(&mut wire[start..]) {
            Ok(written) => {
                wire.truncate(start + written);
                return Ok(());
            }
            Err(Refused::Room(size)) if size.required_size > bytes => bytes = size.required_size,
            Err(_) => {
                wire.truncate(start);
                return Err(Error::EncryptError);
            }
        }
    }
}
