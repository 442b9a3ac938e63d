//! Control in every state of a round, looked at while somebody types and while nobody does: it follows by itself, and loses
//! nothing of what is typed.

use crate::arena::{Arena, must, phase};
use crate::browser::{Browser, play, stage_is, turn};
use crate::looks::{Findings, axe, settle};
use serde_json::json;

const ARM: &str = "/setting/round/arm";
/// What a line of the teams says of bob.
const BOB: &str = "document.querySelector('#teams [data-team]:not([hidden]) .team-how b')?.textContent";

/// Waits until the page has fetched so often what changes by itself.
async fn until_fetched(browser: &Browser, times: usize) {
    let fetched = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/setting/live') && \
                   one.responseEnd > 0).length";
    browser.until(&format!("{fetched} >= {times}")).await;
}

/// What was typed wrongly still stands there, beside what is wrong with it.
async fn assert_stands(browser: &Browser, name: &str, typed: &str) {
    until_fetched(browser, 2).await;
    let field = format!("document.querySelector('[name={name}][aria-invalid=true]')");
    let stands =
        format!("return {field}?.value === '{typed}' && {field}.closest('.field').querySelector('.error') !== null");
    assert!(browser.run(&stands, vec![]).await == true, "{name} lost {typed:?}:\n{}", browser.words().await);
}

