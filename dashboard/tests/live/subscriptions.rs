//! Subscriptions over real sockets: who gets one, who is sent away and how, and that a viewer who does not read costs nobody.

use crate::round::{DID, World, key};
use crate::stage::{Guest, House};
use crate::viewer::picture;
use flowtest_dashboard::live::frame::{Class, FrameBuilder, Frames, Link};
use flowtest_dashboard::live::{Close, Hub, HubConfig};
use flowtest_testkit::WAIT_MAX;
use flowtest_testkit::wait::wait_until_or_async;
use futures_util::SinkExt;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::{Error, Message};

/// A contest that plays a second whenever it is told.
struct Show {
    world: World,
    builder: FrameBuilder,
    hub: Hub,
}

impl Show {
    fn new(contestants: usize, config: HubConfig) -> Show {
        Show { world: World::new(contestants), builder: FrameBuilder::default(), hub: Hub::new(config) }
    }

    fn second(&mut self) -> Arc<Frames> {
        let did = vec![DID; self.world.facts.contestants.len()];
        self.world.second(&did);
        let frames = self.builder.build(&self.world.board, Link::Live, self.world.now);
        self.hub.publish(Arc::clone(&frames));
        frames
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_gets_a_snapshot_and_then_deltas() {
    let mut show = Show::new(3, HubConfig::default());
    let house = House::open(show.hub.clone()).await;
    // One that comes before the first frame, and one that comes late.
    let mut early = house.visit("").await.expect("a subscription");
    let mut admin = None;
    for second in 1..=5 {
        let frames = show.second();
        let page = early.frame().await;
        assert_eq!((page.seq, page.picture.len()), (Some(second), 3));
        assert_eq!(page.picture, picture(frames.text(Class::Public, None).expect("a snapshot")));
        if second == 3 {
            let mut guest = house.visit("as=admin").await.expect("a subscription");
            assert_eq!(guest.frame().await.seq, Some(3));
            admin = Some(guest);
        }
    }
    assert_eq!((early.page.snapshots, early.page.deltas), (1, 4));
    let mut admin = admin.expect("it came");
    admin.until("the last frame", |page| page.seq == Some(5)).await;
    assert_eq!(admin.page.picture, early.page.picture);
    assert_eq!(house.hub.viewers(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_hold_and_somebody_else_may_watch_when_a_viewer_has_gone() {
    let mut show = Show::new(1, HubConfig { viewers_max: 4, of_one_user_max: 2, ..HubConfig::default() });
    let house = House::open(show.hub.clone()).await;
    show.second();
    let mut guests = Vec::new();
    for query in ["user=u1", "user=u1", "user=u2"] {
        let mut guest = house.visit(query).await.expect("a subscription");
        guest.frame().await;
        guests.push(guest);
    }
    let mut third = house.visit("user=u1").await.expect("a socket, to be told so");
    assert_eq!(third.end().await, Close::Full.code());
    let _screen = house.visit("").await.expect("a subscription");
    assert_eq!(status(house.visit("").await), Some(503), "the house is full");
    guests.remove(0).socket.close(None).await.expect("it says goodbye");
    let again = wait_until_it_may(&house, "user=u1").await;
    drop(again);
}

async fn wait_until_it_may(house: &House, query: &str) -> Guest {
    wait_until_or_async("a place for somebody else", async || {
        let mut guest = house.visit(query).await.map_err(|error| error.to_string())?;
        guest.text().await.map(|_| guest).map_err(|code| format!("the end with {code}"))
    })
    .await
}

fn status(visit: Result<Guest, Error>) -> Option<u16> {
    match visit {
        Err(Error::Http(response)) => Some(response.status().as_u16()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_get_no_socket() {
    let house = House::open(Hub::new(HubConfig::default())).await;
    let own = format!("http://{}", house.address);
    // (where the page is from, whether it may)
    let cases = [
        (Some(own.as_str()), true),
        // behind a proxy that speaks TLS
        (Some("https://contest.example"), true),
        (Some("http://contest.example"), false),
        (Some("https://evil.example"), false),
        (Some("http://127.0.0.1:1"), false),
        (Some("https://contest.example.evil.example"), false),
        (Some("null"), false),
        (Some(""), false),
        (None, false),
    ];
    for (origin, may) in cases {
        let visit = house.visit_from("", origin).await;
        let expected = if may { None } else { Some(403) };
        assert_eq!((visit.is_ok(), status(visit)), (may, expected), "{origin:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_closes_its_own_sockets_and_no_others() {
    let mut show = Show::new(1, HubConfig::default());
    let house = House::open(show.hub.clone()).await;
    show.second();
    let mut phone = house.visit("user=u1&session=phone").await.expect("a subscription");
    let mut laptop = house.visit("user=u1&session=laptop").await.expect("a subscription");
    let mut rival = house.visit("user=u2&session=other").await.expect("a subscription");
    for guest in [&mut phone, &mut laptop, &mut rival] {
        guest.frame().await;
    }
    show.hub.close_session("phone", Close::LoggedOut);
    assert_eq!(phone.end().await, 4401);
    show.second();
    assert_eq!(laptop.frame().await.seq, Some(2));
    show.hub.close_user(&key(1), Close::Restart);
    assert_eq!(laptop.end().await, 1012);
    assert_eq!(rival.frame().await.seq, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_dashboard_says_so_to_everybody_and_waits_until_they_have_gone() {
    let mut show = Show::new(1, HubConfig::default());
    let house = House::open(show.hub.clone()).await;
    show.second();
    let mut guests = Vec::new();
    for query in ["user=u1", "of=tokens", ""] {
        guests.push(house.visit(query).await.expect("a subscription"));
    }
    show.hub.stop();
    for guest in &mut guests {
        assert_eq!(guest.end().await, 1012);
    }
    drop(guests);
    tokio::time::timeout(WAIT_MAX, show.hub.left()).await.expect("nobody is left");
    assert_eq!(status(house.visit("").await), Some(503));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_talks_is_sent_away() {
    let house = House::open(Hub::new(HubConfig::default())).await;
    let mut chatty = house.visit("").await.expect("a subscription");
    for _ in 0..10 {
        chatty.socket.send(Message::text("{}")).await.expect("it may");
    }
    chatty.socket.send(Message::text("{}")).await.expect("the one too many arrives");
    assert_eq!(chatty.end().await, Close::Misuse.code());
    let mut long = house.visit("").await.expect("a subscription");
    long.socket.send(Message::text("x".repeat(5_000))).await.expect("it is sent");
    long.end().await;
    tokio::time::timeout(WAIT_MAX, house.hub.left()).await.expect("both have gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_feed_sends_the_whole_text_whenever_it_changes() {
    let house = House::open(Hub::new(HubConfig::default())).await;
    house.hub.publish_tokens("one".to_owned());
    let mut admin = house.visit("of=tokens").await.expect("a subscription");
    assert_eq!(admin.text().await.as_deref(), Ok("one"));
    house.hub.publish_tokens("one".to_owned());
    house.hub.publish_tokens("two".to_owned());
    assert_eq!(admin.text().await.as_deref(), Ok("two"));
}

/// A few frames fill every buffer between us and a viewer that does not read: 200 contestants make deltas of 18 KB.
const MANY: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_viewer_skips_to_the_newest_frame() {
    // It is given all the time that a busy machine takes for the others' frames.
    let mut show = Show::new(MANY, HubConfig { send_within: WAIT_MAX, ..HubConfig::default() });
    let house = House::open(show.hub.clone()).await;
    show.second();
    let mut steady = house.visit("").await.expect("a subscription");
    let mut slow = house.visit_without_room().await;
    steady.frame().await;
    slow.frame().await;
    // The slow one looks away while the steady one sees every frame.
    let frames = 40;
    for second in 2..=frames {
        show.second();
        assert_eq!(steady.frame().await.seq, Some(second));
    }
    assert_eq!((steady.page.snapshots, steady.page.deltas as u64), (1, frames - 1));
    slow.until("the newest frame", |page| page.seq == Some(frames)).await;
    let taken = slow.page.snapshots + slow.page.deltas;
    assert!(taken < frames as usize && slow.page.snapshots >= 2, "{taken} frames, {} snapshots", slow.page.snapshots);
    assert_eq!(slow.page.picture, steady.page.picture);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_never_reads_is_given_up_and_costs_nobody_anything() {
    let mut show = Show::new(MANY, HubConfig { send_within: Duration::from_secs(2), ..HubConfig::default() });
    let house = House::open(show.hub.clone()).await;
    show.second();
    let mut steady = house.visit("").await.expect("a subscription");
    let deaf = house.visit_without_room().await;
    let mut frames = 0;
    let is_given_up = async {
        while house.hub.viewers() > 1 {
            steady.frame().await;
            show.second();
            frames += 1;
        }
    };
    tokio::time::timeout(WAIT_MAX, is_given_up).await.expect("the deaf one is given up");
    steady.frame().await;
    assert_eq!((steady.page.snapshots, steady.page.deltas), (1, frames), "the steady one saw every frame");
    drop(deaf);
}
