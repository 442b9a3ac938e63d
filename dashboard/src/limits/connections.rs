//! Who may hold how many connections. The listener's room is parted: those of whom nothing has been heard yet, those of
//! strangers, of contestants and of organisers each have a part of their own, so that no crowd outside takes the room of
//! those who steer the contest.
//!
//! Nobody is kept out who finds a part full: the one who waits longest of the largest crowd in it goes instead, a crowd being
//! a network, or an account once somebody is signed in. So an address that opens thousands pushes out itself; and whoever has
//! a large network of IPv6, in which each part could be a crowd, pushes out its own as well. Only where its own oldest may still
//! be shaking hands one by chance goes: a room behind one address has its share, however fast somebody opens in it.

#[cfg(test)]
mod tests;

use crate::limits::address::{network, site};
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use salvo::async_trait;
use salvo::conn::ConnCtrl;
use salvo::fuse::{ArcConnObserver, ConnObserver, FuseAction, FuseConfig, FuseInfo, FusePolicy};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a request's head may take, and how long where many wait.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_TIMEOUT_IN_A_CROWD: Duration = Duration::from_secs(2);
/// How long a connection may need until it asks something: two round trips of TLS, from far away. At [`Limits::default`] a network
/// that opens all that it may has room for so long.
const HANDSHAKE: Duration = Duration::from_millis(500);
/// How long it may need where it comes from near: until then none goes for a newer one of its own network.
const HANDSHAKE_NEAR: Duration = Duration::from_millis(100);
/// Connections that are told to end and are still there; those of proxies.
pub const SLACK: usize = 1_024;
/// Networks from which a new connection came lately, remembered at most.
const NETWORKS_MAX: usize = 20_000;
/// A large network of IPv6 opens as many as so many others: a campus may be one.
const SITE_TIMES: f64 = 4.0;
/// How long a network is remembered from which somebody was signed in: as long as a session lives.
const SIGNED_IN_LIFE: Duration = Duration::from_secs(12 * 3_600);

/// How long a connection may do nothing. How long a request's head may take, [`Connections`] says.
pub fn fuse() -> FuseConfig {
    FuseConfig::default()
        .with_request_body_timeout(Duration::from_secs(10))
        .with_write_stall_timeout(Duration::from_secs(30))
        .with_connection_idle_timeout(Duration::from_secs(90))
}

/// What is known of a connection. The later ones are never taken for the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It has asked nothing yet.
    Silent,
    Stranger,
    Contestant,
    Organiser,
}

const KINDS: [Kind; 4] = [Kind::Silent, Kind::Stranger, Kind::Contestant, Kind::Organiser];

/// Who stands behind a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Crowd {
    Network(IpAddr),
    Account(i64),
}

impl Crowd {
    /// The crowd around it: all that a large network of IPv6 may be parted into.
    #[must_use]
    pub fn site(self) -> Crowd {
        match self {
            Crowd::Network(address) => Crowd::Network(site(address).unwrap_or(address)),
            Crowd::Account(_) => self,
        }
    }
}

/// How many connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Of each kind, and of one crowd of it.
    rooms: [(usize, usize); 4],
    /// New ones of one network where nobody was signed in lately. A large network has [`SITE_TIMES`] as many.
    new: Rate,
    /// The same where somebody was signed in lately: a venue comes back at once, and one of its machines may be an attacker's.
    known: Rate,
}

/// How many at once, and a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    burst: f64,
    a_second: f64,
}

impl Rate {
    fn times(self, count: f64) -> Rate {
        Rate { burst: count * self.burst, a_second: count * self.a_second }
    }
}

impl Default for Limits {
    /// A venue is one network: two hundred browsers with six connections each come at once, ask at once, and are signed in a
    /// minute later. A team is one account.
    fn default() -> Limits {
        Limits {
            rooms: [(1_024, 512), (1_024, 768), (2_048, 256), (256, 64)],
            new: Rate { burst: 1_200.0, a_second: 100.0 },
            known: Rate { burst: 4_000.0, a_second: 1_000.0 },
        }
    }
}

