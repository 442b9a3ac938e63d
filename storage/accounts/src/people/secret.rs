//! Random secrets: sessions, links to a screen, invitations.
//!
//! A secret has at least 128 random bits, so one SHA-256 is enough to keep of it: nothing can be guessed from that.

use crate::error::Error;
use sha2::{Digest, Sha256};
use std::fmt;

/// Random bytes of a session's or a screen's secret.
const SECRET_BYTES: usize = 32;

/// A secret in clear text, for the one it belongs to. Its `Debug` shows nothing, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What a browser's cookie holds: 64 hex digits.
pub type SessionSecret = Secret;
/// What stands in a link to the projector's view: 64 hex digits.
pub type ScreenSecret = Secret;

impl Secret {
    /// The clear text, to be sent to its owner and written nowhere.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_text(text: String) -> Secret {
        Secret(text)
    }

    /// 256 random bits as hex digits.
    pub(crate) fn draw() -> Result<Secret, Error> {
        let mut bytes = [0; SECRET_BYTES];
        fill(&mut bytes)?;
        Ok(Secret(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub(crate) fn digest(&self) -> Vec<u8> {
        digest(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Fills with bits of the kernel's generator.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Failed(format!("the kernel gives no random bits: {error}")))
}

/// What is kept of a secret.
pub(crate) fn digest(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

/// What is kept of a secret that came from a network; none if no secret looks like that.
pub(crate) fn digest_of_hex(text: &str) -> Option<Vec<u8>> {
    let right = text.len() == 2 * SECRET_BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    right.then(|| digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_hides_itself_and_is_never_drawn_twice() {
        let (one, two) = (Secret::draw().expect("random bits"), Secret::draw().expect("random bits"));
        assert_ne!(one, two);
        assert_eq!(format!("{one:?}"), "Secret(hidden)");
        assert_eq!(digest_of_hex(one.reveal()), Some(one.digest()));
    }

    #[test]
    fn only_64_hex_digits_are_looked_up() {
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(65), &"ä".repeat(32)] {
            assert_eq!(digest_of_hex(bad), None, "{bad:?}");
        }
    }
}
