//! Who may have how much, counted by where requests come from.
//!
//! | module | noun |
//! |---|---|
//! | [`address`] | where a request really comes from, and the networks around an address |
//! | [`connections`] | who may hold how many connections |
//! | [`under_way`] | how many requests and passwords at once |
//! | [`throttle`] | how often somebody may fail |

pub mod address;
pub mod connections;
pub mod throttle;
pub mod under_way;
