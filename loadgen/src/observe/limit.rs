//! What `limit` tells: a line for each step, a sentence at the end, JSON, and a page with the curve of latency over rate.

use crate::Failed;
use flowtest_contest::ladder::{Found, HoldVerdict, Pass, Trial, Unbroken};
use flowtest_contract::text::{grouped, micros, percent, percent_of_one};
use sailfish::TemplateSimple;
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// Connections of a step at the most: what the descriptors and ports of one machine surely allow.
pub const CONNECTIONS_MOST: u32 = 8_192;

/// One rate that was held.
#[derive(Clone, Debug, Serialize)]
pub struct LimitStep {
    /// Requests a second.
    pub rate: u64,
    pub trial: Trial,
    pub connections: u32,
    pub verdict: HoldVerdict,
    /// Requests that fell due in the hold, those that were verified, and those that count for nobody.
    pub due: u64,
    pub verified: u64,
    pub own_fault: u64,
    /// From the intended instant, in microseconds; null where nothing was answered.
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    /// Our own side kept to its plan.
    pub valid: bool,
}

/// The whole climb.
#[derive(Clone, Debug, Serialize)]
pub struct LimitResult {
    pub url: String,
    pub pass: Pass,
    /// How long a step was judged, in seconds.
    pub hold_s: f64,
    /// Requests a second that were held; 0: none.
    pub holds: u64,
    /// The lowest rate that failed, and by what; null: none.
    pub breaks_at: Option<u64>,
    pub breaks_by: Option<HoldVerdict>,
    /// Why nothing broke, or, beside `breaks_at`, why what lies below that was not tried; null where something broke.
    pub unbroken: Option<Unbroken>,
    /// It was ended by hand, or a step could not be played.
    pub interrupted: bool,
    /// Connections of a step at the most.
    pub connections_most: u32,
    pub steps: Vec<LimitStep>,
}

impl LimitStep {
    /// One line for a terminal.
    pub fn line(&self) -> String {
        let quantile = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), micros);
        format!(
            "  {:>11}/s  {:>5} connections  {:>10} verified   p50 {:>10}   p99 {:>10}   {}\n",
            grouped(self.rate),
            grouped(self.connections),
            percent(self.verified, self.due.saturating_sub(self.own_fault)),
            quantile(self.p50_us),
            quantile(self.p99_us),
            self.verdict_in_words()
        )
    }

    pub fn verdict_in_words(&self) -> &'static str {
        match (self.verdict, self.trial) {
            (HoldVerdict::Passed, Trial::Confirm) => "held again",
            (HoldVerdict::Passed, _) => "passed",
            (HoldVerdict::FailedByVerified, _) => "FAILED: too few are verified",
            (HoldVerdict::FailedByP99, _) => "FAILED: too slow",
            (HoldVerdict::NotValid, _) => "not valid: this machine was too slow",
            (HoldVerdict::Rested, _) => "a rest",
        }
    }
}

impl LimitResult {
    pub fn new(url: String, pass: Pass, hold: Duration) -> LimitResult {
        LimitResult {
            url,
            pass,
            hold_s: hold.as_secs_f64(),
            holds: 0,
            breaks_at: None,
            breaks_by: None,
            unbroken: None,
            interrupted: false,
            connections_most: CONNECTIONS_MOST,
            steps: Vec::new(),
        }
    }

    pub fn found(&mut self, found: Found) {
        self.holds = found.holds;
        (self.breaks_at, self.breaks_by) = found.broke.unzip();
        self.unbroken = found.unbroken;
    }

    /// Whether it was the server that decided, or the highest step.
    pub fn is_found(&self) -> bool {
        !self.interrupted && matches!(self.unbroken, None | Some(Unbroken::Max))
    }

    pub fn heading(&self) -> String {
        format!("{}: climbs while {}, each step for {} s\n", self.url, self.terms(), self.hold_s)
    }

    fn terms(&self) -> String {
        let verified = percent_of_one(self.pass.verified);
        format!("{verified} are verified and p99 is at most {}", micros(self.pass.p99_us))
    }

