//! Stop means stop: by a command from any host, by a signal on the machine, and when nobody can read the document any more.

use crate::arena::{Arena, SECOND, served, sleep_until};
use crate::stage::Stage;
use flowtest_bench::child::{self, Child, Ended};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::{Control, State};
use flowtest_scoreboard::{Scoreboard, Stopped};
use flowtest_testkit::{WAIT_MAX, wait_until, wait_until_or};
use rustix::process::Signal;
use std::time::{Duration, Instant};

const ALICE: &str = "alice";

impl Arena {
    /// `flowtest-loadgen stop`, as somebody on another host types it.
    fn stop(&self, contest: &str) -> Ended {
        let mut command = child::sibling("flowtest-loadgen").unwrap_or_else(|error| panic!("{error}"));
        command.args(["stop", "--contest", contest, "--redis", &self.redis.url()]);
        let ended = Child::start("stop", &command).and_then(|child| child.wait(WAIT_MAX));
        ended.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until a generator follows a revision.
    fn await_revision(&mut self, id: &str, revision: u64) {
        wait_until_or(&format!("revision {revision} at {id}"), || match self.health(id).revision {
            followed if followed >= revision => Ok(()),
            older => Err(format!("{older}; {}", self.last_words())),
        });
    }

    /// Makes three changes, and waits until a generator follows the last one; the document of before.
    fn go_ahead(&mut self) -> Control {
        let before = self.control_store.control.clone();
        self.make(Change::Begin);
        for parked in [true, false] {
            self.make(Change::Park { contestant: ALICE.to_owned(), parked });
        }
        self.assert_goes_on("the round");
        self.await_revision("g1", self.control_store.control.revision);
        before
    }

    /// From now on Redis lets those without a name write what a round needs and these keys; a user `organiser` may all.
    fn restrict_others_to(&self, keys: &[&str]) {
        let round =
            ["round:*", "generator:*", "generators", "lease:*", "errors:*", "prepared", "named", "breakpoint:*"];
        let keys = round.iter().chain(keys).map(|key| format!("~flowtest:{{arena}}:{key}"));
        let rules: Vec<String> = ["resetkeys".to_owned(), "%R~*".to_owned()].into_iter().chain(keys).collect();
        let client = redis::Client::open(self.redis.url()).expect("an address");
        let mut connection = client.get_connection().expect("it answers");
        let all = ["on", ">x", "~*", "&*", "+@all"];
        redis::cmd("ACL").arg("SETUSER").arg("organiser").arg(&all).exec(&mut connection).expect("it is set");
        redis::cmd("ACL").arg("SETUSER").arg("default").arg(rules).exec(&mut connection).expect("it is set");
    }

    /// Waits until nothing is sent for a second.
    fn assert_quiet(&self, what: &str) {
        wait_until_or(&format!("a second without a request {what}"), || {
            let before = served(self.stage.target(ALICE));
            std::thread::sleep(Duration::from_secs(1));
            let is_quiet = served(self.stage.target(ALICE)) == before;
            is_quiet.then_some(()).ok_or_else(|| format!("it goes on; {}", self.last_words()))
        });
    }

    /// Nothing is sent from a second after now on.
    fn assert_quiet_within_a_second(&self, what: &str) {
        std::thread::sleep(Duration::from_secs(1));
        let before = served(self.stage.target(ALICE));
        std::thread::sleep(Duration::from_secs(1));
        let after = served(self.stage.target(ALICE));
        assert_eq!(after, before, "{what}: it goes on; {}", self.last_words());
    }

    /// Waits until nothing is heard of a generator any more.
    fn await_silence(&mut self, id: &str) {
        wait_until("the end of its health", || {
            let seen = self.control_store.scoreboard().read_generators("arena").expect("Redis answers");
            let is_heard = seen.iter().any(|seen| seen.id == id && seen.health.is_some());
            (!is_heard).then_some(())
        });
    }

    /// Waits until something is sent.
    fn assert_goes_on(&self, what: &str) {
        let before = served(self.stage.target(ALICE));
        wait_until_or(&format!("twenty requests more {what}"), || match served(self.stage.target(ALICE)) - before {
            20.. => Ok(()),
            fewer => Err(format!("{fewer}; {}", self.last_words())),
        });
    }
}

/// A round of so many seconds that these generators play, each with these flags.
fn play(seconds: u64, generators: &[&str], flags: &[&str]) -> Arena {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(seconds), 100, &[]);
    generators.iter().for_each(|generator| arena.serve_with(generator, flags));
    let start = arena.arm(generators);
    sleep_until(start + SECOND);
    arena.assert_goes_on("the round");
    arena
}

