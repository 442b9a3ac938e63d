//! Reading one stream's folder: all whole groups in order, and where and how it ends.
//!
//! Never writes. What is wrong in a file is [`Tail::Damaged`], never a panic and never a wrong total.

use crate::JournalError;
use crate::record::{
    ArchivedBatch, ArchivedControl, ArchivedEnd, ArchivedEvidence, ArchivedNotice, ArchivedStart, ArchivedTraces,
};
use flowtest_contract::{RoundId, StreamId};
use std::path::{Path, PathBuf};

/// Where a stream lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamFolder {
    pub round: RoundId,
    pub stream: StreamId,
    /// The stream's own folder, `DIR/<round>/<stream>`.
    pub path: PathBuf,
}

/// One record in place, validated.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    Start(&'a ArchivedStart),
    Batch(&'a ArchivedBatch),
    Traces(&'a ArchivedTraces),
    Evidence(&'a ArchivedEvidence),
    Control(&'a ArchivedControl),
    Notice(&'a ArchivedNotice),
    End(&'a ArchivedEnd),
}

/// The records that were synced together.
#[derive(Debug)]
pub struct Group<'a> {
    /// 1 for the first, which holds the start alone.
    pub seq: u64,
    pub records: Vec<Record<'a>>,
}

/// How far a stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of the last group that was given; 0 if none was.
    pub last_seq: u64,
    /// The digest of everything up to there.
    pub chain: [u8; 16],
    /// Segment files that were read.
    pub segments: u32,
    /// Bytes of groups that were given, and of their segments' headers.
    pub bytes: u64,
    pub tail: Tail,
}

/// What stands behind the last group that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// The stream has its end.
    Ended,
    /// Nothing: it is being written, or its writer died between two groups.
    Open,
    /// A group that was not synced: its writer died there, or is writing it now. It never counted.
    Torn { segment: u32, at: u64, bytes: u64 },
    /// Something that a crash cannot leave. Nothing from there on was given.
    Damaged { segment: u32, at: u64, why: String },
}

/// All streams under `dir`, sorted by round and stream. `dir` may also itself be the folder of a round or of a stream.
pub fn find(dir: &Path) -> Result<Vec<StreamFolder>, JournalError> {
    Err(JournalError::Missing { path: dir.to_owned() })
}

/// Reads all whole groups in order; one segment is in memory at a time.
pub fn read(folder: &StreamFolder, visit: impl FnMut(&Group<'_>)) -> Result<Found, JournalError> {
    let _ = visit;
    Err(JournalError::Missing { path: folder.path.clone() })
}

/// Whether a process is writing it.
pub fn is_live(folder: &StreamFolder) -> Result<bool, JournalError> {
    Err(JournalError::Missing { path: folder.path.clone() })
}
