//! One's own account: display name, password, sessions.

use crate::app::App;
use crate::control::ChangeError;
use crate::control::requests::Write;
use crate::credentials::password;
use crate::error::RequestError;
use crate::handlers::form::{display_name, field};
use crate::handlers::frame::{self, show, show_again};
use crate::handlers::turn;
use crate::limits::address::client_address;
use crate::live::clock::utc_ms;
use crate::middleware::device;
use crate::middleware::viewer::Viewer;
use crate::views::account::SessionLine;
use crate::views::layout::Page;
use crate::views::{AccountPage, Field};
use flowtest_accounts::{Error, SessionId};
use flowtest_contract::utc_us;
use salvo::prelude::*;

const PATH: &str = "/account";

#[handler]
pub async fn show_page(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let page = page(depot).await?;
    show(res, page)
}

async fn page(depot: &mut Depot) -> Result<AccountPage, RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let mut sessions: Vec<SessionLine> = app
        .accounts
        .sessions_of(viewer.user.id, utc_us())
        .await?
        .into_iter()
        .map(|session| SessionLine {
            id: session.id.0,
            here: session.id == viewer.session,
            address: session.address,
            agent: session.agent,
            started_at_ms: utc_ms(session.created_at),
            seen_at_ms: utc_ms(session.last_seen_at),
        })
        .collect();
    sessions.sort_by_key(|session| !session.here);
    Ok(AccountPage {
        layout: frame::layout(depot, Page::Account, "Account"),
        contact: (!viewer.is_admin()).then(|| Field::new(viewer.user.contact.clone().unwrap_or_default())),
        display_name: Field::new(viewer.user.display_name),
        current: Field::default(),
        password: Field::default(),
        sessions,
    })
}

#[handler]
pub async fn set_password(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let current = req.form::<String>("current").await.unwrap_or_default();
    let wanted = req.form::<String>("password").await.unwrap_or_default();
    let (from, now) = (client_address(req, &app.config.proxies), utc_us());
    let device = device::known(req, &app, &viewer.user.name);
    let attempt =
        app.failures.at_password(&viewer.user.name, from, device.as_deref(), now).map_err(RequestError::TooMany)?;
    let Some(turn) = turn::turn(&app, Some(&viewer.user), from) else {
        attempt.take_back();
        let mut page = page(depot).await?;
        page.password.error = Some(turn::crowded(res));
        return show(res, page);
    };
    let checked = app.accounts.check_password(viewer.user.id, &current).await;
    if matches!(checked, Err(Error::Overloaded)) {
        attempt.take_back();
        return Err(Error::Overloaded.into());
    }
    let right = checked?;
    let about = [viewer.user.name.clone(), viewer.user.display_name.clone(), app.config.contest.clone()];
    let weakness = password::weakness_of(&app.accounts, wanted.clone(), about).await?;
    if !right || weakness.is_some() {
        let mut page = page(depot).await?;
        page.current.error = (!right).then(|| "This is not your present password.".to_owned());
        page.password.error = weakness;
        return show_again(res, page);
    }
    attempt.on_right();
    app.accounts.set_password(viewer.user.id, &wanted, Some(viewer.session), &viewer.actor, now).await?;
    drop(turn);
    app.close_sessions_of(viewer.user.id, Some(viewer.session));
    frame::done(depot, res, PATH, "The password is changed, and all your other sessions have ended.")
}

#[handler]
pub async fn set_display_name(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let display_name = display_name(req).await;
    let (user, now) = (viewer.user.id, utc_us());
    let change = async { Ok(app.accounts.set_display_name(user, &display_name, &viewer.actor, now).await?) };
    let changed = match viewer.is_admin() {
        true => change.await,
        false => app.controller.requests().paced(user, Write::DisplayName, now, change).await,
    };
    match changed {
        Ok(_) => {
            app.people_changed();
            frame::done(depot, res, PATH, "Your name on the board is changed.")
        }
        Err(ChangeError::Accounts(Error::Invalid { message, .. }) | ChangeError::Field { message, .. }) => {
            let mut page = page(depot).await?;
            page.display_name = Field::wrong(display_name, message);
            show_again(res, page)
        }
        Err(ChangeError::Accounts(error)) => Err(error.into()),
        Err(error) => frame::refused(depot, res, PATH, error.to_string()),
    }
}

#[handler]
pub async fn set_contact(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let contact = field(req, "contact").await;
    let (user, now) = (viewer.user.id, utc_us());
    let change = async { Ok(app.accounts.set_contact(user, &contact, &viewer.actor, now).await?) };
    match app.controller.requests().paced(user, Write::Contact, now, change).await {
        Ok(_) => frame::done(depot, res, PATH, "How you are reached is noted, for organisers only."),
        Err(ChangeError::Accounts(Error::Invalid { message, .. }) | ChangeError::Field { message, .. }) => {
            let mut page = page(depot).await?;
            page.contact = Some(Field::wrong(contact, message));
            show_again(res, page)
        }
        Err(ChangeError::Accounts(error)) => Err(error.into()),
        Err(error) => frame::refused(depot, res, PATH, error.to_string()),
    }
}

#[handler]
pub async fn end_session(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let id = SessionId(req.param::<i64>("id").ok_or(RequestError::NotFound)?);
    // Only one's own.
    if !app.accounts.sessions_of(viewer.user.id, utc_us()).await?.iter().any(|session| session.id == id) {
        return Err(RequestError::NotFound);
    }
    app.accounts.end_session(id, &viewer.actor, utc_us()).await?;
    app.close_session(id);
    frame::done(depot, res, PATH, "That session has ended.")
}

#[handler]
pub async fn end_others(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    app.accounts.end_sessions_of(viewer.user.id, Some(viewer.session), &viewer.actor, utc_us()).await?;
    app.close_sessions_of(viewer.user.id, Some(viewer.session));
    frame::done(depot, res, PATH, "All your other sessions have ended.")
}
