//! Reading one stream's folder: all whole groups in order, and where and how it ends.
//!
//! Never writes. What is wrong in a file is [`Tail::Damaged`], never a panic and never a wrong total.

pub use crate::folder::{Listed, StreamFolder};
pub use crate::synced::{Group, Record};

use crate::JournalError;
use crate::folder::{self, Lock};
use crate::frame::{self, BLOCK, Head, Seed};
use crate::header::{Header, NoHeader, Previous, SEGMENT_BYTES};
use crate::record::Kind;
use crate::segment::{self, Reached, Stop};
use crate::sense::Sense;
use rkyv::util::AlignedVec;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How far a stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of the last group that was given; 0 if none was.
    pub last_seq: u64,
    /// The digest of everything up to there.
    pub chain: [u8; 16],
    /// Segments whose groups were given.
    pub segments: u32,
    /// FORMAT of the first segment's records; 0 if there is none.
    pub format: u32,
    /// Bytes of the groups that were given, and of their segments' headers.
    pub bytes: u64,
    pub tail: Tail,
    /// The last segment and the length up to which it counts.
    pub(crate) last: Option<Previous>,
    /// A number that no segment has.
    pub(crate) free_index: u32,
    pub(crate) sense: Sense,
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

/// What lies under `dir`, which may also itself be the folder of a round or of a stream.
///
/// # Errors
/// [`JournalError::Missing`], [`JournalError::NotAFolder`], and what the system says.
pub fn list(dir: &Path) -> Result<Listed, JournalError> {
    folder::find(dir)
}

/// All streams of [`list`].
///
/// # Errors
/// As [`list`].
pub fn find(dir: &Path) -> Result<Vec<StreamFolder>, JournalError> {
    Ok(list(dir)?.streams)
}

/// Whether a process is writing it.
///
/// # Errors
/// What the system says of the lock.
pub fn is_live(folder: &StreamFolder) -> Result<bool, JournalError> {
    Lock::is_taken(&folder.path)
}

/// Makes all that [`read`] sees survive a crash of the machine. Whoever publishes from an orphaned stream that he does not
/// adopt calls it first: its writer may have died between writing a group and syncing it.
///
/// # Errors
/// [`JournalError::NotAJournal`], and what the system says.
pub fn settle(folder: &StreamFolder) -> Result<(), JournalError> {
    folder::settle(&folder.path)
}

