//! One picture of the live table: lines of at most 80 columns, made from figures alone. Pure.

use super::Newest;
use crate::engine::block::{Block, Counts};
use crate::engine::clock::RunInstant;
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{Load, NS_PER_SECOND, Plan};
use crate::observe::house::House;
use crate::observe::series::{RoundPart, Series, State};
use crate::observe::summary::clock;
use flowtest_contract::text::{grouped, micros};

/// Contestants with a line of their own; the others are summed.
pub(super) const LINES_MAX: usize = 20;
const NAME_COLUMNS: usize = 22;
const TROUBLE_COLUMNS: usize = 53;

/// All that a picture is made from.
pub(super) struct Frame<'a> {
    pub title: &'a str,
    pub plan: &'a Plan,
    pub now: RunInstant,
    pub state: State,
    pub sums: &'a Block,
    pub newest: Option<&'a Newest>,
    pub series: &'a Series,
    /// Why Redis does not take what is counted.
    pub trouble: Option<&'a str>,
}

/// One line's figures.
#[derive(Clone, Copy, Default)]
struct Figures {
    rate: Option<u64>,
    verified: u64,
    wrong: u64,
    failed: u64,
    p99: Option<u64>,
}

impl Figures {
    fn add(&mut self, other: Figures) {
        self.rate = match (self.rate, other.rate) {
            (Some(ours), Some(theirs)) => Some(ours + theirs),
            (ours, theirs) => ours.or(theirs),
        };
        self.verified += other.verified;
        self.wrong += other.wrong;
        self.failed += other.failed;
        self.p99 = self.p99.max(other.p99);
    }

    fn line(&self, name: &str) -> String {
        let p99 = self.p99.map_or_else(|| "-".to_owned(), micros);
        let rate = self.rate.map_or_else(|| "-".to_owned(), grouped);
        let (verified, wrong, failed) = (grouped(self.verified), grouped(self.wrong), grouped(self.failed));
        format!("  {} {rate:>11} {verified:>13} {wrong:>9} {failed:>9} {p99:>9}", clipped(name, NAME_COLUMNS))
    }
}

/// Requests a second, with a fraction only where there is one.
fn rate(rate: f64) -> String {
    if rate.fract() == 0.0 { grouped(rate as u64) } else { rate.to_string() }
}

