//! People, what only they know, and who is logged in.

pub(crate) mod login;
pub(crate) mod login_link;
pub(crate) mod password;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod user;
