//! The contest on one page that stands alone, as an organiser keeps it.

use crate::app::App;
use crate::clock::{utc_ms, utc_us};
use crate::error::RequestError;
use crate::handlers::download::{attach, note};
use crate::handlers::{convert, frame};
use crate::live::Audience;
use crate::views::ReportPage;
use crate::views::curve::{Curves, Mark, Series};
use crate::views::report::{ReportAdjustment, ReportRound};
use flowtest_accounts::{Adjustment, Round, RoundResult, User};
use salvo::http::{HeaderValue, header};
use salvo::prelude::*;
use serde_json::Value;

/// Lines in the picture; the table names everybody.
const CURVES_MAX: usize = 10;
/// The picture is not wider than this many points.
const STEP_S: u64 = 5;

#[handler]
pub async fn download(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    note(&app, depot, "report").await?;
    let standings = app.feed.standings(&Audience::Admin).lines;
    let history = app.feed.history(&Audience::Admin, 0, STEP_S).await;
    let history: Value = serde_json::from_slice(&history)
        .map_err(|error| RequestError::Internal(format!("the history is no JSON: {error}")))?;
    let at_ms: Vec<i64> = history["t"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let series: Vec<Series> = standings
        .iter()
        .take(CURVES_MAX)
        .map(|line| Series {
            display_name: line.contestant.display_name.clone(),
            colour: line.colour,
            points: history["points"][line.contestant.id.as_str()]
                .as_array()
                .into_iter()
                .flatten()
                .map(Value::as_i64)
                .collect(),
        })
        .collect();
    let marks: Vec<Mark> = history["marks"].as_array().into_iter().flatten().filter_map(mark).collect();
    let invalid: Vec<i64> = history["invalid"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let users = app.accounts.users().await?;
    let mut rounds = Vec::new();
    for round in app.accounts.rounds().await? {
        let results = app.accounts.results_of(round.id).await?;
        rounds.push(round_line(&round, &results, &users));
    }
    let adjustments = app.accounts.adjustments().await?;
    let page = ReportPage {
        contest: app.config.contest.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at_ms: utc_ms(utc_us()),
        rules: app.feed.seen().control.as_ref().map(|control| control.contest.rules).unwrap_or_default(),
        standings,
        from_ms: at_ms.first().copied().unwrap_or(0),
        until_ms: at_ms.last().copied().unwrap_or(0),
        curves: Curves::of(&at_ms, &series, &marks, &invalid),
        rounds,
        adjustments: adjustments.iter().map(|one| adjustment(one, &users)).collect(),
    };
    res.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(ReportPage::POLICY));
    attach(res, "flowtest-report.html");
    frame::show(res, page)
}

fn mark(mark: &Value) -> Option<Mark> {
    Some(Mark { at_ms: mark["at"].as_i64()?, label: mark["label"].as_str()?.to_owned() })
}

fn round_line(round: &Round, results: &[RoundResult], users: &[User]) -> ReportRound {
    ReportRound {
        number: round.number,
        state: convert::round_state(round),
        scored: round.scored,
        start_at_ms: round.start_at.map(utc_ms),
        end_at_ms: round.finished_at.map(utc_ms),
        points: results.iter().map(|result| (display_name(users, result.user), result.points)).collect(),
        validity: round.validity(),
        ruling: round.ruling,
    }
}

fn adjustment(adjustment: &Adjustment, users: &[User]) -> ReportAdjustment {
    ReportAdjustment {
        at_ms: utc_ms(adjustment.at),
        display_name: display_name(users, adjustment.user),
        points: adjustment.points,
        reason: adjustment.reason.clone(),
        withdrawn: adjustment.withdrawn_at.is_some(),
    }
}

fn display_name(users: &[User], id: flowtest_accounts::UserId) -> String {
    users.iter().find(|user| user.id == id).map_or_else(|| format!("u{}", id.0), |user| user.display_name.clone())
}
