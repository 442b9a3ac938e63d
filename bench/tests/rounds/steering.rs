//! What an organiser does to a running round, and what must not happen then.

use crate::arena::{Arena, SECOND, perfect, served, sleep_until};
use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Target};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::policy::Denied;
use flowtest_contract::utc_us;
use flowtest_testkit::WAIT_MAX;
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[test]
fn a_clock_that_is_off_refuses_to_arm_and_the_others_play() {
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(2), 200, &["g1"]);
    arena.serve_with("g2", &["--clock-shift-us", "-25000"]);
    arena.arm(&["g1", "g2"]);
    let tallies = arena.sealed();
    assert_eq!(tallies["alice"].due, 200, "the share of the one whose clock is off is nobody's");
    assert_eq!(arena.read().expect("it is there").streams.len(), 1);
    let words = arena.generators["g2"].log();
    assert!(words.contains("more than 20 ms are too many to play"), "{words}");
    let offset = arena.health("g2").clock_offset_us.expect("it was measured");
    assert!((-45_000..=-5_000).contains(&offset), "{offset}");
    arena.assert_proved(&["g1"]);
}

#[test]
fn parking_one_contestant_stops_its_packets_within_a_second_and_nobody_elses() {
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let mut arena = Arena::open(stage, &["alice", "bob"], Duration::from_secs(8), 200, &["g1"]);
    let start = arena.arm(&["g1"]);
    sleep_until(start + 2 * SECOND);
    arena.make(Change::Park { contestant: "alice".to_owned(), parked: true });
    std::thread::sleep(Duration::from_secs(1));
    let both = |arena: &Arena| ["alice", "bob"].map(|name| served(arena.stage.target(name)));
    let quiet = both(&arena);
    std::thread::sleep(Duration::from_secs(2));
    let later = both(&arena);
    assert_eq!(later[0], quiet[0], "no packet a second after the parking");
    assert!(later[1] >= quiet[1] + 300, "{quiet:?}, {later:?}");
    let health = arena.health("g1");
    assert!(health.lag_p99_us.is_some() && health.rate_ratio.is_some(), "while it sends it says how well: {health:?}");
    arena.make(Change::Park { contestant: "alice".to_owned(), parked: false });
    let tallies = arena.sealed();
    assert!(tallies["alice"].due < 1400 && served(arena.stage.target("alice")) > quiet[0], "{tallies:?}");
    assert_eq!(tallies["alice"].failures(), 0, "what was not due costs nothing");
    assert_eq!((tallies["bob"].due, tallies["bob"].token_right), (1600, 1600));
    arena.assert_proved(&["g1"]);
}

#[test]
fn one_that_is_stopped_while_its_share_goes_to_others_sends_nothing_of_it_when_continued() {
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(8), 300, &["g1", "g2"]);
    let start = arena.arm(&["g1", "g2"]);
    sleep_until(start + SECOND);
    arena.make(Change::Begin);
    arena.make(Change::Pause);
    sleep_until(start + 3 * SECOND);
    arena.generators["g2"].signal(Signal::STOP);
    let resume = utc_us() + 5_200_000;
    arena.make(Change::Resume { at: resume, generators: vec!["g1".to_owned()] });
    // It sleeps through the resume, and wakes in the middle of what is no longer its.
    sleep_until(resume + 2 * SECOND);
    arena.generators["g2"].signal(Signal::CONT);
    let tallies = arena.sealed();
    perfect(&tallies, 2400);
    assert_eq!(served(arena.stage.target("alice")), tallies["alice"].sent + 6, "and the three tokens of each check");
    arena.assert_proved(&["g1", "g2"]);
}

