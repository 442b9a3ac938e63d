//! Which endpoints and addresses a contest may flood. Generator and dashboard ask here and nowhere else.
//!
//! Public addresses are open; `allow` opens more, `deny` closes, and **deny wins over allow**. An IPv4 address that is
//! written as IPv6 is judged as itself. It decides and touches nothing: who connects asks about every address a name
//! resolves to, each time it resolves.

mod network;
mod port;
mod special;
#[cfg(test)]
mod tests;

pub use network::{Network, NetworkError};

use crate::address::{comparable, unmapped};
use crate::endpoint::{Endpoint, Host};
use special::Opens;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Entries of `allow` and of `deny` at most: every address is compared with all of them.
pub const ENTRIES_MAX: usize = 1_000;

/// The policy of a contest, or the ceiling of a generator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Networks opened beside the public ones.
    pub allow: Vec<Network>,
    /// Closed whatever `allow` says: networks, and the platform's own addresses.
    pub deny: Vec<Denied>,
    /// Whether two contestants may have the same address and port.
    pub allow_shared: bool,
    /// Whether a server has to say whose it is.
    pub ownership: Ownership,
    /// Whose certificates are taken over https. A contest's alone to say: no ceiling speaks of it.
    pub tls: TlsTrust,
}

/// What proves that a server is the contestant's who names it. An echo cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ownership {
    /// Nothing is asked for: the three headers of the contract suffice.
    #[default]
    Off,
    /// Each answer carries `Team: <the contestant's login name>`.
    Header,
}

impl Ownership {
    pub const ALL: [Ownership; 2] = [Ownership::Off, Ownership::Header];

    pub fn as_str(self) -> &'static str {
        match self {
            Ownership::Off => "off",
            Ownership::Header => "header",
        }
    }

    pub fn is_asked_for(self) -> bool {
        self != Ownership::Off
    }
}

impl FromStr for Ownership {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Ownership, &'static str> {
        let known = Ownership::ALL.into_iter().find(|ownership| ownership.as_str() == text);
        known.ok_or("write \"off\", or \"header\" where each answer has to carry Team with the contestant's name")
    }
}

/// Which certificates of servers over https are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsTrust {
    /// In date, for the host of the endpoint, and signed by an authority that the generator's machine trusts.
    #[default]
    Verify,
    /// Any: also those that a server has signed itself, for any name and of any date.
    Any,
}

impl TlsTrust {
    pub const ALL: [TlsTrust; 2] = [TlsTrust::Verify, TlsTrust::Any];

    pub fn as_str(self) -> &'static str {
        match self {
            TlsTrust::Verify => "verify",
            TlsTrust::Any => "any",
        }
    }
}

impl FromStr for TlsTrust {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<TlsTrust, &'static str> {
        let known = TlsTrust::ALL.into_iter().find(|trust| trust.as_str() == text);
        known.ok_or("write \"verify\", or \"any\" where servers over https may sign their certificates themselves")
    }
}

/// An entry of `deny`: `10.0.3.0/24`, `10.0.3.7`, `10.0.3.7:8080`, `[fd00::1]:8080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Denied {
    pub network: Network,
    /// Only this port; all of them without one.
    pub port: Option<u16>,
}

/// Why something may not be flooded, or a policy not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("port {0} is below 1024 and contests flood only 80 and 443 of those: serve on one of them or from 1024 up")]
    SystemPort(u16),
    #[error("port {port} is where {service} usually listens, and contests do not flood it: serve on another port")]
    ServicePort { port: u16, service: &'static str },
    #[error("{address} is {is}, which no policy opens: give the address of the server itself")]
    Never { address: IpAddr, is: &'static str },
    #[error("{address} is closed by {entry} of deny in [policy], which wins over allow: give another address")]
    Denied { address: IpAddr, entry: Denied },
    #[error(
        "{address} is {is}, an address that contests do not flood: add its network to allow in [policy] if it is \
         yours, as in allow = [\"{hint}\"]"
    )]
    Closed { address: IpAddr, is: &'static str, hint: Network },
    #[error("{address} carries another address inside: {inner}")]
    Carries { address: IpAddr, inner: Box<PolicyError> },
    #[error("{0} has no address: check its name")]
    Nowhere(String),
    #[error(
        "{second:?} is at {address}, as {first:?} is: give each its own server, or set `allow_shared = true` in \
         [policy]"
    )]
    Shared { first: String, second: String, address: SocketAddr },
    #[error(
        "allow in [policy] opens {0}, which this generator's own policy file does not: remove it, or widen that file"
    )]
    WiderNetwork(Network),
    #[error(
        "`allow_shared` in [policy] is true, which this generator's own policy file does not allow: set it to false, \
         or widen that file"
    )]
    WiderShared,
}

