//! The way into the live feed: who watches, and what.

use crate::app::{App, screen_session};
use crate::error::RequestError;
use crate::handlers::asked::audience;
use crate::live::UserKey;
use crate::live::hub::Viewer as Watching;
use crate::live::socket::{self, Channel, Recheck, Visit};
use crate::middleware::guard::Screen;
use crate::middleware::screen_cookie;
use crate::middleware::viewer::{Viewer, session_cookie};
use flowtest_accounts::{Error, Role};
use flowtest_contract::utc_us;
use salvo::prelude::*;

#[handler]
pub async fn watch(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::maybe(depot).cloned();
    let channel = match req.query::<String>("of").as_deref() {
        None | Some("standings") => Channel::Standings(audience(req, depot)),
        Some("tokens") if viewer.as_ref().is_some_and(Viewer::is_admin) => Channel::Tokens,
        Some("tokens") => return Err(RequestError::Forbidden("invitations are for the organisers of the contest")),
        Some(_) => return Err(RequestError::NotFound),
    };
    let watching = Watching {
        user: viewer.as_ref().map(|viewer| UserKey::of_user(viewer.user.id.0)),
        session: match (&viewer, Screen::shown(depot)) {
            (Some(viewer), _) => Some(viewer.session.0.to_string()),
            (None, screen) => screen.map(screen_session),
        },
    };
    let recheck = recheck(&app, req, depot, viewer.as_ref(), channel == Channel::Tokens);
    let public_url = app.config.public_url.as_deref().and_then(|url| url.parse().ok());
    let visit = Visit { viewer: watching, channel, public_url, recheck };
    if let Err(error) = socket::open(app.feed.hub(), visit, req, res).await {
        res.render(error);
    }
    Ok(())
}

/// Asks the database whether who watches may go on: the session may have ended, the role have changed.
fn recheck(
    app: &std::sync::Arc<App>,
    req: &Request,
    depot: &Depot,
    viewer: Option<&Viewer>,
    needs_admin: bool,
) -> Recheck {
    let app = app.clone();
    let role = viewer.map(|viewer| viewer.user.role);
    let screen = Screen::shown(depot);
    let secret = if screen.is_some() { screen_cookie::shown(req, depot) } else { session_cookie(req, depot) };
    let secret = secret.unwrap_or_default();
    Box::new(move || {
        let (app, secret) = (app.clone(), secret.clone());
        Box::pin(async move {
            if let Some(screen) = screen {
                app.screens.note_seen(screen, utc_us());
                return goes_on(app.accounts.find_screen(&secret).await, |_| true);
            }
            goes_on(app.accounts.find_session(&secret, utc_us()).await, |(_, user)| {
                // Another role sees another feed.
                Some(user.role) == role && (!needs_admin || user.role == Role::Admin)
            })
        })
    })
}

/// A database that is busy is no reason to send anybody away, least of all the room's projector.
fn goes_on<T>(found: Result<Option<T>, Error>, may: impl FnOnce(T) -> bool) -> bool {
    match found {
        Ok(found) => found.is_some_and(may),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_watches_is_sent_away_by_an_answer_of_the_database_and_not_by_its_silence() {
        assert!(goes_on(Ok(Some(7)), |found| found == 7));
        assert!(!goes_on(Ok(Some(7)), |found| found == 8));
        assert!(!goes_on(Ok(None::<u8>), |_| true));
        assert!(goes_on(Err::<Option<u8>, _>(Error::Busy), |_| false));
    }
}
