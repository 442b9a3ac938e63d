//! What contestants ask of generators: tests of an endpoint, and practice. Who may ask how often, and who may read the
//! answer. It paces in the same way what they change by themselves.

mod log;

pub use log::{Owner, PRACTICE_EVERY_US, PROBE_EVERY_US, Pending, WRITE_EVERY_US, Write};

use super::document::Document;
use super::error::ChangeError;
use super::instant;
use super::link::{Link, LinkError};
use super::readiness::Tested;
use super::roster::HOUSE;
use flowtest_accounts::{Accounts, Error, Role, User, UserId};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::practice::{Asked, PracticeReport, PracticeRequest, PracticeState, SECONDS_MAX, WAITING_EACH};
use flowtest_scoreboard::{ProbeAnswer, ProbeRequest};
use log::{HOUSE_EVERY_US, Kind, RequestLog};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// After an organiser looked at Control, servers are looked at for so long, in microseconds.
const WATCHED_US: u64 = 5 * 60 * 1_000_000;
/// What somebody practises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Practice {
    /// One rate, for so long.
    Hold { rate: u64, seconds: u64 },
    /// A rate that climbs, to so many requests a second at the most.
    Climb { most: u64 },
}

/// Requests to generators.
#[derive(Debug)]
pub struct Requests {
    accounts: Accounts,
    link: Link,
    document: Arc<Document>,
    /// Never held while Redis or the database is asked.
    log: Mutex<RequestLog>,
    /// When an organiser looked at Control last: then servers are looked at as well.
    watched_at: AtomicU64,
}

impl Requests {
    pub(super) fn new(accounts: Accounts, link: Link, document: Arc<Document>) -> Requests {
        Requests { accounts, link, document, log: Mutex::default(), watched_at: AtomicU64::new(0) }
    }

