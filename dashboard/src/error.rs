//! What a request may fail by, and the answer it gets: a status, the cause in plain words, the next step.

use crate::handlers::frame;
use crate::views::{ErrorPage, Page};
use sailfish::TemplateSimple;
use salvo::http::{HeaderValue, StatusCode, header};
use salvo::prelude::*;
use salvo::request_id::RequestIdDepotExt;

#[derive(Debug)]
pub enum Failure {
    /// Nobody is signed in.
    SignIn,
    Forbidden(&'static str),
    NotFound,
    /// Somebody else was faster, or the contest is not where this would make sense.
    Conflict(String),
    /// The form makes no sense at all; what can be corrected is shown in the form instead.
    Unprocessable(String),
    /// Too often: seconds to wait.
    TooMany(u64),
    /// Something that we need is away.
    Unavailable(String),
    /// Our own fault; the log has the rest.
    Internal(String),
}

impl From<flowtest_accounts::Error> for Failure {
    fn from(error: flowtest_accounts::Error) -> Failure {
        use flowtest_accounts::Error;
        match error {
            Error::Invalid { message, .. } => Failure::Unprocessable(message),
            Error::Missing(_) => Failure::NotFound,
            Error::NameTaken | Error::LastAdmin | Error::Stale { .. } | Error::Refused(_) | Error::Exists(_) => {
                Failure::Conflict(error.to_string())
            }
            Error::Busy | Error::Overloaded => Failure::Unavailable(error.to_string()),
            Error::Newer { .. } | Error::Failed(_) => Failure::Internal(error.to_string()),
        }
    }
}

impl Failure {
    pub fn status(&self) -> StatusCode {
        match self {
            Failure::SignIn => StatusCode::UNAUTHORIZED,
            Failure::Forbidden(_) => StatusCode::FORBIDDEN,
            Failure::NotFound => StatusCode::NOT_FOUND,
            Failure::Conflict(_) => StatusCode::CONFLICT,
            Failure::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Failure::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Failure::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn words(&self) -> (&'static str, String) {
        match self {
            Failure::SignIn => ("Please sign in", "This page is for those who are signed in.".to_owned()),
            Failure::Forbidden(why) => ("This is not for you", sentence(why)),
            Failure::NotFound => ("There is no such page", "Go back, or start from the first page.".to_owned()),
            Failure::Conflict(why) => ("That does not fit any more", sentence(why)),
            Failure::Unprocessable(why) => ("That makes no sense here", sentence(why)),
            Failure::TooMany(seconds) => ("Too many tries", format!("Wait {seconds} seconds and try again.")),
            Failure::Unavailable(why) => ("Something is away", sentence(why)),
            Failure::Internal(_) => {
                ("This is our fault", "Try again; if it stays, tell the organisers the number below.".to_owned())
            }
        }
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

#[async_trait]
impl Writer for Failure {
    async fn write(self, req: &mut Request, depot: &mut Depot, res: &mut Response) {
        let status = self.status();
        if let Failure::Internal(cause) = &self {
            tracing::error!(cause, request = depot.request_id().unwrap_or_default(), "failed");
        }
        if let Failure::TooMany(seconds) = self {
            res.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let (title, sentence) = self.words();
        if matches!(self, Failure::SignIn) && *req.method() == salvo::http::Method::GET && wants_page(req) {
            let next = req.uri().path().to_owned();
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            return res.render(Redirect::other(format!("/login?next={next}")));
        }
        answer(req, depot, res, status, title, sentence, None);
    }
}

/// Writes an error as JSON for programs and as a page for people.
pub fn answer(
    req: &Request,
    depot: &Depot,
    res: &mut Response,
    status: StatusCode,
    title: &str,
    sentence: String,
    retry_after_seconds: Option<u64>,
) {
    res.status_code(status);
    if !wants_page(req) {
        return res.render(Json(serde_json::json!({ "error": title, "sentence": sentence })));
    }
    let mut layout = frame::bare_layout(depot, Page::Error, title);
    layout.request_id = depot.request_id().map(str::to_owned);
    let title = title.to_owned();
    let page = ErrorPage { layout, status: status.as_u16(), title, sentence, retry_after_seconds };
    match page.render_once() {
        Ok(html) => res.render(Text::Html(html)),
        Err(error) => tracing::error!(%error, "the error page cannot be rendered"),
    }
}

/// Whether a person looks, and no script.
fn wants_page(req: &Request) -> bool {
    let path = req.uri().path();
    let accept = req.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    !path.starts_with("/api/") && !path.starts_with("/live") && !accept.starts_with("application/json")
}
