//! From an endpoint to addresses that answer right, and which of them may be flooded.
//!
//! | module | noun |
//! |---|---|
//! | [`resolve`] | names and their addresses |
//! | [`guard`] | which addresses a contest may flood |
//! | [`resolver`] | the thread that asks for them again while a round runs |
//! | [`trust`] | whom servers over https are trusted by |
//! | [`probe`] | a few tokens to an endpoint beside the flood: of one, of a whole roster, on request |
//! | [`source_addresses`] | where our requests come from |

pub mod guard;
pub mod probe;
pub mod resolve;
pub mod resolver;
pub mod source_addresses;
pub mod trust;
