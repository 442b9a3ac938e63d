//! From people to the document: the roster follows accounts and their endpoints, in a draft at once, in a running round
//! as far as its rules allow.

use super::edit::{Edit, Trigger};
use super::{Document, Made};
use crate::control::error::ChangeError;
use crate::control::roster::{Candidate, Roster};
use flowtest_accounts::{Actor, Endpoint as Named, EndpointChange, Role, User, UserId};
use flowtest_contest::lifecycle::{self, Change};
use flowtest_contest::{Contest, Control, Endpoint, State};
use flowtest_contract::rules::UtcUs;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Edit<'_> {
    /// Looks at accounts and endpoints, and edits the document after them. `by` stands in its history. While Redis holds
    /// somebody else's document nothing is done on top of that.
    pub async fn follow_people(&self, by: &Actor, now: UtcUs) -> Result<Option<Made>, ChangeError> {
        let wanted = self.wanted().await?;
        if self.document.published().conflict.is_some() {
            return Ok(None);
        }
        match self.follow_wanted(Trigger::Automation, wanted, by, now).await {
            // It was found in between.
            Err(ChangeError::Unfit(_)) if self.document.check_undisputed().is_err() => Ok(None),
            followed => followed,
        }
    }

    /// Brings the document to what is [`Edit::wanted`] for an organiser, who goes on from here whatever Redis holds.
    pub async fn follow_at_any_rate(
        &self,
        wanted: Option<Contest>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        self.follow_wanted(Trigger::Request, wanted, by, now).await
    }

    /// The document as it would be then, which saves nothing.
    pub fn followed(&self, contest: Contest, now: UtcUs) -> Result<Control, ChangeError> {
        let roster = self.document.roster();
        let Some(control) = self.document.control() else { return Ok(opened(contest, &roster)) };
        match edit_of(&control, contest, &roster) {
            None => Ok(Control::clone(&control)),
            Some(edit) => Ok(lifecycle::change(&control, edit, now)?),
        }
    }

    /// Looks at accounts and endpoints: what the next round is to be. None while nobody can play.
    pub async fn wanted(&self) -> Result<Option<Contest>, ChangeError> {
        let document = self.document;
        let settings = document.enforced_settings();
        let roster = Arc::new(Roster::of(&document.candidates().await?, &settings));
        document.known().roster = Arc::clone(&roster);
        Ok(roster.contest(document.contest(), &settings))
    }

    async fn follow_wanted(
        &self,
        trigger: Trigger,
        wanted: Option<Contest>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        let document = self.document;
        match (document.control(), wanted) {
            (None, None) => Ok(None),
            (None, Some(contest)) => {
                let control = opened(contest, &document.roster());
                self.save(None, control, trigger == Trigger::Request, "The contest was opened.", by, now).await
            }
            // Nobody is left: the draft stays, and arming is refused.
            (Some(_), None) => Ok(None),
            (Some(control), Some(contest)) => self.follow(trigger, &control, contest, by, now).await,
        }
    }

    /// Brings a document to what is wanted, as far as its state allows.
    async fn follow(
        &self,
        trigger: Trigger,
        control: &Control,
        wanted: Contest,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        use State::{Armed, Draft, Paused, Running};
        let roster = self.document.roster();
        match control.state {
            Draft => match edit_of(control, wanted, &roster) {
                None => Ok(None),
                Some(edit) => {
                    self.make(trigger, edit, "The draft follows contestants and settings.", by, now).await.map(Some)
                }
            },
            Armed | Running | Paused => {
                let mut made = None;
                if control.contest.policy != wanted.policy {
                    let change = Change::Policy(wanted.policy.clone());
                    made = Some(self.make(trigger, change, "The policy of the settings counts.", by, now).await?);
                }
                for (contestant, endpoint) in moved(control, &wanted, &roster) {
                    let what = format!("{contestant} moved to {endpoint}.");
                    let change = Change::Endpoint { contestant, endpoint };
                    match self.make(trigger, change, &what, by, now).await {
                        Ok(done) => made = Some(done),
                        // One who cannot move, such as to where another still is, keeps nobody else from moving.
                        Err(ChangeError::Refused(refusal)) => tracing::warn!(%refusal, "a contestant stays"),
                        Err(error) => return Err(error),
                    }
                }
                Ok(made)
            }
            _ => Ok(None),
        }
    }
}

