//! The end of a round at one generator: the last rows with the end marker, then, once all have ended, the seal.
//!
//! A thread per round, so that the next one may be armed while Redis is away. What is on disk is safe without any of this:
//! `rebuild` does the same from the journal, and so does the next process that serves from this folder.

use super::Home;
use super::round_runner::FinishedRound;
use crate::play::driver::{Ended, Totals};
use flowtest_contract::RoundId;
use flowtest_contract::text::shown;
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
/// How long a process that is asked to end waits for Redis.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(20);
/// And a little longer for whoever waits to say how that ended: one question to a Redis that hangs.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Rounds that are over here and not yet everywhere.
#[derive(Debug)]
pub(super) struct RoundEnds {
    place: Place,
    finishing: Vec<(RoundId, JoinHandle<Published>)>,
    /// Of which Redis has not got all from here.
    unpublished: Vec<RoundId>,
    leaving: Arc<AtomicBool>,
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
        let (id, place, leaving) = (over.id, self.place.clone(), self.leaving.clone());
        let thread = thread::Builder::new().name("round_ends".to_owned()).spawn(move || finish(over, &place, &leaving));
        match thread {
            Ok(thread) => self.finishing.push((id, thread)),
            Err(error) => {
                eprintln!("flowtest-loadgen: no thread to end the round with ({error}): run rebuild");
                self.unpublished.push(id);
            }
        }
    }

    /// Lets go of what is done.
    pub(super) fn look(&mut self) {
        let done: Vec<_> = self.finishing.extract_if(.., |(_, thread)| thread.is_finished()).collect();
        for (round, thread) in done {
            let published = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if published == Published::NotAll {
                self.unpublished.push(round);
            }
        }
    }

    pub(super) fn is_busy_with(&self, round: Option<RoundId>) -> bool {
        self.finishing.iter().any(|(finishing, _)| Some(*finishing) == round)
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
        self.unpublished.extend(self.finishing.iter().map(|(round, _)| *round));
        for round in &self.unpublished {
            let advice = self.place.advice();
            eprintln!("flowtest-loadgen: round {round}: not all points have come to Redis from here; {advice}");
        }
        self.unpublished.is_empty()
    }
}

fn finish(over: FinishedRound, place: &Place, leaving: &AtomicBool) -> Published {
    let tell = |error: &dyn std::fmt::Display| eprintln!("flowtest-loadgen: round {}: {error}", over.id);
    let Ended { result, board, broken } = over.ended;
    if let Some(broken) = &broken {
        tell(broken);
    }
    let Totals { seq, rows, closed, .. } = match result {
        Ok(totals) => totals,
        Err(error) => {
            tell(&error);
            return Published::NotAll;
        }
    };
    if let Err(error) = closed.write() {
        tell(&error);
    }
    // Whoever is asked to end meanwhile waits for a while from then on.
    let (latest, leave_by) = (Instant::now() + ROWS_TIMEOUT, OnceCell::new());
    let until = || match leaving.load(Ordering::Relaxed) {
        true => latest.min(*leave_by.get_or_init(|| Instant::now() + LEAVE_TIMEOUT)),
        false => latest,
    };
    if let Err(error) = board.map_or(Ok(()), |board| board.end(seq, rows, ROWS_TIMEOUT, until)) {
        match error {
            ScoreboardError::Timeout { .. } => tell(&format_args!("{error}; {}", place.advice())),
            // A stream that somebody abandoned, or a round that was given up: nothing is missed.
            ScoreboardError::RoundClosed(_) => {
                tell(&error);
                return Published::All;
            }
            error => tell(&error),
        }
        return Published::NotAll;
    }
    if over.at_its_end && !over.aborted {
        seal_when_all_have_ended(&over.contest, &over.id, place, leaving);
    }
    Published::All
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
