//! The comparison: our generator against other load tools, our target against other servers, on one machine.
//!
//! Generator on one core, server on the other, interleaved pairs. What is not installed is said and left out; a pair
//! that fails leaves a row that says why. Each row knows its bound (BENCHMARKS.md, "Bounds").

mod contestants;
mod handshakes;
mod https;
mod journal;
pub mod paired;
mod picture;
pub mod report;
pub mod servers;
pub mod tools;

use crate::error::{Error, Result};
use paired::{Pairs, Sample};
use report::{Bound, CompareReport, Comparison};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use servers::{Answer, Kind, Server};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tools::{Tool, Work};

/// Requests in flight per connection in the batched rows.
const PIPELINE: usize = 16;
/// Connections of the crowded row.
const CROWD: usize = 10_000;
/// Requests a second of the paced row.
const PACED: u64 = 20_000;
/// Descriptors that a server needs beside its connections.
const DESCRIPTORS_SPARE: u64 = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Our generator against other load tools.
    Tools,
    /// Open loop at half the peak.
    Open,
    /// Open loop at a rate that leaves the core idle, against other load tools that pace.
    Paced,
    /// Ten thousand connections.
    Crowd,
    /// Our generator against other load tools over https, and what TLS costs it.
    Https,
    /// Our target against other servers.
    Servers,
    /// The same load for one contestant and for a thousand.
    Contestants,
    /// With journal, traces and Redis against without; then how fast the journal is audited.
    Journal,
    /// Our generator against another build of it, which `--old` names: what a change costs.
    Old,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Pairs of each comparison.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub pairs: u16,
    /// How long each side of a pair runs.
    #[arg(long = "for", default_value = "3s", value_parser = seconds)]
    pub each: Duration,
    /// The core of the load generator.
    #[arg(long, default_value_t = 0)]
    pub generator_core: usize,
    /// The core of the server.
    #[arg(long, default_value_t = 1)]
    pub server_core: usize,
    /// Only these parts of the table.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// A `flowtest-loadgen` of another build, to be measured against this one's.
    #[arg(long)]
    pub old: Option<PathBuf>,
    /// Where to write everything that was measured, as JSON; `-` is standard output instead of the table.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Where to draw the rows against other tools, as SVG.
    #[arg(long)]
    pub picture: Option<PathBuf>,
}

/// Whole seconds: some tools know nothing finer.
fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !(1..=3600).contains(&duration.as_secs()) || duration.subsec_nanos() != 0 {
        return Err("say whole seconds, from 1s to 1h".into());
    }
    Ok(duration)
}

/// Runs the comparison and returns what was measured.
pub fn run(options: &Options, stopped: &dyn Fn() -> bool) -> Result<CompareReport> {
    raise_descriptors(CROWD as u64 + DESCRIPTORS_SPARE)?;
    let scratch = tempfile::tempdir().map_err(Error::io("making a scratch folder"))?;
    let mut bench = Bench { options, scratch: scratch.path(), report: CompareReport::new(), stopped };
    for tool in Tool::PEERS.into_iter().chain([Tool::Wrk2]) {
        if !tool.is_installed() {
            bench.leave_out(tool.name(), "not installed");
        }
    }
    if bench.wants(Part::Tools) {
        bench.tools()?;
    }
    if bench.wants(Part::Open) {
        bench.open_loop()?;
    }
    if bench.wants(Part::Paced) {
        bench.paced()?;
    }
    if bench.wants(Part::Crowd) {
        bench.crowd()?;
    }
    if bench.wants(Part::Https) {
        https::rows(&mut bench)?;
    }
    if bench.wants(Part::Servers) {
        bench.servers()?;
    }
    if bench.wants(Part::Contestants) {
        contestants::rows(&mut bench)?;
    }
    if bench.wants(Part::Journal) {
        journal::pairs(&mut bench)?;
    }
    match &options.old {
        Some(old) if bench.wants(Part::Old) => bench.old(old)?,
        None if options.only.contains(&Part::Old) => return Err(Error::Other("old: --old names no program".into())),
        _ => {}
    }
    Ok(bench.report)
}

struct Bench<'a> {
    options: &'a Options,
    scratch: &'a Path,
    report: CompareReport,
    stopped: &'a dyn Fn() -> bool,
}

