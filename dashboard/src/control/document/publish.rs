//! How Redis comes to hold the document: put there after every change, and again whenever Redis has lost it.

use super::edit::HISTORY;
use super::stops::{Stop, is_stop_of, refusals, stopped_as};
use super::{Conflict, Document};
use crate::control::link::LinkError;
use flowtest_contest::control::UnreadControl;
use flowtest_contest::{Control, ControlError};
use flowtest_contract::StreamId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{ControlEdit, Scoreboard, ScoreboardError, Stopped};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many looks in succession somebody else must have kept the split before them.
const TAKEN_AGAIN: u32 = 3;
/// How long the database may take to say whether a document is ours.
const ORIGIN_TIMEOUT: Duration = Duration::from_millis(300);

/// What Redis holds now.
#[derive(Debug)]
enum Held {
    /// Our document.
    Ours,
    /// One that is not ours, and stays.
    Foreign(Conflict),
    /// The same, upon which our stop has been put just now.
    StoppedHere(Conflict),
    /// Ours, or one upon which we have gone on, with all traffic stopped by somebody else.
    Stopped(Box<Control>),
    /// What is no document, and stops all traffic by this revision.
    StoppedUnread(u64),
    /// One that is no newer, or that stops all traffic, and is not what we put there last: it stays until the database has said
    /// whose it is.
    Unknown(Box<Control>),
}

/// Whose a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Ours,
    /// Ours, with all traffic stopped by somebody else.
    StopOfOurs,
    Foreign,
}

impl Document {
    /// Puts the document into Redis where it holds an older one of ours or none. Says what is in the way.
    pub(in crate::control) async fn publish(&self, timeout: Duration, now: UtcUs) -> Option<String> {
        let mut control = self.control()?;
        let until = Instant::now() + timeout;
        if let Some(message) = self.steered_elsewhere() {
            {
                // Of before: what is not tried now is not in the way.
                let mut known = self.known();
                (known.publishing, known.conflict) = (None, None);
            }
            self.stop_elsewhere(until).await;
            return Some(message);
        }
        let mut found = self.put(&control, None, until, now).await;
        if let Ok(Held::Unknown(other)) = found {
            found = match self.origin(&other).await {
                Origin::Ours => {
                    self.known().held = Some(Arc::new(*other));
                    self.put(&control, None, until, now).await
                }
                Origin::StopOfOurs => Ok(Held::Stopped(other)),
                // It stays, but for what was stopped here.
                Origin::Foreign => self.put(&control, Some(other), until, now).await,
            };
        }
        let stopped = match &found {
            Ok(Held::Stopped(other)) => {
                self.known().decided = Some(Arc::new((**other).clone()));
                Some(other.revision)
            }
            Ok(Held::StoppedUnread(revision)) => Some(*revision),
            _ => None,
        };
        if let Some(revision) = stopped {
            self.apply_stop(revision);
            control = self.control()?;
            found = self.put(&control, None, until, now).await;
        }
        // Nobody here can make another document of it, and a stop waits for nobody.
        if let Ok(Held::Foreign(conflict)) = &mut found
            && conflict.found.is_none()
        {
            let is_stopped = self.stop_elsewhere(until).await;
            conflict.is_halted |= is_stopped;
        }
        let is_current = self.control().is_some_and(|newest| newest.revision == control.revision);
        let mut known = self.known();
        let shown = known.conflict.take();
        (known.publishing, known.conflict) = outcome(found, shown, is_current);
        let conflict = known.conflict.as_ref().map(|conflict| conflict.message.clone());
        known.publishing.clone().or(conflict)
    }

    /// Stops all traffic of whoever steers now, where that was asked for here and nobody has been told. Whether it was.
    async fn stop_elsewhere(&self, until: Instant) -> bool {
        let is_asked = self.known().untold.contains(&Stop::Halt);
        if !is_asked || self.control().is_none_or(|control| !control.halted) {
            return false;
        }
        let contest = self.contest.clone();
        let stopping = self.link.call(move |scoreboard| scoreboard.stop_traffic(&contest));
        match tokio::time::timeout_at(until.into(), stopping).await.unwrap_or(Err(LinkError::Late)) {
            Ok(Stopped::NoContest) => return false,
            Ok(Stopped::Now(_) | Stopped::Before(_)) => self.known().untold.retain(|stop| *stop != Stop::Halt),
            Err(error) => {
                tracing::warn!(%error, "who steers is not told yet that all traffic was stopped here");
                return false;
            }
        }
        true
    }

