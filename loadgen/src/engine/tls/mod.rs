//! TLS of one connection, without I/O: bytes of the ring in, plaintext to whoever reads it, records out.
//!
//! The handshake is rustls's. When it is done its keys come here, and each record is sealed in the slot's area and opened
//! in the ring's buffer, without copy or allocation; only a record that comes in several buffers is put together in a
//! buffer of the connection, which keeps its room. What a peer may make us keep is bounded, and so is what it may make us
//! do: tickets beyond a few are not looked at, updates of keys are counted, and these and records of a few bytes wait for a turn that
//! has time for them.
//!
//! Order of calls: while [`Tls::wants_handshake`] says so, [`Tls::handshake`], when there is time for it, until it is
//! [`Handshake::Done`]; [`Tls::on_bytes`] for all that comes, which then gives plaintext, and again without any bytes while
//! [`Tls::is_behind`]; [`Tls::seal`]; and [`Tls::part`] once, before the connection is closed, or [`Tls::on_cut`] where the peer has
//! ended it. Whatever stands in [`Tls::outgoing`] is to be
//! sent first.

mod certificate;
mod incoming;
mod reason;
mod records;
mod sessions;
#[cfg(test)]
pub(super) mod tests;

pub use certificate::Fields;
pub use reason::{NOT_SIGNED_BY_ITS_KEY, TlsReason};
#[cfg(test)]
pub(super) use records::OPENED;
pub use records::RECORD_MAX;
pub use sessions::{CHAINS, Remembering};

use crate::engine::cost::RECORD_AS_BYTES;
use crate::engine::step::Step;
use flowtest_contract::verdict::Failure;
use incoming::Incoming;
use records::{Content, HEADER, OVERHEAD, Opener, PLAINTEXT_MAX, RECORDS_MAX, Sealer};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{AlertDescription, ClientConfig, ProtocolVersion};
use std::sync::Arc;

/// What a server may send in its handshake: a chain at rustls's limit of 64 KiB, and all else of it.
const HANDSHAKE_BYTES_MAX: usize = 72 * 1024;
/// Records that they may come in: five at their longest, a hundred and some at the shortest that a client may ask for. rustls
/// takes a time for them that grows by their square, 60 ms for as many as there are bytes.
const HANDSHAKE_RECORDS_MAX: usize = 256;
/// The longest handshake message after the handshake. A ticket of a common server has some hundred bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Tickets of one connection that are looked at: servers send one to four.
const TICKETS_MAX: u32 = 8;
/// Of the messages that may still be looked at, those that are kept from tickets, which are no harm when they are not.
const KEPT_FROM_TICKETS: u32 = 16;
/// Handshake messages of one connection that must be looked at: as many updates of keys as rustls allows.
const UPDATES_MAX: u32 = 32;

/// A record that is shorter than this, its header and sum included, brings so little that opening it is most of what it costs. Of
/// longer ones the buffers of a worker hold no more than a turn has time for; but of what has waited there may be more.
pub const SHORT_BYTES: usize = 128;

/// How many of the longest of them take as long as a record of this length.
const fn in_short_records(len: usize) -> u32 {
    (RECORD_AS_BYTES + len).div_ceil(RECORD_AS_BYTES + SHORT_BYTES) as u32
}

/// What a connection usually keeps of a handshake and its chain, at the most: three times what common chains of certificates have. What
/// all of a contestant together keep beyond that has an end, which some seventy reach at the limit of 72 KiB.
pub const KEPT_USUAL: usize = 16 << 10;
pub const KEPT_BEYOND_MAX: usize = 4 << 20;

const KEY_UPDATE: u8 = 24;
const NEW_SESSION_TICKET: u8 = 4;
const HELLO_REQUEST: u8 = 0;

/// The levels of an alert that is no error, and of one that is.
const WARNING: u8 = 1;
const FATAL: u8 = 2;
/// What stands before the two bytes of one that is not sealed.
const ALERT_UNSEALED: &[u8] = &[21, 3, 3, 0, 2];

/// What bytes of the peer have brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Plaintext, and this is what its reader wants.
    Plain(Step),
    /// The handshake can go on: call [`Tls::handshake`].
    Handshake,
    /// The peer said that it says no more.
    Ended,
    Failed(TlsReason),
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// More must come from the peer.
    Waits,
    Done,
    Failed(TlsReason),
}

