//! What the tests of the journal share: records that can be compared, seeded chance, and streams written by plain files.
#![allow(dead_code, reason = "each test file takes what it needs, and only some leave anything")]

use flowtest_contract::rules::{Deadlines, Rules};
use flowtest_contract::verdict::Outcome;
use flowtest_contract::{Failure, Histogram, Observed, Platform, RoundId, Seen, StreamId, Tally, Version};
use flowtest_journal::JournalError;
use flowtest_journal::log::{Log, Step};
use flowtest_journal::record::{
    Batch, Control, Decision, End, Evidence, Further, Join, Late, Notice, Observation, Start, Terms, Trace, Traces,
};
use flowtest_journal::stream::{self, Found, Record, StreamFolder};
use rkyv::rancor::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// SplitMix64: the same numbers from the same seed, for ever.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A record outside a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Start(Start),
    Batch(Batch),
    Traces(Traces),
    Evidence(Evidence),
    Control(Control),
    Notice(Notice),
    Late(Late),
    Join(Join),
    Further(Further),
    Decision(Decision),
    End(End),
}

pub(crate) fn own(record: &Record<'_>) -> Owned {
    fn taken<T>(result: Result<T, Error>) -> T {
        result.expect("a validated record is deserialised")
    }
    match record {
        Record::Start(start) => Owned::Start(taken(rkyv::deserialize(*start))),
        Record::Batch(batch) => Owned::Batch(taken(rkyv::deserialize(*batch))),
        Record::Traces(traces) => Owned::Traces(taken(rkyv::deserialize(*traces))),
        Record::Evidence(evidence) => Owned::Evidence(taken(rkyv::deserialize(*evidence))),
        Record::Control(control) => Owned::Control(taken(rkyv::deserialize(*control))),
        Record::Notice(notice) => Owned::Notice(taken(rkyv::deserialize(*notice))),
        Record::Late(late) => Owned::Late(taken(rkyv::deserialize(*late))),
        Record::Join(join) => Owned::Join(taken(rkyv::deserialize(*join))),
        Record::Further(further) => Owned::Further(taken(rkyv::deserialize(*further))),
        Record::Decision(decision) => Owned::Decision(taken(rkyv::deserialize(*decision))),
        Record::End(end) => Owned::End(taken(rkyv::deserialize(*end))),
    }
}

pub(crate) fn append(log: &mut Log, record: &Owned) -> Result<(), JournalError> {
    match record {
        Owned::Start(start) => log.append_start(start),
        Owned::Batch(batch) => log.append_batch(batch),
        Owned::Traces(block) => log.append_traces(block.worker, block.base, &block.traces),
        Owned::Evidence(evidence) => log.append_evidence(evidence),
        Owned::Control(control) => log.append_control(control),
        Owned::Notice(notice) => log.append_notice(notice),
        Owned::Late(late) => log.append_late(late),
        Owned::Join(join) => log.append_join(join),
        Owned::Further(further) => log.append_further(further),
        Owned::Decision(decision) => log.append_decision(decision),
        Owned::End(end) => log.append_end(end),
    }
}

pub(crate) fn start<'a>(names: impl IntoIterator<Item = &'a str>) -> Start {
    let mut start = Start {
        at: 1_700_000_000_000_000,
        clock_offset_us: -250,
        clock_error_us: 80,
        terms: terms(),
        contest: b"finals".to_vec(),
        names: Vec::new(),
        name_lens: Vec::new(),
        document: br#"{"contest":"finals"}"#.to_vec(),
        program: br#"{"version":"0.1.0"}"#.to_vec(),
    };
    start.set_names(names);
    start
}

pub(crate) fn terms() -> Terms {
    Terms::new(&Rules::default(), &Deadlines::default())
}

pub(crate) fn answered() -> u16 {
    let observed = Observed { token_right: true, version: Seen::Value(Version::V1), from: Seen::Value(Platform::Ec2) };
    Observation { outcome: Outcome::Answered(observed), scored: true }.pack()
}

