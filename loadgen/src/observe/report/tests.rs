//! A page of a hand-made run: whole, inert, and the same in curves and words.

use super::*;
use crate::engine::block::{Block, Counts};
use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::http::RequestTemplate;
use crate::engine::plan::{ContestantPlan, Load, Phase, Ramp, Target, TrafficMode};
use crate::engine::ring::Features;
use crate::engine::run::{Progress, WorkerReport};
use crate::engine::schedule::{Schedule, Step};
use crate::observe::series::{Look, Moment, RoundPart, State};
use flowtest_contest::breakpoint::Breakpoint;
use flowtest_contest::ladder::{self, LadderTerms, Pass};
use flowtest_contract::rules::{Deadline, Deadlines, Rules, UtcUs};
use flowtest_scoreboard::BusyWith;
use std::sync::Arc;

const UTC: u64 = 1_700_000_000_000_000;
const S: u64 = NS_PER_SECOND;

fn plan(names: &[&str]) -> Plan {
    let phase = |start, end, scored| Phase {
        start: PlanInstant::from_ns(start),
        end: PlanInstant::from_ns(end),
        load: Load::Open(Ramp::per_second(100, 100)),
        connections: 8,
        scored,
    };
    let contestant = |name: &&str| ContestantPlan {
        name: (*name).to_owned(),
        endpoint: format!("http://{name}/"),
        addresses: vec![Target::new(([127, 0, 0, 1], 80).into())],
        request: RequestTemplate::new("/", "localhost"),
        tls: None,
        traffic: TrafficMode::Flood,
    };
    let deadlines = Deadlines { version: Deadline(UtcUs(UTC + 5_000_000)), from: Deadline(UtcUs(UTC + 8_000_000)) };
    Plan {
        rules: Rules::default(),
        schedule: Arc::new(Schedule::steady(deadlines)),
        utc_base: UtcUs(UTC),
        phases: Arc::new([phase(S, 3 * S, false), phase(3 * S, 11 * S, true)]),
        contestants: names.iter().map(contestant).collect(),
        ..Plan::default()
    }
}

/// Ten seconds: everything right, but for what the last contestant does, and one second that is not valid.
fn page(names: &[&str]) -> String {
    let plan = plan(names);
    let mut sums = Block {
        scored: vec![Counts::default(); names.len()],
        unscored: vec![Counts::default(); names.len()],
        ..Block::default()
    };
    let mut series = Series::new(RunInstant::from_ns(S), names.len(), 1);
    for second in 1..=10u64 {
        for index in 0..names.len() {
            let counts = if second <= 2 { &mut sums.unscored[index] } else { &mut sums.scored[index] };
            counts.row.tally.due += 100;
            counts.row.tally.sent += 100;
            let wrong = if index + 1 == names.len() { second } else { 0 };
            counts.row.tally.token_right += 100 - wrong;
            counts.row.tally.version_right += 100 - wrong;
            counts.row.tally.from_right += 100 - wrong;
            counts.row.tally.reset += wrong;
            counts.meter.verified += 100 - wrong;
            counts.meter.late += if second == 7 { 5 } else { 0 };
            (wrong..100).for_each(|n| counts.row.latency.record(80 * n + 40));
        }
        sums.last = RunInstant::from_ns((second + 1) * S);
        let look = Look {
            now: sums.last,
            until: sums.last,
            attended: RunInstant::START,
            sums: &sums,
            cpu_us: Some(second * 250_000),
            late_us: 0,
        };
        series.observe(look, |instant| State::at(&plan, instant), |_| {});
    }
    let workers = vec![WorkerReport { core: 0, counters: Default::default(), user_us: 1, system_us: 2 }];
    let features = Features { no_sqarray: true, min_wait: true };
    let progress = Progress { now: sums.last, until: sums.last, attended: RunInstant::START, sums, workers, features };
    let mut summary = Summary::of(&plan, &progress, false);
    summary.set_validity(&series, None);
    summary.own_fault_cause = Some("a worker never rested");
    summary.busy_with = Some(BusyWith { contestant: names[0].to_owned(), time_percent: 72, requests_percent: 5 });
    let report = ReportPage {
        title: &Title::Contest(names[0].to_owned()),
        plan: &plan,
        series: &series,
        summary: &summary,
        machine: &Machine::here(),
        command: "flowtest-loadgen run '<b>'",
        started: "2023-11-14T22:13:21Z".to_owned(),
    };
    report.render().unwrap()
}