/// How much may be looked at of what comes after handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Messages: tickets, and updates of keys. Tickets beyond that are let be; an update waits, and all that comes behind it.
    pub messages: u32,
    /// Records of a few bytes, or of none, and what has waited, by the time that it takes. One more waits, and all that comes
    /// behind it.
    pub short_records: u32,
}

impl Allowance {
    pub const ALL: Allowance = Allowance { messages: u32::MAX, short_records: u32::MAX };
}

/// TLS of one connection.
#[derive(Debug)]
pub struct Tls {
    /// Records to be sent before any other.
    outgoing: Vec<u8>,
    /// How much of them was.
    sent: usize,
    /// Opened since somebody asked.
    records: usize,
    /// What may still be looked at.
    allowance: Allowance,
    state: TlsState,
    /// Ended by the peer before the handshake was done.
    is_cut: bool,
    /// The connection has ended by this, behind what waits to be opened.
    end: Option<Failure>,
}

enum TlsState {
    New {
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        /// What came unasked.
        incoming: Incoming,
    },
    Handshake {
        connection: Box<UnbufferedClientConnection>,
        incoming: Incoming,
        /// Something came that was not looked at.
        is_fresh: bool,
    },
    Traffic(Box<Traffic>),
    /// It failed.
    Over,
}

impl Tls {
    /// A connection to a server of this name.
    pub fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Tls {
        let state = TlsState::New { config, name, incoming: Incoming::default() };
        Tls { outgoing: Vec::new(), sent: 0, records: 0, allowance: Allowance::ALL, state, is_cut: false, end: None }
    }

    /// Whether [`Tls::handshake`] has something to do.
    pub fn wants_handshake(&self) -> bool {
        match &self.state {
            TlsState::New { .. } => true,
            TlsState::Handshake { is_fresh, .. } => *is_fresh,
            TlsState::Traffic(_) | TlsState::Over => false,
        }
    }

    /// Records opened since the last call.
    pub fn take_records(&mut self) -> usize {
        std::mem::take(&mut self.records)
    }

    /// Bytes that are kept of what the peer has said: of handshakes all until they are done, then its chain of certificates, and
    /// what waits to be opened.
    #[inline]
    pub fn kept(&self) -> usize {
        match &self.state {
            TlsState::New { incoming, .. } | TlsState::Handshake { incoming, .. } => incoming.kept(),
            TlsState::Traffic(traffic) => traffic.chain + traffic.waiting().len() + traffic.message.len(),
            TlsState::Over => 0,
        }
    }

    /// Records wait that there was no time to open: call [`Tls::on_bytes`] when there is.
    #[inline]
    pub fn is_behind(&self) -> bool {
        matches!(&self.state, TlsState::Traffic(traffic) if traffic.is_behind)
    }

    /// The connection has ended by this, which is told when nothing waits any more.
    pub fn end_behind(&mut self, failure: Failure) {
        self.end = Some(failure);
    }

    /// How it has ended, where nothing that came before waits any more.
    pub fn take_end(&mut self) -> Option<Failure> {
        if self.is_behind() { None } else { self.end.take() }
    }

