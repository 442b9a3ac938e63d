//! Whatever a person types wrong is answered by a sentence and an exit code, never by a panic.

mod journals;

use flowtest_bench::child::{Child, Ended, sibling};
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Redis, Target};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn ask(program: &str, flags: &[&str]) -> Ended {
    let mut command = sibling(program).unwrap_or_else(|error| panic!("{error}"));
    command.args(flags);
    ended(program, &command)
}

fn ended(program: &str, command: &Command) -> Ended {
    let child = Child::start(program, command).unwrap_or_else(|error| panic!("{error}"));
    child.wait(Duration::from_secs(60)).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn target() -> Target {
    Target::start("alice", &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// Asks, and looks whether the answer is a sentence with `hint` in it.
fn assert_refused(program: &str, flags: &[&str], code: i32, hint: &str) {
    assert_is_refusal(&format!("{program} {flags:?}"), &ask(program, flags), code, hint);
}

fn assert_is_refusal(what: &str, ended: &Ended, code: i32, hint: &str) {
    assert!(!hint.is_empty(), "{what}: a hint is a word");
    let said = ended.stderr.trim();
    assert_eq!(ended.status.code(), Some(code), "{what}: {said}");
    assert!(said.to_lowercase().contains(&hint.to_lowercase()), "{what} says nothing of '{hint}': {said}");
    for trace in ["panicked", "RUST_BACKTRACE", "stack backtrace", "unwrap"] {
        assert!(!said.contains(trace), "{what}: {said}");
    }
}

/// A password in a URL is the usual way; `--help` is pasted into chats and tickets.
#[test]
fn help_repeats_no_password_of_the_environment() {
    // (program, its commands)
    let programs: [(&str, &[&[&str]]); 3] = [
        (
            "flowtest-loadgen",
            &[&[], &["stress"], &["run"], &["serve"], &["audit"], &["rebuild"], &["export"], &["inspect"]],
        ),
        ("flowtest-dashboard", &[&[], &["serve"], &["admin", "create"], &["invite", "create"], &["backup"]]),
        ("flowtest-target", &[&[]]),
    ];
    let mut named = 0;
    for (program, commands) in programs {
        for words in commands {
            let mut command = sibling(program).unwrap_or_else(|error| panic!("{error}"));
            for name in ["LOADGEN_REDIS", "DASHBOARD_REDIS", "DASHBOARD_REDIS_READ"] {
                command.env(format!("FLOWTEST_{name}"), "redis://:open-sesame@127.0.0.1:1");
            }
            let said = ended(program, command.args(*words).arg("--help"));
            assert_eq!(said.status.code(), Some(0), "{program} {words:?}");
            assert!(!said.stdout.contains("open-sesame"), "{program} {words:?}: {}", said.stdout);
            named += said.stdout.matches("_REDIS]").count() + said.stdout.matches("_REDIS_READ]").count();
        }
    }
    assert_eq!(named, 6, "run, serve, audit and rebuild name one variable each, the dashboard two");
}

#[test]
fn a_contest_that_cannot_be_played_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let head = "name = \"box\"\n[policy]\nallow = [\"127.0.0.0/8\"]\n";
    let phase = "[[phase]]\nfor = \"1s\"\nrate = 10\nconnections = 4\n";
    let alice = "[[contestant]]\nname = \"alice\"\nendpoint = \"127.0.0.1:9\"\n";
    // (what is wrong, the file, a word of the sentence)
    let cases = [
        ("nobody plays", format!("{head}{phase}"), "contestant"),
        ("no traffic", format!("{head}{alice}"), "phase"),
        ("a phase of no time", format!("{head}[[phase]]\nfor = \"0s\"\nrate = 1\nconnections = 4\n{alice}"), "for"),
        ("a rate of nothing", format!("{head}[[phase]]\nfor = \"1s\"\nrate = 0\nconnections = 4\n{alice}"), "rate"),
        (
            "an absurd rate",
            format!("{head}[[phase]]\nfor = \"1s\"\nrate = 99999999999999999999\nconnections = 4\n{alice}"),
            "99999999999999999999",
        ),
        ("no connections", format!("{head}[[phase]]\nfor = \"1s\"\nrate = 1\nconnections = 0\n{alice}"), "connections"),
        ("a key that nobody knows", format!("colour = \"red\"\n{head}{phase}{alice}"), "colour"),
        ("two of one endpoint", format!("{head}{phase}{alice}{}", alice.replace("alice", "bob")), "host and port"),
        ("two of one name", format!("{head}{phase}{alice}{}", alice.replace(":9", ":10")), "alice"),
        ("no TOML", "name = ".to_owned(), "no TOML"),
    ];
    for (what, text, hint) in cases {
        let path = folder.path().join("contest.toml");
        std::fs::write(&path, text).expect("it is written");
        let path = path.to_str().expect("a plain path");
        assert_is_refusal(what, &ask("flowtest-loadgen", &["run", path]), 2, hint);
    }
}

#[test]
fn a_redis_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("contest.toml");
    let target = target();
    contest(&target.endpoint).write(&path).expect("it is written");
    let path = path.to_str().expect("a plain path");
    let nobody = nobody();
    assert_refused("flowtest-loadgen", &["run", path, "--redis", &format!("redis://{nobody}/")], 1, &nobody);
    assert_refused("flowtest-loadgen", &["run", path, "--redis", "postgres://127.0.0.1/"], 1, "redis");
}

fn contest(endpoint: &str) -> ContestFile {
    let phase = Phase { length: Duration::from_secs(1), rate: Some(10), connections: 1, pipeline: 1 };
    ContestFile::new("box", phase).with("alice", endpoint)
}

#[test]
fn a_contest_that_this_world_does_not_allow_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = target();
    let fine = contest(&target.endpoint).to_toml();
    let policy = fine.find("[policy]").expect("it has one");
    // (what is wrong, the file, more flags, the code, a word of the sentence)
    let cases: [(&str, String, &[&str], i32, &str); 5] = [
        ("a name that does not resolve", contest("no-such-host.invalid:80").to_toml(), &[], 1, "does not resolve"),
        ("a start in the past", fine.replace("\"now\"", "\"2020-01-01T00:00:00Z\""), &[], 2, "has passed"),
        ("an address outside the policy", fine[..policy].to_owned(), &[], 2, "allow"),
        ("a core that is not there", fine.clone(), &["--cores", "4711"], 1, "4711"),
        ("no folder for the result", fine.clone(), &["--json", "/no/such/folder/x.json"], 1, "/no/such/folder"),
    ];
    for (what, text, flags, code, hint) in cases {
        let path = folder.path().join("contest.toml");
        std::fs::write(&path, text).expect("it is written");
        let flags = [&["run", path.to_str().expect("a plain path")], flags].concat();
        assert_is_refusal(what, &ask("flowtest-loadgen", &flags), code, hint);
    }
}

