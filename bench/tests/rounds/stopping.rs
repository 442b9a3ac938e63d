//! Stop means stop: by a command from any host, by a signal on the machine, and when nobody can read the document any more.

use crate::arena::{Arena, SECOND, TIMEOUT, served, wait_until};
use crate::stage::Stage;
use flowtest_bench::child::{self, Child, Ended};
use flowtest_contest::State;
use flowtest_contest::lifecycle::Change;
use rustix::process::Signal;
use std::time::{Duration, Instant};

const ALICE: &str = "alice";

impl Arena {
    /// `flowtest-loadgen stop`, as somebody on another host types it.
    fn stop(&self, contest: &str) -> Ended {
        let mut command = child::sibling("flowtest-loadgen").unwrap_or_else(|error| panic!("{error}"));
        command.args(["stop", "--contest", contest, "--redis", &self.redis.url()]);
        let ended = Child::start("stop", &command).and_then(|child| child.wait(TIMEOUT));
        ended.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until nothing is sent for a second.
    fn assert_quiet(&self, what: &str) {
        let until = Instant::now() + TIMEOUT;
        loop {
            let before = served(self.stage.target(ALICE));
            std::thread::sleep(Duration::from_secs(1));
            if served(self.stage.target(ALICE)) == before {
                return;
            }
            assert!(Instant::now() < until, "{what}: it goes on; {}", self.last_words());
        }
    }

    /// Waits until something is sent.
    fn assert_goes_on(&self, what: &str) {
        let (before, until) = (served(self.stage.target(ALICE)), Instant::now() + TIMEOUT);
        while served(self.stage.target(ALICE)) < before + 20 {
            assert!(Instant::now() < until, "{what}: nothing is sent; {}", self.last_words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_command_from_any_host_stops_a_contest_and_says_who_obeys() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(12), 100, &["g1", "g2"]);
    let unknown = arena.stop("nobodys");
    assert_eq!(unknown.status.code(), Some(1), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("holds no contest \"nobodys\""), "{}", unknown.stderr);
    let start = arena.arm(&["g1", "g2"]);
    wait_until(start + SECOND);
    arena.assert_goes_on("the round");
    let stopped = arena.stop("arena");
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("g1") && stopped.stderr.contains("g2"), "{}", stopped.stderr);
    arena.assert_quiet("after the command");
    let control = arena.organiser.scoreboard().read_control("arena").expect("Redis answers").expect("a document");
    assert!(control.halted, "{control:?}");
    // Whoever steers allows it again, above that.
    arena.organiser.control = control;
    arena.make(Change::Halt { halted: false });
    arena.assert_goes_on("after the release");
    let tallies = arena.sealed();
    assert!(tallies[ALICE].due < 1200 && tallies[ALICE].failures() == 0, "a stop costs nobody a point: {tallies:?}");
    arena.assert_proved(&["g1", "g2"]);
}

#[test]
fn a_signal_stops_a_generator_also_while_redis_hangs_and_another_lets_it_go_on() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(16), 100, &["g1"]);
    let start = arena.arm(&["g1"]);
    wait_until(start + SECOND);
    arena.assert_goes_on("the round");
    let redis = rustix::process::Pid::from_raw(arena.redis.id() as i32).expect("an id");
    rustix::process::kill_process(redis, Signal::STOP).expect("it runs");
    let hangs_since = Instant::now();
    arena.generators["g1"].signal(Signal::USR1);
    arena.assert_quiet("after SIGUSR1");
    let generator = arena.generators.get_mut("g1").expect("it serves");
    let is_told = |line: &str| {
        let is_it = ["no answer from Redis", "no Redis answers"].iter().any(|said| line.contains(said));
        is_it.then_some(())
    };
    generator.wait_for("what hangs", TIMEOUT, is_told).unwrap_or_else(|error| panic!("{error}"));
    // One question waits two seconds for its answer; five in a row were asked before anything was said.
    let told_after = hangs_since.elapsed();
    assert!(told_after < 5 * Duration::from_secs(2), "told after {told_after:?}");
    rustix::process::kill_process(redis, Signal::CONT).expect("it runs");
    let until = Instant::now() + TIMEOUT;
    while arena.health("g1").stopped.is_none() {
        assert!(Instant::now() < until, "its health says so; {}", arena.last_words());
        std::thread::sleep(Duration::from_millis(50));
    }
    arena.generators["g1"].signal(Signal::USR2);
    arena.assert_goes_on("after SIGUSR2");
    let tallies = arena.sealed();
    assert_eq!(tallies[ALICE].failures(), 0, "a stop costs nobody a point: {tallies:?}");
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_generator_stops_when_the_document_is_gone_for_longer_than_it_is_told() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(16), 100, &[]);
    arena.serve_with("g1", &["--stop-without-control", "2s"]);
    let start = arena.arm(&["g1"]);
    wait_until(start + SECOND);
    arena.assert_goes_on("the round");
    arena.redis.kill().unwrap_or_else(|error| panic!("{error}"));
    arena.assert_quiet("without a document");
    assert!(arena.last_words().contains("no control document could be read for 2s"), "{}", arena.last_words());
    arena.redis.restart().unwrap_or_else(|error| panic!("{error}"));
    arena.assert_goes_on("with one");
    let tallies = arena.sealed();
    assert_eq!(tallies[ALICE].failures(), 0, "a stop costs nobody a point: {tallies:?}");
    arena.assert_proved(&["g1"]);
}

