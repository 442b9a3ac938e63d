//! The journal is the truth: whatever dies, what it holds counts exactly once, and the audit finds no difference.

use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{Board, ContestFile, Generator, Journal, Redis};
use flowtest_contract::utc_us;
use flowtest_testkit::{is_long, wait_until_or};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Until a generator ends that was to: what it counted while Redis was away may take it a while.
const TIMEOUT: Duration = Duration::from_secs(120);
const RATE: u64 = 400;
/// What a process that dies may lose, beside others that want the cores and the disk.
const UNSYNCED: Duration = Duration::from_secs(2);
const FAULTS: &str = "wrong_token:5,status:7,missing_from:11";

/// How often something is done: a few times in every test run, many times in the long one.
fn times(few: u32, many: u32) -> u32 {
    if is_long() { many } else { few }
}

/// A Redis, a flawed and an honest contestant, and a folder for journals.
struct Box {
    stage: Stage,
    redis: Redis,
    redis_folder: PathBuf,
    journal: Journal,
}

impl Box {
    fn new() -> Box {
        let stage = Stage::light().contestant("flawed", &["--faults", FAULTS]).contestant("honest", &[]);
        let redis_folder = stage.folder().join("redis");
        let redis = Redis::start(&redis_folder).unwrap_or_else(|error| panic!("{error}"));
        let journal = Journal::in_folder(stage.folder());
        Box { stage, redis, redis_folder, journal }
    }

    fn start(&self, length: Duration) -> Generator {
        self.start_over(&self.redis.url(), length)
    }

    /// Starts a generator that goes to Redis by this way.
    fn start_over(&self, redis: &str, length: Duration) -> Generator {
        let phase = Phase { length, rate: Some(RATE), connections: 16, pipeline: 1 };
        let contest = ["flawed", "honest"].iter().fold(ContestFile::new("proof", phase), |contest, name| {
            contest.with(name, &self.stage.target(name).endpoint)
        });
        let path = self.stage.folder().join("contest.toml");
        contest.write(&path).expect("it is written");
        let [flag, folder] = self.journal.flags();
        let flags = ["--quiet", &flag, &folder];
        Generator::run(&path, Some(redis), self.stage.folder(), &flags).unwrap_or_else(|error| panic!("{error}"))
    }

    fn play(&self, length: Duration) {
        let outcome = self.start(length).wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
        assert!(outcome.is_whole(), "{}", outcome.said);
    }

    /// The audit, with Redis; it must find nothing.
    fn assert_proved(&self, after: &str) -> Value {
        let said = self.journal.audit(Some(&self.redis.url())).unwrap_or_else(|error| panic!("{after}: {error}"));
        assert_eq!(said.exit_code, Some(0), "after {after}: {}", said.text);
        assert_eq!(said.json["proved"], 100.0, "after {after}: {}", said.text);
        said.json
    }

    fn rebuild(&self, after: &str) {
        let said = self.journal.rebuild(&self.redis.url()).unwrap_or_else(|error| panic!("{after}: {error}"));
        assert_eq!(said.exit_code, Some(0), "after {after}: {}", said.text);
    }

    fn ask(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.redis.url()).expect("a URL");
        let mut connection = client.get_connection().expect("it is there");
        redis::cmd(words[0])
            .arg(&words[1..])
            .query(&mut connection)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// How many files its journals have.
    fn segments(&self) -> usize {
        let inside = |folder: PathBuf| {
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let rounds = inside(self.journal.folder().to_owned());
        let streams = rounds.into_iter().flat_map(inside);
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "ftj");
        streams.flat_map(inside).filter(is_segment).count()
    }

    /// Whether Redis holds more than so many requests of somebody in the newest round.
    fn has_counted(&self, requests: u64) -> bool {
        let totals = Board::connect(&self.redis.url(), "proof").and_then(|mut board| board.read());
        let rows = totals.ok().flatten().map(|totals| totals.contestants).unwrap_or_default();
        rows.values().any(|row| row.tally.due > requests)
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.redis.id() as i32).expect("a pid");
        kill_process(pid, signal).expect("it is ours");
    }
}

