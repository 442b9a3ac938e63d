//! `--metrics ADDR`: what a run has counted, in the text format of Prometheus, on one small thread. Who plays several
//! rounds answers between them too, with the figures of the newest one.
//!
//! It answers `GET /metrics` and nothing else, one connection at a time, each request bounded in bytes and time. It holds a
//! copy of the newest figures, so that a scrape never touches the run.
//!
//! | metric | type | what |
//! |---|---|---|
//! | `flowtest_requests_total{contestant,outcome,scored}` | counter | outcomes: `right`, `wrong` (answered, a header wrong), each kind of failure, `missed`, `own_fault` |
//! | `flowtest_verified_total{contestant,scored}` | counter | exchanges with all three headers right: those of the outcome `right` |
//! | `flowtest_due_total{contestant,scored}` | counter | requests that came due |
//! | `flowtest_wrong_headers_total{contestant,header,scored}` | counter | `token`, `version`, `from`; one answer may have several |
//! | `flowtest_points{contestant}` | gauge | points so far, of what is scored |
//! | `flowtest_latency_seconds{contestant,quantile}` | gauge | of the newest second, from the intended instant |
//! | `flowtest_contestant_invalid_seconds_total{contestant}`, `flowtest_invalid_seconds_total` | counter | scored seconds that are not valid: the generator was too slow for its plan |
//! | `flowtest_rate_ratio`, `flowtest_lag_seconds{quantile}` | gauge | of the newest second in open loop |
//! | `flowtest_worker_busy_ratio` | gauge | the workers' part of their cores, of the newest second |
//! | `flowtest_journal_backlog_batches` | gauge | batches that are on disk and not in Redis, where both are |
//! | `flowtest_scoreboard_stands_still` | gauge | 1 while Redis has not taken what is counted for two seconds |
//! | `flowtest_up`, `flowtest_state{state}` | gauge | 1; of `serve`, 1 for the state that it is in |
//! | `flowtest_run_seconds`, `flowtest_info{version}` | gauge | since the start of the first phase; 1 |
//!
//! Until 0.3 it answers by the names of 0.1 as well: `saturated` for `invalid`, `own_lag` for `lag`. The outcome `right` is
//! called `verified` from then on.

use crate::engine::block::{Counts, Meter};
use flowtest_contract::verdict::Failure;
use flowtest_contract::{Rules, Tally};
use parking_lot::Mutex;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A longer request is none of ours.
const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// How long a scraper may take to ask, and to take its answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The text format's name for itself.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One contestant's newest figures.
#[derive(Clone, Debug, Default)]
pub struct Exposed {
    pub scored: (Tally, Meter),
    pub unscored: (Tally, Meter),
    /// Of the newest second, in µs: p50, p90, p99, p999.
    pub latency_us: [Option<u64>; 4],
    pub invalid_s: u64,
}

impl Exposed {
    pub fn counts(counts: &Counts) -> (Tally, Meter) {
        (counts.row.tally, counts.meter)
    }
}

/// The newest figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub run_s: f64,
    pub contestants: Vec<Exposed>,
    pub invalid_s: u64,
    pub rate_ratio: Option<f64>,
    pub lag_us: Option<u64>,
    /// 0 to 1.
    pub busy: Option<f64>,
    /// Batches.
    pub backlog: Option<u64>,
    /// Whether Redis does not take what is counted.
    pub stands_still: Option<bool>,
}

/// What `serve` does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// No round is played here.
    Idle,
    Armed,
    Running,
    Paused,
    Draining,
}

impl Doing {
    const ALL: [Doing; 5] = [Doing::Idle, Doing::Armed, Doing::Running, Doing::Paused, Doing::Draining];

    fn name(self) -> &'static str {
        match self {
            Doing::Idle => "idle",
            Doing::Armed => "armed",
            Doing::Running => "running",
            Doing::Paused => "paused",
            Doing::Draining => "draining",
        }
    }
}

/// All that a scrape is made from.
#[derive(Debug)]
struct Scene {
    /// Of the contestants, in order.
    names: Vec<String>,
    rules: Rules,
    snapshot: Snapshot,
    doing: Option<Doing>,
}

/// The endpoint. It lives as long as the process; clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    address: SocketAddr,
    scene: Arc<Mutex<Scene>>,
}

