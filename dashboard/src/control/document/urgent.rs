//! A change that goes to Redis before it is saved: whoever wants traffic to stop waits for no disk, nor do the requests of a
//! generator that has died.
//!
//! It is in force at once, whatever the database does. Whoever is changing something else meanwhile finds it in force when
//! that is saved, and makes the change again upon it. It is saved when the database takes it.

use super::edit::Edit;
use super::stops::{Stop, urgently};
use super::{Document, Made};
use crate::control::error::ChangeError;
use crate::control::readiness::Unsaved;
use flowtest_accounts::{Actor, Error};
use flowtest_contest::Control;
use flowtest_contest::lifecycle::Change;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use std::sync::Arc;
use std::time::Duration;

/// How long Redis is waited for. What is not published by then is published by the next look.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(800);
/// How long the database is waited for then, so that whoever asked is told in the same answer.
const SAVE_TIMEOUT: Duration = Duration::from_millis(500);

/// A change that is in force and not saved.
#[derive(Clone, Debug)]
pub(super) struct Urgent {
    pub(super) change: Change,
    what: String,
    by: Actor,
    at: UtcUs,
    /// The document with it.
    pub(super) control: Arc<Control>,
}

impl Urgent {
    /// Makes it again upon another document. None: that says the same already, or the lifecycle refuses it there.
    pub(super) fn again(&mut self, control: &Control) -> Option<Control> {
        let is_done = match self.change {
            Change::Halt { halted } => control.halted == halted,
            _ => false,
        };
        let next = urgently(control, &self.change, self.at).ok().filter(|_| !is_done)?;
        self.control = Arc::new(next.clone());
        Some(next)
    }
}

impl Document {
    /// Stops traffic: [`Change::Halt`] or [`Change::Pause`]. It asks for no revision: whoever wants traffic to stop is always
    /// right.
    ///
    /// # Errors
    /// What the lifecycle refuses, and [`ChangeError::NoContest`].
    pub async fn change_at_once(
        self: &Arc<Self>,
        change: Change,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        let halts = change == Change::Halt { halted: true };
        let control = self.put_in_force(None, change, what, 0, by, now)?;
        let stop = if halts { Some(Stop::Halt) } else { control.round.map(Stop::Pause) };
        // Over somebody else's document it stays a conflict, and generators know of the stop.
        let unpublished =
            self.publish(PUBLISH_TIMEOUT, now).await.filter(|_| !self.has_stopped_theirs(stop.as_slice()));
        let document = Arc::clone(self);
        // A task of its own: it goes on when nobody waits for it any more.
        let saving = tokio::spawn(async move { document.edit().await.save_urgent().await });
        let unsaved = match tokio::time::timeout(SAVE_TIMEOUT, saving).await {
            Ok(Ok(saved)) => saved.err().map(|error| error.to_string()),
            Ok(Err(failed)) => Some(failed.to_string()),
            Err(_) => Some(Error::Busy.to_string()),
        };
        Ok(Made { control, unpublished, unsaved })
    }

