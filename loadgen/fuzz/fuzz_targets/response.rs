//! Fast path, careful path and a cut stream must say the same of any bytes, whatever was learned before.
#![no_main]

#[path = "../../tests/transcript/mod.rs"]
mod transcript;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| transcript::agree(input));
