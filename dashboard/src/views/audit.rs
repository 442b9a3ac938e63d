//! The audit log, newest first.

use crate::views::{Layout, format};
use sailfish::TemplateSimple;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "audit.stpl")]
pub struct AuditPage {
    pub layout: Layout,
    pub lines: Vec<AuditLine>,
    /// What was searched for.
    pub query: String,
    /// The id before which the next page starts; `None` on the last page.
    pub before: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct AuditLine {
    pub id: i64,
    pub at_ms: i64,
    pub who: String,
    pub address: String,
    pub action: String,
    pub subject: String,
    /// JSON, without secrets; empty when there was nothing.
    pub before: String,
    pub after: String,
}

impl AuditPage {
    /// The address of older lines, with the search kept.
    pub fn older(before: i64, query: &str) -> String {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        pairs.append_pair("before", &before.to_string());
        if !query.is_empty() {
            pairs.append_pair("q", query);
        }
        format!("/audit?{}", pairs.finish())
    }
}
