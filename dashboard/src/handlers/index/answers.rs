//! What the page asks for while a test or a practice runs.

use super::page::{is_over, probe_view};
use crate::app::App;
use crate::control::requests::NoRequest;
use crate::error::RequestError;
use crate::middleware::viewer::Viewer;
use salvo::prelude::*;
use serde_json::json;

/// `{"done": false}` until the answer is there. `at` is the older name of `at_ms`.
#[handler]
pub async fn probe_answer(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let id = req.param::<String>("id").unwrap_or_default();
    let answer = app.controller.requests().probe(&id, &viewer.user, viewer.is_admin()).await.map_err(no_request)?;
    let answer = answer.map(probe_view).map(|found| {
        json!({
            "at": found.at_ms, "at_ms": found.at_ms, "generator": found.generator, "endpoint": found.endpoint, "address": found.address,
            "verdicts": found.verdicts, "latency_us": found.latency_us, "sentence": found.sentence, "head": found.head,
        })
    });
    res.render(Json(json!({ "done": answer.is_some(), "probe": answer })));
    Ok(())
}

/// How a practice goes; `{"done": true, ...}` when it is over.
#[handler]
pub async fn practice_report(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let id = req.param::<String>("id").unwrap_or_default();
    let report = app.controller.requests().practice(&id, &viewer.user, viewer.is_admin()).await.map_err(no_request)?;
    let Some(report) = report else {
        res.render(Json(json!({ "done": false, "state": "asked", "sentence": "No generator has taken it yet." })));
        return Ok(());
    };
    let counted = report.counted().unwrap_or_default();
    let errors: Vec<_> = report
        .errors
        .iter()
        .map(|error| json!({ "kind": error.kind, "sentence": error.sentence, "expected": error.expected, "received": error.received }))
        .collect();
    res.render(Json(json!({
        "done": is_over(&report), "state": report.state, "sentence": report.sentence, "second": report.second,
        "generator": report.generator, "points": report.points, "p50_us": report.p50_us, "p99_us": report.p99_us,
        "answered": counted.tally.responses(), "due": counted.tally.due, "errors": errors,
    })));
    Ok(())
}

fn no_request(error: NoRequest) -> RequestError {
    match error {
        NoRequest::Unknown => RequestError::NotFound,
        other => RequestError::Unavailable(other.to_string()),
    }
}
