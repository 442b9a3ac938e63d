//! Everything that a run leaves for people and machines to read, while it goes on and afterwards: flags, files, the live
//! view, metrics, the summary. Commands open an [`Output`], show it what has been counted, and close it.

pub mod ndjson;

use crate::Failed;
use crate::engine::clock::RunInstant;
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{NS_PER_SECOND, Plan};
use crate::engine::run::Progress;
use crate::observe::failures::FailureSample;
use crate::observe::live_table::{Newest, Shown, View};
use crate::observe::metrics::{Exposed, Metrics, Snapshot};
use crate::observe::report::{self, Machine, ReportPage};
use crate::observe::results;
use crate::observe::series::{Look, Second, Series, State, Validity};
use crate::observe::summary::Summary;
use crate::observe::title::{Title, rfc3339};
use clap::builder::BoolishValueParser;
use flowtest_contract::RoundValidity;
use flowtest_contract::text::shown;
use ndjson::Lines;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a run shall leave.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Outputs {
    /// Write the result as JSON to a file, or with - to standard output instead of the summary.
    #[arg(long, value_name = "FILE|-", env = "FLOWTEST_LOADGEN_JSON")]
    pub json: Option<PathBuf>,
    /// Write a page with curves and tables: one file, to be read without a network.
    #[arg(long, value_name = "FILE.html", env = "FLOWTEST_LOADGEN_REPORT")]
    pub report: Option<PathBuf>,
    /// Write one JSON object per second to a file, or with - to standard output instead of the summary.
    #[arg(long, value_name = "FILE|-", env = "FLOWTEST_LOADGEN_NDJSON")]
    pub ndjson: Option<PathBuf>,
    /// Answer GET /metrics in the text format of Prometheus while it runs; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = "FLOWTEST_LOADGEN_METRICS")]
    pub metrics: Option<SocketAddr>,
    /// No live view, no notes and no summary; files are written all the same.
    #[arg(long, short = 'q', env = "FLOWTEST_LOADGEN_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
}

/// What could be had of it before the run: the address is taken, the files can be written.
#[derive(Debug)]
pub struct Prepared {
    flags: Outputs,
    metrics: Option<Metrics>,
}

impl Outputs {
    /// Looks before a run whether everything can be written after it, and begins to answer for metrics.
    pub fn prepare(&self) -> Result<Prepared, Failed> {
        self.check_files()?;
        self.prepare_with(self.start_metrics()?)
    }

    /// The same with metrics that are answered already, as between rounds.
    pub fn prepare_with(&self, metrics: Option<Metrics>) -> Result<Prepared, Failed> {
        self.check_files()?;
        Ok(Prepared { flags: self.clone(), metrics })
    }

    /// Takes the address of --metrics, if there is one, and answers there from now on.
    pub fn start_metrics(&self) -> Result<Option<Metrics>, Failed> {
        let Some(address) = self.metrics else { return Ok(None) };
        let metrics = Metrics::start(address).map_err(|error| {
            Failed::Message(format!(
                "--metrics {address} cannot be taken ({error}): name a free address of this machine, as in 127.0.0.1:9464"
            ))
        })?;
        if !self.quiet {
            eprintln!("flowtest-loadgen: metrics on http://{}/metrics", metrics.address());
        }
        Ok(Some(metrics))
    }

    fn check_files(&self) -> Result<(), Failed> {
        let named: Vec<&Path> =
            [&self.json, &self.report, &self.ndjson].into_iter().flatten().map(PathBuf::as_path).collect();
        for (index, path) in named.iter().enumerate() {
            if named[..index].contains(path) {
                return Err(Failed::Usage(match results::is_stdout(path) {
                    true => "--json - and --ndjson - both want standard output: name a file for one of them".to_owned(),
                    false => format!("{} is named for two outputs: name a file for each", shown(path)),
                }));
            }
        }
        if self.report.as_deref().is_some_and(results::is_stdout) {
            return Err(Failed::Usage("--report wants a file: name one, as in --report run.html".to_owned()));
        }
        named.into_iter().try_for_each(|path| results::prepare(Some(path)))
    }

    fn takes_stdout(&self) -> bool {
        [&self.json, &self.ndjson].into_iter().flatten().any(|path| results::is_stdout(path))
    }
}