/// A round of a minute that two generators play.
fn two_play() -> Arena {
    play(60, &["g1", "g2"], &[])
}

#[test]
fn a_command_from_any_host_stops_a_contest_and_says_who_obeys() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(12), 100, &["g1", "g2"]);
    let unknown = arena.stop("nobodys");
    assert_eq!(unknown.status.code(), Some(1), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("holds no contest \"nobodys\""), "{}", unknown.stderr);
    let start = arena.arm(&["g1", "g2"]);
    sleep_until(start + SECOND);
    arena.assert_goes_on("the round");
    let stopped = arena.stop("arena");
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("g1") && stopped.stderr.contains("g2"), "{}", stopped.stderr);
    arena.assert_quiet("after the command");
    let control = arena.control_store.scoreboard().read_control("arena").expect("Redis answers").expect("a document");
    assert!(control.halted, "{control:?}");
    // Whoever steers allows it again, above that.
    arena.control_store.control = control;
    arena.make(Change::Halt { halted: false });
    arena.assert_goes_on("after the release");
    let tallies = arena.sealed();
    assert!(tallies[ALICE].due < 1200 && tallies[ALICE].failures() == 0, "a stop costs nobody a point: {tallies:?}");
    arena.assert_proved(&["g1", "g2"]);
}

#[test]
fn one_that_is_not_heard_is_named_by_the_command_and_may_play_on() {
    let mut arena = two_play();
    // As one whose way to Redis is cut: it says nothing any more.
    arena.generators["g2"].signal(Signal::STOP);
    arena.await_silence("g2");
    let stopped = arena.stop("arena");
    assert_eq!(stopped.status.code(), Some(1), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("stop applied by g1\n"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("are not heard: g2;"), "{}", stopped.stderr);
    arena.generators["g2"].signal(Signal::CONT);
    arena.assert_quiet("as soon as it hears of it");
    assert_eq!(arena.stop("arena").status.code(), Some(0), "now it is heard");
}

#[test]
fn one_that_was_ended_on_its_machine_is_not_asked_whether_it_stops() {
    let mut arena = two_play();
    arena.generators["g2"].signal(Signal::TERM);
    arena.await_silence("g2");
    let stopped = arena.stop("arena");
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("stop applied by g1"), "{}", stopped.stderr);
}

#[test]
fn a_stop_holds_where_redis_has_fallen_behind_what_generators_follow() {
    let mut arena = play(60, &["g1"], &[]);
    let before = arena.go_ahead();
    let newest = arena.control_store.control.clone();
    // As the users of a Redis that Ansible sets up, so that nobody brings back what a replica has missed.
    arena.restrict_others_to(&["probe", "practice"]);
    let url = arena.redis.url().replace("redis://", "redis://organiser:x@");
    let mut scoreboard = Scoreboard::connect(&url).expect("Redis is there");
    scoreboard.write_control(&before).expect("it is written");
    let stopped = scoreboard.stop_traffic("arena").expect("it answers");
    assert_eq!(stopped, Stopped::Now(newest.revision + 1), "above all that generators follow");
    arena.assert_quiet("a stop upon an older document");
    // Whoever writes it knows nothing of generators: the revision is below theirs.
    arena.control_store.control.revision += 1;
    arena.control_store.control.halted = false;
    arena.control_store.control.revision += 1;
    scoreboard.write_control(&arena.control_store.control).expect("it is written");
    arena.assert_goes_on("after the release");
    let older = Control { halted: true, revision: before.revision + 1, ..before };
    scoreboard.write_control(&older).expect("it is written");
    arena.assert_goes_on("what was taken back since stops nobody");
}

