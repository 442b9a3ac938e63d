//! What a run amounts to: the JSON of `--json` and the summary for people, made from the same figures.

use crate::engine::block::{Block, Counts, rate_ratio};
use crate::engine::causes::OwnTrouble;
use crate::engine::clock::PlanInstant;
use crate::engine::cost::Costliest;
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{NS_PER_SECOND, Plan};
use crate::engine::run::{Progress, WorkerReport};
use crate::observe::failures::{self, CauseCount, FailureSample};
use crate::observe::house::House;
use crate::observe::series::{Series, Validity, ValidityFigures};
use crate::observe::wording;
use flowtest_contest::breakpoint::{Climber, Decision};
use flowtest_contest::ladder::{HoldVerdict, Unbroken};
use flowtest_contest::text::bounded;
use flowtest_contract::text::{grouped, micros, percent};
use flowtest_contract::{Histogram, Tally};
use flowtest_scoreboard::BusyWith;
use serde::Serialize;
use std::fmt::{self, Write as _};

/// Quantiles of a histogram in microseconds; null when nothing was recorded.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    pub p50: Option<u64>,
    pub p90: Option<u64>,
    pub p99: Option<u64>,
    pub p999: Option<u64>,
    pub max: Option<u64>,
}

impl Quantiles {
    pub fn of(histogram: &Histogram) -> Quantiles {
        Quantiles {
            p50: histogram.quantile(0.5),
            p90: histogram.quantile(0.9),
            p99: histogram.quantile(0.99),
            p999: histogram.quantile(0.999),
            max: histogram.max(),
        }
    }
}

/// Requests that were not right, by reason. The first three may overlap.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Failed {
    pub token: u64,
    pub version: u64,
    pub from: u64,
    pub timeout: u64,
    pub refused: u64,
    pub reset: u64,
    pub malformed: u64,
    pub status: u64,
    pub missed: u64,
    pub own_fault: u64,
    pub tls: u64,
}

impl Failed {
    fn of(tally: &Tally) -> Failed {
        Failed {
            token: tally.token_wrong,
            version: tally.version_wrong,
            from: tally.from_wrong,
            timeout: tally.timeout,
            refused: tally.refused,
            reset: tally.reset,
            malformed: tally.malformed,
            status: tally.status,
            missed: tally.missed,
            own_fault: tally.own_fault,
            tls: tally.tls,
        }
    }
}

/// The figures of one contestant, or of all together.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Requests that came due.
    pub requests: u64,
    /// Of these, handed to the kernel.
    pub sent: u64,
    /// All three headers right.
    pub verified: u64,
    pub failed: Failed,
    pub resent: u64,
    pub unsolicited: u64,
    pub points: i64,
    /// Length of what is scored, in seconds.
    pub duration_s: f64,
    /// Well-framed 2xx answers per second.
    pub rate: f64,
    /// Of open phases, the part of what was due that we sent in time; null without any.
    pub rate_ratio: Option<f64>,
    /// Scored seconds that are not valid.
    pub invalid_s: Option<u64>,
    /// The same by its name of 0.1; goes with 0.3.
    pub saturated_s: Option<u64>,
    /// From the intended instant.
    pub latency_us: Quantiles,
    /// From the actual send.
    pub service_us: Quantiles,
    pub bytes: u64,
}

impl Figures {
    fn of(counts: &Counts, plan: &Plan, duration_s: f64, open: bool) -> Figures {
        let tally = &counts.row.tally;
        Figures {
            requests: tally.due,
            sent: tally.sent,
            verified: counts.meter.verified,
            failed: Failed::of(tally),
            resent: tally.resent,
            unsolicited: tally.unsolicited,
            points: i64::try_from(tally.points(&plan.rules)).unwrap_or(i64::MAX),
            duration_s,
            rate: if duration_s > 0.0 { tally.responses() as f64 / duration_s } else { 0.0 },
            rate_ratio: rate_ratio(tally.due, tally.own_fault, &counts.meter).filter(|_| open),
            invalid_s: None,
            saturated_s: None,
            latency_us: Quantiles::of(&counts.row.latency),
            service_us: Quantiles::of(&counts.row.service),
            bytes: tally.bytes,
        }
    }

