//! One file a page: what a request asks, in; what the page shows, out. They decide nothing about the contest.

pub mod account;
pub mod api;
pub mod audit;
pub mod chart;
pub mod convert;
pub mod export;
pub mod frame;
pub mod front;
pub mod health;
pub mod index;
pub mod invitation;
pub mod live;
pub mod login;
pub mod owner;
pub mod register;
pub mod report;
pub mod rules;
pub mod setting;

use crate::gate::viewer::Viewer;
use crate::live::{Audience, UserKey};
use salvo::Depot;

/// For whom the scores of an answer are.
pub fn audience(depot: &Depot) -> Audience {
    match Viewer::maybe(depot) {
        None => Audience::Public,
        Some(viewer) if viewer.is_admin() => Audience::Admin,
        Some(viewer) => Audience::Owner(UserKey::of_user(viewer.user.id.0)),
    }
}
