//! From the folders that were named to the streams in them, and what is said of them in the same words everywhere.
//!
//! Reads only. A fleet's journals may lie in many folders; a stream that lies in two of them is told, never counted twice.

use crate::Failed;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::text::shown;
use flowtest_contract::{Deadline, RoundId};
use flowtest_journal::record::{ArchivedJoin, ArchivedStart, LateCause};
use flowtest_journal::stream::{self, StreamFolder, Tail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Whether a folder is that of a generator, which holds rounds, and not that of one round or of one stream.
pub fn is_of_many_rounds(folder: &Path) -> bool {
    let is_round = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.parse::<RoundId>().is_ok())
    };
    folder.canonicalize().is_ok_and(|path| !is_round(&path) && !path.parent().is_some_and(is_round))
}

/// What lies under the folders that were named.
#[derive(Debug)]
pub struct Found {
    /// By round and stream.
    pub streams: Vec<StreamFolder>,
    /// Rounds that have a folder and no stream in it that is known, with that folder.
    pub empty: BTreeMap<RoundId, PathBuf>,
    /// Why folders of rounds could not be listed, which keeps nobody from the others: what they hold is lacking.
    pub unlisted: Vec<String>,
}

/// What lies under all folders. What is only named like a stream is told, and keeps nobody from the others.
pub fn find(folders: &[PathBuf]) -> Result<Found, Failed> {
    let mut streams: BTreeMap<(u128, u128), StreamFolder> = BTreeMap::new();
    let (mut empty, mut unlisted) = (BTreeMap::new(), Vec::new());
    for folder in folders {
        let listed = stream::list(folder)?;
        for stray in listed.strays {
            eprintln!("flowtest-loadgen: left alone: {stray}");
        }
        empty.extend(listed.empty);
        unlisted.extend(listed.unlisted.iter().map(ToString::to_string));
        if listed.streams.is_empty() {
            return Err(match listed.unlisted.into_iter().next() {
                Some(error) => error.into(),
                None => Failed::Message(format!(
                    "there is no journal in {}: name a folder that `run --journal` wrote, or one of a round in it",
                    shown(folder)
                )),
            });
        }
        for stream in listed.streams {
            let key = (stream.round.bits(), stream.stream.bits());
            match streams.get(&key) {
                Some(known) if !is_same(&known.path, &stream.path) => return Err(twice(known, &stream)),
                _ => _ = streams.insert(key, stream),
            }
        }
    }
    Ok(Found { streams: streams.into_values().collect(), empty, unlisted })
}

/// What lies there now, as it is.
pub fn list(folders: &[PathBuf]) -> Result<Vec<StreamFolder>, Failed> {
    let mut found = Vec::new();
    for folder in folders {
        found.extend(stream::find(folder)?);
    }
    Ok(found)
}

/// One folder may be named twice, or by a link.
fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn twice(one: &StreamFolder, other: &StreamFolder) -> Failed {
    Failed::Message(format!(
        "stream {} lies in {} and in {}: name only the folder whose copy is whole",
        one.stream,
        shown(&one.path),
        shown(&other.path)
    ))
}

/// The error names the first one that is of another contest.
pub fn are_of<'a>(contest: &str, streams: impl IntoIterator<Item = (&'a StreamFolder, &'a str)>) -> Result<(), Failed> {
    match streams.into_iter().find(|(_, other)| *other != contest) {
        None => Ok(()),
        Some((folder, other)) => Err(Failed::Message(format!(
            "{} is of contest {other:?}, not of {contest:?}: name the journals of that contest",
            shown(&folder.path)
        ))),
    }
}

/// Bytes of a stream's files; 0 for what cannot be looked at, which reading will say.
pub fn bytes(folder: &StreamFolder) -> u64 {
    let files = std::fs::read_dir(&folder.path).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).filter(|file| file.is_file()).map(|file| file.len()).sum()
}

/// Contest and roster of a stream. Whatever is no text is shown as near to it as can be: a stream that lies about its
/// names is damaged, and reading says so.
pub fn names(start: &ArchivedStart) -> (String, Vec<String>) {
    let mut rest = start.names.as_slice();
    let name = |len: u16| {
        let (name, after) = rest.split_at(usize::from(len).min(rest.len()));
        rest = after;
        text(name)
    };
    let names = start.name_lens.iter().map(|len| len.to_native()).map(name).collect();
    (text(start.contest.as_slice()), names)
}

/// Who has joined.
pub fn joined(join: &ArchivedJoin) -> String {
    text(join.name.as_slice())
}

/// Bytes of a journal as text that no terminal obeys.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}

/// What is behind the last whole group, as a clause.
pub fn describe(tail: &Tail) -> String {
    match tail {
        Tail::Ended => "ended".to_owned(),
        Tail::Open => "has no end marker".to_owned(),
        Tail::Torn { segment, at, bytes } => {
            format!("has a torn tail of {bytes} bytes at byte {at} of segment {segment}, which never counted")
        }
        Tail::Damaged { segment, at, why } => format!("is damaged at byte {at} of segment {segment}: {why}"),
    }
}

/// Why a stream ended.
pub fn ending(code: u16) -> &'static str {
    match code {
        1 => "finished",
        2 => "stopped",
        3 => "abandoned",
        _ => "for a reason that this version does not know",
    }
}

/// Why exchanges of a stretch of time count for nobody.
pub fn cause(code: u16) -> &'static str {
    LateCause::from_code(code).map_or("for a reason that this version does not know", LateCause::name)
}

/// The last instant that RFC 3339 can write, in microseconds.
const INSTANT_MAX: UtcUs = UtcUs(253_402_300_799_999_999);

/// An instant as RFC 3339, UTC.
pub fn instant(at: UtcUs) -> String {
    if at > INSTANT_MAX {
        return format!("{} µs", at.0);
    }
    humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::from_micros(at.0)).to_string()
}

/// A deadline for people.
pub fn deadline(deadline: Deadline) -> String {
    match deadline {
        Deadline::PASSED => "the start".to_owned(),
        Deadline::NEVER => "never".to_owned(),
        Deadline(at) => instant(at),
    }
}

/// A bar over bytes, on a terminal only.
pub fn bar(total: u64, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::new(total.max(1));
    bar.set_draw_target(if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() });
    if let Ok(style) = ProgressStyle::with_template("  {bar:30} {elapsed:>3}  {bytes} of {total_bytes}  {eta} left") {
        bar.set_style(style);
    }
    bar
}
