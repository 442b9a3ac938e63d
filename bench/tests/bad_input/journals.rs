//! What can be wrong with a journal's folder: a sentence and an exit code each, nothing written and nothing deleted.

use crate::{ask, assert_refused, contest, ended, nobody, target};
use flowtest_bench::child::{Ended, sibling};
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Generator, Journal, Redis, Target};
use flowtest_testkit::wait_until_or;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

const LOADGEN: &str = "flowtest-loadgen";
const TIMEOUT: Duration = Duration::from_secs(60);

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Everything under a folder: when it was changed, and what files hold.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("it is read") {
            let path = entry.expect("an entry").path();
            let mut hash = DefaultHasher::new();
            if path.is_dir() {
                folders.push(path.clone());
            } else {
                std::fs::read(&path).expect("it is read").hash(&mut hash);
            }
            let changed = path.metadata().and_then(|about| about.modified()).expect("it has an age");
            all.insert(path, (changed, hash.finish()));
        }
        let changed = folder.metadata().and_then(|about| about.modified()).expect("it has an age");
        all.insert(folder, (changed, 0));
    }
    all
}

/// Runs the generator and looks at what it says anywhere, and that everything under `folder` is as it was.
fn assert_answer(folder: &Path, flags: &[&str], code: i32, hint: &str) -> Ended {
    let before = listing(folder);
    let ended = ask(LOADGEN, flags);
    let said = format!("{}\n{}", ended.stdout.trim(), ended.stderr.trim());
    assert_eq!(ended.status.code(), Some(code), "{flags:?}: {said}");
    assert!(said.contains(hint), "{flags:?} says nothing of '{hint}': {said}");
    assert!(!said.contains("panicked"), "{flags:?}: {said}");
    assert!(before == listing(folder), "{flags:?} changed something: {said}");
    ended
}

/// Recorders that share two cores wait for each other's disk.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A folder with the journal of a round that was really played, and no Redis.
struct Played {
    folder: tempfile::TempDir,
    journal: Journal,
}

impl Played {
    fn new() -> Played {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, path) = (target(), folder.path().join("contest.toml"));
        contest(&target.endpoint).write(&path).expect("it is written");
        let journal = Journal::in_folder(folder.path());
        let _turn = ONE_AT_A_TIME.lock();
        let ended = ask(LOADGEN, &["run", text(&path), "--quiet", "--journal", text(journal.folder())]);
        assert!(matches!(ended.status.code(), Some(0 | 3)), "{ended:?}");
        Played { folder, journal }
    }

    /// The only stream's folder.
    fn stream(&self) -> PathBuf {
        let only = |folder: &Path| {
            let mut entries = std::fs::read_dir(folder).expect("it is read");
            let entry = entries.next().expect("an entry").expect("it is read").path();
            assert!(entries.next().is_none(), "{} has one entry", folder.display());
            entry
        };
        only(&only(self.journal.folder()))
    }

    /// Changes the bytes of the only segment.
    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.stream().join("000000.ftj");
        let mut bytes = std::fs::read(&path).expect("it is read");
        change(&mut bytes);
        std::fs::write(&path, bytes).expect("it is ours");
    }

    fn assert_says(&self, command: &str, flags: &[&str], code: i32, hint: &str) -> Ended {
        let flags = [&[command, "--journal", text(self.journal.folder())], flags].concat();
        assert_answer(self.folder.path(), &flags, code, hint)
    }
}

fn redis(folder: &Path) -> Redis {
    Redis::start(folder).unwrap_or_else(|error| panic!("{error}"))
}

fn keys(redis: &Redis) -> u64 {
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_connection().expect("it is there");
    redis::cmd("DBSIZE").query(&mut connection).expect("a number")
}

#[test]
fn a_folder_without_journals_is_named_by_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let (missing, empty, file) =
        (folder.path().join("missing"), folder.path().join("empty"), folder.path().join("file"));
    std::fs::create_dir(&empty).expect("a folder");
    std::fs::write(&file, b"mine").expect("a file");
    // Nobody is asked there before the journals are found.
    let redis = format!("redis://{}/", nobody());
    let commands: [&[&str]; 4] = [&["audit"], &["rebuild", "--redis", &redis], &["export"], &["inspect"]];
    for command in commands {
        for (journal, hint) in [(&missing, "does not exist"), (&empty, "no journal in"), (&file, "is no folder")] {
            let ended =
                assert_answer(folder.path(), &[command, &["--journal", text(journal)]].concat(), 1, text(journal));
            assert!(ended.stderr.contains(hint), "{command:?}: {}", ended.stderr);
        }
        assert_answer(folder.path(), command, 2, "--journal");
    }
}

