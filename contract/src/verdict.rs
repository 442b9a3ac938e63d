//! One exchange: what was observed, and what that is worth.
//!
//! Observation and judgement are apart so that a disputed deadline can be judged again from what was observed.

use crate::header::{Platform, Version};
use crate::rules::{Deadlines, Rules, UtcUs};

/// What an answer said in a scored header that has two known values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen<T> {
    /// No such header.
    Missing,
    /// A value that nobody knows, or the header more than once.
    Other,
    Value(T),
}

impl<T> Seen<T> {
    #[inline]
    pub fn value(self) -> Option<T> {
        match self {
            Seen::Value(value) => Some(value),
            Seen::Missing | Seen::Other => None,
        }
    }
}

/// What a well-framed 2xx answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The token of this very request, once.
    pub token_right: bool,
    pub version: Seen<Version>,
    pub from: Seen<Platform>,
}

/// Why an exchange failed. Each costs as much as three wrong headers, but for [`Failure::OwnFault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Not complete when the timeout was over.
    Timeout,
    /// The connection was not made: refused or unreachable.
    Refused,
    /// The peer ended the connection before the response was complete.
    Reset,
    /// Not a response by RFC 9112 with our limits.
    Malformed,
    /// A well-framed response that is not 2xx.
    Status,
    /// Came due while the contestant held all its connections, and found none free in time.
    Missed,
    /// The generator's own fault: costs nothing.
    OwnFault,
    /// No connection over TLS: the handshake failed, the certificate is not one to trust, or what came later broke TLS.
    Tls,
}

impl Failure {
    pub const ALL: [Failure; 8] = [
        Failure::Timeout,
        Failure::Refused,
        Failure::Reset,
        Failure::Malformed,
        Failure::Status,
        Failure::Missed,
        Failure::OwnFault,
        Failure::Tls,
    ];

    /// The name of the counter in tally, JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Failure::Timeout => "timeout",
            Failure::Refused => "refused",
            Failure::Reset => "reset",
            Failure::Malformed => "malformed",
            Failure::Status => "status",
            Failure::Missed => "missed",
            Failure::OwnFault => "own_fault",
            Failure::Tls => "tls",
        }
    }
}

/// How one exchange ended. Every request that came due ends in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered(Observed),
    Failed(Failure),
}

/// Which of the three scored headers were right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub token: bool,
    pub version: bool,
    pub from: bool,
}

impl Verdict {
    /// All three right.
    #[inline]
    pub fn verified(self) -> bool {
        self.token && self.version && self.from
    }
}

/// Judges an answer by the rules and the deadlines in force when its request was sent.
#[inline]
pub fn judge(observed: Observed, rules: &Rules, deadlines: &Deadlines, sent: UtcUs) -> Verdict {
    let counts = observed.token_right || !rules.token_required;
    let version = observed.version.value().is_some_and(|value| deadlines.accepts_version(value, sent, rules.grace_us));
    let from = observed.from.value().is_some_and(|value| deadlines.accepts_from(value, sent, rules.grace_us));
    Verdict { token: observed.token_right, version: counts && version, from: counts && from }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Deadline;

    fn observed(token_right: bool, version: Seen<Version>, from: Seen<Platform>) -> Observed {
        Observed { token_right, version, from }
    }

    #[test]
    fn the_three_headers_are_judged_apart() {
        let (rules, deadlines) = (Rules::default(), Deadlines::default());
        let v =
            judge(observed(false, Seen::Value(Version::V2), Seen::Value(Platform::Ec2)), &rules, &deadlines, UtcUs(1));
        assert_eq!(v, Verdict { token: false, version: true, from: false });
        assert!(!v.verified());
    }

    #[test]
    fn a_required_token_takes_the_others_with_it() {
        let rules = Rules { token_required: true, ..Rules::default() };
        let answer = observed(false, Seen::Value(Version::V2), Seen::Value(Platform::Ecs));
        let v = judge(answer, &rules, &Deadlines::default(), UtcUs(1));
        assert_eq!(v, Verdict { token: false, version: false, from: false });
    }

    #[test]
    fn missing_and_unknown_values_are_wrong_even_within_grace() {
        let deadlines = Deadlines { version: Deadline(UtcUs(10)), from: Deadline(UtcUs(10)) };
        let v = judge(observed(true, Seen::Missing, Seen::Other), &Rules::default(), &deadlines, UtcUs(10));
        assert_eq!(v, Verdict { token: true, version: false, from: false });
    }
}
