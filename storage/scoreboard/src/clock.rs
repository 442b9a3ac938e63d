//! How far this machine's clock is from Redis's, which all machines of a contest can ask.
//!
//! The clock is asked several times and the answer with the shortest round trip is believed: it was read somewhere
//! within that time, so half of it is the most that the offset can be wrong by.

use crate::connection::Connection;
use crate::error::ScoreboardError;
use crate::reader::Scoreboard;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use std::time::{Duration, Instant};

/// How often Redis is asked.
const SAMPLES: usize = 16;
/// A generator whose clock is further off may not play: starts and deadlines would not be together.
pub const OFFSET_MAX_US: u64 = 20_000;

/// A measured offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// What to add to our clock to get Redis's, in microseconds.
    pub offset_us: i64,
    /// How far off the offset may be, in microseconds.
    pub error_us: u64,
}

impl ClockOffset {
    /// Whether the clock is surely near enough to play.
    pub fn is_fit(&self) -> bool {
        self.offset_us.unsigned_abs().saturating_add(self.error_us) <= OFFSET_MAX_US
    }
}

/// One look at Redis's clock.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Our clock when we asked.
    asked: UtcUs,
    /// Redis's clock.
    told: UtcUs,
    round_trip: Duration,
}

/// Asks Redis for its time, and compares.
///
/// # Errors
/// What is wrong with Redis.
pub fn measure_clock(connection: &mut Connection) -> Result<ClockOffset, ScoreboardError> {
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let asked = utc_us();
        let begun = Instant::now();
        let (seconds, us): (u64, u64) = connection.command("ask Redis for its time", &redis::cmd("TIME"))?;
        let round_trip = begun.elapsed();
        let told = UtcUs(seconds.saturating_mul(1_000_000).saturating_add(us));
        samples.push(Sample { asked, told, round_trip });
    }
    Ok(best(&samples))
}

impl Scoreboard {
    /// Measures our clock against Redis's.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn measure_clock(&mut self) -> Result<ClockOffset, ScoreboardError> {
        self.run(measure_clock)
    }
}

fn best(samples: &[Sample]) -> ClockOffset {
    let best = samples.iter().min_by_key(|sample| sample.round_trip).expect("at least one sample was taken");
    let half_us = u64::try_from(best.round_trip.as_micros() / 2).unwrap_or(u64::MAX);
    let ours = i128::from(best.asked.0) + i128::from(half_us);
    let offset = i128::from(best.told.0) - ours;
    // Halves of a microsecond are rounded away on both sides.
    let bounded = offset.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    ClockOffset { offset_us: bounded as i64, error_us: half_us.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_round_trip_is_believed() {
        let sample =
            |asked, told, us| Sample { asked: UtcUs(asked), told: UtcUs(told), round_trip: Duration::from_micros(us) };
        let offset = best(&[sample(1_000, 9_000, 900), sample(2_000, 7_050, 100), sample(3_000, 8_500, 500)]);
        assert_eq!(offset, ClockOffset { offset_us: 5_000, error_us: 51 });
        assert_eq!(best(&[sample(2_000, 1_000, 0)]).offset_us, -1_000);
        assert!(!best(&[sample(0, u64::MAX, u64::MAX)]).is_fit(), "nonsense does not overflow");
    }

    #[test]
    fn a_clock_is_fit_when_it_surely_is_near() {
        assert!(ClockOffset { offset_us: -19_000, error_us: 1_000 }.is_fit());
        assert!(!ClockOffset { offset_us: 19_000, error_us: 1_001 }.is_fit());
        assert!(!ClockOffset { offset_us: i64::MIN, error_us: u64::MAX }.is_fit());
    }
}
