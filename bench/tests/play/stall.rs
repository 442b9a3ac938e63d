//! A contestant that stands still for a while: everybody who was due in the meantime is late, and the figures say so.

use crate::stage::Stage;
use flowtest_bench::contest_box::{Generator, Outcome};
use flowtest_contract::histogram::{bucket, bucket_last};
use rustix::process::Signal;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);
const LENGTH_S: f64 = 6.0;
const STALL_S: f64 = 2.0;
const RATE: u64 = 200;
/// More than are due during the stall, so that each is sent when it is due.
const CONNECTIONS: usize = 600;

/// Under open loop requests are due at an even pace, whatever the contestant does. One that falls into a stall of S
/// seconds, x seconds before its end, is answered x late; all others at once. So of a run of L seconds the share of
/// requests that wait longer than x is (S - x) / L, and the latency at quantile q, for q >= 1 - S / L, is
/// S - (1 - q) * L. With S = 2 and L = 6: p90 = 1.4 s, p99 = 1.94 s. A closed loop would have said nearly nothing.
fn computed_s(quantile: f64) -> f64 {
    STALL_S - (1.0 - quantile) * LENGTH_S
}

/// How often it is played: a machine that takes the core away while nobody stalls makes the generator late by itself,
/// and it says so with this code.
const PLAYS: usize = 3;
const LATE_BY_ITSELF: Option<i32> = Some(3);

#[test]
fn a_stall_of_two_seconds_is_in_the_latencies_of_all_that_were_due_meanwhile() {
    let outcome = (0..PLAYS).map(|_| play()).find(|(outcome, _)| outcome.exit_code != LATE_BY_ITSELF);
    let (outcome, longer_s) = outcome.unwrap_or_else(|| panic!("late by itself in each of {PLAYS} plays"));
    assert_exact(&outcome, longer_s);
}

/// Plays it once. Returns also by how many seconds the stall was longer than asked for.
fn play() -> (Outcome, f64) {
    let stage = Stage::new().contestant("stalling", &[]);
    let url = stage.target("stalling").url();
    let flags = [
        "--rate",
        &RATE.to_string(),
        "--connections",
        &CONNECTIONS.to_string(),
        "--duration",
        &format!("{LENGTH_S}s"),
        "--warmup",
        "0s",
        "--timeout",
        "3s",
        "--quiet",
    ];
    let generator = Generator::stress(&[url], stage.folder(), &flags).unwrap_or_else(|error| panic!("{error}"));
    std::thread::sleep(Duration::from_secs(2));
    let stopped = std::time::Instant::now();
    stage.target("stalling").signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs_f64(STALL_S));
    stage.target("stalling").signal(Signal::CONT);
    // On a busy machine the stall is longer than we asked for; that is no fault of the figures.
    let longer_s = stopped.elapsed().as_secs_f64() - STALL_S;
    (generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}")), longer_s)
}

fn assert_exact(outcome: &Outcome, longer_s: f64) {
    assert_eq!(outcome.exit_code, Some(0), "{}", outcome.said);
    let figures = &outcome.json;
    assert_eq!(figures["requests"], RATE * LENGTH_S as u64, "{figures}");
    assert_eq!(figures["verified"], figures["requests"], "nobody waits as long as the timeout: {figures}");
    let us = |of: &str, at: &str| figures[of][at].as_f64().unwrap_or_else(|| panic!("{of} {at}: {figures}"));
    // The machine's own noise: how late the generator itself was, and what an answer takes without a stall.
    let noise_s = longer_s + (us("lag_us", "p99") + us("latency_us", "p50")) / 1e6;
    for (at, quantile) in [("p90", 0.9), ("p99", 0.99)] {
        let (measured, computed) = (us("latency_us", at) / 1e6, computed_s(quantile));
        println!("{at}: {measured:.3} s, computed {computed:.3} s, noise {noise_s:.3} s");
        // A histogram tells the end of a bucket, so the bounds are read as it would read them.
        let read_s = |seconds: f64| bucket_last(bucket((seconds * 1e6) as u64)) as f64 / 1e6;
        let bounds = read_s(computed * 0.95 - noise_s)..=read_s(computed * 1.05 + noise_s);
        assert!(bounds.contains(&measured), "{at}: {measured} s, not {computed} s ({bounds:?})");
    }
}