/// What an interval may record of `contestants`: blocks of traces and the batch that counts them, now and then more.
pub(crate) fn interval(rng: &mut Rng, contestants: u16, from: u64) -> Vec<Owned> {
    let mut records = Vec::new();
    let mut tallies = vec![(Tally::default(), Histogram::default()); usize::from(contestants)];
    for worker in 0..rng.below(3) as u16 {
        let traces: Vec<Trace> = (0..rng.below(40)).map(|_| trace(rng, contestants, &mut tallies)).collect();
        records.push(Owned::Traces(Traces { base: from, worker, traces }));
    }
    let traced = records.iter().map(|record| if let Owned::Traces(block) = record { block.traces.len() } else { 0 });
    let mut batch =
        Batch { from, to: from + 100_000, traced: traced.sum::<usize>() as u64, untraced: 0, ..Batch::default() };
    for (number, (tally, latency)) in tallies.iter().enumerate() {
        batch.push(number as u16, true, tally, latency, latency);
    }
    records.push(Owned::Batch(batch));
    if rng.one_in(4) {
        records.push(Owned::Evidence(evidence(rng, contestants, from)));
    }
    if rng.one_in(16) {
        let document = vec![b'{'; rng.below(300) as usize];
        records.push(Owned::Control(Control { at: from, revision: rng.below(100), terms: terms(), document }));
    }
    if rng.one_in(16) {
        records.push(Owned::Notice(Notice { at: from, code: 2, text: b"the disk fills".to_vec() }));
    }
    records
}

fn trace(rng: &mut Rng, contestants: u16, tallies: &mut [(Tally, Histogram)]) -> Trace {
    let contestant = rng.below(u64::from(contestants)) as u16;
    let latency_us = rng.below(3_000_000) as u32;
    let (tally, latency) = &mut tallies[usize::from(contestant)];
    tally.due += 1;
    tally.timeout += 1;
    latency.record(u64::from(latency_us));
    let observed = Observation { outcome: Outcome::Failed(Failure::Timeout), scored: true }.pack();
    Trace { sent_us: rng.below(100_000) as i32, latency_us, lag_us: 0, contestant, observed }
}

fn evidence(rng: &mut Rng, contestants: u16, at: u64) -> Evidence {
    Evidence {
        at,
        sent: at,
        latency_us: 9,
        contestant: rng.below(u64::from(contestants)) as u16,
        worker: 0,
        observed: answered(),
        skipped: 0,
        request: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        response: (0..rng.below(600)).map(|_| rng.next() as u8).collect(),
        reason: Vec::new(),
    }
}

/// What the batches of these groups count, by contestant.
pub(crate) fn totals(groups: &[Vec<Owned>]) -> Vec<(u16, [u64; Tally::LEN_FIRST])> {
    let mut totals = std::collections::BTreeMap::new();
    for record in groups.iter().flatten() {
        let Owned::Batch(batch) = record else { continue };
        for entry in &batch.entries {
            let sum = totals.entry(entry.contestant).or_insert([0; Tally::LEN_FIRST]);
            for (sum, count) in sum.iter_mut().zip(entry.counters) {
                *sum += count;
            }
        }
    }
    totals.into_iter().collect()
}

/// A folder in memory where there is one: these tests write many small files, and what they ask is not the disk's.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder of our own")
}

pub(crate) fn folder(path: &Path, round: RoundId, stream: StreamId) -> StreamFolder {
    StreamFolder { round, stream, path: path.to_owned() }
}

/// All groups, owned.
pub(crate) fn read_all(folder: &StreamFolder) -> (Vec<Vec<Owned>>, Found) {
    let mut groups = Vec::new();
    let found = stream::read(folder, |group| {
        assert_eq!(group.seq, groups.len() as u64 + 1, "groups come in order");
        groups.push(group.records.iter().map(own).collect());
    })
    .unwrap_or_else(|error| panic!("{}: {error}", folder.path.display()));
    assert_eq!(found.last_seq, groups.len() as u64);
    (groups, found)
}

/// Does a step on plain files.
pub(crate) fn execute(folder: &Path, step: &Step<'_>) {
    let path = |index: &u32| folder.join(format!("{index:06}.ftj"));
    let open = |index: &u32| OpenOptions::new().write(true).open(path(index)).expect("the segment is there");
    match step {
        Step::Cut { index, len } => open(index).set_len(*len).expect("cuts"),
        Step::Create { index, size } => {
            File::create_new(path(index)).and_then(|file| file.set_len(*size)).expect("a new segment");
        }
        Step::Write { index, at, bytes } => open(index).write_all_at(bytes, *at).expect("writes"),
        Step::Sync { .. } | Step::SyncFolder => {}
    }
}

/// Commits the open group to plain files.
pub(crate) fn commit(log: &mut Log, folder: &Path, segment_size: u64) {
    log.plan(segment_size).expect("a group");
    log.steps().iter().for_each(|step| execute(folder, step));
    log.committed();
}

/// Writes a stream of these groups to plain files.
pub(crate) fn write_stream(folder: &StreamFolder, groups: &[Vec<Owned>], segment_size: u64) {
    std::fs::create_dir_all(&folder.path).expect("a folder");
    let mut log = Log::begin(folder.round, folder.stream);
    for group in groups {
        group.iter().for_each(|record| append(&mut log, record).expect("a record"));
        commit(&mut log, &folder.path, segment_size);
    }
    log.finish().iter().for_each(|step| execute(&folder.path, step));
}
