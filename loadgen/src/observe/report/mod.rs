//! `--report`: a run on one page, to be read without a network, with or without scripts. It has none.
//!
//! The page's words and shape are templates; what they show is made here, its lines and areas in [`geometry`]. Names and
//! endpoints come from strangers: only the templates write them, and those escape. Nothing is loaded from anywhere, so
//! the page works under `default-src 'none'; style-src 'unsafe-inline'`.

mod curves;
pub mod geometry;
mod machine;
mod table;
mod words;

use flowtest_contract::rules::UtcUs;
pub use machine::{Machine, command_line};

use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{NS_PER_SECOND, Plan};
use crate::observe::failures::FailureSample;
use crate::observe::house::House;
use crate::observe::series::{Series, thinned};
use crate::observe::summary::{ContestantFigures, Figures, Quantiles, Summary, clock};
use crate::observe::title::Title;
use crate::observe::wording;
use curves::Timeline;
use flowtest_contract::text::{grouped, micros, percent};
use sailfish::{RenderError, TemplateSimple};

/// Columns of a chart for all contestants together, and of one contestant's.
const COLUMNS_ALL: usize = 480;
const COLUMNS_EACH: usize = 240;
/// Columns of all contestants' charts together, so that a page about hundreds of them stays a few megabytes.
const COLUMNS_SUM: usize = 12_000;
const COLUMNS_LEAST: usize = 40;
/// Rows of the tables that say what the curves say.
const ROWS_ALL: usize = 360;
const ROWS_EACH: usize = 60;

/// Rows of the table of causes; the most frequent come first.
const CAUSES_MAX: usize = 200;

/// All that a page is made from.
#[derive(Debug)]
pub struct ReportPage<'a> {
    pub title: &'a Title,
    pub plan: &'a Plan,
    pub series: &'a Series,
    pub summary: &'a Summary,
    pub machine: &'a Machine,
    /// As [`command_line`] writes it.
    pub command: &'a str,
    /// RFC 3339.
    pub started: String,
}

struct Figure {
    name: &'static str,
    value: String,
    more: String,
}

struct StandingsLine<'a> {
    place: usize,
    index: usize,
    name: &'a str,
    cells: Vec<String>,
}

struct QuantileRow {
    name: &'static str,
    cells: Vec<String>,
}

struct Card<'a> {
    index: usize,
    name: &'a str,
    endpoint: &'a str,
    message: String,
    charts: Vec<String>,
    seconds: String,
}

