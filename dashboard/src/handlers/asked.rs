//! What a request asks for beside its path: for whom, and about whom.

use crate::app::App;
use crate::error::RequestError;
use crate::live::{Audience, UserKey};
use crate::middleware::viewer::Viewer;
use flowtest_accounts::{Role, User, UserId};
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
