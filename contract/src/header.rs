//! Names and values on the wire, and the limits that a response must keep.

use std::fmt;

/// Request and response header that carries the token. Compared without regard to case.
pub const TOKEN: &str = "Token";
/// Response header that says which version of the application answered.
pub const VERSION: &str = "Version";
/// Response header that says on which platform the application runs.
pub const FROM: &str = "From";

/// Response header that says whose server answered: the contestant's login name. Asked for where a contest wants proof of
/// that, and never scored.
pub const TEAM: &str = "Team";

/// Value of `User-Agent` in every request: `FlowTest/<version>`.
pub const USER_AGENT: &str = concat!("FlowTest/", env!("CARGO_PKG_VERSION"));

/// A response head, status line to blank line, in bytes.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header lines of one response.
pub const HEADERS_MAX: usize = 64;
/// A response body, in bytes, after removing the chunked framing.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Interim (1xx) responses before the final one.
pub const INTERIM_MAX: usize = 4;

/// The version of the contestant's application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    V1,
    V2,
}

/// The platform that the contestant's application runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    Ec2,
    Ecs,
}

/// A scored value with two settings: `BEFORE` its deadline and `AFTER` it.
pub trait Flip: Copy + Eq + Sized {
    const BEFORE: Self;
    const AFTER: Self;

    /// The bytes on the wire.
    fn as_str(self) -> &'static str;

    /// Byte-exact: the value after trimming spaces and tabs, nothing else.
    fn from_wire(value: &[u8]) -> Option<Self> {
        [Self::BEFORE, Self::AFTER].into_iter().find(|known| known.as_str().as_bytes() == value)
    }
}

impl Flip for Version {
    const BEFORE: Self = Version::V1;
    const AFTER: Self = Version::V2;

    fn as_str(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        }
    }
}

impl Flip for Platform {
    const BEFORE: Self = Platform::Ec2;
    const AFTER: Self = Platform::Ecs;

    fn as_str(self) -> &'static str {
        match self {
            Platform::Ec2 => "EC2",
            Platform::Ecs => "ECS",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_byte_exact() {
        assert_eq!(Version::from_wire(b"v1"), Some(Version::V1));
        assert_eq!(Version::from_wire(b"V1"), None);
        assert_eq!(Version::from_wire(b"v1 "), None);
        assert_eq!(Platform::from_wire(b"ECS"), Some(Platform::Ecs));
        assert_eq!(Platform::from_wire(b"ecs"), None);
        assert_eq!(Platform::from_wire(b""), None);
    }
}
