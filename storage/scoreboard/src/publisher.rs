//! The thread that keeps Redis up to date, and the handle of it.
//!
//! Whoever counts hands over the newest cumulative rows and goes on; what was not sent yet is replaced. The thread
//! alone speaks with Redis, so no outage reaches a worker.

mod session;

use crate::address::RedisAddress;
use crate::error::ScoreboardError;
use flowtest_contest::contest::CONTESTANTS_MAX;
use flowtest_contest::names::NAME_CHARS_MAX;
use flowtest_contract::id::{RoundId, StreamId};
use flowtest_contract::{RoundValidity, Row};
use parking_lot::{Condvar, Mutex};
use session::{Entry, Session};
use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often tallies that changed are put. Readers look once a second.
pub const CHANGES_INTERVAL: Duration = Duration::from_millis(200);
/// How often all tallies are put, so that whatever Redis lost comes back.
pub const WHOLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often histograms that changed are put: whoever reads them finds them no older than a second, of a thousand contestants
/// on four generators, too (BENCHMARKS.md).
pub const HISTOGRAMS_INTERVAL: Duration = Duration::from_millis(400);
/// How often all histograms are put: a contestant's have some kilobytes, and what of them was lost misleads nobody for long.
pub const HISTOGRAMS_WHOLE_INTERVAL: Duration = Duration::from_secs(10);
/// First and longest pause between attempts to reach Redis.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Nobody waits longer for an end, and no clock overflows.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// What a publisher needs to know.
#[derive(Clone, Debug)]
pub struct PublisherConfig {
    pub address: RedisAddress,
    pub contest: String,
    /// Must exist: see [`crate::Scoreboard::open_round`].
    pub round: RoundId,
    pub stream: StreamId,
    /// In the order of the rows. More may come behind them: [`Publisher::set_contestants`].
    pub contestants: Vec<String>,
}

/// How the publisher fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether the last attempt to speak with Redis succeeded.
    pub connected: bool,
    /// The newest error, also when all is well again.
    pub last_error: Option<String>,
    /// The newest sequence number whose tallies Redis has acknowledged.
    pub put_seq: u64,
    /// The newest one whose histograms it has acknowledged.
    pub histograms_seq: u64,
    /// Connections made after the first.
    pub reconnects: u64,
}

/// Cumulative rows at one sequence number.
#[derive(Clone, Debug)]
struct Batch {
    seq: u64,
    rows: Arc<[Row]>,
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Publish,
    Finish { goal: Goal, deadline: Instant },
    Stop,
}

/// How far a publisher goes at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// The stream has its end marker.
    Ended,
    /// The round is sealed as well.
    Sealed,
}

#[derive(Debug)]
struct Inbox {
    newest: Option<Batch>,
    validity: Option<RoundValidity>,
    command: Command,
    /// All contestants, since some have joined.
    contestants: Option<Arc<[String]>>,
}

#[derive(Debug)]
struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    health: Mutex<Health>,
}

/// Keeps the rows of one stream up to date in Redis. Dropping it stops the thread without an end marker.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), ScoreboardError>>>,
}

impl Publisher {
    /// Connects, checks the server and registers the stream, or says why not. After this no outage is an error.
    ///
    /// # Errors
    /// [`ScoreboardError::Config`] for a roster that cannot be, what a [connection](crate::connection::Connection::open)
    /// refuses, [`ScoreboardError::RoundUnknown`], [`ScoreboardError::RoundClosed`] for a round that takes no new
    /// streams, and [`ScoreboardError::Thread`].
    pub fn start(config: PublisherConfig) -> Result<Publisher, ScoreboardError> {
        Publisher::launch(config, Entry::New)
    }

    /// The same for a stream that was registered before, by a process that is gone. It may join while the round drains,
    /// and brings back a round that Redis has lost, in which `peers` are still expected.
    ///
    /// # Errors
    /// As [`Publisher::start`].
    pub fn rejoin(config: PublisherConfig, peers: &[StreamId]) -> Result<Publisher, ScoreboardError> {
        Publisher::launch(config, Entry::Again(peers))
    }

