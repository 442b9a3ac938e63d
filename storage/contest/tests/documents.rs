//! The contest file and the control document: what was readable stays readable, and what is wrong is named.

use flowtest_contest::breakpoint::Breakpoint;
use flowtest_contest::contest::{Absent, DOCUMENT_BYTES_MAX, DeadlineSpec, Load, Phase, RankBy, Start, When};
use flowtest_contest::ladder::{LadderTerms, Pass, Step};
use flowtest_contest::policy::{Ownership, TlsTrust};
use flowtest_contest::timeline::{DeadlineName, Join, Moved, Pause};
use flowtest_contest::{Contest, Control, Policy, PolicyError, State};
use flowtest_contract::Rules;
use flowtest_contract::rules::{Deadline, Deadlines, UtcUs};
use proptest::prelude::*;

const CONTEST: &str = include_str!("golden/contest.toml");
const CONTROL: &str = include_str!("golden/control.json");

const RUNNING: &str = include_str!("golden/control-running.json");
/// With what says who named a server first.
const SINCE: &str = include_str!("golden/control-since.json");

/// With breakpoint phases.
const BREAKPOINT: &str = include_str!("golden/contest-breakpoint.toml");
const BREAKPOINT_CONTROL: &str = include_str!("golden/control-breakpoint-2.json");
/// The same, as it was written when `verified` was `right`.
const OLDER_BREAKPOINT_CONTROL: &str = include_str!("golden/control-breakpoint.json");

const JOINED: &str = include_str!("golden/control-joined.json");

const MINIMAL: &str = r#"
name = "cup"
[[phase]]
for = "10s"
connections = 8
[[contestant]]
name = "alice"
endpoint = "127.0.0.1:8081"
"#;

/// 2026-12-01T10:00:00Z
const TEN_O_CLOCK: UtcUs = UtcUs(1_796_119_200_000_000);
const MINUTE: u64 = 60_000_000;

