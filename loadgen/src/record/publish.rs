//! The scoreboard's side of a run: rows go to the publisher, and a keeper keeps the control document and shows
//! contestants why they lost points.
//!
//! Both are threads of their own, so no outage of Redis reaches the run.

use crate::Failed;
use crate::record::recorder::Fresh;
use crate::record::recorder::explain::Explained;
use flowtest_contest::{Contest, Control, State};
use flowtest_contract::{RoundId, Row, StreamId};
use flowtest_scoreboard::{
    ExplainedError, Prepared, Publisher, PublisherConfig, RedisAddress, Scoreboard, ScoreboardError,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the final rows may take to reach a Redis that is away.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often the control document is looked after.
const CONTROL_INTERVAL: Duration = Duration::from_secs(1);
/// Explained failures that wait for a Redis that is away; more are forgotten, since they explain and do not count.
const WAITING_MAX: usize = 64;

/// An open round.
#[derive(Debug)]
pub struct Board {
    publisher: Publisher,
    keeper: ControlKeeper,
}

impl Board {
    /// Creates the round, joins it with this stream, and writes the control document: the round is ours alone.
    pub fn open(redis: &RedisAddress, contest: &Contest, round: RoundId, stream: StreamId) -> Result<Board, Failed> {
        let mut control = Control::new(contest.clone());
        control.round = Some(round);
        control.state = State::Running;
        control.split = vec![stream.to_string()];
        Board::begin(redis, contest, round, stream, Some(control))
    }

    /// Joins a round with this stream. The control document is somebody else's.
    pub fn join(redis: &RedisAddress, contest: &Contest, round: RoundId, stream: StreamId) -> Result<Board, Failed> {
        Board::begin(redis, contest, round, stream, None)
    }

    fn begin(
        redis: &RedisAddress,
        contest: &Contest,
        round: RoundId,
        stream: StreamId,
        control: Option<Control>,
    ) -> Result<Board, Failed> {
        let mut scoreboard = Scoreboard::open(redis.clone())?;
        scoreboard.open_round(&contest.name, &round)?;
        let publisher = Publisher::start(PublisherConfig {
            address: redis.clone(),
            contest: contest.name.clone(),
            round,
            stream,
            contestants: contest.contestants.iter().map(|contestant| contestant.name.clone()).collect(),
        })?;
        if let Some(control) = &control {
            scoreboard.write_control(control)?;
        }
        let keeper = ControlKeeper::start(scoreboard, contest.name.clone(), control)?;
        Ok(Board { publisher, keeper })
    }

    /// The newest cumulative rows.
    pub fn publish(&self, seq: u64, rows: Arc<[Row]>) {
        self.publisher.publish(seq, rows);
    }

    /// Tells Redis what is on disk, and contestants why they lost points; `key` names them by their place in the roster.
    pub fn pass_on(&self, fresh: Fresh, key: impl Fn(usize) -> String) {
        if let Some((seq, rows)) = fresh.durable {
            self.publish(seq, rows);
        }
        for Explained { contestant, error } in fresh.explained {
            self.explain(key(usize::from(contestant)), error);
        }
    }

    /// The number of the newest rows that Redis has.
    pub fn put_seq(&self) -> u64 {
        self.publisher.health().put_seq
    }

    /// The last rows and the end marker of a stream that leaves a round to others.
    pub fn end(self, seq: u64, rows: Arc<[Row]>, timeout: Duration) -> Result<(), ScoreboardError> {
        self.publisher.end(seq, rows, timeout)?;
        self.keeper.finish(State::Draining)
    }

    /// Why a contestant lost points. Forgotten when too many wait.
    pub fn explain(&self, contestant: String, error: ExplainedError) {
        self.keeper.explain(contestant, error);
    }

    /// What the prepare check of a contestant found. An outage delays it; the newest word is the one that is told.
    pub fn prepared(&self, contestant: String, found: Prepared) {
        self.keeper.prepared.lock().insert(contestant, found);
    }

    /// The last rows, the end marker, the seal; then the control document says so.
    pub fn finish(self, seq: u64, rows: Arc<[Row]>) -> Result<(), Failed> {
        self.publisher.finish(seq, rows, TIMEOUT)?;
        self.keeper.finish(State::Sealed)?;
        Ok(())
    }

    /// The round was not played to its end.
    pub fn abort(self) -> Result<(), Failed> {
        self.keeper.finish(State::Aborted)?;
        Ok(())
    }
}

enum Message {
    Explain(String, ExplainedError),
    End(State),
}

/// Keeps the control document in a Redis that may be wiped.
#[derive(Debug)]
struct ControlKeeper {
    messages: mpsc::SyncSender<Message>,
    /// What Redis has not been told yet, by contestant.
    prepared: Arc<Mutex<BTreeMap<String, Prepared>>>,
    thread: JoinHandle<Result<(), ScoreboardError>>,
}

impl ControlKeeper {
    /// Keeps `control`, if it is ours to keep.
    fn start(
        mut scoreboard: Scoreboard,
        contest: String,
        mut control: Option<Control>,
    ) -> Result<ControlKeeper, Failed> {
        let (messages, inbox) = mpsc::sync_channel(WAITING_MAX);
        let prepared = Arc::new(Mutex::new(BTreeMap::new()));
        let to_tell = prepared.clone();
        let watch = move || {
            let mut keep_at = Instant::now() + CONTROL_INTERVAL;
            // After a failure nothing is explained until the next look at the control document.
            let mut away = false;
            loop {
                match inbox.recv_timeout(keep_at.saturating_duration_since(Instant::now())) {
                    Ok(Message::End(state)) => {
                        let _ = tell_prepared(&mut scoreboard, &contest, &to_tell);
                        let Some(control) = &mut control else { return Ok(()) };
                        control.state = state;
                        control.revision += 1;
                        return scoreboard.write_control(control);
                    }
                    // An outage is no error here: the journal has more of the same.
                    Ok(Message::Explain(contestant, error)) if !away => {
                        away = scoreboard.push_errors(&contest, &contestant, &[error]).is_err();
                    }
                    Ok(Message::Explain(..)) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                }
                if Instant::now() >= keep_at {
                    away = control.as_ref().is_some_and(|control| keep(&mut scoreboard, control).is_err());
                    away |= tell_prepared(&mut scoreboard, &contest, &to_tell).is_err();
                    keep_at = Instant::now() + CONTROL_INTERVAL;
                }
            }
        };
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(watch)
            .map_err(|error| Failed::Message(format!("no thread for the control document ({error})")))?;
        Ok(ControlKeeper { messages, prepared, thread })
    }

    fn explain(&self, contestant: String, error: ExplainedError) {
        let _ = self.messages.try_send(Message::Explain(contestant, error));
    }

    fn finish(self, state: State) -> Result<(), ScoreboardError> {
        // Fails only when the thread has ended, whose result says why.
        let _ = self.messages.send(Message::End(state));
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Tells what waits; what Redis does not take waits on, unless there is a newer word by then.
fn tell_prepared(
    scoreboard: &mut Scoreboard,
    contest: &str,
    prepared: &Mutex<BTreeMap<String, Prepared>>,
) -> Result<(), ScoreboardError> {
    let taken = std::mem::take(&mut *prepared.lock());
    let told = scoreboard.write_prepared(contest, &taken);
    if told.is_err() {
        let mut waiting = prepared.lock();
        for (contestant, found) in taken {
            waiting.entry(contestant).or_insert(found);
        }
    }
    told
}

/// Writes the control document again where it is gone.
fn keep(scoreboard: &mut Scoreboard, control: &Control) -> Result<(), ScoreboardError> {
    match scoreboard.read_control(&control.contest.name)? {
        Some(_) => Ok(()),
        None => scoreboard.write_control(control),
    }
}
