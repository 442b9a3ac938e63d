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
use flowtest_accounts::{Accounts, Error, User, UserId};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::practice::{PracticeReport, PracticeRequest};
use flowtest_scoreboard::{ProbeAnswer, ProbeRequest};
use log::{HOUSE_EVERY_US, Kind, RequestLog};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;

/// Requests to generators.
#[derive(Debug)]
pub struct Requests {
    accounts: Accounts,
    link: Link,
    document: Arc<Document>,
    /// Never held while Redis or the database is asked.
    log: Mutex<RequestLog>,
}

impl Requests {
    pub(super) fn new(accounts: Accounts, link: Link, document: Arc<Document>) -> Requests {
        Requests { accounts, link, document, log: Mutex::default() }
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
        let endpoint = self.endpoint_to_ask(user).await?;
        self.put_probe(Some(user.id), &user.name, endpoint, now).await
    }

    /// The same for the platform's own server, in peace once a minute, as long as a generator is there to do it.
    pub(super) async fn probe_house(&self, has_generators: bool, now: UtcUs) -> Result<(), ChangeError> {
        let Some(house) = self.document.settings().house.clone() else { return Ok(()) };
        let recent = self.log().tested(None);
        let is_recent =
            |tested: &Tested| tested.endpoint == house.to_string() && now.saturating_sub(tested.at) < HOUSE_EVERY_US;
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
        let request = ProbeRequest { id: id.clone(), at: now, contestant: name.to_owned(), endpoint: endpoint.clone() };
        let contest = self.document.contest().to_owned();
        if let Err(error) = self.link.call(move |scoreboard| scoreboard.ask_probe(&contest, &request)).await {
            self.log().forget(&id);
            return Err(error.into());
        }
        self.log().put_test(owner, Tested { at: now, endpoint, answer: None });
        Ok(id)
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

    /// Asks for practice on somebody's own endpoint, once in five minutes and never while a round is on.
    pub async fn ask_practice(&self, user: &User, rate: u64, seconds: u64, now: UtcUs) -> Result<String, ChangeError> {
        if self.document.is_playing() {
            return Err(ChangeError::Unfit("a round is on: practise when it is over".to_owned()));
        }
        let endpoint = self.endpoint_to_ask(user).await?;
        let id = draw_id()?;
        let request =
            PracticeRequest { id: id.clone(), at: now, contestant: user.name.clone(), endpoint, rate, seconds };
        request.check().map_err(|message| ChangeError::Field { field: "rate", message })?;
        self.log().note(&id, Some(user.id), Kind::Practice, now).map_err(|us| {
            let wait = instant::duration(us.div_ceil(1_000_000) * 1_000_000);
            ChangeError::Unfit(format!("you practised a moment ago: wait {wait} and practise again"))
        })?;
        let contest = self.document.contest().to_owned();
        if let Err(error) = self.link.call(move |scoreboard| scoreboard.ask_practice(&contest, &request)).await {
            self.log().forget(&id);
            return Err(error.into());
        }
        Ok(id)
    }

    /// How a practice goes. Only who asked may read it, and admins.
    pub async fn practice(&self, id: &str, reader: &User, is_admin: bool) -> Result<Option<PracticeReport>, NoRequest> {
        self.check_reader(id, Kind::Practice, reader, is_admin)?;
        let (contest, id) = (self.document.contest().to_owned(), id.to_owned());
        Ok(self.link.call(move |scoreboard| scoreboard.read_practice(&contest, &id)).await?)
    }

    /// The last test of somebody's endpoint.
    pub fn tested(&self, owner: Owner) -> Option<Tested> {
        self.log().tested(owner)
    }

    /// Fetches answers that nobody's page waits for any more.
    pub(super) async fn collect_answers(&self, now: UtcUs) {
        let open = self.log().open_probes(now);
        if open.is_empty() {
            return;
        }
        let contest = self.document.contest().to_owned();
        let answers = self.link.call(move |scoreboard| {
            open.into_iter()
                .map(|id| Ok((id.clone(), scoreboard.read_probe(&contest, &id)?)))
                .collect::<Result<Vec<_>, _>>()
        });
        let Ok(answers) = answers.await else { return };
        let mut log = self.log();
        for (id, answer) in answers.into_iter().filter_map(|(id, answer)| Some((id, answer?))) {
            log.answer(&id, answer);
        }
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

fn draw_id() -> Result<String, ChangeError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| ChangeError::Unfit(format!("no random bytes ({error}): try again")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