    fn set_invalid(&mut self, seconds: u64) {
        (self.invalid_s, self.saturated_s) = (Some(seconds), Some(seconds));
    }
}

/// One contestant's figures under its name.
#[derive(Clone, Debug, Serialize)]
pub struct ContestantFigures {
    pub name: String,
    pub endpoint: String,
    #[serde(flatten)]
    pub figures: Figures,
    /// Only where the plan has a breakpoint phase.
    #[serde(flatten)]
    pub climb: Option<Climb>,
}

/// What a breakpoint phase has found of a contestant.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Climb {
    /// Requests a second; 0: none.
    pub holds: u64,
    pub holds_p99_us: Option<u64>,
    /// The lowest rate that failed, and by what; null: none.
    pub breaks_at: Option<u64>,
    pub breaks_by: Option<HoldVerdict>,
    /// Why nothing broke; null where something did, or while it climbs.
    pub unbroken: Option<Unbroken>,
}

impl Climb {
    fn of(climber: &Climber) -> Climb {
        let Climber { holds, holds_p99_us, breaks_at, breaks_by, unbroken, .. } = *climber;
        Climb { holds, holds_p99_us, breaks_at, breaks_by, unbroken }
    }

    /// For a terminal.
    fn line(&self) -> String {
        let mut line = format!("holds {}/s", grouped(self.holds));
        if let Some(p99_us) = self.holds_p99_us {
            let _ = write!(line, " at a p99 of {}", micros(p99_us));
        }
        match (self.unbroken, self.breaks_at, self.breaks_by) {
            (Some(unbroken), ..) => {
                let _ = write!(line, "; unbroken: {}", unbroken.reason());
            }
            (None, Some(at), by) => {
                let by = if by == Some(HoldVerdict::FailedByP99) { "latency" } else { "wrong or missing answers" };
                let _ = write!(line, "; breaks at {}/s by {by}", grouped(at));
            }
            (None, None, _) => line.push_str("; has not broken yet"),
        }
        line
    }
}

/// CPU time of all workers per request, unscored ones included, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cpu {
    pub user_us_per_request: f64,
    pub system_us_per_request: f64,
    /// Those that had an outcome.
    pub requests: u64,
}

/// The whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    #[serde(flatten)]
    pub total: Figures,
    /// Our own send lag in open loop, in µs.
    pub lag_us: Quantiles,
    pub connections: u32,
    pub pipeline: u32,
    pub cores: Vec<usize>,
    /// Kernel features of the ring.
    pub features: Vec<&'static str>,
    /// What 0.1 said instead of the features; goes with 0.3.
    pub tier: &'static str,
    pub cpu: Cpu,
    pub workers: Vec<WorkerReport>,
    pub contestants: Vec<ContestantFigures>,
    /// Why requests were not right, the most frequent first.
    pub causes: Vec<CauseCount>,
    /// The first failing exchange of each kind, where they are kept.
    pub samples: Vec<FailureSample>,
    /// It was ended before its plan: the figures are of what was played until then.
    pub interrupted: bool,
    /// What of our own it was last that made seconds not valid or requests void; null where nothing did.
    pub own_fault_cause: Option<&'static str>,
    /// Whose exchanges filled the time of workers that never rested; null where they rested, or nothing was the matter.
    pub busy_with: Option<BusyWith>,
    /// Whether all this is what the plan asked for.
    #[serde(flatten)]
    pub validity: ValidityFigures,
    /// The platform's own losses, when there is a house target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub house: Option<House>,
}

