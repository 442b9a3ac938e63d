//! Accounts, and a copy of all that the database holds.

use super::PATH;
use crate::app::App;
use crate::error::RequestError;
use crate::handlers::form::field;
use crate::handlers::frame::{self};
use crate::middleware::viewer::Viewer;
use flowtest_accounts::{Error, Role, UserId};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use salvo::prelude::*;
use std::path::{Path, PathBuf};

#[handler]
pub async fn change_user(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let id = UserId(req.param::<i64>("id").ok_or(RequestError::NotFound)?);
    let action = req.param::<String>("action").ok_or(RequestError::NotFound)?;
    let back = people_path(&field(req, "who").await);
    if id == viewer.user.id && action != "end-sessions" {
        return frame::refused(depot, res, &back, "Nobody takes their own account away: ask another admin.");
    }
    let (by, now) = (&viewer.actor, utc_us());
    let changed = match action.as_str() {
        "disable" | "enable" => {
            let disabled = action == "disable";
            let done = if disabled { "is disabled, and signed out" } else { "may sign in again" };
            app.accounts.set_disabled(id, disabled, by, now).await.map(|user| format!("{} {done}.", user.name))
        }
        "role" => {
            let role = match field(req, "role").await.as_str() {
                "admin" => Role::Admin,
                "staff" => Role::Staff,
                other => {
                    return Err(RequestError::Unprocessable(format!("{other:?} is no role: it is admin or staff")));
                }
            };
            app.accounts.set_role(id, role, by, now).await.map(|user| match role {
                Role::Admin => format!("{} is an admin.", user.name),
                Role::Staff => format!("{} is a contestant.", user.name),
            })
        }
        "end-sessions" => {
            let keep = Some(viewer.session).filter(|_| id == viewer.user.id);
            app.accounts.end_sessions_of(id, keep, by, now).await.map(|_| "Those sessions have ended.".to_owned())
        }
        _ => return Err(RequestError::NotFound),
    };
    match changed {
        Ok(done) => {
            app.close_sessions_of(id, Some(viewer.session).filter(|_| id == viewer.user.id));
            app.people_changed();
            frame::done(depot, res, &back, done)
        }
        Err(error @ Error::LastAdmin) => frame::refused(depot, res, &back, error.to_string()),
        Err(error) => Err(error.into()),
    }
}

/// People as whoever acts on one of them has found them.
fn people_path(who: &str) -> String {
    if who.is_empty() {
        return format!("{PATH}#people");
    }
    let who: String = url::form_urlencoded::byte_serialize(who.as_bytes()).collect();
    format!("{PATH}?who={who}#people")
}

#[handler]
pub async fn make_backup(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let now = utc_us();
    let file = backup_file(&app.config.database, now);
    match app.accounts.backup(&file, &actor, now).await {
        Ok(()) => frame::done(depot, res, PATH, format!("{} holds everything.", file.display())),
        Err(error @ Error::Exists(_)) => frame::refused(depot, res, PATH, error.to_string()),
        Err(error) => Err(error.into()),
    }
}

/// Beside the database, named by the instant: nothing that comes from a request.
fn backup_file(database: &Path, now: UtcUs) -> PathBuf {
    let instant = crate::control::instant::rfc3339(now.floor(1_000_000)).replace(':', "-");
    let stem = database.file_stem().map_or("flowtest".into(), |stem| stem.to_string_lossy().into_owned());
    database.with_file_name(format!("{stem}-{instant}.db"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_stands_beside_the_database_and_tells_when_it_was_made() {
        let file = backup_file(Path::new("/data/flowtest.db"), UtcUs(1_796_119_200_500_000));
        assert_eq!(file, Path::new("/data/flowtest-2026-12-01T10-00-00Z.db"));
    }
}
