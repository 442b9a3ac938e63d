//! A pretended kernel for tests: virtual time, servers of several characters, and as much mischief as a kernel may do.
//!
//! It checks what a real kernel cannot: that no slot is reused, no area written and no buffer recycled while an
//! operation owns it. A broken rule is a panic here, not a rare corruption.

use super::{Completion, Counters, Kernel, Kind, Sizes, Tag};
use crate::engine::clock::RunInstant;
use crate::engine::index::{RingSlot, Table};
use crate::engine::occupied::Occupancy;
use crate::engine::tls::{OPENED, tests::nothing};
use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a pretended server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Character {
    /// Right answers after a fixed time.
    Honest { delay: u64 },
    /// Right answers, but not while `now % period < stall`.
    Stalling { period: u64, stall: u64 },
    /// Accepts and never answers.
    Silent,
    /// Never says whether it accepts.
    Unreachable,
    /// Refuses every connection.
    Refusing,
    /// A router on the way to it has no route.
    Unrouted,
    /// Resets as soon as a request has come.
    Resetting,
    /// Answers, then sends rubbish without end.
    Flooding,
    /// Right answers; closes by FIN after so many on a connection.
    ClosesAfter { answers: u32, says_so: bool },
    /// Right answers in HTTP/1.0, each ended by FIN.
    Http10,
    /// Bytes before anybody asked.
    Unsolicited,
    /// Right answers with a body of so many bytes.
    Large { body: usize },
    /// Right answers with status 500.
    Failing,
    /// Right answers, `v1` before this instant and `v2` from it on.
    Flipping { at: u64 },
    /// Right answers; from so many on a connection it reads no more, answers once more all the same, and falls silent.
    StopsReading { after: u32 },
    /// Right answers one after the other, so many a second; what comes faster waits.
    Bounded { capacity: u64, manner: Manner },
}

/// What a bounded server does with its capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Steady,
    /// Whoever would wait longer than this is told to go.
    Cliff {
        wait: u64,
    },
    /// Each answer takes up to so many hundredths more, or less.
    Noisy {
        percent: u64,
    },
    /// Until then each answer takes half as long again.
    WarmingUp {
        until: u64,
    },
    /// From `start` on, in each `period`: nothing takes any time but between these two.
    Cheating {
        start: u64,
        period: u64,
        from: u64,
        to: u64,
    },
}

impl Manner {
    /// How long an answer takes that is worked on from an instant.
    fn service(self, capacity: u64, now: u64, random: u64) -> u64 {
        let usual = 1_000_000_000 / capacity.max(1);
        match self {
            Manner::Noisy { percent } => usual * (100 - percent + random % (2 * percent + 1)) / 100,
            Manner::WarmingUp { until } if now < until => usual * 3 / 2,
            Manner::Cheating { start, period, from, to }
                if !(from..to).contains(&(now.saturating_sub(start) % period)) =>
            {
                0
            }
            Manner::Steady | Manner::Cliff { .. } | Manner::WarmingUp { .. } | Manner::Cheating { .. } => usual,
        }
    }
}

/// Until when bounded servers have work: one server is the same for all kernels that reach it.
pub(crate) type Queues = Arc<Mutex<HashMap<SocketAddr, u64>>>;

/// What the kernel may do to us beyond being quick and orderly.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mischief {
    /// Completions come late by up to this many nanoseconds, each by its own, and now and then a cancel does not find
    /// what it should.
    pub(crate) delay: u64,
    /// Now and then a completion comes twice.
    pub(crate) duplicates: bool,
    /// Sends and receives are cut short at random.
    pub(crate) cuts: bool,
}

/// How a pretended server shakes hands, where it speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshaking {
    /// A byte now and then, so that it is never done in time.
    Slow,
    /// Records of a message that never ends: more than a handshake has.
    Endless,
    /// The hello is answered by this errno: a reset, or a fault of the network.
    Broken(i32),
    /// It answers all hellos of a while at once, and ends their connections with that.
    Cut,
    /// As TLS has it, and then each byte of an answer is a record.
    Bytewise,
    /// As TLS has it, and then an answer is records of 128 bytes behind one of a byte; of one answer in 48 the first 20,000 bytes are
    /// records of a byte.
    Padded,
    /// As TLS has it, and then its keys are changed ten times before each answer.
    Updating,
    /// As TLS has it, and a while after the first answer of a connection it says nothing, in so many records, and hears nothing more.
    Murmuring { records: usize },
    /// As TLS has it.
    Whole,
}

