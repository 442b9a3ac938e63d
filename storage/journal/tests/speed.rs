//! How fast a stream is read, without anybody judging it, by the time that the core worked for it. Runs tiny in every test run, and for real by name:
//! `cargo test --release -p flowtest-journal --test speed -- --ignored --nocapture`.

mod common;

use common::{Owned, Rng};
use flowtest_contract::{RoundId, StreamId};
use flowtest_journal::record::{Batch, Trace, Traces};
use flowtest_journal::stream::{self, Record};

/// Of one block: what a worker sends off at once.
const TRACES: usize = 8192;

/// Writes groups of `blocks` blocks, reads them twice, and says how fast the second time was.
fn measure(groups: u64, blocks: u64) {
    let dir = common::scratch();
    let folder = common::folder(&dir.path().join("stream"), RoundId::from_bits(1), StreamId::from_bits(2));
    let mut rng = Rng(1);
    let observed = common::answered();
    let mut trace = |_| Trace {
        sent_us: rng.below(100_000) as i32,
        latency_us: rng.below(5_000) as u32,
        lag_us: 0,
        contestant: rng.below(3) as u16,
        observed,
    };
    let block = Owned::Traces(Traces { base: 1, worker: 0, traces: (0..TRACES).map(&mut trace).collect() });
    let traced = blocks * TRACES as u64;
    let mut group = vec![block; blocks as usize];
    group.push(Owned::Batch(Batch { from: 1, to: 2, traced, ..Batch::default() }));
    let mut stream = vec![vec![Owned::Start(common::start(["alice", "bob", "carol"]))]];
    stream.extend(vec![group; groups as usize]);
    common::write_stream(&folder, &stream, 64 << 20);
    for look in ["first", "second"] {
        let (began, mut traces) = (busy_seconds(), 0u64);
        let found = stream::read(&folder, |group| {
            for record in &group.records {
                if let Record::Traces(block) = record {
                    traces += block.traces.len() as u64;
                }
            }
        });
        let (found, seconds) = (found.expect("reads"), busy_seconds() - began);
        assert_eq!(traces, groups * traced);
        let millions = traces as f64 / seconds / 1e6;
        let gigabytes = found.bytes as f64 / seconds / 1e9;
        println!("{look}: {traces} traces, {} segments, {millions:.0} M traces/s, {gigabytes:.2} GB/s", found.segments);
    }
}

/// What the scheduler has given this thread. The kernel counts nanoseconds; it adds them up at a tick, at the latest.
fn busy_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel says");
    let nanoseconds: f64 = stat.split(' ').next().and_then(|first| first.parse().ok()).expect("a number");
    nanoseconds / 1e9
}

#[test]
fn a_little_is_measured() {
    measure(3, 2);
}

#[test]
#[ignore = "1 GiB, in a release build, on an idle machine"]
fn a_gibibyte_is_measured() {
    measure(512, 16);
}
