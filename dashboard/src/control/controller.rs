//! The parts of the control tied together: what one of them does is asked of that part; here is what needs several.
//!
//! Each part has a lock of its own, and none holds it while another part waits for the database or for Redis.

use super::automation::{Automation, Sealing, Seen};
use super::document::{Conflict, Document, Made, Published};
use super::error::{ChangeError, OpenError};
use super::link::Link;
use super::readiness::{self, Check, Contestant, DatabaseHealth, House, Mark, Situation, Unsaved};
use super::requests::{Owner, Requests};
use super::roster::{HOUSE, Roster, user_in};
use super::settings::Settings;
use super::shares::unplayed;
use super::show::Show;
use crate::live::clock::ContestClock;
use crate::live::{Facts, RevealWait};
use flowtest_accounts::{Accounts, Actor, Role, Round, Ruling};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::policy::Denied;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use flowtest_contract::{RoundId, StreamId};
use flowtest_scoreboard::{MayPlay, SeenGenerator, Stopped};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a start waits for Redis.
const OPEN_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The control of one contest. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Controller {
    pub(super) accounts: Accounts,
    pub(super) document: Arc<Document>,
    pub(super) link: Link,
    clock: ContestClock,
    requests: Arc<Requests>,
    automation: Arc<Automation>,
}

/// How things stand beside the document.
#[derive(Clone, Debug)]
pub struct Status {
    /// What is wrong with Redis.
    pub redis: Option<String>,
    /// It answers and takes no writes: nobody is heard.
    pub is_unwritten: bool,
    /// Another dashboard steers the contest: nothing is done here.
    pub steered_elsewhere: Option<String>,
    /// What Redis holds that is newer than ours.
    pub conflict: Option<Conflict>,
    /// What was stopped here without generators being told yet, and why.
    pub untold: Option<String>,
    /// How far the sealing of a draining round is.
    pub sealing: Sealing,
    /// All generators that Redis knows of.
    pub generators: Arc<[SeenGenerator]>,
    /// Who is not heard and may play a round by what it knows.
    pub may_play: Arc<[MayPlay]>,
    /// The revision that each of them who plays follows by now, or a newer one.
    pub due_revision: u64,
    /// Who would play the next round, and who cannot.
    pub roster: Arc<Roster>,
    /// What the database refused the automation, when it did.
    pub trouble: Option<String>,
    /// How the database was at the last look.
    pub database: DatabaseHealth,
    /// What is in force that the database does not hold yet.
    pub unsaved: Unsaved,
}

impl Status {
    /// Why a round that drains is not sealed by itself, where somebody is to know of it: a generator that is heard ends its
    /// stream by itself.
    fn unsealed(&self, control: &Control, now: UtcUs) -> Option<(Mark, String)> {
        const LOST: &str =
            "The round waits for streams of generators that are not heard: Seal\u{2026} names them and what to do.";
        match &self.sealing {
            _ if control.state != State::Draining => None,
            Sealing::Fine => None,
            Sealing::Missing(streams) => {
                let is_lost = streams.iter().any(|stream| self.sender(*stream, now).is_none());
                is_lost.then(|| (Mark::No, LOST.to_owned()))
            }
            Sealing::Returning(how) => Some((Mark::Warn, how.clone())),
            Sealing::Trouble(why) => Some((Mark::No, why.clone())),
        }
    }

    /// The generator that writes a stream, if it is heard.
    pub fn sender(&self, stream: StreamId, now: UtcUs) -> Option<&SeenGenerator> {
        let writes = |seen: &&SeenGenerator| seen.health.as_ref().is_some_and(|health| health.stream == Some(stream));
        self.generators.iter().filter(|seen| readiness::is_heard(seen, now)).find(writes)
    }
}

/// Bits of an id that nobody had before, or why there are none.
pub(super) fn random_bits() -> Result<u128, String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| format!("no random bytes ({error}): try again"))?;
    Ok(u128::from_be_bytes(bits))
}

