//! Every batch and verdict on disk before it counts.

pub mod error;
pub mod record;
pub mod stream;
pub mod writer;

pub use error::{JournalError, free_bytes};
