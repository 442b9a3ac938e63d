//! The first block of a segment: what it is, whose, and where the one before it validly ends.
//!
//! ```text
//!   0 [8] magic                          64 u64 number of its first group
//!   8 u32 version of the container       72 u32 index of the segment before; all ones: there is none
//!  12 u32 FORMAT of the records          76 u32 zero
//!  16 [4] how rkyv writes                80 u64 length up to which that one counts
//!  20 u32 index                          88 [16] chain up to there
//!  24 u64 hash of the records' layout   104 u32 CRC32C of the block, itself zero
//!  32 u128 stream                       108 zeros up to 4096
//!  48 u128 round
//! ```
//! Magic, version, format, and place and extent of the CRC stay as they are in every later version: that is how an older
//! program knows a newer file from a broken one.
//!
//! A header says which segment came before. What lies between the two in number is superseded: its writer failed to
//! write or sync there, so that nothing of it was acknowledged. What the one before holds beyond the length is cut off in
//! the same way, without touching the file.

use crate::frame::{BLOCK, Chain, array_at, u32_at, u64_at};
use crate::record::{
    ArchivedBatch, ArchivedControl, ArchivedDecision, ArchivedDecisionEntry, ArchivedEnd, ArchivedEntry,
    ArchivedEvidence, ArchivedFurther, ArchivedFurtherEntry, ArchivedJoin, ArchivedLate, ArchivedLateWindow,
    ArchivedNotice, ArchivedStart, ArchivedTerms, ArchivedTrace, ArchivedTraces, FORMAT,
};
use flowtest_contract::{RoundId, StreamId};
use std::mem::{align_of, offset_of, size_of};

/// What a segment can hold, and what is set aside for it: 40 seconds of 100,000 traced requests a second.
pub const SEGMENT_BYTES: usize = 64 << 20;

const MAGIC: [u8; 8] = *b"FT-JOURN";
/// Version of segments, groups and frames.
const VERSION: u32 = 1;
/// How rkyv writes: little-endian, aligned, pointers of 32 bits. Cargo's features decide it; the asserts below hold us to it.
const RKYV: [u8; 4] = [b'l', b'a', 32, 0];
const NONE: u32 = u32::MAX;
const CRC_AT: usize = 104;

const _: () = assert!(size_of::<rkyv::primitive::ArchivedUsize>() == 4);
const _: () = assert!(align_of::<rkyv::primitive::ArchivedU64>() == 8);

macro_rules! layouts {
    ($($type:ident { $($field:ident),* })*) => {
        &[$(&[size_of::<$type>(), align_of::<$type>(), $(offset_of!($type, $field)),*]),*]
    };
}

/// Sizes, alignments and offsets of everything that is archived.
const LAYOUTS: &[&[usize]] = layouts! {
    ArchivedTrace { sent_us, latency_us, lag_us, contestant, observed }
    ArchivedTraces { base, worker, traces }
    ArchivedEntry { counters, contestant, scored, latency, service }
    ArchivedBatch { from, to, traced, untraced, entries, buckets }
    ArchivedEvidence { at, sent, latency_us, contestant, worker, observed, skipped, request, response, reason }
    ArchivedTerms { timeout_us, grace_us, version_deadline, from_deadline, token, version, from, token_required }
    ArchivedStart { at, clock_offset_us, clock_error_us, terms, contest, names, name_lens, document, program }
    ArchivedControl { at, revision, terms, document }
    ArchivedNotice { at, code, text }
    ArchivedEnd { at, code }
    ArchivedLate { worker, windows }
    ArchivedLateWindow { from, to, cause }
    ArchivedJoin { at, name }
    ArchivedFurther { entries }
    ArchivedFurtherEntry { count, contestant, scored, counter }
    ArchivedDecision { at, step, judged, from, to, entries }
    ArchivedDecisionEntry { tried, due, right, own_fault, late, p99_us, rate, rest, holds, contestant }
};

/// How many of them FORMAT 1 had, FORMAT 2, FORMAT 3, and FORMAT 4.
const LAYOUTS_1: usize = 10;
const LAYOUTS_2: usize = 12;
const LAYOUTS_3: usize = 13;
const LAYOUTS_4: usize = 15;

/// The schema of this version, and those before it.
const SCHEMA_4: u64 = schema(LAYOUTS_4);
const SCHEMA_3: u64 = schema(LAYOUTS_3);
pub(crate) const SCHEMA: u64 = schema(LAYOUTS.len());
const SCHEMA_1: u64 = schema(LAYOUTS_1);
const SCHEMA_2: u64 = schema(LAYOUTS_2);

/// FNV-1a over so many of [`LAYOUTS`].
const fn schema(count: usize) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < count {
        let mut j = 0;
        while j < LAYOUTS[i].len() {
            hash = (hash ^ LAYOUTS[i][j] as u64).wrapping_mul(0x0100_0000_01b3);
            j += 1;
        }
        i += 1;
    }
    hash
}

