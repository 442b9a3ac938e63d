//! The desk itself: the control document, and how it is changed, saved and published.
//!
//! The database is the source of truth. A change is made by the rules of the lifecycle, saved under the revision it was
//! made on, and then published; when Redis is away it is saved all the same, and published as soon as Redis is back.

use super::asks::Asks;
use super::link::{Link, LinkError};
use super::roster::Roster;
use super::settings::Settings;
use super::show::{self, Show};
use crate::live::Facts;
use flowtest_accounts::{Accounts, Actor, ControlRevision};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::lifecycle::{self, Change};
use flowtest_scoreboard::{Control, ControlError, Refusal, ScoreboardError, SeenGenerator, State, StreamId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// The name of the settings in the database.
const SETTINGS: &str = "contest";
/// How long whoever makes a change waits for Redis. What is not published by then is published by the next look.
const PUBLISH_PATIENCE: Duration = Duration::from_millis(1_500);

/// The control desk of one contest. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Organiser {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) contest: String,
    pub(super) accounts: Accounts,
    pub(super) link: Link,
    /// Whoever holds it changes the document; one at a time.
    pub(super) pen: tokio::sync::Mutex<()>,
    /// Whoever holds it tells the live feed, so that nobody tells it what was read before another told it.
    pub(super) telling: tokio::sync::Mutex<()>,
    pub(super) control: watch::Sender<Option<Arc<Control>>>,
    pub(super) settings: watch::Sender<Versioned<Settings>>,
    pub(super) show: watch::Sender<Versioned<Show>>,
    pub(super) facts: watch::Sender<Arc<Facts>>,
    pub(super) status: Mutex<Status>,
    pub(super) asks: Mutex<Asks>,
    /// Somebody changed people or their endpoints.
    pub(super) nudge: Notify,
}

/// A value of the database with its version; none before it was first saved.
#[derive(Clone, Debug, Default)]
pub(super) struct Versioned<T> {
    pub(super) version: Option<u64>,
    pub(super) value: Arc<T>,
}

/// How things stand beside the document. Nothing in it is needed after a restart.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What is wrong with Redis.
    pub redis: Option<String>,
    /// What Redis holds that is newer than ours.
    pub conflict: Option<Conflict>,
    /// How far the sealing of a draining round is.
    pub sealing: Sealing,
    /// All generators that Redis knows of.
    pub generators: Arc<[SeenGenerator]>,
    /// Who would play the next round, and who cannot.
    pub roster: Arc<Roster>,
    /// What the database refused the automation, when it did.
    pub trouble: Option<String>,
    /// Which state of which round the table of rounds knows.
    pub(super) noted: Option<(RoundId, State)>,
}

/// Redis holds a newer document than the database: somebody else steers the contest, or a backup was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// None: a newer program wrote it, and we cannot read it.
    pub revision: Option<u64>,
    /// The cause and the next step.
    pub sentence: String,
}

/// Why a draining round is not sealed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// Nothing is being sealed, or all goes well.
    #[default]
    Fine,
    /// These have not ended.
    Missing(Vec<StreamId>),
    /// It cannot be done now.
    Trouble(String),
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub control: Arc<Control>,
    /// Why generators do not know of it yet. It is published as soon as that is over.
    pub unpublished: Option<String>,
}

