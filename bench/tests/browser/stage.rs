//! The stage: the chart of many teams, the axis that is the round, the time machine, the comparison.

use crate::arena::{ADMIN, Arena, PASSWORD, must};
use crate::browser::{Browser, WIDTHS, play, say, stage_is, turn};
use crate::looks::{Findings, axe, walk};
use flowtest_bench::contest_box::{Dashboard, Redis, Team};
use flowtest_bench::viewers::show::{CONTEST, Show};
use flowtest_testkit::is_long;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Of a contest of this size.
const TEAMS: u32 = 199;
/// How long the page is watched: one frame a second.
const WATCHED: Duration = Duration::from_secs(8);
/// What one frame may cost, script and style and layout, as a part of what it takes the same page to turn round a copy of all its
/// rows and to lay them out, which slows down with the machine and changes with the browser: a frame moves some of its rows, and
/// writes those that are seen: 0.9 to 1.3 of it on a machine with much other work.
const FRAME_OF_CONTROL_MAX: f64 = 2.5;
/// So often before what is measured, and as often behind it.
const CONTROL_TURNS: u32 = 4;
const CONTROL: &str = "const box = document.createElement('div'); \
    box.append(document.querySelector('[data-rows]').closest('table').cloneNode(true)); \
    box.style = 'position: fixed; inset: 0; visibility: hidden; contain: strict'; document.body.append(box); \
    const [body] = box.firstChild.tBodies; \
    for (let turn = 0; turn < arguments[0]; turn++) { body.append(...[...body.rows].reverse()); body.offsetHeight; } \
    box.remove()";
/// Rows that are put elsewhere, as a part of the fewest that bring one order into the next: all but the longest run of rows that
/// keep their order. A row that moved down and up again in one turn counts twice.
const MOVED_OF_FEWEST_MAX: f64 = 1.1;
/// Notes the rows that are moved, and each order that they come to: what is done meanwhile counts as the page's own work.
const NOTE_MOVED: &str = "const rows = document.querySelector('[data-rows]'); \
    window.moved = 0; window.orders = [[...rows.children]]; \
    window.watch = new MutationObserver((all) => { \
        for (const one of all) window.moved += one.removedNodes.length; \
        window.orders.push([...rows.children]); \
    }); \
    window.watch.observe(rows, { childList: true })";
/// Counts the rows that were moved, and the fewest that would have done.
const COUNT_MOVED: &str = "window.watch.disconnect(); let fewest = 0; \
    for (const [turn, order] of window.orders.slice(1).entries()) { \
        const place = new Map(window.orders[turn].map((row, at) => [row, at])); \
        const longest = []; \
        for (const [at, row] of order.entries()) { \
            const before = longest.filter((_, to) => place.get(order[to]) < place.get(row)); \
            longest[at] = 1 + Math.max(0, ...before); \
        } \
        fewest += order.length - Math.max(...longest); \
    } \
    return [window.moved, fewest]";
/// Layouts that one frame may cost: one for the rows that were written, and those of what moves.
const LAYOUTS_OF_A_FRAME_MAX: f64 = 8.0;

/// What the browser has counted of this page since it was opened.
struct Work {
    work_s: f64,
    script_s: f64,
    layouts: f64,
    at_s: f64,
}

impl Work {
    async fn of(browser: &Browser) -> Work {
        let metrics = browser.cdp("Performance.getMetrics", json!({})).await;
        let value = |name: &str| {
            let all = metrics["metrics"].as_array().into_iter().flatten();
            let found = all.clone().find(|one| one["name"] == name).and_then(|one| one["value"].as_f64());
            found.unwrap_or_else(|| panic!("no {name} in {metrics}"))
        };
        let work_s = ["ScriptDuration", "RecalcStyleDuration", "LayoutDuration"].map(value).iter().sum();
        let script_s = value("ScriptDuration");
        Work { work_s, script_s, layouts: value("LayoutCount"), at_s: value("Timestamp") }
    }
}

