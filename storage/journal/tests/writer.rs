//! The writer on real file systems: what it acknowledges is read back, whatever becomes of its process, its lock, its room
//! or its folder. Processes that are to be killed, or to find a full disk, are this test started once more.

mod common;

use common::{Owned, Rng};
use flowtest_contract::{RoundId, StreamId};
use flowtest_journal::record::{Batch, End, EndCode, Start, Trace};
use flowtest_journal::stream::{self, StreamFolder, Tail};
use flowtest_journal::writer::{Writer, spawn};
use flowtest_journal::{JournalError, free_bytes};
use std::future::{Future, poll_fn};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::Poll;

const ROUND: RoundId = RoundId::from_bits(1);
const STREAM: StreamId = StreamId::from_bits(2);
/// Where a process that we start writes.
const CHILD_DIR: &str = "FLOWTEST_JOURNAL_TEST_DIR";

/// On the disk that we are built on.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

fn folder(dir: &Path) -> StreamFolder {
    common::folder(&dir.join(ROUND.to_string()).join(STREAM.to_string()), ROUND, STREAM)
}

fn start() -> Start {
    common::start(["alice", "bob", "carol"])
}

/// Runs on a glommio executor and waits.
fn run<T, F>(work: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    spawn(None, work).expect("glommio starts").join().expect("it does not panic")
}

fn append(writer: &mut Writer, records: &[Owned]) {
    for record in records {
        let done = match record {
            Owned::Batch(batch) => writer.append_batch(batch),
            Owned::Traces(block) => writer.append_traces(block.worker, block.base, &block.traces),
            Owned::Evidence(evidence) => writer.append_evidence(evidence),
            Owned::Control(control) => writer.append_control(control),
            Owned::Notice(notice) => writer.append_notice(notice),
            Owned::Late(late) => writer.append_late(late),
            Owned::Join(join) => writer.append_join(join),
            Owned::Further(further) => writer.append_further(further),
            Owned::Decision(decision) => writer.append_decision(decision),
            Owned::End(end) => writer.append_end(end),
            Owned::Start(_) => panic!("the start is written by create"),
        };
        done.expect("a record");
    }
}

fn intervals(seed: u64, count: u64) -> Vec<Vec<Owned>> {
    let mut rng = Rng(seed);
    (0..count).map(|number| common::interval(&mut rng, 3, number)).collect()
}

fn end() -> Vec<Owned> {
    vec![Owned::End(End { at: 9, code: EndCode::Finished as u16 })]
}

/// A group of this many traces and the batch that counts them.
fn append_many(writer: &mut Writer, traces: usize) {
    let many = vec![Trace { observed: common::answered(), ..Trace::default() }; traces];
    writer.append_traces(0, 0, &many).expect("traces");
    let batch = Batch { from: 1, to: 2, traced: traces as u64, ..Batch::default() };
    writer.append_batch(&batch).expect("their batch");
}

fn what_is_written_is_read_back(dir: &Path) -> bool {
    let (root, groups) = (dir.join("journal"), intervals(1, 30));
    let written = groups.clone();
    let is_direct = run(move || async move {
        let mut writer = Writer::create(&root, ROUND, STREAM, &start()).await.expect("a new stream");
        assert_eq!(writer.seq(), 1, "the start is on disk");
        for (number, group) in written.iter().enumerate() {
            append(&mut writer, group);
            assert!(writer.open_bytes() > 0);
            assert_eq!(writer.commit().await.expect("commits"), number as u64 + 2);
            assert_eq!(writer.commit().await.expect("nothing to do"), number as u64 + 2);
        }
        let is_direct = writer.is_direct();
        writer.close().await.expect("closes");
        is_direct
    });
    let folder = folder(&dir.join("journal"));
    let (read, found) = common::read_all(&folder);
    assert_eq!((&read[1..], found.tail), (&groups[..], Tail::Open));
    let len = std::fs::metadata(folder.path.join("000000.ftj")).expect("the segment").len();
    assert_eq!(len, found.bytes, "a short stream is a small file");
    assert!(!stream::is_live(&folder).expect("asks"));
    is_direct
}

#[test]
fn what_is_written_to_a_disk_is_read_back() {
    let dir = on_disk();
    println!("direct: {}", what_is_written_is_read_back(dir.path()));
}

