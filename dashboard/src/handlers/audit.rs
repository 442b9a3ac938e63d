//! Who did what and when. Nothing in it can be changed.

use crate::app::App;
use crate::clock::utc_ms;
use crate::error::RequestError;
use crate::handlers::frame::{self, show};
use crate::views::AuditPage;
use crate::views::audit::AuditLine;
use crate::views::layout::Page;
use flowtest_accounts::AuditFilter;
use salvo::prelude::*;

const LINES: u32 = 100;

#[handler]
pub async fn show_page(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let query: String = req.query::<String>("q").unwrap_or_default().chars().take(100).collect();
    let before = req.query::<i64>("before");
    let lines = app.accounts.audit_page(before, LINES, filter(&query)).await?;
    let before = lines.last().filter(|_| lines.len() == LINES as usize).map(|line| line.id);
    let lines = lines
        .into_iter()
        .map(|line| AuditLine {
            id: line.id,
            at_ms: utc_ms(line.at),
            who: line.by.name,
            address: line.by.address,
            action: line.action,
            subject: line.subject,
            before: line.before.unwrap_or_default(),
            after: line.after.unwrap_or_default(),
        })
        .collect();
    show(res, AuditPage { layout: frame::layout(depot, Page::Audit, "Audit log"), lines, query, before })
}

/// What is typed is a noun or an action such as `user.disable`, or a subject such as `user:3`.
fn filter(query: &str) -> AuditFilter {
    let query = query.trim();
    let some = Some(query.to_owned()).filter(|query| !query.is_empty());
    if query.contains(':') {
        AuditFilter { subject: some, ..AuditFilter::default() }
    } else {
        AuditFilter { action: some, ..AuditFilter::default() }
    }
}