/// What a turn of the control costs.
async fn control(browser: &Browser) -> f64 {
    let before = Work::of(browser).await;
    browser.run(CONTROL, vec![json!(CONTROL_TURNS)]).await;
    (Work::of(browser).await.work_s - before.work_s) / f64::from(CONTROL_TURNS)
}

#[test]
fn the_chart_of_199_teams_writes_what_is_seen_and_asks_for_no_layout() {
    let Some(_turn) = turn() else { return };
    play(async {
        let folder = tempfile::tempdir().expect("a folder of its own");
        let redis = must(Redis::start(&folder.path().join("redis")));
        let show = must(Show::open(&redis.url(), TEAMS));
        let dashboard = must(Dashboard::start(folder.path(), &redis.url(), CONTEST));
        must(dashboard.create_admin(ADMIN, PASSWORD));
        let browser = Browser::with_motion(dashboard.url()).await;
        browser.sign_in(ADMIN, PASSWORD).await;
        browser.resize(1280).await;
        browser.prefer("light").await;
        browser.cdp("Performance.enable", json!({})).await;
        browser.go("/chart").await;
        browser.until(&format!("document.querySelectorAll('[data-rows] tr').length === {TEAMS}")).await;
        browser.until("document.querySelector('[data-chart]').lines.plot").await;
        // Points move, and the rows that are seen say so.
        browser.run("window.first = document.querySelector('[data-rows] .col-points').textContent", vec![]).await;
        browser.until("document.querySelector('[data-rows] .col-points').textContent !== window.first").await;
        let control_before = control(&browser).await;
        browser.run(NOTE_MOVED, vec![]).await;
        let before = Work::of(&browser).await;
        tokio::time::sleep(WATCHED).await;
        let after = Work::of(&browser).await;
        let counts = browser.run(COUNT_MOVED, vec![]).await;
        let [moved, fewest] = [0, 1].map(|at| counts[at].as_f64().expect("a count"));
        let control_s = (control_before + control(&browser).await) / 2.0;
        let frames = after.at_s - before.at_s;
        let frame_s = (after.work_s - before.work_s) / frames;
        let layouts = (after.layouts - before.layouts) / frames;
        // Rows stand as the standings do.
        let stand = "[...document.querySelectorAll('[data-rows] tr')].map((row) => row.dataset.id)";
        let feed = "document.querySelector('[data-chart]').lines.feed";
        browser
            .until(&format!("JSON.stringify({stand}) === JSON.stringify({feed}.standings().map((line) => line.id))"))
            .await;
        let script_s = (after.script_s - before.script_s) / frames;
        let ratio = frame_s / control_s;
        say(&format!(
            "{TEAMS} teams: {:.1} ms a frame, {ratio:.2} of its control, {:.1} of them script, {layouts:.1} layouts, {:.0} rows moved, {:.0} at the fewest",
            frame_s * 1e3,
            script_s * 1e3,
            moved / frames,
            fewest / frames
        ));
        assert!(fewest > 0.0, "no row passed another");
        assert!(moved <= MOVED_OF_FEWEST_MAX * fewest, "{moved} rows were put elsewhere, {fewest} would have done");
        assert!(layouts <= LAYOUTS_OF_A_FRAME_MAX, "{layouts} layouts a frame");
        assert!(ratio <= FRAME_OF_CONTROL_MAX, "a frame costs {ratio:.2} of the control");
        // What is far below was not written; it is as soon as it is looked at.
        let last = "document.querySelector('[data-rows]').lastElementChild";
        browser.run(&format!("window.old = {last}.querySelector('.col-points').textContent"), vec![]).await;
        browser.run(&format!("{last}.scrollIntoView()"), vec![]).await;
        browser.until(&format!("{last}.querySelector('.col-points').textContent !== window.old")).await;
        the_reveal_goes_by_keys_and_tells_many_together(&browser).await;
        if is_long() {
            pictures_of_many(&browser, &dashboard, folder.path()).await;
        }
        browser.assert_clean().await;
        browser.close().await;
        show.close();
    });
}

