//! Which addresses this machine's requests come from, so that contestants know whom to let in.
//!
//! The interfaces say which addresses they have; connecting a UDP socket asks the routing table which of them is used
//! towards the world, and sends nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses kept at most.
const ADDRESSES_MAX: usize = 64;
/// Addresses of the documentation networks, which nobody has: packets to them would leave by the default route.
const FAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The addresses that requests may come from: what is used towards the world first, then the others that interfaces
/// have. Loopback only when there is nothing else.
pub fn source_addresses() -> Vec<IpAddr> {
    let held = if_addrs::get_if_addrs().unwrap_or_default();
    ordered(FAR.into_iter().filter_map(towards), held.iter().map(if_addrs::Interface::ip))
}

/// Each once, and none that only this machine or its nearest neighbours know.
fn ordered(used: impl Iterator<Item = IpAddr>, held: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for address in used.chain(held) {
        let near = match address {
            IpAddr::V4(address) => address.is_loopback() || address.is_link_local() || address.is_unspecified(),
            IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified(),
        };
        if !near && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { addresses }
}

/// Our address on the way there, when there is one.
fn towards(far: IpAddr) -> Option<IpAddr> {
    /// Any port does: nobody gets a packet.
    const PORT: u16 = 80;
    let any: SocketAddr =
        if far.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((far, PORT)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn text(addresses: &[IpAddr]) -> Vec<String> {
        addresses.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn addresses_of_interfaces_are_told_without_loopback_and_neighbours() {
        let held = || ["127.0.0.1", "192.0.2.2", "::1", "fe80::fc:ff:fe00:1", "2001:db8::2"].map(ip).into_iter();
        assert_eq!(text(&ordered(std::iter::empty(), held())), ["192.0.2.2", "2001:db8::2"]);
        // What is used towards the world comes first, and once.
        let used = || ["2001:db8::2"].map(ip).into_iter();
        assert_eq!(text(&ordered(used(), held())), ["2001:db8::2", "192.0.2.2"]);
    }

    #[test]
    fn loopback_is_told_only_when_there_is_nothing_else() {
        assert_eq!(text(&ordered(std::iter::empty(), ["127.0.0.1"].map(ip).into_iter())), ["127.0.0.1"]);
        assert!(!source_addresses().is_empty());
    }
}
