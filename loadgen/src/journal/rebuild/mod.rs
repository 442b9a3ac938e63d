//! `rebuild`: publishes whatever Redis lacks, from any journals. It is how a wiped Redis comes back and how the disk of a
//! dead host is drained.
//!
//! It never makes Redis say less: a stream that Redis holds further than the journal is refused, a sealed round is only
//! compared, and a stream whose generator lives is left to it. What is wrong with one stream keeps no other from Redis. Only
//! what certainly is on disk is published: it is synced, read again, and that is what Redis gets.

mod journal;
mod orphans;
mod report;

pub use report::{Action, DecisionsReport, RebuildReport, RoundReport, StreamReport};

use crate::journal::audit::decided::Decided;
use crate::journal::audit::redis::{Board, HeldRound, HeldStream};
use crate::journal::audit::{DIFFERENT, beginning, steps};
use crate::journal::flags::Rebuild;
use crate::observe::results;
use crate::{Failed, journal::folders};
use flowtest_contest::State;
use flowtest_contract::text::shown;
use flowtest_contract::{RoundId, Row, StreamId};
use flowtest_journal::JournalError;
use flowtest_journal::stream::{self, StreamFolder};
use flowtest_scoreboard::{Publisher, PublisherConfig, RedisAddress, Scoreboard, ScoreboardError};
use journal::Journal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one stream may take to reach a Redis that is away.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How far it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Extent {
    seal: bool,
    dry_run: bool,
    /// Streams of which nothing is left, and that somebody knows never to have begun.
    without: Vec<StreamId>,
    /// Rounds that have a folder in which no stream is known: nobody can say what lay there.
    empty: BTreeMap<RoundId, PathBuf>,
    /// Only what a generator finishes that finds journals beside its own.
    orphans: bool,
}

/// Runs the command; the exit code says whether Redis has everything now.
pub fn rebuild(flags: &Rebuild) -> Result<u8, Failed> {
    let redis = flags.redis.address()?;
    let found = folders::find(&flags.journals.journal)?;
    results::prepare(flags.json.as_deref())?;
    let (seal, dry_run, without) = (flags.seal, flags.dry_run, flags.without.clone());
    let extent = Extent { seal, dry_run, without, empty: found.empty, orphans: false };
    let report = publish(&found.streams, &redis, &extent)?.with_unlisted(found.unlisted);
    if let Some(path) = &flags.json {
        results::write_json(path, &report)?;
    }
    if !flags.json.as_deref().is_some_and(results::is_stdout) {
        results::print(format_args!("{report}\n"))?;
    }
    Ok(if report.complete { 0 } else { DIFFERENT })
}

/// Ends and publishes the streams under `dir` whose processes are gone: what a generator does before it begins its own.
/// Streams that are being written are left alone, and sealed rounds as well; what Redis has to its end is not even read, and
/// a round that was over and that Redis does not know is left to `rebuild`. A folder without journals is no error.
pub fn finish_orphans(dir: &Path, redis: &RedisAddress) -> Result<RebuildReport, Failed> {
    let nothing = RebuildReport { complete: true, ..RebuildReport::default() };
    let found = match stream::list(dir) {
        Err(JournalError::Missing { .. } | JournalError::NotAJournal { .. }) => return Ok(nothing),
        found => found?,
    };
    let report = match found.streams.is_empty() {
        true => nothing,
        false => publish(&found.streams, redis, &Extent { orphans: true, ..Extent::default() })?,
    };
    Ok(report.with_unlisted(found.unlisted.iter().map(ToString::to_string).collect()))
}

