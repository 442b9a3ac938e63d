//! Who asked for what and when: how often somebody may ask, whose an answer is, and which answers are still awaited.
//!
//! It is told the time and asks nobody. After a restart it is empty, and a test is simply asked for again.

use crate::control::readiness::Tested;
use flowtest_accounts::UserId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{ProbeAnswer, keys};
use std::collections::HashMap;

/// Between two tests of one contestant, in microseconds.
pub const PROBE_EVERY_US: u64 = 10_000_000;
/// Between two changes of a contestant's endpoint, or of its display name, in microseconds: each is a row for ever, a new
/// document for all generators, and a frame for all viewers.
pub const WRITE_EVERY_US: u64 = 5_000_000;
/// Between two practices of one contestant, in microseconds.
pub const PRACTICE_EVERY_US: u64 = 5 * 60 * 1_000_000;
/// How long an ask is remembered, in microseconds: as long as the longest answer lives, and some.
const REMEMBERED_US: u64 = 20 * 60 * 1_000_000;
/// How long a test is looked for in Redis, in microseconds.
const PROBE_LIFE_US: u64 = keys::PROBE_LIFE_SECONDS * 1_000_000;
/// How often the house is tested while nothing is on, in microseconds.
pub(super) const HOUSE_EVERY_US: u64 = 60 * 1_000_000;
/// Tests that are looked for at once at most.
const LOOKED_MAX: usize = 64;

/// Whose endpoint it is: an account's, or the house's.
pub type Owner = Option<UserId>;

/// What was asked. The newest of each owner and kind counts.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    asked: HashMap<String, Asked>,
    /// When each owner asked last.
    newest: HashMap<(Owner, Kind), UtcUs>,
    tested: HashMap<Owner, Tested>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Probe,
    Practice,
    Write(Write),
}

/// What contestants change by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    Endpoint,
    DisplayName,
}

#[derive(Clone, Debug)]
struct Asked {
    owner: Owner,
    kind: Kind,
    at: UtcUs,
    answered: bool,
}

impl RequestLog {
    /// Notes an ask, or says in how many microseconds it may be put.
    pub(super) fn note(&mut self, id: &str, owner: Owner, kind: Kind, now: UtcUs) -> Result<(), u64> {
        self.pace(owner, kind, now)?;
        self.asked.retain(|_, asked| now.saturating_sub(asked.at) < REMEMBERED_US);
        self.asked.insert(id.to_owned(), Asked { owner, kind, at: now, answered: false });
        Ok(())
    }

    /// The same for what has no answer to wait for.
    pub(super) fn pace(&mut self, owner: Owner, kind: Kind, now: UtcUs) -> Result<(), u64> {
        let every = match kind {
            Kind::Probe => PROBE_EVERY_US,
            Kind::Practice => PRACTICE_EVERY_US,
            Kind::Write(_) => WRITE_EVERY_US,
        };
        if let Some(last) = self.newest.get(&(owner, kind)) {
            let since = now.saturating_sub(*last);
            if since < every {
                return Err(every - since);
            }
        }
        self.newest.retain(|_, at| now.saturating_sub(*at) < REMEMBERED_US);
        self.newest.insert((owner, kind), now);
        Ok(())
    }

