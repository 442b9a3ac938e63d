//! A stream's segment files under glommio: does what a [`Step`] says, and decides nothing.
//!
//! Writes pass by the page cache (`O_DIRECT`) where the file system can, so that a journal that nobody reads costs the
//! workers no memory bandwidth for pages; elsewhere they go through it. So they do where the executor has no core of its
//! own: glommio waits for a direct write by polling.

use crate::JournalError;
use crate::frame::BLOCK;
use crate::log::Step;
use crate::{folder, log};
use glommio::GlommioError;
use glommio::io::{BufferedFile, Directory, DmaFile, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of one write: enough for a device's full speed, and little memory to lock.
const WRITE_BYTES: usize = 1 << 20;

const _: () = assert!(WRITE_BYTES.is_multiple_of(BLOCK) && log::SEGMENT_BYTES.is_multiple_of(WRITE_BYTES));

/// File systems in memory take `O_DIRECT` since Linux 6.6 and gain nothing by it; before, they refused.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// One stream's folder, with the segment that is open.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    is_direct: bool,
    open: Option<(u32, Segment)>,
}

#[derive(Debug)]
enum Segment {
    Direct(DmaFile),
    Buffered(BufferedFile),
}

impl Disk {
    /// `folder` holds a lock file, on which it is tried out whether the file system takes direct writes, where these are
    /// `wanted`.
    pub(crate) async fn new(folder: PathBuf, wanted: bool) -> Result<Disk, JournalError> {
        let is_direct = wanted && takes_direct(&folder).await?;
        Ok(Disk { folder, is_direct, open: None })
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.is_direct
    }

    pub(crate) async fn run(&mut self, step: &Step<'_>) -> Result<(), JournalError> {
        match step {
            Step::Cut { index, len } => {
                if let Some(file) = self.segment(*index) {
                    // Only room is at stake: what stands behind `len` counts nowhere.
                    let _ = file.truncate(*len).await;
                }
                Ok(())
            }
            Step::Create { index, size } => self.create(*index, *size).await,
            Step::Write { index, at, bytes } => {
                let done = match self.segment(*index) {
                    Some(file) => file.write_all(*at, bytes).await,
                    None => Err(not_open()),
                };
                done.map_err(|source| self.failed("cannot write", *index, bytes.len() as u64, source))
            }
            Step::Sync { index } => {
                let done = match self.segment(*index) {
                    Some(file) => file.sync().await,
                    None => Err(not_open()),
                };
                done.map_err(|source| self.failed("cannot sync", *index, 0, source))
            }
            Step::SyncFolder => self.sync_folder().await,
        }
    }

    /// Removes a segment of ours of which nothing was acknowledged, so that it takes no room.
    pub(crate) async fn remove(&mut self, index: u32) {
        if let Some((_, file)) = self.open.take_if(|(open, _)| *open == index) {
            file.close().await;
            // What is left over is given up all the same: the next segment does not go on from it.
            let _ = std::fs::remove_file(self.path(index));
        }
    }

    pub(crate) async fn close(&mut self) {
        if let Some((_, file)) = self.open.take() {
            file.close().await;
        }
    }

    fn segment(&self, index: u32) -> Option<&Segment> {
        self.open.as_ref().filter(|(open, _)| *open == index).map(|(_, file)| file)
    }

    fn path(&self, index: u32) -> PathBuf {
        self.folder.join(folder::segment_name(index))
    }

    async fn create(&mut self, index: u32, size: u64) -> Result<(), JournalError> {
        self.close().await;
        let path = self.path(index);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let made = if self.is_direct {
            options.dma_open(&path).await.map(Segment::Direct)
        } else {
            options.buffered_open(&path).await.map(Segment::Buffered)
        };
        let file = made.map_err(|error| self.failed("cannot make", index, size, error.into()))?;
        let room = file.pre_allocate(size).await;
        self.open = Some((index, file));
        match room {
            Ok(()) => Ok(()),
            // Not every file system can set room aside. Then being full shows at a write.
            Err(source) if source.kind() == io::ErrorKind::Unsupported => Ok(()),
            Err(source) => Err(self.failed("cannot set room aside for", index, size, source)),
        }
    }

    async fn sync_folder(&self) -> Result<(), JournalError> {
        let done = async {
            let folder = Directory::open(&self.folder).await?;
            folder.sync().await?;
            folder.close().await
        };
        done.await.map_err(|error| JournalError::io("cannot sync the folder", &self.folder, error.into()))
    }

    fn failed(&self, what: &'static str, index: u32, needed: u64, source: io::Error) -> JournalError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                JournalError::Full { path: self.folder.clone(), needed }
            }
            _ => JournalError::io(what, &self.path(index), source),
        }
    }
}

impl Segment {
    async fn pre_allocate(&self, size: u64) -> io::Result<()> {
        plain(match self {
            Segment::Direct(file) => file.pre_allocate(size, false).await,
            Segment::Buffered(file) => file.pre_allocate(size, false).await,
        })
    }

    async fn truncate(&self, len: u64) -> io::Result<()> {
        plain(match self {
            Segment::Direct(file) => file.truncate(len).await,
            Segment::Buffered(file) => file.truncate(len).await,
        })
    }

    async fn sync(&self) -> io::Result<()> {
        plain(match self {
            Segment::Direct(file) => file.fdatasync().await,
            Segment::Buffered(file) => file.fdatasync().await,
        })
    }

    /// Writes whole blocks.
    async fn write_all(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            let part = &rest[..rest.len().min(WRITE_BYTES)];
            let taken = self.write(at + written as u64, part).await?;
            // A direct write goes on at a block. What was cut short within one is written again: it is not synced yet.
            let whole = taken - taken % BLOCK;
            if whole == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            written += whole;
        }
        Ok(())
    }

    async fn write(&self, at: u64, part: &[u8]) -> io::Result<usize> {
        plain(match self {
            Segment::Direct(file) => {
                let mut buffer = file.alloc_dma_buffer(part.len());
                buffer.as_bytes_mut()[..part.len()].copy_from_slice(part);
                file.write_at(buffer, at).await
            }
            Segment::Buffered(file) => file.write_at(part.to_vec(), at).await,
        })
    }

    async fn close(self) {
        // All that matters was synced.
        let _ = match self {
            Segment::Direct(file) => file.close().await,
            Segment::Buffered(file) => file.close().await,
        };
    }
}

async fn takes_direct(folder: &Path) -> Result<bool, JournalError> {
    let failed = |source: io::Error| JournalError::io("cannot ask for the file system of", folder, source);
    let system = rustix::fs::statfs(folder).map_err(|errno| failed(errno.into()))?;
    if system.f_type as i64 == TMPFS_MAGIC {
        return Ok(false);
    }
    match OpenOptions::new().write(true).read(true).dma_open(folder::lock_path(folder)).await {
        Ok(file) => {
            let fits = file.alignment() <= BLOCK as u64;
            let _ = file.close().await;
            Ok(fits)
        }
        Err(error) => match plain::<()>(Err(error)).map_err(|error| error.kind()) {
            Err(io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(false),
            Err(kind) => Err(failed(kind.into())),
            Ok(()) => Ok(false),
        },
    }
}

fn plain<T>(result: Result<T, GlommioError<()>>) -> io::Result<T> {
    result.map_err(io::Error::from)
}

fn not_open() -> io::Error {
    io::Error::other("the segment is not open")
}