fn publish(found: &[StreamFolder], redis: &RedisAddress, extent: &Extent) -> Result<RebuildReport, Failed> {
    let board = Board::open(redis)?;
    let bar = folders::bar(found.iter().map(folders::bytes).sum(), extent.orphans);
    let mut report = RebuildReport::default();
    for streams in found.chunk_by(|a, b| a.round == b.round) {
        let mut journals = Vec::with_capacity(streams.len());
        let left = if extent.orphans { orphans::left(streams, &board) } else { BTreeMap::new() };
        for folder in streams.iter().filter(|folder| !left.contains_key(&folder.stream)) {
            match Journal::read(folder, &|bytes| bar.inc(bytes)) {
                Ok(journal) => journals.push(journal),
                Err(error) => report.streams.push(unreadable(folder, &error)),
            }
        }
        report.streams.extend(left.into_values());
        let Some(contest) = contest(&journals) else {
            // None of them says of what contest it is; Redis may count some of them all the same.
            let held = board.found(streams[0].round).map_err(|error| Failed::Message(error.to_string()))?;
            report.streams.extend(journals.iter().map(|journal| {
                let seq = held.as_ref().and_then(|held| held.streams.get(&journal.folder.stream)?.seq);
                Fate::of(journal, held.as_ref()).report(journal, seq)
            }));
            continue;
        };
        let round = streams[0].round;
        let held = match board.round(&contest, round) {
            Ok(held) => held,
            Err(error) => {
                let refused = |journal: &Journal| {
                    Fate::Refuse(format!("refused: Redis does not say what it holds of it: {error}"))
                        .report(journal, None)
                };
                report.streams.extend(journals.iter().map(refused));
                continue;
            }
        };
        // Redis would wait for ever for one that never began.
        let idle: Vec<StreamId> =
            journals.iter().filter(|journal| journal.never_began()).map(|journal| journal.folder.stream).collect();
        let peers = streams.iter().map(|folder| folder.stream).filter(|stream| !idle.contains(stream)).collect();
        let was_lost = held.state.is_none();
        let lost = journals.iter().find(|journal| journal.is_lost(&extent.without));
        let lost = lost.map(|journal| journal.folder.stream);
        let mut rebuilding = Rebuilding { redis, contest, round, held, was_lost, peers, lost, extent };
        let done = rebuilding.streams(&journals, &board);
        let whole = journals.len() == streams.len()
            && journals.iter().zip(&done).all(|(journal, done)| match done.action {
                Action::None | Action::Published => true,
                Action::Skipped => journal.never_began(),
                Action::Missing | Action::Refused => false,
            });
        report.streams.extend(done);
        if !extent.dry_run {
            report.decisions.extend(rebuilding.decisions(&journals));
        }
        if extent.seal && !extent.dry_run {
            report.rounds.push(rebuilding.seal(whole));
        }
    }
    bar.finish_and_clear();
    let bad = report.count(Action::Refused) + report.count(Action::Missing);
    let refused = report.decisions.iter().any(|decisions| decisions.refused.is_some());
    report.complete = bad == 0 && !refused && report.rounds.iter().all(|round| round.sealed);
    Ok(report)
}

/// The contest of a round, by the first stream that says it.
fn contest(journals: &[Journal]) -> Option<String> {
    journals.iter().find_map(|journal| journal.names.as_ref().map(|(contest, _)| contest.clone()))
}

fn unreadable(folder: &StreamFolder, error: &JournalError) -> StreamReport {
    StreamReport {
        round: folder.round.to_string(),
        stream: folder.stream.to_string(),
        contest: None,
        action: Action::Refused,
        journal_seq: 0,
        redis_seq: None,
        closed: false,
        text: format!("refused: {error}"),
    }
}

