//! One's own account: display name, password, sessions.

use crate::views::field::Input;
use crate::views::{Field, Layout, time};
use sailfish::TemplateSimple;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "account.stpl")]
pub struct AccountPage {
    pub layout: Layout,
    pub display_name: Field,
    /// How a team is reached; an organiser has none.
    pub contact: Option<Field>,
    /// Only its error is shown.
    pub current: Field,
    /// Only its error is shown.
    pub password: Field,
    /// The session that looks comes first.
    pub sessions: Vec<SessionLine>,
}

#[derive(Clone, Debug)]
pub struct SessionLine {
    pub id: i64,
    /// The one that looks.
    pub here: bool,
    pub address: String,
    pub agent: String,
    pub started_at_ms: i64,
    pub seen_at_ms: i64,
}
