//! The counters of one contestant: integers only, a partition of all that came due.
//!
//! Points are never stored: they are counters × rules, so that one look at the counters proves a score.

use crate::rules::Rules;
use crate::verdict::{Failure, Verdict};

macro_rules! tally {
    ($($(#[$doc:meta])* $field:ident),+ $(,)?) => {
        /// Counters in the order in which they are published.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Tally { $($(#[$doc])* pub $field: u64),+ }

        impl Tally {
            /// Names of the counters, in order.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),+];
            /// How many counters there are.
            pub const LEN: usize = Tally::FIELDS.len();
            /// Those that there were from the beginning: whatever was counted before there was TLS has no others.
            pub const LEN_FIRST: usize = 18;

            pub fn to_array(&self) -> [u64; Tally::LEN] {
                [$(self.$field),+]
            }

            pub fn from_array(values: [u64; Tally::LEN]) -> Tally {
                let [$($field),+] = values;
                Tally { $($field),+ }
            }
        }
    };
}

tally! {
    /// Requests whose intended instant has come (open loop) or that were started (closed loop).
    due,
    /// Requests handed to the kernel, counting a resent one once.
    sent,
    /// Requests sent once more on a fresh connection by the keep-alive rule.
    resent,
    token_right,
    token_wrong,
    version_right,
    version_wrong,
    from_right,
    from_wrong,
    timeout,
    refused,
    reset,
    malformed,
    status,
    missed,
    own_fault,
    /// Times that a peer sent bytes that nobody had asked for. Not an outcome.
    unsolicited,
    /// Bytes received.
    bytes,
    /// Handshakes and certificates that failed.
    tls,
}

impl Tally {
    /// Counts how an exchange ended. `verdict` is [`crate::judge`]'s word on an answered one.
    #[inline]
    pub fn answered(&mut self, verdict: Verdict) {
        self.token_right += u64::from(verdict.token);
        self.token_wrong += u64::from(!verdict.token);
        self.version_right += u64::from(verdict.version);
        self.version_wrong += u64::from(!verdict.version);
        self.from_right += u64::from(verdict.from);
        self.from_wrong += u64::from(!verdict.from);
    }

    pub fn failed(&mut self, failure: Failure) {
        *self.failure_mut(failure) += 1;
    }

    pub fn failure(&self, failure: Failure) -> u64 {
        match failure {
            Failure::Timeout => self.timeout,
            Failure::Refused => self.refused,
            Failure::Reset => self.reset,
            Failure::Malformed => self.malformed,
            Failure::Status => self.status,
            Failure::Missed => self.missed,
            Failure::OwnFault => self.own_fault,
            Failure::Tls => self.tls,
        }
    }

    fn failure_mut(&mut self, failure: Failure) -> &mut u64 {
        match failure {
            Failure::Timeout => &mut self.timeout,
            Failure::Refused => &mut self.refused,
            Failure::Reset => &mut self.reset,
            Failure::Malformed => &mut self.malformed,
            Failure::Status => &mut self.status,
            Failure::Missed => &mut self.missed,
            Failure::OwnFault => &mut self.own_fault,
            Failure::Tls => &mut self.tls,
        }
    }

    /// Well-framed 2xx answers.
    pub fn responses(&self) -> u64 {
        self.token_right.saturating_add(self.token_wrong)
    }

    /// Everything that has an outcome.
    pub fn settled(&self) -> u64 {
        Failure::ALL.iter().fold(self.responses(), |sum, failure| sum.saturating_add(self.failure(*failure)))
    }

    /// Failures that cost points.
    pub fn failures(&self) -> u64 {
        self.settled() - self.responses() - self.own_fault
    }

    /// Whether the counters are a partition: each answered request judged three times, each due one settled once.
    /// True when nothing is in flight.
    pub fn is_partition(&self) -> bool {
        let responses = self.responses();
        self.version_right.checked_add(self.version_wrong) == Some(responses)
            && self.from_right.checked_add(self.from_wrong) == Some(responses)
            && self.due == self.settled()
    }

    pub fn merge(&mut self, other: &Tally) {
        let mut sum = self.to_array();
        for (ours, theirs) in sum.iter_mut().zip(other.to_array()) {
            *ours = ours.saturating_add(theirs);
        }
        *self = Tally::from_array(sum);
    }

    /// Points by these rules. Never overflows: 2^64 requests of 2^32 points fit i128.
    pub fn points(&self, rules: &Rules) -> i128 {
        let gain = |right: u64, wrong: u64, points: u32| (i128::from(right) - i128::from(wrong)) * i128::from(points);
        gain(self.token_right, self.token_wrong, rules.token)
            + gain(self.version_right, self.version_wrong, rules.version)
            + gain(self.from_right, self.from_wrong, rules.from)
            - i128::from(self.failures()) * rules.exchange_points()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Deadlines, UtcUs};
    use crate::{Observed, Outcome, Platform, Seen, Version, judge};
    use proptest::prelude::*;

    fn outcomes() -> impl Strategy<Value = Outcome> {
        let version = prop_oneof![
            Just(Seen::Missing),
            Just(Seen::Other),
            Just(Seen::Value(Version::V1)),
            Just(Seen::Value(Version::V2))
        ];
        let from = prop_oneof![
            Just(Seen::Missing),
            Just(Seen::Other),
            Just(Seen::Value(Platform::Ec2)),
            Just(Seen::Value(Platform::Ecs))
        ];
        prop_oneof![
            (any::<bool>(), version, from).prop_map(|(token_right, version, from)| Outcome::Answered(Observed {
                token_right,
                version,
                from
            })),
            proptest::sample::select(&Failure::ALL[..]).prop_map(Outcome::Failed),
        ]
    }

    proptest! {
        #[test]
        fn due_is_the_sum_of_its_outcomes(outcomes in proptest::collection::vec(outcomes(), 0..200)) {
            let (rules, deadlines) = (Rules::default(), Deadlines::default());
            let mut tally = Tally::default();
            let mut points = 0i128;
            for outcome in &outcomes {
                tally.due += 1;
                match outcome {
                    Outcome::Answered(observed) => tally.answered(judge(*observed, &rules, &deadlines, UtcUs(1))),
                    Outcome::Failed(failure) => tally.failed(*failure),
                }
                points += match outcome {
                    Outcome::Answered(observed) => {
                        let v = judge(*observed, &rules, &deadlines, UtcUs(1));
                        (if v.token { 100 } else { -100 }) + (if v.version { 50 } else { -50 }) + (if v.from { 50 } else { -50 })
                    }
                    Outcome::Failed(Failure::OwnFault) => 0,
                    Outcome::Failed(_) => -200,
                };
            }
            prop_assert!(tally.is_partition());
            prop_assert_eq!(tally.due, outcomes.len() as u64);
            prop_assert_eq!(tally.points(&rules), points);
        }

        #[test]
        fn arrays_and_merging_agree(a in any::<[u32; Tally::LEN]>(), b in any::<[u32; Tally::LEN]>()) {
            let (a, b) = (a.map(u64::from), b.map(u64::from));
            let mut sum = Tally::from_array(a);
            sum.merge(&Tally::from_array(b));
            let expected: Vec<u64> = a.iter().zip(b).map(|(a, b)| a + b).collect();
            prop_assert_eq!(sum.to_array().to_vec(), expected);
        }
    }

    #[test]
    fn the_published_order_is_fixed() {
        assert_eq!(
            Tally::FIELDS.join(" "),
            "due sent resent token_right token_wrong version_right version_wrong from_right from_wrong timeout refused \
             reset malformed status missed own_fault unsolicited bytes tls"
        );
    }
}