/// What is to be done with a stream, decided before anything is done.
#[derive(Debug)]
enum Fate {
    /// Redis has all of it.
    Complete,
    Skip(&'static str),
    Refuse(String),
    /// Redis lacks something; `close`: its end marker has to be written first.
    Publish {
        close: bool,
    },
}

impl Fate {
    fn of(journal: &Journal, held: Option<&HeldRound>) -> Fate {
        if journal.is_damaged() {
            let tail = folders::describe(&journal.found.tail);
            return Fate::Refuse(format!("refused: it {tail}; audit it, and look for another copy"));
        }
        if journal.live {
            return Fate::Skip("left alone: its generator lives and publishes it");
        }
        let sealed = held.is_some_and(|held| matches!(held.state, Some(State::Sealed | State::Aborted)));
        let stream = held.and_then(|held| held.streams.get(&journal.folder.stream));
        let seq = stream.map_or(0, |stream| stream.up_to().newest());
        let last = journal.found.last_seq;
        let Some((contest, names)) = &journal.names else {
            if seq > 0 {
                return Fate::Refuse(format!(
                    "refused: Redis holds it up to group {seq}, and this journal holds nothing of it: it has lost what Redis \
                     counts; look for another copy"
                ));
            }
            return Fate::Skip("nothing to publish: it was never begun");
        };
        if journal.overflows {
            return Fate::Refuse("refused: its sums are larger than Redis can hold".to_owned());
        }
        if seq > last {
            return Fate::Refuse(format!(
                "refused: Redis holds it up to group {seq}, and this journal of {contest} ends at {last}: it has lost what \
                 Redis counts; look for another copy"
            ));
        }
        let whole_up_to = stream.map_or(0, HeldStream::whole_up_to);
        let complete =
            whole_up_to >= journal.last_counted && (stream.is_some() || (sealed && journal.last_counted == 0));
        if complete
            && let Some(Differing { name, is_held }) = stream.and_then(|stream| differing(stream, names, &journal.rows))
        {
            return Fate::Refuse(format!(
                "refused: Redis says that it has all of it, but its row of {name} is another{}; audit it, and when the \
                 journal is right delete the fields q: and e: of this stream in Redis, and rebuild again",
                if is_held { "" } else { " or missing" }
            ));
        }
        let ended = stream.is_some_and(|stream| stream.end.is_some());
        match (complete, sealed) {
            (true, true) => Fate::Complete,
            (true, false) if ended && journal.has_ended() => Fate::Complete,
            (false, true) => Fate::Refuse(format!(
                "refused: the round takes no more points; Redis holds it up to group {whole_up_to} of {last}"
            )),
            (_, false) => Fate::Publish { close: !journal.has_ended() },
        }
    }

    fn report(self, journal: &Journal, redis_seq: Option<u64>) -> StreamReport {
        let (action, text) = match self {
            Fate::Complete => (Action::None, "Redis has all of it".to_owned()),
            Fate::Skip(text) => (Action::Skipped, text.to_owned()),
            Fate::Refuse(text) => (Action::Refused, text),
            Fate::Publish { close } => (Action::Missing, missing(journal, redis_seq, close)),
        };
        StreamReport {
            round: journal.folder.round.to_string(),
            stream: journal.folder.stream.to_string(),
            contest: journal.names.as_ref().map(|(contest, _)| contest.clone()),
            action,
            journal_seq: journal.found.last_seq,
            redis_seq,
            closed: false,
            text,
        }
    }
}

fn missing(journal: &Journal, redis_seq: Option<u64>, close: bool) -> String {
    let last = journal.found.last_seq;
    let held = match redis_seq {
        None => "Redis does not know it".to_owned(),
        Some(seq) if seq < journal.last_counted => format!("Redis holds it up to group {seq} of {last}"),
        Some(_) => "Redis lacks its end".to_owned(),
    };
    if close { format!("{held}, and its process is gone without an end marker") } else { held }
}

/// A contestant whose row in Redis is not the journal's.
struct Differing<'a> {
    name: &'a str,
    /// Redis has a row of it at all.
    is_held: bool,
}

/// The first one that is another.
fn differing<'a>(held: &HeldStream, names: &'a [String], rows: &[Option<Box<Row>>]) -> Option<Differing<'a>> {
    let empty = Row::default();
    let mut both = names.iter().zip(rows);
    both.find(|(name, row)| held.rows.get(*name).unwrap_or(&empty) != row.as_deref().unwrap_or(&empty))
        .map(|(name, _)| Differing { name, is_held: held.rows.contains_key(name) })
}

/// One round.
struct Rebuilding<'a> {
    redis: &'a RedisAddress,
    contest: String,
    round: RoundId,
    /// What Redis holds of it, as it was last read.
    held: HeldRound,
    /// Redis did not know it before.
    was_lost: bool,
    /// All streams of the round that lie here: none is sealed without them.
    peers: Vec<StreamId>,
    /// A stream of which nothing is left, so that nobody can say whether it began.
    lost: Option<StreamId>,
    extent: &'a Extent,
}

/// Why a stream was not published.
#[derive(Debug)]
enum Hitch {
    /// Somebody else finishes it just now.
    Busy,
    /// The round takes nothing any more; the stream as it is on disk.
    Over(Box<Journal>),
    Refused(String),
}

impl From<JournalError> for Hitch {
    fn from(error: JournalError) -> Hitch {
        match error {
            JournalError::Locked { .. } => Hitch::Busy,
            error => Hitch::Refused(format!("refused: it cannot be finished: {error}")),
        }
    }
}

