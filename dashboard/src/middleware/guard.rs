//! Who may use a route. Every route names its audience in [`routes`](crate::routes); there is no other way in.

use crate::app::App;
use crate::error::RequestError;
use crate::middleware::screen_cookie;
use crate::middleware::viewer::Viewer;
use flowtest_accounts::ScreenId;
use flowtest_contract::utc_us;
use salvo::prelude::*;

/// The audience of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever is signed in, or shows a screen link that was not revoked. The latter sees what the public sees.
    Screen,
    /// Whoever is signed in.
    Staff,
    Admin,
}

/// A screen link was shown instead of a session.
#[derive(Clone, Copy, Debug)]
pub struct Screen(ScreenId);

impl Screen {
    pub fn is_shown(depot: &Depot) -> bool {
        Screen::shown(depot).is_some()
    }

    pub fn shown(depot: &Depot) -> Option<ScreenId> {
        depot.get_typed::<Screen>().ok().map(|screen| screen.0)
    }
}

/// Lets the audience pass.
#[derive(Clone, Copy, Debug)]
pub struct Guard(pub Access);

#[async_trait]
impl Handler for Guard {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        if let Err(error) = self.judge(req, depot).await {
            ctrl.skip_rest();
            return error.write(req, depot, res).await;
        }
        ctrl.call_next(req, depot, res).await;
    }
}

impl Guard {
    async fn judge(&self, req: &mut Request, depot: &mut Depot) -> Result<(), RequestError> {
        let viewer = Viewer::maybe(depot);
        match (self.0, viewer) {
            (Access::Public, _) | (Access::Staff | Access::Screen, Some(_)) => Ok(()),
            (Access::Admin, Some(viewer)) if viewer.is_admin() => Ok(()),
            (Access::Admin, Some(_)) => Err(RequestError::Forbidden("this page is for the organisers of the contest")),
            (Access::Screen, None) => {
                let secret = screen_cookie::shown(req, depot).ok_or(RequestError::SignIn)?;
                let app = App::of(depot).clone();
                let gone = RequestError::Forbidden("this screen link was revoked or never existed: ask an organiser");
                let screen = app.accounts.find_screen(&secret).await?.ok_or(gone)?;
                app.screens.note_seen(screen.id, utc_us());
                depot.insert_typed(Screen(screen.id));
                Ok(())
            }
            (Access::Staff | Access::Admin, None) => Err(RequestError::SignIn),
        }
    }
}
