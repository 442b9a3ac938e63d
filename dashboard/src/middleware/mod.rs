//! What every request passes before its handler: who asks, whether it may, and the headers of every answer.
//!
//! | module | noun |
//! |---|---|
//! | [`address`] | where a request really comes from |
//! | [`guard`] | who may use a route |
//! | [`headers`] | security headers of every answer |
//! | [`observe`] | one log line and one count per request |
//! | [`origin`] | requests that another site made a browser send |
//! | [`throttle`] | how often somebody may fail |
//! | [`viewer`] | who asks |

pub mod address;
pub mod guard;
pub mod headers;
pub mod observe;
pub mod origin;
pub mod throttle;
pub mod viewer;
