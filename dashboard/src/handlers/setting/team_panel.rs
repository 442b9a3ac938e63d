//! Teams on the page: one line each, the one that needs attention most first; and what is known of the one that is opened.

use super::as_message;
use super::ready_panel::light;
use crate::app::App;
use crate::control::readiness::{self, Contestant, Mark, Situation};
use crate::error::RequestError;
use crate::handlers::{audit, past, report};
use crate::live::clock::utc_ms;
use crate::live::{Audience, Standing, StateSince, TeamState, UserKey};
use crate::views::setting::TeamLineState::Now;
use crate::views::setting::{
    Light, Parked, TeamDetail, TeamFailure, TeamForm, TeamHistory, TeamLine, TeamLineState, TeamsPanel,
};
use crate::views::strip::Strip;
use crate::views::{Field, Role};
use flowtest_accounts::{AuditFilter, User, UserId};
use flowtest_contest::State;
use flowtest_scoreboard::ExplainedError;
use flowtest_scoreboard::probe::ANSWER_WITHHELD;
use std::collections::BTreeMap;

/// A team of whose answers fewer than so many in a thousand are verified is in trouble.
const VERIFIED_PERMILLE: u16 = 990;
/// Lines of failures and of history of an open team.
const FAILURES: usize = 5;
const HISTORY: usize = 8;
/// Lines of the log that are looked at for those: many only say who signed in.
const HISTORY_LOOKED_AT: u32 = 60;

async fn lines(app: &App, users: &[User], situation: &Situation) -> Result<Vec<TeamLine>, RequestError> {
    let mut parked = BTreeMap::new();
    for contestant in situation.contestants.iter().filter(|contestant| contestant.parked) {
        if let Some(user) = users.iter().find(|user| user.name == contestant.name) {
            parked.insert(user.id.0, parked_by(app, users, user.id).await?);
        }
    }
    let (standings, fared) = (app.feed.standings(&Audience::Admin), app.feed.fared());
    let staff = users.iter().filter(|user| user.role == Role::Staff);
    let mut lines: Vec<(u8, u16, TeamLine)> = staff
        .map(|user| {
            let contestant = situation.contestants.iter().find(|contestant| contestant.name == user.name);
            let id = UserKey::of_user(user.id.0);
            let (standing, fared) = (standings.of(&id), fared.get(&id).copied());
            line(app, user, contestant, (standing, fared), situation, parked.get(&user.id.0))
        })
        .collect();
    lines.sort_by(|(a, some, one), (b, more, other)| {
        (a, some, std::cmp::Reverse(one.points), &one.name).cmp(&(
            b,
            more,
            std::cmp::Reverse(other.points),
            &other.name,
        ))
    });
    Ok(lines.into_iter().map(|(_, _, line)| line).collect())
}

/// Who parked a team, as organisers call that person.
async fn parked_by(app: &App, users: &[User], id: UserId) -> Result<Parked, RequestError> {
    let Some(line) = app.controller.parked_by(id).await? else {
        return Ok(Parked { who: "an organiser".to_owned(), at_ms: None });
    };
    let who = users.iter().find(|user| Some(user.id) == line.by.user).map(|user| user.display_name.clone());
    Ok(Parked { who: who.unwrap_or(line.by.name), at_ms: Some(utc_ms(line.at)) })
}

