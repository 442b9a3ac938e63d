//! What a contest is played by: points, timeout, grace, deadlines.

pub use crate::clock::UtcUs;
use crate::header::{Flip, Platform, Version};
use serde::{Deserialize, Serialize};

/// Points, timeout, grace. Frozen when a round is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How long an exchange may take, from its start, in microseconds.
    pub timeout_us: u64,
    /// How long around a deadline either value is right, in microseconds.
    pub grace_us: u64,
    /// Points of a right token; as many are lost by a wrong one.
    pub token: u32,
    /// Points of a right version; as many are lost by a wrong one.
    pub version: u32,
    /// Points of a right platform; as many are lost by a wrong one.
    pub from: u32,
    /// Whether a wrong token makes the other two wrong as well.
    pub token_required: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { timeout_us: 3_000_000, grace_us: 5_000_000, token: 100, version: 50, from: 50, token_required: false }
    }
}

impl Rules {
    /// What a failed exchange costs, and what a verified one earns.
    pub fn exchange_points(&self) -> i128 {
        i128::from(self.token) + i128::from(self.version) + i128::from(self.from)
    }
}

/// The instant from which on a scored header must have its second value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deadline(pub UtcUs);

impl Deadline {
    /// The second value is expected from the start.
    pub const PASSED: Deadline = Deadline(UtcUs::EPOCH);
    /// The first value is expected for ever.
    pub const NEVER: Deadline = Deadline(UtcUs::MAX);

    /// Whether `value` is right in the answer to a request that was sent at `sent`.
    ///
    /// `grace_us` before or after the deadline, both ends included, either value is.
    #[inline]
    pub fn accepts<T: Flip>(self, value: T, sent: UtcUs, grace_us: u64) -> bool {
        if self == Deadline::PASSED {
            return value == T::AFTER;
        }
        if self == Deadline::NEVER {
            return value == T::BEFORE;
        }
        if sent.abs_diff(self.0) <= grace_us {
            return true;
        }
        value == self.expected(sent)
    }

    /// Which of the two values is expected at an instant, the grace left out.
    #[inline]
    pub fn expected<T: Flip>(self, at: UtcUs) -> T {
        if at < self.0 { T::BEFORE } else { T::AFTER }
    }
}

/// Both deadlines of a contest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    pub version: Deadline,
    pub from: Deadline,
}

impl Default for Deadlines {
    /// `v2` and `ECS` from the start.
    fn default() -> Deadlines {
        Deadlines { version: Deadline::PASSED, from: Deadline::PASSED }
    }
}

impl Deadlines {
    /// What is expected at an instant, the grace left out.
    pub fn expected(&self, at: UtcUs) -> (Version, Platform) {
        (self.version.expected(at), self.from.expected(at))
    }

    #[inline]
    pub fn accepts_version(&self, value: Version, sent: UtcUs, grace_us: u64) -> bool {
        self.version.accepts(value, sent, grace_us)
    }

    #[inline]
    pub fn accepts_from(&self, value: Platform, sent: UtcUs, grace_us: u64) -> bool {
        self.from.accepts(value, sent, grace_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: u64 = 5_000_000;

    #[test]
    fn either_value_is_right_within_grace_and_one_outside() {
        let deadline = Deadline(UtcUs(100_000_000));
        // (send instant, v1 is right, v2 is right)
        let cases = [
            (0, true, false),
            (94_999_999, true, false), // one microsecond before the grace
            (95_000_000, true, true),  // its first instant
            (100_000_000, true, true), // the deadline
            (105_000_000, true, true), // its last instant
            (105_000_001, false, true),
            (u64::MAX, false, true),
        ];
        for (sent, v1, v2) in cases {
            let sent = UtcUs(sent);
            assert_eq!(deadline.accepts(Version::V1, sent, GRACE), v1, "v1 at {sent:?}");
            assert_eq!(deadline.accepts(Version::V2, sent, GRACE), v2, "v2 at {sent:?}");
        }
    }

    #[test]
    fn passed_and_never_have_no_grace() {
        assert!(!Deadline::PASSED.accepts(Platform::Ec2, UtcUs::EPOCH, GRACE));
        assert!(Deadline::PASSED.accepts(Platform::Ecs, UtcUs::EPOCH, GRACE));
        assert!(Deadline::NEVER.accepts(Platform::Ec2, UtcUs::MAX, GRACE));
        assert!(!Deadline::NEVER.accepts(Platform::Ecs, UtcUs::MAX, GRACE));
    }
}
