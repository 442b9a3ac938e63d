//! What is under way: how many at once of one network, of one account, and of all strangers together.
//!
//! Organisers are counted nowhere. What strangers have is shared: a part of it is kept for whoever has few, as a network and as the
//! large one around it. So the next one finds a turn, whatever a crowd has taken.

use crate::limits::connections::{Crowd, Kind};
use parking_lot::Mutex;
use std::collections::HashMap;

/// How many may be under way at once.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Of one network where nobody is signed in: a venue is one, and a whole room may be signing in.
    network: usize,
    account: usize,
    /// Of all contestants together.
    contestants: usize,
    /// Of all strangers together.
    strangers: usize,
    /// So many of these are kept for those who have fewer than `few`.
    kept: usize,
    few: usize,
}

const REQUESTS: Limits =
    Limits { network: 256, account: 64, contestants: usize::MAX, strangers: 1_024, kept: 512, few: 8 };
/// Fewer than may wait for a core. A team signs in by a few browsers at once, and some teams at one moment.
const PASSWORDS: Limits = Limits { network: 150, account: 8, contestants: 48, strangers: 240, kept: 90, few: 2 };
/// So many places among those who wait for a core are left for organisers.
const LEFT_FOR_ORGANISERS: usize = 32;

const _: () = assert!(
    PASSWORDS.strangers + PASSWORDS.contestants + LEFT_FOR_ORGANISERS <= flowtest_accounts::PASSWORDS_WAITING_MAX
);

#[derive(Debug)]
pub struct UnderWay {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    crowds: HashMap<Crowd, usize>,
    /// Of strangers, by their large networks.
    sites: HashMap<Crowd, usize>,
    strangers: usize,
    contestants: usize,
}

impl UnderWay {
    pub fn requests() -> UnderWay {
        UnderWay { limits: REQUESTS, counts: Mutex::default() }
    }

    /// Passwords that are looked at, scored or hashed. Who is known in its browser or signed in is no stranger.
    pub fn passwords() -> UnderWay {
        UnderWay { limits: PASSWORDS, counts: Mutex::default() }
    }

    /// One more, until what is returned is dropped; nothing when it is one too many.
    pub fn begin(&self, kind: Kind, crowd: Crowd) -> Option<Turn<'_>> {
        let mut counts = self.counts.lock();
        let limits = self.limits;
        let of_crowd = counts.crowds.get(&crowd).copied().unwrap_or(0);
        let of_site = counts.sites.get(&crowd.site()).copied().unwrap_or(0);
        let may = match kind {
            Kind::Silent | Kind::Stranger => match limits.strangers - counts.strangers {
                0 => false,
                left if left <= limits.kept => of_site < limits.few,
                _ => of_crowd < limits.network,
            },
            Kind::Contestant => of_crowd < limits.account && counts.contestants < limits.contestants,
            Kind::Organiser => true,
        };
        if !may {
            return None;
        }
        counts.crowds.insert(crowd, of_crowd + 1);
        match kind {
            Kind::Silent | Kind::Stranger => {
                counts.strangers += 1;
                counts.sites.insert(crowd.site(), of_site + 1);
            }
            Kind::Contestant => counts.contestants += 1,
            Kind::Organiser => {}
        }
        Some(Turn { under_way: self, kind, crowd })
    }
}

/// Something that is under way.
#[derive(Debug)]
pub struct Turn<'a> {
    under_way: &'a UnderWay,
    kind: Kind,
    crowd: Crowd,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let counts = &mut *self.under_way.counts.lock();
        take_one(&mut counts.crowds, self.crowd);
        match self.kind {
            Kind::Silent | Kind::Stranger => {
                counts.strangers -= 1;
                take_one(&mut counts.sites, self.crowd.site());
            }
            Kind::Contestant => counts.contestants -= 1,
            Kind::Organiser => {}
        }
    }
}