/// Instants that come to lie evenly over the first four seconds, and anywhere between; told when something fails.
fn instant(round: u32) -> Duration {
    const SPAN_MS: f64 = 4000.0;
    let jitter_ms = utc_us().0 % 200;
    Duration::from_millis(20 + ((f64::from(round) * 0.618_034).fract() * SPAN_MS) as u64 + jitter_ms)
}

#[test]
fn a_generator_that_is_killed_at_any_instant_loses_no_journalled_batch() {
    let mut play = Box::new();
    let (mut instants, mut begun) = (Vec::new(), 0);
    for round in 0..times(10, 200) {
        let before = play.segments();
        let generator = play.start(Duration::from_secs(30));
        // Before its first segment, before its first request, or in the middle of it all.
        let lives = instant(round);
        instants.push(lives);
        let killed_at = Instant::now() + lives;
        // Every other time Redis is away for a while, with or without what it held.
        if round % 2 == 1 {
            std::thread::sleep(lives / 2);
            play.redis.kill().expect("it dies");
            if round % 4 == 3 {
                play.redis.wipe().expect("its folder is ours");
            }
            std::thread::sleep(lives / 4);
            play.redis.restart().unwrap_or_else(|error| panic!("{error}"));
        }
        std::thread::sleep(killed_at.saturating_duration_since(Instant::now()));
        // However long it takes to start here, some are killed when their journal has begun.
        if round % 3 == 0 {
            wait_until_or("its journal", || {
                (play.segments() != before).then_some(()).ok_or_else(|| generator.last_words())
            });
            std::thread::sleep(lives / 4);
            begun += 1;
        }
        generator.kill().expect("it dies");
    }
    // However busy the machine is, one of them has counted something when it is killed.
    let generator = play.start(Duration::from_secs(30));
    wait_until_or("a count", || play.has_counted(RATE).then_some(()).ok_or_else(|| generator.last_words()));
    generator.kill().expect("it dies");
    play.rebuild("all kills");
    let audit = play.assert_proved("all kills");
    let streams: Vec<&Value> = audit["rounds"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|round| round["streams"].as_array())
        .flatten()
        .collect();
    // Those that came to their first segment have an end now, and nobody counted anything twice.
    // One that dies with its first record may have left none.
    assert!(streams.len() >= begun / 2, "{} streams, {begun} had begun, of {instants:?}", streams.len());
    let outcomes: u64 =
        audit["rounds"].as_array().into_iter().flatten().filter_map(|round| round["outcomes"].as_u64()).sum();
    assert!(outcomes > RATE, "{outcomes} outcomes after {instants:?}");
    let again = play.journal.rebuild(&play.redis.url()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.exit_code, Some(0), "{}", again.text);
    let mended =
        again.json["streams"].as_array().into_iter().flatten().filter(|stream| stream["action"] == "published");
    assert_eq!(mended.count(), 0, "a second rebuild has nothing to do: {}", again.text);
}