    /// As if it had never been asked: Redis did not take it.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(asked) = self.asked.remove(id) {
            self.newest.remove(&(asked.owner, asked.kind));
        }
    }

    pub(super) fn is_of(&self, id: &str, kind: Kind, owner: Owner) -> bool {
        self.asked.get(id).is_some_and(|asked| asked.kind == kind && asked.owner == owner)
    }

    pub(super) fn has(&self, id: &str, kind: Kind) -> bool {
        self.asked.get(id).is_some_and(|asked| asked.kind == kind)
    }

    pub(super) fn pending(&self, owner: Owner, now: UtcUs) -> Pending {
        let newest = |kind: Kind| {
            let of_owner = self.asked.iter().filter(|(_, asked)| asked.kind == kind && asked.owner == owner);
            of_owner.max_by_key(|(_, asked)| asked.at).map(|(id, asked)| (id.clone(), asked.clone()))
        };
        let next = self.newest.get(&(owner, Kind::Practice)).map(|at| at + PRACTICE_EVERY_US);
        Pending {
            probe: newest(Kind::Probe)
                .filter(|(_, asked)| !asked.answered && now.saturating_sub(asked.at) < PROBE_LIFE_US)
                .map(|(id, _)| id),
            practice: newest(Kind::Practice).map(|(id, _)| id),
            practice_next_at: next.filter(|at| *at > now),
        }
    }

    /// Tests without an answer that may still come.
    pub(super) fn open_probes(&self, now: UtcUs) -> Vec<String> {
        let is_open = |asked: &Asked| {
            asked.kind == Kind::Probe && !asked.answered && now.saturating_sub(asked.at) < PROBE_LIFE_US
        };
        self.asked.iter().filter(|(_, asked)| is_open(asked)).map(|(id, _)| id.clone()).take(LOOKED_MAX).collect()
    }

    pub(super) fn answer(&mut self, id: &str, answer: ProbeAnswer) {
        let Some(asked) = self.asked.get_mut(id) else { return };
        asked.answered = true;
        // An older test may be answered after a newer one was asked.
        if let Some(tested) = self.tested.get_mut(&asked.owner)
            && tested.at == asked.at
        {
            tested.answer = Some(answer);
        }
    }

    /// Puts a test that Redis has taken.
    pub(super) fn put_test(&mut self, owner: Owner, tested: Tested) {
        self.tested.insert(owner, tested);
    }

    /// As if somebody had not changed anything: what was typed was wrong.
    pub(super) fn unpace(&mut self, owner: Owner, kind: Kind) {
        self.newest.remove(&(owner, kind));
    }

    /// The last test of somebody's endpoint.
    pub(super) fn tested(&self, owner: Owner) -> Option<Tested> {
        self.tested.get(&owner).cloned()
    }
}

/// What somebody asked for and still waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The id of a test without an answer.
    pub probe: Option<String>,
    /// The id of the last practice, as long as its report lives.
    pub practice: Option<String>,
    /// When the next practice may be asked for, when that is not now.
    pub practice_next_at: Option<UtcUs>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const ALICE: Owner = Some(UserId(1));
    const BOB: Owner = Some(UserId(2));

    #[test]
    fn one_test_in_ten_seconds_and_one_practice_in_five_minutes() {
        let mut log = RequestLog::default();
        assert_eq!(log.note("a", ALICE, Kind::Probe, SECOND), Ok(()));
        assert_eq!(log.note("b", ALICE, Kind::Probe, 4 * SECOND), Err(7 * SECOND));
        assert_eq!(log.note("c", BOB, Kind::Probe, 4 * SECOND), Ok(()), "each has its own");
        assert_eq!(log.note("d", ALICE, Kind::Practice, 4 * SECOND), Ok(()), "each kind has its own");
        assert_eq!(log.note("e", ALICE, Kind::Probe, 11 * SECOND), Ok(()));
        assert_eq!(log.note("f", ALICE, Kind::Practice, 303 * SECOND), Err(SECOND));
        assert_eq!(log.note("f", ALICE, Kind::Practice, 304 * SECOND), Ok(()));
    }

    #[test]
    fn one_change_in_five_seconds_of_each_kind() {
        let mut log = RequestLog::default();
        let (endpoint, name) = (Kind::Write(Write::Endpoint), Kind::Write(Write::DisplayName));
        assert_eq!(log.pace(ALICE, endpoint, SECOND), Ok(()));
        assert_eq!(log.pace(ALICE, endpoint, 2 * SECOND), Err(4 * SECOND));
        assert_eq!(log.pace(ALICE, name, 2 * SECOND), Ok(()));
        assert_eq!(log.pace(BOB, endpoint, 2 * SECOND), Ok(()));
        assert_eq!(log.pace(ALICE, endpoint, 6 * SECOND), Ok(()));
    }

    #[test]
    fn what_redis_did_not_take_may_be_asked_again_at_once() {
        let mut log = RequestLog::default();
        log.note("a", ALICE, Kind::Probe, 0).expect("the first");
        log.forget("a");
        assert_eq!(log.note("b", ALICE, Kind::Probe, 1), Ok(()));
    }

    #[test]
    fn an_ask_belongs_to_its_owner_and_is_forgotten_after_a_while() {
        let mut log = RequestLog::default();
        log.note("a", ALICE, Kind::Probe, 0).expect("the first");
        assert!(log.is_of("a", Kind::Probe, ALICE));
        assert!(!log.is_of("a", Kind::Probe, BOB) && !log.is_of("a", Kind::Practice, ALICE));
        assert_eq!(log.open_probes(SECOND), ["a"]);
        assert!(log.open_probes(61 * SECOND).is_empty());
        log.note("b", BOB, Kind::Probe, REMEMBERED_US).expect("another");
        assert!(!log.has("a", Kind::Probe));
    }
}
