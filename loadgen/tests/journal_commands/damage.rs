//! Journals that a crash or somebody's hand has changed.

use crate::played::{OTHER, Played, ROUND, STREAM};
use crate::program::{Said, on};
use flowtest_contract::RoundId;
use flowtest_testkit::RedisServer;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The newest segment of a stream.
fn segment(stream: &Path) -> PathBuf {
    let files = std::fs::read_dir(stream).expect("a folder").map(|file| file.expect("a file").path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "ftj")).max().expect("a segment")
}

fn change(stream: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let path = segment(stream);
    let mut bytes = std::fs::read(&path).expect("a segment");
    change(&mut bytes);
    std::fs::write(&path, bytes).expect("a segment");
}

fn standing(said: &Said) -> (String, String) {
    let report = said.json();
    let stream = &report["rounds"][0]["streams"][0];
    let word = |key: &str| stream[key].as_str().expect("a word").to_owned();
    (word("standing"), word("tail"))
}

#[test]
fn a_torn_tail_never_counted_and_is_no_difference() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut played = Played::usual();
    played.end = None;
    let stream = played.write(dir.path());
    // The last group is one block: half of it never reached the disk.
    change(&stream, |bytes| {
        let half = bytes.len() - 4096 + 64;
        bytes[half..].fill(0);
    });
    let said = on("audit", dir.path(), &["--json", "-"]).exits(0);
    assert_eq!(standing(&said), ("killed".to_owned(), "torn".to_owned()));
    let said = on("audit", dir.path(), &[]).exits(0).says("has a torn tail of").says("which never counted");
    said.says("was cut off").says("EQUAL: 10 traces");
    on("inspect", dir.path(), &[]).exits(0).says("┆ torn  ┆").says(&STREAM.to_string());
}

#[test]
fn a_changed_byte_is_damage_and_nothing_behind_it_counts() {
    let dir = tempfile::tempdir().expect("a folder");
    let stream = Played::usual().write(dir.path());
    // In the second group of four: the header's block comes first.
    change(&stream, |bytes| bytes[2 * 4096 + 100] ^= 1);
    let said = on("audit", dir.path(), &[]).exits(4).says("is damaged at byte 8192 of segment 0");
    said.says("nothing after group 1 counts here").says("DIFFERENT: 1 difference");
    let said = on("audit", dir.path(), &["--json", "-"]).exits(4);
    assert_eq!(standing(&said).1, "damaged");
    on("inspect", dir.path(), &[]).exits(0).says("┆ damaged ┆");
    on("export", dir.path(), &[]).exits(1).complains("only what lies before the damage was exported");
}

#[test]
fn a_round_whose_folder_cannot_be_listed_is_told_and_hides_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let stream = Played::usual().write(dir.path());
    let close = |round: &Path| std::fs::set_permissions(round, Permissions::from_mode(0o000)).expect("ours");
    let closed = dir.path().join("00000000000000000000000000000009");
    std::fs::create_dir(&closed).expect("a folder");
    close(&closed);
    let journal = dir.path().to_str().expect("UTF-8");
    let run = |words: &[&str]| {
        let mut command = as_anybody(env!("CARGO_BIN_EXE_flowtest-loadgen"));
        flowtest_testkit::run(command.args(words).args(["--journal", journal]))
    };
    let on = |command: &str| run(&[command]);
    on("inspect").exits(1).says(&STREAM.to_string()).complains("cannot list");
    on("audit").exits(4).says("DIFFERENT: 1 difference").says("cannot list");
    on("export").exits(1).says("alice").complains("cannot list");
    let redis = RedisServer::start();
    // Who plays there is all the same.
    let contest = dir.path().join("contest.toml");
    let nobody = "name = \"cup\"\n[[phase]]\nfor = \"100ms\"\nrate = 1\n[policy]\nallow = [\"127.0.0.0/8\"]\n\
                  [[contestant]]\nname = \"alice\"\nendpoint = \"127.0.0.1:65535\"\n";
    std::fs::write(&contest, nobody).expect("it is written");
    let played = run(&["run", contest.to_str().expect("UTF-8"), "--redis", &redis.url()]);
    played
        .complains("older journals stay as they are")
        .complains("cannot list")
        .complains("left alone: its round is over");
    run(&["rebuild", "--redis", &redis.url()]).exits(4).says("cannot list").says("what could not be listed is missing");
    // Where there is no other, that is why nothing is there.
    close(stream.parent().expect("a round"));
    for round in std::fs::read_dir(dir.path()).expect("a folder") {
        let round = round.expect("an entry").path();
        if round.is_dir() {
            close(&round);
        }
    }
    on("audit").exits(1).complains("cannot list");
}

