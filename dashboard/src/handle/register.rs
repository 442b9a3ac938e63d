//! An invitation becomes an account.

use crate::app::App;
use crate::clock::utc_us;
use crate::failure::Failure;
use crate::gate::viewer::{address_of, stranger};
use crate::handle::frame::{self, field, show, show_again};
use crate::handle::login;
use crate::view::layout::Page;
use crate::view::{Field, RegisterPage};
use flowtest_accounts::{NewUser, RedeemError};
use flowtest_scoreboard::keys::HOUSE;
use salvo::prelude::*;

#[handler]
pub async fn show_page(depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let layout = frame::layout(depot, Page::Register, "Register");
    show(res, RegisterPage { layout, ..RegisterPage::default() })
}

#[handler]
pub async fn redeem(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let (token, name) = (field(req, "token").await, field(req, "name").await);
    let shown = field(req, "shown").await;
    let password = req.form::<String>("password").await.unwrap_or_default();
    let mut page = RegisterPage {
        layout: frame::layout(depot, Page::Register, "Register"),
        token: Field::new(&token),
        name: Field::new(&name),
        shown: Field::new(&shown),
        password: Field::default(),
        error: None,
    };
    let (now, address) = (utc_us(), address_of(req, depot));
    if let Some(wait) = app.address_failures.wait_s(&address, now) {
        return Err(Failure::TooMany(wait));
    }
    if let Some(weakness) = crate::password::weakness(&password, &[&name, &shown, &app.config.contest]) {
        page.password.error = Some(weakness);
        return show_again(res, page);
    }
    if name.eq_ignore_ascii_case(HOUSE) {
        page.name.error = Some("This is the name of the platform's own server. Choose another one.".to_owned());
        return show_again(res, page);
    }
    let shown = if shown.is_empty() { name.clone() } else { shown };
    let new = NewUser { name, shown, password };
    let user = match app.accounts.redeem(&token, new, &stranger(req, depot), now).await {
        Ok(user) => user,
        Err(error) => {
            let sentence = error.to_string();
            match error {
                RedeemError::Unknown | RedeemError::Used | RedeemError::Revoked | RedeemError::Expired => {
                    app.address_failures.failed(&address, now);
                    page.token.error = Some(sentence);
                }
                RedeemError::NameTaken => page.name.error = Some(sentence),
                RedeemError::Invalid { field, .. } => match field {
                    "name" => page.name.error = Some(sentence),
                    "shown" => page.shown.error = Some(sentence),
                    "password" => page.password.error = Some(sentence),
                    _ => page.error = Some(sentence),
                },
                RedeemError::Other(error) => return Err(error.into()),
            }
            return show_again(res, page);
        }
    };
    app.people_changed();
    login::begin(req, res, &app, &user, &address).await?;
    frame::done(depot, res, "/index", format!("Welcome, {}. Set the address of your server next.", user.shown))
}
