//! What can go wrong with a journal, each with its cause and the next step, and how much room there is left.
//!
//! What a *file* says wrongly is no error but [`crate::stream::Tail::Damaged`]: all before it is still good.

use flowtest_contract::text::shown;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Why a journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{} does not exist; name the journal's folder", shown(path))]
    Missing { path: PathBuf },
    #[error("{} is no folder; name the journal's folder", shown(path))]
    NotAFolder { path: PathBuf },
    #[error("{} exists already; a stream's id is never used twice, draw a new one", shown(path))]
    Exists { path: PathBuf },
    #[error(
        "{} cannot be written: {source}; give this user the right to write there, or name another folder",
        shown(path)
    )]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("{} is being written by another process; wait until it ends, or stop it", shown(path))]
    Locked { path: PathBuf },
    #[error("no room for {needed} bytes in {}; free some, what is not written yet is kept in memory", shown(path))]
    Full { path: PathBuf, needed: u64 },
    #[error(
        "{} is of format {found}, and this program knows formats up to {known}; use the newer program",
        shown(path)
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("{} was written with another layout of records; use the program that wrote it", shown(path))]
    OtherSchema { path: PathBuf },
    #[error("{} is no stream of a journal; name a folder that `run` or `stress` wrote", shown(path))]
    NotAJournal { path: PathBuf },
    /// A link, a pipe or a device where a file of the journal should be.
    #[error(
        "{} is a link, a pipe or a device and no plain file, so it is not opened; take it out of the journal's folder",
        shown(path)
    )]
    NotAFile { path: PathBuf },
    /// Its writer died before its first group was synced. Such a stream has registered nowhere.
    #[error("{} was never begun: nothing in it counts, and it may be deleted", shown(path))]
    NeverBegan { path: PathBuf },
    #[error("{} has its end; nothing can be added", shown(path))]
    Ended { path: PathBuf },
    #[error(
        "segment {segment} of {} is damaged at byte {at}: {why}; keep it as it is, and go on with a new stream",
        shown(path)
    )]
    Damaged { path: PathBuf, segment: u32, at: u64, why: String },
    /// The open group is as long as a group can be. Commit it first.
    #[error("the open group of records cannot take {bytes} bytes more; commit it first")]
    GroupFull { bytes: usize },
    /// The reader would call it damage, so it is not written. A mistake of the caller.
    #[error("this record is not written because no reader would take it: {why}")]
    Refused { why: String },
    #[error("{what} {}: {source}", shown(path))]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the journal's thread cannot run: {why}")]
    Executor { why: String },
}

impl JournalError {
    /// The meaning of an error of the system, decided in this place only.
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> JournalError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                JournalError::NotWritable { path, source }
            }
            io::ErrorKind::NotADirectory => JournalError::NotAFolder { path },
            // A link that is not followed; a pipe, a socket or a device that is not opened.
            _ if matches!(Errno::from_io_error(&source), Some(Errno::LOOP | Errno::NXIO)) => {
                JournalError::NotAFile { path }
            }
            _ => JournalError::Io { what, path, source },
        }
    }
}

/// How many bytes may still be written to the file system of `dir` by this user.
///
/// # Errors
/// [`JournalError::Missing`] when there is no such folder, and what the system says.
pub fn free_bytes(dir: &Path) -> Result<u64, JournalError> {
    let room = rustix::fs::statvfs(dir).map_err(|errno| match errno {
        rustix::io::Errno::NOENT => JournalError::Missing { path: dir.to_owned() },
        other => JournalError::io("cannot ask for the room in", dir, other.into()),
    })?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}
