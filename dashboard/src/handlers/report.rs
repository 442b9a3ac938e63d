//! The contest on one page that stands alone, as an organiser keeps it.

use crate::app::App;
use crate::control::house_results;
use crate::error::RequestError;
use crate::handlers::download::{attach, note};
use crate::handlers::{convert, frame};
use crate::live::clock::utc_ms;
use crate::live::past::{self, Second};
use crate::live::window::Count;
use crate::live::{Audience, Standing, UserKey};
use crate::views::climb::ClimbCard;
use crate::views::curve::{self, Curves, Mark, Series};
use crate::views::report::{ReportAdjustment, ReportLine, ReportRound, ReportTeam};
use crate::views::strip::{Span, Strip};
use crate::views::{ReportPage, format};
use flowtest_accounts::{Adjustment, Round, RoundResult, User};
use flowtest_contest::climbed::Climbed;
use flowtest_contest::contest::{Load, Phase};
use flowtest_contest::ladder::Pass;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::{Deadline, UtcUs};
use flowtest_contract::utc_us;
use flowtest_contract::{Failure, Row, Tally};
use salvo::http::{HeaderValue, header};
use salvo::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;

/// Lines in the picture; the table names everybody.
const CURVES_MAX: usize = format::COLOURS;
/// Pieces of a strip of seconds.
const SPANS: usize = 120;
/// The picture is not wider than this many points.
const STEP_S: u64 = 5;

#[handler]
pub async fn download(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    note(&app, depot, "report").await?;
    let standings = app.feed.standings(&Audience::Admin).lines;
    let history = app.feed.history(&Audience::Admin, UtcUs::EPOCH, STEP_S).await;
    let history: Value = serde_json::from_slice(&history)
        .map_err(|error| RequestError::Internal(format!("the history is no JSON: {error}")))?;
    let Picture { from_ms, until_ms, curves } = picture(&history, &standings);
    let users = app.accounts.users().await?;
    let stored = app.accounts.rounds().await?;
    let counted: Vec<&Round> = stored.iter().filter(|round| round.counts() && round.finished_at.is_some()).collect();
    let mut of_rounds: BTreeMap<UserKey, Vec<Option<i64>>> = BTreeMap::new();
    let (_, house) = house_results(&app.accounts).await?;
    let mut rounds = Vec::new();
    for round in &stored {
        let results = app.accounts.results_of(round.id).await?;
        if let Some(index) = counted.iter().position(|one| one.id == round.id) {
            for result in &results {
                let line = of_rounds.entry(UserKey::of_user(result.user.0)).or_default();
                line.resize(counted.len(), None);
                line[index] = Some(result.points);
            }
        }
        let house_failures = house.get(&round.id).map(|house| house.failures);
        rounds.push(ReportRound { house_failures, ..round_of(&app, round, &results, &users).await? });
    }
    let adjustments = app.accounts.adjustments().await?;
    let sums = app.feed.facts().adjustments.clone();
    let has_climbs = standings.iter().any(|line| line.figures.holds.is_some());
    let open = open_round(&app);
    let lines = standings.into_iter().map(|standing| {
        let id = &standing.contestant.id;
        let mut rounds = of_rounds.remove(id).unwrap_or_else(|| vec![None; counted.len()]);
        let adjusted = sums.get(id).copied().unwrap_or(0);
        if open.is_some() {
            let sealed = rounds.iter().flatten().fold(adjusted, |sum, points| sum.saturating_add(*points));
            rounds.push(Some(standing.figures.points.saturating_sub(sealed)));
        }
        ReportLine { rounds, adjusted, standing }
    });
    let page = ReportPage {
        title: app.title(),
        contest: app.config.contest.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at_ms: utc_ms(utc_us()),
        rules: app.feed.seen().control.as_ref().map(|control| control.contest.rules).unwrap_or_default(),
        standings: lines.collect(),
        has_climbs,
        counted: counted.iter().map(|round| round.number).collect(),
        open,
        from_ms,
        until_ms,
        curves,
        rounds,
        adjustments: adjustments.iter().map(|one| adjustment(one, &users)).collect(),
    };
    res.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(ReportPage::POLICY));
    attach(res, "flowtest-report.html");
    frame::show(res, page)
}

