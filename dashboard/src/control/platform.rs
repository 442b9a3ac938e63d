//! The platform's own addresses, which no contest floods and no test of an endpoint asks, whatever the policy opens: where this
//! dashboard and its counters listen, how people reach it, and Redis. Names are looked up again now and then, for they move; one that
//! is not found for a while keeps its addresses.

use flowtest_contest::policy::Denied;
use flowtest_scoreboard::RedisAddress;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use url::Url;

/// How long names are waited for: a start must not hang on them.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// Entries at most; each address that is flooded is compared with all of them.
pub const ENTRIES_MAX: usize = 64;
/// Of one name, so that none pushes out what another gives, and listeners have room.
const OF_NAME_MAX: usize = 16;
/// How long an address stays that a name does not give any more: where a name has many it gives some at a time, and who has moved
/// may come back.
const KEPT: Duration = Duration::from_secs(6 * 3_600);

/// What is known of the platform's own addresses: [`OwnAddresses::look`] is called now and then.
#[derive(Debug, Default)]
pub struct OwnAddresses {
    /// Those of names, and when a name gave them last; as long as it gives nothing they stay.
    named: Vec<(Server, SocketAddr, Instant)>,
}

/// Host and port.
type Server = (String, u16);

const _: () = assert!(3 * OF_NAME_MAX < ENTRIES_MAX);

impl OwnAddresses {
    /// As entries of `deny`, those of names first. `public_url` is how people reach the dashboard, `listeners` where it and its
    /// counters listen.
    pub async fn look(
        &mut self,
        public_url: Option<&str>,
        redis: [&RedisAddress; 2],
        listeners: [Option<SocketAddr>; 2],
    ) -> Vec<Denied> {
        let public = public_url.and_then(|url| Url::parse(url).ok());
        let public = public.and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
        let redis = redis.map(RedisAddress::host_and_port);
        let mut servers: Vec<Server> = redis.into_iter().chain([public]).flatten().collect();
        servers.dedup();
        for server in servers {
            let found = lookup(&server.0, server.1).await;
            self.note(&server, &found, Instant::now());
        }
        let own = listeners.into_iter().flatten().flat_map(|listener| reachable(listener, interfaces)).collect();
        self.entries(own)
    }

    /// What a name gives at this instant: nothing where it was not found.
    fn note(&mut self, server: &Server, found: &[SocketAddr], now: Instant) {
        if found.is_empty() {
            return;
        }
        self.named.retain(|(of, address, at)| {
            of != server || (!found.contains(address) && now.saturating_duration_since(*at) < KEPT)
        });
        let fresh: Vec<_> = found.iter().map(|address| (server.clone(), *address, now)).collect();
        self.named.splice(0..0, fresh);
        let mut count = 0;
        self.named.retain(|(of, ..)| {
            count += usize::from(of == server);
            of != server || count <= OF_NAME_MAX
        });
    }

    /// In one order, so that what changes nothing looks the same.
    fn entries(&self, own: BTreeSet<SocketAddr>) -> Vec<Denied> {
        let named: BTreeSet<SocketAddr> = self.named.iter().take(ENTRIES_MAX).map(|(_, address, _)| *address).collect();
        let own = own.into_iter().filter(|address| !named.contains(address));
        // A listener that has no port yet is nowhere.
        let all = named.iter().copied().chain(own).filter(|address| address.port() != 0);
        all.take(ENTRIES_MAX).map(Denied::at).collect()
    }
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

    fn text(entries: &[Denied]) -> Vec<String> {
        entries.iter().map(ToString::to_string).collect()
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_name_that_is_not_found_for_a_while_keeps_its_addresses() {
        let (mut own, start) = (OwnAddresses::default(), Instant::now());
        let (redis, public) = (("redis.test".to_owned(), 6_390), ("scores.test".to_owned(), 443));
        own.note(&redis, &[at("10.0.0.5:6390")], start);
        own.note(&public, &[at("192.0.2.1:443"), at("192.0.2.2:443")], start);
        let all = own.entries(BTreeSet::new());
        assert_eq!(text(&all), ["10.0.0.5:6390", "192.0.2.1:443", "192.0.2.2:443"]);
        for name in [&redis, &public] {
            own.note(name, &[], start + KEPT * 10);
        }
        assert_eq!(own.entries(BTreeSet::new()), all, "however long it is away");
        // A balancer gives some of its addresses at a time.
        own.note(&public, &[at("192.0.2.3:443")], start + KEPT / 2);
        own.note(&public, &[at("192.0.2.1:443")], start + KEPT - Duration::from_secs(1));
        assert_eq!(own.entries(BTreeSet::new()).len(), 4);
        own.note(&public, &[at("192.0.2.1:443")], start + KEPT);
        let left = own.entries(BTreeSet::new());
        assert_eq!(text(&left), ["10.0.0.5:6390", "192.0.2.1:443", "192.0.2.3:443"], "what it has not given for hours");
    }

    #[test]
    fn a_machine_with_many_interfaces_does_not_push_out_what_people_and_redis_are_reached_by() {
        let mut own = OwnAddresses::default();
        own.note(&("redis.test".to_owned(), 6_390), &[at("192.0.2.9:6390")], Instant::now());
        let interfaces = (0..200_u8).map(|last| SocketAddr::from(([10, 0, 0, last], 8_080))).collect();
        // Nor does a balancer that has another address each time.
        for last in 0..200 {
            own.note(
                &("scores.test".to_owned(), 443),
                &[SocketAddr::from(([198, 51, 100, last], 443))],
                Instant::now(),
            );
        }
        assert_eq!(own.entries(BTreeSet::new()).len(), 1 + OF_NAME_MAX);
        let entries = own.entries(interfaces);
        assert_eq!((entries.len(), text(&entries)[0].as_str()), (ENTRIES_MAX, "192.0.2.9:6390"), "{entries:?}");
        // Nor does one whose listener is not there yet.
        assert_eq!(own.entries([at("10.0.0.1:0")].into()).len(), 1 + OF_NAME_MAX);
    }

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
