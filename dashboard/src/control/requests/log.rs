//! Who asked for what and when: how often somebody may ask, whose an answer is, and which answers are still awaited.
//!
//! It is told the time and asks nobody. After a restart it is empty, and a test is simply asked for again.

use crate::control::readiness::Tested;
use flowtest_accounts::UserId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::practice::TIMEOUT_SECONDS;
use flowtest_scoreboard::{ProbeAnswer, keys};
use std::collections::HashMap;

/// Between two tests of one contestant, in microseconds.
pub const PROBE_EVERY_US: u64 = 10_000_000;
/// Between two tests that the dashboard makes of one contestant while it matters, in microseconds.
const AUTOMATIC_EVERY_US: u64 = 30_000_000;
/// Automatic tests at one look, once a second; more where so many could not look at all teams in half a minute.
const AUTOMATIC_AT_ONCE: usize = 20;
/// Looks in which everybody's turn comes.
const AUTOMATIC_LOOKS: usize = (AUTOMATIC_EVERY_US / 1_000_000) as usize;
/// Between two changes of a contestant's endpoint, or of its display name, in microseconds: each is a row for ever, a new
/// document for all generators, and a frame for all viewers.
pub const WRITE_EVERY_US: u64 = 5_000_000;
/// Between two practices of one contestant, in microseconds.
pub const PRACTICE_EVERY_US: u64 = 5 * 60 * 1_000_000;
/// How long an ask is remembered, in microseconds: as long as the longest answer lives, and some.
const REMEMBERED_US: u64 = 20 * 60 * 1_000_000;
/// How long a test is looked for in Redis, in microseconds.
const PROBE_LIFE_US: u64 = keys::PROBE_LIFE_SECONDS * 1_000_000;
/// How long a practice may wait until a generator takes it and says so, in microseconds.
const PRACTICE_TIMEOUT_US: u64 = (TIMEOUT_SECONDS + 5) * 1_000_000;
/// How often the house is tested while nothing is on, in microseconds.
pub(super) const HOUSE_EVERY_US: u64 = 60 * 1_000_000;
/// Tests that are looked for at once at most.
const LOOKED_MAX: usize = 256;

/// Whose endpoint it is: an account's, or the house's.
pub type Owner = Option<UserId>;

/// A test that nobody asked for: its id, of whose endpoint, and what is looked at.
pub(super) type Automatic = (String, Owner, Tested);

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
    /// A test that the dashboard makes by itself.
    AutomaticProbe,
    Practice,
    Write(Write),
}

/// What contestants change by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    Endpoint,
    DisplayName,
    Contact,
}

impl Kind {
    /// Of a test that nobody asked for nobody reads the answer later, and there are many.
    fn remembered_us(self) -> u64 {
        if self == Kind::AutomaticProbe { PROBE_LIFE_US } else { REMEMBERED_US }
    }
}

#[derive(Clone, Debug)]
struct Asked {
    owner: Owner,
    kind: Kind,
    at: UtcUs,
    answered: bool,
    /// Of a test that nobody asked for: what is known of the server until then stays until it is answered.
    automatic: Option<Tested>,
}

impl RequestLog {
    /// Notes an ask, or says in how many microseconds it may be put.
    pub(super) fn note(&mut self, id: &str, owner: Owner, kind: Kind, now: UtcUs) -> Result<(), u64> {
        self.pace(owner, kind, now)?;
        self.asked.retain(|_, asked| now.saturating_since(asked.at) < asked.kind.remembered_us());
        self.asked.insert(id.to_owned(), Asked { owner, kind, at: now, answered: false, automatic: None });
        Ok(())
    }

