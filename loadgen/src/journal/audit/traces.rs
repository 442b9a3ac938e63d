//! Traces, counted: per contestant how often each observation came in each stretch of time, and both histograms.
//!
//! The loop over traces does nothing but find a place and add one. What the numbers are worth is asked once, at the end.
//! All counts lie in one zeroed allocation, so that contestants who never come cost no memory.

use super::in_force::Since;
use super::judge::{Judge, OBSERVATIONS, Observations, STRETCHES};
use flowtest_contract::histogram::{BUCKETS, bucket};
use flowtest_contract::rules::{Rules, UtcUs};
use flowtest_contract::verdict::{Failure, Outcome};
use flowtest_contract::{Histogram, Row, Tally};
use flowtest_journal::record::{ArchivedTrace, NEVER_SENT};

/// Observations of one stretch, and a place for bits that are none.
const OBSERVATION_PLACES: usize = OBSERVATIONS + 1;
const UNSENT: usize = STRETCHES * OBSERVATION_PLACES;
const LATENCY: usize = UNSENT + 2;
const SERVICE: usize = LATENCY + 2 * BUCKETS;
/// Numbers of one contestant. The last three blocks stand twice, unscored before scored.
const PLACES: usize = SERVICE + 2 * BUCKETS;

const SCORED_SHIFT: u32 = 9;
/// Of what a trace observed.
pub(super) const OUTCOME_BITS: u16 = 15;
const ANSWERED: u16 = 0;
const STATUS: u16 = 5;

/// What the traces of one stream amount to, under one judge.
#[derive(Debug)]
pub struct Counted {
    judge: Judge,
    observations: Observations,
    numbers: Vec<u64>,
    /// Traces of contestants that are not in the roster.
    strangers: u64,
    total: u64,
}

impl Counted {
    pub fn new(judge: Judge, contestants: usize) -> Counted {
        Counted {
            judge,
            observations: Observations::new(),
            numbers: vec![0; contestants * PLACES],
            strangers: 0,
            total: 0,
        }
    }

    /// One more contestant plays.
    pub fn join(&mut self) {
        self.numbers.resize(self.numbers.len() + PLACES, 0);
    }

    /// Traces that were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Counts a block. `base` is what the instants of its traces count from.
    pub fn add(&mut self, base: UtcUs, traces: &[ArchivedTrace]) {
        let mut borders = [i64::MAX; STRETCHES - 1];
        for (relative, border) in borders.iter_mut().zip(self.judge.borders()) {
            let from_base = i128::from(border.0) - i128::from(base.0);
            *relative = from_base.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        }
        let (contestants, _) = self.numbers.as_chunks_mut::<PLACES>();
        for trace in traces {
            let Some(numbers) = contestants.get_mut(usize::from(trace.contestant.to_native())) else {
                self.strangers += 1;
                continue;
            };
            let (sent_us, observed) = (trace.sent_us.to_native(), trace.observed.to_native());
            let (latency_us, lag_us) = (trace.latency_us.to_native(), trace.lag_us.to_native());
            let stretch: usize = borders.iter().map(|border| usize::from(i64::from(sent_us) >= *border)).sum();
            let scored = usize::from(observed >> SCORED_SHIFT) & 1;
            numbers[stretch * OBSERVATION_PLACES + self.observations.number(observed)] += 1;
            if lag_us == NEVER_SENT {
                numbers[UNSENT + scored] += 1;
            }
            let outcome = observed & OUTCOME_BITS;
            if outcome == ANSWERED || outcome == STATUS {
                let service_us = latency_us.saturating_sub(lag_us);
                numbers[LATENCY + scored * BUCKETS + bucket(u64::from(latency_us))] += 1;
                numbers[SERVICE + scored * BUCKETS + bucket(u64::from(service_us))] += 1;
            }
        }
        self.total += traces.len() as u64;
    }

    /// Traces that make no sense: observed bits that nobody writes, or a contestant that is not in the roster.
    pub fn senseless(&self) -> u64 {
        let (contestants, _) = self.numbers.as_chunks::<PLACES>();
        let unknown = |numbers: &[u64; PLACES]| -> u64 {
            (0..STRETCHES).map(|stretch| numbers[stretch * OBSERVATION_PLACES + OBSERVATIONS]).sum()
        };
        self.strangers + contestants.iter().map(unknown).sum::<u64>()
    }

