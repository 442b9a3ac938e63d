//! What was: reads from the database what an instant or a round was, for whom it may be shown.

use crate::app::App;
use crate::clock::utc_ms;
use crate::error::RequestError;
use crate::live::past::Second;
use crate::live::{Audience, PlayedRound, UserKey, Visibility, past};
use flowtest_contest::Control;
use flowtest_contract::rules::UtcUs;

/// Movement looks back so far.
const MINUTE_US: u64 = 60_000_000;
/// Instants in the lines of a round, about.
const INSTANTS: u64 = 600;

/// What frames tell the public, its owner is told too: own points during a freeze are on the own page.
fn class(audience: &Audience) -> Audience {
    match audience {
        Audience::Admin => Audience::Admin,
        Audience::Public | Audience::Owner(_) => Audience::Public,
    }
}

fn visibility(app: &App, audience: &Audience, now: UtcUs) -> Visibility {
    crate::live::audience::visibility(&class(audience), &app.feed.facts().freeze, now)
}

/// The frame of an instant, no later than this audience may see.
pub async fn frame(app: &App, audience: &Audience, at: UtcUs) -> Result<String, RequestError> {
    let now = app.now();
    let visibility = visibility(app, audience, now);
    let at = at.min(now).min(visibility.until().unwrap_or(UtcUs::MAX));
    let facts = app.feed.facts();
    let rounds = app.accounts.rounds().await?;
    let started = rounds.iter().rev().filter(|round| round.start_at.is_some_and(|start| start <= at));
    let (mut row, mut before) = (None, None);
    for round in started {
        row = app.accounts.history_at(round.id, at).await?;
        if row.is_some() {
            before = app.accounts.history_at(round.id, at.saturating_sub(MINUTE_US)).await?;
            break;
        }
    }
    let control = control_then(app, at).await?;
    Ok(past::frame(at, control.as_ref(), &facts, &visibility, row, before))
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
    let on = || PlayedRound { id: round.id, number, scored: round.scored, start_at, end_at: now, settled_at: now };
    let span = known.unwrap_or_else(on);
    let step_us = (span.end_at.saturating_since(start_at) / INSTANTS).max(1_000_000);
    let rows = app.accounts.history(round.id, start_at, span.settled_at.saturating_add(1), step_us).await?;
    let control = control_then(app, span.end_at).await?;
    // Hundreds of rows of hundreds of lines: not on a thread that serves others.
    let write = move || past::history(rows, step_us / 1_000_000, control.as_ref(), &facts, &visibility, &span);
    let written = tokio::task::spawn_blocking(write).await;
    written.map_err(|error| RequestError::Internal(format!("round {number} from {}: {error}", utc_ms(start_at))))
}

/// The seconds of one contestant: of the round with this number, or of the newest.
pub async fn seconds(app: &App, id: &UserKey, number: Option<u32>) -> Result<Vec<Second>, RequestError> {
    let rounds = app.accounts.rounds().await?;
    let round = match number {
        Some(number) => rounds.into_iter().find(|round| round.number == number).ok_or(RequestError::NotFound)?,
        None => match rounds.into_iter().next_back() {
            Some(round) => round,
            None => return Ok(Vec::new()),
        },
    };
    let Some(start_at) = round.start_at else { return Ok(Vec::new()) };
    let now = app.now();
    let known = app.feed.facts().rounds.iter().find(|one| one.id == round.id).cloned();
    let (end_at, settled_at) = known.map_or((now, now), |one| (one.end_at, one.settled_at));
    let step_us = (end_at.saturating_since(start_at) / INSTANTS).max(1_000_000);
    let rows = app.accounts.history(round.id, start_at, settled_at.saturating_add(1), step_us).await?;
    let id = id.clone();
    let read = tokio::task::spawn_blocking(move || past::seconds_of(&rows, &id)).await;
    read.map_err(|error| RequestError::Internal(format!("the seconds of a contestant: {error}")))
}

/// The document that was in force.
pub async fn control_then(app: &App, at: UtcUs) -> Result<Option<Control>, RequestError> {
    let saved = app.accounts.control_then(at).await?;
    Ok(saved.and_then(|saved| Control::from_json(&saved.document).ok()))
}