    /// `foreign`: a document that is known to be somebody else's.
    async fn put(
        &self,
        control: &Arc<Control>,
        foreign: Option<Box<Control>>,
        until: Instant,
        now: UtcUs,
    ) -> Result<Held, LinkError> {
        let (held, decided, told, shown) = {
            let known = self.known();
            let shown = known.conflict.as_ref().and_then(|conflict| conflict.found.clone());
            // A stop is put upon what was shown as somebody else's, and asks the database nothing.
            let shown = shown.filter(|_| !known.untold.is_empty());
            (known.held.clone(), known.decided.clone(), known.untold.clone(), shown)
        };
        let (ours, untold, own_stop) = (Arc::clone(control), told.clone(), Arc::clone(&self.own_stop));
        let put = self.link.call(move |scoreboard| {
            let upon = |found: &Control| {
                let stopped = stopped_as(&ours, &untold, found, now)?;
                // Redis does it also where its answer comes too late.
                *own_stop.lock() = Some(Arc::new(stopped.clone()));
                Some(stopped)
            };
            let is_own = |found: &Control| own_stop.lock().as_deref() == Some(found);
            let others_stop = decided.as_deref().filter(|decided| decided.halted && !is_own(decided));
            let is_foreign = |found: &Control| [foreign.as_deref(), shown.as_deref()].contains(&Some(found));
            put(scoreboard, &ours, held.as_deref(), decided.as_deref(), others_stop, is_foreign, upon)
        });
        let held = tokio::time::timeout_at(until.into(), put).await.unwrap_or(Err(LinkError::Late));
        let conflict = match &held {
            Ok(Held::Foreign(conflict) | Held::StoppedHere(conflict)) => Some(conflict),
            _ => None,
        };
        let theirs = conflict.and_then(|conflict| conflict.found.as_ref());
        let is_told = |stop: &Stop| match (conflict, theirs) {
            (_, Some(found)) => !stop.is_due(control, found) && !stop.is_of_another(found),
            // Whether generators stop by it is looked at when it is put there.
            (Some(_), None) => false,
            (None, None) => matches!(held, Ok(Held::Ours)),
        };
        let refused = theirs.map_or_else(Vec::new, |found| refusals(control, &told, found, now));
        let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
        let mut known = self.known();
        if told.iter().all(is_told) {
            known.refused.clear();
        } else if !refused.is_empty() && known.refused != refused {
            tracing::warn!(why = refused.join("; "), "a stop is not in the document of Redis yet, and is tried again");
            known.refused = refused;
        }
        if let Ok(Held::Ours) = held {
            *self.own_stop.lock() = None;
            known.held = Some(Arc::clone(control));
            known.decided = None;
        }
        // A stop that came meanwhile is not in what was put.
        if known.untold == told && self.control().is_some_and(|newest| Arc::ptr_eq(&newest, control)) {
            known.untold.retain(|stop| !is_told(stop));
        }
        drop(known);
        held
    }

    /// Whose a document is that Redis holds. Where the database does not say, one that stops all traffic does so, and another
    /// one counts for nothing.
    async fn origin(&self, found: &Control) -> Origin {
        let asked = async {
            let saved = self.accounts.control_at(found.revision).await?;
            let reads = |text: &str| Control::from_json(text).ok();
            if saved.and_then(|saved| reads(&saved.document)).is_some_and(|saved| saved == *found) {
                return Ok(Origin::Ours);
            }
            if !found.halted {
                return Ok(Origin::Foreign);
            }
            let history = self.accounts.control_history(HISTORY).await?;
            let mut history = history.iter().filter_map(|saved| reads(&saved.document));
            let is_stop = history.any(|saved| is_stop_of(&saved, found));
            Ok::<_, flowtest_accounts::Error>(if is_stop { Origin::StopOfOurs } else { Origin::Foreign })
        };
        let unsaid = if found.halted { Origin::StopOfOurs } else { Origin::Ours };
        tokio::time::timeout(ORIGIN_TIMEOUT, asked).await.ok().and_then(Result::ok).unwrap_or(unsaid)
    }

