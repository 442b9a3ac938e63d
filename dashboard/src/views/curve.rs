//! Curves of points over time as SVG paths of numbers, for pages that must stand without a script: the report.

use crate::views::format;
use std::fmt::Write as _;

/// The drawing's own units.
pub const WIDTH: f64 = 1_000.0;
pub const HEIGHT: f64 = 360.0;

/// One contestant's points; as many as there are instants, `None` where nothing is known.
#[derive(Clone, Debug)]
pub struct Series {
    pub display_name: String,
    /// See [`crate::live::UserKey::colour`].
    pub colour: u32,
    pub points: Vec<Option<i64>>,
}

/// An instant that matters: a deadline, a phase, a freeze.
#[derive(Clone, Debug)]
pub struct Mark {
    pub at_ms: i64,
    pub label: String,
    /// Nothing stands in the place of its name.
    pub is_deadline: bool,
}

/// A round on the axis, which is made of rounds: the time between them has no place.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub from_ms: i64,
    pub to_ms: i64,
    /// What came after its end, the last answers, stands there.
    pub settled_ms: i64,
}

/// Between two rounds, of the whole.
const BETWEEN: f64 = 0.015;

/// Where instants stand.
struct Axis {
    /// With the place of each one's start, in milliseconds.
    spans: Vec<(f64, Span)>,
    length: f64,
}

impl Axis {
    fn of(spans: &[Span]) -> Axis {
        let length: f64 = spans.iter().map(|span| (span.to_ms - span.from_ms).max(1) as f64).sum();
        let between = length * BETWEEN;
        let mut end = -between;
        let placed = spans.iter().map(|span| {
            let start = end + between;
            end = start + (span.to_ms - span.from_ms).max(1) as f64;
            (start, span.clone())
        });
        let spans = placed.collect();
        Axis { spans, length: end.max(1.0) }
    }

    /// Its place with the number of its round. `None` between rounds.
    fn place(&self, at_ms: i64) -> Option<(usize, f64)> {
        let is_within = |(_, span): &(f64, Span)| (span.from_ms..=span.settled_ms.max(span.to_ms)).contains(&at_ms);
        let index = self.spans.iter().position(is_within)?;
        let (start, span) = &self.spans[index];
        Some((index, (start + (at_ms.min(span.to_ms) - span.from_ms) as f64) / self.length * WIDTH))
    }
}

/// Everything placed.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    pub(crate) lines: Vec<Line>,
    pub(crate) marks: Vec<PlacedMark>,
    pub(crate) ticks: Vec<Tick>,
    /// Where a second was not valid.
    pub(crate) bands: Vec<Band>,
    pub(crate) instants: Vec<Instant>,
}

/// A label of the axis of time.
#[derive(Clone, Debug)]
pub(crate) struct Instant {
    pub x: String,
    pub at_ms: i64,
}

/// Steps between labels of time, in milliseconds: from a second to a day.
const STEPS_MS: [i64; 15] = [
    1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000,
    21_600_000, 43_200_000, 86_400_000,
];
/// Labels of time at most, and how far apart they are at least.
const INSTANTS_MAX: i64 = 8;
const INSTANT_WIDTH: f64 = 105.0;

#[derive(Clone, Debug)]
pub(crate) struct Band {
    pub x: String,
    pub width: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub display_name: String,
    pub class: String,
    pub path: String,
}

