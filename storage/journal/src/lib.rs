//! Every batch and verdict on disk before it counts.

pub mod record;