impl Controller {
    /// Begins with what the database holds. Nothing moves before [`Automation::run`] does.
    pub async fn open(contest: &str, accounts: Accounts, link: Link) -> Result<Controller, OpenError> {
        Controller::open_by(ContestClock::default(), contest, accounts, link).await
    }

    /// The same by this clock, which is set by Redis's from now on.
    pub async fn open_by(
        clock: ContestClock,
        contest: &str,
        accounts: Accounts,
        link: Link,
    ) -> Result<Controller, OpenError> {
        Controller::open_beside(Vec::new(), clock, contest, accounts, link).await
    }

    /// The same with the platform's own addresses, which nobody plays at.
    pub async fn open_beside(
        own_addresses: Vec<Denied>,
        clock: ContestClock,
        contest: &str,
        accounts: Accounts,
        link: Link,
    ) -> Result<Controller, OpenError> {
        let document = Arc::new(Document::open(contest, accounts.clone(), link.clone(), utc_us()).await?);
        document.set_own_addresses(own_addresses);
        let requests = Arc::new(Requests::new(accounts.clone(), link.clone(), Arc::clone(&document)));
        let parts = (Arc::clone(&document), Arc::clone(&requests));
        let process = StreamId::from_bits(random_bits().map_err(|cause| OpenError::Setting { name: "keeper", cause })?);
        let automation =
            Arc::new(Automation::new(accounts.clone(), link.clone(), clock.clone(), parts.0, parts.1, process));
        let controller = Controller { accounts, document, link, clock, requests, automation };
        // Before anything is published: whose contest it is, and what time.
        let looked = tokio::time::timeout(OPEN_TIMEOUT, controller.automation.look_at_redis()).await;
        if controller.document.steered_elsewhere().is_some() {
            return Ok(controller);
        }
        if looked.is_ok() {
            // What was done while no dashboard ran, a stop above all, comes before the first change from here.
            controller.document.publish(OPEN_TIMEOUT, utc_us()).await;
        }
        controller.follow_people(&Actor::program(), utc_us()).await.map_err(|error| match error {
            ChangeError::Accounts(error) => OpenError::Accounts(error),
            other => OpenError::Setting { name: "contest", cause: other.to_string() },
        })?;
        Ok(controller)
    }

    /// Requests to generators: tests and practice.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// What happens by itself.
    pub fn automation(&self) -> &Automation {
        &self.automation
    }

    /// The clock that the contest goes by.
    pub fn clock(&self) -> &ContestClock {
        &self.clock
    }

    /// The platform's own addresses have changed.
    pub fn set_own_addresses(&self, own: Vec<Denied>) {
        self.document.set_own_addresses(own);
        self.automation.people_changed();
    }

    /// Lets another database steer: the process ends.
    pub async fn release(&self) {
        self.document.release().await;
    }

    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The document in force. None while nobody can play.
    pub fn control(&self) -> Option<Arc<Control>> {
        self.document.control()
    }

    /// What was decided about the contest.
    pub fn settings(&self) -> Arc<Settings> {
        self.document.settings()
    }

    /// What the public may see.
    pub fn show(&self) -> Show {
        self.document.show()
    }

    /// What a page shows of it, and sends back with [`Controller::set_show`].
    pub fn show_version(&self) -> u64 {
        self.document.show_version()
    }

    /// What the live feed must be told, whenever it changes.
    pub fn watch_facts(&self) -> watch::Receiver<Arc<Facts>> {
        self.document.watch_facts()
    }

    pub fn status(&self) -> Status {
        let Published { redis, is_unwritten, conflict, untold } = self.document.published();
        let Seen { sealing, generators, may_play, due_revision, trouble, database, .. } = self.automation.last_seen();
        Status {
            redis,
            is_unwritten,
            steered_elsewhere: self.document.steered_elsewhere(),
            conflict,
            untold,
            sealing,
            generators,
            may_play,
            due_revision,
            roster: self.document.roster(),
            trouble,
            database,
            unsaved: self.document.unsaved(),
        }
    }

