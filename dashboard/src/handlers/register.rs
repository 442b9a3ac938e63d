//! An invitation becomes an account.

use crate::app::App;
use crate::credentials::password;
use crate::error::RequestError;
use crate::handlers::form::{display_name, field};
use crate::handlers::frame::{self, show, show_again};
use crate::handlers::turn;
use crate::limits::address::client_address;
use crate::middleware::device;
use crate::middleware::viewer::begin_session;
use crate::views::layout::Page;
use crate::views::{Field, RegisterPage};
use flowtest_accounts::{Actor, NewUser, RedeemError};
use flowtest_contest::names::HOUSE;
use flowtest_contract::utc_us;
use salvo::prelude::*;

#[handler]
pub async fn show_page(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let layout = frame::layout(depot, Page::Register, "Register");
    show(res, RegisterPage { layout, ..RegisterPage::default() })
}

#[handler]
pub async fn redeem(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let (token, name) = (field(req, "token").await, field(req, "name").await);
    let display_name = display_name(req).await;
    let wanted = req.form::<String>("password").await.unwrap_or_default();
    let mut page = RegisterPage {
        layout: frame::layout(depot, Page::Register, "Register"),
        token: Field::new(&token),
        name: Field::new(&name),
        display_name: Field::new(&display_name),
        password: Field::default(),
        error: None,
    };
    let (from, now) = (client_address(req, &app.config.proxies), utc_us());
    // First, so that strangers cost no more than a look into the database, and keep nobody out who was invited.
    let invite = match app.accounts.check_invite(&token, now).await {
        Ok(invite) => invite,
        Err(error) => {
            // It has failed: it is not taken back.
            app.failures.at_invitation(from, now).map_err(RequestError::TooMany)?;
            tell(&mut page, error)?;
            return show_again(res, page);
        }
    };
    let attempt = app.failures.at_registration(invite.id, from, now).map_err(RequestError::TooMany)?;
    let Some(turn) = turn::turn(&app, None, from) else {
        attempt.take_back();
        page.error = Some(turn::crowded(res));
        return show(res, page);
    };
    let about = [name.clone(), display_name.clone(), app.config.contest.clone()];
    let display_name = if display_name.is_empty() { name.clone() } else { display_name };
    page.password.error = password::weakness_of(&app.accounts, wanted.clone(), about).await?;
    for (field, message) in app.accounts.check_names(&name, &display_name, invite.role).await? {
        tell(&mut page, RedeemError::Invalid { field, message })?;
    }
    if name.eq_ignore_ascii_case(HOUSE) {
        page.name.error = Some("This is the name of the platform's own server. Choose another one.".to_owned());
    }
    // All that is wrong at once: nobody corrects a form three times.
    if [&page.name, &page.display_name, &page.password].iter().any(|field| field.error.is_some()) {
        return show_again(res, page);
    }
    let new = NewUser { name, display_name, password: wanted };
    let address = from.to_string();
    let user = match app.accounts.redeem(&token, new, &Actor::nobody(&address), now).await {
        Ok(user) => user,
        Err(error) => {
            tell(&mut page, error)?;
            return show_again(res, page);
        }
    };
    drop(turn);
    attempt.take_back();
    app.people_changed();
    device::remember(req, res, &app, &user.name)?;
    begin_session(req, res, &app, &user, &address).await?;
    frame::done(depot, res, "/index", format!("Welcome, {}. Set the address of your server next.", user.display_name))
}

/// Puts what is wrong where it was typed.
fn tell(page: &mut RegisterPage, error: RedeemError) -> Result<(), RequestError> {
    let message = Some(error.to_string());
    match error {
        RedeemError::Unknown | RedeemError::Used | RedeemError::Revoked | RedeemError::Expired => {
            page.token.error = message;
        }
        RedeemError::NameTaken => page.name.error = message,
        RedeemError::Invalid { field, .. } => match field {
            "name" => page.name.error = message,
            "display_name" => page.display_name.error = message,
            "password" => page.password.error = message,
            _ => page.error = message,
        },
        RedeemError::Other(error) => return Err(error.into()),
    }
    Ok(())
}