#[test]
fn what_is_written_to_memory_is_read_back_and_goes_through_the_page_cache() {
    if Path::new("/dev/shm").is_dir() {
        let dir = tempfile::tempdir_in("/dev/shm").expect("a folder");
        assert!(!what_is_written_is_read_back(dir.path()));
    }
}

#[test]
fn a_long_stream_goes_on_in_a_second_segment() {
    let dir = on_disk();
    let root = dir.path().to_owned();
    run(move || async move {
        let mut writer = Writer::create(&root, ROUND, STREAM, &start()).await.expect("a new stream");
        for _ in 0..5 {
            append_many(&mut writer, 1 << 20);
            writer.commit().await.expect("commits");
        }
        writer.close().await.expect("closes");
    });
    let mut traces = 0;
    let found = stream::read(&folder(dir.path()), |group| {
        for record in &group.records {
            if let stream::Record::Traces(block) = record {
                traces += block.traces.len();
            }
        }
    });
    let found = found.expect("reads");
    assert_eq!((traces, found.segments, found.last_seq, found.tail), (5 << 20, 2, 6, Tail::Open));
}

#[test]
fn a_live_stream_is_locked_and_an_orphaned_one_is_adopted() {
    let dir = on_disk();
    let (root, groups) = (dir.path().to_owned(), intervals(2, 4));
    let written = groups.clone();
    run(move || async move {
        let folder = folder(&root);
        let mut writer = Writer::create(&root, ROUND, STREAM, &start()).await.expect("a new stream");
        append(&mut writer, &written[0]);
        writer.commit().await.expect("commits");
        assert!(stream::is_live(&folder).expect("asks"));
        assert!(matches!(Writer::adopt(&folder).await, Err(JournalError::Locked { .. })));
        let again = Writer::create(&root, ROUND, STREAM, &start()).await;
        assert!(matches!(again, Err(JournalError::Exists { .. })));
        append(&mut writer, &written[1]);
        drop(writer);
        // The open group went with its writer, and so did the lock.
        let mut writer = Writer::adopt(&folder).await.expect("it is orphaned");
        assert_eq!(writer.seq(), 2);
        let last = [&written[2][..], &written[3][..], &end()[..]].concat();
        append(&mut writer, &last);
        assert_eq!(writer.commit().await.expect("commits"), 3);
        writer.close().await.expect("closes");
        assert!(matches!(Writer::adopt(&folder).await, Err(JournalError::Ended { .. })));
    });
    let (read, found) = common::read_all(&folder(dir.path()));
    assert_eq!((found.tail, found.segments), (Tail::Ended, 2));
    assert_eq!(read[1], groups[0]);
    assert_eq!(read[2], [&groups[2][..], &groups[3][..], &end()[..]].concat());
}

#[test]
fn a_reader_of_a_live_stream_sees_a_prefix_that_only_grows() {
    let dir = on_disk();
    let root = dir.path().to_owned();
    let writing = spawn(None, move || async move {
        let mut writer = Writer::create(&root, ROUND, STREAM, &start()).await.expect("a new stream");
        for group in &intervals(4, 300) {
            append(&mut writer, group);
            writer.commit().await.expect("commits");
        }
        // Some do not fit into what is left of a segment.
        for _ in 0..8 {
            append_many(&mut writer, 1 << 20);
            writer.commit().await.expect("commits");
        }
        writer.close().await.expect("closes");
    });
    let writing = writing.expect("glommio starts");
    let (folder, mut seen, mut looks) = (folder(dir.path()), 0, 0);
    while !writing.is_finished() {
        let Ok(found) = stream::read(&folder, |_| {}) else {
            assert_eq!(seen, 0, "once there, a stream stays");
            continue;
        };
        assert!(!matches!(found.tail, Tail::Damaged { .. }), "{:?}", found.tail);
        assert!(found.last_seq >= seen, "{} after {seen}", found.last_seq);
        (seen, looks) = (found.last_seq, looks + 1);
    }
    writing.join().expect("it does not panic");
    println!("{looks} looks");
    let found = stream::read(&folder, |_| {}).expect("reads");
    assert_eq!((found.last_seq, found.segments, found.tail), (309, 3, Tail::Open));
}

