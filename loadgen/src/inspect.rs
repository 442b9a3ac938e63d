//! `inspect`
use crate::Failed;
use crate::cli::journal::Inspect;
pub fn inspect(_: &Inspect) -> Result<u8, Failed> { Ok(0) }