fn take_one(counts: &mut HashMap<Crowd, usize>, crowd: Crowd) {
    match counts.get_mut(&crowd) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            counts.remove(&crowd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn of_network(last: u8) -> Crowd {
        Crowd::Network(IpAddr::from([192, 0, 2, last]))
    }

    /// A /64 of one /48.
    fn part_of(site: u16, part: u16) -> Crowd {
        Crowd::Network(IpAddr::from([0x2001, 0xdb8, site, part, 0, 0, 0, 0]))
    }

    /// As many as it can have.
    fn many(under_way: &UnderWay, kind: Kind, crowd: Crowd) -> Vec<Turn<'_>> {
        (0..2_000).map_while(|_| under_way.begin(kind, crowd)).collect()
    }

    #[test]
    fn one_network_takes_its_own_turns_and_no_others() {
        let under_way = UnderWay::requests();
        let crowd = many(&under_way, Kind::Stranger, of_network(1));
        assert_eq!(crowd.len(), REQUESTS.network);
        // Strangers take no turn of those who are signed in, and a team none of another.
        assert_eq!(many(&under_way, Kind::Contestant, Crowd::Account(7)).len(), REQUESTS.account);
        let team = many(&under_way, Kind::Contestant, Crowd::Account(7));
        assert!(under_way.begin(Kind::Contestant, Crowd::Account(8)).is_some());
        assert_eq!(many(&under_way, Kind::Organiser, Crowd::Account(1)).len(), 2_000);
        drop((crowd, team));
        let counts = under_way.counts.lock();
        assert_eq!((counts.crowds.len(), counts.sites.len()), (0, 0));
        assert_eq!((counts.strangers, counts.contestants), (0, 0));
    }

    #[test]
    fn whatever_strangers_and_contestants_wait_for_a_core_an_organiser_finds_a_place() {
        let passwords = UnderWay::passwords();
        let one = many(&passwords, Kind::Contestant, Crowd::Account(7));
        assert_eq!(one.len(), PASSWORDS.account);
        let others: Vec<_> = (8..100).flat_map(|id| many(&passwords, Kind::Contestant, Crowd::Account(id))).collect();
        let strangers: Vec<_> = (1..200).flat_map(|last| many(&passwords, Kind::Stranger, of_network(last))).collect();
        let held = one.len() + others.len() + strangers.len();
        assert!(held + LEFT_FOR_ORGANISERS <= flowtest_accounts::PASSWORDS_WAITING_MAX, "{held}");
        assert!(passwords.begin(Kind::Contestant, Crowd::Account(100)).is_none());
        assert!(passwords.begin(Kind::Organiser, Crowd::Account(1)).is_some());
        drop(others);
        assert!(passwords.begin(Kind::Contestant, Crowd::Account(7)).is_none(), "only its own have to end");
        assert!(passwords.begin(Kind::Contestant, Crowd::Account(100)).is_some());
    }

    #[test]
    fn however_many_networks_a_crowd_has_the_next_one_finds_a_turn() {
        for under_way in [UnderWay::requests(), UnderWay::passwords()] {
            let taken: Vec<_> = (1..=40).flat_map(|last| many(&under_way, Kind::Stranger, of_network(last))).collect();
            let Limits { strangers, kept, few, .. } = under_way.limits;
            assert!(taken.len() > strangers - kept, "{}", taken.len());
            assert_eq!(many(&under_way, Kind::Stranger, of_network(100)).len(), few, "{:?}", under_way.limits);
        }
    }

    #[test]
    fn the_parts_of_a_large_network_take_nothing_of_what_is_kept() {
        for under_way in [UnderWay::requests(), UnderWay::passwords()] {
            let Limits { strangers, kept, few, .. } = under_way.limits;
            let taken: Vec<_> = (0..500).flat_map(|part| many(&under_way, Kind::Stranger, part_of(1, part))).collect();
            assert_eq!(taken.len(), strangers - kept);
            let elsewhere = many(&under_way, Kind::Stranger, part_of(2, 0));
            assert_eq!(elsewhere.len(), few);
            drop((taken, elsewhere));
            assert!(under_way.counts.lock().sites.is_empty());
        }
    }
}
