//! Who is who on the page: accounts, screens, adjustments; and the newest backup.

use crate::app::App;
use crate::error::RequestError;
use crate::live::clock::utc_ms;
use crate::views::Role;
use crate::views::setting::{AdjustmentLine, BackupLine, PeoplePanel, ScreenLine, UserLine};
use flowtest_accounts::{AuditFilter, User, UserId};
use flowtest_contract::rules::UtcUs;
use std::collections::HashMap;

/// Accounts on the page that nobody has searched for.
const PEOPLE_MAX: usize = 20;
/// Accounts that were found and stand on the page.
const FOUND_MAX: usize = 100;

/// Those whose names or contact line hold what was typed; without that all, admins first.
pub(super) async fn people(
    app: &App,
    users: &[User],
    me: UserId,
    query: &str,
    now: UtcUs,
) -> Result<PeoplePanel, RequestError> {
    let mut found: Vec<&User> = users.iter().filter(|user| fits(user, query)).collect();
    found.sort_by_key(|user| user.role != Role::Admin);
    let mut lines = Vec::new();
    for user in found.iter().take(if query.is_empty() { PEOPLE_MAX } else { FOUND_MAX }) {
        let sessions = app.accounts.sessions_of(user.id, now).await?.len();
        lines.push(UserLine {
            id: user.id.0,
            name: user.name.clone(),
            display_name: user.display_name.clone(),
            role: user.role,
            contact: user.contact.clone(),
            disabled: user.disabled,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            login_at_ms: user.last_login_at.map(utc_ms),
            me: user.id == me,
        });
    }
    Ok(PeoplePanel { lines, query: query.to_owned(), all: users.len(), found: found.len() })
}

fn fits(user: &User, query: &str) -> bool {
    let wanted = query.to_lowercase();
    let texts = [Some(&user.name), Some(&user.display_name), user.contact.as_ref(), user.category.as_ref()];
    query.is_empty() || texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&wanted))
}

pub(super) async fn screens(app: &App) -> Result<Vec<ScreenLine>, RequestError> {
    let screens = app.accounts.screens().await?;
    let valid = screens.into_iter().filter(|screen| screen.revoked_at.is_none());
    Ok(valid
        .map(|screen| ScreenLine {
            id: screen.id.0,
            label: screen.label,
            made_at_ms: utc_ms(screen.at),
            seen_at_ms: app.screens.seen_at(screen.id).map(utc_ms),
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