#[test]
fn what_a_killed_generator_had_not_synced_is_at_most_its_open_interval() {
    let play = Box::new();
    let generator = play.start(Duration::from_secs(30));
    std::thread::sleep(Duration::from_millis(3500));
    let killed_at = jiff::Timestamp::now().as_microsecond() as u64;
    generator.kill().expect("it dies");
    let said = play.journal.audit(None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(said.exit_code, Some(0), "a killed stream is told, and no difference: {}", said.text);
    let stream = &said.json["rounds"][0]["streams"][0];
    let proved_until = stream["proved_until"].as_u64().expect("it says until when");
    // 100 ms of counting and what the disk takes; far more only if the machine stood still, or others have it.
    let lost = Duration::from_micros(killed_at.saturating_sub(proved_until));
    assert!(lost < UNSYNCED, "{lost:?} lost: {}", said.text);
    assert!(said.text.contains("killed") || said.text.contains("no end"), "{}", said.text);
}

#[test]
fn whatever_redis_loses_after_a_round_comes_back_from_the_journal_alone() {
    let mut play = Box::new();
    play.play(Duration::from_secs(2));
    let first = play.assert_proved("the round");
    let points = first["rounds"][0]["points"].clone();

    play.redis.kill().expect("it dies");
    play.redis.restart().unwrap_or_else(|error| panic!("{error}"));
    play.assert_proved("kill -9 and restart");

    play.ask(&["FLUSHALL"]);
    let lost = play.journal.audit(Some(&play.redis.url())).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lost.exit_code, Some(4), "an audit that finds nothing after a wipe is worth nothing: {}", lost.text);
    play.rebuild("FLUSHALL");
    play.assert_proved("FLUSHALL");

    // An older snapshot: what Redis kept when the round was half over, in place of what it has.
    let half = play.stage.folder().join("half");
    let generator = play.start(Duration::from_secs(4));
    std::thread::sleep(Duration::from_secs(3));
    copy(&play.redis_folder, &half);
    let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    play.redis.kill().expect("it dies");
    play.redis.wipe().expect("its folder is ours");
    copy(&half, &play.redis_folder);
    play.redis.restart().unwrap_or_else(|error| panic!("{error}"));
    play.rebuild("an older snapshot");
    play.assert_proved("an older snapshot");

    // A torn end of the append-only file, cut at many places; then another restart upon what came of it.
    for cut in 1..=times(8, 200) {
        play.redis.kill().expect("it dies");
        tear(&play.redis_folder, u64::from(cut) * 97);
        play.redis.restart().unwrap_or_else(|error| panic!("{error}"));
        play.rebuild("a torn append-only file");
        play.assert_proved("a torn append-only file");
        play.redis.kill().expect("it dies");
        play.redis.restart().unwrap_or_else(|error| panic!("{error}"));
        play.assert_proved("a restart after a torn append-only file");
    }
    let last = play.assert_proved("all of it");
    let rounds = last["rounds"].as_array().expect("rounds");
    assert!(rounds.iter().any(|round| round["points"] == points), "the first round's points are what they were");
    assert_eq!(rounds.len(), 2);
}

#[test]
fn whatever_redis_refuses_during_a_round_it_has_at_the_end() {
    let mut play = Box::new();
    let generator = play.start(Duration::from_secs(u64::from(times(9, 45))));
    std::thread::sleep(Duration::from_millis(2000));
    // Out of memory: it refuses every write.
    play.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    std::thread::sleep(Duration::from_millis(700));
    play.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    // Read-only: somebody made it a replica of nobody who answers.
    play.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    std::thread::sleep(Duration::from_millis(700));
    play.ask(&["REPLICAOF", "NO", "ONE"]);
    // It stands still.
    play.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(u64::from(times(2, 30))));
    play.signal(Signal::CONT);
    // It dies.
    play.redis.kill().expect("it dies");
    std::thread::sleep(Duration::from_millis(700));
    play.redis.restart().unwrap_or_else(|error| panic!("{error}"));
    let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    play.assert_proved("all that");
    for name in ["flawed", "honest"] {
        let tallies = outcome.tallies().unwrap_or_else(|error| panic!("{error}"));
        play.stage.assert_exact(name, &tallies[name]);
    }
}

#[test]
fn a_promoted_replica_that_missed_the_last_second_gets_it_from_the_journal() {
    let mut play = Box::new();
    let folder = play.stage.folder().join("replica");
    let mut replica = Redis::start(&folder).unwrap_or_else(|error| panic!("{error}"));
    let to_replica = |words: &[&str]| {
        let mut connection =
            redis::Client::open(replica.url()).and_then(|client| client.get_connection()).expect("it is there");
        let _: redis::Value = redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).expect("it is done");
    };
    let port = play.redis.port().to_string();
    to_replica(&["REPLICAOF", "127.0.0.1", &port]);
    let generator = play.start(Duration::from_secs(3));
    std::thread::sleep(Duration::from_millis(3000));
    // Cut off before the end, promoted after it.
    to_replica(&["REPLICAOF", "NO", "ONE"]);
    let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    play.redis.kill().expect("it dies");
    replica.kill().expect("it dies");
    play.redis.wipe().expect("its folder is ours");
    copy(&folder, &play.redis_folder);
    play.redis.restart().unwrap_or_else(|error| panic!("{error}"));
    let behind = play.journal.audit(Some(&play.redis.url())).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(behind.exit_code, Some(4), "the replica missed something: {}", behind.text);
    play.rebuild("a promotion");
    play.assert_proved("a promotion");
}

