//! The thread that speaks with Redis for the control of the contest, so that nobody who serves pages ever waits for it.
//!
//! It owns one blocking connection. A Redis that is away fails each ask at once for a while, instead of each after its
//! own timeout.

use flowtest_scoreboard::{RedisAddress, Scoreboard, ScoreboardError};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Asks that wait at most: more than all admins and contestants together have in flight.
const WAITING_MAX: usize = 64;
/// How long an answer is waited for. A Redis that hangs holds the thread for two timeouts of the connection.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For so long after a failure asks fail at once.
const REST: Duration = Duration::from_millis(500);

/// Work for the thread: with a connection, or with the reason why there is none. It says whether the connection held.
type Job = Box<dyn FnOnce(Result<&mut Scoreboard, ScoreboardError>) -> Option<ScoreboardError> + Send>;

/// The way to Redis. Cheap to clone; the thread ends with the last clone.
#[derive(Clone, Debug)]
pub struct Link {
    jobs: SyncSender<Job>,
}

/// Why Redis did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    #[error("{0}")]
    Redis(#[from] ScoreboardError),
    #[error("too many things wait for Redis at this moment: try again in a second")]
    Busy,
    #[error("Redis does not answer: look whether it runs")]
    Late,
}

impl Link {
    /// Starts the thread. Redis may be away.
    pub fn start(address: RedisAddress) -> std::io::Result<Link> {
        let (jobs, todo) = sync_channel(WAITING_MAX);
        thread::Builder::new().name("control-redis".to_owned()).spawn(move || run(&address, &todo))?;
        Ok(Link { jobs })
    }

    /// Does something with Redis, soon.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Scoreboard) -> Result<T, ScoreboardError> + Send + 'static,
    ) -> Result<T, LinkError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |scoreboard| {
            if reply.is_closed() {
                // Whoever asked has gone.
                return None;
            }
            let done = scoreboard.and_then(work);
            let lost = done.as_ref().err().filter(|error| is_outage(error)).cloned();
            // Nobody to tell is nobody's trouble.
            let _ = reply.send(done);
            lost
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => LinkError::Busy,
            TrySendError::Disconnected(_) => LinkError::Late,
        })?;
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(Ok(done)) => Ok(done?),
            Ok(Err(_)) | Err(_) => Err(LinkError::Late),
        }
    }
}

/// Whether Redis itself is away, rather than this one wish refused.
fn is_outage(error: &ScoreboardError) -> bool {
    matches!(
        error,
        ScoreboardError::Lost { .. } | ScoreboardError::Unreachable { .. } | ScoreboardError::Loading { .. }
    )
}

fn run(address: &RedisAddress, todo: &Receiver<Job>) {
    let mut scoreboard: Option<Scoreboard> = None;
    let mut outage: Option<(Instant, ScoreboardError)> = None;
    while let Ok(job) = todo.recv() {
        if let Some((since, error)) = &outage
            && since.elapsed() < REST
        {
            job(Err(error.clone()));
            continue;
        }
        let opened = match &mut scoreboard {
            Some(scoreboard) => Ok(scoreboard),
            none => Scoreboard::open(address.clone()).map(|opened| none.insert(opened)),
        };
        let unopened = opened.as_ref().err().cloned();
        outage = job(opened).or(unopened).map(|error| (Instant::now(), error));
    }
}