/// The outputs of a run that goes on.
#[derive(Debug)]
pub struct Output {
    flags: Outputs,
    title: Title,
    start: RunInstant,
    series: Series,
    /// Seconds in which a worker stands still, at the last look.
    standing: u64,
    newest: Option<Newest>,
    view: View,
    lines: Option<Lines>,
    metrics: Option<Metrics>,
    /// Contestants that the metrics know by name.
    named: usize,
    backlog: Option<u64>,
    /// Whether the scoreboard stands still, and why. None: there is none.
    standstill: Option<Option<String>>,
    /// The first failing exchange of each kind.
    samples: Vec<FailureSample>,
}

impl Prepared {
    /// Opens what is written while the run goes on.
    pub fn open(self, plan: &Plan, title: Title) -> Result<Output, Failed> {
        let Prepared { flags, metrics } = self;
        let start = plan.schedule.run_clock(plan.start());
        let lines = match &flags.ndjson {
            Some(path) => Some(Lines::create(path).map_err(|error| results::unwritable(path, &error))?),
            None => None,
        };
        let names = plan.contestants.iter().map(|contestant| contestant.name.clone()).collect();
        if let Some(metrics) = &metrics {
            metrics.open(names, plan.rules);
        }
        let is_contest = matches!(title, Title::Contest(_));
        Ok(Output {
            series: Series::new(start, plan.contestants.len(), plan.workers),
            standing: 0,
            newest: None,
            view: View::new(plan, title.name(), is_contest, flags.quiet),
            flags,
            title,
            start,
            lines,
            metrics,
            named: plan.contestants.len(),
            backlog: None,
            standstill: None,
            samples: Vec::new(),
        })
    }
}

impl Output {
    /// Shows what has been counted until `look.now`. To be called some ten times a second.
    pub fn show(&mut self, plan: &Plan, look: Look<'_>) {
        let Output { series, newest, lines, start, .. } = self;
        series.observe(look, |instant| State::at(plan, instant), |second| keep(second, plan, *start, newest, lines));
        self.standing = self.series.standing(|instant| State::at(plan, instant));
        let trouble = self.standstill.as_ref().and_then(Option::as_deref);
        let newest = self.newest.as_ref();
        self.view.show(Shown { plan, now: look.now, sums: look.sums, newest, series: &self.series, trouble });
        let contestants = plan.contestants.len();
        if let Some(metrics) = self.metrics.as_ref().filter(|_| contestants != self.named) {
            metrics.name(plan.contestants.iter().map(|contestant| contestant.name.clone()).collect());
            self.named = contestants;
        }
        self.expose(look);
    }

    /// How much of what is scored so far is valid; seconds in which a worker stands still are not, and count as wholly late.
    pub fn validity(&self) -> RoundValidity {
        let mut told = self.series.validity().counts();
        told.add(RoundValidity::unplayed(self.standing));
        told
    }

    /// The same of seconds that are closed, which do not change any more.
    pub fn closed_validity(&self) -> RoundValidity {
        self.series.validity().counts()
    }

    /// What of the newest second was sent in time; `None` in closed phases, and where nothing was due.
    pub fn rate_ratio(&self) -> Option<f64> {
        self.newest.as_ref().filter(|newest| newest.moment.state.open)?.all.rate_ratio()
    }

    /// Whether a worker stands still.
    pub fn stands_still(&self) -> bool {
        self.standing > 0
    }

    /// How many batches are on disk and not in Redis, where both are.
    pub fn note_backlog(&mut self, batches: Option<u64>) {
        self.backlog = batches;
    }

    /// Whether the scoreboard stands still, and why, where there is one.
    pub fn note_standstill(&mut self, standstill: Option<Option<String>>) {
        self.standstill = standstill;
    }

    /// Keeps a failing exchange that is the first of its kind.
    pub fn note_failure(&mut self, sample: FailureSample) {
        if self.samples.iter().all(|known| known.kind != sample.kind) {
            self.samples.push(sample);
        }
    }

    fn expose(&self, look: Look<'_>) {
        let Some(metrics) = &self.metrics else { return };
        let newest = self.newest.as_ref();
        let contestants = ContestantIndex::all().take(look.sums.scored.len()).map(|contestant| {
            let [scored, unscored] = look.sums.of(contestant);
            let latency = newest.and_then(|newest| newest.each.get(contestant.index())).map(|entry| entry.latency);
            Exposed {
                scored: Exposed::counts(scored),
                unscored: Exposed::counts(unscored),
                latency_us: latency.map_or([None; 4], |us| [us.p50(), us.p90(), us.p99(), us.p999()]),
                invalid_s: self.series.invalid_of(contestant),
            }
        });
        metrics.show(Snapshot {
            run_s: look.now.saturating_since(self.start) as f64 / NS_PER_SECOND as f64,
            contestants: contestants.collect(),
            invalid_s: self.series.invalid_s(),
            rate_ratio: self.rate_ratio(),
            lag_us: newest.and_then(|newest| newest.moment.lag_us).map(u64::from),
            busy: newest.and_then(|newest| newest.moment.busy).map(|busy| f64::from(busy) / 1e3),
            backlog: self.backlog,
            stands_still: self.standstill.as_ref().map(Option::is_some),
        });
    }

