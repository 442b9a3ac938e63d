//! `rebuild`: publishes whatever Redis lacks, from any journals. It is how a wiped Redis comes back and how the disk of a
//! dead host is drained.
//!
//! It never makes Redis say less: a stream that Redis holds further than the journal is refused, a sealed round is only
//! compared, and a stream whose generator lives is left to it.

mod journal;
mod report;

pub use report::{Action, Report, RoundReport, StreamReport};

use crate::audit::DIFFERENT;
use crate::audit::redis::{Board, HeldRound, HeldStream};
use crate::cli::journal::Rebuild;
use crate::{Failed, folders};
use flowtest_contract::{RoundId, StreamId};
use flowtest_journal::JournalError;
use flowtest_journal::stream::StreamFolder;
use flowtest_scoreboard::connection::Address;
use flowtest_scoreboard::{Publisher, PublisherConfig, Row, Scoreboard, ScoreboardError, State};
use journal::Journal;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How long one stream may take to reach a Redis that is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where Redis is.
#[derive(Clone)]
pub struct Access {
    pub url: String,
    /// Wins over a password in the URL.
    pub password: Option<String>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither URL nor password: logs are read by many.
        f.write_str("Access")
    }
}

/// How far it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extent {
    seal: bool,
    dry_run: bool,
}

/// Runs the command; the exit code says whether Redis has everything now.
pub fn rebuild(flags: &Rebuild) -> Result<u8, Failed> {
    let password = folders::password(flags.redis_password_file.as_deref())?;
    let found = folders::find(&flags.journals.journal)?;
    crate::output::prepare(flags.json.as_deref())?;
    let access = Access { url: flags.redis.clone(), password };
    let report = publish(&found, &access, Extent { seal: flags.seal, dry_run: flags.dry_run }, false)?;
    if let Some(path) = &flags.json {
        folders::write_json(&report, path)?;
    }
    if flags.json.as_deref() != Some(Path::new("-")) {
        // A closed pipe is the reader's wish, not a failure.
        let _ = writeln!(anstream::stdout().lock(), "{report}");
    }
    Ok(if report.complete { 0 } else { DIFFERENT })
}

/// Ends and publishes the streams under `dir` whose processes are gone: what a generator does before it begins its own.
/// Streams that are being written are left alone, and sealed rounds as well. A folder without journals is no error.
pub fn finish_orphans(dir: &Path, access: &Access) -> Result<Report, Failed> {
    let found = match flowtest_journal::stream::find(dir) {
        Err(JournalError::Missing { .. } | JournalError::NotAJournal { .. }) => Vec::new(),
        found => found?,
    };
    if found.is_empty() {
        return Ok(Report { complete: true, ..Report::default() });
    }
    publish(&found, access, Extent::default(), true)
}

