//! An invitation's token, as it is printed and as people type it.
//!
//! 128 random bits in Crockford's base32: 26 digits in groups of five, without I, L, O and U. Pure but for the drawing.

use crate::error::Error;
use crate::people::secret::{self, Secret};

/// Crockford's digits: what looks alike is left out (crockford.com/base32.html).
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 26 digits of 5 bits hold 128 bits; the first one carries three of them.
const LENGTH: usize = 26;
const GROUP: usize = 5;
/// Longest input that is looked at, in characters: groups, hyphens and some spaces.
const INPUT_MAX: usize = 100;

/// A token in its one true spelling: digits without hyphens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn draw() -> Result<Token, Error> {
        let mut bytes = [0; 16];
        secret::fill(&mut bytes)?;
        Ok(Token::of(u128::from_be_bytes(bytes)))
    }

    fn of(bits: u128) -> Token {
        let digit = |place: usize| DIGITS[(bits >> (5 * (LENGTH - 1 - place))) as usize & 31] as char;
        Token((0..LENGTH).map(digit).collect())
    }

    /// Reads what somebody typed: any case, hyphens and spaces anywhere or nowhere, O for 0, I and L for 1.
    pub(crate) fn read(typed: &str) -> Option<Token> {
        let typed: String = typed.chars().take(INPUT_MAX + 1).collect();
        if typed.chars().count() > INPUT_MAX {
            return None;
        }
        let digits: Option<String> =
            typed.chars().filter(|&symbol| !symbol.is_whitespace() && !is_dash(symbol)).map(digit_of).collect();
        digits.filter(|digits| digits.len() == LENGTH && digits.as_bytes()[0] <= b'7').map(Token)
    }

    pub(crate) fn digest(&self) -> Vec<u8> {
        secret::digest(&self.0)
    }

    /// In groups, for slips of paper.
    pub(crate) fn printed(&self) -> Secret {
        let groups: Vec<&str> = (0..LENGTH).step_by(GROUP).map(|at| &self.0[at..LENGTH.min(at + GROUP)]).collect();
        Secret::from_text(groups.join("-"))
    }
}

/// Phones and word processors make dashes of many kinds.
fn is_dash(symbol: char) -> bool {
    matches!(symbol, '-' | '_' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ad}')
}

fn digit_of(symbol: char) -> Option<char> {
    match symbol.to_ascii_uppercase() {
        'O' => Some('0'),
        'I' | 'L' => Some('1'),
        digit => digit.is_ascii().then_some(digit).filter(|&digit| DIGITS.contains(&(digit as u8))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_printed_token_is_groups_of_five() {
        let printed = Token::of(u128::MAX).printed();
        assert_eq!(printed.reveal(), "7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-Z");
        assert_eq!(Token::of(0).printed().reveal(), "00000-00000-00000-00000-00000-0");
    }

    #[test]
    fn what_is_no_token_is_not_read() {
        let good = Token::of(7).printed();
        // nothing, too short, too long, a digit that does not exist, more than 128 bits, not ASCII, endless
        let bad = [
            String::new(),
            good.reveal()[1..].to_owned(),
            format!("{}0", good.reveal()),
            good.reveal().replacen('0', "U", 1),
            good.reveal().replacen('0', "8", 1),
            good.reveal().replacen('0', "ſ", 1),
            "0".repeat(1_000_000),
        ];
        for bad in bad {
            assert!(Token::read(&bad).is_none(), "{:?}", bad.get(..60));
        }
    }

    proptest! {
        #[test]
        fn a_token_is_read_back_however_it_was_typed(
            bits: u128,
            noise in prop::collection::vec((0_u8..5, any::<bool>(), any::<bool>()), LENGTH),
        ) {
            let token = Token::of(bits);
            let mut typed = String::new();
            for (digit, (gap, lower, alike)) in token.0.chars().zip(noise) {
                typed.push_str(["", "-", " ", "\u{2013}", "\t"][usize::from(gap)]);
                let digit = match (digit, alike) {
                    ('0', true) => 'O',
                    ('1', true) => if lower { 'L' } else { 'I' },
                    (digit, _) => digit,
                };
                typed.push(if lower { digit.to_ascii_lowercase() } else { digit });
            }
            let read = Token::read(&typed).expect("a token");
            prop_assert_eq!(&read.0, &token.0);
            prop_assert_eq!(Token::read(read.printed().reveal()).expect("a token").digest(), token.digest());
        }

        #[test]
        fn any_text_is_a_token_or_nothing(text in any::<String>()) {
            if let Some(token) = Token::read(&text) {
                prop_assert_eq!(token.0.len(), LENGTH);
            }
        }
    }
}
