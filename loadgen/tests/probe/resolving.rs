//! Names resolved again by the thread, with lookups as a test says.

use crate::peer::policy;
use flowtest_loadgen::admit::resolve::{Hosts, Names};
use flowtest_loadgen::admit::resolver::{Followed, News, Resolved, Resolver};
use flowtest_loadgen::engine::index::{ContestantIndex, Key};
use flowtest_testkit::WAIT_MAX;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Between two rounds of lookups.
const EVERY: Duration = Duration::from_millis(20);

/// Names whose answers a test changes while they are asked for.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<HashMap<String, Vec<IpAddr>>>>);

impl Zone {
    fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        self.0.lock().expect("nobody panics with it").insert(name.to_owned(), addresses);
    }

    fn remove(&self, name: &str) {
        self.0.lock().expect("nobody panics with it").remove(name);
    }

    fn names(&self) -> Names {
        let zone = self.clone();
        Names::new(None, move |name| {
            if name.starts_with("stuck") {
                loop {
                    std::thread::park();
                }
            }
            let found = zone.0.lock().expect("nobody panics with it").get(name).cloned();
            found.ok_or_else(|| io::Error::other("no such name"))
        })
    }
}

fn followed(name: &str, endpoint: &str) -> Followed {
    Followed { name: name.to_owned(), endpoint: endpoint.parse().expect("an endpoint"), addresses: Vec::new() }
}

fn nth(index: usize) -> ContestantIndex {
    ContestantIndex::from_index(index)
}

fn next(news: &Receiver<News>) -> News {
    news.recv_timeout(WAIT_MAX).expect("news")
}

#[track_caller]
fn assert_resolved(news: &News, index: usize, addresses: &[&str]) {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    assert_eq!(news, &News::Resolved(Resolved { contestant: nth(index), addresses }));
}

#[test]
fn of_three_addresses_one_leaves_and_one_joins() {
    let zone = Zone::default();
    zone.set("a.test", &["127.0.0.3", "127.0.0.1", "127.0.0.2"]);
    let roster = vec![followed("alice", "a.test:8080"), followed("bob", "127.0.0.9:8080")];
    let (_resolver, news) = Resolver::start(zone.names(), policy(), roster, EVERY).expect("a thread");
    assert_resolved(&next(&news), 0, &["127.0.0.1:8080", "127.0.0.2:8080", "127.0.0.3:8080"]);
    zone.set("a.test", &["127.0.0.4", "127.0.0.3", "127.0.0.1"]);
    assert_resolved(&next(&news), 0, &["127.0.0.1:8080", "127.0.0.3:8080", "127.0.0.4:8080"]);
}

#[test]
fn a_name_that_turns_private_is_reported_once_and_never_given_out() {
    let zone = Zone::default();
    zone.set("a.test", &["127.0.0.1"]);
    let roster = vec![followed("alice", "a.test:8080")];
    let (_resolver, news) = Resolver::start(zone.names(), policy(), roster, EVERY).expect("a thread");
    assert_resolved(&next(&news), 0, &["127.0.0.1:8080"]);
    // The generator's own network; 0.0.0.0 would be the machine itself.
    zone.set("a.test", &["0.0.0.0"]);
    assert!(matches!(next(&news), News::Refused { contestant: ContestantIndex::FIRST, .. }));
    let News::Stale { contestant: ContestantIndex::FIRST, since: Some(_), message } = next(&news) else {
        panic!("stale")
    };
    assert!(message.ends_with("its last good address stays"), "{message}");
    zone.set("a.test", &["127.0.0.1", "127.0.0.5"]);
    assert_eq!(next(&news), News::Fresh { contestant: ContestantIndex::FIRST });
    assert_resolved(&next(&news), 0, &["127.0.0.1:8080", "127.0.0.5:8080"]);
}

