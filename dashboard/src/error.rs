//! What a request may fail by: a status, the cause in plain words, the next step.
//!
//! Here an error becomes a status and an [`Explanation`] in the depot. The catcher makes the page or the JSON of it, so
//! that what fails below the pages need not know how a page looks.

use crate::views::format::as_message;
use salvo::http::{HeaderValue, StatusCode, header};
use salvo::prelude::*;
use salvo::request_id::RequestIdDepotExt;

#[derive(Debug)]
pub enum RequestError {
    /// Nobody is signed in.
    SignIn,
    Forbidden(&'static str),
    NotFound,
    /// No browser sends such a thing: what is wrong with it.
    Malformed(&'static str),
    /// Somebody else was faster, or the contest is not where this would make sense.
    Conflict(String),
    /// The form makes no sense at all; what can be corrected is shown in the form instead.
    Unprocessable(String),
    /// Too often: seconds to wait.
    TooMany(u64),
    /// As many as may be are asking at this moment: seconds to wait.
    Crowded(u64),
    /// Something that we need is away.
    Unavailable(String),
    /// Redis does not do its part: why, in words for an organiser.
    Redis(String),
    /// The database does not do it: why, in words for an organiser.
    Database(String),
    /// Our own fault; the log has the rest.
    Internal(String),
}

impl From<flowtest_accounts::Error> for RequestError {
    fn from(error: flowtest_accounts::Error) -> RequestError {
        use flowtest_accounts::Error;
        match error {
            Error::Invalid { message, .. } => RequestError::Unprocessable(message),
            Error::Missing(_) => RequestError::NotFound,
            Error::NameTaken | Error::LastAdmin | Error::Stale { .. } | Error::Refused(_) | Error::Exists(_) => {
                RequestError::Conflict(error.to_string())
            }
            Error::Overloaded => RequestError::Unavailable(error.to_string()),
            Error::Busy | Error::Full | Error::ReadOnly | Error::Gone | Error::Failed(_) => {
                RequestError::Database(error.to_string())
            }
            Error::Newer { .. } => RequestError::Internal(error.to_string()),
        }
    }
}

impl RequestError {
    pub fn status(&self) -> StatusCode {
        match self {
            RequestError::SignIn => StatusCode::UNAUTHORIZED,
            RequestError::Forbidden(_) => StatusCode::FORBIDDEN,
            RequestError::NotFound => StatusCode::NOT_FOUND,
            RequestError::Malformed(_) => StatusCode::BAD_REQUEST,
            RequestError::Conflict(_) => StatusCode::CONFLICT,
            RequestError::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            RequestError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            RequestError::Crowded(_)
            | RequestError::Unavailable(_)
            | RequestError::Redis(_)
            | RequestError::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            RequestError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn words(&self) -> (&'static str, String) {
        match self {
            RequestError::SignIn => ("Please sign in", "This page is for those who are signed in.".to_owned()),
            RequestError::Forbidden(why) => ("This is not for you", as_message(why)),
            RequestError::NotFound => ("There is no such page", "Go back, or start from the first page.".to_owned()),
            RequestError::Malformed(why) => ("This is no request", as_message(why)),
            RequestError::Conflict(why) => ("That does not fit any more", as_message(why)),
            RequestError::Unprocessable(why) => ("That makes no sense here", as_message(why)),
            RequestError::TooMany(seconds) => ("Too many tries", format!("Wait {seconds} seconds and try again.")),
            RequestError::Crowded(seconds) => {
                ("Too many at once", format!("Wait {seconds} seconds and try again: nothing was done."))
            }
            RequestError::Unavailable(why) => ("Something is away", as_message(why)),
            RequestError::Redis(_) => {
                ("Something of ours is away", "Try again in a minute; if it stays, tell the organisers.".to_owned())
            }
            RequestError::Database(_) => (
                "Something of ours is away",
                "Nothing was saved. Try again in a minute; if it stays, tell the organisers.".to_owned(),
            ),
            RequestError::Internal(_) => {
                ("This is our fault", "Try again; if it stays, tell the organisers the number below.".to_owned())
            }
        }
    }
}

/// What the catcher says about a request that failed.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub title: &'static str,
    pub message: String,
    /// Title and message for those who can do something about our machines, where they are others.
    pub for_organisers: Option<(&'static str, String)>,
}

#[async_trait]
impl Writer for RequestError {
    async fn write(self, req: &mut Request, depot: &mut Depot, res: &mut Response) {
        if let RequestError::Internal(cause) | RequestError::Database(cause) = &self {
            tracing::error!(cause, request = depot.request_id().unwrap_or_default(), "failed");
        }
        if let RequestError::TooMany(seconds) | RequestError::Crowded(seconds) = self {
            res.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, RequestError::SignIn) && *req.method() == salvo::http::Method::GET && wants_page(req) {
            let next = req.uri().path().to_owned();
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            return res.render(Redirect::other(format!("/login?next={next}")));
        }
        res.status_code(self.status());
        let (title, message) = self.words();
        let for_organisers = match &self {
            RequestError::Redis(why) => Some(("Redis does not do its part", as_message(why))),
            RequestError::Database(why) => Some(("The database did not do it", as_message(why))),
            _ => None,
        };
        depot.insert_typed(Explanation { title, message, for_organisers });
    }
}

/// Whether a person looks, and no script.
pub fn wants_page(req: &Request) -> bool {
    let path = req.uri().path();
    let accept = req.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    !path.starts_with("/api/") && !path.starts_with("/live") && !accept.starts_with("application/json")
}
