//! Parts of a worker's time in open loop, where contestants take more of it than there is. Pure.
//!
//! In open loop requests fall due whatever answers cost us. Where answers of some, by their bytes or by a connection for each, fill
//! a worker's time, all would be late, and what is late counts for nobody. So whoever takes most of the time of a worker that
//! ran without a rest has its answers read later: it may take its part of a period, and no more is received from it until
//! the next one. What it has sent too much then comes late or not at all, by its own doing, and its rivals are served as ever.
//!
//! Nobody is held for our own want of time. A worker that waits for a core has not run without a rest; and where all take
//! alike, nobody takes more than its part, however much falls due.
//!
//! Let `u` be what contestants took in a period. Three quarters of the sum are given out: to each what it took, to those who took
//! more than the level `f` only `f`, so that `sum(min(u, f))` is three quarters. A limit is `f`, and at least five quarters of the
//! mean of all others; it is set for those who took more than one and a half of that mean. A worker that rests again lets
//! those who have reached their limit have an eighth more each period; the limit of one who does not reach it ends.

use crate::engine::clock::RunInstant;
use crate::engine::index::{ContestantIndex, Table};
use crate::engine::quantum::{CONNECTION_NS, HANDSHAKE_NS_MAX, KILOBYTE_NS, RECEIVE_NS, REQUEST_NS};

/// How often parts are reckoned.
const PERIOD_NS: u64 = 50_000_000;
/// A worker that ran for more of a period than this, in thousandths, had no rest.
const RAN_MAX: u64 = 900;
/// No limit.
const NONE: u64 = u64::MAX;

/// What contestants took of a worker's time in this period, and what they may.
#[derive(Debug)]
pub struct Overload {
    used: Table<ContestantIndex, u64>,
    limits: Table<ContestantIndex, u64>,
    /// Who took anything in this period, each once.
    active: Vec<ContestantIndex>,
    limited: Vec<ContestantIndex>,
    /// When the period began, and how long the worker had run by then.
    since: (RunInstant, u64),
}

impl Overload {
    pub fn new(contestants: usize) -> Overload {
        Overload {
            used: Table::filled(0, contestants),
            limits: Table::filled(NONE, contestants),
            active: Vec::with_capacity(contestants),
            limited: Vec::with_capacity(contestants),
            since: (RunInstant::START, 0),
        }
    }

    /// There are so many contestants now.
    pub fn grow(&mut self, contestants: usize) {
        self.used.grow(contestants, 0);
        self.limits.grow(contestants, NONE);
    }

    /// Whether a period is over.
    #[inline]
    pub fn is_due(&self, now: RunInstant) -> bool {
        now.saturating_since(self.since.0) >= PERIOD_NS
    }

    /// A period is over, and the worker has run so long since its start. Without `is_open` nobody is limited: other phases have
    /// parts of their own.
    pub fn on_period(&mut self, now: RunInstant, ran_ns: u64, is_open: bool) {
        let (since, before) = std::mem::replace(&mut self.since, (now, ran_ns));
        let ran = ran_ns.saturating_sub(before).saturating_mul(1_000);
        let has_rested = ran <= now.saturating_since(since).saturating_mul(RAN_MAX);
        if !is_open {
            self.limited.drain(..).for_each(|index| self.limits[index] = NONE);
        } else if has_rested {
            self.ease();
        } else {
            self.limit();
        }
        for index in self.active.drain(..) {
            self.used[index] = 0;
        }
    }

    fn ease(&mut self) {
        let (limits, used) = (&mut self.limits, &self.used);
        self.limited.retain(|index| {
            let limit = &mut limits[*index];
            *limit = if used[*index] < *limit { NONE } else { limit.saturating_add(*limit / 8) };
            *limit != NONE
        });
    }

    fn limit(&mut self) {
        let used = &self.used;
        self.active.sort_unstable_by_key(|index| used[*index]);
        let sum: u64 = self.active.iter().map(|index| used[*index]).sum();
        let (mut left, mut count) = (sum / 4 * 3, self.active.len() as u64);
        let Some(others) = count.checked_sub(1).filter(|others| *others > 0) else { return };
        for index in &self.active {
            let used = used[*index];
            let (level, mean) = (left / count, (sum - used) / others);
            if used <= level {
                (left, count) = (left - used, count - 1);
            } else if used > mean / 2 * 3 {
                if self.limits[*index] == NONE {
                    self.limited.push(*index);
                }
                self.limits[*index] = level.max(mean / 4 * 5);
            }
        }
    }

