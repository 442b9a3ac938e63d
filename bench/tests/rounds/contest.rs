//! Whole contests: deadlines that flip under load, and a Redis that always ends up with the generator's own sums.

use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{Board, ContestFile, Generator, Redis, Target};
use flowtest_contract::{Rules, Tally};
use flowtest_testkit::wait_until_or;
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);
/// From writing the contest to its first request.
const LEAD: Duration = Duration::from_secs(2);

fn open_loop(length: Duration, rate: u64) -> Phase {
    Phase { length, rate: Some(rate), connections: 16, pipeline: 1 }
}

/// An absolute start, so that targets can flip at the same instants.
fn start() -> jiff::Timestamp {
    jiff::Timestamp::now() + LEAD
}

fn at(start: jiff::Timestamp, after: Duration) -> String {
    format!("{:.6}", start + after)
}

fn held(board: &mut Board) -> BTreeMap<String, Tally> {
    let totals = board.read().unwrap_or_else(|error| panic!("{error}")).expect("there is a round");
    assert_eq!(totals.junk, Vec::<String>::new());
    let rows = totals.contestants.into_iter();
    rows.map(|(name, row)| (name, Tally { sent: 0, ..row.tally })).collect()
}

#[test]
fn a_flip_under_load_costs_the_honest_nothing_and_the_stubborn_100_for_each_request_after_the_grace() {
    let stage = Stage::light();
    let folder = tempfile::tempdir().expect("a folder");
    let mut redis = Redis::start(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let (length, deadline, grace) = (Duration::from_secs(6), Duration::from_secs(2), Duration::from_secs(1));
    let (start, rate) = (start(), 1000);
    let version = format!("v1,v2@{}", at(start, deadline));
    let honest = Target::start("honest", &["--version", &version]).unwrap_or_else(|error| panic!("{error}"));
    let stubborn = Target::start("stubborn", &["--version", "v1"]).unwrap_or_else(|error| panic!("{error}"));
    let mut contest = ContestFile::new("flip", open_loop(length, rate))
        .with("honest", &honest.endpoint)
        .with("stubborn", &stubborn.endpoint);
    (contest.start, contest.version_deadline, contest.grace) = (at(start, Duration::ZERO), Some(deadline), grace);
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let generator = Generator::run(&path, Some(&redis.url()), stage.folder(), &["--quiet"]).expect("it starts");
    let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);

    let mut board = Board::connect(&redis.url(), "flip").unwrap_or_else(|error| panic!("{error}"));
    let tallies = held(&mut board);
    assert_eq!(tallies, outcome.tallies().expect("it tells"), "Redis and the generator's own sums");
    assert!(board.is_sealed().expect("Redis answers"));
    let rules = Rules { grace_us: grace.as_micros() as u64, ..Rules::default() };
    let (honest, stubborn) = (tallies["honest"], tallies["stubborn"]);
    assert_eq!(honest.due, rate * length.as_secs());
    assert_eq!(honest.points(&rules), i128::from(honest.due) * 200, "{honest:?}");
    // Open loop: request k is due at k/rate. Those sent after deadline + grace are wrong: 3 s of 6, but for the one
    // whose send instant is the last of the grace, or a few that were sent a little later than they were due.
    let after_grace = rate * (length - deadline - grace).as_secs();
    let wrong = stubborn.version_wrong;
    assert!(wrong.abs_diff(after_grace) <= rate / 50, "{wrong} instead of about {after_grace}");
    assert_eq!(stubborn.points(&rules), i128::from(stubborn.due) * 200 - i128::from(wrong) * 100, "{stubborn:?}");
    assert_eq!((stubborn.token_right, stubborn.from_right), (stubborn.due, stubborn.due));
    redis.kill().expect("it dies");
}

#[test]
fn redis_that_is_killed_wiped_and_restarted_in_mid_run_ends_up_with_the_generators_own_sums() {
    let stage = Stage::light();
    let folder = tempfile::tempdir().expect("a folder");
    let mut redis = Redis::start(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let faults = "wrong_token:5,status:7,missing_from:11";
    let stage = stage.contestant("flawed", &["--faults", faults]).contestant("honest", &[]);
    let contest = ["flawed", "honest"]
        .iter()
        .fold(ContestFile::new("outage", open_loop(Duration::from_secs(8), 500)), |contest, name| {
            contest.with(name, &stage.target(name).endpoint)
        });
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let mut generator = Generator::run(&path, Some(&redis.url()), stage.folder(), &["--quiet"]).expect("it starts");

    let mut board = Board::connect(&redis.url(), "outage").unwrap_or_else(|error| panic!("{error}"));
    wait_until_or("a row", || {
        assert!(generator.is_running(), "no rows: {}", generator.last_words());
        let totals = board.read().ok().flatten().filter(|totals| !totals.contestants.is_empty());
        totals.ok_or_else(|| generator.last_words())
    });
    redis.kill().expect("it dies");
    std::thread::sleep(Duration::from_millis(1500));
    redis.wipe().expect("its folder is ours");
    redis.restart().unwrap_or_else(|error| panic!("{error}"));
    let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);

    let tallies = held(&mut board);
    assert_eq!(tallies, outcome.tallies().expect("it tells"), "Redis and the generator's own sums");
    assert!(board.is_sealed().expect("Redis answers"));
    for name in ["flawed", "honest"] {
        stage.assert_exact(name, &tallies[name]);
    }
}
