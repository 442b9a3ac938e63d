//! Breakpoint phases: contestants climb until they break, two generators, journals and a Redis between; the audit decides each
//! step again. Each play takes minutes in which next to nothing is done, so the first minute of one is always played, and the
//! others are played in the long form; there also what is found is judged, which is what a machine makes of it.

use crate::arena::{Arena, SECOND, sleep_until};
use crate::stage::Stage;
use flowtest_bench::child::Child;
use flowtest_bench::contest_box::ContestFile;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_contest::breakpoint::{Breakpoint, Climber, DECIDE_US, Decision};
use flowtest_contest::contest::{self, Contest, Load};
use flowtest_contest::ladder::{LadderTerms, Pass, Step, Unbroken};
use flowtest_contest::lifecycle::Change;
use flowtest_testkit::is_long;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const GENERATORS: [&str; 2] = ["g1", "g2"];
/// Plays of the long form.
const PLAYS: usize = 10;

const TIMEOUT_US: u64 = 500_000;
/// A hold of three seconds, the timeout, and three seconds to decide.
const STEP_US: u64 = TERMS.hold_us + TIMEOUT_US + DECIDE_US;
const TERMS: Breakpoint = Breakpoint {
    ladder: LadderTerms {
        start: 190,
        step: Step::Times(1.25),
        max: 20_000,
        pass: Pass { verified: 0.995, p99_us: 60_000 },
    },
    hold_us: 3 * SECOND,
    fleet_max: None,
};

/// A hold of three seconds shows a rate above a capacity only from some three hundredths on, for the bucket's burst and the p99 that
/// may pass. So 259/s is held until the queue has grown, and slips by three hundredths to 251/s, at which the queue of a stall drains.
/// Of 260 the same rate would be held with a queue that never drains, until the machine stalls twice.
const B: u64 = 256;