    /// The same for what has no answer to wait for.
    pub(super) fn pace(&mut self, owner: Owner, kind: Kind, now: UtcUs) -> Result<(), u64> {
        let every = match kind {
            Kind::Probe => PROBE_EVERY_US,
            Kind::AutomaticProbe => AUTOMATIC_EVERY_US,
            Kind::Practice => PRACTICE_EVERY_US,
            Kind::Write(_) => WRITE_EVERY_US,
        };
        if let Some(last) = self.newest.get(&(owner, kind)) {
            let since = now.saturating_since(*last);
            if since < every {
                return Err(every - since);
            }
        }
        self.newest.retain(|_, at| now.saturating_since(*at) < REMEMBERED_US);
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
        let next = self.newest.get(&(owner, Kind::Practice)).map(|at| at.saturating_add(PRACTICE_EVERY_US));
        Pending {
            probe: newest(Kind::Probe)
                .filter(|(_, asked)| !asked.answered && now.saturating_since(asked.at) < PROBE_LIFE_US)
                .map(|(id, _)| id),
            practice: newest(Kind::Practice).map(|(id, _)| id),
            practice_next_at: next.filter(|at| *at > now),
        }
    }

    /// Tests without an answer that may still come.
    pub(super) fn open_probes(&self, now: UtcUs) -> Vec<String> {
        let is_open = |asked: &Asked| {
            matches!(asked.kind, Kind::Probe | Kind::AutomaticProbe)
                && !asked.answered
                && now.saturating_since(asked.at) < PROBE_LIFE_US
        };
        self.asked.iter().filter(|(_, asked)| is_open(asked)).map(|(id, _)| id.clone()).take(LOOKED_MAX).collect()
    }

    /// Practices that a generator would have taken by now, and of which that is not known.
    pub(super) fn late_practices(&self, now: UtcUs) -> Vec<String> {
        let is_late = |asked: &Asked| {
            asked.kind == Kind::Practice && !asked.answered && now.saturating_since(asked.at) > PRACTICE_TIMEOUT_US
        };
        self.asked.iter().filter(|(_, asked)| is_late(asked)).map(|(id, _)| id.clone()).take(LOOKED_MAX).collect()
    }

    /// A generator has taken it.
    pub(super) fn taken(&mut self, id: &str) {
        if let Some(asked) = self.asked.get_mut(id) {
            asked.answered = true;
        }
    }

    /// A generator has refused it and sent nothing: another may be asked for as soon as a test, and not in five minutes.
    pub(super) fn refused(&mut self, id: &str) {
        let Some(asked) = self.asked.get_mut(id) else { return };
        asked.answered = true;
        if let Some(newest) = self.newest.get_mut(&(asked.owner, asked.kind)).filter(|newest| **newest == asked.at) {
            *newest = UtcUs(asked.at.0.saturating_sub(PRACTICE_EVERY_US - PROBE_EVERY_US));
        }
    }

    pub(super) fn answer(&mut self, id: &str, answer: ProbeAnswer) {
        let Some(asked) = self.asked.get_mut(id) else { return };
        asked.answered = true;
        if let Some(tested) = asked.automatic.take() {
            let is_newest = self.tested.get(&asked.owner).is_none_or(|newest| newest.at <= tested.at);
            if is_newest {
                self.tested.insert(asked.owner, Tested { answer: Some(answer), ..tested });
            }
            return;
        }
        // An older test may be answered after a newer one was asked.
        if let Some(tested) = self.tested.get_mut(&asked.owner)
            && tested.at == asked.at
        {
            tested.answer = Some(answer);
        }
    }

    /// Notes a test that nobody asked for; false where the last one was a moment ago.
    fn note_automatic(&mut self, id: &str, owner: Owner, tested: Tested) -> bool {
        // What is known is of another endpoint, or by deadlines of before: it waits no half minute.
        let is_outdated = self
            .tested
            .get(&owner)
            .is_some_and(|known| known.endpoint != tested.endpoint || !known.expects_as(tested.deadlines, tested.at));
        let of_owner = (owner, Kind::AutomaticProbe);
        let is_old = |at: &UtcUs| tested.at.saturating_since(*at) >= PROBE_EVERY_US / 2;
        if is_outdated && self.newest.get(&of_owner).is_some_and(is_old) {
            self.newest.remove(&of_owner);
        }
        let is_noted = self.note(id, owner, Kind::AutomaticProbe, tested.at).is_ok();
        if let Some(asked) = self.asked.get_mut(id).filter(|_| is_noted) {
            asked.automatic = Some(tested);
        }
        is_noted
    }

