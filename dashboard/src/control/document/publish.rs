//! How Redis comes to hold the document: put there after every change, and again whenever Redis has lost it.

use super::urgent::is_stop_of;
use super::{Conflict, Document};
use crate::control::link::LinkError;
use flowtest_contest::{Control, ControlError};
use flowtest_scoreboard::{ControlEdit, Scoreboard, ScoreboardError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What Redis holds now.
#[derive(Debug)]
enum Held {
    /// Our document.
    Ours,
    /// A newer one.
    Newer(Conflict),
    /// Ours, with all traffic stopped by somebody else, by this revision.
    Stopped(u64),
}

impl Document {
    /// Puts the document into Redis where it holds an older one, another one or none. Says what is in the way.
    pub(in crate::control) async fn publish(&self, timeout: Duration) -> Option<String> {
        let control = self.control()?;
        if let Some(message) = self.steered_elsewhere() {
            return Some(message);
        }
        let until = Instant::now() + timeout;
        let found = match self.put(&control, until).await {
            Ok(Held::Stopped(revision)) => {
                self.heed_stop(revision);
                let control = self.control()?;
                self.put(&control, until).await
            }
            found => found,
        };
        // What we saved ourselves while Redis was asked is no conflict.
        let ours = self.control().map_or(0, |control| control.revision);
        let is_newer = |conflict: &Conflict| conflict.revision.is_none_or(|revision| revision > ours);
        let mut known = self.known();
        (known.publishing, known.conflict) = match found {
            Ok(Held::Newer(conflict)) => (None, Some(conflict).filter(is_newer)),
            Ok(Held::Ours | Held::Stopped(_)) => (None, None),
            Err(error) => (Some(error.to_string()), known.conflict.take().filter(is_newer)),
        };
        let conflict = known.conflict.as_ref().map(|conflict| conflict.message.clone());
        known.publishing.clone().or(conflict)
    }

    async fn put(&self, control: &Arc<Control>, until: Instant) -> Result<Held, LinkError> {
        let (ours, before) = (Arc::clone(control), self.known().held.clone());
        let put = self.link.call(move |scoreboard| put(scoreboard, &ours, before.as_deref()));
        let held = tokio::time::timeout_at(until.into(), put).await.unwrap_or(Err(LinkError::Late));
        if let Ok(Held::Ours) = held {
            self.known().held = Some(Arc::clone(control));
        }
        held
    }

    /// Whether the generators could be read.
    pub(in crate::control) fn on_look(&self, failed: Option<&LinkError>) {
        self.known().looking = failed.map(ToString::to_string);
    }
}

/// Publishes unless Redis holds something newer. `before` is what it held when we last knew.
fn put(scoreboard: &mut Scoreboard, ours: &Control, before: Option<&Control>) -> Result<Held, ScoreboardError> {
    scoreboard.edit_control(&ours.contest.name, |found| match found {
        Ok(Some(found)) if found == *ours => Ok(ControlEdit::Leave(Held::Ours)),
        Ok(Some(found))
            if !ours.halted && [Some(ours), before].into_iter().flatten().any(|it| is_stop_of(it, &found)) =>
        {
            Ok(ControlEdit::Leave(Held::Stopped(found.revision)))
        }
        Ok(Some(found)) if found.revision > ours.revision => {
            let message = format!(
                "Redis holds revision {} of the control document and the database {}: another dashboard steers this \
                 contest, or a backup was restored. Take over what Redis holds, or make any change here and it goes on \
                 from the database.",
                found.revision, ours.revision
            );
            Ok(ControlEdit::Leave(Held::Newer(Conflict { revision: Some(found.revision), message })))
        }
        Err(error @ ControlError::Dialect(_)) => {
            let message = format!("Redis holds a control document of a newer program: {error}.");
            Ok(ControlEdit::Leave(Held::Newer(Conflict { revision: None, message })))
        }
        // What is no document of ours is replaced.
        Ok(_) | Err(_) => Ok(ControlEdit::Put(Box::new(ours.clone()), Held::Ours)),
    })
}