/// From the last place to the podium and back; of later places nothing is in the page.
async fn the_reveal_goes_by_keys_and_tells_many_together(browser: &Browser) {
    browser.go("/chart?view=reveal").await;
    let told = async |step: usize, said: &str, known: usize| {
        let names = "document.querySelectorAll('[data-reveal-board] li[data-id]').length";
        let unknown = "document.querySelectorAll('[data-reveal-board] li.unknown').length";
        browser
            .until(&format!(
                "location.hash === '#{step}' && {names} === {known} && {unknown} === {TEAMS} - {known} && \
                 document.querySelector('[data-reveal-said]').textContent === {}",
                json!(said)
            ))
            .await;
    };
    told(0, "Who has won?", 0).await;
    for (step, key, said, known) in [
        (1, "ArrowRight", "Places 199 to 101", 99),
        (2, " ", "Places 100 to 51", 149),
        (3, "PageDown", "Places 50 to 21", 179),
        (2, "ArrowLeft", "Places 100 to 51", 149),
        (1, "PageUp", "Places 199 to 101", 99),
    ] {
        browser.key(key).await;
        told(step, said, known).await;
    }
    // Whoever has scrolled goes on by the same keys.
    browser.run("document.querySelector('[data-reveal-board]').focus()", vec![]).await;
    browser.key(" ").await;
    told(2, "Places 100 to 51", 149).await;
    // Two groups, seven places, and of the first three each is announced; then there is nothing to go on to.
    for step in 3..=18 {
        browser.key("ArrowRight").await;
        browser.until(&format!("location.hash === '#{step}'")).await;
    }
    told(18, "The podium", 199).await;
    browser
        .until(
            "!document.querySelector('[data-podium]').hidden && document.querySelector('[data-reveal-next]').disabled",
        )
        .await;
}

/// The pages of the day with so many teams: pictures are kept, and nothing scrolls sideways.
async fn pictures_of_many(browser: &Browser, dashboard: &Dashboard, folder: &Path) {
    let mut findings = Findings::default();
    let invitation = must(dashboard.invite(1)).remove(0);
    must(Team::register(dashboard.visitor(), &invitation, "contestant-7", "The seventh of many teams", PASSWORD));
    let team = Browser::open(dashboard.url()).await;
    team.sign_in("contestant-7", PASSWORD).await;
    let pages =
        [("chart-199", "/chart"), ("projector-199", "/chart?view=projector"), ("reveal-199", "/chart?view=reveal")];
    let seen = [walk(browser, "", &pages, None).await, walk(&team, "", &[("index-199", "/index")], None).await];
    findings.0.extend(seen.concat());
    browser.assert_clean().await;
    open_report(browser, folder).await;
    for width in WIDTHS {
        browser.resize(width).await;
        browser.picture("report-199", width).await;
        findings.look(browser, "report", width).await;
    }
    assert!(findings.0.is_empty(), "{} findings:\n{}", findings.0.len(), findings.0.join("\n"));
    team.assert_clean().await;
    team.close().await;
}

/// The report is a file: it is shown as whoever opens it sees it.
async fn open_report(browser: &Browser, folder: &Path) {
    let report = browser.run_async("fetch('/report.html').then(got => got.text()).then(arguments[0])").await;
    let file = folder.join("report.html");
    std::fs::write(&file, report.as_str().expect("a page")).expect("it is written");
    browser.open_file(&file).await;
}

/// Points on the board, by name.
const POINTS: &str = "Object.fromEntries([...document.querySelectorAll('[data-rows] tr')].map(row => \
    [row.querySelector('.name').textContent, Number(row.querySelector('.col-points').textContent.replace('−', '-').replace(/[^0-9-]/g, ''))]))";