/// Sets an option of a Redis that runs.
fn configure(address: &str, option: &str) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(format!("CONFIG SET {option}\r\n").as_bytes()).expect("it listens");
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"+OK\r\n");
}

#[test]
fn a_redis_that_forgets_is_refused_until_somebody_takes_it_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let redis = Redis::start(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    configure(redis.url().trim_start_matches("redis://").trim_end_matches('/'), "appendonly no");
    let (target, path) = (target(), folder.path().join("contest.toml"));
    contest(&target.endpoint).write(&path).expect("it is written");
    let path = path.to_str().expect("a plain path");
    assert_refused("flowtest-loadgen", &["run", path, "--redis", &redis.url()], 1, "--redis-volatile");
    assert_refused("flowtest-loadgen", &["run", path, "--redis-volatile"], 2, "--redis");
    let health = target.healthz().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(health["requests"], 0, "nobody was flooded");
    let ended = ask("flowtest-loadgen", &["run", path, "--redis", &redis.url(), "--redis-volatile"]);
    // 3: played, but a busy machine was late.
    assert!(matches!(ended.status.code(), Some(0 | 3)), "{ended:?}");
    let health = target.healthz().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(health["requests"], 10, "the contest was played");
}

#[test]
fn a_wrong_password_of_redis_is_said_and_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let redis = Redis::start(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let address = redis.url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
    configure(&address, "requirepass open-sesame");

    let (target, path) = (target(), folder.path().join("contest.toml"));
    contest(&target.endpoint).write(&path).expect("it is written");
    let path = path.to_str().expect("a plain path");
    let secret = "open-barley";
    let ended = ask("flowtest-loadgen", &["run", path, "--redis", &format!("redis://:{secret}@{address}/")]);
    assert_is_refusal("a wrong password", &ended, 1, "refuses our password");
    assert!(!ended.stderr.contains(secret) && !ended.stdout.contains(secret), "{ended:?}");
    assert!(ended.stderr.contains("percent-encoded") && ended.stderr.contains("--redis-password-file"), "{ended:?}");
    assert_refused("flowtest-loadgen", &["run", path, "--redis", &redis.url()], 1, "password");
}

