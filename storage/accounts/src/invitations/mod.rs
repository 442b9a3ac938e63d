//! How strangers become people.

pub(crate) mod invite;
pub(crate) mod redeem;
pub(crate) mod token;
