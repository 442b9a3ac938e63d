//! `audit`: every exchange judged again from what was observed, summed, and compared with the sums in the journal and
//! with what Redis holds, field by field.
//!
//! It has code of its own: with the rest of the generator it shares the format of the records and the contract, and
//! nothing of the path on which scores are made and published. It writes nothing but its result.
//!
//! | module | noun |
//! |---|---|
//! | [`judge`] | what an observation is worth, as a table |
//! | [`traces`] | exchanges, counted |
//! | [`in_force`] | which deadlines were in force when |
//! | `late` | what a late turn of a worker shows |
//! | [`shares`] | which share of the requests each stream held when |
//! | [`beginning`] | what a stream says of itself at its beginning |
//! | [`decided`] | a decision about a step, as a stream has it |
//! | [`steps`] | the steps of breakpoint phases, decided again |
//! | `void` | what counts for nobody, against when workers were late |
//! | `validity` | how many seconds can be valid |
//! | [`stream`] | one stream from its first record to its last |
//! | [`redis`] | what Redis holds of a round |
//! | [`compare`] | two rows, field by field |
//! | [`round`] | a round's streams against their traces and against Redis |
//! | [`finding`], [`report`] | what there is to say |
//! | [`what_if`] | the same exchanges by other rules |

pub mod beginning;
pub mod compare;
pub mod decided;
pub mod finding;
pub mod in_force;
pub mod judge;
mod late;
pub mod redis;
pub mod report;
pub mod round;
pub mod shares;
pub mod steps;
pub mod stream;
pub mod traces;
mod validity;
mod void;
pub mod what_if;

use crate::journal::flags::Audit;
use crate::observe::results;
use crate::{Failed, journal::folders};
use finding::{Finding, Kind};
use flowtest_contract::RoundId;
use flowtest_journal::JournalError;
use flowtest_journal::stream::StreamFolder;
use flowtest_scoreboard::ScoreboardError;
use parking_lot::Mutex;
use redis::{Board, HeldRound};
use report::AuditReport;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use stream::{Questions, Stream};
use what_if::WhatIf;

/// The exit code that says that there are differences.
pub const DIFFERENT: u8 = 4;

/// Runs the command; the exit code says whether everything agrees.
pub fn audit(flags: &Audit) -> Result<u8, Failed> {
    let what_if = flags.with.as_deref().map(WhatIf::read).transpose()?;
    let redis = flags.redis.address()?;
    let folders::Found { streams: folders, empty, unlisted } = folders::find(&flags.journals.journal)?;
    results::prepare(flags.json.as_deref())?;
    let board = redis.as_ref().map(Board::open).transpose()?;
    let questions = Questions { board: board.as_ref(), what_if: what_if.as_ref() };
    let (streams, unreadable) = read(&folders, questions, flags.quiet)?;
    if let Some(board) = &board {
        let rounds: BTreeSet<RoundId> = folders.iter().map(|folder| folder.round).chain(empty.into_keys()).collect();
        for round in rounds {
            board.look_for(flags.contest.as_deref(), round).map_err(|error| {
                Failed::Message(format!(
                    "{error}; nothing here says of which contest round {round} is: name it by --contest"
                ))
            })?;
        }
    }
    let mut unlooked = None;
    if let Some(board) = &board {
        unlooked = look_for_others(board, flags, &streams)?;
        read_steps(board, &streams)?;
    }
    let mut held = board.map(Board::finish).transpose()?;
    if let Some(held) = &mut held {
        look_again(held, flags, &folders)?;
    }
    if let Some(contest) = &flags.contest {
        folders::are_of(
            contest,
            streams
                .iter()
                .filter_map(|stream| stream.beginning.as_ref().map(|first| (&stream.folder, first.contest.as_str()))),
        )?;
    }
    let mut report = AuditReport::new(&streams, held.as_ref());
    report.add_unreadable(&unreadable);
    report.add_unlisted(&unlisted);
    report.findings.extend(unlooked);
    if let Some(what_if) = &what_if {
        let beginnings = streams.iter().filter_map(|stream| stream.beginning.as_ref());
        report.findings.extend(what_if.limits(beginnings, streams.iter().map(|stream| stream.untraced).sum()));
    }
    if let Some(path) = &flags.json {
        results::write_json(path, &report)?;
    }
    if !flags.quiet && !flags.json.as_deref().is_some_and(results::is_stdout) {
        results::print(format_args!("{report}\n"))?;
    }
    Ok(if report.equal { 0 } else { DIFFERENT })
}