#[test]
fn no_message_repeats_a_password_of_a_url_or_a_url_of_any_length() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = target();
    let path = folder.path().join("contest.toml");
    contest(&target.endpoint).write(&path).expect("it is written");
    let path = path.to_str().expect("a plain path");
    let long = format!("redis://:sesame@{}:port", "h".repeat(3_000));
    // (flags, the code, a word of the sentence)
    let cases: [(&[&str], i32, &str); 8] = [
        // not percent-encoded: what stands before the sign would be the host
        (&["run", path, "--redis", "redis://:open/sesame@127.0.0.1:1"], 1, "percent-encoded"),
        (&["run", path, "--redis", "redis://u:1?sesame@127.0.0.1:1"], 1, "--redis-password-file"),
        // the host was forgotten
        (&["run", path, "--redis", "redis://:sesame"], 1, "redis://..."),
        // the flag was forgotten
        (&["run", path, "redis://:sesame@127.0.0.1:1"], 2, "unexpected argument"),
        (&["run", path, &long], 2, "unexpected argument"),
        (&["run", path, "--redis", &long], 1, "redis"),
        (&["stress", "http://u:sesame@127.0.0.1:1/"], 2, "user name or password"),
        (&["stress", &long], 2, "longer"),
    ];
    for (flags, code, hint) in cases {
        let ended = ask("flowtest-loadgen", flags);
        assert_is_refusal(&format!("{flags:?}"), &ended, code, hint);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains("sesame"), "{said}");
        assert!(said.len() < 1_500, "{} bytes: {said}", said.len());
    }
}

#[test]
fn variables_of_flags_take_every_word_for_yes_and_no() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = target();
    let path = folder.path().join("contest.toml");
    contest(&target.endpoint).write(&path).expect("it is written");
    let play = |variables: &[(&str, &str)]| {
        let mut command = sibling("flowtest-loadgen").unwrap_or_else(|error| panic!("{error}"));
        command
            .arg("run")
            .arg(&path)
            .envs(variables.iter().map(|(name, word)| (format!("FLOWTEST_LOADGEN_{name}"), word)));
        ended("flowtest-loadgen", &command)
    };
    for (word, quiet) in [("1", true), ("yes", true), ("TRUE", true), ("0", false), ("no", false), ("false", false)] {
        // What is not wanted needs nothing else: neither a journal nor a Redis.
        let ended = play(&[("QUIET", word), ("NO_TRACE", "0"), ("REDIS_VOLATILE", "no")]);
        assert!(matches!(ended.status.code(), Some(0 | 3)), "{word}: {ended:?}");
        assert_eq!(ended.stdout.trim().is_empty(), quiet, "{word}: {ended:?}");
    }
    assert_is_refusal("maybe", &play(&[("QUIET", "maybe")]), 2, "boolean");
    assert_is_refusal("wanted without a journal", &play(&[("NO_TRACE", "true")]), 2, "--journal");
}

#[test]
fn a_contest_that_can_have_no_name_is_refused_before_redis_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let redis = format!("redis://{}/", nobody());
    let journal = folder.path().join("journal");
    let long = "x".repeat(2_000);
    for name in ["", " ", "a{b}", "a:b", "a\u{1b}[31mb", &long] {
        let flags = ["serve", "--redis", &redis, "--journal", journal.to_str().expect("plain"), "--contest", name];
        let ended = ask("flowtest-loadgen", &flags);
        assert_is_refusal(&format!("{name:?}"), &ended, 2, "cannot be the name of a contest");
        assert!(!ended.stderr.contains('\u{1b}') && ended.stderr.len() < 500, "{ended:?}");
    }
    assert!(!journal.exists(), "nothing was made");
}