#[test]
fn no_round_is_sealed_without_what_a_folder_of_it_may_hold() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, other, away) = (dir.path().join("one"), dir.path().join("other"), dir.path().join("away"));
    Played::usual().write(&one);
    let stream = Played { stream: OTHER, ..Played::usual() }.write(&other);
    let rehearsal = RoundId::from_bits(9);
    Played { round: rehearsal, stream: OTHER, ..Played::usual() }.write(&other);
    let round = stream.parent().expect("a round");
    let mode = |bits| std::fs::set_permissions(round, Permissions::from_mode(bits)).expect("ours");
    let redis = RedisServer::start();
    let seal = |code| {
        let mut command = as_anybody(env!("CARGO_BIN_EXE_flowtest-loadgen"));
        command.args(["rebuild", "--seal", "--redis", &redis.url(), "--journal"]).arg(&one);
        flowtest_testkit::run(command.arg("--journal").arg(&other)).exits(code)
    };
    let sealed = format!("round {ROUND}: sealed");
    mode(0o000);
    seal(4).says("cannot list").says("not sealed: no stream is seen in").says(&round.display().to_string());
    // Its names may be read, and nothing that they stand for.
    mode(0o444);
    seal(4).says(&stream.display().to_string()).says("Permission denied");
    for (command, code) in [("export", 1), ("inspect", 1), ("audit", 4)] {
        let mut asked = as_anybody(env!("CARGO_BIN_EXE_flowtest-loadgen"));
        let said = flowtest_testkit::run(asked.args([command, "--journal"]).arg(&other)).exits(code);
        assert!([&said.out, &said.err].iter().any(|text| text.contains("Permission denied")), "{command}: {said:?}");
    }
    mode(0o700);
    std::fs::rename(&stream, &away).expect("it moves");
    seal(4).says("not sealed: no stream is seen in");
    std::fs::rename(&away, &stream).expect("it moves");
    seal(0).says(&sealed);
}

/// A program that may read no more than the owner of a file lets it.
fn as_anybody(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search", program]);
    if rustix::process::geteuid().is_root() { command } else { Command::new(program) }
}

#[test]
fn no_changed_byte_gives_a_total_that_is_called_equal_and_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let stream = Played::usual().write(dir.path());
    let whole = std::fs::read(segment(&stream)).expect("a segment");
    let found = flowtest_journal::stream::find(dir.path()).expect("a stream");
    // Every byte of the records is tried by the journal's own tests; here it is enough to see what an audit makes of it.
    for at in (0..whole.len()).step_by(61) {
        change(&stream, |bytes| {
            bytes.clone_from(&whole);
            bytes[at] ^= 0x10;
        });
        let audited = flowtest_loadgen::journal::audit::stream::audit(&found[0], Default::default(), &|_| ());
        let Ok(stream) = audited else { continue };
        let report = flowtest_loadgen::journal::audit::report::AuditReport::new(&[stream], None);
        let stream = &report.rounds[0].streams[0];
        let points: Vec<i128> = report.rounds[0].contestants.iter().map(|contestant| contestant.points).collect();
        assert!(!report.equal || stream.tail != "ended" || points == [600, -1100], "byte {at}: {report:?}");
    }
}
