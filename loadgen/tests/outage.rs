//! `run --redis` while Redis does not answer: it says so when that begins, shows how long it waits at the end, and names the
//! command that publishes the rest. And `stop` from another host, which a `run` hears of by Redis alone.

mod server;

use flowtest_testkit::{Child, RedisServer, program, run};
use rustix::process::Signal;
use server::serve;
use std::path::Path;
use std::process::Command;

const GENERATOR: &str = env!("CARGO_BIN_EXE_flowtest-loadgen");

/// Both outputs as one, line by line.
fn start(words: &str) -> Child {
    let mut command = program("sh");
    command.args(["-c", &format!("exec {GENERATOR} {words} 2>&1")]);
    Child::start(&command)
}

/// A contest of five seconds, in a file.
fn contest(dir: &Path) -> String {
    contest_of(dir, "5s")
}

fn contest_of(dir: &Path, length: &str) -> String {
    let file = dir.join("outage.toml");
    let text = format!(
        "name = \"outage\"\n[[phase]]\nfor = \"{length}\"\nrate = 50\nconnections = 4\n[policy]\nallow = [\"127.0.0.0/8\"]\n\
         [[contestant]]\nname = \"alice\"\nendpoint = \"{}\"\n",
        serve("127.0.0.1", 0).0
    );
    std::fs::write(&file, text).expect("the folder is ours");
    file.display().to_string()
}

fn says<'a>(part: &'a str) -> impl Fn(&str) -> Option<String> + 'a {
    move |line| line.contains(part).then(|| line.to_owned())
}

#[test]
fn a_scoreboard_that_stands_still_is_told_and_the_rest_can_be_published_later() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let (journal, json) = (dir.path().join("journal"), dir.path().join("summary.json"));
    std::fs::create_dir(&journal).unwrap();
    let (file, url) = (contest(dir.path()), redis.url());
    let mut child =
        start(&format!("run {file} --redis {url} --journal {} --json {} --cores 0", journal.display(), json.display()));
    flowtest_testkit::wait_until("a row", || (redis.calls("fcall") > 3).then_some(()));
    redis.pause();
    child.wait_for_line("the standstill", says("the scoreboard stands still: "));
    let waits = child.wait_for_line("the wait", says("the last points wait for Redis, "));
    assert!(waits.contains("s more at the most: "), "{waits}");
    // What was counted can be read before anybody waits for Redis.
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let points = summary["points"].as_i64().unwrap();
    assert!(points > 0, "{summary}");
    child.signal(Signal::INT);
    let advice = child.wait_for_line("the advice", says("all points are in the journal"));
    assert_eq!(child.wait().code(), Some(1));
    redis.resume();
    let rebuild = advice.split("by flowtest-loadgen ").nth(1).expect("it names the command");
    run(Command::new(GENERATOR).args(rebuild.split(' '))).exits(0);
    let audit = ["audit", "--journal", journal.to_str().unwrap(), "--redis", &url, "--json", "-"];
    let audit = run(program(GENERATOR).args(audit)).exits(0).json();
    assert_eq!(audit["rounds"][0]["contestants"][0]["points_redis"], points, "{audit}");
}

#[test]
fn an_outage_that_ends_is_told_too() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let mut child = start(&format!("run {} --redis {} --cores 0", contest(dir.path()), redis.url()));
    flowtest_testkit::wait_until("a row", || (redis.calls("fcall") > 3).then_some(()));
    redis.pause();
    child.wait_for_line("the standstill", says("the scoreboard stands still: "));
    redis.resume();
    child.wait_for_line("its end", says("the scoreboard goes on after "));
    assert!(matches!(child.wait().code(), Some(0 | 3)));
}

#[test]
fn who_ends_a_run_while_the_scoreboard_stands_still_waits_two_seconds_for_it_and_is_told_what_to_do() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let journal = dir.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    let (file, url) = (contest_of(dir.path(), "60s"), redis.url());
    let mut child = start(&format!("run {file} --redis {url} --journal {} --cores 0", journal.display()));
    flowtest_testkit::wait_until("a row", || (redis.calls("fcall") > 3).then_some(()));
    redis.pause();
    child.wait_for_line("the standstill", says("the scoreboard stands still: "));
    child.signal(Signal::INT);
    let waits = child.wait_for_line("the wait", says("the last points wait for Redis, "));
    let seconds = waits.split("for Redis, ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds <= 2), "{waits}");
    child.wait_for_line("the advice", says("by flowtest-loadgen rebuild --seal --journal "));
    assert_eq!(child.wait().code(), Some(1));
    redis.resume();
}

#[test]
fn a_stop_from_another_host_ends_a_run_or_says_which_one_has_not_heard() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let (file, url, journal) = (contest_of(dir.path(), "60s"), redis.url(), dir.path().join("journal"));
    let journal = journal.to_str().unwrap();
    let stop = || run(program(GENERATOR).args(["stop", "--contest", "outage", "--redis", &url]));
    let played = || {
        let (child, calls) =
            (start(&format!("run {file} --redis {url} --cores 0 --journal {journal}")), redis.calls("fcall"));
        flowtest_testkit::wait_until("a row", || (redis.calls("fcall") > calls + 3).then_some(()));
        child
    };
    let mut child = played();
    stop().exits(0).complains("stop applied by the run of stream ");
    child.wait_for_line("its word", says("was stopped in Redis: the run ends here"));
    assert!(matches!(child.wait().code(), Some(0 | 3)));
    stop().exits(0).complains("no generator plays");
    // As one whose way to Redis is cut.
    let mut child = played();
    child.signal(Signal::STOP);
    let said = stop().exits(1).complains("are not heard: the run of stream ");
    // Or as one that has died, of which only its journal is left.
    said.complains("flowtest-loadgen rebuild --journal DIR --redis URL on its machine ends it");
    child.signal(Signal::KILL);
    child.wait();
    run(program(GENERATOR).args(["rebuild", "--journal", journal, "--redis", &url])).exits(0);
    stop().exits(0).complains("no generator plays");
}