impl Limits {
    /// As many as this process has descriptors for, beside so many WebSockets.
    pub fn of_process(viewers_max: usize) -> Limits {
        let limit = getrlimit(Resource::Nofile);
        // The soft limit is for programs that have tables of a fixed size.
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        let most = if raised.is_ok() { limit.maximum } else { limit.current };
        let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        // The slack of the listener, the database, Redis, and what else is open.
        let free = most.saturating_sub(viewers_max + SLACK + 256).max(most / 4);
        Limits::default().within(free)
    }

    /// All of them together.
    pub fn total(&self) -> usize {
        self.rooms.iter().map(|(most, _)| most).sum()
    }

    /// The same in proportion, where there are no more descriptors.
    #[must_use]
    pub fn within(mut self, descriptors: usize) -> Limits {
        let total = self.total();
        if descriptors < total {
            let part = |count: usize| (count * descriptors / total).max(4);
            self.rooms = self.rooms.map(|(most, of_crowd)| (part(most), part(of_crowd)));
        }
        self
    }
}

/// Whether a new connection is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Refuse,
    /// It has this number. Somebody else may have to go.
    Take {
        number: u64,
        head_timeout: Duration,
        pushed_out: Option<SocketAddr>,
    },
}

/// Connections by the crowd that holds them.
#[derive(Debug, Default)]
struct Crowds {
    /// The connections of each crowd by when they last did something.
    held: HashMap<Crowd, BTreeMap<u64, SocketAddr>>,
    /// The crowds by their size; of those of one size the one that waits longest comes last.
    sizes: BTreeSet<(usize, Reverse<u64>, Crowd)>,
}

impl Crowds {
    fn size(&self, crowd: Crowd) -> Option<(usize, Reverse<u64>, Crowd)> {
        let held = self.held.get(&crowd)?;
        held.first_key_value().map(|(oldest, _)| (held.len(), Reverse(*oldest), crowd))
    }

    /// Changes one crowd, and keeps the order of sizes.
    fn change(&mut self, crowd: Crowd, change: impl FnOnce(&mut BTreeMap<u64, SocketAddr>)) {
        if let Some(size) = self.size(crowd) {
            self.sizes.remove(&size);
        }
        let held = self.held.entry(crowd).or_default();
        change(held);
        if held.is_empty() {
            self.held.remove(&crowd);
        }
        if let Some(size) = self.size(crowd) {
            self.sizes.insert(size);
        }
    }
}

/// One kind's part of the room.
#[derive(Debug, Default)]
struct Room {
    count: usize,
    crowds: Crowds,
    /// The same connections by the crowds around those.
    sites: Crowds,
}

impl Room {
    fn insert(&mut self, crowd: Crowd, order: u64, peer: SocketAddr) {
        self.crowds.change(crowd, |held| _ = held.insert(order, peer));
        self.sites.change(crowd.site(), |held| _ = held.insert(order, peer));
        self.count += 1;
    }

    fn remove(&mut self, crowd: Crowd, order: u64) {
        self.crowds.change(crowd, |held| _ = held.remove(&order));
        self.sites.change(crowd.site(), |held| _ = held.remove(&order));
        self.count -= 1;
    }

    /// Who has to go, if there are too many now.
    fn surplus(&self, newest: Crowd, limits: (usize, usize)) -> Option<SocketAddr> {
        let (most, of_crowd) = limits;
        let crowd = match self.crowds.held.get(&newest) {
            Some(held) if held.len() > of_crowd => newest,
            _ if self.count > most => self.largest()?,
            _ => return None,
        };
        self.crowds.held.get(&crowd)?.first_key_value().map(|(_, peer)| *peer)
    }

    /// The largest crowd of the largest site.
    fn largest(&self) -> Option<Crowd> {
        let (_, _, site) = self.sites.sizes.last()?;
        let mut crowds = self.crowds.sizes.iter().rev().map(|(_, _, crowd)| *crowd);
        crowds.find(|crowd| crowd.site() == *site)
    }
}