#[test]
fn a_redis_that_is_too_old_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("redis://{}/", listener.local_addr().expect("it has one"));
    // Says so to whoever comes, whatever they ask, and ends with the test's process.
    std::thread::spawn(move || {
        let info = "redis_version:6.2.14\r\naof_enabled:1\r\n";
        for mut peer in listener.incoming().flatten() {
            let _ = peer.read(&mut [0; 1024]);
            let _ = write!(peer, "${}\r\n{info}\r\n", info.len());
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let (target, path) = (target(), folder.path().join("contest.toml"));
    contest(&target.endpoint).write(&path).expect("it is written");
    let path = path.to_str().expect("a plain path");
    assert_refused("flowtest-loadgen", &["run", path, "--redis", &url], 1, "needs Redis 7.0");
}

/// Replaces itself by a program to which the kernel answers io_uring_setup (425 on every architecture that Rust
/// knows) with the error of the first argument. What containers do by their seccomp profiles.
const WITHOUT_IO_URING: &str = r#"
import ctypes, os, struct, sys
error, program = int(sys.argv[1]), sys.argv[2:]
lines = [(0x20, 0, 0, 0),                    # load the number of the system call
         (0x15, 0, 1, 425),                  # io_uring_setup?
         (0x06, 0, 0, 0x00050000 | error),   # then this error
         (0x06, 0, 0, 0x7fff0000)]           # else go on
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
class Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc, filter = ctypes.CDLL(None, use_errno=True), Filter(len(lines), ctypes.addressof(code))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(filter), 0, 0):  # no new rights; seccomp filter
    sys.exit("no seccomp: " + os.strerror(ctypes.get_errno()))
os.execv(program[0], program)
"#;

fn without_io_uring(errno: u32, program: &str, flags: &[&str]) -> Command {
    let program = sibling(program).unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new("python3");
    command.args(["-c", WITHOUT_IO_URING, &errno.to_string()]).arg(Path::new(program.get_program())).args(flags);
    command
}

#[test]
fn where_io_uring_is_denied_the_generator_says_so_and_the_target_serves_by_epoll() {
    const EPERM: u32 = 1; // a container's seccomp profile, or sysctl kernel.io_uring_disabled
    const ENOSYS: u32 = 38; // an old kernel, or one without it
    let target = target();
    for errno in [EPERM, ENOSYS] {
        let flood = without_io_uring(errno, "flowtest-loadgen", &["stress", &target.url(), "--duration", "1s"]);
        assert_is_refusal(&format!("loadgen, errno {errno}"), &ended("loadgen", &flood), 1, "io_uring");

        let insists = ["--listen", "127.0.0.1:0", "--driver", "io_uring"];
        let insists = ended("target", &without_io_uring(errno, "flowtest-target", &insists));
        assert_is_refusal(&format!("target, errno {errno}"), &insists, 1, "use --driver auto");

        let auto = without_io_uring(errno, "flowtest-target", &["--listen", "127.0.0.1:0", "--driver", "auto"]);
        let mut auto = Child::start("target", &auto).unwrap_or_else(|error| panic!("{error}"));
        let said = auto.wait_for("listening on", Duration::from_secs(20), |line| Some(line.to_owned()));
        let said = said.unwrap_or_else(|error| panic!("{error}"));
        assert!(said.contains("(epoll"), "{said}");
        let url = said.split(' ').nth(2).expect("its URL is told");
        let flags = ["stress", url, "--requests", "100", "--warmup", "0s", "--json", "-"];
        let served = ask("flowtest-loadgen", &flags);
        let figures: serde_json::Value = serde_json::from_str(&served.stdout).expect("JSON");
        assert_eq!(figures["contestants"][0]["points"], 100 * 200, "{figures}");
    }
}

/// An address on which nobody listens: bound a moment ago, and closed.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has one").to_string()
}

