//! One WebSocket: sends the newest frame, asks now and then whether the session still holds, and goes when it must. It
//! owns a subscription and the connection, and never a queue: what a viewer did not take in time it never gets.

use super::Audience;
use super::frame::{Class, Frames};
use super::hub::{Close, Hub, SubscribeError, Subscription, Viewer};
use futures_util::future::BoxFuture;
use salvo::http::header::{HOST, RETRY_AFTER};
use salvo::http::{HeaderValue, StatusError};
use salvo::websocket::{Message, WebSocket, WebSocketUpgrade};
use salvo::{Request, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use url::Url;

/// How often a viewer is asked for a sign of life, and how long it may give none.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How often the session is looked at.
const RECHECK_INTERVAL: Duration = Duration::from_secs(30);
/// How long a viewer has to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages of a viewer in a minute: three pongs, and some of what no page sends.
const INBOUND_MAX: u32 = 10;
const INBOUND_SPAN: Duration = Duration::from_secs(60);

/// The library's default of 128 KiB would be 64 MB for 500 viewers, who send a few bytes a minute.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Longest message of a viewer.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Longest frame for a viewer: a snapshot of 50,000 contestants.
const FRAME_BYTES_MAX: usize = 8 << 20;

const _: () = assert!(SILENCE_MAX.as_secs() > 2 * PING_INTERVAL.as_secs());

/// Says whether the session of a viewer is still good.
pub type Recheck = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// What a viewer watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The standings, as this audience sees them.
    Standings(Audience),
    /// The invitations; of admins alone, which the caller has made sure of.
    Tokens,
}

/// One who wants to watch. All of it was decided by the login before.
pub struct Visit {
    pub viewer: Viewer,
    pub channel: Channel,
    /// The dashboard's address as configured, when it is: pages from there may watch too.
    pub public_url: Option<Url>,
    pub recheck: Recheck,
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").field("viewer", &self.viewer).field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// Turns a request into a WebSocket that is fed until it ends, or says why not: 403 for a page of another site, 503 when
/// too many watch. One account's socket too many is opened and closed with 1013, which pages understand.
pub async fn open(hub: &Hub, visit: Visit, req: &mut Request, res: &mut Response) -> Result<(), StatusError> {
    let Visit { viewer, channel, public_url, recheck } = visit;
    let host = req.headers().get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let upgrade = WebSocketUpgrade::with_config(buffers())
        .check_origin(move |origin| is_own_origin(origin, host.as_deref(), public_url.as_ref()));
    match hub.subscribe(viewer) {
        Ok(subscription) => {
            upgrade.upgrade(req, res, move |socket| watch_channel(socket, subscription, channel, recheck)).await
        }
        Err(SubscribeError::Viewer(_)) => upgrade.upgrade(req, res, |socket| goodbye(socket, Close::Full)).await,
        Err(full @ (SubscribeError::Full(_) | SubscribeError::Stopping)) => {
            res.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            Err(StatusError::service_unavailable().brief(full.to_string()))
        }
    }
}

fn buffers() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        // Each frame goes to the kernel at once.
        .write_buffer_size(0)
        .max_write_buffer_size(FRAME_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// Whether a page that the browser loaded from `origin` is one of ours. Browsers always say where a page is from, and do
/// not keep pages of other sites from opening sockets with our cookies.
pub fn is_own_origin(origin: Option<&str>, host: Option<&str>, public_url: Option<&Url>) -> bool {
    let Some(origin) = origin else { return false };
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let same_host = || authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host));
    let configured = || public_url.is_some_and(|url| url.origin().ascii_serialization().eq_ignore_ascii_case(origin));
    same_host() || configured()
}

async fn watch_channel(socket: WebSocket, subscription: Subscription, channel: Channel, recheck: Recheck) {
    match channel {
        Channel::Standings(audience) => {
            let feed = StandingsFeed { frames: subscription.hub().frames(), class: Class::of(&audience), seen: None };
            attend(socket, subscription, feed, recheck).await;
        }
        Channel::Tokens => {
            let feed = TokensFeed { texts: subscription.hub().tokens() };
            attend(socket, subscription, feed, recheck).await;
        }
    }
}

