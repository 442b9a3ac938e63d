//! The machine at the wall: a short code, typed or photographed, makes it a screen. The link's secret goes into a cookie, so
//! that none stands in the address bar for the room to read.

use crate::app::App;
use crate::error::RequestError;
use crate::handlers::form::field;
use crate::handlers::frame::{self, show, show_again};
use crate::limits::address::client_address;
use crate::middleware::screen_cookie;
use crate::views::Field;
use crate::views::ScreenPage;
use crate::views::layout::Page;
use flowtest_contract::utc_us;
use salvo::prelude::*;

/// What a screen shows.
const WALL: &str = "/chart?view=projector";

#[handler]
pub async fn show_page(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    show(res, ScreenPage { layout: frame::layout(depot, Page::Screen, "Screen"), code: Field::default() })
}

/// The code as somebody typed it.
#[handler]
pub async fn enter(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let code = field(req, "code").await;
    open(req, depot, res, code).await
}

/// The code in the address, as a photographed one has it.
#[handler]
pub async fn follow(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let code = req.param::<String>("code").unwrap_or_default();
    open(req, depot, res, code).await
}

async fn open(req: &Request, depot: &mut Depot, res: &mut Response, code: String) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let now = utc_us();
    // A right one opens whatever others have guessed: a venue is one network.
    let Some(secret) = app.screens.redeem(&code, now) else {
        app.failures.at_screen(client_address(req, &app.config.proxies), now).map_err(RequestError::TooMany)?;
        let layout = frame::layout(depot, Page::Screen, "Screen");
        let wrong = "This code is mistyped or older than half an hour: ask an organiser for a new one.";
        return show_again(res, ScreenPage { layout, code: Field::wrong(code, wrong.to_owned()) });
    };
    screen_cookie::give(res, app.config.is_https(), &secret);
    res.render(Redirect::other(WALL));
    Ok(())
}
