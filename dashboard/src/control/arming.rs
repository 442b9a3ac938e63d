//! Generators for a round: armed with those that can play, and resumed with them.

use super::controller::{Controller, random_bits};
use super::document::Made;
use super::document::edit::Edit;
use super::error::ChangeError;
use super::readiness::{self, Mark};
use flowtest_accounts::Actor;
use flowtest_contest::lifecycle::{self, Change};
use flowtest_contest::timeline::LEAD_US;
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{GeneratorHealth, SeenGenerator};
use std::collections::BTreeSet;

/// Between deciding to resume and the least that the lifecycle allows, time for the change to be saved.
const MARGIN_US: u64 = 1_000_000;

/// Who is to play, and who was heard and is not.
struct Generators {
    /// In the order of their shares.
    named: Vec<String>,
    left_out: BTreeSet<String>,
}

impl Controller {
    /// Arms a round. `generators` in the order of their shares; none: all that are heard.
    pub async fn arm(
        &self,
        expected: Option<u64>,
        start_at: UtcUs,
        scored: bool,
        generators: Vec<String>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        let Generators { named, left_out } = self.fit_generators(generators, now).await?;
        let edit = self.document.edit().await;
        self.document.check_fresh(expected).await?;
        if self.show().over {
            return Err(ChangeError::Unfit("the contest is over: say first that it goes on, then arm".to_owned()));
        }
        let round = RoundId::from_bits(random_bits().map_err(ChangeError::Unfit)?);
        let arm = Change::Arm { round, start_at, scored, generators: named };
        // What is refused replaces nobody's document, and saves nothing: it is judged before anything is done for it.
        let wanted = edit.wanted().await?.ok_or(ChangeError::NoContest)?;
        lifecycle::change(&edit.followed(wanted.clone(), now)?, arm.clone(), now)?;
        edit.follow_at_any_rate(Some(wanted), &Actor::program(), now).await?;
        leave_out(&edit, left_out, by, now).await?;
        let what = format!("A {} round was armed.", if scored { "scored" } else { "practice" });
        let made = edit.change(None, arm, &what, by, now).await?;
        drop(edit);
        self.document.tell_feed().await?;
        Ok(made)
    }

    /// Ends a pause as soon as the rules allow, or at an instant. `generators` as for [`Controller::arm`].
    pub async fn resume(
        &self,
        expected: Option<u64>,
        at: Option<UtcUs>,
        generators: Vec<String>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Made, ChangeError> {
        let Generators { named, left_out } = self.fit_generators(generators, now).await?;
        let at = at.unwrap_or(now.saturating_add(LEAD_US + MARGIN_US));
        let edit = self.document.edit().await;
        self.document.check_fresh(expected).await?;
        let resume = Change::Resume { at, generators: named };
        let paused = edit.control().ok_or(ChangeError::NoContest)?;
        lifecycle::change(&paused, resume.clone(), now)?;
        leave_out(&edit, left_out, by, now).await?;
        edit.change(None, resume, "The round goes on.", by, now).await
    }

    /// Generators that can play, freshly looked at: one that is silent or whose clock is off would spoil the round.
    async fn fit_generators(&self, wanted: Vec<String>, now: UtcUs) -> Result<Generators, ChangeError> {
        let contest = self.document.contest().to_owned();
        let next = self.status().roster.contest(&contest, &self.settings());
        let seen = self.link.call(move |scoreboard| scoreboard.read_generators(&contest)).await?;
        let judge =
            |health: &GeneratorHealth| readiness::with_trust(readiness::judge_generator(health), health, next.as_ref());
        let heard = || seen.iter().filter(|seen| readiness::is_heard(seen, now));
        let wanted = match wanted.is_empty() {
            true => heard().map(|seen| seen.id.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
            false => wanted,
        };
        // One that could not have played was not left out by anybody's wish, and comes when it can.
        let can = |seen: &SeenGenerator| seen.health.as_ref().is_some_and(|health| judge(health).0 != Mark::No);
        let unnamed = heard().filter(|seen| can(seen) && !wanted.contains(&seen.id));
        let left_out = unnamed.map(|seen| seen.id.clone()).collect();
        for id in &wanted {
            let health = seen.iter().find(|seen| seen.id == *id && readiness::is_heard(seen, now));
            let Some(health) = health.and_then(|seen| seen.health.as_ref()) else {
                return Err(ChangeError::Unfit(format!("generator {id:?} is not heard: start it, or go without it")));
            };
            if let (Mark::No, message) = judge(health) {
                return Err(ChangeError::Unfit(format!("generator {id:?} cannot play. {message}")));
            }
        }
        Ok(Generators { named: wanted, left_out })
    }
}

/// Notes whom the organiser has not named.
async fn leave_out(edit: &Edit<'_>, left_out: BTreeSet<String>, by: &Actor, now: UtcUs) -> Result<(), ChangeError> {
    if edit.control().is_some_and(|control| control.left_out == left_out) {
        return Ok(());
    }
    let names: Vec<&str> = left_out.iter().map(String::as_str).collect();
    let what = match names.is_empty() {
        true => "No generator is left out.".to_owned(),
        false => format!("Left out: {}.", names.join(", ")),
    };
    edit.change(None, Change::LeaveOut { generators: left_out }, &what, by, now).await.map(drop)
}
