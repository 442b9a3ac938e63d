//! The cookie of a screen: the secret of its link, for as long as a contest lasts.

use crate::app::App;
use salvo::http::cookie::time::Duration;
use salvo::http::cookie::{Cookie, SameSite};
use salvo::prelude::*;

/// A wall hangs for days.
const DAYS: i64 = 30;

fn name(https: bool) -> &'static str {
    if https { "__Host-flowtest-screen" } else { "flowtest-screen" }
}

/// The secret that a request shows: in its address, or by the cookie.
pub fn shown(req: &Request, depot: &Depot) -> Option<String> {
    let in_address = req.query::<String>("screen");
    in_address.or_else(|| req.cookie(name(App::of(depot).config.is_https())).map(|cookie| cookie.value().to_owned()))
}

/// Hands it to the browser.
pub fn give(res: &mut Response, https: bool, secret: &str) {
    let cookie = Cookie::build((name(https), secret.to_owned()))
        .http_only(true)
        .same_site(SameSite::Lax)
        .path("/")
        .secure(https)
        .max_age(Duration::days(DAYS))
        .build();
    res.add_cookie(cookie);
}
