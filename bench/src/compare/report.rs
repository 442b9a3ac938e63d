//! What was measured, as a Markdown table for BENCHMARKS.md and as JSON.

use super::paired::{Pairs, Sample, Spread};
use crate::machine::Machine;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct CompareReport {
    pub machine: Machine,
    pub rows: Vec<Comparison>,
    pub claims: Vec<Claim>,
    pub left_out: Vec<String>,
}

/// Ours against theirs.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub what: String,
    pub ours: String,
    pub theirs: String,
    /// The least ratio that is acceptable (BENCHMARKS.md, "Bounds").
    pub must: Option<f64>,
    pub rate: Option<Versus>,
    /// CPU time per request of both generators (user and system) and of both servers, in µs.
    pub generator_cpu_us: Option<Versus>,
    pub server_cpu_us: Option<Versus>,
    /// Calls into the ring per request, of ours alone.
    pub enters: Option<Spread>,
    pub failed: Option<String>,
    pub pairs: Pairs,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Versus {
    pub ours: Spread,
    pub theirs: Spread,
    pub ratio: Spread,
}

/// A figure of ours with a bound of its own.
#[derive(Debug, Serialize)]
pub struct Claim {
    pub what: String,
    pub unit: &'static str,
    pub value: Option<Spread>,
    pub must: Bound,
    pub reached: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    Min(f64),
    Max(f64),
    /// It is told and nothing is asked of it.
    None,
}

impl Bound {
    /// Whether it is reached, where anything is asked.
    fn holds(self, value: f64) -> Option<bool> {
        match self {
            Bound::Min(least) => Some(value >= least),
            Bound::Max(most) => Some(value <= most),
            Bound::None => None,
        }
    }

    fn to_text(self) -> String {
        match self {
            Bound::Min(least) => format!("≥ {}", number(least)),
            Bound::Max(most) => format!("≤ {}", number(most)),
            Bound::None => String::new(),
        }
    }
}

impl CompareReport {
    pub fn new() -> CompareReport {
        CompareReport { machine: Machine::here(), rows: Vec::new(), claims: Vec::new(), left_out: Vec::new() }
    }

    pub fn claim(
        &mut self,
        what: String,
        unit: &'static str,
        samples: &[Sample],
        value: impl Fn(&Sample) -> Option<f64>,
        must: Bound,
    ) {
        self.claim_values(what, unit, samples.iter().filter_map(value), must);
    }

    pub fn claim_values(
        &mut self,
        what: String,
        unit: &'static str,
        values: impl IntoIterator<Item = f64>,
        must: Bound,
    ) {
        let value = Spread::of(values);
        let reached = value.and_then(|value| must.holds(value.median));
        self.claims.push(Claim { what, unit, value, must, reached });
    }

    pub fn to_markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.machine.to_markdown());
        text.push_str(
            "| what | ours | theirs | ours, 1/s | theirs, 1/s | ratio (min..max) | must | generator CPU µs | server CPU µs | enters |\n\
             |---|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for row in &self.rows {
            text.push_str(&row.to_markdown());
            text.push('\n');
        }
        if !self.claims.is_empty() {
            text.push_str("\n| what | measured (min..max) | must | |\n|---|---:|---:|---|\n");
            for claim in &self.claims {
                let value = claim.value.map_or("not told".into(), |value| format!("{} {}", spread(value), claim.unit));
                let is_only_told = claim.must == Bound::None && claim.value.is_some();
                let word = if is_only_told { "" } else { reached(claim.reached) };
                text.push_str(&format!("| {} | {} | {} | {word} |\n", claim.what, value.trim(), claim.must.to_text()));
            }
        }
        if !self.left_out.is_empty() {
            text.push_str(&format!("\nLeft out: {}.\n", self.left_out.join("; ")));
        }
        text
    }
}

impl Default for CompareReport {
    fn default() -> CompareReport {
        CompareReport::new()
    }
}

impl Comparison {
    pub fn ratio(what: String, ours: &str, theirs: &str, must: Option<f64>) -> Comparison {
        Comparison {
            what,
            ours: ours.into(),
            theirs: theirs.into(),
            must,
            rate: None,
            generator_cpu_us: None,
            server_cpu_us: None,
            enters: None,
            failed: None,
            pairs: Pairs::default(),
        }
    }

