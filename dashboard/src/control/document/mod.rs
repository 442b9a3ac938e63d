//! The control document, what it is made of, and where both are kept.
//!
//! The database is the source of truth. A change is made by the rules of the lifecycle, saved under the revision it was
//! made on, and then published; when Redis is away it is saved all the same, and published as soon as Redis is back. What
//! stops traffic goes the other way: to Redis first, and into the database when that takes it.
//!
//! | module | noun |
//! |---|---|
//! | [`Document`] | the document in force, as everybody may read it |
//! | [`edit`] | whoever changes it now; one at a time |
//! | `follow` | how it follows accounts, endpoints and settings |
//! | `publish` | how Redis comes to hold it |
//! | `urgent` | what stops traffic, and another split: to Redis first |
//! | `stops` | what a document says when traffic is stopped |
//! | `steering` | whose database steers the contest |

pub mod edit;
mod follow;
mod publish;
mod steering;
mod stops;
mod urgent;

use super::error::{ChangeError, OpenError};
use super::feed_facts::FeedFacts;
use super::link::Link;
use super::roster::Roster;
use super::settings::Settings;
use super::show::{self, Show};
use super::stored::Stored;
use crate::live::Facts;
use flowtest_accounts::{Accounts, Actor, ControlRevision, Endpoint as Named, NewRound, UserId};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::policy::Denied;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::Deadlines;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, StreamId, utc_us};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use stops::Stop;
use tokio::sync::watch;
use urgent::Urgent;

/// The name of the settings in the database.
const SETTINGS: &str = "contest";
/// That of the stops of which Redis has not been told.
const UNTOLD: &str = "untold_stops";

/// The control document of one contest.
#[derive(Debug)]
pub struct Document {
    contest: String,
    accounts: Accounts,
    link: Link,
    database: StreamId,
    /// Whoever holds it changes the document. Held while the document is saved and published, and for no other part.
    editing: tokio::sync::Mutex<()>,
    /// In force. Replaced only by who holds `known`, and never by an older one.
    control: watch::Sender<Option<Arc<Control>>>,
    settings: Stored<Settings>,
    /// The platform's own addresses, which are denied whatever the settings say.
    own_addresses: Mutex<Vec<Denied>>,
    show: Stored<Show>,
    /// The stops that nobody has been told of, as a restart finds them.
    untold: Stored<Vec<Stop>>,
    facts: FeedFacts,
    known: Mutex<Known>,
    /// Somebody else's document with our stop put upon it, before Redis has answered: whoever allows traffic here takes that back.
    own_stop: Arc<Mutex<Option<Arc<Control>>>>,
}

/// What is known beside the document. Of this a restart needs only `untold`, which is saved.
#[derive(Debug, Default)]
struct Known {
    /// Why the document is not in Redis, generators cannot be heard, and Redis takes no writes: each is set and cleared by who
    /// tries it.
    publishing: Option<String>,
    looking: Option<String>,
    writing: Option<String>,
    conflict: Option<Conflict>,
    /// What Redis held when we last knew: ours.
    held: Option<Arc<Control>>,
    /// Somebody else's document in Redis, upon which it was decided to go on from here. A stop in it holds on.
    decided: Option<Arc<Control>>,
    /// Another database steers the contest.
    is_others: bool,
    /// How many looks in succession somebody else kept the split before us, and what that means.
    taken: u32,
    beside: Option<String>,
    /// The newest revision that the database holds, as far as we know.
    saved: Option<u64>,
    /// What is in force and not in the database, in its order.
    unsaved: Vec<Urgent>,
    /// Stops that were made here and of which Redis has not been told.
    untold: Vec<Stop>,
    /// Why some of them are not in the document of somebody else.
    refused: Vec<String>,
    roster: Arc<Roster>,
    /// Endpoints as they were set last, and since when their owners have named these servers.
    named: HashMap<UserId, (Named, UtcUs)>,
    /// Which state of which round the table of rounds holds.
    noted: Option<(RoundId, State)>,
}

impl Known {
    fn foreign_revision(&self) -> u64 {
        self.conflict.as_ref().and_then(|conflict| conflict.revision).unwrap_or(0)
    }

    /// Refuses what would be done by itself while somebody else's document is shown.
    fn check_undisputed(&self) -> Result<(), ChangeError> {
        match &self.conflict {
            None => Ok(()),
            Some(conflict) => Err(ChangeError::Unfit(conflict.message.clone())),
        }
    }

