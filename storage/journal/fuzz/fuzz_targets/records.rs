//! Any payloads under valid checksums are records or damage.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/harness/mod.rs"]
mod harness;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    harness::records(input);
});