impl Summary {
    /// `stopped`: the run ended before its plan did.
    pub fn of(plan: &Plan, progress: &Progress, stopped: bool) -> Summary {
        let sums = &progress.sums;
        let scored: Vec<_> = plan.phases.iter().filter(|phase| phase.scored).collect();
        // A run that ended before its plan lasted until its last exchange was settled.
        let is_cut = stopped || plan.requests.is_some();
        let ended = if is_cut { plan.schedule.plan_clock(sums.last) } else { PlanInstant::NEVER };
        let length: u64 = scored.iter().map(|phase| phase.end.min(ended).saturating_since(phase.start)).sum();
        let duration_s = length as f64 / NS_PER_SECOND as f64;
        let open = !scored.is_empty() && scored.iter().all(|phase| phase.load.is_open());
        let mut total = Counts::default();
        sums.scored.iter().for_each(|counts| total.merge(counts));
        let contestants = plan
            .contestants
            .iter()
            .zip(&sums.scored)
            .map(|(contestant, counts)| ContestantFigures {
                name: contestant.name.clone(),
                endpoint: contestant.endpoint.clone(),
                figures: Figures::of(counts, plan, duration_s, open),
                climb: None,
            })
            .collect();
        let requests = settled(sums);
        let (user, system) = progress
            .workers
            .iter()
            .fold((0, 0), |(user, system), worker| (user + worker.user_us, system + worker.system_us));
        let each = |us: u64| us as f64 / requests.max(1) as f64;
        Summary {
            total: Figures::of(&total, plan, duration_s, open),
            lag_us: Quantiles::of(&sums.lag),
            connections: plan.connections_max(),
            pipeline: plan.pipeline_max(),
            cores: progress.workers.iter().map(|worker| worker.core).collect(),
            features: progress.features.names(),
            tier: progress.features.letter(),
            cpu: Cpu { user_us_per_request: each(user), system_us_per_request: each(system), requests },
            workers: progress.workers.clone(),
            contestants,
            causes: failures::causes(plan, sums),
            samples: Vec::new(),
            interrupted: stopped,
            own_fault_cause: None,
            busy_with: busy_with(plan, sums),
            validity: ValidityFigures::new(&Validity::default()),
            house: House::of(plan, sums),
        }
    }

    /// Notes what only the seconds can say: how many were valid, and of open phases beside closed ones how they went.
    pub fn set_validity(&mut self, series: &Series, trouble: Option<OwnTrouble>) {
        let validity = series.validity();
        let trouble = trouble.filter(|_| !validity.counts().is_flawless());
        self.own_fault_cause = trouble.map(|trouble| wording::own_cause(trouble.cause));
        self.busy_with = self.busy_with.take().filter(|_| trouble.is_some());
        self.total.rate_ratio = self.total.rate_ratio.or(validity.rate_ratio());
        self.validity = ValidityFigures::new(&validity);
        self.total.set_invalid(series.invalid_s());
        for (index, contestant) in ContestantIndex::all().zip(&mut self.contestants) {
            contestant.figures.set_invalid(series.invalid_of(index));
        }
    }

    /// Notes what the last decision of a breakpoint phase says.
    pub fn set_climbs(&mut self, newest: &Decision) {
        for (contestant, climber) in self.contestants.iter_mut().zip(&newest.climbers) {
            contestant.climb = Some(Climb::of(climber));
        }
    }

    /// Whether the generator kept to its plan.
    pub fn is_valid(&self) -> bool {
        self.validity.valid
    }
}

/// Whose exchanges filled the time of workers that never rested.
pub fn busy_with(plan: &Plan, sums: &Block) -> Option<BusyWith> {
    let Costliest { contestant, time_percent, requests_percent } = sums.costliest()?;
    let contestant = plan.contestants.get(contestant)?.name.clone();
    Some(BusyWith { contestant, time_percent, requests_percent })
}

fn settled(sums: &Block) -> u64 {
    sums.scored.iter().chain(&sums.unscored).map(|counts| counts.row.tally.settled()).sum()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_contestants(f)?;
        self.write_totals(f)?;
        self.write_failures(f)?;
        self.write_times(f)?;
        self.write_validity(f)?;
        self.write_samples(f)?;
        let cores = self.cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        writeln!(
            f,
            "  cost       user {:.3} µs, system {:.3} µs per request; cores {cores}",
            self.cpu.user_us_per_request, self.cpu.system_us_per_request
        )?;
        write!(f, "  io_uring   {}", self.features.join(", "))
    }
}

