//! Generators that die, come back, come late and leave while a round is played, and shares that go to others without a pause.

use crate::arena::{Arena, SECOND, perfect, sleep_until};
use crate::stage::Stage;
use flowtest_bench::child::Child;
use flowtest_bench::contest_box::ContestFile;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::visitor::Page;
use flowtest_contest::lifecycle::Change;
use flowtest_contest::timeline::DeadlineName;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Rules, Tally, utc_us};
use flowtest_testkit::{WAIT_MAX, is_long, wait_until_or};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

const KEEP: &[&str] = &["--keep"];
/// What a process that is killed has counted and not on disk, at the most, on a machine that is busy with other tests.
const UNSYNCED_US: u64 = 2_000_000;

/// From the death of a generator to the split without it: five seconds, and one for a machine that is busy with other tests.
const HEALED_US_MAX: u64 = 6 * SECOND;

impl Arena {
    /// The newest split, as the document in Redis has it.
    fn split(&mut self) -> Vec<String> {
        self.control_store.follow().unwrap_or_else(|error| panic!("{error}"));
        self.control_store.control.split.clone()
    }

    /// Waits until these share the round by a split that counts, and says since when.
    fn wait_for_split(&mut self, names: &[&str]) -> UtcUs {
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        wait_until_or(&format!("a split of {names:?}"), || match sorted(self.split()) {
            split if split == names => Ok(()),
            other => Err(format!("{other:?}; {}", self.last_words())),
        });
        let from = self.control_store.control.timeline.splits.last().expect("it is armed").from;
        sleep_until(from);
        from
    }

    /// Waits until a generator says why it does not play.
    pub(crate) fn wait_for_trouble(&mut self, generator: &str) -> String {
        wait_until_or("its trouble", || self.health(generator).trouble.ok_or_else(|| self.last_words()))
    }

