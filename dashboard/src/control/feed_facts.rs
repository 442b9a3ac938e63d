//! What the live feed must be told: who is who, what counts beside the round, and what the public may see.

use super::roster::HOUSE;
use super::show::{PastFreeze, Show};
use crate::live::clock::utc_ms;
use crate::live::facts::{over_from, unsealed_from};
use crate::live::{Carried, Contestant, Facts, Freeze, HouseResult, NotValid, Notice, PlayedRound, UserKey, marks};
use flowtest_accounts::{Accounts, AuditFilter, Level, RULING, Role, Round, User};
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use flowtest_contract::{RoundId, Row};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The board looks once a second: what a round came to stands there so long after it was sealed. The next one cannot have begun.
const SETTLED_US: u64 = 2_000_000;

/// How many words on one round are looked at.
const RULINGS_MAX: u32 = 1_000;

/// The newest facts, and who hears of them.
#[derive(Debug)]
pub(super) struct FeedFacts {
    accounts: Accounts,
    /// Whoever holds it reads the database for the feed, so that nobody tells it what was read before another told it.
    telling: tokio::sync::Mutex<()>,
    facts: watch::Sender<Arc<Facts>>,
}

impl FeedFacts {
    pub(super) fn new(accounts: Accounts) -> FeedFacts {
        FeedFacts { accounts, telling: tokio::sync::Mutex::default(), facts: watch::Sender::default() }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<Facts>> {
        self.facts.subscribe()
    }

    /// The document was saved.
    pub(super) fn set_control(&self, control: &Arc<Control>) {
        self.facts.send_modify(|facts| {
            let facts = Arc::make_mut(facts);
            facts.freeze.unsealed_since = unsealed_since(Some(control.as_ref()), &facts.carried);
            facts.control = Some(Arc::clone(control));
        });
    }

    /// Why Redis takes no writes, or that it does again.
    pub(super) fn set_unwritten(&self, cause: Option<String>) {
        self.facts.send_if_modified(|facts| {
            let changed = facts.unwritten != cause;
            if changed {
                Arc::make_mut(facts).unwritten = cause;
            }
            changed
        });
    }

    /// Reads people, adjustments, rounds and announcements. `decided` is asked at the end, so that what is decided
    /// meanwhile is told.
    pub(super) async fn tell(
        &self,
        has_house: bool,
        decided: impl FnOnce() -> (Option<Arc<Control>>, Show),
    ) -> Result<(), flowtest_accounts::Error> {
        let _telling = self.telling.lock().await;
        let accounts = &self.accounts;
        let contestants = self.contestants(has_house).await?;
        let adjustments = self.adjustments().await?;
        let rounds = accounts.rounds().await?;
        let before = Arc::clone(&self.facts.borrow());
        let sealed: Vec<&Round> = rounds.iter().filter(|round| round.scored && round.finished_at.is_some()).collect();
        // Results are written once, so whoever knows their rounds, and which of them count, knows them.
        let known =
            |round: &&Round| before.carried.has(&round.id) && before.carried.is_voided(&round.id) != round.counts();
        let carried = if sealed.iter().all(known) { before.carried.clone() } else { self.carried(&sealed).await? };
        let not_valid = sealed.iter().filter(|round| round.validity().is_some_and(|validity| !validity.is_valid()));
        let not_valid = not_valid.map(|round| NotValid { number: round.number, ruling: round.ruling }).collect();
        let numbers = rounds.iter().map(|round| (round.id, round.number)).collect();
        let played = self.played(&rounds, &before.rounds).await?;
        let unruled = rounds.iter().find(|round| round.wants_ruling());
        let announced = accounts.active_announcements(utc_us()).await?.into_iter().map(notice);
        let notices = unruled.and_then(pending).into_iter().chain(announced).collect();
        let unruled_since = match unruled {
            Some(round) => self.over_since(round).await?,
            None => None,
        };
        self.facts.send_modify(|facts| {
            // Read in here: what is saved from now on changes the facts after this.
            let (control, show) = decided();
            let freeze = Freeze {
                at: show.freeze_at,
                revealed: show.revealed,
                revealed_at: show.revealed_at,
                reveal_at: show.reveal_at,
                unsealed_since: unsealed_since(control.as_deref(), &carried),
                unruled_since,
            };
            let past_freezes = show.past.iter().map(past_freeze).collect();
            let ended = show.over;
            let unwritten = facts.unwritten.clone();
            *facts = Arc::new(Facts {
                contestants,
                control,
                adjustments,
                carried,
                numbers,
                rounds: played,
                not_valid,
                notices,
                freeze,
                past_freezes,
                ended,
                unwritten,
            });
        });
        Ok(())
    }

    async fn contestants(&self, has_house: bool) -> Result<Vec<Contestant>, flowtest_accounts::Error> {
        let teams = self.accounts.users().await?.into_iter().filter(|user| user.role == Role::Staff).map(contestant);
        let house = has_house.then(|| Contestant {
            id: UserKey::from(HOUSE),
            name: HOUSE.to_owned(),
            display_name: "House".to_owned(),
            category: None,
            hidden: true,
            disqualified: false,
            absent: false,
        });
        Ok(teams.chain(house).collect())
    }

    /// The sum of each contestant's.
    async fn adjustments(&self) -> Result<BTreeMap<UserKey, i64>, flowtest_accounts::Error> {
        let mut adjustments: BTreeMap<UserKey, i64> = BTreeMap::new();
        for adjustment in self.accounts.adjustments().await?.iter().filter(|line| line.withdrawn_at.is_none()) {
            let sum = adjustments.entry(UserKey::of_user(adjustment.user.0)).or_default();
            *sum = sum.saturating_add(adjustment.points);
        }
        Ok(adjustments)
    }

    /// The spans of the rounds that have ended. Of one that is known it never changes.
    async fn played(
        &self,
        rounds: &[Round],
        known: &[PlayedRound],
    ) -> Result<Vec<PlayedRound>, flowtest_accounts::Error> {
        let mut spans = Vec::new();
        for round in rounds {
            match known.iter().find(|one| one.id == round.id) {
                Some(known) => spans.push(known.clone()),
                None => spans.extend(self.span(round).await?),
            }
        }
        Ok(spans)
    }

    /// The span of a round, when it has ended: by the document of then, since the table only says when it was sealed.
    async fn span(&self, round: &Round) -> Result<Option<PlayedRound>, flowtest_accounts::Error> {
        let is_aborted = round.state == State::Aborted.as_str();
        let over_at = round.finished_at.or_else(|| is_aborted.then_some(round.state_at));
        let (Some(start_at), Some(over_at)) = (round.start_at, over_at) else { return Ok(None) };
        let control = self.control_then(round, over_at).await?;
        let planned = control.as_ref().and_then(|control| control.timeline.end_at(&control.contest));
        let end_at = planned.map_or(over_at, |planned| planned.min(over_at));
        let Round { id, number, scored, .. } = *round;
        let settled_at = over_at.saturating_add(SETTLED_US);
        // Of what was planned for after its end nothing came.
        let mut marks = control.map(|control| marks::of_round(&control, end_at)).unwrap_or_default();
        marks.retain(|mark| mark.at <= utc_ms(end_at));
        let played = PlayedRound { id, number, scored, start_at, end_at, settled_at, marks: marks.into() };
        Ok((end_at > start_at).then_some(played))
    }

    /// The document of a round as it was at an instant.
    async fn control_then(&self, round: &Round, at: UtcUs) -> Result<Option<Control>, flowtest_accounts::Error> {
        let saved = self.accounts.control_then(at).await?;
        let control = saved.and_then(|saved| Control::from_json(&saved.document).ok());
        Ok(control.filter(|control| control.round == Some(round.id)))
    }

    /// From when on a sealed round was over.
    async fn over_since(&self, round: &Round) -> Result<Option<UtcUs>, flowtest_accounts::Error> {
        let Some(finished_at) = round.finished_at else { return Ok(None) };
        Ok(Some(self.over_at(round, finished_at).await?))
    }

    /// The same of one of which nothing more was to come from an instant on.
    async fn over_at(&self, round: &Round, settled_at: UtcUs) -> Result<UtcUs, flowtest_accounts::Error> {
        let control = self.control_then(round, settled_at).await?;
        Ok(control.and_then(|control| over_from(&control)).unwrap_or(settled_at))
    }

    /// Until when what was set to be revealed at an instant waited for rounds, by what the database has of them: whoever comes
    /// later, as after a restart, finds the same.
    pub(super) async fn waited_until(&self, reveal_at: UtcUs) -> Result<UtcUs, flowtest_accounts::Error> {
        let mut until = reveal_at;
        for round in self.accounts.rounds().await?.iter().filter(|round| round.scored) {
            let aborted_at = (round.state == State::Aborted.as_str()).then_some(round.state_at);
            let Some(settled_at) = round.finished_at.or(aborted_at) else { continue };
            let word_at = match round.ruling {
                Some(_) => self.first_word_at(round.id).await?,
                None => None,
            };
            let known_at = settled_at.max(word_at.unwrap_or(settled_at));
            if known_at > until && self.over_at(round, settled_at).await? <= reveal_at {
                until = known_at;
            }
        }
        Ok(until)
    }

    /// When the organiser first said what becomes of a round that is not valid.
    async fn first_word_at(&self, round: RoundId) -> Result<Option<UtcUs>, flowtest_accounts::Error> {
        let (action, subject) = (Some(RULING.to_owned()), Some(format!("round:{round}")));
        let filter = AuditFilter { action, subject, ..AuditFilter::default() };
        let lines = self.accounts.audit_page(None, RULINGS_MAX, filter).await?;
        Ok(lines.last().map(|line| line.at))
    }

    async fn carried(&self, sealed: &[&Round]) -> Result<Carried, flowtest_accounts::Error> {
        let mut carried = Carried::default();
        for round in sealed {
            if round.counts() { carried.add_round(round.id) } else { carried.add_voided(round.id) }
        }
        let counts = |round: &RoundId| sealed.iter().any(|one| one.id == *round && one.counts());
        // A ruling that came in between is told with the next facts.
        for (round, result) in self.accounts.scored_results().await?.into_iter().filter(|(round, _)| counts(round)) {
            // A row that we cannot read has its points all the same.
            let row = Row::decode(&result.row).unwrap_or_default();
            carried.add(round, UserKey::of_user(result.user.0), result.points, &row);
            if let Some(climbed) = result.climb.as_deref().and_then(|text| serde_json::from_str(text).ok()) {
                carried.add_climb(UserKey::of_user(result.user.0), climbed);
            }
        }
        for (round, result) in house_results(&self.accounts).await?.1 {
            carried.add_house(&round, result);
        }
        Ok(carried)
    }
}

/// From when on a scored round is over whose results are not written yet.
fn unsealed_since(control: Option<&Control>, carried: &Carried) -> Option<UtcUs> {
    unsealed_from(control.filter(|control| !control.round.is_some_and(|round| carried.has(&round)))?)
}

/// The name of the setting that holds what the house had in each sealed round.
pub(super) const HOUSE_RESULTS: &str = "house";

/// What the house had in sealed rounds, with the version of the setting.
///
/// # Errors
/// Those of the database.
pub async fn house_results(
    accounts: &Accounts,
) -> Result<(Option<u64>, BTreeMap<RoundId, HouseResult>), flowtest_accounts::Error> {
    let Some(setting) = accounts.setting(HOUSE_RESULTS).await? else { return Ok((None, BTreeMap::new())) };
    Ok((Some(setting.version), serde_json::from_str(&setting.text).unwrap_or_default()))
}

fn contestant(user: User) -> Contestant {
    Contestant {
        id: UserKey::of_user(user.id.0),
        name: user.name,
        display_name: user.display_name,
        category: user.category,
        // Whoever may not log in any more stands in no table either.
        hidden: user.hidden || user.disabled,
        disqualified: user.disqualified.is_some(),
        absent: false,
    }
}

fn past_freeze(past: &PastFreeze) -> Freeze {
    let PastFreeze { freeze_at, revealed_at, reveal_at } = *past;
    Freeze { at: Some(freeze_at), revealed: true, revealed_at: Some(revealed_at), reveal_at, ..Freeze::default() }
}

/// What everybody reads while the organiser is to say whether a round counts.
fn pending(round: &Round) -> Option<Notice> {
    let text = format!(
        "Round {} is not valid. Whether it counts is to be decided by the organiser: until then the standings are provisional.",
        round.number
    );
    // Announcements have ids above nothing.
    let id = -i64::from(round.number);
    Some(Notice { id, level: Level::Warn, text, at: round.finished_at?, until: None })
}

fn notice(announcement: flowtest_accounts::Announcement) -> Notice {
    Notice {
        id: announcement.id.0,
        level: announcement.level,
        text: announcement.text,
        at: announcement.at,
        until: announcement.ended_at,
    }
}