/// A connection that is held.
#[derive(Debug)]
struct Held {
    number: u64,
    kind: Kind,
    crowd: Crowd,
    /// When it last did something, as the order of all that happened.
    order: u64,
    opened_at: Instant,
}

/// What a network and the large one around it may open.
struct Rates {
    network: Rate,
    site: Rate,
    /// Somebody is signed in there.
    is_known: bool,
}

/// A network's new connections: what is left of them at an instant.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    left: f64,
    at: Instant,
    signed_in_at: Option<Instant>,
}

impl Arrivals {
    fn is_signed_in(&self, now: Instant) -> bool {
        self.signed_in_at.is_some_and(|at| now.duration_since(at) < SIGNED_IN_LIFE)
    }

    /// What has come back since the last look counts from now on, too.
    fn left_at(&mut self, rate: Rate, now: Instant) -> f64 {
        let since = now.duration_since(self.at).as_secs_f64();
        (self.left, self.at) = ((self.left + since * rate.a_second).min(rate.burst), now);
        self.left
    }
}

/// What networks have opened lately.
#[derive(Debug, Default)]
struct Lately(HashMap<IpAddr, Arrivals>);

impl Lately {
    fn is_signed_in(&self, from: IpAddr, now: Instant) -> bool {
        self.0.get(&from).is_some_and(|arrivals| arrivals.is_signed_in(now))
    }

    /// Whether one more may come. Of those who come by this alone nothing is remembered.
    fn has_one(&mut self, from: IpAddr, rate: Rate, now: Instant) -> bool {
        self.0.get_mut(&from).is_none_or(|arrivals| arrivals.left_at(rate, now) >= 1.0)
    }

    /// Of whoever is forgotten nothing is held against it.
    fn of(&mut self, from: IpAddr, burst: f64, now: Instant) -> &mut Arrivals {
        if self.0.len() >= NETWORKS_MAX && !self.0.contains_key(&from) {
            self.0.retain(|_, arrivals| arrivals.signed_in_at.is_some());
            if self.0.len() >= NETWORKS_MAX {
                self.0.clear();
            }
        }
        self.0.entry(from).or_insert(Arrivals { left: burst, at: now, signed_in_at: None })
    }
}

/// All connections, as plain data: it is told the time and touches none.
#[derive(Debug)]
struct Table {
    limits: Limits,
    rooms: [Room; 4],
    held: HashMap<SocketAddr, Held>,
    arrivals: Lately,
    /// The same of large networks: of their parts where nobody is signed in, and of the others.
    site_arrivals: Lately,
    known_site_arrivals: Lately,
    order: u64,
    /// Draws one of many: nobody can know which.
    chance: RandomState,
}

impl Table {
    fn new(limits: Limits) -> Table {
        let rooms = KINDS.map(|_| Room::default());
        let (arrivals, site_arrivals, known_site_arrivals) = Default::default();
        let (held, chance) = (HashMap::new(), RandomState::new());
        Table { limits, rooms, held, arrivals, site_arrivals, known_site_arrivals, order: 0, chance }
    }

    fn on_open(&mut self, peer: SocketAddr, now: Instant) -> Step {
        let from = network(peer.ip().to_canonical());
        if !self.may_come(from, now) {
            return Step::Refuse;
        }
        let number = self.next();
        self.on_close(peer, None);
        let crowd = Crowd::Network(from);
        self.held.insert(peer, Held { number, kind: Kind::Silent, crowd, order: number, opened_at: now });
        self.room(Kind::Silent).insert(crowd, number, peer);
        let surplus = self.rooms[Kind::Silent as usize].surplus(crowd, self.limits.rooms[Kind::Silent as usize]);
        let is_shaking = |held: &Held| held.crowd == crowd && now.duration_since(held.opened_at) < HANDSHAKE;
        let pushed_out = if surplus.and_then(|surplus| self.held.get(&surplus)).is_some_and(is_shaking) {
            let Some(one) = self.one_of(crowd, now) else {
                self.on_close(peer, None);
                return Step::Refuse;
            };
            self.on_close(one, None);
            Some(one)
        } else {
            self.push_out(Kind::Silent, crowd)
        };
        self.count_arrival(from, now);
        let room = &self.rooms[Kind::Silent as usize];
        let is_crowded = 2 * room.count > self.limits.rooms[Kind::Silent as usize].0;
        let head_timeout = if is_crowded { HEAD_TIMEOUT_IN_A_CROWD } else { HEAD_TIMEOUT };
        Step::Take { number, head_timeout, pushed_out }
    }

