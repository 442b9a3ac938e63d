//! From an endpoint to addresses: outside the workers.
//!
//! [`Names`] asks with a limit on its time, and knows what the operator has told of [`Hosts`]. A run begins with those addresses
//! of a name at which somebody listens. Nobody here knows a policy.

pub mod hosts;
pub mod names;

pub use hosts::{Hosts, HostsError, HostsSource};
pub use names::Names;

use flowtest_contest::Endpoint;
use flowtest_contest::address::comparable;
use flowtest_contest::endpoint::Host;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How long an address may take to accept when we only ask whether somebody listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(2);
/// So many are asked at once: all addresses of a name.
const ASKED_AT_ONCE: usize = ADDRESSES_MAX;

/// Why an endpoint has no address to flood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("{host}: the name does not resolve ({error}): check the spelling and this machine's DNS")]
    Unknown { host: String, error: String },
    #[error("{host}: the name has no address: give it one in DNS")]
    Empty { host: String },
    #[error("{host}: the name's lookup has no answer yet: check this machine's DNS")]
    Stuck { host: String },
    #[error("{host}: too many lookups have no answer yet to begin another: check this machine's DNS")]
    Busy { host: String },
    #[error("{endpoint}: nobody listens there ({error}): start the server first, or check address and port")]
    Silent { endpoint: String, error: String },
}

impl ResolveError {
    /// The same for a contestant, who cannot look at the generator's machine.
    pub fn for_contestants(&self) -> String {
        match self {
            ResolveError::Unknown { host, .. } => {
                format!("{host}: the name does not resolve: check the spelling, and give it an address in DNS")
            }
            ResolveError::Stuck { host } | ResolveError::Busy { host } => {
                format!("{host}: the name's lookup has no answer yet: try again, and ask the organisers if it stays so")
            }
            ResolveError::Empty { .. } | ResolveError::Silent { .. } => self.to_string(),
        }
    }
}

impl From<ResolveError> for crate::Failed {
    fn from(error: ResolveError) -> crate::Failed {
        crate::Failed::Message(error.to_string())
    }
}

/// Addresses of one name that are used; more are named.
pub const ADDRESSES_MAX: usize = 64;

/// What was found as a list that is equal whenever its addresses are: sorted, each once in whatever form, with the port.
pub(crate) fn listed(host: &str, found: Vec<IpAddr>, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut addresses: Vec<SocketAddr> = found.into_iter().map(|address| (address, port).into()).collect();
    // Of two forms of one address the plain one is asked.
    addresses.sort_unstable_by_key(|address| (comparable(*address), *address));
    addresses.dedup_by_key(|address| comparable(*address));
    if addresses.is_empty() { Err(ResolveError::Empty { host: host.to_owned() }) } else { Ok(addresses) }
}

/// At most [`ADDRESSES_MAX`] of a list, the same on all generators, and how many of them get nothing.
pub(crate) fn bounded(mut addresses: Vec<SocketAddr>) -> (Vec<SocketAddr>, usize) {
    let unused = addresses.len().saturating_sub(ADDRESSES_MAX);
    addresses.truncate(ADDRESSES_MAX);
    (addresses, unused)
}

/// What is told of a name that has more.
pub(crate) fn too_many(host: &dyn std::fmt::Display, unused: usize) -> String {
    format!(
        "{host} has {} addresses, of which {ADDRESSES_MAX} are used and {unused} get no request: put a balancer before them",
        ADDRESSES_MAX + unused
    )
}

/// Those that this machine knows a way to, or all when it knows none to any. A name with IPv6 addresses on a machine
/// without IPv6: what we cannot reach is no fault of the contestant.
pub(crate) fn reachable(mut found: Vec<IpAddr>) -> Vec<IpAddr> {
    if found.len() > 1 && found.iter().any(has_route) {
        found.retain(has_route);
    }
    found
}

/// Whether this machine knows a way there. Connecting a UDP socket asks the routing table and sends nothing.
fn has_route(address: &IpAddr) -> bool {
    /// Any port does: nobody gets a packet.
    const PORT: u16 = 80;
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    UdpSocket::bind(any).and_then(|socket| socket.connect((*address, PORT))).is_ok()
}

/// Those addresses at which nobody listens, with why. Some are asked at once.
pub fn silent(addresses: &[SocketAddr]) -> HashMap<SocketAddr, io::Error> {
    let (next, silent) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    let ask = || {
        while let Some(address) = addresses.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = TcpStream::connect_timeout(address, LISTENS_WITHIN) {
                silent.lock().insert(*address, error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..addresses.len().min(ASKED_AT_ONCE) {
            // This thread asks as well, so it only takes longer when there is no other.
            let _ = thread::Builder::new().name("listens".to_owned()).spawn_scoped(scope, ask);
        }
        ask();
    });
    silent.into_inner()
}

/// The addresses of an endpoint that get requests: those where somebody listens, as in a contest that is served, and all where
/// nobody does. The sentence is what is to be told of the others; none of `localhost`, which often is `::1` as well with a server
/// on one of the two.
pub fn begun_with(
    endpoint: &Endpoint,
    mut addresses: Vec<SocketAddr>,
    silent: &HashMap<SocketAddr, io::Error>,
) -> (Vec<SocketAddr>, Option<String>) {
    let (all, is_silent) = (addresses.len(), |address: &SocketAddr| silent.contains_key(address));
    let left_out: Vec<String> =
        addresses.iter().filter(|address| is_silent(address)).map(ToString::to_string).collect();
    if left_out.is_empty() || left_out.len() == all {
        return (addresses, None);
    }
    addresses.retain(|address| !is_silent(address));
    let told = format!(
        "{endpoint}: nobody listens on {} of its {all} addresses: these get no request; start the server there before, or name one \
         address",
        left_out.join(", ")
    );
    let is_localhost = matches!(&endpoint.host, Host::Name(name) if name == "localhost");
    (addresses, Some(told).filter(|_| !is_localhost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_address_in_two_forms_is_listed_once() {
        let found = ["64:ff9b::127.0.0.9", "::ffff:127.0.0.2", "127.0.0.9", "::1", "127.0.0.2", "2002:7f00:9::"];
        let found = found.map(|address| address.parse().unwrap()).to_vec();
        let listed = listed("a.test", found, 80).unwrap();
        let texts: Vec<String> = listed.iter().map(SocketAddr::to_string).collect();
        assert_eq!(texts, ["127.0.0.2:80", "127.0.0.9:80", "[::1]:80"]);
    }

    #[test]
    fn only_addresses_that_accept_are_begun_with_and_all_where_none_does() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let open_address = open.local_addr().unwrap();
        let both = vec![closed, open_address];
        let silent = silent(&both);
        let begun_with = |name: &str, addresses| begun_with(&name.parse().unwrap(), addresses, &silent);
        let (addresses, told) = begun_with("a.test", both.clone());
        assert_eq!(addresses, [open_address]);
        assert!(told.unwrap().contains(&format!("nobody listens on {closed} of its 2 addresses")));
        assert_eq!(begun_with("localhost", both), (vec![open_address], None));
        assert_eq!(begun_with("a.test", vec![closed]), (vec![closed], None));
    }
}