#[test]
fn a_journal_that_cannot_be_begun_is_refused_before_the_flood() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, path) = (target(), folder.path().join("contest.toml"));
    contest(&target.endpoint).write(&path).expect("it is written");
    let file = folder.path().join("file");
    std::fs::write(&file, b"mine").expect("a file");
    let orphan = folder.path().join("no").join("journal");
    let secret = folder.path().join("no-password");
    let redis = format!("redis://{}/", nobody());
    // (flags, the code, a word of the sentence)
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--journal", text(&orphan)], 1, "does not exist"),
        (&["--journal", text(&file)], 1, "is no folder"),
        (&["--journal", ""], 2, "--journal"),
        (&["--no-trace"], 2, "--journal"),
        (&["--redis", &redis, "--redis-password-file", text(&secret)], 2, "password file cannot be read"),
    ];
    for (flags, code, hint) in cases {
        assert_answer(folder.path(), &[&["run", text(&path)], flags].concat(), code, hint);
    }
    let health = target.healthz().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(health["requests"], 0, "nobody was flooded");
}

/// A file system of its own at a folder, the program on it, and at the end what lies in it then.
fn on_file_system(options: &str, folder: &Path, flags: &[&str]) -> Option<Ended> {
    let may_mount = Command::new("unshare").args(["-m", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        println!("not tried: this user may not mount");
        return None;
    }
    let script = format!(
        "mount -t tmpfs -o {options} flowtest '{at}' || exit 99; \"$0\" \"$@\"; code=$?; ls -A '{at}'; exit $code",
        at = text(folder)
    );
    let program = sibling(LOADGEN).unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).arg(program.get_program()).args(flags);
    Some(ended(LOADGEN, &command))
}

#[test]
fn a_disk_that_cannot_be_written_or_is_too_small_is_refused_before_the_flood() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, path, disk) = (target(), folder.path().join("contest.toml"), folder.path().join("disk"));
    contest(&target.endpoint).write(&path).expect("it is written");
    std::fs::create_dir(&disk).expect("a folder");
    let journal = disk.join("journal");
    let flags = ["run", text(&path), "--journal", text(&journal)];
    // (how it is mounted, a word of the sentence)
    let cases = [
        ("ro,size=1g", "cannot be written"),
        ("size=64k", "one and a half times"), // the contest of a second needs 84 KiB
    ];
    for (options, hint) in cases {
        let Some(ended) = on_file_system(options, &disk, &flags) else { return };
        crate::assert_is_refusal(options, &ended, 1, hint);
        assert_eq!(ended.stdout.trim(), "", "nothing is left on the disk");
    }
    let health = target.healthz().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(health["requests"], 0, "nobody was flooded");
}

#[test]
fn a_journal_of_a_newer_format_is_read_by_nobody() {
    let played = Played::new();
    played.change(|bytes| {
        bytes[8] = 2;
        bytes[104..108].fill(0);
        let crc = crc32c(&bytes[..4096]);
        bytes[104..108].copy_from_slice(&crc.to_le_bytes());
    });
    let folder = tempfile::tempdir().expect("a folder");
    let redis = redis(folder.path());
    for command in ["audit", "export", "inspect"] {
        played.assert_says(command, &[], 1, "use the newer program");
    }
    played.assert_says("rebuild", &["--redis", &redis.url()], 4, "use the newer program");
    assert_eq!(keys(&redis), 0, "Redis hears nothing of it");
}

/// CRC32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

#[test]
fn a_damaged_stream_is_a_difference_and_is_named() {
    let played = Played::new();
    // The payload of some group in the middle; those behind it are whole.
    played.change(|bytes| {
        let middle = bytes.len() / 2 / 4096 * 4096;
        bytes[middle + 60] ^= 1;
    });
    let folder = tempfile::tempdir().expect("a folder");
    let redis = redis(folder.path());
    let stream = played.stream();
    let id = stream.file_name().and_then(|name| name.to_str()).expect("an id");
    for (command, flags, code) in [
        ("audit", vec![], 4),
        ("rebuild", vec!["--redis", &redis.url()], 4),
        ("export", vec![], 1),
        ("inspect", vec![], 0), // it judges nothing
    ] {
        let ended = played.assert_says(command, &flags, code, "damaged");
        assert!(ended.stdout.contains(id) || ended.stderr.contains(id), "{command}: {ended:?}");
    }
    assert_eq!(keys(&redis), 0, "what is damaged is not published");
}