#[test]
fn the_axis_is_the_round_and_the_time_machine_shows_any_instant_of_it() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::short();
        arena.team("alice", "Alice", &[]);
        arena.team("bob", "Bob", &["--faults", "status:1=503"]);
        let (browser, phone) = (arena.admin_browser().await, arena.browser().await);
        let (mut findings, axe) = (Findings::default(), axe());
        let axe = axe.as_deref();
        phone.sign_in("bob", PASSWORD).await;
        browser.go("/chart").await;
        arena.arm("+6s");
        browser.until(&stage_is("running")).await;
        // Bob's server gives no right answer: the board says so at once, whatever his points are.
        browser.until("document.querySelector('tr.failing .team-state')?.textContent.includes('failing for')").await;
        browser.until("document.querySelector('tr.failing .name').textContent === 'Bob'").await;
        // From the first second on the axis is as long as the round; deadlines have their names, which never collide.
        let lines = "document.querySelector('[data-chart]').lines";
        browser.until(&format!("{lines}.axis && Math.abs({lines}.axis.max - 20) < 0.1")).await;
        names_of_marks_never_collide(&browser, lines).await;
        let tints = browser.run(&format!("return [...{lines}.tints.of.values()]"), vec![]).await;
        let tints = tints.as_array().expect("a list").clone();
        assert!(
            tints.len() >= 2 && tints.iter().enumerate().all(|(at, tint)| !tints[..at].contains(tint)),
            "{tints:?}"
        );
        assert_eq!(browser.count("[data-rows] tr.house").await, 1, "the house has a line of its own");
        browser.until("document.querySelector('[data-rows] tr:last-child .name').textContent === 'House'").await;
        failing_on_a_phone(&phone).await;
        findings.ask(&phone, "index that fails, with an error open", axe).await;
        arena.until_state("sealed");
        browser.until(&stage_is("sealed")).await;
        let all = browser.run(&format!("return {POINTS}"), vec![]).await;
        // It is no longer for the time in which it drained and was sealed; at its end stands what it came to.
        let ends = format!(
            "Math.abs({lines}.axis.max - 20) < 0.01 && Math.abs({lines}.plot.data[0].at(-1) - 20) < 0.01 && \
             {lines}.ids.every((id, at) => id === 'house' || {lines}.plot.data[at + 1].at(-1) === \
             ({POINTS})[{lines}.feed.name(id)])"
        );
        browser.until(&ends).await;
        browser.go("/chart").await;
        browser.until(&format!("{lines}?.axis && {ends}")).await;

        // By a link, to the middle of the round.
        let rounds = browser.run(&format!("return {lines}.store.rounds"), vec![]).await;
        let start = rounds[0]["start_at"].as_i64().expect("an instant");
        browser.go(&format!("/chart?at={}", start + 10_000)).await;
        browser.until("document.body.classList.contains('is-past')").await;
        browser.until(&stage_is("running")).await;
        browser.until(&format!("({POINTS}).Alice > 0")).await;
        let then = browser.run(&format!("return {POINTS}"), vec![]).await;
        assert!(then["Alice"].as_i64() < all["Alice"].as_i64(), "{then} is not before {all}");
        assert!(then["Bob"].as_i64() > all["Bob"].as_i64(), "{then} is not before {all}");
        // The countdown stands where it stood, and the lines end there.
        let left = browser.words_of("[data-stage-clock] [data-until]").await;
        assert!(left == "0:10" || left == "0:11", "{left}");
        browser.until(&format!("{lines}.until === {}", (start + 10_000) as f64 / 1e3)).await;
        browser.until(&format!("({lines}.plot.data[0].at(-1)) <= 10.01")).await;
        browser.until("document.querySelector('tr.failing .name').textContent === 'Bob'").await;
        // So do the small curves.
        let curve = "document.querySelector('tr.failing .spark path').getAttribute('d').match(/[ML]/g).length";
        let known =
            format!("{lines}.store.recent(document.querySelector('tr.failing').dataset.id, 300, {lines}.until).length");
        browser.until(&format!("{curve} > 2 && {curve} === {known}")).await;
        findings.ask(&browser, "chart of an instant that is over, where somebody failed", axe).await;

        a_paused_page_moves_and_an_instant_that_fails_is_asked_again(&browser, start, &then["Alice"]).await;

        // It plays to the end, and comes back.
        browser.run("document.querySelector('[data-machine-speed]').value = '10'", vec![]).await;
        browser.click("[data-machine-play]").await;
        browser.until(&format!("({POINTS}).Alice > {}", then["Alice"])).await;
        browser.click("[data-machine-live]").await;
        browser.until(&stage_is("sealed")).await;
        browser.until(&format!("JSON.stringify({POINTS}) === '{}'", serde_json::to_string(&all).expect("JSON"))).await;
        browser.until("!location.search.includes('at=')").await;

        // Two teams beside each other: their lines alone, and their numbers.
        browser.click("[data-compare-button]").await;
        browser.until_words("Pin two to five teams").await;
        let pins: Value = browser
            .run(
                "for (const row of document.querySelectorAll('[data-rows] tr:not(.house) .pin')) row.click(); \
                                       return location.search",
                vec![],
            )
            .await;
        assert!(pins.as_str().is_some_and(|query| query.contains("compare") && query.contains("pin=")), "{pins}");
        browser.until("document.querySelectorAll('.compare thead th').length === 2").await;
        browser.until(&format!("{lines}.ids.length === 2")).await;
        findings.ask(&browser, "chart of two beside each other", axe).await;
        // Her page was open all the time.
        adds_up(&phone, &browser, &arena).await;
        findings.ask(&phone, "index of a round that is over, with an adjustment", axe).await;
        tells_and_says_when_nobody_answers(&phone).await;
        me_against_another(&phone).await;
        let report = browser.run_async("fetch('/report.html').then(got => got.text()).then(arguments[0])").await;
        let report = report.as_str().expect("a page");
        for part in
            ["<th class=\"r\">Round 1</th>", "\u{2212}500</td>", "at 200 a second", "missed ", "class=\"failed\" d=\"M"]
        {
            assert!(report.contains(part), "the report of a round that was played does not say {part}: {report}");
        }
        browser.assert_clean().await;
        let folder = tempfile::tempdir().expect("a folder");
        open_report(&browser, folder.path()).await;
        findings.ask(&browser, "report", axe).await;
        browser.close().await;
        phone.assert_clean().await;
        a_session_that_ends_is_told(&phone, &arena).await;
        findings.ask(&phone, "index of whoever is signed out", axe).await;
        assert!(findings.0.is_empty(), "{} findings:\n{}", findings.0.len(), findings.0.join("\n"));
        phone.assert_clean_but(&["the server responded with a status of 401"]).await;
        phone.close().await;
    });
}

