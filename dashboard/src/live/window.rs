//! A ring of what was known at each of the last seconds, and what is read off it: rates, and how much was verified. Pure: instants come
//! in with the data, and a gap in them (an outage, a sleeping machine) only makes a rate the mean over a longer time.

use flowtest_contract::Tally;
use flowtest_contract::rules::UtcUs;
use std::collections::VecDeque;

/// Looks come once a second, never exactly.
const HALF_SECOND_US: u64 = 500_000;

/// What was known at each instant of a span that ends now. Instants rise.
#[derive(Clone, Debug)]
pub struct Ring<T> {
    span_us: u64,
    items: VecDeque<(UtcUs, T)>,
}

impl<T> Ring<T> {
    pub fn new(span_us: u64) -> Ring<T> {
        Ring { span_us, items: VecDeque::new() }
    }

    /// Adds what is known at an instant. One that is not later than the last is left out: a clock was set back.
    pub fn push(&mut self, at: UtcUs, item: T) {
        if self.items.back().is_some_and(|(last, _)| at <= *last) {
            return;
        }
        self.items.push_back((at, item));
        // The oldest that is kept is as old as the span or older, so that the whole span can be asked.
        while self.items.get(1).is_some_and(|(second, _)| at.saturating_since(*second) >= self.span_us) {
            self.items.pop_front();
        }
    }

    pub fn newest(&self) -> Option<&T> {
        self.items.back().map(|(_, item)| item)
    }

    /// What was known at an instant. `None` when the ring does not reach so far back.
    pub fn at(&self, instant: UtcUs) -> Option<&(UtcUs, T)> {
        self.items.iter().rev().find(|(at, _)| *at <= instant)
    }

    /// The oldest that is known since an instant, give or take half a second.
    pub fn since(&self, instant: UtcUs) -> Option<&(UtcUs, T)> {
        self.items.iter().find(|(at, _)| at.saturating_add(HALF_SECOND_US) >= instant)
    }

    /// Everything that is held, to be changed.
    pub fn items_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().map(|(_, item)| item)
    }
}

/// Counters of one contestant from which rates are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Well-framed 2xx answers.
    pub responses: u64,
    /// Those with the right token, version and platform. They are counted apart.
    pub token: u64,
    pub version: u64,
    pub from: u64,
    /// Exchanges that have an outcome which is the contestant's.
    pub judged: u64,
}

impl Count {
    pub fn of(tally: &Tally) -> Count {
        Count {
            responses: tally.responses(),
            token: tally.token_right,
            version: tally.version_right,
            from: tally.from_right,
            judged: tally.responses().saturating_add(tally.failures()),
        }
    }

    /// What came since an earlier count.
    pub fn since(&self, earlier: Count) -> Count {
        Count {
            responses: self.responses.saturating_sub(earlier.responses),
            token: self.token.saturating_sub(earlier.token),
            version: self.version.saturating_sub(earlier.version),
            from: self.from.saturating_sub(earlier.from),
            judged: self.judged.saturating_sub(earlier.judged),
        }
    }

    /// Exchanges of which all three headers were right, at most: the least of the three. Of a span it is asked of what came in
    /// it, for whoever was wrong in one header an hour ago may be wrong in another now.
    pub fn verified(&self) -> u64 {
        self.token.min(self.version).min(self.from)
    }

    /// Responses per second since an earlier count, `us` microseconds before.
    pub fn rate_since(&self, earlier: Count, us: u64) -> u64 {
        let grown = u128::from(self.since(earlier).responses);
        let rate = (grown * 1_000_000 + u128::from(us / 2)).checked_div(u128::from(us)).unwrap_or(0);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Of the exchanges since an earlier count, how many in a thousand were verified. `None` without any.
    pub fn verified_permille_since(&self, earlier: Count) -> Option<u16> {
        let Count { judged, .. } = self.since(earlier);
        let verified = self.since(earlier).verified().min(judged);
        // Rounded down: a thousand means that nothing at all was wrong.
        (u128::from(verified) * 1_000).checked_div(u128::from(judged)).map(|permille| permille as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_can_be_asked_for_its_whole_span_and_holds_little_more() {
        let mut ring = Ring::new(60);
        for second in 0..1_000 {
            ring.push(UtcUs(second), second);
        }
        assert_eq!(ring.at(UtcUs(939)), Some(&(UtcUs(939), 939)));
        assert_eq!(ring.at(UtcUs(938)), None);
        assert_eq!(ring.since(UtcUs::EPOCH), Some(&(UtcUs(939), 939)));
        assert_eq!(ring.items.len(), 61);
        ring.push(UtcUs(500), 500);
        assert_eq!(ring.newest(), Some(&999), "a clock that was set back adds nothing");
    }

    #[test]
    fn rates_are_means_over_the_time_that_really_passed() {
        let count = |responses, right, judged| Count { responses, token: right, version: right, from: right, judged };
        let (before, now) = (count(100, 90, 110), count(400, 380, 420));
        assert_eq!(now.rate_since(before, 3_000_000), 100);
        assert_eq!(now.verified_permille_since(before), Some(935));
        // nothing happened, no time passed, a Redis that forgot
        assert_eq!(now.verified_permille_since(now), None);
        assert_eq!(now.rate_since(before, 0), 0);
        assert_eq!((before.rate_since(now, 1), before.verified_permille_since(now)), (0, None));
    }

    #[test]
    fn one_wrong_among_many_is_not_a_thousand() {
        let now = Count { responses: 100_000, token: 99_999, version: 100_000, from: 100_000, judged: 100_000 };
        assert_eq!(now.verified_permille_since(Count::default()), Some(999));
    }

    #[test]
    fn what_was_wrong_before_a_span_hides_nothing_that_is_wrong_in_it() {
        // A version that was missed for long and mended; then the platform is missed.
        let before = Count { responses: 1_000, token: 1_000, version: 400, from: 1_000, judged: 1_000 };
        let now = Count { responses: 1_100, token: 1_100, version: 500, from: 1_000, judged: 1_100 };
        assert_eq!((now.since(before).verified(), now.verified_permille_since(before)), (0, Some(0)));
    }
}
