//! From an endpoint to addresses: outside the workers, before a run.

use flowtest_scoreboard::endpoint::{Endpoint, Host};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// How long an address may take to accept when we only ask whether somebody listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(2);

/// Why an endpoint has no address to flood.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("{host}: the name does not resolve ({error}): check the spelling and this machine's DNS")]
    Unknown { host: String, error: io::Error },
    #[error("{host}: the name has no address")]
    Empty { host: String },
    #[error("{endpoint}: nobody listens there ({error}): start the server first, or check address and port")]
    Silent { endpoint: String, error: io::Error },
}

/// All addresses of an endpoint, each once.
pub fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ResolveError> {
    let port = endpoint.port;
    let host = match &endpoint.host {
        Host::V4(address) => return Ok(vec![(*address, port).into()]),
        Host::V6(address) => return Ok(vec![(*address, port).into()]),
        Host::Name(name) => name.as_str(),
    };
    let found =
        (host, port).to_socket_addrs().map_err(|error| ResolveError::Unknown { host: host.to_owned(), error })?;
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(ResolveError::Empty { host: host.to_owned() });
    }
    // A name with IPv6 addresses on a machine without IPv6: what we cannot reach is no fault of the contestant.
    if addresses.iter().any(has_route) {
        addresses.retain(has_route);
    }
    Ok(addresses)
}

/// Whether this machine knows a way there. Connecting a UDP socket asks the routing table and sends nothing.
fn has_route(address: &SocketAddr) -> bool {
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}

/// Those addresses at which somebody listens; an error when nobody does.
///
/// `localhost` often is both `::1` and `127.0.0.1` with a server on one of them only.
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
        return Err(ResolveError::Silent { endpoint: endpoint.to_owned(), error: last });
    }
    Ok(listening)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_name_that_does_not_exist_is_named_in_the_error() {
        let error = resolve(&"no-such-host.invalid".parse().unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("no-such-host.invalid: "), "{error}");
    }

    #[test]
    fn addresses_need_no_resolver() {
        for (endpoint, address) in [("[::1]:81", "[::1]:81"), ("127.0.0.1", "127.0.0.1:80")] {
            assert_eq!(resolve(&endpoint.parse().unwrap()).unwrap(), [address.parse::<SocketAddr>().unwrap()]);
        }
        let local = resolve(&"localhost:8080".parse().unwrap()).unwrap();
        assert!(local.iter().all(|address| address.ip().is_loopback() && address.port() == 8080));
    }

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
