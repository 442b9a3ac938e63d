//! What every request passes before its handler: who asks, whether it may, and the headers of every answer.
//!
//! | module | noun |
//! |---|---|
//! | [`cookies`] | the cookies that we hand out |
//! | [`crowds`] | how many requests may be under way at once |
//! | [`device`] | a browser in which somebody has signed in before |
//! | [`form_tokens`] | the token that every form carries |
//! | [`guard`] | who may use a route |
//! | [`headers`] | security headers of every answer |
//! | [`host`] | requests that do not say which host they mean |
//! | [`observe`] | one log line and one count per request |
//! | [`origin`] | requests that another site made a browser send |
//! | [`screen_cookie`] | the secret of a screen, outside of the address bar |
//! | [`viewer`] | who asks |

pub mod cookies;
pub mod crowds;
pub mod device;
pub mod form_tokens;
pub mod guard;
pub mod headers;
pub mod host;
pub mod observe;
pub mod origin;
pub mod screen_cookie;
pub mod viewer;
