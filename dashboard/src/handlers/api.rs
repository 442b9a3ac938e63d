//! What scripts ask for. Scores come from the live feed alone, for the audience that asks.

use crate::app::App;
use crate::clock::{utc_ms, utc_us};
use crate::error::RequestError;
use crate::handlers::asked::{self, audience};
use crate::handlers::convert;
use crate::handlers::owner::{self, Owner};
use crate::live::round_now::Due;
use flowtest_scoreboard::ExplainedError;
use salvo::http::{HeaderValue, header};
use salvo::prelude::*;
use serde_json::{Value, json};

#[handler]
pub async fn standings_now(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    res.render(Json(convert::standings_json(&app, &audience)));
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

/// A contestant's own figures. `errors` is null while nobody knows them. `at` is the older name of `at_ms`.
#[handler]
pub async fn me(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let user = asked::contestant(req, depot, &app).await?;
    let owner = Owner::of(&app, &user).await;
    let seen = app.feed.seen();
    let due = Due::of(seen.control.as_deref(), utc_us());
    let error = |error: &ExplainedError| {
        json!({
            "at": utc_ms(error.at), "at_ms": utc_ms(error.at), "kind": error.kind, "sentence": error.sentence, "expected": error.expected,
            "received": error.received, "request": convert::with_line_breaks(&error.request),
            "response": convert::with_line_breaks(&error.response),
        })
    };
    let errors: Option<Vec<Value>> = owner.errors.as_ref().map(|errors| errors.iter().map(error).collect());
    let rows: serde_json::Map<String, Value> = owner::headers(&owner)
        .into_iter()
        .map(|header| {
            let counts = json!({ "right": header.right, "wrong": header.wrong, "points": header.points });
            (header.name.to_owned(), counts)
        })
        .collect();
    let failures: serde_json::Map<String, Value> =
        owner::failures(&owner).into_iter().map(|failure| (failure.kind, failure.count.into())).collect();
    res.render(Json(json!({
        "points": owner.points, "rank": owner.rank, "gap_ahead": owner.gaps.0, "gap_behind": owner.gaps.1,
        "of": owner.of, "rows": rows, "failures": failures, "errors": errors,
        "endpoint": app.accounts.endpoint_of(user.id).await?.map(|endpoint| endpoint.endpoint),
        "due": due, "frozen": owner.frozen,
    })));
    Ok(())
}
