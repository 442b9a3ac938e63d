//! The fleet that `flowtest-bench scoreboard` makes, small: real publishers, and Redis holds to the bucket what they counted.

use flowtest_bench::scoreboard::{Options, Size, run};
use std::time::Duration;

#[test]
fn what_a_small_fleet_counted_is_what_redis_holds() {
    let size = Size { contestants: 20, generators: 2 };
    let options = Options { sizes: vec![size], rate: 100, length: Duration::from_secs(3), json: None };
    // The sums are compared in there.
    let report = run(&options).unwrap_or_else(|error| panic!("{error}"));
    let fleet = &report.fleets[0];
    assert!(fleet.looks >= 1 && fleet.bytes_in_per_second > 0.0 && fleet.is_enough().is_none(), "{report:?}");
    // Each row whole, five times a second, would be so much; what else came in is a small part of it.
    let whole = 5.0 * f64::from(size.contestants * size.generators) * fleet.row_text_bytes as f64;
    assert!(fleet.bytes_in_per_second < whole / 2.0, "{report:?}");
}
