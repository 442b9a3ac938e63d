//! Files to take away. They hold what their reader may see, like every page.

use crate::app::App;
use crate::clock::{utc_ms, utc_us};
use crate::error::Failure;
use crate::handlers::owner::owner_asked;
use crate::handlers::{api, audience, report};
use crate::live::Audience;
use crate::live::frame::decided;
use crate::middleware::viewer::Viewer;
use salvo::http::{HeaderValue, header};
use salvo::prelude::*;
use serde_json::Value;

/// The audience of a file: an admin may ask for what the public sees.
fn asked(req: &mut Request, depot: &Depot) -> Audience {
    if req.query::<String>("as").as_deref() == Some("public") { Audience::Public } else { audience(depot) }
}

#[handler]
pub async fn standings_csv(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let standings = app.feed.standings(&asked(req, depot));
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
pub async fn standings_json(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let audience = asked(req, depot);
    attach(res, "standings.json");
    res.render(Json(api::standings_json(&app, &audience)));
    note(&app, depot, "standings").await
}

#[handler]
pub async fn history_csv(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let audience = asked(req, depot);
    let step = req.query::<u64>("step").unwrap_or(1);
    let body = app.feed.history(&audience, 0, step).await;
    let history: Value =
        serde_json::from_slice(&body).map_err(|error| Failure::Internal(format!("the history is no JSON: {error}")))?;
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
pub async fn errors_csv(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let user = owner_asked(req, depot, &app).await?;
    let key = crate::live::UserKey::of_user(user.id.0);
    let errors = app.feed.errors(key.as_str()).await.map_err(|error| Failure::Unavailable(error.to_string()))?;
    let mut table = Table::new(&["at", "kind", "sentence", "expected", "received", "request", "response"]);
    for error in &errors {
        let texts = [&error.kind, &error.sentence, &error.expected, &error.received, &error.request, &error.response];
        let mut row = vec![instant(utc_ms(error.at))];
        row.extend(texts.map(|value| text(value)));
        table.row(&row);
    }
    table.send(res, "errors.csv")
}

/// The contest on one page that stands alone.
#[handler]
pub async fn whole_report(depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    note(&app, depot, "report").await?;
    report::send(&app, res).await
}

fn names(app: &App, audience: &Audience) -> Vec<(String, String)> {
    let standings = app.feed.standings(audience);
    standings.lines.iter().map(|line| (line.person.key.to_string(), line.person.name.clone())).collect()
}

/// Says in the audit log who took what.
async fn note(app: &App, depot: &Depot, what: &'static str) -> Result<(), Failure> {
    let viewer = Viewer::of(depot)?;
    Ok(app.accounts.note("export", what, None, &viewer.actor, utc_us()).await?)
}

/// A table that a spreadsheet opens without running anything in it.
struct Table(csv::Writer<Vec<u8>>);

impl Table {
    fn new(head: &[&str]) -> Table {
        let mut table = Table(csv::Writer::from_writer(Vec::new()));
        // Writing to memory does not fail, and all rows are as long as the head.
        let _ = table.0.write_record(head);
        table
    }

    fn row(&mut self, cells: &[String]) {
        let _ = self.0.write_record(cells);
    }

    fn send(self, res: &mut Response, name: &str) -> Result<(), Failure> {
        let bytes = self.0.into_inner().map_err(|error| Failure::Internal(format!("a table: {error}")))?;
        attach(res, name);
        res.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
        res.body(salvo::http::ResBody::Once(bytes.into()));
        Ok(())
    }
}

fn attach(res: &mut Response, name: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        res.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
}

/// Text of people in a cell. Spreadsheets run what begins like a formula, so that gets an apostrophe before it.
pub fn text(value: &str) -> String {
    match value.trim_start().chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{value}"),
        _ if value.starts_with(['\t', '\r', '\n']) => format!("'{value}"),
        _ => value.to_owned(),
    }
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Milliseconds of UTC as RFC 3339.
fn instant(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_cell_is_run() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1"] {
            assert!(text(formula).starts_with('\''), "{formula:?}");
        }
        for plain in ["alice", "a=b", "1-2", ""] {
            assert_eq!(text(plain), plain);
        }
    }
}