/// Where texts for a viewer come from.
trait Source {
    /// Waits for something new, which may be nothing for this viewer. `None` when there will never be any more. Must lose
    /// nothing when it is dropped while it waits.
    fn next(&mut self) -> impl Future<Output = Option<Option<Utf8Bytes>>> + Send;
}

struct StandingsFeed {
    frames: watch::Receiver<Arc<Frames>>,
    class: Class,
    /// The last frame that was sent.
    seen: Option<u64>,
}

impl Source for StandingsFeed {
    async fn next(&mut self) -> Option<Option<Utf8Bytes>> {
        self.frames.changed().await.ok()?;
        let frames = Arc::clone(&self.frames.borrow_and_update());
        let text = frames.text(self.class, self.seen).cloned();
        // Before the first frame there is none that a delta could change.
        self.seen = Some(frames.seq).filter(|seq| *seq > 0);
        Some(text)
    }
}

struct TokensFeed {
    texts: watch::Receiver<Option<Utf8Bytes>>,
}

impl Source for TokensFeed {
    async fn next(&mut self) -> Option<Option<Utf8Bytes>> {
        self.texts.changed().await.ok()?;
        Some(self.texts.borrow_and_update().clone())
    }
}

/// How a socket ends.
enum End {
    /// With a word.
    Close(Close),
    /// It is gone, or as good as.
    Gone,
}

async fn attend(mut socket: WebSocket, mut subscription: Subscription, mut source: impl Source, recheck: Recheck) {
    let started = Instant::now();
    let within = subscription.hub().send_within();
    let mut ping = interval_at(started + PING_INTERVAL, PING_INTERVAL);
    let mut look = interval_at(started + RECHECK_INTERVAL, RECHECK_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut inbound = Inbound::new(started);
    let end = loop {
        tokio::select! {
            close = subscription.told_to_leave() => break End::Close(close),
            received = socket.recv() => {
                if let Some(end) = inbound.take(received.as_ref(), Instant::now()) {
                    break end;
                }
            }
            text = source.next() => match text {
                None => break End::Close(Close::Restart),
                Some(None) => {}
                Some(Some(text)) => if !send(&mut socket, Message::text(text), within).await { break End::Gone },
            },
            _ = ping.tick() => {
                if inbound.is_silent(Instant::now()) || !send(&mut socket, Message::ping(""), within).await {
                    break End::Gone;
                }
            }
            _ = look.tick() => if !recheck().await { break End::Close(Close::LoggedOut) },
        }
    };
    match end {
        End::Close(close) => goodbye(socket, close).await,
        End::Gone => {}
    }
    // Here somebody else may watch instead.
    drop(subscription);
}

/// What came from a viewer, counted.
struct Inbound {
    heard: Instant,
    span: Instant,
    count: u32,
}

impl Inbound {
    fn new(now: Instant) -> Inbound {
        Inbound { heard: now, span: now, count: 0 }
    }

    fn take(&mut self, received: Option<&Result<Message, salvo::Error>>, now: Instant) -> Option<End> {
        match received {
            None | Some(Err(_)) => return Some(End::Gone),
            // The library has answered it already.
            Some(Ok(message)) if message.is_close() => return Some(End::Gone),
            Some(Ok(_)) => self.heard = now,
        }
        if now.duration_since(self.span) >= INBOUND_SPAN {
            (self.span, self.count) = (now, 0);
        }
        self.count += 1;
        (self.count > INBOUND_MAX).then_some(End::Close(Close::Misuse))
    }

    fn is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.heard) > SILENCE_MAX
    }
}

/// Whether it was sent in time.
async fn send(socket: &mut WebSocket, message: Message, within: Duration) -> bool {
    matches!(timeout(within, socket.send(message)).await, Ok(Ok(())))
}

/// Says why, and waits a little for the answer, so that the reason arrives before the connection ends.
async fn goodbye(mut socket: WebSocket, close: Close) {
    let farewell = async {
        if socket.send(Message::close_with(close.code(), close.reason())).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = timeout(CLOSE_TIMEOUT, farewell).await;
}