fn contest(text: &str) -> Contest {
    Contest::from_toml(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_golden_contest_means_what_it_meant() {
    let contest = contest(CONTEST);
    assert_eq!(contest.name, "finals");
    assert_eq!(contest.start, Start::At(TEN_O_CLOCK));
    let version = Some(When::AfterStart { us: 20 * MINUTE });
    let from = Some(When::At(TEN_O_CLOCK + 45 * MINUTE + 500_000));
    assert_eq!(contest.deadlines, DeadlineSpec { version, from });
    let rules =
        Rules { timeout_us: 2_500_000, grace_us: 4_000_000, token: 90, version: 40, from: 30, token_required: true };
    assert_eq!(contest.rules, rules);
    let phase = |duration_us, load, connections, scored| Phase { duration_us, load, connections, scored };
    assert_eq!(
        contest.phases,
        [
            phase(30_000_000, Load::Open { from: 1000, to: 1000 }, 64, true),
            phase(90_000_000, Load::Open { from: 1000, to: 20000 }, 256, true),
            phase(45_000_000, Load::Closed { pipeline: 16 }, 32, false),
        ]
    );
    assert_eq!(contest.duration_us(), 165_000_000);
    let contestants: Vec<(&str, String)> =
        contest.contestants.iter().map(|one| (one.name.as_str(), one.endpoint.to_string())).collect();
    assert_eq!(
        contestants,
        [
            ("alice", "http://127.0.0.1:8081/".to_owned()),
            ("Bücher & Söhne", "http://shop.example/start?from=flow".to_owned()),
            ("carol", "http://[::1]:8083/".to_owned()),
        ]
    );
    assert_eq!(contest.policy.allow.len(), 2);
}

#[test]
fn the_golden_control_document_means_what_it_meant() {
    let control = Control::from_json(CONTROL).expect("readable");
    assert_eq!(control.contest, contest(CONTEST), "both dialects say the same");
    assert_eq!((control.revision, control.state), (7, State::Armed));
    assert_eq!(control.round, Some("0123456789abcdef0123456789abcdef".parse().expect("an id")));
    assert_eq!(control.ids.get("carol").map(String::as_str), Some("u3"));
    assert_eq!(control.split, ["g1", "g2"]);
}

#[test]
fn the_control_document_is_written_as_the_golden_file_says() {
    let control = Control::from_json(CONTROL).expect("readable");
    let written: serde_json::Value = serde_json::from_str(&control.to_json()).expect("JSON");
    let golden: serde_json::Value = serde_json::from_str(CONTROL).expect("JSON");
    assert_eq!(written, golden);
    assert_eq!(Control::from_json(&control.to_json()), Ok(control));
}

#[test]
fn the_golden_breakpoint_means_what_it_meant() {
    let contest = contest(BREAKPOINT);
    assert_eq!((contest.rank_by, contest.breakpoint_points), (RankBy::Holds, 3));
    let pass = |verified, p99_us| Pass { verified, p99_us };
    let ladder = LadderTerms { start: 500, step: Step::Times(1.25), max: 200_000, pass: pass(0.995, 250_000) };
    let load = Load::Breakpoint(Breakpoint { ladder, hold_us: 10_000_000, fleet_max: None });
    assert_eq!(contest.phases[1], Phase { duration_us: 10 * MINUTE, load, connections: 4_000, scored: true });
    let ladder = LadderTerms { start: 100, step: Step::Plus(500), max: 5_000, pass: pass(1.0, 50_000) };
    let second = Breakpoint { ladder, hold_us: 2_000_000, fleet_max: None };
    // As many connections as the highest rate needs at the p99 that is allowed.
    let load = Load::Breakpoint(second);
    assert_eq!(contest.phases[2], Phase { duration_us: MINUTE, load, connections: 250, scored: false });
    // Ten minutes hold 40 steps of 15 s each.
    assert_eq!(contest.breakpoints().iter().map(|(first, _)| *first).collect::<Vec<_>>(), [0, 40]);
    assert_eq!(contest.counted_steps(), 0..40, "the other one is not scored");
    assert_eq!(contest.practice_pass(), pass(0.995, 250_000), "nor does practice go by it");
    let asked = |step| contest.breakpoint_of(step).map(|(steps, breakpoint)| (steps, breakpoint.ladder.start));
    // Behind the eight whole steps of the second lies a rest of which nothing is judged.
    assert_eq!([39, 40, 47, 48].map(asked), [Some((0..40, 500)), Some((40..48, 100)), Some((40..48, 100)), None]);
    assert_eq!((second.steps(MINUTE, 2_000_000), second.clock(MINUTE, 2_000_000).count), (9, 8));
    let control = Control::new(contest);
    let written: serde_json::Value = serde_json::from_str(&control.to_json()).expect("JSON");
    let golden: serde_json::Value = serde_json::from_str(BREAKPOINT_CONTROL).expect("JSON");
    assert_eq!(written, golden);
    for text in [OLDER_BREAKPOINT_CONTROL, BREAKPOINT_CONTROL] {
        assert_eq!(Control::from_json(text).as_ref(), Ok(&control));
    }
}

#[test]
fn what_the_fleet_carries_is_kept_where_it_is_said() {
    let said = BREAKPOINT.replacen("max = 200000", "max = 200000\nfleet_max = 600000", 1);
    let contest = contest(&said);
    assert_eq!(contest.breakpoints().iter().map(|(_, one)| one.fleet_max).collect::<Vec<_>>(), [Some(600_000), None]);
    let control = Control::new(contest);
    assert_eq!(Control::from_json(&control.to_json()), Ok(control));
}

#[test]
fn what_a_step_has_to_reach_has_its_name_of_before_too() {
    let said = BREAKPOINT.replacen("right = 0.995", "verified = 0.995", 1);
    assert_ne!(said, BREAKPOINT);
    assert_eq!(contest(&said), contest(BREAKPOINT));
}

#[test]
fn contradictory_ladders_are_sentences() {
    // (what is replaced in the golden file, by what, words of the sentence)
    let cases = [
        ("kind = \"breakpoint\"", "kind = \"climb\"", "`phase[2].kind` is \"climb\""),
        (
            "start = 500",
            "start = 500000",
            "contradicts itself: the ladder starts at 500000/s and may not go above 200000/s",
        ),
        ("start = 500\n", "", "`phase[2].start` is missing"),
        ("step = \"x1.25\"", "step = \"x1\"", "`phase[2].step` is wrong: 'x1' is no step"),
        ("step = \"x1.25\"", "step = 2", "`phase[2].step` is a number"),
        ("hold = \"10s\"", "hold = \"1s\"", "`phase[2].hold` is \"1s\""),
        ("timeout = \"2s\"", "timeout = \"11s\"", "`phase[2].hold` is shorter than the timeout of 11s"),
        ("right = 0.995", "right = 0", "`phase[2].pass.right` is no part"),
        ("right = 0.995", "right = 99.5", "`phase[2].pass.right` is no part"),
        ("right = 0.995, ", "", "`phase[2].pass.verified` is missing"),
        ("p99 = \"250ms\"", "p99 = \"3s\"", "`phase[2].pass.p99` is \"3s\""),
        ("p99 = \"250ms\"", "p95 = \"250ms\"", "`phase[2].pass.p99` is missing"),
        ("max = 200000", "max = 9000000", "climbs to 9000000/s, and the 4000 connections"),
        ("for = \"10m\"", "for = \"40s\"", "`phase[2].for` is too short for the first steps: each takes 15s"),
        ("step = \"x1.25\"", "step = \"x1.25\"\nrate = 7", "`phase[2].rate` is no key"),
        ("rank_by = \"holds\"", "rank_by = \"speed\"", "`rules.rank_by` says neither"),
        ("max = 5000\nscored = false", "max = 5000", "two breakpoint phases are scored"),
        (
            "max = 200000",
            "max = 200000\nfleet_max = 499",
            "phase 2 starts at 500/s for each of 1 contestants, and its `fleet_max`",
        ),
        ("max = 200000", "max = 200000\nfleet_max = \"much\"", "`phase[2].fleet_max` is"),
        ("breakpoint_points = 3", "breakpoint_points = -3", "`rules.breakpoint_points` is -3"),
    ];
    for (old, new, words) in cases {
        assert!(BREAKPOINT.contains(old), "{old}");
        let error = Contest::from_toml(&BREAKPOINT.replacen(old, new, 1)).expect_err(new).to_string();
        assert!(error.contains(words), "{new}: {words:?} is not in: {error}");
    }
    let error =
        Contest::from_toml(&CONTEST.replace("[rules]", "[rules]\nrank_by = \"holds\"")).expect_err("nothing climbs");
    assert!(error.to_string().contains("no phase finds it out"), "{error}");
}

#[test]
fn a_ladder_above_descriptors_and_ports_is_a_sentence() {
    let contest = |contestants: usize, max: u64, connections: &str| {
        let mut text = format!(
            "name = \"climb\"\n[[phase]]\nkind = \"breakpoint\"\nfor = \"10m\"\nstart = 500\nstep = \"x1.25\"\n\
             hold = \"10s\"\npass = {{ right = 0.995, p99 = \"250ms\" }}\nmax = {max}\n{connections}\n\
             [policy]\nallow = [\"127.0.0.0/8\"]\n"
        );
        for port in 1..=contestants {
            text.push_str(&format!("[[contestant]]\nname = \"c{port}\"\nendpoint = \"127.0.0.1:{}\"\n", 8_000 + port));
        }
        Contest::from_toml(&text).map(|contest| contest.phases[0].connections).map_err(|error| error.to_string())
    };
    // Of all connections each contestant has its part, and each carries a thousand a second at the best.
    assert_eq!((contest(1, 200_000, ""), contest(200, 500_000, "")), (Ok(28_000), Ok(500)));
    for (max, connections, carry) in [(500_001, "", 500_000), (64_001, "connections = 64", 64_000)] {
        let error = contest(200, max, connections).expect_err("too high");
        let words =
            [format!("phase 1 climbs to {max}/s"), format!("carry {carry}/s"), "descriptors and ports".to_owned()];
        assert!(words.iter().all(|words| error.contains(words)), "{error}");
    }
}

#[test]
fn the_golden_document_of_a_running_round_means_what_it_meant() {
    let control = Control::from_json(RUNNING).expect("readable");
    let timeline = &control.timeline;
    assert_eq!((control.state, control.scored, control.halted), (State::Running, false, true));
    assert_eq!(timeline.start_at, Some(TEN_O_CLOCK));
    let pause = Pause { from: TEN_O_CLOCK + MINUTE, to: Some(TEN_O_CLOCK + 2 * MINUTE) };
    assert_eq!(timeline.pauses, [pause]);
    let moved = Moved { deadline: DeadlineName::Version, at: TEN_O_CLOCK + MINUTE / 2, to: TEN_O_CLOCK + 30 * MINUTE };
    assert_eq!(timeline.moved, [moved]);
    assert_eq!(timeline.splits.len(), 2);
    assert_eq!(timeline.split_at(TEN_O_CLOCK + 2 * MINUTE).expect("a split").generators, ["g1"]);
    assert_eq!(control.parked.iter().collect::<Vec<_>>(), ["carol"]);
    assert_eq!(timeline.end_at(&control.contest), Some(TEN_O_CLOCK + MINUTE + 165_000_000));
    let deadlines = timeline.deadlines_at(&control.contest, UtcUs(u64::MAX));
    assert_eq!(deadlines.version, Deadline(TEN_O_CLOCK + 31 * MINUTE), "moved, and then shifted by the pause");
    let written: serde_json::Value = serde_json::from_str(&control.to_json()).expect("JSON");
    let golden: serde_json::Value = serde_json::from_str(RUNNING).expect("JSON");
    assert_eq!(written, golden);
}

#[test]
fn the_golden_document_of_a_round_that_somebody_joined_means_what_it_meant() {
    let control = Control::from_json(JOINED).expect("readable");
    let join = Join { contestant: "carol".to_owned(), at: TEN_O_CLOCK + MINUTE / 2 };
    assert_eq!((control.contest.absent, &control.timeline.joins[..]), (Absent::Free, &[join][..]));
    let written: serde_json::Value = serde_json::from_str(&control.to_json()).expect("JSON");
    let golden: serde_json::Value = serde_json::from_str(JOINED).expect("JSON");
    assert_eq!(written, golden);
    // Of before it was a key.
    assert_eq!(Control::from_json(RUNNING).expect("readable").contest.absent, Absent::Charged);
    let wrong = JOINED.replacen("\"free\"", "\"perhaps\"", 1);
    let error = Control::from_json(&wrong).expect_err("neither").to_string();
    assert!(error.contains("`rules.absent`") && error.contains("charged"), "{error}");
    let stranger = JOINED.replacen("\"contestant\": \"carol\"", "\"contestant\": \"alice\"", 1);
    let error = Control::from_json(&stranger).expect_err("she is not the last").to_string();
    assert!(error.contains("not the last of the roster"), "{error}");
}

#[test]
fn the_golden_document_that_says_who_was_first_means_what_it_meant() {
    let control = Control::from_json(SINCE).expect("readable");
    assert_eq!(control.since, [("bobby".to_owned(), TEN_O_CLOCK), ("alice".to_owned(), TEN_O_CLOCK - 1)].into());
    let places = control.precedence();
    let names: Vec<&str> = places.iter().map(|place| control.contest.contestants[*place].name.as_str()).collect();
    // The house, who is known from before, and then in order of time.
    assert_eq!(names, ["house", "zoe", "alice", "bobby"]);
    let written: serde_json::Value = serde_json::from_str(&control.to_json()).expect("JSON");
    let golden: serde_json::Value = serde_json::from_str(SINCE).expect("JSON");
    assert_eq!(written, golden);
    assert_eq!(control.contest.policy.ownership, Ownership::Header);
    // A document from before is read as well: then the roster says the order.
    let before = Control::from_json(CONTROL).expect("readable");
    assert_eq!((before.precedence(), before.contest.policy.ownership), (vec![0, 1, 2], Ownership::Off));
}

#[test]
fn what_is_wrong_with_a_timeline_is_named() {
    // (what is replaced, by what, words of the sentence)
    let cases = [
        ("\"start_at\": 1796119200000000", "\"start_at\": \"now\"", "`start_at` is a text"),
        ("\"start_at\": 1796119200000000", "\"start_at\": 9007199254740992", "`start_at` is 9007199254740992"),
        ("\"to\": 1796119320000000", "\"to\": -1", "`pauses[1].to` is -1"),
        ("\"to\": 1796119320000000", "\"to\": null", "a pause that lasts"),
        ("\"from\": 1796119260000000", "\"from\": 1796119199999999", "out of order or outside"),
        ("\"version\", \"at\"", "\"token\", \"at\"", "`moved[1].deadline` is no deadline"),
        ("[\"carol\"]", "[\"mallory\"]", "`parked[1]` is nobody"),
        ("\"halted\": true", "\"halted\": 1", "`halted` is a number"),
        ("\"running\"", "\"draft\"", "a draft has no clock"),
    ];
    for (old, new, words) in cases {
        assert!(RUNNING.contains(old), "{old}");
        let error = Control::from_json(&RUNNING.replacen(old, new, 1)).expect_err(new).to_string();
        assert!(error.contains(words), "{new}: {words:?} is not in: {error}");
    }
}

#[test]
fn a_document_larger_than_any_of_ours_is_refused_before_it_is_parsed() {
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(DOCUMENT_BYTES_MAX));
    let error = Control::from_json(&long).expect_err("too long").to_string();
    assert!(error.contains("at most 16777216"), "{error}");
    let many = format!("[{}0]", "0,".repeat(1_000_001));
    let error = Control::from_json(&many).expect_err("too many values").to_string();
    assert!(error.contains("commas"), "{error}");
    assert!(Contest::from_toml(&long).expect_err("too long").to_string().contains("at most 16777216"));
}

#[test]
fn defaults_fill_what_a_file_leaves_out() {
    let contest = contest(MINIMAL);
    assert_eq!(contest.start, Start::Now);
    assert_eq!(contest.rules, Rules::default());
    assert_eq!(contest.deadlines(UtcUs(5)), Deadlines { version: Deadline::PASSED, from: Deadline::PASSED });
    assert_eq!(contest.phases[0].load, Load::Closed { pipeline: 1 });
    assert!(contest.phases[0].scored);
    let control = Control::new(contest);
    assert_eq!(Control::from_json(&control.to_json()), Ok(control));
}

#[test]
fn deadlines_count_from_the_start_or_are_absolute() {
    let deadlines = contest(CONTEST).deadlines(TEN_O_CLOCK + 1);
    assert_eq!(deadlines.version, Deadline(TEN_O_CLOCK + 1 + 20 * MINUTE));
    assert_eq!(deadlines.from, Deadline(TEN_O_CLOCK + 45 * MINUTE + 500_000));
}

#[test]
fn what_is_wrong_with_a_contest_is_named_with_its_line() {
    // (what is replaced in the golden file, by what, the line, words of the sentence)
    let cases: &[(&str, &str, usize, &[&str])] = &[
        ("name = \"finals\"", "name = \"finals", 2, &["is no TOML"]),
        ("name = \"finals\"", "", 0, &["`name` is missing"]),
        ("name = \"finals\"", "name = \"\"", 2, &["`name` is empty"]),
        ("name = \"finals\"", "name = 7", 2, &["`name` is a number", "a text in quotes"]),
        ("name = \"finals\"", "name = \"fin{als\"", 2, &["`name`", "'{'", "no braces"]),
        ("name = \"finals\"", "name = \"a:b\"", 2, &["`name`", "':'"]),
        ("name = \"finals\"", "name = \"a\\u001b[2J\"", 2, &["`name`", "control characters"]),
        ("name = \"finals\"", "name = \" a\"", 2, &["`name`", "space at an end"]),
        ("name = \"finals\"", "name = \"finals\"\nnames = 1", 3, &["`names` is no key", "name, start, deadlines"]),
        ("name = \"finals\"", "name = \"finals\"\nname = \"x\"", 3, &["is no TOML", "duplicate"]),
        ("2026-12-01T10:00:00Z", "\"soon\"", 3, &["`start`", "RFC 3339", "or \"now\""]),
        ("2026-12-01T10:00:00Z", "2026-12-01T10:00:00", 3, &["`start`", "offset from UTC"]),
        ("2026-12-01T10:00:00Z", "10", 3, &["`start` is a number"]),
        ("2026-12-01T10:00:00Z", "\"1960-12-01T10:00:00Z\"", 3, &["`start`", "1970"]),
        ("\"+20m\"", "\"20m\"", 6, &["`deadlines.version`", "\"+20m\" to count from the start"]),
        ("\"+20m\"", "\"+20\"", 6, &["`deadlines.version`", "no duration"]),
        ("\"+20m\"", "\"+20m\"\nform = \"+1m\"", 7, &["`deadlines.form` is no key", "version, from"]),
        ("timeout = \"2s 500ms\"", "timeout = \"0s\"", 10, &["`rules.timeout` is \"0s\"", "1ms to 1m"]),
        ("timeout = \"2s 500ms\"", "timeout = \"1h\"", 10, &["`rules.timeout`"]),
        ("timeout = \"2s 500ms\"", "timeout = \"1500ns\"", 10, &["`rules.timeout`"]),
        ("timeout = \"2s 500ms\"", "timeout = 3", 10, &["`rules.timeout` is a number"]),
        ("timeout = \"2s 500ms\"", "timeout = \"99999999999999999999s\"", 10, &["no duration"]),
        ("token = 90", "token = -1", 12, &["`rules.token` is -1", "from 0 to"]),
        ("token = 90", "token = 4294967296", 12, &["`rules.token` is 4294967296"]),
        ("token = 90", "token = 1.5", 12, &["`rules.token` is 1.5", "whole number"]),
        ("token = 90\nversion = 40\nfrom = 30", "token = 0\nversion = 0\nfrom = 0", 9, &["no points for anything"]),
        ("token_required = true", "token_required = \"yes\"", 15, &["true or false"]),
        ("for = \"30s\"", "for = \"0s\"", 18, &["`phase[1].for`", "100ms to 7days"]),
        ("for = \"30s\"", "", 17, &["`phase[1].for` is missing", "for = \"30s\""]),
        (
            "for = \"30s\"",
            "for = \"6days\"\nconnections = 1\n[[phase]]\nfor = \"6days\"\nconnections = 1\n[[phase]]\nfor=\"1s\"",
            0,
            &["a week"],
        ),
        ("rate = 1000\n", "rate = 0\n", 19, &["`phase[1].rate` is 0", "from 1 to"]),
        ("rate = 1000\n", "rate = 99999999999999999999\n", 19, &["`phase[1].rate` is 99999999999999999999"]),
        ("rate = 1000\n", "rate = -5\n", 19, &["`phase[1].rate` is -5"]),
        ("rate = 1000\n", "rate = 1000\npipeline = 2\n", 20, &["`phase[1].pipeline` stands beside `rate`"]),
        ("\"1000..20000\"", "\"1000..\"", 24, &["`phase[2].rate`", "a ramp such as"]),
        ("\"1000..20000\"", "\"0..10\"", 24, &["`phase[2].rate`"]),
        ("\"1000..20000\"", "\"1..2..3\"", 24, &["`phase[2].rate`"]),
        ("\"1000..20000\"", "\"+1..2\"", 24, &["`phase[2].rate`"]),
        ("connections = 64", "connections = 0", 20, &["`phase[1].connections` is 0", "from 1 to"]),
        ("connections = 64", "connections = 1000000", 20, &["`phase[1].connections` is 1000000"]),
        ("pipeline = 16", "pipeline = 0", 30, &["`phase[3].pipeline` is 0"]),
        ("scored = false", "score = false", 31, &["`phase[3].score` is no key", "for, rate, pipeline"]),
        ("name = \"carol\"", "name = \"alice\"", 42, &["`contestant[3].name`", "another contestant"]),
        ("name = \"carol\"", "", 41, &["`contestant[3].name` is missing"]),
        ("[::1]:8083", "127.0.0.1:8081/other", 43, &["`contestant[3].endpoint`", "\"alice\"", "allow_shared = true"]),
        (
            "[::1]:8083",
            "[64:ff9b::127.0.0.1]:8081",
            43,
            &["`contestant[3].endpoint`", "\"alice\"", "allow_shared = true"],
        ),
        ("[::1]:8083", "ftp://example.com", 43, &["neither http nor https", "https://host[:port]"]),
        (
            "[::1]:8083",
            "https://127.0.0.1:8081/x",
            43,
            &["`contestant[3].endpoint`", "\"alice\"", "allow_shared = true"],
        ),
        ("allow_shared = false", "tls = \"none\"", 47, &["`policy.tls`", "\"verify\"", "\"any\""]),
        ("[::1]:8083", "example.com:99999", 43, &["`contestant[3].endpoint` is wrong", "is no address"]),
        ("\"::1/128\"", "\"::1\"", 46, &["`policy.allow[2]`", "10.0.0.0/8"]),
        ("[\"127.0.0.0/8\", \"::1/128\"]", "\"all\"", 46, &["`policy.allow` is a text", "list of texts"]),
        (
            "allow_shared = false",
            "refuse = []",
            47,
            &["`policy.refuse` is no key", "allow, deny, allow_shared, ownership, tls"],
        ),
        ("allow_shared = false", "deny = [\"10.0.0.0/8\", \"10.0.0.300\"]", 47, &["`policy.deny[2]`", "10.0.0.0/8"]),
        ("[policy]", "[polite]", 45, &["`polite` is no key that the top knows", "did you mean `policy`?"]),
        ("[rules]", "[[rules]]", 9, &["`rules` is a list", "a table of keys"]),
    ];
    for (old, new, line, words) in cases {
        assert!(CONTEST.contains(old), "{old}");
        let text = CONTEST.replacen(old, new, 1);
        let error = Contest::from_toml(&text).expect_err(new);
        assert_eq!(error.line.unwrap_or(0), *line, "{new}: {error}");
        for word in *words {
            assert!(error.to_string().contains(word), "{new}: {word:?} is not in: {error}");
        }
    }
}

#[test]
fn an_empty_contest_is_named() {
    let error = |text: &str| Contest::from_toml(text).expect_err("it is wrong").to_string();
    assert!(error("").contains("`name` is missing"));
    assert!(error("name = \"x\"").contains("no phase"));
    assert!(error("name = \"x\"\nphase = 3").contains("write one [[phase]] for each"));
    assert!(error("name = \"x\"\n[[phase]]\nfor = \"1s\"\nconnections = 1").contains("no contestant"));
}

#[test]
fn shared_endpoints_are_taken_when_the_policy_says_so() {
    let twice = format!("{MINIMAL}[[contestant]]\nname = \"bob\"\nendpoint = \"127.0.0.1:8081/b\"\n");
    assert!(Contest::from_toml(&twice).is_err());
    assert_eq!(contest(&format!("{twice}[policy]\nallow_shared = true\n")).contestants.len(), 2);
}

#[test]
fn https_is_played_and_whose_certificates_are_taken_is_read_and_written_where_it_is_said() {
    let sealed = MINIMAL.replacen("127.0.0.1:8081", "https://shop.example", 1);
    let verified = contest(&sealed);
    assert_eq!(verified.contestants[0].endpoint.to_string(), "https://shop.example/");
    assert_eq!((verified.policy.tls, verified.to_json()["policy"].get("tls")), (TlsTrust::Verify, None));
    let any = contest(&format!("{sealed}[policy]\ntls = \"any\"\n"));
    assert_eq!((any.policy.tls, &any.to_json()["policy"]["tls"]), (TlsTrust::Any, &"any".into()));
    assert_eq!(Contest::from_json(any.to_json()).expect("readable"), any);
    // It says nothing of where traffic may go, so no machine's own file speaks of it, and none stands against it.
    assert!(Policy::ceiling("[policy]\ntls = \"any\"").expect_err("not its").to_string().contains("`policy.tls`"));
    assert_eq!(any.policy.within(&Policy::default()).expect("within").tls, TlsTrust::Any);
}

#[test]
fn a_contest_of_too_many_is_refused_and_of_many_is_read() {
    let many = |count: usize| {
        let mut text = MINIMAL.to_owned();
        for index in 1..count {
            let (port, last) = (1024 + index % 60_000, index / 60_000);
            text.push_str(&format!("[[contestant]]\nname = \"c{index}\"\nendpoint = \"127.0.1.{last}:{port}\"\n"));
        }
        Contest::from_toml(&text)
    };
    assert_eq!(many(65_535).expect("as many as there may be").contestants.len(), 65_535);
    let error = many(65_536).expect_err("one too many").to_string();
    assert!(error.contains("65536 contestants: at most 65535"), "{error}");
}

#[test]
fn newer_documents_are_read_unless_they_say_otherwise() {
    let with = |key: &str, value: &str| CONTROL.replacen('{', &format!("{{\"{key}\": {value},"), 1);
    let control = Control::from_json(&with("colour", "\"green\"")).expect("a key of a newer program");
    assert_eq!(control, Control::from_json(CONTROL).expect("readable"));
    let newer = CONTROL.replace("\"dialect\": 1", "\"dialect\": 3");
    let error = Control::from_json(&newer).expect_err("another language").to_string();
    assert!(error.contains("dialect 3") && error.contains("update this program"), "{error}");
}

#[test]
fn what_is_wrong_with_a_control_document_is_named() {
    // (what is replaced, by what, words of the sentence)
    let cases = [
        ("\"revision\": 7", "\"revision\": -7", "`revision` is -7"),
        ("\"revision\": 7,", "", "`revision` is missing"),
        ("\"armed\"", "\"ready\"", "`state` is no state"),
        ("0123456789abcdef0123456789abcdef", "7", "`round` is wrong"),
        ("\"carol\": \"u3\"", "\"mallory\": \"u3\"", "`ids.mallory` is the id of nobody"),
        ("\"u3\"", "\"u1\"", "`ids.carol` is empty or somebody else's"),
        ("\"u3\"", "3", "`ids.carol` is a number"),
        ("[\"g1\", \"g2\"]", "\"g1\"", "`split` is a text"),
        ("\"connections\": 64", "\"connections\": 0", "`phase[1].connections` is 0"),
    ];
    for (old, new, words) in cases {
        assert!(CONTROL.contains(old), "{old}");
        let error = Control::from_json(&CONTROL.replacen(old, new, 1)).expect_err(new).to_string();
        assert!(error.contains(words), "{new}: {words:?} is not in: {error}");
    }
    for junk in ["", "[]", "7", "null", "{", "{}"] {
        assert!(Control::from_json(junk).is_err(), "{junk:?}");
    }
}

/// Mostly words of the dialect, so that random text gets past the first key.
fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        proptest::sample::select(vec![
            "name",
            "start",
            "[deadlines]",
            "[rules]",
            "[[phase]]",
            "[[contestant]]",
            "[policy]",
            "for",
            "rate",
            "connections",
            "pipeline",
            "endpoint",
            "timeout",
            "=",
            "\n",
            "\"30s\"",
            "\"1..2\"",
            "64",
            "-1",
            "true",
            "\"+20m\"",
            "\"a\"",
            "[",
            "]",
            "{",
            "}",
            "1e9",
            "2026-12-01",
            "allow",
            "\"127.0.0.0/8\"",
            ",",
            "\"",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_text_is_a_contest_or_an_error(text in words()) {
        let _ = Contest::from_toml(&text);
        let _ = Contest::from_toml(&format!("{CONTEST}{text}"));
        let _ = Control::from_json(&text);
    }

    #[test]
    fn a_golden_file_with_a_hole_is_a_contest_or_an_error(from in 0..CONTEST.len(), length in 0usize..40) {
        let bytes = [&CONTEST.as_bytes()[..from], &CONTEST.as_bytes()[(from + length).min(CONTEST.len())..]].concat();
        let text = String::from_utf8_lossy(&bytes);
        match Contest::from_toml(&text) {
            Ok(contest) => {
                let control = Control::new(contest);
                prop_assert_eq!(Control::from_json(&control.to_json()), Ok(control));
            }
            Err(error) => prop_assert!(!error.message.is_empty()),
        }
    }
}

/// A file that everybody starts from. `bench/tests/rounds` plays those that are contests.
fn example(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_example_of_a_generators_policy_is_a_ceiling_under_which_the_finals_are_played() {
    let ceiling = Policy::ceiling(&example("generator-policy.toml")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((ceiling.allow.len(), ceiling.deny.len()), (1, 2));
    let policy = contest(&example("finals.toml")).policy.within(&ceiling).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(policy.deny, ceiling.deny, "what the machine closes is closed, whatever the contest says");
    let wider = contest(&example("first-contest.toml")).policy.within(&ceiling);
    assert!(matches!(wider, Err(PolicyError::WiderNetwork(_))), "{wider:?}");
}

#[test]
fn an_open_phase_without_connections_gets_what_its_rate_needs_at_a_second_of_latency() {
    let text = |rate: &str, contestants: usize| {
        let mut text =
            format!("name = \"cup\"\n[policy]\nallow = [\"10.0.0.0/8\"]\n[[phase]]\nfor = \"30s\"\nrate = {rate}\n");
        for number in 0..contestants {
            let (third, fourth) = (number / 250, number % 250 + 1);
            text.push_str(&format!("[[contestant]]\nname = \"c{number}\"\nendpoint = \"10.0.{third}.{fourth}\"\n"));
        }
        text
    };
    let connections = |rate: &str, contestants| {
        Contest::from_toml(&text(rate, contestants)).expect("a contest").phases[0].connections
    };
    assert_eq!(connections("500", 1), 500);
    assert_eq!(connections("\"100..2000\"", 1), 2_000);
    assert_eq!((connections("100000", 1), connections("5000", 200)), (28_000, 500));
    let closed = text("1", 1).replace("rate = 1\n", "pipeline = 4\n");
    let error = Contest::from_toml(&closed).expect_err("a closed phase says how many");
    assert!(error.to_string().contains("`phase[1].connections` is missing"), "{error}");
}
