//! How many requests may be under way at once: of one network, of one account, and of all strangers together. It is counted
//! by the address that a named proxy forwards, so that nobody behind one takes everybody's turn. Organisers are not counted.

use crate::app::App;
use crate::error::RequestError;
use crate::limits::address::{client_address, network};
use crate::limits::connections::{Crowd, Kind};
use crate::middleware::viewer::Viewer;
use salvo::http::StatusCode;
use salvo::prelude::*;

/// What whoever is one too many is told to wait, in seconds.
const AGAIN_S: u64 = 2;

/// Something was asked by a connection: it is not silent any more.
#[handler]
pub async fn note_connection(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    let app = App::of(depot).clone();
    let peer = req.remote_addr().clone().into_std();
    if let Some(peer) = peer {
        app.connections.on_request(peer, Kind::Stranger, Crowd::Network(network(peer.ip().to_canonical())));
    }
    ctrl.call_next(req, depot, res).await;
    if let Some(peer) = peer
        && res.status_code == Some(StatusCode::SWITCHING_PROTOCOLS)
    {
        app.connections.leave(peer);
    }
}

/// Refuses whoever has too many requests under way.
#[handler]
pub async fn limit_requests(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
    ctrl: &mut FlowCtrl,
) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let (kind, crowd) = match Viewer::maybe(depot) {
        Some(viewer) if viewer.is_admin() => (Kind::Organiser, Crowd::Account(viewer.user.id.0)),
        Some(viewer) => (Kind::Contestant, Crowd::Account(viewer.user.id.0)),
        None => (Kind::Stranger, Crowd::Network(network(client_address(req, &app.config.proxies)))),
    };
    if let Some(peer) = req.remote_addr().clone().into_std().filter(|_| kind > Kind::Stranger) {
        app.connections.on_request(peer, kind, crowd);
    }
    let Some(_turn) = app.under_way.begin(kind, crowd) else {
        ctrl.skip_rest();
        return Err(RequestError::Crowded(AGAIN_S));
    };
    ctrl.call_next(req, depot, res).await;
    Ok(())
}
