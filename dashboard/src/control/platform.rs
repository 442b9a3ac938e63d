//! The platform's own addresses, which no contest floods and no test of an endpoint asks, whatever the policy opens: where this
//! dashboard and its counters listen, how people reach it, and Redis. Names are looked up again now and then, for they move.

use crate::config::Config;
use flowtest_contest::policy::Denied;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use url::Url;

/// How long names are waited for: a start must not hang on them.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// Entries at most; each address that is flooded is compared with all of them.
const ENTRIES_MAX: usize = 64;

/// As entries of `deny`, in one order. `bound` is where the dashboard listens.
pub async fn own_addresses(config: &Config, bound: SocketAddr) -> Vec<Denied> {
    let mut own: BTreeSet<SocketAddr> = BTreeSet::new();
    let listeners = [Some(bound), config.metrics];
    own.extend(listeners.into_iter().flatten().flat_map(|listener| reachable(listener, interfaces)));
    let public = config.public_url.as_deref().and_then(|url| Url::parse(url).ok());
    let public = public.and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
    let redis = [&config.redis, &config.redis_read].map(|redis| redis.host_and_port());
    for (host, port) in redis.into_iter().chain([public]).flatten() {
        own.extend(lookup(&host, port).await);
    }
    own.into_iter().filter(|address| address.port() != 0).take(ENTRIES_MAX).map(Denied::at).collect()
}

/// The addresses at which a listener is reached: its own, or those of this machine.
fn reachable(listener: SocketAddr, interfaces: impl FnOnce() -> Vec<IpAddr>) -> Vec<SocketAddr> {
    if !listener.ip().is_unspecified() {
        return vec![listener];
    }
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    // What listens at [::] takes IPv4 as well.
    let is_taken = |address: &IpAddr| address.is_ipv4() || listener.is_ipv6();
    let all = loopback.into_iter().chain(interfaces()).filter(is_taken);
    all.map(|address| SocketAddr::new(address, listener.port())).collect()
}

fn interfaces() -> Vec<IpAddr> {
    let held = if_addrs::get_if_addrs().unwrap_or_default();
    held.iter().map(if_addrs::Interface::ip).collect()
}

async fn lookup(host: &str, port: u16) -> Vec<SocketAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, port))).await;
    match found {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_everywhere_is_reached_at_every_address_of_the_machine() {
        let held = || ["10.0.0.7", "2001:db8::7"].map(|text| text.parse().expect("an address")).to_vec();
        let text = |listener: &str| {
            let found = reachable(listener.parse().expect("an address"), held);
            found.iter().map(SocketAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(text("10.0.0.7:80"), ["10.0.0.7:80"]);
        assert_eq!(text("0.0.0.0:80"), ["127.0.0.1:80", "10.0.0.7:80"]);
        assert_eq!(text("[::]:80"), ["127.0.0.1:80", "[::1]:80", "10.0.0.7:80", "[2001:db8::7]:80"]);
    }
}
