//! What every request that failed is told: a page for people, JSON for scripts. It runs last, as the service's catcher.

use crate::app::App;
use crate::error::{Explanation, wants_page};
use crate::handlers::{frame, kept};
use crate::middleware::form_tokens;
use crate::middleware::viewer::Viewer;
use crate::views::{ErrorPage, Field, LoginPage, Page};
use sailfish::TemplateSimple;
use salvo::http::{Method, StatusCode};
use salvo::prelude::*;
use salvo::request_id::RequestIdDepotExt;
use std::sync::Arc;

/// Says what the handler said; what failed without a word of ours (unknown paths, bodies that are too large, slow
/// answers) is explained by its status.
#[handler]
pub async fn explain(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    if depot.get_typed::<Arc<App>>().is_err() {
        return;
    }
    ctrl.skip_rest();
    let status = res.status_code.unwrap_or(StatusCode::NOT_FOUND);
    let said = depot.get_typed::<Explanation>().ok().cloned();
    let (title, message) = match said {
        Some(Explanation { for_organisers: Some(words), .. }) if Viewer::maybe(depot).is_some_and(Viewer::is_admin) => {
            words
        }
        Some(Explanation { title, message, .. }) => (title, message),
        None => {
            let (title, message) = words(status);
            (title, message.to_owned())
        }
    };
    if status == StatusCode::UNAUTHORIZED && *req.method() == Method::POST && wants_page(req) {
        // Nobody is to type it again: it goes along through signing in.
        if let Some(typed) = kept::of(req).await {
            return sign_in(req, depot, res, typed);
        }
    }
    if !wants_page(req) {
        // `sentence` is what 0.1 called the message; it goes with 0.3.
        return res.render(Json(serde_json::json!({ "error": title, "message": message, "sentence": message })));
    }
    let mut layout = frame::bare_layout(depot, Page::Error, title);
    layout.request_id = depot.request_id().map(str::to_owned);
    let title = title.to_owned();
    let page = ErrorPage { layout, status: status.as_u16(), title, message, retry_after_seconds: None };
    match page.render_once() {
        Ok(html) => res.render(Text::Html(html)),
        Err(error) => tracing::error!(%error, "the error page cannot be rendered"),
    }
}

/// What whoever sent more than goes along through signing in is told.
const TOO_LONG_TO_KEEP: &str = "Your session has ended, and what you sent is too long to go along while you sign in. Nothing was \
                                done. Go back in your browser, where it still stands, sign in in another tab, and send it again.";

/// The page for signing in, with a form that was sent when its session had ended.
fn sign_in(req: &Request, depot: &Depot, res: &mut Response, typed: kept::Typed) {
    let mut layout = frame::bare_layout(depot, Page::Login, "Sign in");
    layout.csrf = form_tokens::for_nobody(req, App::of(depot), res);
    let (kept, error) = match typed {
        kept::Typed::Kept(kept) => (Some(kept), None),
        kept::Typed::TooLong => (None, Some(TOO_LONG_TO_KEEP.to_owned())),
    };
    let (name, next) = (Field::default(), String::new());
    let page = LoginPage { layout, name, next, error, wait_seconds: None, kept };
    match page.render_once() {
        Ok(html) => res.render(Text::Html(html)),
        Err(error) => tracing::error!(%error, "the page for signing in cannot be rendered"),
    }
}

fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::NOT_FOUND => ("There is no such page", "Go back, or start from the first page."),
        StatusCode::METHOD_NOT_ALLOWED => ("That cannot be done here", "Open the page and use its form."),
        StatusCode::PAYLOAD_TOO_LARGE => ("That is too long", "Shorten what you send: forms take 64 KiB."),
        StatusCode::FORBIDDEN => {
            ("This form is too old", "Go back, load the page again and send it once more; nothing was changed.")
        }
        StatusCode::SERVICE_UNAVAILABLE => ("That took too long", "Nothing is known to have changed; try again."),
        StatusCode::INTERNAL_SERVER_ERROR => {
            ("This is our fault", "Try again; if it stays, tell the organisers the number below.")
        }
        _ => ("That did not work", "Go back and try again."),
    }
}
