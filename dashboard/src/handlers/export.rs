//! Files to take away. They hold what their reader may see, like every page.

use crate::app::App;
use crate::clock::utc_ms;
use crate::error::RequestError;
use crate::handlers::asked::{audience, contestant};
use crate::handlers::convert;
use crate::handlers::download::{Table, attach, instant, note, number, text};
use crate::live::Audience;
use crate::live::frame::decided;
use salvo::prelude::*;
use serde_json::Value;

#[handler]
pub async fn standings_csv(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let standings = app.feed.standings(&audience(req, depot));
    let head = [
        "rank",
        "name",
        "shown",
        "points",
        "points_last_minute",
        "rate",
        "success_permille",
        "p50_us",
        "p99_us",
        "failures",
        "decided",
    ];
    let mut table = Table::new(&head);
    for line in &standings.lines {
        let score = &line.score;
        table.row(&[
            number(line.rank),
            text(&line.person.name),
            text(&line.person.shown),
            score.points.to_string(),
            score.minute.to_string(),
            score.rate.to_string(),
            number(score.success),
            number(score.p50_us),
            number(score.p99_us),
            score.failures.to_string(),
            line.decided.map(decided).unwrap_or_default().to_owned(),
        ]);
    }
    note(&app, depot, "standings").await?;
    table.send(res, "standings.csv")
}

#[handler]
pub async fn standings_json(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    attach(res, "standings.json");
    res.render(Json(convert::standings_json(&app, &audience)));
    note(&app, depot, "standings").await
}

#[handler]
pub async fn history_csv(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let audience = audience(req, depot);
    let step = req.query::<u64>("step").unwrap_or(1);
    let body = app.feed.history(&audience, 0, step).await;
    let history: Value = serde_json::from_slice(&body)
        .map_err(|error| RequestError::Internal(format!("the history is no JSON: {error}")))?;
    let names = names(&app, &audience);
    let mut table = Table::new(&["at", "id", "name", "points"]);
    let instants = history["t"].as_array().cloned().unwrap_or_default();
    for (key, points) in history["points"].as_object().into_iter().flatten() {
        let name = names.iter().find(|(id, _)| id == key).map(|(_, name)| name.as_str()).unwrap_or_default();
        for (at, points) in instants.iter().zip(points.as_array().into_iter().flatten()) {
            if let (Some(at), Some(points)) = (at.as_i64(), points.as_i64()) {
                table.row(&[instant(at), text(key), text(name), points.to_string()]);
            }
        }
    }
    note(&app, depot, "history").await?;
    table.send(res, "history.csv")
}

#[handler]
pub async fn errors_csv(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let user = contestant(req, depot, &app).await?;
    let key = crate::live::UserKey::of_user(user.id.0);
    let errors = app.feed.errors(key.as_str()).await.map_err(|error| RequestError::Unavailable(error.to_string()))?;
    let mut table = Table::new(&["at", "kind", "sentence", "expected", "received", "request", "response"]);
    for error in &errors {
        let texts = [&error.kind, &error.sentence, &error.expected, &error.received, &error.request, &error.response];
        let mut row = vec![instant(utc_ms(error.at))];
        row.extend(texts.map(|value| text(value)));
        table.row(&row);
    }
    table.send(res, "errors.csv")
}

fn names(app: &App, audience: &Audience) -> Vec<(String, String)> {
    let standings = app.feed.standings(audience);
    standings.lines.iter().map(|line| (line.person.key.to_string(), line.person.name.clone())).collect()
}
