//! The end of a round at one generator: the last rows with the end marker, then, once all have ended, the seal.
//!
//! A thread per round, so that the next one may be armed while Redis is away. What is on disk is safe without any of this:
//! `rebuild` does the same from the journal.

use super::round_runner::FinishedRound;
use crate::play::driver::{Ended, Totals};
use flowtest_contract::RoundId;
use flowtest_scoreboard::{RedisAddress, Scoreboard, ScoreboardError};
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

/// Rounds that are over here and not yet everywhere.
#[derive(Debug)]
pub(super) struct RoundEnds {
    redis: RedisAddress,
    finishing: Vec<(RoundId, JoinHandle<()>)>,
    leaving: Arc<AtomicBool>,
}

impl RoundEnds {
    pub(super) fn new(redis: RedisAddress) -> RoundEnds {
        RoundEnds { redis, finishing: Vec::new(), leaving: Arc::default() }
    }

    /// Begins to end a round.
    pub(super) fn finish(&mut self, over: FinishedRound) {
        let (id, redis, leaving) = (over.id, self.redis.clone(), self.leaving.clone());
        let thread = thread::Builder::new().name("round_ends".to_owned()).spawn(move || finish(over, &redis, &leaving));
        match thread {
            Ok(thread) => self.finishing.push((id, thread)),
            Err(error) => eprintln!("flowtest-loadgen: no thread to end the round with ({error}): run rebuild"),
        }
    }

    /// Lets go of what is done.
    pub(super) fn look(&mut self) {
        self.finishing.retain(|(_, thread)| !thread.is_finished());
    }

    pub(super) fn is_busy_with(&self, round: Option<RoundId>) -> bool {
        self.finishing.iter().any(|(finishing, _)| Some(*finishing) == round)
    }

    /// The process ends; what does not come through now is left to `rebuild`.
    pub(super) fn wait(mut self) {
        self.leaving.store(true, Ordering::Relaxed);
        let until = Instant::now() + LEAVE_TIMEOUT;
        while !self.finishing.is_empty() && Instant::now() < until {
            self.look();
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn finish(over: FinishedRound, redis: &RedisAddress, leaving: &AtomicBool) {
    let tell = |error: &dyn std::fmt::Display| eprintln!("flowtest-loadgen: round {}: {error}", over.id);
    let Ended { result, board, broken } = over.ended;
    if let Some(broken) = &broken {
        tell(broken);
    }
    let Totals { seq, rows, closed, .. } = match result {
        Ok(totals) => totals,
        Err(error) => return tell(&error),
    };
    if let Err(error) = closed.write() {
        tell(&error);
    }
    let timeout = if leaving.load(Ordering::Relaxed) { LEAVE_TIMEOUT } else { ROWS_TIMEOUT };
    match board.map_or(Ok(()), |board| board.end(seq, rows, timeout)) {
        Err(error @ ScoreboardError::Timeout { .. }) => {
            return tell(&format_args!("{error}; they are in this generator's journal: publish them by rebuild"));
        }
        Err(error) => return tell(&error),
        Ok(()) => {}
    }
    if over.aborted || !over.at_its_end {
        return;
    }
    let until = Instant::now() + SEAL_TIMEOUT;
    while let Err(error) = seal(redis, &over.contest, &over.id) {
        // Somebody else has sealed it, or it is nobody's any more.
        if matches!(error, ScoreboardError::RoundClosed(_) | ScoreboardError::RoundUnknown(_)) {
            return;
        }
        if Instant::now() >= until || leaving.load(Ordering::Relaxed) {
            return tell(&error);
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