    /// From here on so much may be looked at.
    #[inline]
    pub fn allow(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    /// How much still may.
    #[inline]
    pub fn allowance(&self) -> Allowance {
        self.allowance
    }

    #[inline]
    pub fn is_established(&self) -> bool {
        matches!(self.state, TlsState::Traffic(_))
    }

    /// What is to be sent before any request.
    #[inline]
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    /// So many bytes of it are on their way.
    pub fn on_taken(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.outgoing.len() {
            (self.sent, self.outgoing) = (0, Vec::new());
        }
    }

    /// The keys are used up, and this version has no way to change them: the connection is to be ended.
    #[inline]
    pub fn is_worn_out(&self) -> bool {
        match &self.state {
            TlsState::Traffic(traffic) => traffic.sealer.sealed() >= RECORDS_MAX && !traffic.is_13(),
            TlsState::New { .. } | TlsState::Handshake { .. } | TlsState::Over => false,
        }
    }

    /// Bytes of the peer, which are changed where they lie. `plain` gets what was in them.
    #[inline]
    pub fn on_bytes(&mut self, bytes: &mut [u8], plain: impl FnMut(&[u8]) -> Step) -> Opened {
        let mut alert = AlertDescription::UnexpectedMessage;
        let opened = match &mut self.state {
            TlsState::Traffic(traffic) => {
                let (outgoing, records, allowance) = (&mut self.outgoing, &mut self.records, &mut self.allowance);
                traffic.on_bytes(bytes, &mut Sides { outgoing, records, allowance, alert: &mut alert }, plain)
            }
            TlsState::Handshake { incoming, is_fresh, .. } => {
                *is_fresh = true;
                incoming.keep(bytes)
            }
            // It is looked at when there is time for a handshake.
            TlsState::New { incoming, .. } => incoming.keep(bytes),
            TlsState::Over => Opened::Plain(Step::Go),
        };
        match opened {
            Opened::Ended | Opened::Failed(TlsReason::Alert(_)) => self.end(),
            Opened::Failed(_) => self.refuse(alert),
            Opened::Plain(_) | Opened::Handshake => {}
        }
        opened
    }

    /// Nothing more is heard of the peer, which is told so by an alert in [`Tls::outgoing`], where it can be.
    #[cold]
    pub fn refuse(&mut self, alert: AlertDescription) {
        let said = [FATAL, alert.into()];
        match self.state {
            // In a handshake one that is not sealed is taken, but for TLS 1.2 behind our Finished, where it is a record that is none.
            TlsState::Handshake { .. } => self.outgoing.extend([ALERT_UNSEALED, &said].concat()),
            TlsState::New { .. } | TlsState::Traffic(_) | TlsState::Over => self.say(said),
        }
        self.state = TlsState::Over;
    }

    /// The peer has said its last: nothing more is said to it.
    pub fn end(&mut self) {
        (self.state, self.sent, self.outgoing) = (TlsState::Over, 0, Vec::new());
    }

    /// The peer has ended the connection without a word of TLS. `true`: what came in the handshake before that was not looked
    /// at, and may say why. [`Tls::handshake`] looks at it, and fails in any case.
    pub fn on_cut(&mut self) -> bool {
        self.is_cut = match &self.state {
            TlsState::New { incoming, .. } => incoming.len() > 0,
            TlsState::Handshake { is_fresh, .. } => *is_fresh,
            TlsState::Traffic(_) | TlsState::Over => false,
        };
        if !self.is_cut {
            self.end();
        }
        self.is_cut
    }

    /// We say no more: what that is said by, or an alert before it, stands in [`Tls::outgoing`] then.
    pub fn part(&mut self) {
        const CLOSE_NOTIFY: [u8; 2] = [WARNING, 0];
        self.say(CLOSE_NOTIFY);
    }

    /// Adds an alert, once there are keys to seal it.
    fn say(&mut self, alert: [u8; 2]) {
        if let TlsState::Traffic(traffic) = &mut self.state
            && !traffic.add(Content::Alert, &alert, &mut self.outgoing)
        {
            self.end();
        }
    }

    /// Goes on with the handshake: what this costs is what a handshake costs.
    pub fn handshake(&mut self) -> Handshake {
        let opened = self.go_on();
        if !self.is_cut {
            return opened;
        }
        self.end();
        match opened {
            Handshake::Failed(reason) => Handshake::Failed(reason),
            Handshake::Waits | Handshake::Done => Handshake::Failed(TlsReason::Closed),
        }
    }

    fn go_on(&mut self) -> Handshake {
        if let TlsState::New { config, name, incoming } = &mut self.state {
            let connection = match UnbufferedClientConnection::new(Arc::clone(config), name.clone()) {
                Ok(connection) => Box::new(connection),
                Err(error) => return self.fail(TlsReason::of(&error)),
            };
            let incoming = std::mem::take(incoming);
            self.state = TlsState::Handshake { connection, incoming, is_fresh: false };
        }
        let TlsState::Handshake { connection, incoming, is_fresh } = &mut self.state else {
            return if self.is_established() { Handshake::Done } else { Handshake::Waits };
        };
        *is_fresh = false;
        let (mut at, mut shown) = (0, incoming.shown());
        let is_done = loop {
            let UnbufferedStatus { discard, state } = connection.process_tls_records(incoming.between(at, shown));
            let mut ends = None;
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(_)) => ends = Some(true),
                Ok(ConnectionState::BlockedHandshake) => ends = Some(false),
                Ok(_) => return self.fail(TlsReason::Closed),
                Err(error) => {
                    let reason = TlsReason::of(&error);
                    // An alert tells the server why, which logs it. rustls is asked for nothing else any more.
                    while connection.wants_write() {
                        let Ok(ConnectionState::EncodeTlsData(mut data)) =
                            connection.process_tls_records(&mut []).state
                        else {
                            break;
                        };
                        encode(&mut data, &mut self.outgoing);
                    }
                    return self.fail(reason);
                }
            }
            at += discard;
            match ends {
                None => {}
                // What stands behind the last record of the handshake is looked at by us, within our bounds.
                Some(false) if shown < incoming.len() => shown = incoming.show_next(),
                Some(is_done) => break is_done,
            }
        };
        incoming.take(at);
        if !is_done {
            return Handshake::Waits;
        }
        let TlsState::Handshake { connection, incoming, .. } = std::mem::replace(&mut self.state, TlsState::Over)
        else {
            unreachable!("it was one");
        };
        match Traffic::new(*connection, incoming.into_rest()) {
            Some(traffic) => {
                self.state = TlsState::Traffic(Box::new(traffic));
                Handshake::Done
            }
            None => Handshake::Failed(TlsReason::Protocol),
        }
    }

    fn fail(&mut self, reason: TlsReason) -> Handshake {
        self.state = TlsState::Over;
        Handshake::Failed(reason)
    }

    /// Makes room in `area` for requests of `request` bytes each, as many as `count`, behind `before` bytes that stand
    /// there. `None`: not established.
    #[inline]
    pub fn layout(&self, before: usize, request: usize) -> Option<Layout> {
        match &self.state {
            TlsState::Traffic(traffic) => {
                let each = (PLAINTEXT_MAX / request).max(1);
                let first = before + traffic.sealer.plaintext_at();
                Some(Layout { before, first, request, each, stride: traffic.sealer.record_len(each * request) })
            }
            TlsState::New { .. } | TlsState::Handshake { .. } | TlsState::Over => None,
        }
    }

    /// Seals the first `count` requests of a layout. Returns how long all is, what stands before them included.
    pub fn seal(&mut self, area: &mut [u8], layout: &Layout, count: usize) -> Option<usize> {
        let TlsState::Traffic(traffic) = &mut self.state else { return None };
        let mut from = layout.before;
        let mut rest = count;
        while rest > 0 {
            let requests = rest.min(layout.each);
            let len = traffic.sealer.record_len(requests * layout.request);
            if !traffic.sealer.seal(Content::ApplicationData, area.get_mut(from..from + len)?) {
                return None;
            }
            from += len;
            rest -= requests;
        }
        if traffic.sealer.sealed() >= RECORDS_MAX && traffic.is_13() && self.outgoing.is_empty() {
            traffic.update_own_key(&mut self.outgoing)?;
        }
        Some(from)
    }
}

