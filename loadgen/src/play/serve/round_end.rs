//! The end of a round at one generator: the last rows with the end marker, then, once all have ended, the seal.
//!
//! A thread per round, so that the next one may be armed while Redis is away. What is on disk is safe without any of this:
//! `rebuild` does the same from the journal, and so does the next process that serves from this folder.

use super::home::Home;
use crate::journal::rebuild::{Action, RebuildReport, finish_orphans};
use crate::play::driver::{Ended, Totals};
use flowtest_contract::text::shown;
use flowtest_contract::{RoundId, StreamId};
use flowtest_scoreboard::{RedisAddress, Scoreboard, ScoreboardError};
use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the final rows may take to reach a Redis that is away.
const ROWS_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the others are waited for; after that sealing is the organiser's.
const SEAL_TIMEOUT: Duration = Duration::from_secs(600);
/// How often it is tried.
const SEAL_EVERY: Duration = Duration::from_millis(500);
/// How often it is tried to end a stream by its journal that could not be ended here.
const JOURNAL_EVERY: Duration = Duration::from_secs(5);
/// How long a process that is asked to end waits for Redis.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(20);
/// And a little longer for whoever waits to say how that ended: one question to a Redis that hangs.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A round that is over for its workers.
#[derive(Debug)]
pub struct FinishedRound {
    pub id: RoundId,
    pub stream: StreamId,
    pub contest: String,
    pub ended: Ended,
    pub aborted: bool,
    /// The plan was played to its end, or stopped by the organiser: nobody may join any more.
    pub at_its_end: bool,
}

/// Rounds that are over here and not yet everywhere.
#[derive(Debug)]
pub(super) struct RoundEnds {
    place: Place,
    finishing: Vec<Finishing>,
    /// Of which Redis has not got all from here.
    unpublished: Vec<RoundId>,
    leaving: Arc<AtomicBool>,
}

/// A round whose end a thread sees to.
#[derive(Debug)]
struct Finishing {
    round: RoundId,
    thread: JoinHandle<Published>,
    /// The round may be joined anew, by another stream: this one waits for its journal.
    may_rejoin: Arc<AtomicBool>,
}

/// Where the rows of a round go, and where they lie.
#[derive(Clone, Debug)]
struct Place {
    redis: RedisAddress,
    journal: PathBuf,
}

impl Place {
    /// What somebody is to do whose rows have not come to Redis.
    fn advice(&self) -> String {
        format!(
            "they are in this generator's journal: serve from it again, or publish them by flowtest-loadgen rebuild --journal {} \
             --redis {}",
            shown(&self.journal),
            self.redis
        )
    }
}

/// Whether Redis has all of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Published {
    All,
    /// It was told what is to be done.
    NotAll,
}

impl RoundEnds {
    pub(super) fn new(home: &Home) -> RoundEnds {
        let place = Place { redis: home.redis.clone(), journal: home.journal.clone() };
        RoundEnds { place, finishing: Vec::new(), unpublished: Vec::new(), leaving: Arc::default() }
    }

    /// Begins to end a round.
    pub(super) fn finish(&mut self, over: FinishedRound) {
        self.begin(over.id, false, |end| end.finish(over));
    }

    /// Begins to end a stream whose registration failed: Redis may know of it all the same, and then nobody can seal the round
    /// without its end. The round may be armed again meanwhile.
    pub(super) fn finish_unarmed(&mut self, contest: String, round: RoundId, stream: StreamId) {
        self.begin(round, true, move |end| end.finish_if_registered(&contest, round, stream));
    }

    fn begin(&mut self, round: RoundId, may_rejoin: bool, finish: impl FnOnce(&End) -> Published + Send + 'static) {
        let may_rejoin = Arc::new(AtomicBool::new(may_rejoin));
        let end = End { place: self.place.clone(), leaving: self.leaving.clone(), may_rejoin: may_rejoin.clone() };
        match thread::Builder::new().name("round_ends".to_owned()).spawn(move || finish(&end)) {
            Ok(thread) => self.finishing.push(Finishing { round, thread, may_rejoin }),
            Err(error) => {
                eprintln!("flowtest-loadgen: no thread to end the round with ({error}): run rebuild");
                self.unpublished.push(round);
            }
        }
    }

    /// Lets go of what is done.
    pub(super) fn look(&mut self) {
        let done: Vec<_> = self.finishing.extract_if(.., |finishing| finishing.thread.is_finished()).collect();
        for Finishing { round, thread, .. } in done {
            // A panic was told when it came, and ends no round that is played now.
            let published = thread.join().unwrap_or(Published::NotAll);
            if published == Published::NotAll {
                self.unpublished.push(round);
            }
        }
    }

    pub(super) fn is_busy_with(&self, round: Option<RoundId>) -> bool {
        let is_busy = |finishing: &Finishing| !finishing.may_rejoin.load(Ordering::Relaxed);
        self.finishing.iter().any(|finishing| Some(finishing.round) == round && is_busy(finishing))
    }

