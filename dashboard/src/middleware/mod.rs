//! What every request passes before its handler: who asks, whether it may, and the headers of every answer.
//!
//! | module | noun |
//! |---|---|
//! | [`guard`] | who may use a route |
//! | [`headers`] | security headers of every answer |
//! | [`observe`] | one log line and one count per request |
//! | [`origin`] | requests that another site made a browser send |
//! | [`viewer`] | who asks |

pub mod device;
pub mod guard;
pub mod headers;
pub mod observe;
pub mod origin;
pub mod viewer;