/// Adds a record of the handshake.
fn encode(data: &mut EncodeTlsData<'_, ClientConnectionData>, outgoing: &mut Vec<u8>) {
    let start = outgoing.len();
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        outgoing.resize(start + size.required_size, 0);
        let written = data.encode(&mut outgoing[start..]).unwrap_or(0);
        outgoing.truncate(start + written);
    }
}

/// Where requests stand in an area so that they become records without being moved.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    before: usize,
    first: usize,
    request: usize,
    /// Requests of one record.
    each: usize,
    /// From the begin of a full record to that of the next.
    stride: usize,
}

impl Layout {
    /// Where the request of this number begins.
    #[inline]
    pub fn at(&self, index: usize) -> usize {
        // Nearly always they are one record, and a division takes as long as the rest.
        let (record, place) = if index < self.each { (0, index) } else { (index / self.each, index % self.each) };
        self.first + record * self.stride + place * self.request
    }

    /// Room that so many requests take at the most, as records.
    pub const fn room(request: usize, count: usize) -> usize {
        let each = if request < PLAINTEXT_MAX { PLAINTEXT_MAX / request } else { 1 };
        count * request + count.div_ceil(each) * OVERHEAD
    }

    /// How many requests fit into an area of this size.
    pub fn fits(&self, area: usize) -> usize {
        let full = area.saturating_sub(self.before) / self.stride;
        let rest = area.saturating_sub(self.before + full * self.stride + OVERHEAD) / self.request;
        full * self.each + rest.min(self.each)
    }
}

