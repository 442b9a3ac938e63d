//! The end of a round: sealed in Redis, copied into the database, and then called sealed.
//!
//! Every step is taken from what the database and Redis hold, so that a dashboard that was killed goes on where it was.

use super::{Automation, Sealing};
use crate::control::error::ChangeError;
use crate::control::link::LinkError;
use crate::control::roster::user_in;
use crate::live::UserKey;
use flowtest_accounts::{Actor, RoundResult};
use flowtest_contest::standings::standings_with;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity, Row, StreamId};
use flowtest_scoreboard::{RoundTotals, ScoreboardError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
            false => match self.seal_in_redis(control, round).await? {
                Some(totals) => Some(totals),
                None => return Ok(()),
            },
        };
        let heard = self.seen().validity.of(round);
        let results = totals.map(|totals| {
            let validity = validity(heard, &totals);
            let reached = self.reached(control, round, &totals, now);
            (round, results(control, totals, &reached), validity)
        });
        // Dropped before the feed is told.
        let is_sealed = self.document.edit().await.seal(control, results, now).await?;
        if is_sealed {
            self.seen().sealing = Sealing::Fine;
            self.document.tell_feed().await?;
        }
        Ok(())
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

    /// Seals in Redis and reads what stands. Nothing, and the reason in the status, while that cannot be done.
    async fn seal_in_redis(&self, control: &Control, round: RoundId) -> Result<Option<RoundTotals>, ChangeError> {
        let abandoned = self.abandoned(round).await?.1.streams;
        let (contest, roster) = (self.document.contest().to_owned(), names(control));
        let sealed = self.link.call(move |scoreboard| {
            match scoreboard.drain_round(&contest, &round) {
                // It is sealed already: generators do it when all of them have ended.
                Ok(()) | Err(ScoreboardError::RoundClosed(_)) => {}
                Err(error) => return Err(error),
            }
            scoreboard.seal_round(&contest, &round, &abandoned)?;
            let roster: BTreeSet<&str> = roster.iter().map(String::as_str).collect();
            scoreboard.read_round_of(&contest, &round, &roster)
        });
        match sealed.await {
            Ok(totals) => Ok(Some(totals)),
            Err(error) => {
                self.seen().sealing = unsealed(error);
                Ok(None)
            }
        }
    }
}

fn names(control: &Control) -> Vec<String> {
    control.contest.contestants.iter().map(|contestant| contestant.name.clone()).collect()
}

fn unsealed(error: LinkError) -> Sealing {
    match error {
        LinkError::Redis(ScoreboardError::Missing { missing, .. }) => Sealing::Missing(missing),
        LinkError::Redis(error @ (ScoreboardError::RoundUnknown(_) | ScoreboardError::RoundEmpty(_))) => {
            Sealing::Trouble(format!(
                "{error}. If a generator has played, it brings its points back by itself, or `flowtest-loadgen rebuild` \
                 does; if none has, abort the round."
            ))
        }
        error => Sealing::Trouble(error.to_string()),
    }
}

/// What is void is what Redis holds of the whole round; which seconds are valid only generators say, and of those that nobody
/// heard nothing is known.
fn validity(heard: Option<RoundValidity>, totals: &RoundTotals) -> RoundValidity {
    let sum = |count: fn(&Row) -> u64| totals.contestants.values().map(count).fold(0, u64::saturating_add);
    RoundValidity { due: sum(|row| row.tally.due), void: sum(|row| row.tally.own_fault), ..heard.unwrap_or_default() }
}

/// The results of people: whoever never had an outcome has an empty row, and the house is nobody's.
fn results(control: &Control, totals: RoundTotals, reached: &BTreeMap<String, UtcUs>) -> Vec<RoundResult> {
    let mut rows: BTreeMap<String, Row> = totals.contestants;
    for name in names(control) {
        rows.entry(name).or_default();
    }
    rows.retain(|name, _| user_in(control, name).is_some());
    let lines = standings_with(&rows, &control.contest.rules, reached);
    let results = lines.into_iter().filter_map(|line| {
        Some(RoundResult {
            user: user_in(control, &line.name)?,
            rank: u32::try_from(line.rank).unwrap_or(u32::MAX),
            points: i64::try_from(line.points).unwrap_or(if line.points > 0 { i64::MAX } else { i64::MIN }),
            failures: line.failures,
            p99_us: line.p99_us,
            row: line.row.encode(),
            name: line.name,
        })
    });
    results.collect()
}