    /// The run is over: the live view goes, the last second is counted. `stopped`: it ended before its plan did.
    pub fn close(mut self, plan: &Arc<Plan>, progress: &Progress, stopped: bool) -> Closed {
        let look = Look::of(progress);
        let Output { series, newest, lines, start, .. } = &mut self;
        series.finish(look, |instant| State::at(plan, instant), |second| keep(second, plan, *start, newest, lines));
        self.expose(look);
        self.view.finish();
        let mut summary = Summary::of(plan, progress, stopped);
        summary.set_validity(&self.series, progress.sums.trouble);
        // The first of its kind may have been in a warm-up, and all that counts right.
        let is_counted = |sample: &FailureSample| summary.causes.iter().any(|cause| cause.kind == sample.kind);
        summary.samples = std::mem::take(&mut self.samples).into_iter().filter(is_counted).collect();
        let validity = self.series.validity();
        Closed { output: self, plan: plan.clone(), summary, validity }
    }
}

/// A run that is over, to be written.
#[derive(Debug)]
pub struct Closed {
    output: Output,
    plan: Arc<Plan>,
    pub summary: Summary,
    pub validity: Validity,
}

impl Closed {
    /// Writes everything that is written at the end, and the summary where standard output is free for it.
    pub fn write(self) -> Result<(), Failed> {
        let Closed { output, plan, summary, .. } = self;
        let flags = &output.flags;
        if let Some(path) = &flags.json {
            results::write_json(path, &summary)?;
        }
        if let Some(path) = &flags.report {
            let report = ReportPage {
                title: &output.title,
                plan: &plan,
                series: &output.series,
                summary: &summary,
                machine: &Machine::here(),
                command: &report::command_line(std::env::args()),
                started: rfc3339(plan.utc_us(output.start)),
            };
            let page = report.render().map_err(|error| Failed::Message(format!("the report: {error}")))?;
            results::write(path, page.as_bytes())?;
        }
        if !flags.quiet && !flags.takes_stdout() {
            results::print(format_args!("{summary}\n"))?;
        }
        output.lines.map_or(Ok(()), Lines::finish)
    }
}