    /// Whether a contestant has had its part of this period: no more is received from it.
    #[inline]
    pub fn is_over(&self, index: ContestantIndex) -> bool {
        self.used[index] > self.limits[index]
    }

    #[inline]
    pub fn on_begun(&mut self, index: ContestantIndex) {
        self.on_used(index, REQUEST_NS);
    }

    #[inline]
    pub fn on_received(&mut self, index: ContestantIndex, bytes: usize) {
        self.on_used(index, RECEIVE_NS + bytes as u64 * KILOBYTE_NS / 1_000);
    }

    pub fn on_opening(&mut self, index: ContestantIndex) {
        self.on_used(index, CONNECTION_NS);
    }

    pub fn on_handshake(&mut self, index: ContestantIndex, took_ns: u64) {
        self.on_used(index, took_ns.min(HANDSHAKE_NS_MAX));
    }

    #[inline]
    fn on_used(&mut self, index: ContestantIndex, ns: u64) {
        let used = &mut self.used[index];
        if *used == 0 {
            self.active.push(index);
        }
        *used += ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::index::Key;

    const BUSY: u64 = PERIOD_NS;
    const CALM: u64 = PERIOD_NS / 2;

    fn at(index: usize) -> ContestantIndex {
        ContestantIndex::from_index(index)
    }

    /// Periods in which each takes so much, or as much as it may; what each took in the last.
    fn periods(overload: &mut Overload, count: u64, ran: u64, wanted: &[u64]) -> Vec<u64> {
        let mut took = Vec::new();
        for _ in 0..count {
            took = vec![0; wanted.len()];
            for (index, (wanted, took)) in wanted.iter().zip(&mut took).enumerate() {
                while *took < *wanted && !overload.is_over(at(index)) {
                    overload.on_received(at(index), 60_000);
                    *took += 1;
                }
            }
            let (since, before) = overload.since;
            overload.on_period(since + PERIOD_NS, before + ran, true);
        }
        took
    }

    #[test]
    fn whoever_takes_most_of_a_worker_without_a_rest_is_limited_and_nobody_else() {
        let mut overload = Overload::new(4);
        assert_eq!(periods(&mut overload, 3, CALM, &[10, 10, 10, 900]), [10, 10, 10, 900]);
        periods(&mut overload, 1, BUSY, &[10, 10, 10, 900]);
        let took = periods(&mut overload, 1, CALM, &[10, 10, 10, 900]);
        assert_eq!(took[..3], [10, 10, 10]);
        assert!((600..=720).contains(&took[3]), "{took:?}");
        // While there is no rest it goes on, down to a little more than what others take.
        let took = periods(&mut overload, 40, BUSY, &[10, 10, 10, 900]);
        assert!(took[..3] == [10, 10, 10] && (10..=16).contains(&took[3]), "{took:?}");
        // With rest it gets more again, and all in the end.
        assert_eq!(periods(&mut overload, 60, CALM, &[10, 10, 10, 900]), [10, 10, 10, 900]);
        assert!(overload.limited.is_empty());
    }

    #[test]
    fn nobody_is_limited_where_all_take_alike_or_one_is_alone() {
        let mut overload = Overload::new(5);
        for wanted in [[100; 5], [140, 100, 120, 100, 130], [900, 0, 0, 0, 0]] {
            assert_eq!(periods(&mut overload, 20, BUSY, &wanted), wanted);
        }
    }

    #[test]
    fn limits_end_with_the_phase() {
        let mut overload = Overload::new(2);
        periods(&mut overload, 2, BUSY, &[10, 900]);
        assert!(!overload.limited.is_empty());
        let (since, ran) = overload.since;
        overload.on_period(since + PERIOD_NS, ran + BUSY, false);
        assert_eq!(periods(&mut overload, 1, CALM, &[10, 900]), [10, 900]);
    }
}