fn line(
    app: &App,
    user: &User,
    contestant: Option<&Contestant>,
    (standing, fared): (Option<&Standing>, Option<StateSince>),
    situation: &Situation,
    parked: Option<&Parked>,
) -> (u8, u16, TeamLine) {
    let figures = standing.map(|standing| standing.figures).unwrap_or_default();
    let verified = figures.verified_permille;
    let now = standing.and_then(|standing| standing.state);
    // All that the red switch says of a team is that nobody gets any traffic.
    let is_cut_short = situation.halted && now == Some(TeamState::Parked);
    let ((trouble, light, state, note), since_ms) = match now.filter(|_| !is_cut_short) {
        Some(state) => (in_round(state, verified), standing.and_then(|standing| standing.state_since)),
        None => (apart(contestant, situation, fared), fared.map(|fared| utc_ms(fared.since))),
    };
    let since_ms = since_ms.filter(|_| now.is_some() || matches!(state, TeamLineState::Was(_)));
    let note = parked
        .filter(|_| state == Now(TeamState::Parked))
        .map_or(note, |parked| format!("no traffic, by {}", parked.who));
    let line = TeamLine {
        id: user.id.0,
        name: user.name.clone(),
        display_name: user.display_name.clone(),
        category: user.category.clone(),
        light,
        state,
        since_ms,
        note,
        rate: figures.rate,
        verified_permille: verified,
        p99_us: figures.p99_us,
        points: figures.points,
        hidden: user.hidden,
        joined_at_ms: app.controller.joined_at(user.id).map(utc_ms),
    };
    (trouble, verified.unwrap_or(1_000), line)
}

/// How much it needs attention (0 is most), and how that is said.
fn in_round(state: TeamState, verified: Option<u16>) -> (u8, Light, TeamLineState, String) {
    let is_wrong = verified.is_some_and(|permille| permille < VERIFIED_PERMILLE);
    let (trouble, light, note) = match state {
        TeamState::Failing => (0, Light::Bad, "no right token for five seconds"),
        TeamState::Waiting => (1, Light::Warn, "asked nothing: not admitted, or nothing is due"),
        TeamState::WrongBoth => (2, Light::Warn, "it answers, and has missed both deadlines"),
        TeamState::WrongVersion | TeamState::WrongFrom => (2, Light::Warn, "it answers, and has missed the deadline"),
        // Nobody gets any while that is so; of one that is parked alone its line says by whom.
        TeamState::Parked => (3, Light::Warn, "all traffic is stopped"),
        TeamState::Playing if is_wrong => (4, Light::Warn, ""),
        TeamState::Playing => (5, Light::Good, ""),
        TeamState::Absent => (6, Light::Unknown, "no endpoint in this round"),
        TeamState::Disqualified => (7, Light::Unknown, ""),
    };
    (trouble, light, Now(state), note.to_owned())
}

/// The same while nothing is told of this moment: before a round whether it could play, from then on how it fared last.
fn apart(
    contestant: Option<&Contestant>,
    situation: &Situation,
    fared: Option<StateSince>,
) -> (u8, Light, TeamLineState, String) {
    let Some(contestant) = contestant else {
        return (6, Light::Unknown, TeamLineState::Unknown, String::new());
    };
    let (mark, reason) = readiness::judge_contestant(contestant, situation);
    let is_ahead = matches!(situation.state, State::Draft | State::Armed);
    match contestant {
        Contestant { disqualified: true, .. } => (6, Light::Unknown, Now(TeamState::Disqualified), String::new()),
        Contestant { disabled: true, .. } => (6, Light::Unknown, TeamLineState::Disabled, String::new()),
        Contestant { parked: true, .. } => (2, Light::Warn, Now(TeamState::Parked), String::new()),
        Contestant { endpoint: None, .. } => (3, Light::Unknown, Now(TeamState::Absent), "no endpoint yet".to_owned()),
        // What was tested before the round says nothing of now.
        _ if !is_ahead => fared.map_or_else(
            || (4, Light::Unknown, TeamLineState::NotSeen, String::new()),
            |StateSince { state, .. }| was(state, situation),
        ),
        _ if mark == Mark::Go => (4, Light::Good, TeamLineState::Ready, reason),
        _ => (1, light(mark), TeamLineState::NotReady, reason),
    }
}

/// How it fared when the round was cut short or ended. That it played says nothing of now.
fn was(state: TeamState, situation: &Situation) -> (u8, Light, TeamLineState, String) {
    let (trouble, light, ..) = in_round(state, None);
    let when = match situation.state {
        State::Paused => "when the round was paused",
        State::Running if situation.halted => "when all traffic was stopped",
        State::Running => "when it was last looked at",
        _ => "when the round ended",
    };
    let light = if light == Light::Good { Light::Unknown } else { light };
    (trouble, light, TeamLineState::Was(state), when.to_owned())
}

