//! Whatever a server says in place of TLS, or changes of it, ends a connection at the most.
#![no_main]

#[path = "../../tests/mangled/mod.rs"]
mod mangled;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| mangled::is_survived(input));
