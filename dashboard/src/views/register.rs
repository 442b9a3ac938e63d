//! Redeeming an invitation.

use crate::views::field::Input;
use crate::views::{Field, Layout};
use sailfish::TemplateSimple;

/// `GET /register`, and `POST /register` refused. The token comes from the fragment `#t=`, by script, or is typed.
#[derive(Clone, Debug, Default, TemplateSimple)]
#[template(path = "register.stpl")]
pub struct RegisterPage {
    pub layout: Layout,
    pub token: Field,
    pub name: Field,
    pub display_name: Field,
    pub password: Field,
    pub error: Option<String>,
}