#[test]
fn a_commit_that_was_given_up_half_way_is_made_good_in_a_new_segment() {
    let dir = on_disk();
    let (root, groups) = (dir.path().to_owned(), intervals(3, 2));
    let written = groups.clone();
    run(move || async move {
        let mut writer = Writer::create(&root, ROUND, STREAM, &start()).await.expect("a new stream");
        append(&mut writer, &written[0]);
        {
            let mut commit = pin!(writer.commit());
            poll_fn(|context| {
                assert!(commit.as_mut().poll(context).is_pending(), "a write takes its time");
                Poll::Ready(())
            })
            .await;
        }
        append(&mut writer, &written[1]);
        assert_eq!(writer.commit().await.expect("commits"), 2);
        writer.close().await.expect("closes");
    });
    let (read, found) = common::read_all(&folder(dir.path()));
    assert_eq!((found.tail, found.segments, read.len()), (Tail::Open, 2, 2));
    assert_eq!(read[1], groups.concat());
}

#[test]
fn what_is_in_the_way_is_a_sentence_and_nothing_is_made() {
    let dir = on_disk();
    let file = dir.path().join("file");
    std::fs::write(&file, b"mine").expect("a file");
    let create = |root: PathBuf| {
        run(move || async move { Writer::create(&root, ROUND, STREAM, &start()).await.map(drop) }).expect_err("no")
    };
    assert!(matches!(create(file.clone()), JournalError::NotAFolder { .. }));
    assert!(matches!(create(file.join("journal")), JournalError::NotAFolder { .. }));
    assert!(matches!(create(dir.path().join("no/journal")), JournalError::Missing { .. }));
    assert!(matches!(create("/sys/flowtest".into()), JournalError::NotWritable { .. }), "not even for root");
    assert_eq!(std::fs::read(&file).expect("still there"), b"mine");
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1);

    let empty = common::folder(dir.path(), ROUND, STREAM);
    let error = run(move || async move { Writer::adopt(&empty).await.map(drop) }).expect_err("no");
    assert!(matches!(error, JournalError::NotAJournal { .. }));
    assert!(!dir.path().join("lock").exists(), "what is no journal is not made one");
    assert!(matches!(free_bytes(&dir.path().join("no")), Err(JournalError::Missing { .. })));
    assert!(free_bytes(dir.path()).expect("asks") > 0);
}

#[test]
fn a_stream_of_a_newer_program_is_neither_read_nor_adopted() {
    let dir = common::scratch();
    let folder = folder(dir.path());
    common::write_stream(&folder, &[vec![Owned::Start(start())]], 1 << 20);
    let path = folder.path.join("000000.ftj");
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[8] = 2;
    bytes[104..108].fill(0);
    let crc = crc32c::crc32c(&bytes[..4096]);
    bytes[104..108].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).expect("writes");
    assert!(matches!(stream::read(&folder, |_| {}), Err(JournalError::Newer { found: 2, known: 1, .. })));
    let error = run(move || async move { Writer::adopt(&folder).await.map(drop) }).expect_err("no");
    assert!(error.to_string().ends_with("use the newer program"), "{error}");
    assert_eq!(std::fs::read(&path).expect("reads"), bytes);
}

/// This test program, started once more for one of its ignored tests.
fn again(command: &mut Command, name: &str, dir: &Path) -> Child {
    let arguments = ["--exact", name, "--ignored", "--nocapture"];
    command.args(arguments).env(CHILD_DIR, dir).stdout(Stdio::piped()).spawn().expect("starts")
}

fn child_dir() -> PathBuf {
    std::env::var_os(CHILD_DIR).expect("this is started by another test").into()
}

