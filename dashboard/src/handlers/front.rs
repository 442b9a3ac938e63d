//! The bare address: everybody goes where they belong.

use crate::middleware::viewer::{Viewer, start_page};
use salvo::prelude::*;

#[handler]
pub async fn home(depot: &mut Depot, res: &mut Response) {
    res.render(Redirect::other(Viewer::maybe(depot).map_or("/login", |viewer| start_page(viewer.user.role))));
}