/// Another instant on a page that somebody has paused: all of it is of then. And while the dashboard refuses, it says so.
async fn a_paused_page_moves_and_an_instant_that_fails_is_asked_again(browser: &Browser, start: i64, then: &Value) {
    let to = |at: i64| {
        format!(
            "const slider = document.querySelector('[data-machine-at]'); slider.value = {at}; \
             slider.dispatchEvent(new Event('input'))"
        )
    };
    browser.click("[data-pause]").await;
    browser.run(&to(start + 5_000), vec![]).await;
    browser.until(&format!("({POINTS}).Alice < {then}")).await;
    browser.until("document.querySelector('[data-pause]').getAttribute('aria-pressed') === 'false'").await;
    let refuse = "window.real = window.fetch; window.fetch = async () => new Response('', { status: 503 })";
    browser.run(refuse, vec![]).await;
    browser.run(&to(start + 10_000), vec![]).await;
    let said = "document.querySelector('[data-machine-said]').textContent.includes('not known')";
    browser.until(said).await;
    browser.until(&format!("({POINTS}).Alice < {then}")).await;
    browser.run("window.fetch = window.real", vec![]).await;
    browser.until(&format!("({POINTS}).Alice === {then} && !{said}")).await;
}

/// Both deadlines and many phases at nearly the same instant: deadlines keep their names, and no name covers another.
async fn names_of_marks_never_collide(browser: &Browser, lines: &str) {
    let marks = format!(
        "const lines = {lines}; const at = lines.store.rounds.at(-1).start_at; const mark = (kind, label, into) => \
         ({{ kind, label, at: at + into }}); lines.store.marks = [mark('phase', 'phase 1: 200/s', 0), \
         mark('phase', 'phase 2: 200 to 4000/s', 9_000), mark('version', 'Version: v2', 10_000), \
         mark('from', 'From: ECS', 10_100), mark('phase', 'phase 3: as fast as answers come', 10_200)]; \
         lines.draw(); setTimeout(() => arguments[0](lines.marked), 50)"
    );
    let marked = browser.run_async(&marks).await;
    let marked = marked.as_array().expect("names").clone();
    let named = |label: &str| marked.iter().any(|one| one["label"] == label);
    assert!(named("Version: v2") && named("From: ECS"), "{marked:?}");
    for (index, one) in marked.iter().enumerate() {
        for other in &marked[..index] {
            let is_apart = one["row"] != other["row"]
                || one["to"].as_f64() < other["from"].as_f64()
                || other["to"].as_f64() < one["from"].as_f64();
            assert!(is_apart, "{one} covers {other}");
        }
    }
}

