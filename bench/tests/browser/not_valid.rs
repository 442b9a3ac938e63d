//! A round that is not valid, as it is watched: the banner comes and goes with the feed, curves say which seconds, and a reveal
//! that was set for its end waits for the word on it.

use crate::arena::{Arena, CONTEST, PASSWORD, must};
use crate::browser::{play, stage_is, turn};
use crate::looks::{Findings, axe};
use flowtest_contract::{RoundValidity, StreamId, utc_us};
use flowtest_scoreboard::Scoreboard;
use flowtest_testkit::wait_until_or;

/// Plans what the public sees, for an instant in milliseconds.
fn plan(arena: &Arena, action: &str, at_ms: i64) {
    let form = must(arena.admin.visitor.open("/setting").and_then(|page| page.form(action)));
    let at = jiff::Timestamp::from_millisecond(at_ms).expect("an instant");
    must(arena.admin.visitor.send(&form.with("at", &at.to_string())).and_then(|page| page.fine()));
}

#[test]
fn the_banner_comes_and_goes_with_the_feed_and_the_curves_say_which_seconds() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::short();
        arena.team("alice", "Alice", &[]);
        let (team, admin) = (arena.browser().await, arena.admin_browser().await);
        team.sign_in("alice", PASSWORD).await;
        arena.arm("+6s");
        arena.until_state("armed");
        let end = arena.standings()["round"]["end_at"].as_i64().expect("an instant");
        plan(&arena, "/setting/freeze", end - 2_000);
        plan(&arena, "/setting/reveal-at", end);
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
        arena.until_state("sealed");
        for browser in [&team, &admin] {
            browser.until("document.querySelector('[data-validity]').hidden && window.stayed").await;
        }
        // The wall, a team and Control say why nothing is shown yet.
        let waits =
            "document.querySelector('[data-stage-frozen]:not([hidden])')?.textContent.includes('waits for the word')";
        admin.go("/chart?view=projector").await;
        admin.until(waits).await;
        findings.ask(&admin, "projector whose reveal waits", axe.as_deref()).await;
        team.until(waits).await;
        admin.go("/setting").await;
        admin.until_words("as soon as you say whether it counts, everybody sees the result").await;
        findings.ask(&admin, "control whose reveal waits", axe.as_deref()).await;
        let waiting_ms = utc_us().0 / 1_000;
        arena.until_it_counts();
        team.until("document.querySelector('[data-stage-frozen]').hidden").await;
        // The time machine has it as it was seen.
        wait_until_or("what was revealed late", || {
            let moment = must(arena.admin.visitor.json(&format!("/api/moment?at={waiting_ms}")));
            (moment["round"]["revealed"] == false).then_some(()).ok_or_else(|| moment["round"].to_string())
        });
        team.go(&format!("/chart?at={waiting_ms}")).await;
        team.until(&format!("document.body.classList.contains('is-past') && {waits}")).await;
        team.until("document.querySelector('[data-fresh]').textContent.includes('frozen since')").await;
        team.until("document.querySelector('[data-chart]').lines.until < Number(new URL(location.href).searchParams.get('at')) / 1000").await;
        assert!(findings.0.is_empty(), "{} findings:\n{}", findings.0.len(), findings.0.join("\n"));
        for browser in [team, admin] {
            browser.assert_clean().await;
            browser.close().await;
        }
    });
}
