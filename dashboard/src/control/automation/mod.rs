//! What happens by itself: four times a second what the clock, the database and Redis ask for is done. Here is also the keeper
//! of the split: shares of generators that die go to the others, and those that come get some.
//!
//! Each turn stands for itself; what one could not do, a later one does.

mod sealing;

use super::document::Document;
use super::error::ChangeError;
use super::link::Link;
use super::requests::Requests;
use crate::clock::utc_us;
use crate::live::{Feed, HeardValidity};
use flowtest_accounts::{Accounts, Actor};
use flowtest_contest::lifecycle::{Change, follows};
use flowtest_contest::{Control, State};
use flowtest_contract::StreamId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{Resplit, SeenGenerator, SplitKeeper};
use parking_lot::{Mutex, MutexGuard};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the clock is asked.
const EVERY: Duration = Duration::from_millis(250);
/// Every how many turns Redis and the database are compared with what is known.
const LOOK_TURNS: u64 = 2;
/// How long a look waits for Redis.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// Every how many turns accounts are looked at without being told to.
const PEOPLE_TURNS: u64 = 4;
/// A split that was decided longer ago is not made: its instant would be too near for generators to hear of it.
const SPLIT_PATIENCE: Duration = Duration::from_millis(500);

/// Rounds by the clock.
#[derive(Debug)]
pub struct Automation {
    accounts: Accounts,
    link: Link,
    document: Arc<Document>,
    requests: Arc<Requests>,
    /// This process, as the keeper of the split.
    process: StreamId,
    /// Never held while Redis or the database is asked.
    split_keeper: Mutex<SplitKeeper>,
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
    /// What they say of the document's round.
    pub validity: HeardValidity,
    /// What the database refused, when it did.
    pub trouble: Option<String>,
}

/// Why a draining round is not sealed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// Nothing is being sealed, or all goes well.
    #[default]
    Fine,
    /// These have not ended.
    Missing(Vec<StreamId>),
    /// It cannot be done now.
    Trouble(String),
}

impl Automation {
    /// `process`: an id that nobody else has.
    pub(super) fn new(
        accounts: Accounts,
        link: Link,
        document: Arc<Document>,
        requests: Arc<Requests>,
        process: StreamId,
    ) -> Automation {
        Automation {
            accounts,
            link,
            document,
            requests,
            process,
            split_keeper: Mutex::default(),
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

    /// People or endpoints changed elsewhere: they are looked at at once.
    pub fn people_changed(&self) {
        self.nudge.notify_one();
    }

    /// What the last turns saw.
    pub fn last_seen(&self) -> Seen {
        self.seen().clone()
    }

    /// Works until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        let mut every = tokio::time::interval(EVERY);
        // After a stall one look at the clock is as good as many.
        every.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut turn = 0;
        loop {
            let nudged = tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => false,
                () = self.nudge.notified() => true,
            };
            self.turn(turn, nudged, utc_us()).await;
            turn += u64::from(!nudged);
        }
    }