impl Summary {
    fn write_contestants(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.contestants.len() > 1 {
            for contestant in &self.contestants {
                let figures = &contestant.figures;
                writeln!(
                    f,
                    "  {:<28} {:>12} requests  {:>11}/s  {:>14} points",
                    contestant.name,
                    grouped(figures.requests),
                    grouped(figures.rate as u64),
                    grouped(figures.points),
                )?;
            }
            writeln!(f)?;
        }
        for contestant in &self.contestants {
            if let Some(climb) = &contestant.climb {
                writeln!(f, "  {:<28} {}", contestant.name, climb.line())?;
            }
        }
        Ok(())
    }

    fn write_totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.total;
        if self.interrupted {
            let until = if total.requests == 0 { "before anything counted" } else { "before its plan ended" };
            writeln!(f, "  STOPPED {until}: the figures are of what was played until then")?;
        }
        writeln!(f, "  requests   {:>14}   in {:.2} s", grouped(total.requests), total.duration_s)?;
        writeln!(
            f,
            "  verified   {:>14}   {}  (all three headers right)",
            grouped(total.verified),
            percent(total.verified, total.requests)
        )?;
        writeln!(f, "  rate       {:>14}   answers per second", grouped(total.rate as u64))?;
        writeln!(f, "  points     {:>14}", grouped(total.points))
    }

    fn write_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.total;
        let failed = &total.failed;
        let wrong = [("token", failed.token), ("version", failed.version), ("from", failed.from)];
        let lost = [
            ("timeout", failed.timeout),
            ("refused", failed.refused),
            ("reset", failed.reset),
            ("malformed", failed.malformed),
            ("status", failed.status),
            ("tls", failed.tls),
            ("missed", failed.missed),
            ("own fault", failed.own_fault),
        ];
        write_counts(f, "wrong", &wrong)?;
        write_counts(f, "failed", &lost)?;
        if let Some(cause) = self.own_fault_cause {
            writeln!(f, "  our own    {:>14}   the last time {cause}", "")?;
        }
        if let Some(busy_with) = &self.busy_with {
            writeln!(f, "             {:>14}   {}", "", bounded(&busy_with.to_string(), LINE_BYTES_MAX))?;
        }
        for (cause, count) in failures::together(&self.causes).into_iter().take(CAUSES_SHOWN) {
            writeln!(f, "             {:>11}   {}", grouped(count), bounded(cause, LINE_BYTES_MAX))?;
        }
        write_counts(f, "also", &[("resent", total.resent), ("unsolicited", total.unsolicited)])
    }

    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.total;
        writeln!(f, "             {:>9} {:>9} {:>9} {:>9} {:>9}", "p50", "p90", "p99", "p99.9", "max")?;
        write_quantiles(f, "latency", &total.latency_us)?;
        write_quantiles(f, "service", &total.service_us)?;
        if let Some(ratio) = total.rate_ratio {
            write_quantiles(f, "lag", &self.lag_us)?;
            writeln!(f, "  rate_ratio {ratio:>14.5}   of what fell due was sent in time")?;
        }
        if let Some(ratio) = self.validity.closed_ratio {
            writeln!(f, "  on time    {ratio:>14.5}   of closed phases, no turn of a worker came late")?;
        }
        Ok(())
    }

    fn write_validity(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = format!("{} s", grouped(self.validity.valid_seconds));
        let word = if self.validity.valid { "" } else { "; NOT VALID: the generator was too slow for its plan" };
        writeln!(f, "  valid      {figure:>14}   of {}{word}", self.validity.scored())?;
        if let Some(house) = &self.house {
            // Taken away again where standard output is no terminal.
            let colour = if house.is_clean() { "\x1b[32m" } else { "\x1b[31m" };
            let figure = house.figure();
            writeln!(f, "  house      {colour}{figure:>14}\x1b[0m   the platform's own losses: {}", house.meaning())?;
        }
        Ok(())
    }

    fn write_samples(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sample in &self.samples {
            let line = |text: &str| bounded(text, LINE_BYTES_MAX);
            writeln!(f, "  first {} of {}: {}", sample.kind, line(&sample.contestant), line(&sample.message))?;
            writeln!(f, "    request    {}", line(&sample.request))?;
            writeln!(
                f,
                "    answer     {}",
                line(if sample.response.is_empty() { &sample.received } else { &sample.response })
            )?;
            writeln!(f, "    expected   {}", line(&sample.expected))?;
        }
        Ok(())
    }
}

