//! Which deadlines were in force when, as one stream's records tell it. Pure.
//!
//! The start's are in force from the beginning of time, each control's from its own instant on. A control takes the place
//! of whatever earlier revisions said of that instant and of later ones.

use flowtest_contract::rules::{Deadlines, UtcUs};

/// Deadlines, and since when they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    pub at: UtcUs,
    pub deadlines: Deadlines,
}

/// Instants that one stream may name: nobody moves deadlines more often, and each costs memory.
pub const INSTANTS_MAX: usize = 1_000;

/// All of them by their instants, with the revisions that said so. Never empty, and the first counts from 0 on.
#[derive(Clone, Debug)]
pub struct InForce {
    told: Vec<(u64, Since)>,
}

impl InForce {
    pub fn new(deadlines: Deadlines) -> InForce {
        InForce { told: vec![(0, Since { at: UtcUs::EPOCH, deadlines })] }
    }

    /// Hears the next record. `false`, and nothing changes, when there are too many.
    pub fn hear(&mut self, revision: u64, since: Since) -> bool {
        let stays = |(by, held): &(u64, Since)| held.at < since.at || (held.at > since.at && *by >= revision);
        self.told.retain(stays);
        let fits = self.told.len() < INSTANTS_MAX;
        if fits || since.at == UtcUs::EPOCH {
            let place = self.told.partition_point(|(_, held)| held.at < since.at);
            self.told.insert(place, (revision, since));
        }
        fits
    }

    /// What a request is judged by that is sent at this instant.
    pub fn at(&self, sent: UtcUs) -> Deadlines {
        let place = self.told.partition_point(|(_, held)| held.at <= sent);
        self.told[place.saturating_sub(1)].1.deadlines
    }

    /// The instants at which something changes, beginning with 0.
    pub fn changes(&self) -> Vec<Since> {
        let mut changes: Vec<Since> = self.told.iter().map(|(_, since)| *since).collect();
        changes.dedup_by(|next, before| next.deadlines == before.deadlines);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::Deadline;

    fn version(at: u64, version: u64) -> Since {
        Since { at: UtcUs(at), deadlines: Deadlines { version: Deadline(UtcUs(version)), from: Deadline::PASSED } }
    }

    fn after(records: &[(u64, Since)]) -> Vec<(u64, u64)> {
        let mut in_force = InForce::new(version(0, 1).deadlines);
        assert!(records.iter().all(|(revision, since)| in_force.hear(*revision, *since)));
        in_force.changes().iter().map(|since| (since.at.0, since.deadlines.version.0.0)).collect()
    }

    #[test]
    fn each_record_counts_from_its_own_instant_on() {
        assert_eq!(after(&[]), [(0, 1)]);
        assert_eq!(after(&[(2, version(10, 5))]), [(0, 1), (10, 5)]);
        // what changes nothing is no change
        assert_eq!(after(&[(2, version(10, 1))]), [(0, 1)]);
        assert_eq!(after(&[(2, version(10, 5)), (3, version(20, 6))]), [(0, 1), (10, 5), (20, 6)]);
        // of one instant the later record counts
        assert_eq!(after(&[(2, version(10, 5)), (2, version(10, 7))]), [(0, 1), (10, 7)]);
        // one that counts from the beginning takes the start's place
        assert_eq!(after(&[(2, version(0, 5))]), [(0, 5)]);
    }

    #[test]
    fn what_a_newer_revision_does_not_say_again_is_void() {
        let told = [(2, version(10, 1)), (2, version(30, 5))];
        assert_eq!(after(&told), [(0, 1), (30, 5)]);
        // heard at 20: what the older one said of 30 never comes
        assert_eq!(after(&[&told[..], &[(3, version(20, 1)), (3, version(40, 6))]].concat()), [(0, 1), (40, 6)]);
        // heard at 35: it has come by then
        assert_eq!(after(&[&told[..], &[(3, version(35, 6))]].concat()), [(0, 1), (30, 5), (35, 6)]);
    }

    #[test]
    fn a_request_is_judged_by_what_was_in_force_when_it_was_sent() {
        let mut in_force = InForce::new(version(0, 1).deadlines);
        in_force.hear(2, version(10, 5));
        assert_eq!([0, 9, 10, u64::MAX].map(|sent| in_force.at(UtcUs(sent)).version.0.0), [1, 1, 5, 5]);
    }

    #[test]
    fn there_are_only_so_many() {
        let mut in_force = InForce::new(version(0, 1).deadlines);
        let heard = (1..=2 * INSTANTS_MAX as u64).filter(|at| in_force.hear(*at, version(*at, *at + 1))).count();
        assert_eq!((heard, in_force.changes().len()), (INSTANTS_MAX - 1, INSTANTS_MAX));
    }
}
