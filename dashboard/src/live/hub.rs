//! Seats: who watches, how many may, and whom to send away. It holds the newest frame and nothing else: there is no
//! queue, so a viewer that reads slowly, or never, costs its seat and no more.

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

/// One link for screens takes no more than one seat in so many: a link that got around keeps nobody out.
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

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSeat {
    #[error("{0} watch already, and there is no room for more: try again later, or raise the limit of viewers")]
    House(usize),
    #[error("this account or link watches from {0} places already: close one of them")]
    User(usize),
    #[error("the dashboard is stopping: come back in a moment")]
    Stopping,
}

/// Who takes a seat.
#[derive(Clone, Debug, Default)]
pub struct Viewer {
    /// The account, contestant or admin. A screen has none, and is counted by its session.
    pub user: Option<UserKey>,
    /// What [`Hub::close_session`] will be called with: the session's id, or the screen's. Never a secret.
    pub session: Option<String>,
}

/// The seats and the newest frames. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: HubConfig,
    frames: watch::Sender<Arc<Frames>>,
    tokens: watch::Sender<Option<Utf8Bytes>>,
    seats: Mutex<Seats>,
    /// Seats taken, for those who wait until all have left.
    taken: watch::Sender<usize>,
    stopping: CancellationToken,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Taken>,
    of_user: HashMap<UserKey, usize>,
}

#[derive(Debug)]
struct Taken {
    viewer: Viewer,
    /// Used once; a seat that was told to leave is still taken until it has.
    away: Option<oneshot::Sender<Close>>,
}

impl Hub {
    pub fn new(config: HubConfig) -> Hub {
        let shared = Shared {
            config,
            frames: watch::Sender::new(Arc::new(Frames::none())),
            tokens: watch::Sender::new(None),
            seats: Mutex::default(),
            taken: watch::Sender::new(0),
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

    /// Takes a seat, which is free again when the value is dropped.
    pub fn sit(&self, viewer: Viewer) -> Result<Seat, NoSeat> {
        let config = self.shared.config;
        let mut seats = self.seats();
        if self.shared.stopping.is_cancelled() {
            return Err(NoSeat::Stopping);
        }
        if seats.taken.len() >= config.viewers_max {
            return Err(NoSeat::House(seats.taken.len()));
        }
        if let Some(user) = &viewer.user {
            let own = seats.of_user.entry(user.clone()).or_insert(0);
            if *own >= config.of_one_user_max {
                return Err(NoSeat::User(*own));
            }
            *own += 1;
        } else if let Some(link) = &viewer.session {
            let its = seats.taken.values().filter(|taken| taken.viewer.session.as_ref() == Some(link)).count();
            if its >= config.viewers_max.div_ceil(SHARE_OF_A_LINK) {
                return Err(NoSeat::User(its));
            }
        }
        let (away, told) = oneshot::channel();
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Taken { viewer, away: Some(away) });
        self.shared.taken.send_replace(seats.taken.len());
        Ok(Seat { hub: self.clone(), number, told })
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
        for taken in self.seats().taken.values_mut().filter(|taken| chosen(&taken.viewer)) {
            if let Some(away) = taken.away.take() {
                // Fails only when the viewer is leaving by itself.
                let _ = away.send(close);
            }
        }
    }

    /// How many watch now.
    pub fn viewers(&self) -> usize {
        *self.shared.taken.borrow()
    }

    /// Sends everybody away and lets nobody in any more.
    pub fn stop(&self) {
        // Under the lock, so that nobody sits down in between.
        let seats = self.seats();
        self.shared.stopping.cancel();
        drop(seats);
    }

    /// Waits until nobody is left.
    pub async fn left(&self) {
        // The sender lives as long as we do.
        let _ = self.shared.taken.subscribe().wait_for(|taken| *taken == 0).await;
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.shared.seats.lock()
    }
}

/// A receiver whose first look finds what there is already.
fn from_now_on<T>(sender: &watch::Sender<T>) -> watch::Receiver<T> {
    let mut receiver = sender.subscribe();
    receiver.mark_changed();
    receiver
}

/// A taken seat.
#[derive(Debug)]
pub struct Seat {
    hub: Hub,
    number: u64,
    told: oneshot::Receiver<Close>,
}

impl Seat {
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

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.hub.seats();
        let Some(taken) = seats.taken.remove(&self.number) else { return };
        if let Some(user) = &taken.viewer.user
            && let Some(own) = seats.of_user.get_mut(user)
        {
            *own -= 1;
            if *own == 0 {
                seats.of_user.remove(user);
            }
        }
        self.hub.shared.taken.send_replace(seats.taken.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(user: &str, session: &str) -> Viewer {
        Viewer { user: Some(user.into()), session: Some(session.to_owned()) }
    }

    #[test]
    fn seats_are_limited_and_free_again() {
        let hub = Hub::new(HubConfig { viewers_max: 3, of_one_user_max: 2, ..HubConfig::default() });
        let first = hub.sit(viewer("u1", "a")).expect("a seat");
        let _second = hub.sit(viewer("u1", "b")).expect("a seat");
        assert_eq!(hub.sit(viewer("u1", "c")).expect_err("its third"), NoSeat::User(2));
        let _screen = hub.sit(Viewer::default()).expect("a seat");
        assert_eq!(hub.sit(Viewer::default()).expect_err("full"), NoSeat::House(3));
        assert_eq!(hub.viewers(), 3);
        drop(first);
        assert_eq!(hub.viewers(), 2);
        hub.sit(viewer("u1", "c")).expect("it is free again");
        hub.stop();
        assert_eq!(hub.sit(Viewer::default()).expect_err("it stops"), NoSeat::Stopping);
    }

    #[test]
    fn one_link_takes_no_more_than_half_of_the_seats() {
        let hub = Hub::new(HubConfig { viewers_max: 4, ..HubConfig::default() });
        let screen = |link: &str| Viewer { user: None, session: Some(link.to_owned()) };
        let first = hub.sit(screen("screen:1")).expect("a seat");
        let _second = hub.sit(screen("screen:1")).expect("a seat");
        assert_eq!(hub.sit(screen("screen:1")).expect_err("its third"), NoSeat::User(2));
        let _other = hub.sit(screen("screen:2")).expect("another link");
        drop(first);
        hub.sit(screen("screen:1")).expect("it is free again");
    }

    #[tokio::test]
    async fn only_those_meant_are_sent_away() {
        let hub = Hub::new(HubConfig::default());
        let mut a = hub.sit(viewer("u1", "a")).expect("a seat");
        let mut b = hub.sit(viewer("u1", "b")).expect("a seat");
        let mut other = hub.sit(viewer("u2", "c")).expect("a seat");
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
