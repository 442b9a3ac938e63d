//! What contestants ask of generators: tests of an endpoint, and practice. Who may ask how often, and who may read the
//! answer. It paces in the same way what they change by themselves.
//!
//! It remembers in memory only: after a restart a test is simply asked for again.

use super::desk::{ChangeError, Organiser};
use super::readiness::Tested;
use super::roster::HOUSE;
use flowtest_accounts::{Error, User, UserId};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::practice::{PracticeReport, PracticeRequest};
use flowtest_scoreboard::{ProbeAnswer, ProbeRequest, keys};
use std::collections::HashMap;

/// Between two tests of one contestant, in microseconds.
pub const PROBE_EVERY_US: u64 = 10_000_000;
/// Between two changes of a contestant's endpoint, or of its shown name, in microseconds: each is a row for ever, a new
/// document for all generators, and a frame for all viewers.
pub const WRITE_EVERY_US: u64 = 5_000_000;
/// Between two practices of one contestant, in microseconds.
pub const PRACTICE_EVERY_US: u64 = 5 * 60 * 1_000_000;
/// How long an ask is remembered, in microseconds: as long as the longest answer lives, and some.
const REMEMBERED_US: u64 = 20 * 60 * 1_000_000;
/// How long a test is looked for in Redis, in microseconds.
const PROBE_LIFE_US: u64 = keys::PROBE_LIFE_SECONDS * 1_000_000;
/// How often the house is tested while nothing is on, in microseconds.
const HOUSE_EVERY_US: u64 = 60 * 1_000_000;
/// Tests that are looked for at once at most.
const LOOKED_MAX: usize = 64;

/// Whose endpoint it is: an account's, or the house's.
pub type Owner = Option<UserId>;

/// What was asked. The newest of each owner and kind counts.
#[derive(Debug, Default)]
pub(super) struct Asks {
    asked: HashMap<String, Asked>,
    /// When each owner asked last.
    newest: HashMap<(Owner, Kind), UtcUs>,
    tested: HashMap<Owner, Tested>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Probe,
    Practice,
    Write(Write),
}

/// What contestants change by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    Endpoint,
    ShownName,
}

#[derive(Clone, Debug)]
struct Asked {
    owner: Owner,
    kind: Kind,
    at: UtcUs,
    answered: bool,
}

impl Asks {
    /// Notes an ask, or says in how many microseconds it may be put.
    fn note(&mut self, id: &str, owner: Owner, kind: Kind, now: UtcUs) -> Result<(), u64> {
        self.pace(owner, kind, now)?;
        self.asked.retain(|_, asked| now.saturating_sub(asked.at) < REMEMBERED_US);
        self.asked.insert(id.to_owned(), Asked { owner, kind, at: now, answered: false });
        Ok(())
    }

