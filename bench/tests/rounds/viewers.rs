//! The crowd that `flowtest-bench viewers` makes, small: the real dashboard, a screen link, and nobody is lost.

use flowtest_bench::viewers::{Options, run};
use std::time::Duration;

#[test]
fn a_small_crowd_watches_and_nobody_is_lost() {
    let options = Options { viewers: 20, contestants: 5, length: Duration::from_secs(4), json: None };
    let report = run(&options).unwrap_or_else(|error| panic!("{error}"));
    // Each of the readers got frames, and one of the crowd never read.
    assert!(report.frames >= 19, "{report:?}");
    assert_eq!((report.lost, report.skipped), (0, 0), "{report:?}");
}
