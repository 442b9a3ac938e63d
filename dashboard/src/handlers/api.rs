//! What scripts ask for. Scores come from the live feed alone, for the audience that asks.

use crate::app::App;
use crate::error::RequestError;
use crate::handlers::asked::{self, audience};
use crate::handlers::convert::ErrorAnswer;
use crate::handlers::index::practice_refused;
use crate::handlers::owner::{self, Owner};
use crate::handlers::past;
use crate::handlers::standings::StandingsAnswer;
use crate::live::clock::{Millis, utc_ms};
use crate::live::reveal::{Reveal, RevealStep};
use crate::live::{Audience, Due, Facts, UserKey, ValidityNow};
use crate::middleware::viewer::Viewer;
use crate::views::climb::ClimbCard;
use crate::views::format::hides_result;
use crate::views::health::Health;
use crate::views::index::{HeaderCount, PracticeRefused};
use crate::views::ledger::LedgerRound;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use salvo::http::{HeaderValue, header};
use salvo::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

#[handler]
pub async fn standings_now(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    let category = req.query::<String>("category");
    res.render(Json(StandingsAnswer::of(&app, &audience, category.as_deref())));
    Ok(())
}

#[handler]
pub async fn history_since(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    let round = req.query::<u32>("round");
    res.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if let Some(number) = round {
        let body = past::history(&app, &audience, number).await?;
        res.body(body);
        return Ok(());
    }
    let since = UtcUs::from_ms(req.query::<u64>("since").unwrap_or(0));
    let step = req.query::<u64>("step").unwrap_or(1);
    let body = app.feed.history(&audience, since, step).await;
    res.body(salvo::http::ResBody::Once(body));
    Ok(())
}

/// The frame of an instant that is over: `?at=` in milliseconds.
#[handler]
pub async fn moment(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    let at = req.query::<u64>("at").ok_or_else(|| RequestError::Unprocessable("say which instant: ?at=MS".into()))?;
    let body = past::frame(&app, &audience, UtcUs::from_ms(at)).await?;
    res.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    res.body(body);
    Ok(())
}

/// What the room knows after a step of the reveal.
#[derive(Debug, Serialize)]
struct RevealAnswer {
    #[serde(flatten)]
    step: RevealStep,
    /// The freeze from which it goes; 0: nothing was frozen. Given back as `frozen` it makes the later steps those of the same
    /// show, whatever is revealed or frozen meanwhile.
    frozen: Millis,
}

/// What the room knows after a step of the reveal. Only organisers go ahead of everybody else.
#[handler]
pub async fn reveal(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let step = req.query::<usize>("step").unwrap_or(0);
    if let Some(round) = app.controller.hides_result().await? {
        return Err(RequestError::Conflict(hides_result(round)));
    }
    let seen = app.feed.seen();
    let control = seen.control.as_deref();
    let freeze = match req.query::<u64>("frozen") {
        Some(0) => None,
        Some(ms) => Some(UtcUs::from_ms(ms)),
        None => freeze_to_show(&app.feed.facts(), control, app.now()),
    };
    let last = app.feed.standings(&Audience::Admin).lines;
    let frozen = match freeze {
        Some(at) => past::frozen(&app, at).await?,
        None => app.feed.standings(&Audience::Public).lines,
    };
    let rank_by = control.map(|control| control.contest.rank_by).unwrap_or_default();
    let step = Reveal::of(&frozen, &last, freeze.is_some(), rank_by).step(step);
    res.render(Json(RevealAnswer { step, frozen: freeze.map_or(0, utc_ms) }));
    Ok(())
}

