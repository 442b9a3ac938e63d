//! The group that is open: its records' frames in memory, each payload written once, straight into its place.
//!
//! Heads are stamped when the group is closed, because only then it is known which record is the last. A group whose
//! write failed is simply still open: more may be appended, and it is stamped anew.

use crate::JournalError;
use crate::frame::{ALIGN, BLOCK, COMMIT, Chain, HEAD, Head, Seed, round_up};
use crate::header::SEGMENT_BYTES;
use crate::record::Kind;
use crate::sense::{Sense, access};
use rkyv::Serialize;
use rkyv::api::high::{HighSerializer, to_bytes_in};
use rkyv::rancor::Panic;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use std::fmt;

/// Bytes that a group can have: a segment less its header.
pub(crate) const GROUP_BYTES: usize = SEGMENT_BYTES - BLOCK;

/// Something that rkyv writes to a group.
pub(crate) trait Archivable:
    for<'a> Serialize<HighSerializer<AlignedVec<ALIGN>, ArenaHandle<'a>, Panic>>
{
}

impl<T: for<'a> Serialize<HighSerializer<AlignedVec<ALIGN>, ArenaHandle<'a>, Panic>>> Archivable for T {}

pub(crate) struct Group {
    seed: Seed,
    /// Frames, and after [`Group::close`] the padding to a block.
    bytes: AlignedVec<ALIGN>,
    /// Where the frames end.
    len: usize,
    records: Vec<Placed>,
    sense: Sense,
}

/// A frame whose head is not stamped yet.
struct Placed {
    at: usize,
    len: u32,
    payload_crc: u32,
    kind: Kind,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("records", &self.records.len()).field("bytes", &self.len).finish()
    }
}

impl Group {
    /// An empty group after all that `sense` has seen.
    pub(crate) fn new(seed: Seed, sense: Sense) -> Group {
        Group { seed, bytes: AlignedVec::new(), len: 0, records: Vec::new(), sense }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.sense.is_ended()
    }

    /// Adds a record. `size` is not less than its payload. On an error the group is as it was before.
    pub(crate) fn append(&mut self, kind: Kind, record: &impl Archivable, size: usize) -> Result<(), JournalError> {
        let at = round_up(self.len, ALIGN);
        let end = size.saturating_add(at + HEAD);
        if end > GROUP_BYTES || self.records.len() > usize::from(u16::MAX) {
            return Err(JournalError::GroupFull { bytes: size });
        }
        self.bytes.resize(at, 0);
        self.bytes.reserve(end - at);
        self.bytes.resize(at + HEAD, 0);
        let bytes = std::mem::take(&mut self.bytes);
        // rkyv's writer into memory fails only where an offset passes 2 GiB, and a group is far smaller.
        let written: Result<_, Panic> = to_bytes_in(record, bytes);
        self.bytes = written.unwrap_or_else(|never| match never {});
        let payload = &self.bytes[at + HEAD..];
        debug_assert!(payload.len() <= size, "a {kind:?} of {} bytes was thought to take {size}", payload.len());
        let mut sense = self.sense;
        let accepted = access(kind, payload)
            .ok_or_else(|| "it is not what its kind says".to_owned())
            .and_then(|record| sense.on_record(&record));
        if let Err(why) = accepted {
            self.bytes.resize(self.len, 0);
            return Err(JournalError::Refused { why });
        }
        self.sense = sense;
        self.records.push(Placed { at, len: payload.len() as u32, payload_crc: self.seed.crc(payload), kind });
        self.len = self.bytes.len();
        Ok(())
    }

    /// Stamps the heads and pads to a block. Returns the chain after the last record.
    pub(crate) fn close(&mut self, seq: u64, before: Chain) -> Result<Chain, JournalError> {
        self.sense.clone().on_commit(seq).map_err(|why| JournalError::Refused { why })?;
        let mut chain = before;
        for (position, record) in self.records.iter().enumerate() {
            let is_last = position + 1 == self.records.len();
            let mut head = Head {
                len: record.len,
                payload_crc: record.payload_crc,
                kind: record.kind as u8,
                flags: if is_last { COMMIT } else { 0 },
                position: position as u16,
                seq,
                chain,
            };
            let payload = record.at + HEAD;
            chain = head.link(&chain, &self.bytes[payload..payload + record.len as usize]);
            head.chain = chain;
            self.bytes[record.at..payload].copy_from_slice(&head.encode(self.seed));
        }
        self.bytes.resize(round_up(self.len, BLOCK), 0);
        Ok(chain)
    }

    /// What [`Group::close`] made: whole blocks.
    pub(crate) fn blocks(&self) -> &[u8] {
        &self.bytes
    }

    /// The group is on disk; the next one begins.
    pub(crate) fn next(&mut self, seq: u64) {
        let kept = self.sense.on_commit(seq);
        debug_assert_eq!(kept, Ok(()), "asked by close");
        self.bytes.clear();
        self.records.clear();
        self.len = 0;
    }
}