/// Reads the page as strictly as XML: every element is closed in order, every attribute quoted, every `<` and `&` escaped.
/// Returns the names of all elements with their attributes.
fn elements(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("its kind comes first");
    let (mut open, mut all): (Vec<String>, Vec<_>) = (Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        assert_entities(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(name) = rest.strip_prefix('/') {
            let (name, after) = name.split_once('>').expect("a tag ends");
            assert_eq!(open.pop().as_deref(), Some(name), "closed in order");
            rest = after;
            continue;
        }
        let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).expect("a tag ends");
        let name = rest[..length].to_owned();
        rest = &rest[length..];
        let mut attributes = Vec::new();
        while let Some(inside) = rest.strip_prefix(' ') {
            let (attribute, after) = inside.split_once("=\"").expect("an attribute has a quoted value");
            assert!(attribute.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-'), "{attribute}");
            let (value, after) = after.split_once('"').expect("a value ends");
            assert!(!value.contains('<'), "{value}");
            assert_entities(value);
            attributes.push((attribute.to_owned(), value.to_owned()));
            rest = after;
        }
        rest = match rest.strip_prefix("/>") {
            Some(after) => after,
            None => {
                open.push(name.clone());
                rest.strip_prefix('>').unwrap_or_else(|| panic!("<{name} does not end: {}", &rest[..40]))
            }
        };
        all.push((name, attributes));
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?}");
    all
}

fn assert_entities(text: &str) {
    assert!(!text.contains('>') || text.contains(":root"), "only the style sheet has a bare >: {text}");
    for after in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;", "#039;", "#39;"];
        assert!(known.iter().any(|entity| after.starts_with(entity)), "&{after}");
    }
}

#[test]
fn the_page_is_well_formed_and_loads_nothing() {
    let page = page(&["alice", "bob", "carol"]);
    for (name, attributes) in elements(&page) {
        let known = "html head meta title style body main header p h1 h2 b bdi ul li i span small section table thead tbody \
                     tr th td div figure figcaption svg g path rect details summary pre a footer";
        assert!(known.split_whitespace().any(|known| known == name), "<{name}>");
        for (attribute, value) in attributes {
            assert!(!attribute.starts_with("on"), "{attribute}");
            assert!(!["src", "xmlns", "action", "srcset"].contains(&attribute.as_str()), "{attribute}");
            assert!(attribute != "href" || value.starts_with("#c"), "{value}");
            assert!(!value.contains("url("), "{value}");
        }
    }
    assert!(!page.contains("@import") && !page.contains("url("));
}

#[test]
fn every_contestant_has_all_its_curves_and_its_table() {
    let page = page(&["alice", "bob", "carol"]);
    let charts = elements(&page).iter().filter(|(name, _)| name == "figure").count();
    // Rate, latency, outcomes, validity of four; what was not right where there is some: of all and of carol; the workers.
    assert_eq!(charts, 4 * 4 + 2 + 1);
    for label in
        ["Rate of carol", "Latency of alice", "Outcomes of all", "What was not right of carol", "Validity of bob"]
    {
        assert!(page.contains(&format!("aria-label=\"{label}, ")), "{label}");
    }
    assert!(!page.contains("aria-label=\"What was not right of bob"));
    assert_eq!(page.matches("The same as a table").count(), 4);
    assert_eq!(page.matches("<tr class=\"not-valid\">").count(), 4, "the seventh second, of all and of each");
    assert_eq!(page.matches("class=\"mark").count(), charts * 2, "both deadlines in every chart");
    assert!(page.contains("phase 1, not scored") && page.contains("0.9500"));
    assert!(page.contains("7 of 8 scored seconds, which were late for 50 ms in all"));
}

