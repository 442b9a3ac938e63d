//! What auditing one trace costs on one core: reading, checking and judging a stream of the real writer.
//!
//! `cargo bench --bench audit` measures with fifty million traces, 800 MB in a temporary folder; `cargo test --benches`
//! runs it tiny, so that it cannot rot.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use flowtest_contract::{Deadline, Failure, Observed, Outcome, Platform, RoundId, Seen, StreamId, Version};
use flowtest_journal::record::{Batch, End, EndCode, NEVER_SENT, Observation, Start, Terms, Trace};
use flowtest_journal::stream::{self, StreamFolder};
use flowtest_journal::writer::{self, Writer};
use flowtest_loadgen::journal::audit::stream::{Questions, audit};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

const CONTESTANTS: u16 = 50;
/// What one group of a busy generator holds.
const TRACES_PER_GROUP: usize = 200_000;
const GROUPS: usize = 250;
const GROUPS_TINY: usize = 2;
const BASE: u64 = 1_795_428_000_000_000;

/// A generator of numbers that is the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// One in fifty fails or is wrong; latencies spread as real ones do.
fn trace(numbers: &mut Numbers, sent_us: i32) -> Trace {
    let outcome = match numbers.below(100) {
        0 => Outcome::Failed(Failure::ALL[numbers.below(7) as usize]),
        kind => Outcome::Answered(Observed {
            token_right: kind != 1,
            version: Seen::Value(if sent_us < 12_000_000 { Version::V1 } else { Version::V2 }),
            from: Seen::Value(Platform::Ecs),
        }),
    };
    let never = matches!(outcome, Outcome::Failed(Failure::Missed | Failure::OwnFault));
    let lag_us = numbers.below(200) as u32;
    Trace {
        sent_us,
        latency_us: lag_us + 150 + (numbers.below(1 << 10) * numbers.below(1 << 10) / 1_000) as u32,
        lag_us: if never { NEVER_SENT } else { lag_us },
        contestant: numbers.below(u64::from(CONTESTANTS)) as u16,
        observed: Observation { outcome, scored: true }.pack(),
    }
}

/// Its batches count nothing: what they cost is nothing beside the traces.
fn write(dir: &Path, groups: usize) -> StreamFolder {
    let path = dir.to_owned();
    let deadlines = Deadlines { version: Deadline(UtcUs(BASE + 12_000_000)), from: Deadline::PASSED };
    let mut start = Start {
        at: BASE,
        clock_offset_us: 0,
        clock_error_us: 0,
        terms: Terms::new(&Rules::default(), &deadlines),
        contest: b"bench".to_vec(),
        names: Vec::new(),
        name_lens: Vec::new(),
        document: Vec::new(),
        program: Vec::new(),
    };
    let names: Vec<String> = (0..CONTESTANTS).map(|contestant| format!("c{contestant}")).collect();
    start.set_names(names.iter().map(String::as_str));
    let work = writer::spawn(None, move || async move {
        let ids = (RoundId::from_bits(1), StreamId::from_bits(2));
        let mut writer = Writer::create(&path, ids.0, ids.1, &start).await.expect("a stream");
        let mut numbers = Numbers(7);
        for group in 0..groups as u64 {
            let base = BASE + group * 100_000;
            let sent = |at: usize| (at * 100_000 / TRACES_PER_GROUP) as i32;
            let traces: Vec<Trace> = (0..TRACES_PER_GROUP).map(|at| trace(&mut numbers, sent(at))).collect();
            let traced = traces.len() as u64;
            writer.append_traces(0, base, &traces).expect("traces");
            let batch = Batch { from: base, to: base + 100_000, traced, ..Batch::default() };
            writer.append_batch(&batch).expect("a batch");
            writer.commit().await.expect("it is synced");
        }
        let at = BASE + groups as u64 * 100_000;
        writer.append_end(&End { at, code: EndCode::Finished as u16 }).expect("the end");
        writer.commit().await.expect("it is synced");
        writer.close().await.expect("it closes");
    });
    work.expect("an executor").join().expect("it is written");
    stream::find(dir).expect("a stream").remove(0)
}

fn auditing(criterion: &mut Criterion) {
    let groups = if std::env::args().any(|word| word == "--bench") { GROUPS } else { GROUPS_TINY };
    let dir = tempfile::tempdir().expect("a folder");
    let folder = write(dir.path(), groups);
    let traces = (groups * TRACES_PER_GROUP) as u64;
    let mut group = criterion.benchmark_group("audit");
    group.throughput(Throughput::Elements(traces)).sample_size(10);
    group.bench_function("one stream", |bencher| {
        bencher.iter_custom(|count| {
            on_core(count, || {
                let stream = audit(black_box(&folder), Questions::default(), &|_| ()).expect("it is read");
                assert_eq!((stream.traced, stream.traced_said), (traces, traces));
            })
        });
    });
    group.bench_function("reading alone", |bencher| {
        bencher.iter_custom(|count| {
            on_core(count, || _ = stream::read(black_box(&folder), |group| _ = black_box(group)).expect("it is read"))
        });
    });
}

/// The time that this thread spent on a core: others use the machine as well.
fn on_core(count: u64, mut work: impl FnMut()) -> Duration {
    let spent = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel tells a thread's time");
        let word = text.split(' ').next().and_then(|word| word.parse().ok());
        Duration::from_nanos(word.expect("nanoseconds"))
    };
    let before = spent();
    (0..count).for_each(|_| work());
    spent() - before
}

criterion_group!(benches, auditing);
criterion_main!(benches);
