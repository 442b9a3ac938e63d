//! Browsers without the browser: WebSockets in one thread that note when each frame came and how old it was.

use super::Age;
use crate::error::{Error, Result};
use flowtest_contract::utc_us;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// How long a viewer may take to its first frame.
const FIRST: Duration = Duration::from_secs(30);
/// We are one process on the machine that is measured; browsers are not.
const READ_BUFFER_BYTES: usize = 16 * 1024;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Those who watch. Each reads from its first frame on, so that none begins with what waited in the kernel while the
/// others came.
pub(super) struct Crowd {
    readers: Vec<JoinHandle<Watched>>,
    /// Until when they are counted, once they are.
    until: watch::Sender<Option<Instant>>,
    /// Readers whose time is over.
    kept: mpsc::UnboundedReceiver<Socket>,
    deaf: Socket,
}

/// What they saw.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) frames: u64,
    pub(super) skipped: u64,
    pub(super) lost: u64,
    pub(super) bytes: u64,
    ages_ms: Vec<u64>,
}

impl Watched {
    pub(super) fn age(&self) -> Option<Age> {
        let mut ages = self.ages_ms.clone();
        ages.sort_unstable();
        let at = |share: f64| ages.get((ages.len() as f64 * share) as usize).copied();
        Some(Age { p50: at(0.5)?, p99: at(0.99)?, max: *ages.last()? })
    }

    fn add(&mut self, other: Watched) {
        self.frames += other.frames;
        self.skipped += other.skipped;
        self.lost += other.lost;
        self.bytes += other.bytes;
        self.ages_ms.extend(other.ages_ms);
    }
}

impl Crowd {
    pub(super) async fn gather(port: u16, path: &str, viewers: u32) -> Result<Crowd> {
        let (until, begun) = watch::channel(None);
        let (keep, kept) = mpsc::unbounded_channel();
        let mut readers = Vec::new();
        for _ in 1..viewers {
            let mut socket = connect(port, path).await?;
            let (seq, _) = first_frame(&mut socket).await?;
            readers.push(tokio::spawn(watch_one(socket, seq, begun.clone(), keep.clone())));
        }
        Ok(Crowd { readers, until, kept, deaf: connect(port, path).await? })
    }

    /// Counts for a while. The sockets come back open, so that their memory can still be counted.
    pub(super) async fn watch(mut self, length: Duration) -> Result<(Watched, Vec<Socket>)> {
        self.until.send_replace(Some(Instant::now() + length));
        let mut watched = Watched::default();
        for task in self.readers {
            watched.add(task.await.map_err(|error| Error::Other(format!("a viewer broke: {error}")))?);
        }
        let mut open = vec![self.deaf];
        while let Some(reader) = self.kept.recv().await {
            open.push(reader);
        }
        Ok((watched, open))
    }
}

async fn connect(port: u16, path: &str) -> Result<Socket> {
    let address = format!("127.0.0.1:{port}");
    let wrong = |error: &dyn std::fmt::Display| Error::Other(format!("no feed at ws://{address}{path}: {error}"));
    let mut request = format!("ws://{address}{path}").into_client_request().map_err(|error| wrong(&error))?;
    let origin = format!("http://{address}").parse().map_err(|_| wrong(&"its address is no header"))?;
    request.headers_mut().insert("origin", origin);
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let (socket, _) = connect_async_with_config(request, Some(config), true).await.map_err(|error| wrong(&error))?;
    Ok(socket)
}

async fn first_frame(socket: &mut Socket) -> Result<(u64, u64)> {
    let first = timeout(FIRST, async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                return numbers(&text);
            }
        }
        None
    });
    first.await.ok().flatten().ok_or_else(|| Error::Other("a viewer got no first frame; look at the dashboard".into()))
}

async fn watch_one(
    mut socket: Socket,
    mut seq: u64,
    mut until: watch::Receiver<Option<Instant>>,
    keep: mpsc::UnboundedSender<Socket>,
) -> Watched {
    let mut watched = Watched::default();
    loop {
        let end = *until.borrow();
        let message = tokio::select! {
            biased;
            // What came before is counted for nobody.
            Ok(()) = until.changed(), if end.is_none() => {
                watched = Watched::default();
                continue;
            }
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {
                let _ = keep.send(socket);
                return watched;
            }
            message = socket.next() => message,
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                let now_ms = utc_us().ms();
                let Some((next, at_ms)) = numbers(&text) else { continue };
                watched.frames += 1;
                watched.bytes += text.len() as u64;
                watched.skipped += next.saturating_sub(seq + 1);
                watched.ages_ms.push(now_ms.saturating_sub(at_ms));
                seq = next;
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                watched.lost += 1;
                return watched;
            }
        }
    }
}

/// `seq` and `at` of a frame: they stand first, and parsing the rest 500 times a second would be our own work, not the
/// dashboard's.
fn numbers(text: &str) -> Option<(u64, u64)> {
    let number = |key: &str| {
        let rest = text.split_once(key)?.1;
        rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
    };
    Some((number("\"seq\":")?, number("\"at\":")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_tells_its_number_and_its_instant() {
        let text = r#"{"seq":17,"at":1763892000123,"kind":"delta"}"#;
        assert_eq!(numbers(text), Some((17, 1_763_892_000_123)));
        assert_eq!(numbers("{}"), None);
    }

    #[test]
    fn ages_are_told_by_their_quantiles() {
        let watched = Watched { ages_ms: (0..1_000).rev().collect(), ..Watched::default() };
        let age = watched.age().expect("there are some");
        assert_eq!((age.p50, age.p99, age.max), (500, 990, 999));
        assert!(Watched::default().age().is_none());
    }
}
