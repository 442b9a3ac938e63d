//! Seeded histories of a stream's life against a plain model: whatever dies, what was acknowledged is there, nothing else
//! counts, and Redis ends with the journal's totals.
//!
//! The disk is made of memory. It keeps apart what a crash cannot take (synced) from what it can, and a crash takes
//! any of that, by sectors of 512 bytes and in any order. 3,000 histories; 100,000 in the long run.

mod common;
mod crash_model;

use common::Rng;
use crash_model::history::History;
use flowtest_testkit::is_long;

#[test]
fn whatever_dies_a_synced_group_counts_exactly_once() {
    let histories = if is_long() { 100_000 } else { 3_000 };
    let only = std::env::var("FLOWTEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..histories, |seed: u64| seed..seed + 1);
    let dir = common::scratch();
    let mut seen = crash_model::history::Seen::default();
    for seed in seeds {
        let run = || History::new(Rng(seed), dir.path()).run();
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(history) => seen.add(&history),
            Err(panic) => {
                eprintln!("the history of FLOWTEST_SEED={seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{seen:?}");
    if only.is_none() {
        seen.assert_everything_happened();
    }
}
