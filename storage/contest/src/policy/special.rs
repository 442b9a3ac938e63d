//! The addresses that are not simply somebody's public server, each with what it is: the special-purpose registries
//! of IANA (RFC 6890 and its updates) and the addresses at which clouds talk to their machines.
//!
//! It says what an address is. Whether it may be flooded is the policy's word.

use super::Network;
use crate::address::{low_v4, v4_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What it takes to open a special range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opens {
    /// Nothing: no contest has a server there.
    Never,
    /// An allowed network that lies within the range: `0.0.0.0/0` does not mean the generator itself.
    ByItself,
    /// Any allowed network that holds the address.
    ByAny,
}

/// A special range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) network: Network,
    pub(super) opens: Opens,
    /// What it is, behind "is".
    pub(super) is: &'static str,
}

const fn v4(octets: [u8; 4], prefix: u8, opens: Opens, is: &'static str) -> Range {
    Range { network: Network::v4(octets, prefix), opens, is }
}

const fn v6(segments: [u16; 8], prefix: u8, opens: Opens, is: &'static str) -> Range {
    Range { network: Network::v6(segments, prefix), opens, is }
}

/// The first range that holds an address decides, so narrow ones stand before the wide ones around them.
pub(super) const RANGES: &[Range] = {
    use Opens::{ByAny, ByItself, Never};
    &[
        v4([0, 0, 0, 0], 8, Never, "this machine without a network (RFC 791)"),
        v4([169, 254, 0, 0], 16, Never, "link-local, where clouds keep their metadata (RFC 3927)"),
        v4([168, 63, 129, 16], 32, Never, "Azure's service for its machines"),
        v4([100, 100, 100, 200], 32, Never, "Alibaba Cloud's metadata service"),
        v4([192, 0, 0, 192], 32, Never, "Oracle Cloud's metadata service"),
        v4([224, 0, 0, 0], 4, Never, "a multicast group (RFC 5771)"),
        v4([255, 255, 255, 255], 32, Never, "the broadcast address (RFC 919)"),
        v4([127, 0, 0, 0], 8, ByItself, "the generator's own machine (RFC 1122)"),
        v4([10, 0, 0, 0], 8, ByAny, "private (RFC 1918)"),
        v4([172, 16, 0, 0], 12, ByAny, "private (RFC 1918)"),
        v4([192, 168, 0, 0], 16, ByAny, "private (RFC 1918)"),
        v4([100, 64, 0, 0], 10, ByAny, "shared by a carrier's customers (RFC 6598)"),
        v4([192, 0, 0, 0], 24, ByAny, "for protocols, not for servers (RFC 6890)"),
        v4([192, 0, 2, 0], 24, ByAny, "for documentation (RFC 5737)"),
        v4([198, 51, 100, 0], 24, ByAny, "for documentation (RFC 5737)"),
        v4([203, 0, 113, 0], 24, ByAny, "for documentation (RFC 5737)"),
        v4([192, 31, 196, 0], 24, ByAny, "a sink of name servers (RFC 7535)"),
        v4([192, 175, 48, 0], 24, ByAny, "a sink of name servers (RFC 7534)"),
        v4([192, 52, 193, 0], 24, ByAny, "a relay of multicast (RFC 7450)"),
        v4([192, 88, 99, 0], 24, ByAny, "a relay of 6to4 (RFC 7526)"),
        v4([198, 18, 0, 0], 15, ByAny, "for benchmarks of devices (RFC 2544)"),
        v4([240, 0, 0, 0], 4, ByAny, "reserved (RFC 1112)"),
        v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Never, "no address (RFC 4291)"),
        v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Never, "link-local (RFC 4291)"),
        v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Never, "a multicast group (RFC 4291)"),
        v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0], 32, Never, "where AWS keeps its metadata, time and names"),
        v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128, Never, "Google Cloud's metadata service"),
        // Which bits are the IPv4 address is known to the local translator alone, so nobody can judge it.
        v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Never, "an IPv4 address behind a local translator (RFC 8215)"),
        v6([0, 0, 0, 0, 0, 0, 0, 1], 128, ByItself, "the generator's own machine (RFC 4291)"),
        v6([0, 0, 0, 0, 0, 0, 0, 0], 96, ByAny, "an IPv4 address in deprecated clothes (RFC 4291)"),
        v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, ByAny, "a translated IPv4 address (RFC 2765)"),
        v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, ByAny, "an IPv4 address behind 6to4 (RFC 3056)"),
        v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, ByAny, "an IPv4 address behind Teredo (RFC 4380)"),
        v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, ByAny, "for protocols, not for servers (RFC 2928)"),
        v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32, ByAny, "for documentation (RFC 3849)"),
        v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, ByAny, "for documentation (RFC 9637)"),
        v6([0x2620, 0x004f, 0x8000, 0, 0, 0, 0, 0], 48, ByAny, "a sink of name servers (RFC 7534)"),
        v6([0x0100, 0, 0, 0, 0, 0, 0, 0], 64, ByAny, "where packets are discarded (RFC 6666)"),
        v6([0x0100, 0, 0, 1, 0, 0, 0, 0], 64, ByAny, "a dummy (RFC 9780)"),
        v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, ByAny, "for routing by segments (RFC 9602)"),
        v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, ByAny, "private (RFC 4193)"),
        v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, ByAny, "private in the old way (RFC 3879)"),
    ]
};

/// Public IPv6 addresses are handed out from here; everything else is kept for later.
const GLOBAL_UNICAST: Network = Network::v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// Whatever no other range names, outside [`GLOBAL_UNICAST`].
const UNASSIGNED: Range = v6([0; 8], 0, Opens::ByAny, "not handed out to anybody (RFC 4291)");

/// What is special about an address. `None`: nothing, it is public.
pub(super) fn find(address: IpAddr) -> Option<&'static Range> {
    RANGES
        .iter()
        .find(|range| range.network.contains(address))
        .or_else(|| (address.is_ipv6() && !GLOBAL_UNICAST.contains(address)).then_some(&UNASSIGNED))
}

/// The range that lets only networks within itself open it, when this network lies in one.
pub(super) fn opened_by_itself(network: &Network) -> Option<&'static Range> {
    RANGES.iter().find(|range| range.opens == Opens::ByItself && range.network.covers(network))
}

/// The IPv4 addresses inside an IPv6 one: a packet to it may end up at them.
pub(super) fn embedded(address: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let inside = match address {
        IpAddr::V4(_) => [None, None],
        IpAddr::V6(address) => embedded_in(address),
    };
    inside.into_iter().flatten()
}

fn embedded_in(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    match address.segments() {
        [0x2002, a, b, ..] => [Some(v4_of(a, b)), None],
        // The server, and the client with its bits turned over.
        [0x2001, 0, a, b, ..] => [Some(v4_of(a, b)), Some(Ipv4Addr::from_bits(!low_v4(address).to_bits()))],
        // Compatible; the unspecified address and loopback embed nothing.
        [0, 0, 0, 0, 0, 0, ..] if address.to_bits() > 1 => [Some(low_v4(address)), None],
        [0, 0, 0, 0, 0xffff, 0, ..] => [Some(low_v4(address)), None],
        // ISATAP (RFC 5214) hides in the lower half of any network.
        [.., 0 | 0x200, 0x5efe, _, _] => [Some(low_v4(address)), None],
        _ => [None, None],
    }
}
