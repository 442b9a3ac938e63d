//! From people to the document: the roster follows accounts and their endpoints, in a draft at once, in a running round
//! as far as its rules allow. It also tells the live feed who is who.

use super::desk::{ChangeError, Made, Organiser};
use super::roster::{Candidate, HOUSE, Roster, id_of, user_of};
use crate::live::{Carried, Facts, Freeze, Notice, NoticeLevel, Person, UserKey};
use flowtest_accounts::{Actor, Level, Role, User, UserId};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::endpoint::Host;
use flowtest_scoreboard::lifecycle::Change;
use flowtest_scoreboard::{Contest, Control, Endpoint, Row, State};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Organiser {
    /// Looks at accounts and endpoints, and edits the document after them. `by` stands in its history.
    pub async fn refresh(&self, by: &Actor, now: UtcUs) -> Result<Option<Made>, ChangeError> {
        let _pen = self.inner.pen.lock().await;
        self.refresh_held(by, now).await
    }

    pub(super) async fn refresh_held(&self, by: &Actor, now: UtcUs) -> Result<Option<Made>, ChangeError> {
        let settings = self.settings();
        let roster = Arc::new(Roster::of(&self.candidates().await?, &settings));
        self.lock_status().roster = Arc::clone(&roster);
        let wanted = roster.contest(self.contest(), &settings);
        let made = match (self.control(), wanted) {
            (None, None) => None,
            (None, Some(contest)) => {
                let control = Control { ids: roster.ids.clone(), ..Control::new(contest) };
                Some(self.save(None, control, "The contest was opened.", by, now).await?)
            }
            // Nobody is left: the draft stays, and arming is refused.
            (Some(_), None) => None,
            (Some(control), Some(contest)) => self.follow(&control, contest, &roster, by, now).await?,
        };
        self.tell_facts().await?;
        Ok(made)
    }

    /// Brings a document to what is wanted, as far as its state allows.
    async fn follow(
        &self,
        control: &Control,
        wanted: Contest,
        roster: &Roster,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<Made>, ChangeError> {
        use State::{Armed, Draft, Paused, Running};
        match control.state {
            Draft if control.contest == wanted && control.ids == roster.ids => Ok(None),
            Draft => {
                let change = Change::Edit { contest: Box::new(wanted), ids: roster.ids.clone() };
                self.make(None, change, "The draft follows contestants and settings.", by, now).await.map(Some)
            }
            Armed | Running | Paused => {
                let mut made = None;
                if control.contest.policy != wanted.policy {
                    let change = Change::Policy(wanted.policy.clone());
                    made = Some(self.make(None, change, "The policy of the settings counts.", by, now).await?);
                }
                for (contestant, endpoint) in moved(control, &wanted, roster) {
                    let what = format!("{contestant} moved to {endpoint}.");
                    let change = Change::Endpoint { contestant, endpoint };
                    match self.make(None, change, &what, by, now).await {
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

    /// Sets somebody's endpoint. What is wrong with it is told as the field `endpoint`.
    pub async fn set_endpoint(&self, user: &User, text: &str, by: &Actor, now: UtcUs) -> Result<Endpoint, ChangeError> {
        let wrong = |sentence: String| ChangeError::Field { field: "endpoint", sentence };
        if user.role != Role::Staff {
            return Err(wrong("admins do not play: register a contestant's account for a server".to_owned()));
        }
        let endpoint: Endpoint =
            text.trim().parse().map_err(|error: flowtest_scoreboard::EndpointError| wrong(error.to_string()))?;
        let _pen = self.inner.pen.lock().await;
        let settings = self.settings();
        settings.policy.judge_endpoint(&endpoint).map_err(|error| wrong(error.to_string()))?;
        if !settings.policy.allow_shared && self.is_taken(user.id, &endpoint).await? {
            // Whose it is stays their secret.
            return Err(wrong(format!(
                "somebody else plays with {}:{}: give your own server, or ask the organisers",
                endpoint.host, endpoint.port
            )));
        }
        self.inner.accounts.set_endpoint(user.id, Some(&endpoint.to_string()), by, now).await?;
        self.refresh_held(&Actor::program(), now).await?;
        Ok(endpoint)
    }

    /// Takes an endpoint away. Not while its owner plays: that would be a way out of losing points.
    pub async fn reset_endpoint(&self, user: UserId, by: &Actor, now: UtcUs) -> Result<(), ChangeError> {
        let _pen = self.inner.pen.lock().await;
        let plays = self.control().is_some_and(|control| control.ids.values().any(|id| *id == id_of(user.0)));
        if self.is_playing() && plays {
            let sentence =
                "a round is on, and its contestants stay: set another endpoint, or ask the organisers to park \
                            you"
                .to_owned();
            return Err(ChangeError::Field { field: "endpoint", sentence });
        }
        self.inner.accounts.set_endpoint(user, None, by, now).await?;
        self.refresh_held(&Actor::program(), now).await?;
        Ok(())
    }

    async fn is_taken(&self, user: UserId, endpoint: &Endpoint) -> Result<bool, ChangeError> {
        let same = |other: &Endpoint| other.host == endpoint.host && other.port == endpoint.port;
        if self.settings().house.as_ref().is_some_and(same) {
            return Ok(true);
        }
        let others = self.candidates().await?;
        let mut others = others.iter().filter(|other| other.user != user.0);
        Ok(others
            .any(|other| other.endpoint.as_ref().and_then(|text| text.parse().ok()).is_some_and(|other| same(&other))))
    }

    /// Parks a contestant, or lets it play on.
    pub async fn park(&self, user: &User, parked: bool, by: &Actor, now: UtcUs) -> Result<Made, ChangeError> {
        let what = format!("{} {}.", user.name, if parked { "was parked" } else { "plays on" });
        self.change(None, Change::Park { contestant: user.name.clone(), parked }, &what, by, now).await
    }

    /// Disqualifies a contestant: it gets no traffic any more, and no place in the next round.
    pub async fn disqualify(&self, user: &User, reason: &str, by: &Actor, now: UtcUs) -> Result<(), ChangeError> {
        self.inner.accounts.disqualify(user.id, reason, by, now).await?;
        let plays =
            self.control().is_some_and(|control| control.contest.contestants.iter().any(|one| one.name == user.name));
        if plays && self.is_playing() {
            self.park(user, true, by, now).await?;
        }
        self.refresh(&Actor::program(), now).await?;
        Ok(())
    }

    /// Takes a disqualification back. In a round that is on, the contestant gets traffic again.
    pub async fn requalify(&self, user: &User, by: &Actor, now: UtcUs) -> Result<(), ChangeError> {
        self.inner.accounts.requalify(user.id, by, now).await?;
        if self.control().is_some_and(|control| control.parked.contains(&user.name)) {
            self.park(user, false, by, now).await?;
        }
        self.refresh(&Actor::program(), now).await?;
        Ok(())
    }

    /// Enabled contestants that are not disqualified.
    async fn candidates(&self) -> Result<Vec<Candidate>, flowtest_accounts::Error> {
        let endpoints: BTreeMap<UserId, String> = {
            let endpoints = self.inner.accounts.endpoints().await?;
            endpoints.into_iter().map(|endpoint| (endpoint.user, endpoint.endpoint)).collect()
        };
        let users = self.inner.accounts.users().await?;
        let may = |user: &User| user.role == Role::Staff && !user.disabled && user.disqualified.is_none();
        let candidates = users.into_iter().filter(may).map(|user| Candidate {
            user: user.id.0,
            endpoint: endpoints.get(&user.id).cloned(),
            name: user.name,
        });
        Ok(candidates.collect())
    }

    /// Tells the live feed who is who, what counts beside the round, and what the public may see.
    pub(super) async fn tell_facts(&self) -> Result<(), flowtest_accounts::Error> {
        let _telling = self.inner.telling.lock().await;
        let accounts = &self.inner.accounts;
        let users = accounts.users().await?;
        let mut people: Vec<Person> = users.into_iter().filter(|user| user.role == Role::Staff).map(person).collect();
        if self.settings().house.is_some() {
            people.push(Person {
                key: UserKey::from(HOUSE),
                name: HOUSE.to_owned(),
                shown: "House".to_owned(),
                hidden: true,
                disqualified: false,
            });
        }
        let mut adjustments: BTreeMap<UserKey, i64> = BTreeMap::new();
        for adjustment in accounts.adjustments().await?.iter().filter(|line| line.withdrawn_at.is_none()) {
            let sum = adjustments.entry(UserKey::of_user(adjustment.user.0)).or_default();
            *sum = sum.saturating_add(adjustment.points);
        }
        let rounds = accounts.rounds().await?;
        let before = Arc::clone(&self.inner.facts.borrow());
        let sealed: Vec<_> = rounds.iter().filter(|round| round.scored && round.finished_at.is_some()).collect();
        // Results are written once, so whoever knows their rounds knows them.
        let carried = if sealed.iter().all(|round| before.carried.has(&round.id)) {
            before.carried.clone()
        } else {
            self.carried(sealed.iter().map(|round| round.id)).await?
        };
        let numbers = rounds.iter().map(|round| (round.id, round.number)).collect();
        let notices = accounts.active_announcements().await?.into_iter().map(notice).collect();
        self.inner.facts.send_modify(|facts| {
            // Read in here: what is saved from now on changes the facts after this.
            let (control, show) = (self.control(), self.show());
            let freeze = Freeze { at: show.freeze_at, revealed: show.revealed };
            let ended = show.over;
            *facts = Arc::new(Facts { people, control, adjustments, carried, numbers, notices, freeze, ended });
        });
        Ok(())
    }

    async fn carried(
        &self,
        rounds: impl Iterator<Item = flowtest_contract::RoundId>,
    ) -> Result<Carried, flowtest_accounts::Error> {
        let mut carried = Carried::default();
        rounds.for_each(|round| carried.add_round(round));
        for (round, result) in self.inner.accounts.scored_results().await? {
            // A row that we cannot read has its points all the same.
            let row = Row::decode(&result.row).unwrap_or_default();
            carried.add(round, UserKey::of_user(result.user.0), result.points, &row);
        }
        Ok(carried)
    }
}

/// Who is somewhere else than in the document, and may be there.
fn moved(control: &Control, wanted: &Contest, roster: &Roster) -> Vec<(String, Endpoint)> {
    let endpoints: BTreeMap<&str, &Endpoint> =
        wanted.contestants.iter().map(|contestant| (contestant.name.as_str(), &contestant.endpoint)).collect();
    let is = |endpoint: &Endpoint| -> (Host, u16, String) {
        (endpoint.host.clone(), endpoint.port, endpoint.path_and_query.clone())
    };
    let contestants = control.contest.contestants.iter().filter_map(|contestant| {
        // The same name may be another account's by now.
        let same = control.ids.get(&contestant.name) == roster.ids.get(&contestant.name);
        let endpoint = endpoints.get(contestant.name.as_str()).filter(|_| same)?;
        (is(endpoint) != is(&contestant.endpoint)).then(|| (contestant.name.clone(), (*endpoint).clone()))
    });
    contestants.collect()
}

/// The account behind a contestant of a document.
pub(super) fn user_in(control: &Control, name: &str) -> Option<UserId> {
    control.ids.get(name).and_then(|id| user_of(id)).map(UserId)
}

fn person(user: User) -> Person {
    Person {
        key: UserKey::of_user(user.id.0),
        name: user.name,
        shown: user.display_name,
        // Whoever may not log in any more stands in no table either.
        hidden: user.hidden || user.disabled,
        disqualified: user.disqualified.is_some(),
    }
}

fn notice(announcement: flowtest_accounts::Announcement) -> Notice {
    Notice {
        id: announcement.id.0,
        level: match announcement.level {
            Level::Info => NoticeLevel::Info,
            Level::Warn => NoticeLevel::Warn,
        },
        text: announcement.text,
        at: announcement.at,
    }
}