    /// Whether Redis holds somebody else's document, and these stops stand upon that.
    pub(super) fn has_stopped_theirs(&self, stops: &[Stop]) -> bool {
        let known = self.known();
        let is_stopped = known.conflict.as_ref().is_some_and(|conflict| match &conflict.found {
            Some(theirs) => Some(theirs) == self.own_stop().as_ref(),
            None => conflict.is_halted,
        });
        known.publishing.is_none() && is_stopped && !stops.iter().any(|stop| known.untold.contains(stop))
    }

    /// Somebody else's document with our stop upon it, as we have put it into Redis, or have tried to.
    pub(super) fn own_stop(&self) -> Option<Arc<Control>> {
        self.own_stop.lock().clone()
    }

    /// Who kept the split before this look, where that was somebody else. A generator does so until a dashboard is there; what
    /// takes it from us again and again is a dashboard.
    pub(in crate::control) fn on_keeper_taken(&self, others: Option<StreamId>) {
        let mut known = self.known();
        known.taken = if others.is_some() { known.taken.saturating_add(1) } else { 0 };
        let is_rival = known.taken >= TAKEN_AGAIN;
        if is_rival && known.beside.is_none() {
            tracing::warn!("another dashboard gives shares in contest {} as well", self.contest);
        }
        known.beside = is_rival.then(|| {
            format!(
                "another dashboard, on a copy of this database, steers contest {:?} as well: end one of the two",
                self.contest
            )
        });
    }

    /// Whether the generators could be read.
    pub(in crate::control) fn on_look(&self, failed: Option<&LinkError>) {
        self.known().looking = failed.map(ToString::to_string);
    }
}

impl Conflict {
    /// Whether all traffic is stopped in what Redis holds.
    pub fn is_halted(&self) -> bool {
        self.is_halted
    }

    fn with(ours: &Control, found: Control) -> Conflict {
        if found.revision > ours.revision { Conflict::newer(ours, found) } else { Conflict::unknown(ours, found) }
    }

    fn newer(ours: &Control, found: Control) -> Conflict {
        let message = format!(
            "Redis holds revision {} of the control document and the database {}: another dashboard steers this \
             contest, or a backup was restored. Take over what Redis holds after a restored backup: it is what generators \
             play by. {}",
            found.revision,
            ours.revision,
            meanwhile(ours, &found)
        );
        Conflict::of(found, message)
    }

    fn of(found: Control, message: String) -> Conflict {
        Conflict { revision: Some(found.revision), is_halted: found.halted, found: Some(Arc::new(found)), message }
    }

    /// Of one that a newer program wrote.
    fn unread(unread: &UnreadControl) -> Conflict {
        let is_halted = unread.halted_by().is_some();
        let message = format!(
            "Redis holds a control document of a newer program: {unread}.{} Stop all traffic is written into it, and nothing else can \
             be; nothing is done here by itself either.",
            stopped(is_halted)
        );
        Conflict { revision: None, found: None, is_halted, message }
    }

    fn unknown(ours: &Control, found: Control) -> Conflict {
        let message = format!(
            "Redis holds a revision {} of the control document that this database (at {}) has never saved: another \
             dashboard runs on a copy of the database, or a backup was restored. End the other one; then take over what \
             Redis holds: it is what generators play by. {}",
            found.revision,
            ours.revision,
            meanwhile(ours, &found)
        );
        Conflict::of(found, message)
    }
}

/// What is in the way after Redis was asked, and what of somebody else is shown then, which was `shown` before. What we have saved
/// ourselves meanwhile, so that ours is not current, is no conflict; but only who decides takes away one that is shown, and whoever
/// finds that Redis holds ours.
fn outcome(
    found: Result<Held, LinkError>,
    shown: Option<Conflict>,
    is_current: bool,
) -> (Option<String>, Option<Conflict>) {
    match found {
        Ok(Held::Foreign(conflict) | Held::StoppedHere(conflict)) if is_current => (None, Some(conflict)),
        Ok(Held::Foreign(_) | Held::StoppedHere(_)) => (None, shown),
        // Somebody was faster: the next look sees to it.
        Ok(Held::Ours | Held::Stopped(_) | Held::StoppedUnread(_) | Held::Unknown(_)) => (None, None),
        Err(error) => (Some(error.to_string()), shown),
    }
}