impl Metrics {
    /// Takes the address and starts to answer; port 0 means any that is free.
    pub fn start(address: SocketAddr) -> io::Result<Metrics> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (names, rules) = (Vec::new(), Rules::default());
        let scene = Arc::new(Mutex::new(Scene { names, rules, snapshot: Snapshot::default(), doing: None }));
        let metrics = Metrics { address, scene };
        let shared = metrics.clone();
        std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    // A scraper that goes away harms nobody.
                    Ok(stream) => drop(answer(stream, || exposition(&shared.scene.lock()))),
                    // Out of descriptors, as a rule: others need them more.
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        })?;
        Ok(metrics)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A run begins: these are its contestants, in order.
    pub fn open(&self, names: Vec<String>, rules: Rules) {
        let mut scene = self.scene.lock();
        (scene.names, scene.rules, scene.snapshot) = (names, rules, Snapshot::default());
    }

    /// These are its contestants now.
    pub fn name(&self, names: Vec<String>) {
        self.scene.lock().names = names;
    }

    pub fn show(&self, snapshot: Snapshot) {
        self.scene.lock().snapshot = snapshot;
    }

    /// What `serve` does now.
    pub fn say(&self, doing: Doing) {
        self.scene.lock().doing = Some(doing);
    }
}

fn answer(mut stream: TcpStream, render: impl Fn() -> String) -> io::Result<()> {
    let until = Instant::now() + TIMEOUT;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut request = Vec::new();
    let mut bytes = [0; 1024];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || request.len() >= REQUEST_BYTES_MAX {
            return respond(&mut stream, "400 Bad Request", "text/plain", "a request of at most 4 KiB within 2 s\n");
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&bytes[..count]),
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let path = words.nth(1).map(|target| target.split(|byte| *byte == b'?').next().unwrap_or_default());
    match (line.starts_with(b"GET "), path) {
        (true, Some(b"/metrics")) => respond(&mut stream, "200 OK", TEXT, &render()),
        _ => respond(&mut stream, "404 Not Found", "text/plain", "only GET /metrics\n"),
    }
}

fn respond(stream: &mut TcpStream, status: &str, kind: &str, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())
}

/// The text of a scrape.
fn exposition(scene: &Scene) -> String {
    let mut text = Text::default();
    scene.write_state(&mut text);
    scene.write_counts(&mut text);
    scene.write_newest(&mut text);
    scene.write_own(&mut text);
    text.text
}

impl Scene {
    fn write_state(&self, text: &mut Text) {
        text.metric("flowtest_info", "gauge", "The generator.");
        text.line(&format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1);
        text.metric("flowtest_up", "gauge", "The generator answers.");
        text.line("", 1);
        if let Some(doing) = &self.doing {
            text.metric("flowtest_state", "gauge", "1 for what the generator does.");
            for state in Doing::ALL {
                text.line(&format!("{{state=\"{}\"}}", state.name()), u8::from(state == *doing));
            }
        }
        text.metric("flowtest_run_seconds", "gauge", "Since the start of the first phase.");
        text.line("", self.snapshot.run_s);
    }

    /// Each contestant's name, as Prometheus wants it, and what it is at.
    fn named(&self) -> impl Iterator<Item = (String, &Exposed)> {
        self.names.iter().map(|name| escaped(name)).zip(&self.snapshot.contestants)
    }

    fn write_counts(&self, text: &mut Text) {
        let both = |exposed: &Exposed| [("true", exposed.scored), ("false", exposed.unscored)];
        text.metric("flowtest_requests_total", "counter", "Requests that have an outcome.");
        for (name, exposed) in self.named() {
            for (scored, (tally, meter)) in both(exposed) {
                let wrong = tally.responses().saturating_sub(meter.verified);
                let failures = Failure::ALL.map(|failure| (failure.name(), tally.failure(failure)));
                for (outcome, count) in [("right", meter.verified), ("wrong", wrong)].into_iter().chain(failures) {
                    text.line(&format!("{{contestant=\"{name}\",outcome=\"{outcome}\",scored=\"{scored}\"}}"), count);
                }
            }
        }
        text.metric("flowtest_verified_total", "counter", "Exchanges with all three headers right.");
        for (name, exposed) in self.named() {
            for (scored, (_, meter)) in both(exposed) {
                text.line(&format!("{{contestant=\"{name}\",scored=\"{scored}\"}}"), meter.verified);
            }
        }
        text.metric("flowtest_due_total", "counter", "Requests that came due.");
        for (name, exposed) in self.named() {
            for (scored, (tally, _)) in both(exposed) {
                text.line(&format!("{{contestant=\"{name}\",scored=\"{scored}\"}}"), tally.due);
            }
        }
        text.metric("flowtest_wrong_headers_total", "counter", "Answers in which this header was wrong.");
        for (name, exposed) in self.named() {
            for (scored, (tally, _)) in both(exposed) {
                let headers =
                    [("token", tally.token_wrong), ("version", tally.version_wrong), ("from", tally.from_wrong)];
                for (header, count) in headers {
                    text.line(&format!("{{contestant=\"{name}\",header=\"{header}\",scored=\"{scored}\"}}"), count);
                }
            }
        }
        text.metric("flowtest_points", "gauge", "Points so far.");
        for (name, exposed) in self.named() {
            text.line(&format!("{{contestant=\"{name}\"}}"), exposed.scored.0.points(&self.rules));
        }
    }