impl Frame<'_> {
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.heading()];
        let [name, rate, verified, wrong, failed] = ["contestant", "answers/s", "verified", "wrong", "failed"];
        lines.push(format!("  {name:<NAME_COLUMNS$} {rate:>11} {verified:>13} {wrong:>9} {failed:>9} {:>9}", "p99"));
        let mut each: Vec<(ContestantIndex, Figures)> =
            self.plan.contestants.keys().map(|at| (at, self.figures(at))).collect();
        let mut all = Figures::default();
        each.iter().for_each(|(_, figures)| all.add(*figures));
        all.p99 = self.newest.and_then(|newest| newest.all.latency.p99());
        // The largest ones, in the order of the roster so that lines keep their places.
        each.sort_by_key(|(at, figures)| (std::cmp::Reverse(figures.verified + figures.wrong + figures.failed), *at));
        let others = each.split_off(each.len().min(LINES_MAX));
        each.sort_by_key(|(at, _)| *at);
        for (at, figures) in &each {
            // The name of a URL that is stressed is the URL; what all of them begin with says nothing.
            let name = &self.plan.contestants[*at].name;
            lines.push(figures.line(name.strip_prefix("http://").unwrap_or(name)));
        }
        if !others.is_empty() {
            let mut rest = Figures::default();
            others.iter().for_each(|(_, figures)| rest.add(*figures));
            lines.push(rest.line(&format!("{} more", others.len())));
        }
        if self.plan.contestants.len() > 1 {
            lines.push(all.line("all"));
        }
        lines.push(self.own());
        lines.extend(self.trouble.map(trouble_line));
        lines.extend(House::of(self.plan, self.sums).map(|house| house_line(&house)));
        lines
    }

    fn figures(&self, at: ContestantIndex) -> Figures {
        let sum = |read: fn(&Counts) -> u64| self.sums.of(at).map(read).iter().sum::<u64>();
        let verified = sum(|counts| counts.meter.verified);
        // Who has just joined is in no second yet.
        let newest = self.newest.and_then(|newest| Some((newest, newest.each.get(at.index())?)));
        Figures {
            rate: newest.map(|(newest, entry)| newest.moment.per_second(entry.answered) as u64),
            verified,
            wrong: sum(|counts| counts.row.tally.responses()) - verified,
            failed: sum(|counts| counts.row.tally.failures()),
            p99: newest.and_then(|(_, entry)| entry.latency.p99()),
        }
    }

    fn heading(&self) -> String {
        let start = self.plan.schedule.run_clock(self.plan.start());
        let part = match self.state.part {
            RoundPart::Phase(number) => {
                let phase = &self.plan.phases[usize::from(number)];
                let written = self.plan.written(usize::from(number));
                let load = match phase.load {
                    Load::Open(ramp) if ramp.from == ramp.to => format!("{}/s each", rate(ramp.ends()[0])),
                    Load::Open(ramp) => format!("{} to {}/s each", rate(ramp.ends()[0]), rate(ramp.ends()[1])),
                    Load::Step(_) => format!("step {} of a breakpoint", written.step.unwrap_or(1)),
                    Load::Closed { pipeline } => format!("{} × {pipeline} in flight each", phase.connections),
                };
                let scored = if phase.scored { "" } else { ", not scored" };
                format!("phase {} of {}{scored}, {load}", written.number, written.of)
            }
            RoundPart::Paused => "paused".to_owned(),
            RoundPart::NoShare => "no share of the requests".to_owned(),
            RoundPart::Draining if self.now < start => "about to start".to_owned(),
            RoundPart::Draining => "draining".to_owned(),
        };
        let (gone, whole) = (self.now.saturating_since(start), self.plan.end() - self.plan.start());
        let seconds = |ns: u64| clock(ns / NS_PER_SECOND);
        let clock = match self.plan.requests {
            Some(each) => format!("{}, {} requests each", seconds(gone), grouped(each)),
            None => format!("{} of {}", seconds(gone.min(whole)), seconds(whole)),
        };
        format!("  {}   {clock}   {part}", clipped(self.title, NAME_COLUMNS).trim_end())
    }

    fn own(&self) -> String {
        let Some(newest) = self.newest else { return "  generator: starting".to_owned() };
        let mut parts = Vec::new();
        if newest.moment.state.open {
            let lag = newest.moment.lag_us.map_or_else(|| "-".to_owned(), |us| micros(u64::from(us)));
            let ratio = newest.all.rate_ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.5}"));
            parts.push(format!("lag p99 {lag}, rate_ratio {ratio}"));
        }
        parts.push(format!("not valid {} s", self.series.invalid_s()));
        if let Some(busy) = newest.moment.busy {
            parts.push(format!("busy {} %", busy / 10));
        }
        format!("  generator: {}", parts.join(", "))
    }
}

/// The scoreboard stands still: why, as far as a line goes.
fn trouble_line(trouble: &str) -> String {
    let text = clipped(trouble, TROUBLE_COLUMNS);
    format!("  \x1b[31mscoreboard stands still: {}\x1b[0m", text.trim_end())
}

/// Green as long as nothing is lost; the reason stands in the summary.
fn house_line(house: &House) -> String {
    let colour = if house.is_clean() { "\x1b[32m" } else { "\x1b[31m" };
    format!("  the platform's own losses: {colour}{}\x1b[0m", house.figure())
}

/// Exactly so many columns. Names come from strangers: what is not plain and printable becomes a dot, so that none can move
/// the cursor or turn the direction of writing.
fn clipped(name: &str, columns: usize) -> String {
    let plain = |letter: char| {
        if letter.is_alphanumeric() || letter.is_ascii_graphic() || letter == ' ' { letter } else { '·' }
    };
    let mut text: String = name.chars().take(columns).map(plain).collect();
    if name.chars().nth(columns).is_some() {
        text.pop();
        text.push('…');
    }
    format!("{text:<columns$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_cannot_steer_the_terminal() {
        assert_eq!(clipped("alice", 8), "alice   ");
        assert_eq!(clipped("a\u{1b}[2J\n\u{202e}b", 10), "a·[2J··b  ");
        assert_eq!(clipped("abcdefghij", 5), "abcd…");
    }

    #[test]
    fn a_scoreboard_that_stands_still_has_a_line_that_fits() {
        let line = trouble_line(&"Redis takes no writes\n".repeat(9));
        let shown = line.replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert!(shown.starts_with("  scoreboard stands still: Redis takes no writes·"), "{shown}");
        assert!(shown.chars().count() <= 80 && !shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn a_line_fits_eighty_columns() {
        let figures = Figures {
            rate: Some(999_999_999),
            verified: 9_999_999_999,
            wrong: 9_999_999,
            failed: 9_999_999,
            p99: Some(67_000_000),
        };
        assert!(figures.line("a name that is much longer than its column").chars().count() <= 80);
    }
}
