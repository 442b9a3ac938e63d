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

pub mod difference;
pub mod form;
pub mod instant;
pub mod readiness;
pub mod roster;
pub mod settings;
pub mod show;