#[test]
fn journals_and_redis_that_do_not_belong_together_are_told_apart() {
    let played = Played::new();
    let folder = tempfile::tempdir().expect("a folder");
    let redis = redis(folder.path());
    played.assert_says("audit", &["--contest", "box"], 0, "100");
    played.assert_says("audit", &["--contest", "finals"], 1, "not of \"finals\"");
    // A Redis that holds nothing of it, or another contest.
    played.assert_says("audit", &["--redis", &redis.url()], 4, "Redis");
    let other = Played::new();
    other.rebuild(&redis);
    played.assert_says("audit", &["--redis", &redis.url()], 4, "Redis");
    other.assert_says("audit", &["--redis", &redis.url()], 0, "100");

    let nobody = nobody();
    let nowhere = format!("redis://{nobody}/");
    let secret = played.folder.path().join("no-password");
    for command in ["audit", "rebuild"] {
        played.assert_says(command, &["--redis", &nowhere], 1, &nobody);
        let flags = ["--redis", &redis.url(), "--redis-password-file", text(&secret)];
        played.assert_says(command, &flags, 2, "password file cannot be read");
    }
    played.assert_says("audit", &["--redis-password-file", text(&secret)], 2, "--redis");
    played.assert_says("audit", &["--with", text(&secret)], 2, text(&secret));
    for command in ["audit", "inspect"] {
        played.assert_says(command, &["--json", "/no/such/folder/x.json"], 1, "/no/such/folder");
    }
    played.assert_says("export", &["--output", "/no/such/folder/x.csv"], 1, "/no/such/folder");
    assert_refused(LOADGEN, &["export", "--journal", text(played.journal.folder()), "--what", "secrets"], 2, "secrets");
}

impl Played {
    fn rebuild(&self, redis: &Redis) {
        let said = self.journal.rebuild(&redis.url()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(said.exit_code, Some(0), "{}", said.text);
    }
}

#[test]
fn a_stream_that_lies_in_two_folders_is_counted_by_nobody() {
    let played = Played::new();
    let copy = played.folder.path().join("copy");
    let stream = played.stream();
    let to = copy.join(stream.strip_prefix(played.journal.folder()).expect("it lies there"));
    std::fs::create_dir_all(&to).expect("a folder");
    for file in std::fs::read_dir(&stream).expect("it is read") {
        let file = file.expect("an entry");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("it is copied");
    }
    let redis = format!("redis://{}/", nobody());
    let commands: [&[&str]; 4] = [&["audit"], &["rebuild", "--redis", &redis], &["export"], &["inspect"]];
    for command in commands {
        let [name, flags @ ..] = command else { continue };
        played.assert_says(name, &[&["--journal", text(&copy)], flags].concat(), 1, "name only the folder");
    }
}

/// Replaces a file by what is no file.
fn replace(path: &Path, other: &str) {
    std::fs::remove_file(path).expect("it is ours");
    let made = match other {
        "pipe" => Command::new("mkfifo").arg(path).status().expect("it runs").success(),
        target => std::os::unix::fs::symlink(target, path).is_ok(),
    };
    assert!(made, "{}", path.display());
}

#[test]
fn a_pipe_or_a_link_in_a_journal_is_neither_waited_for_nor_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("target");
    let redis = format!("redis://{}/", nobody());
    for (name, other) in
        [("lock", "pipe"), ("lock", text(&target)), ("000000.ftj", "pipe"), ("000000.ftj", text(&target))]
    {
        let played = Played::new();
        replace(&played.stream().join(name), other);
        for command in [&["audit"][..], &["export"], &["inspect"], &["rebuild", "--redis", &redis]] {
            let ended = ask(LOADGEN, &[command, &["--journal", text(played.journal.folder())]].concat());
            let said = format!("{}\n{}", ended.stdout, ended.stderr);
            // Export asks nobody for the lock, and rebuild asks its Redis first.
            let (code, hint) = match (command[0], name) {
                ("export", "lock") => (0, "alice"),
                ("rebuild", _) => (1, "Redis"),
                _ => (1, "no plain file"),
            };
            assert_eq!(ended.status.code(), Some(code), "{name}, {command:?}: {said}");
            assert!(said.contains(hint), "{name}, {command:?}: {said}");
        }
        assert!(!target.exists(), "{name}: nothing was made where the link leads");
    }
}

