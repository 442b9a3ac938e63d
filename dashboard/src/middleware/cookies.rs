//! The cookies that we hand out: one builder, so that none is laxer than the others.

use salvo::http::cookie::time::{Duration, OffsetDateTime};
use salvo::http::cookie::{Cookie, SameSite};

/// One of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who is signed in.
    Session,
    /// A browser in which somebody has signed in before.
    Device,
    /// What the forms of somebody who is not signed in belong to.
    Form,
}

impl Kind {
    /// Its name. Browsers take `__Host-` only from TLS, for the whole host and no other.
    pub fn name(self, https: bool) -> &'static str {
        match (self, https) {
            (Kind::Session, true) => "__Host-flowtest",
            (Kind::Session, false) => "flowtest",
            (Kind::Device, true) => "__Host-flowtest-device",
            (Kind::Device, false) => "flowtest-device",
            (Kind::Form, true) => "__Host-flowtest-form",
            (Kind::Form, false) => "flowtest-form",
        }
    }

    /// A link from elsewhere opens pages as whoever is signed in; forms from elsewhere are nobody's.
    fn same_site(self) -> SameSite {
        match self {
            Kind::Session | Kind::Device => SameSite::Lax,
            Kind::Form => SameSite::Strict,
        }
    }
}

/// A cookie for so long; for no time takes it away.
pub fn cookie(kind: Kind, https: bool, value: String, life: Duration) -> Cookie<'static> {
    // Old browsers know no Max-Age, and some clients keep a cookie whose age is 0: an instant says it to all.
    Cookie::build((kind.name(https), value))
        .expires(OffsetDateTime::now_utc() + life - Duration::SECOND)
        .http_only(true)
        .same_site(kind.same_site())
        .path("/")
        .secure(https)
        .max_age(life)
        .build()
}
