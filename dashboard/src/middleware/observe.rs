//! One log line and one count per request. Query strings, cookies and bodies hold secrets and are never logged.

use crate::app::App;
use crate::limits::address::client_address;
use metrics::{counter, histogram};
use salvo::http::{Method, StatusCode};
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
    let method = label(req.method());
    let seconds = start.elapsed().as_secs_f64();
    let labels = [("method", method.to_owned()), ("route", route.clone()), ("status", status.to_string())];
    counter!("flowtest_http_requests_total", &labels).increment(1);
    histogram!("flowtest_http_request_seconds", "route" => route.clone()).record(seconds);
    let client = client_address(req, &App::of(depot).config.proxies);
    let request = depot.request_id().unwrap_or_default();
    tracing::info!(%method, %route, status, ms = (seconds * 1e3) as u64, %client, request, "request");
}

/// The method of a request that somebody may mean. Anybody can make up others, and each would be counted for ever.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_somebody_made_up_are_counted_as_one() {
        for (method, counted) in
            [("GET", "GET"), ("POST", "POST"), ("get", "other"), ("X-1", "other"), ("PUT", "other")]
        {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!(label(&method), counted);
        }
    }
}