/// A change that was not made. Everything is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Somebody else was faster.
    #[error("{by} was faster: {what} Look at it, then make your change again.")]
    Stale { revision: u64, by: String, what: String },
    #[error("nobody can play yet: contestants, or the house target, set their endpoints first")]
    NoContest,
    /// What was typed is not right; the field has this name.
    #[error("{sentence}")]
    Field { field: &'static str, sentence: String },
    /// It makes no sense now.
    #[error("{0}")]
    Unfit(String),
    #[error("{0}")]
    Redis(#[from] LinkError),
    #[error("{0}")]
    Accounts(#[from] flowtest_accounts::Error),
}

/// Why the desk cannot open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Accounts(#[from] flowtest_accounts::Error),
    #[error(
        "the database holds contest {found:?} and not {wanted:?}: give its name with --contest, or another database"
    )]
    Contest { found: String, wanted: String },
    #[error("the control document in the database cannot be read: {0}; restore a backup")]
    Control(#[from] ControlError),
    #[error("setting {name:?} in the database cannot be read: {cause}; restore a backup")]
    Setting { name: &'static str, cause: String },
    #[error("no thread to speak with Redis: {0}; free some memory or processes")]
    Thread(#[from] std::io::Error),
}

impl Organiser {
    /// Opens the desk with what the database holds. Nothing moves before [`Organiser::run`] does.
    pub async fn open(contest: &str, accounts: Accounts, link: Link) -> Result<Organiser, OpenError> {
        let saved = accounts.control().await?;
        let control = saved.map(|saved| Control::from_json(&saved.document)).transpose()?;
        if let Some(control) = control.as_ref().filter(|control| control.contest.name != contest) {
            return Err(OpenError::Contest { found: control.contest.name.clone(), wanted: contest.to_owned() });
        }
        let settings = read_settings(&accounts).await?;
        let show = read_setting(&accounts, show::SETTING).await?;
        let organiser = Organiser {
            inner: Arc::new(Inner {
                contest: contest.to_owned(),
                accounts,
                link,
                pen: tokio::sync::Mutex::default(),
                telling: tokio::sync::Mutex::default(),
                control: watch::Sender::new(control.map(Arc::new)),
                settings: watch::Sender::new(settings),
                show: watch::Sender::new(show),
                facts: watch::Sender::default(),
                status: Mutex::default(),
                asks: Mutex::default(),
                nudge: Notify::new(),
            }),
        };
        organiser.refresh(&Actor::program(), super::instant::now()).await.map_err(|error| match error {
            ChangeError::Accounts(error) => OpenError::Accounts(error),
            other => OpenError::Setting { name: SETTINGS, cause: other.to_string() },
        })?;
        Ok(organiser)
    }

    /// The name of the contest in Redis.
    pub fn contest(&self) -> &str {
        &self.inner.contest
    }

    pub fn accounts(&self) -> &Accounts {
        &self.inner.accounts
    }

    /// The document in force. None while nobody can play.
    pub fn control(&self) -> Option<Arc<Control>> {
        self.inner.control.borrow().clone()
    }

    /// The same, and every one that follows.
    pub fn watch_control(&self) -> watch::Receiver<Option<Arc<Control>>> {
        self.inner.control.subscribe()
    }

    /// What was decided about the contest.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.inner.settings.borrow().value)
    }

    /// What the public may see.
    pub fn show(&self) -> Show {
        *self.inner.show.borrow().value
    }

    /// How often what the public may see was changed: what a page shows, and sends back with [`Organiser::set_show`].
    pub fn show_version(&self) -> u64 {
        self.inner.show.borrow().version.unwrap_or(0)
    }

    /// What the live feed must be told, whenever it changes.
    pub fn watch_facts(&self) -> watch::Receiver<Arc<Facts>> {
        self.inner.facts.subscribe()
    }

    pub fn status(&self) -> Status {
        self.lock_status().clone()
    }

    /// Tells the desk that people or endpoints changed elsewhere; it looks at once.
    pub fn people_changed(&self) {
        self.inner.nudge.notify_one();
    }

    /// Whether a round is between being armed and being sealed.
    pub fn is_playing(&self) -> bool {
        use State::{Armed, Draining, Paused, Running};
        self.control().is_some_and(|control| matches!(control.state, Armed | Running | Paused | Draining))
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
        let _pen = self.inner.pen.lock().await;
        self.make(expected, change, what, by, now).await
    }

    /// The same by whoever holds the pen.
    pub(super) async fn make(
        &self,
        expected: Option<u64>,
        change: Change,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        self.check_fresh(expected).await?;
        let current = self.control().ok_or(ChangeError::NoContest)?;
        if matches!(change, Change::Abort) && self.has_results(&current).await? {
            return Err(ChangeError::Unfit(
                "the results of this round are written, and it is sealed in a moment: it cannot be aborted any more"
                    .to_owned(),
            ));
        }
        let mut next = lifecycle::change(&current, change, now)?;
        // Above whatever Redis has seen, or no generator would follow.
        let foreign = self.lock_status().conflict.as_ref().and_then(|conflict| conflict.revision).unwrap_or(0);
        next.revision = next.revision.max(foreign.saturating_add(1));
        self.save(Some(current.revision), next, what, by, now).await
    }

    /// Whether the results of the document's round are written already, which is done before it is called sealed.
    async fn has_results(&self, control: &Control) -> Result<bool, flowtest_accounts::Error> {
        let Some(round) = control.round else { return Ok(false) };
        Ok(self.inner.accounts.round(round).await?.is_some_and(|known| known.finished_at.is_some()))
    }

    /// Refuses whoever has not seen what another person changed.
    pub async fn check_fresh(&self, expected: Option<u64>) -> Result<(), ChangeError> {
        let (Some(expected), Some(current)) = (expected, self.control()) else { return Ok(()) };
        if expected == current.revision {
            return Ok(());
        }
        let other = self.inner.accounts.control_by_others_since(expected, &Actor::program()).await?;
        other.map_or(Ok(()), |saved| Err(stale(saved)))
    }

    /// Saves a document and publishes it.
    pub(super) async fn save(
        &self,
        expected: Option<u64>,
        next: Control,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        let saved = self.inner.accounts.save_control(expected, next.revision, &next.to_json(), what, by, now).await;
        if let Err(flowtest_accounts::Error::Stale { .. }) = saved {
            // Another process: take over what it saved, and say whose it is.
            return Err(match self.follow_database().await? {
                Some(saved) => stale(saved),
                None => ChangeError::NoContest,
            });
        }
        saved?;
        let next = Arc::new(next);
        self.inner.control.send_replace(Some(Arc::clone(&next)));
        self.inner.facts.send_modify(|facts| Arc::make_mut(facts).control = Some(Arc::clone(&next)));
        // An explicit change goes on above what Redis held.
        self.lock_status().conflict = None;
        // The document counts from here on, whatever the table of rounds says; the next turn notes it again.
        if let Err(error) = self.note_round(by, now).await {
            tracing::warn!(%error, "the table of rounds is behind the control document");
        }
        let unpublished = self.publish(PUBLISH_PATIENCE).await;
        Ok(Made { control: next, unpublished })
    }

    /// Takes over a document that another process has saved since, and returns it.
    pub(super) async fn follow_database(&self) -> Result<Option<ControlRevision>, flowtest_accounts::Error> {
        let Some(saved) = self.inner.accounts.control().await? else { return Ok(None) };
        let ours = self.control().map_or(0, |control| control.revision);
        if saved.revision > ours {
            let control = Control::from_json(&saved.document).map_err(|error| {
                flowtest_accounts::Error::Failed(format!("its control document is damaged: {error}"))
            })?;
            self.inner.control.send_replace(Some(Arc::new(control)));
        }
        Ok(Some(saved))
    }

    /// Puts the document into Redis where it holds an older one, another one or none. Says what is in the way.
    pub(super) async fn publish(&self, patience: Duration) -> Option<String> {
        let control = self.control()?;
        let put = self.inner.link.call(move |scoreboard| put(scoreboard, &control));
        let found = tokio::time::timeout(patience, put).await.unwrap_or(Err(LinkError::Late));
        // What we saved ourselves while Redis was asked is no conflict.
        let ours = self.control().map_or(0, |control| control.revision);
        let is_newer = |conflict: &Conflict| conflict.revision.is_none_or(|revision| revision > ours);
        let mut status = self.lock_status();
        (status.redis, status.conflict) = match found {
            Ok(conflict) => (None, conflict.filter(is_newer)),
            Err(error) => (Some(error.to_string()), status.conflict.take().filter(is_newer)),
        };
        let conflict = status.conflict.as_ref().map(|conflict| conflict.sentence.clone());
        status.redis.clone().or(conflict)
    }

    /// Takes the newer document of Redis as ours.
    pub async fn adopt(&self, by: &Actor, now: UtcUs) -> Result<Made, ChangeError> {
        let _pen = self.inner.pen.lock().await;
        let contest = self.inner.contest.clone();
        let found = self.inner.link.call(move |scoreboard| scoreboard.read_control(&contest)).await?;
        let ours = self.control().map(|control| control.revision);
        match found {
            Some(found) if found.contest.name == self.inner.contest && Some(found.revision) > ours => {
                self.save(ours, found, "The document in Redis was taken over.", by, now).await
            }
            _ => Err(ChangeError::Unfit("Redis holds no newer document: there is nothing to take over.".to_owned())),
        }
    }

    /// Saves the settings. `expected` as for [`Organiser::change`]. Each saving is a revision of the control document, so
    /// that two who edit at once notice each other also while a round runs.
    pub async fn save_settings(
        &self,
        expected: Option<u64>,
        settings: Settings,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        let _pen = self.inner.pen.lock().await;
        self.check_fresh(expected).await?;
        let policy = settings.policy.clone();
        self.put_versioned(&self.inner.settings, SETTINGS, &settings.to_json(), settings, by, now).await?;
        if let Some(made) = self.refresh_held(by, now).await? {
            return Ok(Some(made));
        }
        if self.control().is_none() {
            return Ok(None);
        }
        self.make(None, Change::Policy(policy), "The settings were saved.", by, now).await.map(Some)
    }

    /// Freezes, unfreezes or reveals the standings, or ends the contest. `expected` is the [`Organiser::show_version`]
    /// that whoever asks has looked at: when somebody else changed it since, nothing is done.
    pub async fn set_show(
        &self,
        expected: Option<u64>,
        wanted: impl FnOnce(Show) -> Result<Show, String>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Show, ChangeError> {
        let _pen = self.inner.pen.lock().await;
        if expected.is_some_and(|expected| expected != self.show_version()) {
            return Err(ChangeError::Unfit(
                "somebody else has changed what the public sees since this page was loaded: look at it, then decide again"
                    .to_owned(),
            ));
        }
        let show = wanted(self.show()).map_err(ChangeError::Unfit)?;
        let text = serde_json::to_value(show).map_err(|error| ChangeError::Unfit(error.to_string()))?;
        self.put_versioned(&self.inner.show, show::SETTING, &text, show, by, now).await?;
        self.tell_facts().await?;
        Ok(show)
    }

    async fn put_versioned<T>(
        &self,
        place: &watch::Sender<Versioned<T>>,
        name: &'static str,
        text: &impl Serialize,
        value: T,
        by: &Actor,
        now: UtcUs,
    ) -> Result<(), ChangeError> {
        let text = serde_json::to_string(text).map_err(|error| ChangeError::Unfit(error.to_string()))?;
        let version = place.borrow().version;
        let version = self.inner.accounts.put_setting(name, version, &text, by, now).await?;
        place.send_replace(Versioned { version: Some(version), value: Arc::new(value) });
        Ok(())
    }

    /// What another process has saved since.
    pub(super) async fn follow_settings(&self) -> Result<(), OpenError> {
        let settings = read_settings(&self.inner.accounts).await?;
        if settings.version > self.inner.settings.borrow().version {
            self.inner.settings.send_replace(settings);
        }
        let show = read_setting(&self.inner.accounts, show::SETTING).await?;
        if show.version > self.inner.show.borrow().version {
            self.inner.show.send_replace(show);
        }
        Ok(())
    }

    pub(super) fn lock_status(&self) -> MutexGuard<'_, Status> {
        self.inner.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_asks(&self) -> MutexGuard<'_, Asks> {
        self.inner.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stale(saved: ControlRevision) -> ChangeError {
    ChangeError::Stale { revision: saved.revision, by: saved.by_name, what: saved.what }
}

/// Publishes unless Redis holds something newer.
fn put(scoreboard: &mut flowtest_scoreboard::Scoreboard, ours: &Control) -> Result<Option<Conflict>, ScoreboardError> {
    match scoreboard.read_control(&ours.contest.name) {
        Ok(Some(found)) if found == *ours => return Ok(None),
        Ok(Some(found)) if found.revision > ours.revision => {
            let sentence = format!(
                "Redis holds revision {} of the control document and the database {}: another dashboard steers this \
                 contest, or a backup was restored. Take over what Redis holds, or make any change here and it goes on \
                 from the database.",
                found.revision, ours.revision
            );
            return Ok(Some(Conflict { revision: Some(found.revision), sentence }));
        }
        Err(ScoreboardError::Control(error @ ControlError::Dialect(_))) => {
            let sentence = format!("Redis holds a control document of a newer program: {error}.");
            return Ok(Some(Conflict { revision: None, sentence }));
        }
        // What is no document of ours is replaced.
        Ok(_) | Err(ScoreboardError::Control(_)) => {}
        Err(error) => return Err(error),
    }
    scoreboard.write_control(ours).map(|()| None)
}

async fn read_settings(accounts: &Accounts) -> Result<Versioned<Settings>, OpenError> {
    let Some(setting) = accounts.setting(SETTINGS).await? else { return Ok(Versioned::default()) };
    let damaged = |cause: String| OpenError::Setting { name: SETTINGS, cause };
    let document = serde_json::from_str(&setting.text).map_err(|error| damaged(error.to_string()))?;
    let settings = Settings::from_json(document).map_err(|error| damaged(error.to_string()))?;
    Ok(Versioned { version: Some(setting.version), value: Arc::new(settings) })
}

async fn read_setting<T: DeserializeOwned + Default>(
    accounts: &Accounts,
    name: &'static str,
) -> Result<Versioned<T>, OpenError> {
    let Some(setting) = accounts.setting(name).await? else { return Ok(Versioned::default()) };
    let value =
        serde_json::from_str(&setting.text).map_err(|error| OpenError::Setting { name, cause: error.to_string() })?;
    Ok(Versioned { version: Some(setting.version), value: Arc::new(value) })
}
