//! The scoreboard's side of a run: rows go to the publisher, and a keeper keeps the control document and shows
//! contestants why they lost points.
//!
//! Both are threads of their own, so no outage of Redis reaches the run.

use crate::Failed;
use crate::engine::index::{ContestantIndex, Key};
use crate::record::recorder::Fresh;
use crate::record::recorder::explain::Explained;
use crate::record::standstill::{Change, Standstill, TELL_AFTER};
use flowtest_contest::breakpoint::Decision;
use flowtest_contest::{Contest, Control, State};
use flowtest_contract::{RoundId, RoundValidity, Row, StreamId};
use flowtest_scoreboard::{
    ExplainedError, Health, Prepared, Publisher, PublisherConfig, RedisAddress, Scoreboard, ScoreboardError,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the final rows may take to reach a Redis that is away.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The same of a round that was ended by hand: who does that waits for an end.
const STOPPED_TIMEOUT: Duration = Duration::from_secs(2);
/// While the end is waited for: how often it is looked at, and how often that is told, first and at the least.
const WAIT_LOOK: Duration = Duration::from_millis(20);
const WAIT_TOLD_MIN: Duration = Duration::from_secs(5);
const WAIT_TOLD_MAX: Duration = Duration::from_secs(60);
/// How often the control document is looked after.
const CONTROL_INTERVAL: Duration = Duration::from_secs(1);
/// Explained failures that wait for a Redis that is away; more are forgotten, since they explain and do not count.
const WAITING_MAX: usize = 64;

/// An open round.
#[derive(Debug)]
pub struct Board {
    redis: RedisAddress,
    publisher: Publisher,
    keeper: ControlKeeper,
    /// Under which name Redis keeps what is a contestant's own, by place in the roster.
    keys: Vec<String>,
    /// The number of the newest rows that were handed over.
    published: u64,
    standstill: Standstill,
    /// How the publisher fared when Redis last took something.
    moved: Health,
}

impl Board {
    /// Creates the round, joins it with this stream, and writes the control document: the round is ours alone.
    pub fn open(redis: &RedisAddress, contest: &Contest, round: RoundId, stream: StreamId) -> Result<Board, Failed> {
        let mut control = Control::new(contest.clone());
        control.round = Some(round);
        control.state = State::Running;
        control.split = vec![stream.to_string()];
        let keys = contest.contestants.iter().map(|contestant| contestant.name.clone()).collect();
        Board::begin(redis, contest, round, stream, keys, Some(control))
    }

    /// Joins a round with this stream. The control document is somebody else's.
    pub fn join(
        redis: &RedisAddress,
        contest: &Contest,
        round: RoundId,
        stream: StreamId,
        keys: Vec<String>,
    ) -> Result<Board, Failed> {
        Board::begin(redis, contest, round, stream, keys, None)
    }

    fn begin(
        redis: &RedisAddress,
        contest: &Contest,
        round: RoundId,
        stream: StreamId,
        keys: Vec<String>,
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
        let (standstill, moved) = (Standstill::default(), publisher.health());
        Ok(Board { redis: redis.clone(), publisher, keeper, keys, published: 0, standstill, moved })
    }

    /// The contestants' names in Redis, where they have changed.
    pub fn rename(&mut self, keys: Vec<String>) {
        self.keys = keys;
    }

    /// How much of what is scored so far is valid.
    pub fn note_validity(&self, validity: RoundValidity) {
        self.publisher.note_validity(validity);
    }

    /// All contestants, in the order of the rows: those from before, and who has joined behind them.
    pub fn set_contestants(&self, names: Vec<String>) {
        self.publisher.set_contestants(names);
    }

    /// Tells Redis what counts, and contestants why they lost points; says so when Redis does not follow.
    pub fn pass_on(&mut self, fresh: Fresh) {
        if let Some((seq, rows)) = fresh.durable {
            self.publisher.publish(seq, rows);
            self.published = seq;
        }
        for Explained { contestant, error } in fresh.explained {
            self.explain(contestant, error);
        }
        let health = self.publisher.health();
        let moved = health.put_seq >= self.published || health.put_seq > self.moved.put_seq;
        match self.standstill.look(Instant::now(), moved) {
            Some(Change::StandsStill) => eprintln!(
                "flowtest-loadgen: the scoreboard stands still: {}; the round goes on, and Redis gets everything when it \
                 answers again",
                cause(&self.redis, &health, &self.moved)
            ),
            Some(Change::GoesOn(after)) => {
                eprintln!("flowtest-loadgen: the scoreboard goes on after {} s", after.as_secs());
            }
            None => {}
        }
        if moved {
            self.moved = health;
        }
    }

    /// Why Redis does not take what is counted, once it was told.
    pub fn standstill(&self) -> Option<String> {
        self.standstill.is_told().then(|| cause(&self.redis, &self.publisher.health(), &self.moved))
    }

    /// Somebody has stopped all traffic of the contest in its document.
    pub fn is_stopped(&self) -> bool {
        self.keeper.stopped.load(Ordering::Relaxed)
    }

    /// The number of the newest rows that Redis has.
    pub fn put_seq(&self) -> u64 {
        self.publisher.health().put_seq
    }

    /// The last rows and the end marker of a stream that leaves a round to others. `until` is asked again and again how long
    /// Redis is waited for, `timeout` from now on at the most.
    pub fn end(
        self,
        seq: u64,
        rows: Arc<[Row]>,
        timeout: Duration,
        until: impl Fn() -> Instant,
    ) -> Result<(), ScoreboardError> {
        let keeper = self.wait(move |publisher| publisher.end(seq, rows, timeout), until, None)?;
        keeper.finish(State::Draining)
    }

    /// Why a contestant lost points. Forgotten when too many wait.
    pub fn explain(&self, contestant: ContestantIndex, error: ExplainedError) {
        self.keeper.explain(self.keys[contestant.index()].clone(), error);
    }

    /// What was decided of a step of a breakpoint phase, for whoever shows it. Forgotten when too much waits.
    pub fn note_step(&self, decision: Decision) {
        let step = decision.step;
        if self.keeper.messages.try_send(Message::Step(Box::new(decision))).is_err() {
            eprintln!(
                "flowtest-loadgen: step {step} of the breakpoint is not told to Redis, which is behind; the journal has it"
            );
        }
    }

    /// What the prepare check of a contestant found. An outage delays it; the newest word is the one that is told.
    pub fn prepared(&self, contestant: ContestantIndex, found: Prepared) {
        self.keeper.prepared.lock().insert(self.keys[contestant.index()].clone(), found);
    }

    /// The last rows, the end marker, the seal; then the control document says so. Whoever sets `stop` meanwhile does not
    /// want to wait for Redis any longer, and who has set it before does not want to wait long.
    pub fn finish(self, seq: u64, rows: Arc<[Row]>, stop: &AtomicBool) -> Result<(), ScoreboardError> {
        let was_stopped = stop.load(Ordering::Relaxed);
        let until = Instant::now() + if was_stopped { STOPPED_TIMEOUT } else { TIMEOUT };
        let stop = Some(stop).filter(|_| !was_stopped);
        let keeper = self.wait(move |publisher| publisher.finish(seq, rows, TIMEOUT), || until, stop)?;
        keeper.finish(State::Sealed)
    }

    /// Waits for the end of the publisher, and says for what it waits. Who sets `stop` meanwhile ends the wait.
    fn wait(
        self,
        end: impl FnOnce(Publisher) -> Result<(), ScoreboardError> + Send + 'static,
        until: impl Fn() -> Instant,
        stop: Option<&AtomicBool>,
    ) -> Result<ControlKeeper, ScoreboardError> {
        let Board { redis, publisher, keeper, standstill, moved, .. } = self;
        let watch = publisher.watch();
        let ending = thread::Builder::new()
            .name("round_end".to_owned())
            .spawn(move || end(publisher))
            .map_err(|error| ScoreboardError::Thread(error.to_string()))?;
        let (begun, mut pause) = (Instant::now(), WAIT_TOLD_MIN);
        let mut tell_at = if standstill.is_told() { begun } else { begun + TELL_AFTER };
        while !ending.is_finished() {
            thread::sleep(WAIT_LOOK);
            let now = Instant::now();
            let left = until().saturating_duration_since(now);
            if now >= tell_at && !ending.is_finished() {
                (tell_at, pause) = (now + pause, (pause * 2).min(WAIT_TOLD_MAX));
                eprintln!(
                    "flowtest-loadgen: the last points wait for Redis, {} s more at the most: {}",
                    left.as_secs(),
                    cause(&redis, &watch.health(), &moved)
                );
            }
            if left.is_zero() && !ending.is_finished() {
                return Err(ScoreboardError::Timeout { cause: cause(&redis, &watch.health(), &moved) });
            }
            if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Err(ScoreboardError::Timeout { cause: "the wait was ended by hand".to_owned() });
            }
        }
        ending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(keeper)
    }

    /// The round was not played to its end.
    pub fn abort(self) -> Result<(), Failed> {
        self.keeper.finish(State::Aborted)?;
        Ok(())
    }
}