    /// A request came by it. Returns who has to go for that.
    fn on_request(&mut self, peer: SocketAddr, kind: Kind, crowd: Crowd, now: Instant) -> Option<SocketAddr> {
        if kind >= Kind::Contestant {
            self.note_signed_in(network(peer.ip().to_canonical()), now);
        }
        let order = self.next();
        let held = self.held.get_mut(&peer)?;
        let (old_kind, old_crowd, old_order) = (held.kind, held.crowd, held.order);
        let (kind, crowd) = if kind < old_kind { (old_kind, old_crowd) } else { (kind, crowd) };
        (held.kind, held.crowd, held.order) = (kind, crowd, order);
        self.room(old_kind).remove(old_crowd, old_order);
        self.room(kind).insert(crowd, order, peer);
        self.push_out(kind, crowd)
    }

    /// It is gone, if it is still the one of this number.
    fn on_close(&mut self, peer: SocketAddr, number: Option<u64>) {
        let Some(held) = self.held.get(&peer).filter(|held| number.is_none_or(|number| held.number == number)) else {
            return;
        };
        let (kind, crowd, order) = (held.kind, held.crowd, held.order);
        self.held.remove(&peer);
        self.room(kind).remove(crowd, order);
    }

    fn push_out(&mut self, kind: Kind, newest: Crowd) -> Option<SocketAddr> {
        let peer = self.rooms[kind as usize].surplus(newest, self.limits.rooms[kind as usize])?;
        self.on_close(peer, None);
        Some(peer)
    }

    fn room(&mut self, kind: Kind) -> &mut Room {
        &mut self.rooms[kind as usize]
    }

    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// One of a crowd's silent ones that has had the time of a handshake from near, by chance: were it the oldest, whoever shakes
    /// hands from farther away would never end.
    fn one_of(&self, crowd: Crowd, now: Instant) -> Option<SocketAddr> {
        let held = self.rooms[Kind::Silent as usize].crowds.held.get(&crowd)?;
        let (first, mut end) = (*held.first_key_value()?.0, *held.last_key_value()?.0 + 1);
        while first < end {
            let drawn = first + self.chance.hash_one((self.order, end)) % (end - first);
            let (_, peer) = held.range(drawn..).next()?;
            if now.duration_since(self.held.get(peer)?.opened_at) >= HANDSHAKE_NEAR {
                return Some(*peer);
            }
            // Those behind it are younger.
            end = drawn;
        }
        None
    }

    fn rates(&self, from: IpAddr, now: Instant) -> Rates {
        let is_known = self.arrivals.is_signed_in(from, now);
        let rate = if is_known { self.limits.known } else { self.limits.new };
        Rates { network: rate, site: rate.times(SITE_TIMES), is_known }
    }

    /// The large networks: where somebody is signed in nobody is kept out by strangers around.
    fn sites(&mut self, is_known: bool) -> &mut Lately {
        if is_known { &mut self.known_site_arrivals } else { &mut self.site_arrivals }
    }

    /// Whether a network may open one more now. What is refused takes nothing, from itself or from others.
    fn may_come(&mut self, from: IpAddr, now: Instant) -> bool {
        let rates = self.rates(from, now);
        self.arrivals.has_one(from, rates.network, now)
            && site(from).is_none_or(|site| self.sites(rates.is_known).has_one(site, rates.site, now))
    }

    fn count_arrival(&mut self, from: IpAddr, now: Instant) {
        let rates = self.rates(from, now);
        self.arrivals.of(from, rates.network.burst, now).left -= 1.0;
        if let Some(site) = site(from) {
            self.sites(rates.is_known).of(site, rates.site.burst, now).left -= 1.0;
        }
    }