/// Reads all whole groups in order; one segment is in memory at a time. Of a live stream it reads what is there.
///
/// # Errors
/// [`JournalError::Newer`] and [`JournalError::OtherSchema`] if already the first segment is of no use,
/// [`JournalError::NotAJournal`], and what the system says. All else is told by [`Found::tail`].
pub fn read(folder: &StreamFolder, mut visit: impl FnMut(&Group<'_>)) -> Result<Found, JournalError> {
    let seed = Seed::new(folder.stream);
    let survey = Survey::of(folder)?;
    let chain = frame::origin(folder.round, folder.stream);
    let mut reached = Reached { seq: 0, chain, sense: Sense::default() };
    let mut buffer = Buffer::default();
    let mut found = Found {
        last_seq: 0,
        chain,
        segments: 0,
        format: survey.path.first().map_or(0, |header| header.format),
        bytes: 0,
        tail: Tail::Open,
        last: None,
        free_index: survey.free_index,
        sense: reached.sense,
    };
    for (place, header) in survey.path.iter().enumerate() {
        let next = survey.path.get(place + 1);
        let segment = header.index;
        let end = read_segment(folder, header, next, seed, &mut reached, &mut buffer, &mut visit)?;
        found.segments += 1;
        found.bytes += end.at;
        found.last = Some(Previous { index: segment, len: end.at });
        (found.last_seq, found.chain, found.sense) = (reached.seq, reached.chain, reached.sense);
        match end.stop {
            Stop::Clean => {}
            Stop::Torn { bytes } => found.tail = Tail::Torn { segment, at: end.at, bytes },
            Stop::Damaged { why } => {
                found.tail = Tail::Damaged { segment, at: end.at, why };
                return Ok(found);
            }
        }
    }
    if let Some((segment, why)) = survey.damaged {
        found.tail = Tail::Damaged { segment, at: 0, why };
        return Ok(found);
    }
    for segment in survey.blanks {
        blank(folder, segment, seed, &mut buffer, &mut found)?;
    }
    if reached.sense.is_ended() && !matches!(found.tail, Tail::Damaged { .. }) {
        found.tail = Tail::Ended;
    }
    Ok(found)
}

/// Gives the first group alone, which holds the start: whoever only asks whose stream this is need not read all of it.
/// `false` if there is none.
///
/// # Errors
/// As [`read`].
pub fn first(folder: &StreamFolder, mut visit: impl FnMut(&Group<'_>)) -> Result<bool, JournalError> {
    let seed = Seed::new(folder.stream);
    let survey = Survey::of(folder)?;
    let Some(header) = survey.path.first() else { return Ok(false) };
    let mut buffer = Buffer::default();
    // As a rule a start is short; one with a long roster is found in the whole segment.
    for most in [FIRST_BYTES, SEGMENT_BYTES] {
        let chain = frame::origin(folder.round, folder.stream);
        let mut reached = Reached { seq: 0, chain, sense: Sense::default() };
        let mut given = false;
        let bytes = buffer.fill(folder, header.index, most)?;
        segment::read(bytes, BLOCK, None, seed, &mut reached, |group| {
            if !given {
                visit(group);
            }
            given = true;
        });
        if given {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is read for a start.
const FIRST_BYTES: usize = 64 * 1024;

/// Whether an end marker stands at the very end of the last segment. A guess that costs one read, for whoever would
/// otherwise read all for nothing: only [`read`] knows that what lies before it is whole. Says `false` of a stream whose
/// writer ended it and died before it had cut the segment to its length.
///
/// # Errors
/// [`JournalError::NotAJournal`], and what the system says.
pub fn seems_ended(folder: &StreamFolder) -> Result<bool, JournalError> {
    let Some(last) = folder::segments(&folder.path)?.pop() else { return Ok(false) };
    let path = folder.path.join(folder::segment_name(last));
    let failed = |source| JournalError::io("cannot read", &path, source);
    let file = folder::open(&path).map_err(failed)?;
    // The marker's frame may begin in the block before the last one.
    let mut bytes = [0; 2 * BLOCK];
    let len = file.metadata().map_err(failed)?.len();
    let from = len.saturating_sub(bytes.len() as u64);
    let filled = file.read_at(&mut bytes, from).map_err(failed)?;
    let seed = Seed::new(folder.stream);
    let mut heads = (0..filled).step_by(frame::ALIGN).filter_map(|at| Head::parse(&bytes[at..filled], seed));
    Ok(heads.next_back().is_some_and(|head| head.kind == Kind::End as u8 && head.is_last()))
}

/// How reading a segment ended.
struct End {
    at: u64,
    stop: Stop,
}

/// How often a segment is read again that looks damaged. One that is being written can look so: the group that was missing
/// when its place was read may have been written, synced, and followed by the next one before the rest was read.
const LOOKS: u32 = 4;

fn read_segment(
    folder: &StreamFolder,
    header: &Header,
    next: Option<&Header>,
    seed: Seed,
    reached: &mut Reached,
    buffer: &mut Buffer,
    visit: &mut impl FnMut(&Group<'_>),
) -> Result<End, JournalError> {
    let damaged = |at: usize, why: &str| Ok(End { at: at as u64, stop: Stop::Damaged { why: why.into() } });
    if header.first_seq != reached.seq + 1 || header.chain != reached.chain {
        return damaged(0, "it does not go on where the segment before it ends");
    }
    let limit = match next.and_then(|next| next.previous).map(|previous| usize::try_from(previous.len)) {
        None => None,
        Some(Ok(limit)) if limit >= BLOCK && limit.is_multiple_of(BLOCK) => Some(limit),
        Some(_) => return damaged(BLOCK, "the segment after it gives it an impossible length"),
    };
    let mut at = BLOCK;
    let mut looks = LOOKS;
    loop {
        let bytes = buffer.fill(folder, header.index, SEGMENT_BYTES + 1)?;
        if bytes.len() > SEGMENT_BYTES {
            return damaged(at, "it is longer than a segment can be");
        }
        let (end, stop) = segment::read(bytes, at, limit, seed, reached, &mut *visit);
        at = end;
        looks -= 1;
        if !matches!(stop, Stop::Damaged { .. }) || limit.is_some() || looks == 0 {
            return Ok(End { at: at as u64, stop });
        }
    }
}

/// A file at the end whose header was never synced: a group behind it would have been written after that.
fn blank(
    folder: &StreamFolder,
    segment: u32,
    seed: Seed,
    buffer: &mut Buffer,
    found: &mut Found,
) -> Result<(), JournalError> {
    let bytes = buffer.fill(folder, segment, SEGMENT_BYTES + 1)?;
    if Header::parse(bytes).is_ok() {
        // It has got its header since we looked: this stream is live, and we read it as it was.
        return Ok(());
    }
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    if segment::has_heads(bytes, seed) {
        let why = "its header cannot be read, though groups stand behind it".into();
        found.tail = Tail::Damaged { segment, at: 0, why };
    } else if written > BLOCK as u64 {
        // Whoever dies while it is made leaves a part of its header, and nothing behind that.
        let why = "there is something in it, and nothing of it can be read".into();
        found.tail = Tail::Damaged { segment, at: 0, why };
    } else if found.tail == Tail::Open && written > 0 {
        found.tail = Tail::Torn { segment, at: 0, bytes: written };
    }
    Ok(())
}

/// Which segments count, by their headers alone.
struct Survey {
    /// Those that follow one another.
    path: Vec<Header>,
    /// Files behind the last of them without a header.
    blanks: Vec<u32>,
    /// Why it does not go on behind `path`.
    damaged: Option<(u32, String)>,
    free_index: u32,
}

impl Survey {
    fn of(folder: &StreamFolder) -> Result<Survey, JournalError> {
        let indexes = folder::segments(&folder.path)?;
        let free_index = indexes.last().map_or(0, |last| last.saturating_add(1));
        let mut survey = Survey { path: Vec::new(), blanks: Vec::new(), damaged: None, free_index };
        for index in indexes {
            match read_header(folder, index)? {
                Ok(header) => survey.add(folder, index, header),
                Err(NoHeader::Blank) => survey.blanks.push(index),
                Err(problem) if survey.path.is_empty() => return Err(useless(folder, index, problem)),
                Err(problem) => survey.damaged = Some((index, useless(folder, index, problem).to_string())),
            }
            if survey.damaged.is_some() {
                break;
            }
        }
        Ok(survey)
    }

    /// The next file in number. What lies between it and the one before it was given up by their writer.
    fn add(&mut self, folder: &StreamFolder, index: u32, header: Header) {
        if header.stream != folder.stream || header.round != folder.round {
            let whose = format!(
                "its header is of stream {} of round {}, so it is a copy under another name",
                header.stream, header.round
            );
            self.damaged = Some((index, whose));
            return;
        }
        if header.index != index {
            self.damaged = Some((index, format!("its header is that of segment {}", header.index)));
            return;
        }
        let previous = header.previous.map(|previous| previous.index);
        let keep = self.path.iter().position(|kept| Some(kept.index) == previous).map(|place| place + 1);
        match (previous, keep) {
            (None, _) => self.path.clear(),
            (Some(_), Some(keep)) => self.path.truncate(keep),
            (Some(missing), None) => {
                self.damaged =
                    Some((missing, format!("it is missing or unreadable, and segment {index} goes on from it")));
                return;
            }
        }
        self.blanks.clear();
        self.path.push(header);
    }
}

fn read_header(folder: &StreamFolder, index: u32) -> Result<Result<Header, NoHeader>, JournalError> {
    let path = folder.path.join(folder::segment_name(index));
    let mut block = Vec::with_capacity(BLOCK);
    match folder::open(&path).and_then(|file| file.take(BLOCK as u64).read_to_end(&mut block)) {
        Ok(_) => Ok(Header::parse(&block)),
        // Its writer has given it up since we listed it.
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Err(NoHeader::Blank)),
        Err(source) => Err(JournalError::io("cannot read", &path, source)),
    }
}

fn useless(folder: &StreamFolder, index: u32, problem: NoHeader) -> JournalError {
    let path = folder.path.join(folder::segment_name(index));
    match problem {
        NoHeader::Newer { found, known } => JournalError::Newer { path, found, known },
        NoHeader::OtherSchema => JournalError::OtherSchema { path },
        NoHeader::Blank => JournalError::NotAJournal { path },
    }
}

/// The bytes of one segment, aligned for rkyv. Used again for the next.
#[derive(Default)]
struct Buffer {
    bytes: AlignedVec<16>,
}

impl Buffer {
    /// The file, or its first `most` bytes. Nothing of a file that its writer has given up meanwhile.
    fn fill(&mut self, folder: &StreamFolder, index: u32, most: usize) -> Result<&[u8], JournalError> {
        let path = folder.path.join(folder::segment_name(index));
        let failed = |source| JournalError::io("cannot read", &path, source);
        let file = match folder::open(&path) {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(&[]),
            Err(source) => return Err(failed(source)),
        };
        let len = file.metadata().map_err(failed)?.len().min(most as u64) as usize;
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
        let mut filled = 0;
        while filled < len {
            match file.read_at(&mut self.bytes[filled..len], filled as u64) {
                // Its writer has cut it meanwhile.
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(failed(source)),
            }
        }
        Ok(&self.bytes[..filled])
    }
}
