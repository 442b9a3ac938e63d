//! Examples, played with the real programs.

use crate::stage::Stage;
use flowtest_bench::contest_box::{Generator, Journal};
use flowtest_contest::contest::Load;
use flowtest_contest::endpoint::Scheme;
use flowtest_contest::{Contest, Endpoint};
use flowtest_testkit::WAIT_MAX;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How long each phase is played: long enough for a ramp, and a whole number of requests at each rate but one.
const LENGTH: &str = "400ms";
/// The part of each rate that is asked for, since others play on the same two cores.
const RATE_PART: u64 = 10;

fn changed(text: String, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text, |text, (written, instead)| {
        assert!(text.contains(written), "the example does not say {written}");
        text.replace(written, instead)
    })
}

/// What servers hold is found in one of so many plays: a machine with other work may be late in a step of one.
const PLAYS: usize = 2;

#[test]
fn the_breakpoint_finds_what_each_server_holds_and_the_audit_decides_the_same() {
    let mut missed = Vec::new();
    while missed.len() < PLAYS {
        let Some(miss) = climb() else { return };
        missed.push(miss);
    }
    panic!("{}", missed.join("\nand then "));
}

/// Plays it once; who was not found within five percent. The audit agrees in each play.
fn climb() -> Option<String> {
    let stage = Stage::light().contestant("alice", &["--capacity", "230"]).contestant("bob", &["--capacity", "320"]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/breakpoint.toml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let changes = [
        // Seven steps of six and a half seconds come near enough to these.
        ("for = \"3m\"", "for = \"46s\""),
        ("timeout = \"1s\"", "timeout = \"500ms\""),
        ("127.0.0.1:8081", stage.target("alice").endpoint.as_str()),
        ("127.0.0.1:8082", stage.target("bob").endpoint.as_str()),
    ];
    let path = stage.folder().join("contest.toml");
    std::fs::write(&path, changed(text, &changes)).expect("it is written");
    let journal = Journal::in_folder(stage.folder());
    let folder = journal.folder().to_string_lossy().into_owned();
    let generator = Generator::run(&path, None, stage.folder(), &["--quiet", "--journal", &folder]).expect("it starts");
    let outcome = generator.wait(3 * WAIT_MAX).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    let mut audit = flowtest_bench::child::sibling("flowtest-loadgen").unwrap_or_else(|error| panic!("{error}"));
    audit.args(["audit", "--journal", &folder, "--json", "-"]);
    let audit = audit.output().expect("it runs");
    let report: Value = serde_json::from_slice(&audit.stdout).expect("JSON");
    assert_eq!((audit.status.code(), &report["equal"]), (Some(0), &Value::Bool(true)), "{report:#}");
    let findings = report["findings"].as_array().expect("a list");
    let steps = findings.iter().find(|finding| finding["kind"] == "steps").unwrap_or_else(|| panic!("{report:#}"));
    assert!(steps["text"].as_str().is_some_and(|text| text.contains("decided again by the traces")), "{steps}");
    [("alice", 230), ("bob", 320)].into_iter().find_map(|(name, capacity)| {
        let holds = outcome.figures(name)["holds"].as_u64().unwrap_or_else(|| panic!("{name}: {}", outcome.json));
        let is_found = u64::abs_diff(holds, capacity) * 20 <= capacity;
        (!is_found).then(|| format!("{name} holds {holds}/s of {capacity}/s: {}", outcome.said))
    })
}

/// All contest files of `examples/`, in order.
fn contest_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a name").path()).collect();
    // A generator's policy is no contest; a test of `storage/contest` reads it.
    files.retain(|file| file.extension().is_some_and(|end| end == "toml") && !file.ends_with("generator-policy.toml"));
    files.sort();
    files
}

