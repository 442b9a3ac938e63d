//! What closing a connection costs, with few and with many others open in the same ring.
//!
//! The client drives the load generator's own ring and does nothing else. It closes connections the two ways that a
//! contestant makes it: right after an answer, and while one is awaited that never comes. A close that costs more the
//! more connections are open lets one contestant's server take the time of all.

use crate::child;
use crate::compare::paired::Spread;
use crate::compare::raise_descriptors;
use crate::error::{Error, Result};
use crate::fixed;
use crate::machine::{Cores, Machine};
use flowtest_loadgen::engine::index::{RingSlot, Table};
use flowtest_loadgen::engine::ring::{Event, Ring, Sizes, Uring};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\nToken: 0123456789abcdef0123456789abcdef\r\n\r\n";
/// Connections that are open in the uncrowded case.
const FEW: u32 = 100;
/// Connections that one round closes, and then opens again: half of the few, so that a round is the same in both cases.
const BATCH: u32 = 50;
/// Rounds of one figure: with them 2,000 closes, 20 ms of CPU time where one costs 10 µs.
const ROUNDS: u32 = 40;
/// What a close among many may cost against one among few (BENCHMARKS.md, "Bounds"): their sockets fit the caches less.
const RATIO_MAX: f64 = 2.0;
/// Descriptors beside the connections.
const DESCRIPTORS_SPARE: u64 = 200;
const BUFFERS: u16 = 512;
const BUFFER_BYTES: usize = 2048;
/// How long one turn waits at most, in ns.
const WAIT_NS: u64 = 50_000_000;
/// How long one figure may take.
const LIMIT: Duration = Duration::from_secs(20);

const _: () = assert!(BATCH * 2 <= FEW);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Connections that are open in the crowded case; the other has 100.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=30_000))]
    pub connections: u32,
    /// Pairs of few and many; the median is told.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub pairs: u16,
    #[command(flatten)]
    pub cores: Cores,
    /// Where to write the result as JSON; `-` is standard output instead of the table.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub struct CloseReport {
    pub machine: Machine,
    pub few: u32,
    pub many: u32,
    pub rows: Vec<Figure>,
}

/// CPU time of the client's thread for each connection, in µs: user and system, and nearly all of it is system.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub what: &'static str,
    pub few_us: Spread,
    pub many_us: Spread,
    /// Many against few, pair by pair.
    pub ratio: Spread,
    /// What the ratio may be.
    pub must: Option<f64>,
}

/// How a connection stands when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The answer has come: what a server that says `Connection: close` leaves.
    Answered,
    /// The server owes an answer, for ever.
    Waiting,
}

/// CPU time for each connection.
#[derive(Clone, Copy, Debug)]
struct Cost {
    opened_us: f64,
    closed_us: f64,
}

pub fn run(options: &Options) -> Result<CloseReport> {
    raise_descriptors(u64::from(options.connections) + DESCRIPTORS_SPARE)?;
    child::pin_this_thread(options.cores.client_core)?;
    let states = [State::Answered, State::Waiting];
    let mut costs: Vec<[[Cost; 2]; 2]> = Vec::new();
    for _ in 0..options.pairs {
        let mut pair = Vec::new();
        for state in states {
            pair.push([one_figure(options, FEW, state)?, one_figure(options, options.connections, state)?]);
        }
        costs.push([pair[0], pair[1]]);
    }
    let figure = |what, state: usize, must, cost: fn(&Cost) -> f64| {
        let of = |value: &dyn Fn(&[Cost; 2]) -> f64| {
            Spread::of(costs.iter().map(|pair| value(&pair[state]))).expect("at least one pair")
        };
        let few_us = of(&|pair| cost(&pair[0]));
        let many_us = of(&|pair| cost(&pair[1]));
        Figure { what, few_us, many_us, ratio: of(&|pair| cost(&pair[1]) / cost(&pair[0])), must }
    };
    let rows = vec![
        figure("closed after its answer", 0, Some(RATIO_MAX), |cost| cost.closed_us),
        figure("expired while an answer is awaited", 1, Some(RATIO_MAX), |cost| cost.closed_us),
        figure("opened, with one request", 0, None, |cost| cost.opened_us),
    ];
    Ok(CloseReport { machine: Machine::here(), few: FEW, many: options.connections, rows })
}

fn one_figure(options: &Options, connections: u32, state: State) -> Result<Cost> {
    // Ends with this figure.
    let (_server, address) = fixed::start("the server", options.cores.server_core)?;
    let mut client = Client::new(address, connections, state)?;
    for batch in batches(connections) {
        client.open(batch)?;
    }
    let (mut opened_us, mut closed_us) = (0.0, 0.0);
    for round in 0..ROUNDS {
        // Far from one another, so that neighbours in memory do not help.
        let batch = (0..BATCH).map(|index| (index * (connections / BATCH) + round) % connections);
        closed_us += cpu_us_of(|| client.close(batch.clone()))?;
        opened_us += cpu_us_of(|| client.open(batch))?;
    }
    // What is left to the end of the process becomes 10,000 sockets in TIME_WAIT, beside which the next figure is made.
    for batch in batches(connections) {
        client.close(batch)?;
    }
    let each = |us: f64| us / f64::from(ROUNDS * BATCH);
    Ok(Cost { opened_us: each(opened_us), closed_us: each(closed_us) })
}