    /// Whether a round is between being armed and being sealed.
    pub fn is_playing(&self) -> bool {
        self.document.is_playing()
    }

    /// Makes a change; see [`Edit::change`](super::document::edit::Edit::change).
    pub async fn change(
        &self,
        expected: Option<u64>,
        change: Change,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        self.document.edit().await.change(expected, change, what, by, now).await
    }

    /// Stops traffic: [`Change::Halt`] or [`Change::Pause`], in Redis first and in the database when that takes it. Where
    /// another dashboard steers, or there is no document here, all traffic of what Redis holds is stopped, and nothing else is
    /// done.
    pub async fn change_at_once(
        &self,
        change: Change,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        let elsewhere = self.document.steered_elsewhere();
        // A database that is new may stand before a Redis that is not.
        if elsewhere.is_none() && self.document.control().is_some() {
            return self.document.change_at_once(change, what, by, now).await;
        }
        let why = elsewhere.map_or(ChangeError::NoContest, ChangeError::Elsewhere);
        if change != (Change::Halt { halted: true }) {
            return Err(why);
        }
        let contest = self.document.contest().to_owned();
        match self.link.call(move |scoreboard| scoreboard.stop_traffic(&contest)).await? {
            Stopped::NoContest => Err(why),
            Stopped::Now(_) | Stopped::Before(_) => {
                Err(ChangeError::Elsewhere(format!("all traffic is stopped; but {why}")))
            }
        }
    }

    /// Refuses whoever has not seen what another person changed.
    pub async fn check_fresh(&self, expected: Option<u64>) -> Result<(), ChangeError> {
        self.document.check_fresh(expected).await
    }

