//! Instants in UTC, and the wall clock, read in one place. Whatever decides by time gets it as an argument.

use serde::{Deserialize, Serialize};
use std::ops::{Add, AddAssign, Sub};
use std::time::{SystemTime, UNIX_EPOCH};

/// An instant in microseconds since the Unix epoch, UTC: what documents, records, rows and deadlines are written in.
///
/// A length of time is a plain integer of microseconds, so that neither is taken for the other. Formats hold the bare integer:
/// serde writes it so, and the journal's records, SQLite and Redis take `.0`. What comes from a document that others write is
/// reckoned with by the `saturating_` methods; `+` and `-` are for instants of our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct UtcUs(pub u64);

impl UtcUs {
    /// 1970, before all that happens.
    pub const EPOCH: UtcUs = UtcUs(0);
    /// After all that happens.
    pub const MAX: UtcUs = UtcUs(u64::MAX);

    /// So many milliseconds after the epoch.
    #[inline]
    pub const fn from_ms(ms: u64) -> UtcUs {
        UtcUs(ms.saturating_mul(1_000))
    }

    /// Whole milliseconds since the epoch.
    #[inline]
    pub const fn ms(self) -> u64 {
        self.0 / 1_000
    }

    /// The last instant, not after this one, that is a whole number of steps after the epoch.
    #[inline]
    pub const fn floor(self, step_us: u64) -> UtcUs {
        UtcUs(self.0 / step_us * step_us)
    }

    /// So many microseconds later.
    #[inline]
    pub const fn saturating_add(self, us: u64) -> UtcUs {
        UtcUs(self.0.saturating_add(us))
    }

    /// So many microseconds earlier.
    #[inline]
    pub const fn saturating_sub(self, us: u64) -> UtcUs {
        UtcUs(self.0.saturating_sub(us))
    }

    /// So many microseconds later, or earlier when they are negative: what another clock says of the same instant.
    #[inline]
    pub const fn saturating_add_signed(self, us: i64) -> UtcUs {
        UtcUs(self.0.saturating_add_signed(us))
    }

    /// Microseconds since an earlier instant; 0 since a later one.
    #[inline]
    pub const fn saturating_since(self, earlier: UtcUs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Microseconds since an earlier instant, unless it is a later one.
    #[inline]
    pub const fn checked_since(self, earlier: UtcUs) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }

    /// Microseconds since another instant, less than 0 when that is later. Right for instants that lie less than 292,000 years
    /// apart.
    #[inline]
    pub const fn signed_since(self, other: UtcUs) -> i64 {
        self.0.wrapping_sub(other.0) as i64
    }

    /// Microseconds between two instants, whichever is earlier.
    #[inline]
    pub const fn abs_diff(self, other: UtcUs) -> u64 {
        self.0.abs_diff(other.0)
    }
}

impl Add<u64> for UtcUs {
    type Output = UtcUs;

    #[inline]
    fn add(self, us: u64) -> UtcUs {
        UtcUs(self.0 + us)
    }
}

impl AddAssign<u64> for UtcUs {
    #[inline]
    fn add_assign(&mut self, us: u64) {
        self.0 += us;
    }
}

impl Sub<u64> for UtcUs {
    type Output = UtcUs;

    #[inline]
    fn sub(self, us: u64) -> UtcUs {
        UtcUs(self.0 - us)
    }
}

impl Sub for UtcUs {
    type Output = u64;

    #[inline]
    fn sub(self, earlier: UtcUs) -> u64 {
        self.0 - earlier.0
    }
}

/// Now. A clock before 1970 reads as 0, which shows wherever it is compared.
pub fn utc_us() -> UtcUs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UtcUs(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_saturates_stops_at_both_ends() {
        assert_eq!(UtcUs::MAX.saturating_add(1), UtcUs::MAX);
        assert_eq!(UtcUs::EPOCH.saturating_sub(1), UtcUs::EPOCH);
        assert_eq!(UtcUs(5).saturating_add_signed(-6), UtcUs::EPOCH);
        assert_eq!(UtcUs(3).saturating_since(UtcUs(5)), 0);
        assert_eq!(UtcUs(5).saturating_since(UtcUs(3)), 2);
        assert_eq!(UtcUs::from_ms(u64::MAX), UtcUs::MAX);
    }
}
