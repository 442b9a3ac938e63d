//! The load generator: plan -> schedule -> connection -> judge -> tally -> batch.

pub mod http;
