//! What all requests share: the accounts, the organiser's desk, the live feed, and who failed how often.

use crate::config::{Config, Secret};
use crate::control::{Link, Organiser};
use crate::handlers::invitation::keep_live;
use crate::handlers::{api, convert};
use crate::live::feed::Archived;
use crate::live::{Close, Facts, Feed, FeedConfig, HubConfig, UserKey};
use crate::middleware::throttle::Failures;
use crate::views::{Notice, Stage};
use flowtest_accounts::{Accounts, Actor, HistoryRow, ScreenId, SessionId, UserId};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::connection::Address;
use salvo::Depot;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The key that signs forms, kept so that a page that was open while we restarted still works.
const CSRF_SETTING: &str = "secret.csrf";
/// How often sessions that are over are deleted.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);
/// How long viewers and threads may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// After a restart the feed knows the last minutes by seconds, in microseconds.
const RECENT_US: u64 = 10 * 60 * 1_000_000;
/// And what was before by half minutes.
const COARSE_US: u64 = 30 * 1_000_000;
/// Of the newest rounds.
const PAST_ROUNDS: usize = 50;

/// One dashboard.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub accounts: Accounts,
    pub organiser: Organiser,
    pub feed: Feed,
    pub failures: Failures,
    pub csrf_key: [u8; 32],
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl App {
    /// Opens the database and starts what runs beside requests.
    pub async fn start(config: Config) -> Result<Arc<App>, Box<dyn Error>> {
        let accounts = Accounts::open(&config.database).await?;
        let csrf_key = csrf_key(&accounts).await?;
        let password = config.redis_password.as_ref().map(Secret::reveal);
        let address = |url: &str| Address::new(url, password, config.redis_volatile);
        let link = Link::start(address(&config.redis)?)?;
        let organiser = Organiser::open(&config.contest, accounts.clone(), link).await?;
        let facts = organiser.watch_facts();
        let feed = FeedConfig {
            address: address(config.redis_read.as_ref().unwrap_or(&config.redis))?.for_reading(),
            contest: config.contest.clone(),
            hub: HubConfig { viewers_max: config.viewers_max, ..HubConfig::default() },
            past: past(&accounts, facts.borrow().freeze.at).await?,
        };
        let now = facts.borrow().as_ref().clone();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let feed = Feed::start(feed, now, keep(accounts.clone(), tasks.clone()))?;
        tasks.spawn(tell(facts, feed.clone(), stop.clone()));
        tasks.spawn(keep_live(accounts.clone(), feed.hub().clone(), stop.clone()));
        tasks.spawn(keep_tidy(accounts.clone(), stop.clone()));
        let desk = organiser.clone();
        let desk_stop = stop.clone();
        tasks.spawn(async move { desk.run(desk_stop).await });
        Ok(Arc::new(App { config, accounts, organiser, feed, stop, tasks, failures: Failures::default(), csrf_key }))
    }

    /// The app behind a request.
    pub fn of(depot: &Depot) -> &Arc<App> {
        depot.get_typed::<Arc<App>>().expect("the service puts it into every depot")
    }

    pub fn stage(&self) -> Stage {
        api::stage(self)
    }

    pub fn notices(&self) -> Vec<Notice> {
        convert::notices(&self.feed.facts())
    }

    /// What pages call the contest.
    pub fn title(&self) -> String {
        let title = &self.organiser.settings().title;
        if title.is_empty() { self.config.contest.clone() } else { title.clone() }
    }

    /// Somebody came, left or changed its name.
    pub fn people_changed(&self) {
        self.organiser.people_changed();
    }

    /// When Redis was last heard; nothing before the first time and while it is away.
    pub fn redis_seen_at(&self) -> Option<UtcUs> {
        let seen = self.feed.seen();
        matches!(seen.link, crate::live::frame::Link::Live).then_some(seen.at)
    }

    /// Where the generators' requests come from, as they say themselves.
    pub fn sources(&self) -> Vec<String> {
        let seen = self.feed.seen();
        let health = seen.generators.iter().filter_map(|generator| generator.health.as_ref());
        let mut sources: Vec<String> =
            health.flat_map(|health| &health.source_addresses).map(ToString::to_string).collect();
        sources.sort();
        sources.dedup();
        sources
    }

    /// Ends the WebSockets of a session that has ended.
    pub fn close_session(&self, session: SessionId) {
        self.feed.hub().close_session(&session.0.to_string(), Close::LoggedOut);
    }

    /// Ends those of a screen's link that was revoked.
    pub fn close_screen(&self, screen: ScreenId) {
        self.feed.hub().close_session(&seat_of(screen), Close::LoggedOut);
    }

    /// Ends those of all sessions of somebody, but for one.
    pub fn close_sessions_of(&self, user: UserId, except: Option<SessionId>) {
        let key = UserKey::of_user(user.0);
        match except {
            Some(session) => self.feed.hub().close_user_except(&key, &session.0.to_string(), Close::LoggedOut),
            None => self.feed.hub().close_user(&key, Close::LoggedOut),
        }
    }

    /// Ends what runs beside requests.
    pub async fn stop(&self) {
        self.stop.cancel();
        // The feed first: the last seconds of history, which it hands over at its end, are written by one of the tasks.
        self.feed.stop(STOP_PATIENCE).await;
        self.tasks.close();
        let _ = tokio::time::timeout(STOP_PATIENCE, self.tasks.wait()).await;
    }
}