impl Document {
    /// Enabled contestants that are not disqualified.
    async fn candidates(&self) -> Result<Vec<Candidate>, flowtest_accounts::Error> {
        let mut endpoints: BTreeMap<UserId, (String, UtcUs)> = BTreeMap::new();
        for found in self.accounts.endpoints().await? {
            let since = self.named_since(&found).await?;
            endpoints.insert(found.user, (found.endpoint, since));
        }
        let users = self.accounts.users().await?;
        let may = |user: &User| user.role == Role::Staff && !user.disabled && user.disqualified.is_none();
        let candidates = users.into_iter().filter(may).map(|user| Candidate {
            user: user.id.0,
            endpoint: endpoints.get(&user.id).map(|(endpoint, _)| endpoint.clone()),
            since: endpoints.get(&user.id).map_or(UtcUs::EPOCH, |(_, at)| *at),
            name: user.name,
        });
        Ok(candidates.collect())
    }

    /// Since when somebody has named its server: another path is the same server. Read once for each endpoint that is set.
    async fn named_since(&self, found: &Named) -> Result<UtcUs, flowtest_accounts::Error> {
        if let Some((known, since)) = self.known().named.get(&found.user)
            && known == found
        {
            return Ok(*since);
        }
        let server = |text: &str| text.parse().ok().map(|endpoint: Endpoint| endpoint.server());
        let Some(own) = server(&found.endpoint) else { return Ok(found.at) };
        let history = self.accounts.endpoint_history(found.user).await?;
        let is_own = |change: &&EndpointChange| change.endpoint.as_deref().and_then(server).as_ref() == Some(&own);
        let since = history.iter().take_while(is_own).last().map_or(found.at, |first| first.at);
        self.known().named.insert(found.user, (found.clone(), since));
        Ok(since)
    }

    /// Whether somebody else plays with the same server.
    pub(in crate::control) async fn is_taken(&self, user: UserId, endpoint: &Endpoint) -> Result<bool, ChangeError> {
        let same = |other: &Endpoint| other.server() == endpoint.server();
        if self.settings().house.as_ref().is_some_and(same) {
            return Ok(true);
        }
        let others = self.candidates().await?;
        let mut others = others.iter().filter(|other| other.user != user.0);
        Ok(others
            .any(|other| other.endpoint.as_ref().and_then(|text| text.parse().ok()).is_some_and(|other| same(&other))))
    }
}

/// The first document of a contest.
fn opened(contest: Contest, roster: &Roster) -> Control {
    Control { ids: roster.ids.clone(), since: roster.since.clone(), ..Control::new(contest) }
}

/// What brings a draft to what is wanted. None: it is there, or is no draft.
fn edit_of(control: &Control, wanted: Contest, roster: &Roster) -> Option<Change> {
    let is_behind = control.contest != wanted || control.ids != roster.ids;
    (control.state == State::Draft && is_behind).then(|| Change::Edit {
        contest: Box::new(wanted),
        ids: roster.ids.clone(),
        since: roster.since.clone(),
    })
}

/// Who is somewhere else than in the document, and may be there.
fn moved(control: &Control, wanted: &Contest, roster: &Roster) -> Vec<(String, Endpoint)> {
    let endpoints: BTreeMap<&str, &Endpoint> =
        wanted.contestants.iter().map(|contestant| (contestant.name.as_str(), &contestant.endpoint)).collect();
    let contestants = control.contest.contestants.iter().filter_map(|contestant| {
        // The same name may be another account's by now.
        let same = control.ids.get(&contestant.name) == roster.ids.get(&contestant.name);
        let endpoint = endpoints.get(contestant.name.as_str()).filter(|_| same)?;
        (**endpoint != contestant.endpoint).then(|| (contestant.name.clone(), (*endpoint).clone()))
    });
    contestants.collect()
}
