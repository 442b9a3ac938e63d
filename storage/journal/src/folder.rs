//! The names in a journal's folder, its lock, and making it so that it is still there after a crash.

use crate::JournalError;
use flowtest_contract::{RoundId, StreamId};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const LOCK: &str = "lock";
const SEGMENT_SUFFIX: &str = ".ftj";

/// Where a stream lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamFolder {
    pub round: RoundId,
    pub stream: StreamId,
    /// The stream's own folder, `DIR/<round>/<stream>`.
    pub path: PathBuf,
}

pub(crate) fn stream_path(dir: &Path, round: RoundId, stream: StreamId) -> PathBuf {
    dir.join(round.to_string()).join(stream.to_string())
}

pub(crate) fn segment_name(index: u32) -> String {
    format!("{index:06}{SEGMENT_SUFFIX}")
}

fn segment_index(name: &str) -> Option<u32> {
    let index = name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()?;
    (segment_name(index) == name).then_some(index)
}

pub(crate) fn lock_path(folder: &Path) -> PathBuf {
    folder.join(LOCK)
}

/// The segments of a stream by index. Whatever else lies there is left alone.
pub(crate) fn segments(folder: &Path) -> Result<Vec<u32>, JournalError> {
    let names = names(folder)?;
    let mut indexes: Vec<u32> = names.iter().filter_map(|name| segment_index(name)).collect();
    indexes.sort_unstable();
    if indexes.is_empty() && !names.iter().any(|name| name == LOCK) {
        return Err(JournalError::NotAJournal { path: folder.to_owned() });
    }
    Ok(indexes)
}

/// Opens a file of a stream for reading, without waiting and without following a link: a pipe that nobody writes would keep
/// us for ever, and a link leads anywhere. What is no plain file is told as the kernel tells of a pipe without a reader.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_plain(OpenOptions::new().read(true), path)
}

fn open_plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.custom_flags(flags.bits() as i32).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::NXIO.into()) }
}

/// What lies under a folder.
#[derive(Debug, Default)]
pub struct Listed {
    /// Sorted by round and stream. Their paths are absolute.
    pub streams: Vec<StreamFolder>,
    /// What is named like a round or a stream and is none, each with the reason: links, which are not followed, files, and folders
    /// in which there is nothing of a journal.
    pub strays: Vec<JournalError>,
    /// Rounds that may lack a stream here, with the folder of it, or of a round in which none is known: its process died before it
    /// wrote anything, somebody took it away, or the folder cannot be listed.
    pub empty: BTreeMap<RoundId, PathBuf>,
    /// Why the folders of some of these could not be listed: whatever streams they hold is lacking.
    pub unlisted: Vec<JournalError>,
}

impl Listed {
    /// What is named like a round, or a stream of one, and is none: there may have been one.
    fn stray(&mut self, round: RoundId, path: PathBuf, why: JournalError) {
        self.empty.entry(round).or_insert(path);
        self.strays.push(why);
    }
}

/// All streams under `dir`, which may also be the folder of a round or of a stream.
pub(crate) fn find(dir: &Path) -> Result<Listed, JournalError> {
    let dir = &dir.canonicalize().map_err(|source| not_there(dir, source))?;
    let own: Option<RoundId> = dir.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let parent: Option<RoundId> = dir.parent().and_then(id_of);
    let mut found = Listed::default();
    match (own, parent, id_of::<StreamId>(dir)) {
        (Some(_), Some(round), Some(stream)) => {
            found.streams.push(StreamFolder { round, stream, path: dir.clone() });
        }
        (Some(round), None, _) => streams_of(dir, round, &mut found)?,
        _ => {
            for (round, path) in ids(dir, |round, path, why| found.stray(round, path, why))? {
                streams_beside(&path, round, &mut found);
            }
        }
    }
    found.streams.sort();
    Ok(found)
}

fn id_of<Id: FromStr>(path: &Path) -> Option<Id> {
    path.file_name()?.to_str()?.parse().ok()
}

/// The streams of one round among others: what is wrong with its folder hides none of theirs.
fn streams_beside(dir: &Path, round: RoundId, found: &mut Listed) {
    match streams_of(dir, round, found) {
        // It has gone since: its stream could not begin.
        Ok(()) | Err(JournalError::Missing { .. }) => {}
        Err(error) => {
            found.unlisted.push(error);
            found.empty.insert(round, dir.to_owned());
        }
    }
}

fn streams_of(dir: &Path, round: RoundId, found: &mut Listed) -> Result<(), JournalError> {
    let before = found.streams.len();
    for (stream, path) in ids(dir, |_: StreamId, path, why| found.stray(round, path, why))? {
        match segments(&path) {
            Err(why @ JournalError::NotAJournal { .. }) => found.stray(round, path, why),
            // What else is wrong with it reading says.
            _ => found.streams.push(StreamFolder { round, stream, path }),
        }
    }
    if found.streams.len() == before {
        found.empty.insert(round, dir.to_owned());
    }
    Ok(())
}

