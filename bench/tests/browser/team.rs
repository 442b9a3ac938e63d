//! A contestant's day: from the slip of paper to points that rise.

use crate::arena::{Arena, PASSWORD, phase};
use crate::browser::{play, turn};
use crate::looks::{Findings, axe};
use serde_json::json;

/// The points on a contestant's own page, as a number.
const POINTS: &str = "Number(document.querySelector('[data-me-points]').textContent.replace(/[^0-9-]/g, ''))";

#[test]
fn a_team_registers_tests_practises_and_sees_its_points_rise() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::open(phase(8));
        let browser = arena.browser().await;
        let (mut findings, axe) = (Findings::default(), axe());
        let axe = axe.as_deref();

        // The token travels in the fragment, which no browser sends anywhere, and a script fills it in.
        let invitation = arena.invitation();
        browser.go(&format!("/register#t={invitation}")).await;
        browser.until("document.querySelector('[name=token]').value.length > 20").await;
        browser.fill("name", "alice").await;
        browser.fill("display_name", "Alice & Söhne <b>").await;
        browser.fill("password", PASSWORD).await;
        browser.click("[aria-label='Show the password']").await;
        browser.until("document.querySelector('[name=password]').type === 'text'").await;
        browser.submit("/register").await;
        browser.until_place(|place| place == "/index").await;
        browser.until_words("Alice & Söhne <b>").await;
        findings.ask(&browser, "index without an endpoint", axe).await;

        // An organiser names one for her: her levers are those of a team that has one, without loading the page again.
        let levers = "const field = document.querySelector('[name=endpoint]'); \
            return [document.querySelector('[data-probe] button').disabled, field.value, \
                field.form.querySelector('button').textContent, \
                Boolean(document.querySelector('[action=\"/index/endpoint/reset\"]'))]";
        assert_eq!(browser.run(levers, vec![]).await, json!([true, "", "Set endpoint", false]));
        let id = browser.run("return document.querySelector('[data-index]').dataset.id.slice(1)", vec![]).await;
        arena.set_endpoint(id.as_str().expect("an account"), "127.0.0.1:9999/hers");
        browser.run("dispatchEvent(new Event('visibilitychange'))", vec![]).await;
        browser.until("document.querySelector('[data-endpoint]').dataset.endpoint.includes('/hers')").await;
        let set = browser.run("return document.querySelector('[data-endpoint]').dataset.endpoint", vec![]).await;
        assert_eq!(browser.run(levers, vec![]).await, json!([false, set, "Change", true]));

        // Her server, and what a generator makes of one request.
        let endpoint = arena.server("alice", &[]);
        browser.fill("endpoint", &endpoint).await;
        browser.submit("/index/endpoint").await;
        browser.until_words(&endpoint).await;
        browser.submit("/index/probe").await;
        browser.until("document.querySelectorAll('#probe .verdict.is-good').length === 3").await;

        browser.fill_in("/index/practice", "rate", "100").await;
        browser.fill_in("/index/practice", "seconds", "2").await;
        browser.submit("/index/practice").await;
        // 200 requests, each worth 200 points.
        let practised = "document.querySelector('#practice').textContent.replace(/[^0-9]/g, '').includes('40000')";
        browser.until(practised).await;
        let before = browser.run(&format!("return {POINTS}"), vec![]).await;
        assert_eq!(before, 0, "practice counts nowhere");
        findings.ask(&browser, "index with a test and a practice", axe).await;
        assert!(findings.0.is_empty(), "{} findings:\n{}", findings.0.len(), findings.0.join("\n"));
        browser.assert_clean().await;

        arena.arm("+6s");
        browser.until(&format!("{POINTS} > 0")).await;
        let some = browser.run(&format!("return {POINTS}"), vec![]).await;
        browser.until(&format!("{POINTS} > {some}")).await;
        arena.until_state("sealed");
        let all = arena.points("alice");
        browser.until(&format!("{POINTS} === {all}")).await;
        browser.assert_clean().await;
        browser.close().await;
    });
}