    fn note_signed_in(&mut self, from: IpAddr, now: Instant) {
        let Limits { new, known, .. } = self.limits;
        let arrivals = self.arrivals.of(from, new.burst, now);
        if !arrivals.is_signed_in(now) {
            (arrivals.left, arrivals.at) = (known.burst, now);
        }
        arrivals.signed_in_at = Some(now);
    }
}

/// The connections of the listener. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    table: Mutex<Table>,
    /// What ends a connection.
    ends: Mutex<HashMap<SocketAddr, (u64, ConnCtrl)>>,
    proxies: Vec<IpAddr>,
    fuse: FuseConfig,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections({})", self.shared.table.lock().held.len())
    }
}

impl Connections {
    /// Those of the named proxies carry everybody's requests, and are not counted here.
    pub fn new(limits: Limits, proxies: Vec<IpAddr>, fuse: FuseConfig) -> Connections {
        let table = Mutex::new(Table::new(limits));
        Connections { shared: Arc::new(Shared { table, ends: Mutex::default(), proxies, fuse }) }
    }

    /// How many there may be.
    pub fn total(&self) -> usize {
        self.shared.table.lock().limits.total()
    }

    /// A request came by a connection, from whom.
    pub fn on_request(&self, peer: SocketAddr, kind: Kind, crowd: Crowd) {
        if self.is_proxy(peer) {
            return;
        }
        let pushed_out = self.shared.table.lock().on_request(peer, kind, crowd, Instant::now());
        self.end(pushed_out);
    }

    /// It is a WebSocket now, and those are counted by the live feed.
    pub fn leave(&self, peer: SocketAddr) {
        self.shared.table.lock().on_close(peer, None);
        self.shared.ends.lock().remove(&peer);
    }

    fn is_proxy(&self, peer: SocketAddr) -> bool {
        self.shared.proxies.contains(&peer.ip().to_canonical())
    }

    fn end(&self, peer: Option<SocketAddr>) {
        let Some(peer) = peer else { return };
        if let Some((_, end)) = self.shared.ends.lock().remove(&peer) {
            metrics::counter!("flowtest_connections_pushed_out_total").increment(1);
            end.abort();
        }
    }
}

#[async_trait]
impl FusePolicy for Connections {
    async fn decide(&self, info: &FuseInfo) -> FuseAction {
        let Some(peer) = info.remote_addr.clone().into_std().filter(|peer| !self.is_proxy(*peer)) else {
            return FuseAction::Accept(self.shared.fuse.with_http1_header_timeout(HEAD_TIMEOUT));
        };
        let step = self.shared.table.lock().on_open(peer, Instant::now());
        match step {
            Step::Refuse => {
                metrics::counter!("flowtest_connections_refused_total").increment(1);
                FuseAction::Reject
            }
            Step::Take { head_timeout, pushed_out, .. } => {
                self.end(pushed_out);
                let fuse = self.shared.fuse.with_http1_header_timeout(head_timeout);
                FuseAction::Accept(fuse.with_tls_handshake_timeout(head_timeout))
            }
        }
    }

    fn observe(&self, info: &FuseInfo, end: &ConnCtrl) -> Option<ArcConnObserver> {
        let peer = info.remote_addr.clone().into_std()?;
        let number = self.shared.table.lock().held.get(&peer)?.number;
        self.shared.ends.lock().insert(peer, (number, end.clone()));
        Some(Arc::new(Leaving { connections: self.clone(), peer, number }))
    }
}

/// Lives as long as its connection.
struct Leaving {
    connections: Connections,
    peer: SocketAddr,
    number: u64,
}

impl ConnObserver for Leaving {}

impl Drop for Leaving {
    fn drop(&mut self) {
        let shared = &self.connections.shared;
        shared.table.lock().on_close(self.peer, Some(self.number));
        let mut ends = shared.ends.lock();
        // Another one of the same address may have come meanwhile.
        if ends.get(&self.peer).is_some_and(|(number, _)| *number == self.number) {
            ends.remove(&self.peer);
        }
    }
}