#[derive(Debug, Default)]
struct Socket {
    address: Option<SocketAddr>,
    connected: bool,
    connect: Option<Tag>,
    send: Option<(Tag, usize, usize, Vec<u8>)>,
    /// Until its last completion is taken.
    receive: Option<Tag>,
    /// The receive may still complete.
    armed: bool,
    cancels: u32,
    /// What the server has received and not yet answered.
    request: Vec<u8>,
    answers: u32,
    inbox: VecDeque<u8>,
    /// When the last bytes of the server come in.
    arrived: u64,
    /// The stream ends after the inbox with this result: 0 or an errno.
    end: Option<i32>,
    /// The server has ended the connection and reads no more of it.
    deaf: bool,
    /// Where the server speaks TLS.
    tls: Option<Box<ServerConnection>>,
    /// Counts connections of the slot, so that a late answer of an old one goes nowhere.
    life: u32,
}

impl Socket {
    fn in_flight(&self, kind: Option<Kind>) -> Option<Tag> {
        match kind {
            Some(Kind::Connect) => self.connect,
            Some(Kind::Send) => self.send.as_ref().map(|(tag, ..)| *tag),
            Some(Kind::Receive) => self.receive,
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
enum Happening {
    Complete(Completion),
    /// A completion comes twice. Not while the same operation runs again: even a bad kernel tells no lie about that one.
    Again(Completion),
    /// A server's bytes arrive; then perhaps the end of the stream.
    Arrive {
        slot: RingSlot,
        life: u32,
        bytes: Vec<u8>,
        end: Option<i32>,
    },
}

/// The pretended kernel.
#[derive(Debug)]
pub(crate) struct Pretend {
    now: u64,
    seed: u64,
    order: u64,
    pub(crate) servers: HashMap<SocketAddr, Character>,
    mischief: Mischief,
    sockets: Table<RingSlot, Socket>,
    areas: Table<RingSlot, Vec<u8>>,
    buffers: Vec<Vec<u8>>,
    free: VecDeque<u16>,
    recycled: Vec<u16>,
    in_hand: Vec<bool>,
    timeline: BTreeMap<(u64, u64), Happening>,
    done: VecDeque<Completion>,
    counters: Counters,
    /// Requests that each server has seen whole.
    pub(crate) requests: HashMap<SocketAddr, u64>,
    pub(crate) connects: HashMap<SocketAddr, u64>,
    /// When the clock passes the first, it jumps by the second: our own process did not run.
    pub(crate) stalls: VecDeque<(u64, u64)>,
    /// The same between what a turn has stamped and the enter that hands it over.
    pub(crate) pauses: VecDeque<(u64, u64)>,
    /// From when to when our thread does not rest.
    pub(crate) busy: Vec<(u64, u64)>,
    /// The same, for it waits for a core.
    pub(crate) waiting: Vec<(u64, u64)>,
    /// Nanoseconds of our thread for a send, and for 1,000 bytes that are received. Nothing costs any without it.
    pub(crate) costs: (u64, u64),
    /// The same for each record that our thread opens, and how many it had by the last enter.
    pub(crate) record_ns: u64,
    opened: u64,
    /// What has been used since the clock was moved by it.
    used: u64,
    /// The same of what is no matter of the kernel: certificates that take their time.
    pub(crate) spent: Arc<AtomicU64>,
    /// From when to when our process has no descriptor for a socket.
    pub(crate) short: Vec<(u64, u64)>,
    /// From when to when our machine has no route.
    pub(crate) without_route: Vec<(u64, u64)>,
    pub(crate) queues: Queues,
    /// Servers that speak TLS.
    pub(crate) tls: HashMap<SocketAddr, Arc<ServerConfig>>,
    /// How they shake hands who do it in a manner of their own.
    pub(crate) handshaking: HashMap<SocketAddr, Handshaking>,
    /// Handshakes that were resumed.
    pub(crate) resumed: u64,
    /// Connections over TLS of which we said that we say no more.
    pub(crate) goodbyes: u64,
    /// What we refused a server by.
    pub(crate) alerts: Vec<rustls::AlertDescription>,
}

/// Between two bytes of a slow handshake, and between parts of this size of one without end.
const DRIP: u64 = 1_000_000;
const PAUSE: u64 = 50_000_000;
const ENDLESS_BYTES: usize = 64 << 10;
/// For how long hellos are kept that are answered at once.
const WHILE: u64 = 100_000_000;
/// A while after an answer, in which no other request comes.
const MURMURS_AFTER: u64 = 5_000_000;
/// Bytes of a record of 128, and how many connections that have such records come for each that has records of a byte.
const PADDED: usize = 106;
const PADDED_OF: u64 = 48;
const PADDED_BYTEWISE: usize = 20_000;

/// A network's round trip in virtual time.
const TRIP: u64 = 200_000;

impl Pretend {
    pub(crate) fn new(sizes: Sizes, servers: HashMap<SocketAddr, Character>, mischief: Mischief, seed: u64) -> Pretend {
        Pretend {
            now: 0,
            seed: seed | 1,
            order: 0,
            servers,
            mischief,
            sockets: (0..sizes.slots).map(|_| Socket::default()).collect(),
            areas: Table::filled(vec![0; sizes.area_bytes], sizes.slots as usize),
            buffers: vec![vec![0; sizes.buffer_bytes]; sizes.buffers as usize],
            free: (0..sizes.buffers).collect(),
            recycled: Vec::new(),
            in_hand: vec![false; sizes.buffers as usize],
            timeline: BTreeMap::new(),
            done: VecDeque::new(),
            counters: Counters::default(),
            requests: HashMap::new(),
            connects: HashMap::new(),
            stalls: VecDeque::new(),
            pauses: VecDeque::new(),
            busy: Vec::new(),
            waiting: Vec::new(),
            costs: (0, 0),
            record_ns: 0,
            opened: OPENED.get(),
            used: 0,
            spent: Arc::default(),
            short: Vec::new(),
            without_route: Vec::new(),
            queues: Queues::default(),
            tls: HashMap::new(),
            handshaking: HashMap::new(),
            resumed: 0,
            goodbyes: 0,
            alerts: Vec::new(),
        }
    }

    fn is_among(&self, times: &[(u64, u64)]) -> bool {
        times.iter().any(|(from, to)| (*from..*to).contains(&self.now))
    }

    /// xorshift64: the same seed, the same run.
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below.max(1)
    }

    fn at(&mut self, after: u64, happening: Happening) {
        let late = if self.mischief.delay > 0 { self.random(self.mischief.delay) } else { 0 };
        let mut instant = self.now + after + late;
        if let Happening::Arrive { slot, .. } = happening {
            // A stream stays in order, however late it comes.
            let arrived = &mut self.sockets[slot].arrived;
            instant = instant.max(*arrived);
            *arrived = instant;
        }
        self.order += 1;
        self.timeline.insert((instant, self.order), happening);
    }

    fn complete(&mut self, after: u64, tag: Tag, result: i32) {
        let completion = Completion { tag, result, more: false, buffer: None };
        self.at(after, Happening::Complete(completion));
        if self.mischief.duplicates && !is_cancel(tag) && self.random(8) == 0 {
            let result = if self.random(2) == 0 { result } else { -libc::ECANCELED };
            // A duplicate may even name a buffer; nobody may believe it.
            let buffer = (self.random(4) == 0).then(|| self.random(self.buffers.len() as u64) as u16);
            self.at(after + 1000, Happening::Again(Completion { tag, result, more: false, buffer }));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Complete(completion) => {
                // The book of what is outstanding is kept by the operation; see `completion`.
                self.done.push_back(completion);
            }
            Happening::Again(completion) => {
                let tag = completion.tag;
                if self.sockets[tag.slot()].in_flight(tag.kind()) != Some(tag) {
                    self.done.push_back(completion);
                }
            }
            Happening::Arrive { slot, life, bytes, end } => {
                let socket = &mut self.sockets[slot];
                if socket.life == life && socket.connected && socket.end.is_none() {
                    socket.inbox.extend(bytes);
                    socket.end = end;
                    self.deliver(slot);
                }
            }
        }
    }

    /// Gives an armed receive what there is.
    fn deliver(&mut self, slot: RingSlot) {
        loop {
            let socket = &self.sockets[slot];
            let Some(tag) = socket.receive.filter(|_| socket.armed) else { return };
            let reset = socket.end.is_some_and(|end| end != 0) && socket.inbox.is_empty();
            if socket.inbox.is_empty() {
                let Some(end) = socket.end else { return };
                self.sockets[slot].armed = false;
                let result = if reset { -end } else { 0 };
                self.done.push_back(Completion { tag, result, more: false, buffer: None });
                return;
            }
            let Some(id) = self.free.pop_front() else {
                self.sockets[slot].armed = false;
                self.done.push_back(Completion { tag, result: -libc::ENOBUFS, more: false, buffer: None });
                return;
            };
            let most = self.buffers[id as usize].len().min(self.sockets[slot].inbox.len());
            let take = if self.mischief.cuts { 1 + self.random(most as u64) as usize } else { most };
            self.sockets[slot].inbox.read_exact(&mut self.buffers[id as usize][..take]).expect("there are as many");
            self.used += take as u64 * self.costs.1 / 1_000;
            let more = !(self.mischief.cuts && self.random(16) == 0);
            self.sockets[slot].armed = more;
            self.done.push_back(Completion { tag, result: take as i32, more, buffer: Some(id) });
        }
    }

    /// Ends an operation before its completion, if that is not too late; `false`: not found.
    fn stop(&mut self, operation: Tag) -> bool {
        if self.mischief.delay > 0 && self.random(8) == 0 {
            return false;
        }
        let completes = |done: &Completion| done.tag == operation;
        let scheduled = self.timeline.iter().find_map(|(at, happening)| match happening {
            Happening::Complete(completion) if completes(completion) => Some(*at),
            _ => None,
        });
        match (operation.kind(), scheduled) {
            (Some(Kind::Receive), _) => std::mem::take(&mut self.sockets[operation.slot()].armed),
            (Some(Kind::Connect), Some(at)) => self.timeline.remove(&at).is_some(),
            // The peer has its bytes.
            (_, Some(_)) => false,
            (_, None) => !self.done.iter().any(completes),
        }
    }

    /// Bytes of the client, out of their records where TLS is spoken. What the handshake says to them is on its way then.
    fn take_in(&mut self, slot: RingSlot, bytes: &[u8]) {
        let manner = self.manner(slot);
        let socket = &mut self.sockets[slot];
        let Some(tls) = &mut socket.tls else { return socket.request.extend(bytes) };
        let was_handshaking = tls.is_handshaking();
        let (mut rest, mut plain) = (bytes, [0; 16 << 10]);
        while !rest.is_empty() {
            tls.read_tls(&mut rest).expect("the last ones were taken out");
            match tls.process_new_packets() {
                Ok(state) => self.goodbyes += u64::from(state.peer_has_closed()),
                Err(rustls::Error::AlertReceived(alert)) => self.alerts.push(alert),
                Err(error) => panic!("what we send is TLS: {error}"),
            }
            while let Ok(count @ 1..) = tls.reader().read(&mut plain) {
                socket.request.extend(&plain[..count]);
            }
        }
        let is_resumed = tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        self.resumed += u64::from(was_handshaking && !tls.is_handshaking() && is_resumed);
        let said = sealed(tls, &[], false);
        if said.is_empty() {
            return;
        }
        let life = socket.life;
        let arrive = |bytes| Happening::Arrive { slot, life, bytes, end: None };
        match manner {
            Handshaking::Whole
            | Handshaking::Bytewise
            | Handshaking::Padded
            | Handshaking::Updating
            | Handshaking::Murmuring { .. } => self.at(TRIP, arrive(said)),
            Handshaking::Slow => {
                said.iter().zip(1..).for_each(|(byte, number)| self.at(number * DRIP, arrive(vec![*byte])));
            }
            Handshaking::Endless => {
                // A message that is as long as one may be is waited for, a longer one is refused at its begin.
                let record = [b"\x16\x03\x03\x40\x00".as_slice(), b"\x02\x00\xff\xff", &[0; 0x4000 - 4]].concat();
                (0..2)
                    .for_each(|part| self.at(TRIP + part * PAUSE, arrive(record.repeat(ENDLESS_BYTES / record.len()))));
            }
            Handshaking::Cut => {
                let after = WHILE - self.now % WHILE;
                self.at(after, Happening::Arrive { slot, life, bytes: said, end: Some(0) });
            }
            Handshaking::Broken(errno) => {
                self.at(TRIP, Happening::Arrive { slot, life, bytes: Vec::new(), end: Some(errno) });
            }
        }
    }

    fn manner(&self, slot: RingSlot) -> Handshaking {
        let address = self.sockets[slot].address;
        address.and_then(|address| self.handshaking.get(&address)).copied().unwrap_or(Handshaking::Whole)
    }

    /// Bytes of the server, in records where TLS is spoken.
    fn give_out(&mut self, slot: RingSlot, bytes: Vec<u8>, end: Option<i32>) -> Vec<u8> {
        let manner = self.manner(slot);
        let number = self.sockets[slot].address.map_or(0, |address| self.requests[&address]);
        match &mut self.sockets[slot].tls {
            Some(tls) if manner == Handshaking::Padded => {
                let bytewise = if number % PADDED_OF == 1 { PADDED_BYTEWISE } else { 1 };
                let (short, long) = bytes.split_at(bytewise.min(bytes.len()));
                short.chunks(1).chain(long.chunks(PADDED)).flat_map(|part| sealed(tls, part, false)).collect()
            }
            Some(tls) if manner == Handshaking::Updating => {
                (0..10).for_each(|_| tls.refresh_traffic_keys().expect("TLS 1.3"));
                sealed(tls, &bytes, end == Some(0))
            }
            Some(tls) if manner == Handshaking::Bytewise => {
                let mut records: Vec<u8> = bytes.iter().flat_map(|byte| sealed(tls, &[*byte], false)).collect();
                records.extend(sealed(tls, &[], end == Some(0)));
                records
            }
            Some(tls) => sealed(tls, &bytes, end == Some(0)),
            None => bytes,
        }
    }

    /// What a murmuring server says after its answer.
    fn murmur(&mut self, slot: RingSlot, answered: u64) {
        let Handshaking::Murmuring { records } = self.manner(slot) else { return };
        let socket = &mut self.sockets[slot];
        let Some(tls) = socket.tls.take() else { return };
        socket.deaf = true;
        let (life, bytes) = (socket.life, nothing(*tls, records));
        self.at(answered + MURMURS_AFTER, Happening::Arrive { slot, life, bytes, end: None });
    }

    /// Puts a request behind those that a bounded server has; how long that takes, or `None`: it is told to go.
    fn take_turn(&mut self, address: SocketAddr, capacity: u64, manner: Manner) -> Option<u64> {
        let random = if let Manner::Noisy { .. } = manner { self.random(u64::MAX) } else { 0 };
        let mut queues = self.queues.lock();
        let free_at = queues.entry(address).or_default();
        let begins = self.now.max(*free_at);
        if matches!(manner, Manner::Cliff { wait } if begins - self.now > wait) {
            return None;
        }
        *free_at = begins + manner.service(capacity, begins, random);
        Some(*free_at - self.now)
    }

    /// The server of the slot's connection looks at what it has received.
    fn serve(&mut self, slot: RingSlot) {
        let socket = &mut self.sockets[slot];
        let Some(address) = socket.address else { return };
        let character = self.servers[&address];
        if socket.deaf {
            return;
        }
        let life = socket.life;
        let mut tokens = Vec::new();
        while let Some(end) = socket.request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = socket.request.drain(..end + 4).collect();
            let text = String::from_utf8(head).expect("requests are text");
            let token = text.split("\r\n").find_map(|line| line.strip_prefix("Token: ")).expect("a token");
            tokens.push(token.to_owned());
        }
        *self.requests.entry(address).or_default() += tokens.len() as u64;
        for token in tokens {
            let answer = |version: &str, extra: &str| {
                format!("HTTP/{version} 200 OK\r\nToken: {token}\r\nVersion: v2\r\nFrom: ECS\r\n{extra}\r\nhi")
                    .into_bytes()
            };
            let keep = answer("1.1", "Content-Length: 2\r\n");
            let replaced = |from: &str, to: &str| String::from_utf8_lossy(&keep).replace(from, to).into_bytes();
            let (after, bytes, end) = match character {
                Character::Honest { delay } => (delay, keep, None),
                Character::Stalling { period, stall } => {
                    let into = self.now % period;
                    (if into < stall { stall - into } else { TRIP }, keep, None)
                }
                Character::Silent
                | Character::Unreachable
                | Character::Refusing
                | Character::Unrouted
                | Character::Unsolicited => return,
                Character::Resetting => (TRIP, Vec::new(), Some(libc::ECONNRESET)),
                Character::Flooding => {
                    let mut bytes = keep;
                    bytes.extend(std::iter::repeat_n(b'x', 5_000));
                    (TRIP, bytes, None)
                }
                Character::ClosesAfter { answers, says_so } => {
                    let socket = &mut self.sockets[slot];
                    socket.answers += 1;
                    let last = socket.answers >= answers;
                    let extra = if last && says_so {
                        "Connection: close\r\nContent-Length: 2\r\n"
                    } else {
                        "Content-Length: 2\r\n"
                    };
                    (TRIP, answer("1.1", extra), last.then_some(0))
                }
                Character::Large { body } => {
                    let length = format!("Content-Length: {body}\r\n");
                    let mut bytes = answer("1.1", &length);
                    bytes.resize(bytes.len() + body - 2, b'x');
                    (TRIP, bytes, None)
                }
                Character::Failing => (TRIP, replaced("200 OK", "500 No"), None),
                Character::Flipping { at } => {
                    (TRIP, if self.now < at { replaced("Version: v2", "Version: v1") } else { keep }, None)
                }
                Character::StopsReading { after } => {
                    let socket = &mut self.sockets[slot];
                    socket.answers += 1;
                    socket.deaf = socket.answers > after;
                    (TRIP, keep, None)
                }
                Character::Http10 => (TRIP, answer("1.0", ""), Some(0)),
                Character::Bounded { capacity, manner } => match self.take_turn(address, capacity, manner) {
                    Some(after) => (TRIP + after, keep, None),
                    None => (TRIP, replaced("200 OK", "503 Full"), None),
                },
            };
            let stop = end.is_some();
            let bytes = self.give_out(slot, bytes, end);
            self.at(after, Happening::Arrive { slot, life, bytes, end });
            self.murmur(slot, after);
            if stop {
                self.sockets[slot].deaf = true;
                return;
            }
        }
    }
}

impl Kernel for Pretend {
    fn socket(&mut self, slot: RingSlot, address: SocketAddr) -> io::Result<()> {
        if self.is_among(&self.short) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let socket = &mut self.sockets[slot];
        assert!(socket.address.is_none(), "slot {slot} is reused while it has a socket");
        let life = socket.life + 1;
        let tls = self.tls.get(&address).map(|config| {
            let mut tls = ServerConnection::new(Arc::clone(config)).expect("a configuration");
            tls.set_buffer_limit(None);
            Box::new(tls)
        });
        *socket = Socket { address: Some(address), life, tls, ..Socket::default() };
        Ok(())
    }

