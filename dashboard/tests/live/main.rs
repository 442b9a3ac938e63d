//! The live feed: what it shows to whom under virtual time, and the whole of it over real sockets and a real Redis.

mod following;
mod frozen;
mod outages;
mod questions;
mod restarts;
mod round;
mod stage;
mod subscriptions;
mod viewer;