#[test]
fn an_answer_that_is_lost_after_redis_has_done_what_it_was_asked_counts_once() {
    let play = Box::new();
    let lossy = LossyWay::to(play.redis.port(), &[("flowtest_register", 1), ("flowtest_put", 3)]);
    // During a round, and then again from the journal alone.
    let outcome = play.start_over(&lossy.url(), Duration::from_secs(3)).wait(TIMEOUT);
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    assert_eq!(lossy.lost(), 4, "that to the registration and three more were lost on the way");
    play.assert_proved("lost answers");
    play.ask(&["FLUSHALL"]);
    let lossy = LossyWay::to(play.redis.port(), &[("flowtest_put", 2)]);
    let said = play.journal.rebuild(&lossy.url()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((said.exit_code, lossy.lost()), (Some(0), 2), "{}", said.text);
    play.assert_proved("a rebuild with lost answers");
}

/// A way to Redis on which the first answers to some functions are lost, with the connection: Redis has done what it was asked.
struct LossyWay {
    port: u16,
    losses: Arc<[Loss]>,
}

/// How many answers to a function are still to be lost, of so many.
struct Loss {
    /// As a word of the question; the library that is loaded at the start has it in its text.
    word: String,
    left: AtomicUsize,
    wanted: usize,
}

impl LossyWay {
    fn to(redis: u16, losses: &[(&str, usize)]) -> LossyWay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its own").port();
        let loss = |(function, wanted): &(&str, usize)| Loss {
            word: format!("\r\n{function}\r\n"),
            left: AtomicUsize::new(*wanted),
            wanted: *wanted,
        };
        let losses: Arc<[Loss]> = losses.iter().map(loss).collect();
        let losing = Arc::clone(&losses);
        std::thread::spawn(move || {
            for client in listener.incoming().take(200).flatten() {
                let losing = Arc::clone(&losing);
                std::thread::spawn(move || LossyWay::carry(&client, redis, &losing));
            }
        });
        LossyWay { port, losses }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn lost(&self) -> usize {
        self.losses.iter().map(|loss| loss.wanted - loss.left.load(Ordering::SeqCst)).sum()
    }

    /// Until one side closes. A question is carried whole before its answer is waited for, as our clients ask.
    fn carry(client: &TcpStream, redis: u16, losing: &[Loss]) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", redis)) else { return };
        let mute = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut from, mut to, mut buffer) = (&server, client, vec![0; 64 << 10]);
                while let Ok(len @ 1..) = from.read(&mut buffer) {
                    if !mute.load(Ordering::SeqCst) && to.write_all(&buffer[..len]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(Shutdown::Both);
            });
            let (mut from, mut to, mut buffer) = (client, &server, vec![0; 64 << 10]);
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                let asks =
                    |loss: &Loss| buffer[..len].windows(loss.word.len()).any(|part| part == loss.word.as_bytes());
                let take = |left: usize| left.checked_sub(1);
                let loses = losing
                    .iter()
                    .any(|loss| asks(loss) && loss.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok());
                mute.store(loses, Ordering::SeqCst);
                if to.write_all(&buffer[..len]).is_err() {
                    break;
                }
                if loses {
                    // Time for Redis to do it.
                    std::thread::sleep(Duration::from_millis(200));
                    break;
                }
            }
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        });
    }
}

/// A folder of files and folders, as it is right now.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("it is read") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("it is copied");
        }
    }
}

/// Cuts the newest part of the append-only file.
fn tear(folder: &Path, bytes: u64) {
    let part = std::fs::read_dir(folder.join("appendonlydir"))
        .expect("Redis keeps one")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "aof"))
        .filter(|path| path.to_string_lossy().contains(".incr."))
        .max()
        .expect("an incremental part");
    let file = std::fs::OpenOptions::new().write(true).open(part).expect("it is ours");
    let len = file.metadata().expect("a length").len();
    file.set_len(len.saturating_sub(bytes)).expect("it is cut");
}
