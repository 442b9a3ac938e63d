//! What must hold of any bytes in a journal. The fuzz targets and `fuzz_seeds.rs` call it.
//!
//! Checksums are made here by code of its own, from the format's description in `frame.rs`.

use crate::common::{self, Owned};
use flowtest_contract::{RoundId, StreamId};
use flowtest_journal::log::Log;
use flowtest_journal::record::{End, Kind};
use flowtest_journal::stream::{StreamFolder, Tail};
use std::sync::OnceLock;

/// The golden stream, whose ids and start are used: a start is what all else depends on.
const GOLDEN: &[u8] =
    include_bytes!("../golden/v1/0123456789abcdef0123456789abcdef/fedcba9876543210fedcba9876543210/000000.ftj");
const ROUND: RoundId = RoundId::from_bits(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const STREAM: StreamId = StreamId::from_bits(0xfedc_ba98_7654_3210_fedc_ba98_7654_3210);
const BLOCK: usize = 4096;
const HEAD: usize = 48;
/// The header and the group that holds the start.
const BEGUN: usize = 2 * BLOCK;

/// Any bytes, as the first segment: no panic, and what is read can be gone on from.
pub(crate) fn segment(bytes: &[u8]) {
    let folder = folder_of(bytes);
    let Ok((groups, found)) = read(&folder) else {
        return;
    };
    let Ok(mut log) = Log::go_on(&folder, &found) else {
        return;
    };
    log.append_end(&End { at: 0, code: 1 }).expect("a stream that is open takes its end");
    common::commit(&mut log, &folder.path, 0);
    let (again, found) = read(&folder).expect("it was readable");
    assert_eq!(found.tail, Tail::Ended);
    assert_eq!(again[..groups.len()], groups[..]);
}

/// The golden start, and a second group whose records are taken from `input` (each a byte of kind, two of length, and the
/// payload) and get valid checksums: they are given, or damage. `true` if they are given.
pub(crate) fn records(input: &[u8]) -> bool {
    let records = split(input);
    if records.is_empty() {
        return false;
    }
    let mut bytes = GOLDEN[..BEGUN].to_vec();
    bytes.extend(group(&records));
    let (groups, found) = read(&folder_of(&bytes)).expect("its header is good");
    match found.tail {
        Tail::Open | Tail::Ended => assert_eq!(groups.len(), 2),
        Tail::Damaged { at, .. } => assert_eq!((groups.len(), at), (1, BEGUN as u64)),
        Tail::Torn { .. } => panic!("all checksums are right"),
    }
    groups.len() == 2
}

/// The inverse of [`split`], of the records in the golden stream: first inputs for the fuzzer.
pub(crate) fn golden_inputs() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for block in (BEGUN..GOLDEN.len()).step_by(BLOCK) {
        let (mut at, mut input) = (block, Vec::new());
        while let Some(head) = GOLDEN.get(at..at + HEAD) {
            let len = u32::from_le_bytes(head[..4].try_into().expect("four bytes")) as usize;
            if head_crc(head) != u32::from_le_bytes(head[12..16].try_into().expect("four bytes")) {
                break;
            }
            input.push(head[8]);
            input.extend_from_slice(&(len as u16).to_le_bytes());
            input.extend_from_slice(&GOLDEN[at + HEAD..at + HEAD + len]);
            at = (at + HEAD + len).next_multiple_of(16);
            if head[9] == 1 {
                break;
            }
        }
        inputs.extend((!input.is_empty()).then_some(input));
    }
    inputs
}

fn split(mut input: &[u8]) -> Vec<(u8, &[u8])> {
    let mut records = Vec::new();
    while let Some(([kind, low, high], rest)) = input.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (payload, rest) = rest.split_at(len);
        if !payload.is_empty() {
            // Mostly kinds that are known.
            let known = Kind::ALL[usize::from(kind.wrapping_sub(1)) % Kind::ALL.len()] as u8;
            records.push((if *kind < 200 { known } else { *kind }, payload));
        }
        input = rest;
    }
    records.truncate(64);
    records
}

fn group(records: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chain: [u8; 16] = GOLDEN[BLOCK + 32..BLOCK + HEAD].try_into().expect("sixteen bytes");
    for (position, (kind, payload)) in records.iter().enumerate() {
        let flags = u8::from(position + 1 == records.len());
        let mut head = [0; HEAD];
        head[0..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        let crc = crc32c::crc32c_append(seed(), payload).to_le_bytes();
        head[4..8].copy_from_slice(&crc);
        (head[8], head[9]) = (*kind, flags);
        head[10..12].copy_from_slice(&(position as u16).to_le_bytes());
        head[16..24].copy_from_slice(&2u64.to_le_bytes());
        let content = if *kind == Kind::Traces as u8 { &crc } else { *payload };
        let linked = [&chain[..], &head[0..4], &[*kind, flags], &head[10..12], &head[16..24], content].concat();
        chain = blake3::hash(&linked).as_bytes()[..16].try_into().expect("sixteen bytes");
        head[32..].copy_from_slice(&chain);
        let crc = head_crc(&head);
        head[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(16), 0);
    }
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn seed() -> u32 {
    crc32c::crc32c(&STREAM.bits().to_le_bytes())
}

fn head_crc(head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed(), &head[..12]), &head[16..])
}

fn folder_of(segment: &[u8]) -> StreamFolder {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(common::scratch).path();
    // Tests run side by side.
    let path = dir.join(format!("{:?}", std::thread::current().id()));
    std::fs::create_dir_all(&path).expect("a folder");
    let _ = std::fs::remove_file(path.join("000001.ftj"));
    std::fs::write(path.join("000000.ftj"), segment).expect("a segment");
    common::folder(&path, ROUND, STREAM)
}

fn read(folder: &StreamFolder) -> Result<(Vec<Vec<Owned>>, flowtest_journal::stream::Found), String> {
    let mut groups = Vec::new();
    let found = flowtest_journal::stream::read(folder, |group| {
        groups.push(group.records.iter().map(common::own).collect());
    });
    found.map(|found| (groups, found)).map_err(|error| error.to_string())
}
