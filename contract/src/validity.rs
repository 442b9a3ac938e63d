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
}

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
    }

    /// Scored seconds that are not valid.
    pub fn invalid_seconds(&self) -> u64 {
        self.seconds.saturating_sub(self.valid_seconds)
    }

    /// Every second is valid, and nothing is void.
    pub fn is_flawless(&self) -> bool {
        self.invalid_seconds() == 0 && self.void == 0
    }

    /// Whether enough seconds are valid and little enough is void: the answer of pages and rulings.
    ///
    /// One second that is not valid is let pass in rounds of less than 100 s, for this is measured in whole seconds: a gap of 21 ms
    /// makes one not valid, and would be more than one part in a hundred of any shorter round. It hides no more than one second:
    /// whoever stands still for longer has each of those seconds marked, and what is void for it is counted beside.
    pub fn is_valid(&self) -> bool {
        let enough = |part: u64, whole: u64| part.saturating_mul(1_000) >= whole.saturating_mul(Self::PERMILLE_MIN);
        (self.invalid_seconds() <= 1 || enough(self.valid_seconds, self.seconds))
            && enough(self.due.saturating_sub(self.void), self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_valid_from_99_of_100_on_and_one_second_is_let_pass() {
        let of = |seconds, valid_seconds, due, void| RoundValidity { seconds, valid_seconds, due, void }.is_valid();
        assert!(of(0, 0, 0, 0) && of(10, 9, 100, 1) && of(99, 98, 0, 0) && of(1_000, 990, 1_000_000, 10_000));
        assert!(!of(10, 8, 100, 0) && !of(199, 197, 0, 0) && !of(1_000, 989, 100, 0) && !of(10, 10, 100, 2));
        let mut sum = RoundValidity { seconds: 5, valid_seconds: 5, due: 10, void: 0 };
        sum.add(RoundValidity { seconds: 5, valid_seconds: 3, due: 10, void: 4 });
        assert_eq!(sum, RoundValidity { seconds: 10, valid_seconds: 8, due: 20, void: 4 });
        assert_eq!(sum.invalid_seconds(), 2);
    }
}