#[derive(TemplateSimple)]
#[template(path = "report.stpl")]
struct Page<'a> {
    style: &'static str,
    title: String,
    kind: &'static str,
    started: &'a str,
    length: String,
    valid: bool,
    open: bool,
    merged: bool,
    figures: Vec<Figure>,
    standings: Vec<StandingsLine<'a>>,
    /// What of our own it was, where something was the matter.
    own: Option<String>,
    house: Option<House>,
    charts: Vec<String>,
    seconds: String,
    reasons: Vec<(&'static str, String)>,
    causes: Vec<(String, String, String)>,
    samples: &'a [FailureSample],
    rules: Vec<(&'static str, String)>,
    quantiles: Vec<QuantileRow>,
    place: Vec<(&'static str, String)>,
    command: &'a str,
    contestants: Vec<Card<'a>>,
}

impl ReportPage<'_> {
    /// The page as XHTML-shaped HTML5.
    pub fn render(&self) -> Result<String, RenderError> {
        let (plan, series, summary) = (self.plan, self.series, self.summary);
        let start = plan.schedule.run_clock(plan.start());
        let timeline = Timeline::new(plan, start, series.moments());
        let (moments, entries) = thinned(series.moments(), series.all(), COLUMNS_ALL);
        let mut charts = curves::render("all", &timeline, &moments, &entries)?;
        charts.extend(curves::busy(&timeline, &moments)?);
        let total = &summary.total;
        let deadlines = plan.schedule.deadlines(UtcUs::MAX);
        Page {
            style: include_str!("../../../templates/report.css"),
            title: self.heading(),
            kind: match self.title {
                Title::Stress => "stress",
                Title::Contest(_) => "contest",
            },
            started: &self.started,
            length: format!("{:.1} s scored", total.duration_s),
            valid: summary.is_valid(),
            open: total.rate_ratio.is_some(),
            merged: series.width_s() > 1,
            figures: self.figures(),
            standings: self.standings(),
            own: summary.own_fault_cause.map(|cause| wording::with_who(cause, summary.busy_with.as_ref())),
            house: summary.house,
            charts,
            seconds: table::render(plan, series.moments(), series.all(), ROWS_ALL)?,
            reasons: reasons(total),
            causes: self.causes(),
            samples: &summary.samples,
            rules: words::rules(&plan.rules, deadlines.version, deadlines.from),
            quantiles: self.quantiles(),
            place: self.place(),
            command: self.command,
            contestants: self.cards(&timeline)?,
        }
        .render_once()
    }

    fn heading(&self) -> String {
        match (self.title, &self.summary.contestants[..]) {
            (Title::Contest(name), _) => name.clone(),
            (Title::Stress, [only]) => only.endpoint.clone(),
            (Title::Stress, all) => format!("{} endpoints", all.len()),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let total = &self.summary.total;
        let latency = total.latency_us;
        let figure = |name, value, more| Figure { name, value, more };
        let mut figures = vec![
            figure("points", grouped(total.points), "of what is scored".to_owned()),
            figure("requests", grouped(total.requests), "came due".to_owned()),
            figure("verified", percent(total.verified, total.requests), "token, version and from".to_owned()),
            figure("answered", format!("{}/s", grouped(total.rate as u64)), "well-framed 2xx".to_owned()),
            figure("latency p99", us(latency.p99), format!("p50 {}", us(latency.p50))),
        ];
        let validity = &self.summary.validity;
        figures.push(figure(
            "validity",
            if validity.valid { "valid" } else { "NOT VALID" }.to_owned(),
            format!("{} of {}", grouped(validity.valid_seconds), validity.scored()),
        ));
        if let Some(ratio) = total.rate_ratio {
            figures.push(figure(
                "rate_ratio",
                format!("{ratio:.4}"),
                format!("not valid {} s", total.invalid_s.unwrap_or(0)),
            ));
            let lag = self.summary.lag_us;
            figures.push(figure("lag p99", us(lag.p99), format!("max {}", us(lag.max))));
        } else {
            let cpu = self.summary.cpu;
            let sum = cpu.user_us_per_request + cpu.system_us_per_request;
            figures.push(figure(
                "cost",
                format!("{sum:.2} µs"),
                format!("CPU per request, {:.2} µs user", cpu.user_us_per_request),
            ));
        }
        figures
    }

    /// Whose, how often, and why.
    fn causes(&self) -> Vec<(String, String, String)> {
        let causes = self.summary.causes.iter();
        causes
            .map(|cause| (cause.contestant.clone(), grouped(cause.count), cause.cause.clone()))
            .take(CAUSES_MAX)
            .collect()
    }

    fn standings(&self) -> Vec<StandingsLine<'_>> {
        let mut order: Vec<(usize, &ContestantFigures)> = self.summary.contestants.iter().enumerate().collect();
        order.sort_by_key(|(index, contestant)| (std::cmp::Reverse(contestant.figures.points), *index));
        let rows = order.into_iter().enumerate().map(|(place, (index, contestant))| StandingsLine {
            place: place + 1,
            index,
            name: &contestant.name,
            cells: cells(&contestant.figures),
        });
        rows.collect()
    }

    fn quantiles(&self) -> Vec<QuantileRow> {
        let row = |name, quantiles: &Quantiles| {
            let all = [quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p999, quantiles.max];
            QuantileRow { name, cells: all.map(us).into() }
        };
        let summary = self.summary;
        let mut rows = vec![row("latency", &summary.total.latency_us), row("service", &summary.total.service_us)];
        if summary.total.rate_ratio.is_some() {
            rows.push(row("lag", &summary.lag_us));
        }
        rows
    }

    fn place(&self) -> Vec<(&'static str, String)> {
        let (machine, summary) = (self.machine, self.summary);
        let used = summary.cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let load = format!("{} connections each, {} in flight on each", summary.connections, summary.pipeline);
        vec![
            ("Generator", format!("flowtest-loadgen {}", env!("CARGO_PKG_VERSION"))),
            ("CPU", machine.cpu.clone()),
            ("Cores", format!("{}, workers on {used}", machine.cores)),
            ("Memory", machine.memory.clone()),
            ("Kernel", machine.kernel.clone()),
            ("io_uring", summary.features.join(", ")),
            ("Load", load),
            ("Started", self.started.clone()),
            ("Planned", clock((self.plan.end() - self.plan.start()) / NS_PER_SECOND)),
        ]
    }

    fn cards(&self, timeline: &Timeline) -> Result<Vec<Card<'_>>, RenderError> {
        let contestants = &self.summary.contestants;
        if contestants.len() < 2 {
            return Ok(Vec::new());
        }
        let columns = (COLUMNS_SUM / contestants.len()).clamp(COLUMNS_LEAST, COLUMNS_EACH);
        let mut cards = Vec::with_capacity(contestants.len());
        for (index, contestant) in ContestantIndex::all().zip(contestants) {
            let (moments, entries) = thinned(self.series.moments(), self.series.of(index), columns);
            let charts = curves::render(&contestant.name, timeline, &moments, &entries)?;
            let rows = ROWS_EACH.min(columns);
            let seconds = table::render(self.plan, self.series.moments(), self.series.of(index), rows)?;
            let figures = &contestant.figures;
            let message = format!(
                "{} points; {} requests, {} verified; latency p50 {}, p99 {}",
                grouped(figures.points),
                grouped(figures.requests),
                percent(figures.verified, figures.requests),
                us(figures.latency_us.p50),
                us(figures.latency_us.p99)
            );
            cards.push(Card {
                index: index.index(),
                name: &contestant.name,
                endpoint: &contestant.endpoint,
                message,
                charts,
                seconds,
            });
        }
        Ok(cards)
    }
}