/// Why Redis does not follow. An error from before it last did explains nothing.
fn cause(redis: &RedisAddress, now: &Health, moved: &Health) -> String {
    let error = now.last_error.clone().filter(|_| !now.connected || now.last_error != moved.last_error);
    error.unwrap_or_else(|| format!("Redis at {redis} does not answer"))
}

enum Message {
    Explain(String, ExplainedError),
    Step(Box<Decision>),
    End(State),
}

/// Keeps the control document in a Redis that may be wiped.
#[derive(Debug)]
struct ControlKeeper {
    messages: mpsc::SyncSender<Message>,
    /// What Redis has not been told yet, by contestant.
    prepared: Arc<Mutex<BTreeMap<String, Prepared>>>,
    /// All traffic was stopped in the document that we keep.
    stopped: Arc<AtomicBool>,
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
        let stopped = Arc::new(AtomicBool::new(false));
        let to_stop = stopped.clone();
        let watch = move || {
            let mut keep_at = Instant::now() + CONTROL_INTERVAL;
            // After a failure nothing is explained until the next look at the control document.
            let mut away = false;
            let mut steps = UntoldSteps::default();
            loop {
                match inbox.recv_timeout(keep_at.saturating_duration_since(Instant::now())) {
                    Ok(Message::End(state)) => {
                        let _ = tell_prepared(&mut scoreboard, &contest, &to_tell);
                        steps.tell(&mut scoreboard, control.as_ref());
                        let Some(control) = &mut control else { return Ok(()) };
                        control.state = state;
                        control.revision += 1;
                        // Whoever has written a newer one since goes on from there.
                        return scoreboard.keep_control(control).map(drop);
                    }
                    // An outage is no error here: the journal has more of the same.
                    Ok(Message::Explain(contestant, error)) if !away => {
                        away = scoreboard.push_errors(&contest, &contestant, &[error]).is_err();
                    }
                    Ok(Message::Explain(..)) => {}
                    Ok(Message::Step(decision)) => {
                        steps.waiting.push_back(decision);
                        steps.tell(&mut scoreboard, control.as_ref());
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                }
                if Instant::now() >= keep_at {
                    steps.tell(&mut scoreboard, control.as_ref());
                    let kept = control.as_mut().map(|control| keep(&mut scoreboard, control));
                    away = matches!(kept, Some(Err(_)));
                    if control.as_ref().is_some_and(|control| control.halted) && !to_stop.swap(true, Ordering::Relaxed)
                    {
                        eprintln!("flowtest-loadgen: all traffic of {contest} was stopped in Redis: the run ends here");
                    }
                    away |= tell_prepared(&mut scoreboard, &contest, &to_tell).is_err();
                    keep_at = Instant::now() + CONTROL_INTERVAL;
                }
            }
        };
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(watch)
            .map_err(|error| Failed::Message(format!("no thread for the control document ({error})")))?;
        Ok(ControlKeeper { messages, prepared, stopped, thread })
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

/// Decisions about steps that Redis has not taken yet. The journal has them, too.
#[derive(Debug, Default)]
struct UntoldSteps {
    waiting: VecDeque<Box<Decision>>,
    /// Why the last one was not taken, as it was said.
    said: Option<String>,
}

impl UntoldSteps {
    /// In their order, as far as Redis takes them; why it does not is said once.
    fn tell(&mut self, scoreboard: &mut Scoreboard, control: Option<&Control>) {
        let Some((contest, round)) = control.and_then(|control| Some((&control.contest.name, control.round?))) else {
            return self.waiting.clear();
        };
        while let Some(decision) = self.waiting.front() {
            if let Err(error) = scoreboard.put_step(contest, &round, decision) {
                let said = error.to_string();
                if self.said.as_ref() != Some(&said) {
                    eprintln!(
                        "flowtest-loadgen: step {} of the breakpoint is not in Redis yet, and the journal has it: {said}",
                        decision.step
                    );
                }
                self.said = Some(said);
                return;
            }
            self.waiting.pop_front();
        }
        self.said = None;
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

/// Writes the control document again where it is gone, and takes over that all traffic is stopped, whoever says so and whatever
/// else.
fn keep(scoreboard: &mut Scoreboard, control: &mut Control) -> Result<(), ScoreboardError> {
    match scoreboard.read_control(&control.contest.name) {
        Ok(Some(found)) if found.halted => {
            control.halted = true;
            if found.round == control.round {
                control.revision = control.revision.max(found.revision);
            }
            Ok(())
        }
        Ok(Some(_)) => Ok(()),
        // Somebody else may write a newer one just now.
        Ok(None) => scoreboard.keep_control(control).map(drop),
        Err(ScoreboardError::Control(unread)) if unread.halted_by().is_some() => {
            control.halted = true;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_testkit::RedisServer;

    #[test]
    fn a_run_ends_by_a_stop_in_whatever_stands_in_the_place_of_its_document() {
        let contest = "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 1\n\
                       [[contestant]]\nname = \"alice\"\nendpoint = \"127.0.0.1\"\n";
        let contest = Contest::from_toml(contest).expect("a contest");
        let ours = Control { round: Some(RoundId::from_bits(1)), ..Control::new(contest) };
        let of_another_round = Control { round: Some(RoundId::from_bits(2)), revision: 9, ..ours.clone() };
        let server = RedisServer::start();
        let mut scoreboard = server.scoreboard();
        let key = flowtest_scoreboard::keys::control("cup");
        for text in [of_another_round.to_json(), r#"{"dialect":99,"revision":6}"#.to_owned(), "{".to_owned()] {
            server.command(&["SET", &key, &text]);
            let mut control = ours.clone();
            let _ = keep(&mut scoreboard, &mut control);
            assert!(!control.halted, "{text}");
            scoreboard.stop_traffic("cup").expect("Redis answers");
            keep(&mut scoreboard, &mut control).expect("it is heard");
            assert_eq!((control.halted, control.revision), (true, ours.revision), "{text}");
        }
    }
}