    fn launch(config: PublisherConfig, entry: Entry<'_>) -> Result<Publisher, ScoreboardError> {
        check_names(&config.contestants)?;
        let session = Session::start(config, entry)?;
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox { newest: None, validity: None, command: Command::Publish, contestants: None }),
            wake: Condvar::new(),
            health: Mutex::new(Health { connected: true, ..Health::default() }),
        });
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || run(session, &shared)
            })
            .map_err(|error| ScoreboardError::Thread(error.to_string()))?;
        Ok(Publisher { shared, thread: Some(thread) })
    }

    /// All contestants, in the order of the rows: those of the start, and behind them who has joined since. Told before their
    /// first rows are handed over.
    pub fn set_contestants(&self, contestants: Vec<String>) {
        self.shared.inbox.lock().contestants = Some(contestants.into());
    }

    /// Hands over the newest cumulative rows, in the order of the contestants; whoever has joined since has none yet. Sequence
    /// numbers start at 1 and rise; rows that are not newer are dropped. Never waits for Redis.
    pub fn publish(&self, seq: u64, rows: Arc<[Row]>) {
        self.hand_over(Batch { seq, rows }, None);
    }

    /// Notes how much of what is scored so far is valid; it goes with the rows once a second, and with the last ones.
    pub fn note_validity(&self, validity: RoundValidity) {
        self.shared.inbox.lock().validity = Some(validity);
    }

    /// Publishes the final rows with the end marker, then drains and seals the round. Tries until `timeout` is
    /// over, and at least once; the error names what is missing. `seq` may be that of the last `publish`.
    ///
    /// Whoever runs a round alone, or by a plan that ends for all generators together, ends with this.
    ///
    /// # Errors
    /// [`ScoreboardError::Missing`] while others have not ended, [`ScoreboardError::RoundClosed`] for a round that was
    /// sealed or aborted without us, and [`ScoreboardError::Timeout`] when Redis was away to the end.
    pub fn finish(self, seq: u64, rows: Arc<[Row]>, timeout: Duration) -> Result<(), ScoreboardError> {
        self.complete(Batch { seq, rows }, Goal::Sealed, timeout)
    }

    /// The same without draining and sealing: for a generator that leaves a round which others go on playing.
    ///
    /// # Errors
    /// As [`Publisher::finish`], but that nobody else is waited for.
    pub fn end(self, seq: u64, rows: Arc<[Row]>, timeout: Duration) -> Result<(), ScoreboardError> {
        self.complete(Batch { seq, rows }, Goal::Ended, timeout)
    }

    /// How it fares right now.
    pub fn health(&self) -> Health {
        self.watch().health()
    }

    /// For whoever wants to know how it fares while [`Publisher::finish`] waits.
    pub fn watch(&self) -> Watch {
        Watch { shared: Arc::clone(&self.shared) }
    }

    fn complete(mut self, last: Batch, goal: Goal, timeout: Duration) -> Result<(), ScoreboardError> {
        let timeout = timeout.min(TIMEOUT_MAX);
        self.hand_over(last, Some(Command::Finish { goal, deadline: Instant::now() + timeout }));
        let thread = self.thread.take().expect("the thread is taken once, here");
        thread.join().unwrap_or_else(|_| Err(ScoreboardError::Thread("it panicked".to_owned())))
    }

    fn hand_over(&self, batch: Batch, command: Option<Command>) {
        let mut inbox = self.shared.inbox.lock();
        let newest = inbox.newest.as_ref().map_or(0, |newest| newest.seq);
        // The end comes with all rows, so it may repeat the newest number.
        let replaced = (batch.seq > newest || command.is_some()).then(|| inbox.newest.replace(batch));
        if let Some(command) = command {
            inbox.command = command;
            self.shared.wake.notify_one();
        }
        drop(inbox);
        // Rows may be the last reference to megabytes: freed without the lock.
        drop(replaced);
    }
}

/// Sees how a publisher fares, also at its end.
#[derive(Clone, Debug)]
pub struct Watch {
    shared: Arc<Shared>,
}

impl Watch {
    pub fn health(&self) -> Health {
        self.shared.health.lock().clone()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shared.inbox.lock().command = Command::Stop;
            self.shared.wake.notify_one();
        }
    }
}