    pub fn measured(&mut self, pairs: Pairs) {
        self.rate = Versus::of(&pairs, |sample| sample.rate);
        self.generator_cpu_us = Versus::of(&pairs, |sample| sample.generator_user_us + sample.generator_system_us);
        self.server_cpu_us = Versus::of(&pairs, |sample| sample.server_cpu_us);
        self.enters = Spread::of(pairs.ours.iter().filter_map(|sample| sample.enters));
        self.pairs = pairs;
    }

    pub fn reached(&self) -> Option<bool> {
        Some(self.rate?.ratio.median >= self.must?)
    }

    pub fn in_short(&self) -> String {
        match self.rate {
            Some(rate) => format!(
                "{} to {} requests/s, ratio {}",
                number(rate.ours.median),
                number(rate.theirs.median),
                spread(rate.ratio)
            ),
            None => "no ratio: one side answered nothing".into(),
        }
    }

    fn to_markdown(&self) -> String {
        let head = format!("| {} | {} | {} |", self.what, self.ours, self.theirs);
        let (Some(rate), None) = (self.rate, &self.failed) else {
            let why = self.failed.as_deref().unwrap_or("one side answered nothing");
            return format!("{head} failed: {} | | | | | | |", why.replace('|', "/"));
        };
        let must = match (self.must, self.reached()) {
            (Some(must), met) => format!("{} {}", number(must), reached(met)),
            (None, _) => String::new(),
        };
        let cpu = |versus: Option<Versus>| {
            versus.map_or(String::new(), |v| format!("{:.2} / {:.2}", v.ours.median, v.theirs.median))
        };
        format!(
            "{head} {} | {} | {} | {must} | {} | {} | {} |",
            number(rate.ours.median),
            number(rate.theirs.median),
            spread(rate.ratio),
            cpu(self.generator_cpu_us),
            cpu(self.server_cpu_us),
            self.enters.map_or(String::new(), |enters| format!("{:.2}", enters.median))
        )
    }
}

impl Versus {
    fn of(pairs: &Pairs, value: impl Fn(&Sample) -> f64 + Copy) -> Option<Versus> {
        Some(Versus {
            ours: Spread::of(pairs.ours.iter().map(value))?,
            theirs: Spread::of(pairs.theirs.iter().map(value))?,
            ratio: pairs.ratio(value)?,
        })
    }
}

fn reached(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "reached",
        Some(false) => "**missed**",
        None => "not measured",
    }
}

fn spread(spread: Spread) -> String {
    format!("{} ({}..{})", number(spread.median), number(spread.min), number(spread.max))
}

/// As many digits as a measurement deserves.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        1e6.. => format!("{:.2} M", value / 1e6),
        1e4.. => format!("{:.1} k", value / 1e3),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ if value > 0.99 && value < 1.0 => format!("{value:.5}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_the_digits_that_matter() {
        let cases =
            [(1_834_000.0, "1.83 M"), (181_234.0, "181.2 k"), (512.3, "512"), (0.999_91, "0.99991"), (1.5, "1.50")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_row_says_whether_it_reached_its_must() {
        let sample = |rate| Sample { rate, generator_user_us: 0.5, ..Sample::default() };
        let mut row = Comparison::ratio("rate".into(), "ours", "wrk", Some(1.5));
        row.measured(Pairs { ours: vec![sample(160.0)], theirs: vec![sample(100.0)] });
        assert_eq!(row.reached(), Some(true));
        row.must = Some(2.0);
        assert!(row.to_markdown().contains("**missed**"), "{}", row.to_markdown());
        row.failed = Some("wrk | broke".into());
        assert!(row.to_markdown().contains("failed: wrk / broke"), "{}", row.to_markdown());
    }

    #[test]
    fn every_line_of_a_table_has_as_many_cells_as_its_head() {
        let mut report = CompareReport::new();
        let mut row = Comparison::ratio("rate".into(), "ours", "wrk", None);
        row.measured(Pairs { ours: vec![Sample { rate: 1.0, ..Sample::default() }], theirs: vec![Sample::default()] });
        report.rows.push(row);
        let mut row = Comparison::ratio("rate".into(), "ours", "oha", Some(2.0));
        row.measured(Pairs {
            ours: vec![Sample { rate: 2.0, ..Sample::default() }; 2],
            theirs: vec![Sample { rate: 1.0, ..Sample::default() }; 2],
        });
        report.rows.push(row);
        let text = report.to_markdown();
        let cells: Vec<usize> =
            text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
        assert!(cells.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
