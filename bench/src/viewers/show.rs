//! A round in which everybody's score changes all the time, in Redis as a generator would put it.

use crate::contest_box::contest::Phase;
use crate::contest_box::{ContestFile, control_store::ControlStore};
use crate::error::{Error, Result};
use crate::traffic::counted;
use flowtest_contest::lifecycle::Change;
use flowtest_contest::timeline::LEAD_US;
use flowtest_contract::{Row, StreamId, utc_us};
use flowtest_scoreboard::{Publisher, PublisherConfig, RedisAddress};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The name of the contest.
pub const CONTEST: &str = "viewers";
/// How often all rows change: every look of the dashboard finds others.
const EVERY: Duration = Duration::from_millis(500);
/// Longer than any measurement.
const LENGTH: Duration = Duration::from_secs(24 * 3600);

/// The running round.
#[derive(Debug)]
pub struct Show {
    closed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Show {
    /// Arms and begins a round of so many contestants; what is in the box plays it for ever.
    pub fn open(redis_url: &str, contestants: u32) -> Result<Show> {
        let phase = Phase { length: LENGTH, rate: Some(1_000), connections: 8, pipeline: 1 };
        let mut file = ContestFile::new(CONTEST, phase);
        for index in 0..contestants {
            // Nobody is ever sent a request: there is no generator.
            let (high, low) = (index / 250, index % 250 + 1);
            file = file.with(&name(index), &format!("127.1.{high}.{low}:8081"));
        }
        let mut control_store = ControlStore::open(redis_url, &file)?;
        let start = utc_us() + LEAD_US + 100_000;
        let round = control_store.arm(start, &["g1"])?;
        control_store.scoreboard().open_round(CONTEST, &round).map_err(scoreboard_error)?;
        while utc_us() < start {
            std::thread::sleep(Duration::from_millis(50));
        }
        control_store.make(Change::Begin)?;
        let publisher = Publisher::start(PublisherConfig {
            address: RedisAddress::new(redis_url).map_err(scoreboard_error)?,
            contest: CONTEST.to_owned(),
            round,
            stream: StreamId::from_bits(round.bits() ^ 1),
            contestants: (0..contestants).map(name).collect(),
        });
        let publisher = publisher.map_err(scoreboard_error)?;
        let closed = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&closed);
        let thread = std::thread::spawn(move || {
            let mut rows = vec![Row::default(); contestants as usize];
            let mut seq = 0;
            while !stop.load(Ordering::Relaxed) {
                seq += 1;
                rows.iter_mut().enumerate().for_each(|(index, row)| play(row, seq, index as u64));
                publisher.publish(seq, rows.clone().into());
                std::thread::sleep(EVERY);
            }
        });
        Ok(Show { closed, thread })
    }

    /// Ends the thread that changes the points.
    pub fn close(self) {
        self.closed.store(true, Ordering::Relaxed);
        // Its panic was told when it happened.
        let _ = self.thread.join();
    }
}

fn name(index: u32) -> String {
    format!("contestant-{index}")
}

/// Half a second of a contestant: some hundred answers whose number and latency differ, and a failure now and then.
fn play(row: &mut Row, seq: u64, index: u64) {
    let luck = (seq.wrapping_mul(6_364_136_223_846_793_005) ^ index.wrapping_mul(1_442_695_040_888_963_407)) >> 33;
    row.tally.merge(&counted(400 + luck % 200, u64::from(luck.is_multiple_of(7))));
    for request in 0..40 {
        let us = 200 + (luck.wrapping_mul(request + 1) >> 3) % 20_000;
        row.latency.record(us);
        row.service.record(us);
    }
}

fn scoreboard_error(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("filling the scoreboard: {error}"))
}
