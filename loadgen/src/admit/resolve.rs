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

/// The addresses of an endpoint that are not begun with: those where nobody listens, as in a contest that is served, and none where
/// nobody does at any. The sentence is what is to be told of them; none of `localhost`, which often is `::1` as well with a server
/// on one of the two.
pub fn left_out(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    silent: &HashMap<SocketAddr, io::Error>,
) -> (Vec<SocketAddr>, Option<String>) {
    let mut left_out: Vec<SocketAddr> =
        addresses.iter().copied().filter(|address| silent.contains_key(address)).collect();
    if left_out.len() == addresses.len() {
        left_out.clear();
    }
    let is_localhost = matches!(&endpoint.host, Host::Name(name) if name == "localhost");
    let told = (!left_out.is_empty() && !is_localhost).then(|| {
        let named: Vec<String> =
            left_out.iter().filter_map(|address| Some(format!("{address} ({})", silent.get(address)?))).collect();
        format!("{endpoint}: of its {} addresses nobody listens on {}", addresses.len(), named.join(", "))
    });
    (left_out, told)
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
    fn addresses_where_nobody_listens_are_left_out_and_none_where_nobody_does_at_any() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let open_address = open.local_addr().unwrap();
        let both = vec![closed, open_address];
        let silent = silent(&both);
        let left_out = |name: &str, addresses: &[SocketAddr]| left_out(&name.parse().unwrap(), addresses, &silent);
        let (addresses, told) = left_out("a.test", &both);
        assert_eq!(addresses, [closed]);
        assert!(told.unwrap().contains(&format!("of its 2 addresses nobody listens on {closed} (Connection refused")));
        assert_eq!(left_out("localhost", &both), (vec![closed], None));
        assert_eq!(left_out("a.test", &[closed]), (vec![], None));
    }
}