    /// The process is to end: from now on nobody waits long for Redis.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Waits for the end of all; says whether Redis has everything. What does not come through now is left to `rebuild`.
    pub(super) fn wait(mut self) -> bool {
        let until = Instant::now() + LEAVE_TIMEOUT + LAST_WORDS;
        while !self.finishing.is_empty() && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
            self.look();
        }
        self.unpublished.extend(self.finishing.iter().map(|finishing| finishing.round));
        for round in &self.unpublished {
            let advice = self.place.advice();
            eprintln!("flowtest-loadgen: round {round}: not all points have come to Redis from here; {advice}");
        }
        self.unpublished.is_empty()
    }
}

/// What ends one round, on a thread of its own.
#[derive(Debug)]
struct End {
    place: Place,
    leaving: Arc<AtomicBool>,
    may_rejoin: Arc<AtomicBool>,
}

impl End {
    fn finish(&self, over: FinishedRound) -> Published {
        let tell = |error: &dyn std::fmt::Display| eprintln!("flowtest-loadgen: round {}: {error}", over.id);
        let Ended { result, board, broken } = over.ended;
        if let Some(broken) = &broken {
            tell(broken);
        }
        // Whoever is asked to end meanwhile waits for a while from then on.
        let (latest, leave_by) = (Instant::now() + ROWS_TIMEOUT, OnceCell::new());
        let until = || match self.leaving.load(Ordering::Relaxed) {
            true => latest.min(*leave_by.get_or_init(|| Instant::now() + LEAVE_TIMEOUT)),
            false => latest,
        };
        let Totals { seq, rows, closed, .. } = match result {
            Ok(totals) => totals,
            Err(error) => {
                tell(&error);
                drop(board);
                return self.finish_by_journal(over.stream, until);
            }
        };
        if let Err(error) = closed.write() {
            tell(&error);
        }
        match board.map_or(Ok(()), |board| board.end(seq, rows, ROWS_TIMEOUT, until)) {
            Ok(()) => {}
            // Nobody counts what was given up.
            Err(ScoreboardError::RoundClosed(_)) if over.aborted => {}
            Err(error @ ScoreboardError::Timeout { .. }) => {
                tell(&format_args!("{error}; {}", self.place.advice()));
                return Published::NotAll;
            }
            Err(error) => {
                tell(&error);
                return Published::NotAll;
            }
        }
        if over.at_its_end && !over.aborted {
            seal_when_all_have_ended(&over.contest, &over.id, &self.place, &self.leaving);
        }
        Published::All
    }

    /// The registration failed: where Redis knows the stream all the same it gets its end. Whoever leaves waits for nothing:
    /// the next process that serves from this folder does it.
    fn finish_if_registered(&self, contest: &str, round: RoundId, stream: StreamId) -> Published {
        let latest = Instant::now() + ROWS_TIMEOUT;
        let until = || if self.leaving.load(Ordering::Relaxed) { Instant::now() } else { latest };
        let read = || Scoreboard::open(self.place.redis.clone())?.read_round(contest, &round);
        loop {
            match read() {
                Ok(totals) if totals.streams.iter().any(|known| known.id == stream) => {
                    return self.finish_by_journal(stream, until);
                }
                Ok(_) | Err(ScoreboardError::RoundUnknown(_)) => return Published::All,
                Err(_) if Instant::now() >= until() => return Published::NotAll,
                Err(_) => thread::sleep(SEAL_EVERY),
            }
        }
    }

    /// The recorder failed: as after the death of a process, what is on disk is published and its end written. Until it has one
    /// nobody can seal the round.
    fn finish_by_journal(&self, stream: StreamId, until: impl Fn() -> Instant) -> Published {
        let mut told = String::new();
        loop {
            let (published, text) = match finish_orphans(&self.place.journal, &self.place.redis) {
                Ok(report) => became(report, stream),
                Err(error) => (Published::NotAll, error.to_string()),
            };
            if text != told {
                eprintln!("flowtest-loadgen: stream {stream}: {text}");
                told = text;
            }
            if published == Published::All {
                return Published::All;
            }
            self.may_rejoin.store(true, Ordering::Relaxed);
            let next = Instant::now() + JOURNAL_EVERY;
            while Instant::now() < next {
                if Instant::now() >= until() {
                    return Published::NotAll;
                }
                thread::sleep(SEAL_EVERY);
            }
        }
    }
}

/// Whether Redis has all of a stream now, and what is to be told of it.
fn became(report: RebuildReport, stream: StreamId) -> (Published, String) {
    match report.streams.into_iter().find(|found| found.stream == stream.to_string()) {
        Some(found) if matches!(found.action, Action::None | Action::Published) => (Published::All, found.text),
        Some(found) => (Published::NotAll, found.text),
        None if report.unlisted.is_empty() => (Published::NotAll, "its journal is gone".to_owned()),
        // It may lie there.
        None => (Published::NotAll, report.unlisted.join("; ")),
    }
}

