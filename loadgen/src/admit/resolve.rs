//! From an endpoint to addresses: outside the workers.
//!
//! [`Names`] asks with a limit on its time, and knows what the operator has told of [`Hosts`]. All addresses of a name are
//! flooded, whether somebody listens there or not. Nobody here knows a policy.

pub mod hosts;
pub mod names;

pub use hosts::{Hosts, HostsError, HostsSource};
pub use names::Names;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// How long an address may take to accept when we only ask whether somebody listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(2);

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

impl From<ResolveError> for crate::Failed {
    fn from(error: ResolveError) -> crate::Failed {
        crate::Failed::Message(error.to_string())
    }
}

/// What was found as a list that is equal whenever its addresses are: sorted, each once, with the port.
pub(crate) fn listed(host: &str, found: Vec<IpAddr>, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut addresses: Vec<SocketAddr> = found.into_iter().map(|address| (address, port).into()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err(ResolveError::Empty { host: host.to_owned() }) } else { Ok(addresses) }
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

/// Those addresses at which somebody listens; an error when nobody does.
pub fn listening(endpoint: &str, addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut last = io::Error::other("no address");
    let mut listening = Vec::new();
    for address in addresses {
        match TcpStream::connect_timeout(address, LISTENS_WITHIN) {
            Ok(_) => listening.push(*address),
            Err(error) => last = error,
        }
    }
    if listening.is_empty() {
        return Err(ResolveError::Silent { endpoint: endpoint.to_owned(), error: last.to_string() });
    }
    Ok(listening)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn only_addresses_that_accept_are_kept() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let open_address = open.local_addr().unwrap();
        assert_eq!(listening("x", &[closed, open_address]).unwrap(), [open_address]);
        assert!(listening("x", &[closed]).unwrap_err().to_string().contains("nobody listens"));
    }
}
