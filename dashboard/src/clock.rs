//! The clock of the whole program. Whatever decides by time gets it as an argument.

use flowtest_contract::rules::UtcUs;
pub use flowtest_contract::utc_us;

/// Milliseconds since 1970, UTC: the unit of every instant that leaves the server, in JSON and in attributes of pages.
pub type Millis = i64;

/// The same instant as pages and the live feed write it.
pub fn utc_ms(at: UtcUs) -> Millis {
    (at / 1_000) as Millis
}