    fn kill(&mut self, generator: &str) {
        self.generators.remove(generator).expect("it serves").kill().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Asks a generator to end, and says how.
    fn end(&mut self, generator: &str) {
        let child: Child = self.generators.remove(generator).expect("it serves");
        child.signal(Signal::TERM);
        let ended = child.wait(WAIT_MAX).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    }
}

/// Nobody lost a point by what a server did, and nothing was asked beyond the plan. What is lacking of it, the same for all.
fn lost(tallies: &BTreeMap<String, Tally>, planned: u64) -> u64 {
    for (name, tally) in tallies {
        assert_eq!(tally.failures(), 0, "{name}: {tally:?}");
        let counts = i128::from(tally.settled() - tally.own_fault);
        assert_eq!(tally.points(&Rules::default()), 200 * counts, "{name}: {tally:?}");
        assert!(tally.due <= planned, "{name} was asked more than the plan says: {tally:?}");
    }
    // What was in flight when a process was killed has no outcome.
    let lost: Vec<u64> = tallies.values().map(|tally| planned - tally.settled()).collect();
    let (least, most) = (lost.iter().min().expect("one"), lost.iter().max().expect("one"));
    assert!(most - least <= 2, "not the same for all: {lost:?}");
    *most
}

#[test]
fn one_that_is_killed_and_comes_back_costs_five_seconds_of_its_share_at_the_most() {
    // Killed at 10 s and back at 20 s of 40 s; in the short form at 4 s and as soon as others have its share.
    let (killed, back, length) = if is_long() { (10, 20, 40) } else { (4, 4, 40) };
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let all = ["g1", "g2", "g3"];
    let mut arena = Arena::open(stage, &["alice", "bob"], Duration::from_secs(length), 300, &["g1"]);
    arena.serve_with("g2", KEEP);
    arena.serve_with("g3", KEEP);
    let start = arena.arm(&all);
    sleep_until(start + killed * SECOND);
    let died = utc_us();
    arena.kill("g1");
    let healed = arena.wait_for_split(&["g2", "g3"]);
    sleep_until(start + back * SECOND);
    arena.serve("g1");
    arena.wait_for_split(&all);
    let tallies = arena.sealed();
    arena.assert_proved(&all);
    let lost = lost(&tallies, 300 * length);
    let dead_us = healed - died + UNSYNCED_US;
    assert!(lost > 0 && lost <= dead_us * 100 / SECOND + 2, "{lost} were nobody's in {dead_us} µs");
    assert!(healed - died <= HEALED_US_MAX, "others had its share {} µs after its death", healed - died);
    if is_long() {
        assert!(lost <= 5 * 100, "{lost} of {} were nobody's", 300 * length);
    }
    // It played again: the rows of its second stream count.
    let words = arena.generators["g1"].log();
    assert!(words.contains("takes part 3 of 3"), "{words}");
}

#[test]
fn a_dashboard_keeps_the_split_by_itself_and_its_page_says_who_plays() {
    let phase = Phase { length: Duration::from_secs(40), rate: Some(200), connections: 12, pipeline: 1 };
    let stage = Stage::light().contestant("alice", &[]);
    let endpoint = stage.target("alice").endpoint.clone();
    let mut arena = Arena::open(stage, &["alice"], phase.length, 200, &["g1", "g2"]);
    let (mut dashboard, admin) = arena.hand_over(phase, &endpoint);
    let says = |part: &str| {
        let page = admin.visitor.open("/setting").and_then(Page::fine).unwrap_or_else(|error| panic!("{error}"));
        assert!(page.text.contains(part), "nothing of {part:?}: {}", page.text);
    };
    arena.control_store.follow().unwrap_or_else(|error| panic!("{error}"));
    let start = arena.control_store.control.timeline.start_at.expect("it is armed");
    sleep_until(start + 3 * SECOND);
    says("plays 1 of 2 since");
    let died = utc_us();
    arena.kill("g1");
    let healed = arena.wait_for_split(&["g2"]);
    says("plays 1 of 1 since");
    says("played until");
    arena.serve("g1");
    arena.wait_for_split(&["g1", "g2"]);
    says("plays 2 of 2 since");
    let tallies = arena.sealed();
    arena.assert_proved(&["g1", "g2"]);
    assert!(healed - died <= HEALED_US_MAX, "others had its share {} µs after its death", healed - died);
    let (lost, dead_us) = (lost(&tallies, 8000), healed - died + UNSYNCED_US);
    assert!(lost > 0 && lost <= dead_us * 100 / SECOND + 2, "{lost} were nobody's in {dead_us} µs");
    dashboard.stop().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn joins_leaves_a_moved_deadline_and_a_pause_leave_totals_exact() {
    let all: &[&str] =
        if is_long() { &["g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8"] } else { &["g1", "g2", "g3", "g4"] };
    let (length, rate, half) = (if is_long() { 60 } else { 28 }, 240, all.len() / 2);
    // It may wait for its turn.
    let stage = Stage::light();
    // Time for all of them to begin, and the deadline where it will be moved to.
    let start = utc_us() + 15 * SECOND;
    let flip = start + 7 * SECOND;
    let at = jiff::Timestamp::from_microsecond(flip.0 as i64).expect("an instant");
    let flags = ["--version", &format!("v1,v2@{at:.6}")];
    let stage = stage.contestant("alice", &flags).contestant("bob", &flags);
    let phase = Phase { length: Duration::from_secs(length), rate: Some(rate), connections: 16, pipeline: 1 };
    let mut contest = ContestFile::new("arena", phase)
        .with("alice", &stage.target("alice").endpoint)
        .with("bob", &stage.target("bob").endpoint);
    contest.version_deadline = Some(Duration::from_secs(20));
    contest.grace = Duration::from_millis(500);
    let mut arena = Arena::of(stage, &contest, &[]);
    arena.serve_with("g1", KEEP);
    all[1..half].iter().for_each(|name| arena.serve(name));
    arena.control_store.arm(start, &all[..half]).unwrap_or_else(|error| panic!("{error}"));
    // Half of them come late, one before the start and the others after it.
    arena.serve(all[half]);
    sleep_until(start + SECOND);
    arena.make(Change::Begin);
    arena.make(Change::MoveDeadline { deadline: DeadlineName::Version, to: flip });
    all[half + 1..].iter().for_each(|name| arena.serve(name));
    arena.wait_for_split(all);
    sleep_until(flip + SECOND);
    // One leaves in order, and others take its share before it goes.
    arena.end("g2");
    arena.make(Change::Pause);
    std::thread::sleep(Duration::from_secs(2));
    let rest = all.iter().filter(|name| **name != "g2").map(|name| (*name).to_owned()).collect();
    arena.make(Change::Resume { at: utc_us() + 5_200_000, generators: rest });
    // It comes back after the pause, and then another one leaves.
    arena.serve("g2");
    arena.wait_for_split(all);
    arena.end(all[half]);
    let tallies = arena.sealed();
    assert_eq!(lost(&tallies, rate * length), 0);
    arena.assert_proved(all);
    arena.control_store.follow().unwrap_or_else(|error| panic!("{error}"));
    let splits = &arena.control_store.control.timeline.splits;
    assert!(splits.len() >= 6, "{splits:?}");
}

#[test]
fn without_a_keeper_the_split_stays() {
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(8), 300, &["g1", "g2"]);
    let start = arena.arm(&["g1", "g2"]);
    sleep_until(start + SECOND);
    arena.kill("g2");
    sleep_until(start + 8 * SECOND);
    assert_eq!(arena.split(), ["g1", "g2"]);
    // It ends what it had begun, and the other seals.
    arena.serve("g2");
    let tallies = arena.sealed();
    arena.assert_proved(&["g1", "g2"]);
    assert!(lost(&tallies, 2400) >= 6 * 150, "{tallies:?}");
}

#[test]
fn one_that_could_not_be_armed_is_tried_again_and_plays_from_the_start() {
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(4), 200, &["g1"]);
    // Wider than its own machine allows: the policy is mended while there is time.
    let mut wide = arena.control_store.control.contest.policy.clone();
    let right = wide.clone();
    wide.allow.push("10.0.0.0/8".parse().expect("a network"));
    arena.make(Change::Policy(wide));
    arena.arm(&["g1"]);
    let trouble = arena.wait_for_trouble("g1");
    assert!(trouble.contains("cannot be played here") && trouble.contains("10.0.0.0/8"), "{trouble}");
    arena.make(Change::Policy(right));
    let tallies = arena.sealed();
    perfect(&tallies, 800);
    let words = arena.logs();
    assert!(words.contains("it is tried again while there is time") && words.contains("is armed here"), "{words}");
    arena.assert_proved(&["g1"]);
    assert_eq!(arena.health("g1").trouble, None);
}