#[test]
fn the_steps_of_a_breakpoint_are_one_phase_of_the_contest() {
    let ladder = LadderTerms {
        start: 10,
        step: ladder::Step::Plus(10),
        max: 100,
        pass: Pass { verified: 0.995, p99_us: 50_000 },
    };
    let terms = Breakpoint { ladder, hold_us: 2_000_000, fleet_max: None };
    let before = plan(&["alice"]);
    let [warm_up, scored] = before.phases[..] else { panic!("two phases") };
    let step = |number: u32| Phase {
        start: scored.start + u64::from(number - 5) * 2 * S,
        end: scored.start + u64::from(number - 4) * 2 * S,
        load: Load::Step(Step { number, first: 5, is_judged: true, terms }),
        ..scored
    };
    let after = Phase { start: scored.end, end: scored.end + S, ..scored };
    let plan = Plan { phases: [warm_up, step(5), step(6), step(7), step(8), after].into(), ..before };
    let written: Vec<_> = (0..6).map(|index| plan.written(index)).map(|one| (one.number, one.of, one.step)).collect();
    let expected = [(1, 3, None), (2, 3, Some(1)), (2, 3, Some(2)), (2, 3, Some(3)), (2, 3, Some(4)), (3, 3, None)];
    assert_eq!(written, expected);
    let moments: Vec<Moment> = (0..11)
        .map(|second| Moment {
            start_ms: second * 1_000,
            length_ms: 1_000,
            state: State { part: RoundPart::Phase(0), scored: true, open: true },
            busy: None,
            lag_us: None,
        })
        .collect();
    let timeline = Timeline::new(&plan, RunInstant::from_ns(S), &moments);
    let bands: Vec<&str> = timeline.phases.iter().map(|band| band.text.as_str()).collect();
    assert_eq!(bands, ["1 · 100/s, not scored", "2 · breakpoint", "3 · 100/s"]);
    assert!((timeline.phases[1].width - 8.0 / 11.0 * 100.0).abs() < 0.1);
}

#[test]
fn one_contestant_is_shown_once() {
    let page = page(&["alice"]);
    elements(&page);
    assert_eq!(page.matches("The same as a table").count(), 1);
    assert!(!page.contains("Standings"));
}

#[test]
fn names_of_strangers_are_inert() {
    let hostile = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</title></style><svg onload=alert(1)>",
        "'&amp;<!--",
        "%><%= 1 %>",
        "\u{202e}evil",
    ];
    let page = page(&hostile);
    let all = elements(&page);
    assert!(!all.iter().any(|(name, _)| name == "script" || name == "img"));
    assert!(!page.contains("<!--"));
    assert!(page.contains("&lt;script&gt;alert(1)"), "shown as what it is");
}

#[test]
fn what_of_our_own_it_was_is_told_with_whose_exchanges_filled_our_time() {
    let told =
        "a worker never rested; while a worker never rested, 72 % of its time went to alice, for 5 % of the requests";
    assert!(page(&["alice", "bob"]).contains(told));
}

#[test]
fn what_the_platform_itself_lost_stands_by_itself() {
    let clean = page(&["house", "alice"]);
    assert!(clean.contains("The platform's own losses: <b class=\"valid\">0 points</b>"), "nothing was lost");
    // The last one is wrong now and then: 3 + 4 + ... + 10 resets that count and 1 + 2 that do not, 400 points each.
    let lost = page(&["alice", "house"]);
    let figure = format!("<b class=\"invalid\">{} points</b>", grouped(55 * 400));
    assert!(lost.contains(&figure) && lost.contains("contestants may have lost alike"), "{figure}");
    assert!(!page(&["alice", "bob"]).contains("platform's own"));
}
