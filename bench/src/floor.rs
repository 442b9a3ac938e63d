//! The floor: the smallest honest ring client and server. What no load generator can beat on this machine.
//!
//! The client drives the load generator's own ring, with the same operations, and does nothing else: it counts bytes,
//! and parses, judges, times and schedules nothing. The server is `fixed` on monoio's io_uring. What the generator
//! costs above this floor is what verifying every response costs.

use crate::child;
use crate::compare::paired::Spread;
use crate::error::{Error, Result};
use crate::fixed;
use crate::machine::{Cores, Machine};
use flowtest_loadgen::engine::index::{Key, RingSlot, Table};
use flowtest_loadgen::engine::ring::{Event, Ring, Sizes, Uring, thread_cpu_us};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The generator's request, byte for byte as long: request line, Host, User-Agent and Token.
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\nUser-Agent: FlowTest/0.1.0\r\n\
                       Token: 0123456789abcdef0123456789abcdef\r\n\r\n";
const CONNECTIONS: u32 = 64;
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 4096;
/// Unmeasured time at first.
const WARMUP: Duration = Duration::from_millis(300);
/// How long one turn waits at most, in ns: the loop looks at its clock that often.
const WAIT_NS: u64 = 50_000_000;

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long each run takes.
    #[arg(long = "for", default_value = "3s", value_parser = humantime::parse_duration)]
    pub each: Duration,
    /// Runs of each shape; the median is told.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
    #[command(flatten)]
    pub cores: Cores,
    /// Where to write the result as JSON; `-` is standard output instead of the table.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub struct FloorReport {
    pub machine: Machine,
    pub rows: Vec<Figure>,
}

#[derive(Debug, Serialize)]
pub struct Figure {
    pub connections: u32,
    pub in_flight: usize,
    pub rate: Spread,
    pub client_user_us: Spread,
    pub client_system_us: Spread,
    pub server_cpu_us: Spread,
    pub enters_per_request: Spread,
    pub completions_per_request: Spread,
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Measured {
    rate: f64,
    client_user_us: f64,
    client_system_us: f64,
    server_cpu_us: f64,
    enters: f64,
    completions: f64,
}

pub fn run(options: &Options) -> Result<FloorReport> {
    if options.each.is_zero() {
        return Err(Error::Other("a run of no time measures nothing: say --for 3s".into()));
    }
    child::pin_this_thread(options.cores.client_core)?;
    let mut rows = Vec::new();
    for in_flight in [1, 16] {
        let measured: Vec<Measured> = (0..options.runs).map(|_| one_run(options, in_flight)).collect::<Result<_>>()?;
        let of = |value: fn(&Measured) -> f64| Spread::of(measured.iter().map(value)).expect("at least one run");
        rows.push(Figure {
            connections: CONNECTIONS,
            in_flight,
            rate: of(|run| run.rate),
            client_user_us: of(|run| run.client_user_us),
            client_system_us: of(|run| run.client_system_us),
            server_cpu_us: of(|run| run.server_cpu_us),
            enters_per_request: of(|run| run.enters),
            completions_per_request: of(|run| run.completions),
        });
    }
    Ok(FloorReport { machine: Machine::here(), rows })
}

fn one_run(options: &Options, in_flight: usize) -> Result<Measured> {
    let (server, address) = fixed::start("the floor's server", options.cores.server_core)?;
    let mut client = Client::new(address, in_flight)?;
    client.run_for(WARMUP)?;
    let (server_before, cpu_before, counters_before) = (server.usage(), thread_cpu_us(), client.ring.counters());
    let (answers, elapsed) = client.run_for(options.each)?;
    let (cpu_after, counters_after) = (thread_cpu_us(), client.ring.counters());
    let server_used = server.usage().since(server_before);
    if answers == 0 {
        return Err(Error::Other(format!("the floor's server answered nothing: {}", server.last_words())));
    }
    let per_answer = |count: u64| count as f64 / answers as f64;
    Ok(Measured {
        rate: answers as f64 / elapsed.as_secs_f64(),
        client_user_us: per_answer(cpu_after.0 - cpu_before.0),
        client_system_us: per_answer(cpu_after.1 - cpu_before.1),
        server_cpu_us: per_answer(server_used.total_us()),
        enters: per_answer(counters_after.enters - counters_before.enters),
        completions: per_answer(counters_after.completions - counters_before.completions),
    })
}

struct Client {
    ring: Ring<Uring>,
    slots: Table<RingSlot, Slot>,
    answer_bytes: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Requests that may be sent.
    owed: usize,
    /// Bytes of an answer that is not whole yet.
    partial: usize,
}

impl Client {
    fn new(address: SocketAddr, in_flight: usize) -> Result<Client> {
        let sizes = Sizes {
            slots: CONNECTIONS,
            area_bytes: REQUEST.len() * in_flight,
            buffers: BUFFERS,
            buffer_bytes: BUFFER_BYTES,
        };
        let kernel = Uring::new(sizes, Instant::now()).map_err(|error| Error::Other(error.to_string()))?;
        let mut ring = Ring::new(kernel, sizes);
        for slot in RingSlot::all().take(CONNECTIONS as usize) {
            ring.open(slot, address).map_err(Error::io("opening a connection"))?;
            // The same bytes for ever: a short batch is a part of a long one.
            let area = ring.area(slot);
            area[..REQUEST.len() * in_flight].copy_from_slice(REQUEST.repeat(in_flight).as_bytes());
        }
        let slots = Table::filled(Slot { owed: in_flight, partial: 0 }, CONNECTIONS as usize);
        Ok(Client { ring, slots, answer_bytes: fixed::default_answer().len() })
    }

