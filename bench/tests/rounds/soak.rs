//! A round in which Redis is away for a long while: the generator's memory stays where it was, and nothing is missing
//! when Redis is back.
//!
//! Ten minutes with two of them alone in the long run, a thirtieth of that in every run.

use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Generator, Journal, Redis};
use flowtest_testkit::is_long;
use std::time::{Duration, Instant};

/// Per contestant. Enough that failures are explained and evidence is kept all the time, and little enough for a machine
/// on which other things run.
const RATE: u64 = 500;
const FAULTS: &str = "wrong_token:5,status:7,missing_from:11";
const TIMEOUT: Duration = Duration::from_secs(120);
/// What the memory may grow by, whichever is less: a leak of one row per put would be more.
const GROWTH_PERCENT: u64 = 10;
const GROWTH_KIB: u64 = 8 << 10;

#[test]
fn memory_is_flat_over_a_round_in_which_redis_is_away() {
    let [length, away, back] = if is_long() { [600, 240, 360] } else { [20, 8, 13] };
    let stage = Stage::light().contestant("flawed", &["--faults", FAULTS]).contestant("honest", &[]);
    let mut redis = Redis::start(&stage.folder().join("redis")).unwrap_or_else(|error| panic!("{error}"));
    let journal = Journal::in_folder(stage.folder());
    let mut generator = start(&stage, &redis, &journal, Duration::from_secs(length));

    let begun = Instant::now();
    let mut samples = Vec::new();
    for second in 0.. {
        if second == away {
            redis.kill().expect("it dies");
        }
        if second == back {
            redis.restart().unwrap_or_else(|error| panic!("{error}"));
        }
        let next = begun + Duration::from_secs(second + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        if !generator.is_running() {
            break;
        }
        samples.extend(rss_kib(generator.id()));
        assert!(begun.elapsed() < Duration::from_secs(length) + TIMEOUT, "{}", generator.last_words());
    }
    let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    // 3: somebody took the core away, and requests went out late. That is no matter of memory.
    assert!(outcome.is_whole(), "{}", outcome.said);
    assert!(samples.len() as u64 >= length, "it ended before its time: {}", outcome.said);

    let early = median(&samples[samples.len() / 5..samples.len() * 2 / 5]);
    let late = median(&samples[samples.len() * 4 / 5..]);
    let most = samples.iter().max().expect("there are samples");
    println!("{} samples: second fifth {early} KiB, last fifth {late} KiB, most {most} KiB", samples.len());
    let limit = early + (early * GROWTH_PERCENT / 100).min(GROWTH_KIB);
    assert!(late <= limit, "{late} KiB after {early} KiB: {samples:?}");

    let audit = journal.audit(Some(&redis.url())).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(audit.exit_code, Some(0), "{}", audit.text);
    let round = &audit.json["rounds"][0];
    assert_eq!((&audit.json["proved"], &round["state"]), (&100.0.into(), &"sealed".into()), "{}", audit.text);
    assert_eq!(round["outcomes"], 2 * RATE * length, "whatever came due has an outcome: {}", audit.text);
}

fn start(stage: &Stage, redis: &Redis, journal: &Journal, length: Duration) -> Generator {
    let phase = Phase { length, rate: Some(RATE), connections: 16, pipeline: 1 };
    let contest = ["flawed", "honest"]
        .iter()
        .fold(ContestFile::new("soak", phase), |contest, name| contest.with(name, &stage.target(name).endpoint));
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let [flag, folder] = journal.flags();
    let flags = ["--quiet", &flag, &folder];
    Generator::run(&path, Some(&redis.url()), stage.folder(), &flags).unwrap_or_else(|error| panic!("{error}"))
}

/// The memory that a process holds now. `None` when it has just ended.
fn rss_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn median(samples: &[u64]) -> u64 {
    let mut samples = samples.to_vec();
    samples.sort_unstable();
    samples[samples.len() / 2]
}
