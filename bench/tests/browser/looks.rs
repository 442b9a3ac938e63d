//! Every page at the width of a phone, a notebook and a projector: pictures are kept, nothing scrolls sideways, the console
//! stays silent, nobody else is asked for anything, and axe-core finds nothing.

use crate::arena::{Arena, PASSWORD};
use crate::browser::{Browser, WIDTHS, build, pictures, play, say, turn};
use crate::described::undescribed;
use serde_json::Value;
use std::time::Duration;

/// Pages of nobody, of a team, of an admin: the name of the picture, and the path.
const PUBLIC: &[(&str, &str)] = &[
    ("login", "/login"),
    ("login-link", "/login/link/bob/0"),
    ("register", "/register"),
    ("rules", "/rules"),
    ("screen", "/screen"),
    ("error", "/no-such-page"),
];
const TEAM: &[(&str, &str)] =
    &[("index", "/index"), ("chart-team", "/chart"), ("account", "/account"), ("logout", "/logout")];
const ADMIN: &[(&str, &str)] = &[
    ("chart", "/chart"),
    ("setting", "/setting"),
    ("setting-team", "/setting?team=2"),
    ("settings", "/setting/contest"),
    ("setting-token", "/setting-token"),
    ("slips", "/setting-token/slips"),
    ("audit", "/audit"),
    ("index-view-as", "/index"),
    ("projector", "/chart?view=projector"),
    ("ticker", "/chart?view=ticker"),
    ("reveal", "/chart?view=reveal"),
];

/// All that is wrong with somebody's pages, page by page; told together at the end.
#[derive(Default)]
pub(crate) struct Findings(pub(crate) Vec<String>);

#[test]
fn every_page_is_fit_to_be_seen_at_every_width() {
    let Some(_turn) = turn() else { return };
    let axe = axe();
    play(async {
        let mut arena = Arena::short();
        arena.team("alice", "Alice & Company of the long Name", &[]);
        arena.team("bob", "Bob", &["--faults", "wrong_token:5,status:41=503"]);
        arena.team("carol", "Carol <3", &["--faults", "missing_version:4,garbage:59,reset:53"]);
        arena.team("dave", "شركة داود", &["--faults", "delay:1=20ms"]);
        let (nobody, team, admin) = (arena.browser().await, arena.browser().await, arena.admin_browser().await);
        team.sign_in("bob", PASSWORD).await;
        // One that nobody has used, for the slip.
        arena.invitation();
        arena.arm("+6s");
        arena.until_state("running");
        tokio::time::sleep(Duration::from_secs(8)).await;
        let axe = axe.as_deref();
        let mut told = Findings::default();
        told.answers(&team, &["/api/me"]).await;
        // While the round runs, and so with moving numbers. Three people look at the same time.
        let running = tokio::join!(walk(&admin, "running", &ADMIN[..1], axe), walk(&team, "running", &TEAM[..1], axe));
        arena.until_it_counts();
        let sealed =
            tokio::join!(walk(&nobody, "", PUBLIC, axe), walk(&team, "", TEAM, axe), walk(&admin, "", ADMIN, axe));
        told.answers(&team, &["/api/me/seconds", "/api/standings", "/api/history"]).await;
        told.answers(&admin, &["/api/standings", "/api/reveal?step=1", "/live"]).await;
        admin.go("/setting-token/slips").await;
        told.slips(&admin).await;
        let findings = [running.0, running.1, sealed.0, sealed.1, sealed.2, told.0].concat();
        say(&format!("pictures are in {}", pictures().display()));
        assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
        for browser in [nobody, team, admin] {
            browser.assert_clean_but(&["no-such-page"]).await;
            browser.close().await;
        }
    });
}

/// Looks at each page in every width, and in the dark.
pub(crate) async fn walk(browser: &Browser, when: &str, pages: &[(&str, &str)], axe: Option<&str>) -> Vec<String> {
    let mut findings = Findings::default();
    for (name, path) in pages {
        let name = if when.is_empty() { (*name).to_owned() } else { format!("{name}-{when}") };
        browser.prefer("light").await;
        for width in WIDTHS {
            browser.resize(width).await;
            browser.go(path).await;
            settle(browser).await;
            browser.picture(&name, width).await;
            findings.look(browser, &name, width).await;
            if width != 1920 {
                findings.ask(browser, &format!("{name} at {width} px"), axe).await;
            }
        }
        browser.prefer("dark").await;
        browser.resize(1280).await;
        browser.go(path).await;
        settle(browser).await;
        browser.picture(&format!("{name}-dark"), 1280).await;
        findings.ask(browser, &format!("{name} in the dark"), axe).await;
    }
    findings.0
}

impl Findings {
    /// The page that is open, as it stands, on a phone and on a notebook.
    pub(crate) async fn here(&mut self, browser: &Browser, name: &str, axe: Option<&str>) {
        for width in [360, 1280] {
            browser.resize(width).await;
            browser.picture(name, width).await;
            self.look(browser, name, width).await;
            self.ask(browser, &format!("{name} at {width} px"), axe).await;
        }
    }

