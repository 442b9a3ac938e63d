//! An organiser prepares: the plan as rows and as text, two tabs, a team that opens in its place, a session that ends.

use crate::arena::{ADMIN, Arena, PASSWORD, phase};
use crate::browser::{play, turn};
use crate::looks::{Findings, axe};
use serde_json::json;

/// A line that comes into the text before the rows of the text without it.
const TYPE_WHILE_ASKED: &str = "const ask = window.fetch; window.fetch = async (...what) => { const answer = await ask(...what); \
     document.querySelector('[name=plan]').value += '\\n# typed meanwhile'; window.fetch = ask; return answer; };";
/// Writes something else into the text, and moves the second row up at once.
const TYPE_AND_MOVE: &str = "const plan = document.querySelector('[name=plan]'); \
     plan.value = plan.value.replace(arguments[0], arguments[1]); plan.dispatchEvent(new Event('input', { bubbles: true })); \
     document.querySelector(\"[data-plan-row]:nth-child(2) [aria-label='Move up phase 2']\").click();";
/// As if the server read but one row more than there are.
const ONE_MORE_ROW: &str = "document.querySelector('[data-plan-add]').dataset.planAdd = \
     document.querySelectorAll('[data-plan-row]').length + 1;";

#[test]
fn an_organiser_edits_the_plan_in_two_tabs_and_looks_after_a_team() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::open(phase(60));
        arena.team("alice", "Alice", &["--version", "v1,v2@+3600s"]);
        let (admin, other) = (arena.admin_browser().await, arena.admin_browser().await);
        let (mut findings, axe) = (Findings::default(), axe());
        // An organiser lands where the contest is steered, and reads what is missing for the first round.
        assert_eq!(admin.place().await, "/setting");
        admin.until_words("To the first round").await;
        other.go("/setting/contest").await;

        // Rows: the preview and the text follow what is typed.
        admin.go("/setting/contest").await;
        let preview = |words: &str| {
            format!("document.querySelector('[data-plan-preview]').textContent.includes({})", json!(words))
        };
        let text = "document.querySelector('[name=plan]').value";
        admin.fill("phase_1_for", "20s").await;
        admin.fill("phase_1_rate", "50..100").await;
        admin.until(&preview("in 2 phases")).await;
        admin.until(&format!("{text}.includes('50..100')")).await;
        admin.fill("version_deadline", "2040-12-01T10:45:00Z").await;
        admin.until("document.querySelector('[data-plan-preview] time')?.textContent.includes('(in ')").await;
        admin.fill("version_deadline", "+20s").await;
        admin.until("!document.querySelector('[data-plan-preview] time')").await;
        admin.picture("settings-rows", 1280).await;
        // Text: the rows follow it, and a phase that cannot be read says which key was meant.
        admin.click("#contest details.fold > summary").await;
        let wrong = "[[phase]]\nfor = \"40s\"\nrate = 300\n\n[[phase]]\nfor = \"20s\"\nrate = 50\nconnection = 8\n";
        admin.fill("plan", wrong).await;
        admin.until(&preview("did you mean `connections`?")).await;
        admin.until(&preview("300 requests/s")).await;
        admin.until("document.querySelector('[name=phase_0_rate]').value === '300'").await;
        // What is typed while the rows are on their way is no part of them.
        let right = wrong.replace("connection =", "connections =");
        admin.run(TYPE_WHILE_ASKED, vec![]).await;
        admin.fill("plan", &right).await;
        admin.until(&format!("{text}.endsWith('# typed meanwhile')")).await;
        admin.until("document.querySelector('[name=plan_shown]').value.includes('connections = 8')").await;
        let shown = admin.run("return document.querySelector('[name=plan_shown]').value", vec![]).await;
        assert!(!shown.as_str().is_some_and(|shown| shown.contains("meanwhile")), "rows would win over text: {shown}");
        admin.fill("plan", &right).await;
        admin.until(&preview("in 2 phases")).await;
        // No more rows than the server reads.
        admin.run(ONE_MORE_ROW, vec![]).await;
        admin.click("[data-plan-add]").await;
        admin.until("document.querySelector('[data-plan-add]').disabled").await;
        // What was typed an instant before a row goes up is in it.
        for (was, is, first, second) in [("40s", "41s", "50", "300"), ("41s", "40s", "300", "50")] {
            admin.run(TYPE_AND_MOVE, vec![json!(was), json!(is)]).await;
            let order = format!("{text}.indexOf('rate = {first}') < {text}.indexOf('rate = {second}')");
            admin.until(&format!("{text}.includes('\"{is}\"') && {order}")).await;
        }
        // The second row goes up, and the text with it.
        admin.click("[data-plan-row]:nth-child(2) [aria-label='Move up phase 2']").await;
        admin.until(&format!("{text}.indexOf('rate = 50') < {text}.indexOf('rate = 300')")).await;
        admin.click("#contest button.primary").await;
        admin.find("#difference").await;
        admin.click("#difference button.primary").await;
        admin.until("document.querySelector('.notice.good')").await;
        admin.until("document.querySelector('[name=phase_0_for]').value === '20s'").await;

        // The other tab changes something else, and both are saved.
        other.fill("grace", "2s").await;
        other.click("#contest button.primary").await;
        findings.here(&other, "settings-difference", axe.as_deref()).await;
        let asked = other.words_of("#difference").await;
        assert!(asked.contains("2s") && !asked.contains("300"), "{asked}");
        other.click("#difference button.primary").await;
        other.until("document.querySelector('.notice.good')").await;
        other.until("document.querySelector('[name=phase_0_for]').value === '20s'").await;
        // The same field in both: both texts are shown.
        admin.fill("grace", "3s").await;
        admin.click("#contest button.primary").await;
        admin.until_words("Somebody else has changed the same").await;
        findings.here(&admin, "settings-conflict", axe.as_deref()).await;

        // A team opens in its line without another page, and whoever acts on it comes back to it.
        admin.go("/setting").await;
        admin.run("window.stays = true", vec![]).await;
        admin.click("[data-team-open]").await;
        admin.find(".team-opened form[action$='/adjust']").await;
        assert!(
            admin.run("return window.stays === true && location.search.startsWith('?team=')", vec![]).await == true
        );
        admin.fill("points", "-500").await;
        admin.fill_in("", "reason", "a late start").await;
        admin.picture("control-team", 1280).await;
        admin.click(".team-opened form[action$='/adjust'] button").await;
        admin.until_words("-500 points").await;
        admin.find(".team-opened form[action$='/adjust']").await;

        // The session ends while something is typed: the page says so and stays, it is asked about after signing in, and done
        // then. Whoever has typed nothing is asked to sign in at once.
        admin.fill_in("/setting/announce", "text", "Lunch is late").await;
        other.go("/account").await;
        other.submit("/account/sessions/end-others").await;
        admin.until_words("Your session has ended.").await;
        admin.until("document.querySelector('[data-link]').dataset.state === 'out'").await;
        findings.here(&admin, "session-over", axe.as_deref()).await;
        admin.submit("/setting/announce").await;
        admin.until_words("What you typed is kept").await;
        findings.here(&admin, "session-ended", axe.as_deref()).await;
        admin.fill("name", ADMIN).await;
        admin.fill("password", PASSWORD).await;
        admin.submit("/login").await;
        admin.until_words("Lunch is late").await;
        findings.here(&admin, "session-kept", axe.as_deref()).await;
        admin.submit("/setting/announce").await;
        admin.until("document.querySelector('.notice.good')").await;
        // The browser says so of the pages that ask once more.
        let said = ["the server responded with a status of 422", "the server responded with a status of 401"];
        assert!(findings.0.is_empty(), "{} findings:\n{}", findings.0.len(), findings.0.join("\n"));
        admin.assert_clean_but(&said).await;
        other.assert_clean().await;
        admin.close().await;
        other.close().await;
    });
}
