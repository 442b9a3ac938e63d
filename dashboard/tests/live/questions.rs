//! Questions between two looks: whoever asks for its errors, however often, holds up nobody's board.

use crate::round::Did;
use crate::stage::Stage;
use flowtest_dashboard::live::Feed;
use flowtest_dashboard::live::feed::FeedError;
use flowtest_dashboard::live::frame::Link;
use flowtest_scoreboard::RoundTotals;
use flowtest_testkit::WAIT_MAX;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// More than the reader can have answered before the next is there.
const ASKERS: usize = 64;
const LOOKS: u64 = 3;

/// Asks as fast as it is answered, and returns how often it was.
async fn ask_all_the_time(feed: Feed, over: Arc<AtomicBool>) -> u64 {
    let mut answered = 0;
    while !over.load(Ordering::Relaxed) {
        match feed.errors("u0").await {
            Ok(_) => answered += 1,
            Err(FeedError::Busy | FeedError::Late) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn one_contestant_that_asks_all_the_time_neither_stops_the_board_nor_works_redis() {
    let stage = Stage::new(2);
    let feed = stage.feed(Vec::new());
    let mut seen = feed.watch();
    seen.wait_for(|seen| seen.link == Link::Live).await.expect("the feed runs");
    let over = Arc::new(AtomicBool::new(false));
    let before = stage.redis.calls("lrange");
    let askers: Vec<_> = (0..ASKERS).map(|_| tokio::spawn(ask_all_the_time(feed.clone(), Arc::clone(&over)))).collect();
    for look in 1..=LOOKS {
        stage.play(Did { right: 1, wrong: 0, timeouts: 0, latency_us: 100 });
        let is_counted = |totals: &RoundTotals| totals.contestants.get("c0").is_some_and(|row| row.tally.due >= look);
        let goes_on = seen.wait_for(|seen| seen.totals.as_deref().is_some_and(is_counted));
        tokio::time::timeout(WAIT_MAX, goes_on).await.expect("the board goes on").expect("the feed runs");
    }
    over.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for asker in askers {
        answered += asker.await.expect("no asker panics");
    }
    // A look reads rows with other commands; so Redis was asked for the errors at most once a look.
    let asked = stage.redis.calls("lrange") - before;
    assert!(answered >= ASKERS as u64 && asked <= answered / 2, "{asked} questions to Redis for {answered} answers");
    feed.stop(Duration::from_secs(10)).await;
}