    /// Refuses to stop a round that is another one than that of the document by which generators are shown to go: it would stop
    /// nothing there.
    fn check_round(&self, ours: &Control, change: &Change) -> Result<(), ChangeError> {
        let stops_round = matches!(change, Change::Pause | Change::Stop | Change::Abort);
        let theirs = self.conflict.as_ref().and_then(|conflict| conflict.found.as_ref());
        if !stops_round || theirs.is_none_or(|theirs| theirs.round == ours.round) {
            return Ok(());
        }
        Err(ChangeError::Unfit(
            "nothing was done: generators go by what Redis holds, and that is of another round than the one here. Stop all traffic \
             stops them at once, whatever they play; to pause or end their round take over what Redis holds first"
                .to_owned(),
        ))
    }

    /// An organiser made a change that is no stop: what Redis held of somebody else may be replaced.
    fn decide(&mut self) {
        self.refused.clear();
        self.decided = self.conflict.take().and_then(|conflict| conflict.found).or_else(|| self.decided.take());
    }
}

/// Whether Redis holds the document.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// What is wrong with Redis.
    pub redis: Option<String>,
    /// It takes no writes: nobody is heard, and no points move.
    pub is_unwritten: bool,
    /// What Redis holds that is not ours.
    pub conflict: Option<Conflict>,
    /// What was stopped here without anybody being told yet, and why.
    pub untold: Option<String>,
}

/// Redis holds a document that this database does not know: somebody else steers the contest, or a backup was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// None: a newer program wrote it, and we cannot read it.
    pub revision: Option<u64>,
    found: Option<Arc<Control>>,
    /// All traffic is stopped in it.
    is_halted: bool,
    /// The cause and the next step.
    pub message: String,
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub control: Arc<Control>,
    /// Why generators do not know of it yet. It is published as soon as that is over.
    pub unpublished: Option<String>,
    /// Why the database does not hold it yet. It is saved as soon as that is over.
    pub unsaved: Option<String>,
}

impl Document {
    /// Reads what the database holds.
    pub(super) async fn open(contest: &str, accounts: Accounts, link: Link, now: UtcUs) -> Result<Document, OpenError> {
        let saved = accounts.control().await?;
        let revision = saved.as_ref().map(|saved| saved.revision);
        let control = saved.map(|saved| Control::from_json(&saved.document)).transpose()?;
        if let Some(control) = control.as_ref().filter(|control| control.contest.name != contest) {
            return Err(OpenError::Contest { found: control.contest.name.clone(), wanted: contest.to_owned() });
        }
        let settings = Stored::open(&accounts, SETTINGS, Settings::from_text, Settings::to_text).await?;
        let show = Stored::open(&accounts, show::SETTING, Show::from_text, Show::to_text).await?;
        let untold = |text: &str| serde_json::from_str(text).map_err(|error| error.to_string());
        let text = |untold: &Vec<Stop>| serde_json::to_string(untold).map_err(|error| error.to_string());
        let untold = Stored::open(&accounts, UNTOLD, untold, text).await?;
        let known = Known { saved: revision, untold: untold.value().to_vec(), ..Known::default() };
        Ok(Document {
            database: steering::database_id(&accounts, now).await?,
            contest: contest.to_owned(),
            facts: FeedFacts::new(accounts.clone()),
            accounts,
            link,
            editing: tokio::sync::Mutex::default(),
            control: watch::Sender::new(control.map(Arc::new)),
            settings,
            own_addresses: Mutex::default(),
            show,
            untold,
            known: Mutex::new(known),
            own_stop: Arc::default(),
        })
    }

    /// The name of the contest in Redis.
    pub fn contest(&self) -> &str {
        &self.contest
    }

    /// The document in force. None while nobody can play.
    pub fn control(&self) -> Option<Arc<Control>> {
        self.control.borrow().clone()
    }

