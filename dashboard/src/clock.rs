//! The clock of the whole program. Whatever decides by time gets it as an argument.

use flowtest_contract::rules::UtcUs;
pub use flowtest_contract::utc_us;

/// The same instant as pages and the live feed write it.
pub fn utc_ms(at: UtcUs) -> i64 {
    (at / 1_000) as i64
}
