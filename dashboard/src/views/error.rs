//! What went wrong, why, and where to go from here.

use crate::views::{Layout, format};
use sailfish::TemplateSimple;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "error.stpl")]
pub struct ErrorPage {
    pub layout: Layout,
    pub status: u16,
    /// "There is no such page".
    pub title: String,
    /// The cause and the next step.
    pub message: String,
    pub retry_after_seconds: Option<u64>,
}