    /// What came of it.
    pub fn message(&self) -> String {
        let mut text = match self.holds {
            0 => format!("holds no rate at which {}", self.terms()),
            holds => format!("holds {}/s while {}", grouped(holds), self.terms()),
        };
        if let (Some(at), Some(by)) = (self.breaks_at, self.breaks_by) {
            let by = if by == HoldVerdict::FailedByP99 { "latency" } else { "wrong or missing answers" };
            let breaks = if self.unbroken.is_some() || self.interrupted { "failed" } else { "breaks" };
            let _ = write!(text, "; {breaks} at {}/s by {by}", grouped(at));
            let carried = self.pass.carried(self.connections_most);
            if at > carried {
                let (most, carried) = (grouped(self.connections_most), grouped(carried));
                let _ = write!(
                    text,
                    " over {most} connections, which are enough for every server up to {carried}/s: one whose answers take \
                     long for the way may hold more"
                );
            }
        }
        match self.unbroken {
            Some(Unbroken::Max) => text.push_str("; did not break: raise --max to climb on"),
            Some(Unbroken::Generator) if self.breaks_at.is_some() => {
                text.push_str(
                    "; the search was ended: this machine is the limit, give it more --cores or a machine of its own",
                );
            }
            Some(Unbroken::Generator) => {
                text.push_str("; not broken: this machine is the limit, give it more --cores or a machine of its own");
            }
            Some(Unbroken::Connections) => {
                let most = grouped(self.connections_most);
                let _ = write!(text, "; not broken: {most} connections carry no more of answers that take so long");
            }
            Some(Unbroken::Time) => {
                let _ = write!(text, "; not broken: {}", Unbroken::Time.reason());
            }
            None => {}
        }
        if self.interrupted {
            text.push_str("; ended before it was over");
        }
        text.push('\n');
        text
    }
}

/// The curve: size of its box, and room for the labels.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 40.0;
const BOTTOM: f64 = 40.0;

/// One step as a point of the curve.
#[derive(Debug)]
struct Point {
    x: f64,
    y: f64,
    /// A class of the page's style.
    kind: &'static str,
    title: String,
}

/// A mark on an axis.
#[derive(Debug)]
struct Tick {
    at: f64,
    text: String,
}

/// The page: one file, no script, nothing from elsewhere.
#[derive(Debug, TemplateSimple)]
#[template(path = "limit.stpl")]
pub struct LimitPage<'a> {
    result: &'a LimitResult,
    message: String,
    points: Vec<Point>,
    line: String,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    /// Where the p99 lies that was allowed.
    allowed: f64,
}

impl LimitPage<'_> {
    pub fn new(result: &LimitResult) -> LimitPage<'_> {
        let judged: Vec<&LimitStep> = result.steps.iter().filter(|step| step.p99_us.is_some()).collect();
        let most_rate = judged.iter().map(|step| step.rate).max().unwrap_or(1).max(1) as f64;
        let latencies = judged.iter().filter_map(|step| step.p99_us).chain([result.pass.p99_us]);
        let (least_us, most_us) =
            latencies.fold((f64::MAX, 1.0_f64), |(least, most), us| (least.min(us as f64), most.max(us as f64)));
        // Latency over three powers of ten and more: a logarithmic scale, from power to power.
        let (low, high) = (least_us.max(1.0).log10().floor(), most_us.log10().ceil().max(1.0));
        let x = |rate: f64| LEFT + rate / most_rate * (WIDTH - LEFT - RIGHT);
        let y = |us: f64| {
            let part = (us.max(1.0).log10() - low) / (high - low).max(1.0);
            HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - 20.0)
        };
        let point = |step: &&LimitStep| Point {
            x: x(step.rate as f64),
            y: y(step.p99_us.unwrap_or(1) as f64),
            kind: match step.verdict {
                HoldVerdict::Passed => "passed",
                HoldVerdict::FailedByP99 | HoldVerdict::FailedByVerified => "failed",
                HoldVerdict::NotValid | HoldVerdict::Rested => "rested",
            },
            title: format!(
                "{}/s: p99 {}, {}",
                grouped(step.rate),
                step.p99_us.map_or_else(String::new, micros),
                step.verdict_in_words()
            ),
        };
        let mut climbed: Vec<&&LimitStep> = judged.iter().filter(|step| step.verdict != HoldVerdict::Rested).collect();
        climbed.sort_by_key(|step| step.rate);
        let line =
            climbed.iter().map(|step| format!("{:.1},{:.1}", x(step.rate as f64), y(step.p99_us.unwrap_or(1) as f64)));
        LimitPage {
            message: result.message(),
            line: line.collect::<Vec<_>>().join(" "),
            points: judged.iter().map(point).collect(),
            x_ticks: (0..=5)
                .map(|part| most_rate * f64::from(part) / 5.0)
                .map(|rate| Tick { at: x(rate), text: format!("{}/s", grouped(rate as u64)) })
                .collect(),
            y_ticks: (low as i32..=high as i32)
                .map(|power| 10_f64.powi(power))
                .map(|us| Tick { at: y(us), text: power_of_ten(us as u64) })
                .collect(),
            allowed: y(result.pass.p99_us as f64),
            result,
        }
    }

    /// # Errors
    /// What keeps the page from being made.
    pub fn render(self) -> Result<String, Failed> {
        self.render_once().map_err(|error| Failed::Message(format!("the report cannot be made: {error}")))
    }
}