/// The teams, and of one of them all that is known.
pub(super) async fn teams(
    app: &App,
    users: &[User],
    situation: &Situation,
    open: Option<(UserId, TeamForm)>,
) -> Result<TeamsPanel, RequestError> {
    let open = match open {
        Some((id, form)) => detail(app, users, situation, id, form).await?,
        None => None,
    };
    Ok(TeamsPanel { lines: lines(app, users, situation).await?, open })
}

pub(super) async fn detail(
    app: &App,
    users: &[User],
    situation: &Situation,
    id: UserId,
    form: TeamForm,
) -> Result<Option<TeamDetail>, RequestError> {
    let Some(user) = users.iter().find(|user| user.id == id && user.role == Role::Staff) else { return Ok(None) };
    let contestant = situation.contestants.iter().find(|contestant| contestant.name == user.name);
    let key = UserKey::of_user(id.0);
    let seconds = past::seconds(app, &key).await?;
    let span = seconds.first().zip(seconds.last()).map(|(first, last)| (first.at_ms - 1_000, last.at_ms));
    let typed = |field: Field, stored: &Option<String>| match field {
        field if field.error.is_some() => field,
        _ => Field::new(stored.clone().unwrap_or_default()),
    };
    Ok(Some(TeamDetail {
        id: id.0,
        endpoint: contestant.and_then(|contestant| contestant.endpoint.clone()),
        tested: contestant.map_or_else(String::new, |contestant| readiness::judge_contestant(contestant, situation).1),
        parked: match contestant.is_some_and(|contestant| contestant.parked) {
            true => Some(parked_by(app, users, id).await?),
            false => None,
        },
        hidden: user.hidden,
        disqualified: user.disqualified.clone(),
        failures: together(&app.feed.errors(key.as_str()).await.unwrap_or_default()),
        seconds: span.map(|span| Strip::of(&report::spans(&seconds, span))),
        history: history(app, users, id).await?,
        form: TeamForm {
            category: typed(form.category, &user.category),
            contact: typed(form.contact, &user.contact),
            ..form
        },
    }))
}

/// The newest of each kind of failure.
fn together(errors: &[ExplainedError]) -> Vec<TeamFailure> {
    let mut lines: Vec<TeamFailure> = Vec::new();
    for error in errors {
        let message = for_organisers(&error.message);
        match lines.iter_mut().find(|line| line.kind == error.kind && line.message == message) {
            Some(line) => line.count += 1,
            None => lines.push(TeamFailure { at_ms: utc_ms(error.at), kind: error.kind.clone(), message, count: 1 }),
        }
    }
    lines.truncate(FAILURES);
    lines
}

/// Rounds and practice write once, in words for contestants; an organiser's own test shows the answer.
fn for_organisers(message: &str) -> String {
    match message.split_once(ANSWER_WITHHELD) {
        Some((said, _)) => format!("{} Test it from Control to see the answer.", as_message(said.trim_end())),
        None => as_message(message),
    }
}

