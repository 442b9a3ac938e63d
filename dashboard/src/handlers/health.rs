//! Whether the process lives, and whether it can do its work. Both say nothing that an outsider should not know.

use crate::app::App;
use salvo::http::StatusCode;
use salvo::prelude::*;
use serde_json::json;

/// The collector looks once a second; older than this it is stuck or Redis is away.
const LOOKED_US_MAX: u64 = 3_000_000;

#[handler]
pub async fn alive(res: &mut Response) {
    res.render(Text::Plain("alive\n"));
}

/// 503 until everything we need answers.
#[handler]
pub async fn ready(depot: &mut Depot, res: &mut Response) {
    let app = App::of(depot);
    // Also whether it takes writes, as it was found some seconds ago.
    let database = app.controller.status().database.trouble.is_none() && app.accounts.is_alive().await;
    let redis_age = app.redis_seen_at().map(|at| app.now().saturating_since(at));
    let redis = redis_age.is_some_and(|age| age < LOOKED_US_MAX);
    if !(database && redis) {
        res.status_code(StatusCode::SERVICE_UNAVAILABLE);
    }
    let age_ms = redis_age.map(|age| age / 1_000);
    res.render(Json(
        json!({ "ready": database && redis, "database": database, "redis": redis, "redis_age_ms": age_ms }),
    ));
}
