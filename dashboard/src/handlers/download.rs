//! Files to take away: what the browser is told, what the audit log notes, and tables that spreadsheets open.

use crate::app::App;
use crate::error::RequestError;
use crate::middleware::viewer::Viewer;
use flowtest_contract::text::inert;
use flowtest_contract::utc_us;
use salvo::http::{HeaderValue, header};
use salvo::prelude::*;

/// Says in the audit log who took what.
pub async fn note(app: &App, depot: &Depot, what: &'static str) -> Result<(), RequestError> {
    let viewer = Viewer::of(depot)?;
    Ok(app.accounts.note("export", what, None, &viewer.actor, utc_us()).await?)
}

/// A table that a spreadsheet opens without running anything in it.
#[derive(Debug)]
pub struct Table(csv::Writer<Vec<u8>>);

impl Table {
    pub fn new(head: &[&str]) -> Table {
        let mut table = Table(csv::Writer::from_writer(Vec::new()));
        // Writing to memory does not fail, and all rows are as long as the head.
        let _ = table.0.write_record(head);
        table
    }

    pub fn row(&mut self, cells: &[String]) {
        let _ = self.0.write_record(cells);
    }

    pub fn send(self, res: &mut Response, name: &str) -> Result<(), RequestError> {
        let bytes = self.0.into_inner().map_err(|error| RequestError::Internal(format!("a table: {error}")))?;
        attach(res, name);
        res.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
        res.body(salvo::http::ResBody::Once(bytes.into()));
        Ok(())
    }
}

pub fn attach(res: &mut Response, name: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        res.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
}

/// Text of people in a cell.
pub fn text(value: &str) -> String {
    inert(value).into_owned()
}

/// A number, or nothing.
pub fn number<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Milliseconds of UTC as RFC 3339, or nothing.
pub fn instant(at_ms: impl Into<Option<i64>>) -> String {
    number(at_ms.into().and_then(|at| jiff::Timestamp::from_millisecond(at).ok()))
}
