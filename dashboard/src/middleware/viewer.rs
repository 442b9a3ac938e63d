//! Who asks: the session's cookie, and the person behind it as the database knows them now.

use crate::app::App;
use crate::error::RequestError;
use crate::limits::address::client_address;
use crate::middleware::cookies::{Kind, cookie};
use flowtest_accounts::{Actor, Role, SessionId, User};
use flowtest_contract::utc_us;
use salvo::http::cookie::time::Duration;
use salvo::http::header;
use salvo::prelude::*;

/// What an organiser may do while the database answers nobody.
const STOPS_TRAFFIC: [&str; 2] = ["/setting/halt", "/setting/round/pause"];
/// How long such a request waits for the database: it answers in milliseconds.
const SESSION_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(300);
/// How long a browser keeps the cookie: as long as the session may last.
const COOKIE_HOURS: i64 = 12;

/// Somebody who is signed in. Role and name are read from the database with every request.
#[derive(Clone, Debug)]
pub struct Viewer {
    pub user: User,
    pub session: SessionId,
    /// For the audit log.
    pub actor: Actor,
}

impl Viewer {
    /// The person behind a request; the route's guard has made sure that there is one.
    pub fn of(depot: &Depot) -> Result<&Viewer, RequestError> {
        Viewer::maybe(depot).ok_or(RequestError::SignIn)
    }

    pub fn maybe(depot: &Depot) -> Option<&Viewer> {
        depot.get_typed::<Viewer>().ok()
    }

    pub fn is_admin(&self) -> bool {
        self.user.role == Role::Admin
    }
}

/// Where somebody starts after signing in, and comes back to by the bare address.
pub fn start_page(role: Role) -> &'static str {
    match role {
        Role::Admin => "/setting",
        Role::Staff => "/index",
    }
}

/// Where the request comes from, as text.
pub fn address_of(req: &Request, depot: &Depot) -> String {
    client_address(req, &App::of(depot).config.proxies).to_string()
}

/// What a browser shows as its session.
pub fn session_cookie(req: &Request, depot: &Depot) -> Option<String> {
    let name = Kind::Session.name(App::of(depot).config.is_https());
    req.cookie(name).map(|cookie| cookie.value().to_owned())
}

/// The database did not say who asks: what it said before was believed. No page can be read from it either.
#[derive(Clone, Copy, Debug)]
pub struct FromMemory;

/// Looks up who asks, for the handlers behind.
#[handler]
pub async fn load_viewer(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
    ctrl: &mut FlowCtrl,
) -> Result<(), RequestError> {
    if let Some(secret) = session_cookie(req, depot) {
        let app = App::of(depot).clone();
        let Found { viewer, is_from_memory } =
            find_viewer(&app, &secret, STOPS_TRAFFIC.contains(&req.uri().path())).await?;
        if is_from_memory {
            depot.insert_typed(FromMemory);
        }
        if let Some((session, user)) = viewer {
            let actor = Actor::user(&user, address_of(req, depot));
            depot.insert_typed(Viewer { user, session, actor });
        }
    }
    ctrl.call_next(req, depot, res).await;
    Ok(())
}

/// What a secret says of who asks.
struct Found {
    /// None: it is nobody's session.
    viewer: Option<(SessionId, User)>,
    is_from_memory: bool,
}

/// Asks the database. Where it does not answer, and `may_remember`, what it said before is believed: then it is true.
async fn find_viewer(app: &App, secret: &str, may_remember: bool) -> Result<Found, flowtest_accounts::Error> {
    let now = utc_us();
    let asked = app.accounts.find_session(secret, now);
    let found = match may_remember {
        false => asked.await,
        true => tokio::time::timeout(SESSION_TIMEOUT, asked).await.unwrap_or(Err(flowtest_accounts::Error::Busy)),
    };
    match found {
        Ok(found) => {
            match &found {
                Some((session, user)) if user.role == Role::Admin => app.admins.note(secret, *session, user, now),
                _ => app.admins.forget(secret),
            }
            Ok(Found { viewer: found, is_from_memory: false })
        }
        Err(error) => match app.admins.find(secret, now).filter(|_| may_remember) {
            Some(known) => Ok(Found { viewer: Some(known), is_from_memory: true }),
            None => Err(error),
        },
    }
}

/// Starts a session and hands it to the browser. Returns its secret.
pub async fn begin_session(
    req: &Request,
    res: &mut Response,
    app: &App,
    user: &User,
    address: &str,
) -> Result<String, RequestError> {
    let agent = req.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let secret = app.accounts.start_session(user.id, address, agent, utc_us()).await?;
    let (https, value) = (app.config.is_https(), secret.reveal().to_owned());
    res.add_cookie(cookie(Kind::Session, https, value.clone(), Duration::hours(COOKIE_HOURS)));
    Ok(value)
}

/// Takes the cookie away.
pub fn take_cookie(res: &mut Response, https: bool) {
    res.add_cookie(cookie(Kind::Session, https, String::new(), Duration::ZERO));
}
