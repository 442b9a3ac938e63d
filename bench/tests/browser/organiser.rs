//! An organiser in a hurry: settings, a round, a deadline, a pause, a freeze, the seal.

use crate::arena::{Arena, PASSWORD, phase};
use crate::browser::{Browser, play, stage_is, turn};

/// Presses a button of the page for control, and waits until the answer is there.
async fn press(browser: &Browser, action: &str) {
    browser.go("/setting").await;
    browser.submit(action).await;
    browser.until("document.querySelector('.notice.good')").await;
}

#[test]
fn an_organiser_takes_a_round_from_settings_to_its_seal() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::open(phase(90));
        arena.team("alice", "Alice", &["--version", "v1,v2@+3600s"]);
        let admin = arena.admin_browser().await;
        let team = arena.browser().await;
        team.sign_in("alice", PASSWORD).await;

        // The difference is shown before anything is saved.
        admin.go("/setting").await;
        admin.fill_in("/setting/contest", "version_deadline", "+60s").await;
        admin.fill_in("/setting/contest", "token", "70").await;
        admin.click("#contest button[type=submit]").await;
        let difference = admin.words_of("#difference").await;
        assert!(difference.contains("100") && difference.contains("70"), "{difference}");
        admin.click("#difference button.primary").await;
        admin.until("document.querySelector('.notice.good')").await;
        let saved =
            admin.find("form[action='/setting/contest'] [name=token]").await.prop("value").await.expect("a value");
        assert_eq!(saved.as_deref(), Some("70"));

        // GO, and a round in six seconds.
        admin.go("/setting").await;
        admin.until_words("GO").await;
        admin.fill_in("/setting/round/arm", "start", "+6s").await;
        admin.submit("/setting/round/arm").await;
        admin.until(&stage_is("armed")).await;
        team.go("/chart").await;
        team.until(&stage_is("running")).await;

        // A deadline that is moved reaches the contestant's page without a reload.
        let moved = "document.querySelector('[data-due-version-at] [data-until]').dataset.until";
        let before = team.run(&format!("return {moved}"), vec![]).await;
        admin.go("/setting").await;
        admin.unfold("/setting/deadline").await;
        admin.fill_in("/setting/deadline", "to", "+70s").await;
        press_here(&admin, "/setting/deadline").await;
        team.until(&format!("{moved} !== {before}")).await;

        press(&admin, "/setting/round/pause").await;
        team.until(&stage_is("paused")).await;
        press(&admin, "/setting/round/resume").await;
        team.until(&stage_is("running")).await;

        // Frozen: the contestant sees that it is, and no rank.
        press(&admin, "/setting/freeze").await;
        team.until("!document.querySelector('[data-stage-frozen]').hidden").await;
        team.go("/index").await;
        team.until("!document.querySelector('[data-me-frozen]').hidden").await;
        let rank = team.words_of("[data-me-rank]").await;
        assert!(!rank.contains(" of "), "a frozen page tells a rank: {rank}");
        // The wall knows the end while she is still frozen, and shows it place by place.
        admin.go("/chart?view=reveal").await;
        admin.until("document.querySelector('[data-rows] tr.veiled') !== null").await;
        let ask =
            "return fetch('/api/standings?as=public').then(one => one.json()).then(one => one.standings[0].points)";
        let frozen = team.run(ask, vec![]).await.as_i64().expect("points");
        admin.click("[data-reveal-next]").await;
        admin.until("document.querySelector('[data-rows] tr.veiled') === null").await;
        let shown = "document.querySelector('[data-rows] .col-points').textContent.replace(/[^0-9]/g, '')";
        admin.until(&format!("Number({shown}) > {frozen}")).await;
        assert!(team.run("return !document.querySelector('[data-me-frozen]').hidden", vec![]).await == true);
        press(&admin, "/setting/unfreeze").await;
        team.until("document.querySelector('[data-stage-frozen]').hidden").await;

        // Ended early it keeps its points, and is sealed by itself.
        press(&admin, "/setting/round/stop").await;
        team.go("/chart").await;
        team.until(&stage_is("sealed")).await;
        admin.go("/setting").await;
        admin.until_words("sealed").await;
        let shown = team.words_of("[data-rows] .me .col-points").await;
        let points: i128 = shown
            .replace('\u{2212}', "-")
            .chars()
            .filter(|c| c.is_ascii_digit() || *c == '-')
            .collect::<String>()
            .parse()
            .expect("a number");
        let sealed = arena.standings();
        let line = sealed["standings"].as_array().into_iter().flatten().find(|line| line["name"] == "alice");
        assert_eq!(line.expect("she is there")["points"], points as i64, "{sealed}");
        admin.assert_clean().await;
        team.assert_clean().await;
        admin.close().await;
        team.close().await;
    });
}

/// Presses a button of the page that is open already.
async fn press_here(browser: &Browser, action: &str) {
    browser.submit(action).await;
    browser.until("document.querySelector('.notice.good')").await;
}
