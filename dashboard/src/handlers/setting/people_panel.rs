//! Who is who on the page: contestants with their levers, accounts, screens; and the newest backup.

use crate::app::App;
use crate::clock::utc_ms;
use crate::control::readiness::Situation;
use crate::error::RequestError;
use crate::live::{Audience, UserKey};
use crate::views::Role;
use crate::views::setting::{AdjustmentLine, BackupLine, ContestantLine, ScreenLine, TeamForm, UserLine};
use flowtest_accounts::{AuditFilter, User, UserId};
use flowtest_contract::rules::UtcUs;
use std::collections::HashMap;

pub(super) fn contestants(
    app: &App,
    users: &[User],
    situation: &Situation,
    mut typed: Option<(UserId, TeamForm)>,
) -> Vec<ContestantLine> {
    let standings = app.feed.standings(&Audience::Admin);
    let staff = users.iter().filter(|user| user.role == Role::Staff);
    let lines = staff.map(|user| {
        let contestant = situation.contestants.iter().find(|contestant| contestant.name == user.name);
        let line = standings.of(&UserKey::of_user(user.id.0));
        ContestantLine {
            id: user.id.0,
            name: user.name.clone(),
            display_name: user.display_name.clone(),
            endpoint: contestant.and_then(|contestant| contestant.endpoint.clone()),
            points: line.map_or(0, |line| line.figures.points),
            parked: contestant.is_some_and(|contestant| contestant.parked),
            hidden: user.hidden,
            disqualified: user.disqualified.clone(),
            form: typed.take_if(|(id, _)| *id == user.id).map(|(_, form)| form).unwrap_or_default(),
        }
    });
    lines.collect()
}

pub(super) async fn user_lines(
    app: &App,
    users: &[User],
    me: UserId,
    now: UtcUs,
) -> Result<Vec<UserLine>, RequestError> {
    let mut lines = Vec::with_capacity(users.len());
    for user in users {
        let sessions = app.accounts.sessions_of(user.id, now).await?.len();
        lines.push(UserLine {
            id: user.id.0,
            name: user.name.clone(),
            display_name: user.display_name.clone(),
            role: user.role,
            disabled: user.disabled,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            login_at_ms: user.last_login_at.map(utc_ms),
            me: user.id == me,
        });
    }
    Ok(lines)
}

pub(super) async fn screens(app: &App) -> Result<Vec<ScreenLine>, RequestError> {
    let screens = app.accounts.screens().await?;
    let valid = screens.into_iter().filter(|screen| screen.revoked_at.is_none());
    Ok(valid
        .map(|screen| ScreenLine {
            id: screen.id.0,
            label: screen.label,
            made_at_ms: utc_ms(screen.at),
            seen_at_ms: None,
        })
        .collect())
}

/// The newest backup that was made from here, as long as its file is there.
pub(super) async fn backup(app: &App) -> Result<Option<BackupLine>, RequestError> {
    let filter = AuditFilter { action: Some("backup.make".to_owned()), ..AuditFilter::default() };
    let Some(line) = app.accounts.audit_page(None, 1, filter).await?.into_iter().next() else { return Ok(None) };
    let after: serde_json::Value = serde_json::from_str(line.after.as_deref().unwrap_or("null")).unwrap_or_default();
    let Some(file) = after["to"].as_str() else { return Ok(None) };
    let Ok(meta) = tokio::fs::metadata(file).await else { return Ok(None) };
    Ok(Some(BackupLine { at_ms: utc_ms(line.at), file: file.to_owned(), bytes: meta.len() }))
}

/// The newest first, also those that were withdrawn.
pub(super) async fn adjustments(app: &App, users: &[User]) -> Result<Vec<AdjustmentLine>, RequestError> {
    let shown: HashMap<UserId, &str> = users.iter().map(|user| (user.id, user.display_name.as_str())).collect();
    let adjustments = app.accounts.adjustments().await?;
    let lines = adjustments.into_iter().rev().map(|line| AdjustmentLine {
        id: line.id.0,
        at_ms: utc_ms(line.at),
        display_name: shown.get(&line.user).copied().unwrap_or("somebody").to_owned(),
        points: line.points,
        reason: line.reason,
        by: line.by_name,
        withdrawn: line.withdrawn_at.is_some(),
    });
    Ok(lines.collect())
}