    fn connect(&mut self, slot: RingSlot, tag: Tag) {
        let socket = &mut self.sockets[slot];
        assert!(socket.connect.replace(tag).is_none());
        let address = socket.address.expect("a socket");
        let life = socket.life;
        *self.connects.entry(address).or_default() += 1;
        match self.servers[&address] {
            _ if self.is_among(&self.without_route) => self.complete(0, tag, -libc::ENETUNREACH),
            Character::Unreachable => {}
            Character::Unrouted => self.complete(TRIP, tag, -libc::ENETUNREACH),
            Character::Refusing => self.complete(TRIP, tag, -libc::ECONNREFUSED),
            Character::Unsolicited => {
                self.complete(TRIP, tag, 0);
                let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
                self.at(TRIP + 10, Happening::Arrive { slot, life, bytes, end: None });
            }
            _ => self.complete(TRIP, tag, 0),
        }
    }

    fn send(&mut self, slot: RingSlot, from: usize, to: usize, tag: Tag) {
        self.used += self.costs.0;
        if let Some((_, length)) = self.pauses.pop_front_if(|(when, _)| *when <= self.now) {
            self.now += length;
        }
        let bytes = self.areas[slot][from..to].to_vec();
        let taken = if self.mischief.cuts { 1 + self.random(bytes.len() as u64) as usize } else { bytes.len() };
        let socket = &mut self.sockets[slot];
        assert!(socket.connected, "slot {slot} sends without a connection");
        assert!(socket.send.replace((tag, from, to, bytes.clone())).is_none(), "slot {slot} has two sends in flight");
        self.take_in(slot, &bytes[..taken]);
        let deaf = self.sockets[slot].deaf;
        self.serve(slot);
        // A peer that has just stopped reading, or did before, leaves the send in flight.
        let stuck = matches!(
            self.servers.get(&self.sockets[slot].address.expect("a socket")),
            Some(Character::StopsReading { .. })
        );
        if !(stuck && (deaf || self.sockets[slot].deaf)) {
            self.complete(0, tag, taken as i32);
        }
    }

