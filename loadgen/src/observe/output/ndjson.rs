//! One JSON object per second of a run, for tools: `--ndjson`.
//!
//! Keys, in this order: `second` (from 0), `utc` (its start), `start_s` (since the first phase), `length_s`, `stage`
//! (`phase`, `paused`, `no_share` or `draining`), `phase` (from 1, or null), `step` (from 1; of breakpoint phases alone), `scored`,
//! `lag_p99_us`, `busy` (0 to 1), `all` and `contestants`. Both of these have `due`, `sent`, `answered`, `verified`, `wrong {token, version, from}`, `failed
//! {timeout, refused, reset, malformed, status, tls}`, `missed`, `own_fault`, `late`, `latency_us {p50, p90, p99, p999,
//! max}`, `rate_ratio`, `valid`; contestants have their `name` before them. `right` is what 0.1 called `verified`, and
//! `saturated` what it said where `valid` is false: both go with 0.3. What is not known is null; in closed
//! loop that is `lag_p99_us` and `rate_ratio`. Counts are of this second alone; the last line is of what came after the last
//! whole second, if anything did, so that all lines add up to the summary.

use crate::Failed;
use crate::engine::clock::RunInstant;
use crate::engine::plan::Plan;
use crate::observe::results;
use crate::observe::series::{Entry, Latency, RoundPart, Second, State};
use crate::observe::title::rfc3339;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Line<'a> {
    second: u64,
    utc: String,
    start_s: f64,
    length_s: f64,
    #[serde(rename = "stage")]
    part: &'static str,
    /// From 1, as the contest file has it.
    phase: Option<usize>,
    /// Of a breakpoint phase, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    scored: bool,
    lag_p99_us: Option<u32>,
    busy: Option<f64>,
    all: Figures,
    contestants: Vec<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
struct Figures {
    due: u32,
    sent: u32,
    answered: u32,
    verified: u32,
    right: u32,
    wrong: Wrong,
    failed: Failures,
    missed: u32,
    own_fault: u32,
    late: u32,
    latency_us: Quantiles,
    rate_ratio: Option<f64>,
    valid: bool,
    saturated: bool,
}

#[derive(Serialize)]
struct Wrong {
    token: u32,
    version: u32,
    from: u32,
}

#[derive(Serialize)]
struct Failures {
    timeout: u32,
    refused: u32,
    reset: u32,
    malformed: u32,
    status: u32,
    tls: u32,
}

#[derive(Serialize)]
struct Quantiles {
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
    p999: Option<u64>,
    max: Option<u64>,
}

impl Quantiles {
    fn of(latency: Latency) -> Quantiles {
        Quantiles {
            p50: latency.p50(),
            p90: latency.p90(),
            p99: latency.p99(),
            p999: latency.p999(),
            max: latency.max(),
        }
    }
}

impl Figures {
    fn of(entry: &Entry, state: State) -> Figures {
        Figures {
            due: entry.due,
            sent: entry.sent,
            answered: entry.answered,
            verified: entry.verified,
            right: entry.verified,
            wrong: Wrong { token: entry.token_wrong, version: entry.version_wrong, from: entry.from_wrong },
            failed: Failures {
                timeout: entry.timeout,
                refused: entry.refused,
                reset: entry.reset,
                malformed: entry.malformed,
                status: entry.status,
                tls: entry.tls,
            },
            missed: entry.missed,
            own_fault: entry.own_fault,
            late: entry.late,
            latency_us: Quantiles::of(entry.latency),
            rate_ratio: entry.rate_ratio().filter(|_| state.open),
            valid: entry.invalid == 0,
            saturated: entry.invalid > 0,
        }
    }
}

/// Where the lines go.
#[derive(Debug)]
pub struct Lines {
    /// `-`: standard output.
    path: PathBuf,
    file: Option<std::fs::File>,
    /// The first thing that went wrong; nothing is written after it.
    failed: Option<io::Error>,
}

impl Lines {
    /// Empties the file; `-` is standard output.
    pub fn create(path: &Path) -> io::Result<Lines> {
        let file = if results::is_stdout(path) { None } else { Some(std::fs::File::create(path)?) };
        Ok(Lines { path: path.to_owned(), file, failed: None })
    }

    /// Writes one second, at once.
    pub fn second(&mut self, plan: &Plan, start: RunInstant, second: &Second<'_>) {
        if self.failed.is_some() {
            return;
        }
        let state = second.moment.state;
        let (part, phase) = match state.part {
            RoundPart::Phase(number) => ("phase", Some(plan.written(usize::from(number)))),
            RoundPart::Paused => ("paused", None),
            RoundPart::NoShare => ("no_share", None),
            RoundPart::Draining => ("draining", None),
        };
        let line = Line {
            second: second.number,
            utc: rfc3339(plan.utc_us(start) + u64::from(second.moment.start_ms) * 1_000),
            start_s: second.moment.start_s(),
            length_s: f64::from(second.moment.length_ms) / 1e3,
            part,
            phase: phase.map(|phase| phase.number),
            step: phase.and_then(|phase| phase.step),
            scored: state.scored,
            lag_p99_us: second.moment.lag_us,
            busy: second.moment.busy.map(|busy| f64::from(busy) / 1e3),
            all: Figures::of(second.all, state),
            contestants: plan
                .contestants
                .iter()
                .zip(second.each)
                .map(|(contestant, entry)| Named { name: &contestant.name, figures: Figures::of(entry, state) })
                .collect(),
        };
        self.failed = self.write(&line).err();
    }

    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        match &mut self.file {
            // One write per line, so that a reader never sees half of one for long.
            Some(file) => file.write_all(&bytes),
            None => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()
            }
        }
    }

    /// What went wrong.
    ///
    /// # Errors
    /// [`Failed::Message`] when a line could not be written.
    pub fn finish(self) -> Result<(), Failed> {
        results::unless_closed(self.failed.map_or(Ok(()), Err)).map_err(|error| results::unwritable(&self.path, &error))
    }
}