    /// Of each contestant, in the newest second and in those that were not valid.
    fn write_newest(&self, text: &mut Text) {
        text.metric("flowtest_latency_seconds", "gauge", "Latency from the intended instant, of the newest second.");
        for (name, exposed) in self.named() {
            for (quantile, us) in ["0.5", "0.9", "0.99", "0.999"].iter().zip(exposed.latency_us) {
                if let Some(us) = us {
                    text.line(&format!("{{contestant=\"{name}\",quantile=\"{quantile}\"}}"), us as f64 / 1e6);
                }
            }
        }
        for metric in ["flowtest_contestant_invalid_seconds_total", "flowtest_contestant_saturated_seconds_total"] {
            text.metric(
                metric,
                "counter",
                "Scored seconds in which the generator was too slow for this contestant's plan.",
            );
            for (name, exposed) in self.named() {
                text.line(&format!("{{contestant=\"{name}\"}}"), exposed.invalid_s);
            }
        }
    }

    /// How the generator itself does.
    fn write_own(&self, text: &mut Text) {
        let snapshot = &self.snapshot;
        for metric in ["flowtest_invalid_seconds_total", "flowtest_saturated_seconds_total"] {
            text.metric(metric, "counter", "Scored seconds in which the generator was too slow for its plan.");
            text.line("", snapshot.invalid_s);
        }
        text.optional(
            "flowtest_rate_ratio",
            "The part of what was due in the newest second that was sent in time.",
            "",
            snapshot.rate_ratio,
        );
        let lag = snapshot.lag_us.map(|us| us as f64 / 1e6);
        for metric in ["flowtest_lag_seconds", "flowtest_own_lag_seconds"] {
            let help = "The generator's own send lag in the newest second.";
            text.optional(metric, help, "{quantile=\"0.99\"}", lag);
        }
        text.optional(
            "flowtest_worker_busy_ratio",
            "The workers' part of their cores in the newest second.",
            "",
            snapshot.busy,
        );
        let backlog = snapshot.backlog.map(|batches| batches as f64);
        text.optional("flowtest_journal_backlog_batches", "Batches on disk and not in Redis.", "", backlog);
        let stands_still = snapshot.stands_still.map(|still| f64::from(u8::from(still)));
        text.optional(
            "flowtest_scoreboard_stands_still",
            "1 while Redis does not take what is counted.",
            "",
            stands_still,
        );
    }
}

#[derive(Default)]
struct Text {
    text: String,
    name: &'static str,
}

impl Text {
    fn metric(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }

    fn optional(&mut self, name: &'static str, help: &str, labels: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.metric(name, "gauge", help);
            self.line(labels, value);
        }
    }
}

