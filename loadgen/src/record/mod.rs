//! From the workers' blocks to the journal and Redis.
//!
//! | module | noun |
//! |---|---|
//! | [`recorder`] | the thread that writes the journal: only what is on disk is published |
//! | [`publish`] | what Redis gets to know of a run |

pub mod publish;
pub mod recorder;
