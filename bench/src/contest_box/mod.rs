//! A contest on one machine, made of children: Redis, contestants, a generator.
//!
//! The demo shows one to people; the end-to-end tests write theirs as scripts. Everything is private: a folder of its
//! own, ports that were free, nothing of the system touched, nothing left running.

pub mod board;
pub mod contest;
pub mod generator;
pub mod journal;
pub mod organiser;
pub mod redis;
pub mod target;

pub use board::Board;
pub use contest::ContestFile;
pub use generator::{Generator, Outcome};
pub use journal::Journal;
pub use redis::Redis;
pub use target::{Injected, Target};