    /// Notes the organiser's word on a sealed round that is not valid, and counts or leaves out its results from then on.
    /// `expected` as for [`Controller::change`]; `reason`: why another word is said than before. One that is played again leaves the document to the next draft.
    pub async fn rule(
        &self,
        expected: Option<u64>,
        round: RoundId,
        ruling: Ruling,
        reason: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Round, ChangeError> {
        self.document.check_fresh(expected).await?;
        let ruled = self.accounts.rule_round(round, ruling, reason, by, now).await?;
        let is_here = |control: &Control| control.state == State::Sealed && control.round == Some(round);
        if ruling == Ruling::Replay && self.control().is_some_and(|control| is_here(&control)) {
            let what = format!("Round {} is played again.", ruled.number);
            self.change(expected, Change::Draft, &what, by, now).await?;
            self.automation.people_changed();
        }
        self.document.tell_feed().await?;
        Ok(ruled)
    }

    /// The round that keeps hidden what is frozen, and what is waited for: the room sees no result that may still change.
    pub async fn hides_result(&self) -> Result<Option<(u32, RevealWait)>, flowtest_accounts::Error> {
        Ok(self.hides_result_of(&self.accounts.rounds().await?))
    }

    /// The same, by rounds that were read.
    pub fn hides_result_of(&self, rounds: &[Round]) -> Option<(u32, RevealWait)> {
        let draining = self.control().filter(|control| control.scored && control.state == State::Draining);
        let draining = draining.and_then(|control| control.round);
        let is_unsealed = |round: &&Round| Some(round.id) == draining && round.finished_at.is_none();
        let unruled = rounds.iter().find(|round| round.wants_ruling()).map(|round| (round.number, RevealWait::Ruling));
        unruled.or_else(|| rounds.iter().find(is_unsealed).map(|round| (round.number, RevealWait::Seal)))
    }

    /// Takes the newer document of Redis as ours.
    pub async fn adopt(&self, by: &Actor, now: UtcUs) -> Result<Made, ChangeError> {
        self.document.edit().await.adopt(by, now).await
    }

    /// Saves the settings; see [`Edit::save_settings`](super::document::edit::Edit::save_settings).
    pub async fn save_settings(
        &self,
        expected: Option<u64>,
        settings: Settings,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        let made = self.document.edit().await.save_settings(expected, settings, by, now).await?;
        self.document.tell_feed().await?;
        Ok(made)
    }

    /// Changes what the public sees; see [`Edit::set_show`](super::document::edit::Edit::set_show).
    pub async fn set_show(
        &self,
        expected: Option<u64>,
        wanted: impl FnOnce(Show) -> Result<Show, String>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Show, ChangeError> {
        let show = self.document.edit().await.set_show(expected, wanted, by, now).await?;
        self.document.tell_feed().await?;
        Ok(show)
    }

    /// Looks at accounts and endpoints, edits the document after them, and tells the live feed.
    pub async fn follow_people(&self, by: &Actor, now: UtcUs) -> Result<Option<Made>, ChangeError> {
        let made = self.document.edit().await.follow_people(by, now).await?;
        self.document.tell_feed().await?;
        Ok(made)
    }

    /// Everything that GO or NO-GO looks at.
    pub async fn situation(&self, now: UtcUs) -> Result<Situation, flowtest_accounts::Error> {
        let (status, settings, control) = (self.status(), self.settings(), self.control());
        let left_out = |owner: Owner| {
            let left = status.roster.left_out.iter().find(|left| left.user == owner.map(|user| user.0));
            left.map(|left| left.reason.trim_end_matches('.').to_owned())
        };
        let house = match (&settings.house, left_out(None)) {
            (None, _) => House::Unset,
            (Some(_), Some(reason)) => House::LeftOut(reason),
            (Some(_), None) => House::Set(self.requests.tested(None)),
        };
        let endpoints = self.accounts.endpoints().await?;
        let users = self.accounts.users().await?;
        let contestants = users.into_iter().filter(|user| user.role == Role::Staff).map(|user| Contestant {
            disabled: user.disabled,
            disqualified: user.disqualified.is_some(),
            parked: control.as_ref().is_some_and(|control| {
                control.parked.contains(&user.name) && user_in(control, &user.name) == Some(user.id)
            }),
            endpoint: endpoints.iter().find(|endpoint| endpoint.user == user.id).map(|found| found.endpoint.clone()),
            left_out: left_out(Some(user.id)),
            tested: self.requests.tested(Some(user.id)),
            name: user.name,
        });
        // Of the round that is played the shares say more.
        let is_on = |state| matches!(state, State::Armed | State::Running | State::Paused);
        let played = control.as_ref().filter(|control| is_on(control.state)).and_then(|control| control.round);
        let may_play = status.may_play.iter().filter(|one| Some(one.round) != played);
        Ok(Situation {
            now,
            redis: status.redis.clone(),
            unread: self.automation.unread(),
            trouble: status.trouble.clone(),
            untold: status.untold.clone(),
            // Whom nobody can hear, or who goes by another document, may well play.
            unplayed: control
                .as_ref()
                .filter(|_| status.redis.is_none() && status.conflict.is_none() && status.steered_elsewhere.is_none())
                .and_then(|control| unplayed(control, &status.generators, now)),
            unsealed: control.as_ref().and_then(|control| status.unsealed(control, now)),
            is_unwritten: status.is_unwritten,
            steered_elsewhere: status.steered_elsewhere.clone(),
            database: status.database.clone(),
            unsaved: status.unsaved,
            clock_ahead_us: utc_us().signed_since(self.clock.now()),
            conflict: status.conflict.as_ref().map(|conflict| conflict.message.clone()),
            state: control.as_ref().map_or(State::Draft, |control| control.state),
            halted: control.as_ref().is_some_and(|control| control.halted),
            deadlines: self.document.deadlines(now),
            contest: status.roster.contest(self.document.contest(), &settings),
            house,
            contestants: contestants.filter(|contestant| contestant.name != HOUSE).collect(),
            generators: status.generators.to_vec(),
            may_play: may_play.cloned().collect(),
            due_revision: status.due_revision,
        })
    }

    /// GO or NO-GO.
    pub async fn readiness(&self, now: UtcUs) -> Result<Vec<Check>, flowtest_accounts::Error> {
        self.situation(now).await.map(|situation| readiness::checks(&situation))
    }
}
