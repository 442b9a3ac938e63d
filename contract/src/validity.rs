//! How much of a round is valid. Pure counts, which add up over generators; what makes a second valid is the generator's to
//! say.

use serde::{Deserialize, Serialize};

/// How much of a round is valid at one generator: it kept to its plan, or else the second is not valid, and what it could not
/// judge counts for nobody. Of several generators the counts are summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundValidity {
    /// Scored seconds that are over, and those of them that are valid.
    pub seconds: u64,
    pub valid_seconds: u64,
    /// What fell due in scored phases, and what of it is void (`own_fault`).
    pub due: u64,
    pub void: u64,
    /// How much of those seconds was not on plan, in milliseconds: of a second of an open phase the part of its requests that came
    /// late or are void, of a closed one turns that came late. 0 where a generator of before 0.3 does not say it.
    #[serde(default)]
    pub late_ms: u64,
}

/// What of a second may be late.
const LATE_MS_EACH: u64 = 1_000 - RoundValidity::PERMILLE_MIN;

impl RoundValidity {
    /// Below this a round is not valid, in thousandths.
    pub const PERMILLE_MIN: u64 = 990;
    /// The same as a part of 1: of a second, and of what one generator should send.
    pub const RATIO_MIN: f64 = Self::PERMILLE_MIN as f64 / 1_000.0;

    pub fn add(&mut self, other: RoundValidity) {
        self.seconds = self.seconds.saturating_add(other.seconds);
        self.valid_seconds = self.valid_seconds.saturating_add(other.valid_seconds);
        self.due = self.due.saturating_add(other.due);
        self.void = self.void.saturating_add(other.void);
        self.late_ms = self.late_ms.saturating_add(other.late_ms);
    }

    /// Scored seconds that are not valid.
    pub fn invalid_seconds(&self) -> u64 {
        self.seconds.saturating_sub(self.valid_seconds)
    }

    /// Of so many seconds nothing is valid, for nobody played them.
    pub fn unplayed(seconds: u64) -> RoundValidity {
        RoundValidity { seconds, late_ms: seconds.saturating_mul(1_000), ..RoundValidity::default() }
    }

    /// Whether all seconds together were late for too long.
    pub fn is_late(&self) -> bool {
        self.late_ms > self.seconds.max(1).saturating_mul(LATE_MS_EACH)
    }

    /// Every second is valid, and nothing is void.
    pub fn is_flawless(&self) -> bool {
        self.invalid_seconds() == 0 && self.void == 0
    }

    /// "Below 99 % valid is not valid", measured so: 99 % of the seconds are valid (in less than 100 s: all but one), 99 % of the
    /// requests are not void, and no more than 1 % of the time of all seconds together was late. The answer of pages and rulings;
    /// `run` and `stress` ask for their ratios besides.
    ///
    /// One second that is not valid is let pass in rounds of less than 100 s, for this is measured in whole seconds: a gap of 21 ms
    /// makes one not valid, and would be more than one part in a hundred of any shorter round. It hides no long gap: of all seconds
    /// together no more may have been late than of one that is valid. So a lost one of 100 is let pass where the others were not
    /// late at all, and not where each was late for 5 ms.
    pub fn is_valid(&self) -> bool {
        let enough = |part: u64, whole: u64| part.saturating_mul(1_000) >= whole.saturating_mul(Self::PERMILLE_MIN);
        (self.invalid_seconds() <= 1 || enough(self.valid_seconds, self.seconds))
            && enough(self.due.saturating_sub(self.void), self.due)
            && !self.is_late()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_valid_from_99_of_100_on_and_one_second_is_let_pass() {
        let counts = |seconds, valid_seconds, due, void| RoundValidity {
            seconds,
            valid_seconds,
            due,
            void,
            ..RoundValidity::default()
        };
        let of = |seconds, valid_seconds, due, void| counts(seconds, valid_seconds, due, void).is_valid();
        assert!(of(0, 0, 0, 0) && of(10, 9, 100, 1) && of(99, 98, 0, 0) && of(1_000, 990, 1_000_000, 10_000));
        assert!(!of(10, 8, 100, 0) && !of(199, 197, 0, 0) && !of(1_000, 989, 100, 0) && !of(10, 10, 100, 2));
        // The second that is let pass was a little late, not wholly: of a minute 600 ms may be.
        let late = |seconds, valid_seconds, late_ms| {
            RoundValidity { late_ms, ..counts(seconds, valid_seconds, 0, 0) }.is_valid()
        };
        assert!(late(10, 9, 21) && late(60, 59, 600) && late(100, 99, 1_000) && late(0, 0, 10));
        assert!(
            !late(60, 59, 601)
                && !late(99, 98, 1_000)
                && !late(100, 99, 1_495)
                && !late(0, 0, 11)
                && !RoundValidity::unplayed(1).is_valid()
        );
        let mut sum = RoundValidity { late_ms: 3, ..counts(5, 5, 10, 0) };
        sum.add(RoundValidity { late_ms: 1_000, ..counts(5, 3, 10, 4) });
        assert_eq!(sum, RoundValidity { late_ms: 1_003, ..counts(10, 8, 20, 4) });
        assert_eq!(sum.invalid_seconds(), 2);
    }
}