#[test]
fn a_killed_writer_leaves_what_it_acknowledged() {
    let mut rng = Rng(6);
    for _ in 0..6 {
        let dir = on_disk();
        let program = std::env::current_exe().expect("this program");
        let mut child = again(&mut Command::new(program), "child_writes_until_it_is_killed", dir.path());
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let stop = 1 + rng.below(60);
        let mut acknowledged = 0;
        for line in lines.map_while(Result::ok) {
            if let Some(seq) = line.strip_prefix("synced ") {
                acknowledged = seq.parse().expect("a number");
                if acknowledged == stop {
                    child.kill().expect("it lives");
                }
            }
        }
        child.wait().expect("it is gone");
        let folder = folder(dir.path());
        assert!(!stream::is_live(&folder).expect("asks"));
        let found = stream::read(&folder, |_| {}).expect("reads");
        assert!(!matches!(found.tail, Tail::Damaged { .. }), "{:?}", found.tail);
        assert!(acknowledged >= stop && found.last_seq >= acknowledged, "{found:?}");
        let adopted = folder.clone();
        let seq = run(move || async move {
            let mut writer = Writer::adopt(&adopted).await.expect("it is orphaned");
            append(&mut writer, &end());
            writer.commit().await.expect("commits")
        });
        let found = stream::read(&folder, |_| {}).expect("reads");
        assert_eq!((found.last_seq, found.tail), (seq, Tail::Ended));
    }
}

#[test]
#[ignore = "started and killed by another test"]
fn child_writes_until_it_is_killed() {
    let dir = child_dir();
    run(move || async move {
        let mut writer = Writer::create(&dir, ROUND, STREAM, &start()).await.expect("a new stream");
        // Bounded, should its parent be gone.
        for number in 0..20_000 {
            append_many(&mut writer, 1 + number % 5_000);
            println!("synced {}", writer.commit().await.expect("commits"));
        }
    });
}

#[test]
fn too_little_memory_to_lock_is_a_sentence_and_no_panic_of_glommio() {
    let dir = on_disk();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -l 64 && exec \"$0\" \"$@\""]).arg(std::env::current_exe().expect("this program"));
    let output = again(&mut command, "child_may_lock_little", dir.path()).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "started by another test, with a limit"]
fn child_may_lock_little() {
    let error = spawn(None, || async {}).map(drop).expect_err("the limit is too low").to_string();
    assert!(error.contains("only 64 KiB") && error.contains("ulimit -l"), "{error}");
}

#[test]
fn a_full_disk_is_said_and_what_was_open_is_written_when_there_is_room() {
    let dir = on_disk();
    let mount = format!("mount -t tmpfs -o size=2m flowtest '{}' && exec \"$0\" \"$@\"", dir.path().display());
    let may_mount = Command::new("unshare").args(["-m", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        println!("not tried: this user may not mount");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &mount]).arg(std::env::current_exe().expect("this program"));
    let child = again(&mut command, "child_fills_its_disk", dir.path());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "started by another test, on a small file system"]
fn child_fills_its_disk() {
    let dir = child_dir();
    assert!(free_bytes(&dir).expect("asks") <= 2 << 20, "this is the small file system");
    std::fs::write(dir.join("ballast"), vec![1; 1 << 20]).expect("a file that can go");
    let root = dir.clone();
    let groups = run(move || async move {
        std::fs::write(root.join("more ballast"), vec![1; 2 << 20]).expect_err("not even this fits");
        let none = Writer::create(&root, ROUND, STREAM, &start()).await;
        assert!(matches!(none, Err(JournalError::Full { .. })), "no room at all");
        assert_eq!(std::fs::read_dir(&root).expect("lists").count(), 2, "nothing is left of the attempt");
        std::fs::remove_file(root.join("more ballast")).expect("makes room");
        let mut writer = Writer::create(&root, ROUND, STREAM, &start()).await.expect("a smaller segment will do");
        let full = loop {
            append_many(&mut writer, 8_000);
            match writer.commit().await {
                Ok(seq) => assert!(seq < 100, "this disk has an end"),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, JournalError::Full { .. }), "{full}");
        let (seq, open) = (writer.seq(), writer.open_bytes());
        assert!(matches!(writer.commit().await, Err(JournalError::Full { .. })), "it is still full");
        assert_eq!((writer.seq(), writer.open_bytes()), (seq, open), "nothing is lost");
        std::fs::remove_file(root.join("ballast")).expect("makes room");
        assert_eq!(writer.commit().await.expect("there is room"), seq + 1);
        writer.close().await.expect("closes");
        seq + 1
    });
    let found = stream::read(&folder(&dir), |_| {}).expect("reads");
    assert_eq!((found.last_seq, found.tail), (groups, Tail::Open));
    assert!(groups > 2);
}
