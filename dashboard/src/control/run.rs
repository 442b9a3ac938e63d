//! The desk's own hand: four times a second it does what the clock, the database and Redis ask for.
//!
//! Each round of it stands for itself; what one could not do, a later one does.

use super::asks::Owner;
use super::desk::{ChangeError, Organiser};
use super::people::user_in;
use super::readiness::{self, Check, House, Player, Situation};
use super::roster::HOUSE;
use flowtest_accounts::{Actor, Role};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::State;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the clock is asked.
const EVERY: Duration = Duration::from_millis(250);
/// Every how many turns Redis and the database are compared with what is known.
const LOOK_TURNS: u64 = 2;
/// How long a look waits for Redis.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// Every how many turns accounts are looked at without being told to.
const PEOPLE_TURNS: u64 = 4;

impl Organiser {
    /// Works until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        let mut every = tokio::time::interval(EVERY);
        // After a stall one look at the clock is as good as many.
        every.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut turn = 0;
        loop {
            let nudged = tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => false,
                () = self.inner.nudge.notified() => true,
            };
            self.turn(turn, nudged, super::instant::now()).await;
            turn += u64::from(!nudged);
        }
    }

    /// One round of looking and doing. Turn 0 does everything.
    pub async fn turn(&self, turn: u64, nudged: bool, now: UtcUs) {
        if turn.is_multiple_of(LOOK_TURNS) {
            self.look().await;
        }
        let done = self.act(nudged || turn.is_multiple_of(PEOPLE_TURNS), now).await;
        let trouble = match done {
            Ok(()) => None,
            // Another process was faster: the next turn goes on from there.
            Err(ChangeError::Stale { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        let mut status = self.lock_status();
        if let Some(trouble) = trouble.as_ref().filter(|trouble| status.trouble.as_ref() != Some(trouble)) {
            tracing::warn!(trouble, "the control desk could not do what is due");
        }
        status.trouble = trouble;
    }

    /// What Redis holds, and whether it is what the database says.
    async fn look(&self) {
        if let Err(error) = self.follow_database().await {
            tracing::warn!(%error, "the database cannot be read");
        }
        // Without the pen: a Redis that hangs keeps nobody from changing anything.
        self.publish(LOOK_PATIENCE).await;
        let contest = self.contest().to_owned();
        match self.inner.link.call(move |scoreboard| scoreboard.read_generators(&contest)).await {
            Ok(generators) => self.lock_status().generators = generators.into(),
            Err(error) => self.lock_status().redis = Some(error.to_string()),
        }
    }

    async fn act(&self, people: bool, now: UtcUs) -> Result<(), ChangeError> {
        // The clock first: a round begins in time whatever else is slow.
        self.advance(now).await?;
        if people {
            if let Err(error) = self.follow_settings().await {
                return Err(ChangeError::Unfit(error.to_string()));
            }
            let is_free = self.lock_status().conflict.is_none();
            if is_free {
                self.refresh(&Actor::program(), now).await?;
            } else {
                self.tell_facts().await?;
            }
            self.note_round(&Actor::program(), now).await?;
            // Redis may be away; the check says so.
            let _ = self.probe_house(now).await;
        }
        self.collect_answers(now).await;
        Ok(())
    }

    /// Everything that GO or NO-GO looks at.
    pub async fn situation(&self, now: UtcUs) -> Result<Situation, flowtest_accounts::Error> {
        let (status, settings, control) = (self.status(), self.settings(), self.control());
        let left_out = |owner: Owner| {
            let left = status.roster.left_out.iter().find(|left| left.user == owner.map(|user| user.0));
            left.map(|left| left.reason.trim_end_matches('.').to_owned())
        };
        let house = match (&settings.house, left_out(None)) {
            (None, _) => House::Unset,
            (Some(_), Some(reason)) => House::LeftOut(reason),
            (Some(_), None) => House::Set(self.tested(None)),
        };
        let endpoints = self.inner.accounts.endpoints().await?;
        let users = self.inner.accounts.users().await?;
        let contestants = users.into_iter().filter(|user| user.role == Role::Staff).map(|user| Player {
            disabled: user.disabled,
            disqualified: user.disqualified.is_some(),
            parked: control.as_ref().is_some_and(|control| {
                control.parked.contains(&user.name) && user_in(control, &user.name) == Some(user.id)
            }),
            endpoint: endpoints.iter().find(|endpoint| endpoint.user == user.id).map(|found| found.endpoint.clone()),
            left_out: left_out(Some(user.id)),
            tested: self.tested(Some(user.id)),
            name: user.name,
        });
        Ok(Situation {
            now,
            redis: status.redis.clone(),
            conflict: status.conflict.as_ref().map(|conflict| conflict.sentence.clone()),
            state: control.as_ref().map_or(State::Draft, |control| control.state),
            halted: control.as_ref().is_some_and(|control| control.halted),
            contest: status.roster.contest(self.contest(), &settings),
            house,
            contestants: contestants.filter(|player| player.name != HOUSE).collect(),
            generators: status.generators.to_vec(),
        })
    }

    /// GO or NO-GO.
    pub async fn readiness(&self, now: UtcUs) -> Result<Vec<Check>, flowtest_accounts::Error> {
        self.situation(now).await.map(|situation| readiness::checks(&situation))
    }
}
