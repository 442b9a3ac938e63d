//! Whatever a person types wrong is answered by a sentence and an exit code, never by a panic.

use flowtest_bench::child::{Child, Ended, sibling};
use flowtest_bench::contest_box::ContestFile;
use flowtest_bench::contest_box::contest::Phase;
use std::net::TcpListener;
use std::time::Duration;

fn ask(program: &str, flags: &[&str]) -> Ended {
    let mut command = sibling(program).unwrap_or_else(|error| panic!("{error}"));
    command.args(flags);
    let child = Child::start(program, &command).unwrap_or_else(|error| panic!("{error}"));
    child.wait(Duration::from_secs(60)).unwrap_or_else(|error| panic!("{program} {flags:?}: {error}"))
}

/// Asks, and looks whether the answer is a sentence with `hint` in it.
fn assert_refused(program: &str, flags: &[&str], code: i32, hint: &str) {
    let ended = ask(program, flags);
    let said = ended.stderr.trim();
    assert_eq!(ended.status.code(), Some(code), "{program} {flags:?}: {said}");
    assert!(said.to_lowercase().contains(&hint.to_lowercase()), "{program} {flags:?} says nothing of '{hint}': {said}");
    for trace in ["panicked", "RUST_BACKTRACE", "stack backtrace", "unwrap"] {
        assert!(!said.contains(trace), "{program} {flags:?}: {said}");
    }
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
            "",
        ),
        ("no connections", format!("{head}[[phase]]\nfor = \"1s\"\nrate = 1\nconnections = 0\n{alice}"), "connections"),
        ("a key that nobody knows", format!("colour = \"red\"\n{head}{phase}{alice}"), "colour"),
        ("two of one endpoint", format!("{head}{phase}{alice}{}", alice.replace("alice", "bob")), "host and port"),
        ("two of one name", format!("{head}{phase}{alice}{}", alice.replace(":9", ":10")), "alice"),
        ("no TOML", "name = ".to_owned(), ""),
    ];
    for (what, text, hint) in cases {
        let path = folder.path().join("contest.toml");
        std::fs::write(&path, text).expect("it is written");
        let path = path.to_str().expect("a plain path");
        let ended = ask("flowtest-loadgen", &["run", path]);
        assert_eq!(ended.status.code(), Some(2), "{what}: {}", ended.stderr);
        assert_refused("flowtest-loadgen", &["run", path], 2, hint);
    }
}

#[test]
fn a_redis_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("contest.toml");
    let target = flowtest_bench::contest_box::Target::start("alice", &[]).unwrap_or_else(|error| panic!("{error}"));
    let phase = Phase { length: Duration::from_secs(1), rate: Some(10), connections: 1, pipeline: 1 };
    ContestFile::new("box", phase).with("alice", &target.endpoint).write(&path).expect("it is written");
    let path = path.to_str().expect("a plain path");
    let nobody = nobody();
    assert_refused("flowtest-loadgen", &["run", path, "--redis", &format!("redis://{nobody}/")], 1, &nobody);
    assert_refused("flowtest-loadgen", &["run", path, "--redis", "postgres://127.0.0.1/"], 1, "redis");
}

/// An address on which nobody listens: bound a moment ago, and closed.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has one").to_string()
}

#[test]
fn the_generator_refuses_with_a_sentence() {
    let nobody = nobody();
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
        (&["stress", &nobody, "--duration", "0s"], 2, "duration"),
        (&["stress", &nobody, "--duration", "5"], 2, "unit"),
        (&["stress", &nobody, "--duration", "99999999y"], 2, "duration"),
        (&["stress", &nobody, "--requests", "0"], 2, "0"),
        (&["stress", &nobody, "--cores", "4711"], 1, "4711"),
        (&["stress", &nobody, "--cores", "0,0"], 2, "twice"),
        (&["stress", &nobody, "--expect-version", "v3"], 2, "v1"),
        (&["stress", &nobody, "--expect-from", "Lambda"], 2, "EC2"),
        (&["stress", "ftp://127.0.0.1/"], 2, "http"),
        (&["stress", "https://127.0.0.1/"], 2, "https"),
        (&["stress", "http://127.0.0.1:99999/"], 2, "port"),
        (&["stress", ""], 2, ""),
        (&["run", "no-such-contest.toml"], 2, "no-such-contest.toml"),
        // Nothing is wrong with these flags; the world is.
        (&["stress", &nobody, "--duration", "300ms", "--warmup", "0s"], 1, ""),
        (&["stress", &nobody, "--duration", "100ms", "--json", "/no/such/folder/x.json"], 1, ""),
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
    ];
    for (flags, code, hint) in cases {
        assert_refused("flowtest-bench", flags, *code, hint);
    }
}