impl Bench<'_> {
    fn wants(&self, part: Part) -> bool {
        self.options.only.is_empty() || self.options.only.contains(&part)
    }

    fn leave_out(&mut self, what: &str, why: &str) {
        anstream::eprintln!("compare: {what} is left out: {why}");
        self.report.left_out.push(format!("{what}: {why}"));
    }

    fn server(&self, kind: Kind, answer: Option<&Answer>) -> Result<Server> {
        Server::start(kind, self.options.server_core, self.scratch, answer)
    }

    fn work<'b>(&'b self, url: &'b str, connections: usize, pipeline: usize) -> Work<'b> {
        Work {
            url,
            connections,
            pipeline,
            duration: self.options.each,
            rate: None,
            ca: None,
            once: None,
            resumes: false,
            build: None,
            core: self.options.generator_core,
            scratch: self.scratch,
        }
    }

    /// One comparison. A side that fails makes a row that says so, and the table goes on.
    fn pair(
        &mut self,
        mut row: Comparison,
        mut ours: impl FnMut(&Self) -> Result<Sample>,
        mut theirs: impl FnMut(&Self) -> Result<Sample>,
    ) -> Result<Option<Pairs>> {
        anstream::eprintln!("compare: {} - {} and {}", row.what, row.ours, row.theirs);
        let this = &*self;
        let go_on = |run: &mut dyn FnMut(&Self) -> Result<Sample>| {
            if (this.stopped)() { Err(Error::Other("stopped".into())) } else { run(this) }
        };
        let pairs = Pairs::run(self.options.pairs as usize, || go_on(&mut ours), || go_on(&mut theirs));
        if (self.stopped)() {
            return Err(Error::Other("stopped before the table was complete".into()));
        }
        let measured = match pairs {
            Ok(pairs) => {
                row.measured(pairs.clone());
                anstream::eprintln!("compare:   {}", row.in_short());
                Some(pairs)
            }
            Err(error) => {
                anstream::eprintln!("compare:   {error}");
                row.failed = Some(error.to_string());
                None
            }
        };
        self.report.rows.push(row);
        Ok(measured)
    }

    /// Our generator against each load tool, on the same target.
    fn tools(&mut self) -> Result<()> {
        let target = self.server(Kind::Target, None)?;
        for (connections, pipeline) in [(64, 1), (256, 1), (64, PIPELINE)] {
            let peers =
                Tool::PEERS.into_iter().filter(|tool| tool.is_installed() && (pipeline == 1 || tool.pipelines()));
            let mut ours = Vec::new();
            for peer in peers {
                let must = at_least_times(peer, connections, pipeline);
                let row = Comparison::ratio(
                    format!("verified rate, {connections} connections, {pipeline} in flight"),
                    Tool::Ours.name(),
                    peer.name(),
                    must,
                );
                let run = |tool: Tool| {
                    let target = &target;
                    move |bench: &Self| tools::run(tool, &bench.work(&target.url, connections, pipeline), &target.child)
                };
                if let Some(pairs) = self.pair(row, run(Tool::Ours), run(peer))? {
                    ours.extend(pairs.ours);
                }
            }
            if ours.is_empty() {
                for _ in 0..self.options.pairs {
                    ours.push(tools::run(Tool::Ours, &self.work(&target.url, connections, pipeline), &target.child)?);
                }
            }
            self.claims_of(&ours, connections, pipeline);
        }
        target.child.stop().map(drop)
    }

    /// The bounds of our generator alone, from its own side of the pairs.
    fn claims_of(&mut self, ours: &[Sample], connections: usize, pipeline: usize) {
        let shape = format!("{connections} connections, {pipeline} in flight");
        if pipeline > 1 {
            self.report.claim(
                format!("verified rate, {shape}"),
                "requests/s",
                ours,
                |s| Some(s.rate),
                Bound::Min(1.5e6),
            );
        }
        let user_us_max = if pipeline > 1 { 0.12 } else { 0.30 };
        self.report.claim(
            format!("user CPU per verified request, {shape}"),
            "µs",
            ours,
            |sample| Some(sample.generator_user_us),
            Bound::Max(user_us_max),
        );
    }

    /// Open loop at half of what closed loop reached a moment ago.
    fn open_loop(&mut self) -> Result<()> {
        let target = self.server(Kind::Target, None)?;
        let mut samples = Vec::new();
        for _ in 0..self.options.pairs {
            let peak = tools::run(Tool::Ours, &self.work(&target.url, 64, 1), &target.child)?.rate;
            let half = Work { rate: Some((peak / 2.0) as u64), ..self.work(&target.url, 64, 1) };
            samples.push(tools::run(Tool::Ours, &half, &target.child)?);
            anstream::eprintln!("compare: open loop at half of {peak:.0}/s");
        }
        let what = "open loop at half the peak";
        self.report.claim(format!("{what}: rate_ratio"), "", &samples, |s| s.rate_ratio, Bound::Min(0.999));
        self.report.claim(
            format!("{what}: own send lag, p99"),
            "µs",
            &samples,
            |s| s.send_lag_p99_us,
            Bound::Max(1000.0),
        );
        target.child.stop().map(drop)
    }

    /// What a request costs where the core is idle between them, and how late ours are sent.
    fn paced(&mut self) -> Result<()> {
        let target = self.server(Kind::Target, None)?;
        let run = |tool: Tool, bench: &Self| {
            let work = Work { rate: Some(PACED), ..bench.work(&target.url, 64, 1) };
            tools::run(tool, &work, &target.child)
        };
        let mut ours = Vec::new();
        for peer in Tool::PACED.into_iter().filter(|tool| tool.is_installed()) {
            let what = format!("verified rate, 64 connections, {PACED}/s");
            let row = Comparison::ratio(what, Tool::Ours.name(), peer.name(), None);
            if let Some(pairs) = self.pair(row, |bench| run(Tool::Ours, bench), |bench| run(peer, bench))? {
                ours.extend(pairs.ours);
            }
        }
        for _ in ours.len()..self.options.pairs as usize {
            ours.push(run(Tool::Ours, self)?);
        }
        let what = format!("64 connections, {PACED}/s");
        let system_us = |sample: &Sample| Some(sample.generator_system_us);
        self.report.claim(format!("system CPU of a request, {what}"), "µs", &ours, system_us, Bound::Max(16.0));
        let lag_us = |sample: &Sample| sample.send_lag_p99_us;
        self.report.claim(format!("own send lag, p99, {what}"), "µs", &ours, lag_us, Bound::Max(150.0));
        target.child.stop().map(drop)
    }

    fn crowd(&mut self) -> Result<()> {
        let target = self.server(Kind::Target, None)?;
        let row = Comparison::ratio(
            format!("verified rate, {CROWD} connections versus 256"),
            &format!("{CROWD} connections"),
            "256 connections",
            Some(0.7),
        );
        let run = |connections: usize| {
            let target = &target;
            move |bench: &Self| tools::run(Tool::Ours, &bench.work(&target.url, connections, 1), &target.child)
        };
        if let Some(pairs) = self.pair(row, run(CROWD), run(256))? {
            let mib = |sample: &Sample| Some(sample.generator_rss_kib as f64 / 1024.0);
            self.report.claim(format!("memory with {CROWD} connections"), "MiB", &pairs.ours, mib, Bound::Max(150.0));
        }
        target.child.stop().map(drop)
    }

    /// Our generator against another build of it: each shape of the table, then a contest with all that is kept of it.
    fn old(&mut self, build: &Path) -> Result<()> {
        let target = self.server(Kind::Target, None)?;
        let shapes = [(64, 1, None), (256, 1, None), (64, PIPELINE, None), (CROWD, 1, None), (64, 1, Some(PACED))];
        for (connections, pipeline, rate) in shapes {
            let paced = rate.map_or(String::new(), |rate| format!(", {rate}/s"));
            let row = Comparison::ratio(
                format!("verified rate, {connections} connections, {pipeline} in flight{paced}"),
                Tool::Ours.name(),
                "the old build",
                None,
            );
            let run = |build: Option<&Path>, bench: &Self| {
                let work = Work { rate, build, ..bench.work(&target.url, connections, pipeline) };
                tools::run(Tool::Ours, &work, &target.child)
            };
            self.pair(row, |bench| run(None, bench), |bench| run(Some(build), bench))?;
        }
        target.child.stop()?;
        journal::old(self, build)
    }

    /// Our target against each other server, under our generator.
    fn servers(&mut self) -> Result<()> {
        let target = self.server(Kind::Target, None)?;
        let answer = target.answer()?;
        for (kind, must) in
            [(Kind::Nginx, Some(2.0)), (Kind::Statico, Some(0.95)), (Kind::Monoio, None), (Kind::Glommio, None)]
        {
            if !kind.is_installed() {
                self.leave_out(kind.name(), "not installed");
                continue;
            }
            let other = match self.server(kind, Some(&answer)) {
                Ok(other) => other,
                Err(error) => {
                    self.leave_out(kind.name(), &error.to_string());
                    continue;
                }
            };
            for pipeline in [1, PIPELINE] {
                let row = Comparison::ratio(
                    format!("answered rate, 64 connections, {pipeline} in flight"),
                    Kind::Target.name(),
                    kind.name(),
                    must.filter(|_| pipeline == 1),
                );
                let run = |server: &'_ Server, bench: &Self| {
                    tools::run(Tool::Ours, &bench.work(&server.url, 64, pipeline), &server.child)
                };
                self.pair(row, |bench| run(&target, bench), |bench| run(&other, bench))?;
            }
            other.child.stop()?;
        }
        target.child.stop().map(drop)
    }
}

fn at_least_times(peer: Tool, connections: usize, pipeline: usize) -> Option<f64> {
    let is_few = connections <= 64;
    match (peer, pipeline) {
        (Tool::Wrk, 1) => Some(if is_few { 1.5 } else { 1.6 }),
        (Tool::Oha, 1) => Some(if is_few { 1.8 } else { 2.2 }),
        (Tool::Shb, 1) => Some(1.08),
        (Tool::Gcannon, 1) => Some(if is_few { 1.08 } else { 1.05 }),
        (Tool::Gcannon, _) => Some(1.9),
        _ => None,
    }
}

/// Children inherit our limit of descriptors; ten thousand connections need more than the usual 1,024.
pub fn raise_descriptors(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed.max(limit.current.unwrap_or(0))));
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }).map_err(|error| {
            Error::Other(format!("the limit of open files could not be raised to {current}: {error}"))
        })?;
    }
    Ok(())
}
