//! Who may have a password hashed or scored now, and what whoever may not is told.

use crate::app::App;
use crate::limits::address::network;
use crate::limits::connections::{Crowd, Kind};
use crate::limits::under_way::Turn;
use flowtest_accounts::{Role, User};
use salvo::Response;
use salvo::http::{HeaderValue, StatusCode, header};
use std::net::IpAddr;

/// What whoever finds too many passwords before it is told to wait, in seconds: so many are hashed meanwhile.
const AGAIN_S: u64 = 5;

/// A turn where passwords are hashed and scored. `known`: who is signed in, or whose account has been used in this browser before;
/// it waits in no crowd of strangers, and an organiser in none at all. Where contestants have taken all that is theirs, one of them
/// has what a stranger would have.
pub fn turn<'a>(app: &'a App, known: Option<&User>, from: IpAddr) -> Option<Turn<'a>> {
    let own = known.filter(|user| !user.disabled).and_then(|user| {
        let kind = if user.role == Role::Admin { Kind::Organiser } else { Kind::Contestant };
        app.sign_ins.begin(kind, Crowd::Account(user.id.0))
    });
    own.or_else(|| app.sign_ins.begin(Kind::Stranger, Crowd::Network(network(from))))
}

/// Whoever finds none reads this beside what was typed, and nothing was done.
pub fn crowded(res: &mut Response) -> String {
    res.status_code(StatusCode::SERVICE_UNAVAILABLE);
    res.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(AGAIN_S));
    format!("Too many sign in or register at this moment. Wait {AGAIN_S} seconds and try again: nothing was done.")
}