/// A team whose server fails: its page begins with that, in the tab too, and stays within the phone.
async fn failing_on_a_phone(phone: &Browser) {
    phone.resize(360).await;
    phone.go("/index").await;
    phone.until("document.querySelector('[data-health]').dataset.tone === 'bad'").await;
    phone.until("document.title.startsWith('✕ Failing') && document.querySelector('link[rel=icon]').href.includes('icon-bad')").await;
    // Its newest failure, or what the newest check found.
    phone.until("/not admitted|not 2xx/.test(document.querySelector('[data-health-text]').innerText)").await;
    // A machine of ours that is late here is told above it.
    let bottom = "const height = element => element.getBoundingClientRect().height; \
                  const notices = [...document.querySelectorAll('.notices')].reduce((sum, one) => sum + height(one), 0); \
                  return document.querySelector('[data-health]').getBoundingClientRect().bottom - notices";
    let bottom = phone.run(bottom, vec![]).await;
    let words = phone.words_of("[data-health]").await;
    let is_within = bottom.as_f64().is_some_and(|bottom| bottom < 780.0);
    assert!(is_within, "the banner ends at {bottom} of a phone's 780 px: {words}");
    // A second that is chosen shows what failed in it.
    phone.until("document.querySelector('[data-seconds] path.failed')?.getAttribute('d')").await;
    phone.until("document.querySelectorAll('[data-errors] details').length > 0").await;
    phone.click("[data-errors] details summary").await;
    let wide =
        phone.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth", vec![]).await;
    assert_eq!(wide, 0, "an error that is open makes the page wider than the phone");
    a_second_shows_what_failed_in_it(phone).await;
    phone.click("[data-seconds]").await;
    phone.until("document.querySelector('[data-seconds-said]').textContent.includes('failed')").await;
    phone.click("[data-ledger] a[data-kind=missed]").await;
    phone.until("[...document.querySelectorAll('[data-errors] details')].some(one => !one.hidden)").await;
    // What tells her of it is her choice, which her phone keeps.
    phone.click(".health-tell summary").await;
    phone.click("[data-tell=sound]").await;
    phone.go("/index").await;
    phone.until("document.querySelector('[data-tell=sound]').checked").await;
}

