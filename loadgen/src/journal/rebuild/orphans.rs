//! Which streams a generator leaves alone that finds them beside its own, decided without reading them: old journals are
//! large, and a start must not wait for them.

use super::report::{Action, StreamReport};
use crate::journal::audit::redis::{Board, HeldRound};
use crate::journal::folders;
use flowtest_contest::State;
use flowtest_contract::StreamId;
use flowtest_journal::stream::{self, Record, StreamFolder};
use std::collections::BTreeMap;

/// The streams of one round that need not be read, and why. None of them when Redis or a folder does not answer: reading
/// says why.
pub(super) fn left(streams: &[StreamFolder], board: &Board) -> BTreeMap<StreamId, StreamReport> {
    let begun: Vec<(&StreamFolder, String)> =
        streams.iter().filter_map(|folder| Some((folder, contest(folder)?))).collect();
    let Some((first, of)) = begun.first() else { return BTreeMap::new() };
    let Ok(held) = board.round(of, first.round) else { return BTreeMap::new() };
    // Redis does not know the round, and nobody here was cut off in it: it may have been sealed, and must not run again.
    let is_lost = held.state.is_none() && begun.iter().all(|(folder, _)| has_ended(folder));
    let report = |(folder, contest): &(&StreamFolder, String)| {
        let (action, text) = if is_lost {
            let text = "left alone: its round is over, and Redis does not know it; `rebuild` brings it back";
            (Action::Skipped, text)
        } else if contest == of && is_kept(folder, &held) {
            (Action::None, "Redis has its end")
        } else {
            return None;
        };
        let known = held.streams.get(&folder.stream);
        Some((
            folder.stream,
            StreamReport {
                round: folder.round.to_string(),
                stream: folder.stream.to_string(),
                contest: Some(contest.clone()),
                action,
                journal_seq: known.and_then(|known| known.end).unwrap_or(0),
                redis_seq: known.and_then(|known| known.seq),
                closed: false,
                text: text.to_owned(),
            },
        ))
    };
    begun.iter().filter_map(report).collect()
}

/// Whether Redis has what it will ever have of a stream.
fn is_kept(folder: &StreamFolder, held: &HeldRound) -> bool {
    let is_over = matches!(held.state, Some(State::Sealed | State::Aborted));
    let known = held.streams.get(&folder.stream);
    known.is_some_and(|known| {
        (is_over && (known.end.is_some() || known.abandoned)) || (known.end.is_some() && has_ended(folder))
    })
}

fn has_ended(folder: &StreamFolder) -> bool {
    stream::seems_ended(folder).unwrap_or(false)
}

/// The contest that a stream's start names. `None` when it never began, or cannot be read.
fn contest(folder: &StreamFolder) -> Option<String> {
    let mut contest = None;
    let read = stream::first(folder, |group| {
        for record in &group.records {
            if let Record::Start(start) = record {
                contest = Some(folders::names(start).0);
            }
        }
    });
    read.ok().and(contest)
}
