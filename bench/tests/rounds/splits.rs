//! Rounds on a clock: generators that serve, an organiser who arms, pauses, moves and stops, and totals that are exact.

use crate::arena::{Arena, LEAD_US, SECOND, perfect, served, sleep_until};
use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Target};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::timeline::DeadlineName;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use flowtest_testkit::is_long;
use rustix::process::Signal;
use std::time::Duration;

#[test]
fn three_generators_share_a_round_and_send_each_request_once() {
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let all = ["g1", "g2", "g3"];
    let mut arena = Arena::open(stage, &["alice", "bob"], Duration::from_secs(4), 500, &all);
    arena.arm(&all);
    let tallies = arena.sealed();
    perfect(&tallies, 2000);
    assert_eq!(arena.read().expect("it is there").streams.len(), 3);
    arena.assert_proved(&all);
}

#[test]
fn two_processes_of_one_name_do_not_double_the_load_and_a_dead_ones_name_is_taken_over() {
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(8), 100, &["g1"]);
    let second = arena.process("g1", "second", &[]);
    arena.arm(&["g1"]);
    let refused = second.wait(Duration::from_secs(60)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("another process plays as generator g1 of arena"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--id"), "{}", refused.stderr);
    // Organisers see for a while that it asked.
    let seen = arena.control_store.scoreboard().read_generators("arena").expect("Redis answers");
    assert!(seen[0].waiting.as_deref().is_some_and(|who| who.contains(", process ")), "{seen:?}");
    let tallies = arena.sealed();
    perfect(&tallies, 800);
    assert_eq!(served(arena.stage.target("alice")), 800 + 3, "the flood, and three tokens of the prepare check");
    arena.assert_proved(&["g1"]);
    // One that was killed holds its name for some seconds more, and then the next has it.
    arena.generators.remove("g1").expect("it runs").kill().unwrap_or_else(|error| panic!("{error}"));
    arena.serve("g1");
}

#[test]
fn a_pause_with_another_split_shifts_the_plan_and_loses_nothing() {
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(6), 300, &["g1", "g2"]);
    let start = arena.arm(&["g1", "g2"]);
    sleep_until(start + SECOND);
    arena.make(Change::Begin);
    arena.make(Change::Pause);
    sleep_until(start + 3 * SECOND);
    let before = served(arena.stage.target("alice"));
    // It counts from a second after it was made, so about two of the six seconds have been played.
    assert!((550..=720).contains(&before), "{before} requests before the pause");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(served(arena.stage.target("alice")), before, "nothing is sent in a pause");
    let resume = utc_us() + 5_200_000;
    arena.make(Change::Resume { at: resume, generators: vec!["g2".to_owned()] });
    let tallies = arena.sealed();
    perfect(&tallies, 1800);
    arena.assert_proved(&["g1", "g2"]);
}

#[test]
fn a_moved_deadline_acts_at_one_instant_and_one_in_the_past_is_refused() {
    let stage = Stage::light();
    // Its flip is where the deadline will be moved to.
    let lead = jiff::Timestamp::now() + Duration::from_secs(5) + Duration::from_micros(LEAD_US);
    let flip = lead + Duration::from_secs(9);
    // Its clock is 20 ms off, in either direction.
    let late = flip + Duration::from_millis(20);
    let early = lead + Duration::from_secs(4) - Duration::from_millis(20);
    let flags = ["--version", &format!("v1,v2@{late:.6}"), "--from", &format!("EC2,ECS@{early:.6}")];
    let house = Target::start("house", &flags).unwrap_or_else(|error| panic!("{error}"));
    let phase = Phase { length: Duration::from_secs(12), rate: Some(200), connections: 8, pipeline: 1 };
    let mut contest = ContestFile::new("arena", phase).with("house", &house.endpoint);
    contest.version_deadline = Some(Duration::from_secs(6));
    contest.from_deadline = Some(Duration::from_secs(4));
    contest.grace = Duration::from_millis(500);
    let mut arena = Arena::of(stage, &contest, &["g1", "g2"]);
    let start = UtcUs(lead.as_microsecond() as u64);
    arena.control_store.arm(start, &["g1", "g2"]).unwrap_or_else(|error| panic!("{error}"));
    sleep_until(start + SECOND / 10);
    arena.make(Change::Begin);
    let to = UtcUs(flip.as_microsecond() as u64);
    arena.make(Change::MoveDeadline { deadline: DeadlineName::Version, to });
    let past = arena.control_store.make(Change::MoveDeadline { deadline: DeadlineName::Version, to: start });
    assert!(past.is_err_and(|error| error.to_string().contains("too soon")));
    let tallies = arena.sealed();
    perfect(&tallies, 2400);
    arena.assert_proved(&["g1", "g2"]);
}

