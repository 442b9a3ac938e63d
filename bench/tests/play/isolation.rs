//! A contestant that hangs, floods, resets or refuses costs its rivals nothing.

use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Generator};
use flowtest_contract::Rules;
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const RATE: u64 = 300;
const LENGTH: Duration = Duration::from_secs(6);
/// What the flooder throws at each connection before it lets go.
const FLOOD_BYTES: usize = 4 << 20;

/// Answers whoever connects with bytes that are no HTTP, as many as it can. Ends with the test's process.
fn flooder() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || stream.write_all(&vec![b'x'; FLOOD_BYTES]));
        }
    });
    address
}

/// Nobody listens here any more.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has one").to_string()
}

/// How often it is played for the sake of `rate_ratio`: a machine that takes the core away for 20 ms makes us late by
/// itself, but hardly in each of three plays; a contestant that delays its rivals does.
const PLAYS: usize = 3;

#[test]
fn the_silent_the_resetting_the_refusing_and_the_flooding_cost_honest_rivals_nothing() {
    let mut ratios = Vec::new();
    for _ in 0..PLAYS {
        // Scores are exact in every play.
        ratios.push(play());
        if ratios.last().is_some_and(|ratio| *ratio >= 0.999) {
            return;
        }
    }
    panic!("rate_ratio never reached 0.999: {ratios:?}");
}

/// Plays it once; the least rate_ratio of the honest ones and of all together.
fn play() -> f64 {
    let mut least = 1.0f64;
    let stage = ["alice", "bob", "carol", "dave"]
        .iter()
        .fold(Stage::new(), |stage, name| stage.contestant(name, &["--faults", "delay:1=5ms"]))
        .contestant("silent", &["--faults", "silence:1"])
        .contestant("resetting", &["--faults", "reset:1"]);
    let phase = Phase { length: LENGTH, rate: Some(RATE), connections: 16, pipeline: 1 };
    let names = ["alice", "bob", "carol", "dave", "silent", "resetting"];
    let contest = names
        .iter()
        .fold(ContestFile::new("isolation", phase), |contest, name| contest.with(name, &stage.target(name).endpoint))
        .with("refusing", &refusing())
        .with("flooding", &flooder());
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let generator = Generator::run(&path, None, stage.folder(), &["--quiet"]).unwrap_or_else(|error| panic!("{error}"));
    let outcome = generator.wait(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);

    let tallies = outcome.tallies().expect("it tells");
    let due = RATE * LENGTH.as_secs();
    for name in &names[..4] {
        stage.assert_exact(name, &tallies[*name], &Rules::default());
        let figures = outcome.figures(name);
        least = least.min(figures["rate_ratio"].as_f64().expect("open loop has one"));
        assert_eq!(tallies[*name].points(&Rules::default()), i128::from(due) * 200, "{name}: {:?}", tallies[*name]);
    }
    // The others pay for all that was due, each in its own way.
    for name in ["silent", "resetting", "refusing", "flooding"] {
        let tally = &tallies[name];
        assert!(tally.is_partition(), "{name}: {tally:?}");
        assert_eq!((tally.due, tally.own_fault), (due, 0), "{name}: {tally:?}");
        assert_eq!(tally.points(&Rules::default()), i128::from(due) * -200, "{name}: {tally:?}");
    }
    // How late we were ourselves: told, and weighed by the bench, for absolute times depend on the machine.
    let lag = &outcome.json["lag_us"]["p99"];
    assert!(lag.is_number(), "{}", outcome.json);
    println!("own lag, p99: {lag} us");
    least.min(outcome.json["rate_ratio"].as_f64().expect("open loop has one"))
}
