//! Signing in and out.

use crate::views::field::Input;
use crate::views::{Field, Layout, format};
use sailfish::TemplateSimple;

/// `GET /login`, and `POST /login` refused.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "login.stpl")]
pub struct LoginPage {
    pub layout: Layout,
    pub name: Field,
    /// Where to go afterwards: a path of ours, or empty.
    pub next: String,
    /// One sentence that does not say whether the name exists.
    pub error: Option<String>,
    /// Too many tries: seconds until the next one is looked at.
    pub wait_seconds: Option<u64>,
}

/// `GET /login/link/{name}/{secret}`: asks, for a look must not spend the link.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "login-link.stpl")]
pub struct LoginLinkPage {
    pub layout: Layout,
    pub path: String,
    pub name: String,
    pub error: Option<String>,
}

/// `GET /logout`: asks, for signing out is a POST.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "logout.stpl")]
pub struct LogoutPage {
    pub layout: Layout,
}