/// Who plays: a name, and the flags of its server.
type Cast<'a> = &'a [(&'a str, &'a [&'a str])];

/// An arena in which everybody climbs by these terms, in so many steps.
fn arena(cast: Cast<'_>, terms: Breakpoint, steps: u64) -> Arena {
    let mut arena = empty(cast, terms, steps);
    GENERATORS.iter().for_each(|generator| arena.serve_with(generator, &["--keep"]));
    arena
}

/// The same, which nobody serves yet.
fn empty(cast: Cast<'_>, terms: Breakpoint, steps: u64) -> Arena {
    let stage = if is_long() { Stage::new() } else { Stage::light() };
    let stage = cast.iter().fold(stage, |stage, (name, flags)| stage.contestant(name, flags));
    let phase = Phase { length: Duration::from_secs(1), rate: Some(1), connections: 1, pipeline: 1 };
    let mut file = cast
        .iter()
        .fold(ContestFile::new("arena", phase), |file, (name, _)| file.with(name, &stage.target(name).endpoint));
    file.timeout = Duration::from_micros(TIMEOUT_US);
    let mut arena = Arena::of(stage, &file, &[]);
    let climb =
        contest::Phase { duration_us: steps * STEP_US, load: Load::Breakpoint(terms), connections: 400, scored: true };
    let contest = Contest { phases: vec![climb], ..arena.control_store.control.contest.clone() };
    arena.make(Change::Edit { contest: Box::new(contest), ids: Default::default(), since: Default::default() });
    arena
}

/// The same, where everybody holds so much.
fn bounded(capacities: &[(&str, u64)], steps: u64) -> Arena {
    let flags: Vec<[String; 2]> =
        capacities.iter().map(|(_, capacity)| ["--capacity".to_owned(), capacity.to_string()]).collect();
    let flags: Vec<Vec<&str>> = flags.iter().map(|flags| flags.iter().map(String::as_str).collect()).collect();
    let cast: Vec<(&str, &[&str])> =
        capacities.iter().zip(&flags).map(|((name, _), flags)| (*name, flags.as_slice())).collect();
    arena(&cast, TERMS, steps)
}

/// What was decided last of all contestants.
fn found(arena: &mut Arena) -> Vec<Climber> {
    let (contest, round) =
        (arena.control_store.contest().to_owned(), arena.control_store.control.round.expect("a round"));
    let newest = arena.control_store.scoreboard().read_newest_step(&contest, &round).expect("Redis is there");
    newest.unwrap_or_else(|| panic!("nothing was decided: {}", arena.last_words())).climbers
}

/// Who was not found within five percent, or not in the order of what they hold.
fn not_found(climbers: &[Climber], capacities: &[(&str, u64)]) -> Option<String> {
    for (name, capacity) in capacities {
        let climber = climbers.iter().find(|climber| climber.contestant == *name).expect("it plays");
        // What passes once more when it is tried again is climbed from, and then the phase may end before that breaks. A machine
        // that is too slow may end a search, behind a failure of its own.
        let is_its_own = matches!(climber.unbroken, None | Some(Unbroken::Time)) || climber.breaks_at.is_some();
        if !is_its_own || climber.holds.abs_diff(*capacity) * 20 > *capacity {
            return Some(format!("{capacity}: {climber:?}"));
        }
    }
    // They are named by what they hold.
    let holds = |name: &str| climbers.iter().find(|climber| climber.contestant == name).map(|climber| climber.holds);
    (!capacities.is_sorted_by_key(|(name, _)| holds(name))).then(|| format!("{climbers:?}"))
}

fn assert_found(climbers: &[Climber], capacities: &[(&str, u64)], words: &str) {
    if let Some(trouble) = not_found(climbers, capacities) {
        panic!("{trouble}\n{words}");
    }
}

/// Plays a climb to its end; where it is asked for, the generator that decides is killed in the third hold and comes back. All
/// is counted and proved, whatever was found; returns who was not found, and what was.
fn climb(capacities: &[(&str, u64)], steps: u64, dies: bool) -> (Option<String>, Vec<Climber>) {
    let mut arena = bounded(capacities, steps);
    let start = arena.arm(&GENERATORS);
    if dies {
        sleep_until(start + 2 * STEP_US + 2 * SECOND);
        arena.generators.remove("g1").expect("it serves").kill().unwrap_or_else(|error| panic!("{error}"));
        sleep_until(start + 3 * STEP_US + 2 * SECOND);
        arena.serve_with("g1", &["--keep"]);
    }
    sleep_until(start + steps * STEP_US);
    let tallies = arena.sealed();
    let climbers = found(&mut arena);
    // What was in flight when a generator was killed has no outcome: less than what falls due in a second.
    let is_settled = |climber: &Climber| {
        let tally = &tallies[&climber.contestant];
        let open = tally.due.checked_sub(tally.settled()).expect("no more outcomes than requests");
        tally.due > 0 && open <= if dies { climber.holds } else { 0 }
    };
    assert!(climbers.iter().all(is_settled), "{tallies:?}");
    arena.assert_proved(&GENERATORS);
    assert_redis_is_held_against_the_journals(&mut arena);
    (not_found(&climbers, capacities).map(|trouble| format!("{trouble}\n{}", arena.last_words())), climbers)
}

/// What somebody writes into Redis in the place of a decision is told, and what Redis loses comes back from the journals.
fn assert_redis_is_held_against_the_journals(arena: &mut Arena) {
    let (contest, round) =
        (arena.control_store.contest().to_owned(), arena.control_store.control.round.expect("a round"));
    let key = |step: &str| format!("flowtest:{{{contest}}}:breakpoint:{round}:{step}");
    let client = redis::Client::open(arena.redis.url()).expect("an address");
    let mut connection = client.get_connection().expect("Redis is there");
    let newest = arena.control_store.scoreboard().read_newest_step(&contest, &round).expect("Redis is there");
    let newest = newest.expect("something was decided");
    let mut forged = newest.clone();
    forged.climbers[0].holds = 90_000;
    let text = serde_json::to_string(&forged).expect("JSON");
    for name in ["newest", &format!("step:{}", newest.step)] {
        let _: () = redis::cmd("SET").arg(key(name)).arg(&text).query(&mut connection).expect("it is done");
        let audit = arena.journals("audit", &GENERATORS);
        assert_eq!(audit.status.code(), Some(4), "{}\n{}", audit.stdout, audit.stderr);
    }
    let mut lose = |name: &str| -> () { redis::cmd("DEL").arg(key(name)).query(&mut connection).expect("it is done") };
    lose(&format!("step:{}", newest.step));
    let audit = arena.journals("audit", &GENERATORS);
    assert!(
        audit.status.code() == Some(4) && audit.stdout.contains("Redis lacks what was decided"),
        "{}",
        audit.stdout
    );
    // All of them are gone, within a week in which nobody forgets any: that is a difference, until they are put back.
    (0..newest.step).for_each(|step| lose(&format!("step:{step}")));
    lose("newest");
    let audit = arena.journals("audit", &GENERATORS);
    assert!(
        audit.status.code() == Some(4) && audit.stdout.contains("Redis lacks what was decided"),
        "{}",
        audit.stdout
    );
    let rebuild = arena.journals("rebuild", &GENERATORS);
    assert!(
        rebuild.status.success() && rebuild.stdout.contains("was put back"),
        "{}\n{}",
        rebuild.stdout,
        rebuild.stderr
    );
    // Of figures that were not known to be whole the journals keep no latency.
    let plain = |climbers: Vec<Climber>| -> Vec<Climber> {
        let plain = climbers.into_iter().map(|mut climber| {
            climber.sums.p99_us = climber.sums.p99_us.filter(|_| !climber.sums.unsettled);
            climber
        });
        plain.collect()
    };
    assert_eq!(plain(found(arena)), plain(newest.climbers));
    arena.assert_proved(&GENERATORS);
}

/// As many as it takes until the last of them has broken, the one in which the decider dies among them.
const SHORT: u64 = 9;

#[test]
fn whoever_decides_may_die_in_mid_climb_and_all_climb_on() {
    let capacities = [("b", B), ("c", 420), ("d", 640)];
    let (_, climbers) = climb(&capacities, SHORT, true);
    for (name, capacity) in capacities {
        let climber = climbers.iter().find(|climber| climber.contestant == name).expect("it plays");
        // Steps are a quarter apart; one that our own lateness spoils is tried again, and nobody holds more than it can.
        assert!(climber.holds * 20 <= capacity * 21 && climber.holds * 2 > capacity, "{capacity}: {climber:?}");
    }
    // Who holds most has come there after the death, in the third step.
    assert!(climbers.iter().any(|climber| climber.contestant == "d" && climber.holds > 297), "{climbers:?}");
}

#[test]
fn six_are_found_in_their_order_in_each_of_ten_plays_and_the_audit_decides_the_same() {
    let all = [("a", 170), ("b", B), ("c", 420), ("d", 640), ("e", 900), ("f", 1_300)];
    let plays = if is_long() { PLAYS } else { 0 };
    for play in 0..plays {
        assert_eq!(climb(&all, 26, play % 2 == 1).0, None, "play {play}");
    }
}

/// Each answer takes so long, so that a rate takes so many connections.
const SLOWLY: &str = "delay:1=20ms";
/// Descriptors that are left to a generator: of these half or so are the slow one's, which carry some 1,500 a second of two.
const DESCRIPTORS_LEFT: u64 = 40;

#[test]
fn a_small_fleet_is_nobodys_limit() {
    if !is_long() {
        return;
    }
    let terms = Breakpoint { ladder: LadderTerms { step: Step::Times(1.5), ..TERMS.ladder }, ..TERMS };
    let steps = 24;
    let mut arena = arena(&[("bounded", &["--capacity", "300"]), ("wide", &["--faults", SLOWLY])], terms, steps);
    let start = arena.arm(&GENERATORS);
    sleep_until(start);
    // From here on it opens no more than these: connections, or anything else.
    for generator in GENERATORS {
        let id = arena.generators[generator].id();
        let open = std::fs::read_dir(format!("/proc/{id}/fd")).expect("it is ours").count() as u64;
        let limit = Rlimit { current: Some(open + DESCRIPTORS_LEFT), ..getrlimit(Resource::Nofile) };
        let process = Pid::from_raw(id.cast_signed()).expect("it runs");
        prlimit(Some(process), Resource::Nofile, limit).expect("it is ours");
    }
    sleep_until(start + steps * STEP_US);
    arena.sealed();
    let climbers = found(&mut arena);
    assert_found(&climbers, &[("bounded", 300)], &arena.last_words());
    let wide = climbers.iter().find(|climber| climber.contestant == "wide").expect("it plays");
    assert_eq!(wide.unbroken, Some(Unbroken::Generator), "{wide:?}");
    assert!(wide.breaks_at.is_none() && wide.holds >= 600, "{wide:?}");
    arena.assert_proved(&GENERATORS);
}

#[test]
fn nobody_holds_others_down() {
    if !is_long() {
        return;
    }
    let terms = Breakpoint { ladder: LadderTerms { max: 3_000, ..TERMS.ladder }, ..TERMS };
    let steps = 24;
    let cast: Cast<'_> = &[
        ("b", &["--capacity", "256"]),
        ("silent", &["--faults", "silence:7"]),
        ("resetting", &["--faults", "reset:7"]),
        ("garbage", &["--faults", "garbage:7"]),
        ("endless", &["--faults", "endless_head:7"]),
        ("late", &["--faults", "delay:7=450ms"]),
        ("wide", &[]),
        ("c", &["--capacity", "420"]),
    ];
    let mut arena = arena(cast, terms, steps);
    let start = arena.arm(&GENERATORS);
    sleep_until(start + steps * STEP_US);
    arena.sealed();
    let climbers = found(&mut arena);
    assert_found(&climbers, &[("b", B), ("c", 420)], &arena.last_words());
    let wide = climbers.iter().find(|climber| climber.contestant == "wide").expect("it plays");
    assert_eq!((wide.unbroken, wide.holds), (Some(Unbroken::Max), 3_000), "{wide:?}");
    arena.assert_proved(&GENERATORS);
}

/// How Redis answers through a [`Proxy`], in ms; this much: it is away.
const AWAY: u64 = u64::MAX;

/// Stands before a Redis, and makes it slow or takes it away.
struct Proxy {
    url: String,
    takes_ms: Arc<AtomicU64>,
}

impl Proxy {
    fn before(redis: &str) -> Proxy {
        let upstream = redis.trim_start_matches("redis://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("redis://{}/", listener.local_addr().expect("it listens"));
        let takes_ms = Arc::new(AtomicU64::new(0));
        let takes = takes_ms.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if takes.load(Ordering::Relaxed) == AWAY {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                let both = |stream: &TcpStream| (stream.try_clone().expect("ours"), stream.try_clone().expect("ours"));
                let ((from_client, to_client), (from_server, to_server)) = (both(&client), both(&server));
                let (none, takes) = (Arc::new(AtomicU64::new(0)), takes.clone());
                std::thread::spawn(move || pass_on(from_client, to_server, &none));
                std::thread::spawn(move || pass_on(from_server, to_client, &takes));
            }
        });
        Proxy { url, takes_ms }
    }

    fn takes(&self, ms: u64) {
        self.takes_ms.store(ms, Ordering::Relaxed);
    }
}

/// Passes on what comes, each part so much later, until one of both closes or it is away.
fn pass_on(mut from: TcpStream, mut to: TcpStream, takes_ms: &AtomicU64) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let takes = takes_ms.load(Ordering::Relaxed);
        if takes == AWAY {
            break;
        }
        std::thread::sleep(Duration::from_millis(takes));
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // Whoever reads or writes there hears of it.
    for stream in [from, to] {
        _ = stream.shutdown(Shutdown::Both);
    }
}