/// What stands for a screen among the sessions of those who watch.
pub fn seat_of(screen: ScreenId) -> String {
    format!("screen:{screen}")
}

/// Passes on what the desk knows of people, rounds and notices.
async fn tell(mut facts: watch::Receiver<Arc<Facts>>, feed: Feed, stop: CancellationToken) {
    loop {
        let newest = facts.borrow_and_update().as_ref().clone();
        feed.tell(newest);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = facts.changed() => if changed.is_err() { return },
        }
    }
}

/// Takes sessions that are over out of the database, now and once an hour.
async fn keep_tidy(accounts: Accounts, stop: CancellationToken) {
    let mut every = tokio::time::interval(TIDY_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        if let Err(error) = accounts.purge_sessions(crate::clock::utc_us()).await {
            tracing::warn!(%error, "sessions that are over stay in the database");
        }
    }
}

/// Writes seconds of history, on the runtime and not on the feed's thread.
fn keep(accounts: Accounts, tasks: TaskTracker) -> impl FnMut(Vec<Archived>) + Send + 'static {
    let runtime = tokio::runtime::Handle::current();
    move |seconds| {
        let accounts = accounts.clone();
        let write = async move {
            let row = |second: Archived| HistoryRow { round: second.round, at: second.at, payload: second.payload };
            if let Err(error) = accounts.append_history_rows(seconds.into_iter().map(row).collect()).await {
                tracing::warn!(%error, "some seconds of history are not kept");
            }
        };
        tasks.spawn_on(write, &runtime);
    }
}

/// The history that a restarted feed goes on from: the last minutes by seconds, the rest by half minutes, and the last
/// second before the freeze, which the public sees.
async fn past(accounts: &Accounts, freeze: Option<UtcUs>) -> Result<Vec<(UtcUs, Vec<u8>)>, flowtest_accounts::Error> {
    let now = crate::clock::utc_us();
    let recent = now.saturating_sub(RECENT_US);
    let mut past = Vec::new();
    for round in accounts.rounds().await?.iter().rev().take(PAST_ROUNDS).rev() {
        past.extend(accounts.history(round.id, 0, recent, COARSE_US).await?);
        past.extend(accounts.history(round.id, recent, now, 0).await?);
        if let Some(at) = freeze {
            // The last row of this half minute may be of after it.
            past.extend(accounts.history(round.id, at / COARSE_US * COARSE_US, at.saturating_add(1), COARSE_US).await?);
        }
    }
    Ok(past)
}

async fn csrf_key(accounts: &Accounts) -> Result<[u8; 32], Box<dyn Error>> {
    if let Some(setting) = accounts.setting(CSRF_SETTING).await? {
        return Ok(serde_json::from_str(&setting.text)?);
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| format!("no random bytes: {error}"))?;
    let text = serde_json::to_string(&key)?;
    accounts.put_setting(CSRF_SETTING, None, &text, &Actor::program(), crate::clock::utc_us()).await?;
    Ok(key)
}
