//! Whatever is done to a stream's files, its reader says nothing wrong: what it gives is a prefix of what was written, and
//! what it does not give is a torn tail or damage.

mod common;

use common::{Owned, Rng};
use flowtest_contract::{RoundId, StreamId};
use flowtest_journal::JournalError;
use flowtest_journal::log::Log;
use flowtest_journal::stream::{StreamFolder, Tail};
use std::path::PathBuf;

const BLOCK: usize = 4096;
const ROUND: RoundId = RoundId::from_bits(1);
const STREAM: StreamId = StreamId::from_bits(2);

/// A stream of several segments on disk, and what it holds.
struct Case {
    _dir: tempfile::TempDir,
    folder: StreamFolder,
    groups: Vec<Vec<Owned>>,
    /// As they were written.
    segments: Vec<Vec<u8>>,
}

impl Case {
    fn new(stream: StreamId, intervals: u64, segment_size: u64) -> Case {
        let dir = common::scratch();
        let folder = common::folder(&dir.path().join("stream"), ROUND, stream);
        let mut rng = Rng(7);
        let mut groups = vec![vec![Owned::Start(common::start(["alice", "bob", "carol"]))]];
        groups.extend((0..intervals).map(|number| common::interval(&mut rng, 3, number)));
        common::write_stream(&folder, &groups, segment_size);
        let (read, found) = common::read_all(&folder);
        assert_eq!((&read, found.tail), (&groups, Tail::Open));
        let segments =
            (0..found.segments).map(|index| std::fs::read(segment(&folder, index)).expect("reads")).collect();
        Case { _dir: dir, folder, groups, segments }
    }

    fn path(&self, index: u32) -> PathBuf {
        segment(&self.folder, index)
    }

    fn write(&self, index: u32, bytes: &[u8]) {
        std::fs::write(self.path(index), bytes).expect("writes");
    }

    /// Makes all files as they were, and takes others away.
    fn heal(&self) {
        std::fs::remove_dir_all(&self.folder.path).expect("removes");
        std::fs::create_dir(&self.folder.path).expect("a folder");
        for (index, bytes) in self.segments.iter().enumerate() {
            self.write(index as u32, bytes);
        }
    }

    /// Reads what is there now. It must be a prefix; returns how much is missing, and what stands behind it.
    fn read(&self, what: &str) -> (usize, Tail) {
        let (groups, found) = common::read_all(&self.folder);
        assert!(groups.len() <= self.groups.len(), "{what}: groups that nobody wrote");
        assert!(groups == self.groups[..groups.len()], "{what}: a group is not what was written");
        assert_eq!(common::totals(&groups), common::totals(&self.groups[..groups.len()]), "{what}");
        (self.groups.len() - groups.len(), found.tail)
    }

    /// As [`Case::read`], after harm to a segment that is not the last: nothing may be missing in silence.
    fn read_harmed(&self, what: &str) {
        let (missing, tail) = self.read(what);
        assert!(missing == 0 || matches!(tail, Tail::Damaged { .. }), "{what}: {missing} groups are missing, {tail:?}");
    }
}

fn segment(folder: &StreamFolder, index: u32) -> PathBuf {
    folder.path.join(format!("{index:06}.ftj"))
}

#[test]
fn a_flipped_byte_anywhere_is_damage_a_torn_end_or_nothing() {
    let case = Case::new(STREAM, 3, 3 * BLOCK as u64);
    assert!(case.segments.len() >= 2);
    let mut rng = Rng(3);
    let last = case.segments.len() - 1;
    for (index, good) in case.segments.iter().enumerate() {
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << rng.below(8);
            case.write(index as u32, &bad);
            let what = format!("byte {at} of segment {index}");
            let (missing, tail) = case.read(&what);
            let is_last_group = index == last && missing == 1;
            let said = matches!(tail, Tail::Damaged { .. }) || (is_last_group && matches!(tail, Tail::Torn { .. }));
            assert!(missing == 0 || said, "{what}: {missing} groups are missing, {tail:?}");
        }
        case.write(index as u32, good);
    }
}

#[test]
fn a_file_cut_short_anywhere_gives_what_is_before_the_cut() {
    let case = Case::new(STREAM, 3, 3 * BLOCK as u64);
    let last = case.segments.len() - 1;
    for (index, good) in case.segments.iter().enumerate() {
        for len in 0..good.len() {
            case.write(index as u32, &good[..len]);
            let what = format!("segment {index} cut to {len}");
            if index == last {
                let (_, tail) = case.read(&what);
                assert!(matches!(tail, Tail::Open | Tail::Torn { .. }), "{what}: {tail:?}");
            } else {
                case.read_harmed(&what);
            }
        }
        case.write(index as u32, good);
    }
}

#[test]
fn zeroed_and_swapped_blocks_are_never_a_wrong_total() {
    let case = Case::new(STREAM, 60, 16 * BLOCK as u64);
    let mut rng = Rng(4);
    for (index, good) in case.segments.iter().enumerate() {
        let blocks = good.len() / BLOCK;
        for block in 0..blocks {
            let mut zeroed = good.clone();
            zeroed[block * BLOCK..(block + 1) * BLOCK].fill(0);
            case.write(index as u32, &zeroed);
            case.read(&format!("block {block} of segment {index} is zero"));
            let other = rng.below(blocks as u64) as usize;
            let mut swapped = good.clone();
            let (low, high) = (block.min(other), block.max(other));
            if low < high {
                let (head, tail) = swapped.split_at_mut(high * BLOCK);
                head[low * BLOCK..(low + 1) * BLOCK].swap_with_slice(&mut tail[..BLOCK]);
            }
            case.write(index as u32, &swapped);
            case.read(&format!("blocks {low} and {high} of segment {index} are swapped"));
        }
        case.write(index as u32, good);
    }
}