/// The folders in `dir` that are named by an id. Whatever else is named by one goes to `stray`.
fn ids<Id: FromStr>(
    dir: &Path,
    mut stray: impl FnMut(Id, PathBuf, JournalError),
) -> Result<Vec<(Id, PathBuf)>, JournalError> {
    let mut folders = Vec::new();
    for name in names(dir)? {
        let Ok(id) = name.parse() else { continue };
        let path = dir.join(name);
        match path.symlink_metadata() {
            Ok(about) if about.is_dir() => folders.push((id, path)),
            Ok(about) if about.is_symlink() => stray(id, path.clone(), JournalError::NotAFile { path }),
            Ok(_) => stray(id, path.clone(), JournalError::NotAFolder { path }),
            // It has gone since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It may be one, and reading it says why.
            Err(_) => folders.push((id, path)),
        }
    }
    Ok(folders)
}

fn names(dir: &Path) -> Result<Vec<String>, JournalError> {
    let list = std::fs::read_dir(dir).map_err(|source| not_there(dir, source))?;
    let mut names = Vec::new();
    for entry in list {
        let entry = entry.map_err(|source| JournalError::io("cannot list", dir, source))?;
        // What is not UTF-8 is none of our names.
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

fn not_there(dir: &Path, source: io::Error) -> JournalError {
    match source.kind() {
        io::ErrorKind::NotFound => JournalError::Missing { path: dir.to_owned() },
        // Nobody wants to write there.
        io::ErrorKind::PermissionDenied => JournalError::Io { what: "cannot list", path: dir.to_owned(), source },
        _ => JournalError::io("cannot list", dir, source),
    }
}

/// Makes the folder of a new stream, and `dir` if its parent exists. Each folder is synced once it has its new entry.
pub(crate) fn make(dir: &Path, round: RoundId, stream: StreamId) -> Result<PathBuf, JournalError> {
    let path = stream_path(dir, round, stream);
    make_one(dir)?;
    make_one(&dir.join(round.to_string()))?;
    if !make_one(&path)? {
        return Err(JournalError::Exists { path });
    }
    Ok(path)
}

/// Takes back what [`make`] made for a stream that could not begin. A folder that holds anything else stays.
pub(crate) fn unmake(path: &Path) {
    let _ = std::fs::remove_file(lock_path(path));
    for made in path.ancestors().take(2) {
        let _ = std::fs::remove_dir(made);
    }
}

/// `false` if it was there.
fn make_one(path: &Path) -> Result<bool, JournalError> {
    // The parent of `journal` is the current folder, that of `/` is itself.
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    match std::fs::create_dir(path) {
        Ok(()) => {}
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            return if path.is_dir() { Ok(false) } else { Err(JournalError::NotAFolder { path: path.to_owned() }) };
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            return Err(JournalError::Missing { path: parent.to_owned() });
        }
        Err(source) => return Err(JournalError::io("cannot make the folder", path, source)),
    }
    sync(parent)?;
    Ok(true)
}

/// Makes the names in a folder survive a crash.
pub(crate) fn sync(folder: &Path) -> Result<(), JournalError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| JournalError::io("cannot sync the folder", folder, source))
}