#[test]
fn one_killed_one_stopped_and_redis_restarted_leave_a_round_that_seals_and_is_proved() {
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let all = ["g1", "g2", "g3"];
    let length = if is_long() { 60 } else { 16 };
    let mut arena = Arena::open(stage, &["alice", "bob"], Duration::from_secs(length), 300, &all);
    let start = arena.arm(&all);
    sleep_until(start + 3 * SECOND);
    arena.generators.remove("g1").expect("it serves").kill().expect("it dies");
    arena.generators["g2"].signal(Signal::STOP);
    arena.redis.kill().expect("it dies");
    std::thread::sleep(Duration::from_secs(1));
    arena.redis.restart().unwrap_or_else(|error| panic!("{error}"));
    std::thread::sleep(Duration::from_secs(if is_long() { 10 } else { 4 }));
    arena.generators["g2"].signal(Signal::CONT);
    sleep_until(start + length * SECOND);
    // The killed one comes back on its folder, ends what it had begun, and the others seal.
    arena.serve("g1");
    let tallies = arena.sealed();
    arena.assert_proved(&all);
    let offered: Vec<u64> = tallies.values().map(|tally| tally.due).collect();
    // What died took its share with it, alike for everybody.
    assert!(offered[0].abs_diff(offered[1]) * 1000 <= offered[0], "{offered:?}");
    let plan = 300 * length;
    assert!(offered[0] < plan && offered[0] > plan / 2, "{offered:?} of {plan}");
    for tally in tallies.values() {
        assert_eq!(tally.failures(), 0, "{tally:?}");
    }
}