#[test]
fn noise_in_a_large_stream_is_never_a_wrong_total() {
    let case = Case::new(STREAM, 400, 64 * BLOCK as u64);
    let mut rng = Rng(5);
    for round in 0..400 {
        let index = rng.below(case.segments.len() as u64) as usize;
        let mut bad = case.segments[index].clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bad.len() as u64) as usize;
            let len = (1 + rng.below(700) as usize).min(bad.len() - at);
            bad[at..at + len].fill_with(|| rng.next() as u8);
        }
        case.write(index as u32, &bad);
        case.read(&format!("noise {round} in segment {index}"));
        case.write(index as u32, &case.segments[index]);
    }
}

#[test]
fn files_that_are_missing_doubled_swapped_or_of_another_stream_are_damage() {
    let case = Case::new(STREAM, 30, 6 * BLOCK as u64);
    let other = Case::new(StreamId::from_bits(3), 30, 6 * BLOCK as u64);
    let last = case.segments.len() as u32 - 1;
    assert!(last >= 3);
    let damaged = |what: &str| {
        let (_, tail) = case.read(what);
        assert!(matches!(tail, Tail::Damaged { .. }), "{what}: {tail:?}");
        case.heal();
    };
    for index in 0..last {
        std::fs::remove_file(case.path(index)).expect("removes");
        damaged(&format!("segment {index} is missing"));
    }
    for index in 0..=last {
        case.write(last + 1, &case.segments[index as usize]);
        damaged(&format!("segment {index} is doubled at the end"));
        case.write(index, &other.segments[index as usize]);
        damaged(&format!("segment {index} is of another stream"));
    }
    case.write(1, &case.segments[2]);
    case.write(2, &case.segments[1]);
    damaged("two segments are swapped");
    std::fs::OpenOptions::new()
        .write(true)
        .open(case.path(last))
        .and_then(|file| file.set_len((64 << 20) + 4096))
        .expect("grows");
    damaged("a segment is longer than any can be");
    std::fs::remove_file(case.path(last)).expect("removes");
    let (missing, tail) = case.read("the last segment is missing");
    assert!(missing > 0 && tail == Tail::Open, "nothing on disk can tell; Redis can");
}

#[test]
fn a_folder_under_another_name_is_damage() {
    let case = Case::new(STREAM, 3, 64 * BLOCK as u64);
    for (round, stream) in [(RoundId::from_bits(9), STREAM), (ROUND, StreamId::from_bits(9))] {
        let (groups, found) = common::read_all(&StreamFolder { round, stream, ..case.folder.clone() });
        assert!(groups.is_empty() && matches!(found.tail, Tail::Damaged { .. }), "{:?}", found.tail);
    }
}

#[test]
fn what_is_set_aside_and_what_never_got_its_header_is_no_damage() {
    let case = Case::new(STREAM, 9, 64 * BLOCK as u64);
    let mut long = case.segments[0].clone();
    long.resize(long.len() + 20 * BLOCK, 0);
    case.write(0, &long);
    assert_eq!(case.read("zeros behind"), (0, Tail::Open));
    case.write(1, &[0; 3 * BLOCK]);
    assert_eq!(case.read("a new segment without a header"), (0, Tail::Open));
    case.write(1, &[]);
    assert_eq!(case.read("an empty new segment"), (0, Tail::Open));
    case.write(1, &case.segments[0][..700]);
    let (missing, tail) = case.read("a part of a header");
    assert!(missing == 0 && matches!(tail, Tail::Torn { segment: 1, at: 0, .. }), "{tail:?}");
}

#[test]
fn a_group_that_was_not_synced_is_cut_and_the_stream_goes_on_behind_it() {
    let case = Case::new(STREAM, 9, 64 * BLOCK as u64);
    let good = &case.segments[0];
    // The first block of the last group is there, its commit is not.
    let whole = Case::new(STREAM, 8, 64 * BLOCK as u64).segments[0].len();
    let mut torn = good.clone();
    torn[whole + 96..].fill(0);
    case.write(0, &torn);
    let (missing, tail) = case.read("the last group is torn");
    assert_eq!(missing, 1);
    assert!(matches!(tail, Tail::Torn { segment: 0, at, .. } if at == whole as u64), "{tail:?}");
    let (_, found) = common::read_all(&case.folder);
    let mut log = Log::go_on(&case.folder, &found).expect("it goes on");
    case.groups[9].iter().for_each(|record| common::append(&mut log, record).expect("the group again"));
    common::commit(&mut log, &case.folder.path, 64 * BLOCK as u64);
    assert_eq!(case.read("after it went on"), (0, Tail::Open));
    assert_eq!(std::fs::read(case.path(0)).expect("reads"), torn, "nothing was overwritten");
}

#[test]
fn an_end_is_the_end() {
    let case = Case::new(STREAM, 2, 64 * BLOCK as u64);
    let (_, found) = common::read_all(&case.folder);
    let mut log = Log::go_on(&case.folder, &found).expect("it goes on");
    let end = flowtest_journal::record::End { at: 1, code: 1 };
    log.append_end(&end).expect("an end");
    common::commit(&mut log, &case.folder.path, 64 * BLOCK as u64);
    let (groups, found) = common::read_all(&case.folder);
    assert_eq!((groups.len(), &found.tail), (4, &Tail::Ended));
    assert!(matches!(Log::go_on(&case.folder, &found), Err(JournalError::Ended { .. })));
}
