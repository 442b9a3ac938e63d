//! What happens by itself: four times a second what the clock and the database ask for is done, twice a second what Redis
//! does. Here is also the keeper of the split: shares of generators that die go to the others, and those that come get some.
//!
//! Each turn stands for itself; what one could not do, a later one does.

pub mod joining;
mod revisions;
mod sealing;

use super::document::Document;
use super::error::ChangeError;
use super::link::Link;
use super::readiness::{self, DatabaseHealth};
use super::requests::Requests;
use crate::live::clock::ContestClock;
use crate::live::{Feed, HeardValidity};
use flowtest_accounts::{Accounts, Actor};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use flowtest_contract::{RoundId, StreamId};
use flowtest_scoreboard::{MayPlay, Resplit, RoundStreams, Scoreboard, SeenGenerator, SplitKeeper, may_play};
use joining::Joining;
use parking_lot::{Mutex, MutexGuard};
use revisions::Revisions;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often the clock is asked.
const EVERY: Duration = Duration::from_millis(250);
/// How often Redis is compared with what is known, and in tests every how many turns.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_TURNS: u64 = 2;
/// How often Redis's clock is asked. Ours gains less than a millisecond in that time.
const CLOCK_EVERY: Duration = Duration::from_secs(5);
/// An answer that was longer on its way tells nothing.
const CLOCK_ERROR_US_MAX: u64 = 250_000;
/// A clock that is further off is told.
const CLOCK_TOLD_US: u64 = 1_000_000;
/// How often the database is tried, and how long it may take: it takes milliseconds.
const CHECK_EVERY: Duration = Duration::from_secs(5);
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a look waits for Redis.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Every how many turns accounts are looked at without being told to.
const PEOPLE_TURNS: u64 = 4;

/// Rounds by the clock.
#[derive(Debug)]
pub struct Automation {
    accounts: Accounts,
    link: Link,
    clock: ContestClock,
    /// When Redis's clock was asked last.
    measured_at: Mutex<Option<Instant>>,
    document: Arc<Document>,
    requests: Arc<Requests>,
    /// This process, as the keeper of the split.
    process: StreamId,
    /// Never held while Redis or the database is asked.
    split_keeper: Mutex<SplitKeeper>,
    /// Never held while Redis or the database is asked.
    revisions: Mutex<Revisions>,
    /// Never held while Redis or the database is asked.
    joining: Mutex<Joining>,
    /// Somebody changed people or their endpoints.
    nudge: Notify,
    /// Never held while Redis or the database is asked.
    seen: Mutex<Seen>,
    /// Where it is known who got to its points first.
    feed: OnceLock<Feed>,
}

/// What the last turns saw. Nothing in it is needed after a restart.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How far the sealing of a draining round is.
    pub sealing: Sealing,
    /// All generators that Redis knows of.
    pub generators: Arc<[SeenGenerator]>,
    /// Who is not heard and may play a round by what it knows.
    pub may_play: Arc<[MayPlay]>,
    /// What they say of the document's round.
    pub validity: HeardValidity,
    /// The revision that each of them who plays follows by now, or a newer one; 0 where nothing can be said.
    pub due_revision: u64,
    /// What the database refused, when it did.
    pub trouble: Option<String>,
    /// How the database was at the last look.
    pub database: DatabaseHealth,
}

/// Why a draining round is not sealed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// Nothing is being sealed, or all goes well.
    #[default]
    Fine,
    /// These have not ended.
    Missing(Vec<StreamId>),
    /// Redis has lost the round, and a generator puts it back by itself.
    Returning(String),
    /// It cannot be done now.
    Trouble(String),
}

impl Automation {
    /// `process`: an id that nobody else has.
    pub(super) fn new(
        accounts: Accounts,
        link: Link,
        clock: ContestClock,
        document: Arc<Document>,
        requests: Arc<Requests>,
        process: StreamId,
    ) -> Automation {
        Automation {
            accounts,
            link,
            clock,
            measured_at: Mutex::default(),
            document,
            requests,
            process,
            split_keeper: Mutex::default(),
            revisions: Mutex::default(),
            joining: Mutex::default(),
            nudge: Notify::new(),
            seen: Mutex::default(),
            feed: OnceLock::new(),
        }
    }