/// Looks for rounds that have none, since who names whole generators' folders asks of all their rounds. A finding where that may not
/// be.
fn look_for_others(board: &Board, flags: &Audit, streams: &[Stream]) -> Result<Option<Finding>, Failed> {
    if !flags.journals.journal.iter().all(|folder| folders::is_of_many_rounds(folder)) {
        return Ok(None);
    }
    let begun = streams.iter().filter_map(|stream| stream.beginning.as_ref());
    let contests: BTreeSet<&str> =
        begun.map(|beginning| beginning.contest.as_str()).chain(flags.contest.as_deref()).collect();
    match board.look_for_all(&contests) {
        // By an access list of before, a generator's user may read rounds, and not look which there are.
        Err(error @ ScoreboardError::Permission { .. }) => {
            let text = format!("rounds of which no folder is here are not looked for: {error}");
            Ok(Some(Finding::of_all(Kind::NoJournal, false, text)))
        }
        looked => {
            looked?;
            Ok(None)
        }
    }
}

/// Reads the decisions about steps, once for all streams of a round.
fn read_steps(board: &Board, streams: &[Stream]) -> Result<(), Failed> {
    let mut rounds: BTreeMap<(RoundId, &str), u32> = BTreeMap::new();
    for stream in streams {
        let Some(beginning) = &stream.beginning else { continue };
        let planned = beginning::contest(&beginning.document).map_or(0, |contest| contest.steps());
        let most = rounds.entry((stream.folder.round, &beginning.contest)).or_default();
        *most = planned.max(*most);
    }
    for ((round, contest), planned) in rounds.into_iter().filter(|(_, planned)| *planned > 0) {
        board.read_steps(contest, round, planned)?;
    }
    Ok(())
}

/// A round may have begun since the folders were listed.
fn look_again(held: &mut BTreeMap<RoundId, HeldRound>, flags: &Audit, folders: &[StreamFolder]) -> Result<(), Failed> {
    let listed: BTreeSet<_> = folders.iter().map(|folder| (folder.round, folder.stream)).collect();
    let newest = folders::list(&flags.journals.journal)?;
    HeldRound::note_begun(held, newest.iter().filter(|folder| !listed.contains(&(folder.round, folder.stream))));
    Ok(())
}

/// Streams of which nothing can be read, each with the reason.
type Unreadable<'a> = Vec<(&'a StreamFolder, JournalError)>;

/// Audits all streams, one on each core at a time, the largest first. One that cannot be read hides no other; when there is
/// no other, its reason is the error.
fn read<'a>(
    folders: &'a [StreamFolder],
    questions: Questions<'_>,
    quiet: bool,
) -> Result<(Vec<Stream>, Unreadable<'a>), Failed> {
    let mut queue: Vec<(u64, usize)> = folders.iter().map(folders::bytes).zip(0..).collect();
    queue.sort_unstable_by_key(|(bytes, index)| (std::cmp::Reverse(*bytes), *index));
    let bar = folders::bar(queue.iter().map(|(bytes, _)| bytes).sum(), quiet);
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<Stream, JournalError>>>> = folders.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while let Some((_, index)) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = stream::audit(&folders[*index], questions, &|bytes| bar.inc(bytes));
            *results[*index].lock() = Some(result);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(folders.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    bar.finish_and_clear();
    let (mut streams, mut unreadable) = (Vec::new(), Vec::new());
    for (folder, result) in folders.iter().zip(results) {
        match result.into_inner() {
            Some(Ok(stream)) => streams.push(stream),
            Some(Err(error)) => unreadable.push((folder, error)),
            None => {}
        }
    }
    match unreadable.pop() {
        Some((_, error)) if streams.is_empty() => Err(error.into()),
        last => {
            unreadable.extend(last);
            Ok((streams, unreadable))
        }
    }
}