#[test]
fn control_is_fit_to_be_seen_in_every_state_follows_by_itself_and_keeps_what_is_typed() {
    let Some(_turn) = turn() else { return };
    let axe = axe();
    play(async {
        let mut arena = Arena::open(phase(300));
        let (admin, mut findings, axe) = (arena.admin_browser().await, Findings::default(), axe.as_deref());
        admin.cdp("Emulation.setTimezoneOverride", json!({ "timezoneId": "Asia/Tokyo" })).await;
        // Nobody has registered: the way to the first round.
        admin.go("/setting").await;
        settle(&admin).await;
        findings.here(&admin, "control-empty", axe).await;
        // Nobody is ready: arming asks.
        arena.team("alice", "Alice & Company of the long Name", &["--version", "v1"]);
        admin.go("/setting").await;
        admin.submit(ARM).await;
        admin.until("document.querySelector('#round [role=alert]')").await;
        findings.here(&admin, "control-question", axe).await;

        // What was refused stays, with its words, whatever is fetched meanwhile.
        arena.team("bob", "Bob", &[]);
        arena.team("carol", "Carol", &[]);
        admin.go("/setting").await;
        admin.fill_in(ARM, "start", "noonish").await;
        admin.submit(ARM).await;
        assert_stands(&admin, "start", "noonish").await;
        admin.go("/setting").await;
        admin
            .run(
                "[...document.querySelectorAll('[data-team-open]')].find((one) => one.textContent === 'Bob').click()",
                vec![],
            )
            .await;
        admin.fill("points", "lots").await;
        admin.fill_in("", "reason", "a late start").await;
        admin.click(".team-opened form[action$='/adjust'] button").await;
        admin.until("location.search.startsWith('?team=')").await;
        assert_stands(&admin, "points", "lots").await;
        findings.here(&admin, "control-refused", axe).await;

        // A date and time is meant where it was typed: the page shows its times there.
        admin.go("/setting").await;
        admin.unfold("/setting/freeze").await;
        admin.fill_in("/setting/freeze", "at", "2040-12-01T10:45").await;
        admin.run("document.querySelector('#round [name=at]').form.requestSubmit()", vec![]).await;
        let said = |place: &str| {
            format!("document.querySelector('{place} time[datetime^=\"2040-12-01T01:45\"]')?.textContent")
        };
        admin.until(&format!("{}?.includes('10:45:00')", said("#round"))).await;
        // A sentence says it there too, and how far away it is.
        admin.until(&format!("/10:45:00 \\(in \\d+ d\\)$/.test({})", said(".notice.good"))).await;
        // On a phone as well, where how long ago a notice was made is left out.
        admin.resize(360).await;
        let seen = "document.querySelector('.notice.good time').getClientRects().length > 0";
        assert!(admin.run(&format!("return {seen}"), vec![]).await == true);
        admin.resize(1280).await;
        admin.run("document.querySelector('form[action=\"/setting/unfreeze\"]').requestSubmit()", vec![]).await;
        admin
            .until(
                "document.querySelector('.notice.good') && !document.querySelector('#round time[datetime^=\"2040\"]')",
            )
            .await;

        // Ready, armed, stopped, aborted.
        admin.submit("/setting/remind").await;
        admin.until_words("Not ready yet: ").await;
        admin.until("document.querySelector('#ready')?.textContent.includes('2 of 3 ready')").await;
        findings.here(&admin, "control-draft", axe).await;
        arena.arm("+3600s");
        admin.until("document.querySelector('form[action=\"/setting/round/abort\"]')").await;
        admin.until("document.querySelector('form[action=\"/setting/test-all\"]')").await;
        findings.here(&admin, "control-armed", axe).await;
        admin.submit("/setting/halt").await;
        admin.until_words("All traffic is").await;
        findings.here(&admin, "control-halted", axe).await;
        admin.submit("/setting/halt").await;
        admin.until_words("Traffic is allowed again").await;
        admin.submit("/setting/round/abort").await;
        admin.until(&stage_is("aborted")).await;
        findings.here(&admin, "control-aborted", axe).await;
        admin.submit("/setting/round/next").await;
        admin.until("document.querySelector('.notice.good')").await;

        // While somebody searches, with the cursor in the field, the lines go on, and a server that dies is seen.
        arena.arm("+6s");
        admin.until(&stage_is("running")).await;
        let search = "const find = document.getElementById('find'); find.focus(); find.value = 'Bob'; \
                      find.dispatchEvent(new Event('input', { bubbles: true }))";
        admin.run(search, vec![]).await;
        admin.until(&format!("{BOB} === 'playing'")).await;
        // Half a reason stands in his line, and nobody's line waits for it.
        admin.click("#teams [data-team]:not([hidden]) [data-team-open]").await;
        admin.fill_in("", "reason", "he said that").await;
        arena.targets.retain(|target| target.name != "bob");
        admin.until(&format!("{BOB} === 'failing'")).await;
        let kept = "document.querySelector('.team-opened form[action$=\"/adjust\"] [name=reason]')";
        assert!(
            admin
                .run(&format!("return {kept}.value === 'he said that' && document.activeElement === {kept}"), vec![])
                .await
                == true
        );
        findings.here(&admin, "control-running", axe).await;
        must(arena.admin.pause());
        admin.until(&format!("{BOB} === 'was failing'")).await;
        // On a machine with other work a second one may have been.
        admin.until_words("failing until then").await;
        findings.here(&admin, "control-paused", axe).await;

        // A question that is open stays the one that it is, when another one comes beside it.
        let open = "[...document.querySelectorAll('#round details[open] > summary')].map((one) => one.firstChild.textContent).join()";
        admin
            .run(
                "[...document.querySelectorAll('#round summary')].find((one) => one.textContent === 'Abort…').click()",
                vec![],
            )
            .await;
        let freeze = "const form = document.querySelector('#round form[action=\"/setting/freeze\"]'); \
                      return fetch(form.getAttribute('action'), { method: 'POST', body: new URLSearchParams(new FormData(form)) }).then((got) => got.ok)";
        assert!(admin.run(freeze, vec![]).await == true);
        admin
            .until("[...document.querySelectorAll('#round summary')].some((one) => one.textContent === 'Unfreeze…')")
            .await;
        assert_eq!(admin.run(&format!("return {open}"), vec![]).await, "Abort…");
        findings.here(&admin, "control-frozen", axe).await;

        // What is over has no tick.
        admin.submit("/setting/round/stop").await;
        admin.until(&stage_is("sealed")).await;
        let words = "[...document.querySelectorAll('#teams [data-team] .team-how b')].map((one) => one.textContent)";
        admin.until(&format!("{words}[0] === 'was failing' && {words}.every((word) => word.startsWith('was '))")).await;
        assert_eq!(admin.count("#teams .light.good").await, 0, "a tick says that all is well now");
        assert!(findings.0.is_empty(), "{} findings:\n{}", findings.0.len(), findings.0.join("\n"));
        admin.assert_clean_but(&["the server responded with a status of 422"]).await;
        admin.close().await;
    });
}
