//! Writing one stream, on glommio: owns its lock and its segments. What to do is [`Log`]'s word, how is `Disk`'s.

use crate::JournalError;
use crate::disk::Disk;
use crate::folder::{self, Lock};
use crate::log::{Log, SEGMENT_BYTES};
use crate::record::{Batch, Control, Decision, End, Evidence, Further, Join, Late, Notice, Start, Trace};
use crate::stream::{self, StreamFolder};
use flowtest_contract::{RoundId, StreamId};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::executor::{Handle, spawn};

/// Somebody who only asks whether a stream is live has its lock for an instant. A writer has it for good.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The one writer of a stream. Lives on the executor that it was made on.
#[derive(Debug)]
pub struct Writer {
    log: Log,
    disk: Disk,
    path: PathBuf,
    _lock: Lock,
}

impl Writer {
    /// Makes `dir/<round>/<stream>` (`dir` itself too, if its parent exists) and takes its lock; its first group, the
    /// start, is on disk when this returns.
    ///
    /// # Errors
    /// [`JournalError::Exists`] for an id that was used, [`JournalError::Missing`] without a parent,
    /// [`JournalError::Full`] without room, [`JournalError::NotWritable`], [`JournalError::Refused`] for a start that no
    /// reader would take, and what the system says. Then nothing is left behind.
    pub async fn create(dir: &Path, round: RoundId, stream: StreamId, start: &Start) -> Result<Writer, JournalError> {
        Writer::make(dir, round, stream, start, true).await
    }

