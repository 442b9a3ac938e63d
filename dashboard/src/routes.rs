//! Every route of the dashboard: its method, its path and who may use it. What is not in this list does not exist.

use crate::app::App;
use crate::handlers::assets::{Assets, keep_for_ever};
use crate::handlers::{
    account, api, audit, chart, explain, export, front, health, index, invitation, live, login, register, report,
    rules, screen, setting,
};
use crate::middleware::crowds::{limit_requests, note_connection};
use crate::middleware::form_tokens;
use crate::middleware::guard::{Access, Guard};
use crate::middleware::headers::SecurityHeaders;
use crate::middleware::host::refuse_unclear_host;
use crate::middleware::observe::observe;
use crate::middleware::origin::refuse_other_sites;
use crate::middleware::viewer::load_viewer;
use salvo::catcher::Catcher;
use salvo::handler::ArcHandler;
use salvo::http::Method;
use salvo::prelude::*;
use salvo::serve_static::static_embed;
use salvo_compression::{Compression, CompressionLevel};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest body of a form, in bytes: a traffic plan and two lists of networks.
const BODY_BYTES_MAX: u64 = 64 << 10;
/// A login in a crowd waits for its turn at the passwords.
const TIMEOUT: Duration = Duration::from_secs(45);

/// One way in.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    goal: ArcHandler,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} for {:?}", self.method, self.path, self.access)
    }
}

fn get(path: &'static str, access: Access, goal: impl Handler) -> Route {
    Route { method: Method::GET, path, access, goal: goal.arc() }
}

fn post(path: &'static str, access: Access, goal: impl Handler) -> Route {
    Route { method: Method::POST, path, access, goal: goal.arc() }
}

pub fn routes() -> Vec<Route> {
    use Access::{Admin, Public, Screen, Staff};
    vec![
        get("/", Public, front::home),
        get("/login", Public, login::show_page),
        post("/login", Public, login::sign_in),
        get("/login/link/{name}/{secret}", Public, login::show_link),
        post("/login/link/{name}/{secret}", Public, login::sign_in_by_link),
        get("/logout", Public, login::ask),
        post("/logout", Public, login::sign_out),
        get("/register", Public, register::show_page),
        post("/register", Public, register::redeem),
        get("/rules", Public, rules::show_page),
        // the machine at a wall
        get("/screen", Public, screen::show_page),
        post("/screen", Public, screen::enter),
        get("/screen/{code}", Public, screen::follow),
        // a contestant's own page
        get("/index", Staff, index::show_page),
        post("/index/endpoint", Staff, index::set_endpoint),
        post("/index/endpoint/reset", Staff, index::reset_endpoint),
        post("/index/probe", Staff, index::probe),
        get("/index/probe/{id}", Staff, index::probe_answer),
        post("/index/practice", Staff, index::practice),
        post("/index/climb", Staff, index::climb),
        get("/index/practice/{id}", Staff, index::practice_report),
        // control of the contest
        get("/setting", Admin, setting::show_page),
        get("/setting/live", Admin, setting::show_live),
        get("/setting/contest", Admin, setting::show_contest),
        post("/setting/contest", Admin, setting::save_contest),
        post("/setting/contest/preview", Admin, setting::preview_contest),
        get("/setting/team/{id}", Admin, setting::show_team),
        post("/setting/adopt", Admin, setting::adopt),
        post("/setting/round/arm", Admin, setting::arm_round),
        post("/setting/test-all", Admin, setting::test_all),
        post("/setting/remind", Admin, setting::remind),
        post("/setting/round/pause", Admin, setting::pause_round),
        post("/setting/round/resume", Admin, setting::resume_round),
        post("/setting/round/stop", Admin, setting::stop_round),
        post("/setting/round/abort", Admin, setting::abort_round),
        post("/setting/round/next", Admin, setting::next_round),
        post("/setting/round/seal", Admin, setting::seal_round),
        post("/setting/round/ruling", Admin, setting::rule_round),
        post("/setting/halt", Admin, setting::halt_traffic),
        post("/setting/deadline", Admin, setting::move_deadline),
        post("/setting/freeze", Admin, setting::freeze_board),
        post("/setting/unfreeze", Admin, setting::unfreeze_board),
        post("/setting/reveal", Admin, setting::reveal_board),
        post("/setting/reveal-at", Admin, setting::time_reveal),
        post("/setting/end", Admin, setting::end_contest),
        post("/setting/announce", Admin, setting::make_announcement),
        post("/setting/announce/{id}/end", Admin, setting::end_announcement),
        post("/setting/contestant/{id}/{action}", Admin, setting::change_contestant),
        post("/setting/adjustment/{id}/withdraw", Admin, setting::withdraw_adjustment),
        post("/setting/user/{id}/{action}", Admin, setting::change_user),
        post("/setting/screen", Admin, setting::make_screen),
        post("/setting/screen/{id}/revoke", Admin, setting::revoke_screen),
        post("/setting/invitations", Admin, invitation::create),
        post("/setting/backup", Admin, setting::make_backup),
        get("/setting-token", Admin, invitation::show_page),
        post("/setting-token/revoke", Admin, invitation::revoke),
        get("/setting-token/export.csv", Admin, invitation::export_csv),
        get("/setting-token/slips", Admin, invitation::print_slips),
        // scores
        get("/chart", Screen, chart::show_page),
        get("/live", Screen, live::watch),
        get("/api/me", Staff, api::me),
        get("/api/me/seconds", Staff, api::my_seconds),
        get("/api/standings", Screen, api::standings_now),
        get("/api/history", Screen, api::history_since),
        get("/api/moment", Screen, api::moment),
        get("/api/reveal", Admin, api::reveal),
        get("/export/standings.csv", Staff, export::standings_csv),
        get("/export/standings.json", Staff, export::standings_json),
        get("/export/history.csv", Staff, export::history_csv),
        get("/export/rounds.csv", Staff, export::rounds_csv),
        get("/export/errors.csv", Staff, export::errors_csv),
        get("/export/audit.csv", Admin, audit::export),
        get("/report.html", Admin, report::download),
        // one's own account
        get("/account", Staff, account::show_page),
        post("/account/password", Staff, account::set_password),
        post("/account/display-name", Staff, account::set_display_name),
        post("/account/contact", Staff, account::set_contact),
        // Its name before 0.2, until 0.3.
        post("/account/shown", Staff, account::set_display_name),
        post("/account/sessions/{id}/end", Staff, account::end_session),
        post("/account/sessions/end-others", Staff, account::end_others),
        get("/audit", Admin, audit::show_page),
    ]
}

