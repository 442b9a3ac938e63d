//! Signing in and out.

use crate::app::App;
use crate::error::RequestError;
use crate::handlers::form::field;
use crate::handlers::frame::{self, show, show_again};
use crate::handlers::{kept, turn};
use crate::limits::address::client_address;
use crate::middleware::viewer::{self, Viewer, start_page};
use crate::middleware::{device, form_tokens};
use crate::views::layout::Page;
use crate::views::login::Kept;
use crate::views::{Field, KeptPage, LoginLinkPage, LoginPage, LogoutPage};
use flowtest_accounts::{Actor, Error, User};
use flowtest_contract::utc_us;
use metrics::counter;
use salvo::http::{HeaderValue, StatusCode, header};
use salvo::prelude::*;

/// One sentence for every reason, so that nobody learns who has an account.
const WRONG: &str = "This name and password do not belong together.";
/// So many that the next is not looked at yet.
const TOO_MANY: &str = "Too many tries with this name, or from this network.";

#[handler]
pub async fn show_page(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    if let Some(viewer) = Viewer::maybe(depot) {
        res.render(Redirect::other(start_page(viewer.user.role)));
        return Ok(());
    }
    let next = local(req.query::<String>("next").as_deref()).unwrap_or_default();
    let layout = frame::layout(depot, Page::Login, "Sign in");
    show(res, LoginPage { layout, name: Field::default(), next, error: None, wait_seconds: None, kept: None })
}

#[handler]
pub async fn sign_in(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let (name, next) = (field(req, "name").await, local(Some(&field(req, "next").await)));
    let typed = req.form::<String>("password").await.unwrap_or_default();
    let kept = kept::along(req).await;
    let (from, now) = (client_address(req, &app.config.proxies), utc_us());
    let device = device::known(req, &app, &name);
    let known = match device {
        Some(_) => app.accounts.user_named(&name).await?,
        None => None,
    };
    let attempt = match app.failures.at_password(&name, from, device.as_deref(), now) {
        Ok(attempt) => attempt,
        Err(wait) => {
            counter!("flowtest_logins_total", "result" => "throttled").increment(1);
            res.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
            res.status_code(StatusCode::TOO_MANY_REQUESTS);
            let page = LoginPage { wait_seconds: Some(wait), ..again(depot, TOO_MANY, name, next, kept) };
            return show(res, page);
        }
    };
    let Some(turn) = turn::turn(&app, known.as_ref(), from) else {
        // Nobody has looked at the password of who came into a crowd.
        attempt.take_back();
        let told = turn::crowded(res);
        return show(res, again(depot, &told, name, next, kept));
    };
    let address = from.to_string();
    let found = app.accounts.log_in(&name, &typed, &address, now).await;
    drop(turn);
    match found {
        Ok(Some(_)) => attempt.on_right(),
        Err(Error::Overloaded) => attempt.take_back(),
        Ok(None) | Err(_) => drop(attempt),
    }
    let Some(user) = found? else {
        counter!("flowtest_logins_total", "result" => "refused").increment(1);
        res.status_code(StatusCode::UNAUTHORIZED);
        return show(res, again(depot, WRONG, name, next, kept));
    };
    counter!("flowtest_logins_total", "result" => "ok").increment(1);
    let to = next.unwrap_or_else(|| start_page(user.role).to_owned());
    let secret = begin(req, depot, res, &user, &address).await?;
    match kept {
        Some(kept) => {
            let mut layout = frame::bare_layout(depot, Page::Login, "Send it now?");
            // The form belongs to the session that has just begun.
            layout.csrf = form_tokens::for_session(&app, &secret);
            let (fields, page) = (kept::fields(&kept), kept::page(&kept)?);
            show(res, KeptPage { layout, kept, fields, page })
        }
        None => {
            res.render(Redirect::other(to));
            Ok(())
        }
    }
}

/// Somebody has shown who they are. Returns the secret of the session.
async fn begin(
    req: &Request,
    depot: &Depot,
    res: &mut Response,
    user: &User,
    address: &str,
) -> Result<String, RequestError> {
    let app = App::of(depot);
    // Whatever session the browser came with ends here: nobody can have planted it.
    if let Some(old) = Viewer::maybe(depot) {
        app.accounts.end_session(old.session, &old.actor, utc_us()).await?;
        app.close_session(old.session);
    }
    device::remember(req, res, app, &user.name)?;
    viewer::begin_session(req, res, app, user, address).await
}

