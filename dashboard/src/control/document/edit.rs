//! Changing the control document: one at a time, by the rules of the lifecycle, on the revision that was looked at.

use super::stops::{Stop, is_stop, refusals, stopped_as};
use super::{Document, Made};
use crate::control::error::ChangeError;
use crate::control::platform;
use crate::control::settings::Settings;
use crate::control::show::Show;
use flowtest_accounts::{Actor, RoundResult};
use flowtest_contest::lifecycle::{self, Change};
use flowtest_contest::{Control, Refusal, State, policy};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::MutexGuard;

/// How long whoever makes a change waits for Redis. What is not published by then is published by the next look.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Entries of `deny` that settings have at most: with the platform's own addresses nobody could read a longer document.
const DENIED_MAX: usize = policy::ENTRIES_MAX - platform::ENTRIES_MAX;

/// How many revisions of ours are looked at for one that somebody has gone on from.
pub(super) const HISTORY: u32 = 100;

/// Where a change comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// An organiser asks for it, and decides by it what becomes of what somebody else has put into Redis.
    Request,
    /// It is due by the clock, or follows from what others have done.
    Automation,
}

/// Whoever has it is the only one who changes the document. Others wait until it is dropped.
#[derive(Debug)]
pub struct Edit<'a> {
    pub(super) document: &'a Document,
    _editing: MutexGuard<'a, ()>,
}

impl Document {
    /// Waits until nobody else changes the document.
    pub async fn edit(&self) -> Edit<'_> {
        Edit { document: self, _editing: self.editing.lock().await }
    }
}

