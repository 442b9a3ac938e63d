//! What all requests share: the accounts, the control of the contest, the live feed, and who failed how often.

use crate::config::Config;
use crate::control::platform::OwnAddresses;
use crate::control::{Controller, Link};
use crate::credentials::known_admins::KnownAdmins;
use crate::credentials::screen_codes::ScreenCodes;
use crate::limits::connections::{Connections, Limits, fuse};
use crate::limits::throttle::Failures;
use crate::limits::under_way::UnderWay;
use crate::live::clock::ContestClock;
use crate::live::{Close, Feed, FeedConfig, HubConfig, UserKey};
use crate::tasks::{self, UnwrittenSeconds};
use flowtest_accounts::{Accounts, Actor, ScreenId, SessionId, UserId};
use flowtest_contest::policy::Denied;
use flowtest_contract::rules::UtcUs;
use salvo::Depot;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The key that signs forms, kept so that a page that was open while we restarted still works.
const CSRF_SETTING: &str = "secret.csrf";
/// How often the platform's own names are looked up.
const OWN_ADDRESSES_EVERY: Duration = Duration::from_secs(60);
/// How long viewers and threads may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// One dashboard.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub accounts: Accounts,
    pub controller: Controller,
    pub feed: Feed,
    pub failures: Failures,
    pub connections: Connections,
    pub under_way: UnderWay,
    /// Passwords that are looked at, scored or hashed.
    pub sign_ins: UnderWay,
    pub admins: KnownAdmins,
    pub screens: ScreenCodes,
    pub csrf_key: [u8; 32],
    /// Where we listen, once we do.
    bound: watch::Sender<Option<SocketAddr>>,
    unwritten: UnwrittenSeconds,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl App {
    /// Opens the database and starts what runs beside requests.
    pub async fn start(config: Config) -> Result<Arc<App>, Box<dyn Error>> {
        let accounts = Accounts::open(&config.database).await?;
        let csrf_key = csrf_key(&accounts).await?;
        let link = Link::start(config.redis.clone())?;
        let clock = ContestClock::new(config.clock_shift_us);
        let mut own_addresses = OwnAddresses::default();
        let denied = look(&mut own_addresses, &config, config.listen).await;
        let (shared, contest) = (accounts.clone(), &config.contest);
        let controller = Controller::open_beside(denied.clone(), clock.clone(), contest, shared, link).await?;
        let facts = controller.watch_facts();
        let feed = FeedConfig {
            address: config.redis_read.clone(),
            contest: config.contest.clone(),
            clock,
            hub: HubConfig { viewers_max: config.viewers_max, ..HubConfig::default() },
            past: tasks::past(&accounts, facts.borrow().freeze.at).await?,
        };
        let now = facts.borrow().as_ref().clone();
        let stop = CancellationToken::new();
        let (running, unwritten) = (TaskTracker::new(), UnwrittenSeconds::default());
        let feed = Feed::start(feed, now, tasks::keep_history(accounts.clone(), &running, unwritten.clone()))?;
        controller.automation().rank_as_on(feed.clone());
        running.spawn(tasks::tell_feed(facts, feed.clone(), stop.clone()));
        running.spawn(tasks::publish_invitations(accounts.clone(), feed.hub().clone(), stop.clone()));
        running.spawn(tasks::purge_sessions(accounts.clone(), stop.clone()));
        running.spawn(tasks::run_control(controller.clone(), stop.clone()));
        let limits = Limits::of_process(config.viewers_max);
        let app = Arc::new(App {
            connections: Connections::new(limits, config.proxies.clone(), fuse()),
            under_way: UnderWay::requests(),
            sign_ins: UnderWay::passwords(),
            config,
            accounts,
            controller,
            feed,
            unwritten,
            stop,
            tasks: running,
            failures: Failures::default(),
            admins: KnownAdmins::default(),
            screens: ScreenCodes::default(),
            csrf_key,
            bound: watch::Sender::new(None),
        });
        let (stop, following) = (app.stop.clone(), Arc::downgrade(&app));
        app.tasks.spawn(follow_own_addresses(following, (own_addresses, denied), app.bound.subscribe(), stop));
        Ok(app)
    }

    /// The app behind a request.
    pub fn of(depot: &Depot) -> &Arc<App> {
        depot.get_typed::<Arc<App>>().expect("the service puts it into every depot")
    }

    /// What time it is in the contest.
    pub fn now(&self) -> UtcUs {
        self.controller.clock().now()
    }

    /// Where we listen, as far as it is known.
    pub fn bound(&self) -> SocketAddr {
        self.bound.borrow().unwrap_or(self.config.listen)
    }

    /// The listener has its address.
    pub fn listens_at(&self, address: SocketAddr) {
        self.bound.send_replace(Some(address));
    }

    /// What pages call the contest.
    pub fn title(&self) -> String {
        let title = &self.controller.settings().title;
        if title.is_empty() { self.config.contest.clone() } else { title.clone() }
    }

    /// Somebody came, left or changed its name.
    pub fn people_changed(&self) {
        self.controller.automation().people_changed();
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

    /// Where tests and practice come from besides, as the organiser has said: who plays no rounds tells nobody its addresses.
    pub fn test_sources(&self) -> Vec<String> {
        let sources = self.sources();
        self.config.test_sources.iter().map(ToString::to_string).filter(|one| !sources.contains(one)).collect()
    }

    /// Ends the WebSockets of a session that has ended.
    pub fn close_session(&self, session: SessionId) {
        self.admins.forget_session(session);
        self.feed.hub().close_session(&session.0.to_string(), Close::LoggedOut);
    }

    /// Ends those of a screen's link that was revoked.
    pub fn close_screen(&self, screen: ScreenId) {
        self.screens.forget(screen);
        self.feed.hub().close_session(&screen_session(screen), Close::LoggedOut);
    }

    /// Ends those of all sessions of somebody, but for one.
    pub fn close_sessions_of(&self, user: UserId, except: Option<SessionId>) {
        self.admins.forget_user(user, except);
        let key = UserKey::of_user(user.0);
        match except {
            Some(session) => self.feed.hub().close_user_except(&key, &session.0.to_string(), Close::LoggedOut),
            None => self.feed.hub().close_user(&key, Close::LoggedOut),
        }
    }

    /// Ends what runs beside requests. Says how many seconds of history are lost, for the database took no writes.
    pub async fn stop(&self) -> usize {
        self.stop.cancel();
        self.controller.release().await;
        // The feed first: the last seconds of history, which it hands over at its end, are written by one of the tasks.
        self.feed.stop(STOP_TIMEOUT).await;
        self.tasks.close();
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await;
        let seconds = self.unwritten.count();
        if seconds > 0 {
            tracing::error!(
                seconds,
                "seconds of history end with this process, for the database takes no writes: the chart has a gap there"
            );
        }
        seconds
    }
}

/// What stands for a screen among the sessions of those who watch.
pub fn screen_session(screen: ScreenId) -> String {
    format!("screen:{screen}")
}

async fn csrf_key(accounts: &Accounts) -> Result<[u8; 32], Box<dyn Error>> {
    if let Some(setting) = accounts.setting(CSRF_SETTING).await? {
        return Ok(serde_json::from_str(&setting.text)?);
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| format!("no random bytes: {error}"))?;
    let text = serde_json::to_string(&key)?;
    accounts.put_setting(CSRF_SETTING, None, &text, &Actor::program(), flowtest_contract::utc_us()).await?;
    Ok(key)
}

/// Looks up where the platform itself is, now and then: names move, and a listener has its port only when it listens.
async fn follow_own_addresses(
    app: Weak<App>,
    (mut own_addresses, mut known): (OwnAddresses, Vec<Denied>),
    mut bound: watch::Receiver<Option<SocketAddr>>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = bound.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(OWN_ADDRESSES_EVERY) => {}
        }
        let Some(app) = app.upgrade() else { return };
        let found = look(&mut own_addresses, &app.config, app.bound()).await;
        if found != known {
            known.clone_from(&found);
            app.controller.set_own_addresses(found);
        }
    }
}

async fn look(own_addresses: &mut OwnAddresses, config: &Config, bound: SocketAddr) -> Vec<Denied> {
    let redis = [&config.redis, &config.redis_read];
    own_addresses.look(config.public_url.as_deref(), redis, [Some(bound), config.metrics]).await
}
