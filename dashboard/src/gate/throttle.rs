//! How often somebody may fail: passwords and invitations are not guessed here.
//!
//! Only failures count, so that a whole room behind one address logs in at once. A key that failed too often waits,
//! and nobody is locked out for longer than the window, so that nobody can lock out somebody else for good.

use flowtest_contract::rules::UtcUs;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

const SECOND_US: u64 = 1_000_000;
/// Keys at most; when there are more, those whose failures are oldest are forgotten first.
const KEYS_MAX: usize = 20_000;

/// So many failures within so long.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub failures: usize,
    pub within_us: u64,
}

/// For one account: 5 a minute, 20 an hour.
pub const ACCOUNT: &[Limit] =
    &[Limit { failures: 5, within_us: 60 * SECOND_US }, Limit { failures: 20, within_us: 3_600 * SECOND_US }];
/// For one address: generous, because a venue is one.
pub const ADDRESS: &[Limit] = &[Limit { failures: 60, within_us: 60 * SECOND_US }];

/// Counts failures by key.
#[derive(Debug)]
pub struct Throttle {
    limits: &'static [Limit],
    failures: Mutex<HashMap<String, VecDeque<UtcUs>>>,
}

impl Throttle {
    pub fn new(limits: &'static [Limit]) -> Throttle {
        Throttle { limits, failures: Mutex::default() }
    }

    /// How many seconds a key has to wait; `None` when it may try now.
    pub fn wait_s(&self, key: &str, now: UtcUs) -> Option<u64> {
        let failures = self.failures.lock().expect("nobody panics while counting");
        let failures = failures.get(key)?;
        let wait = |limit: &Limit| {
            // The failure that has to grow old before another try is within the limit.
            let index = failures.len().checked_sub(limit.failures)?;
            let free_at = failures[index] + limit.within_us;
            (free_at > now).then(|| (free_at - now).div_ceil(SECOND_US))
        };
        self.limits.iter().filter_map(wait).max()
    }

    pub fn failed(&self, key: &str, now: UtcUs) {
        let keep = self.limits.iter().map(|limit| limit.failures).max().unwrap_or(0);
        let window = self.limits.iter().map(|limit| limit.within_us).max().unwrap_or(0);
        let mut all = self.failures.lock().expect("nobody panics while counting");
        if all.len() >= KEYS_MAX && !all.contains_key(key) {
            let newest = |failures: &VecDeque<UtcUs>| failures.back().copied().unwrap_or(0);
            all.retain(|_, failures| newest(failures) + window > now);
            if all.len() >= KEYS_MAX {
                let mut ages: Vec<UtcUs> = all.values().map(newest).collect();
                ages.sort_unstable();
                let middle = ages[ages.len() / 2];
                all.retain(|_, failures| newest(failures) > middle);
            }
        }
        let failures = all.entry(key.to_owned()).or_default();
        failures.push_back(now);
        while failures.len() > keep {
            failures.pop_front();
        }
    }

    pub fn succeeded(&self, key: &str) {
        self.failures.lock().expect("nobody panics while counting").remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcUs = 1_000_000 * SECOND_US;

    #[test]
    fn five_failures_in_a_minute_make_an_account_wait_until_the_first_is_a_minute_old() {
        let throttle = Throttle::new(ACCOUNT);
        for second in 0..5 {
            assert_eq!(throttle.wait_s("alice", NOW + second * SECOND_US), None);
            throttle.failed("alice", NOW + second * SECOND_US);
        }
        assert_eq!(throttle.wait_s("alice", NOW + 5 * SECOND_US), Some(55));
        assert_eq!(throttle.wait_s("bob", NOW + 5 * SECOND_US), None);
        assert_eq!(throttle.wait_s("alice", NOW + 60 * SECOND_US), None);
        throttle.succeeded("alice");
        assert_eq!(throttle.wait_s("alice", NOW + 5 * SECOND_US), None);
    }

    #[test]
    fn twenty_failures_in_an_hour_make_it_wait_longer() {
        let throttle = Throttle::new(ACCOUNT);
        for minute in 0..20 {
            throttle.failed("alice", NOW + minute * 60 * SECOND_US);
        }
        assert_eq!(throttle.wait_s("alice", NOW + 20 * 60 * SECOND_US), Some(40 * 60));
        assert_eq!(throttle.wait_s("alice", NOW + 60 * 60 * SECOND_US), None);
    }

    #[test]
    fn many_keys_cost_bounded_memory_and_push_out_the_oldest() {
        let throttle = Throttle::new(ADDRESS);
        for key in 0..KEYS_MAX as u64 * 2 {
            throttle.failed(&key.to_string(), NOW + key);
        }
        let kept = throttle.failures.lock().expect("a lock").len();
        assert!(kept <= KEYS_MAX, "{kept}");
        assert!(throttle.failures.lock().expect("a lock").contains_key(&(KEYS_MAX * 2 - 1).to_string()));
    }
}