/// The freeze that the show goes from: the one that holds, and one that was revealed until another round begins, so that it can
/// be shown when everybody knows the end, and once more.
fn freeze_to_show(facts: &Facts, control: Option<&Control>, now: UtcUs) -> Option<UtcUs> {
    let freeze = facts.freeze_then(now);
    let at = freeze.at.filter(|at| *at <= now)?;
    let on = control.filter(|control| control.state != State::Draft).and_then(|control| control.timeline.start_at);
    let is_newest = facts.rounds.iter().map(|round| round.start_at).chain(on).all(|start| start <= at);
    (is_newest || freeze.holds(now).is_some()).then_some(at)
}

/// The answer of `/api/me`: a contestant's own figures.
#[derive(Debug, Serialize)]
struct MeAnswer {
    points: i64,
    /// What the contest stands at while `points` are those of a practice for all; else null.
    beside_practice: Option<i64>,
    rank: Option<u32>,
    gap_ahead: Option<i64>,
    gap_behind: Option<i64>,
    /// How many have a rank.
    of: usize,
    /// By the name of the header.
    headers: BTreeMap<&'static str, HeaderCount>,
    /// What 0.1 called `headers`; it goes with 0.3.
    rows: BTreeMap<&'static str, HeaderCount>,
    /// By kind.
    failures: BTreeMap<String, u64>,
    /// Null while nobody knows them.
    errors: Option<Vec<ErrorAnswer>>,
    endpoint: Option<String>,
    /// When requests come to it, as a sentence; null where they come.
    coming: Option<String>,
    /// Null where one may be asked for.
    practice_refused: Option<PracticeRefused>,
    due: Due,
    /// Of the round; null before a generator has said anything.
    validity: Option<ValidityNow>,
    frozen: bool,
    /// What stands first on the page.
    health: Health,
    /// The round that is played or was the last, line by line; null when its results are among those of the past.
    ledger: Option<LedgerRound>,
    /// Another one when something of earlier rounds, adjustments or rulings has changed.
    ledger_version: String,
    /// How it fares in a breakpoint phase, step by step; null where there is none.
    climb: Option<ClimbCard>,
}

/// What came in each second of a round: `?round=` by its number, or the newest. Ten minutes of it: from `?from=`, in
/// milliseconds, or the last ones.
#[handler]
pub async fn my_seconds(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let user = asked::contestant(req, depot, &app).await?;
    let (round, from) = (req.query::<u32>("round"), req.query::<u64>("from").map(UtcUs::from_ms));
    let window = past::window(&app, &UserKey::of_user(user.id.0), round, from).await?;
    res.render(Json(window));
    Ok(())
}

#[handler]
pub async fn me(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let user = asked::contestant(req, depot, &app).await?;
    let owner = Owner::of(&app, &user).await;
    let headers: BTreeMap<_, _> = owner::headers(&owner).into_iter().map(|header| (header.name, header)).collect();
    let now = app.now();
    let endpoint = app.accounts.endpoint_of(user.id).await?.map(|endpoint| endpoint.endpoint);
    let pending = app.controller.requests().pending(Some(user.id), now);
    res.render(Json(MeAnswer {
        points: owner.points,
        beside_practice: owner.beside_practice,
        rank: owner.rank,
        gap_ahead: owner.gaps.0,
        gap_behind: owner.gaps.1,
        of: owner.of,
        rows: headers.clone(),
        headers,
        failures: owner::failures(&owner).into_iter().map(|failure| (failure.kind, failure.count)).collect(),
        errors: owner.errors.as_ref().map(|errors| errors.iter().map(ErrorAnswer::from).collect()),
        coming: app.controller.arrival(user.id, endpoint.is_some(), now),
        endpoint,
        practice_refused: practice_refused(&app, &pending),
        due: Due::of(app.feed.seen().control.as_deref(), now),
        validity: app.feed.validity(&Audience::Public),
        frozen: owner.frozen_at.is_some(),
        health: owner::health(&app, &user, &owner, &viewer).await?,
        ledger: owner::ledger_now(&app, &owner),
        ledger_version: owner::ledger_version(&app, &owner),
        climb: owner.climb,
    }));
    Ok(())
}
