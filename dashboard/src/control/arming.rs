//! Generators for a round: armed with those that can play, and resumed with them.

use super::controller::Controller;
use super::document::Made;
use super::error::ChangeError;
use super::readiness::{self, Mark};
use flowtest_accounts::Actor;
use flowtest_contest::lifecycle::{Change, LEAD_US};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;

/// Between deciding to resume and the least that the lifecycle allows, time for the change to be saved.
const MARGIN_US: u64 = 1_000_000;

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
        let generators = self.fit_generators(generators, now).await?;
        let edit = self.document.edit().await;
        self.document.check_fresh(expected).await?;
        if self.show().over {
            return Err(ChangeError::Unfit("the contest is over: say first that it goes on, then arm".to_owned()));
        }
        edit.follow_people(&Actor::program(), now).await?;
        if self.document.roster().contestants.is_empty() {
            return Err(ChangeError::NoContest);
        }
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)
            .map_err(|error| ChangeError::Unfit(format!("no random bytes for the round's id ({error}): try again")))?;
        let round = RoundId::from_bits(u128::from_be_bytes(bits));
        let what = format!("A {} round was armed.", if scored { "scored" } else { "practice" });
        let made = edit.change(None, Change::Arm { round, start_at, scored, generators }, &what, by, now).await?;
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
        let generators = self.fit_generators(generators, now).await?;
        let at = at.unwrap_or(now.saturating_add(LEAD_US + MARGIN_US));
        self.change(expected, Change::Resume { at, generators }, "The round goes on.", by, now).await
    }

    /// Generators that can play, freshly looked at: one that is silent or whose clock is off would spoil the round.
    async fn fit_generators(&self, wanted: Vec<String>, now: UtcUs) -> Result<Vec<String>, ChangeError> {
        let contest = self.document.contest().to_owned();
        let seen = self.link.call(move |scoreboard| scoreboard.read_generators(&contest)).await?;
        let wanted = match wanted.is_empty() {
            true => {
                let mut heard: Vec<String> =
                    seen.iter().filter(|seen| readiness::is_heard(seen, now)).map(|seen| seen.id.clone()).collect();
                heard.sort();
                heard
            }
            false => wanted,
        };
        for id in &wanted {
            let health = seen.iter().find(|seen| seen.id == *id && readiness::is_heard(seen, now));
            let Some(health) = health.and_then(|seen| seen.health.as_ref()) else {
                return Err(ChangeError::Unfit(format!("generator {id:?} is not heard: start it, or go without it")));
            };
            if let (Mark::No, message) = readiness::judge_generator(health) {
                return Err(ChangeError::Unfit(format!("generator {id:?} cannot play. {message}")));
            }
        }
        Ok(wanted)
    }
}
