//! The groups in one segment's bytes, in order, up to where they end.
//!
//! A group starts at a block. It is whole when all its frames are there, the last one says so, and all checksums are
//! right. A group that is not whole is one that was not synced, and the writer writes nothing behind it; so if a head of
//! a later group stands behind it, it had been synced, and was damaged since. Pure: bytes in, groups out.

use crate::frame::{ALIGN, BLOCK, Chain, HEAD, Head, Seed, round_up};
use crate::record::Kind;
use crate::sense::{Sense, access};
use crate::synced::{Group, Record};

/// How far a stream was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    /// Of the last group.
    pub(crate) seq: u64,
    pub(crate) chain: Chain,
    pub(crate) sense: Sense,
}

/// Why the groups of a segment end where they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nothing but zeros stands behind.
    Clean,
    /// This many bytes of a group that was not synced.
    Torn {
        bytes: u64,
    },
    Damaged {
        why: String,
    },
}

/// A frame whose checksums are right.
struct Frame {
    kind: u8,
    payload: std::ops::Range<usize>,
}

/// What stands where a group should start.
enum Found {
    /// All of its frames, and where the next group may start.
    Whole {
        frames: Vec<Frame>,
        chain: Chain,
        end: usize,
    },
    NotWhole,
    Wrong(String),
}

/// Gives the groups of `bytes`, a segment that starts at its header, from byte `at` on. They end at the segment's end, or
/// where `limit` says that they do: then anything else is damage. Returns where the last group ended, and why.
///
/// `bytes` must be aligned to 16.
pub(crate) fn read(
    bytes: &[u8],
    mut at: usize,
    limit: Option<usize>,
    seed: Seed,
    reached: &mut Reached,
    mut visit: impl FnMut(&Group<'_>),
) -> (usize, Stop) {
    let bytes = &bytes[..limit.unwrap_or(bytes.len()).min(bytes.len())];
    loop {
        if limit == Some(at) {
            return (at, Stop::Clean);
        }
        match group(bytes, at, seed, reached) {
            Found::Whole { frames, chain, end } => {
                match believe(bytes, &frames, reached) {
                    Ok((records, sense)) => {
                        *reached = Reached { seq: reached.seq + 1, chain, sense };
                        visit(&Group { seq: reached.seq, records });
                    }
                    Err(why) => return (at, Stop::Damaged { why }),
                }
                at = end;
            }
            Found::Wrong(why) => return (at, Stop::Damaged { why }),
            Found::NotWhole if limit.is_some() => {
                return (
                    at,
                    Stop::Damaged { why: "a group is not whole, though a later segment goes on behind it".into() },
                );
            }
            Found::NotWhole => return (at, behind(bytes, at, seed, reached.seq + 1)),
        }
    }
}

/// Whether a head of any group of this stream stands in `bytes`.
pub(crate) fn has_heads(bytes: &[u8], seed: Seed) -> bool {
    heads(bytes, seed).next().is_some()
}

/// Follows the frames of the group after `reached`.
fn group(bytes: &[u8], mut at: usize, seed: Seed, reached: &Reached) -> Found {
    let seq = reached.seq.saturating_add(1);
    let (mut frames, mut chain) = (Vec::new(), reached.chain);
    loop {
        let Some(head) = bytes.get(at..).and_then(|rest| Head::parse(rest, seed)) else {
            return Found::NotWhole;
        };
        if head.seq != seq {
            return Found::Wrong(format!("a record of group {} stands where group {seq} should be", head.seq));
        }
        if usize::from(head.position) != frames.len() {
            return Found::Wrong(format!("record {} stands where record {} should be", head.position, frames.len()));
        }
        let payload = at + HEAD..(at + HEAD).saturating_add(head.len as usize);
        let Some(content) = bytes.get(payload.clone()) else {
            return Found::NotWhole;
        };
        if seed.crc(content) != head.payload_crc {
            return Found::NotWhole;
        }
        chain = head.link(&chain, content);
        if chain != head.chain {
            return Found::Wrong("the chain of digests is broken".into());
        }
        frames.push(Frame { kind: head.kind, payload: payload.clone() });
        if head.is_last() {
            return Found::Whole { frames, chain, end: round_up(payload.end, BLOCK) };
        }
        at = round_up(payload.end, ALIGN);
    }
}

/// Validates the records of a whole group.
fn believe<'a>(bytes: &'a [u8], frames: &[Frame], reached: &Reached) -> Result<(Vec<Record<'a>>, Sense), String> {
    let mut sense = reached.sense;
    let mut records = Vec::with_capacity(frames.len());
    for frame in frames {
        let kind = Kind::from_code(frame.kind)
            .ok_or_else(|| format!("a record is of kind {}, which this program does not know", frame.kind))?;
        let record = access(kind, &bytes[frame.payload.clone()])
            .ok_or_else(|| format!("a record of kind {kind:?} has the right checksum, but is none"))?;
        sense.on_record(&record)?;
        records.push(record);
    }
    sense.on_commit(reached.seq + 1)?;
    Ok((records, sense))
}

/// What stands where no whole group starts. `seq` is the group that should.
fn behind(bytes: &[u8], at: usize, seed: Seed, seq: u64) -> Stop {
    let Some(rest) = bytes.get(at..) else {
        return Stop::Clean;
    };
    if let Some(later) = heads(rest, seed).find(|head| head.seq != seq) {
        return Stop::Damaged { why: format!("group {seq} is not whole, though group {} was begun", later.seq) };
    }
    match rest.iter().rposition(|byte| *byte != 0) {
        Some(last) => Stop::Torn { bytes: last as u64 + 1 },
        None => Stop::Clean,
    }
}

fn heads(bytes: &[u8], seed: Seed) -> impl Iterator<Item = Head> + '_ {
    (0..bytes.len()).step_by(ALIGN).filter_map(move |at| Head::parse(&bytes[at..], seed))
}