    fn receive(&mut self, slot: RingSlot, tag: Tag) {
        let socket = &mut self.sockets[slot];
        assert!(socket.connected, "slot {slot} receives without a connection");
        assert!(socket.receive.replace(tag).is_none(), "slot {slot} has two receives in flight");
        socket.armed = true;
        self.deliver(slot);
    }

    fn cancel(&mut self, operation: Tag, tag: Tag) {
        let slot = operation.slot();
        let socket = &mut self.sockets[slot];
        assert_eq!(
            socket.in_flight(operation.kind()),
            Some(operation),
            "slot {slot} cancels what it has not in flight"
        );
        assert_eq!(Some(tag), operation.kind().map(|kind| Tag::new(kind.cancel(), operation.generation(), slot)));
        socket.cancels += 1;
        let found = self.stop(operation);
        if found {
            // Cancelled: it completes once more, before or after the cancel does.
            let after = self.random(3000);
            let completion = Completion { tag: operation, result: -libc::ECANCELED, more: false, buffer: None };
            self.at(after, Happening::Complete(completion));
        }
        let after = self.random(3000);
        self.complete(after, tag, if found { 0 } else { -libc::ENOENT });
    }

    fn close(&mut self, slot: RingSlot) {
        let socket = &mut self.sockets[slot];
        assert!(socket.address.take().is_some(), "slot {slot} is closed twice");
        assert!(socket.receive.is_none(), "slot {slot} is closed while receiving");
        assert!(socket.connect.is_none(), "slot {slot} is closed while connecting");
        assert!(socket.send.is_none(), "slot {slot} is closed while sending");
        assert_eq!(socket.cancels, 0, "slot {slot} is closed while cancelling");
        socket.connected = false;
    }

