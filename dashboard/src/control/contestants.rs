//! What is done to one contestant, by itself or by an organiser: its endpoint, its traffic, its place in the contest.

use super::automation::joining::ANSWERS;
use super::controller::Controller;
use super::document::Made;
use super::error::ChangeError;
use super::instant;
use super::roster::id_of;
use flowtest_accounts::{Actor, AuditFilter, AuditLine, Role, User, UserId};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::{Control, Endpoint, State};
use flowtest_contract::rules::UtcUs;

/// What the log calls it that a contestant gets no traffic any more.
const PARKED: &str = "user.park";

/// What the log calls a contestant.
fn subject(user: UserId) -> String {
    format!("user:{user}")
}

/// The name of a contestant in a round.
fn name_of(control: &Control, user: UserId) -> Option<&String> {
    let id = id_of(user.0);
    control.ids.iter().find(|(_, other)| **other == id).map(|(name, _)| name)
}

/// An endpoint that is saved.
#[derive(Clone, Debug)]
pub struct EndpointSet {
    pub endpoint: Endpoint,
    /// Why generators go on where they went, in words for an organiser. None: they know of it, or nothing goes there yet.
    pub untold: Option<String>,
}

impl Controller {
    /// Whether generators ask an endpoint as soon as it is set: then setting it is a test of it.
    pub fn tests_what_is_set(&self) -> bool {
        self.document.is_playing()
    }

