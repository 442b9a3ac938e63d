//! A request allocates nothing in steady state, over http and https: the whole program is counted, its server is another process.

mod identity;
mod server;

use clap::Parser;
use flowtest_loadgen::cli::{Cli, Command};
use flowtest_loadgen::play::stress;
use flowtest_loadgen::signals::Stop;
use identity::Identity;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests of a short run, and of one that differs from it by its requests alone.
const FEW: u64 = 2_000;
const MANY: u64 = 22_000;
/// What goes by time, as the display does, in requests.
const BY_TIME: u64 = (MANY - FEW) / 10;

/// What the other process serves; it ends with its standard input.
#[test]
#[ignore = "the other process of the test below"]
fn serves() {
    let identity = Identity::honest();
    let plain = server::serve("127.0.0.1", 0).0;
    let sealed = [&rustls::version::TLS13, &rustls::version::TLS12]
        .map(|version| identity::serve(identity.config(&[version]), 0).port());
    println!("\nserves {} {plain} {} {}", identity.path("ca.pem"), sealed[0], sealed[1]);
    let _ = std::io::stdin().read(&mut [0]);
}

/// Allocations of a run of so many requests.
fn allocations(url: &str, ca: &str, pipeline: &str, requests: u64) -> u64 {
    let requests = requests.to_string();
    let flags =
        ["--connections", "8", "--cores", "0", "--warmup", "0s", "--json", "/dev/null", "--requests", &requests];
    let words = ["flowtest-loadgen", "stress", url, "--ca", ca, "--pipeline", pipeline];
    let region = Region::new(GLOBAL);
    let cli = Cli::try_parse_from(words.iter().chain(&flags)).expect("flags");
    let Command::Stress(flags) = &cli.command else { panic!("it is one") };
    let code = stress::stress(flags, &Stop::default()).unwrap_or_else(|error| panic!("{error}"));
    // 3: on a machine with other work we were late.
    assert!(matches!(code, 0 | 3), "{code}");
    let change = region.change();
    (change.allocations + change.reallocations) as u64
}

#[test]
fn a_request_allocates_nothing() {
    let own = std::env::current_exe().expect("a path");
    let mut command = std::process::Command::new(own);
    command.args(["--ignored", "--exact", "serves", "--nocapture"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let told = lines.find_map(|line| line.strip_prefix("serves ").map(str::to_owned)).expect("it serves");
    let [ca, plain, tls13, tls12] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
    for url in [format!("http://{plain}"), format!("https://127.0.0.1:{tls13}"), format!("https://127.0.0.1:{tls12}")] {
        for pipeline in ["1", "16"] {
            let [few, many] = [FEW, MANY].map(|requests| allocations(&url, ca, pipeline, requests));
            println!("{url}, {pipeline} in flight: {few} and {many} allocations");
            assert!(many < few + BY_TIME, "{url}, {pipeline} in flight: {few} and {many} allocations");
        }
    }
    drop(child.stdin.take());
    child.wait().expect("it ends");
}
