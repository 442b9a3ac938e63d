//! The wall clock, read in one place. Whatever decides by time gets it as an argument.

use crate::rules::UtcUs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now. A clock before 1970 reads as 0, which shows wherever it is compared.
pub fn utc_us() -> UtcUs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UtcUs::try_from(since.as_micros()).unwrap_or(UtcUs::MAX)
}