/// Until it is sealed, by whomever, or nobody waits for it any more.
fn seal_when_all_have_ended(contest: &str, round: &RoundId, place: &Place, leaving: &AtomicBool) {
    let until = Instant::now() + SEAL_TIMEOUT;
    while let Err(error) = seal(&place.redis, contest, round) {
        // Somebody else has sealed it, or it is nobody's any more.
        if matches!(error, ScoreboardError::RoundClosed(_) | ScoreboardError::RoundUnknown(_)) {
            return;
        }
        if Instant::now() >= until || leaving.load(Ordering::Relaxed) {
            eprintln!("flowtest-loadgen: round {round}: {error}");
            return;
        }
        thread::sleep(SEAL_EVERY);
    }
}

/// No stream may join any more; sealed once every one has ended.
fn seal(redis: &RedisAddress, contest: &str, round: &RoundId) -> Result<(), ScoreboardError> {
    let mut scoreboard = Scoreboard::open(redis.clone())?;
    scoreboard.drain_round(contest, round)?;
    scoreboard.seal_round(contest, round, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::rules::{Deadlines, Rules};
    use flowtest_contract::{Row, Tally};
    use flowtest_journal::record::{Batch, Entry, Start, Terms};
    use flowtest_journal::writer::{self, Writer};
    use flowtest_scoreboard::{Publisher, PublisherConfig};
    use flowtest_testkit::RedisServer;
    use std::path::Path;

    const CONTEST: &str = "finals";

    /// The journal of a recorder that failed after one request of alice.
    fn write_without_an_end(dir: &Path, round: RoundId, stream: StreamId, at: u64) {
        let mut counters = [0; Tally::LEN_FIRST];
        counters[0] = 1;
        let alice = Entry { counters, contestant: 0, scored: 1, latency: 0, service: 0 };
        let batch = Batch { from: at, to: at + 100_000, untraced: 1, entries: vec![alice], ..Batch::default() };
        let mut start = Start {
            at,
            clock_offset_us: 0,
            clock_error_us: 0,
            terms: Terms::new(&Rules::default(), &Deadlines::default()),
            contest: CONTEST.into(),
            names: Vec::new(),
            name_lens: Vec::new(),
            document: "{}".into(),
            program: "{}".into(),
        };
        start.set_names(["alice"]);
        let dir = dir.to_owned();
        let write = async move || {
            let mut writer = Writer::create_cached(&dir, round, stream, &start).await.expect("a stream");
            writer.append_batch(&batch).expect("it has room");
            writer.commit().await.expect("it is synced");
            writer.close().await.expect("it closes");
        };
        // On a thread of its own: when its ring goes, the kernel interrupts what the caller waits for.
        let work = move || writer::spawn(None, write).expect("an executor").join().expect("it is written");
        thread::spawn(work).join().expect("it is written");
    }

    /// A round with a stream that Redis knows and that lies in a folder without an end; then it is ended so, and the round sealed.
    fn ends_by(finish: impl FnOnce(&End, RoundId, StreamId) -> Published) {
        let (server, folder) = (RedisServer::start_tcp(&[]), tempfile::tempdir().expect("a folder"));
        let (round, stream) = (RoundId::from_bits(7), StreamId::from_bits(8));
        let redis = RedisAddress::new(&server.url()).expect("an address");
        let mut board = server.scoreboard();
        board.open_round(CONTEST, &round).expect("a round");
        let (contest, contestants) = (CONTEST.to_owned(), vec!["alice".to_owned()]);
        let config = PublisherConfig { address: redis.clone(), contest, round, stream, contestants };
        Publisher::start(config).expect("it joins").publish(1, vec![Row::default()].into());
        write_without_an_end(folder.path(), round, stream, flowtest_contract::utc_us().0);
        board.drain_round(CONTEST, &round).expect("it drains");
        board.seal_round(CONTEST, &round, &[]).expect_err("the stream has no end");
        let place = Place { redis, journal: folder.path().to_owned() };
        let end = End { place, leaving: Arc::default(), may_rejoin: Arc::default() };
        assert_eq!(finish(&end, round, stream), Published::All);
        board.seal_round(CONTEST, &round, &[]).expect("every stream has its end");
        let streams = board.read_round(CONTEST, &round).expect("it is there").streams;
        assert_eq!(streams.len(), 1, "nobody else was registered");
    }

    #[test]
    fn a_stream_whose_recorder_failed_has_its_end_before_the_process_has() {
        let until = Instant::now() + flowtest_testkit::WAIT_MAX;
        ends_by(|end, _, stream| end.finish_by_journal(stream, || until));
    }

    #[test]
    fn a_stream_is_gone_only_where_every_folder_could_be_listed() {
        let (stream, why) = (StreamId::from_bits(8), || "cannot list /journal/7: Input/output error".to_owned());
        let unlisted = RebuildReport::default().with_unlisted(vec![why()]);
        assert_eq!(became(unlisted, stream), (Published::NotAll, why()));
        assert_eq!(became(RebuildReport::default(), stream), (Published::NotAll, "its journal is gone".to_owned()));
    }

    #[test]
    fn a_stream_whose_registration_was_lost_has_its_end_where_redis_knows_it() {
        ends_by(|end, round, stream| {
            let unknown = end.finish_if_registered(CONTEST, round, StreamId::from_bits(9));
            assert_eq!(unknown, Published::All, "there is nothing to end");
            end.finish_if_registered(CONTEST, round, stream)
        });
    }
}
