//! What was answered and injected: counted by each worker alone, summed for `/healthz`, `/metrics` and at exit.

use crate::capacity::Capacity;
use crate::faults::Faults;
use crate::tls::Handshake;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Statuses that are counted by name; injected ones (`--faults status`) count as `injected`.
const STATUSES: [u16; 10] = [200, 400, 405, 408, 413, 417, 431, 501, 503, 505];

/// What one worker did. Plain numbers: only its own thread counts here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Requests whose answer was decided, `/healthz` and `/metrics` excepted. Each has a status, or a fault that gave it none.
    pub requests: u64,
    /// Of these, good ones that carried a token: the ones that `--faults` counts.
    pub tokens: u64,
    /// Complete responses, handed to the kernel as a whole.
    pub responses: u64,
    pub connections: u64,
    pub connections_open: u64,
    /// By position in `STATUSES`; the last one is for injected ones.
    statuses: [u64; STATUSES.len() + 1],
}

impl Counts {
    #[inline]
    pub fn status(&mut self, code: u16) {
        let index = STATUSES.iter().position(|known| *known == code).unwrap_or(STATUSES.len());
        self.statuses[index] += 1;
    }

    pub fn status_injected(&mut self) {
        self.statuses[STATUSES.len()] += 1;
    }

    fn to_array(self) -> [u64; LEN] {
        let mut array = [0; LEN];
        let totals = [self.requests, self.tokens, self.responses, self.connections, self.connections_open];
        array[..totals.len()].copy_from_slice(&totals);
        array[totals.len()..].copy_from_slice(&self.statuses);
        array
    }
}

const LEN: usize = 5 + STATUSES.len() + 1;
const _: () = assert!(size_of::<Published>() == 128);

/// The counts of one worker where other threads can read them. Two cache lines of its own, so that workers do not
/// slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Published([AtomicU64; LEN]);

impl Published {
    /// Relaxed stores of one writer: no locked instruction, and a reader sees each number at most a moment old.
    #[inline]
    pub fn publish(&self, counts: &Counts) {
        for (slot, count) in self.0.iter().zip(counts.to_array()) {
            slot.store(count, Ordering::Relaxed);
        }
    }
}

/// Handshakes of the TLS port. They are rare beside requests, so all workers count in one place.
#[derive(Debug, Default)]
pub struct TlsCounts {
    full: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
}

