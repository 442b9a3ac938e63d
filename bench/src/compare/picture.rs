//! The comparison as a picture, for whoever would rather look than read: a bar for each tool, with its spread.

use super::paired::Spread;
use super::report::{CompareReport, Comparison};
use super::tools::Tool;
use std::fmt::Write;

const WIDTH: f64 = 860.0;
/// Where bars begin, after the tools' names, and how long the longest one is: its figures stand behind it.
const BARS_FROM: f64 = 150.0;
const BARS_LENGTH: f64 = 520.0;
const BAR: f64 = 18.0;
const LINE: f64 = 25.0;
const TITLE: f64 = 34.0;

/// Rows of one kind: the same work by each tool.
struct Group<'a> {
    what: &'a str,
    bars: Vec<(&'a str, Spread)>,
}

impl CompareReport {
    /// The rows of our generator against other tools as SVG. `None`: there are none.
    pub fn to_svg(&self) -> Option<String> {
        let groups = groups(&self.rows);
        let lines: usize = groups.iter().map(|group| group.bars.len()).sum();
        if lines == 0 {
            return None;
        }
        let height = 80.0 + groups.len() as f64 * TITLE + lines as f64 * LINE;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\"><title>Requests a second of one core, by \
             load generator</title><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        let mut y = 12.0;
        for Group { what, bars } in groups {
            y += TITLE;
            text(&mut svg, 12.0, y - 8.0, "font-weight=\"600\"", what);
            let most = bars.iter().map(|(_, spread)| spread.max).fold(f64::MIN_POSITIVE, f64::max);
            for (name, spread) in bars {
                let length = |value: f64| value / most * BARS_LENGTH;
                let is_ours = name == Tool::Ours.name();
                let (fill, weight) = if is_ours { ("#1f5fd0", "font-weight=\"600\"") } else { ("#b8bec9", "") };
                let middle = y + BAR / 2.0;
                text(&mut svg, 12.0, middle + 4.5, weight, name);
                let bar = length(spread.median);
                let (from, to) = (BARS_FROM + length(spread.min), BARS_FROM + length(spread.max));
                let _ = writeln!(
                    svg,
                    "<rect x=\"{BARS_FROM}\" y=\"{y:.1}\" width=\"{bar:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>\
                     <path d=\"M{from:.1} {middle:.1}H{to:.1}M{from:.1} {:.1}v8M{to:.1} {:.1}v8\" stroke=\"#111\" fill=\"none\"/>",
                    middle - 4.0,
                    middle - 4.0
                );
                text(
                    &mut svg,
                    to.max(BARS_FROM + bar) + 8.0,
                    middle + 4.5,
                    weight,
                    &super::report::number(spread.median),
                );
                y += LINE;
            }
        }
        let machine = &self.machine;
        let foot = [
            "Requests a second, others' by their ratio to ours; line: least to greatest of the pairs. Ours verifies every answer, others \
             look at a status.",
            &format!("{}, {}", machine.date, machine.processor),
        ];
        for (line, words) in (0..).zip(foot) {
            text(&mut svg, 12.0, y + 24.0 + f64::from(line) * 16.0, "font-size=\"11\" fill=\"#555\"", words);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }
}

/// In the order of the table; ours first, with what it did in all pairs of the group.
fn groups(rows: &[Comparison]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for row in rows.iter().filter(|row| row.ours == Tool::Ours.name() && row.failed.is_none()) {
        // At a rate everybody sends the same.
        let (Some(rate), false) = (row.rate, row.what.ends_with("/s")) else { continue };
        if groups.last().is_none_or(|group| group.what != row.what) {
            let of_group = rows.iter().filter(|other| other.what == row.what && other.ours == row.ours);
            let all = of_group.flat_map(|other| other.pairs.ours.iter().map(|sample| sample.rate));
            let ours = Spread::of(all).unwrap_or(rate.ours);
            groups.push(Group { what: &row.what, bars: vec![(&row.ours, ours)] });
        }
        // As the pairs say it: who was measured in a slow hour stands where it stood beside ours.
        let bars = &mut groups.last_mut().expect("one was pushed").bars;
        let ours = bars[0].1.median;
        let Spread { min, median, max } = rate.ratio;
        bars.push((&row.theirs, Spread { min: ours / max, median: ours / median, max: ours / min }));
    }
    groups
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{words}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::paired::{Pairs, Sample};

    #[test]
    fn the_picture_has_a_bar_for_each_tool_and_none_for_what_failed() {
        let row = |theirs: &str, rates: [f64; 2]| {
            let sample = |rate| vec![Sample { rate, ..Sample::default() }];
            let mut row = Comparison::ratio("64 <connections>".into(), Tool::Ours.name(), theirs, None);
            row.measured(Pairs { ours: sample(rates[0]), theirs: sample(rates[1]) });
            row
        };
        let mut report = CompareReport::new();
        assert!(report.to_svg().is_none());
        report.rows = vec![row("wrk", [300.0, 200.0]), row("shb", [310.0, 290.0]), row("oha", [1.0, 1.0])];
        report.rows[2].failed = Some("broke".into());
        let svg = report.to_svg().expect("two rows were measured");
        assert_eq!(svg.matches("<rect x=").count(), 3, "{svg}");
        assert!(svg.contains("64 &lt;connections>") && svg.contains(">wrk<") && !svg.contains("oha"), "{svg}");
    }
}