impl Rebuilding<'_> {
    fn streams(&mut self, journals: &[Journal], board: &Board) -> Vec<StreamReport> {
        let mut reports = Vec::with_capacity(journals.len());
        let mut published: Vec<(usize, Journal)> = Vec::new();
        for journal in journals {
            let redis_seq = self.held.streams.get(&journal.folder.stream).and_then(|stream| stream.seq);
            let fate = match &journal.names {
                Some((contest, _)) if *contest != self.contest => Fate::Refuse(format!(
                    "refused: it is of contest {contest}, and its round is of {}: this folder was put together wrongly",
                    self.contest
                )),
                _ => Fate::of(journal, Some(&self.held)),
            };
            let publish = matches!(fate, Fate::Publish { .. }) && !self.extent.dry_run;
            let mut report = fate.report(journal, redis_seq);
            if publish && let Some(journal) = self.one(journal, board, &mut report) {
                published.push((reports.len(), journal));
            }
            reports.push(report);
        }
        if !published.is_empty() {
            self.verify(board, &mut reports, &published);
        }
        reports
    }

    /// Publishes one stream and returns what was published. What goes wrong is said of this stream.
    fn one(&mut self, journal: &Journal, board: &Board, report: &mut StreamReport) -> Option<Journal> {
        let done = self.put(journal, report);
        match done {
            Ok(journal) => {
                report.action = Action::Published;
                report.journal_seq = journal.found.last_seq;
                report.text = format!("{}: published", report.text);
                return Some(journal);
            }
            Err(Hitch::Busy) => {
                report.action = Action::Skipped;
                report.text = "left alone: somebody else has just begun to finish it".to_owned();
            }
            Err(Hitch::Over(journal)) => self.compare(&journal, board, report),
            Err(Hitch::Refused(text)) => (report.action, report.text) = (Action::Refused, text),
        }
        None
    }

    /// Ends a stream where its process could not, and puts what of it is certainly on disk.
    fn put(&self, journal: &Journal, report: &mut StreamReport) -> Result<Journal, Hitch> {
        if !journal.has_ended() {
            match journal::close(&journal.folder) {
                Ok(()) => report.closed = true,
                // Somebody else was faster: what he ended is published.
                Err(JournalError::Ended { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        stream::settle(&journal.folder)?;
        let settled = Journal::read(&journal.folder, &|_| ())?;
        if settled.live && !settled.has_ended() {
            return Err(Hitch::Busy);
        }
        // Whoever ended it may not have given back its lock yet.
        let settled = Journal { live: false, ..settled };
        match Fate::of(&settled, Some(&self.held)) {
            Fate::Complete | Fate::Publish { close: false } => {}
            Fate::Refuse(text) => return Err(Hitch::Refused(text)),
            Fate::Skip(_) | Fate::Publish { close: true } => {
                return Err(Hitch::Refused("refused: its end marker is not there after it was written".to_owned()));
            }
        }
        let config = PublisherConfig {
            address: self.redis.clone(),
            contest: self.contest.clone(),
            round: self.round,
            stream: settled.folder.stream,
            contestants: settled.names.as_ref().map(|(_, names)| names.clone()).unwrap_or_default(),
        };
        let seq = settled.found.last_seq;
        let done = Publisher::rejoin(config, &self.peers)
            .and_then(|publisher| publisher.end(seq, settled.all_rows(), TIMEOUT));
        match done {
            Ok(()) => Ok(settled),
            Err(ScoreboardError::RoundClosed(_)) => Err(Hitch::Over(Box::new(settled))),
            Err(error) => Err(Hitch::Refused(format!("refused: it did not reach Redis: {error}"))),
        }
    }

    /// The round was sealed meanwhile: Redis has all of the stream or it has not.
    fn compare(&mut self, journal: &Journal, board: &Board, report: &mut StreamReport) {
        report.journal_seq = journal.found.last_seq;
        match board.round(&self.contest, self.round) {
            Ok(held) => self.held = held,
            Err(error) => {
                (report.action, report.text) = (Action::Refused, format!("refused: its round is closed: {error}"));
                return;
            }
        }
        (report.action, report.text) = match Fate::of(journal, Some(&self.held)) {
            Fate::Complete => (Action::None, "Redis has all of it".to_owned()),
            Fate::Refuse(text) => (Action::Refused, text),
            Fate::Skip(_) | Fate::Publish { .. } => {
                (Action::Refused, "refused: its round took no points just now; try again".to_owned())
            }
        };
    }

    /// Looks again at what was published: only what Redis then says has been done.
    fn verify(&mut self, board: &Board, reports: &mut [StreamReport], published: &[(usize, Journal)]) {
        let looked = board.round(&self.contest, self.round).map(|held| self.held = held);
        for (index, journal) in published {
            let report = &mut reports[*index];
            if let Err(error) = &looked {
                report.action = Action::Refused;
                report.text = format!("it was published, and Redis does not say whether it has it: {error}");
                continue;
            }
            let names = journal.names.as_ref().map_or(&[][..], |(_, names)| names);
            let held = self.held.streams.get(&journal.folder.stream);
            let whole = held.is_some_and(|held| {
                held.end.is_some()
                    && held.whole_up_to() >= journal.last_counted
                    && differing(held, names, &journal.rows).is_none()
            });
            if !whole {
                report.action = Action::Refused;
                report.text =
                    "it was published, and Redis says something else now: somebody else writes there".to_owned();
            }
        }
    }

    /// Puts back what was decided of steps, where Redis lacks it. Nothing to say where nothing was.
    fn decisions(&self, journals: &[Journal]) -> Option<DecisionsReport> {
        let decided = journals.iter().flat_map(|journal| &journal.decided);
        let decided: BTreeMap<u32, Decided> = decided.map(|decided| (decided.step, decided.clone())).collect();
        if decided.is_empty() || self.held.state.is_none() {
            return None;
        }
        let (put_back, refused) = match self.put_decisions(journals, &decided) {
            Ok(put_back) => (put_back, None),
            Err(message) => (0, Some(message)),
        };
        let report =
            DecisionsReport { round: self.round.to_string(), contest: self.contest.clone(), put_back, refused };
        (report.put_back > 0 || report.refused.is_some()).then_some(report)
    }

    fn put_decisions(&self, journals: &[Journal], decided: &BTreeMap<u32, Decided>) -> Result<usize, String> {
        let contest = journals.iter().find_map(|journal| beginning::contest(&journal.document));
        let contest = contest.ok_or("the contest of the round cannot be read")?;
        let names = journals.iter().filter_map(|journal| journal.names.as_ref().map(|(_, names)| names));
        let names = names.max_by_key(|names| names.len()).map_or(&[][..], |names| names);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let decisions = steps::decided_again(&contest, decided, &names)?;
        let mut scoreboard = Scoreboard::open(self.redis.clone()).map_err(|error| error.to_string())?;
        let put = decisions.iter().map(|decision| scoreboard.put_step(&self.contest, &self.round, decision));
        let put: Result<Vec<bool>, ScoreboardError> = put.collect();
        Ok(put.map_err(|error| error.to_string())?.into_iter().filter(|put| *put).count())
    }

    /// Seals the round when all its streams have ended.
    fn seal(&self, whole: bool) -> RoundReport {
        let seal = || Scoreboard::open(self.redis.clone())?.seal_round(&self.contest, &self.round, &[]);
        let (sealed, text) = if self.held.state == Some(State::Sealed) {
            (true, "was sealed before".to_owned())
        } else if let Some(stream) = self.lost {
            let text = format!(
                "not sealed: nothing is left of stream {stream}, and nobody can say whether it ever began; look for another copy, \
                 or seal without it by --without {stream}"
            );
            (false, text)
        } else if let Some(folder) = self.extent.empty.get(&self.round) {
            let text = format!(
                "not sealed: no stream is seen in {}, and nobody can say whether one lies or lay there; make it readable, look for \
                 another copy, or remove it when none ever began there",
                shown(folder)
            );
            (false, text)
        } else if !whole {
            (false, "not sealed: not all of its streams could be published".to_owned())
        } else {
            match seal() {
                Ok(()) if self.was_lost => (
                    true,
                    "sealed; Redis had lost it, so what it counts is the streams whose journals were named here"
                        .to_owned(),
                ),
                Ok(()) => (true, "sealed".to_owned()),
                Err(error) => (false, format!("not sealed: {error}")),
            }
        };
        RoundReport { round: self.round.to_string(), contest: self.contest.clone(), sealed, text }
    }
}
