//! Subscriptions: who watches, how many may, and whom to send away. It holds the newest frame and nothing else: there is no
//! queue, so a viewer that reads slowly, or never, costs its subscription and no more.

use super::facts::UserKey;
use super::frame::Frames;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

/// How many may watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubConfig {
    /// All together.
    pub viewers_max: usize,
    /// Of one account: phone, laptop, and some forgotten tabs.
    pub of_one_user_max: usize,
    /// How long a frame may take into the kernel's buffer: who does not read for so long is gone.
    pub send_within: Duration,
}

impl Default for HubConfig {
    fn default() -> HubConfig {
        HubConfig { viewers_max: 2_000, of_one_user_max: 5, send_within: Duration::from_secs(5) }
    }
}

/// One link for screens takes no more than one subscription in so many: a link that got around keeps nobody out.
const SHARE_OF_A_LINK: usize = 2;

/// Why a viewer is sent away, as a WebSocket's close code. Pages act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The session is over: log in again.
    LoggedOut,
    /// Come back a little later: the dashboard stops, or the viewer's role changed.
    Restart,
    /// Come back later: too many watch.
    Full,
    /// It sent what no page of ours sends.
    Misuse,
}

impl Close {
    pub fn code(self) -> u16 {
        match self {
            Close::LoggedOut => 4401,
            Close::Restart => 1012,
            Close::Full => 1013,
            Close::Misuse => 1008,
        }
    }

    pub fn reason(self) -> &'static str {
        match self {
            Close::LoggedOut => "the session is over: log in again",
            Close::Restart => "come back in a moment",
            Close::Full => "this account or link watches from too many places: close one",
            Close::Misuse => "this feed takes no messages",
        }
    }
}

/// Why somebody may not watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    #[error("{0} watch already, and there is no room for more: try again later, or raise the limit of viewers")]
    Full(usize),
    #[error("this account or link watches from {0} places already: close one of them")]
    Viewer(usize),
    #[error("the dashboard is stopping: come back in a moment")]
    Stopping,
}

/// Who subscribes.
#[derive(Clone, Debug, Default)]
pub struct Viewer {
    /// The account, contestant or admin. A screen has none, and is counted by its session.
    pub user: Option<UserKey>,
    /// What [`Hub::close_session`] will be called with: the session's id, or the screen's. Never a secret.
    pub session: Option<String>,
}

/// The subscriptions and the newest frames. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: HubConfig,
    frames: watch::Sender<Arc<Frames>>,
    tokens: watch::Sender<Option<Utf8Bytes>>,
    subscriptions: Mutex<Subscriptions>,
    /// How many there are, for those who wait until all have left.
    count: watch::Sender<usize>,
    stopping: CancellationToken,
}

#[derive(Debug, Default)]
struct Subscriptions {
    next: u64,
    all: HashMap<u64, Subscribed>,
    of_user: HashMap<UserKey, usize>,
}

#[derive(Debug)]
struct Subscribed {
    viewer: Viewer,
    /// Used once; who was told to leave still counts until it has.
    away: Option<oneshot::Sender<Close>>,
}

impl Hub {
    pub fn new(config: HubConfig) -> Hub {
        let shared = Shared {
            config,
            frames: watch::Sender::new(Arc::new(Frames::none())),
            tokens: watch::Sender::new(None),
            subscriptions: Mutex::default(),
            count: watch::Sender::new(0),
            stopping: CancellationToken::new(),
        };
        Hub { shared: Arc::new(shared) }
    }

    /// Shows everybody the next frame. Never waits.
    pub fn publish(&self, frames: Arc<Frames>) {
        self.shared.frames.send_replace(frames);
    }

    /// Shows everybody at `/live?of=tokens` this text, when it differs from the last. Never waits.
    pub fn publish_tokens(&self, text: String) {
        self.shared.tokens.send_if_modified(|last| {
            let changed = last.as_ref().is_none_or(|last| last.as_str() != text);
            if changed {
                *last = Some(text.into());
            }
            changed
        });
    }

    /// The frames from the newest on.
    pub fn frames(&self) -> watch::Receiver<Arc<Frames>> {
        from_now_on(&self.shared.frames)
    }

    /// The same of the invitations.
    pub fn tokens(&self) -> watch::Receiver<Option<Utf8Bytes>> {
        from_now_on(&self.shared.tokens)
    }

    /// How long a viewer may take to read what it was sent.
    pub fn send_within(&self) -> Duration {
        self.shared.config.send_within
    }

    /// Lets a viewer watch until the subscription is dropped.
    pub fn subscribe(&self, viewer: Viewer) -> Result<Subscription, SubscribeError> {
        let config = self.shared.config;
        let mut subscriptions = self.subscriptions();
        if self.shared.stopping.is_cancelled() {
            return Err(SubscribeError::Stopping);
        }
        if subscriptions.all.len() >= config.viewers_max {
            return Err(SubscribeError::Full(subscriptions.all.len()));
        }
        if let Some(user) = &viewer.user {
            let own = subscriptions.of_user.entry(user.clone()).or_insert(0);
            if *own >= config.of_one_user_max {
                return Err(SubscribeError::Viewer(*own));
            }
            *own += 1;
        } else if let Some(link) = &viewer.session {
            let its = subscriptions.all.values().filter(|one| one.viewer.session.as_ref() == Some(link)).count();
            if its >= config.viewers_max.div_ceil(SHARE_OF_A_LINK) {
                return Err(SubscribeError::Viewer(its));
            }
        }
        let (away, told) = oneshot::channel();
        let number = subscriptions.next;
        subscriptions.next += 1;
        subscriptions.all.insert(number, Subscribed { viewer, away: Some(away) });
        self.shared.count.send_replace(subscriptions.all.len());
        Ok(Subscription { hub: self.clone(), number, told })
    }