#[test]
fn a_dangling_lock_is_refused_by_rebuild_and_its_target_is_not_made() {
    let played = Played::new();
    let folder = tempfile::tempdir().expect("a folder");
    let (redis, target) = (redis(folder.path()), folder.path().join("target"));
    replace(&played.stream().join("lock"), text(&target));
    let ended = ask(LOADGEN, &["rebuild", "--redis", &redis.url(), "--journal", text(played.journal.folder())]);
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    assert!(ended.stdout.contains("no plain file"), "{ended:?}");
    assert!(!target.exists() && keys(&redis) == 0, "nothing was made where the link leads, and nothing published");
}

#[test]
fn what_is_wrong_with_one_stream_keeps_no_other_from_being_read() {
    let (played, broken) = (Played::new(), Played::new());
    let stream = played.stream();
    let round = stream.parent().expect("its round");
    // Beside the stream: a folder with the name of a stream and nothing in it, and one with a pipe for a segment.
    let id = |digit: &str| digit.repeat(stream.file_name().expect("a name").len());
    std::fs::create_dir(round.join(id("7"))).expect("a stray folder");
    for command in ["audit", "export", "inspect"] {
        let ended = played.assert_says(command, &[], 0, &id("7"));
        assert!(ended.stderr.contains("no stream of a journal"), "{command}: {ended:?}");
        assert!(ended.stdout.contains("alice") || command == "export", "{command}: {ended:?}");
    }
    replace(&broken.stream().join("000000.ftj"), "pipe");
    let both = [text(played.journal.folder()), text(broken.journal.folder())];
    for (command, code) in [("audit", 4), ("export", 1), ("inspect", 1)] {
        let ended = ask(LOADGEN, &[&[command, "--journal"][..], &both].concat());
        let said = format!("{}\n{}", ended.stdout, ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{command}: {said}");
        assert!(said.contains("no plain file") && ended.stdout.contains("alice"), "{command}: {said}");
    }
}

#[test]
fn a_path_is_printed_without_what_a_terminal_obeys() {
    let folder = tempfile::tempdir().expect("a folder");
    let odd = folder.path().join("\u{1b}]0;owned\u{7}\nnext");
    let ended = ask(LOADGEN, &["inspect", "--journal", text(&odd)]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("\\u{1b}]0;owned\\u{7}\\u{a}next does not exist"), "{ended:?}");
    assert!(!ended.stderr.contains('\u{1b}'), "{ended:?}");
}

/// A generator that writes to a journal, and its contestant.
struct Live {
    generator: Generator,
    _target: Target,
}

impl Live {
    fn start(folder: &Path, journal: &Journal) -> Live {
        let target = target();
        let phase = Phase { length: TIMEOUT, rate: Some(10), connections: 1, pipeline: 1 };
        let path = folder.join("contest.toml");
        ContestFile::new("box", phase).with("alice", &target.endpoint).write(&path).expect("it is written");
        let [flag, dir] = journal.flags();
        let generator = Generator::run(&path, None, folder, &["--quiet", &flag, &dir]);
        let generator = generator.unwrap_or_else(|error| panic!("{error}"));
        wait_until_or("a trace", || {
            let said = journal.inspect().ok().and_then(|said| said.json["streams"][0]["traces"].as_u64());
            said.filter(|traces| *traces > 0).ok_or_else(|| generator.last_words())
        });
        Live { generator, _target: target }
    }
}

#[test]
fn a_stream_whose_generator_lives_is_left_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("redis");
    std::fs::create_dir(&kept).expect("a folder");
    let (redis, journal) = (redis(&kept), Journal::in_folder(folder.path()));
    let live = Live::start(folder.path(), &journal);
    let files = || listing(journal.folder()).into_keys().collect::<Vec<_>>();
    let before = files();
    let said = journal.rebuild(&redis.url()).unwrap_or_else(|error| panic!("{error}"));
    assert!(said.text.contains("its generator lives"), "{}", said.text);
    assert_eq!((files(), keys(&redis)), (before, 0), "no new segment, and nothing in Redis: {}", said.text);
    // What it wrote meanwhile is a prefix that agrees with itself.
    let audit = journal.audit(None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(audit.exit_code, Some(0), "{}", audit.text);

    let outcome = live.generator.wait_while(TIMEOUT, || false).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    let inspected = journal.inspect().unwrap_or_else(|error| panic!("{error}"));
    let stream = &inspected.json["streams"][0];
    assert_eq!((&stream["ending"], &stream["segments"]), (&"stopped".into(), &1.into()), "its end is its own");
}
