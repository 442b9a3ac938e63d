//! The bare address: everybody goes where they belong.

use crate::middleware::viewer::Viewer;
use salvo::prelude::*;

/// Where somebody starts after signing in.
pub fn start_of(viewer: &Viewer) -> &'static str {
    if viewer.is_admin() { "/chart" } else { "/index" }
}

#[handler]
pub async fn home(depot: &mut Depot, res: &mut Response) {
    res.render(Redirect::other(Viewer::maybe(depot).map_or("/login", start_of)));
}
