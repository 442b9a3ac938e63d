//! Examples, played with the real programs.

use crate::stage::Stage;
use flowtest_bench::contest_box::{Generator, Journal};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What the file says, and what is said instead, so that a play is short and takes no port that is somebody's.
const LENGTH: (&str, &str) = ("for = \"20s\"", "for = \"2s\"");
const RATE: u64 = 1000;

fn changed(text: String, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text, |text, (written, instead)| {
        assert!(text.contains(written), "the example does not say {written}");
        text.replace(written, instead)
    })
}

#[test]
fn the_breakpoint_finds_what_each_server_holds_and_the_audit_decides_the_same() {
    let stage = Stage::new().contestant("alice", &["--capacity", "230"]).contestant("bob", &["--capacity", "320"]);
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
    let outcome = generator.wait(3 * TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    for (name, capacity) in [("alice", 230), ("bob", 320)] {
        let holds = outcome.figures(name)["holds"].as_u64().unwrap_or_else(|| panic!("{name}: {}", outcome.json));
        assert!(
            u64::abs_diff(holds, capacity) * 20 <= capacity,
            "{name} holds {holds}/s of {capacity}/s: {}",
            outcome.said
        );
    }
    let mut audit = flowtest_bench::child::sibling("flowtest-loadgen").unwrap_or_else(|error| panic!("{error}"));
    audit.args(["audit", "--journal", &folder, "--json", "-"]);
    let audit = audit.output().expect("it runs");
    let report: Value = serde_json::from_slice(&audit.stdout).expect("JSON");
    assert_eq!((audit.status.code(), &report["equal"]), (Some(0), &Value::Bool(true)), "{report:#}");
    let findings = report["findings"].as_array().expect("a list");
    let steps = findings.iter().find(|finding| finding["kind"] == "steps").unwrap_or_else(|| panic!("{report:#}"));
    assert!(steps["text"].as_str().is_some_and(|text| text.contains("decided again by the traces")), "{steps}");
}

#[test]
fn the_first_contest_gives_200_points_for_each_request() {
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/first-contest.toml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let changes = [
        LENGTH,
        ("127.0.0.1:8081", stage.target("alice").endpoint.as_str()),
        ("127.0.0.1:8082", stage.target("bob").endpoint.as_str()),
    ];
    let contest = changed(text, &changes);
    let path = stage.folder().join("contest.toml");
    std::fs::write(&path, contest).expect("it is written");
    let generator = Generator::run(&path, None, stage.folder(), &["--quiet"]).expect("it starts");
    let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    let tallies = outcome.tallies().expect("it tells");
    assert_eq!(tallies.len(), 2);
    for (name, tally) in tallies {
        assert_eq!(tally.due, 2 * RATE, "{name}");
        stage.assert_exact(&name, &tally);
    }
}
