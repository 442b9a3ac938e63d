//! What contestants count, made up for those who measure what becomes of it.

use flowtest_contract::Tally;

/// An answer of the reference server, in bytes.
const ANSWER_BYTES: u64 = 227;

/// So many answers that are right, and so many that never came.
pub(crate) fn counted(right: u64, timeout: u64) -> Tally {
    Tally {
        due: right + timeout,
        sent: right + timeout,
        token_right: right,
        version_right: right,
        from_right: right,
        timeout,
        bytes: right * ANSWER_BYTES,
        ..Tally::default()
    }
}
