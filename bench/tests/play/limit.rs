//! `limit` against targets of a known capacity. Twenty seconds each, so only in the long form.

use crate::stage::Stage;
use flowtest_bench::child;
use flowtest_testkit::is_long;
use serde_json::Value;
use std::process::Command;

/// A machine that takes our core away in three holds in a row makes the generator the limit, and it says so with this code.
const OUR_OWN_LIMIT: i32 = 3;
const PLAYS: usize = 3;

#[test]
fn a_capacity_is_found_within_five_percent() {
    let capacities: &[u64] = if is_long() { &[700, 2_000, 5_000] } else { &[] };
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
    let capacities: &[u64] = if is_long() { &[1_000, 4_000] } else { &[] };
    for &capacity in capacities {
        let stage = Stage::new().contestant("bounded", &["--capacity", &capacity.to_string()]);
        let url = stage.target("bounded").url();
        let result = (0..PLAYS).find_map(|_| limit(&url));
        let holds = result.unwrap_or_else(|| panic!("late by itself in each of {PLAYS} plays"))["holds"].clone();
        // As many connections as the capacity answers in some eighty of the hundred milliseconds that are allowed.
        let connections = capacity * 8 / 100;
        let ((rate, p99_us), holds) = (closed_loop(&url, connections), holds.as_u64().expect("a rate") as f64);
        println!(
            "capacity {capacity}: limit holds {holds}/s, the closed loop reaches {rate:.0}/s at a p99 of {p99_us} us"
        );
        assert!(
            (holds - rate).abs() <= 0.1 * rate.max(holds),
            "{capacity}: {holds} and {rate} at a p99 of {p99_us} us"
        );
    }
}

/// The p99 that both are allowed by the reference target as it is, and with how many connections the closed loop is tried.
const ALLOWED_MS: u64 = 25;
const CONNECTIONS: [u64; 5] = [8, 32, 128, 512, 2_048];

/// A measurement of the machine: it says something where nothing else runs.
#[test]
fn a_limit_of_the_reference_target_is_what_the_closed_loop_reaches_within_that_latency() {
    if !is_long() {
        return;
    }
    let stage = Stage::new().contestant("wide", &[]);
    let url = stage.target("wide").url();
    let allowed = format!("{ALLOWED_MS}ms");
    let flags = ["--start", "4000", "--step", "x1.4", "--hold", "4s", "--timeout", "1s", "--p99", &allowed];
    // Whichever of the two is at its limit: the closed loop has the same two.
    let (holds, ended) = match run_limit(&url, &flags) {
        (code @ (0 | OUR_OWN_LIMIT), result) => (result["holds"].as_f64().expect("a rate"), code),
        other => panic!("{other:?}"),
    };
    let closed: Vec<(u64, f64, u64)> = CONNECTIONS
        .into_iter()
        .map(|connections| {
            let (rate, p99_us) = closed_loop(&url, connections);
            (connections, rate, p99_us)
        })
        .collect();
    let within = closed.iter().filter(|(.., p99_us)| *p99_us <= ALLOWED_MS * 1_000);
    let best = within.map(|(_, rate, _)| *rate).fold(0.0, f64::max);
    let ratio = holds / best;
    println!(
        "limit holds {holds:.0}/s (exit code {ended}), the closed loop reaches {best:.0}/s: {ratio:.3}; {closed:?}"
    );
    assert!((0.9..=1.1).contains(&ratio), "{ratio:.3}: {holds:.0} and {best:.0}; {closed:?}");
}

/// The rate and the p99 of the closed loop.
fn closed_loop(url: &str, connections: u64) -> (f64, u64) {
    let generator = child::build_folder().join("flowtest-loadgen");
    let connections = connections.to_string();
    let flags = ["--cores", "0", "--duration", "4s", "--quiet", "--json", "-", "--connections", &connections];
    let output = Command::new(generator).args(["stress", url]).args(flags).output().expect("it runs");
    let closed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (closed["rate"].as_f64().expect("a rate"), closed["latency_us"]["p99"].as_u64().expect("answered"))
}

fn limit(url: &str) -> Option<Value> {
    let flags = ["--start", "300", "--step", "x1.4", "--hold", "2s", "--timeout", "1s", "--p99", "100ms"];
    match run_limit(url, &flags) {
        (OUR_OWN_LIMIT, _) => None,
        (0, result) => Some(result),
        other => panic!("{other:?}"),
    }
}

/// The exit code of `limit`, and what it found.
fn run_limit(url: &str, flags: &[&str]) -> (i32, Value) {
    let generator = child::build_folder().join("flowtest-loadgen");
    let mut command = Command::new(generator);
    command.args(["limit", url, "--cores", "0", "--json", "-"]).args(flags);
    let output = command.output().expect("it runs");
    let result = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap_or(-1), result)
}
