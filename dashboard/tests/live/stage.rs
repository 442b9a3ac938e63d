//! A web server with the live feed on a port of its own, viewers that connect to it, and, where a test wants it, a Redis
//! with a round in it and a whole feed that reads it.

use crate::round::{CONTEST, Did, add, contestant, name, running};
use crate::viewer::Page;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, Row, StreamId, utc_us};
use flowtest_dashboard::live::clock::ContestClock;
use flowtest_dashboard::live::feed::{Archived, Feed, FeedConfig};
use flowtest_dashboard::live::hub::Viewer;
use flowtest_dashboard::live::socket::{Channel, Visit, open};
use flowtest_dashboard::live::{Audience, Facts, Hub, HubConfig};
use flowtest_scoreboard::{Publisher, PublisherConfig, RedisAddress, Scoreboard};
use flowtest_testkit::RedisServer;
use flowtest_testkit::WAIT_MAX;
use futures_util::StreamExt;
use salvo::conn::Acceptor;
use salvo::prelude::*;
use socket2::SockRef;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request as WebSocketRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// What a login would have found out, from the query.
struct LiveRoute {
    hub: Hub,
    valid: Arc<AtomicBool>,
}

#[async_trait]
impl Handler for LiveRoute {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let audience = match req.query::<String>("as").as_deref() {
            Some("admin") => Audience::Admin,
            _ => Audience::Public,
        };
        let tokens = req.query::<String>("of").is_some();
        let channel = if tokens { Channel::Tokens } else { Channel::Standings(audience) };
        let user = req.query::<String>("user").map(|user| user.as_str().into());
        let viewer = Viewer { user, session: req.query("session") };
        let valid = Arc::clone(&self.valid);
        let recheck = Box::new(move || {
            let valid = valid.load(Ordering::Relaxed);
            Box::pin(async move { valid }) as futures_util::future::BoxFuture<'static, bool>
        });
        let public_url = "https://contest.example".parse().ok();
        let visit = Visit { viewer, channel, public_url, recheck };
        if let Err(error) = open(&self.hub, visit, req, res).await {
            res.render(error);
        }
    }
}

/// The web server.
pub(crate) struct House {
    pub(crate) address: String,
    pub(crate) hub: Hub,
    server: tokio::task::JoinHandle<()>,
}

impl House {
    pub(crate) async fn open(hub: Hub) -> House {
        let acceptor = salvo::conn::TcpListener::new("127.0.0.1:0").bind().await;
        let address = acceptor.holdings()[0].local_addr.to_string();
        let address = address.rsplit("//").next().expect("an address").to_owned();
        let route = LiveRoute { hub: hub.clone(), valid: Arc::new(AtomicBool::new(true)) };
        let router = Router::with_path("live").get(route);
        let server = tokio::spawn(Server::new(acceptor).serve(router));
        House { address, hub, server }
    }

    /// Connects from a page of ours.
    pub(crate) async fn visit(&self, query: &str) -> Result<Guest, Error> {
        self.visit_from(query, Some(&format!("http://{}", self.address))).await
    }

    pub(crate) async fn visit_from(&self, query: &str, origin: Option<&str>) -> Result<Guest, Error> {
        let (socket, _) = tokio_tungstenite::connect_async(self.request(query, origin)).await?;
        Ok(Guest { socket, page: Page::default() })
    }

    /// Connects from a page of ours whose machine has no room for what it has not read. Its segments are small, by which the
    /// kernel at the server's end keeps little for it as well, and not the megabytes of a usual connection over loopback.
    pub(crate) async fn visit_without_room(&self) -> Guest {
        let socket = TcpSocket::new_v4().expect("a socket");
        SockRef::from(&socket).set_tcp_mss(1_400).expect("smaller segments");
        socket.set_recv_buffer_size(4_096).expect("a small buffer");
        let stream = socket.connect(self.address.parse().expect("an address")).await.expect("a connection");
        let request = self.request("", Some(&format!("http://{}", self.address)));
        let stream = MaybeTlsStream::Plain(stream);
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("a subscription");
        Guest { socket, page: Page::default() }
    }

    fn request(&self, query: &str, origin: Option<&str>) -> WebSocketRequest {
        let mut request = format!("ws://{}/live?{query}", self.address).into_client_request().expect("a request");
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().expect("a header"));
        }
        request
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A viewer with its page.
pub(crate) struct Guest {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) page: Page,
}