impl PolicyError {
    /// The same for somebody who can change no policy: whom to ask.
    pub fn for_contestant(&self) -> String {
        match self {
            PolicyError::Closed { address, is, .. } => format!(
                "{address} is {is}, which this contest does not flood: give your server's public address, or ask the \
                 organisers to allow its network"
            ),
            PolicyError::Denied { address, .. } => {
                format!("{address} is closed to contestants: give another address, or ask the organisers")
            }
            PolicyError::Carries { address, inner } => {
                format!("{address} carries another address inside: {}", inner.for_contestant())
            }
            other => other.to_string(),
        }
    }
}

impl Policy {
    /// Whether an endpoint may be registered: its port, and its address when it is no name. That it speaks http
    /// or https is sure: [`Endpoint`] refuses the rest.
    ///
    /// # Errors
    /// The [`PolicyError`] of the port or of the address.
    pub fn judge_endpoint(&self, endpoint: &Endpoint) -> Result<(), PolicyError> {
        match &endpoint.host {
            Host::Name(_) => judge_port(endpoint.port),
            Host::V4(address) => self.judge_address(SocketAddr::new((*address).into(), endpoint.port)),
            Host::V6(address) => self.judge_address(SocketAddr::new((*address).into(), endpoint.port)),
        }
    }

