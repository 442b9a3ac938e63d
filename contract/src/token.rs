//! The token: 32 lower-case hex digits, unguessable, never repeated, recomputed rather than stored.
//!
//! A token is one AES-128 block of (worker u16, slot u32, counter u80) under a key that each stream draws for
//! itself and keeps in its process until it ends. A block cipher is a permutation, so distinct inputs give
//! distinct tokens for certain, and who has not seen a token cannot tell it from random bits.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use std::fmt;

/// Hex digits of a token.
pub const TOKEN_LEN: usize = 32;

/// The text of one token, as it goes over the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub [u8; TOKEN_LEN]);

impl Token {
    /// Reads a token as a server does: exactly 32 lower-case hex digits, nothing else.
    pub fn from_wire(value: &[u8]) -> Option<Token> {
        let digits: [u8; TOKEN_LEN] = value.try_into().ok()?;
        digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')).then_some(Token(digits))
    }

    /// Equal, without an early exit: a server that guesses learns nothing from our timing.
    #[inline]
    pub fn matches(&self, value: &[u8]) -> bool {
        let Ok(value) = <&[u8; TOKEN_LEN]>::try_from(value) else {
            return false;
        };
        let mut differing = 0u128;
        for half in 0..2 {
            let ours: [u8; 16] = self.0[half * 16..half * 16 + 16].try_into().expect("16 bytes");
            let theirs: [u8; 16] = value[half * 16..half * 16 + 16].try_into().expect("16 bytes");
            differing |= u128::from_ne_bytes(ours) ^ u128::from_ne_bytes(theirs);
        }
        differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Makes the tokens of one worker.
pub struct TokenMint {
    cipher: Aes128,
    worker: u16,
}

impl TokenMint {
    pub fn new(key: [u8; 16], worker: u16) -> TokenMint {
        TokenMint { cipher: Aes128::new(&Array::from(key)), worker }
    }

    /// The token of the `counter`-th request that connection slot `slot` of this worker makes.
    ///
    /// The counter is 80 bits wide in the block; 64 of them outlive any process.
    #[inline]
    pub fn token(&self, slot: u32, counter: u64) -> Token {
        let mut block = [0u8; 16];
        block[..2].copy_from_slice(&self.worker.to_be_bytes());
        block[2..6].copy_from_slice(&slot.to_be_bytes());
        block[8..].copy_from_slice(&counter.to_be_bytes());
        let mut block = Array::from(block);
        self.cipher.encrypt_block(&mut block);
        Token(hex(block.into()))
    }
}

impl fmt::Debug for TokenMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMint").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// Lower-case hex without a table or a branch, so that the compiler makes vector code of it.
#[inline]
fn hex(bytes: [u8; 16]) -> [u8; TOKEN_LEN] {
    let mut digits = [0u8; TOKEN_LEN];
    for (index, byte) in bytes.into_iter().enumerate() {
        digits[index * 2] = byte >> 4;
        digits[index * 2 + 1] = byte & 0x0f;
    }
    for digit in &mut digits {
        // 'a' - 10 - '0' = 39 is added to digits above nine.
        *digit += b'0' + if *digit > 9 { 39 } else { 0 };
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn hex_is_lower_case_and_in_order() {
        let mut bytes = [0u8; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = (index as u8) * 0x11;
        }
        assert_eq!(&hex(bytes), b"00112233445566778899aabbccddeeff");
    }

    #[test]
    fn the_block_cipher_is_aes_128() {
        // FIPS 197, appendix C.1 uses this key; the block is ours, encrypted with an independent AES.
        let key = std::array::from_fn(|index| index as u8);
        let token = TokenMint::new(key, 0).token(0, 0);
        assert_eq!(&token.0, b"c6a13b37878f5b826f4f8162a1c8d879");
    }

    #[test]
    fn no_two_tokens_are_equal() {
        let mut seen = HashSet::new();
        for worker in 0..3 {
            let mint = TokenMint::new([7; 16], worker);
            for slot in 0..8 {
                for counter in 0..500 {
                    assert!(seen.insert(mint.token(slot, counter)));
                }
            }
        }
    }

    #[test]
    fn a_token_matches_itself_and_nothing_else() {
        let mint = TokenMint::new([9; 16], 1);
        let token = mint.token(1, 1);
        assert!(token.matches(&token.0));
        assert_eq!(Token::from_wire(&token.0), Some(token));
        for index in 0..TOKEN_LEN {
            let mut other = token.0;
            other[index] ^= 1;
            assert!(!token.matches(&other));
        }
        assert!(!token.matches(&token.0[..31]));
        assert!(!token.matches(&token.0.to_ascii_uppercase()));
        assert_eq!(Token::from_wire(b"short"), None);
        assert_eq!(Token::from_wire(&token.0.to_ascii_uppercase()), None);
    }
}
