//! Latencies in microseconds: exact below 32, then 32 buckets per power of two up to 2^26 (67 s).
//!
//! A bucket is at most 1/32 wide relative to its value, so a quantile is off by less than 3.2 %.

/// Values below this are counted exactly; above it, this many buckets per power of two.
const SUB_BUCKETS: usize = 32;
const SUB_BUCKET_BITS: u32 = SUB_BUCKETS.trailing_zeros();
/// Values at or above `2^MAX_BITS` µs are counted in the last bucket.
const MAX_BITS: u32 = 26;
/// Number of buckets.
pub const BUCKETS: usize = SUB_BUCKETS * (MAX_BITS - SUB_BUCKET_BITS + 1) as usize;

const _: () = assert!(BUCKETS == 704);

/// A mergeable latency histogram of fixed size.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [0; BUCKETS] }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.sparse()).finish()
    }
}

impl Histogram {
    #[inline]
    pub fn record(&mut self, value_us: u64) {
        self.counts[bucket(value_us)] += 1;
    }

    /// Adds `count` to the bucket numbered `index`. `false` when there is no such bucket or the sum overflows.
    pub fn add_bucket(&mut self, index: usize, count: u64) -> bool {
        let Some(slot) = self.counts.get_mut(index) else {
            return false;
        };
        match slot.checked_add(count) {
            Some(sum) => {
                *slot = sum;
                true
            }
            None => false,
        }
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours = ours.saturating_add(*theirs);
        }
    }

    /// What it has beyond an earlier state of itself.
    #[must_use]
    pub fn since(&self, then: &Histogram) -> Histogram {
        let mut grown = self.clone();
        for (ours, theirs) in grown.counts.iter_mut().zip(&then.counts) {
            *ours = ours.saturating_sub(*theirs);
        }
        grown
    }

    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// All buckets, in order.
    pub(crate) fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    /// The buckets that are not empty, as (bucket number, count).
    pub fn sparse(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(index, count)| (index, *count))
    }

    /// The smallest value that at least `quantile` (0 to 1) of all recorded values do not exceed, in µs,
    /// rounded up to the end of its bucket. `None` when nothing was recorded.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = ((quantile.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
        let mut below = 0u64;
        for (index, count) in self.sparse() {
            below = below.saturating_add(count);
            if below >= rank {
                return Some(bucket_last(index));
            }
        }
        None
    }

    /// The end of the highest bucket that is not empty, in µs.
    pub fn max(&self) -> Option<u64> {
        self.sparse().last().map(|(index, _)| bucket_last(index))
    }
}

/// The bucket that a value is counted in.
#[inline]
pub fn bucket(value_us: u64) -> usize {
    let value = value_us.min((1 << MAX_BITS) - 1);
    if value < SUB_BUCKETS as u64 {
        return value as usize;
    }
    let power = value.ilog2();
    let shift = power - SUB_BUCKET_BITS;
    (shift as usize) * SUB_BUCKETS + (value >> shift) as usize
}

/// The largest value that is counted in a bucket, in µs.
pub fn bucket_last(index: usize) -> u64 {
    if index < SUB_BUCKETS {
        return index as u64;
    }
    let shift = (index / SUB_BUCKETS - 1) as u32;
    let leading = (index % SUB_BUCKETS + SUB_BUCKETS) as u64;
    ((leading + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_values_are_exact() {
        for value in 0..64 {
            assert_eq!(bucket_last(bucket(value)), value);
        }
    }

    #[test]
    fn the_last_bucket_takes_everything_above() {
        assert_eq!(bucket((1 << 26) - 1), BUCKETS - 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_last(BUCKETS - 1), (1 << 26) - 1);
    }

    #[test]
    fn buckets_cover_all_values_in_order_without_gaps() {
        for index in 1..BUCKETS {
            let first = bucket_last(index - 1) + 1;
            assert_eq!(bucket(first), index);
            assert_eq!(bucket(bucket_last(index)), index);
        }
    }

    proptest! {
        #[test]
        fn a_bucket_is_at_most_one_part_in_32_wide(value in 0u64..1 << 26) {
            let last = bucket_last(bucket(value));
            prop_assert!(last >= value);
            prop_assert!((last - value) * 32 <= value);
        }

        #[test]
        fn what_came_since_is_what_was_recorded_since(
            before in proptest::collection::vec(0u64..1 << 26, 0..50), after in proptest::collection::vec(0u64..1 << 26, 0..50),
        ) {
            let of = |values: &[u64]| {
                let mut histogram = Histogram::default();
                values.iter().for_each(|value| histogram.record(*value));
                histogram
            };
            let (then, fresh) = (of(&before), of(&after));
            let mut now = then.clone();
            now.merge(&fresh);
            prop_assert_eq!(now.since(&then), fresh);
            prop_assert_eq!(then.since(&now), Histogram::default());
        }

        #[test]
        fn quantiles_agree_with_sorting(mut values in proptest::collection::vec(0u64..1 << 26, 1..300), q in 0.0f64..=1.0) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            prop_assert_eq!(histogram.quantile(q), Some(bucket_last(bucket(values[rank - 1]))));
            prop_assert_eq!(histogram.count(), values.len() as u64);
        }

        #[test]
        fn merging_is_recording_both(a in proptest::collection::vec(0u64..1 << 27, 0..50), b in proptest::collection::vec(0u64..1 << 27, 0..50)) {
            let of = |values: &[u64]| { let mut h = Histogram::default(); values.iter().for_each(|v| h.record(*v)); h };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }
}
