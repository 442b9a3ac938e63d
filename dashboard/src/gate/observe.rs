//! One log line and one count per request. Query strings, cookies and bodies hold secrets and are never logged.

use crate::app::App;
use crate::gate::address::client_address;
use metrics::{counter, histogram};
use salvo::http::StatusCode;
use salvo::prelude::*;
use salvo::request_id::RequestIdDepotExt;
use std::time::Instant;

#[handler]
pub async fn observe(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    let start = Instant::now();
    ctrl.call_next(req, depot, res).await;
    let status = res.status_code.unwrap_or(StatusCode::OK).as_u16();
    // The template of a path and not the path: there are few of the one, and anybody can make many of the other.
    let route = match req.matched_path() {
        "" => "none".to_owned(),
        path => path.to_owned(),
    };
    let method = req.method().as_str().to_owned();
    let seconds = start.elapsed().as_secs_f64();
    let labels = [("method", method.clone()), ("route", route.clone()), ("status", status.to_string())];
    counter!("flowtest_http_requests_total", &labels).increment(1);
    histogram!("flowtest_http_request_seconds", "route" => route.clone()).record(seconds);
    let client = client_address(req, &App::of(depot).config.proxies);
    let request = depot.request_id().unwrap_or_default();
    tracing::info!(%method, %route, status, ms = (seconds * 1e3) as u64, %client, request, "request");
}
