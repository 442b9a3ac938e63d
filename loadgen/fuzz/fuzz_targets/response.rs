//! Fast path, careful path and a cut stream must say the same of any bytes, whatever was learned before.
//!
//! The input: four control bytes, then the stream. A stream may name the token of its request as 32 zeros, which
//! are replaced, so that right tokens are found.
#![no_main]

#[path = "../../tests/transcript/mod.rs"]
mod transcript;

use flowtest_contract::{Token, TokenMint};
use flowtest_loadgen::http::{Reader, Shape};
use libfuzzer_sys::fuzz_target;
use transcript::{Eof, at_once, carefully, transcript};

fn with_tokens(stream: &[u8], tokens: &[Token]) -> Vec<u8> {
    let mut bytes = stream.to_vec();
    let mut tokens = tokens.iter();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(32).position(|window| window == [b'0'; 32]) {
        let Some(token) = tokens.next() else { break };
        bytes[at + found..at + found + 32].copy_from_slice(&token.0);
        at += found + 32;
    }
    bytes
}

fuzz_target!(|input: &[u8]| {
    let Some((&[flags, one, two, three], stream)) = input.split_first_chunk() else {
        return;
    };
    let mint = TokenMint::new([1; 16], 0);
    let tokens: Vec<Token> = (0..6).map(|counter| mint.token(0, counter)).collect();
    let earlier = with_tokens(stream, &tokens[3..]);
    let mut stream = with_tokens(stream, &tokens[..3]);
    let eof = if flags & 1 == 0 { Eof::None } else { Eof::Fin };

    // Learn from the stream, then change one byte of it, so that the fast path is tempted.
    let (mut reader, mut shape) = (Reader::new(), Shape::new());
    for _ in 0..flags >> 1 & 3 {
        at_once(&earlier, eof, &tokens[3..], &mut reader, &mut shape);
    }
    let place = usize::from(one) << 8 | usize::from(two);
    if flags & 8 != 0
        && let Some(byte) = stream.get_mut(place)
    {
        *byte = three;
    }

    let expected = carefully(&stream, eof, &tokens[..3]);
    assert_eq!(at_once(&stream, eof, &tokens[..3], &mut reader, &mut shape), expected);
    let (first, second) = stream.split_at(usize::from(one).min(stream.len()));
    let (second, third) = second.split_at(usize::from(two).min(second.len()));
    let cut = transcript([first, second, third], eof, &tokens[..3], &mut reader, &mut shape);
    assert_eq!(cut, expected);
    assert_eq!(at_once(&stream, eof, &tokens[..3], &mut reader, &mut shape), expected);
});