/// The same failure came in two seconds, and the one that is chosen opens its own: by when it timed out, not by when it was sent.
async fn a_second_shows_what_failed_in_it(phone: &Browser) {
    let stand_in = "const done = arguments[0]; window.real = window.fetch; \
         window.real('/api/me/seconds').then(async (answer) => { const at = (await answer.json()).seconds[0].at_ms; \
         const one = (ended_at_ms, request) => ({ kind: 'timeout', message: 'no answer in time', expected: 'one', \
         received: 'none', request, response: '', at_ms: ended_at_ms - 3000, ended_at_ms }); \
         window.fetch = async (address, options) => { const answer = await window.real(address, options); \
         if (!/^\\/api\\/me(\\?|$)/.test(address)) return answer; const me = await answer.json(); \
         me.errors = [one(at + 60_000, 'GET /later'), one(at - 400, 'GET /chosen')]; return new Response(JSON.stringify(me)); }; \
         done(true); })";
    phone.run_async(stand_in).await;
    let shown = "[...document.querySelectorAll('[data-errors] details')].filter((one) => !one.hidden)";
    phone.until(&format!("{shown}.length === 1 && {shown}[0].textContent.includes('2 samples')")).await;
    phone.run("document.querySelector('[data-seconds]').focus()", vec![]).await;
    phone.key("Home").await;
    phone.key("Enter").await;
    phone.until(&format!("{shown}.length === 1 && {shown}[0].textContent.includes('1 sample')")).await;
    let text = phone.run(&format!("return {shown}[0].textContent"), vec![]).await;
    let text = text.as_str().expect("a text");
    assert!(text.contains("GET /chosen") && !text.contains("GET /later"), "{text}");
    phone.click("[data-errors-all]").await;
    phone.until(&format!("{shown}.length === 1 && {shown}[0].textContent.includes('2 samples')")).await;
    phone.run("window.fetch = window.real", vec![]).await;
    phone.until(&format!("!{shown}[0].textContent.includes('no answer in time')")).await;
}

/// The lines of the ledger add up to the score: on a page that stays open while the round is sealed and points are adjusted, and on
/// one that is loaded then.
async fn adds_up(phone: &Browser, organiser: &Browser, arena: &Arena) {
    let number = |css: &str| {
        format!("Number(document.querySelector('{css}').textContent.replace('−', '-').replace(/[^0-9-]/g, ''))")
    };
    let lines = "[...document.querySelectorAll('[data-ledger] .kinds li')].reduce((sum, line) => \
                 sum + Number(line.lastElementChild.textContent.replace('−', '-').replace(/[^0-9-]/g, '')), 0)";
    let (score, total) = (number("[data-me-points]"), number("[data-ledger-total]"));
    let adds_up = format!("{score} < 0 && {total} === {score} && {lines} === {score}");
    phone.until("document.querySelector('[data-my-rounds] tbody tr')").await;
    phone
        .until(&format!("{adds_up} && !document.querySelector('[data-ledger]').textContent.includes('not sealed')"))
        .await;
    phone.until("document.querySelector('[data-seconds-round] option[value=\"1\"]')").await;
    // When requests come again is said, and practice may be asked for, as it might not when the page was loaded.
    let coming = "document.querySelector('[data-coming]:not([hidden])')?.textContent.includes('Requests come when')";
    let may_practise = "!document.querySelector('[data-practice] button').disabled && document.querySelector('[data-practice-refused]').hidden";
    phone.until(&format!("{coming} && {may_practise}")).await;
    let score_before = phone.run(&format!("return {score}"), vec![]).await.as_i64().expect("points");
    // An organiser may set her endpoint; what she is typing stays, and goes nowhere by itself.
    let server = arena.targets.last().expect("her server");
    let id = phone.run("return document.querySelector('[data-index]').dataset.id.slice(1)", vec![]).await;
    let id = id.as_str().expect("an account");
    phone.fill("endpoint", "203.0.113.7:80").await;
    organiser.go(&format!("/index?as={id}")).await;
    arena.set_endpoint(id, &format!("{}/elsewhere", server.endpoint.trim_end_matches('/')));
    phone.until("document.querySelector('[data-endpoint]').textContent.includes('/elsewhere')").await;
    let typed = phone.run("return document.querySelector('[name=endpoint]').value", vec![]).await;
    assert_eq!(typed, "203.0.113.7:80");
    arena.adjust("bob", "-500", "came late");
    phone.until(&format!("{score} === {} && {adds_up}", score_before - 500)).await;
    phone.until_words("Adjusted: came late").await;
    // Whoever looks at her page from Control sees the same without loading it again.
    organiser.until(&format!("{score} === {} && {adds_up}", score_before - 500)).await;
    organiser.until_words("/elsewhere").await;
    phone.go("/index").await;
    phone.until(&adds_up).await;
    phone.until_words("My rounds").await;
    phone.until("document.querySelector('[data-health]').dataset.tone !== 'good'").await;
}

