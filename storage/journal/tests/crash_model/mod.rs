//! The model that `crash.rs` runs: a disk, a Redis, and histories that use both.

pub(crate) mod disk;
pub(crate) mod history;
pub(crate) mod redis;