#[test]
fn an_older_document_that_stops_all_traffic_does_so_and_nobody_brings_back_one_that_does_not() {
    let mut arena = play(60, &["g1"], &[]);
    let before = arena.go_ahead();
    let older = Control { halted: true, revision: before.revision + 1, ..before };
    arena.control_store.scoreboard().write_control(&older).expect("it is written");
    arena.assert_quiet("a stop that is older than what is played by");
    let held = arena.control_store.scoreboard().read_control("arena").expect("Redis answers").expect("a document");
    assert_eq!(held, older, "it stands");
    let trouble = arena.wait_for_trouble("g1");
    assert!(trouble.contains("is not applied"), "{trouble}");
    assert_eq!(arena.health("g1").halted_by, Some(older.revision));
    arena.make(Change::Halt { halted: false });
    arena.assert_goes_on("after the release");
}

#[test]
fn a_stop_is_obeyed_where_the_rest_of_the_document_is_not() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(24), 100, &["g1"]);
    let start = arena.arm(&["g1"]);
    sleep_until(start + SECOND);
    arena.make(Change::Begin);
    arena.assert_goes_on("the round");
    // An organiser opens a network that this machine's own file does not.
    let mut wide = arena.control_store.control.contest.policy.clone();
    wide.allow.push("10.0.0.0/8".parse().expect("a network"));
    arena.make(Change::Policy(wide));
    let trouble = arena.wait_for_trouble("g1");
    assert!(trouble.contains("10.0.0.0/8") && trouble.contains("only what was open before"), "{trouble}");
    arena.assert_goes_on("by what was open before");
    arena.make(Change::Halt { halted: true });
    arena.assert_quiet_within_a_second("a document with a policy that is too wide");
    let revision = arena.control_store.control.revision;
    assert_eq!(arena.health("g1").revision, revision, "and it says that it applied it");
    arena.make(Change::Halt { halted: false });
    arena.assert_goes_on("after the release");
    // Somebody writes a document that cannot follow, and stops everything in it.
    let ours = arena.control_store.control.clone();
    let mut refused = ours.clone();
    (refused.revision, refused.halted) = (ours.revision + 5, true);
    refused.contest.rules.token += 1;
    arena.control_store.scoreboard().write_control(&refused).expect("it is written");
    arena.assert_quiet_within_a_second("a document that is refused");
    let trouble = arena.wait_for_trouble("g1");
    assert!(trouble.contains("is not applied") && trouble.contains("the rules"), "{trouble}");
    let stopped = arena.stop("arena");
    assert_eq!(stopped.status.code(), Some(0), "it says that it applied it: {}", stopped.stderr);
    arena.control_store.control.revision += 10;
    arena.make(Change::Halt { halted: false });
    arena.assert_goes_on("with a document that follows");
    let tallies = arena.sealed();
    assert_eq!(tallies[ALICE].failures(), 0, "a stop costs nobody a point: {tallies:?}");
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_round_that_is_given_up_ends_where_the_rest_of_the_document_is_refused() {
    let mut arena = play(60, &["g1"], &[]);
    let mut refused = arena.control_store.control.clone();
    (refused.revision, refused.state) = (refused.revision + 5, State::Aborted);
    refused.contest.rules.token += 1;
    arena.control_store.scoreboard().write_control(&refused).expect("it is written");
    arena.assert_quiet_within_a_second("a document that gives the round up");
    let generator = arena.generators.get_mut("g1").expect("it serves");
    let is_over = |line: &str| line.contains("is over here").then_some(());
    generator.wait_for("the end", WAIT_MAX, is_over).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_signal_stops_a_generator_also_while_redis_hangs_and_another_lets_it_go_on() {
    let mut arena = play(16, &["g1"], &[]);
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
    generator.wait_for("what hangs", WAIT_MAX, is_told).unwrap_or_else(|error| panic!("{error}"));
    // One question waits two seconds for its answer; five in a row were asked before anything was said.
    let told_after = hangs_since.elapsed();
    assert!(told_after < 5 * Duration::from_secs(2), "told after {told_after:?}");
    rustix::process::kill_process(redis, Signal::CONT).expect("it runs");
    wait_until_or("health that says so", || arena.health("g1").stopped.ok_or_else(|| arena.last_words()));
    arena.generators["g1"].signal(Signal::USR2);
    arena.assert_goes_on("after SIGUSR2");
    let tallies = arena.sealed();
    assert_eq!(tallies[ALICE].failures(), 0, "a stop costs nobody a point: {tallies:?}");
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_generator_stops_when_the_document_is_gone_for_longer_than_it_is_told() {
    let mut arena = play(16, &["g1"], &["--stop-without-control", "2s"]);
    arena.redis.kill().unwrap_or_else(|error| panic!("{error}"));
    arena.assert_quiet("without a document");
    assert!(arena.logs().contains("no control document could be read for 2s"), "{}", arena.logs());
    arena.redis.restart().unwrap_or_else(|error| panic!("{error}"));
    arena.assert_goes_on("with one");
    let tallies = arena.sealed();
    assert_eq!(tallies[ALICE].failures(), 0, "a stop costs nobody a point: {tallies:?}");
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_document_that_cannot_be_read_is_told_and_stops_as_one_that_is_gone() {
    let mut arena = play(60, &["g1"], &["--stop-without-control", "2s"]);
    let client = redis::Client::open(arena.redis.url()).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    let mut set = |text: &str| {
        redis::cmd("SET").arg("flowtest:{arena}:control").arg(text).exec(&mut connection).expect("it is set");
    };
    // A stop is heard whatever else nobody here can read.
    let newer = arena.control_store.control.to_json().replacen("\"dialect\":1", "\"dialect\":99", 1);
    set(&newer);
    let stopped = arena.stop("arena");
    arena.assert_quiet_within_a_second("a newer program's document");
    assert_eq!(stopped.status.code(), Some(1), "{}", stopped.stderr);
    for words in ["stop applied by g1\n", "cannot be read here (it speaks dialect 99", "who else has a share"] {
        assert!(stopped.stderr.contains(words), "{words}: {}", stopped.stderr);
    }
    arena.control_store.control.revision += 1;
    arena.make(Change::Halt { halted: false });
    arena.assert_goes_on("with one that can be read");
    set("{");
    let trouble = arena.wait_for_trouble("g1");
    assert!(trouble.contains("cannot be read"), "{trouble}");
    arena.assert_quiet("without a document");
    for words in ["it is no JSON", "no control document could be read for 2s"] {
        assert!(arena.logs().contains(words), "{words}: {}", arena.logs());
    }
    let stopped = arena.stop("arena");
    assert_eq!(stopped.status.code(), Some(1), "{}", stopped.stderr);
    arena.control_store.control.revision += 1;
    arena.make(Change::Begin);
    arena.assert_goes_on("with one");
}

#[test]
fn one_that_has_never_read_a_document_says_that_it_stops_by_one_that_nobody_can_read() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(1), 100, &[]);
    let client = redis::Client::open(arena.redis.url()).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    let newer = r#"{"dialect":99,"name":"arena","revision":6}"#;
    redis::cmd("SET").arg("flowtest:{arena}:control").arg(newer).exec(&mut connection).expect("it is set");
    arena.serve("g1");
    assert_eq!(arena.health("g1").halted_by, Some(0));
    let stopped = arena.stop("arena");
    assert!(stopped.stderr.contains("stop applied by g1\n"), "{}", stopped.stderr);
    assert_eq!(arena.health("g1").halted_by, Some(7));
}

#[test]
fn a_document_that_is_deleted_comes_back_from_who_may_write_it_and_stops_who_may_not() {
    let mut arena = play(30, &["g1"], &["--stop-without-control", "2s"]);
    let as_user = |arena: &Arena, user: &str| {
        let url = arena.redis.url().replace("redis://", &format!("redis://{user}@"));
        redis::Client::open(url).and_then(|client| client.get_connection()).expect("Redis is there")
    };
    arena.restrict_others_to(&["control", "probe", "practice"]);
    let mut connection = as_user(&arena, "organiser:x");
    let delete = |connection: &mut redis::Connection| {
        redis::cmd("DEL").arg("flowtest:{arena}:control").exec(connection).expect("it is gone");
    };
    delete(&mut connection);
    std::thread::sleep(Duration::from_secs(3));
    arena.assert_goes_on("with a document that it has brought back");
    let stopped = arena.stop("arena");
    assert_eq!(stopped.status.code(), Some(0), "and a stop reaches it: {}", stopped.stderr);
    arena.assert_quiet("after the command");
    arena.make(Change::Halt { halted: false });
    arena.assert_goes_on("after the release");
    // As the users of a Redis that Ansible sets up.
    arena.restrict_others_to(&["probe", "practice"]);
    delete(&mut connection);
    arena.assert_quiet("without a document");
    assert!(arena.last_words().contains("no control document could be read for 2s"), "{}", arena.last_words());
    let document = arena.control_store.control.to_json();
    redis::cmd("SET").arg("flowtest:{arena}:control").arg(document).exec(&mut connection).expect("it is set");
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
    sleep_until(start + SECOND);
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
fn what_redis_forbids_beside_a_round_is_told_by_log_and_health() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(4), 100, &[]);
    arena.serve_with("g1", &["--keep"]);
    arena.restrict_others_to(&["control"]);
    let parts = ["endpoints cannot be tested", "practice cannot be taken", "the split cannot be looked after"];
    wait_until_or("all that is forbidden", || {
        let trouble = arena.health("g1").beside_trouble.unwrap_or_default();
        let is_whole = parts.iter().all(|part| trouble.contains(part));
        is_whole.then_some(()).ok_or_else(|| format!("{trouble:?}; {}", arena.last_words()))
    });
    assert!(parts.iter().all(|part| arena.last_words().contains(part)), "{}", arena.last_words());
}