    /// The same for what has no answer to wait for.
    fn pace(&mut self, owner: Owner, kind: Kind, now: UtcUs) -> Result<(), u64> {
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
    fn forget(&mut self, id: &str) {
        if let Some(asked) = self.asked.remove(id) {
            self.newest.remove(&(asked.owner, asked.kind));
        }
    }

    fn is_of(&self, id: &str, kind: Kind, owner: Owner) -> bool {
        self.asked.get(id).is_some_and(|asked| asked.kind == kind && asked.owner == owner)
    }

    fn has(&self, id: &str, kind: Kind) -> bool {
        self.asked.get(id).is_some_and(|asked| asked.kind == kind)
    }

    fn pending(&self, owner: Owner, now: UtcUs) -> Pending {
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
    fn open_probes(&self, now: UtcUs) -> Vec<String> {
        let is_open = |asked: &Asked| {
            asked.kind == Kind::Probe && !asked.answered && now.saturating_sub(asked.at) < PROBE_LIFE_US
        };
        self.asked.iter().filter(|(_, asked)| is_open(asked)).map(|(id, _)| id.clone()).take(LOOKED_MAX).collect()
    }

    fn answer(&mut self, id: &str, answer: ProbeAnswer) {
        let Some(asked) = self.asked.get_mut(id) else { return };
        asked.answered = true;
        // An older test may be answered after a newer one was asked.
        if let Some(tested) = self.tested.get_mut(&asked.owner)
            && tested.at == asked.at
        {
            tested.answer = Some(answer);
        }
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

impl Organiser {
    /// What somebody waits for.
    pub fn pending(&self, owner: Owner, now: UtcUs) -> Pending {
        self.lock_asks().pending(owner, now)
    }

    /// Makes a change of a contestant's own, once in five seconds. What was typed wrongly does not count.
    pub async fn paced<T>(
        &self,
        user: UserId,
        write: Write,
        now: UtcUs,
        change: impl Future<Output = Result<T, ChangeError>>,
    ) -> Result<T, ChangeError> {
        let kind = Kind::Write(write);
        let (field, what) = match write {
            Write::Endpoint => ("endpoint", "your endpoint"),
            Write::ShownName => ("shown", "your name on the board"),
        };
        self.lock_asks().pace(Some(user), kind, now).map_err(|us| {
            let wait_s = us.div_ceil(1_000_000);
            let sentence = format!("You changed {what} a moment ago: wait {wait_s} s and send it again.");
            ChangeError::Field { field, sentence }
        })?;
        let made = change.await;
        if matches!(made, Err(ChangeError::Field { .. } | ChangeError::Accounts(Error::Invalid { .. }))) {
            self.lock_asks().newest.remove(&(Some(user), kind));
        }
        made
    }

    /// Asks a generator to test somebody's endpoint, once in ten seconds. Returns the id of the answer.
    pub async fn ask_probe(&self, user: &User, now: UtcUs) -> Result<String, ChangeError> {
        let endpoint = self.endpoint_to_ask(user).await?;
        self.put_probe(Some(user.id), &user.name, endpoint, now).await
    }

    /// The same for the platform's own server, in peace once a minute.
    pub(super) async fn probe_house(&self, now: UtcUs) -> Result<(), ChangeError> {
        let Some(house) = self.settings().house.clone() else { return Ok(()) };
        let recent = self.lock_asks().tested(None);
        let is_recent =
            |tested: &Tested| tested.endpoint == house.to_string() && now.saturating_sub(tested.at) < HOUSE_EVERY_US;
        if self.is_playing() || recent.as_ref().is_some_and(is_recent) || self.status().generators.is_empty() {
            return Ok(());
        }
        self.put_probe(None, HOUSE, house.to_string(), now).await.map(drop)
    }

    async fn put_probe(&self, owner: Owner, name: &str, endpoint: String, now: UtcUs) -> Result<String, ChangeError> {
        let id = draw_id()?;
        self.lock_asks().note(&id, owner, Kind::Probe, now).map_err(|us| {
            ChangeError::Unfit(format!(
                "your endpoint was tested a moment ago: wait {} s and test it again",
                us.div_ceil(1_000_000)
            ))
        })?;
        let request = ProbeRequest { id: id.clone(), at: now, contestant: name.to_owned(), endpoint: endpoint.clone() };
        let contest = self.contest().to_owned();
        if let Err(error) = self.inner.link.call(move |scoreboard| scoreboard.ask_probe(&contest, &request)).await {
            self.lock_asks().forget(&id);
            return Err(error.into());
        }
        self.lock_asks().tested.insert(owner, Tested { at: now, endpoint, answer: None });
        Ok(id)
    }

    /// The answer to a test, once it is there. Only who asked may read it, and admins; to others it does not exist.
    pub async fn probe(&self, id: &str, reader: &User, is_admin: bool) -> Result<Option<ProbeAnswer>, NoAsk> {
        self.check_reader(id, Kind::Probe, reader, is_admin)?;
        let (contest, asked) = (self.contest().to_owned(), id.to_owned());
        let answer = self.inner.link.call(move |scoreboard| scoreboard.read_probe(&contest, &asked)).await?;
        if let Some(answer) = &answer {
            self.lock_asks().answer(id, answer.clone());
        }
        Ok(answer)
    }

    /// Asks for practice on somebody's own endpoint, once in five minutes and never while a round is on.
    pub async fn ask_practice(&self, user: &User, rate: u64, seconds: u64, now: UtcUs) -> Result<String, ChangeError> {
        if self.is_playing() {
            return Err(ChangeError::Unfit("a round is on: practise when it is over".to_owned()));
        }
        let endpoint = self.endpoint_to_ask(user).await?;
        let id = draw_id()?;
        let request =
            PracticeRequest { id: id.clone(), at: now, contestant: user.name.clone(), endpoint, rate, seconds };
        request.check().map_err(|sentence| ChangeError::Field { field: "rate", sentence })?;
        self.lock_asks().note(&id, Some(user.id), Kind::Practice, now).map_err(|us| {
            let wait = super::instant::duration(us.div_ceil(1_000_000) * 1_000_000);
            ChangeError::Unfit(format!("you practised a moment ago: wait {wait} and practise again"))
        })?;
        let contest = self.contest().to_owned();
        if let Err(error) = self.inner.link.call(move |scoreboard| scoreboard.ask_practice(&contest, &request)).await {
            self.lock_asks().forget(&id);
            return Err(error.into());
        }
        Ok(id)
    }

    /// How a practice goes. Only who asked may read it, and admins.
    pub async fn practice(&self, id: &str, reader: &User, is_admin: bool) -> Result<Option<PracticeReport>, NoAsk> {
        self.check_reader(id, Kind::Practice, reader, is_admin)?;
        let (contest, id) = (self.contest().to_owned(), id.to_owned());
        Ok(self.inner.link.call(move |scoreboard| scoreboard.read_practice(&contest, &id)).await?)
    }

    /// The last test of somebody's endpoint.
    pub fn tested(&self, owner: Owner) -> Option<Tested> {
        self.lock_asks().tested(owner)
    }

    /// Fetches answers that nobody's page waits for any more.
    pub(super) async fn collect_answers(&self, now: UtcUs) {
        let open = self.lock_asks().open_probes(now);
        if open.is_empty() {
            return;
        }
        let contest = self.contest().to_owned();
        let answers = self.inner.link.call(move |scoreboard| {
            open.into_iter()
                .map(|id| Ok((id.clone(), scoreboard.read_probe(&contest, &id)?)))
                .collect::<Result<Vec<_>, _>>()
        });
        let Ok(answers) = answers.await else { return };
        let mut asks = self.lock_asks();
        for (id, answer) in answers.into_iter().filter_map(|(id, answer)| Some((id, answer?))) {
            asks.answer(&id, answer);
        }
    }

    fn check_reader(&self, id: &str, kind: Kind, reader: &User, is_admin: bool) -> Result<(), NoAsk> {
        let asks = self.lock_asks();
        let may = asks.is_of(id, kind, Some(reader.id)) || (is_admin && asks.has(id, kind));
        if may { Ok(()) } else { Err(NoAsk::Unknown) }
    }

    async fn endpoint_to_ask(&self, user: &User) -> Result<String, ChangeError> {
        let endpoint = self.inner.accounts.endpoint_of(user.id).await?;
        let none =
            || ChangeError::Field { field: "endpoint", sentence: "there is no endpoint yet: set it first".to_owned() };
        endpoint.map(|endpoint| endpoint.endpoint).ok_or_else(none)
    }
}

/// Why there is no answer to read.
#[derive(Debug, thiserror::Error)]
pub enum NoAsk {
    /// Nobody asked it, it was long ago, or somebody else did.
    #[error("there is no such test any more: ask for a new one")]
    Unknown,
    #[error("{0}")]
    Redis(#[from] super::link::LinkError),
}

fn draw_id() -> Result<String, ChangeError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| ChangeError::Unfit(format!("no random bytes ({error}): try again")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const ALICE: Owner = Some(UserId(1));
    const BOB: Owner = Some(UserId(2));

    #[test]
    fn one_test_in_ten_seconds_and_one_practice_in_five_minutes() {
        let mut asks = Asks::default();
        assert_eq!(asks.note("a", ALICE, Kind::Probe, SECOND), Ok(()));
        assert_eq!(asks.note("b", ALICE, Kind::Probe, 4 * SECOND), Err(7 * SECOND));
        assert_eq!(asks.note("c", BOB, Kind::Probe, 4 * SECOND), Ok(()), "each has its own");
        assert_eq!(asks.note("d", ALICE, Kind::Practice, 4 * SECOND), Ok(()), "each kind has its own");
        assert_eq!(asks.note("e", ALICE, Kind::Probe, 11 * SECOND), Ok(()));
        assert_eq!(asks.note("f", ALICE, Kind::Practice, 303 * SECOND), Err(SECOND));
        assert_eq!(asks.note("f", ALICE, Kind::Practice, 304 * SECOND), Ok(()));
    }

    #[test]
    fn one_change_in_five_seconds_of_each_kind() {
        let mut asks = Asks::default();
        let (endpoint, name) = (Kind::Write(Write::Endpoint), Kind::Write(Write::ShownName));
        assert_eq!(asks.pace(ALICE, endpoint, SECOND), Ok(()));
        assert_eq!(asks.pace(ALICE, endpoint, 2 * SECOND), Err(4 * SECOND));
        assert_eq!(asks.pace(ALICE, name, 2 * SECOND), Ok(()));
        assert_eq!(asks.pace(BOB, endpoint, 2 * SECOND), Ok(()));
        assert_eq!(asks.pace(ALICE, endpoint, 6 * SECOND), Ok(()));
    }

    #[test]
    fn what_redis_did_not_take_may_be_asked_again_at_once() {
        let mut asks = Asks::default();
        asks.note("a", ALICE, Kind::Probe, 0).expect("the first");
        asks.forget("a");
        assert_eq!(asks.note("b", ALICE, Kind::Probe, 1), Ok(()));
    }

    #[test]
    fn an_ask_belongs_to_its_owner_and_is_forgotten_after_a_while() {
        let mut asks = Asks::default();
        asks.note("a", ALICE, Kind::Probe, 0).expect("the first");
        assert!(asks.is_of("a", Kind::Probe, ALICE));
        assert!(!asks.is_of("a", Kind::Probe, BOB) && !asks.is_of("a", Kind::Practice, ALICE));
        assert_eq!(asks.open_probes(SECOND), ["a"]);
        assert!(asks.open_probes(61 * SECOND).is_empty());
        asks.note("b", BOB, Kind::Probe, REMEMBERED_US).expect("another");
        assert!(!asks.has("a", Kind::Probe));
    }
}
