//! A contest on one machine, made of children: Redis, contestants, a generator, the dashboard and people who use it.
//!
//! The demo shows one to people; the end-to-end tests write theirs as scripts. Everything is private: a folder of its
//! own, ports that were free, nothing of the system touched, nothing left running.

pub mod board;
pub mod certificate;
pub mod contest;
pub mod control_store;
pub mod dashboard;
pub mod generator;
pub mod journal;
pub mod people;
pub mod redis;
pub mod target;
pub mod visitor;

pub use board::Board;
pub use certificate::Certificate;
pub use contest::ContestFile;
pub use dashboard::Dashboard;
pub use generator::{Generator, Outcome};
pub use journal::Journal;
pub use people::{Admin, Team};
pub use redis::Redis;
pub use target::{Injected, Target};
pub use visitor::Visitor;