#[test]
fn one_that_ends_while_redis_is_away_names_rebuild_and_its_code_says_so() {
    let mut arena = play(60, &["g1"], &[]);
    arena.redis.kill().unwrap_or_else(|error| panic!("{error}"));
    let generator = arena.generators.remove("g1").expect("it serves");
    generator.signal(Signal::TERM);
    let ended = generator.wait(WAIT_MAX).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let told =
        ["the final points did not reach Redis in time", "not all points have come to Redis", "rebuild --journal"];
    for part in told {
        assert!(ended.stderr.contains(part), "nothing of {part:?}: {}", ended.stderr);
    }
    let waits = ended.stderr.lines().filter_map(|line| line.split_once("wait for Redis, ")?.1.split_once(" s more"));
    let waits: Vec<u64> = waits.map(|(seconds, _)| seconds.parse().expect("a number")).collect();
    assert!(!waits.is_empty() && waits.iter().all(|seconds| *seconds <= 20), "{waits:?}");
    // The next process on that folder does it.
    arena.redis.restart().unwrap_or_else(|error| panic!("{error}"));
    arena.serve("g1");
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_redis_that_takes_no_writes_is_told_by_the_generator_and_so_is_its_end() {
    let stage = Stage::light().contestant(ALICE, &[]);
    let mut arena = Arena::open(stage, &[ALICE], Duration::from_secs(9), 100, &["g1"]);
    let start = arena.arm(&["g1"]);
    sleep_until(start + SECOND);
    let set = |arena: &mut Arena, to: &str| {
        let mut config = redis::cmd("CONFIG");
        config.arg("SET").arg("maxmemory").arg(to);
        let client = redis::Client::open(arena.redis.url()).expect("an address");
        config.exec(&mut client.get_connection().expect("it answers")).expect("it is set");
    };
    set(&mut arena, "1");
    let hears = |arena: &mut Arena, part: &str| {
        let child = arena.generators.get_mut("g1").expect("it serves");
        let heard = child.wait_for(part, WAIT_MAX, |line| line.contains(part).then_some(()));
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
