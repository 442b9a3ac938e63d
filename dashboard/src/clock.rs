//! The clock of the whole program. Whatever decides by time gets it as an argument.

use flowtest_contract::rules::UtcUs;

/// Now, in microseconds since 1970, UTC.
pub fn utc_us() -> UtcUs {
    u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0)
}

/// The same instant as pages and the live feed write it.
pub fn utc_ms(at: UtcUs) -> i64 {
    (at / 1_000) as i64
}
