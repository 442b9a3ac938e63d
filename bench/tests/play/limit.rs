//! `limit` against targets of a known capacity. Twenty seconds each, so only in the long form.

use crate::stage::Stage;
use flowtest_bench::child;
use serde_json::Value;
use std::process::Command;

/// A machine that takes our core away in three holds in a row makes the generator the limit, and it says so with this code.
const OUR_OWN_LIMIT: i32 = 3;
const PLAYS: usize = 3;

#[test]
fn a_capacity_is_found_within_five_percent() {
    let capacities: &[u64] = if std::env::var_os("FLOWTEST_LONG").is_some() { &[700, 2_000, 5_000] } else { &[] };
    for &capacity in capacities {
        let stage = Stage::new().contestant("bounded", &["--capacity", &capacity.to_string()]);
        let url = stage.target("bounded").url();
        let result = (0..PLAYS).find_map(|_| limit(&url));
        let result = result.unwrap_or_else(|| panic!("late by itself in each of {PLAYS} plays"));
        let holds = result["holds"].as_u64().expect("a rate");
        assert!(holds.abs_diff(capacity) * 20 <= capacity, "{capacity}: {result:#}");
        assert_ne!(result["breaks_at"], Value::Null);
    }
}

#[test]
fn a_limit_is_what_the_closed_loop_reaches_at_that_latency() {
    let capacities: &[u64] = if std::env::var_os("FLOWTEST_LONG").is_some() { &[1_000, 4_000] } else { &[] };
    for &capacity in capacities {
        let stage = Stage::new().contestant("bounded", &["--capacity", &capacity.to_string()]);
        let url = stage.target("bounded").url();
        let result = (0..PLAYS).find_map(|_| limit(&url));
        let holds = result.unwrap_or_else(|| panic!("late by itself in each of {PLAYS} plays"))["holds"].clone();
        // As many connections as the capacity answers in some eighty of the hundred milliseconds that are allowed.
        let connections = (capacity * 8 / 100).to_string();
        let generator = child::build_folder().join("flowtest-loadgen");
        let flags = ["--cores", "0", "--duration", "4s", "--quiet", "--json", "-", "--connections", &connections];
        let output = Command::new(generator).args(["stress", &url]).args(flags).output().expect("it runs");
        let closed: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let (holds, rate) = (holds.as_u64().expect("a rate") as f64, closed["rate"].as_f64().expect("a rate"));
        let p99_us = closed["latency_us"]["p99"].as_u64().expect("answered");
        println!(
            "capacity {capacity}: limit holds {holds}/s, the closed loop reaches {rate:.0}/s at a p99 of {p99_us} us"
        );
        assert!(
            (holds - rate).abs() <= 0.1 * rate.max(holds),
            "{capacity}: {holds} and {rate} at a p99 of {p99_us} us"
        );
    }
}

fn limit(url: &str) -> Option<Value> {
    let generator = child::build_folder().join("flowtest-loadgen");
    let flags =
        ["--start", "300", "--step", "x1.4", "--hold", "2s", "--timeout", "1s", "--p99", "100ms", "--json", "-"];
    let output = Command::new(generator).args(["limit", url, "--cores", "0"]).args(flags).output().expect("it runs");
    match output.status.code() {
        Some(OUR_OWN_LIMIT) => None,
        Some(0) => Some(serde_json::from_slice(&output.stdout).expect("JSON")),
        _ => panic!("{output:?}"),
    }
}