    /// Splits the requests anew, as was decided on a document. It is saved with what is due next.
    ///
    /// # Errors
    /// What the lifecycle refuses, and [`ChangeError::Unfit`] when somebody has changed meanwhile who sends what.
    pub async fn split_at_once(
        &self,
        seen: &Control,
        split: Change,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<(), ChangeError> {
        self.put_in_force(Some(seen), split, what, 0, by, now)?;
        self.publish(PUBLISH_TIMEOUT, now).await;
        Ok(())
    }

    /// `upon`: a document whose round and splits are to be those in force. `above`: a revision that Redis has seen.
    fn put_in_force(
        &self,
        upon: Option<&Control>,
        change: Change,
        what: &str,
        above: u64,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Arc<Control>, ChangeError> {
        let mut known = self.known();
        let current = self.control().ok_or(ChangeError::NoContest)?;
        let is_same = |seen: &Control| {
            (seen.round, seen.state, &seen.timeline.splits) == (current.round, current.state, &current.timeline.splits)
        };
        if !upon.is_none_or(is_same) {
            return Err(ChangeError::Unfit("the round was changed meanwhile".to_owned()));
        }
        // A stop from elsewhere is somebody's wish, and heeded.
        if upon.is_some() {
            known.check_undisputed()?;
        }
        known.check_round(&current, &change)?;
        let mut next = urgently(&current, &change, now)?;
        next.revision = next.revision.max(known.foreign_revision().max(above).saturating_add(1));
        let control = Arc::new(next);
        let (what, by) = (what.to_owned(), by.clone());
        let halts = change == Change::Halt { halted: true };
        known.unsaved.push(Urgent { change, what, by, at: now, control: Arc::clone(&control) });
        self.set_in_force(&mut known, &control);
        // Whoever stops what is stopped here means generators, who may go by somebody else's document.
        if halts && !known.untold.contains(&Stop::Halt) {
            known.untold.push(Stop::Halt);
        }
        Ok(control)
    }

    /// Somebody has stopped all traffic in Redis, by this revision, as `flowtest-loadgen stop` does: so do we, by a later one.
    pub(super) fn apply_stop(&self, revision: u64) {
        if self.control().is_none_or(|control| control.halted && control.revision > revision) {
            return;
        }
        tracing::warn!(revision, "all traffic was stopped from elsewhere");
        let what = "All traffic was stopped from elsewhere, as by flowtest-loadgen stop.";
        let halt = Change::Halt { halted: true };
        if let Err(error) = self.put_in_force(None, halt, what, revision, &Actor::program(), utc_us()) {
            tracing::error!(%error, "the stop from elsewhere does not hold here");
        }
    }

    /// Whether something is in force that the database does not hold.
    pub fn unsaved(&self) -> Unsaved {
        let is_unkept = self.is_unkept();
        let known = self.known();
        match (known.untold.is_empty(), known.unsaved.is_empty()) {
            // A restart needs both: what is stopped, and that nobody has been told of it.
            (false, is_saved) if is_unkept || !is_saved => Unsaved::UntoldStop,
            (_, true) => Unsaved::Nothing,
            (_, false) => Unsaved::Change,
        }
    }

    /// Whether the database is to hold something that it does not.
    pub(in crate::control) fn is_behind(&self) -> bool {
        self.unsaved() != Unsaved::Nothing || self.is_unkept()
    }
}

impl Edit<'_> {
    /// Saves what is in force and was not saved, in its order. Before it, which stops nobody has been told of: a restart between
    /// the two then finds no stop that it would keep to itself.
    pub(in crate::control) async fn save_urgent(&self) -> Result<(), ChangeError> {
        let document = self.document;
        document.keep_untold().await?;
        loop {
            let (urgent, saved) = {
                let known = document.known();
                let Some(urgent) = known.unsaved.first().cloned() else { return Ok(()) };
                (urgent, known.saved)
            };
            // Another change may have taken its number.
            let revision = urgent.control.revision.max(saved.map_or(0, |saved| saved + 1));
            let control = Control { revision, ..(*urgent.control).clone() };
            let text = control.to_json();
            let done =
                document.accounts.save_control(saved, revision, &text, &urgent.what, &urgent.by, urgent.at).await;
            match done {
                Ok(()) => {}
                Err(Error::Stale { .. }) => {
                    document.follow_database().await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let mut known = document.known();
            known.unsaved.remove(0);
            known.saved = Some(revision);
            // What is in force is never older than what is saved.
            let newest = document.control().filter(|newest| newest.revision < revision);
            if let Some(newest) = newest {
                let raised = Arc::new(Control { revision, ..(*newest).clone() });
                document.control.send_replace(Some(Arc::clone(&raised)));
                document.facts.set_control(&raised);
            }
        }
    }
}
