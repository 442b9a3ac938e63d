//! Redis stops, dies and comes back: the standings stay, say that they are stale, and go on by themselves.

use crate::round::{CONTEST, DID};
use crate::stage::{Guest, House, Stage};
use crate::viewer::Page;
use flowtest_dashboard::live::Audience;
use flowtest_dashboard::live::feed::FeedError;
use flowtest_dashboard::live::frame::Link;
use flowtest_testkit::WAIT_MAX;
use std::time::Duration;

const POINTS: i64 = 5 * 200;
/// Everybody knows so soon, in milliseconds.
const STALE_MS_MAX: u64 = 3_000;

async fn see_points(guest: &mut Guest, points: i64) {
    guest.until("the points", |page| page.points("u0") == Some(points) && page.link() == "live").await;
}

fn stale_ms(page: &Page) -> u64 {
    page.head["at"].as_u64().expect("an instant") - page.head["stale_since"].as_u64().expect("an instant")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stands_still_or_dies_is_told_within_three_seconds_and_forgotten_when_it_is_back() {
    let mut stage = Stage::new(3);
    let feed = stage.feed(Vec::new());
    let house = House::open(feed.hub().clone()).await;
    let mut guest = house.visit("").await.expect("a subscription");
    stage.play(DID);
    see_points(&mut guest, POINTS).await;

    stage.redis.pause();
    let page = guest.until("a stale frame", |page| page.link() == "stale").await;
    assert!(stale_ms(page) <= STALE_MS_MAX, "{} ms", stale_ms(page));
    assert_eq!(page.points("u0"), Some(POINTS), "the last standings are still there");
    assert_eq!(feed.errors("c0").await, Err(FeedError::Late), "nobody waits for it");
    // Frames go on: their clock does, and so do those who come now.
    let before = page_seq(&guest);
    guest.until("more frames", |page| page.seq > before.map(|seq| seq + 2)).await;
    let mut late = house.visit("").await.expect("a subscription");
    assert_eq!(late.frame().await.points("u0"), Some(POINTS));
    stage.play(DID);
    stage.redis.resume();
    see_points(&mut guest, 2 * POINTS).await;

    stage.redis.kill();
    let page = guest.until("a stale frame", |page| page.link() == "stale").await;
    assert!(stale_ms(page) <= STALE_MS_MAX, "{} ms", stale_ms(page));
    assert!(feed.seen().error.as_ref().is_some_and(|error| !error.is_empty()), "{:?}", feed.seen());
    stage.play(DID);
    stage.redis.restart();
    see_points(&mut guest, 3 * POINTS).await;
    assert_eq!((feed.seen().link, feed.seen().error.clone()), (Link::Live, None));
    feed.stop(Duration::from_secs(10)).await;
}

fn page_seq(guest: &Guest) -> Option<u64> {
    guest.page.seq
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_starts_without_redis_and_shows_what_it_was_told() {
    let mut stage = Stage::new(2);
    stage.redis.kill();
    let feed = stage.feed(Vec::new());
    let house = House::open(feed.hub().clone()).await;
    let mut guest = house.visit("").await.expect("a subscription");
    assert_eq!(guest.frame().await.link(), "stale");
    feed.amend(|facts| facts.ended = true);
    guest.until("the end", |page| page.head["ended"] == true).await;
    stage.redis.restart();
    stage.play(DID);
    see_points(&mut guest, POINTS).await;
    assert_eq!(feed.standings(&Audience::Public).lines.len(), 2);
    assert_eq!(feed.errors("c0").await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_and_takes_no_writes_is_stale_too() {
    let stage = Stage::new(2);
    let feed = stage.feed(Vec::new());
    let house = House::open(feed.hub().clone()).await;
    let mut guest = house.visit("").await.expect("a subscription");
    stage.play(DID);
    see_points(&mut guest, POINTS).await;
    feed.amend(|facts| facts.unwritten = Some("Redis takes no writes: its memory is full".to_owned()));
    let page = guest.until("a stale frame", |page| page.link() == "stale").await;
    assert_eq!(page.points("u0"), Some(POINTS), "the last standings are still there");
    assert!(feed.seen().error.as_ref().is_some_and(|error| error.contains("memory is full")), "{:?}", feed.seen());
    feed.amend(|facts| facts.unwritten = None);
    stage.play(DID);
    see_points(&mut guest, 2 * POINTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_loses_after_the_end_is_not_promised_to_come_back_by_itself() {
    let stage = Stage::new(2);
    let feed = stage.feed(Vec::new());
    let house = House::open(feed.hub().clone()).await;
    let mut guest = house.visit("").await.expect("a subscription");
    stage.play(DID);
    see_points(&mut guest, POINTS).await;
    let key = flowtest_scoreboard::keys::round(CONTEST, &stage.round);
    stage.stop_publishing();
    // What it has begun to put is put.
    tokio::time::sleep(Duration::from_millis(300)).await;
    // (whether its generators have ended, a word of the sentence)
    for (has_ended, part) in [(false, "generators put it back"), (true, "flowtest-loadgen rebuild")] {
        let mut control = stage.redis.scoreboard().read_control(CONTEST).expect("Redis answers").expect("a document");
        if has_ended {
            (control.state, control.revision) = (flowtest_contest::State::Sealed, control.revision + 1);
            stage.redis.scoreboard().write_control(&control).expect("written");
            let mut seen = feed.watch();
            let is_sealed = |seen: &std::sync::Arc<flowtest_dashboard::live::Seen>| {
                seen.control.as_ref().is_some_and(|control| control.state == flowtest_contest::State::Sealed)
            };
            seen.wait_for(is_sealed).await.expect("the feed runs");
        }
        stage.hide_round(&key);
        let mut seen = feed.watch();
        let told = |seen: &std::sync::Arc<flowtest_dashboard::live::Seen>| {
            seen.error.as_ref().is_some_and(|error| error.contains(part))
        };
        assert!(tokio::time::timeout(WAIT_MAX, seen.wait_for(told)).await.is_ok(), "{part}: {:?}", feed.seen().error);
        stage.show_round(&key);
        seen.wait_for(|seen| seen.link == Link::Live).await.expect("it is back");
    }
}
