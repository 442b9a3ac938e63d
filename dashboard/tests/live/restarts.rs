//! A dashboard that is restarted goes on where it was: viewers are told to come back, and curves have no hole but the
//! restart's own.

use crate::round::{DID, IDLE, SECOND, World};
use crate::stage::{House, Stage};
use flowtest_contract::rules::UtcUs;
use flowtest_dashboard::live::board::Board;
use flowtest_dashboard::live::frame::Link;
use flowtest_dashboard::live::history;
use flowtest_dashboard::live::{Audience, Freeze};
use flowtest_testkit::WAIT_MAX;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const POINTS: i64 = 5 * 200;

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_goes_on_after_a_restart() {
    let stage = Stage::new(2);
    let feed = stage.feed(Vec::new());
    let house = House::open(feed.hub().clone()).await;
    let mut guest = house.visit("").await.expect("a subscription");
    for round in 1..=3 {
        stage.play(DID);
        guest.until("the points", |page| page.points("u0") == Some(round * POINTS)).await;
    }
    let history = feed.history(&Audience::Public, UtcUs::EPOCH, 1).await;
    feed.stop(WAIT_MAX).await;
    assert_eq!(guest.end().await, 1012);
    drop((feed, house));

    let kept = std::mem::take(&mut *stage.kept.lock().expect("no test panics with it"));
    assert!(kept.len() >= 3 && kept.iter().all(|row| row.round == stage.round), "{} rows", kept.len());
    let feed = stage.feed(kept.into_iter().map(|row| (row.at, row.payload)).collect());
    let house = House::open(feed.hub().clone()).await;
    let mut guest = house.visit("").await.expect("a subscription");
    stage.play(DID);
    let page = guest.until("the points", |page| page.points("u0") == Some(4 * POINTS)).await;
    let minute = page.number("u0", "points_last_minute").expect("a number");
    assert!(minute >= POINTS, "the minute before the restart counts: {minute}");
    let again = feed.history(&Audience::Public, UtcUs::EPOCH, 1).await;
    let [before, after] = [history, again].map(|body| serde_json::from_slice::<Value>(&body).expect("JSON"));
    let list = |body: &Value, of: &str| body.pointer(of).and_then(Value::as_array).expect("a list").clone();
    for of in ["/points/u0", "/points/u1"] {
        // A second in which nothing changed is not kept.
        let [before, after] = [&before, &after].map(|body| {
            let mut points = list(body, of);
            points.dedup();
            points
        });
        assert!(after.len() > before.len() && after.starts_with(&before), "{of}: {before:?} and then {after:?}");
    }
    feed.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_comes_back_shares_one_body() {
    let stage = Stage::new(2);
    let feed = stage.feed(Vec::new());
    stage.play(DID);
    let mut seen = feed.watch();
    seen.wait_for(|seen| seen.totals.as_ref().is_some_and(|totals| !totals.contestants.is_empty()))
        .await
        .expect("the feed runs");
    // Two asked within one second of the clock get the very same bytes; a second may turn in between, not always.
    let mut shared = false;
    for _ in 0..20 {
        let one = feed.history(&Audience::Public, UtcUs::EPOCH, 1).await;
        let other = feed.history(&Audience::Owner("u1".into()), UtcUs(30_000_000), 1).await;
        shared |= one.as_ptr() == other.as_ptr();
    }
    assert!(shared);
    // Nor does a step that nobody keeps make a body of its own.
    let mut shared = false;
    for step in 6..26 {
        let one = feed.history(&Audience::Public, UtcUs::EPOCH, step).await;
        let other = feed.history(&Audience::Public, UtcUs::EPOCH, step + 100).await;
        shared |= one.as_ptr() == other.as_ptr();
    }
    assert!(shared);
}

#[tokio::test(flavor = "multi_thread")]
async fn seconds_in_which_nothing_is_played_are_not_kept() {
    let stage = Stage::new(2);
    let feed = stage.feed(Vec::new());
    let mut seen = feed.watch();
    // It runs, and nobody has answered anything.
    let mut looks = 0;
    while looks < 4 {
        looks += u32::from(seen.wait_for(|seen| seen.link == Link::Live).await.is_ok());
        seen.changed().await.expect("the feed runs");
    }
    feed.stop(WAIT_MAX).await;
    let kept = stage.kept.lock().expect("no test panics with it");
    assert_eq!(kept.len(), 1, "{kept:?}");
}

#[test]
fn seconds_that_nobody_wrote_down_are_a_gap_that_is_said_also_after_the_next_restart() {
    let marks = |board: &Board, now: UtcUs| {
        let body = history::write(board, &Audience::Public, now, UtcUs::EPOCH, 1);
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let marks = body["marks"].as_array().expect("a list").iter();
        marks.filter(|mark| mark["kind"] == "gap").map(|mark| mark["label"].to_string()).collect::<Vec<_>>()
    };
    let mut world = World::new(2);
    world.second(&[DID, DID]);
    let mut kept: Vec<_> = world.board.archive().into_iter().collect();
    // (seconds away, whether somebody got points meanwhile, what is said)
    let cases = [(1, true, None), (16, false, None), (16, true, Some("no history for 17 s"))];
    for (away, played, said) in cases {
        let (control, totals) = (Arc::clone(&world.control), world.totals.clone());
        let board = Board::restored(kept.clone(), &Freeze::default());
        let mut again = World { board, control, totals, now: world.now + away * SECOND, ..World::new(2) };
        let did = if played { DID } else { IDLE };
        again.second(&[did, did]);
        again.second(&[DID, DID]);
        let found = marks(&again.board, again.now);
        assert_eq!(found.len(), usize::from(said.is_some()), "{away} s, {played}: {found:?}");
        assert!(said.is_none_or(|said| found[0].contains(said)), "{found:?}");
    }
    // A round of which nothing was kept: the gap begins with it. It stays known.
    world.now += 30 * SECOND;
    world.board = Board::default();
    world.second(&[DID, DID]);
    assert_eq!(marks(&world.board, world.now), ["\"no history for 32 s\""]);
    kept = world.board.archive().into_iter().collect();
    world.board = Board::restored(kept, &Freeze::default());
    world.second(&[DID, DID]);
    assert_eq!(marks(&world.board, world.now), ["\"no history for 32 s\""]);
}
