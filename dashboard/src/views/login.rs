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
    /// A form that was sent when its session had ended.
    pub kept: Option<Kept>,
}

/// A form that goes along through signing in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it goes.
    pub path: String,
    /// As a browser sends them.
    pub fields: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptField {
    pub name: String,
    pub label: String,
    pub value: String,
    /// Somebody typed it; the others go along.
    pub is_shown: bool,
}

/// What was typed, once somebody is signed in again.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "kept.stpl")]
pub struct KeptPage {
    pub layout: Layout,
    pub kept: Kept,
    pub fields: Vec<KeptField>,
    /// Where whoever leaves it goes.
    pub page: String,
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