    /// Sends away whoever watches with this session: it was ended.
    pub fn close_session(&self, session: &str, close: Close) {
        self.close_where(close, |viewer| viewer.session.as_deref() == Some(session));
    }

    /// Sends away all of an account: it was disabled, or its role or password changed.
    pub fn close_user(&self, user: &UserKey, close: Close) {
        self.close_where(close, |viewer| viewer.user.as_ref() == Some(user));
    }

    /// The same, but for one session.
    pub fn close_user_except(&self, user: &UserKey, session: &str, close: Close) {
        self.close_where(close, |viewer| {
            viewer.user.as_ref() == Some(user) && viewer.session.as_deref() != Some(session)
        });
    }

    fn close_where(&self, close: Close, chosen: impl Fn(&Viewer) -> bool) {
        for one in self.subscriptions().all.values_mut().filter(|one| chosen(&one.viewer)) {
            if let Some(away) = one.away.take() {
                // Fails only when the viewer is leaving by itself.
                let _ = away.send(close);
            }
        }
    }

    /// How many watch now.
    pub fn viewers(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// Sends everybody away and lets nobody in any more.
    pub fn stop(&self) {
        // Under the lock, so that nobody subscribes in between.
        let subscriptions = self.subscriptions();
        self.shared.stopping.cancel();
        drop(subscriptions);
    }

    /// Waits until nobody is left.
    pub async fn left(&self) {
        // The sender lives as long as we do.
        let _ = self.shared.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.shared.subscriptions.lock()
    }
}

/// A receiver whose first look finds what there is already.
fn from_now_on<T>(sender: &watch::Sender<T>) -> watch::Receiver<T> {
    let mut receiver = sender.subscribe();
    receiver.mark_changed();
    receiver
}

/// The right to watch.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    number: u64,
    told: oneshot::Receiver<Close>,
}

impl Subscription {
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Waits until somebody sends this viewer away. Once it has, it must not be asked again.
    pub async fn told_to_leave(&mut self) -> Close {
        tokio::select! {
            told = &mut self.told => told.unwrap_or(Close::Restart),
            () = self.hub.shared.stopping.cancelled() => Close::Restart,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut subscriptions = self.hub.subscriptions();
        let Some(gone) = subscriptions.all.remove(&self.number) else { return };
        if let Some(user) = &gone.viewer.user
            && let Some(own) = subscriptions.of_user.get_mut(user)
        {
            *own -= 1;
            if *own == 0 {
                subscriptions.of_user.remove(user);
            }
        }
        self.hub.shared.count.send_replace(subscriptions.all.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(user: &str, session: &str) -> Viewer {
        Viewer { user: Some(user.into()), session: Some(session.to_owned()) }
    }

    #[test]
    fn subscriptions_are_limited_and_free_again() {
        let hub = Hub::new(HubConfig { viewers_max: 3, of_one_user_max: 2, ..HubConfig::default() });
        let first = hub.subscribe(viewer("u1", "a")).expect("a subscription");
        let _second = hub.subscribe(viewer("u1", "b")).expect("a subscription");
        assert_eq!(hub.subscribe(viewer("u1", "c")).expect_err("its third"), SubscribeError::Viewer(2));
        let _screen = hub.subscribe(Viewer::default()).expect("a subscription");
        assert_eq!(hub.subscribe(Viewer::default()).expect_err("full"), SubscribeError::Full(3));
        assert_eq!(hub.viewers(), 3);
        drop(first);
        assert_eq!(hub.viewers(), 2);
        hub.subscribe(viewer("u1", "c")).expect("it is free again");
        hub.stop();
        assert_eq!(hub.subscribe(Viewer::default()).expect_err("it stops"), SubscribeError::Stopping);
    }

    #[test]
    fn one_link_takes_no_more_than_half_of_the_subscriptions() {
        let hub = Hub::new(HubConfig { viewers_max: 4, ..HubConfig::default() });
        let screen = |link: &str| Viewer { user: None, session: Some(link.to_owned()) };
        let first = hub.subscribe(screen("screen:1")).expect("a subscription");
        let _second = hub.subscribe(screen("screen:1")).expect("a subscription");
        assert_eq!(hub.subscribe(screen("screen:1")).expect_err("its third"), SubscribeError::Viewer(2));
        let _other = hub.subscribe(screen("screen:2")).expect("another link");
        drop(first);
        hub.subscribe(screen("screen:1")).expect("it is free again");
    }

    #[tokio::test]
    async fn only_those_meant_are_sent_away() {
        let hub = Hub::new(HubConfig::default());
        let mut a = hub.subscribe(viewer("u1", "a")).expect("a subscription");
        let mut b = hub.subscribe(viewer("u1", "b")).expect("a subscription");
        let mut other = hub.subscribe(viewer("u2", "c")).expect("a subscription");
        hub.close_session("a", Close::LoggedOut);
        assert_eq!(a.told_to_leave().await, Close::LoggedOut);
        hub.close_user_except(&"u1".into(), "b", Close::LoggedOut);
        hub.close_user(&"u1".into(), Close::Restart);
        assert_eq!(b.told_to_leave().await, Close::Restart);
        assert!(other.told.try_recv().is_err());
        hub.stop();
        assert_eq!(other.told_to_leave().await, Close::Restart);
        drop((a, b, other));
        hub.left().await;
    }
}