/// What turns bad is told aloud where somebody wanted that, and what nobody answers is not called good.
async fn tells_and_says_when_nobody_answers(phone: &Browser) {
    phone.until("document.querySelector('[data-tell=sound]').checked").await;
    let stub = "window.beeps = 0; window.shakes = 0; const next = (one) => one; \
        window.AudioContext = class { currentTime = 0; \
        createOscillator() { window.beeps += 1; return { frequency: {}, connect: next, start() {}, stop() {} }; } \
        createGain() { return { gain: {}, connect: next }; } }; \
        Navigator.prototype.vibrate = () => { window.shakes += 1; return true; }; \
        Object.defineProperty(navigator, 'userActivation', { value: { hasBeenActive: true } }); \
        window.real = window.fetch; window.tone = 'good'; window.secondsAsked = 0; window.fetch = async (address, how) => { \
        if (String(address).includes('/api/me/seconds')) window.secondsAsked += 1; \
        if (window.tone === null) throw new TypeError('offline'); \
        const answer = await window.real(address, how); if (address !== '/api/me') return answer; \
        const me = await answer.json(); me.health.tone = window.tone; return new Response(JSON.stringify(me)); }";
    phone.run(stub, vec![]).await;
    let tone = |tone: &str| format!("document.querySelector('[data-health]').dataset.tone === '{tone}'");
    phone.until(&tone("good")).await;
    assert_eq!(phone.run("return window.beeps + window.shakes", vec![]).await, 0, "good news makes no noise");
    phone.run("window.tone = 'bad'", vec![]).await;
    phone.until(&tone("bad")).await;
    assert_eq!(phone.run("return [window.beeps, window.shakes]", vec![]).await, json!([1, 1]));
    phone.run("window.tone = 'good'", vec![]).await;
    phone.until(&tone("good")).await;
    phone.run("window.tone = null", vec![]).await;
    phone.until("document.title.startsWith('! Not known')").await;
    phone.until_words("has not answered since").await;
    phone.run("window.tone = 'good'", vec![]).await;
    phone.until(&tone("good")).await;
    // The round is over: its seconds are read once more at the most, in a time in which they would have been read thrice.
    let asked = phone.run("return window.secondsAsked", vec![]).await;
    assert!(asked.as_u64().is_some_and(|asked| asked <= 1), "seconds that do not change were read {asked} times");
}

/// Who is signed out while something stands typed there is told so, and nothing of a dashboard that does not answer.
async fn a_session_that_ends_is_told(phone: &Browser, arena: &Arena) {
    phone.go("/index").await;
    phone.fill("endpoint", "203.0.113.7:80").await;
    arena.end_sessions("bob");
    phone.until("document.title.startsWith('! Signed out')").await;
    phone.until_words("Your session has ended, and nothing here is newer than").await;
    assert_eq!(phone.place().await, "/index");
}

/// From her own page to the chart with her line and that of another alone.
async fn me_against_another(phone: &Browser) {
    let choose = "const rival = document.querySelector('#rival'); \
                  rival.value = [...rival.options].find((one) => one.text === 'Alice').value";
    phone.run(choose, vec![]).await;
    phone.click(".rounds-card form button").await;
    phone.until_place(|place| place.starts_with("/chart?compare=")).await;
    let names = "[...document.querySelectorAll('.compare thead th .name')].map((one) => one.textContent).sort().join()";
    phone.until(&format!("{names} === 'Alice,Bob'")).await;
    phone.until("document.querySelector('[data-chart]').lines.ids.length === 2").await;
}
