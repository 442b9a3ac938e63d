//! What the page asks for while a test or a practice runs.

use super::page::{is_over, practice_climb, probe_view, queue_words};
use crate::app::App;
use crate::control::requests::NoRequest;
use crate::error::RequestError;
use crate::handlers::convert::ErrorAnswer;
use crate::live::clock::Millis;
use crate::middleware::viewer::Viewer;
use salvo::prelude::*;
use serde::Serialize;
use serde_json::json;

const NOBODY_YET: &str = "No generator has taken it yet. If it stays so, tell the organisers.";

/// What a test found.
#[derive(Debug, Serialize)]
struct ProbeFound {
    at_ms: Millis,
    /// What 0.1 called `at_ms`; it goes with 0.3.
    at: Millis,
    generator: String,
    endpoint: String,
    address: Option<String>,
    verdicts: Option<[bool; 3]>,
    latency_us: Option<u64>,
    message: String,
    /// What 0.1 called `message`; it goes with 0.3.
    sentence: String,
    head: String,
}

/// `{"done": false}` until the answer is there.
#[handler]
pub async fn probe_answer(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let id = req.param::<String>("id").unwrap_or_default();
    let answer = app.controller.requests().probe(&id, &viewer.user, viewer.is_admin()).await.map_err(no_request)?;
    let found = answer.map(|answer| probe_view(answer, &viewer)).map(|found| ProbeFound {
        at_ms: found.at_ms,
        at: found.at_ms,
        generator: found.generator,
        endpoint: found.endpoint,
        address: found.address,
        verdicts: found.verdicts,
        latency_us: found.latency_us,
        sentence: found.message.clone(),
        message: found.message,
        head: found.head,
    });
    res.render(Json(json!({ "done": found.is_some(), "probe": found })));
    Ok(())
}

/// How a practice goes; `{"done": true, ...}` when it is over. `sentence` is what 0.1 called `message`; it goes with 0.3.
#[handler]
pub async fn practice_report(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let id = req.param::<String>("id").unwrap_or_default();
    let report = app.controller.requests().practice(&id, &viewer.user, viewer.is_admin()).await.map_err(no_request)?;
    let Some(report) = report else {
        let before = app.controller.requests().practices_before(&id, app.now()).await.map_err(no_request)?;
        let place = before.map(|before| before + 1);
        let message = before.map_or_else(|| NOBODY_YET.to_owned(), |before| queue_words(&app, before));
        let answer =
            json!({ "done": false, "state": "asked", "place": place, "message": message, "sentence": message });
        res.render(Json(answer));
        return Ok(());
    };
    let counted = report.counted().unwrap_or_default();
    let errors: Vec<ErrorAnswer> = report.errors.iter().map(ErrorAnswer::from).collect();
    res.render(Json(json!({
        "done": is_over(&report), "state": report.state, "message": report.message, "sentence": report.message,
        "second": report.second, "generator": report.generator, "points": report.points, "p50_us": report.p50_us,
        "p99_us": report.p99_us, "answered": counted.tally.responses(), "due": counted.tally.due, "errors": errors,
        "climb": practice_climb(&app, &report),
    })));
    Ok(())
}

fn no_request(error: NoRequest) -> RequestError {
    match error {
        NoRequest::Unknown => RequestError::NotFound,
        NoRequest::Redis(error) => RequestError::Redis(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use flowtest_scoreboard::practice::{SECONDS_MAX, TIMEOUT_SECONDS};

    /// Between the queue and the answers of a practice.
    const AROUND_SECONDS: u64 = 8;

    #[test]
    fn a_page_follows_a_practice_from_the_end_of_the_queue_to_its_end() {
        let script = include_str!("../../../assets/index.js");
        let number = |name: &str| -> u64 {
            let behind = script.split(&format!("const {name} = ")).nth(1).expect(name);
            behind.split(';').next().and_then(|number| number.parse().ok()).expect("a number")
        };
        let followed_ms = number("POLL_MS") * number("POLLS_MAX");
        assert!(followed_ms >= (TIMEOUT_SECONDS + SECONDS_MAX + AROUND_SECONDS) * 1_000, "{followed_ms} ms");
    }
}