#[test]
fn a_contestant_moves_in_mid_round_and_loses_nothing() {
    let stage = Stage::light().contestant("here", &[]).contestant("there", &[]);
    let mut arena = Arena::open(stage, &["here"], Duration::from_secs(6), 400, &["g1"]);
    let start = arena.arm(&["g1"]);
    sleep_until(start + SECOND);
    let endpoint = arena.stage.target("there").endpoint.parse().expect("an endpoint");
    arena.make(Change::Endpoint { contestant: "here".to_owned(), endpoint });
    let tallies = arena.sealed();
    perfect(&tallies, 2400);
    let (here, there) = (served(arena.stage.target("here")), served(arena.stage.target("there")));
    assert!(here > 300 && there > 1200, "{here} here and {there} there");
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_name_with_three_addresses_spreads_and_one_leaves_and_one_joins_without_a_lost_point() {
    let first = Target::start("one", &["--listen", "127.0.0.1:0"]).unwrap_or_else(|error| panic!("{error}"));
    let port = first.endpoint.rsplit(':').next().expect("a port").to_owned();
    let at = |host: &str| {
        Target::start(host, &["--listen", &format!("{host}:{port}")]).unwrap_or_else(|error| panic!("{error}"))
    };
    let (second, third, fourth) = (at("127.0.0.2"), at("127.0.0.3"), at("127.0.0.4"));
    let phase = Phase { length: Duration::from_secs(36), rate: Some(300), connections: 12, pipeline: 1 };
    let contest = ContestFile::new("arena", phase).with("team", &format!("team.test:{port}"));
    let mut arena = Arena::of(Stage::light(), &contest, &[]);
    std::fs::write(&arena.hosts, "127.0.0.1 team.test\n127.0.0.2 team.test\n127.0.0.3 team.test\n").expect("written");
    arena.serve("g1");
    let start = arena.arm(&["g1"]);
    sleep_until(start + 3 * SECOND);
    // The third leaves, the fourth joins, and a private address of somebody else is never asked.
    std::fs::write(&arena.hosts, "127.0.0.1 team.test\n127.0.0.2 team.test\n127.0.0.4 team.test\n").expect("written");
    sleep_until(start + 24 * SECOND);
    let left = served(&third);
    let joined = served(&fourth);
    let tallies = arena.sealed();
    perfect(&tallies, 36 * 300);
    assert!(left > 100, "the third was asked while it was there");
    assert_eq!(served(&third), left, "and not after it had left");
    assert!(joined > 100 && served(&fourth) > joined + 600, "the fourth got its share");
    let stayed = [served(&first), served(&second)];
    assert!(stayed.iter().all(|asked| *asked > 2500), "{stayed:?}");
    arena.assert_proved(&["g1"]);
}

#[test]
fn the_kill_switch_works_within_a_second_and_a_late_contestant_joins_when_it_is_ready() {
    let stage = Stage::light().contestant("alice", &[]);
    let late = Target::start("late", &["--faults", "status:1=503"]).unwrap_or_else(|error| panic!("{error}"));
    let phase = Phase { length: Duration::from_secs(14), rate: Some(200), connections: 8, pipeline: 1 };
    let contest =
        ContestFile::new("arena", phase).with("alice", &stage.target("alice").endpoint).with("late", &late.endpoint);
    let mut arena = Arena::of(stage, &contest, &["g1"]);
    let start = arena.arm(&["g1"]);
    sleep_until(start + 3 * SECOND);
    let asked = served(&late);
    assert!(asked < 30, "who is not ready is asked, not flooded: {asked}");
    let ready = Target::start("ready", &[]).unwrap_or_else(|error| panic!("{error}"));
    let endpoint = ready.endpoint.parse().expect("an endpoint");
    arena.make(Change::Endpoint { contestant: "late".to_owned(), endpoint });
    sleep_until(start + 6 * SECOND);
    assert!(served(&ready) > 200, "{} requests: it has not joined; {}", served(&ready), arena.last_words());
    arena.make(Change::Halt { halted: true });
    std::thread::sleep(Duration::from_secs(1));
    let quiet = (served(arena.stage.target("alice")), served(&ready));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((served(arena.stage.target("alice")), served(&ready)), quiet, "no packet after a second");
    arena.make(Change::Halt { halted: false });
    let tallies = arena.sealed();
    assert!(served(arena.stage.target("alice")) > quiet.0, "and again when it is released");
    // Until it was ready it missed what was due, and nothing else failed.
    let (alice, late) = (tallies["alice"], tallies["late"]);
    assert_eq!((alice.failures(), late.failures()), (0, late.missed), "{alice:?} {late:?}");
    assert!(late.missed >= 600 && late.missed < late.due, "{late:?}");
    arena.assert_proved(&["g1"]);
}

#[test]
fn garbage_newer_documents_and_a_wider_policy_are_not_obeyed_and_the_round_goes_on() {
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(4), 300, &["g1"]);
    let start = arena.arm(&["g1"]);
    let mut connection =
        redis::Client::open(arena.redis.url()).and_then(|client| client.get_connection()).expect("Redis is there");
    let raised = |by: u64| format!("\"revision\":{}", arena.control_store.control.revision + by);
    let revision = raised(0);
    let newer = arena.control_store.control.to_json().replace("\"dialect\":1", "\"dialect\":99");
    let json = arena.control_store.control.to_json();
    let other_rules = json.replace("\"token\":100", "\"token\":1").replace(&revision, &raised(5));
    // Wider than what the generator's own machine allows.
    let wider = json.replace("\"127.0.0.0/8\"", "\"127.0.0.0/8\",\"10.0.0.0/8\"").replace(&revision, &raised(6));
    for (index, document) in ["{", "", "[]", &newer, &other_rules, &wider].into_iter().enumerate() {
        sleep_until(start + index as u64 * 500_000);
        redis::cmd("SET").arg("flowtest:{arena}:control").arg(document).exec(&mut connection).expect("it is set");
    }
    let tallies = arena.sealed();
    perfect(&tallies, 1200);
    let words = arena.logs();
    for told in ["dialect 99", "the rules", "10.0.0.0/8"] {
        assert!(words.contains(told), "nothing of {told}: {words}");
    }
    arena.assert_proved(&["g1"]);
}