    /// Whether docs/api.md describes what these addresses answer to whoever is signed in; `/live` by its first frame.
    pub(crate) async fn answers(&mut self, browser: &Browser, addresses: &[&str]) {
        for address in addresses {
            let script = match *address {
                "/live" => "const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/live`); \
                            socket.onmessage = (event) => { socket.close(); done(JSON.parse(event.data)); }"
                    .to_owned(),
                _ => format!("fetch('{address}').then((got) => got.json()).then(done)"),
            };
            let answer = browser.run_async(&format!("const done = arguments[0]; {script}")).await;
            assert!(answer.is_object() || answer.is_array(), "{address}: {answer}");
            self.0.extend(undescribed(address, &answer));
        }
    }

    /// The square of a slip is thirty millimetres: a phone reads it from paper.
    async fn slips(&mut self, browser: &Browser) {
        let side = "const box = document.querySelector('.slip .qr').getBoundingClientRect(); \
                    return [box.width, box.height].map((side) => side / 96 * 25.4)";
        let sides = browser.run(side, vec![]).await;
        for side in sides.as_array().into_iter().flatten().filter_map(Value::as_f64) {
            if (side - 30.0).abs() > 0.2 {
                self.0.push(format!("the square of a slip has a side of {side:.1} mm"));
            }
        }
    }

    /// Nothing may stick out sideways, nor be cut off there.
    pub(crate) async fn look(&mut self, browser: &Browser, name: &str, width: u32) {
        let script = "const root = document.documentElement; \
                      const clipped = one => one.parentElement && (getComputedStyle(one.parentElement).overflowX !== 'visible' || clipped(one.parentElement)); \
                      const wide = [...document.querySelectorAll('body *')]\
                      .filter(one => one.getBoundingClientRect().right > root.clientWidth + 0.3)\
                      .filter(one => !clipped(one)).slice(0, 5)\
                      .map(one => one.tagName + '.' + one.className + ' ' + one.getBoundingClientRect().right + ' ' + one.textContent.trim().slice(0, 40)); \
                      const cut = [...document.querySelectorAll('.standings-box [data-rows] td')]\
                      .filter(one => one.getBoundingClientRect().right > one.closest('.standings-box').getBoundingClientRect().right + 0.5)\
                      .slice(0, 3).map(one => one.className + ' ' + one.textContent.trim()); return [root.scrollWidth, root.clientWidth, wide, cut]";
        let said = browser.run(script, vec![]).await;
        if said[0].as_i64() > said[1].as_i64() {
            self.0.push(format!("{name} at {width} px scrolls sideways, to {} px: {}", said[0], said[2]));
        }
        if said[3].as_array().is_some_and(|cut| !cut.is_empty()) {
            self.0.push(format!("{name} at {width} px cuts figures of the standings off: {}", said[3]));
        }
    }

    pub(crate) async fn ask(&mut self, browser: &Browser, page: &str, axe: Option<&str>) {
        let Some(axe) = axe else { return };
        for violation in browser.violations(axe).await.as_array().into_iter().flatten() {
            let node = &violation["nodes"][0];
            self.0.push(format!(
                "{page}: {} ({}), {} times, as {}: {}",
                violation["id"].as_str().unwrap_or_default(),
                violation["impact"].as_str().unwrap_or_default(),
                violation["nodes"].as_array().map_or(0, Vec::len),
                node["html"].as_str().unwrap_or_default(),
                node["failureSummary"].as_str().unwrap_or_default().replace('\n', " "),
            ));
        }
    }
}

/// Waits until fonts are there and the first frame of the feed is drawn, where there is a feed.
pub(crate) async fn settle(browser: &Browser) {
    browser.until("document.readyState === 'complete' && document.fonts.status === 'loaded'").await;
    let live = "!document.body.dataset.live || !document.querySelector('[data-link]') \
                || document.querySelector('[data-link]').dataset.state !== 'still'";
    browser.until(live).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
}

/// The script of axe-core, which `make test` fetches; without it that part is left out aloud.
pub(crate) fn axe() -> Option<String> {
    let path = build().join("axe/axe.min.js");
    match std::fs::read_to_string(&path) {
        Ok(script) => Some(script),
        Err(error) => {
            say(&format!(
                "SKIPPED: no axe-core looked at the pages ({}: {error}); make test fetches it by npm",
                path.display()
            ));
            None
        }
    }
}

impl Browser {
    /// What axe-core finds on the page, however small.
    async fn violations(&self, axe: &str) -> Value {
        self.run(axe, vec![]).await;
        let script = "const done = arguments[arguments.length - 1]; \
                      axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations\
                      .map(one => ({id: one.id, impact: one.impact, nodes: one.nodes.map(node => \
                      ({html: node.html.slice(0, 200), failureSummary: node.failureSummary}))}))), \
                      error => done([{id: 'axe', impact: String(error), nodes: []}]))";
        self.run_async(script).await
    }
}
