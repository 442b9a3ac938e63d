//! The live feed, running: a thread that asks Redis, a thread that counts and builds a frame each second, and what
//! handlers may ask of both. Neither thread ever waits for a viewer, and nobody here waits for Redis.

use super::audience::Audience;
use super::board::{Board, Tick};
use super::facts::{Facts, UserKey};
use super::frame::{FrameBuilder, Link};
use super::history::HistoryCache;
use super::hub::{Hub, HubConfig};
use super::reader::{self, Ask, LOOK_INTERVAL, LookResult, Reading};
use super::standings::Standings;
use super::team_state::StateSince;
use super::validity::ValidityNow;
use crate::live::clock::ContestClock;
use bytes::Bytes;
use flowtest_contest::{Control, State};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{ExplainedError, RedisAddress, RoundTotals, SeenGenerator};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Redis is called away when a look is so late. With the second between looks, everybody knows within three.
const LATE: Duration = Duration::from_millis(1_500);
/// Seconds of history that are handed over together.
const ARCHIVE_BATCH: usize = 5;
/// Questions that may wait for the reader.
const ASKS_MAX: usize = 256;
/// How long a question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// What the feed needs to know at its start.
#[derive(Debug)]
pub struct FeedConfig {
    pub address: RedisAddress,
    pub contest: String,
    pub hub: HubConfig,
    pub clock: ContestClock,
    /// The history of before a restart, as it was handed to be kept: see [`Board::restored`]. The last minutes by
    /// seconds and the rest by half minutes is plenty.
    pub past: Vec<(UtcUs, Vec<u8>)>,
}

/// One second of a round, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    pub round: RoundId,
    pub at: UtcUs,
    pub payload: Vec<u8>,
}

/// What was found at the last look, for the rest of the dashboard.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When the newest frame was made. One of long ago means that the feed is broken.
    pub at: UtcUs,
    /// Whether all below is of now.
    pub link: Link,
    /// Why the last look failed, when it did.
    pub error: Option<String>,
    /// What of the round Redis has lost and nobody has put back, as a sentence.
    pub lost: Option<String>,
    pub control: Option<Arc<Control>>,
    /// Of the control document's round.
    pub totals: Option<Arc<RoundTotals>>,
    pub generators: Arc<[SeenGenerator]>,
}

/// What can go wrong, as sentences.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    #[error("a thread of the live feed could not start: {0}; free some memory or processes")]
    Thread(String),
    #[error("too many ask for their errors at this moment: ask again in a second")]
    Busy,
    #[error("the errors cannot be read now: {0}")]
    Redis(String),
    #[error("Redis does not answer: its errors are shown again when it does")]
    Late,
}

