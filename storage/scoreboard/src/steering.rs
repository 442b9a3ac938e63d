//! Who steers a contest, and changes of its control document that lose nobody's: a document is put only where what was looked
//! at still stands.

use crate::connection::Connection;
use crate::error::ScoreboardError;
use crate::generator::Lease;
use crate::keys;
use crate::reader::{Scoreboard, document, encoded};
use flowtest_contest::control::{Control, ControlError};
use flowtest_contest::lifecycle::{Change, change};
use flowtest_contract::StreamId;
use flowtest_contract::row::COUNT_MAX;
use flowtest_contract::rules::UtcUs;
use redis::Value;

/// How often a document is looked at again that others change meanwhile; they do so some times a second at the most.
const TRIES_MAX: usize = 32;

/// What is done with a control document that was looked at.
#[derive(Debug)]
pub enum ControlEdit<T> {
    /// It stays as it is.
    Leave(T),
    /// This one takes its place.
    Put(Box<Control>, T),
}

/// What came of [`Scoreboard::stop_traffic`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The document says so from this revision on.
    Now(u64),
    /// It said so already.
    Before(u64),
    /// There is no document, and so nobody who floods by it.
    NoContest,
}

impl Scoreboard {
    /// Looks at the control document and puts another one in its place, if that is decided and nobody was faster; else it
    /// looks again.
    ///
    /// # Errors
    /// [`ScoreboardError::Config`] for a document that is too long for its readers, and what is wrong with Redis.
    pub fn edit_control<T>(
        &mut self,
        contest: &str,
        decide: impl Fn(Result<Option<Control>, ControlError>) -> Result<ControlEdit<T>, ScoreboardError>,
    ) -> Result<T, ScoreboardError> {
        self.run(|connection| edit(connection, contest, &decide))
    }

    /// Stops all traffic of a contest, whoever steers it. Generators apply it within a second. The revision is above all that they
    /// follow, who may have heard of more than Redis holds.
    ///
    /// # Errors
    /// [`ScoreboardError::Control`] for a document that we cannot read, and what is wrong with Redis.
    pub fn stop_traffic(&mut self, contest: &str, now: UtcUs) -> Result<Stopped, ScoreboardError> {
        let seen = self.read_generators(contest)?;
        let revisions = seen.iter().filter_map(|seen| Some(seen.health.as_ref()?.revision));
        let followed = revisions.filter(|revision| *revision < COUNT_MAX).max().unwrap_or(0);
        self.edit_control(contest, |found| match found? {
            None => Ok(ControlEdit::Leave(Stopped::NoContest)),
            Some(control) if control.halted && control.revision >= followed => {
                Ok(ControlEdit::Leave(Stopped::Before(control.revision)))
            }
            Some(control) => {
                let mut stopped = change(&control, Change::Halt { halted: true }, now)
                    .map_err(|refusal| ScoreboardError::Control(ControlError::Refusal(refusal)))?;
                let revision = stopped.revision.max(followed + 1);
                stopped.revision = revision;
                Ok(ControlEdit::Put(Box::new(stopped), Stopped::Now(revision)))
            }
        })
    }

    /// Takes or renews the steering of a contest for the database of this id: two databases would each undo what the other's
    /// organisers do.
    ///
    /// # Errors
    /// What is wrong with Redis; [`ScoreboardError::NoWrites`] among it, so that whoever asks knows that Redis takes writes.
    pub fn hold_steering(&mut self, contest: &str, database: StreamId) -> Result<Lease, ScoreboardError> {
        self.hold(&keys::steering(contest), database, keys::STEERING_LIFE_SECONDS * 1_000, "hold the steering")
    }

    /// Gives it back, so that another database need not wait.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn release_steering(&mut self, contest: &str, database: StreamId) -> Result<(), ScoreboardError> {
        self.hold(&keys::steering(contest), database, 1, "give the steering back").map(drop)
    }
}

fn edit<T>(
    connection: &mut Connection,
    contest: &str,
    decide: &impl Fn(Result<Option<Control>, ControlError>) -> Result<ControlEdit<T>, ScoreboardError>,
) -> Result<T, ScoreboardError> {
    const DOING: &str = "change the control document";
    let key = keys::control(contest);
    for _ in 0..TRIES_MAX {
        let mut watch = redis::cmd("WATCH");
        connection.command::<()>(DOING, watch.arg(&key))?;
        let decided = document(connection, contest).map_or_else(
            |error| match error {
                ScoreboardError::Control(error) => decide(Err(error)),
                other => Err(other),
            },
            |found| decide(Ok(found)),
        );
        let (control, outcome) = match decided.and_then(|edit| match edit {
            ControlEdit::Leave(outcome) => Ok((None, outcome)),
            ControlEdit::Put(control, outcome) => Ok((Some(encoded(&control)?), outcome)),
        }) {
            Ok((Some(text), outcome)) => (text, outcome),
            // Whoever has watched and does not write says so, or the next transaction would not be done.
            Ok((None, outcome)) => {
                connection.command::<()>(DOING, &redis::cmd("UNWATCH"))?;
                return Ok(outcome);
            }
            Err(error) => {
                let _ = connection.command::<()>(DOING, &redis::cmd("UNWATCH"));
                return Err(error);
            }
        };
        let mut put = redis::pipe();
        put.atomic().set(&key, control).ignore();
        if connection.pipeline::<Option<Vec<Value>>>(DOING, &put)?.is_some() {
            return Ok(outcome);
        }
    }
    Err(ScoreboardError::Redis { doing: DOING, cause: "somebody else changes it all the time".to_owned() })
}
