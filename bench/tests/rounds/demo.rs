//! The demo: exact at its end, and gone without a trace however it ends.

use flowtest_bench::child::{Child, Ended, sibling};
use flowtest_testkit::wait_until_or;
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(90);
/// A variable that every child inherits, so that whatever is left behind can be found.
const MARK: &str = "FLOWTEST_BENCH_TEST_MARK";

fn demo(mark: &str, length: &str) -> Command {
    let mut command = sibling("flowtest-bench").unwrap_or_else(|error| panic!("{error}"));
    command.args(["demo", "--for", length, "--rate", "300", "--connections", "8"]).env(MARK, mark);
    command
}

/// Processes that carry the mark, with their command lines.
fn marked(mark: &str) -> Vec<(i32, String)> {
    let wanted = format!("{MARK}={mark}");
    let processes = std::fs::read_dir("/proc").expect("proc is mounted").flatten();
    processes
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let is_marked = environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes());
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            is_marked.then(|| (pid, String::from_utf8_lossy(&line).replace('\0', " ")))
        })
        .collect()
}

fn wait_until_it_runs(child: &mut Child) {
    child
        .wait_for("the first standings", TIMEOUT, |line| line.contains("Version v1, From EC2").then_some(()))
        .unwrap_or_else(|error| panic!("{error}"));
}

fn assert_nothing_is_left(mark: &str, ended: &Ended) {
    // The kernel needs a moment to let go of a process that was killed.
    wait_until_or("the end of them all", || match marked(mark) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}: {}", ended.stdout)),
    });
    // redis-server writes its title over its environment, so it is looked for at its port.
    let address =
        ended.stdout.split("redis://").nth(1).and_then(|rest| rest.split('/').next()).expect("its URL is told");
    assert!(TcpStream::connect(address).is_err(), "redis-server still listens on {address}");
    let address = ended.stdout.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
    let address = address.expect("the dashboard's address is told");
    assert!(TcpStream::connect(address).is_err(), "the dashboard still listens on {address}");
}

#[test]
fn it_ends_with_the_exact_account() {
    let child = Child::start("the demo", &demo("exact", "6s")).unwrap_or_else(|error| panic!("{error}"));
    let ended = child.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended.status.code(), Some(0), "{}\n{}", ended.stdout, ended.stderr);
    let exact = ended.stdout.lines().filter(|line| line.ends_with(": exact")).count();
    assert_eq!(exact, 4, "{}", ended.stdout);
    for equal in ["Redis and the generator's own sums: equal", "Redis and what the dashboard sealed: equal"] {
        assert!(ended.stdout.contains(equal), "{}", ended.stdout);
    }
    assert!(ended.stdout.contains("EQUAL"), "the audit: {}", ended.stdout);
    for fault in ["wrong_token", "status", "missing_version", "missing_from", "garbage", "reset"] {
        assert!(ended.stdout.contains(fault), "no {fault} was injected: {}", ended.stdout);
    }
    assert_nothing_is_left("exact", &ended);
}

#[test]
fn ctrl_c_stops_everything() {
    let mut child = Child::start("the demo", &demo("ctrl-c", "60s")).unwrap_or_else(|error| panic!("{error}"));
    wait_until_it_runs(&mut child);
    // Four contestants, the generator, the dashboard, and the demo itself: the mark is seen.
    assert_eq!(marked("ctrl-c").len(), 7, "{:?}", marked("ctrl-c"));
    child.signal(Signal::INT);
    let ended = child.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended.status.code(), Some(130), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("Final standings"), "{}", ended.stdout);
    assert_nothing_is_left("ctrl-c", &ended);
}

#[test]
fn a_contestant_that_dies_ends_it_with_a_sentence() {
    let mut child = Child::start("the demo", &demo("victim", "60s")).unwrap_or_else(|error| panic!("{error}"));
    wait_until_it_runs(&mut child);
    let (victim, _) = marked("victim").into_iter().find(|(_, line)| line.contains("wrong_token")).expect("bob runs");
    kill_process(Pid::from_raw(victim).expect("a pid"), Signal::KILL).expect("bob is ours");
    let ended = child.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended.status.code(), Some(1), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("bob ended in the middle"), "{}", ended.stderr);
    assert_nothing_is_left("victim", &ended);
}

#[test]
fn without_redis_server_it_says_what_to_do() {
    let mut command = demo("no-redis", "5s");
    command.env("PATH", "/nowhere");
    let child = Child::start("the demo", &command).unwrap_or_else(|error| panic!("{error}"));
    let ended = child.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.contains("redis-server is not installed") && ended.stderr.contains("make demo"),
        "{}",
        ended.stderr
    );
}
