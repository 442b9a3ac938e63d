//! Why a round is not played here, and when that is tried again: a Redis that was away for a moment, a policy that has been
//! mended, a clock that has been set.

use flowtest_contract::RoundId;
use std::time::{Duration, Instant};

/// How soon it is tried again: often enough for a cause that goes away shortly before the start.
const AGAIN: Duration = Duration::from_secs(1);

/// The last attempt to play a round, when it failed.
#[derive(Debug, Default)]
pub(super) struct Attempt(Option<FailedAttempt>);

#[derive(Debug)]
struct FailedAttempt {
    round: RoundId,
    cause: String,
    at: Instant,
}

impl Attempt {
    /// Notes a failure; says whether it has another cause than the one before it. Figures in it may differ.
    pub(super) fn failed(&mut self, round: RoundId, cause: String) -> bool {
        let words = |cause: &str| cause.replace(|letter: char| letter.is_ascii_digit() || letter == '-', "");
        let is_news = self.of(round).is_none_or(|failed| words(&failed.cause) != words(&cause));
        self.0 = Some(FailedAttempt { round, cause, at: Instant::now() });
        is_news
    }

    /// Whether the round may be tried now.
    pub(super) fn may_try(&self, round: RoundId) -> bool {
        self.of(round).is_none_or(|failed| failed.at.elapsed() >= AGAIN)
    }

    /// Why the round is not played here.
    pub(super) fn trouble(&self, round: RoundId) -> Option<String> {
        self.of(round).map(|failed| failed.cause.clone())
    }

    fn of(&self, round: RoundId) -> Option<&FailedAttempt> {
        self.0.as_ref().filter(|failed| failed.round == round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_once_for_each_round_and_cause() {
        let (first, second) = (RoundId::from_bits(1), RoundId::from_bits(2));
        let mut attempt = Attempt::default();
        assert!(attempt.may_try(first) && attempt.trouble(first).is_none());
        assert!(attempt.failed(first, "the clock is -25001 µs off".to_owned()));
        assert!(!attempt.failed(first, "the clock is 24997 µs off".to_owned()));
        assert_eq!(attempt.trouble(first).as_deref(), Some("the clock is 24997 µs off"));
        assert!(!attempt.may_try(first), "not at once");
        assert!(attempt.may_try(second) && attempt.trouble(second).is_none());
        assert!(attempt.failed(first, "no disk".to_owned()) && attempt.failed(second, "no disk".to_owned()));
    }
}
