//! How a record stands in a segment: a head of 48 bytes, then the rkyv payload, zeros to the next 16 bytes.
//!
//! ```text
//!  0 u32 length of the payload       12 u32 CRC of the head, itself left out
//!  4 u32 CRC of the payload          16 u64 number of the group
//!  8 u8  kind                        24 u64 zero
//!  9 u8  flags: 1 ends the group     32 [16] chain
//! 10 u16 place in the group
//! ```
//! All numbers are little-endian. Both CRCs are CRC32C and seeded by the stream, so that a record of another stream, or
//! one that a contestant forged inside a response kept as evidence, is never a record of this one.
//!
//! The chain is the first half of BLAKE3 over the chain before, what the head says, and the payload. Of traces it takes
//! the payload's CRC instead: they are most of all bytes, and what counts is committed by the batch in their group.
//!
//! Knows nothing of files, and allocates nothing.

use crate::record::Kind;
use flowtest_contract::{RoundId, StreamId};

/// What is written and synced comes in such blocks: no device has larger sectors, and `O_DIRECT` wants it so.
pub(crate) const BLOCK: usize = 4096;
/// Bytes of a head.
pub(crate) const HEAD: usize = 48;
/// Frames start at multiples of this, so that payloads are aligned for rkyv.
pub(crate) const ALIGN: usize = 16;

const _: () = assert!(HEAD.is_multiple_of(ALIGN) && BLOCK.is_multiple_of(ALIGN));

/// Set on the last record of a group.
pub(crate) const COMMIT: u8 = 1;

/// A digest of everything from the stream's first record on.
pub(crate) type Chain = [u8; 16];

/// The smallest multiple of `unit` that is not below `len`.
pub(crate) const fn round_up(len: usize, unit: usize) -> usize {
    len.next_multiple_of(unit)
}

/// What the checksums of a stream start from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(stream: StreamId) -> Seed {
        Seed(crc32c::crc32c(&stream.bits().to_le_bytes()))
    }

    pub(crate) fn crc(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}

/// The chain before the first record.
pub(crate) fn origin(round: RoundId, stream: StreamId) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&round.bits().to_le_bytes()).update(&stream.bits().to_le_bytes());
    first_half(&hasher)
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) len: u32,
    pub(crate) payload_crc: u32,
    /// A [`Kind`], or one that is not known yet.
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) position: u16,
    pub(crate) seq: u64,
    pub(crate) chain: Chain,
}

impl Head {
    pub(crate) fn encode(&self, seed: Seed) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[0..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[8] = self.kind;
        bytes[9] = self.flags;
        bytes[10..12].copy_from_slice(&self.position.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.seq.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.chain);
        let crc = head_crc(&bytes, seed);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head at the start of `bytes`. `None` if there is none of this stream.
    pub(crate) fn parse(bytes: &[u8], seed: Seed) -> Option<Head> {
        let bytes: &[u8; HEAD] = bytes.first_chunk()?;
        let head = Head {
            len: u32_at(bytes, 0),
            payload_crc: u32_at(bytes, 4),
            kind: bytes[8],
            flags: bytes[9],
            position: u16::from_le_bytes([bytes[10], bytes[11]]),
            seq: u64_at(bytes, 16),
            chain: array_at(bytes, 32),
        };
        // Cheap questions first: the search behind a torn group asks at every 16 bytes.
        let plausible = head.len > 0 && head.seq > 0 && head.flags & !COMMIT == 0 && u64_at(bytes, 24) == 0;
        (plausible && head_crc(bytes, seed) == u32_at(bytes, 12)).then_some(head)
    }

    pub(crate) fn is_last(&self) -> bool {
        self.flags & COMMIT != 0
    }

    /// The chain after this record, which came after `before`.
    pub(crate) fn link(&self, before: &Chain, payload: &[u8]) -> Chain {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before).update(&self.len.to_le_bytes()).update(&[self.kind, self.flags]);
        hasher.update(&self.position.to_le_bytes()).update(&self.seq.to_le_bytes());
        if self.kind == Kind::Traces as u8 {
            hasher.update(&self.payload_crc.to_le_bytes());
        } else {
            hasher.update(payload);
        }
        first_half(&hasher)
    }
}

fn head_crc(bytes: &[u8; HEAD], seed: Seed) -> u32 {
    crc32c::crc32c_append(seed.crc(&bytes[..12]), &bytes[16..])
}

fn first_half(hasher: &blake3::Hasher) -> Chain {
    array_at(hasher.finalize().as_bytes(), 0)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// `N` bytes at a place that the caller knows to be inside.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD_OF_A_BATCH: Head =
        Head { len: 100, payload_crc: 7, kind: Kind::Batch as u8, flags: COMMIT, position: 3, seq: 9, chain: [5; 16] };

    #[test]
    fn a_head_is_read_by_its_own_stream_only() {
        let seed = Seed::new(StreamId::from_bits(1));
        let bytes = HEAD_OF_A_BATCH.encode(seed);
        assert_eq!(Head::parse(&bytes, seed), Some(HEAD_OF_A_BATCH));
        assert_eq!(Head::parse(&bytes, Seed::new(StreamId::from_bits(2))), None);
        assert_eq!(Head::parse(&bytes[..HEAD - 1], seed), None);
        assert_eq!(Head::parse(&[0; HEAD], seed), None, "zeros are no head");
    }

    #[test]
    fn no_flipped_bit_leaves_a_head() {
        let seed = Seed::new(StreamId::from_bits(1));
        for bit in 0..HEAD * 8 {
            let mut bytes = HEAD_OF_A_BATCH.encode(seed);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::parse(&bytes, seed), None, "bit {bit}");
        }
    }

    #[test]
    fn the_chain_tells_everything_but_a_trace_apart() {
        let link = |head: Head, payload: &[u8]| head.link(&[1; 16], payload);
        let batch = HEAD_OF_A_BATCH;
        assert_ne!(link(batch, b"a"), link(batch, b"b"));
        assert_ne!(link(batch, b"a"), link(Head { seq: 10, ..batch }, b"a"));
        assert_ne!(link(batch, b"a"), link(Head { position: 4, ..batch }, b"a"));
        assert_ne!(link(batch, b"a"), batch.link(&[2; 16], b"a"));
        let traces = Head { kind: Kind::Traces as u8, ..batch };
        assert_eq!(link(traces, b"a"), link(traces, b"b"), "the CRC stands for the payload");
        assert_ne!(link(traces, b"a"), link(Head { payload_crc: 8, ..traces }, b"a"));
    }
}
