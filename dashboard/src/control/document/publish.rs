//! How Redis comes to hold the document: put there after every change, and again whenever Redis has lost it.

use super::{Conflict, Document};
use crate::control::link::LinkError;
use flowtest_contest::{Control, ControlError};
use flowtest_scoreboard::{Scoreboard, ScoreboardError};
use std::time::Duration;

/// How long whoever makes a change waits for Redis. What is not published by then is published by the next look.
pub(super) const PUBLISH_PATIENCE: Duration = Duration::from_millis(1_500);

impl Document {
    /// Puts the document into Redis where it holds an older one, another one or none. Says what is in the way.
    pub(in crate::control) async fn publish(&self, patience: Duration) -> Option<String> {
        let control = self.control()?;
        let put = self.link.call(move |scoreboard| put(scoreboard, &control));
        let found = tokio::time::timeout(patience, put).await.unwrap_or(Err(LinkError::Late));
        // What we saved ourselves while Redis was asked is no conflict.
        let ours = self.control().map_or(0, |control| control.revision);
        let is_newer = |conflict: &Conflict| conflict.revision.is_none_or(|revision| revision > ours);
        let mut known = self.known();
        let published = &mut known.published;
        (published.redis, published.conflict) = match found {
            Ok(conflict) => (None, conflict.filter(is_newer)),
            Err(error) => (Some(error.to_string()), published.conflict.take().filter(is_newer)),
        };
        let conflict = published.conflict.as_ref().map(|conflict| conflict.message.clone());
        published.redis.clone().or(conflict)
    }

    /// Redis did not answer another question.
    pub(in crate::control) fn redis_failed(&self, error: &LinkError) {
        self.known().published.redis = Some(error.to_string());
    }
}

/// Publishes unless Redis holds something newer.
fn put(scoreboard: &mut Scoreboard, ours: &Control) -> Result<Option<Conflict>, ScoreboardError> {
    match scoreboard.read_control(&ours.contest.name) {
        Ok(Some(found)) if found == *ours => return Ok(None),
        Ok(Some(found)) if found.revision > ours.revision => {
            let message = format!(
                "Redis holds revision {} of the control document and the database {}: another dashboard steers this \
                 contest, or a backup was restored. Take over what Redis holds, or make any change here and it goes on \
                 from the database.",
                found.revision, ours.revision
            );
            return Ok(Some(Conflict { revision: Some(found.revision), message }));
        }
        Err(ScoreboardError::Control(error @ ControlError::Dialect(_))) => {
            let message = format!("Redis holds a control document of a newer program: {error}.");
            return Ok(Some(Conflict { revision: None, message }));
        }
        // What is no document of ours is replaced.
        Ok(_) | Err(ScoreboardError::Control(_)) => {}
        Err(error) => return Err(error),
    }
    scoreboard.write_control(ours).map(|()| None)
}
