//! A round that is not valid, as it is watched: the banner comes and goes with the feed, and curves say which seconds.

use crate::arena::{Arena, CONTEST, PASSWORD};
use crate::browser::{play, stage_is, turn};
use crate::looks::{Findings, axe};
use flowtest_contract::{RoundValidity, StreamId};
use flowtest_scoreboard::Scoreboard;

#[test]
fn the_banner_comes_and_goes_with_the_feed_and_the_curves_say_which_seconds() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::short();
        arena.team("alice", "Alice", &[]);
        let (team, admin) = (arena.browser().await, arena.admin_browser().await);
        team.sign_in("alice", PASSWORD).await;
        arena.arm("+6s");
        team.go("/index").await;
        admin.go("/chart").await;
        for browser in [&team, &admin] {
            // A page that is loaded again forgets it.
            browser.run("window.stayed = true", vec![]).await;
            browser.until(&stage_is("running")).await;
        }
        // Beside the generator that plays another one says that it was late; whatever the first one was.
        let mut scoreboard = Scoreboard::connect(&arena.redis.url()).expect("Redis answers");
        let seen = scoreboard.read_generators(CONTEST).expect("Redis answers");
        let mut health = seen.into_iter().find_map(|seen| seen.health).expect("a generator plays");
        assert!(health.round.is_some(), "it plays the round");
        (health.id, health.stream) = ("late-one".to_owned(), Some(StreamId::from_bits(1)));
        health.validity = RoundValidity { seconds: 100, valid_seconds: 50, due: 1_000, void: 500, late_ms: 50_000 };
        scoreboard.write_health(CONTEST, &health).expect("Redis answers");
        let shown = "!document.querySelector('[data-validity]').hidden";
        for browser in [&team, &admin] {
            browser.until(shown).await;
        }
        let says = |part: &str, text: &str| {
            format!("document.querySelector('[data-validity-{part}]').textContent.includes('{text}')")
        };
        admin.until(&says("names", "late-one")).await;
        assert_eq!(team.count("[data-validity-names]").await, 0, "a team is not told whose fault it is");
        team.until("document.querySelector('[data-mini] rect.late')").await;
        team.until("!document.querySelector('[data-mini-late]').hidden").await;
        let (mut findings, axe) = (Findings::default(), axe());
        findings.ask(&team, "index of a round that is not valid", axe.as_deref()).await;
        findings.ask(&admin, "chart of a round that is not valid", axe.as_deref()).await;
        assert!(findings.0.is_empty(), "{} findings:\n{}", findings.0.len(), findings.0.join("\n"));
        arena.until_state("sealed");
        for browser in [&team, &admin] {
            browser.until("document.querySelector('[data-validity]').hidden && window.stayed").await;
        }
        for browser in [team, admin] {
            browser.assert_clean().await;
            browser.close().await;
        }
    });
}