#[test]
fn the_generator_refuses_with_a_sentence() {
    let (nobody, target) = (nobody(), target());
    let url = target.url();
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 2, "usage"),
        (&["--no-such-flag"], 2, "--no-such-flag"),
        (&["strss", "http://127.0.0.1/"], 2, "strss"),
        (&["stress"], 2, "URL"),
        (&["stress", &nobody, "--connections", "0"], 2, "0"),
        (&["stress", &nobody, "--connections", "4000000000"], 2, "4000000000"),
        (&["stress", &nobody, "--connections", "many"], 2, "many"),
        (&["stress", &nobody, "--pipeline", "0"], 2, "0"),
        (&["stress", &nobody, "--rate", "0"], 2, "rate"),
        (&["stress", &nobody, "--rate", "99999999999999999999"], 2, "rate"),
        (&["stress", &nobody, "--rate", "0.0005"], 2, "at most 3 digits behind the point"),
        (&["stress", &nobody, "--min-verified", "99"], 2, "99%"),
        (&["stress", &nobody, "--hosts", "shop.test=there"], 2, "NAME=ADDR"),
        (&["stress", &nobody, "--duration", "0s"], 2, "duration"),
        (&["stress", &nobody, "--duration", "5"], 2, "unit"),
        (&["stress", &nobody, "--duration", "99999999y"], 2, "duration"),
        (&["stress", &nobody, "--requests", "0"], 2, "0"),
        (&["stress", &nobody, "--cores", "4711"], 1, "4711"),
        (&["stress", &nobody, "--cores", "0,0"], 2, "twice"),
        (&["stress", &nobody, "--expect-version", "v3"], 2, "v1"),
        (&["stress", &nobody, "--expect-from", "Lambda"], 2, "EC2"),
        (&["stress", "ftp://127.0.0.1/"], 2, "http"),
        (&["stress", "https://127.0.0.1:1/"], 1, "nobody listens"),
        (&["stress", "http://127.0.0.1:99999/"], 2, "port"),
        (&["stress", ""], 2, "endpoint is empty"),
        (&["run", "no-such-contest.toml"], 2, "no-such-contest.toml"),
        // Nothing is wrong with these flags; the world is.
        (&["stress", &nobody, "--duration", "300ms", "--warmup", "0s"], 1, "nobody listens"),
        (&["stress", &url, "--rate", "10000000", "--cores", "0", "--duration", "1s"], 1, "a second for a core"),
        (&["stress", &url, "--duration", "100ms", "--json", "/no/such/folder/x.json"], 1, "/no/such/folder"),
    ];
    for (flags, code, hint) in cases {
        assert_refused("flowtest-loadgen", flags, *code, hint);
    }
}

#[test]
fn the_target_refuses_with_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it has one").to_string();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--no-such-flag"], 2, "--no-such-flag"),
        (&["--listen", "nowhere"], 2, "listen"),
        (&["--listen", "127.0.0.1:99999"], 2, "listen"),
        (&["--listen", "192.0.2.1:0"], 1, "192.0.2.1"), // no address of this machine
        (&["--listen", "127.0.0.1:0", "--version", "v3"], 2, "v3"),
        (&["--listen", "127.0.0.1:0", "--version", "v2,v1@+1s"], 2, "v1"),
        (&["--listen", "127.0.0.1:0", "--version", "v1,v2@soon"], 2, "soon"),
        (&["--listen", "127.0.0.1:0", "--from", "Lambda"], 2, "Lambda"),
        (&["--listen", "127.0.0.1:0", "--faults", "wrong_token"], 2, "wrong_token:10"),
        (&["--listen", "127.0.0.1:0", "--faults", "wrong_token:0"], 2, "from 1"),
        (&["--listen", "127.0.0.1:0", "--faults", "slowness:3"], 2, "slowness"),
        (&["--listen", "127.0.0.1:0", "--cores", "4711"], 2, "4711"),
        (&["--listen", "127.0.0.1:0", "--cores", ""], 2, "core"),
    ];
    for (flags, code, hint) in cases {
        assert_refused("flowtest-target", flags, *code, hint);
    }
    drop(taken);
}

#[test]
fn the_bench_refuses_with_a_sentence() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 2, "usage"),
        (&["dmeo"], 2, "dmeo"),
        (&["demo", "--for", "0s"], 2, "1s"),
        (&["demo", "--for", "soon"], 2, "30s"),
        (&["demo", "--rate", "0"], 2, "0"),
        (&["compare", "--pairs", "0"], 2, "0"),
        (&["compare", "--for", "1500ms"], 2, "whole seconds"),
        (&["compare", "--only", "magic"], 2, "magic"),
        (&["floor", "--for", "0s"], 1, "measures nothing"),
        (&["floor", "--runs", "0"], 2, "0"),
        (&["floor", "--client-core", "4711"], 1, "core 4711 does not exist"),
        (&["floor", "--client-core", "1023"], 1, "core 1023 does not exist"),
        (&["floor", "--server-core", "4711", "--runs", "1"], 1, "core 4711 does not exist"),
        (&["close", "--pairs", "0"], 2, "0"),
        (&["close", "--connections", "99"], 2, "99"),
        (&["close", "--client-core", "4711"], 1, "core 4711 does not exist"),
        (&["close", "--server-core", "4711", "--pairs", "1"], 1, "core 4711 does not exist"),
        (&["fixed", "--runtime", "monoio", "--core", "4711"], 1, "core 4711 does not exist"),
        (&["fixed", "--runtime", "glommio", "--core", "4711"], 1, "core 4711 does not exist"),
    ];
    for (flags, code, hint) in cases {
        assert_refused("flowtest-bench", flags, *code, hint);
    }
}
