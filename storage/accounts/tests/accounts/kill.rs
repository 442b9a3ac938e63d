//! SIGKILL in the middle of writes: what was acknowledged is there, and the file is sound.

use crate::harness::*;
use flowtest_accounts::*;
use flowtest_testkit::is_long;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Set in the child: the database it writes to.
const VICTIM: &str = "FLOWTEST_ACCOUNTS_VICTIM";

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let harness = Harness::new().await;
    let kills = if is_long() { 100 } else { 10 };
    let mut acknowledged = Vec::new();
    for kill in 0..kills {
        acknowledged.extend(write_until_killed(&harness, kill));
        let mut raw = harness.raw();
        assert_eq!(
            texts(&mut raw, "SELECT integrity_check AS text FROM pragma_integrity_check"),
            ["ok"],
            "kill {kill}"
        );
        assert_eq!(texts(&mut raw, "SELECT \"table\" AS text FROM pragma_foreign_key_check"), Vec::<String>::new());
    }
    let stored: Vec<i64> = harness.accounts.announcements().await.expect("a list").iter().map(|one| one.id.0).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?} of {} acknowledged", acknowledged.len());
    assert!(acknowledged.len() > kills, "only {} writes in {kills} lives", acknowledged.len());
    // Each change came with its line, or not at all.
    let lines = texts(&mut harness.raw(), "SELECT subject AS text FROM audit WHERE action = 'announcement.make'");
    assert_eq!(lines.len(), stored.len());
}

/// Runs a child that writes in a loop, kills it, and returns what it said was written.
fn write_until_killed(harness: &Harness, kill: usize) -> Vec<i64> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "kill::the_victim_writes_until_it_is_killed", "--nocapture"])
        .env(VICTIM, harness.file())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let first = lines.by_ref().map(|line| line.expect("a line")).find_map(|line| id_in(&line)).expect("a first write");
    // Spread over a commit and a half, so that the kill hits every part of one.
    std::thread::sleep(Duration::from_micros(1_000 + 2_713 * (kill as u64 % 11)));
    child.kill().expect("killed");
    child.wait().expect("gone");
    // The last line may be torn by the kill: without its end it was not said.
    std::iter::once(first).chain(lines.map_while(Result::ok).filter_map(|line| id_in(&line))).collect()
}

fn id_in(line: &str) -> Option<i64> {
    line.strip_prefix("written ")?.strip_suffix('.')?.parse().ok()
}

/// Not a test of its own: the child of the one above.
#[tokio::test]
async fn the_victim_writes_until_it_is_killed() {
    let Some(file) = std::env::var_os(VICTIM) else { return };
    let accounts = Accounts::open(&file).await.expect("the database");
    // Ends by itself should nobody kill it.
    for n in 0..100_000 {
        let made = accounts.announce(Level::Info, &format!("number {n}"), &Actor::program(), NOON).await.expect("said");
        // Past the test harness, which would keep it.
        let mut out = std::io::stdout();
        writeln!(out, "written {}.", made.id).and_then(|()| out.flush()).expect("somebody reads");
    }
}
