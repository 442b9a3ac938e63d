//! Requests that are under way: how many at once of one network, of one account, and of all strangers together.

use crate::connections::{Crowd, Kind};
use parking_lot::Mutex;
use std::collections::HashMap;

/// Of one network where nobody is signed in: a venue is one, and a whole room may be signing in.
const NETWORK_MAX: usize = 256;
/// Of one account.
const ACCOUNT_MAX: usize = 64;
/// Of all strangers.
const STRANGERS_MAX: usize = 1_024;

/// Requests that are under way.
#[derive(Debug, Default)]
pub struct UnderWay {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    crowds: HashMap<Crowd, usize>,
    strangers: usize,
}

impl UnderWay {
    /// One more, until what is returned is dropped; nothing when it is one too many.
    pub fn begin(&self, kind: Kind, crowd: Crowd) -> Option<Turn<'_>> {
        let mut counts = self.counts.lock();
        let of_crowd = counts.crowds.get(&crowd).copied().unwrap_or(0);
        let may = match kind {
            Kind::Silent | Kind::Stranger => of_crowd < NETWORK_MAX && counts.strangers < STRANGERS_MAX,
            Kind::Contestant => of_crowd < ACCOUNT_MAX,
            Kind::Organiser => true,
        };
        if !may {
            return None;
        }
        counts.crowds.insert(crowd, of_crowd + 1);
        let is_stranger = kind <= Kind::Stranger;
        counts.strangers += usize::from(is_stranger);
        Some(Turn { under_way: self, crowd, is_stranger })
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct Turn<'a> {
    under_way: &'a UnderWay,
    crowd: Crowd,
    is_stranger: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut counts = self.under_way.counts.lock();
        counts.strangers -= usize::from(self.is_stranger);
        match counts.crowds.get_mut(&self.crowd) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.crowds.remove(&self.crowd);
            }
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

    #[test]
    fn one_network_takes_its_own_turns_and_no_others() {
        let under_way = UnderWay::default();
        let many = |kind: Kind, crowd: Crowd| -> Vec<Turn<'_>> {
            (0..2_000).map_while(|_| under_way.begin(kind, crowd)).collect()
        };
        let crowd = many(Kind::Stranger, of_network(1));
        assert_eq!(crowd.len(), NETWORK_MAX);
        assert!(under_way.begin(Kind::Stranger, of_network(2)).is_some());
        let others: Vec<_> = (2..10).map(|network| many(Kind::Stranger, of_network(network))).collect();
        assert_eq!(crowd.len() + others.iter().map(Vec::len).sum::<usize>(), STRANGERS_MAX);
        // Strangers take no turn of those who are signed in, and a team none of another.
        assert_eq!(many(Kind::Contestant, Crowd::Account(7)).len(), ACCOUNT_MAX);
        let team = many(Kind::Contestant, Crowd::Account(7));
        assert!(under_way.begin(Kind::Contestant, Crowd::Account(8)).is_some());
        assert_eq!(many(Kind::Organiser, Crowd::Account(1)).len(), 2_000);
        drop((crowd, others, team));
        let counts = under_way.counts.lock();
        assert_eq!((counts.crowds.len(), counts.strangers), (0, 0));
    }
}
