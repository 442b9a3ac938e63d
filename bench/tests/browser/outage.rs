//! What a page shows while a part of the platform is away, and that it recovers by itself.

use crate::arena::{Arena, must};
use crate::browser::{Browser, link_is, play, say, stage_is, turn};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

/// A board with somebody on it, in a browser.
async fn chart() -> (Arena, Browser) {
    let mut arena = Arena::short();
    arena.team("alice", "Alice", &[]);
    let browser = arena.admin_browser().await;
    browser.go("/chart").await;
    (arena, browser)
}

#[test]
fn a_restarted_dashboard_is_reconnected_to_without_a_reload() {
    let Some(_turn) = turn() else { return };
    play(async {
        let (mut arena, browser) = chart().await;
        browser.until(&link_is("live")).await;
        browser.assert_clean().await;
        // A page that is loaded again has forgotten this.
        browser.run("window.notReloaded = true", vec![]).await;

        must(arena.dashboard.stop());
        browser.until(&format!("!({})", link_is("live"))).await;
        must(arena.dashboard.restart());
        browser.until(&link_is("live")).await;
        assert_eq!(browser.run("return window.notReloaded", vec![]).await, true, "the page was loaded again");

        // And it is alive: a round that is armed now shows.
        arena.arm("+6s");
        browser.until(&stage_is("armed")).await;
        // Its socket was cut, and what it asked meanwhile had nobody to answer.
        browser.assert_clean_but(&["WebSocket connection to", "net::ERR_CONNECTION_REFUSED"]).await;
        browser.close().await;
    });
}

#[test]
fn a_redis_that_stops_is_told_as_stale_and_a_page_recovers_by_itself() {
    /// What the issue asks for.
    const STALE_WITHIN: Duration = Duration::from_secs(3);
    const TRIES: usize = 5;
    let Some(_turn) = turn() else { return };
    play(async {
        let (arena, browser) = chart().await;
        let redis = Pid::from_raw(arena.redis.id() as i32).expect("it runs");
        let mut told = false;
        for attempt in 1..=TRIES {
            browser.until(&link_is("live")).await;
            kill_process(redis, Signal::STOP).expect("it is ours");
            told = browser.until_within(&link_is("stale"), STALE_WITHIN).await.is_some();
            // Later is too late, but shown it must be.
            browser.until(&link_is("stale")).await;
            assert!(browser.count("[data-rows] > [data-id]").await > 0, "the last standings stay on the page");
            kill_process(redis, Signal::CONT).expect("it is ours");
            browser.until(&link_is("live")).await;
            if told {
                break;
            }
            say(&format!("try {attempt}: the page said stale later than after {} s", STALE_WITHIN.as_secs()));
        }
        assert!(told, "in {TRIES} tries the page never said stale within {} s", STALE_WITHIN.as_secs());
        browser.assert_clean().await;
        browser.close().await;
    });
}
