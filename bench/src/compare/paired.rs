//! Interleaved pairs: A B A B, because a machine drifts by a quarter within minutes and only neighbours compare.

use serde::Serialize;

/// Median and extremes of what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] };
        Some(Spread { median, min, max })
    }
}

/// What one run of one side measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Requests per second that count: verified ones for our generator, answered ones for others.
    pub rate: f64,
    /// CPU time of the generator per request, in µs.
    pub generator_user_us: f64,
    pub generator_system_us: f64,
    /// Calls into the ring per request; of our generator alone.
    pub enters: Option<f64>,
    /// CPU time of the server per request, in µs.
    pub server_cpu_us: f64,
    /// The most memory that the generator held, in KiB.
    pub generator_rss_kib: u64,
    /// Only open loop by our generator.
    pub rate_ratio: Option<f64>,
    pub send_lag_p99_us: Option<f64>,
}

/// Both sides of a comparison, pair by pair.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pairs {
    pub ours: Vec<Sample>,
    pub theirs: Vec<Sample>,
}

impl Pairs {
    /// Runs `ours` and `theirs` in turn. The first error ends it: half a comparison is none.
    pub fn run<E>(
        count: usize,
        mut ours: impl FnMut() -> Result<Sample, E>,
        mut theirs: impl FnMut() -> Result<Sample, E>,
    ) -> Result<Pairs, E> {
        let mut pairs = Pairs::default();
        for _ in 0..count {
            pairs.ours.push(ours()?);
            pairs.theirs.push(theirs()?);
        }
        Ok(pairs)
    }

    /// The ratios of the pairs, not the ratio of the medians.
    pub fn ratio(&self, value: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let ratios = self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| (value(ours), value(theirs)));
        Spread::of(ratios.filter(|(_, theirs)| *theirs > 0.0).map(|(ours, theirs)| ours / theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_between() {
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn drift_cancels_within_pairs() {
        // The machine gets slower all the time, yet ours is always twice as fast as theirs a moment later.
        let speeds = [100.0, 90.0, 60.0, 40.0, 30.0];
        let (mut first, mut second) = (speeds.iter(), speeds.iter());
        let sample = |rate| Ok::<_, ()>(Sample { rate, ..Sample::default() });
        let pairs = Pairs::run(5, || sample(first.next().unwrap() * 2.0), || sample(*second.next().unwrap())).unwrap();
        assert_eq!(pairs.ratio(|sample| sample.rate), Some(Spread { median: 2.0, min: 2.0, max: 2.0 }));
    }

    #[test]
    fn a_side_that_answered_nothing_has_no_ratio() {
        let zero = || Ok::<_, ()>(Sample::default());
        assert_eq!(Pairs::run(2, zero, zero).unwrap().ratio(|sample| sample.rate), None);
    }
}