/// The running feed. Cheap to clone; it ends with the last clone, or with [`Feed::stop`].
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    hub: Hub,
    clock: ContestClock,
    facts: watch::Sender<Arc<Facts>>,
    seen: watch::Receiver<Arc<Seen>>,
    board: Arc<RwLock<Board>>,
    history: HistoryCache,
    asks: Mutex<Option<SyncSender<Ask>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Feed {
    /// Starts both threads. `archive` is called on one of them with a few seconds at a time, and must not wait. Redis may
    /// be away.
    pub fn start(
        config: FeedConfig,
        facts: Facts,
        archive: impl FnMut(Vec<Archived>) + Send + 'static,
    ) -> Result<Feed, FeedError> {
        let FeedConfig { address, contest, hub, clock, past } = config;
        let hub = Hub::new(hub);
        let board = Arc::new(RwLock::new(Board::restored(past, &facts.freeze)));
        let seen = watch::Sender::new(Arc::new(Seen {
            at: clock.now(),
            link: Link::Stale { since: clock.now() },
            error: None,
            lost: None,
            control: facts.control.clone(),
            totals: None,
            generators: Arc::from([]),
        }));
        let (facts, told) = watch::channel(Arc::new(facts));
        let (ask, asks) = sync_channel(ASKS_MAX);
        let (report, reports) = sync_channel(1);
        let reading = {
            let told = told.clone();
            thread("feed-reader", move || reader::run(&address, &contest, &told, &asks, &report))?
        };
        let watched = seen.subscribe();
        let counter = Counter {
            hub: hub.clone(),
            clock: clock.clone(),
            facts: told,
            board: Arc::clone(&board),
            frames: FrameBuilder::default(),
            seen,
            kept: Vec::new(),
            last: None,
            archive: Box::new(archive),
        };
        let counting = thread("feed-board", move || counter.run(&reports))?;
        let shared = Shared {
            hub,
            clock,
            facts,
            seen: watched,
            board,
            history: HistoryCache::default(),
            asks: Mutex::new(Some(ask)),
            threads: Mutex::new(vec![reading, counting]),
        };
        Ok(Feed { shared: Arc::new(shared) })
    }

    pub fn hub(&self) -> &Hub {
        &self.shared.hub
    }

    /// Replaces what the accounts say; shown with the next frame.
    pub fn tell(&self, facts: Facts) {
        self.shared.facts.send_replace(Arc::new(facts));
    }

    /// Changes a part of it.
    pub fn amend(&self, change: impl FnOnce(&mut Facts)) {
        self.shared.facts.send_modify(|facts| change(Arc::make_mut(facts)));
    }

    pub fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.shared.facts.borrow())
    }

    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.shared.seen.borrow())
    }

    /// The same, and whatever is found later.
    pub fn watch(&self) -> watch::Receiver<Arc<Seen>> {
        self.shared.seen.clone()
    }

    /// The standings as an audience sees them now. The only way to scores for pages, exports and reports.
    pub fn standings(&self, audience: &Audience) -> Standings {
        self.board().standings(audience, self.shared.clock.now())
    }

    /// The standings that everybody sees, or saw, of a freeze.
    pub fn frozen_standings(&self, freeze: UtcUs) -> Standings {
        self.board().frozen_standings(freeze)
    }

    /// From when to when nobody wrote down a round that was played.
    pub fn gaps(&self) -> Vec<(UtcUs, UtcUs)> {
        self.board().gaps().to_vec()
    }

    /// When contestants came to the points that the last look showed.
    pub fn reached_at(&self, ids: &BTreeSet<UserKey>) -> BTreeMap<UserKey, UtcUs> {
        let board = self.board();
        ids.iter().filter_map(|id| Some((id.clone(), board.reached_at(id)?))).collect()
    }

    /// How contestants fared last while the document's round ran, for organisers: see [`Board::fared`].
    pub fn fared(&self) -> BTreeMap<UserKey, StateSince> {
        self.board().fared().clone()
    }

    /// How much of the round is valid, as an audience is told it now.
    pub fn validity(&self, audience: &Audience) -> Option<ValidityNow> {
        self.board().validity(audience, self.shared.clock.now())
    }

    /// The body of `/api/history` for an audience. `since` in µs of UTC, 0 for all; `step_s` is the finest step wanted.
    pub async fn history(&self, audience: &Audience, since: UtcUs, step_s: u64) -> Bytes {
        let (shared, audience) = (Arc::clone(&self.shared), audience.clone());
        let write = move || shared.history.get(&shared.board, &audience, shared.clock.now(), since, step_s);
        // Fails only when the runtime ends.
        tokio::task::spawn_blocking(write).await.unwrap_or_default()
    }

    /// The explained failures of a contestant, newest first, by its id in the control document, or its name where it has
    /// none, as generators put them. The caller has made sure that they are its own.
    pub async fn errors(&self, contestant: &str) -> Result<Vec<ExplainedError>, FeedError> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask { contestant: contestant.to_owned(), reply };
        let asked = self.shared.asks.lock().as_ref().is_some_and(|asks| asks.try_send(ask).is_ok());
        if !asked {
            return Err(FeedError::Busy);
        }
        match tokio::time::timeout(ASK_TIMEOUT, answer).await {
            Ok(Ok(errors)) => errors.map_err(FeedError::Redis),
            Ok(Err(_)) | Err(_) => Err(FeedError::Late),
        }
    }

    /// Sends all viewers away with 1012, hands over the last of the history and ends both threads. Waits no longer than
    /// `timeout` for either.
    pub async fn stop(&self, timeout: Duration) {
        self.shared.hub.stop();
        self.shared.asks.lock().take();
        let threads = std::mem::take(&mut *self.shared.threads.lock());
        let ended = tokio::task::spawn_blocking(move || {
            // A panic was told when it happened.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        // A Redis that hangs holds its thread for some seconds; nobody waits for it.
        let _ =
            tokio::join!(tokio::time::timeout(timeout, self.shared.hub.left()), tokio::time::timeout(timeout, ended));
    }

    fn board(&self) -> RwLockReadGuard<'_, Board> {
        self.shared.board.read()
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, FeedError> {
    Builder::new().name(name.to_owned()).spawn(run).map_err(|error| FeedError::Thread(error.to_string()))
}

/// The thread that counts and builds frames.
struct Counter {
    hub: Hub,
    clock: ContestClock,
    facts: watch::Receiver<Arc<Facts>>,
    board: Arc<RwLock<Board>>,
    frames: FrameBuilder,
    seen: watch::Sender<Arc<Seen>>,
    /// History that was not handed over yet.
    kept: Vec<Archived>,
    /// What was kept last.
    last: Option<Archived>,
    archive: Box<dyn FnMut(Vec<Archived>) + Send>,
}

impl Counter {
    fn run(mut self, reports: &Receiver<LookResult>) {
        let mut wait = LATE;
        loop {
            match reports.recv_timeout(wait) {
                Ok(Ok(reading)) => {
                    // What Redis says is what it was told before it took no more.
                    let unwritten = self.facts.borrow().unwritten.clone();
                    match unwritten {
                        Some(error) => self.missed(Some(error)),
                        None => self.read(reading),
                    }
                    wait = LATE;
                }
                Ok(Err(error)) => {
                    self.missed(Some(error));
                    wait = LATE;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.missed(None);
                    wait = LOOK_INTERVAL;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.hand_over();
    }

    fn read(&mut self, reading: Reading) {
        let now = self.clock.now();
        let Reading { control, totals, lost, generators } = reading;
        let last = Arc::clone(&self.seen.borrow());
        if last.error.is_some() {
            tracing::info!("Redis answers again");
        }
        if let Some(lost) = lost.as_ref().filter(|lost| last.lost.as_ref() != Some(lost)) {
            tracing::warn!("{lost}");
        }
        let seen = Seen { at: now, link: Link::Live, error: None, lost, control, totals, generators };
        self.show(seen, true);
        self.keep();
    }

    /// Redis did not answer, or not in time.
    fn missed(&mut self, error: Option<String>) {
        let now = self.clock.now();
        let last = Arc::clone(&self.seen.borrow());
        let since = match last.link {
            Link::Live => last.at,
            Link::Stale { since } => since,
        };
        if let Some(error) = error.as_ref().filter(|error| last.error.as_ref() != Some(error)) {
            tracing::warn!("the scores stand still: {error}");
        }
        let error = error.or_else(|| last.error.clone());
        // What the accounts saved meanwhile is newer than what Redis said last.
        let saved = self.facts.borrow().control.clone();
        let control = [last.control.clone(), saved].into_iter().flatten().max_by_key(|control| control.revision);
        let round = |control: &Option<Arc<Control>>| control.as_ref().and_then(|control| control.round);
        let totals = last.totals.clone().filter(|_| round(&control) == round(&last.control));
        let generators = Arc::clone(&last.generators);
        let lost = last.lost.clone();
        let seen = Seen { at: now, link: Link::Stale { since }, error, lost, control, totals, generators };
        self.show(seen, false);
    }

    fn show(&mut self, seen: Seen, fresh: bool) {
        let facts = Arc::clone(&self.facts.borrow());
        let frames = {
            let mut board = self.board.write();
            board.tick(&Tick {
                now: seen.at,
                control: seen.control.as_ref(),
                totals: seen.totals.as_deref(),
                generators: &seen.generators,
                facts: &facts,
                fresh,
            });
            self.frames.build(&board, seen.link, seen.at)
        };
        self.seen.send_replace(Arc::new(seen));
        self.hub.publish(frames);
    }

    /// Notes the newest second of a round that is played, if it differs from the one before.
    fn keep(&mut self) {
        let seen = Arc::clone(&self.seen.borrow());
        let Some(control) = &seen.control else { return };
        let playing = matches!(control.state, State::Running | State::Paused | State::Draining);
        if let Some(round) = control.round.filter(|_| playing)
            && let Some((at, payload)) = self.board.read().archive()
        {
            // A second in which nothing changed tells nothing: a pause, or a round that waits for its seal, may last.
            let same = |last: &Archived| last.round == round && last.payload == payload;
            if !self.last.as_ref().is_some_and(same) {
                let second = Archived { round, at, payload };
                self.last = Some(second.clone());
                self.kept.push(second);
            }
        }
        if self.kept.len() >= ARCHIVE_BATCH || !playing {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if !self.kept.is_empty() {
            (self.archive)(std::mem::take(&mut self.kept));
        }
    }
}