    /// From now on equal results are ranked by who got there first, as on the board. Called once.
    pub fn rank_as_on(&self, feed: Feed) {
        let is_first = self.feed.set(feed).is_ok();
        assert!(is_first, "there is one live feed");
    }

    /// Why the live feed's last look failed, or what it found to be missing.
    pub fn unread(&self) -> Option<String> {
        let seen = self.feed.get()?.seen();
        seen.error.clone().or_else(|| seen.lost.clone())
    }

    /// People or endpoints changed elsewhere: they are looked at at once.
    pub fn people_changed(&self) {
        self.nudge.notify_one();
    }

    /// What the last turns saw.
    pub fn last_seen(&self) -> Seen {
        self.seen().clone()
    }

    /// Works until it is stopped. Redis, the clock and the database each have their own pace: one that hangs holds up nothing
    /// of the others.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::join!(self.keep_looking(&stop), self.keep_acting(&stop), self.keep_checking(&stop));
    }

    async fn keep_looking(&self, stop: &CancellationToken) {
        let mut every = pace(LOOK_EVERY);
        while ticks(&mut every, stop).await {
            self.look(self.clock.now()).await;
        }
    }

    async fn keep_acting(&self, stop: &CancellationToken) {
        let mut every = pace(EVERY);
        let mut turn: u64 = 0;
        loop {
            let nudged = tokio::select! {
                () = self.nudge.notified() => true,
                goes_on = ticks(&mut every, stop) => {
                    if !goes_on {
                        return;
                    }
                    false
                }
            };
            self.do_what_is_due(nudged || turn.is_multiple_of(PEOPLE_TURNS), self.clock.now()).await;
            turn += u64::from(!nudged);
        }
    }

    async fn keep_checking(&self, stop: &CancellationToken) {
        let mut every = pace(CHECK_EVERY);
        while ticks(&mut every, stop).await {
            self.check_database(self.clock.now()).await;
        }
    }

    /// One turn of looking and doing. Turn 0 does everything.
    pub async fn turn(&self, turn: u64, nudged: bool, now: UtcUs) {
        if turn == 0 {
            self.check_database(now).await;
        }
        if turn.is_multiple_of(LOOK_TURNS) {
            self.look(now).await;
        }
        self.do_what_is_due(nudged || turn.is_multiple_of(PEOPLE_TURNS), now).await;
    }

    async fn do_what_is_due(&self, people: bool, now: UtcUs) {
        let trouble = match self.act(people, now).await {
            Ok(()) => None,
            // Another process was faster: the next turn goes on from there.
            Err(ChangeError::Stale { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        let mut seen = self.seen();
        match (&trouble, &seen.trouble) {
            (Some(trouble), before) if before.as_ref() != Some(trouble) => {
                tracing::warn!(trouble, "what is due could not be done");
            }
            (None, Some(_)) => tracing::info!("what is due is done again"),
            _ => {}
        }
        seen.trouble = trouble;
    }

    /// What Redis holds, and whether it is what the database says. Where those who play are not those whom the document names,
    /// another split is made.
    async fn look(&self, now: UtcUs) {
        self.look_at_redis().await;
        // Outside an edit: a Redis that hangs keeps nobody from changing anything.
        let published = self.document.control().map(|control| control.revision);
        let is_published = self.document.publish(LOOK_TIMEOUT, now).await.is_none();
        let due_revision = {
            let mut revisions = self.revisions.lock();
            revisions.look(published.filter(|_| is_published), now);
            revisions.due(now)
        };
        self.seen().due_revision = due_revision;
        // What nobody here can read is no split of ours.
        if self.document.published().conflict.is_some_and(|conflict| conflict.revision.is_some())
            && let Err(error) = self.follow_keeper(now).await
        {
            tracing::warn!(%error, "what a generator has split anew is not taken over");
        }
        let contest = self.document.contest().to_owned();
        // While somebody else steers, shares are not ours to give.
        let is_ours = self.document.published().conflict.is_none() && self.document.steered_elsewhere().is_none();
        let keeper = Some(self.process).filter(|_| is_ours);
        let read = self.link.call(move |scoreboard| {
            let others = keeper.map(|process| scoreboard.take_keeper(&contest, process)).transpose()?;
            Ok((others.flatten(), scoreboard.read_generators(&contest)?))
        });
        let read = read.await.map(|(others, generators)| {
            self.document.on_keeper_taken(others);
            generators
        });
        self.document.on_look(read.as_ref().err());
        let Ok(generators) = read else {
            self.split_keeper.lock().lost();
            return;
        };
        let control = self.document.control();
        let generators: Arc<[SeenGenerator]> = generators.into();
        let may_play = match &control {
            Some(control) => self.may_play(control, &generators, now).await,
            None => Vec::new(),
        };
        {
            let mut seen = self.seen();
            seen.may_play = may_play.into();
            seen.validity.look(control.as_deref(), &generators, None, now);
            seen.generators = Arc::clone(&generators);
        }
        if let Some(control) = control.filter(|_| keeper.is_some()) {
            let resplit = self.split_keeper.lock().look(&control, &generators, now);
            if let Some(resplit) = resplit {
                self.split(&control, &resplit, now).await;
            }
        }
    }

    /// Who is not heard and may play a round by what it knows. Where Redis does not say who has ended, nobody has.
    async fn may_play(&self, control: &Control, generators: &[SeenGenerator], now: UtcUs) -> Vec<MayPlay> {
        let seen: Vec<SeenGenerator> = generators.iter().map(|seen| readiness::as_heard(seen, now)).collect();
        let found = may_play(control, &seen, &RoundStreams::new(), now);
        let rounds: BTreeSet<RoundId> = found.iter().map(|one| one.round).collect();
        if rounds.is_empty() {
            return found;
        }
        let contest = self.document.contest().to_owned();
        let read = self.link.call(move |scoreboard| scoreboard.read_streams_of(&contest, &rounds));
        match read.await {
            Ok(streams) => may_play(control, &seen, &streams, now),
            Err(_) => found,
        }
    }

    /// While no dashboard was there, or none that Redis heard of, a generator may have kept the split: where Redis holds a
    /// document of ours with splits of its own, and nothing else, that is no other's steering, and ours goes on from there.
    async fn follow_keeper(&self, now: UtcUs) -> Result<(), ChangeError> {
        let contest = self.document.contest().to_owned();
        let Some(found) = self.link.call(move |scoreboard| scoreboard.read_control(&contest)).await? else {
            return Ok(());
        };
        let adopted = self.document.edit().await.adopt_splits(&found, &Actor::program(), now).await?;
        if adopted.is_some() {
            tracing::warn!(revision = found.revision, "a generator has split the requests anew meanwhile");
            // It is as it should be, and the next look need not say so first.
            self.document.publish(LOOK_TIMEOUT, now).await;
        }
        Ok(())
    }

    /// Splits anew as was decided on a document. Whose share it was loses requests until then, so the database is not waited for.
    async fn split(&self, seen: &Control, resplit: &Resplit, now: UtcUs) {
        let what = resplit.message();
        match self.document.split_at_once(seen, resplit.change(), &what, &Actor::program(), now).await {
            Ok(()) => {
                tracing::warn!("{what}");
                // To be saved.
                self.nudge.notify_one();
            }
            // Such as of a round that ends just now.
            Err(refusal) => tracing::warn!(%refusal, "the requests are not split anew"),
        }
    }

    /// Whose contest it is, whether Redis takes writes, and what time it is there.
    pub(super) async fn look_at_redis(&self) {
        self.document.steer().await;
        let is_due = self.measured_at.lock().is_none_or(|at| at.elapsed() >= CLOCK_EVERY);
        if !is_due {
            return;
        }
        let Ok(offset) = self.link.call(Scoreboard::measure_clock).await else { return };
        if offset.error_us > CLOCK_ERROR_US_MAX {
            return;
        }
        let now = utc_us().saturating_add_signed(offset.offset_us);
        let set_by_us = now.abs_diff(self.clock.now());
        if set_by_us > CLOCK_TOLD_US {
            tracing::warn!(
                set_by_us,
                "this machine's clock is not Redis's, by which the contest goes: set it, as with chrony"
            );
        }
        self.clock.set(now);
        *self.measured_at.lock() = Some(Instant::now());
    }

    /// Whether the database takes a write, and what room it has, before somebody needs it.
    async fn check_database(&self, now: UtcUs) {
        let checked = tokio::time::timeout(CHECK_TIMEOUT, self.accounts.check_write(now)).await;
        let trouble = checked.unwrap_or(Err(flowtest_accounts::Error::Busy)).err().map(|error| error.to_string());
        let database = DatabaseHealth { trouble, free_bytes: self.accounts.free_bytes() };
        let mut seen = self.seen();
        if let Some(trouble) =
            database.trouble.as_ref().filter(|trouble| seen.database.trouble.as_ref() != Some(trouble))
        {
            tracing::warn!(trouble, "the database takes no writes");
        }
        if database.trouble.is_none() && seen.database.trouble.is_some() {
            tracing::info!("the database takes writes again");
        }
        seen.database = database;
    }

    async fn act(&self, people: bool, now: UtcUs) -> Result<(), ChangeError> {
        self.document.look_at_database().await?;
        if self.document.is_behind() {
            self.document.edit().await.save_urgent().await?;
        }
        if self.document.steered_elsewhere().is_some() {
            return Ok(self.document.tell_feed().await?);
        }
        // The clock first: a round begins in time whatever else is slow.
        self.advance(now).await?;
        if people {
            if let Err(error) = self.document.follow_settings().await {
                return Err(ChangeError::Unfit(error.to_string()));
            }
            // Dropped before the feed is told.
            self.document.edit().await.follow_people(&Actor::program(), now).await?;
            self.let_join(now).await?;
            self.document.tell_feed().await?;
            self.document.note_round(&Actor::program(), now).await?;
            // Redis may be away; the check says so.
            let has_generators = !self.seen().generators.is_empty();
            let _ = self.requests.probe_house(has_generators, now).await;
            if has_generators {
                let _ = self.requests.probe_contestants(now).await;
            }
        }
        self.requests.collect_answers(now).await;
        self.note_reveal(now).await
    }

    /// Notes since when what was set to be revealed is shown, which a round may have put off: whoever looks back at that time
    /// finds the board as it was seen.
    async fn note_reveal(&self, now: UtcUs) -> Result<(), ChangeError> {
        let freeze = self.document.watch_facts().borrow().freeze;
        let Some(reveal_at) = freeze.reveals_itself(now) else { return Ok(()) };
        let edit = self.document.edit().await;
        let revealed_at = self.document.waited_until(reveal_at).await?.min(now);
        let show = self.document.show();
        if (show.freeze_at, show.reveal_at, show.revealed) == (freeze.at, freeze.reveal_at, false) {
            let by = Actor::program();
            edit.set_show(None, |show| Ok(show.revealed_by_itself(revealed_at)), &by, now).await?;
        }
        // Dropped before the feed is told.
        drop(edit);
        Ok(self.document.tell_feed().await?)
    }

    /// Whatever the clock says is due. Doing it twice changes nothing.
    async fn advance(&self, now: UtcUs) -> Result<(), ChangeError> {
        let Some(control) = self.document.control() else { return Ok(()) };
        // While somebody else steers, nothing is done on top of it.
        if self.document.published().conflict.is_some() {
            return Ok(());
        }
        match (control.state, control.round) {
            (State::Armed, _) if control.timeline.start_at.is_some_and(|start| start <= now) => {
                self.step(&control, Change::Begin, "The round began.", now).await?;
            }
            (State::Running, _) if control.timeline.end_at(&control.contest).is_some_and(|end| end <= now) => {
                self.step(&control, Change::Drain, "The plan came to its end.", now).await?;
            }
            (State::Draining, Some(round)) => self.seal(&control, round, now).await?,
            _ => self.seen().sealing = Sealing::Fine,
        }
        Ok(())
    }

    /// Makes a change that is due, unless somebody has moved the round meanwhile.
    async fn step(&self, seen: &Control, change: Change, what: &str, now: UtcUs) -> Result<(), ChangeError> {
        let edit = self.document.edit().await;
        if self.document.is_at(seen) {
            edit.change_by_itself(change, what, &Actor::program(), now).await?;
        }
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }
}

/// After a stall one look at the clock is as good as many.
fn pace(every: Duration) -> Interval {
    let mut every = tokio::time::interval(every);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    every
}

/// Waits for the next tick; false when it is to end.
async fn ticks(every: &mut Interval, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        _ = every.tick() => true,
    }
}
