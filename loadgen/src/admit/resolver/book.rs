//! What is known of each contestant's addresses, and what a new answer changes. Pure: time comes in.

use crate::admit::resolve::names::Answer;
use crate::admit::resolve::{bounded, listed, too_many};
use crate::engine::index::ContestantIndex;
use flowtest_contest::endpoint::{Endpoint, Host};
use flowtest_contest::{Policy, PolicyError};
use flowtest_contract::rules::UtcUs;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Refused addresses remembered per contestant, so that each is reported once; a name that has more is not worth
/// reading about.
const REFUSED_MAX: usize = 64;

/// An endpoint and its addresses so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// For messages.
    pub name: String,
    pub endpoint: Endpoint,
    /// As they were found last; none when nobody has looked yet.
    pub addresses: Vec<SocketAddr>,
}

/// The addresses that a contestant's name has now: sorted, each once, never none, each open by the policy. Whether one may be
/// flooded is for admission to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub contestant: ContestantIndex,
    pub addresses: Vec<SocketAddr>,
}

/// Something that changed. Sentences are for the organiser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Resolved(Resolved),
    /// The name has an address that is never given out. Said once for each.
    Refused {
        contestant: ContestantIndex,
        address: SocketAddr,
        message: String,
    },
    /// The name has more addresses than are used. Said once for each number of them.
    Unused {
        contestant: ContestantIndex,
        message: String,
    },
    /// The policy closes every address that was in use: nothing may be sent until the contestant is admitted anew.
    Closed {
        contestant: ContestantIndex,
    },
    /// The name gives no usable address; those from `since`, its last good answer, stay. Said once until it does again.
    /// `since` is nothing when there never was a good answer here.
    Stale {
        contestant: ContestantIndex,
        since: Option<UtcUs>,
        message: String,
    },
    /// It does again.
    Fresh {
        contestant: ContestantIndex,
    },
    /// The hosts file cannot be read any more; what was read stays. Said once.
    Hosts {
        message: String,
    },
}

/// All contestants.
#[derive(Debug)]
pub struct AddressBook {
    policy: Policy,
    entries: BTreeMap<ContestantIndex, Entry>,
    hosts_failed: Option<String>,
}

#[derive(Debug)]
struct Entry {
    followed: Followed,
    refused: BTreeSet<SocketAddr>,
    /// Addresses of the name beyond those that are used.
    unused: usize,
    good_at: Option<UtcUs>,
    is_stale: bool,
}

impl AddressBook {
    pub fn new(policy: Policy) -> AddressBook {
        AddressBook { policy, entries: BTreeMap::new(), hosts_failed: None }
    }

    /// A contestant joins or has another endpoint.
    pub fn follow(&mut self, contestant: ContestantIndex, followed: Followed) {
        let entry = Entry { followed, refused: BTreeSet::new(), unused: 0, good_at: None, is_stale: false };
        self.entries.insert(contestant, entry);
    }

    pub fn forget(&mut self, contestant: ContestantIndex) {
        self.entries.remove(&contestant);
    }

    /// From now on by another policy. Addresses in use that it closes are refused; who has others goes on with those.
    pub fn set_policy(&mut self, policy: Policy) -> Vec<News> {
        self.policy = policy;
        let mut news = Vec::new();
        for (contestant, entry) in &mut self.entries {
            let mut open = entry.followed.addresses.clone();
            open.retain(|address| match self.policy.judge_address(*address) {
                Ok(()) => true,
                Err(error) => {
                    let message = format!("{}: {address} gets no more requests: {error}", entry.followed.name);
                    news.push(News::Refused { contestant: *contestant, address: *address, message });
                    false
                }
            });
            if open.len() != entry.followed.addresses.len() {
                news.push(match open.is_empty() {
                    true => News::Closed { contestant: *contestant },
                    false => News::Resolved(Resolved { contestant: *contestant, addresses: open.clone() }),
                });
            }
            entry.followed.addresses = open;
            // What was refused by the old policy may be said again, by the new one.
            entry.refused.clear();
        }
        news
    }