fn us(value: Option<u64>) -> String {
    value.map_or_else(|| "–".to_owned(), micros)
}

fn cells(figures: &Figures) -> Vec<String> {
    let failed = &figures.failed;
    let failures = failed.timeout + failed.refused + failed.reset + failed.malformed + failed.status + failed.tls;
    let answered = figures.requests.saturating_sub(failures + failed.missed + failed.own_fault);
    let counts = [
        figures.requests,
        figures.verified,
        answered.saturating_sub(figures.verified),
        failures,
        failed.missed,
        failed.own_fault,
    ];
    let mut cells = vec![grouped(figures.points)];
    cells.extend(counts.map(grouped));
    cells.extend([us(figures.latency_us.p50), us(figures.latency_us.p99)]);
    if let Some(ratio) = figures.rate_ratio {
        cells.push(format!("{ratio:.4}"));
        cells.push(format!("{} s", figures.invalid_s.unwrap_or(0)));
    }
    cells
}

fn reasons(total: &Figures) -> Vec<(&'static str, String)> {
    let failed = &total.failed;
    let table = [
        ("wrong Token", failed.token),
        ("wrong Version", failed.version),
        ("wrong From", failed.from),
        ("timeout", failed.timeout),
        ("refused", failed.refused),
        ("reset", failed.reset),
        ("malformed", failed.malformed),
        ("status not 2xx", failed.status),
        ("TLS", failed.tls),
        ("missed", failed.missed),
        ("our own fault", failed.own_fault),
    ];
    let share = |count| {
        if count == 0 { "0".to_owned() } else { format!("{} · {}", grouped(count), percent(count, total.requests)) }
    };
    table.map(|(name, count)| (name, share(count))).into()
}

#[cfg(test)]
mod tests;