/// An example as it is played here: at once, each phase short, a tenth of each rate, deadlines within the play and its grace, and
/// servers of this machine, which have these endpoints.
fn shortened(text: &str, endpoints: &[String]) -> String {
    let mut endpoints = endpoints.iter();
    let tenth = |number: &str| (number.parse::<u64>().expect("a rate") / RATE_PART).max(1).to_string();
    let line = |line: &str| {
        let Some((key, value)) = line.split_once(" = ") else { return line.to_owned() };
        let value = match key {
            "start" => "\"now\"".to_owned(),
            "for" => format!("{LENGTH:?}"),
            "rate" => {
                let rate = value.split('#').next().unwrap_or_default().trim();
                match rate.trim_matches('"').split_once("..") {
                    Some((from, to)) => format!("\"{}..{}\"", tenth(from), tenth(to)),
                    None => tenth(rate),
                }
            }
            // A deadline, and not the points of a header.
            "version" | "from" if value.starts_with('"') => "\"+600ms\"".to_owned(),
            "endpoint" => format!("{:?}", endpoints.next().expect("an endpoint for each contestant")),
            "allow" => "[\"127.0.0.0/8\"]".to_owned(),
            _ => value.to_owned(),
        };
        format!("{key} = {value}")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Requests that fall due to each contestant in open phases, and whether there is a closed one that counts as well.
fn due(contest: &Contest) -> (u64, bool) {
    let scored = || contest.phases.iter().filter(|phase| phase.scored);
    let open = scored().map(|phase| match phase.load {
        // Number 0 is due at the start.
        Load::Open { from, to } => ((from + to) * phase.duration_us).div_ceil(2_000_000),
        Load::Closed { .. } | Load::Breakpoint(_) => 0,
    });
    (open.sum(), scored().any(|phase| matches!(phase.load, Load::Closed { .. })))
}

#[test]
fn every_example_is_played_and_each_tally_is_exact() {
    let files = contest_files();
    let mut played = 0;
    for file in &files {
        let named = file.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{named}: {error}"));
        let written = Contest::from_toml(&text).unwrap_or_else(|error| panic!("{named}: {error}"));
        if !written.breakpoints().is_empty() {
            // What a climb finds is a play of its own.
            continue;
        }
        let honest = |stage: Stage, name: &str, endpoint: &Endpoint| match endpoint.scheme {
            Scheme::Http => stage.contestant(name, &[]),
            Scheme::Https => stage.contestant(name, &["--listen-tls", "127.0.0.1:0", "--tls-self-signed"]),
        };
        let stage =
            written.contestants.iter().fold(Stage::light(), |stage, one| honest(stage, &one.name, &one.endpoint));
        let here = written
            .contestants
            .iter()
            .map(|one| format!("{}{}", stage.target(&one.name).endpoint, one.endpoint.path_and_query));
        let text = shortened(&text, &here.collect::<Vec<_>>());
        let contest = Contest::from_toml(&text).unwrap_or_else(|error| panic!("{named}: {error}\n{text}"));
        let path = stage.folder().join("contest.toml");
        std::fs::write(&path, text).expect("it is written");
        let generator = Generator::run(&path, None, stage.folder(), &["--quiet"]);
        let outcome =
            generator.and_then(|generator| generator.wait(WAIT_MAX)).unwrap_or_else(|error| panic!("{error}"));
        assert!(outcome.is_whole(), "{named}: {}", outcome.said);
        let (tallies, points) = (outcome.tallies().unwrap_or_else(|error| panic!("{error}")), outcome.points());
        assert_eq!(tallies.len(), written.contestants.len(), "{named}");
        let (open, has_sprint) = due(&contest);
        for (name, tally) in tallies {
            assert!(
                if has_sprint { tally.due > open } else { tally.due == open },
                "{named}: {name}: {open}, {tally:?}"
            );
            stage.assert_exact(&name, &tally);
            assert_eq!(u64::try_from(points[&name]), Ok(200 * (tally.due - tally.own_fault)), "{named}: {name}");
        }
        played += 1;
    }
    assert!(played >= 5, "only {played} of {files:?}");
}
