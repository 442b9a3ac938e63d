//! The load generator: floods contestants, judges every response, tallies, publishes.
//!
//! `config -> Plan -> worker -> tally -> publisher`; no arrow points back. In reading order:
//!
//! | room | what it is for |
//! |---|---|
//! | [`engine`] | from an immutable plan to judged and counted answers, on cores of its own |
//! | [`record`] | from the workers' blocks to the journal and Redis: only what is on disk is published |
//! | [`admit`] | from an endpoint to addresses that answer right, and which of them may be flooded |
//! | [`observe`] | what people and tools see of a run: terminal, report, metrics, files |
//! | [`play`] | the commands that flood |
//! | [`journal`] | the commands that read journals |
//! | [`cli`] | which command the flags mean |
//! | [`redis_flags`], [`error`], [`signals`] | which Redis is meant; why a command failed; what asks it to end |

pub mod admit;
pub mod cli;
pub mod engine;
pub mod error;
pub mod journal;
pub mod observe;
pub mod play;
pub mod record;
pub mod redis_flags;
pub mod signals;

pub use error::Failed;
