//! What was: reads from the database what an instant or a round was, for whom it may be shown.

use crate::app::App;
use crate::error::RequestError;
use crate::live::clock::utc_ms;
use crate::live::past::{Second, Window};
use crate::live::{Audience, PlayedRound, Standing, UserKey, Visibility, past};
use flowtest_contest::Control;
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;

/// Movement looks back so far.
const MINUTE_US: u64 = 60_000_000;
/// Instants in the lines of a round, about.
const INSTANTS: u64 = 600;
/// A strip of seconds is so long.
const WINDOW_US: u64 = 600_000_000;

/// What frames tell the public, its owner is told too: own points during a freeze are on the own page.
fn class(audience: &Audience) -> Audience {
    match audience {
        Audience::Admin => Audience::Admin,
        Audience::Public | Audience::Owner(_) => Audience::Public,
    }
}

/// What it saw at an instant.
fn visibility(app: &App, audience: &Audience, now: UtcUs) -> Visibility {
    crate::live::audience::visibility(&class(audience), &app.feed.facts().freeze_then(now), now)
}

/// The frame of an instant, no later than this audience may see, with the standings that it saw then.
pub async fn frame(app: &App, audience: &Audience, at: UtcUs) -> Result<String, RequestError> {
    let now = app.now();
    let at = at.min(now).min(visibility(app, audience, now).until().unwrap_or(UtcUs::MAX));
    let facts = app.feed.facts();
    let then = visibility(app, audience, at);
    let seen_at = then.until().unwrap_or(at);
    let found = row_at(app, seen_at).await?;
    let before = match &found {
        Some((round, _)) => app.accounts.history_at(*round, seen_at.saturating_sub(MINUTE_US)).await?,
        None => None,
    };
    let control = control_then(app, at).await?;
    let row = found.map(|(_, row)| row);
    Ok(past::frame(at, control.as_ref(), &facts, &then, row, before, &app.feed.gaps()))
}

/// The newest row that is not later than an instant, with its round.
async fn row_at(app: &App, at: UtcUs) -> Result<Option<(RoundId, past::KeptRow)>, RequestError> {
    let rounds = app.accounts.rounds().await?;
    for round in rounds.iter().rev().filter(|round| round.start_at.is_some_and(|start| start <= at)) {
        if let Some(row) = app.accounts.history_at(round.id, at).await? {
            return Ok(Some((round.id, row)));
        }
    }
    Ok(None)
}

/// What everybody saw at a freeze, also when it is over or was taken back: a show that has begun goes on from there.
pub async fn frozen(app: &App, at: UtcUs) -> Result<Vec<Standing>, RequestError> {
    let facts = app.feed.facts();
    if let Some(held) = facts.freeze.at.filter(|held| utc_ms(*held) == utc_ms(at)) {
        return Ok(app.feed.frozen_standings(held).lines);
    }
    let row = row_at(app, at).await?.map(|(_, row)| row);
    Ok(past::public_standings(app.feed.seen().control.as_deref(), &facts, row).lines)
}

/// The lines of one round, by its number.
pub async fn history(app: &App, audience: &Audience, number: u32) -> Result<String, RequestError> {
    let now = app.now();
    let visibility = visibility(app, audience, now);
    let round = app.accounts.rounds().await?.into_iter().find(|round| round.number == number);
    let round = round.ok_or(RequestError::NotFound)?;
    let start_at = round.start_at.ok_or(RequestError::NotFound)?;
    let facts = app.feed.facts();
    let known = facts.rounds.iter().find(|one| one.id == round.id).cloned();
    let (id, scored, marks) = (round.id, round.scored, [].into());
    let on = || PlayedRound { id, number, scored, start_at, end_at: now, settled_at: now, marks };
    let span = known.unwrap_or_else(on);
    let step_us = (span.end_at.saturating_since(start_at) / INSTANTS).max(1_000_000);
    let rows = app.accounts.history(round.id, start_at, span.settled_at.saturating_add(1), step_us).await?;
    let control = control_then(app, span.end_at).await?;
    // Hundreds of rows of hundreds of lines: not on a thread that serves others.
    let gaps = app.feed.gaps();
    let write = move || past::history(rows, step_us / 1_000_000, control.as_ref(), &facts, &visibility, &span, &gaps);
    let written = tokio::task::spawn_blocking(write).await;
    written.map_err(|error| RequestError::Internal(format!("round {number} from {}: {error}", utc_ms(start_at))))
}

/// The whole of the newest round of one contestant, in pieces of a second or more.
pub async fn seconds(app: &App, id: &UserKey) -> Result<Vec<Second>, RequestError> {
    let newest = app.accounts.rounds().await?.into_iter().next_back();
    let Some((round, start_at)) = newest.and_then(|round| Some((round.id, round.start_at?))) else {
        return Ok(Vec::new());
    };
    let (end_at, settled_at) = ends(app, round);
    let step_us = (end_at.saturating_since(start_at) / INSTANTS).max(1_000_000);
    let rows = app.accounts.history(round, start_at, settled_at.saturating_add(1), step_us).await?;
    seconds_of(None, rows, id).await
}

/// Whole seconds of one contestant: of the round with this number, or of the newest; from an instant on, or the last of them.
pub async fn window(app: &App, id: &UserKey, number: Option<u32>, from: Option<UtcUs>) -> Result<Window, RequestError> {
    let rounds = app.accounts.rounds().await?;
    let round = match number {
        Some(number) => rounds.into_iter().find(|round| round.number == number).ok_or(RequestError::NotFound)?,
        None => match rounds.into_iter().next_back() {
            Some(round) => round,
            None => return Ok(Window::default()),
        },
    };
    let Some(start_at) = round.start_at else { return Ok(Window::default()) };
    let end_at = ends(app, round.id).1.max(start_at);
    let newest = end_at.saturating_sub(WINDOW_US).max(start_at);
    let from = from.map_or(newest, |from| from.clamp(start_at, newest));
    let until = end_at.min(from.saturating_add(WINDOW_US));
    // Every row: of a second that is left out nobody would learn how slow it was.
    let rows = app.accounts.history(round.id, from, until.saturating_add(1), 0).await?;
    let before = match from > start_at {
        true => app.accounts.history_at(round.id, from.saturating_sub(1)).await?,
        false => None,
    };
    let seconds = seconds_of(before, rows, id).await?;
    let [start_at_ms, end_at_ms, from_ms, until_ms] = [start_at, end_at, from, until].map(utc_ms);
    Ok(Window { start_at_ms, end_at_ms, from_ms, until_ms, seconds })
}

/// When a round ended, and when its last answers were on the board; now, while it is on.
fn ends(app: &App, round: RoundId) -> (UtcUs, UtcUs) {
    let known = app.feed.facts().rounds.iter().find(|one| one.id == round).map(|one| (one.end_at, one.settled_at));
    let now = app.now();
    known.unwrap_or((now, now))
}

/// Read on a thread that serves nobody else.
async fn seconds_of(
    before: Option<past::KeptRow>,
    rows: Vec<past::KeptRow>,
    id: &UserKey,
) -> Result<Vec<Second>, RequestError> {
    let id = id.clone();
    let read = tokio::task::spawn_blocking(move || past::seconds_of(before.as_ref(), &rows, &id)).await;
    read.map_err(|error| RequestError::Internal(format!("the seconds of a contestant: {error}")))
}

/// The document that was in force.
pub async fn control_then(app: &App, at: UtcUs) -> Result<Option<Control>, RequestError> {
    let saved = app.accounts.control_then(at).await?;
    Ok(saved.and_then(|saved| Control::from_json(&saved.document).ok()))
}
