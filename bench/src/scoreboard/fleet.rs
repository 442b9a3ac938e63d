//! The generators: each a thread that counts ten times a second and hands its rows to the real publisher.

use super::{Size, scoreboard_error};
use crate::error::{Error, Result};
use crate::traffic::counted;
use flowtest_contract::{RoundId, Row, StreamId};
use flowtest_scoreboard::{Publisher, PublisherConfig, RedisAddress};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a generator's counts come to disk.
const TICK: Duration = Duration::from_millis(100);
/// What has been counted before: an hour.
const BEFORE: Duration = Duration::from_secs(3_600);
/// The last rows of all may take so long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The median answer takes 2 ms, and one of a thousand forty times that: an hour fills twelve powers of two.
const MEDIAN_US: f64 = 2_000.0;
const SIGMA: f64 = 1.2;

pub(super) struct Fleet {
    begun: Instant,
    stop: Arc<AtomicBool>,
    contestants: Vec<String>,
    row_text_bytes: usize,
    generators: Vec<JoinHandle<Result<Vec<Row>>>>,
}

impl Fleet {
    pub(super) fn start(url: &str, contest: &str, round: RoundId, size: Size, rate: u32) -> Result<Fleet> {
        let contestants: Vec<String> = (0..size.contestants).map(|index| format!("contestant-{index}")).collect();
        let mut luck = Luck(1);
        let mut hour = Row::default();
        luck.play(&mut hour, u64::from(rate) * BEFORE.as_secs());
        let row_text_bytes = hour.encode().len();
        let (begun, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let mut generators = Vec::new();
        for index in 0..size.generators {
            let publisher = Publisher::start(PublisherConfig {
                address: RedisAddress::new(url).map_err(scoreboard_error)?,
                contest: contest.to_owned(),
                round,
                stream: StreamId::from_bits(round.bits() ^ u128::from(index + 1)),
                contestants: contestants.clone(),
            });
            let generator = Generator {
                publisher: publisher.map_err(scoreboard_error)?,
                rows: vec![hour.clone(); contestants.len()],
                luck: Luck(u64::from(index) + 2),
                rate,
                begun,
            };
            let stop = Arc::clone(&stop);
            generators.push(std::thread::spawn(move || generator.run(&stop)));
        }
        Ok(Fleet { begun, stop, contestants, row_text_bytes, generators })
    }

    /// Since the start; the number of a generator's rows is this, when they were handed over.
    pub(super) fn elapsed_ms(&self) -> u64 {
        elapsed_ms(self.begun)
    }

    pub(super) fn row_text_bytes(&self) -> usize {
        self.row_text_bytes
    }

    /// Ends all generators, and returns what they counted together.
    pub(super) fn finish(self) -> Result<BTreeMap<String, Row>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sums: BTreeMap<String, Row> = BTreeMap::new();
        for generator in self.generators {
            let rows = generator.join().map_err(|_| Error::Other("a generator panicked".into()))??;
            for (name, row) in self.contestants.iter().zip(&rows) {
                sums.entry(name.clone()).or_default().merge(row).map_err(scoreboard_error)?;
            }
        }
        Ok(sums)
    }
}

struct Generator {
    publisher: Publisher,
    rows: Vec<Row>,
    luck: Luck,
    rate: u32,
    begun: Instant,
}

impl Generator {
    fn run(mut self, stop: &AtomicBool) -> Result<Vec<Row>> {
        let mut next = Instant::now();
        let mut ticks = 0;
        let per_second = 1_000 / TICK.as_millis() as u64;
        while !stop.load(Ordering::Relaxed) {
            ticks += 1;
            let due = |ticks: u64| u64::from(self.rate) * ticks / per_second;
            let count = due(ticks) - due(ticks - 1);
            self.rows.iter_mut().for_each(|row| self.luck.play(row, count));
            self.publisher.publish(elapsed_ms(self.begun), Arc::from(self.rows.as_slice()));
            next += TICK;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let last = Arc::from(self.rows.as_slice());
        self.publisher.end(elapsed_ms(self.begun) + 1, last, TIMEOUT).map_err(scoreboard_error)?;
        Ok(self.rows)
    }
}

fn elapsed_ms(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Numbers that look random and are the same in every run (an xorshift).
struct Luck(u64);

impl Luck {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// So many requests of one contestant: their answers are right, and one of some hundred is none.
    fn play(&mut self, row: &mut Row, count: u64) {
        for _ in 0..count {
            let us = self.latency_us();
            row.latency.record(us);
            row.service.record(us * 9 / 10);
        }
        let timeout = u64::from(count > 0 && self.next().is_multiple_of(64));
        row.tally.merge(&counted(count - timeout, timeout));
    }

    /// Log-normal, about: the sum of four even numbers is nearly a normal one.
    fn latency_us(&mut self) -> u64 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|index| (bits >> (16 * index)) & 0xffff).sum();
        let normal = (sum as f64 / 65_536.0 - 2.0) * 3f64.sqrt();
        (MEDIAN_US * (SIGMA * normal).exp()) as u64
    }
}
