//! The end of a round: sealed in Redis, copied into the database, and then called sealed.
//!
//! Every step is taken from what the database and Redis hold, so that a dashboard that was killed goes on where it was.

use super::{Automation, Sealing};
use crate::control::error::ChangeError;
use crate::control::feed_facts::{HOUSE_RESULTS, house_results};
use crate::control::link::LinkError;
use crate::control::readiness::is_heard;
use crate::control::roster::{HOUSE, user_in};
use crate::live::board::held_points;
use crate::live::{Feed, HouseResult, UserKey};
use flowtest_accounts::{Actor, RoundResult};
use flowtest_contest::breakpoint::Decision;
use flowtest_contest::climbed::Climbed;
use flowtest_contest::contest::RankBy;
use flowtest_contest::ladder::Unbroken;
use flowtest_contest::standings::{Beside, Held, standings_with};
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity, Row, StreamId};
use flowtest_scoreboard::{RoundTotals, ScoreboardError, SeenGenerator};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who was given up, in the database: written before Redis is asked, so that it is done whatever dies in between.
const ABANDONED: &str = "abandoned";

/// Streams that will never end, by the organiser's word.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Abandoned {
    round: Option<RoundId>,
    streams: Vec<StreamId>,
    reason: String,
}

impl Automation {
    /// Gives up streams that will never end, with the reason, and seals without them if nothing else is missing.
    pub async fn abandon(
        &self,
        streams: Vec<StreamId>,
        reason: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Sealing, ChangeError> {
        let reason = reason.trim();
        if reason.chars().count() < 3 {
            let message = "say why these streams are given up: it stays in the log".to_owned();
            return Err(ChangeError::Field { field: "reason", message });
        }
        self.document.check_steering()?;
        self.document.check_undisputed()?;
        let control = self.document.control().ok_or(ChangeError::NoContest)?;
        let Some(round) = control.round.filter(|_| control.state == State::Draining) else {
            return Err(ChangeError::Unfit(format!(
                "the round is {}, and only a draining one is sealed: wait until its traffic has ended",
                control.state
            )));
        };
        let (version, mut abandoned) = self.abandoned(round).await?;
        abandoned.streams.extend(streams.into_iter().collect::<BTreeSet<_>>());
        abandoned.streams.sort();
        abandoned.streams.dedup();
        let abandoned = Abandoned { round: Some(round), reason: reason.chars().take(500).collect(), ..abandoned };
        let text = serde_json::to_string(&abandoned).map_err(|error| ChangeError::Unfit(error.to_string()))?;
        self.accounts.put_setting(ABANDONED, version, &text, by, now).await?;
        self.seal(&control, round, now).await?;
        Ok(self.seen().sealing.clone())
    }

    async fn abandoned(&self, round: RoundId) -> Result<(Option<u64>, Abandoned), ChangeError> {
        let Some(setting) = self.accounts.setting(ABANDONED).await? else {
            return Ok((None, Abandoned::default()));
        };
        let abandoned: Abandoned = serde_json::from_str(&setting.text).unwrap_or_default();
        let of_round = abandoned.round == Some(round);
        Ok((Some(setting.version), if of_round { abandoned } else { Abandoned::default() }))
    }

    /// Seals in Redis, copies the results, and then says that the round is sealed. Doing it twice at once does it once;
    /// nobody is kept from editing while Redis is asked.
    pub(super) async fn seal(&self, control: &Control, round: RoundId, now: UtcUs) -> Result<(), ChangeError> {
        // After an early stop the last requests have a second until they count as after the end.
        if control.timeline.end_at(&control.contest).is_some_and(|end| now < end) {
            return Ok(());
        }
        let known = self.accounts.round(round).await?;
        let totals = match known.is_some_and(|known| known.finished_at.is_some()) {
            // Whoever was here before died between writing the results and saying so.
            true => None,
            false => match self.seal_in_redis(control, round, now).await? {
                Some(totals) => Some(totals),
                None => return Ok(()),
            },
        };
        let house = totals.as_ref().and_then(|totals| house_result(control, totals));
        let results = totals.map(|totals| {
            let mut heard = self.seen().validity.clone();
            heard.look(Some(control), &[], Some(&totals), now);
            // Everybody has said the last word.
            heard.expect(control, now);
            let validity = validity(heard.sum(), &totals);
            let reached = self.reached(control, round, &totals, now);
            (round, results(control, totals, reached), validity)
        });
        if let Some(house) = house {
            self.keep_house(round, house, now).await?;
        }
        // Dropped before the feed is told.
        let is_sealed = self.document.edit().await.seal(control, results, now).await?;
        if is_sealed {
            self.seen().sealing = Sealing::Fine;
            self.document.tell_feed().await?;
        }
        Ok(())
    }

    /// Keeps what the house had, before the round is called sealed: it is no account, and its line goes on all the same.
    async fn keep_house(&self, round: RoundId, result: HouseResult, now: UtcUs) -> Result<(), ChangeError> {
        let (version, mut results) = house_results(&self.accounts).await?;
        if results.insert(round, result) == Some(result) {
            return Ok(());
        }
        let text = serde_json::to_string(&results).map_err(|error| ChangeError::Unfit(error.to_string()))?;
        match self.accounts.put_setting(HOUSE_RESULTS, version, &text, &Actor::program(), now).await {
            // Somebody else seals the same round.
            Ok(_) | Err(flowtest_accounts::Error::Stale { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// When contestants came to the points of their results, as the board knows it; nothing where it has not seen the round.
    fn reached(&self, control: &Control, round: RoundId, totals: &RoundTotals, now: UtcUs) -> BTreeMap<String, UtcUs> {
        let seen = self.feed.get().map(|feed| (feed, feed.seen()));
        let shown = seen.as_ref().and_then(|(feed, seen)| {
            let is_this = seen.control.as_ref().is_some_and(|control| control.round == Some(round));
            Some((*feed, seen.totals.as_ref().filter(|_| is_this)?))
        });
        let Some((feed, shown)) = shown else { return BTreeMap::new() };
        let key = |name: &String| Some(UserKey::of_user(user_in(control, name)?.0));
        let known = feed.reached_at(&totals.contestants.keys().filter_map(key).collect());
        let points = |totals: &RoundTotals, name: &String| {
            totals.contestants.get(name).map(|row| row.tally.points(&control.contest.rules))
        };
        let reached = totals.contestants.keys().filter_map(|name| {
            // Whose last points the board has not shown came to them later than anybody whose it has.
            let is_shown = points(shown, name) == points(totals, name);
            Some((name.clone(), if is_shown { *known.get(&key(name)?)? } else { now }))
        });
        reached.collect()
    }

    /// Redis may have forgotten decisions that we have read, and none of them ever changes: whatever it says of them now, what
    /// was read first stands.
    fn recall_decisions(&self, totals: &mut RoundTotals, round: RoundId) {
        let Some(seen) = self.feed.get().map(Feed::seen) else { return };
        let is_this = seen.control.as_ref().is_some_and(|control| control.round == Some(round));
        let Some(known) = seen.totals.as_ref().filter(|_| is_this) else { return };
        totals.decisions = recalled(&totals.decisions, &known.decisions);
    }

    /// Seals in Redis and reads what stands. Nothing, and the reason in the status, while that cannot be done.
    async fn seal_in_redis(
        &self,
        control: &Control,
        round: RoundId,
        now: UtcUs,
    ) -> Result<Option<RoundTotals>, ChangeError> {
        let abandoned = self.abandoned(round).await?.1.streams;
        let (contest, roster, steps) = (self.document.contest().to_owned(), names(control), control.contest.steps());
        let sealed = self.link.call(move |scoreboard| {
            match scoreboard.drain_round(&contest, &round) {
                // It is sealed already: generators do it when all of them have ended.
                Ok(()) | Err(ScoreboardError::RoundClosed(_)) => {}
                Err(error) => return Err(error),
            }
            scoreboard.seal_round(&contest, &round, &abandoned)?;
            let roster: BTreeSet<&str> = roster.iter().map(String::as_str).collect();
            let mut totals = scoreboard.read_round_of(&contest, &round, &roster)?;
            if steps > 0 {
                let decisions = scoreboard.read_steps(&contest, &round, 0, steps)?;
                totals.decisions = decisions.into_iter().map(Arc::new).collect();
            }
            Ok(totals)
        });
        match sealed.await {
            Ok(mut totals) => {
                self.recall_decisions(&mut totals, round);
                let counted = control.contest.counted_steps();
                totals.decisions.retain(|decision| counted.contains(&decision.judged));
                Ok(Some(totals))
            }
            Err(error) => {
                let mut seen = self.seen();
                let plays = |one: &&SeenGenerator| {
                    is_heard(one, now) && one.health.as_ref().is_some_and(|health| health.round == Some(round))
                };
                let playing = seen.generators.iter().find(plays).map(|one| one.id.clone());
                seen.sealing = unsealed(error, playing.as_deref());
                Ok(None)
            }
        }
    }
}

/// What Redis says now was decided, and what we have read before, which goes before it.
fn recalled(found: &[Arc<Decision>], known: &[Arc<Decision>]) -> Vec<Arc<Decision>> {
    let by_step = found.iter().chain(known).map(|decision| (decision.step, decision.clone()));
    by_step.collect::<BTreeMap<u32, _>>().into_values().collect()
}

fn house_result(control: &Control, totals: &RoundTotals) -> Option<HouseResult> {
    let row = totals.contestants.get(HOUSE)?;
    let points = row.tally.points(&control.contest.rules).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    let climber = totals.climbers().iter().find(|climber| climber.contestant == HOUSE);
    let held = climber.map_or(0, |climber| held_points(climber.holds, control.contest.breakpoint_points));
    let points = points.saturating_add(held);
    Some(HouseResult { points, failures: row.tally.failures(), void: row.tally.own_fault })
}

fn names(control: &Control) -> Vec<String> {
    control.contest.contestants.iter().map(|contestant| contestant.name.clone()).collect()
}

/// `playing`: a generator that still plays the round.
fn unsealed(error: LinkError, playing: Option<&str>) -> Sealing {
    match error {
        LinkError::Redis(ScoreboardError::Missing { missing, .. }) => Sealing::Missing(missing),
        LinkError::Redis(ScoreboardError::RoundUnknown(_) | ScoreboardError::RoundEmpty(_)) => {
            const LOST: &str = "Redis holds nothing of this round";
            match playing {
                Some(playing) => Sealing::Returning(format!(
                    "{LOST}. It is being put back: generator {playing} still plays it, and does so by itself."
                )),
                None => Sealing::Trouble(format!(
                    "{LOST}. Generators that have ended put nothing back: if one has played, run `flowtest-loadgen rebuild \
                     --journal DIR --redis URL` where its journal is; if none has, abort the round."
                )),
            }
        }
        error => Sealing::Trouble(error.to_string()),
    }
}

/// What is void is what Redis holds of the whole round; which seconds are valid its generators have said, there or to us.
fn validity(heard: Option<RoundValidity>, totals: &RoundTotals) -> RoundValidity {
    let sum = |count: fn(&Row) -> u64| totals.contestants.values().map(count).fold(0, u64::saturating_add);
    RoundValidity { due: sum(|row| row.tally.due), void: sum(|row| row.tally.own_fault), ..heard.unwrap_or_default() }
}

/// The results of people: whoever never had an outcome has an empty row, and the house is nobody's.
fn results(control: &Control, totals: RoundTotals, reached: BTreeMap<String, UtcUs>) -> Vec<RoundResult> {
    let contest = &control.contest;
    let mut rows: BTreeMap<String, Row> = totals.contestants;
    for name in names(control) {
        rows.entry(name).or_default();
    }
    rows.retain(|name, _| user_in(control, name).is_some());
    let pass = contest.counted_pass();
    let climbed = |name: &String| {
        let climbed = Climbed::of(name, totals.decisions.iter().map(|decision| &**decision))?;
        // Where nobody could decide of its last step, nobody has said why it is over.
        let is_open = climbed.holds > 0 && climbed.breaks_at.is_none();
        let unbroken = climbed.unbroken.or(is_open.then_some(Unbroken::Time));
        Some((name.clone(), Climbed { unbroken, pass, ..climbed }))
    };
    let climbed: BTreeMap<String, Climbed> = rows.keys().filter_map(climbed).collect();
    let held = climbed.iter().filter(|_| contest.rank_by == RankBy::Holds).map(|(name, climbed)| {
        let Climbed { holds, holds_p99_us, holds_since, .. } = *climbed;
        (name.clone(), Held { rate: holds, p99_us: holds_p99_us, since: holds_since })
    });
    let points =
        climbed.iter().map(|(name, climbed)| (name.clone(), held_points(climbed.holds, contest.breakpoint_points)));
    let beside = Beside { reached, held: held.collect(), points: points.collect() };
    let lines = standings_with(&rows, &contest.rules, &beside);
    let results = lines.into_iter().filter_map(|line| {
        let climbed = climbed.get(&line.name);
        Some(RoundResult {
            user: user_in(control, &line.name)?,
            rank: u32::try_from(line.rank).unwrap_or(u32::MAX),
            points: i64::try_from(line.points).unwrap_or(if line.points > 0 { i64::MAX } else { i64::MIN }),
            failures: line.failures,
            p99_us: line.p99_us,
            row: line.row.encode(),
            holds: climbed.map(|climbed| climbed.holds),
            climb: climbed.map(|climbed| serde_json::to_string(climbed).expect("numbers are always JSON")),
            name: line.name,
        })
    });
    results.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_of_a_decision_stands_whatever_redis_says_of_it_at_the_seal() {
        let decision = |step: u32, judged: u32| {
            Arc::new(Decision { step, judged, from: UtcUs(1), to: UtcUs(2), climbers: Vec::new() })
        };
        let known = [1, 2].map(|step| decision(step, step - 1));
        // The newest was written anew, and one is lacking; another one we have not seen yet.
        let found = [decision(2, 0), decision(3, 2)];
        let told: Vec<(u32, u32)> = recalled(&found, &known).iter().map(|one| (one.step, one.judged)).collect();
        assert_eq!(told, [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(recalled(&known, &[]), known);
    }
}