/// What records leave beside their plaintext.
struct Sides<'a> {
    outgoing: &'a mut Vec<u8>,
    records: &'a mut usize,
    allowance: &'a mut Allowance,
    /// What the peer is told where it is refused.
    alert: &'a mut AlertDescription,
}

impl Sides<'_> {
    /// Whether there is time for a record of this length.
    #[inline]
    fn may_open(&mut self, len: usize, has_waited: bool) -> bool {
        if len >= SHORT_BYTES && !has_waited {
            return true;
        }
        let left = self.allowance.short_records;
        self.allowance.short_records = left.saturating_sub(in_short_records(len));
        left > 0
    }
}

/// A connection whose handshake is done.
struct Traffic {
    sealer: Sealer,
    opener: Opener,
    kernel: KernelConnection<ClientConnectionData>,
    /// The begin of a record of which the rest has not come.
    partial: Vec<u8>,
    /// The begin of a handshake message of which the rest has not come.
    message: Vec<u8>,
    /// What came behind the handshake before it was done, or could not be opened for want of time, and how much of it was since.
    late: Vec<u8>,
    late_opened: usize,
    /// There was no time for all that has come.
    is_behind: bool,
    /// How long the chain of certificates is, which the connection holds.
    chain: usize,
    tickets: u32,
    updates: u32,
}

impl Traffic {
    fn new(connection: UnbufferedClientConnection, late: Vec<u8>) -> Option<Traffic> {
        let chain = connection.peer_certificates().into_iter().flatten().map(|shown| shown.len()).sum();
        let (secrets, kernel) = connection.dangerous_into_kernel_connection().ok()?;
        let version = kernel.protocol_version();
        let sealer = Sealer::new(secrets.tx.0, &secrets.tx.1, version)?;
        let opener = Opener::new(secrets.rx.0, &secrets.rx.1, version)?;
        let (partial, message) = (Vec::new(), Vec::new());
        let (late_opened, is_behind) = (0, false);
        let (tickets, updates) = (0, 0);
        Some(Traffic {
            sealer,
            opener,
            kernel,
            partial,
            message,
            late,
            late_opened,
            is_behind,
            chain,
            tickets,
            updates,
        })
    }

    fn is_13(&self) -> bool {
        self.kernel.protocol_version() == ProtocolVersion::TLSv1_3
    }

    /// What has come and was not opened.
    #[inline]
    fn waiting(&self) -> &[u8] {
        &self.late[self.late_opened..]
    }

    #[inline]
    fn on_bytes(&mut self, bytes: &mut [u8], sides: &mut Sides<'_>, mut plain: impl FnMut(&[u8]) -> Step) -> Opened {
        if !self.late.is_empty() {
            return self.on_late(bytes, sides, &mut plain);
        }
        match self.on_records(bytes, false, sides, &mut plain) {
            Ok(opened) => {
                self.late.extend_from_slice(&bytes[opened..]);
                Opened::Plain(Step::Go)
            }
            Err(opened) => opened,
        }
    }

    /// In order: what came before is opened first.
    #[cold]
    fn on_late(&mut self, bytes: &[u8], sides: &mut Sides<'_>, plain: &mut impl FnMut(&[u8]) -> Step) -> Opened {
        self.late.extend_from_slice(bytes);
        let (mut late, mut at) = (std::mem::take(&mut self.late), std::mem::take(&mut self.late_opened));
        match self.on_records(&mut late[at..], true, sides, plain) {
            Ok(opened) => at += opened,
            Err(opened) => return opened,
        }
        // Moved only now and then, however little is opened at a time.
        if at > late.len() / 2 {
            late.drain(..at);
            at = 0;
        }
        // Nobody keeps room for what came once.
        if !late.is_empty() {
            (self.late, self.late_opened) = (late, at);
        }
        Opened::Plain(Step::Go)
    }