    fn area(&mut self, slot: RingSlot) -> &mut [u8] {
        &mut self.areas[slot]
    }

    fn buffer(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(self.in_hand[buffer as usize], "buffer {buffer} is read while it is the kernel's");
        &self.buffers[buffer as usize][..len]
    }

    fn buffer_mut(&mut self, buffer: u16, len: usize) -> &mut [u8] {
        assert!(self.in_hand[buffer as usize], "buffer {buffer} is changed while it is the kernel's");
        &mut self.buffers[buffer as usize][..len]
    }

    fn recycle(&mut self, buffer: u16) {
        assert!(std::mem::take(&mut self.in_hand[buffer as usize]), "buffer {buffer} is recycled twice");
        // Whoever reads it later sees poison.
        self.buffers[buffer as usize].fill(0xDB);
        self.recycled.push(buffer);
    }

    fn enter(&mut self, _want: u32, wait_ns: u64) -> io::Result<()> {
        self.counters.enters += 1;
        self.free.extend(self.recycled.drain(..));
        let opened = OPENED.get();
        self.used += (opened - std::mem::replace(&mut self.opened, opened)) * self.record_ns;
        self.now += std::mem::take(&mut self.used) + self.spent.swap(0, Ordering::Relaxed);
        if self.done.is_empty() {
            let until = self.now + wait_ns;
            let next = self.timeline.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
            // Time never stands still, or a loop that never waits would never end.
            self.now = next.min(until).max(self.now + u64::from(wait_ns == 0));
            if let Some((when, length)) = self.stalls.front().copied()
                && self.now >= when
            {
                self.now += length;
                self.stalls.pop_front();
            }
        }
        while let Some(entry) = self.timeline.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let happening = entry.remove();
            self.happen(happening);
        }
        Ok(())
    }