impl TlsCounts {
    /// `None`: it failed.
    pub fn count(&self, handshake: Option<Handshake>) {
        let count = match handshake {
            Some(Handshake::Full) => &self.full,
            Some(Handshake::Resumed) => &self.resumed,
            None => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> [(&'static str, u64); 3] {
        [("full", &self.full), ("resumed", &self.resumed), ("failed", &self.failed)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// The counters of the whole process.
#[derive(Debug)]
pub struct Counters {
    workers: Vec<Published>,
    pub faults: Arc<Faults>,
    pub capacity: Option<Arc<Capacity>>,
    /// Where there is a TLS port.
    pub tls: Option<TlsCounts>,
}

impl Counters {
    pub fn new(
        workers: usize,
        faults: Arc<Faults>,
        capacity: Option<Arc<Capacity>>,
        tls: Option<TlsCounts>,
    ) -> Counters {
        Counters { workers: (0..workers).map(|_| Published::default()).collect(), faults, capacity, tls }
    }

    pub fn of(&self, worker: usize) -> &Published {
        &self.workers[worker]
    }

    fn sum(&self) -> [u64; LEN] {
        let mut sum = [0; LEN];
        for worker in &self.workers {
            for (total, slot) in sum.iter_mut().zip(&worker.0) {
                *total += slot.load(Ordering::Relaxed);
            }
        }
        sum
    }

    /// `/healthz` and the line at exit. `status` is `ok`, `draining` or `stopped`.
    pub fn to_json(&self, status: &str, version: &str, from: &str) -> Value {
        let sum = self.sum();
        let statuses: Map<String, Value> = statuses(&sum).map(|(name, count)| (name, json!(count))).collect();
        let faults: Map<String, Value> =
            self.faults.injected().map(|(name, count)| (name.to_owned(), json!(count))).collect();
        let mut json = json!({
            "status": status,
            "version": version,
            "from": from,
            "requests": sum[0],
            "tokens": sum[1],
            "responses": sum[2],
            "connections": sum[3],
            "connections_open": sum[4],
            "statuses": statuses,
            "faults": faults,
        });
        if let Some(capacity) = &self.capacity {
            json["capacity"] = json!({
                "per_second": capacity.per_second,
                "waited": capacity.waited(),
                "refused": capacity.refused(),
            });
        }
        if let Some(tls) = &self.tls {
            let counts: Map<String, Value> =
                tls.counts().into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect();
            json["tls_handshakes"] = counts.into();
        }
        json
    }

    /// `/metrics`: the same in the text format of Prometheus.
    pub fn to_prometheus(&self) -> String {
        let sum = self.sum();
        let mut text = String::new();
        for (at, name, kind) in [
            (0, "flowtest_target_requests_total", "counter"),
            (1, "flowtest_target_tokens_total", "counter"),
            (2, "flowtest_target_responses_total", "counter"),
            (3, "flowtest_target_connections_total", "counter"),
            (4, "flowtest_target_connections_open", "gauge"),
        ] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {}", sum[at]);
        }
        count(&mut text, "flowtest_target_answers_total", "status", statuses(&sum));
        count(&mut text, "flowtest_target_faults_total", "fault", self.faults.injected());
        if let Some(capacity) = &self.capacity {
            let counts = [("waited", capacity.waited()), ("refused", capacity.refused())];
            count(&mut text, "flowtest_target_over_capacity_total", "outcome", counts.into_iter());
        }
        if let Some(tls) = &self.tls {
            count(&mut text, "flowtest_target_tls_handshakes_total", "outcome", tls.counts().into_iter());
        }
        text
    }

    /// The same for a person: only what is not zero.
    pub fn to_text(&self) -> String {
        let sum = self.sum();
        let mut text = format!("stopped: {} requests, {} responses, {} connections", sum[0], sum[2], sum[3]);
        list(&mut text, "; by status: ", statuses(&sum));
        list(&mut text, "; injected: ", self.faults.injected());
        if let Some(capacity) = &self.capacity {
            let counts = [("waited", capacity.waited()), ("refused", capacity.refused())];
            list(&mut text, "; by --capacity: ", counts.into_iter());
        }
        if let Some(tls) = &self.tls {
            list(&mut text, "; TLS handshakes: ", tls.counts().into_iter());
        }
        text
    }
}

/// How many answers had each status, of all counters.
fn statuses(sum: &[u64; LEN]) -> impl Iterator<Item = (String, u64)> {
    STATUSES.iter().map(u16::to_string).chain(["injected".to_owned()]).zip(sum[5..].iter().copied())
}

/// One counter of Prometheus, a line for each value of its label.
fn count(text: &mut String, name: &str, label: &str, counts: impl Iterator<Item = (impl std::fmt::Display, u64)>) {
    let _ = writeln!(text, "# TYPE {name} counter");
    for (value, count) in counts {
        let _ = writeln!(text, "{name}{{{label}=\"{value}\"}} {count}");
    }
}

fn list(text: &mut String, title: &str, counts: impl Iterator<Item = (impl std::fmt::Display, u64)>) {
    for (index, (name, count)) in counts.filter(|(_, count)| *count > 0).enumerate() {
        let before = if index == 0 { title } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{before}{name} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_summed_and_zeroes_stay_out_of_the_text() {
        let counters =
            Counters::new(2, Arc::new(Faults::parse("wrong_token:1").unwrap()), Some(Arc::new(Capacity::new(1))), None);
        counters.faults.next();
        for worker in 0..2 {
            let mut counts = Counts { requests: 3, responses: 3, connections: 1, ..Counts::default() };
            counts.status(200);
            counts.status(200);
            counts.status(503);
            counts.status_injected();
            counters.of(worker).publish(&counts);
        }
        let json = counters.to_json("ok", "v2", "ECS");
        assert_eq!((&json["requests"], &json["statuses"]["200"]), (&json!(6), &json!(4)));
        assert_eq!(json["capacity"], json!({"per_second": 1, "waited": 0, "refused": 0}));
        assert_eq!((&json["statuses"]["injected"], &json["faults"]["wrong_token"]), (&json!(2), &json!(1)));
        assert_eq!(
            counters.to_text(),
            "stopped: 6 requests, 6 responses, 2 connections; by status: 200 4, 503 2, injected 2; injected: wrong_token 1"
        );
        let metrics = counters.to_prometheus();
        for line in [
            "# TYPE flowtest_target_requests_total counter",
            "flowtest_target_requests_total 6",
            "# TYPE flowtest_target_connections_open gauge",
            "flowtest_target_answers_total{status=\"200\"} 4",
            "flowtest_target_faults_total{fault=\"wrong_token\"} 1",
            "flowtest_target_over_capacity_total{outcome=\"refused\"} 0",
        ] {
            assert!(metrics.lines().any(|one| one == line), "{line} is not in\n{metrics}");
        }
    }
}