    /// Whether a contestant has any trace.
    pub fn has(&self, contestant: usize) -> bool {
        let (contestants, _) = self.numbers.as_chunks::<PLACES>();
        contestants.get(contestant).is_some_and(|numbers| numbers.iter().any(|number| *number > 0))
    }

    /// What one contestant's traces amount to, in phases that count or in the others.
    pub fn row(&self, contestant: usize, scored: bool) -> Row {
        let (contestants, _) = self.numbers.as_chunks::<PLACES>();
        let mut row = Row::default();
        let Some(numbers) = contestants.get(contestant) else { return row };
        for (number, observation) in
            self.observations.all().iter().enumerate().filter(|(_, observation)| observation.scored == scored)
        {
            for stretch in 0..=self.judge.borders().len() {
                let count = numbers[stretch * OBSERVATION_PLACES + number];
                self.judge.count(&mut row.tally, *observation, stretch, count);
                self.time_failures(&mut row, observation.outcome, count);
            }
        }
        let half = usize::from(scored);
        row.tally.due = row.tally.settled();
        row.tally.sent = row.tally.due.saturating_sub(numbers[UNSENT + half]);
        add_all(&mut row.latency, &numbers[LATENCY + half * BUCKETS..][..BUCKETS]);
        add_all(&mut row.service, &numbers[SERVICE + half * BUCKETS..][..BUCKETS]);
        row
    }

    /// The time of what took as long as the timeout is the timeout. What was missed has no service time; other failures
    /// have neither.
    fn time_failures(&self, row: &mut Row, outcome: Outcome, count: u64) {
        let timeout = bucket(self.judge.rules().timeout_us);
        let (latency, service) = match outcome {
            Outcome::Failed(Failure::Timeout) => (count, count),
            Outcome::Failed(Failure::Missed) => (count, 0),
            _ => return,
        };
        row.latency.add_bucket(timeout, latency);
        row.service.add_bucket(timeout, service);
    }
}

/// What the traces of one stream amount to, each judged by the deadlines that were in force when it was sent.
#[derive(Debug)]
pub struct Timed {
    /// From when on each of `windows` counts, rising, the first from 0 on.
    starts: Vec<UtcUs>,
    windows: Vec<Counted>,
}

impl Timed {
    /// `in_force` is in order, and its first counts from 0 on.
    pub fn new(rules: Rules, in_force: &[Since], contestants: usize) -> Timed {
        let window = |since: &Since| Counted::new(Judge::new(rules, since.deadlines), contestants);
        Timed {
            starts: in_force.iter().map(|since| since.at).collect(),
            windows: in_force.iter().map(window).collect(),
        }
    }

    /// One more contestant plays.
    pub fn join(&mut self) {
        self.windows.iter_mut().for_each(Counted::join);
    }

    /// Counts a block, as [`Counted::add`] does.
    pub fn add(&mut self, base: UtcUs, traces: &[ArchivedTrace]) {
        if let [only] = self.windows.as_mut_slice() {
            return only.add(base, traces);
        }
        let place = |trace: &ArchivedTrace| {
            let sent = trace.sent(base);
            self.starts.partition_point(|start| *start <= sent).saturating_sub(1)
        };
        for alike in traces.chunk_by(|a, b| place(a) == place(b)) {
            self.windows[place(&alike[0])].add(base, alike);
        }
    }

    pub fn total(&self) -> u64 {
        self.windows.iter().map(Counted::total).sum()
    }

    pub fn senseless(&self) -> u64 {
        self.windows.iter().map(Counted::senseless).sum()
    }

    /// What one contestant's traces amount to, unscored before scored; `None` when there are none.
    pub fn halves(&self, contestant: usize) -> Option<Box<[Row; 2]>> {
        let mut halves: Option<Box<[Row; 2]>> = None;
        for window in self.windows.iter().filter(|window| window.has(contestant)) {
            let sums = halves.get_or_insert_default();
            for (half, sum) in sums.iter_mut().enumerate() {
                let row = window.row(contestant, half == 1);
                sum.tally.merge(&row.tally);
                sum.latency.merge(&row.latency);
                sum.service.merge(&row.service);
            }
        }
        halves
    }
}

fn add_all(histogram: &mut Histogram, counts: &[u64]) {
    for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        histogram.add_bucket(index, *count);
    }
}

/// The counters that traces cannot say.
pub const BATCH_ONLY: [&str; 3] = ["resent", "unsolicited", "bytes"];

const _: () = assert!(Tally::LEN == 19, "a new counter is either traced or named in BATCH_ONLY");