impl Edit<'_> {
    /// The document in force, which nobody else changes now.
    pub fn control(&self) -> Option<Arc<Control>> {
        self.document.control()
    }

    /// Makes a change. `expected` is the revision that whoever asks has looked at: when somebody else changed something
    /// since, nothing is done. What the dashboard did by itself since then is no reason. `what` is a sentence for the
    /// history.
    pub async fn change(
        &self,
        expected: Option<u64>,
        change: Change,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        self.document.check_fresh(expected).await?;
        self.make(Trigger::Request, change, what, by, now).await
    }

    /// The same of what is due by itself. While somebody else's document is shown it waits: an organiser decides what becomes
    /// of that.
    pub async fn change_by_itself(
        &self,
        change: Change,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        self.make(Trigger::Automation, change, what, by, now).await
    }

    pub(super) async fn make(
        &self,
        trigger: Trigger,
        change: Change,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        let document = self.document;
        document.check_steering()?;
        let decides = trigger == Trigger::Request && !is_stop(&change);
        loop {
            self.save_urgent().await?;
            let current = document.control().ok_or(ChangeError::NoContest)?;
            if trigger == Trigger::Automation {
                document.check_undisputed()?;
            }
            document.known().check_round(&current, &change)?;
            if matches!(change, Change::Abort) && self.has_results(&current).await? {
                return Err(ChangeError::Unfit(
                    "the results of this round are written, and it is sealed in a moment: it cannot be aborted any more"
                        .to_owned(),
                ));
            }
            let mut next = lifecycle::change(&current, change.clone(), now)?;
            // Above whatever Redis has seen, or no generator would follow.
            let foreign = document.known().foreign_revision();
            next.revision = next.revision.max(foreign.saturating_add(1));
            if let Some(made) = self.save(Some(current.revision), next, decides, what, by, now).await? {
                return Ok(made);
            }
        }
    }

    /// Whether the results of the document's round are written already, which is done before it is called sealed.
    async fn has_results(&self, control: &Control) -> Result<bool, flowtest_accounts::Error> {
        let Some(round) = control.round else { return Ok(false) };
        Ok(self.document.accounts.round(round).await?.is_some_and(|known| known.finished_at.is_some()))
    }

    /// Saves a document that was made upon the revision `base`, and publishes it. Nothing when an urgent change came
    /// meanwhile, upon which it is to be made again. `decides`: whether it goes on from here where Redis holds somebody else's.
    pub(super) async fn save(
        &self,
        base: Option<u64>,
        next: Control,
        decides: bool,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        let document = self.document;
        let expected = document.known().saved;
        let saved = document.accounts.save_control(expected, next.revision, &next.to_json(), what, by, now).await;
        if let Err(flowtest_accounts::Error::Stale { .. }) = saved {
            // Another process: take over what it saved, and say whose it is.
            return Err(match document.follow_database().await? {
                Some(saved) => ChangeError::stale(saved),
                None => ChangeError::NoContest,
            });
        }
        saved?;
        let next = Arc::new(next);
        let Some(stops) = document.commit(base, &next, decides) else { return Ok(None) };
        // The document counts from here on, whatever the table of rounds says; the next turn notes it again.
        if let Err(error) = document.note_round(by, now).await {
            tracing::warn!(%error, "the table of rounds is behind the control document");
        }
        // What was stopped and is not told yet outlives us, also while it is being told. The next turn tries again.
        let keeping = async {
            match stops.iter().all(Stop::is_known_elsewhere) {
                true => Ok(()),
                false => document.keep_untold().await,
            }
        };
        let (unpublished, kept) = tokio::join!(document.publish(PUBLISH_TIMEOUT, now), keeping);
        let kept = match kept {
            Ok(()) => document.keep_untold().await,
            failed => failed,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "which stops nobody has been told of is not saved");
        }
        // Over somebody else's document it stays a conflict, and generators know of the stop.
        let unpublished = unpublished.filter(|_| stops.is_empty() || !document.has_stopped_theirs(&stops));
        Ok(Some(Made { control: next, unpublished, unsaved: None }))
    }

    /// Takes the newer document of Redis as ours. What was stopped here meanwhile stays stopped.
    pub async fn adopt(&self, by: &Actor, now: UtcUs) -> Result<Made, ChangeError> {
        let document = self.document;
        document.check_steering()?;
        self.save_urgent().await?;
        let contest = document.contest.clone();
        let found = document.link.call(move |scoreboard| scoreboard.read_control(&contest)).await?;
        let ours = document.control().map(|control| control.revision);
        let is_foreign = Some(document.known().foreign_revision()).filter(|revision| *revision > 0);
        match found {
            Some(found)
                if found.contest.name == document.contest
                    && (Some(found.revision) > ours || is_foreign == Some(found.revision)) =>
            {
                let untold = document.known().untold.clone();
                if let Some(refusal) = document.control().and_then(|ours| lost_stop(&ours, &untold, &found, now)) {
                    return Err(ChangeError::Unfit(format!(
                        "what was stopped here cannot be stopped in what Redis holds yet, and would be lost: {refusal}. Take over \
                         what it holds after that, or stop all traffic, which goes on from here"
                    )));
                }
                let stopped = document.control().and_then(|ours| stopped_as(&ours, &untold, &found, now));
                if stopped.is_some() {
                    // What is put is not what was found.
                    document.known().decided = Some(Arc::new(found.clone()));
                }
                let mut found = stopped.unwrap_or(found);
                found.revision = found.revision.max(ours.map_or(0, |ours| ours + u64::from(found.revision <= ours)));
                let made = self.save(ours, found, true, "The document in Redis was taken over.", by, now).await?;
                made.ok_or_else(|| {
                    ChangeError::Unfit("traffic was stopped meanwhile: look, then decide again".to_owned())
                })
            }
            _ => Err(ChangeError::Unfit("Redis holds no newer document: there is nothing to take over.".to_owned())),
        }
    }

    /// Takes over the splits of a document of ours that a generator has made, and nothing else. Ours may have gone on since, as
    /// when its round began while Redis could not be reached. None: it is none of ours, or more was changed in it.
    pub(in crate::control) async fn adopt_splits(
        &self,
        found: &Control,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        let document = self.document;
        self.save_urgent().await?;
        let Some(ours) = document.control() else { return Ok(None) };
        // Of ours, whatever else it has become, and with more splits: a conflict stands for long, and is looked at twice a second.
        if found.round != ours.round || found.timeline.splits.len() <= ours.timeline.splits.len() {
            return Ok(None);
        }
        // Generators follow what our stop was put upon, and no other pause than its own.
        let is_stopped = document.own_stop().as_deref() == Some(found) && is_stopped_alike(&ours, found);
        let is_base = |base: &Control| match is_stopped {
            true => is_split_anew(base, &with_stops_of(found, base)) && is_played_on(base, &with_stops_of(&ours, base)),
            false => is_split_anew(base, found) && is_played_on(base, &ours),
        };
        if !is_base(&ours) {
            let history = document.accounts.control_history(HISTORY).await?;
            let mut saved = history.iter().filter_map(|saved| Control::from_json(&saved.document).ok());
            if !saved.any(|base| is_base(&base)) {
                return Ok(None);
            }
        }
        let what = "A generator has split the requests anew.";
        self.save(Some(ours.revision), split_as(&ours, found), true, what, by, now).await
    }

    /// Saves the settings. `expected` as for [`Edit::change`]. Each saving is a revision of the control document, so
    /// that two who edit at once notice each other also while a round runs.
    pub async fn save_settings(
        &self,
        expected: Option<u64>,
        settings: Settings,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        let document = self.document;
        document.check_fresh(expected).await?;
        if settings.policy.deny.len() > DENIED_MAX {
            return Err(ChangeError::Field {
                field: "deny",
                message: format!(
                    "at most {DENIED_MAX} entries can be denied beside the platform's own addresses: write wider networks"
                ),
            });
        }
        document.settings.put(&document.accounts, settings, by, now).await?;
        if let Some(made) = self.follow_at_any_rate(self.wanted().await?, by, now).await? {
            return Ok(Some(made));
        }
        if document.control().is_none() {
            return Ok(None);
        }
        let policy = document.enforced_settings().policy;
        self.change(None, Change::Policy(policy), "The settings were saved.", by, now).await.map(Some)
    }

    /// Freezes, unfreezes or reveals the standings, or ends the contest. `expected` is the [`Document::show_version`]
    /// that whoever asks has looked at: when somebody else changed it since, nothing is done.
    pub async fn set_show(
        &self,
        expected: Option<u64>,
        wanted: impl FnOnce(Show) -> Result<Show, String>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Show, ChangeError> {
        let document = self.document;
        if expected.is_some_and(|expected| expected != document.show_version()) {
            return Err(ChangeError::Unfit(
                "somebody else has changed what the public sees since this page was loaded: look at it, then decide again"
                    .to_owned(),
            ));
        }
        let show = wanted(document.show()).map_err(ChangeError::Unfit)?;
        document.show.put(&document.accounts, show.clone(), by, now).await?;
        Ok(show)
    }

    /// Writes the results of a draining round with how much of it is valid, and then says that it is sealed. No results: they
    /// are written already.
    /// False when somebody has moved the round since `seen`, and while somebody else's document is shown.
    pub(in crate::control) async fn seal(
        &self,
        seen: &Control,
        results: Option<(RoundId, Vec<RoundResult>, RoundValidity)>,
        now: UtcUs,
    ) -> Result<bool, ChangeError> {
        if !self.document.is_at(seen) || self.document.check_undisputed().is_err() {
            return Ok(false);
        }
        let program = Actor::program();
        if let Some((round, results, validity)) = results {
            self.document.accounts.finish_round(round, results, Some(validity), &program, now).await?;
        }
        self.change_by_itself(Change::Seal, "The round was sealed.", &program, now).await?;
        Ok(true)
    }
}