/// What was done to a team, without its own comings and goings.
async fn history(app: &App, users: &[User], id: UserId) -> Result<Vec<TeamHistory>, RequestError> {
    let filter = AuditFilter { subject: Some(format!("user:{id}")), ..AuditFilter::default() };
    let lines = app.accounts.audit_page(None, HISTORY_LOOKED_AT, filter).await?;
    let names = audit::names(app, users).await?;
    let is_told = |action: &str| !action.starts_with("login.") && !action.starts_with("session.");
    let lines = lines.into_iter().filter(|line| is_told(&line.action)).take(HISTORY);
    let told =
        lines.map(|line| TeamHistory { at_ms: utc_ms(line.at), told: audit::told(&line, &names), who: line.by.name });
    Ok(told.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_round_withholds_from_contestants_an_organiser_is_told_how_to_see() {
        let error = |at: u64| ExplainedError {
            at: flowtest_contract::rules::UtcUs(at),
            ended: None,
            kind: "status".to_owned(),
            message: flowtest_scoreboard::probe::without_answer("it answered 502 (expected: 200; got: 502 <html>)"),
            expected: String::new(),
            received: String::new(),
            request: String::new(),
            response: String::new(),
        };
        let told = together(&[error(2), error(1)]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].message, "It answered 502. Test it from Control to see the answer.");
        assert_eq!(told[0].count, 2);
    }

    #[test]
    fn whoever_needs_attention_most_has_the_smallest_number() {
        let trouble = |state, verified| in_round(state, verified).0;
        let order = [
            trouble(TeamState::Failing, Some(0)),
            trouble(TeamState::Waiting, None),
            trouble(TeamState::WrongVersion, Some(0)),
            trouble(TeamState::Parked, None),
            trouble(TeamState::Playing, Some(980)),
            trouble(TeamState::Playing, Some(1_000)),
            trouble(TeamState::Absent, None),
            trouble(TeamState::Disqualified, None),
        ];
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    }

    #[test]
    fn between_rounds_whoever_lacks_something_stands_before_whoever_is_ready() {
        let situation = Situation::default();
        let nobody = Contestant { name: "a".into(), ..Contestant::default() };
        let untested = Contestant { endpoint: Some("http://a.example/".into()), ..nobody.clone() };
        let disqualified = Contestant { disqualified: true, ..untested.clone() };
        let word = |contestant: &Contestant| {
            let (trouble, _, state, _) = apart(Some(contestant), &situation, None);
            (trouble, state.words())
        };
        let of = |trouble, word: &str| (trouble, word.to_owned());
        assert_eq!(word(&untested), of(1, "not ready"));
        assert_eq!(word(&Contestant { parked: true, ..untested }), of(2, "parked"));
        assert_eq!(word(&nobody), of(3, "absent"));
        assert_eq!(word(&disqualified), of(6, "disqualified"));
        assert_eq!(apart(None, &situation, None).0, 6);
    }

    #[test]
    fn in_each_state_of_a_round_a_line_says_what_is_known_and_gives_no_tick_for_what_is_over() {
        use State::{Aborted, Armed, Draft, Draining, Paused, Running, Sealed};
        let untested = Contestant { name: "a".into(), endpoint: Some("a.example".into()), ..Contestant::default() };
        let fared = |state| Some(StateSince { state, since: flowtest_contract::rules::UtcUs(5) });
        let (playing, failing) = (fared(TeamState::Playing), fared(TeamState::Failing));
        // (state of the round, all traffic stopped, how it fared, trouble, light, word, when)
        let cases = [
            (Draft, false, failing, 1, Light::Warn, "not ready", "tested yet"),
            (Armed, false, None, 1, Light::Warn, "not ready", "tested yet"),
            (Paused, false, failing, 0, Light::Bad, "was failing", "paused"),
            (Paused, false, playing, 5, Light::Unknown, "was playing", "paused"),
            (Running, true, failing, 0, Light::Bad, "was failing", "all traffic was stopped"),
            (Draining, false, failing, 0, Light::Bad, "was failing", "ended"),
            (Sealed, false, failing, 0, Light::Bad, "was failing", "ended"),
            (Sealed, false, playing, 5, Light::Unknown, "was playing", "ended"),
            (Aborted, false, playing, 5, Light::Unknown, "was playing", "ended"),
            // The dashboard was started again since, or it is too early to say.
            (Paused, false, None, 4, Light::Unknown, "–", ""),
            (Running, false, None, 4, Light::Unknown, "–", ""),
            (Sealed, false, None, 4, Light::Unknown, "–", ""),
        ];
        for (state, halted, fared, trouble, light, word, when) in cases {
            let situation = Situation { state, halted, ..Situation::default() };
            let (told_trouble, told_light, told, note) = apart(Some(&untested), &situation, fared);
            assert_eq!((told_trouble, told_light, told.words().as_str()), (trouble, light, word), "{state} {fared:?}");
            assert!(note.contains(when), "{state}: {note}");
        }
        let out = Contestant { disqualified: true, ..untested };
        let situation = Situation { state: Paused, ..Situation::default() };
        assert_eq!(apart(Some(&out), &situation, failing).2, Now(TeamState::Disqualified));
    }
}
