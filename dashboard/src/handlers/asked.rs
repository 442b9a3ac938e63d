//! What a request asks for beside its path: for whom, about whom, and by which address of this site.

use crate::app::App;
use crate::error::RequestError;
use crate::live::{Audience, UserKey};
use crate::middleware::viewer::Viewer;
use flowtest_accounts::{Role, User, UserId};
use salvo::http::header;
use salvo::{Depot, Request};

/// For whom the scores of an answer are: for who asks, or with `?as=public` for everybody.
pub fn audience(req: &mut Request, depot: &Depot) -> Audience {
    if req.query::<String>("as").as_deref() == Some("public") {
        return Audience::Public;
    }
    match Viewer::maybe(depot) {
        None => Audience::Public,
        Some(viewer) if viewer.is_admin() => Audience::Admin,
        Some(viewer) => Audience::Owner(UserKey::of_user(viewer.user.id.0)),
    }
}

/// Whose figures are asked for: one's own, or with `?as=` anybody's, for an admin.
pub async fn contestant(req: &mut Request, depot: &Depot, app: &App) -> Result<User, RequestError> {
    let viewer = Viewer::of(depot)?;
    let asked = req.query::<i64>("as").map(UserId);
    match asked {
        None => Ok(viewer.user.clone()),
        Some(id) if id == viewer.user.id => Ok(viewer.user.clone()),
        // To others it does not even say whether there is such a contestant.
        Some(_) if !viewer.is_admin() => Err(RequestError::NotFound),
        Some(id) => app.accounts.user(id).await?.filter(|user| user.role == Role::Staff).ok_or(RequestError::NotFound),
    }
}

/// The address of this site as people type it: the configured one, else the one that was asked.
pub fn site(req: &Request, app: &App) -> String {
    if let Some(url) = &app.config.public_url {
        return url.clone();
    }
    // HTTP/2 has it in the URI.
    let authority = req.uri().authority().map(|authority| authority.as_str());
    let host = authority.or_else(|| req.headers().get(header::HOST).and_then(|host| host.to_str().ok()));
    let host = host.filter(|host| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)));
    let scheme = if app.config.is_https() { "https" } else { "http" };
    format!("{scheme}://{}", host.map_or_else(|| app.config.listen.to_string(), str::to_owned))
}