    fn completion(&mut self) -> Option<Completion> {
        let index = if self.mischief.delay > 0 && self.done.len() > 1 {
            // Completions of different slots come in any control; those of one slot keep theirs.
            let pick = self.random(self.done.len() as u64) as usize;
            let slot = self.done[pick].tag.slot();
            self.done.iter().position(|done| done.tag.slot() == slot).unwrap_or(0)
        } else {
            0
        };
        let mut completion = self.done.remove(index)?;
        self.counters.completions += 1;
        let tag = completion.tag;
        if tag.kind() == Some(Kind::Receive) {
            completion.buffer.into_iter().for_each(|id| self.in_hand[id as usize] = true);
        } else {
            // What a duplicate names is in somebody's hand now: what is the kernel's own it gives to nobody.
            completion.buffer = completion.buffer.filter(|id| self.in_hand[*id as usize]);
        }
        let socket = &mut self.sockets[tag.slot()];
        if socket.connect == Some(tag) {
            socket.connect = None;
            socket.connected = completion.result == 0;
        } else if socket.send.as_ref().is_some_and(|(sent, ..)| *sent == tag) {
            let (_, from, to, bytes) = socket.send.take().expect("just looked at");
            assert_eq!(&self.areas[tag.slot()][from..to], &bytes[..], "an area was written while it was sent");
        } else if socket.receive == Some(tag) {
            socket.receive = socket.receive.filter(|_| completion.more);
        } else if is_cancel(tag) && socket.cancels > 0 {
            socket.cancels -= 1;
        }
        Some(completion)
    }

    fn now(&self) -> RunInstant {
        RunInstant::from_ns(self.now + self.spent.load(Ordering::Relaxed))
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn occupancy(&mut self) -> Occupancy {
        let ns = |of: &[(u64, u64)]| of.iter().map(|(from, to)| self.now.min(*to).saturating_sub(*from)).sum();
        Occupancy { ran_ns: ns(&self.busy), waited_ns: ns(&self.waiting) }
    }

    fn has_route(&self, _: SocketAddr) -> bool {
        !self.is_among(&self.without_route)
    }
}

fn is_cancel(tag: Tag) -> bool {
    matches!(tag.kind(), Some(Kind::CancelConnect | Kind::CancelSend | Kind::CancelReceive))
}

/// What a server's TLS sends: what it has to say itself, these bytes, and perhaps that it says no more.
fn sealed(tls: &mut ServerConnection, bytes: &[u8], is_last: bool) -> Vec<u8> {
    let mut records = Vec::new();
    tls.writer().write_all(bytes).expect("without a limit");
    if is_last {
        tls.send_close_notify();
    }
    while tls.wants_write() {
        tls.write_tls(&mut records).expect("memory");
    }
    records
}