fn publish(found: &[StreamFolder], access: &Access, extent: Extent, quiet: bool) -> Result<Report, Failed> {
    let board = Board::open(&access.url, access.password.as_deref())?;
    let bar = folders::bar(found.iter().map(folders::bytes).sum(), quiet);
    let mut report = Report::default();
    for streams in found.chunk_by(|a, b| a.round == b.round) {
        let mut journals = Vec::with_capacity(streams.len());
        for folder in streams {
            match Journal::read(folder, &|bytes| bar.inc(bytes)) {
                Ok(journal) => journals.push(journal),
                Err(error) => report.streams.push(unreadable(folder, &error)),
            }
        }
        let Some(contest) = contest(&journals) else {
            report.streams.extend(journals.iter().map(|journal| Fate::of(journal, None).report(journal, None)));
            continue;
        };
        let round = streams[0].round;
        let held = board.round(&contest, round)?;
        // Redis would wait for ever for one that never began.
        let idle: Vec<StreamId> =
            journals.iter().filter(|journal| journal.never_began()).map(|journal| journal.folder.stream).collect();
        let peers = streams.iter().map(|folder| folder.stream).filter(|stream| !idle.contains(stream)).collect();
        let was_lost = held.state.is_none();
        let mut rebuilding = Rebuilding { access, contest, round, held, was_lost, peers, extent };
        let done = rebuilding.streams(&journals, &board)?;
        let whole = journals.len() == streams.len()
            && journals.iter().zip(&done).all(|(journal, done)| match done.action {
                Action::None | Action::Published => true,
                Action::Skipped => journal.never_began(),
                Action::Missing | Action::Refused => false,
            });
        report.streams.extend(done);
        if extent.seal && !extent.dry_run {
            report.rounds.push(rebuilding.seal(whole)?);
        }
    }
    bar.finish_and_clear();
    let bad = report.count(Action::Refused) + report.count(Action::Missing);
    report.complete = bad == 0 && report.rounds.iter().all(|round| round.sealed);
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
        let Some((contest, names)) = &journal.names else {
            return Fate::Skip("nothing to publish: it was never begun");
        };
        if journal.overflows {
            return Fate::Refuse("refused: its sums are larger than Redis can hold".to_owned());
        }
        let sealed = held.is_some_and(|held| matches!(held.state, Some(State::Sealed | State::Aborted)));
        let stream = held.and_then(|held| held.streams.get(&journal.folder.stream));
        let seq = stream.and_then(|stream| stream.seq).unwrap_or(0);
        let last = journal.found.last_seq;
        if seq > last {
            return Fate::Refuse(format!(
                "refused: Redis holds it up to group {seq}, and this journal of {contest} ends at {last}: it has lost what \
                 Redis counts; look for another copy"
            ));
        }
        let complete = seq >= journal.last_counted && (stream.is_some() || (sealed && journal.last_counted == 0));
        if complete && let Some((name, row)) = stream.and_then(|stream| differing(stream, names, &journal.rows)) {
            return Fate::Refuse(format!(
                "refused: Redis says that it has all of it, but its row of {name} is another{}; audit it, and when the \
                 journal is right delete the fields q: and e: of this stream in Redis, and rebuild again",
                if row { "" } else { " or missing" }
            ));
        }
        let ended = stream.is_some_and(|stream| stream.end.is_some());
        match (complete, sealed) {
            (true, true) => Fate::Complete,
            (true, false) if ended && journal.has_ended() => Fate::Complete,
            (false, true) => Fate::Refuse(format!(
                "refused: the round takes no more points; Redis holds it up to group {seq} of {last}"
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

/// The first contestant whose row in Redis is not the journal's, and whether there is one at all.
fn differing<'a>(held: &HeldStream, names: &'a [String], rows: &[Row]) -> Option<(&'a str, bool)> {
    let empty = Row::default();
    let mut both = names.iter().zip(rows);
    both.find(|(name, row)| held.rows.get(*name).unwrap_or(&empty) != *row)
        .map(|(name, _)| (name.as_str(), held.rows.contains_key(name)))
}

/// One round.
struct Rebuilding<'a> {
    access: &'a Access,
    contest: String,
    round: RoundId,
    /// What Redis holds of it, as it was last read.
    held: HeldRound,
    /// Redis did not know it before.
    was_lost: bool,
    /// All streams of the round that lie here: none is sealed without them.
    peers: Vec<StreamId>,
    extent: Extent,
}

impl Rebuilding<'_> {
    fn streams(&mut self, journals: &[Journal], board: &Board) -> Result<Vec<StreamReport>, Failed> {
        let mut reports = Vec::with_capacity(journals.len());
        let mut published: BTreeMap<StreamId, usize> = BTreeMap::new();
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
            if publish {
                self.one(journal, &mut report)?;
                if report.action == Action::Published {
                    published.insert(journal.folder.stream, reports.len());
                }
            }
            reports.push(report);
        }
        if !published.is_empty() {
            self.held = board.round(&self.contest, self.round)?;
            self.verify(journals, &mut reports, &published);
        }
        Ok(reports)
    }

    /// Publishes one stream, after ending it where its process could not.
    fn one(&self, journal: &Journal, report: &mut StreamReport) -> Result<(), Failed> {
        let mut seq = journal.found.last_seq;
        if !journal.has_ended() {
            match journal::close(&journal.folder) {
                Ok(last) => (seq, report.closed, report.journal_seq) = (last, true, last),
                Err(JournalError::Locked { .. }) => {
                    report.action = Action::Skipped;
                    report.text = "left alone: somebody else has just begun to finish it".to_owned();
                    return Ok(());
                }
                Err(error) => {
                    report.action = Action::Refused;
                    report.text = format!("refused: its end marker cannot be written: {error}");
                    return Ok(());
                }
            }
        }
        let names = journal.names.as_ref().map(|(_, names)| names.clone()).unwrap_or_default();
        let config = PublisherConfig {
            url: self.access.url.clone(),
            password: self.access.password.clone(),
            contest: self.contest.clone(),
            round: self.round,
            stream: journal.folder.stream,
            contestants: names,
            allow_volatile: false,
        };
        Publisher::rejoin(config, &self.peers)?.end(seq, journal.rows.clone().into(), PATIENCE)?;
        report.action = Action::Published;
        report.text = format!("{}: published", report.text);
        Ok(())
    }

    /// Looks again at what was published: only what Redis then says has been done.
    fn verify(&self, journals: &[Journal], reports: &mut [StreamReport], published: &BTreeMap<StreamId, usize>) {
        for journal in journals {
            let id = journal.folder.stream;
            let Some(report) = published.get(&id).map(|index| &mut reports[*index]) else { continue };
            let names = journal.names.as_ref().map_or(&[][..], |(_, names)| names);
            let held = self.held.streams.get(&id);
            let whole = held.is_some_and(|held| {
                held.end.is_some()
                    && held.seq >= Some(journal.last_counted)
                    && differing(held, names, &journal.rows).is_none()
            });
            if !whole {
                report.action = Action::Refused;
                report.text =
                    "it was published, and Redis says something else now: somebody else writes there".to_owned();
            }
        }
    }

    /// Seals the round when all its streams have ended.
    fn seal(&self, whole: bool) -> Result<RoundReport, Failed> {
        let (sealed, text) = if self.held.state == Some(State::Sealed) {
            (true, "was sealed before".to_owned())
        } else if !whole {
            (false, "not sealed: not all of its streams could be published".to_owned())
        } else {
            let address = Address::new(&self.access.url, self.access.password.as_deref(), false)?;
            match Scoreboard::open(address)?.seal_round(&self.contest, &self.round, &[]) {
                Ok(()) if self.was_lost => (
                    true,
                    "sealed; Redis had lost it, so what it counts is the streams whose journals were named here"
                        .to_owned(),
                ),
                Ok(()) => (true, "sealed".to_owned()),
                Err(error @ (ScoreboardError::Missing { .. } | ScoreboardError::RoundClosed(_))) => {
                    (false, format!("not sealed: {error}"))
                }
                Err(error) => return Err(error.into()),
            }
        };
        Ok(RoundReport { round: self.round.to_string(), contest: self.contest.clone(), sealed, text })
    }
}
