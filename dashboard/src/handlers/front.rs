//! The bare address, and the addresses of forms: everybody goes where they belong.

use crate::error::RequestError;
use crate::middleware::viewer::{Viewer, start_page};
use salvo::prelude::*;

#[handler]
pub async fn home(depot: &mut Depot, res: &mut Response) {
    res.render(Redirect::other(Viewer::maybe(depot).map_or("/login", |viewer| start_page(viewer.user.role))));
}

/// Whoever opens the address to which a form goes, such as from the history of a browser, is sent to the form.
#[handler]
pub async fn form_page(req: &mut Request, res: &mut Response) -> Result<(), RequestError> {
    res.render(Redirect::other(page_of(req.uri().path()).ok_or(RequestError::NotFound)?));
    Ok(())
}

/// The page on which the form stands that goes to a path. Nothing of those who are not signed in.
pub fn page_of(path: &str) -> Option<String> {
    let mut parts = path.strip_prefix('/')?.split('/');
    let (first, second, third) = (parts.next()?, parts.next(), parts.next());
    let page = match (first, second) {
        ("setting", Some("contestant")) => {
            let id: i64 = third?.parse().ok()?;
            return Some(format!("/setting?team={id}#team-{id}"));
        }
        ("setting", Some("contest")) => "/setting/contest",
        ("setting", Some("invitations")) | ("setting-token", Some(_)) => "/setting-token",
        ("setting", Some("user")) => "/setting#people",
        ("setting", Some("screen")) => "/setting#screens",
        ("setting", Some("announce")) => "/setting#announce",
        ("setting", Some("backup")) => "/setting#backup",
        ("setting", Some("adjustment")) => "/setting#teams",
        ("setting", Some(_)) => "/setting#round",
        ("index", Some(_)) => "/index",
        ("account", Some(_)) => "/account",
        _ => return None,
    };
    Some(page.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_somebody_who_is_signed_in_has_its_page() {
        let posts = [
            ("/setting/halt", Some("/setting#round")),
            ("/setting/contest", Some("/setting/contest")),
            ("/setting/contest/preview", Some("/setting/contest")),
            ("/setting/contestant/3/park", Some("/setting?team=3#team-3")),
            ("/setting/contestant/x/park", None),
            ("/setting-token/revoke", Some("/setting-token")),
            ("/index/endpoint", Some("/index")),
            ("/account/password", Some("/account")),
            ("/login", None),
            ("/logout", None),
            ("//evil.example/setting/halt", None),
            ("setting/halt", None),
        ];
        for (path, page) in posts {
            assert_eq!(page_of(path).as_deref(), page, "{path}");
        }
    }
}