/// A label's value: backslash, quote and line feed are escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a line as the format has it: name, labels, value.
    fn parsed(line: &str) -> (String, Vec<(String, String)>, f64) {
        let name: String = line.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        let mut rest = &line[name.len()..];
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, after) = rest.split_once("=\"").expect("a label has a value");
                let (mut value, mut letters) = (String::new(), after.char_indices());
                let end = loop {
                    match letters.next().expect("a value ends") {
                        (at, '"') => break at,
                        (_, '\\') => match letters.next().expect("an escape ends").1 {
                            'n' => value.push('\n'),
                            other @ ('\\' | '"') => value.push(other),
                            other => panic!("no such escape: {other}"),
                        },
                        (_, letter) => value.push(letter),
                    }
                };
                labels.push((label.to_owned(), value));
                rest = after[end + 1..].trim_start_matches(',');
            }
            rest = &rest[1..];
        }
        (name, labels, rest.trim().parse().expect("a number"))
    }

    fn snapshot() -> Snapshot {
        let mut exposed = Exposed::default();
        exposed.scored.0.due = 12;
        exposed.scored.0.token_right = 9;
        exposed.scored.0.version_right = 9;
        exposed.scored.0.from_right = 9;
        exposed.scored.0.reset = 3;
        exposed.scored.1.verified = 9;
        exposed.latency_us[2] = Some(1_500);
        Snapshot { contestants: vec![exposed], rate_ratio: Some(0.5), ..Snapshot::default() }
    }

    #[test]
    fn every_line_is_of_the_format_and_has_its_type() {
        let hostile = "a\"} 1\nflowtest_points{contestant=\"rival\\";
        let scene = |snapshot| Scene {
            names: vec![hostile.to_owned()],
            rules: Rules::default(),
            snapshot,
            doing: Some(Doing::Paused),
        };
        let text = exposition(&scene(snapshot()));
        let mut typed = None;
        let mut points = Vec::new();
        for line in text.lines() {
            if let Some(of) = line.strip_prefix("# TYPE ") {
                let (name, kind) = of.split_once(' ').unwrap();
                assert!(kind == "counter" || kind == "gauge");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                typed = Some(name.to_owned());
            } else if !line.starts_with("# HELP ") {
                let (name, labels, value) = parsed(line);
                assert_eq!(Some(&name), typed.as_ref(), "{line}");
                for (label, value) in &labels {
                    assert!(label != "contestant" || value == hostile, "{line}");
                }
                if name == "flowtest_points" {
                    points.push(value);
                }
            }
        }
        assert_eq!(points, [9.0 * 200.0 - 3.0 * 200.0]);
        assert!(text.contains("quantile=\"0.99\"} 0.0015\n") && text.contains("flowtest_rate_ratio 0.5\n"), "{text}");
        assert!(text.contains("flowtest_state{state=\"paused\"} 1\n") && text.contains("flowtest_up 1\n"), "{text}");
        assert!(!text.contains("flowtest_journal_backlog_batches"), "not known");
        // By the names of 0.1 it says the same until 0.3.
        let lagging = exposition(&scene(Snapshot { lag_us: Some(1_000), invalid_s: 7, ..snapshot() }));
        for name in ["lag_seconds{quantile=\"0.99\"}", "own_lag_seconds{quantile=\"0.99\"}"] {
            assert!(lagging.contains(&format!("\nflowtest_{name} 0.001\n")), "{lagging}");
        }
        for name in ["invalid_seconds_total", "saturated_seconds_total"] {
            assert!(lagging.contains(&format!("\nflowtest_{name} 7\n")), "{lagging}");
        }
        let text = exposition(&scene(Snapshot { backlog: Some(7), stands_still: Some(true), ..snapshot() }));
        assert!(text.contains("flowtest_scoreboard_stands_still 1\n"), "{text}");
        assert!(text.contains("flowtest_journal_backlog_batches 7\n"), "{text}");
    }

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn only_metrics_are_answered_and_nobody_hogs_the_thread() {
        let metrics = Metrics::start(([127, 0, 0, 1], 0).into()).unwrap();
        metrics.open(vec!["alice".to_owned()], Rules::default());
        metrics.show(snapshot());
        let _silent = TcpStream::connect(metrics.address()).unwrap();
        let told = ask(metrics.address(), b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(
            told.starts_with("HTTP/1.1 200 OK\r\n") && told.contains("outcome=\"reset\",scored=\"true\"} 3\n"),
            "{told}"
        );
        for wrong in ["GET / HTTP/1.1", "POST /metrics HTTP/1.1", "GET /metrics/x HTTP/1.1", "x", ""] {
            let told = ask(metrics.address(), format!("{wrong}\r\n\r\n").as_bytes());
            assert!(told.starts_with("HTTP/1.1 404 "), "{wrong}: {told}");
        }
        // The answer may be lost to the reset that follows bytes which nobody reads; the next one is served all the same.
        ask(metrics.address(), &[b'x'; REQUEST_BYTES_MAX * 2]);
        assert!(ask(metrics.address(), b"GET /metrics?x=1 HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
    }
}