/// The curves of those who rank first, and from when to when they go.
struct Picture {
    from_ms: i64,
    until_ms: i64,
    curves: Curves,
}

fn picture(history: &Value, standings: &[Standing]) -> Picture {
    let at_ms: Vec<i64> = history["t"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let series: Vec<Series> = standings
        .iter()
        .filter(|line| line.rank.is_some())
        .take(CURVES_MAX)
        .enumerate()
        .map(|(index, line)| Series {
            display_name: line.contestant.display_name.clone(),
            // No two of them have the same.
            colour: index as u32,
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
    let played = axis(history);
    Picture {
        from_ms: played.first().map(|span| span.from_ms).or(at_ms.first().copied()).unwrap_or(0),
        until_ms: played.last().map(|span| span.to_ms).or(at_ms.last().copied()).unwrap_or(0),
        curves: Curves::of(&at_ms, &series, &marks, &invalid, &played),
    }
}

/// The number of the round whose points stand on the board before its results are kept.
fn open_round(app: &App) -> Option<u32> {
    let (seen, facts) = (app.feed.seen(), app.feed.facts());
    let control = seen.control.as_ref().filter(|control| control.scored)?;
    let is_on = !matches!(control.state, State::Draft | State::Aborted);
    let round = control.round.filter(|round| is_on && !facts.carried.has(round))?;
    facts.numbers.get(&round).copied()
}

fn mark(mark: &Value) -> Option<Mark> {
    let is_deadline = matches!(mark["kind"].as_str(), Some("version" | "from"));
    Some(Mark { at_ms: mark["at"].as_i64()?, label: mark["label"].as_str()?.to_owned(), is_deadline })
}

/// The rounds that count, or the last one where none does, as on the page.
fn axis(history: &Value) -> Vec<curve::Span> {
    let rounds = || history["rounds"].as_array().into_iter().flatten();
    let span = |round: &Value| {
        let of = |name: &str| round[name].as_i64();
        // A row of the history may come a step later than what it tells; no round begins so soon after another.
        let settled_ms = of("settled_at")? + STEP_S as i64 * 1_000;
        let (from_ms, to_ms) = (of("start_at")?, of("end_at")?);
        Some(curve::Span { name: format!("Round {}", of("number")?), from_ms, to_ms, settled_ms })
    };
    let counted: Vec<_> = rounds().filter(|round| round["scored"] == true).filter_map(span).collect();
    if counted.is_empty() { rounds().next_back().and_then(span).into_iter().collect() } else { counted }
}

/// What the report says of one round: results, the plan of then, and everybody's seconds as they were kept.
async fn round_of(
    app: &App,
    round: &Round,
    results: &[RoundResult],
    users: &[User],
) -> Result<ReportRound, RequestError> {
    let played = app.feed.facts().rounds.iter().find(|one| one.id == round.id).cloned();
    let now = app.now();
    let (end_at, settled_at) = played.as_ref().map_or((now, now), |one| (one.end_at, one.settled_at));
    let saved = app.accounts.control_then(end_at).await?;
    let control = saved.and_then(|saved| Control::from_json(&saved.document).ok());
    let control = control.filter(|control| control.round == Some(round.id));
    let mut seconds = BTreeMap::new();
    if let Some(start_at) = round.start_at {
        let step_us = (end_at.saturating_since(start_at) / SPANS as u64).max(1_000_000);
        let rows = app.accounts.history(round.id, start_at, settled_at.saturating_add(1), step_us).await?;
        let read = tokio::task::spawn_blocking(move || past::seconds(rows)).await;
        seconds = read.map_err(|error| RequestError::Internal(format!("the seconds of a round: {error}")))?;
    }
    // Results of before do not say what a step had to reach.
    let by_plan = control.as_ref().and_then(|control| control.contest.counted_pass());
    let pass = by_plan.unwrap_or(Pass { verified: 0.0, p99_us: 0 });
    let span = (utc_ms(round.start_at.unwrap_or_default()), utc_ms(end_at));
    let team = |result: &RoundResult| {
        let row = Row::decode(&result.row).unwrap_or_default();
        let kinds = Failure::ALL.into_iter().filter(|kind| *kind != Failure::OwnFault);
        let failures = kinds.map(|kind| (kind.name(), row.tally.failure(kind))).filter(|(_, count)| *count > 0);
        let own = seconds.get(&UserKey::of_user(result.user.0));
        let climbed: Option<Climbed> = result.climb.as_deref().and_then(|text| serde_json::from_str(text).ok());
        ReportTeam {
            display_name: display_name(users, result.user),
            points: result.points,
            verified: verified(&row.tally, own.map_or(&[], Vec::as_slice)),
            answered: row.tally.responses(),
            failures: failures.collect(),
            void: row.tally.own_fault,
            p99_us: result.p99_us,
            seconds: own.map(|own| Strip::of(&spans(own, span))),
            climb: climbed.map(|climbed| ClimbCard::of(&climbed, climbed.message(), &climbed.pass.unwrap_or(pass))),
        }
    };
    Ok(ReportRound {
        number: round.number,
        state: convert::round_state(round),
        scored: round.scored,
        start_at_ms: round.start_at.map(utc_ms),
        end_at_ms: played.map(|one| utc_ms(one.end_at)),
        sealed_at_ms: round.finished_at.map(utc_ms),
        deadlines: control.as_ref().map(|control| deadlines(control, end_at)).unwrap_or_default(),
        phases: control.iter().flat_map(|control| control.contest.phases.iter().map(phase)).collect(),
        teams: results.iter().map(team).collect(),
        validity: round.validity(),
        house_failures: None,
        ruling: round.ruling,
    })
}

/// With all three headers right, at most: as the seconds say, and of the answers that none of them tells of, all that the totals
/// allow. Whoever was wrong in one header in one second and in another in the next has totals that hide it.
fn verified(tally: &Tally, seconds: &[Second]) -> u64 {
    let total = Count::of(tally);
    let sum = |of: fn(&Second) -> u64| seconds.iter().map(of).fold(0, u64::saturating_add);
    let (verified, wrong) = (sum(|second| second.verified), sum(|second| second.wrong));
    let untold = total.responses.saturating_sub(verified.saturating_add(wrong));
    total.verified().min(verified.saturating_add(untold))
}

/// Spans of equal length from the start of a round to its end.
pub(super) fn spans(seconds: &[Second], (start_ms, end_ms): (i64, i64)) -> Vec<Span> {
    let length = (end_ms - start_ms).max(1);
    // A round shorter than that has a span for each second.
    let count = SPANS.min(usize::try_from(length / 1_000).unwrap_or(SPANS).max(1));
    let mut spans = vec![Span::default(); count];
    for second in seconds {
        let at = (second.at_ms - start_ms).clamp(0, length - 1);
        let span = &mut spans[(at * count as i64 / length) as usize];
        span.verified = span.verified.saturating_add(second.verified);
        span.wrong = span.wrong.saturating_add(second.wrong);
        span.failed = span.failed.saturating_add(second.failed);
    }
    spans
}

fn deadlines(control: &Control, at: UtcUs) -> Vec<(&'static str, i64)> {
    let deadlines = control.timeline.deadlines_at(&control.contest, at);
    let all = [("Version becomes v2", deadlines.version), ("From becomes ECS", deadlines.from)];
    let known = |deadline: &Deadline| ![Deadline::PASSED, Deadline::NEVER].contains(deadline);
    all.into_iter().filter(|(_, deadline)| known(deadline)).map(|(what, deadline)| (what, utc_ms(deadline.0))).collect()
}

/// `10:00 at 200 to 4000 a second, 64 connections`.
fn phase(phase: &Phase) -> String {
    let load = match phase.load {
        Load::Open { from, to } if from == to => format!("at {from} a second"),
        Load::Open { from, to } => format!("at {from} to {to} a second"),
        Load::Breakpoint(climb) => {
            format!(
                "climbing from {} to {} a second at the most, until it breaks",
                climb.ladder.start, climb.ladder.max
            )
        }
        Load::Closed { pipeline } => format!("as fast as answers come, {pipeline} in flight on each connection"),
    };
    let length = format::duration(phase.duration_us.div_ceil(1_000_000));
    let scored = if phase.scored { "" } else { ", not scored" };
    format!("{length} {load}, {}{scored}", format::plural(phase.connections as usize, "connection", "connections"))
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