    /// Opens records until there is no time for more, and says how far it came; or what ended it.
    #[inline]
    fn on_records(
        &mut self,
        bytes: &mut [u8],
        has_waited: bool,
        sides: &mut Sides<'_>,
        plain: &mut impl FnMut(&[u8]) -> Step,
    ) -> Result<usize, Opened> {
        const NO_RECORD: Opened = Opened::Failed(TlsReason::Protocol);
        // It may be an update of keys that waits.
        if std::mem::take(&mut self.is_behind) && !self.message.is_empty() {
            self.on_messages(sides).map_err(Opened::Failed)?;
            if self.is_behind {
                return Ok(0);
            }
        }
        let mut at = 0;
        while !self.partial.is_empty() {
            let wanted = self.opener.record_len(&self.partial).map_err(|_| NO_RECORD)?.unwrap_or(HEADER);
            self.partial.reserve_exact(wanted - self.partial.len());
            let more = (wanted - self.partial.len()).min(bytes.len() - at);
            self.partial.extend_from_slice(&bytes[at..at + more]);
            at += more;
            if self.opener.record_len(&self.partial) != Ok(Some(self.partial.len())) {
                if at == bytes.len() {
                    return Ok(at);
                }
                continue;
            }
            if !sides.may_open(self.partial.len(), has_waited) {
                self.is_behind = true;
                return Ok(at);
            }
            let mut record = std::mem::take(&mut self.partial);
            let opened = self.on_record(&mut record, sides, plain);
            record.clear();
            self.partial = record;
            if opened != Opened::Plain(Step::Go) {
                return Err(opened);
            }
            if self.is_behind {
                return Ok(at);
            }
        }
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            let len = match self.opener.record_len(rest) {
                Ok(Some(len)) if len <= rest.len() => len,
                Ok(_) => {
                    debug_assert!(rest.len() < RECORD_MAX);
                    self.partial.extend_from_slice(rest);
                    return Ok(bytes.len());
                }
                Err(_) => return Err(NO_RECORD),
            };
            if !sides.may_open(len, has_waited) {
                self.is_behind = true;
                break;
            }
            let opened = self.on_record(&mut rest[..len], sides, plain);
            if opened != Opened::Plain(Step::Go) {
                return Err(opened);
            }
            at += len;
            if self.is_behind {
                break;
            }
        }
        Ok(at)
    }

    #[inline]
    fn on_record(&mut self, record: &mut [u8], sides: &mut Sides<'_>, plain: &mut impl FnMut(&[u8]) -> Step) -> Opened {
        *sides.records += 1;
        let Ok((content, range)) = self.opener.open(record) else {
            *sides.alert = AlertDescription::BadRecordMac;
            return Opened::Failed(TlsReason::Protocol);
        };
        let bytes = &record[range];
        match content {
            // Between the parts of a handshake message stands nothing else.
            Content::ApplicationData if self.message.is_empty() => Opened::Plain(plain(bytes)),
            Content::Alert if self.message.is_empty() => self.on_alert(bytes),
            Content::Handshake => match self.on_handshake(bytes, sides) {
                Ok(()) => Opened::Plain(Step::Go),
                Err(reason) => Opened::Failed(reason),
            },
            Content::ApplicationData | Content::Alert => Opened::Failed(TlsReason::Protocol),
        }
    }

    #[cold]
    fn on_alert(&mut self, bytes: &[u8]) -> Opened {
        let &[level, code] = bytes else { return Opened::Failed(TlsReason::Protocol) };
        match AlertDescription::from(code) {
            AlertDescription::CloseNotify => Opened::Ended,
            // Of no meaning, and counted, so that nobody sends it without end.
            AlertDescription::UserCanceled | AlertDescription::NoRenegotiation if level == WARNING => {
                match self.count_update() {
                    Ok(()) => Opened::Plain(Step::Go),
                    Err(reason) => Opened::Failed(reason),
                }
            }
            _ => Opened::Failed(TlsReason::Alert(code)),
        }
    }

    /// Handshake messages after the handshake: tickets, updates of keys, and in TLS 1.2 the wish for another handshake, which
    /// a client may ignore.
    #[cold]
    fn on_handshake(&mut self, bytes: &[u8], sides: &mut Sides<'_>) -> Result<(), TlsReason> {
        if bytes.is_empty() {
            return Err(TlsReason::Protocol);
        }
        if self.message.len() + bytes.len() > MESSAGE_BYTES_MAX + PLAINTEXT_MAX {
            return Err(TlsReason::TooLong);
        }
        self.message.extend_from_slice(bytes);
        self.on_messages(sides)
    }

    /// Those that are whole, as far as there is time for them.
    fn on_messages(&mut self, sides: &mut Sides<'_>) -> Result<(), TlsReason> {
        let messages = std::mem::take(&mut self.message);
        let mut rest = messages.as_slice();
        while let Some((&[kind, a, b, c], after)) = rest.split_first_chunk::<4>() {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            if len > MESSAGE_BYTES_MAX {
                return Err(TlsReason::TooLong);
            }
            let Some((body, later)) = after.split_at_checked(len) else { break };
            match kind {
                NEW_SESSION_TICKET if self.is_13() => {
                    self.tickets = self.tickets.saturating_add(1);
                    if self.tickets <= TICKETS_MAX && sides.allowance.messages > KEPT_FROM_TICKETS {
                        sides.allowance.messages -= 1;
                        self.kernel.handle_new_session_ticket(body).map_err(|_| TlsReason::Protocol)?;
                    }
                }
                KEY_UPDATE if self.is_13() && later.is_empty() => {
                    let Some(left) = sides.allowance.messages.checked_sub(1) else {
                        // Whatever comes is sealed by the key behind it.
                        self.is_behind = true;
                        break;
                    };
                    sides.allowance.messages = left;
                    self.count_update()?;
                    self.on_key_update(body, sides.outgoing).ok_or(TlsReason::Protocol)?;
                }
                HELLO_REQUEST if !self.is_13() && body.is_empty() => self.count_update()?,
                _ => return Err(TlsReason::Protocol),
            }
            rest = later;
        }
        self.message = rest.to_vec();
        Ok(())
    }

    /// One more of what must be looked at, and must not come without end.
    fn count_update(&mut self) -> Result<(), TlsReason> {
        if self.updates == UPDATES_MAX {
            return Err(TlsReason::Messages);
        }
        self.updates += 1;
        Ok(())
    }

    fn on_key_update(&mut self, body: &[u8], outgoing: &mut Vec<u8>) -> Option<()> {
        let &[wants_ours @ (0 | 1)] = body else { return None };
        let (sequence, secrets) = self.kernel.update_rx_secret().ok()?;
        self.opener = Opener::new(sequence, &secrets, ProtocolVersion::TLSv1_3)?;
        if wants_ours == 1 { self.update_own_key(outgoing) } else { Some(()) }
    }

    /// Adds a record of ours that is no request. `false`: the cryptography refused.
    fn add(&mut self, content: Content, plaintext: &[u8], outgoing: &mut Vec<u8>) -> bool {
        let start = outgoing.len();
        let at = start + self.sealer.plaintext_at();
        outgoing.resize(start + self.sealer.record_len(plaintext.len()), 0);
        outgoing[at..at + plaintext.len()].copy_from_slice(plaintext);
        self.sealer.seal(content, &mut outgoing[start..])
    }

    /// Says that from the next record on we use another key, and does so.
    fn update_own_key(&mut self, outgoing: &mut Vec<u8>) -> Option<()> {
        const NOT_REQUESTED: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];
        if !self.add(Content::Handshake, &NOT_REQUESTED, outgoing) {
            return None;
        }
        let (sequence, secrets) = self.kernel.update_tx_secret().ok()?;
        self.sealer = Sealer::new(sequence, &secrets, ProtocolVersion::TLSv1_3)?;
        Some(())
    }
}

impl std::fmt::Debug for TlsState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TlsState::New { .. } => "New",
            TlsState::Handshake { .. } => "Handshake",
            TlsState::Traffic(_) => "Traffic",
            TlsState::Over => "Over",
        })
    }
}