/// The names are parts of field names in Redis; the contest file admits only good ones.
fn check_names(contestants: &[String]) -> Result<(), ScoreboardError> {
    let distinct: HashSet<&String> = contestants.iter().collect();
    let fits = |name: &String| !name.is_empty() && name.len() <= 4 * NAME_CHARS_MAX;
    if contestants.len() > CONTESTANTS_MAX || distinct.len() != contestants.len() || !contestants.iter().all(fits) {
        return Err(ScoreboardError::Config(format!(
            "the contestants cannot be published: each needs its own name of at most {NAME_CHARS_MAX} characters, and there \
             may be {CONTESTANTS_MAX} at most"
        )));
    }
    Ok(())
}

/// The thread: put what is new at each tick until told to finish or stop.
fn run(mut session: Session, shared: &Shared) -> Result<(), ScoreboardError> {
    let mut retry = Retry::default();
    let mut next = Instant::now();
    loop {
        let (newest, validity, command) = wait(shared, next);
        session.note_validity(validity);
        if let Some(contestants) = shared.inbox.lock().contestants.take() {
            session.set_contestants(&contestants);
        }
        match command {
            Command::Stop => return Ok(()),
            Command::Finish { goal, deadline } => {
                let last = newest.expect("a command to finish comes with the final rows");
                return finish(&mut session, shared, &last, goal, deadline);
            }
            Command::Publish => {}
        }
        let outcome = session.publish(newest.as_ref());
        note(shared, &session, outcome.as_ref().err());
        let now = Instant::now();
        next = match outcome {
            Ok(()) => {
                retry = Retry::default();
                // A tick that took longer than the interval is not made up for.
                (next + CHANGES_INTERVAL).max(now)
            }
            Err(_) => now + retry.next_pause(),
        };
    }
}

/// Sleeps until `next`, or until there is a command.
fn wait(shared: &Shared, next: Instant) -> (Option<Batch>, Option<RoundValidity>, Command) {
    let mut inbox = shared.inbox.lock();
    loop {
        let pause = next.saturating_duration_since(Instant::now());
        if pause.is_zero() || !matches!(inbox.command, Command::Publish) {
            return (inbox.newest.clone(), inbox.validity, inbox.command);
        }
        shared.wake.wait_for(&mut inbox, pause);
    }
}

fn finish(
    session: &mut Session,
    shared: &Shared,
    last: &Batch,
    goal: Goal,
    deadline: Instant,
) -> Result<(), ScoreboardError> {
    let mut retry = Retry::default();
    loop {
        let outcome = session.finish(last, goal);
        note(shared, session, outcome.as_ref().err());
        let Err(error) = outcome else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        match error {
            // Nothing that we could wait for.
            ScoreboardError::RoundClosed(_) => return Err(error),
            ScoreboardError::Missing { .. } if left.is_zero() => return Err(error),
            _ if left.is_zero() => return Err(ScoreboardError::Timeout { cause: error.to_string() }),
            // Others end in their own time; asking is cheap.
            ScoreboardError::Missing { .. } => std::thread::sleep(left.min(CHANGES_INTERVAL)),
            _ => std::thread::sleep(left.min(retry.next_pause())),
        }
    }
}

fn note(shared: &Shared, session: &Session, error: Option<&ScoreboardError>) {
    let mut health = shared.health.lock();
    health.connected = session.is_connected();
    health.put_seq = session.put_seq();
    health.histograms_seq = session.histograms_seq();
    health.reconnects = session.reconnects();
    if let Some(error) = error {
        health.last_error = Some(error.to_string());
    }
}

/// Pauses that double.
#[derive(Debug, Default)]
struct Retry {
    last: Duration,
}

impl Retry {
    fn next_pause(&mut self) -> Duration {
        self.last = (self.last * 2).clamp(RETRY_MIN, RETRY_MAX);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_longest() {
        let mut retry = Retry::default();
        let pauses: Vec<u128> = (0..7).map(|_| retry.next_pause().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn names_that_would_share_a_field_are_refused() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(check_names(&names(&["alice", "bob"])).is_ok());
        for bad in [names(&["alice", "alice"]), names(&[""]), names(&[&"x".repeat(300)])] {
            assert!(check_names(&bad).is_err(), "{bad:?}");
        }
    }
}
