//! What a late turn of a worker shows by the instants in a journal.

use flowtest_contract::rules::UtcUs;

/// Instants are cut to microseconds, each by itself.
pub(super) const CUT_US: u64 = 2;
/// A turn that came late came more than this late, and so did we to a request that was late by us.
pub(super) const LATE_US: u64 = 10_000;

/// Whether we certainly came late to what fell due then, in a turn that came late and lasted from one instant to the other.
pub(super) fn is_certain(from: UtcUs, to: UtcUs, intended: UtcUs) -> bool {
    from.saturating_add(CUT_US) < intended && intended.saturating_add(LATE_US + CUT_US) < to
}