    /// The names to look up. Addresses that were typed need none.
    pub fn names(&self) -> BTreeSet<String> {
        self.entries
            .values()
            .filter_map(|entry| match &entry.followed.endpoint.host {
                Host::Name(name) => Some(name.clone()),
                Host::V4(_) | Host::V6(_) => None,
            })
            .collect()
    }

    /// The hosts file was read, or could not be.
    pub fn on_hosts(&mut self, read: Result<(), String>) -> Option<News> {
        let failed = read.err();
        let news = failed.clone().filter(|_| failed != self.hosts_failed);
        self.hosts_failed = failed;
        news.map(|message| News::Hosts { message })
    }

    /// A lookup has ended, or is given up. What it changes for everybody whose endpoint has this name.
    pub fn on_answer(&mut self, host: &str, answer: &Answer, now: UtcUs) -> Vec<News> {
        let mut news = Vec::new();
        let asked = |entry: &Entry| matches!(&entry.followed.endpoint.host, Host::Name(name) if name == host);
        let contestants: Vec<ContestantIndex> =
            self.entries.iter().filter(|(_, entry)| asked(entry)).map(|(contestant, _)| *contestant).collect();
        for contestant in contestants {
            self.on_answer_for(contestant, host, answer, now, &mut news);
        }
        news
    }

    fn on_answer_for(
        &mut self,
        contestant: ContestantIndex,
        host: &str,
        answer: &Answer,
        now: UtcUs,
        news: &mut Vec<News>,
    ) {
        let Some(entry) = self.entries.get(&contestant) else { return };
        let port = entry.followed.endpoint.port;
        let found = match answer.clone().and_then(|found| listed(host, found, port)) {
            Ok(found) => found,
            Err(error) => return self.grow_stale(contestant, &error.to_string(), news),
        };
        let judged: Vec<(SocketAddr, Result<(), PolicyError>)> =
            found.into_iter().map(|address| (address, self.policy.judge_address(address))).collect();
        let Some(entry) = self.entries.get_mut(&contestant) else { return };
        let mut addresses = Vec::with_capacity(judged.len());
        for (address, verdict) in judged {
            match verdict {
                Ok(()) => addresses.push(address),
                Err(error) => {
                    if entry.refused.len() < REFUSED_MAX && entry.refused.insert(address) {
                        let message =
                            format!("{}: {host} has an address that gets no request: {error}", entry.followed.name);
                        news.push(News::Refused { contestant, address, message });
                    }
                }
            }
        }
        let (addresses, unused) = bounded(addresses);
        if std::mem::replace(&mut entry.unused, unused) != unused && unused > 0 {
            let message = format!("{}: {}", entry.followed.name, too_many(&host, unused));
            news.push(News::Unused { contestant, message });
        }
        if addresses.is_empty() {
            return self.grow_stale(contestant, &format!("{host}: none of its addresses may be flooded"), news);
        }
        entry.good_at = Some(now);
        if std::mem::take(&mut entry.is_stale) {
            news.push(News::Fresh { contestant });
        }
        if entry.followed.addresses != addresses {
            entry.followed.addresses.clone_from(&addresses);
            news.push(News::Resolved(Resolved { contestant, addresses }));
        }
    }

