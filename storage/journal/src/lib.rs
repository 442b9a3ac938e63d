//! Every batch and verdict on disk before it counts.
//!
//! A stream is one folder, `DIR/<round>/<stream>/`: `lock`, held by its writer while that lives, and segments
//! `000000.ftj`, `000001.ftj`, ... A segment is a header block and groups of records; a group is what was synced
//! together, and only whole groups count. Nothing that was synced is ever written again, and nothing is deleted.
//!
//! Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`record`] | what is recorded, as rkyv archives it |
//! | `frame` | a record in a segment: checksums and the chain of digests |
//! | `header` | a segment's first block, which says where the one before it ends |
//! | `synced` | records and groups, as they are read |
//! | `sense` | what must hold in a record beyond its checksum |
//! | `group` | the group that is open, in memory |
//! | [`log`] | records in, operations on files out, without any I/O |
//! | [`writer`], `disk`, `executor` | those operations on glommio |
//! | `segment` | the groups in one segment's bytes |
//! | [`stream`] | reading a stream's folder |
//! | `folder` | names, lock, folders that survive a crash |
//! | [`error`] | what can go wrong, as sentences |

#![warn(clippy::missing_errors_doc)]

mod disk;
pub mod error;
mod executor;
mod folder;
mod frame;
mod group;
mod header;
pub mod log;
pub mod record;
mod segment;
mod sense;
pub mod stream;
mod synced;
pub mod writer;

pub use error::{JournalError, free_bytes};
