//! The format of the disk, held by a stream that is checked in (`tests/golden/v1`, whose README says how it was made).

mod common;

use common::{Owned, Rng};
use flowtest_contract::{RoundId, StreamId};
use flowtest_journal::record::{Control, End, EndCode, Evidence, Notice, NoticeCode};
use flowtest_journal::stream::{self, StreamFolder, Tail};
use std::path::{Path, PathBuf};

const ROUND: RoundId = RoundId::from_bits(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const STREAM: StreamId = StreamId::from_bits(0xfedc_ba98_7654_3210_fedc_ba98_7654_3210);
/// Small, so that a few groups fill one.
const SEGMENT: u64 = 5 * 4096;
const BEGAN: u64 = 1_700_000_000_000_000;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn folder(dir: &Path) -> StreamFolder {
    common::folder(&dir.join(ROUND.to_string()).join(STREAM.to_string()), ROUND, STREAM)
}

/// One record of each kind at least.
fn groups() -> Vec<Vec<Owned>> {
    let mut rng = Rng(1);
    let mut groups = vec![vec![Owned::Start(common::start(["alice", "bob", "Zoë"]))]];
    for number in 0..6 {
        groups.push(common::interval(&mut rng, 3, BEGAN + number * 100_000));
    }
    groups[2].push(Owned::Evidence(Evidence {
        at: BEGAN + 1,
        sent: BEGAN,
        latency_us: 1,
        contestant: 2,
        worker: 7,
        observed: common::answered(),
        skipped: 70_000,
        request: b"GET / HTTP/1.1\r\nHost: zoe\r\n\r\n".to_vec(),
        response: b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        reason: b"no Token".to_vec(),
    }));
    groups[3].push(Owned::Control(Control {
        at: BEGAN + 2,
        revision: 4,
        terms: common::terms(),
        document: b"{}".to_vec(),
    }));
    groups[4].push(Owned::Notice(Notice {
        at: BEGAN + 3,
        code: NoticeCode::EvidenceOff as u16,
        text: b"the disk fills: no evidence from here on".to_vec(),
    }));
    groups.push(vec![Owned::End(End { at: BEGAN + 700_000, code: EndCode::Finished as u16 })]);
    groups
}

fn files(folder: &StreamFolder) -> Vec<(String, Vec<u8>)> {
    let list = std::fs::read_dir(&folder.path).expect("the stream is there");
    let paths = list.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension().is_some());
    let mut files: Vec<_> = paths
        .map(|path| {
            (path.file_name().expect("a name").to_string_lossy().into_owned(), std::fs::read(path).expect("reads"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn version_1_is_read_as_it_was_written() {
    let (found_groups, found) = common::read_all(&folder(&golden()));
    assert_eq!(found_groups, groups());
    assert_eq!((found.tail, found.segments), (Tail::Ended, 2));
    assert_eq!(stream::find(&golden()).expect("finds").len(), 1);
}

#[test]
fn version_1_is_written_as_it_was() {
    let dir = common::scratch();
    common::write_stream(&folder(dir.path()), &groups(), SEGMENT);
    assert!(
        files(&folder(dir.path())) == files(&folder(&golden())),
        "the bytes differ: raise FORMAT and keep version 1"
    );
}

#[test]
#[ignore = "makes the golden stream of a new version; refuses to change one that is there"]
fn make_the_golden_stream() {
    assert!(!golden().join(ROUND.to_string()).exists(), "{} is there; formats never change", golden().display());
    common::write_stream(&folder(&golden()), &groups(), SEGMENT);
}
