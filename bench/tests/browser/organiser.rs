//! An organiser in a hurry: settings, a round, a deadline, a pause, a freeze, the seal.

use crate::arena::{Arena, PASSWORD, must, phase};
use crate::browser::{Browser, play, stage_is, turn};
use crate::looks::{Findings, axe};

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
        let admin = arena.admin_browser_with_motion().await;
        let team = arena.browser().await;
        team.sign_in("alice", PASSWORD).await;
        let (mut findings, axe) = (Findings::default(), axe());
        let axe = axe.as_deref();

        // The difference is shown before anything is saved.
        admin.go("/setting/contest").await;
        admin.fill_in("/setting/contest", "version_deadline", "+60s").await;
        admin.fill_in("/setting/contest", "token", "70").await;
        admin.click("#contest button.primary").await;
        let difference = admin.words_of("#difference").await;
        assert!(difference.contains("100") && difference.contains("70"), "{difference}");
        admin.click("#difference button.primary").await;
        admin.until("document.querySelector('.notice.good')").await;
        let saved =
            admin.find("form[action='/setting/contest'] [name=token]").await.prop("value").await.expect("a value");
        assert_eq!(saved.as_deref(), Some("70"));

        // Servers are tested while somebody looks, and the page says so by itself. The house was set up for the deadline of
        // before, so arming asks once more.
        admin.go("/setting").await;
        admin.until("document.querySelector('.ready.is-no')?.textContent.includes('1 of 1 are ready')").await;
        admin.fill_in("/setting/round/arm", "start", "+6s").await;
        admin.submit("/setting/round/arm").await;
        admin.until("document.querySelector('#round [role=alert]')?.textContent.includes('House target')").await;
        admin.picture("control-doubts", 1280).await;
        admin.click("form[action='/setting/round/arm'] [name=confirm]").await;
        admin.submit("/setting/round/arm").await;
        admin.until(&stage_is("armed")).await;
        // The page follows: its levers are those of the state, without a reload.
        admin.until("document.querySelector('form[action=\"/setting/round/pause\"]')").await;
        admin.picture("control-live", 1280).await;
        team.go("/chart").await;
        team.until(&stage_is("running")).await;

        // A deadline that is moved reaches the contestant's page without a reload.
        let moved = "document.querySelector('[data-due-version-at] [data-until]').dataset.until";
        let before = team.run(&format!("return {moved}"), vec![]).await;
        admin.go("/setting").await;
        admin.unfold("/setting/deadline").await;
        admin.fill_in("/setting/deadline", "to", "+9s").await;
        press_here(&admin, "/setting/deadline").await;
        team.until(&format!("{moved} !== {before}")).await;

        // Somebody else pauses. Whoever moves by the keyboard keeps its place, and a field of instants its picker.
        let stop = "document.querySelector('#round form[action=\"/setting/round/stop\"]').closest('details').firstElementChild";
        admin.run(&format!("{stop}.focus()"), vec![]).await;
        must(arena.admin.pause());
        team.until(&stage_is("paused")).await;
        // It says for how long, and goes on.
        team.until("/^0:(0[2-9]|[1-5])/.test(document.querySelector('[data-stage-clock] [data-since]')?.textContent)")
            .await;
        admin.until("document.querySelector('form[action=\"/setting/round/resume\"]')").await;
        admin.until(&format!("document.activeElement === {stop}")).await;
        admin.until("document.querySelector('#round [data-when] input[type=datetime-local]')").await;
        press(&admin, "/setting/round/resume").await;
        team.until(&stage_is("running")).await;

        // Frozen: the contestant sees that it is, and no rank.
        press(&admin, "/setting/freeze").await;
        team.until("!document.querySelector('[data-stage-frozen]').hidden").await;
        team.go("/index").await;
        team.until("!document.querySelector('[data-me-frozen]').hidden").await;
        let rank = team.words_of("[data-me-rank]").await;
        assert!(!rank.contains(" of "), "a frozen page tells a rank: {rank}");
        findings.ask(&team, "index while the board is frozen", axe).await;
        // The wall knows the end while she is still frozen, and shows it place by place.
        admin.go("/chart?view=reveal").await;
        admin.until("document.querySelector('[data-reveal-board] li') !== null").await;
        let points =
            "Number(document.querySelector('[data-reveal-board] li .points').textContent.replace(/[^0-9]/g, ''))";
        let ask =
            "return fetch('/api/standings?as=public').then(one => one.json()).then(one => one.standings[0].points)";
        let frozen = team.run(ask, vec![]).await.as_i64().expect("points");
        // The round goes on behind the freeze: there is something to reveal.
        let live = "setInterval(() => fetch('/api/standings').then(one => one.json()) \
                    .then(one => { window.live = one.standings[0].points; }), 300)";
        admin.run(live, vec![]).await;
        admin.until(&format!("window.live > {frozen}")).await;
        // The first place is waited for; before its step its points are not even in the page.
        admin.until(&format!("{points} === {frozen}")).await;
        admin.click("[data-reveal-next]").await;
        admin.until("document.querySelector('[data-reveal-board] li.waits')").await;
        findings.ask(&admin, "reveal that waits", axe).await;
        admin.until(&format!("{points} === {frozen}")).await;
        admin.click("[data-reveal-next]").await;
        admin.until("document.querySelector('[data-reveal-board] li.resolved')").await;
        admin.until(&format!("{points} > {frozen}")).await;
        admin.click("[data-reveal-next]").await;
        admin.until("document.querySelector('[data-podium] .p1 .name')?.textContent === 'Alice'").await;
        findings.ask(&admin, "reveal with the podium", axe).await;
        // In a window that is too low for the podium the buttons do not lie below the page's foot.
        admin.emulate(1280, 420).await;
        let edge = |css: &str, side: &str| format!("document.querySelector('{css}').getBoundingClientRect().{side}");
        admin.until(&format!("{} <= {}", edge(".reveal-bar", "bottom"), edge(".show-foot", "top"))).await;
        // Back takes away again what was told.
        for step in ["2", "1"] {
            admin.click("[data-reveal-back]").await;
            admin.until(&format!("location.hash === '#{step}'")).await;
        }
        admin.until(&format!("{points} === {frozen} && document.querySelector('[data-podium]').hidden")).await;
        admin.resize(1280).await;
        // Whatever is pressed meanwhile, the show goes on: everybody is shown the result, and the board is frozen anew.
        let is_frozen = "!document.querySelector('[data-me-frozen]').hidden";
        let still_goes_on = async || {
            admin.click("[data-reveal-next]").await;
            admin.until("document.querySelector('[data-reveal-board] li.resolved')").await;
            admin.until(&format!("location.hash === '#2' && {points} > {frozen}")).await;
            admin.click("[data-reveal-back]").await;
            admin.until(&format!("location.hash === '#1' && {points} === {frozen}")).await;
        };
        team.until(is_frozen).await;
        arena.press("/setting/reveal");
        team.until(&format!("!({is_frozen})")).await;
        still_goes_on().await;
        arena.press("/setting/freeze");
        team.until(is_frozen).await;
        still_goes_on().await;
        // What the dashboard refuses it says itself, such as a round that waits for a word.
        let refuse = "window.real = window.fetch; const message = 'Say on Control whether it counts.'; \
                      window.fetch = async (address, how) => String(address).startsWith('/api/reveal') ? \
                      new Response(JSON.stringify({ message }), { status: 409 }) : window.real(address, how)";
        admin.run(refuse, vec![]).await;
        admin.click("[data-reveal-next]").await;
        admin
            .until("document.querySelector('[data-reveal-said]').textContent === 'Say on Control whether it counts.'")
            .await;
        admin.run("window.fetch = window.real", vec![]).await;
        // Who shares a place shares its height.
        let place = |id: &str, rank: u32| serde_json::json!({ "id": id, "display_name": id, "rank": rank, "points": 9, "resolved": true });
        let stage = serde_json::json!({
            "step": 0, "steps": 9, "said": "The podium", "unknown": 0, "ceremony": true, "by_holds": false, "frozen": frozen,
            "board": [place("a", 1), place("b", 1), place("c", 3), place("d", 3), place("e", 5)],
        });
        let stub = format!(
            "const real = window.fetch; window.fetch = async (address, how) => \
             String(address).startsWith('/api/reveal') ? new Response(JSON.stringify({stage})) : real(address, how)"
        );
        admin.run(&stub, vec![]).await;
        admin.click("[data-reveal-back]").await;
        let boxes = |css: &str| format!("document.querySelectorAll('[data-podium] {css}').length");
        admin.until(&format!("{} === 2 && {} === 2 && {} === 0", boxes(".p1"), boxes(".p3"), boxes(".p2"))).await;
        admin.picture("reveal-shared", 1280).await;
        assert!(team.run("return !document.querySelector('[data-me-frozen]').hidden", vec![]).await == true);
        // She has missed the deadline that came nearer: her page says which, in a tab that nobody looks at as well, and
        // nobody's says that her server is dead.
        team.run("Object.defineProperty(document, 'hidden', { value: true })", vec![]).await;
        team.until("document.title.startsWith('✕ Wrong Version')").await;
        team.until_words("v1 was right before the deadline").await;
        findings.ask(&team, "index that has missed a deadline", axe).await;
        admin.go("/setting").await;
        admin.until_words("Alice has missed a deadline.").await;
        admin.until_words("wrong Version").await;
        // Since when a generator plays is said in her zone, and in words.
        let since = "/since \\d\\d:\\d\\d:\\d\\d \\((now|\\d+ \\w+ ago)\\)/";
        admin.until(&format!("{since}.test(document.querySelector('#ready .generator')?.textContent)")).await;
        // Planned, the freeze ends by itself.
        admin.unfold("/setting/reveal-at").await;
        admin.fill_in("/setting/reveal-at", "at", "+3s").await;
        press_here(&admin, "/setting/reveal-at").await;
        team.until("document.querySelector('[data-stage-frozen]').hidden").await;
        team.go("/chart").await;
        team.until("document.querySelector('tr.wrong.me .team-state')?.textContent.startsWith('wrong Version for')")
            .await;

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
        assert!(findings.0.is_empty(), "{} findings:\n{}", findings.0.len(), findings.0.join("\n"));
        // The browser says so of the page that asks once more.
        admin.assert_clean_but(&["the server responded with a status of 422"]).await;
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
