//! Ids of streams and rounds: 128 random bits, written as 32 lower-case hex digits, never reused.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Hex digits of an id.
pub const ID_LEN: usize = 32;

/// Text that is not 32 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no id: an id is 32 lower-case hex digits")]
pub struct IdError(String);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(u128);

        impl $name {
            /// The id made of these bits, as a rule random ones.
            pub const fn from_bits(bits: u128) -> $name {
                $name(bits)
            }

            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<$name, IdError> {
                parse(text).map($name).ok_or_else(|| IdError(text.chars().take(80).collect()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<$name, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

id! {
    /// One writer of a round: one process, one journal folder.
    StreamId
}

id! {
    /// One round of a contest.
    RoundId
}

fn parse(text: &str) -> Option<u128> {
    let digits = text.len() == ID_LEN && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_32_lower_case_hex_digits_are_an_id() {
        let good = "00ff".repeat(8);
        assert_eq!(good.parse::<RoundId>().expect("an id").to_string(), good);
        // too short, too long, upper case, a sign, not ASCII
        for bad in ["", &good[1..], &format!("{good}0"), &good.to_uppercase(), &format!("+{}", &good[1..]), "ää"] {
            assert!(bad.parse::<RoundId>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn an_id_survives_its_text(bits: u128) {
            prop_assert_eq!(StreamId::from_bits(bits).to_string().parse::<StreamId>(), Ok(StreamId::from_bits(bits)));
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,40}") {
            if let Ok(id) = text.parse::<StreamId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
