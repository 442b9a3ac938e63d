//! Our careful path and httparse differ in the documented ways only.
#![no_main]

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    if let Err(difference) = oracle::compare_with_httparse(stream) {
        panic!("{difference}: {}", stream.escape_ascii());
    }
});