    /// Sets somebody's endpoint. What is wrong with it is told as the field `endpoint`.
    pub async fn set_endpoint(
        &self,
        user: &User,
        text: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<EndpointSet, ChangeError> {
        let wrong = |message: String| ChangeError::Field { field: "endpoint", message };
        if user.role != Role::Staff {
            return Err(wrong("admins do not play: register a contestant's account for a server".to_owned()));
        }
        let endpoint: Endpoint =
            text.trim().parse().map_err(|error: flowtest_contest::EndpointError| wrong(error.to_string()))?;
        let edit = self.document.edit().await;
        self.document.check_steering()?;
        let settings = self.document.enforced_settings();
        let is_own = by.user == Some(user.id);
        settings.policy.judge_endpoint(&endpoint).map_err(|error| {
            // Whoever cannot change the policy is told whom to ask.
            wrong(if is_own { error.for_contestant() } else { error.to_string() })
        })?;
        if !settings.policy.may_name_one_server() && self.document.is_taken(user.id, &endpoint).await? {
            // Whose it is stays their secret.
            return Err(wrong(format!(
                "somebody else plays with {}:{}: give your own server, or ask the organisers",
                endpoint.host, endpoint.port
            )));
        }
        self.accounts.set_endpoint(user.id, Some(&endpoint.to_string()), by, now).await?;
        let made = edit.follow_people(&Actor::program(), now).await?;
        drop(edit);
        self.document.tell_feed().await?;
        let untold = self.untold_endpoint(user, &endpoint, made);
        Ok(EndpointSet { endpoint, untold })
    }

    /// Why generators do not go where somebody plays from now on.
    fn untold_endpoint(&self, user: &User, endpoint: &Endpoint, made: Option<Made>) -> Option<String> {
        let status = self.status();
        if let Some(why) = made.and_then(|made| made.unpublished).or(status.conflict.map(|conflict| conflict.message)) {
            return Some(why);
        }
        let control = self.control().filter(|_| self.document.is_playing())?;
        let name = name_of(&control, user.id)?;
        let played = control.contest.contestants.iter().find(|one| one.name == *name)?;
        (played.endpoint != *endpoint).then(|| {
            format!("the round that is on goes on at {}, for its contestants cannot move there now", played.endpoint)
        })
    }

    /// Takes an endpoint away. Not while its owner plays: that would be a way out of losing points. Nor of who is parked: whoever is
    /// not on the roster is not parked either, and comes back to play.
    pub async fn reset_endpoint(&self, user: UserId, by: &Actor, now: UtcUs) -> Result<(), ChangeError> {
        let edit = self.document.edit().await;
        self.document.check_steering()?;
        let control = self.control();
        let name = control.as_ref().and_then(|control| name_of(control, user));
        let refuse = |message: &str| Err(ChangeError::Field { field: "endpoint", message: message.to_owned() });
        if control.as_ref().zip(name).is_some_and(|(control, name)| control.parked.contains(name)) {
            return refuse("the organisers have parked you, and you stay: set another endpoint, or ask them");
        }
        if self.document.is_playing() && name.is_some() {
            return refuse(
                "a round is on, and its contestants stay: set another endpoint, or ask the organisers to park you",
            );
        }
        self.accounts.set_endpoint(user, None, by, now).await?;
        edit.follow_people(&Actor::program(), now).await?;
        drop(edit);
        self.document.tell_feed().await?;
        Ok(())
    }

    /// When traffic comes to a contestant, as a message to it; nothing for one that gets what falls due.
    pub fn arrival(&self, user: UserId, has_endpoint: bool, now: UtcUs) -> Option<String> {
        let control = self.control()?;
        let name = name_of(&control, user);
        if name.is_some_and(|name| control.parked.contains(name)) {
            let message = "The organisers have parked you: nothing falls due to you until they let you play on.";
            return Some(message.to_owned());
        }
        if !matches!(control.state, State::Armed | State::Running | State::Paused) {
            let message = "Requests come when the organisers start a round, after three right answers.";
            return has_endpoint.then(|| message.to_owned());
        }
        if let Some(name) = name {
            let at = control.timeline.joined_at(name).filter(|at| now < *at)?;
            return Some(format!(
                "You join the round at {}: from then on requests come, and count.",
                instant::rfc3339(at)
            ));
        }
        let joins = "you join it a few seconds after three right answers in a row";
        if !has_endpoint {
            return Some(format!("A round is on: set your endpoint, and {joins}."));
        }
        let is_waiting = self.document.check_undisputed().is_err() || self.document.check_steering().is_err();
        if is_waiting || control.halted {
            return Some(
                "A round is on, and nobody joins it at this moment: tell the organisers if it stays so.".to_owned(),
            );
        }
        Some(match self.automation().newcomer(user).map(|newcomer| (newcomer.right, newcomer.trouble)) {
            Some((_, Some(trouble))) => {
                format!("A round is on, and {joins}. Not yet: {}.", trouble.trim_end_matches('.'))
            }
            Some((right, None)) => {
                format!("A round is on, and {joins}. Your server is asked now, and has given {right} of {ANSWERS}.")
            }
            None => format!("A round is on, and {joins}. Your server is asked in a moment."),
        })
    }

    /// When somebody joined the round of the document; nothing for who was there when it was armed.
    pub fn joined_at(&self, user: UserId) -> Option<UtcUs> {
        let control = self.control()?;
        let name = name_of(&control, user)?;
        control.timeline.joined_at(name)
    }

    /// Parks a contestant, or lets it play on. The log says of the contestant who did it.
    pub async fn park(&self, user: &User, parked: bool, by: &Actor, now: UtcUs) -> Result<Made, ChangeError> {
        let made = self.set_parked(user, parked, by, now).await?;
        let action = if parked { PARKED } else { "user.unpark" };
        // It is in force, whatever the log takes.
        if let Err(error) = self.accounts.note(action, subject(user.id), None, by, now).await {
            tracing::warn!(%error, contestant = user.name, "the log does not say who did it: {action}");
        }
        Ok(made)
    }

    /// Who parked a contestant last, by the log. None: nobody ever did, or a program that did not say.
    pub async fn parked_by(&self, user: UserId) -> Result<Option<AuditLine>, flowtest_accounts::Error> {
        let (action, subject) = (Some(PARKED.to_owned()), Some(subject(user)));
        let filter = AuditFilter { action, subject, ..AuditFilter::default() };
        Ok(self.accounts.audit_page(None, 1, filter).await?.pop())
    }

    async fn set_parked(&self, user: &User, parked: bool, by: &Actor, now: UtcUs) -> Result<Made, ChangeError> {
        let what = format!("{} {}.", user.name, if parked { "was parked" } else { "plays on" });
        self.change(None, Change::Park { contestant: user.name.clone(), parked }, &what, by, now).await
    }

    /// Disqualifies a contestant: it gets no traffic any more, and no place in the next round. Says what was changed in a round
    /// that is on.
    pub async fn disqualify(
        &self,
        user: &User,
        reason: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        self.document.check_steering()?;
        self.accounts.disqualify(user.id, reason, by, now).await?;
        let plays =
            self.control().is_some_and(|control| control.contest.contestants.iter().any(|one| one.name == user.name));
        let made = match plays && self.document.is_playing() {
            true => Some(self.set_parked(user, true, by, now).await?),
            false => None,
        };
        self.follow_people(&Actor::program(), now).await?;
        Ok(made)
    }

    /// Takes a disqualification back. In a round that is on, the contestant gets traffic again: what was changed there.
    pub async fn requalify(&self, user: &User, by: &Actor, now: UtcUs) -> Result<Option<Made>, ChangeError> {
        self.document.check_steering()?;
        self.accounts.requalify(user.id, by, now).await?;
        let made = match self.control().is_some_and(|control| control.parked.contains(&user.name)) {
            true => Some(self.set_parked(user, false, by, now).await?),
            false => None,
        };
        self.follow_people(&Actor::program(), now).await?;
        Ok(made)
    }
}
