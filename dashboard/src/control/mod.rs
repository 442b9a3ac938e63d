//! The control of the contest: everything an organiser decides, between the database, which is the truth, and Redis,
//! which generators read. Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`settings`] | what is decided about the contest beside who plays |
//! | [`form`] | the same as typed, with everything that is wrong with it at once |
//! | [`plan_rows`] | the traffic plan as rows, and read phase by phase |
//! | [`merge`] | what two people typed at once, put together |
//! | [`difference`] | what a change of it would change, in words |
//! | [`roster`] | who plays |
//! | [`show`] | freeze and reveal |
//! | [`readiness`] | GO or NO-GO |
//! | [`shares`] | which generators have a share of the round that is on, and since when |
//! | [`platform`] | its own addresses, which nobody floods |
//! | [`instant`] | instants as people type them |
//! | `error` | why something is refused |
//! | [`link`] | the thread that speaks with Redis |
//! | `stored` | a value of the database with its version |
//! | `feed_facts` | what the live feed is told |
//! | [`document`] | the control document: changed, saved, published |
//! | [`requests`] | tests of endpoints, and practice |
//! | [`automation`] | what happens by itself, four times a second |
//! | `controller` | these parts tied together, and what needs several of them |
//! | `arming` | generators for a round |
//! | `contestants` | what is done to one contestant |
//!
//! The first ten are functions of their arguments, but `platform`, which looks names up.

mod arming;
pub mod automation;
pub mod contestants;
mod controller;
pub mod difference;
pub mod document;
mod error;
mod feed_facts;
pub mod form;
pub mod instant;
pub mod link;
pub mod merge;
pub mod plan_rows;
pub mod platform;
pub mod readiness;
pub mod requests;
pub mod roster;
pub mod settings;
pub mod shares;
pub mod show;
mod stored;

pub use automation::Sealing;
pub use controller::{Controller, Status};
pub use document::{Conflict, Made};
pub use error::{ChangeError, OpenError};
pub use feed_facts::house_results;
pub use link::{Link, LinkError};
