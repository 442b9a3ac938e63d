//! Which addresses this machine's requests come from, so that contestants know whom to let in.
//!
//! The kernel's own lists say which addresses the interfaces have; connecting a UDP socket asks the routing table which
//! of them is used towards the world, and sends nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses kept at most.
const ADDRESSES_MAX: usize = 64;
/// Addresses of the documentation networks, which nobody has: packets to them would leave by the default route.
const FAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The addresses that requests may come from: what is used towards the world first, then the others that interfaces
/// have. Loopback only when there is nothing else.
pub fn source_addresses() -> Vec<IpAddr> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (v4, v6) = (read("/proc/net/fib_trie"), read("/proc/net/if_inet6"));
    ordered(FAR.into_iter().filter_map(towards), local_v4(&v4).into_iter().chain(local_v6(&v6)))
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

/// Of `/proc/net/fib_trie`: each `|-- address` that a line with `host LOCAL` follows.
fn local_v4(text: &str) -> Vec<IpAddr> {
    let mut last = None;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last
        {
            found.push(address.into());
        }
    }
    found
}

/// Of `/proc/net/if_inet6`: the first word of each line, 32 hexadecimal digits.
fn local_v6(text: &str) -> Vec<IpAddr> {
    let digits = text.lines().filter_map(|line| line.split_whitespace().next().filter(|word| word.len() == 32));
    digits.filter_map(|word| u128::from_str_radix(word, 16).ok()).map(|bits| Ipv6Addr::from(bits).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n        |-- 127.0.0.0\n\
                        \u{20}             /8 host LOCAL\n           |-- 127.0.0.1\n              /32 host LOCAL\n\
                        \u{20}          |-- 192.0.2.2\n              /32 host LOCAL\n        |-- 192.0.2.255\n\
                        \u{20}          /32 link BROADCAST\nLocal:\n           |-- 192.0.2.2\n              /32 host LOCAL\n";
    const INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\n\
                         fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
                         20010db8000000000000000000000002 04 40 00 82     eth0\nshort 1\n";

    fn text(addresses: &[IpAddr]) -> Vec<String> {
        addresses.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn addresses_of_interfaces_are_told_without_loopback_and_neighbours() {
        let held = || local_v4(TRIE).into_iter().chain(local_v6(INET6));
        assert_eq!(text(&ordered(std::iter::empty(), held())), ["192.0.2.2", "2001:db8::2"]);
        // What is used towards the world comes first, and once.
        let used = || ["2001:db8::2".parse().unwrap()].into_iter();
        assert_eq!(text(&ordered(used(), held())), ["2001:db8::2", "192.0.2.2"]);
    }

    #[test]
    fn loopback_is_told_only_when_there_is_nothing_else() {
        assert_eq!(text(&ordered(std::iter::empty(), local_v4("").into_iter())), ["127.0.0.1"]);
        assert!(!source_addresses().is_empty());
    }
}
