//! A breakpoint phase as the room, a rival and the team itself see it: bars that climb together, the break, the clock to the
//! next step, and why a step failed.

use crate::arena::{Arena, PASSWORD};
use crate::browser::{Browser, WIDTHS, play, turn};
use crate::looks::{Findings, axe};

/// Seven steps of nine seconds: the form measures a plan by the usual timeout.
const PLAN: &str = "[[phase]]\nkind = \"breakpoint\"\nfor = \"63s\"\nstart = 100\nstep = \"x2\"\nhold = \"3s\"\n\
                    pass = { verified = 0.99, p99 = \"200ms\" }\nmax = 400\n";

/// What stands under the bar of a team.
fn bar(name: &str, part: &str) -> String {
    format!(
        "[...document.querySelectorAll('[data-climb-bars] li')].find(one => one.querySelector('.name').textContent === \
         '{name}')?.querySelector('{part}')?.textContent"
    )
}

/// What stands in the column *holds* of a team, where that column is shown: `400/s unbroken`.
fn column(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('[data-rows] tr')].filter(row => row.querySelector('.name').textContent === \
         '{name}').map(row => row.querySelector('.col-holds')).find(cell => cell.offsetWidth)?.textContent"
    )
}

#[test]
fn everybody_sees_who_climbs_who_breaks_and_when_the_next_step_is() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::short();
        arena.climbs(PLAN);
        arena.team("alice", "Alice", &["--capacity", "150"]);
        arena.team("bob", "Bob", &[]);
        let (wall, team) = (arena.admin_browser_with_motion().await, arena.browser().await);
        team.sign_in("alice", PASSWORD).await;
        wall.resize(1280).await;
        // The column is there before anybody has climbed.
        wall.go("/chart").await;
        wall.until("document.querySelector('th.col-holds').offsetWidth > 0").await;
        wall.go("/chart?view=projector").await;
        arena.arm("+6s");
        // All climb from the first instant, in the place of the lines.
        wall.until(
            "!document.querySelector('[data-climb]').hidden && document.querySelector('[data-show-chart]').hidden",
        )
        .await;
        wall.until(&format!("{} === 'tries 100'", bar("Alice", ".climb-state"))).await;
        wall.until("document.querySelector('[data-climb-step]').textContent === 'step 1 of 7'").await;
        wall.until("/next step in 0:0[1-9]/.test(document.querySelector('[data-climb-clock]').textContent)").await;
        wall.until(&format!("{} === 'tries 200'", bar("Bob", ".climb-state"))).await;
        // She does not hold 200: everybody sees it, and it is said.
        wall.until("document.querySelector('.climb-team.breaks .name')?.textContent === 'Alice'").await;
        wall.until("document.querySelector('[data-climb-said]').textContent.startsWith('Alice broke at 200/s: ')")
            .await;
        wall.until("document.querySelectorAll('.climb-bar.has-broken').length === 1").await;
        let held = "Math.round(document.querySelector('li[data-id] .climb-held').getBoundingClientRect().height)";
        wall.until(&format!("{held} > 20")).await;
        wall.picture("projector-climb", 1280).await;
        // No two bars have the same colour, where all teams' own are the same and nobody has one yet; the table has theirs.
        wall.run(
            "const { lines } = document.querySelector('[data-chart]'); lines.feed.colour = () => 3; lines.tints.of = new Map()",
            vec![],
        )
        .await;
        let seq = "document.querySelector('[data-chart]').lines.feed.state.seq";
        let seen = wall.run(&format!("return {seq}"), vec![]).await;
        let colours = "[...document.querySelectorAll('.climb-team')].map((one) => [one.className.match(/c[0-9]+/)?.[0], \
                       document.querySelector(`[data-rows] [data-id=\"${one.dataset.id}\"] .swatch`).className])";
        wall.until(&format!(
            "{seq} > {seen} && new Set({colours}.map(([bar]) => bar)).size === 2 && \
             {colours}.every(([bar, swatch]) => swatch.split(' ').includes(bar))"
        ))
        .await;
        // Nobody has a step above 400, so nothing breaks Bob.
        wall.until(&format!("{} === 'unbroken'", bar("Bob", ".climb-state"))).await;
        wall.until(&format!("{} === '400/s'", bar("Bob", ".climb-figure"))).await;

        // Her own page says why, with the figures.
        team.go("/index").await;
        team.until("!document.querySelector('[data-climb-card]').hidden").await;
        team.until_words("200/s failed: ").await;
        team.until("document.querySelectorAll('[data-climb-steps] .step-word.is-bad').length > 0").await;
        let steps = "document.querySelectorAll('[data-climb-steps] tr').length";
        let before = team.run(&format!("return {steps}"), vec![]).await;
        team.until(&format!("{steps} > {before}")).await;

        let mut findings = Findings::default();
        let axe = axe();
        findings.ask(&wall, "projector with bars", axe.as_deref()).await;
        findings.ask(&team, "index while it climbs", axe.as_deref()).await;
        findings.answers(&team, &["/api/me", "/live"]).await;
        for width in WIDTHS {
            team.resize(width).await;
            team.go("/chart").await;
            team.until(&format!("{} === '400/s'", bar("Bob", ".climb-figure"))).await;
            team.until(&format!("{} === '400/s unbroken'", column("Bob"))).await;
            findings.look(&team, "chart with bars", width).await;
            team.picture("chart-climb", width).await;
            findings.ask(&team, &format!("chart with bars at {width} px"), axe.as_deref()).await;
        }
        arena.until_state("sealed");
        // What is over stays on the wall, and in the standings.
        wall.until("document.querySelector('[data-climb-step]').textContent === 'what was held'").await;
        wall.until(&format!("{} === '400/s unbroken'", column("Bob"))).await;
        wall.picture("projector-held", 1280).await;
        lines_come_back(&wall).await;
        let standings = arena.standings();
        let line = |name: &str| {
            let lines = standings["standings"].as_array().into_iter().flatten();
            lines.clone().find(|line| line["name"] == name).cloned().unwrap_or_default()
        };
        assert_eq!((&line("bob")["holds"], &line("bob")["rank"]), (&400.into(), &1.into()), "{standings}");
        assert_eq!(line("bob")["unbroken_by"], "max", "{standings}");
        for page in ["/chart", "/index"] {
            team.resize(360).await;
            team.go(page).await;
            team.until(
                "document.querySelector('[data-climb], [data-climb-card]') && document.readyState === 'complete'",
            )
            .await;
            findings.look(&team, page, 360).await;
            findings.ask(&team, page, axe.as_deref()).await;
        }
        // What is over is no news to whoever looked at an instant before it.
        let lines = "document.querySelector('[data-chart]').lines";
        team.resize(1280).await;
        team.go("/chart").await;
        team.until(&format!("{lines}?.store.rounds.length")).await;
        let start = team.run(&format!("return {lines}.store.rounds.at(-1).start_at"), vec![]).await;
        team.go(&format!("/chart?at={}", start.as_i64().expect("an instant") + 5_000)).await;
        team.until(&format!("{} === 'tries 100'", bar("Alice", ".climb-state"))).await;
        team.click("[data-machine-live]").await;
        team.until(&format!("{} === '400/s'", bar("Bob", ".climb-figure"))).await;
        assert_eq!(team.run("return document.querySelector('[data-climb-said]').textContent", vec![]).await, "");
        arena.until_it_counts();
        // The reveal goes by what is held.
        wall.go("/chart?view=reveal").await;
        wall.until("document.querySelector('[data-reveal-next]')").await;
        // The last place is announced before it is shown.
        for _ in 0..2 {
            wall.click("[data-reveal-next]").await;
        }
        wall.until("/^[0-9]+\\/s$/.test(document.querySelector('[data-reveal-board] li[data-id] .holds').textContent)")
            .await;
        for width in WIDTHS {
            wall.resize(width).await;
            findings.look(&wall, "reveal by what is held", width).await;
            wall.picture("reveal-held", width).await;
        }
        findings.ask(&wall, "reveal by what is held", axe.as_deref()).await;
        let report = wall.run_async("fetch('/report.html').then(got => got.text()).then(arguments[0])").await;
        let report = report.as_str().expect("a page");
        assert!(
            report.contains(">Holds</th>") && report.contains("400/s</b> <span class=\"muted\">unbroken"),
            "{report}"
        );
        assert!(findings.0.is_empty(), "{} findings:\n{}", findings.0.len(), findings.0.join("\n"));
        for browser in [wall, team] {
            browser.assert_clean().await;
            browser.close().await;
        }
    });
}

/// After the bars the lines have the colours of the table again. What a next round would say, before it is played.
async fn lines_come_back(wall: &Browser) {
    let next = "const { feed } = document.querySelector('[data-chart]').lines; feed.hear = () => {}; \
                const round = { ...feed.state.round, climb: null, state: 'armed' }; feed.state = { ...feed.state, round }; \
                feed.show()";
    wall.run(next, vec![]).await;
    let drawn = "(({ plot, ids, colours, tints }) => plot && ids.map((id, at) => [id, colours[`c${tints.of.get(id)}`], \
                 plot.series[at + 1].stroke()]))(document.querySelector('[data-chart]').lines)";
    wall.until(&format!(
        "({drawn})?.length === 2 && ({drawn}).every(([, tint, stroke]) => tint === stroke) && \
         new Set(({drawn}).map(([, , stroke]) => stroke)).size === 2 && !document.querySelector('[data-show-chart]').hidden"
    ))
    .await;
}
