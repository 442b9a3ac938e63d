//! A contestant that hangs, floods, resets or refuses costs its rivals nothing.

use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Generator};
use flowtest_contract::Rules;
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);
const RATE: u64 = 300;
const LENGTH: Duration = Duration::from_secs(4);
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

/// How many pairs are played at most for the sake of `rate_ratio`: one with the hostile, one with honest ones in their
/// place. A machine that takes the core away for 20 ms makes us late in either. If hostility costs nothing, all of
/// these plays being worse than all of their controls happens once in 252 times.
const PAIRS: usize = 5;
const HONEST: [&str; 4] = ["alice", "bob", "carol", "dave"];
const HOSTILE: [&str; 4] = ["silent", "resetting", "refusing", "flooding"];

#[test]
fn the_silent_the_resetting_the_refusing_and_the_flooding_cost_honest_rivals_nothing() {
    let mut ratios = Vec::new();
    let (mut best, mut worst_control) = (0.0f64, 1.0f64);
    for _ in 0..PAIRS {
        // Scores are exact in every play.
        let among_hostile = play(true);
        best = best.max(among_hostile);
        if best >= 0.999 {
            return;
        }
        let among_honest = play(false);
        worst_control = worst_control.min(among_honest);
        if best >= worst_control {
            return;
        }
        ratios.push((among_hostile, among_honest));
    }
    panic!("rate_ratio among the hostile was below that among the honest in all pairs: {ratios:?}");
}

/// Plays it once; the least rate_ratio of the honest ones and of all together.
fn play(hostile: bool) -> f64 {
    let mut least = 1.0f64;
    let honest = HONEST.iter().chain(HOSTILE.iter().filter(|_| !hostile));
    let mut stage = honest.fold(Stage::new(), |stage, name| stage.contestant(name, &["--faults", "delay:1=5ms"]));
    if hostile {
        stage =
            stage.contestant("silent", &["--faults", "silence:1"]).contestant("resetting", &["--faults", "reset:1"]);
    }
    let phase = Phase { length: LENGTH, rate: Some(RATE), connections: 16, pipeline: 1 };
    let contest = HONEST.iter().chain(&HOSTILE).fold(ContestFile::new("isolation", phase), |contest, name| {
        let endpoint = match *name {
            "refusing" if hostile => refusing(),
            "flooding" if hostile => flooder(),
            name => stage.target(name).endpoint.clone(),
        };
        contest.with(name, &endpoint)
    });
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let generator = Generator::run(&path, None, stage.folder(), &["--quiet"]).unwrap_or_else(|error| panic!("{error}"));
    let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);

    let tallies = outcome.tallies().expect("it tells");
    let due = RATE * LENGTH.as_secs();
    for name in &HONEST {
        stage.assert_exact(name, &tallies[*name]);
        let figures = outcome.figures(name);
        least = least.min(figures["rate_ratio"].as_f64().expect("open loop has one"));
        assert_eq!(tallies[*name].points(&Rules::default()), i128::from(due) * 200, "{name}: {:?}", tallies[*name]);
    }
    // The others pay for all that was due, each in its own way.
    for name in HOSTILE.iter().filter(|_| hostile) {
        let tally = &tallies[*name];
        assert!(tally.is_partition(), "{name}: {tally:?}");
        // Ours counts for nobody; that we were never late is judged where we have a core for ourselves.
        assert!(tally.due == due && tally.own_fault * 10 <= due, "{name}: {tally:?}");
        assert_eq!(tally.points(&Rules::default()), i128::from(due - tally.own_fault) * -200, "{name}: {tally:?}");
    }
    // How late we were ourselves: told, and weighed by the bench, for absolute times depend on the machine.
    let lag = &outcome.json["lag_us"]["p99"];
    assert!(lag.is_number(), "{}", outcome.json);
    println!("own lag, p99: {lag} us");
    least.min(outcome.json["rate_ratio"].as_f64().expect("open loop has one"))
}
