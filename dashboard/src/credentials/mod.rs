//! What lets somebody in: the places of it that are not the database's.
//!
//! | module | noun |
//! |---|---|
//! | [`password`] | how good a new password is |
//! | [`known_admins`] | who may stop traffic while the database answers nobody |
//! | [`screen_codes`] | short codes for the machines at the walls, and when they were seen |

pub mod known_admins;
pub mod password;
pub mod screen_codes;
