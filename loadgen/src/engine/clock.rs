//! Instants of the run clock and of the plan clock, so that neither is taken for the other. Pure.
//!
//! | clock | what it counts | an instant | comes from another clock by |
//! |---|---|---|---|
//! | run clock | nanoseconds since the run's clock began, without a stop | [`RunInstant`] | `play::plan::run_clock`, from UTC |
//! | plan clock | the same, but it stands still in pauses: phases are written on it | [`PlanInstant`] | [`Schedule`], both ways |
//! | UTC | microseconds since the Unix epoch | [`UtcUs`] | [`Plan::utc_us`], from the run clock |
//!
//! With a type for each, a bare integer is a length of time: nanoseconds where no unit is named, microseconds where a name says
//! `_us`.
//!
//! [`Schedule`]: crate::engine::schedule::Schedule
//! [`Plan::utc_us`]: crate::engine::plan::Plan::utc_us
//! [`UtcUs`]: flowtest_contract::rules::UtcUs

use std::ops::{Add, Sub};
use std::time::Instant;

/// An instant of the run clock: everything that happens in a run happens on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct RunInstant(u64);

impl RunInstant {
    /// The clock's beginning.
    pub const START: RunInstant = RunInstant(0);
    /// Not as far as anybody knows.
    pub const NEVER: RunInstant = RunInstant(u64::MAX);

    /// Now, on the clock that began at `base`.
    #[inline]
    pub fn since(base: Instant) -> RunInstant {
        RunInstant(base.elapsed().as_nanos() as u64)
    }

    /// So many nanoseconds after the clock's beginning.
    #[inline]
    pub const fn from_ns(ns: u64) -> RunInstant {
        RunInstant(ns)
    }

    /// Nanoseconds since the clock's beginning.
    #[inline]
    pub const fn ns(self) -> u64 {
        self.0
    }

    #[inline]
    pub const fn saturating_add(self, ns: u64) -> RunInstant {
        RunInstant(self.0.saturating_add(ns))
    }

    /// Nanoseconds since an earlier instant; 0 since a later one.
    #[inline]
    pub const fn saturating_since(self, earlier: RunInstant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for RunInstant {
    type Output = RunInstant;

    #[inline]
    fn add(self, ns: u64) -> RunInstant {
        RunInstant(self.0 + ns)
    }
}

impl Sub for RunInstant {
    type Output = u64;

    #[inline]
    fn sub(self, earlier: RunInstant) -> u64 {
        self.0 - earlier.0
    }
}

/// An instant of the plan clock: phases and requests are planned on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct PlanInstant(u64);

impl PlanInstant {
    /// The clock's beginning, which is the run clock's.
    pub const START: PlanInstant = PlanInstant(0);
    /// Behind all that is planned.
    pub const NEVER: PlanInstant = PlanInstant(u64::MAX);

    /// So many nanoseconds after the clock's beginning.
    #[inline]
    pub const fn from_ns(ns: u64) -> PlanInstant {
        PlanInstant(ns)
    }

    /// Nanoseconds since the clock's beginning.
    #[inline]
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Nanoseconds since an earlier instant; 0 since a later one.
    #[inline]
    pub const fn saturating_since(self, earlier: PlanInstant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for PlanInstant {
    type Output = PlanInstant;

    #[inline]
    fn add(self, ns: u64) -> PlanInstant {
        PlanInstant(self.0 + ns)
    }
}

impl Sub for PlanInstant {
    type Output = u64;

    #[inline]
    fn sub(self, earlier: PlanInstant) -> u64 {
        self.0 - earlier.0
    }
}
