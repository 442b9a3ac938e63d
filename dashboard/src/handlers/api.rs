//! What scripts ask for. Scores come from the live feed alone, for the audience that asks.

use crate::app::App;
use crate::error::RequestError;
use crate::handlers::asked::{self, audience};
use crate::handlers::convert::ErrorAnswer;
use crate::handlers::owner::{self, Owner};
use crate::handlers::standings::StandingsAnswer;
use crate::live::{Audience, Due, ValidityNow};
use crate::views::index::HeaderCount;
use salvo::http::{HeaderValue, header};
use salvo::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

#[handler]
pub async fn standings_now(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    res.render(Json(StandingsAnswer::of(&app, &audience)));
    Ok(())
}

#[handler]
pub async fn history_since(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    let since = req.query::<u64>("since").unwrap_or(0).saturating_mul(1_000);
    let step = req.query::<u64>("step").unwrap_or(1);
    let body = app.feed.history(&audience, since, step).await;
    res.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    res.body(salvo::http::ResBody::Once(body));
    Ok(())
}

/// The answer of `/api/me`: a contestant's own figures.
#[derive(Debug, Serialize)]
struct MeAnswer {
    points: i64,
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
    due: Due,
    /// Of the round; null before a generator has said anything.
    validity: Option<ValidityNow>,
    frozen: bool,
}

#[handler]
pub async fn me(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let user = asked::contestant(req, depot, &app).await?;
    let owner = Owner::of(&app, &user).await;
    let headers: BTreeMap<_, _> = owner::headers(&owner).into_iter().map(|header| (header.name, header)).collect();
    res.render(Json(MeAnswer {
        points: owner.points,
        rank: owner.rank,
        gap_ahead: owner.gaps.0,
        gap_behind: owner.gaps.1,
        of: owner.of,
        rows: headers.clone(),
        headers,
        failures: owner::failures(&owner).into_iter().map(|failure| (failure.kind, failure.count)).collect(),
        errors: owner.errors.as_ref().map(|errors| errors.iter().map(ErrorAnswer::from).collect()),
        endpoint: app.accounts.endpoint_of(user.id).await?.map(|endpoint| endpoint.endpoint),
        due: Due::of(app.feed.seen().control.as_deref(), app.now()),
        validity: app.feed.validity(&Audience::Public),
        frozen: owner.frozen,
    }));
    Ok(())
}
