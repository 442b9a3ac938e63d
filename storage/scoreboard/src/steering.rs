//! Who steers a contest, and changes of its control document that lose nobody's: a document is put only where what was looked
//! at still stands.

use crate::connection::Connection;
use crate::error::ScoreboardError;
use crate::generator::Lease;
use crate::keys;
use crate::reader::{Scoreboard, document_text, encoded, read_document};
use flowtest_contest::control::{Control, UnreadControl, with_halt};
use flowtest_contract::StreamId;
use flowtest_contract::row::COUNT_MAX;
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
    /// It stops all traffic by this revision, and says all else that it said, also where nobody here can read it.
    Halt(u64, T),
}

/// What came of [`Scoreboard::stop_traffic`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The document says so from this revision on.
    Now(u64),
    /// It said so already.
    Before(u64),
    /// There is no document, and nobody was ever heard who would flood by one.
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
        decide: impl Fn(Result<Option<Control>, Box<UnreadControl>>) -> Result<ControlEdit<T>, ScoreboardError>,
    ) -> Result<T, ScoreboardError> {
        self.run(|connection| edit(connection, contest, &decide))
    }

    /// Stops all traffic of a contest, whoever steers it, and whatever stands in the place of its document. Generators apply it
    /// within a second. The revision is above all that they follow, who may have heard of more than Redis holds.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn stop_traffic(&mut self, contest: &str) -> Result<Stopped, ScoreboardError> {
        let seen = match self.read_generators(contest) {
            // Each further question would wait as long.
            Err(error) if error.is_outage() => return Err(error),
            seen => seen,
        };
        let revisions = seen.iter().flatten().filter_map(|seen| Some(seen.health.as_ref()?.revision));
        let followed = revisions.filter(|revision| *revision < COUNT_MAX).max().unwrap_or(0);
        let halt = |revision: u64| {
            let revision = revision.max(followed).saturating_add(1).min(COUNT_MAX);
            ControlEdit::Halt(revision, Stopped::Now(revision))
        };
        let is_before = |revision: &u64| *revision >= followed;
        self.edit_control(contest, |found| {
            Ok(match found {
                Ok(None) if seen.as_ref().is_ok_and(Vec::is_empty) => ControlEdit::Leave(Stopped::NoContest),
                // It is lost, and generators go on by what they know.
                Ok(None) => halt(0),
                Ok(Some(control)) if control.halted && is_before(&control.revision) => {
                    ControlEdit::Leave(Stopped::Before(control.revision))
                }
                Ok(Some(control)) => halt(control.revision),
                Err(unread) => match unread.halted_by().filter(is_before) {
                    Some(revision) => ControlEdit::Leave(Stopped::Before(revision)),
                    None => halt(unread.revision.unwrap_or(0)),
                },
            })
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
    decide: &impl Fn(Result<Option<Control>, Box<UnreadControl>>) -> Result<ControlEdit<T>, ScoreboardError>,
) -> Result<T, ScoreboardError> {
    const DOING: &str = "change the control document";
    let key = keys::control(contest);
    for _ in 0..TRIES_MAX {
        let mut watch = redis::cmd("WATCH");
        connection.command::<()>(DOING, watch.arg(&key))?;
        let decided = document_text(connection, contest).and_then(|text| {
            Ok(match decide(read_document(&text))? {
                ControlEdit::Leave(outcome) => (None, outcome),
                ControlEdit::Put(control, outcome) => (Some(encoded(&control)?), outcome),
                ControlEdit::Halt(revision, outcome) => (Some(with_halt(&text, revision)), outcome),
            })
        });
        let (control, outcome) = match decided {
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