#[derive(Clone, Debug)]
pub(crate) struct PlacedMark {
    pub x: String,
    /// Of its label.
    pub y: i32,
    pub label: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Tick {
    pub y: String,
    pub points: i64,
}

/// Rows of labels above the lines, and the width of a letter.
const MARK_ROWS: usize = 2;
const LETTER: f64 = 7.5;

/// The next of 1, 2, 5, 10, 20, .. that is not less.
fn nice(least: i128) -> i128 {
    let mut power = 1;
    while power * 10 <= least {
        power *= 10;
    }
    [1, 2, 5, 10].into_iter().map(|one| one * power).find(|one| *one >= least).unwrap_or(power * 10)
}

impl Curves {
    /// `at_ms` rises; `invalid_ms` are those before which there was a second that is not valid; without a span the axis is the
    /// clock. What does not fit together is left out rather than drawn wrongly.
    pub fn of(at_ms: &[i64], series: &[Series], marks: &[Mark], invalid_ms: &[i64], spans: &[Span]) -> Curves {
        let (Some(first), Some(last)) = (at_ms.first().copied(), at_ms.last().copied()) else {
            return Curves::default();
        };
        let clock = [Span { name: String::new(), from_ms: first, to_ms: last, settled_ms: last }];
        let axis = Axis::of(if spans.is_empty() { &clock } else { spans });
        let all = || series.iter().flat_map(|one| one.points.iter().copied().flatten());
        let (low, high) = (all().min().unwrap_or(0).min(0), all().max().unwrap_or(0).max(1));
        let y = |points: i64| HEIGHT - (points as f64 - low as f64) / (high as f64 - low as f64) * HEIGHT;
        let lines = series.iter().map(|one| {
            let mut path = String::new();
            let mut pen_in = None;
            for (at, points) in at_ms.iter().zip(&one.points) {
                let place = points.zip(axis.place(*at));
                if let Some((points, (span, x))) = place {
                    let _ = write!(path, "{}{x:.1} {:.1}", if pen_in == Some(span) { 'L' } else { 'M' }, y(points));
                }
                pen_in = place.map(|(_, (span, _))| span);
            }
            Line { display_name: one.display_name.clone(), class: format::colour_class(one.colour), path }
        });
        let rounds = spans.iter().filter(|_| spans.len() > 1);
        let rounds = rounds.map(|span| Mark { at_ms: span.from_ms, label: span.name.clone(), is_deadline: false });
        let mut marks: Vec<Mark> = rounds.chain(marks.iter().cloned()).collect();
        marks.sort_by_key(|mark| (!mark.is_deadline, mark.at_ms));
        let mut rows: [Vec<(f64, f64)>; MARK_ROWS] = Default::default();
        let marks = marks.into_iter().filter_map(|mark| {
            let (_, middle) = axis.place(mark.at_ms)?;
            let half = (mark.label.chars().count() + 1) as f64 * LETTER / 2.0;
            let (from, to) = (middle - half, middle + half);
            // In the first row that has room; where none has, the line stands alone.
            let row = rows.iter().position(|taken| taken.iter().all(|one| to <= one.0 || from >= one.1));
            if let Some(row) = row {
                rows[row].push((from, to));
            }
            let label = if row.is_some() { mark.label } else { String::new() };
            Some(PlacedMark { x: format!("{middle:.1}"), y: -6 - 16 * row.unwrap_or(0) as i32, label })
        });
        let step = nice((i128::from(high) - i128::from(low)) / 4);
        let lowest = (i128::from(low)).div_euclid(step) * step;
        let ticks = (0..=6)
            .map(|index| lowest + step * index)
            .filter(|points| (i128::from(low)..=i128::from(high)).contains(points))
            .filter_map(|points| i64::try_from(points).ok());
        let instants = instants(&axis);
        let ticks = ticks.map(|points| Tick { y: format!("{:.1}", y(points)), points });
        let bands = at_ms.windows(2).filter(|span| invalid_ms.contains(&span[1]));
        let bands = bands.filter_map(|pair| {
            let ((span, from), (other, to)) = (axis.place(pair[0])?, axis.place(pair[1])?);
            (span == other).then(|| Band { x: format!("{from:.1}"), width: format!("{:.1}", to - from) })
        });
        let bands = bands.collect();
        Curves { lines: lines.collect(), marks: marks.collect(), ticks: ticks.collect(), bands, instants }
    }
}

/// Round instants of each round, none of which covers the one before it.
fn instants(axis: &Axis) -> Vec<Instant> {
    let step_ms = STEPS_MS.into_iter().find(|step| (axis.length as i64) / step < INSTANTS_MAX).unwrap_or(i64::MAX / 4);
    let mut placed = Vec::new();
    let mut free_from = f64::NEG_INFINITY;
    for (_, span) in &axis.spans {
        for index in 0..=INSTANTS_MAX {
            let at_ms = (span.from_ms.div_euclid(step_ms) + 1).saturating_add(index).saturating_mul(step_ms);
            let Some((_, x)) = axis.place(at_ms).filter(|(_, x)| at_ms <= span.to_ms && *x >= free_from) else {
                continue;
            };
            free_from = x + INSTANT_WIDTH;
            placed.push(Instant { x: format!("{x:.1}"), at_ms });
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_marks_never_cover_each_other_and_the_axis_says_round_instants() {
        let at: Vec<i64> = (0..60).map(|step| 1_700_000_000_000 + step * 10_000).collect();
        let series = Series { display_name: "A".into(), colour: 0, points: vec![Some(1); 60] };
        let mark = |index: usize| Mark { at_ms: at[index], label: "a mark with a name".into(), is_deadline: false };
        let curves = Curves::of(&at, &[series], &[mark(30), mark(31), mark(32)], &[], &[]);
        let rows: Vec<_> = curves.marks.iter().map(|mark| (mark.y, mark.label.is_empty())).collect();
        assert_eq!(rows, [(-6, false), (-22, false), (-6, true)]);
        // A deadline comes first, however late it is.
        let deadline = Mark { is_deadline: true, ..mark(32) };
        let series = Series { display_name: "A".into(), colour: 0, points: vec![Some(1); 60] };
        let with_deadline = Curves::of(&at, &[series], &[mark(30), mark(31), deadline], &[], &[]);
        let named = with_deadline.marks.iter().filter(|mark| !mark.label.is_empty()).map(|mark| &*mark.x);
        assert_eq!(named.collect::<Vec<_>>(), [&*curves.marks[2].x, &*curves.marks[0].x]);
        assert!(curves.instants.len() >= 4 && curves.instants.iter().all(|one| one.at_ms % 120_000 == 0));
    }

    #[test]
    fn curves_fill_the_frame_and_gaps_stay_gaps() {
        let series = Series { display_name: "A".into(), colour: 9, points: vec![Some(0), None, Some(50), Some(100)] };
        let mark = Mark { at_ms: 15, label: "v2".into(), is_deadline: true };
        let curves = Curves::of(&[0, 10, 20, 30], &[series], &[mark], &[20], &[]);
        assert_eq!(curves.bands.iter().map(|band| (&*band.x, &*band.width)).collect::<Vec<_>>(), [("333.3", "333.3")]);
        assert_eq!(curves.lines[0].path, "M0.0 360.0M666.7 180.0L1000.0 0.0");
        assert_eq!(curves.lines[0].class, "c9 d1");
        assert_eq!(curves.marks[0].x, "500.0");
        let ticks: Vec<i64> = curves.ticks.iter().map(|tick| tick.points).collect();
        assert_eq!(ticks, [0, 50, 100]);
        assert_eq!([0, 7, 25, 1_000, 1_001].map(nice), [1, 10, 50, 1_000, 2_000]);
        assert!(Curves::of(&[], &[], &[], &[], &[]).lines.is_empty());
    }

    #[test]
    fn the_axis_is_the_rounds_and_no_night_between_them_nor_after_them() {
        let span = |number: i64, from_ms: i64| Span {
            name: format!("Round {number}"),
            from_ms,
            to_ms: from_ms + 60_000,
            settled_ms: from_ms + 65_000,
        };
        let spans = [span(1, 0), span(2, 90_000_000)];
        // Before it, in it, its last answer, the night, the second round, the morning after.
        let at = [0, 60_000, 64_000, 40_000_000, 90_000_000, 90_060_000, 180_000_000];
        let series = Series { display_name: "A".into(), colour: 0, points: (0..7).map(Some).collect() };
        let curves = Curves::of(&at, &[series], &[], &[64_000], &spans);
        let (half, second) = ("492.6", "507.4");
        let y = ["360.0", "300.0", "240.0", "120.0", "60.0"];
        let path = format!("M0.0 {}L{half} {}L{half} {}M{second} {}L1000.0 {}", y[0], y[1], y[2], y[3], y[4]);
        assert_eq!(curves.lines[0].path, path);
        let marks: Vec<_> = curves.marks.iter().map(|mark| (mark.x.as_str(), mark.label.as_str())).collect();
        assert_eq!(marks, [("0.0", "Round 1"), (second, "Round 2")]);
        assert!(curves.instants.len() >= 2, "{:?}", curves.instants);
    }
}