/// Notes a second that is over.
fn keep(second: &Second<'_>, plan: &Plan, start: RunInstant, newest: &mut Option<Newest>, lines: &mut Option<Lines>) {
    *newest = Some(Newest { moment: second.moment, all: *second.all, each: second.each.to_vec() });
    if let Some(lines) = lines {
        lines.second(plan, start, second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::block::{Block, Counts};
    use crate::engine::clock::PlanInstant;
    use crate::engine::plan::{Load, Phase, Ramp};
    use crate::engine::ring::Features;
    use flowtest_contract::Tally;

    fn outputs(json: &str, report: &str, ndjson: &str) -> Outputs {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        Outputs { json: path(json), report: path(report), ndjson: path(ndjson), ..Outputs::default() }
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x").display().to_string();
        let nowhere = dir.path().join("no/such/folder").display().to_string();
        // (json, report, ndjson, part of the refusal; none: fine)
        let table = [
            ("-", "", "", None),
            ("", "", "-", None),
            (file.as_str(), "", "", None),
            ("-", "", "-", Some("both want standard output")),
            ("", "-", "", Some("wants a file")),
            (&file, &file, "", Some("named for two outputs")),
            (&nowhere, "", "", Some("cannot be written")),
            ("", &nowhere, "", Some("cannot be written")),
            ("", "", &nowhere, Some("cannot be written")),
        ];
        for (json, report, ndjson, refusal) in table {
            match (outputs(json, report, ndjson).prepare(), refusal) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
                (result, _) => panic!("{json} {report} {ndjson}: {result:?}"),
            }
        }
    }

    #[test]
    fn an_address_that_is_taken_is_refused_before_the_run() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let outputs = Outputs { metrics: taken.local_addr().ok(), ..Outputs::default() };
        assert!(outputs.prepare().unwrap_err().to_string().contains("cannot be taken"));
    }

    /// A run of one phase that has counted nothing yet.
    fn opened(load: Load, scored: bool, length_ms: u64) -> (Arc<Plan>, Output, Block) {
        let end = PlanInstant::from_ns(length_ms * NS_PER_SECOND / 1_000);
        let phase = Phase { start: PlanInstant::START, end, load, connections: 1, scored };
        let plan = Arc::new(Plan { phases: [phase].into(), ..Plan::default() });
        let flags = Outputs { quiet: true, ..Outputs::default() };
        let output = flags.prepare().and_then(|prepared| prepared.open(&plan, Title::Stress)).expect("it is opened");
        let sums = Block { scored: vec![Counts::default()], unscored: vec![Counts::default()], ..Block::default() };
        (plan, output, sums)
    }

    /// What a generator's health tells of a run of one phase, its seconds that are not valid and the ratio of the newest, and what
    /// the summary says of the same seconds. Each second has a thousand requests. `late`: how many of them are late from the second
    /// one on, and for how many microseconds its turns are.
    fn told(load: Load, scored: bool, length_ms: u64, late: (u64, u64)) -> ([u64; 2], Option<f64>) {
        let (plan, mut output, mut sums) = opened(load, scored, length_ms);
        let (mut at_ms, mut health) = (0, 0);
        while at_ms < length_ms {
            let step_ms = (length_ms - at_ms).min(1_000);
            let is_late = u64::from(at_ms > 0);
            at_ms += step_ms;
            let counts = if scored { &mut sums.scored[0] } else { &mut sums.unscored[0] };
            counts.row.tally = Tally { due: step_ms + counts.row.tally.due, ..counts.row.tally };
            counts.meter.late += late.0 * is_late;
            let now = RunInstant::from_ns(at_ms * NS_PER_SECOND / 1_000);
            let late_us = late.1 * is_late;
            output.show(&plan, Look { now, until: now, attended: now, sums: &sums, cpu_us: None, late_us });
            // As it is told while the run goes on, before anything is closed.
            health = output.validity().invalid_seconds();
        }
        let (now, ratio) = (RunInstant::from_ns(length_ms * NS_PER_SECOND / 1_000), output.rate_ratio());
        let features = Features { no_sqarray: true, min_wait: true };
        let progress = Progress { now, until: now, attended: now, sums, workers: Vec::new(), features };
        let closed = output.close(&plan, &progress, false);
        let summary = closed.summary.total.invalid_s.expect("it is known");
        ([health, summary], ratio)
    }

    #[test]
    fn health_and_summary_say_the_same_of_seconds_that_are_not_valid() {
        let (open, closed) = (Load::Open(Ramp::per_second(1_000, 1_000)), Load::Closed { pipeline: 1 });
        // A closed second whose turns were late is not valid, and has no ratio.
        assert_eq!(told(closed, true, 2_000, (0, 50_000)), ([1, 1], None));
        assert_eq!(told(closed, true, 2_000, (50, 0)), ([0, 0], None));
        // An open one by what was sent late.
        assert_eq!(told(open, true, 2_000, (20, 0)), ([1, 1], Some(0.98)));
        // A warm-up is not scored: nobody asks whether it was valid.
        assert_eq!(told(open, false, 2_000, (20, 0)), ([0, 0], Some(0.98)));
        // What is left of a second at the end belongs to the one before it.
        assert_eq!(told(open, true, 1_400, (5, 0)).0, [0, 0]);
    }

    #[test]
    fn a_second_in_which_a_worker_stands_is_told_as_late_all_through() {
        let (plan, mut output, sums) = opened(Load::Open(Ramp::per_second(1_000, 1_000)), true, 60_000);
        let at = |tenths: u64| RunInstant::from_ns(tenths * NS_PER_SECOND / 10);
        let look = |now, until| Look { now, until, attended: now, sums: &sums, cpu_us: None, late_us: 0 };
        output.show(&plan, look(at(590), at(590)));
        assert_eq!(output.validity(), RoundValidity { seconds: 59, valid_seconds: 59, ..RoundValidity::default() });
        // It tells nothing any more, and this may be the last word: one second of sixty is lost, and that is too much.
        output.show(&plan, Look { attended: at(590), ..look(at(605), at(590)) });
        let lost = RoundValidity { seconds: 60, valid_seconds: 59, late_ms: 1_000, ..RoundValidity::default() };
        assert!(output.validity() == lost && !lost.is_valid(), "{:?}", output.validity());
    }
}
