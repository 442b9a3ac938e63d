//! A block of addresses, as people write it: `10.0.0.0/8`.
//!
//! It knows nothing of policies. An IPv4 block written as IPv6 (`::ffff:10.0.0.0/104`) is read as the IPv4 one, so that
//! one block has one text.

use crate::address::comparable_ip;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Text that is no block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("{0:?} is no block of addresses: write it like 10.0.0.0/8 or fd00::/8")]
    Syntax(String),
    #[error("{0:?} has bits set behind its prefix: write {1}")]
    HostBits(String, Network),
}

impl Network {
    pub(super) const fn v4(octets: [u8; 4], prefix: u8) -> Network {
        let [a, b, c, d] = octets;
        Network { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    pub(super) const fn v6(segments: [u16; 8], prefix: u8) -> Network {
        let [a, b, c, d, e, f, g, h] = segments;
        Network { address: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix }
    }

    /// The block of one address, in the form in which addresses are compared.
    pub fn of(address: IpAddr) -> Network {
        match comparable_ip(address) {
            IpAddr::V4(address) => Network { address: address.into(), prefix: 32 },
            IpAddr::V6(address) => Network { address: address.into(), prefix: 128 },
        }
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits count.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => (ours.to_bits() ^ theirs.to_bits()) & mask4(self.prefix) == 0,
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (ours.to_bits() ^ theirs.to_bits()) & mask6(self.prefix) == 0,
            _ => false,
        }
    }

    /// Whether every address of the other block is in this one.
    pub fn covers(&self, other: &Network) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// What two blocks have in common: the narrower one, or nothing.
    pub(super) fn common(&self, other: &Network) -> Option<Network> {
        if self.covers(other) { Some(*other) } else { other.covers(self).then_some(*self) }
    }

    /// What is left of this block without another one, in as few blocks as that takes.
    pub(super) fn without(&self, other: &Network) -> Vec<Network> {
        match (other.covers(self), self.covers(other)) {
            (true, _) => Vec::new(),
            (false, false) => vec![*self],
            (false, true) => self.halves().iter().flat_map(|half| half.without(other)).collect(),
        }
    }

    /// Of a block of more than one address.
    fn halves(&self) -> [Network; 2] {
        let prefix = self.prefix + 1;
        let high = match self.address {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() | (mask4(prefix) ^ mask4(self.prefix))).into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() | (mask6(prefix) ^ mask6(self.prefix))).into(),
        };
        [Network { address: self.address, prefix }, Network { address: high, prefix }]
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let wrong = || NetworkError::Syntax(text.chars().take(60).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let digits = prefix.bytes().all(|digit| digit.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        let masked = match address {
            IpAddr::V4(address) if prefix <= 32 => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask4(prefix))),
            IpAddr::V6(address) if prefix <= 128 => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask6(prefix))),
            _ => return Err(wrong()),
        };
        let network = match (masked, masked.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(inner)) if prefix >= MAPPED_PREFIX => {
                Network { address: inner.into(), prefix: prefix - MAPPED_PREFIX }
            }
            _ => Network { address: masked, prefix },
        };
        if masked == address { Ok(network) } else { Err(NetworkError::HostBits(text.to_owned(), network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Leading bits of `::ffff:0.0.0.0/96`, behind which an IPv4 address stands.
const MAPPED_PREFIX: u8 = 96;

fn mask4(prefix: u8) -> u32 {
    // A shift by the whole width is no shift at all in hardware.
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let network: Network = "10.0.0.0/8".parse().expect("a network");
        assert!(network.contains("10.255.0.1".parse().expect("an address")));
        assert!(!network.contains("11.0.0.1".parse().expect("an address")));
        assert!(!network.contains("::1".parse().expect("an address")));
        let all: Network = "0.0.0.0/0".parse().expect("a network");
        assert!(all.contains("203.0.113.9".parse().expect("an address")));
        let one: Network = "::1/128".parse().expect("a network");
        assert!(one.contains("::1".parse().expect("an address")));
        assert!(!one.contains("::2".parse().expect("an address")));
    }

    #[test]
    fn a_network_covers_what_is_as_narrow_and_inside() {
        let network = |text: &str| text.parse::<Network>().expect("a network");
        assert!(network("10.0.0.0/8").covers(&network("10.1.0.0/16")));
        assert!(network("10.0.0.0/8").covers(&network("10.0.0.0/8")));
        assert!(!network("10.1.0.0/16").covers(&network("10.0.0.0/8")));
        assert!(!network("0.0.0.0/0").covers(&network("::/0")));
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"), "one block, one text");
        assert_eq!(network("::ffff:10.0.0.0/104").to_string(), "10.0.0.0/8");
    }

    #[test]
    fn what_is_no_network_is_named() {
        for bad in ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "::/129", "x/8", "10.0.0.0/8/8"] {
            assert!(matches!(bad.parse::<Network>(), Err(NetworkError::Syntax(_))), "{bad:?}");
        }
        let error = "10.1.2.3/8".parse::<Network>().expect_err("bits behind the prefix");
        assert_eq!(error.to_string(), "\"10.1.2.3/8\" has bits set behind its prefix: write 10.0.0.0/8");
    }
}