#[test]
fn the_stop_without_a_document_waits_for_no_redis_that_hangs() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(16), 200, &[]);
    arena.serve_with("g1", &["--stop-without-control", "500ms"]);
    let start = arena.arm(&["g1"]);
    wait_until(start + SECOND);
    arena.assert_goes_on("the round");
    let redis = rustix::process::Pid::from_raw(arena.redis.id() as i32).expect("an id");
    let before = served(arena.stage.target(ALICE));
    rustix::process::kill_process(redis, Signal::STOP).expect("it runs");
    arena.assert_quiet("without a document");
    // The question that hangs waits for two seconds, in which 400 requests fall due.
    let sent = served(arena.stage.target(ALICE)) - before;
    assert!(sent < 300, "{sent} requests after the document was gone; {}", arena.last_words());
    rustix::process::kill_process(redis, Signal::CONT).expect("it runs");
    arena.assert_goes_on("with one");
    // Also where the question was answered after all, so that whoever asked it saw no stop.
    for words in ["is stopped: no control document could be read for 500ms", "traffic from here goes on, after"] {
        assert!(arena.last_words().contains(words), "{words}: {}", arena.last_words());
    }
    let tallies = arena.sealed();
    assert_eq!(tallies[ALICE].failures(), 0, "a stop costs nobody a point: {tallies:?}");
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_redis_that_takes_no_writes_is_told_by_the_generator_and_so_is_its_end() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(9), 100, &["g1"]);
    let start = arena.arm(&["g1"]);
    wait_until(start + SECOND);
    let set = |arena: &mut Arena, to: &str| {
        let mut config = redis::cmd("CONFIG");
        config.arg("SET").arg("maxmemory").arg(to);
        let client = redis::Client::open(arena.redis.url()).expect("an address");
        config.exec(&mut client.get_connection().expect("it answers")).expect("it is set");
    };
    set(&mut arena, "1");
    let hears = |arena: &mut Arena, part: &str| {
        let child = arena.generators.get_mut("g1").expect("it serves");
        let heard = child.wait_for(part, TIMEOUT, |line| line.contains(part).then_some(()));
        heard.unwrap_or_else(|error| panic!("{error}"));
    };
    hears(&mut arena, "takes no writes: its memory is full");
    hears(&mut arena, "the scoreboard stands still: Redis at");
    set(&mut arena, "0");
    hears(&mut arena, "Redis is as it should be again");
    let tallies = arena.sealed();
    assert_eq!(tallies[ALICE].due, 900);
    assert_eq!(arena.read().map(|totals| totals.state), Some(State::Sealed));
    arena.assert_proved(&["g1"]);
}