/// A changed layout needs a new [`FORMAT`], and the old types beside the new ones.
const _: () = assert!(FORMAT == 5 && SCHEMA_4 == 0x7203_a35c_16b4_b5d8);
const _: () = assert!(SCHEMA_3 == 0x79a0_5906_f120_9b85);
const _: () = assert!(SCHEMA_2 == 0x5d75_27e4_6ebb_45b5 && SCHEMA_1 == 0x5a6c_8607_a912_5b83);

/// The segment before, and how much of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) index: u32,
    pub(crate) len: u64,
}

/// What the first block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) round: RoundId,
    pub(crate) stream: StreamId,
    pub(crate) index: u32,
    /// FORMAT of its records, as it was read.
    pub(crate) format: u32,
    pub(crate) first_seq: u64,
    pub(crate) previous: Option<Previous>,
    /// Up to its first record.
    pub(crate) chain: Chain,
}

/// Why a block is no header that we can go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// Never synced, or damaged: the checksum is wrong.
    Blank,
    /// Of this version, which we do not know.
    Newer { found: u32, known: u32 },
    /// The same version, but other types.
    OtherSchema,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(12, &self.format.to_le_bytes());
        put(16, &RKYV);
        put(20, &self.index.to_le_bytes());
        put(24, &SCHEMA.to_le_bytes());
        put(32, &self.stream.bits().to_le_bytes());
        put(48, &self.round.bits().to_le_bytes());
        put(64, &self.first_seq.to_le_bytes());
        put(72, &self.previous.map_or(NONE, |previous| previous.index).to_le_bytes());
        put(80, &self.previous.map_or(0, |previous| previous.len).to_le_bytes());
        put(88, &self.chain);
        let crc = crc32c::crc32c(&block);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads the start of a segment file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Header, NoHeader> {
        let block: &[u8; BLOCK] = bytes.first_chunk().ok_or(NoHeader::Blank)?;
        if block[..8] != MAGIC || !has_right_crc(block) {
            return Err(NoHeader::Blank);
        }
        for (found, known) in [(u32_at(block, 8), VERSION), (u32_at(block, 12), FORMAT)] {
            if found > known {
                return Err(NoHeader::Newer { found, known });
            }
        }
        let format = u32_at(block, 12);
        let schema = match format {
            1 => SCHEMA_1,
            2 => SCHEMA_2,
            3 => SCHEMA_3,
            4 => SCHEMA_4,
            _ => SCHEMA,
        };
        if block[16..20] != RKYV || u64_at(block, 24) != schema {
            return Err(NoHeader::OtherSchema);
        }
        let previous = u32_at(block, 72);
        Ok(Header {
            round: RoundId::from_bits(u128::from_le_bytes(array_at(block, 48))),
            stream: StreamId::from_bits(u128::from_le_bytes(array_at(block, 32))),
            index: u32_at(block, 20),
            format,
            first_seq: u64_at(block, 64),
            previous: (previous != NONE).then(|| Previous { index: previous, len: u64_at(block, 80) }),
            chain: array_at(block, 88),
        })
    }
}

fn has_right_crc(block: &[u8; BLOCK]) -> bool {
    let crc = crc32c::crc32c(&block[..CRC_AT]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, &block[CRC_AT + 4..]) == u32_at(block, CRC_AT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            round: RoundId::from_bits(1),
            stream: StreamId::from_bits(2),
            index: 3,
            format: FORMAT,
            first_seq: 4,
            previous: Some(Previous { index: 2, len: 8192 }),
            chain: [5; 16],
        }
    }

    fn signed(mut block: Vec<u8>) -> Vec<u8> {
        block[CRC_AT..CRC_AT + 4].fill(0);
        let crc = crc32c::crc32c(&block);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        block
    }

    #[test]
    fn a_header_survives_its_block() {
        for previous in [None, header().previous] {
            let header = Header { previous, ..header() };
            assert_eq!(Header::parse(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn a_flipped_bit_or_a_cut_leaves_no_header() {
        let block = header().encode();
        for at in 0..BLOCK {
            let mut broken = block.clone();
            broken[at] ^= 1 << (at % 8);
            assert_eq!(Header::parse(&broken), Err(NoHeader::Blank), "byte {at}");
        }
        assert_eq!(Header::parse(&block[..BLOCK - 1]), Err(NoHeader::Blank));
        assert_eq!(Header::parse(&[]), Err(NoHeader::Blank));
    }

    #[test]
    fn newer_files_and_other_types_are_told_apart() {
        for at in [8, 12] {
            let mut block = header().encode();
            block[at] += 1;
            assert!(matches!(Header::parse(&signed(block)), Err(NoHeader::Newer { found: 2 | 6, .. })));
        }
        // another byte order, another layout
        for at in [16, 24] {
            let mut block = header().encode();
            block[at] ^= 1;
            assert_eq!(Header::parse(&signed(block)), Err(NoHeader::OtherSchema));
        }
    }
}
