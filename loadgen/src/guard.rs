//! Which addresses a contest may flood: public ones, and those that its policy opens.
//!
//! `stress` takes the operator's word for its URLs; a contest file may come from others.

use flowtest_scoreboard::contest::Policy;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the policy lets a contest send load to this address.
pub fn permits(policy: &Policy, address: IpAddr) -> bool {
    // An IPv4 address in IPv6 clothes is judged as what it is.
    let address = address.to_canonical();
    is_public(address) || policy.allow.iter().any(|network| network.contains(address))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The special-purpose registry of IANA (RFC 6890 and its updates).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b)) // shared by carriers, RFC 6598
        || (a == 192 && b == 0 && c == 0) // protocol assignments, RFC 6890
        || (a == 192 && b == 88 && c == 99) // 6to4 relays, RFC 7526
        || (a == 198 && (18..20).contains(&b)) // benchmarks of devices, RFC 2544
        || a >= 224) // multicast, reserved, broadcast
}

/// Only global unicast, less what carries an IPv4 address inside: that would be a way around the rules above.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    (0x2000..0x4000).contains(&a)
        && !(a == 0x2001 && b < 0x200) // protocol assignments, Teredo among them, RFC 2928 and 4380
        && !(a == 0x2001 && b == 0xdb8) // documentation, RFC 3849
        && !(a == 0x3fff && b < 0x1000) // documentation, RFC 9637
        && a != 0x2002 // 6to4, RFC 3056
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_scoreboard::Contest;

    fn policy(allow: &str) -> Policy {
        let text = format!(
            "name = \"x\"\nstart = \"now\"\n[[phase]]\nfor = \"1s\"\nrate = 1\nconnections = 1\n[[contestant]]\n\
             name = \"a\"\nendpoint = \"127.0.0.1:1\"\n[policy]\nallow = [{allow}]\n"
        );
        Contest::from_toml(&text).unwrap().policy
    }

    #[test]
    fn only_public_addresses_are_open_by_default() {
        let none = policy("");
        for open in
            ["8.8.8.8", "2606:4700::1", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "223.255.255.255"]
        {
            assert!(permits(&none, open.parse().unwrap()), "{open}");
        }
        for closed in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "3fff::1",
        ] {
            assert!(!permits(&none, closed.parse().unwrap()), "{closed}");
        }
    }

    #[test]
    fn what_the_policy_opens_is_open_in_any_clothes() {
        let open = policy("\"127.0.0.0/8\", \"10.1.0.0/16\"");
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "10.1.2.3"] {
            assert!(permits(&open, address.parse().unwrap()), "{address}");
        }
        assert!(!permits(&open, "10.2.0.1".parse().unwrap()));
        assert!(!permits(&open, "::1".parse().unwrap()));
    }
}