fn batches(connections: u32) -> impl Iterator<Item = Range<u32>> {
    (0..connections).step_by(BATCH as usize).map(move |first| first..connections.min(first + BATCH))
}

/// CPU time of this thread while it does this. `getrusage` is too coarse: it counts up to the last tick or sleep.
fn cpu_us_of(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let total = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    };
    let before = total();
    work()?;
    Ok(total() - before)
}

struct Client {
    ring: Ring<Uring>,
    address: SocketAddr,
    state: State,
    /// Bytes of its answer that each connection has received.
    received: Table<RingSlot, usize>,
    answer_bytes: usize,
    until: Instant,
}

impl Client {
    fn new(address: SocketAddr, connections: u32, state: State) -> Result<Client> {
        let sizes =
            Sizes { slots: connections, area_bytes: REQUEST.len(), buffers: BUFFERS, buffer_bytes: BUFFER_BYTES };
        let now = Instant::now();
        let kernel = Uring::new(sizes, now).map_err(|error| Error::Other(error.to_string()))?;
        Ok(Client {
            ring: Ring::new(kernel, sizes),
            address,
            state,
            received: Table::filled(0, connections as usize),
            answer_bytes: fixed::default_answer().len(),
            until: now + LIMIT,
        })
    }

    /// Opens these slots and brings each to where it is closed from.
    fn open(&mut self, slots: impl Iterator<Item = u32>) -> Result<()> {
        let (mut awaited, mut answered) = (0, Vec::new());
        for slot in slots.map(RingSlot::from_number) {
            self.ring.open(slot, self.address).map_err(Error::io("opening a connection"))?;
            self.received[slot] = 0;
            awaited += 1;
        }
        while awaited > 0 {
            self.turn()?;
            while let Some(event) = self.ring.event() {
                match event {
                    Event::Connected { slot } => {
                        self.ring.area(slot)[..REQUEST.len()].copy_from_slice(REQUEST);
                        self.ring.send(slot, REQUEST.len());
                    }
                    // The answer's sender has accepted the connection: no listener's queue is ever full.
                    Event::Received { slot, buffer } => {
                        self.ring.recycle(buffer);
                        self.received[slot] += buffer.len();
                        if self.received[slot] == self.answer_bytes {
                            awaited -= 1;
                            answered.push(slot);
                        }
                    }
                    Event::Sent { .. } => {}
                    lost => return Err(Error::Other(format!("a connection was lost while it opened: {lost:?}"))),
                }
            }
        }
        if self.state == State::Waiting {
            // A request without its end is never answered.
            answered.iter().for_each(|slot| self.ring.send(*slot, REQUEST.len() - 1));
            self.turn()?;
        }
        Ok(())
    }

    fn close(&mut self, slots: impl Iterator<Item = u32>) -> Result<()> {
        let mut awaited = 0;
        for slot in slots.map(RingSlot::from_number) {
            self.ring.close(slot);
            awaited += 1;
        }
        while awaited > 0 {
            self.turn()?;
            while let Some(event) = self.ring.event() {
                match event {
                    Event::Closed { .. } => awaited -= 1,
                    Event::Sent { .. } => {}
                    lost => return Err(Error::Other(format!("a connection was lost while others closed: {lost:?}"))),
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        if Instant::now() > self.until {
            return Err(Error::Other(format!("a figure took longer than {} s: is the machine busy?", LIMIT.as_secs())));
        }
        self.ring.turn(1, WAIT_NS).map_err(Error::io("waiting for completions"))
    }
}

impl CloseReport {
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "{}\n\n| CPU µs of a connection | {} open (min..max) | {} open (min..max) | ratio (min..max) | must |\n\
             |---|---:|---:|---:|---|\n",
            self.machine.to_markdown(),
            self.few,
            self.many
        );
        for row in &self.rows {
            let spread = |spread: &Spread| format!("{:.2} ({:.2}..{:.2})", spread.median, spread.min, spread.max);
            let (few, many, ratio) = (spread(&row.few_us), spread(&row.many_us), spread(&row.ratio));
            let must = row.must.map_or(String::new(), |most| {
                let reached = if row.ratio.median <= most { "reached" } else { "**missed**" };
                format!("≤ {most:.2} {reached}")
            });
            text.push_str(&format!("| {} | {few} | {many} | {ratio} | {must} |\n", row.what));
        }
        text.push_str(
            "\nCPU is user and system time of the ring's thread; closing sends an RST, the peer's part included.\n",
        );
        text
    }
}
