//! The smallest of the examples, played with the real programs.

use crate::stage::Stage;
use flowtest_bench::contest_box::Generator;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the file says, and what is said instead, so that a play is short and takes no port that is somebody's.
const LENGTH: (&str, &str) = ("for = \"20s\"", "for = \"2s\"");
const RATE: u64 = 1000;

#[test]
fn the_first_contest_gives_200_points_for_each_request() {
    let stage = Stage::new().contestant("alice", &[]).contestant("bob", &[]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/first-contest.toml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let changes = [
        LENGTH,
        ("127.0.0.1:8081", stage.target("alice").endpoint.as_str()),
        ("127.0.0.1:8082", stage.target("bob").endpoint.as_str()),
    ];
    let contest = changes.iter().fold(text, |text, (written, instead)| {
        assert!(text.contains(written), "the example does not say {written}");
        text.replace(written, instead)
    });
    let path = stage.folder().join("contest.toml");
    std::fs::write(&path, contest).expect("it is written");
    let generator = Generator::run(&path, None, stage.folder(), &["--quiet"]).expect("it starts");
    let outcome = generator.wait(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    let tallies = outcome.tallies().expect("it tells");
    assert_eq!(tallies.len(), 2);
    for (name, tally) in tallies {
        assert_eq!(tally.due, 2 * RATE, "{name}");
        stage.assert_exact(&name, &tally);
    }
}