    /// Of those whose endpoints could be tested the ones whose turn it is, noted. Whoever has waited longest comes first and so
    /// many come at each look, once a second, that everybody's turn comes in half a minute: nobody is left out, however many there
    /// are.
    pub(super) fn note_automatic_of(&mut self, mut could: Vec<Automatic>) -> Vec<Automatic> {
        could.sort_by_key(|(_, owner, _)| self.newest.get(&(*owner, Kind::AutomaticProbe)).copied());
        let at_once = AUTOMATIC_AT_ONCE.max(could.len().div_ceil(AUTOMATIC_LOOKS));
        let due = could.into_iter().filter(|(id, owner, tested)| self.note_automatic(id, *owner, tested.clone()));
        due.take(at_once).collect()
    }

    /// The next automatic tests may be made at once.
    pub(super) fn hurry(&mut self) {
        self.newest.retain(|(_, kind), _| *kind != Kind::AutomaticProbe);
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
    use flowtest_contract::rules::Deadlines;
    use flowtest_testkit::documents::{RIGHT, probe_answer};

    const SECOND: u64 = 1_000_000;
    const ALICE: Owner = Some(UserId(1));
    const BOB: Owner = Some(UserId(2));

    #[test]
    fn one_test_in_ten_seconds_and_one_practice_in_five_minutes() {
        let mut log = RequestLog::default();
        assert_eq!(log.note("a", ALICE, Kind::Probe, UtcUs(SECOND)), Ok(()));
        assert_eq!(log.note("b", ALICE, Kind::Probe, UtcUs(4 * SECOND)), Err(7 * SECOND));
        assert_eq!(log.note("c", BOB, Kind::Probe, UtcUs(4 * SECOND)), Ok(()), "each has its own");
        assert_eq!(log.note("d", ALICE, Kind::Practice, UtcUs(4 * SECOND)), Ok(()), "each kind has its own");
        assert_eq!(log.note("e", ALICE, Kind::Probe, UtcUs(11 * SECOND)), Ok(()));
        assert_eq!(log.note("f", ALICE, Kind::Practice, UtcUs(303 * SECOND)), Err(SECOND));
        assert_eq!(log.note("f", ALICE, Kind::Practice, UtcUs(304 * SECOND)), Ok(()));
    }

    #[test]
    fn what_is_known_of_a_server_stays_until_an_automatic_test_is_answered() {
        let mut log = RequestLog::default();
        let tested = |at| Tested { at, endpoint: "a".to_owned(), deadlines: Deadlines::default(), answer: None };
        let answer = |id: &str| probe_answer(id, "a", UtcUs(SECOND), RIGHT);
        log.note("a", ALICE, Kind::Probe, UtcUs(SECOND)).expect("the first");
        log.put_test(ALICE, tested(UtcUs(SECOND)));
        log.answer("a", answer("a"));
        assert!(log.note_automatic("b", ALICE, tested(UtcUs(2 * SECOND))), "her own test does not count");
        assert!(!log.note_automatic("c", ALICE, tested(UtcUs(31 * SECOND))));
        assert_eq!(log.tested(ALICE).and_then(|tested| tested.answer).map(|answer| answer.id).as_deref(), Some("a"));
        assert_eq!(log.open_probes(UtcUs(2 * SECOND)), ["b"]);
        log.answer("b", answer("b"));
        assert_eq!(log.tested(ALICE).and_then(|tested| tested.answer).map(|answer| answer.id).as_deref(), Some("b"));
        log.hurry();
        assert!(log.note_automatic("c", ALICE, tested(UtcUs(31 * SECOND))));
        assert_eq!(log.note("d", ALICE, Kind::Probe, UtcUs(31 * SECOND)), Ok(()), "nor does ours for her");
    }

    #[test]
    fn of_seven_hundred_teams_each_is_looked_at_in_half_a_minute_and_again() {
        let mut log = RequestLog::default();
        let mut last = HashMap::new();
        for second in 0..95 {
            let at = UtcUs(second * SECOND);
            let tested = || Tested { at, endpoint: "a".to_owned(), deadlines: Deadlines::default(), answer: None };
            let could = (0..700).map(|team| (format!("{team}/{second}"), Some(UserId(team)), tested())).collect();
            let asked = log.note_automatic_of(could);
            assert!(asked.len() <= 24, "{} at second {second}", asked.len());
            for (_, owner, _) in asked {
                let before = last.insert(owner, second);
                assert!(before.is_none_or(|before| second - before <= 31), "{owner:?}: {before:?}, {second}");
            }
        }
        assert_eq!(last.len(), 700, "nobody is left out");
        assert!(last.values().all(|second| *second > 60));
    }

    #[test]
    fn one_change_in_five_seconds_of_each_kind() {
        let mut log = RequestLog::default();
        let (endpoint, name) = (Kind::Write(Write::Endpoint), Kind::Write(Write::DisplayName));
        assert_eq!(log.pace(ALICE, endpoint, UtcUs(SECOND)), Ok(()));
        assert_eq!(log.pace(ALICE, endpoint, UtcUs(2 * SECOND)), Err(4 * SECOND));
        assert_eq!(log.pace(ALICE, name, UtcUs(2 * SECOND)), Ok(()));
        assert_eq!(log.pace(BOB, endpoint, UtcUs(2 * SECOND)), Ok(()));
        assert_eq!(log.pace(ALICE, endpoint, UtcUs(6 * SECOND)), Ok(()));
    }

    #[test]
    fn what_redis_did_not_take_may_be_asked_again_at_once() {
        let mut log = RequestLog::default();
        log.note("a", ALICE, Kind::Probe, UtcUs::EPOCH).expect("the first");
        log.forget("a");
        assert_eq!(log.note("b", ALICE, Kind::Probe, UtcUs(1)), Ok(()));
    }

    #[test]
    fn a_practice_that_nobody_took_gives_its_five_minutes_back() {
        let mut log = RequestLog::default();
        log.note("a", ALICE, Kind::Practice, UtcUs::EPOCH).expect("the first");
        log.note("b", BOB, Kind::Practice, UtcUs::EPOCH).expect("the first");
        assert!(log.late_practices(UtcUs(PRACTICE_TIMEOUT_US)).is_empty());
        log.taken("b");
        assert_eq!(log.late_practices(UtcUs(PRACTICE_TIMEOUT_US + 1)), ["a"]);
        log.forget("a");
        assert_eq!(log.note("c", ALICE, Kind::Practice, UtcUs(PRACTICE_TIMEOUT_US + 1)), Ok(()));
        assert!(log.note("d", BOB, Kind::Practice, UtcUs(PRACTICE_TIMEOUT_US + 1)).is_err(), "his was taken");
    }

    #[test]
    fn a_practice_that_a_generator_refused_costs_no_five_minutes() {
        let (mut log, asked) = (RequestLog::default(), UtcUs(PRACTICE_EVERY_US));
        log.note("a", ALICE, Kind::Practice, asked).expect("the first");
        log.refused("a");
        assert!(log.is_of("a", Kind::Practice, ALICE), "its report can still be read");
        assert!(
            log.note("b", ALICE, Kind::Practice, asked + PROBE_EVERY_US - 1).is_err(),
            "nobody keeps generators busy"
        );
        assert_eq!(log.note("b", ALICE, Kind::Practice, asked + PROBE_EVERY_US), Ok(()));
        // Read once more, it gives nothing back of the next one, which was taken.
        log.refused("a");
        assert!(log.note("c", ALICE, Kind::Practice, asked + 2 * PROBE_EVERY_US).is_err());
    }

    #[test]
    fn an_ask_belongs_to_its_owner_and_is_forgotten_after_a_while() {
        let mut log = RequestLog::default();
        log.note("a", ALICE, Kind::Probe, UtcUs::EPOCH).expect("the first");
        assert!(log.is_of("a", Kind::Probe, ALICE));
        assert!(!log.is_of("a", Kind::Probe, BOB) && !log.is_of("a", Kind::Practice, ALICE));
        assert_eq!(log.open_probes(UtcUs(SECOND)), ["a"]);
        assert!(log.open_probes(UtcUs(61 * SECOND)).is_empty());
        log.note("b", BOB, Kind::Probe, UtcUs(REMEMBERED_US)).expect("another");
        assert!(!log.has("a", Kind::Probe));
    }
}
