//! When two addresses are one server: the form in which addresses are compared. Pure.
//!
//! Policy, rosters, rivals, names and probes ask here and nowhere else, so that no form of writing an address makes two of
//! one. Only forms count whose packets end at the IPv4 address whoever writes them: in a network of one's own anybody may
//! write somebody else's IPv4 address into the lower half (ISATAP, RFC 5214), and that claims nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The prefix of NAT64 that is the same everywhere (RFC 6052).
const NAT64: u128 = 0x0064_ff9b_0000_0000_0000_0000;
/// The prefix of translated IPv4 addresses (RFC 2765).
const TRANSLATED: u128 = 0xffff_0000;

/// The address and port by which servers are compared, without a zone.
pub fn comparable(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(comparable_ip(address.ip()), address.port())
}

/// The address by which machines are compared: of an IPv4 address that is written as IPv6 itself, be it mapped, behind NAT64
/// or 6to4, compatible or translated.
pub fn comparable_ip(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = unmapped(address) else { return unmapped(address) };
    match v6.segments() {
        [0x2002, a, b, ..] => v4_of(a, b).into(),
        // Compatible, but for the unspecified address and loopback.
        [0, 0, 0, 0, 0, 0, ..] if v6.to_bits() > 1 => low_v4(v6).into(),
        _ if v6.to_bits() >> 32 == TRANSLATED => low_v4(v6).into(),
        _ => v6.into(),
    }
}

/// An IPv4 address that is written as IPv6 and goes to the same place by itself: mapped (the kernel sends IPv4), or behind
/// the well-known prefix of NAT64, by which machines without IPv4 reach public servers.
pub(crate) fn unmapped(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if v6.to_bits() >> 32 == NAT64 => low_v4(v6).into(),
        other => other,
    }
}

/// The IPv4 address in the last 32 bits.
pub(crate) fn low_v4(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// The IPv4 address of two segments.
pub(crate) fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_forms_of_one_address_are_one() {
        // (as written, as compared)
        let cases = [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),   // mapped
            ("[64:ff9b::127.0.0.1]:80", "127.0.0.1:80"), // NAT64
            ("[2002:7f00:1::]:80", "127.0.0.1:80"),      // 6to4
            ("[2002:7f00:1:7::9]:80", "127.0.0.1:80"),   // 6to4, a machine behind it
            ("[::127.0.0.1]:80", "127.0.0.1:80"),        // compatible
            ("[::ffff:0:127.0.0.1]:80", "127.0.0.1:80"), // translated
            ("[2001:db8::1%7]:80", "[2001:db8::1]:80"),  // a zone
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),    // itself
            ("[::1]:80", "[::1]:80"),                    // loopback is no compatible 0.0.0.1
            ("[::]:80", "[::]:80"),                      // nor is this 0.0.0.0
            // Anybody may write these into a network of his own, or they mean something else.
            ("[2001:db8::5efe:10.0.0.1]:80", "[2001:db8::5efe:a00:1]:80"),
            ("[64:ff9b:1::10.0.0.1]:80", "[64:ff9b:1::a00:1]:80"),
        ];
        for (written, compared) in cases {
            let address: SocketAddr = written.parse().expect(written);
            assert_eq!(comparable(address).to_string(), compared, "{written}");
        }
    }

    proptest! {
        #[test]
        fn what_is_compared_is_compared_as_itself(bits in any::<u128>(), prefix in 0usize..5, port in any::<u16>()) {
            let prefixes = [None, Some(0xffff), Some(NAT64), Some(TRANSLATED), Some(0)];
            let bits = prefixes[prefix].map_or(bits, |prefix| prefix << 32 | (bits & u128::from(u32::MAX)));
            let once = comparable(SocketAddr::new(Ipv6Addr::from_bits(bits).into(), port));
            prop_assert_eq!(comparable(once), once);
            prop_assert_eq!(once.port(), port);
        }
    }
}