fn power_of_ten(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> LimitResult {
        let step = |rate, verdict, p99_us| LimitStep {
            rate,
            trial: Trial::Climb,
            connections: 64,
            verdict,
            due: rate * 5,
            verified: rate * 5,
            own_fault: 0,
            p50_us: p99_us,
            p99_us,
            valid: true,
        };
        let mut result = LimitResult::new(
            "http://127.0.0.1:1/<b>".to_owned(),
            Pass { verified: 0.995, p99_us: 50_000 },
            Duration::from_secs(5),
        );
        result.steps =
            vec![step(1_000, HoldVerdict::Passed, Some(900)), step(1_250, HoldVerdict::FailedByP99, Some(90_000))];
        result.found(Found { holds: 1_000, broke: Some((1_250, HoldVerdict::FailedByP99)), unbroken: None });
        result
    }

    #[test]
    fn what_must_be_verified_reads_as_it_was_written() {
        let pass = Pass { verified: 0.55, p99_us: 50_000 };
        assert_eq!(LimitResult { pass, ..result() }.terms(), "55 % are verified and p99 is at most 50.0 ms");
    }

    #[test]
    fn the_sentence_says_what_holds_and_what_breaks_it() {
        let mut result = result();
        assert_eq!(
            result.message(),
            "holds 1,000/s while 99.5 % are verified and p99 is at most 50.0 ms; breaks at 1,250/s by latency\n"
        );
        assert!(result.is_found());
        let by_hand = LimitResult { interrupted: true, ..result.clone() };
        let told = by_hand.message();
        assert!(told.ends_with("; failed at 1,250/s by latency; ended before it was over\n"), "{told}");
        result.found(Found { holds: 8_000, broke: None, unbroken: Some(Unbroken::Generator) });
        assert!(result.message().contains("this machine is the limit") && !result.is_found());
        // It is cut off in its search: nothing broke it, and its limit is not found.
        let broke = Some((1_250, HoldVerdict::FailedByP99));
        result.found(Found { holds: 1_000, broke, unbroken: Some(Unbroken::Generator) });
        let told = result.message();
        assert!(
            told.contains("; failed at 1,250/s by latency; the search was ended: this machine is the limit"),
            "{told}"
        );
        assert!(!result.is_found());
        result.found(Found { holds: 8_000, broke: None, unbroken: Some(Unbroken::Connections) });
        let told = result.message();
        assert!(
            told.ends_with("; not broken: 8,192 connections carry no more of answers that take so long\n"),
            "{told}"
        );
        assert!(!result.is_found());
        result.found(Found { holds: 180_000, broke: Some((190_000, HoldVerdict::FailedByP99)), unbroken: None });
        assert!(result.message().contains("over 8,192 connections, which are enough for every server up to 163,840/s"));
    }

    #[test]
    fn the_page_has_a_point_for_each_step_and_nothing_from_elsewhere() {
        let result = result();
        let page = LimitPage::new(&result).render().expect("a page");
        assert_eq!(page.matches("<circle").count(), 2);
        assert!(page.contains("class=\"failed\"") && page.contains("&lt;b&gt;") && !page.contains("<b>&lt;"));
        assert!(!page.contains("<script") && !page.contains("src="));
        // Nothing was answered at all.
        let mut silent = result.clone();
        silent.steps.iter_mut().for_each(|step| step.p99_us = None);
        assert!(!LimitPage::new(&silent).render().expect("a page").contains("NaN"));
    }
}
