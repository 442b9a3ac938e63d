//! Journals that a crash or somebody's hand has changed.

use crate::played::{Played, STREAM};
use crate::program::{Said, on};
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
    Played::usual().write(dir.path());
    let closed = dir.path().join("00000000000000000000000000000009");
    std::fs::create_dir(&closed).expect("a folder");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("ours");
    let on = |command: &str| {
        let words = [command, "--journal", dir.path().to_str().expect("UTF-8")];
        flowtest_testkit::run(as_anybody(env!("CARGO_BIN_EXE_flowtest-loadgen")).args(words))
    };
    on("inspect").exits(1).says(&STREAM.to_string()).complains("cannot list");
    on("audit").exits(4).says("DIFFERENT: 1 difference").says("cannot list");
    on("export").exits(1).says("alice").complains("cannot list");
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