    /// One turn of looking and doing. Turn 0 does everything.
    pub async fn turn(&self, turn: u64, nudged: bool, now: UtcUs) {
        let resplit = if turn.is_multiple_of(LOOK_TURNS) { self.look(now).await } else { None };
        let mut done = Ok(());
        if let Some((seen, resplit)) = resplit {
            done = self.split(&seen, &resplit, now).await;
        }
        let acted = self.act(nudged || turn.is_multiple_of(PEOPLE_TURNS), now).await;
        let done = done.and(acted);
        let trouble = match done {
            Ok(()) => None,
            // Another process was faster: the next turn goes on from there.
            Err(ChangeError::Stale { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        let mut seen = self.seen();
        if let Some(trouble) = trouble.as_ref().filter(|trouble| seen.trouble.as_ref() != Some(trouble)) {
            tracing::warn!(trouble, "what is due could not be done");
        }
        seen.trouble = trouble;
    }

    /// What Redis holds, and whether it is what the database says. Another split, and the document that it is for, where those
    /// who play are not those whom it names.
    async fn look(&self, now: UtcUs) -> Option<(Arc<Control>, Resplit)> {
        if let Err(error) = self.document.follow_database().await {
            tracing::warn!(%error, "the database cannot be read");
        }
        // Outside an edit: a Redis that hangs keeps nobody from changing anything.
        self.document.publish(LOOK_PATIENCE).await;
        if self.document.published().conflict.is_some()
            && let Err(error) = self.follow_keeper(now).await
        {
            tracing::warn!(%error, "what a generator has split anew is not taken over");
        }
        let contest = self.document.contest().to_owned();
        // While somebody else steers, shares are not ours to give.
        let keeper = Some(self.process).filter(|_| self.document.published().conflict.is_none());
        let read = self.link.call(move |scoreboard| {
            if let Some(process) = keeper {
                scoreboard.take_keeper(&contest, process)?;
            }
            scoreboard.read_generators(&contest)
        });
        match read.await {
            Ok(generators) => {
                let control = self.document.control();
                let round = control.as_ref().filter(|control| control.state != State::Draft);
                let mut seen = self.seen();
                seen.validity.look(round.and_then(|control| control.round), &generators, now);
                seen.generators = generators.into();
                let control = control.filter(|_| keeper.is_some())?;
                let resplit = self.split_keeper.lock().look(&control, &seen.generators, now)?;
                Some((control, resplit))
            }
            Err(error) => {
                self.split_keeper.lock().lost();
                self.document.redis_failed(&error);
                None
            }
        }
    }

    /// While no dashboard was there, a generator may have kept the split: where Redis holds our document with splits of its own,
    /// and nothing else, that is no other's steering, and ours goes on from there.
    async fn follow_keeper(&self, now: UtcUs) -> Result<(), ChangeError> {
        let contest = self.document.contest().to_owned();
        let found = self.link.call(move |scoreboard| scoreboard.read_control(&contest)).await?;
        let (Some(ours), Some(found)) = (self.document.control(), found) else { return Ok(()) };
        if is_split_anew(&ours, &found) {
            tracing::warn!(revision = found.revision, "a generator has split the requests anew meanwhile");
            self.document.edit().await.adopt(&Actor::program(), now).await?;
            // It is as it should be, and the next look need not say so first.
            self.document.publish(LOOK_PATIENCE).await;
        }
        Ok(())
    }

    /// Splits anew as was decided on a document, unless somebody has changed who sends what meanwhile.
    async fn split(&self, seen: &Control, resplit: &Resplit, now: UtcUs) -> Result<(), ChangeError> {
        let decided = Instant::now();
        let edit = self.document.edit().await;
        let is_as_seen = self.document.is_at(seen)
            && self.document.control().is_some_and(|control| control.timeline.splits == seen.timeline.splits);
        if !is_as_seen || decided.elapsed() > SPLIT_PATIENCE {
            return Ok(());
        }
        match edit.change(None, resplit.change(), &resplit.sentence(), &Actor::program(), now).await {
            Ok(_) => tracing::warn!("{}", resplit.sentence()),
            // Such as of a round that ends just now.
            Err(ChangeError::Refused(refusal)) => tracing::warn!(%refusal, "the requests are not split anew"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn act(&self, people: bool, now: UtcUs) -> Result<(), ChangeError> {
        // The clock first: a round begins in time whatever else is slow.
        self.advance(now).await?;
        if people {
            if let Err(error) = self.document.follow_settings().await {
                return Err(ChangeError::Unfit(error.to_string()));
            }
            if self.document.published().conflict.is_none() {
                // Dropped before the feed is told.
                self.document.edit().await.follow_people(&Actor::program(), now).await?;
            }
            self.document.tell_feed().await?;
            self.document.note_round(&Actor::program(), now).await?;
            // Redis may be away; the check says so.
            let has_generators = !self.seen().generators.is_empty();
            let _ = self.requests.probe_house(has_generators, now).await;
        }
        self.requests.collect_answers(now).await;
        Ok(())
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
            edit.change(None, change, what, &Actor::program(), now).await?;
        }
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }
}

/// Whether a document is another one with more splits, and nothing else.
fn is_split_anew(ours: &Control, found: &Control) -> bool {
    let mut same = Control { revision: ours.revision, split: ours.split.clone(), ..found.clone() };
    same.timeline.splits.clone_from(&ours.timeline.splits);
    let has_more = found.timeline.splits.len() > ours.timeline.splits.len();
    has_more && same == *ours && follows(ours, found).is_ok()
}