    /// What somebody waits for.
    pub fn pending(&self, owner: Owner, now: UtcUs) -> Pending {
        self.log().pending(owner, now)
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
            Write::DisplayName => ("display_name", "your name on the board"),
            Write::Contact => ("contact", "how you are reached"),
        };
        self.log().pace(Some(user), kind, now).map_err(|us| {
            let wait_s = us.div_ceil(1_000_000);
            let message = format!("You changed {what} a moment ago: wait {wait_s} s and send it again.");
            ChangeError::Field { field, message }
        })?;
        let made = change.await;
        if matches!(made, Err(ChangeError::Field { .. } | ChangeError::Accounts(Error::Invalid { .. }))) {
            self.log().unpace(Some(user), kind);
        }
        made
    }

    /// Asks a generator to test somebody's endpoint, once in ten seconds. Returns the id of the answer.
    pub async fn ask_probe(&self, user: &User, now: UtcUs) -> Result<String, ChangeError> {
        self.document.check_steering()?;
        let endpoint = self.endpoint_to_ask(user).await?;
        self.put_probe(Some(user.id), &user.name, endpoint, now).await
    }

    /// The same for the platform's own server, in peace once a minute, as long as a generator is there to do it.
    pub(super) async fn probe_house(&self, has_generators: bool, now: UtcUs) -> Result<(), ChangeError> {
        let Some(house) = self.document.settings().house.clone() else { return Ok(()) };
        let recent = self.log().tested(None);
        let deadlines = self.document.deadlines(now);
        let is_recent = |tested: &Tested| {
            let is_same = tested.endpoint == house.to_string() && tested.expects_as(deadlines, now);
            is_same && now.saturating_since(tested.at) < HOUSE_EVERY_US
        };
        if self.document.is_playing() || recent.as_ref().is_some_and(is_recent) || !has_generators {
            return Ok(());
        }
        self.put_probe(None, HOUSE, house.to_string(), now).await.map(drop)
    }

    async fn put_probe(&self, owner: Owner, name: &str, endpoint: String, now: UtcUs) -> Result<String, ChangeError> {
        let id = draw_id()?;
        self.log().note(&id, owner, Kind::Probe, now).map_err(|us| {
            ChangeError::Unfit(format!(
                "your endpoint was tested a moment ago: wait {} s and test it again",
                us.div_ceil(1_000_000)
            ))
        })?;
        let deadlines = self.document.deadlines(now);
        let request = ProbeRequest {
            id: id.clone(),
            at: now,
            contestant: name.to_owned(),
            endpoint: endpoint.clone(),
            automatic: false,
            deadlines: Some(deadlines),
        };
        if let Err(error) = self.put_probes(vec![request]).await {
            self.log().forget(&id);
            return Err(error.into());
        }
        self.log().put_test(owner, Tested { at: now, endpoint, deadlines, answer: None });
        Ok(id)
    }

    /// An organiser looks at who is ready.
    pub fn watch(&self, now: UtcUs) {
        self.watched_at.store(now.0, Ordering::Relaxed);
    }

    /// Tests every contestant's endpoint at the next looks, whenever it was tested last.
    pub fn test_all(&self, now: UtcUs) {
        self.watch(now);
        self.log().hurry();
    }

    /// Tests the endpoints of those who could play, each once in half a minute, until a round starts and while an organiser looks.
    pub(super) async fn probe_contestants(&self, now: UtcUs) -> Result<(), ChangeError> {
        let is_watched = now.saturating_since(UtcUs(self.watched_at.load(Ordering::Relaxed))) < WATCHED_US;
        if !is_watched || !self.document.is_ahead() {
            return Ok(());
        }
        let endpoints = self.accounts.endpoints().await?;
        let users = self.accounts.users().await?;
        let plays = |user: &&User| user.role == Role::Staff && !user.disabled && user.disqualified.is_none();
        let deadlines = self.document.deadlines(now);
        let endpoints: HashMap<UserId, String> = endpoints.into_iter().map(|set| (set.user, set.endpoint)).collect();
        let (mut names, mut could) = (HashMap::new(), Vec::new());
        for user in users.iter().filter(plays) {
            let Some(endpoint) = endpoints.get(&user.id).cloned() else { continue };
            could.push((draw_id()?, Some(user.id), Tested { at: now, endpoint, deadlines, answer: None }));
            names.insert(Some(user.id), user.name.clone());
        }
        let asked = self.log().note_automatic_of(could);
        let asked: Vec<ProbeRequest> = asked
            .into_iter()
            .map(|(id, owner, tested)| {
                let contestant = names.remove(&owner).unwrap_or_default();
                let (endpoint, deadlines) = (tested.endpoint, Some(tested.deadlines));
                ProbeRequest { id, at: now, contestant, endpoint, automatic: true, deadlines }
            })
            .collect();
        let ids: Vec<String> = asked.iter().map(|request| request.id.clone()).collect();
        let put = self.put_probes(asked).await;
        if put.is_err() {
            let mut log = self.log();
            ids.iter().for_each(|id| log.forget(id));
        }
        Ok(put?)
    }

    /// Puts tests that some generator takes.
    pub(super) async fn put_probes(&self, requests: Vec<ProbeRequest>) -> Result<(), LinkError> {
        if requests.is_empty() {
            return Ok(());
        }
        let contest = self.document.contest().to_owned();
        self.link
            .call(move |scoreboard| requests.iter().try_for_each(|request| scoreboard.ask_probe(&contest, request)))
            .await
    }

    /// Of these tests the answers that are there.
    pub(super) async fn read_probes(&self, ids: Vec<String>) -> Result<Vec<(String, ProbeAnswer)>, LinkError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let contest = self.document.contest().to_owned();
        let read = self.link.call(move |scoreboard| {
            ids.into_iter().map(|id| Ok((scoreboard.read_probe(&contest, &id)?, id))).collect::<Result<Vec<_>, _>>()
        });
        Ok(read.await?.into_iter().filter_map(|(answer, id)| Some((id, answer?))).collect())
    }

    /// The answer to a test, once it is there. Only who asked may read it, and admins; to others it does not exist.
    pub async fn probe(&self, id: &str, reader: &User, is_admin: bool) -> Result<Option<ProbeAnswer>, NoRequest> {
        self.check_reader(id, Kind::Probe, reader, is_admin)?;
        let (contest, asked) = (self.document.contest().to_owned(), id.to_owned());
        let answer = self.link.call(move |scoreboard| scoreboard.read_probe(&contest, &asked)).await?;
        if let Some(answer) = &answer {
            self.log().answer(id, answer.clone());
        }
        Ok(answer)
    }

    /// Asks for practice on somebody's own endpoint, once in five minutes and never while a round is on. Says how many wait
    /// before it; where they are too many for so many generators, nothing is asked and no time is lost.
    pub async fn ask_practice(
        &self,
        user: &User,
        wanted: Practice,
        generators: usize,
        now: UtcUs,
    ) -> Result<(String, usize), ChangeError> {
        self.document.check_steering()?;
        if self.document.is_playing() {
            return Err(ChangeError::Unfit("a round is on: practise when it is over".to_owned()));
        }
        let endpoint = self.endpoint_to_ask(user).await?;
        let id = draw_id()?;
        let (rate, seconds, climbs) = match wanted {
            Practice::Hold { rate, seconds } => (rate, seconds, false),
            Practice::Climb { most } => (most, SECONDS_MAX, true),
        };
        let contestant = user.name.clone();
        let request = PracticeRequest { id: id.clone(), at: now, contestant, endpoint, rate, seconds, climbs };
        request.check().map_err(|message| ChangeError::Field { field: "rate", message })?;
        self.log().note(&id, Some(user.id), Kind::Practice, now).map_err(|us| {
            let wait = instant::duration(us.div_ceil(1_000_000) * 1_000_000);
            ChangeError::Unfit(format!("you practised a moment ago: wait {wait} and practise again"))
        })?;
        let contest = self.document.contest().to_owned();
        // One that plays no rounds is not heard, and practises all the same.
        let most = WAITING_EACH * generators.max(1);
        match self.link.call(move |scoreboard| scoreboard.ask_practice(&contest, &request, most)).await {
            Ok(Asked::Waits { before }) => Ok((id, before)),
            Ok(Asked::Full { waiting }) => {
                self.log().forget(&id);
                Err(ChangeError::Unfit(format!(
                    "{waiting} others wait for practice, and you would be number {}: ask again in a minute",
                    waiting + 1
                )))
            }
            Err(error) => {
                self.log().forget(&id);
                Err(error.into())
            }
        }
    }

    /// How many wait before a practice that was asked for. None: it does not wait any more.
    pub async fn practices_before(&self, id: &str, now: UtcUs) -> Result<Option<usize>, NoRequest> {
        let contest = self.document.contest().to_owned();
        let waiting = self.link.call(move |scoreboard| scoreboard.waiting_practices(&contest, now)).await?;
        Ok(waiting.iter().position(|other| other == id))
    }

    /// Whose practice nobody took in time may ask again at once, and whose was refused soon.
    async fn give_back(&self, now: UtcUs) {
        let late = self.log().late_practices(now);
        if late.is_empty() {
            return;
        }
        let contest = self.document.contest().to_owned();
        let found = self.link.call(move |scoreboard| {
            late.into_iter()
                .map(|id| Ok((scoreboard.read_practice(&contest, &id)?.map(|report| report.state), id)))
                .collect::<Result<Vec<_>, _>>()
        });
        let Ok(found) = found.await else { return };
        let mut log = self.log();
        for (state, id) in found {
            match state {
                Some(PracticeState::Refused) => log.refused(&id),
                Some(_) => log.taken(&id),
                None => log.forget(&id),
            }
        }
    }

    /// How a practice goes. Only who asked may read it, and admins.
    pub async fn practice(&self, id: &str, reader: &User, is_admin: bool) -> Result<Option<PracticeReport>, NoRequest> {
        self.check_reader(id, Kind::Practice, reader, is_admin)?;
        let (contest, asked) = (self.document.contest().to_owned(), id.to_owned());
        let report = self.link.call(move |scoreboard| scoreboard.read_practice(&contest, &asked)).await?;
        if report.as_ref().is_some_and(|report| report.state == PracticeState::Refused) {
            self.log().refused(id);
        }
        Ok(report)
    }

    /// The last test of somebody's endpoint.
    pub fn tested(&self, owner: Owner) -> Option<Tested> {
        self.log().tested(owner)
    }

    /// Fetches answers that nobody's page waits for any more.
    pub(super) async fn collect_answers(&self, now: UtcUs) {
        self.give_back(now).await;
        let open = self.log().open_probes(now);
        let Ok(answers) = self.read_probes(open).await else { return };
        let mut log = self.log();
        answers.into_iter().for_each(|(id, answer)| log.answer(&id, answer));
    }

    fn check_reader(&self, id: &str, kind: Kind, reader: &User, is_admin: bool) -> Result<(), NoRequest> {
        let log = self.log();
        let may = log.is_of(id, kind, Some(reader.id)) || (is_admin && log.has(id, kind));
        if may { Ok(()) } else { Err(NoRequest::Unknown) }
    }

    async fn endpoint_to_ask(&self, user: &User) -> Result<String, ChangeError> {
        let endpoint = self.accounts.endpoint_of(user.id).await?;
        let none =
            || ChangeError::Field { field: "endpoint", message: "there is no endpoint yet: set it first".to_owned() };
        endpoint.map(|endpoint| endpoint.endpoint).ok_or_else(none)
    }

    fn log(&self) -> MutexGuard<'_, RequestLog> {
        self.log.lock()
    }
}

/// Why there is no answer to read.
#[derive(Debug, thiserror::Error)]
pub enum NoRequest {
    /// Nobody asked it, it was long ago, or somebody else did.
    #[error("there is no such test any more: ask for a new one")]
    Unknown,
    #[error("{0}")]
    Redis(#[from] LinkError),
}

pub(in crate::control) fn draw_id() -> Result<String, ChangeError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| ChangeError::Unfit(format!("no random bytes ({error}): try again")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