    /// What was decided about the contest.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.value()
    }

    /// The settings as they count: the platform's own addresses are denied too.
    pub(super) fn enforced_settings(&self) -> Settings {
        let mut settings = self.settings().as_ref().clone();
        let own = self.own_addresses.lock();
        let missing: Vec<Denied> = own.iter().filter(|entry| !settings.policy.deny.contains(entry)).copied().collect();
        settings.policy.deny.extend(missing);
        settings
    }

    /// The platform's own addresses, as far as they are known now. The document follows at the next look.
    pub(super) fn set_own_addresses(&self, own: Vec<Denied>) {
        *self.own_addresses.lock() = own;
    }

    /// What the public may see.
    pub fn show(&self) -> Show {
        Show::clone(&self.show.value())
    }

    /// How often what the public may see was changed: what a page shows, and sends back with [`edit::Edit::set_show`].
    pub fn show_version(&self) -> u64 {
        self.show.version()
    }

    /// Who would play the next round, and who cannot.
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.known().roster)
    }

    /// Whether Redis holds the document.
    pub fn published(&self) -> Published {
        let known = self.known();
        let trouble = [&known.writing, &known.publishing, &known.looking, &known.beside];
        let redis = trouble.into_iter().flatten().next().cloned();
        let untold = self.untold_message(&known, redis.as_deref());
        Published { redis, is_unwritten: known.writing.is_some(), conflict: known.conflict.clone(), untold }
    }

    /// What was stopped here of which nobody is told, with the cause and the next step. None also while Redis is being told.
    fn untold_message(&self, known: &Known, redis: Option<&str>) -> Option<String> {
        let stopped = stops::message(&known.untold, &*self.control()?)?;
        let others = known.is_others.then(|| self.others());
        let why = match (known.refused.as_slice(), &others, redis, &known.conflict) {
            ([], None, None, None) => return None,
            (_, Some(others), ..) => format!("{others}. Stop all traffic reaches its generators from here as well"),
            ([], None, Some(redis), _) => format!("{redis}. They are told as soon as that is over"),
            ([], None, None, Some(conflict)) => conflict.message.trim_end_matches('.').to_owned(),
            (refused, ..) => format!(
                "in the document of somebody else, by which they go, it cannot be done yet ({}). It is tried again twice a second; \
                 Stop all traffic is done at once",
                refused.join("; ")
            ),
        };
        Some(format!("Generators do not know yet that {stopped}: {why}."))
    }

    /// What the live feed must be told, whenever it changes.
    pub fn watch_facts(&self) -> watch::Receiver<Arc<Facts>> {
        self.facts.watch()
    }

    /// Whether a round is between being armed and being sealed.
    pub fn is_playing(&self) -> bool {
        use State::{Armed, Draining, Paused, Running};
        self.control().is_some_and(|control| matches!(control.state, Armed | Running | Paused | Draining))
    }

    /// Whether a round is being prepared, or armed and not started.
    pub(in crate::control) fn is_ahead(&self) -> bool {
        let is_before = |control: &Control| matches!(control.state, State::Draft | State::Armed);
        self.control().is_some_and(|control| is_before(&control) && !control.halted)
    }

    /// By which a test that is made at this instant is judged.
    pub(in crate::control) fn deadlines(&self, at: UtcUs) -> Deadlines {
        self.control().map_or_else(Deadlines::default, |control| control.timeline.deadlines_at(&control.contest, at))
    }

    /// Whether the round is where it was when a document was looked at.
    pub(super) fn is_at(&self, seen: &Control) -> bool {
        self.control().is_some_and(|control| (control.round, control.state) == (seen.round, seen.state))
    }

    /// Refuses whoever has not seen what another person changed, and all while another dashboard steers. What the dashboard
    /// did by itself is no reason.
    pub async fn check_fresh(&self, expected: Option<u64>) -> Result<(), ChangeError> {
        self.check_steering()?;
        let (Some(expected), Some(current)) = (expected, self.control()) else { return Ok(()) };
        if expected == current.revision {
            return Ok(());
        }
        let other = self.accounts.control_by_others_since(expected, &Actor::program()).await?;
        other.map_or(Ok(()), |saved| Err(ChangeError::stale(saved)))
    }

    /// Takes over a document that another process has saved since, unless somebody changes it here, who learns of it then.
    pub(super) async fn look_at_database(&self) -> Result<(), flowtest_accounts::Error> {
        let Ok(_editing) = self.editing.try_lock() else { return Ok(()) };
        self.follow_database().await.map(drop)
    }

    /// Takes over a document that another process has saved since, and returns it. Only for whoever holds `editing`. What is in
    /// force and not saved is made again upon it.
    async fn follow_database(&self) -> Result<Option<ControlRevision>, flowtest_accounts::Error> {
        let Some(saved) = self.accounts.control().await? else { return Ok(None) };
        let mut known = self.known();
        if Some(saved.revision) > known.saved {
            let mut control = Control::from_json(&saved.document).map_err(|error| {
                flowtest_accounts::Error::Failed(format!("its control document is damaged: {error}"))
            })?;
            known.saved = Some(saved.revision);
            known.unsaved.retain_mut(|urgent| match urgent.again(&control) {
                Some(next) => {
                    control = next;
                    true
                }
                // What was saved says the same, or more.
                None => false,
            });
            self.control.send_replace(Some(Arc::new(control)));
        }
        Ok(Some(saved))
    }

    /// Puts a document in force that was made upon the revision `base` and is saved, and says what it stops. None when an urgent
    /// change came meanwhile. `decides`: as for [`edit::Edit::save`].
    fn commit(&self, base: Option<u64>, next: &Arc<Control>, decides: bool) -> Option<Vec<Stop>> {
        let mut known = self.known();
        known.saved = Some(next.revision);
        if self.control().map(|control| control.revision) != base {
            return None;
        }
        if decides {
            known.decide();
        }
        Some(self.set_in_force(&mut known, next))
    }

    /// Another document counts from now on, and what it stops is noted, and returned.
    fn set_in_force(&self, known: &mut Known, next: &Arc<Control>) -> Vec<Stop> {
        let before = self.control.send_replace(Some(Arc::clone(next)));
        let stops = before.map_or_else(Vec::new, |before| Stop::between(&before, next));
        // What nobody wants any more is not told later either.
        known.untold.retain(|stop| stop.holds(next) && !stops.contains(stop));
        known.untold.extend(stops.iter().cloned());
        self.facts.set_control(next);
        stops
    }

    /// Whether a restart would know of another set of stops that nobody has been told of.
    fn is_unkept(&self) -> bool {
        *self.untold.value() != self.known().untold
    }

    /// Saves which stops nobody has been told of, where that has changed.
    async fn keep_untold(&self) -> Result<(), ChangeError> {
        if !self.is_unkept() {
            return Ok(());
        }
        let untold = self.known().untold.clone();
        let kept = self.untold.put(&self.accounts, untold, &Actor::program(), utc_us()).await;
        if let Err(ChangeError::Accounts(flowtest_accounts::Error::Stale { .. })) = kept {
            // Another process on this database has its own, which are as good as ours.
            self.untold.follow(&self.accounts).await.map_err(|error| ChangeError::Unfit(error.to_string()))?;
            let (theirs, mut known) = (self.untold.value(), self.known());
            let new: Vec<Stop> = theirs.iter().filter(|stop| !known.untold.contains(stop)).cloned().collect();
            known.untold.extend(new);
            return Ok(());
        }
        kept
    }

    /// Takes over settings that another process has saved since.
    pub(super) async fn follow_settings(&self) -> Result<(), OpenError> {
        self.settings.follow(&self.accounts).await?;
        self.show.follow(&self.accounts).await
    }

    /// Brings the table of rounds to where the document is.
    pub(super) async fn note_round(&self, by: &Actor, now: UtcUs) -> Result<(), flowtest_accounts::Error> {
        let Some(control) = self.control() else { return Ok(()) };
        // A draft only remembers the round before.
        let Some(round) = control.round.filter(|_| control.state != State::Draft) else { return Ok(()) };
        if self.known().noted == Some((round, control.state)) {
            return Ok(());
        }
        if self.accounts.round(round).await?.is_none() {
            let start_at = control.timeline.start_at;
            let new = NewRound { id: round, scored: control.scored, label: String::new(), start_at };
            self.accounts.create_round(new, by, now).await?;
        }
        // Results seal it.
        if control.state != State::Sealed {
            self.accounts.set_round_state(round, control.state.as_str(), by, now).await?;
        }
        self.known().noted = Some((round, control.state));
        Ok(())
    }

    /// Tells the live feed who is who, what counts beside the round, and what the public may see.
    pub(super) async fn tell_feed(&self) -> Result<(), flowtest_accounts::Error> {
        let has_house = self.settings().house.is_some();
        self.facts.tell(has_house, || (self.control(), self.show())).await
    }

    /// Until when what was set to be revealed at an instant waited for rounds: that instant where it waited for none.
    pub(super) async fn waited_until(&self, reveal_at: UtcUs) -> Result<UtcUs, flowtest_accounts::Error> {
        self.facts.waited_until(reveal_at).await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }
}
