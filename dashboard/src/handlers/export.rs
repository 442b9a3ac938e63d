//! Files to take away. They hold what their reader may see, like every page.

use crate::app::App;
use crate::control::house_results;
use crate::error::RequestError;
use crate::handlers::asked::{audience, contestant};
use crate::handlers::download::{Table, attach, instant, note, number, text};
use crate::handlers::standings::{COLUMNS, Line, NOT_VALID, StandingsAnswer, not_valid};
use crate::live::Audience;
use crate::live::clock::utc_ms;
use flowtest_contract::RoundValidity;
use flowtest_contract::rules::UtcUs;
use salvo::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

#[handler]
pub async fn standings_csv(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    let standings = app.feed.standings(&audience).of_category(category(req).as_deref());
    let not_valid = text(&not_valid(&app.feed.facts().not_valid, app.feed.validity(&audience).as_ref()));
    let head: Vec<&str> = COLUMNS.into_iter().chain([NOT_VALID]).collect();
    let mut table = Table::new(&head);
    for standing in standings.lines {
        let mut row = Line::from(standing).cells();
        row.push(not_valid.clone());
        table.row(&row);
    }
    note(&app, depot, "standings").await?;
    table.send(res, "standings.csv")
}

#[handler]
pub async fn standings_json(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    attach(res, "standings.json");
    res.render(Json(StandingsAnswer::of(&app, &audience, category(req).as_deref())));
    note(&app, depot, "standings").await
}

#[handler]
pub async fn history_csv(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    let step = req.query::<u64>("step").unwrap_or(1);
    let body = app.feed.history(&audience, UtcUs::EPOCH, step).await;
    let history: Value = serde_json::from_slice(&body)
        .map_err(|error| RequestError::Internal(format!("the history is no JSON: {error}")))?;
    let names = names(&app, &audience, category(req).as_deref());
    let mut table = Table::new(&["at", "id", "name", "points", "valid"]);
    let instants = history["t"].as_array().cloned().unwrap_or_default();
    let invalid: BTreeSet<i64> =
        history["invalid"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    for (key, points) in history["points"].as_object().into_iter().flatten() {
        let name = names.iter().find(|(id, _)| id == key).map(|(_, name)| name.as_str());
        if name.is_none() && category(req).is_some() {
            continue;
        }
        let name = name.unwrap_or_default();
        for (at, points) in instants.iter().zip(points.as_array().into_iter().flatten()) {
            if let (Some(at), Some(points)) = (at.as_i64(), points.as_i64()) {
                let valid = !invalid.contains(&at);
                table.row(&[instant(at), text(key), text(name), points.to_string(), valid.to_string()]);
            }
        }
    }
    note(&app, depot, "history").await?;
    table.send(res, "history.csv")
}

/// How much of each round is valid, and what the house lost in it. Cells of what is not known are empty.
#[handler]
pub async fn rounds_csv(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let head = [
        "number",
        "state",
        "scored",
        "start_at",
        "end_at",
        "seconds",
        "valid_seconds",
        "due",
        "void",
        "valid",
        "ruling",
        "late_ms",
        "house_failures",
    ];
    let mut table = Table::new(&head);
    let (_, house) = house_results(&app.accounts).await?;
    for round in app.accounts.rounds().await? {
        let validity = round.validity();
        let of = |figure: fn(RoundValidity) -> u64| number(validity.map(figure));
        table.row(&[
            round.number.to_string(),
            text(&round.state),
            round.scored.to_string(),
            instant(round.start_at.map(utc_ms)),
            instant(round.finished_at.map(utc_ms)),
            of(|validity| validity.seconds),
            of(|validity| validity.valid_seconds),
            of(|validity| validity.due),
            of(|validity| validity.void),
            number(validity.map(|validity| validity.is_valid())),
            number(round.ruling),
            of(|validity| validity.late_ms),
            number(house.get(&round.id).map(|house| house.failures)),
        ]);
    }
    note(&app, depot, "rounds").await?;
    table.send(res, "rounds.csv")
}

#[handler]
pub async fn errors_csv(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let user = contestant(req, depot, &app).await?;
    let key = crate::live::UserKey::of_user(user.id.0);
    let errors = app.feed.errors(key.as_str()).await.map_err(|error| RequestError::Redis(error.to_string()))?;
    // `sentence` is what 0.1 called the message; it goes with 0.3.
    let head = ["at", "kind", "message", "expected", "received", "request", "response", "sentence"];
    let mut table = Table::new(&head);
    for error in &errors {
        let (message, request, response) = (&error.message, &error.request, &error.response);
        let texts = [&error.kind, message, &error.expected, &error.received, request, response, message];
        let mut row = vec![instant(utc_ms(error.at))];
        row.extend(texts.map(|value| text(value)));
        table.row(&row);
    }
    table.send(res, "errors.csv")
}

/// The category of teams that is asked for.
fn category(req: &mut Request) -> Option<String> {
    req.query::<String>("category").filter(|category| !category.is_empty())
}

fn names(app: &App, audience: &Audience, category: Option<&str>) -> Vec<(String, String)> {
    let standings = app.feed.standings(audience).of_category(category);
    standings.lines.iter().map(|line| (line.contestant.id.to_string(), line.contestant.name.clone())).collect()
}
