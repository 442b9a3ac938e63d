//! One file a page: what a request asks, in; what the page shows, out. They decide nothing about the contest.

pub mod account;
pub mod api;
pub mod audit;
pub mod chart;
pub mod convert;
pub mod export;
pub mod frame;
pub mod front;
pub mod health;
pub mod index;
pub mod invitation;
pub mod live;
pub mod login;
pub mod owner;
pub mod register;
pub mod report;
pub mod rules;
pub mod setting;

use crate::app::App;
use crate::live::{Audience, UserKey};
use crate::middleware::viewer::Viewer;
use salvo::http::header;
use salvo::{Depot, Request};

/// For whom the scores of an answer are.
pub fn audience(depot: &Depot) -> Audience {
    match Viewer::maybe(depot) {
        None => Audience::Public,
        Some(viewer) if viewer.is_admin() => Audience::Admin,
        Some(viewer) => Audience::Owner(UserKey::of_user(viewer.user.id.0)),
    }
}

/// The address of this site as people type it: the configured one, else the one that was asked.
pub fn site(req: &Request, app: &App) -> String {
    if let Some(url) = &app.config.public_url {
        return url.clone();
    }
    // HTTP/2 has it in the URI.
    let authority = req.uri().authority().map(|authority| authority.as_str());
    let host = authority.or_else(|| req.headers().get(header::HOST).and_then(|host| host.to_str().ok()));
    let host = host.filter(|host| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)));
    let scheme = if app.config.is_https() { "https" } else { "http" };
    format!("{scheme}://{}", host.map_or_else(|| app.config.listen.to_string(), str::to_owned))
}
