//! Where a request really comes from. Only proxies that the operator named are believed.

use salvo::Request;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of the client: the peer's, or when that is a named proxy, the last address in `X-Forwarded-For` that
/// is none. What stands before it, anybody could have written.
pub fn client_address(req: &Request, proxies: &[IpAddr]) -> IpAddr {
    let peer = req.remote_addr().ip().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).to_canonical();
    let forwarded = req.headers().get_all("x-forwarded-for");
    let hops: Vec<&str> =
        forwarded.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    from_hops(peer, &hops, proxies)
}

fn from_hops(peer: IpAddr, hops: &[&str], proxies: &[IpAddr]) -> IpAddr {
    let mut address = peer;
    for hop in hops.iter().rev() {
        if !proxies.contains(&address) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(next) => address = next.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

/// The network that stands for an address where somebody's attempts are counted: whoever has one IPv6 address has the
/// 2^64 beside it (RFC 4291, section 2.5.4).
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// The large network of an IPv6 address, as providers give them to anybody: a /48.
pub fn site(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_proxies_are_believed() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let proxies = [ip("10.0.0.1"), ip("10.0.0.2")];
        // (peer, X-Forwarded-For, who it is)
        let cases: [(&str, &[&str], &str); 6] = [
            ("192.0.2.7", &["1.2.3.4"], "192.0.2.7"),
            ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            // the client wrote the first one itself
            ("10.0.0.1", &["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
            ("10.0.0.1", &["junk"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ];
        for (peer, hops, expected) in cases {
            assert_eq!(from_hops(ip(peer), hops, &proxies), ip(expected), "{peer} {hops:?}");
        }
    }
}
