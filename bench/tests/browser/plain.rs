//! A browser that runs no script: signing in, setting an endpoint and reading the standings work all the same.

use crate::arena::{Arena, PASSWORD, phase};
use crate::browser::{Browser, play, turn};
use flowtest_contest::names::HOUSE;
use std::time::Duration;

/// A contestant may change its endpoint once in so long.
const BETWEEN_CHANGES: Duration = Duration::from_secs(5);

#[test]
fn without_scripts_a_team_signs_in_sets_its_endpoint_and_reads_the_standings() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::open(phase(6));
        arena.team("alice", "Alice", &[]);
        let browser = Browser::without_scripts(arena.dashboard.url()).await;
        browser.sign_in("alice", PASSWORD).await;
        browser.until_place(|place| place == "/index").await;
        assert_eq!(browser.count("[data-theme-button][hidden]").await, 1, "what needs a script is not shown");

        let elsewhere = arena.server("elsewhere", &[]);
        // Her endpoint was set a moment ago.
        tokio::time::sleep(BETWEEN_CHANGES).await;
        browser.fill("endpoint", &elsewhere).await;
        browser.submit("/index/endpoint").await;
        browser.until_words("Your endpoint is").await;
        tokio::time::sleep(BETWEEN_CHANGES).await;
        browser.fill("endpoint", "ftp://example.org/").await;
        browser.submit("/index/endpoint").await;
        // The mistake is explained, and what was typed is still there.
        browser.find("[name=endpoint][aria-invalid=true]").await;
        let typed = browser.find("[name=endpoint]").await.prop("value").await.expect("a value");
        assert_eq!(typed.as_deref(), Some("ftp://example.org/"));

        arena.arm("+6s");
        arena.until_state("sealed");
        browser.go("/chart").await;
        browser.until_words("Alice").await;
        let shown: String =
            browser.words_of("[data-rows] .col-points").await.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(shown, arena.points("alice").max(arena.points(HOUSE)).to_string());
        browser.close().await;
    });
}