/// Makes what a reader sees of a stream survive a crash of the machine.
///
/// A writer that was killed may have left a group that was written and not synced. And where its sync failed, pages may lie
/// in memory that are not on the disk, though nothing marks them any more (Linux forgets after telling it once): they are
/// dropped, so that the reader sees the disk.
pub(crate) fn settle(folder: &Path) -> Result<(), JournalError> {
    for index in segments(folder)? {
        let path = folder.join(segment_name(index));
        let failed = |source| JournalError::io("cannot sync", &path, source);
        let file = open(&path).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        // Only an advice: file systems in memory have no other place for their pages.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    sync(folder)
}

/// Says that its holder writes this stream. The system gives it back when the process is gone, however that happened.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock. `None` while somebody else has it.
    pub(crate) fn try_take(folder: &Path) -> Result<Option<Lock>, JournalError> {
        let path = lock_path(folder);
        let failed = |source| JournalError::io("cannot lock", &path, source);
        let opened = open_plain(OpenOptions::new().write(true).create(true).truncate(false), &path);
        let file = opened.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Whether somebody has it. Asks by taking a shared one for an instant.
    pub(crate) fn is_taken(folder: &Path) -> Result<bool, JournalError> {
        let path = lock_path(folder);
        let failed = |source| JournalError::io("cannot ask for the lock", &path, source);
        let file = match open(&path) {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(failed(source)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_whose_folder_goes_while_they_are_listed_lacks_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut found = Listed::default();
        streams_beside(&dir.path().join("gone"), RoundId::from_bits(7), &mut found);
        assert!(found.unlisted.is_empty() && found.empty.is_empty(), "{found:?}");
    }

    #[test]
    fn a_segment_is_known_by_its_exact_name() {
        assert_eq!(segment_index("000007.ftj"), Some(7));
        assert_eq!(segment_index("1234567.ftj"), Some(1_234_567));
        // too short, a sign, another suffix, a copy
        for other in ["7.ftj", "+00007.ftj", "000007.ftx", "000007.ftj.bak", "copy of 000007.ftj", "lock"] {
            assert_eq!(segment_index(other), None, "{other}");
        }
    }

    #[test]
    fn streams_are_found_from_the_journal_the_round_and_the_stream() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("its name");
        let (round, stream) = (RoundId::from_bits(5), StreamId::from_bits(6));
        let path = make(&root.join("journal"), round, stream).expect("makes it all");
        let _lock = Lock::try_take(&path).expect("opens").expect("free");
        std::fs::create_dir(root.join("journal/lost+found")).expect("a stray folder");
        let expected = vec![StreamFolder { round, stream, path: path.clone() }];
        for from in [path.as_path(), path.parent().expect("round"), &root.join("journal")] {
            assert_eq!(find(from).expect("reads").streams, expected, "{}", from.display());
        }
        assert_eq!(find(&root).expect("reads").streams, vec![]);
        assert!(matches!(make(&root.join("journal"), round, stream), Err(JournalError::Exists { .. })));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let (round, stream) = (RoundId::from_bits(5), StreamId::from_bits(6));
        assert!(matches!(find(&dir.path().join("no")), Err(JournalError::Missing { .. })));
        assert!(matches!(make(&dir.path().join("no/journal"), round, stream), Err(JournalError::Missing { .. })));
        let file = dir.path().join("file");
        std::fs::write(&file, b"").expect("a file");
        assert!(matches!(find(&file), Err(JournalError::NotAFolder { .. })));
        assert!(matches!(make(&file, round, stream), Err(JournalError::NotAFolder { .. })));
        assert!(matches!(segments(dir.path()), Err(JournalError::NotAJournal { .. })));
    }

    #[test]
    fn a_stray_folder_and_a_link_are_no_streams_and_are_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let (round, id) = (RoundId::from_bits(5), StreamId::from_bits);
        let journal = make(dir.path(), round, id(6)).expect("makes it all");
        let _lock = Lock::try_take(&journal).expect("opens").expect("free");
        std::fs::create_dir(stream_path(dir.path(), round, id(7))).expect("a stray folder");
        std::os::unix::fs::symlink(&journal, stream_path(dir.path(), round, id(8))).expect("a link");
        std::fs::write(stream_path(dir.path(), round, id(9)), "").expect("a file");
        let found = find(dir.path()).expect("reads");
        assert_eq!(found.streams.iter().map(|folder| folder.stream).collect::<Vec<_>>(), [id(6)]);
        let told = |stream: StreamId| {
            let said = found.strays.iter().map(JournalError::to_string).find(|said| said.contains(&stream.to_string()));
            said.unwrap_or_else(|| panic!("{:?}", found.strays))
        };
        assert!(told(id(7)).contains("no stream of a journal"));
        assert!(told(id(8)).contains("a link"));
        assert!(told(id(9)).contains("is no folder"), "{}", told(id(9)));
        assert!(found.empty.contains_key(&round), "it may lack a stream: {found:?}");
    }

    #[test]
    fn what_is_no_plain_file_is_neither_waited_for_nor_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (pipe, link, target) = (dir.path().join("pipe"), dir.path().join("link"), dir.path().join("target"));
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        std::os::unix::fs::symlink(&target, &link).expect("a link to nothing");
        for other in [&pipe, &link] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::rename(other, lock_path(folder.path())).expect("it becomes the lock");
            assert!(matches!(Lock::is_taken(folder.path()), Err(JournalError::NotAFile { .. })));
            assert!(matches!(Lock::try_take(folder.path()), Err(JournalError::NotAFile { .. })));
            let segment = folder.path().join(segment_name(0));
            std::fs::rename(lock_path(folder.path()), &segment).expect("it becomes a segment");
            assert!(matches!(settle(folder.path()), Err(JournalError::NotAFile { .. })));
        }
        assert!(!target.exists(), "nothing was made where the link leads");
    }

    #[test]
    fn a_lock_is_taken_once() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(!Lock::is_taken(dir.path()).expect("asks"));
        let lock = Lock::try_take(dir.path()).expect("opens").expect("free");
        assert!(Lock::is_taken(dir.path()).expect("asks"));
        assert!(Lock::try_take(dir.path()).expect("opens").is_none());
        drop(lock);
        assert!(!Lock::is_taken(dir.path()).expect("asks"));
    }
}