/// Why a stop of ours would be lost in somebody else's document for now. Settings and endpoints are put into it afterwards, and a
/// round whose traffic is over needs no stop.
fn lost_stop(ours: &Control, untold: &[Stop], found: &Control, now: UtcUs) -> Option<Refusal> {
    let stops: Vec<Stop> = untold.iter().filter(|stop| !stop.is_known_elsewhere()).cloned().collect();
    refusals(ours, &stops, found, now).into_iter().find(|refusal| !matches!(refusal, Refusal::Over { .. }))
}

/// A document with the splits of another one, and resting when that does, above both where it is neither.
fn split_as(ours: &Control, found: &Control) -> Control {
    let mut next = Control { revision: found.revision, split: found.split.clone(), ..ours.clone() };
    next.timeline.splits.clone_from(&found.timeline.splits);
    next.timeline.pauses.clone_from(&found.timeline.pauses);
    next.timeline.stopped_at = found.timeline.stopped_at;
    if next != *found || found.revision <= ours.revision {
        next.revision = found.revision.max(ours.revision) + 1;
    }
    next
}

/// A document in which as much is stopped as in another one.
fn with_stops_of(control: &Control, other: &Control) -> Control {
    let (halted, parked, since) = (other.halted, other.parked.clone(), other.since.clone());
    let mut same = Control { state: other.state, halted, parked, since, ..control.clone() };
    same.timeline.pauses.clone_from(&other.timeline.pauses);
    same.timeline.stopped_at = other.timeline.stopped_at;
    same.contest.policy.clone_from(&other.contest.policy);
    for (one, theirs) in same.contest.contestants.iter_mut().zip(&other.contest.contestants) {
        if one.name == theirs.name {
            one.endpoint.clone_from(&theirs.endpoint);
        }
    }
    same
}

/// Whether two documents stop the same, though maybe from another instant on.
fn is_stopped_alike(ours: &Control, found: &Control) -> bool {
    let on = |control: &Control| matches!(control.state, State::Armed | State::Running);
    let is_as_far = ours.state == found.state || (on(ours) && on(found));
    is_as_far && (ours.halted, &ours.parked) == (found.halted, &found.parked)
}

/// Whether a document is another one with more splits, and nothing else.
fn is_split_anew(ours: &Control, found: &Control) -> bool {
    let mut same = Control { revision: ours.revision, split: ours.split.clone(), ..found.clone() };
    same.timeline.splits.clone_from(&ours.timeline.splits);
    let has_more = found.timeline.splits.len() > ours.timeline.splits.len();
    has_more && same == *ours && lifecycle::follows(ours, found).is_ok()
}

/// Whether nothing of who sends what when has changed from a document of ours to the newest.
fn is_played_on(base: &Control, ours: &Control) -> bool {
    let on = |control: &Control| matches!(control.state, State::Armed | State::Running);
    let split = |control: &Control| (control.round, control.timeline.splits.clone(), control.timeline.pauses.clone());
    // The end of its plan is the same for all, whoever has heard of it.
    let has_ended = ours.state == State::Draining && ours.timeline.stopped_at.is_none();
    base == ours || (on(base) && (on(ours) || has_ended) && split(base) == split(ours))
}
