//! What a generator says about itself and the roster: health, prepare checks, metrics.

use crate::arena::{Arena, SECOND, sleep_until};
use crate::stage::Stage;
use flowtest_bench::contest_box::ContestFile;
use flowtest_bench::contest_box::Target;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_contest::lifecycle::Change;
use flowtest_scoreboard::generator::GeneratorHealth;
use flowtest_testkit::{scrape, wait_until_or};
use std::net::IpAddr;
use std::time::Duration;

impl Arena {
    /// What a generator says about itself, as soon as it does.
    pub(crate) fn health(&mut self, generator: &str) -> GeneratorHealth {
        let contest = self.control_store.contest().to_owned();
        wait_until_or(&format!("health of {generator}"), || {
            let seen = self.control_store.scoreboard().read_generators(&contest).expect("Redis answers");
            let of_it = seen.into_iter().find(|seen| seen.id == generator);
            of_it.and_then(|seen| seen.health).ok_or_else(|| self.last_words())
        })
    }
}

#[test]
fn a_generator_says_before_any_round_what_it_can_and_where_its_requests_come_from() {
    let mut arena =
        Arena::open(Stage::light().contestant("alice", &[]), &["alice"], Duration::from_secs(1), 10, &["g1"]);
    arena.serve_with("g2", &["--source-address", "203.0.113.7,2001:db8::7"]);
    let health = arena.health("g1");
    assert!(health.round.is_none() && health.features.iter().any(|feature| feature == "recv_multishot"), "{health:?}");
    assert!(!health.source_addresses.is_empty(), "{health:?}");
    let loopback = health.source_addresses.iter().filter(|address| address.is_loopback()).count();
    assert!(
        loopback == 0 || health.source_addresses.len() == 1,
        "loopback only when there is nothing else: {health:?}"
    );
    let told: Vec<IpAddr> = ["203.0.113.7", "2001:db8::7"].map(|address| address.parse().expect("one")).to_vec();
    assert_eq!(arena.health("g2").source_addresses, told);
}

#[test]
fn the_prepare_check_of_everybody_is_published_also_of_those_who_are_ready() {
    let stage = Stage::light().contestant("alice", &[]);
    let late = Target::start("late", &["--version", "v1"]).unwrap_or_else(|error| panic!("{error}"));
    let phase = Phase { length: Duration::from_secs(3), rate: Some(100), connections: 4, pipeline: 1 };
    let alice = stage.target("alice").endpoint.clone();
    let contest = ContestFile::new("arena", phase).with("alice", &alice).with("late", &late.endpoint);
    let mut arena = Arena::of(stage, &contest, &["g1"]);
    let start = arena.arm(&["g1"]);
    sleep_until(start);
    let read = |arena: &mut Arena| arena.control_store.scoreboard().read_prepared("arena").expect("Redis answers");
    let prepared = read(&mut arena);
    let (ready, waits) = (&prepared["alice"], &prepared["late"]);
    let verdicts = ready.verdicts.expect("it answered");
    assert!(ready.ready && verdicts.token && verdicts.version && verdicts.from, "{ready:?}");
    assert_eq!((&ready.endpoint, &ready.addresses[..]), (&format!("http://{alice}/"), &[alice.clone()][..]));
    let verdicts = waits.verdicts.expect("it answered");
    assert!(!waits.ready && verdicts.token && !verdicts.version && verdicts.from, "{waits:?}");
    assert!(waits.generator == "g1" && waits.message.contains("Version"), "{waits:?}");
    // It moves to where it is ready, and that is said.
    let good = Target::start("good", &[]).unwrap_or_else(|error| panic!("{error}"));
    let endpoint = good.endpoint.parse().expect("an endpoint");
    arena.make(Change::Endpoint { contestant: "late".to_owned(), endpoint });
    arena.sealed();
    let prepared = read(&mut arena);
    assert!(prepared["late"].ready && prepared["late"].addresses == [good.endpoint.clone()], "{prepared:?}");
}

#[test]
fn metrics_are_answered_before_between_and_in_two_rounds() {
    let mut arena = Arena::open(Stage::light().contestant("alice", &[]), &["alice"], Duration::from_secs(2), 100, &[]);
    arena.serve_with("g1", &["--metrics", "127.0.0.1:0"]);
    let words = arena.last_words();
    let (_, told) = words.split_once("metrics on http://").expect("it says where");
    let address = told.split('/').next().expect("an address").to_owned();
    let told = scrape(&address);
    assert!(told.contains("flowtest_up 1\n") && told.contains("flowtest_state{state=\"idle\"} 1\n"), "{told}");
    for round in 1..=2 {
        let start = arena.arm(&["g1"]);
        sleep_until(start + SECOND);
        let told = scrape(&address);
        assert!(told.contains("flowtest_state{state=\"running\"} 1\n"), "round {round}: {told}");
        assert!(told.contains("flowtest_journal_backlog_batches "), "round {round}: {told}");
        arena.sealed();
        std::thread::sleep(Duration::from_millis(600));
        let told = scrape(&address);
        assert!(told.contains("flowtest_state{state=\"idle\"} 1\n"), "round {round}: {told}");
        assert!(told.contains("flowtest_points{contestant=\"alice\"} 40000\n"), "round {round}: {told}");
        for change in [Change::Begin, Change::Drain, Change::Seal, Change::Draft] {
            arena.make(change);
        }
    }
}
