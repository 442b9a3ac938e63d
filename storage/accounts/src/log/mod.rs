//! The audit log: who did what, when, from where, and what stood there before.

mod actor;
mod audit;

pub use actor::Actor;
pub use audit::{AuditFilter, AuditLine, AuditWord};
pub(crate) use audit::{Change, shortened};