/// The whole service: pages, files, health, and the answer to everything else.
pub fn service(app: &Arc<App>) -> Service {
    let https = app.config.is_https();
    let flash_name = if https { "__Host-flowtest-flash" } else { "flowtest-flash" };
    let flash = salvo_flash::CookieStore::new().name(flash_name).secure(https).into_handler();
    let mut pages = Router::new()
        .hoop(
            Compression::new()
                .disable_all()
                .enable_gzip(CompressionLevel::Fastest)
                .enable_brotli(CompressionLevel::Fastest),
        )
        .hoop(salvo::size_limiter::max_size(BODY_BYTES_MAX))
        .hoop(refuse_other_sites)
        .hoop(form_tokens::refuse_other_bodies)
        .hoop(load_viewer)
        .hoop(limit_requests);
    let (form_tokens, flash) = (form_tokens::check(app).arc(), flash.arc());
    let opened: HashSet<&str> =
        routes().iter().filter(|route| route.method == Method::GET).map(|route| route.path).collect();
    for route in routes() {
        // The root is where there is no path.
        let at = if route.path == "/" {
            Router::new().filter_fn(|req, _| req.uri().path() == "/")
        } else {
            Router::with_path(route.path)
        };
        let mut router = at.hoop(Guard(route.access));
        // A WebSocket lives longer than any page takes, and has no form.
        if route.path != "/live" {
            router = router.hoop(Timeout::new(TIMEOUT)).hoop(form_tokens.clone()).hoop(flash.clone());
        }
        let method = route.method.clone();
        let goal = route.goal;
        pages = pages.push(match method {
            Method::GET => router.get(goal.clone()).head(goal),
            // The address of a form that is opened is no page: its form is on one.
            _ if opened.contains(route.path) => router.post(goal),
            _ => router.post(goal).get(front::form_page),
        });
    }
    let files = Router::with_path("/static/{build}/{**path}")
        .hoop(keep_for_ever)
        .hoop(Compression::new().disable_all().enable_gzip(CompressionLevel::Default))
        .get(static_embed::<Assets>());
    let router = Router::new()
        .push(Router::with_path("/healthz").get(health::alive))
        .push(Router::with_path("/readyz").get(health::ready))
        .push(files)
        .push(pages);
    Service::new(router)
        .hoop(CatchPanic::new())
        .hoop(RequestId::new())
        .hoop(salvo::affix_state::inject(app.clone()))
        .hoop(SecurityHeaders { https })
        .hoop(note_connection)
        .hoop(observe)
        .hoop(refuse_unclear_host)
        .catcher(Catcher::default().hoop(explain::explain))
}
