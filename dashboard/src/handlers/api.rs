//! What scripts ask for. Scores come from the live feed alone, for the audience that asks.

use crate::app::App;
use crate::clock::{utc_ms, utc_us};
use crate::error::Failure;
use crate::handlers::owner::{Owner, owner_asked};
use crate::handlers::{audience, convert, owner};
use crate::live::Audience;
use crate::live::frame::decided;
use crate::live::round_now::{Due, RoundNow};
use flowtest_scoreboard::ExplainedError;
use salvo::http::{HeaderValue, header};
use salvo::prelude::*;
use serde_json::{Value, json};

/// The audience of a request that may ask for what everybody sees.
fn asked(req: &mut Request, depot: &Depot) -> Audience {
    match req.query::<String>("as").as_deref() {
        Some("public") => Audience::Public,
        _ => audience(depot),
    }
}

#[handler]
pub async fn standings_now(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let audience = asked(req, depot);
    res.render(Json(standings_json(&app, &audience)));
    Ok(())
}

/// The standings as programs read them. Units are in the names.
pub fn standings_json(app: &App, audience: &Audience) -> Value {
    let standings = app.feed.standings(audience);
    let seen = app.feed.seen();
    let facts = app.feed.facts();
    let now = utc_us();
    let round = seen.control.as_deref().map(|control| RoundNow::of(control, &facts, now));
    let lines: Vec<Value> = standings
        .lines
        .iter()
        .map(|line| {
            json!({
                "id": line.person.key, "name": line.person.name, "shown": line.person.shown, "rank": line.rank,
                "moved": line.gained, "points": line.score.points, "points_last_minute": line.score.minute,
                "rate": line.score.rate, "success_permille": line.score.success, "p50_us": line.score.p50_us,
                "p99_us": line.score.p99_us, "failures": line.score.failures, "decided": line.decided.map(decided),
            })
        })
        .collect();
    json!({
        "contest": app.config.contest, "at": utc_ms(now), "of": utc_ms(standings.at), "round": round,
        "frozen": round.as_ref().is_some_and(|round| round.frozen_at.is_some() && !round.revealed),
        "standings": lines,
    })
}

#[handler]
pub async fn history_since(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let audience = asked(req, depot);
    let since = req.query::<u64>("since").unwrap_or(0).saturating_mul(1_000);
    let step = req.query::<u64>("step").unwrap_or(1);
    let body = app.feed.history(&audience, since, step).await;
    res.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    res.body(salvo::http::ResBody::Once(body));
    Ok(())
}

/// A contestant's own figures. `errors` is null while nobody knows them.
#[handler]
pub async fn me(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let user = owner_asked(req, depot, &app).await?;
    let owner = Owner::of(&app, &user).await;
    let seen = app.feed.seen();
    let due = Due::of(seen.control.as_deref(), utc_us());
    let error = |error: &ExplainedError| {
        json!({
            "at": utc_ms(error.at), "kind": error.kind, "sentence": error.sentence, "expected": error.expected,
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

/// The head of a page's round, for whoever asks outside the feed.
pub fn stage(app: &App) -> crate::views::Stage {
    let seen = app.feed.seen();
    let facts = app.feed.facts();
    let now = utc_us();
    let round = seen.control.as_deref().map(|control| RoundNow::of(control, &facts, now));
    let due = seen.control.as_deref().map(|control| Due::of(Some(control), now));
    crate::views::Stage {
        round: round.as_ref().map(convert::round_head),
        due: due.as_ref().map(convert::due),
        stale_since_ms: match seen.link {
            crate::live::frame::Link::Live => None,
            crate::live::frame::Link::Stale { since } => Some(utc_ms(since)),
        },
        ended: facts.ended,
    }
}