#[test]
fn one_whom_redis_refused_at_the_arming_plays_from_the_start_and_what_it_began_is_no_difference() {
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(4), 200, &["g1"]);
    let mut connection =
        redis::Client::open(arena.redis.url()).and_then(|client| client.get_connection()).expect("Redis is there");
    let mut set_clients_max = |max: u64| {
        redis::cmd("CONFIG").arg("SET").arg("maxclients").arg(max).exec(&mut connection).expect("it is set");
    };
    // Whoever is connected stays, and nobody else is let in: the look at the document works, and the publisher does not.
    set_clients_max(1);
    arena.arm(&["g1"]);
    let trouble = arena.wait_for_trouble("g1");
    assert!(trouble.contains("cannot be played here"), "{trouble}");
    set_clients_max(1_000);
    let tallies = arena.sealed();
    perfect(&tallies, 800);
    arena.assert_proved(&["g1"]);
    assert_eq!(arena.read().expect("it is there").streams.len(), 1, "what could not be armed was never registered");
}

#[test]
fn one_that_was_away_when_the_round_began_joins_late_and_nothing_is_lost() {
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let mut arena = Arena::open(stage, &["alice", "bob"], Duration::from_secs(16), 300, &[]);
    arena.serve_with("g1", KEEP);
    arena.serve("g2");
    // It stands still from before the arming until the round has begun, and its share goes to the other before the start.
    arena.generators["g2"].signal(Signal::STOP);
    let start = arena.arm(&["g1", "g2"]);
    arena.wait_for_split(&["g1"]);
    sleep_until(start + 2 * SECOND);
    arena.generators["g2"].signal(Signal::CONT);
    arena.wait_for_split(&["g1", "g2"]);
    let tallies = arena.sealed();
    assert_eq!(lost(&tallies, 4800), 0);
    assert!(arena.generators["g2"].log().contains("takes part 2 of 2"), "{}", arena.logs());
    arena.assert_proved(&["g1", "g2"]);
}

#[test]
fn one_that_stands_still_is_left_out_and_sends_nothing_of_what_went_to_others() {
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let mut arena = Arena::open(stage, &["alice", "bob"], Duration::from_secs(20), 300, &[]);
    arena.serve_with("g1", KEEP);
    arena.serve("g2");
    let start = arena.arm(&["g1", "g2"]);
    sleep_until(start + 3 * SECOND);
    let stopped = utc_us();
    arena.generators["g2"].signal(Signal::STOP);
    let dead_us = arena.wait_for_split(&["g1"]) - stopped;
    arena.generators["g2"].signal(Signal::CONT);
    arena.wait_for_split(&["g1", "g2"]);
    let tallies = arena.sealed();
    arena.assert_proved(&["g1", "g2"]);
    for (name, tally) in &tallies {
        assert_eq!(tally.due, 6000, "{name}: what stood still was due, and counts for nobody: {tally:?}");
        assert!(tally.own_fault <= dead_us * 150 / SECOND + 20, "{name}: {tally:?} in {dead_us} µs");
    }
}
