//! From the workers' blocks to the journal and Redis.
//!
//! | module | noun |
//! |---|---|
//! | [`recorder`] | the thread that writes the journal: only what is on disk is published |
//! | [`publish`] | what Redis gets to know of a run |
//! | [`standstill`] | when a disk or a Redis that does not answer is told |

pub mod publish;
pub mod recorder;
pub mod standstill;