/// A link that signs in once. Looking at it spends nothing: programs look at links that people are sent.
#[handler]
pub async fn show_link(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let path = link_path(req)?;
    let name = req.param::<String>("name").unwrap_or_default();
    let layout = frame::layout(depot, Page::Login, "Sign in");
    show(res, LoginLinkPage { layout, path, name, error: None })
}

/// Where its form goes. A path that begins with two slashes matches as well, and would be another host's there.
fn link_path(req: &Request) -> Result<String, RequestError> {
    let path = req.uri().path();
    if path.starts_with("/login/link/") { Ok(path.to_owned()) } else { Err(RequestError::NotFound) }
}

#[handler]
pub async fn sign_in_by_link(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let (name, secret) = (req.param::<String>("name"), req.param::<String>("secret"));
    let (name, secret) = (name.unwrap_or_default(), secret.unwrap_or_default());
    let (from, now) = (client_address(req, &app.config.proxies), utc_us());
    let address = from.to_string();
    // A right one is let in whatever others have guessed: nobody guesses 128 bits.
    let user = if app.accounts.is_login_link(&name, &secret, now).await? {
        app.accounts.redeem_login_link(&name, &secret, &Actor::nobody(&address), now).await?
    } else {
        None
    };
    let Some(user) = user else {
        app.failures.at_link(from, now).map_err(RequestError::TooMany)?;
        let path = link_path(req)?;
        let layout = frame::layout(depot, Page::Login, "Sign in");
        let error = Some("This link is used up, replaced by a newer one, or too old.".to_owned());
        return show_again(res, LoginLinkPage { layout, path, name, error });
    };
    begin(req, depot, res, &user, &address).await?;
    res.render(Redirect::other(start_page(user.role)));
    Ok(())
}

/// The form once more, with what came along.
fn again(depot: &mut Depot, why: &str, name: String, next: Option<String>, kept: Option<Kept>) -> LoginPage {
    let layout = frame::layout(depot, Page::Login, "Sign in");
    let (next, error) = (next.unwrap_or_default(), Some(why.to_owned()));
    LoginPage { layout, name: Field::new(name), next, error, wait_seconds: None, kept }
}

/// Signing out is a POST; this asks.
#[handler]
pub async fn ask(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let layout = frame::layout(depot, Page::Logout, "Sign out");
    show(res, LogoutPage { layout })
}

#[handler]
pub async fn sign_out(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    if let Some(viewer) = Viewer::maybe(depot).cloned() {
        app.accounts.end_session(viewer.session, &viewer.actor, utc_us()).await?;
        app.close_session(viewer.session);
    }
    viewer::take_cookie(res, app.config.is_https());
    frame::done(depot, res, "/login", "You are signed out.")
}

/// The pages that somebody may be sent to after signing in, with whatever they ask of them. Nobody is sent elsewhere, and
/// nobody to what is downloaded.
const PAGES: [&str; 8] =
    ["/index", "/chart", "/rules", "/account", "/setting", "/setting/contest", "/setting-token", "/audit"];

/// A page of ours to go to after signing in.
fn local(next: Option<&str>) -> Option<String> {
    let next = next.filter(|next| next.len() <= 200 && next.bytes().all(|byte| byte.is_ascii_graphic()))?;
    let path = next.split(['?', '#']).next().unwrap_or_default();
    PAGES.contains(&path).then(|| next.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_paths_are_gone_to() {
        for good in ["/chart", "/index?as=3", "/setting-token", "/chart?view=projector#top"] {
            assert_eq!(local(Some(good)).as_deref(), Some(good));
        }
        let elsewhere = ["", "chart", "//evil.example", "https://evil.example", "/\\evil", "/chart\nb", "/chart/../x"];
        let ours_and_no_page = ["/logout", "/export/standings.csv", "/login", "/live", "/api/me", "/setting/halt"];
        for bad in elsewhere.into_iter().chain(ours_and_no_page) {
            assert_eq!(local(Some(bad)), None, "{bad:?}");
        }
    }
}