#[test]
fn an_address_that_is_closed_in_mid_round_gets_no_packet_a_second_later() {
    let first = Target::start("first", &["--listen", "127.0.0.1:0"]).unwrap_or_else(|error| panic!("{error}"));
    let port = first.endpoint.rsplit(':').next().expect("a port").to_owned();
    let at = |host: &str| {
        Target::start(host, &["--listen", &format!("{host}:{port}")]).unwrap_or_else(|error| panic!("{error}"))
    };
    let (second, lone) = (at("127.0.0.2"), at("127.0.0.3"));
    // Somebody who hangs keeps the admission busy with its check while the policy changes.
    let hanging = Target::start("hanging", &["--faults", "silence:1"]).unwrap_or_else(|error| panic!("{error}"));
    let phase = Phase { length: Duration::from_secs(14), rate: Some(200), connections: 8, pipeline: 1 };
    let contest = ContestFile::new("arena", phase)
        .with("team", &format!("team.test:{port}"))
        .with("lone", &format!("lone.test:{port}"))
        .with("hanging", &hanging.endpoint);
    let mut arena = Arena::of(Stage::light(), &contest, &[]);
    std::fs::write(&arena.hosts, "127.0.0.1 team.test\n127.0.0.2 team.test\n127.0.0.3 lone.test\n").expect("written");
    arena.serve("g1");
    let start = arena.arm(&["g1"]);
    sleep_until(start + 3 * SECOND);
    assert!(served(&second) > 100 && served(&lone) > 200, "{} {}", served(&second), served(&lone));
    let mut policy = arena.control_store.control.contest.policy.clone();
    policy.deny.extend(["127.0.0.2", "127.0.0.3"].map(|closed| closed.parse::<Denied>().expect("an entry")));
    arena.make(Change::Policy(policy.clone()));
    std::thread::sleep(Duration::from_secs(1));
    let quiet = [served(&second), served(&lone)];
    let goes_on = served(&first);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!([served(&second), served(&lone)], quiet, "no packet a second after it was closed");
    assert!(served(&first) >= goes_on + 300, "its others go on: {goes_on}, {}", served(&first));
    // Opened again, it is asked for three right answers and joins.
    policy.deny.clear();
    arena.make(Change::Policy(policy));
    let tallies = arena.sealed();
    assert!(served(&lone) > quiet[1], "{}", arena.last_words());
    assert_eq!(tallies["team"].due, 2800);
    for name in ["team", "lone"] {
        assert_eq!(tallies[name].failures(), 0, "{name}: {:?}", tallies[name]);
    }
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_contest_from_a_file_is_admitted_by_the_same_rules() {
    let stage = Stage::light().contestant("alice", &["--team", "alice"]);
    let endpoint = stage.target("alice").endpoint.clone();
    let phase = Phase { length: Duration::from_secs(1), rate: Some(10), connections: 1, pipeline: 1 };
    let port = endpoint.rsplit(':').next().expect("a port");
    // (name, endpoint of the second contestant, part of the refusal)
    let cases = [
        ("closed", "127.0.0.1:22".to_owned(), "port 22"),
        ("shared", format!("localhost:{port}"), "\"alice\""),
        ("mapped", format!("mapped.test:{port}"), "\"alice\""),
        ("translated", format!("[64:ff9b::127.0.0.1]:{port}"), "\"alice\""),
    ];
    let run = |name: &str, contest: &ContestFile| {
        let file = stage.folder().join(format!("{name}.toml"));
        std::fs::write(&file, contest.to_toml()).expect("it is written");
        let mut command = flowtest_bench::child::sibling("flowtest-loadgen").unwrap_or_else(|error| panic!("{error}"));
        command.arg("run").arg(&file).args(["--hosts", "mapped.test=::ffff:127.0.0.1"]);
        let begun = Instant::now();
        let ended = flowtest_bench::child::Child::start("run", &command).and_then(|child| child.wait(WAIT_MAX));
        assert!(begun.elapsed() < WAIT_MAX, "{name}");
        ended.unwrap_or_else(|error| panic!("{error}"))
    };
    for (name, second, part) in cases {
        let ended = run(name, &ContestFile::new("arena", phase).with("alice", &endpoint).with("bob", &second));
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(part), "{name}: {}", ended.stderr);
    }
    assert_eq!(served(stage.target("alice")), 0);
    // Where servers have to say whose they are they are asked, and for nothing else.
    let contest = ContestFile { ownership: true, ..ContestFile::new("arena", phase) }.with("bob", &endpoint);
    let ended = run("unproved", &contest);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let told = "expected: Team: bob; received: Team: alice";
    assert!(ended.stderr.contains(told) && !ended.stderr.contains("Version"), "{}", ended.stderr);
    assert_eq!(served(stage.target("alice")), 1);
}
