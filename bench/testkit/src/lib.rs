//! What the tests of all packages share. A package has it as a dev-dependency only, so no program of ours contains it.
//!
//! Everything here panics instead of returning errors: a test that cannot have what it needs proves nothing.

pub mod child;
#[cfg(feature = "redis")]
pub mod documents;
pub mod hostile;
#[cfg(feature = "redis")]
pub mod redis_server;
pub mod scrape;
pub mod scratch;
pub mod servers;
pub mod skipped;
pub mod visitor;
pub mod wait;

pub use child::{Child, Said, program, run};
#[cfg(feature = "redis")]
pub use redis_server::RedisServer;
pub use scrape::scrape;
pub use skipped::{is_long, not_played};
pub use wait::{WAIT_MAX, wait_until, wait_until_or};