#[test]
fn a_name_that_fails_for_a_while_keeps_its_addresses() {
    let zone = Zone::default();
    zone.set("a.test", &["127.0.0.1"]);
    let roster = vec![followed("alice", "a.test:8080")];
    let (_resolver, news) = Resolver::start(zone.names(), policy(), roster, EVERY).expect("a thread");
    assert_resolved(&next(&news), 0, &["127.0.0.1:8080"]);
    zone.remove("a.test");
    assert!(matches!(next(&news), News::Stale { contestant: ContestantIndex::FIRST, since: Some(_), .. }));
    zone.set("a.test", &["127.0.0.1"]);
    assert_eq!(next(&news), News::Fresh { contestant: ContestantIndex::FIRST });
}

#[test]
fn more_stuck_names_than_lookups_at_once_stop_nobody() {
    // Names are asked for in their order, so this one comes last.
    let zone = Zone::default();
    zone.set("z.test", &["127.0.0.1"]);
    let mut roster: Vec<Followed> =
        (0..20).map(|index| followed("stuck", &format!("stuck{index}.test:8080"))).collect();
    roster.push(followed("alice", "z.test:8080"));
    let (_resolver, news) = Resolver::start(zone.names(), policy(), roster, EVERY).expect("a thread");
    let mut stale = 0;
    let mut is_resolved = false;
    while stale < 20 || !is_resolved {
        match next(&news) {
            News::Resolved(Resolved { contestant, .. }) if contestant == nth(20) => is_resolved = true,
            News::Stale { contestant, since: None, .. } if contestant < nth(20) => stale += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_changed_endpoint_is_followed_and_a_forgotten_one_is_not() {
    let zone = Zone::default();
    zone.set("a.test", &["127.0.0.1"]);
    zone.set("b.test", &["127.0.0.2"]);
    let roster = vec![followed("alice", "a.test:8080")];
    let (resolver, news) = Resolver::start(zone.names(), policy(), roster, EVERY).expect("a thread");
    assert_resolved(&next(&news), 0, &["127.0.0.1:8080"]);
    resolver.follow(nth(0), followed("alice", "b.test:8081"));
    assert_resolved(&next(&news), 0, &["127.0.0.2:8081"]);
    resolver.follow(nth(7), followed("bob", "a.test:8080"));
    assert_resolved(&next(&news), 7, &["127.0.0.1:8080"]);
    resolver.forget(nth(0));
    // Its address is nobody's now, so that it may become another's.
    zone.set("a.test", &["127.0.0.2"]);
    resolver.follow(nth(8), followed("carol", "b.test:8081"));
    let mut changed = [next(&news), next(&news)];
    changed.sort_by_key(|news| matches!(news, News::Resolved(Resolved { contestant, .. }) if *contestant == nth(8)));
    assert_resolved(&changed[0], 7, &["127.0.0.2:8080"]);
    assert_resolved(&changed[1], 8, &["127.0.0.2:8081"]);
}

#[test]
fn a_hosts_file_is_read_again_at_each_round() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts");
    std::fs::write(&path, "127.0.0.1 a.test\n127.0.0.2 a.test\n").expect("written");
    let names = Names::system(Some(Hosts::open(&path).expect("readable")));
    let roster = vec![followed("alice", "a.test:8080")];
    let (_resolver, news) = Resolver::start(names, policy(), roster, EVERY).expect("a thread");
    assert_resolved(&next(&news), 0, &["127.0.0.1:8080", "127.0.0.2:8080"]);
    // Written beside and moved over, as people should: no round reads half a file.
    let beside = folder.path().join("new");
    std::fs::write(&beside, "127.0.0.2 a.test\n127.0.0.3 a.test\n").expect("written");
    std::fs::rename(&beside, &path).expect("moved");
    assert_resolved(&next(&news), 0, &["127.0.0.2:8080", "127.0.0.3:8080"]);
    std::fs::remove_file(&path).expect("removed");
    let News::Hosts { message } = next(&news) else { panic!("the file is gone") };
    assert!(message.contains("cannot be read"), "{message}");
}