    fn grow_stale(&mut self, contestant: ContestantIndex, cause: &str, news: &mut Vec<News>) {
        let Some(entry) = self.entries.get_mut(&contestant) else { return };
        if std::mem::replace(&mut entry.is_stale, true) {
            return;
        }
        let kept = match entry.followed.addresses.len() {
            0 => "it has no address yet".to_owned(),
            1 => "its last good address stays".to_owned(),
            count => format!("its {count} last good addresses stay"),
        };
        let message = format!("{}: {cause}; {kept}", entry.followed.name);
        news.push(News::Stale { contestant, since: entry.good_at, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::resolve::ResolveError;
    use crate::engine::index::Key;

    fn followed(name: &str, endpoint: &str, addresses: &[&str]) -> Followed {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        Followed { name: name.to_owned(), endpoint: endpoint.parse().expect("an endpoint"), addresses }
    }

    fn book(roster: &[Followed]) -> AddressBook {
        let mut book =
            AddressBook::new(Policy { allow: vec!["127.0.0.0/8".parse().expect("a network")], ..Policy::default() });
        for (contestant, followed) in ContestantIndex::all().zip(roster) {
            book.follow(contestant, followed.clone());
        }
        book
    }

    fn answer(addresses: &[&str]) -> Answer {
        Ok(addresses.iter().map(|address| address.parse().expect("an address")).collect())
    }

    fn resolved(news: &[News]) -> Vec<(ContestantIndex, Vec<String>)> {
        news.iter()
            .filter_map(|news| match news {
                News::Resolved(Resolved { contestant, addresses }) => {
                    Some((*contestant, addresses.iter().map(SocketAddr::to_string).collect()))
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn of_three_addresses_one_leaves_and_one_joins() {
        let mut book = book(&[followed("alice", "a.test:8080", &[])]);
        let news = book.on_answer("a.test", &answer(&["127.0.0.3", "127.0.0.1", "127.0.0.2", "127.0.0.1"]), UtcUs(1));
        let sorted = ["127.0.0.1:8080", "127.0.0.2:8080", "127.0.0.3:8080"];
        assert_eq!(resolved(&news), [(ContestantIndex::FIRST, sorted.map(String::from).to_vec())]);
        // The same in another order is no news.
        assert_eq!(book.on_answer("a.test", &answer(&["127.0.0.2", "127.0.0.3", "127.0.0.1"]), UtcUs(2)), []);
        let news = book.on_answer("a.test", &answer(&["127.0.0.4", "127.0.0.3", "127.0.0.1"]), UtcUs(3));
        let changed = ["127.0.0.1:8080", "127.0.0.3:8080", "127.0.0.4:8080"];
        assert_eq!(resolved(&news), [(ContestantIndex::FIRST, changed.map(String::from).to_vec())]);
    }

    #[test]
    fn an_address_that_turns_private_is_never_given_out_and_said_once() {
        let mut book = book(&[followed("alice", "a.test:8080", &["127.0.0.1:8080"])]);
        let news = book.on_answer("a.test", &answer(&["127.0.0.1", "192.168.0.7"]), UtcUs(1));
        let [News::Refused { contestant: ContestantIndex::FIRST, address, message }] = &news[..] else {
            panic!("{news:?}")
        };
        assert_eq!(address.to_string(), "192.168.0.7:8080");
        assert!(message.contains("192.168.0.7 is private"), "{message}");
        assert_eq!(book.on_answer("a.test", &answer(&["127.0.0.1", "192.168.0.7"]), UtcUs(2)), []);
        // All of it: the last good address stays, and that is said once.
        let news = book.on_answer("a.test", &answer(&["192.168.0.7"]), UtcUs(3));
        assert!(
            matches!(&news[..], [News::Stale { contestant: ContestantIndex::FIRST, since: Some(UtcUs(2)), .. }]),
            "{news:?}"
        );
        assert_eq!(book.on_answer("a.test", &answer(&["192.168.0.7"]), UtcUs(4)), []);
        assert_eq!(
            book.on_answer("a.test", &answer(&["127.0.0.1"]), UtcUs(5)),
            [News::Fresh { contestant: ContestantIndex::FIRST }]
        );
    }

    #[test]
    fn a_name_that_fails_for_a_while_keeps_its_addresses() {
        let mut book = book(&[followed("alice", "a.test:8080", &[])]);
        let failing = Err(ResolveError::Unknown { host: "a.test".into(), error: "no such name".into() });
        let news = book.on_answer("a.test", &failing, UtcUs(1));
        let [News::Stale { since: None, message, .. }] = &news[..] else { panic!("{news:?}") };
        assert!(message.starts_with("alice: a.test: the name does not resolve") && message.ends_with("no address yet"));
        assert_eq!(resolved(&book.on_answer("a.test", &answer(&["127.0.0.1"]), UtcUs(2))).len(), 1);
        for _ in 0..3 {
            let news = book.on_answer("a.test", &failing, UtcUs(3));
            assert!(news.is_empty() || matches!(news[..], [News::Stale { since: Some(UtcUs(2)), .. }]), "{news:?}");
        }
        // Nothing changed in the end, so there is nothing to do.
        assert_eq!(
            book.on_answer("a.test", &answer(&["127.0.0.1"]), UtcUs(4)),
            [News::Fresh { contestant: ContestantIndex::FIRST }]
        );
    }

    #[test]
    fn of_a_name_with_many_addresses_some_are_used_and_that_is_said_once() {
        let mut book =
            book(&[followed("alice", "a.test:8080", &["127.0.0.1:8080"]), followed("bob", "127.0.0.9", &[])]);
        assert_eq!(book.names().len(), 1, "what was typed as an address is not looked up");
        let many: Vec<String> = (1..=70).map(|last| format!("127.0.0.{last}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let news = book.on_answer("a.test", &answer(&many), UtcUs(1));
        let [News::Unused { contestant: ContestantIndex::FIRST, message }, News::Resolved(Resolved { addresses, .. })] =
            &news[..]
        else {
            panic!("{news:?}")
        };
        assert!(message.contains("a.test has 70 addresses, of which 64 are used and 6 get no request"), "{message}");
        assert_eq!(addresses.len(), 64);
        assert_eq!(book.on_answer("a.test", &answer(&many), UtcUs(2)), []);
    }

    #[test]
    fn a_narrower_policy_takes_addresses_away_at_once() {
        let both = ["127.0.0.1:8080", "127.0.0.2:8080"];
        let mut book =
            book(&[followed("alice", "a.test:8080", &both), followed("bob", "127.0.0.2:8081", &["127.0.0.2:8081"])]);
        let narrow = Policy { deny: vec!["127.0.0.2".parse().expect("an entry")], ..book.policy.clone() };
        let news = book.set_policy(narrow);
        assert_eq!(news.iter().filter(|news| matches!(news, News::Refused { .. })).count(), 2, "{news:?}");
        // Bob has nothing left, and is not given anything out.
        assert!(news.contains(&News::Closed { contestant: ContestantIndex::from_index(1) }), "{news:?}");
        assert_eq!(resolved(&news), [(ContestantIndex::FIRST, vec!["127.0.0.1:8080".to_owned()])]);
        let News::Stale { message, .. } = &book.on_answer("a.test", &answer(&["127.0.0.2"]), UtcUs(1))[1] else {
            panic!()
        };
        assert!(message.ends_with("its last good address stays"), "{message}");
    }

    #[test]
    fn an_answer_for_an_endpoint_that_was_left_changes_nothing() {
        let mut book = book(&[followed("alice", "old.test:8080", &["127.0.0.1:8080"])]);
        book.follow(ContestantIndex::FIRST, followed("alice", "new.test:8081", &["127.0.0.2:8081"]));
        assert_eq!(book.on_answer("old.test", &answer(&["127.0.0.9"]), UtcUs(1)), []);
        assert_eq!(resolved(&book.on_answer("new.test", &answer(&["127.0.0.3"]), UtcUs(2))).len(), 1);
    }

    #[test]
    fn a_name_with_a_new_private_address_every_time_fills_no_memory() {
        let mut book = book(&[followed("alice", "a.test:8080", &["127.0.0.1:8080"])]);
        let said: usize = (0..1_000u32)
            .map(|index| {
                book.on_answer(
                    "a.test",
                    &answer(&["127.0.0.1", &format!("10.0.{}.{}", index / 256, index % 256)]),
                    UtcUs(1),
                )
                .len()
            })
            .sum();
        assert_eq!(said, REFUSED_MAX);
    }

    #[test]
    fn a_hosts_file_that_cannot_be_read_is_said_once() {
        let mut book = book(&[]);
        assert_eq!(book.on_hosts(Ok(())), None);
        assert!(book.on_hosts(Err("gone".to_owned())).is_some());
        assert_eq!(book.on_hosts(Err("gone".to_owned())), None);
        assert_eq!(book.on_hosts(Ok(())), None);
        assert!(book.on_hosts(Err("gone".to_owned())).is_some());
    }
}
