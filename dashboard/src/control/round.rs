//! A round from arming to its seal: the organiser's levers, and what happens by the clock.
//!
//! Every step is taken from what the database and Redis hold, so that a dashboard that was killed goes on where it was.

use super::desk::{ChangeError, Made, Organiser, Sealing};
use super::people::user_in;
use super::readiness::{self, Mark};
use flowtest_accounts::{Actor, NewRound, RoundResult};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::lifecycle::{Change, LEAD_US};
use flowtest_scoreboard::{Control, RoundTotals, Row, ScoreboardError, State, StreamId, standings};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who was given up, in the database: written before Redis is asked, so that it is done whatever dies in between.
const ABANDONED: &str = "abandoned";
/// Between deciding to resume and the least that the lifecycle allows, time for the change to be saved.
const MARGIN_US: u64 = 1_000_000;

/// Streams that will never end, by the organiser's word.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Abandoned {
    round: Option<RoundId>,
    streams: Vec<StreamId>,
    reason: String,
}

impl Organiser {
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
        let _pen = self.inner.pen.lock().await;
        self.check_fresh(expected).await?;
        if self.show().over {
            return Err(ChangeError::Unfit("the contest is over: say first that it goes on, then arm".to_owned()));
        }
        self.refresh_held(&Actor::program(), now).await?;
        if self.status().roster.contestants.is_empty() {
            return Err(ChangeError::NoContest);
        }
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)
            .map_err(|error| ChangeError::Unfit(format!("no random bytes for the round's id ({error}): try again")))?;
        let round = RoundId::from_bits(u128::from_be_bytes(bits));
        let what = format!("A {} round was armed.", if scored { "scored" } else { "practice" });
        self.make(None, Change::Arm { round, start_at, scored, generators }, &what, by, now).await
    }

    /// Ends a pause as soon as the rules allow, or at an instant. `generators` as for [`Organiser::arm`].
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
        let contest = self.contest().to_owned();
        let seen = self.inner.link.call(move |scoreboard| scoreboard.read_generators(&contest)).await?;
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
            if let (Mark::No, sentence) = readiness::generator(health) {
                return Err(ChangeError::Unfit(format!("generator {id:?} cannot play. {sentence}")));
            }
        }
        Ok(wanted)
    }

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
            let sentence = "say why these streams are given up: it stays in the log".to_owned();
            return Err(ChangeError::Field { field: "reason", sentence });
        }
        let control = self.control().ok_or(ChangeError::NoContest)?;
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
        self.inner.accounts.put_setting(ABANDONED, version, &text, by, now).await?;
        self.seal(&control, round, now).await?;
        Ok(self.status().sealing)
    }

    async fn abandoned(&self, round: RoundId) -> Result<(Option<u64>, Abandoned), ChangeError> {
        let Some(setting) = self.inner.accounts.setting(ABANDONED).await? else {
            return Ok((None, Abandoned::default()));
        };
        let abandoned: Abandoned = serde_json::from_str(&setting.text).unwrap_or_default();
        let of_round = abandoned.round == Some(round);
        Ok((Some(setting.version), if of_round { abandoned } else { Abandoned::default() }))
    }

    /// Whatever the clock says is due. Doing it twice changes nothing.
    pub(super) async fn advance(&self, now: UtcUs) -> Result<(), ChangeError> {
        let Some(control) = self.control() else { return Ok(()) };
        // While somebody else steers, nothing is done on top of it.
        if self.lock_status().conflict.is_some() {
            return Ok(());
        }
        match (control.state, control.round) {
            (State::Armed, _) if control.timeline.start_at.is_some_and(|start| start <= now) => {
                self.step(&control, Change::Begin, "The round began.", now).await?;
            }
            (State::Running, _) if control.timeline.end_at(&control.contest).is_some_and(|end| end <= now) => {
                self.step(&control, Change::Drain, "The plan came to its end.", now).await?;
            }
            (State::Draining, Some(round)) => self.seal(&control, round, now).await?,
            _ => self.lock_status().sealing = Sealing::Fine,
        }
        Ok(())
    }

    /// Makes a change that is due, unless somebody has moved the round meanwhile.
    async fn step(&self, seen: &Control, change: Change, what: &str, now: UtcUs) -> Result<(), ChangeError> {
        let _pen = self.inner.pen.lock().await;
        if self.is_at(seen) {
            self.make(None, change, what, &Actor::program(), now).await?;
        }
        Ok(())
    }

    /// Seals in Redis, copies the results, and then says that the round is sealed. Doing it twice at once does it once;
    /// nobody holds the pen while Redis is asked.
    async fn seal(&self, control: &Control, round: RoundId, now: UtcUs) -> Result<(), ChangeError> {
        // After an early stop the last requests have a second until they count as after the end.
        if control.timeline.end_at(&control.contest).is_some_and(|end| now < end) {
            return Ok(());
        }
        let known = self.inner.accounts.round(round).await?;
        let totals = match known.is_some_and(|known| known.finished_at.is_some()) {
            // Whoever was here before died between writing the results and saying so.
            true => None,
            false => match self.seal_in_redis(control, round).await? {
                Some(totals) => Some(totals),
                None => return Ok(()),
            },
        };
        {
            let _pen = self.inner.pen.lock().await;
            if !self.is_at(control) {
                return Ok(());
            }
            let program = Actor::program();
            if let Some(totals) = totals {
                self.inner.accounts.finish_round(round, results(control, totals), &program, now).await?;
            }
            self.make(None, Change::Seal, "The round was sealed.", &program, now).await?;
        }
        self.lock_status().sealing = Sealing::Fine;
        self.tell_facts().await?;
        Ok(())
    }

    /// Seals in Redis and reads what stands. Nothing, and the reason in the status, while that cannot be done.
    async fn seal_in_redis(&self, control: &Control, round: RoundId) -> Result<Option<RoundTotals>, ChangeError> {
        let abandoned = self.abandoned(round).await?.1.streams;
        let (contest, roster) = (self.contest().to_owned(), names(control));
        let sealed = self.inner.link.call(move |scoreboard| {
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
                self.lock_status().sealing = unsealed(error);
                Ok(None)
            }
        }
    }

    /// Whether the round is where it was when a document was looked at.
    fn is_at(&self, seen: &Control) -> bool {
        self.control().is_some_and(|control| (control.round, control.state) == (seen.round, seen.state))
    }

    /// Brings the table of rounds to where the document is.
    pub(super) async fn note_round(&self, by: &Actor, now: UtcUs) -> Result<(), flowtest_accounts::Error> {
        let Some(control) = self.control() else { return Ok(()) };
        // A draft only remembers the round before.
        let Some(round) = control.round.filter(|_| control.state != State::Draft) else { return Ok(()) };
        if self.lock_status().noted == Some((round, control.state)) {
            return Ok(());
        }
        let accounts = &self.inner.accounts;
        if accounts.round(round).await?.is_none() {
            let start_at = control.timeline.start_at;
            let new = NewRound { id: round, scored: control.scored, label: String::new(), start_at };
            accounts.create_round(new, by, now).await?;
        }
        // Results seal it.
        if control.state != State::Sealed {
            accounts.set_round_state(round, control.state.as_str(), by, now).await?;
        }
        self.lock_status().noted = Some((round, control.state));
        Ok(())
    }
}

fn names(control: &Control) -> Vec<String> {
    control.contest.contestants.iter().map(|contestant| contestant.name.clone()).collect()
}

fn unsealed(error: super::link::LinkError) -> Sealing {
    use super::link::LinkError;
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

/// The results of people: whoever never had an outcome has an empty row, and the house is nobody's.
fn results(control: &Control, totals: RoundTotals) -> Vec<RoundResult> {
    let mut rows: BTreeMap<String, Row> = totals.contestants;
    for name in names(control) {
        rows.entry(name).or_default();
    }
    rows.retain(|name, _| user_in(control, name).is_some());
    let lines = standings(&rows, &control.contest.rules);
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