/// What becomes of changes while somebody else's document is shown.
fn meanwhile(ours: &Control, found: &Control) -> String {
    let stops = match ours.round == found.round {
        true => "A stop is put upon it",
        false => {
            "It is of another round than the one here, so that no pause and no end can be put upon it; Stop all traffic can"
        }
    };
    format!(
        "{stops}.{} Any other change here goes on from the database instead. Until then nothing happens here by itself: no round \
         begins, drains or is sealed, nobody joins or is moved to another endpoint, the policy stays, and no share is given anew.",
        stopped(found.halted)
    )
}

fn stopped(is_halted: bool) -> &'static str {
    if is_halted { " All traffic is stopped in it." } else { "" }
}

/// Publishes over what is ours: `held`, which we have put there or know to be ours, and `decided`, somebody else's upon which we
/// have gone on. A stop in that one is not taken back by going on. `is_foreign`: whether one is known to be another's; a newer one
/// is. `stopped`: such a one with what was stopped here and nobody has been told of, where that is to be.
fn put(
    scoreboard: &mut Scoreboard,
    ours: &Control,
    held: Option<&Control>,
    decided: Option<&Control>,
    others_stop: Option<&Control>,
    is_foreign: impl Fn(&Control) -> bool,
    stopped: impl Fn(&Control) -> Option<Control>,
) -> Result<Held, ScoreboardError> {
    let is_stop = |found: &Control| {
        let of_ours = [Some(ours), held].into_iter().flatten().any(|it| is_stop_of(it, found));
        !ours.halted && (of_ours || others_stop == Some(found))
    };
    scoreboard.edit_control(&ours.contest.name, |found| match found {
        Ok(Some(found)) if found == *ours => Ok(ControlEdit::Leave(Held::Ours)),
        Ok(Some(found)) if is_stop(&found) => Ok(ControlEdit::Leave(Held::Stopped(Box::new(found)))),
        // One that stops all traffic may be the stop of an older one of ours, to which Redis has fallen back.
        Ok(Some(found)) if is_foreign(&found) || (found.revision > ours.revision && (ours.halted || !found.halted)) => {
            Ok(match stopped(&found) {
                // Whoever steers: a stop waits for nobody.
                Some(stopped) => {
                    ControlEdit::Put(Box::new(stopped.clone()), Held::StoppedHere(Conflict::newer(ours, stopped)))
                }
                None => ControlEdit::Leave(Held::Foreign(Conflict::with(ours, found))),
            })
        }
        Ok(Some(found)) if held != Some(&found) && decided != Some(&found) && (found.halted || !ours.halted) => {
            Ok(ControlEdit::Leave(Held::Unknown(Box::new(found))))
        }
        Err(unread) if matches!(unread.cause, ControlError::Dialect(_)) => {
            Ok(ControlEdit::Leave(Held::Foreign(Conflict::unread(&unread))))
        }
        // Generators have stopped by it, and follow nothing that is older.
        Err(unread) if unread.halted_by().is_some_and(|by| !ours.halted || ours.revision <= by) => {
            Ok(ControlEdit::Leave(Held::StoppedUnread(unread.revision.unwrap_or(0))))
        }
        // A stop of ours waits for nobody, and what is no document is replaced.
        Ok(_) | Err(_) => Ok(ControlEdit::Put(Box::new(ours.clone()), Held::Ours)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_stays_until_somebody_decides_or_redis_holds_ours() {
        let one =
            |revision| Conflict { revision: Some(revision), found: None, is_halted: false, message: String::new() };
        let revision =
            |(_, conflict): (Option<String>, Option<Conflict>)| conflict.and_then(|conflict| conflict.revision);
        for (is_current, found) in [(true, Some(2)), (false, Some(1))] {
            assert_eq!(revision(outcome(Ok(Held::Foreign(one(2))), Some(one(1)), is_current)), found);
            assert_eq!(revision(outcome(Ok(Held::StoppedHere(one(2))), Some(one(1)), is_current)), found);
            assert_eq!(revision(outcome(Err(LinkError::Late), Some(one(1)), is_current)), Some(1), "nobody has looked");
            assert_eq!(revision(outcome(Ok(Held::Ours), Some(one(1)), is_current)), None);
        }
        assert_eq!(revision(outcome(Ok(Held::Foreign(one(2))), None, false)), None, "it was decided meanwhile");
    }
}