impl Guest {
    /// The next text, or the close code with which it was sent away.
    pub(crate) async fn text(&mut self) -> Result<String, u16> {
        loop {
            let message = tokio::time::timeout(WAIT_MAX, self.socket.next()).await.expect("something comes");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Takes the next frame into the page.
    pub(crate) async fn frame(&mut self) -> &Page {
        let text = self.text().await.unwrap_or_else(|code| panic!("a frame, not the end with {code}"));
        self.page.take(&text);
        &self.page
    }

    /// Takes frames until the page shows something.
    pub(crate) async fn until(&mut self, what: &str, found: impl Fn(&Page) -> bool) -> &Page {
        let shows = async { while !found(self.frame().await) {} };
        let is_shown = tokio::time::timeout(WAIT_MAX, shows).await.is_ok();
        assert!(is_shown, "{what} did not come: {:?}", self.page);
        &self.page
    }

    /// Waits for the end.
    pub(crate) async fn end(&mut self) -> u16 {
        loop {
            if let Err(code) = self.text().await {
                return code;
            }
        }
    }
}

/// A Redis with a running round, whose rows a test changes.
pub(crate) struct Stage {
    pub(crate) redis: RedisServer,
    pub(crate) round: RoundId,
    publisher: Mutex<Option<Publisher>>,
    rows: Mutex<(u64, Vec<Row>)>,
    pub(crate) kept: Arc<Mutex<Vec<Archived>>>,
}

impl Stage {
    pub(crate) fn new(contestants: usize) -> Stage {
        let redis = RedisServer::start();
        let round = RoundId::from_bits(random_bits());
        let mut scoreboard = Scoreboard::connect(&redis.url()).expect("Redis answers");
        let start = utc_us() - 1_000_000;
        scoreboard.write_control(&running(contestants, round, true, start)).expect("Redis answers");
        scoreboard.open_round(CONTEST, &round).expect("Redis answers");
        let publisher = Publisher::start(PublisherConfig {
            address: RedisAddress::new(&redis.url()).expect("an address"),
            contest: CONTEST.to_owned(),
            round,
            stream: StreamId::from_bits(random_bits()),
            contestants: (0..contestants).map(name).collect(),
        });
        let rows = Mutex::new((0, vec![Row::default(); contestants]));
        let publisher = Mutex::new(Some(publisher.expect("a publisher")));
        Stage { redis, round, publisher, rows, kept: Arc::default() }
    }

    /// Publishes that everybody did this.
    pub(crate) fn play(&self, did: Did) {
        let mut rows = self.rows.lock().expect("no test panics with it");
        rows.0 += 1;
        rows.1.iter_mut().for_each(|row| add(row, did));
        let publisher = self.publisher.lock().expect("no test panics with it");
        publisher.as_ref().expect("it publishes").publish(rows.0, rows.1.clone().into());
    }

    /// As when its generators have ended.
    pub(crate) fn stop_publishing(&self) {
        drop(self.publisher.lock().expect("no test panics with it").take());
    }

    /// Redis loses the round, until [`Stage::show_round`]. A publisher that runs puts it back.
    pub(crate) fn hide_round(&self, key: &str) {
        self.redis.command(&["RENAME", key, "hidden"]);
    }

    pub(crate) fn show_round(&self, key: &str) {
        self.redis.command(&["RENAME", "hidden", key]);
    }

    pub(crate) fn feed(&self, past: Vec<(UtcUs, Vec<u8>)>) -> Feed {
        let contestants = self.rows.lock().expect("no test panics with it").1.len();
        let facts = Facts { contestants: (0..contestants).map(contestant).collect(), ..Facts::default() };
        let address = RedisAddress::new(&self.redis.url()).expect("an address");
        let (clock, hub) = (ContestClock::default(), HubConfig::default());
        let config = FeedConfig { address, contest: CONTEST.to_owned(), hub, clock, past };
        let kept = Arc::clone(&self.kept);
        Feed::start(config, facts, move |rows| kept.lock().expect("no test panics with it").extend(rows))
            .expect("a feed")
    }
}

pub(crate) fn random_bits() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("random bits");
    u128::from_be_bytes(bytes)
}
