//! Any bytes as a segment are read without a panic, and whatever can be gone on from is gone on from rightly.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/harness/mod.rs"]
mod harness;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| harness::segment(bytes));