    /// The same through the page cache: for an executor that shares its core, since glommio waits for a direct write by
    /// polling and would take the core from whoever else is on it.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub async fn create_cached(
        dir: &Path,
        round: RoundId,
        stream: StreamId,
        start: &Start,
    ) -> Result<Writer, JournalError> {
        Writer::make(dir, round, stream, start, false).await
    }

    async fn make(
        dir: &Path,
        round: RoundId,
        stream: StreamId,
        start: &Start,
        direct: bool,
    ) -> Result<Writer, JournalError> {
        let mut log = Log::begin(round, stream);
        log.append_start(start)?;
        // glommio opens the folder of a file by its path alone, and of a relative one only within the first folder.
        let dir = std::path::absolute(dir).map_err(|error| JournalError::io("cannot find", dir, error))?;
        let path = folder::make(&dir, round, stream)?;
        let begun = Writer::begin(log, &path, direct).await;
        if begun.is_err() {
            folder::unmake(&path);
        }
        begun
    }

    async fn begin(log: Log, path: &Path, direct: bool) -> Result<Writer, JournalError> {
        let lock = take_lock(path).await?;
        let disk = Disk::new(path.to_owned(), direct).await?;
        let mut writer = Writer { log, disk, path: path.to_owned(), _lock: lock };
        writer.commit().await?;
        Ok(writer)
    }

    /// Goes on with an orphaned stream; a new segment is made by the first commit.
    ///
    /// # Errors
    /// [`JournalError::Locked`] while its writer lives, [`JournalError::Ended`], [`JournalError::NeverBegan`],
    /// [`JournalError::Damaged`], and those of [`stream::read`].
    pub async fn adopt(folder: &StreamFolder) -> Result<Writer, JournalError> {
        let path =
            std::path::absolute(&folder.path).map_err(|error| JournalError::io("cannot find", &folder.path, error))?;
        let folder = &StreamFolder { path, ..folder.clone() };
        // What is no journal is not made one by a lock.
        folder::segments(&folder.path)?;
        let lock = take_lock(&folder.path).await?;
        stream::settle(folder)?;
        let found = stream::read(folder, |_| {})?;
        let log = Log::go_on(folder, &found)?;
        let path = folder.path.clone();
        Ok(Writer { log, disk: Disk::new(path.clone(), true).await?, path, _lock: lock })
    }

    /// The stream's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds to the open group, in memory, as all `append_*` do.
    ///
    /// # Errors
    /// [`JournalError::GroupFull`]: commit first. [`JournalError::Refused`]: no reader would take it. The group is then as it
    /// was before.
    pub fn append_batch(&mut self, batch: &Batch) -> Result<(), JournalError> {
        self.log.append_batch(batch)
    }

    /// Copies the traces once, into the open group.
    ///
    /// # Errors
    /// As [`Writer::append_batch`].
    pub fn append_traces(&mut self, worker: u16, base: u64, traces: &[Trace]) -> Result<(), JournalError> {
        self.log.append_traces(worker, base, traces)
    }

    /// # Errors
    /// As [`Writer::append_batch`].
    pub fn append_evidence(&mut self, evidence: &Evidence) -> Result<(), JournalError> {
        self.log.append_evidence(evidence)
    }

    /// # Errors
    /// As [`Writer::append_batch`].
    pub fn append_control(&mut self, control: &Control) -> Result<(), JournalError> {
        self.log.append_control(control)
    }

    /// # Errors
    /// As [`Writer::append_batch`].
    pub fn append_notice(&mut self, notice: &Notice) -> Result<(), JournalError> {
        self.log.append_notice(notice)
    }

    /// # Errors
    /// As [`Writer::append_batch`].
    pub fn append_late(&mut self, late: &Late) -> Result<(), JournalError> {
        self.log.append_late(late)
    }

    /// # Errors
    /// As [`Writer::append_batch`].
    pub fn append_join(&mut self, join: &Join) -> Result<(), JournalError> {
        self.log.append_join(join)
    }

    /// # Errors
    /// As [`Writer::append_batch`].
    pub fn append_further(&mut self, further: &Further) -> Result<(), JournalError> {
        self.log.append_further(further)
    }

    /// # Errors
    /// As [`Writer::append_batch`].
    pub fn append_decision(&mut self, decision: &Decision) -> Result<(), JournalError> {
        self.log.append_decision(decision)
    }

    /// Nothing can be appended behind it.
    ///
    /// # Errors
    /// As [`Writer::append_batch`].
    pub fn append_end(&mut self, end: &End) -> Result<(), JournalError> {
        self.log.append_end(end)
    }

    /// Bytes of the open group.
    pub fn open_bytes(&self) -> usize {
        self.log.open_bytes()
    }

    /// Writes and syncs the open group, and returns its number. An empty group is not written; then it is the number of
    /// the last one.
    ///
    /// After an error the group is still open and in memory, more may be appended, and the next call writes it to a new
    /// segment: a file whose write or sync failed is never synced again. The same holds when the future is dropped before
    /// it is done.
    ///
    /// # Errors
    /// [`JournalError::Full`] without room, [`JournalError::Refused`] when the group's batches do not count the group's
    /// traces (then nothing was tried), and what the system says of the write or the sync.
    pub async fn commit(&mut self) -> Result<u64, JournalError> {
        if self.log.is_empty() {
            return Ok(self.log.seq());
        }
        match self.write(SEGMENT_BYTES as u64).await {
            // Room for this group is better than none.
            Err(JournalError::Full { .. }) => self.write(0).await,
            done => done,
        }
    }

    /// The number of the last group that is on disk.
    pub fn seq(&self) -> u64 {
        self.log.seq()
    }

    /// The digest of everything that is on disk.
    pub fn chain(&self) -> [u8; 16] {
        self.log.chain()
    }

    /// Whether writes pass by the page cache. Not so on file systems without `O_DIRECT`, and on tmpfs.
    pub fn is_direct(&self) -> bool {
        self.disk.is_direct()
    }

    /// Cuts the segment to its length, syncs it and gives the lock back. The open group is dropped: commit it first.
    ///
    /// # Errors
    /// What the system says of the last sync. All groups were synced before.
    pub async fn close(mut self) -> Result<(), JournalError> {
        let mut done = Ok(());
        for step in self.log.finish() {
            if done.is_ok() {
                done = self.disk.run(&step).await;
            }
        }
        self.disk.close().await;
        done
    }

    async fn write(&mut self, size: u64) -> Result<u64, JournalError> {
        self.log.plan(size)?;
        for step in self.log.steps() {
            if let Err(error) = self.disk.run(&step).await {
                if let Some(index) = self.log.failed() {
                    self.disk.remove(index).await;
                }
                return Err(error);
            }
        }
        Ok(self.log.committed())
    }
}

async fn take_lock(folder: &Path) -> Result<Lock, JournalError> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = Lock::try_take(folder)? {
            return Ok(lock);
        }
        glommio::timer::sleep(LOCK_PAUSE).await;
    }
    Err(JournalError::Locked { path: folder.to_owned() })
}