#[test]
fn nobody_loses_its_climb_while_redis_is_slow_or_away() {
    if !is_long() {
        return;
    }
    let steps = 24;
    let mut arena = empty(&[("b", &["--capacity", "256"]), ("wide", &[])], TERMS, steps);
    let proxy = Proxy::before(&arena.redis.url());
    for generator in GENERATORS {
        let command = arena.command(&proxy.url, generator, generator, &["--keep"]);
        arena.serves(generator, Child::start(generator, &command).unwrap_or_else(|error| panic!("{error}")));
    }
    let start = arena.arm(&GENERATORS);
    // (in which step, for how long, how long an answer takes)
    for (step, seconds, takes_ms) in [(2, 13, 1_000), (6, 9, AWAY), (10, 7, 300)] {
        sleep_until(start + step * STEP_US + 2 * SECOND);
        proxy.takes(takes_ms);
        sleep_until(start + step * STEP_US + (2 + seconds) * SECOND);
        proxy.takes(0);
    }
    sleep_until(start + steps * STEP_US);
    arena.sealed();
    let climbers = found(&mut arena);
    assert_found(&climbers, &[("b", B)], &arena.last_words());
    let (contest, round) =
        (arena.control_store.contest().to_owned(), arena.control_store.control.round.expect("a round"));
    let decisions =
        arena.control_store.scoreboard().read_steps(&contest, &round, 0, steps as u32).expect("Redis is there");
    let wide = |decision: &Decision| decision.climbers.iter().find(|climber| climber.contestant == "wide").cloned();
    let held: Vec<u64> = decisions.iter().filter_map(wide).map(|climber| climber.holds).collect();
    assert!(held.is_sorted() && held.last() > Some(&1_000), "{held:?}");
    let wide = climbers.iter().find(|climber| climber.contestant == "wide").expect("it plays");
    assert!(wide.breaks_at.is_none() && wide.unbroken == Some(Unbroken::Time), "{wide:?}");
    arena.assert_proved(&GENERATORS);
}