    /// Runs the loop for that long and returns how many answers came, and how long it really took.
    fn run_for(&mut self, length: Duration) -> Result<(u64, Duration)> {
        let start = Instant::now();
        let mut answers = 0u64;
        loop {
            let elapsed = start.elapsed();
            if elapsed >= length {
                return Ok((answers, elapsed));
            }
            self.ring.turn(1, WAIT_NS).map_err(Error::io("waiting for completions"))?;
            while let Some(event) = self.ring.event() {
                match event {
                    Event::Received { slot, buffer } => {
                        let state = &mut self.slots[slot];
                        let bytes = state.partial + buffer.len();
                        self.ring.recycle(buffer);
                        state.partial = bytes % self.answer_bytes;
                        state.owed += bytes / self.answer_bytes;
                        answers += (bytes / self.answer_bytes) as u64;
                        self.send(slot);
                    }
                    Event::Connected { slot } | Event::Sent { slot } => self.send(slot),
                    lost => return Err(Error::Other(format!("the floor lost a connection: {lost:?}"))),
                }
            }
        }
    }

    fn send(&mut self, slot: RingSlot) {
        let state = &mut self.slots[slot];
        if state.owed > 0 && self.ring.can_send(slot) {
            self.ring.send(slot, state.owed * REQUEST.len());
            state.owed = 0;
        }
    }
}

impl FloorReport {
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "{}\n\n| floor | requests/s (min..max) | client user µs | client system µs | server CPU µs | enters | completions |\n\
             |---|---:|---:|---:|---:|---:|---:|\n",
            self.machine.to_markdown()
        );
        for row in &self.rows {
            text.push_str(&format!(
                "| {} connections, {} in flight | {:.0} ({:.0}..{:.0}) | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} |\n",
                row.connections,
                row.in_flight,
                row.rate.median,
                row.rate.min,
                row.rate.max,
                row.client_user_us.median,
                row.client_system_us.median,
                row.server_cpu_us.median,
                row.enters_per_request.median,
                row.completions_per_request.median,
            ));
        }
        text.push_str("\nCPU, enters and completions are per request; monoio serves a fixed answer.\n");
        text
    }
}
