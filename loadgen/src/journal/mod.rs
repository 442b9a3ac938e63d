//! The commands that read journals.
//!
//! | module | noun |
//! |---|---|
//! | [`flags`] | what the commands are asked |
//! | [`folders`] | the streams that lie in folders |
//! | [`audit`] | judges every trace again, sums, compares |
//! | [`rebuild`] | publishes what Redis lacks, ends streams of the dead |
//! | [`export`], [`inspect`] | records as lines; what lies there |

pub mod audit;
pub mod export;
pub mod flags;
pub mod folders;
pub mod inspect;
pub mod rebuild;
