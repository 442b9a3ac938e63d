//! The clocks of the program. Whatever decides by time gets it as an argument.
//!
//! What is about the contest goes by Redis's clock, as the generators do: [`ContestClock`]. Sessions, invitations and the audit
//! log go by this machine's: [`utc_us`].

use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Milliseconds since 1970, UTC: the unit of every instant that leaves the server, in JSON and in attributes of pages.
pub type Millis = i64;

/// The same instant as pages and the live feed write it.
pub fn utc_ms(at: UtcUs) -> Millis {
    at.ms() as Millis
}

/// `2026-11-23T10:45:00Z`, for people and for attributes. Nothing for what no calendar has.
pub fn rfc3339(ms: Millis) -> String {
    let at = jiff::Timestamp::from_millisecond(ms);
    at.map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Redis's clock, as it was heard last, going on by itself: whoever sets this machine's clock moves no round. Before Redis is
/// first heard it is this machine's. Cheap to clone; all clones are one clock.
#[derive(Clone, Debug)]
pub struct ContestClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// An instant of a clock that nobody sets, and UTC at it.
    base: Instant,
    utc_at_base: AtomicU64,
}

impl ContestClock {
    /// `shift_us` is added to what this machine's clock says: not 0 only in rehearsals.
    pub fn new(shift_us: i64) -> ContestClock {
        let utc_at_base = AtomicU64::new(utc_us().saturating_add_signed(shift_us).0);
        ContestClock { shared: Arc::new(Shared { base: Instant::now(), utc_at_base }) }
    }

    pub fn now(&self) -> UtcUs {
        UtcUs(self.shared.utc_at_base.load(Ordering::Relaxed)).saturating_add(self.elapsed_us())
    }

    /// It is this instant now, by Redis.
    pub fn set(&self, now: UtcUs) {
        self.shared.utc_at_base.store(now.saturating_sub(self.elapsed_us()).0, Ordering::Relaxed);
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.shared.base.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Default for ContestClock {
    fn default() -> ContestClock {
        ContestClock::new(0)
    }
}
