//! The control desk: everything an organiser decides, between the database, which is the truth, and Redis, which
//! generators read. Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`settings`] | what is decided about the contest beside who plays |
//! | [`form`] | the same as typed, with everything that is wrong with it at once |
//! | [`difference`] | what a change of it would change, in words |
//! | [`roster`] | who plays |
//! | [`show`] | freeze and reveal |
//! | [`readiness`] | GO or NO-GO |
//! | [`instant`] | instants as people type them |
//! | [`link`] | the thread that speaks with Redis |
//! | [`desk`] | the control document: changed, saved, published |
//! | `people` | how it follows accounts and endpoints |
//! | `round` | a round from arming to its seal |
//! | [`asks`] | tests of endpoints, and practice |
//! | `run` | what happens by itself, four times a second |
//!
//! The first seven are functions of their arguments.

pub mod asks;
pub mod desk;
pub mod difference;
pub mod form;
pub mod instant;
pub mod link;
mod people;
pub mod readiness;
pub mod roster;
mod round;
mod run;
pub mod settings;
pub mod show;

pub use desk::{ChangeError, Conflict, Made, OpenError, Organiser, Sealing, Status};
pub use link::{Link, LinkError};