/// Causes that people get to see; the JSON and the report have all.
const CAUSES_SHOWN: usize = 12;
/// Longest line of a failing exchange in the summary; the JSON and the report have all that was kept.
const LINE_BYTES_MAX: usize = 300;

fn write_counts(f: &mut fmt::Formatter<'_>, label: &str, counts: &[(&str, u64)]) -> fmt::Result {
    let mut line = String::new();
    for (name, count) in counts.iter().filter(|(_, count)| *count > 0) {
        write!(line, "{}{name} {}", if line.is_empty() { "" } else { ", " }, grouped(*count))?;
    }
    if line.is_empty() { Ok(()) } else { writeln!(f, "  {label:<10} {line}") }
}

fn write_quantiles(f: &mut fmt::Formatter<'_>, label: &str, quantiles: &Quantiles) -> fmt::Result {
    write!(f, "  {label:<10}")?;
    for value in [quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p999, quantiles.max] {
        write!(f, " {:>9}", value.map_or_else(|| "-".to_owned(), micros))?;
    }
    writeln!(f)
}

/// An instant of a run as clocks show it: minutes and seconds, and hours where there are some.
pub fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes:02}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock::RunInstant;
    use crate::engine::plan::{Load, Phase};
    use crate::engine::ring::Features;
    use crate::engine::schedule::{Gap, Schedule};
    use crate::engine::share::Share;
    use flowtest_contract::rules::{Deadlines, UtcUs};
    use std::sync::Arc;

    #[test]
    fn a_round_that_is_stopped_after_a_pause_lasted_as_long_as_it_was_played() {
        let at = |second: u64| RunInstant::from_ns(second * NS_PER_SECOND);
        let (pause, share) = (Gap { from: at(3), to: at(8) }, (RunInstant::START, Share::WHOLE));
        let schedule = Schedule::new(vec![(UtcUs::EPOCH, Deadlines::default())], vec![pause], at(10), vec![share]);
        let start = PlanInstant::START + NS_PER_SECOND;
        let load = Load::Closed { pipeline: 1 };
        let phase = Phase { start, end: start + 20 * NS_PER_SECOND, load, connections: 1, scored: true };
        let plan = Plan { schedule: Arc::new(schedule), phases: [phase].into(), ..Plan::default() };
        let sums = Block { last: at(10), ..Block::default() };
        let features = Features { no_sqarray: true, min_wait: true };
        let progress = Progress { now: at(11), until: at(11), attended: at(0), sums, workers: Vec::new(), features };
        assert_eq!(Summary::of(&plan, &progress, true).total.duration_s, 4.0);
    }

    #[test]
    fn how_long_seconds_were_late_stands_beside_them() {
        let (plan, sums) = (Plan::default(), Block::default());
        let at = RunInstant::START;
        let features = Features { no_sqarray: true, min_wait: true };
        let progress = Progress { now: at, until: at, attended: at, sums, workers: Vec::new(), features };
        let mut summary = Summary::of(&plan, &progress, false);
        let late = ValidityFigures { valid: false, closed_ratio: None, seconds: 60, valid_seconds: 59, late_ms: 1_000 };
        for (figures, line) in [
            (late, "59 s   of 60 scored seconds, which were late for 1,000 ms in all; NOT VALID: "),
            (ValidityFigures { valid: true, valid_seconds: 60, late_ms: 0, ..late }, "60 s   of 60 scored seconds\n"),
        ] {
            summary.validity = figures;
            assert!(summary.to_string().contains(line), "{summary}");
            assert_eq!(serde_json::to_value(&summary).expect("JSON")["late_ms"], figures.late_ms);
        }
    }

    #[test]
    fn an_instant_is_written_as_clocks_show_it() {
        assert_eq!([0, 61, 3_600].map(clock), ["00:00", "01:01", "1:00:00"]);
    }
}