    /// Whether an endpoint may be flooded at the addresses it resolved to. Every one must pass.
    ///
    /// # Errors
    /// [`PolicyError::Nowhere`] without an address, and the [`PolicyError`] of the first that does not pass.
    pub fn judge_resolved(&self, endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<(), PolicyError> {
        self.judge_endpoint(endpoint)?;
        if addresses.is_empty() {
            return Err(PolicyError::Nowhere(endpoint.to_string()));
        }
        addresses.iter().try_for_each(|address| self.judge_address(*address))
    }

    /// Whether packets may go to an address and port.
    ///
    /// # Errors
    /// The [`PolicyError`] of the port or of the address.
    pub fn judge_address(&self, address: SocketAddr) -> Result<(), PolicyError> {
        judge_port(address.port())?;
        self.judge(address.ip(), Some(address.port()))
    }

    /// Whether packets may go to an address, whatever the port. What `deny` says of single ports is not asked.
    ///
    /// # Errors
    /// The [`PolicyError`] that says what the address is and what would open it.
    pub fn judge_ip(&self, address: IpAddr) -> Result<(), PolicyError> {
        self.judge(address, None)
    }

    /// Whether two contestants may name one server: it is both's, or the server says whose it is.
    pub fn may_name_one_server(&self) -> bool {
        self.allow_shared || self.ownership.is_asked_for()
    }

    /// No two contestants, each with all its addresses, have one address and port in common, unless they may name one server.
    ///
    /// # Errors
    /// [`PolicyError::Shared`] with the first two that have.
    pub fn judge_shared<'a>(
        &self,
        contestants: impl IntoIterator<Item = (&'a str, &'a [SocketAddr])>,
    ) -> Result<(), PolicyError> {
        if self.may_name_one_server() {
            return Ok(());
        }
        let mut owners: HashMap<SocketAddr, &str> = HashMap::new();
        for (name, addresses) in contestants {
            for address in addresses {
                let address = comparable(*address);
                match owners.insert(address, name) {
                    Some(first) if first != name => {
                        let (first, second) = (first.to_owned(), name.to_owned());
                        return Err(PolicyError::Shared { first, second, address });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The policy to follow on a machine whose own file sets a ceiling. It may narrow the ceiling and not widen it:
    /// what it opens beyond is refused by name, and what the ceiling denies stays denied. A network lies within when
    /// one network of the ceiling holds it whole.
    ///
    /// # Errors
    /// [`PolicyError::WiderNetwork`] or [`PolicyError::WiderShared`] for the first thing that the ceiling does not open.
    pub fn within(&self, ceiling: &Policy) -> Result<Policy, PolicyError> {
        if let Some(network) = self.allow.iter().find(|network| !ceiling.opens_all_of(network)) {
            return Err(PolicyError::WiderNetwork(*network));
        }
        if self.allow_shared && !ceiling.allow_shared {
            return Err(PolicyError::WiderShared);
        }
        let mut policy = self.clone();
        policy.ownership = self.ownership.max(ceiling.ownership);
        policy.deny.extend(ceiling.deny.iter().filter(|entry| !self.deny.contains(entry)));
        Ok(policy)
    }

    /// The policy to go on by where a newer one may not be followed: nothing more is open than before, and whatever the newer one
    /// closes is closed.
    #[must_use]
    pub fn narrowed_by(&self, newer: &Policy) -> Policy {
        let mut policy = newer.clone();
        policy.allow = self.allow.iter().copied().filter(|network| newer.opens_all_of(network)).collect();
        policy.deny.extend(self.deny.iter().filter(|entry| !newer.deny.contains(entry)));
        policy.allow_shared &= self.allow_shared;
        policy.ownership = policy.ownership.max(self.ownership);
        policy
    }

    /// This policy with a network closed as far as another policy does not open it, and all else as open as it is.
    #[must_use]
    pub fn closed_as(&self, other: &Policy, network: &Network) -> Policy {
        let mut policy = self.clone();
        policy.allow.clear();
        for entry in &self.allow {
            let common =
                entry.common(network).filter(|common| self.opens_all_of(common) && !other.opens_all_of(common));
            let Some(common) = common else {
                policy.allow.push(*entry);
                continue;
            };
            let beside = entry.without(network).into_iter().filter(|rest| self.opens_all_of(rest));
            let within = other.allow.iter().filter_map(|opened| opened.common(&common));
            for rest in beside.chain(within.filter(|rest| other.opens_all_of(rest))) {
                if !policy.allow.contains(&rest) {
                    policy.allow.push(rest);
                }
            }
        }
        policy
    }

    /// Whether one network of `allow` holds this one whole, and says so of ranges that are only opened by name.
    pub fn opens_all_of(&self, network: &Network) -> bool {
        let explicit = special::opened_by_itself(network);
        let opens = |above: &Network| above.covers(network) && explicit.is_none_or(|range| range.network.covers(above));
        self.allow.iter().any(opens)
    }

    fn judge(&self, address: IpAddr, port: Option<u16>) -> Result<(), PolicyError> {
        let meant = unmapped(address);
        if meant != address {
            // The IPv6 address itself may be denied, such as a whole translator.
            self.judge_denied(address, port)?;
        }
        self.judge_one(meant, port)?;
        special::embedded(meant).try_for_each(|inner| {
            self.judge_one(inner.into(), port).map_err(|inner| PolicyError::Carries { address, inner: Box::new(inner) })
        })
    }

    fn judge_one(&self, address: IpAddr, port: Option<u16>) -> Result<(), PolicyError> {
        let range = special::find(address);
        if let Some(range) = range.filter(|range| range.opens == Opens::Never) {
            return Err(PolicyError::Never { address, is: range.is });
        }
        self.judge_denied(address, port)?;
        let Some(range) = range else { return Ok(()) };
        let opens = |network: &Network| {
            network.contains(address) && (range.opens == Opens::ByAny || range.network.covers(network))
        };
        if self.allow.iter().any(opens) {
            return Ok(());
        }
        Err(PolicyError::Closed { address, is: range.is, hint: hint(address, &range.network) })
    }

    fn judge_denied(&self, address: IpAddr, port: Option<u16>) -> Result<(), PolicyError> {
        match self.deny.iter().find(|entry| entry.closes(address, port)) {
            Some(entry) => Err(PolicyError::Denied { address, entry: *entry }),
            None => Ok(()),
        }
    }
}

/// The network to suggest: the whole range, but for those too wide to mean.
fn hint(address: IpAddr, range: &Network) -> Network {
    if range.prefix() == 0 { Network::of(address) } else { *range }
}

fn judge_port(port: u16) -> Result<(), PolicyError> {
    port::judge(port).map_err(|closed| match closed {
        port::Closed::System => PolicyError::SystemPort(port),
        port::Closed::Named(service) => PolicyError::ServicePort { port, service },
    })
}

impl Denied {
    /// One address and port, such as those of the platform's own servers.
    pub fn at(address: SocketAddr) -> Denied {
        Denied { network: Network::of(address.ip()), port: Some(address.port()) }
    }

    /// A port of this machine is closed at all its names: what listens at every address is reached at 127.0.0.2 as well.
    fn closes(&self, address: IpAddr, port: Option<u16>) -> bool {
        let is_here = || self.port.is_some() && self.network.address().is_loopback() && address.is_loopback();
        self.port.is_none_or(|denied| port == Some(denied)) && (self.network.contains(address) || is_here())
    }
}

impl FromStr for Denied {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Denied, NetworkError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Denied::at(address));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Denied { network: Network::of(address), port: None });
        }
        Ok(Denied { network: text.parse()?, port: None })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => write!(f, "{}", self.network),
            Some(port) => write!(f, "{}", SocketAddr::new(self.network.address(), port)),
        }
    }
}
