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
}

/// Everything placed.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    pub(crate) lines: Vec<Line>,
    pub(crate) marks: Vec<PlacedMark>,
    pub(crate) ticks: Vec<Tick>,
    /// Where a second was not valid.
    pub(crate) bands: Vec<Band>,
}

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
    pub label: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Tick {
    pub y: String,
    pub points: i64,
}

impl Curves {
    /// `at_ms` rises; `invalid_ms` are those before which there was a second that is not valid. What does not fit together is left out rather than drawn wrongly.
    pub fn of(at_ms: &[i64], series: &[Series], marks: &[Mark], invalid_ms: &[i64]) -> Curves {
        let (Some(first), Some(last)) = (at_ms.first().copied(), at_ms.last().copied()) else {
            return Curves::default();
        };
        let all = || series.iter().flat_map(|one| one.points.iter().copied().flatten());
        let (low, high) = (all().min().unwrap_or(0).min(0), all().max().unwrap_or(0).max(1));
        let x = |at: i64| (at - first) as f64 / (last - first).max(1) as f64 * WIDTH;
        let y = |points: i64| HEIGHT - (points as f64 - low as f64) / (high as f64 - low as f64) * HEIGHT;
        let lines = series.iter().map(|one| {
            let mut path = String::new();
            let mut pen_down = false;
            for (at, points) in at_ms.iter().zip(&one.points) {
                if let Some(points) = points {
                    let _ = write!(path, "{}{:.1} {:.1}", if pen_down { 'L' } else { 'M' }, x(*at), y(*points));
                }
                pen_down = points.is_some();
            }
            Line { display_name: one.display_name.clone(), class: format::colour_class(one.colour), path }
        });
        let marks = marks.iter().filter(|mark| (first..=last).contains(&mark.at_ms));
        let marks = marks.map(|mark| PlacedMark { x: format!("{:.1}", x(mark.at_ms)), label: mark.label.clone() });
        let ticks = (0..=4).map(|step| low + ((i128::from(high) - i128::from(low)) * step / 4) as i64);
        let ticks = ticks.map(|points| Tick { y: format!("{:.1}", y(points)), points });
        let bands = at_ms.windows(2).filter(|span| invalid_ms.contains(&span[1]));
        let bands = bands
            .map(|span| Band { x: format!("{:.1}", x(span[0])), width: format!("{:.1}", x(span[1]) - x(span[0])) });
        let bands = bands.collect();
        Curves { lines: lines.collect(), marks: marks.collect(), ticks: ticks.collect(), bands }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_fill_the_frame_and_gaps_stay_gaps() {
        let series = Series { display_name: "A".into(), colour: 9, points: vec![Some(0), None, Some(50), Some(100)] };
        let curves = Curves::of(&[0, 10, 20, 30], &[series], &[Mark { at_ms: 15, label: "v2".into() }], &[20]);
        assert_eq!(curves.bands.iter().map(|band| (&*band.x, &*band.width)).collect::<Vec<_>>(), [("333.3", "333.3")]);
        assert_eq!(curves.lines[0].path, "M0.0 360.0M666.7 180.0L1000.0 0.0");
        assert_eq!(curves.lines[0].class, "c1 d1");
        assert_eq!(curves.marks[0].x, "500.0");
        assert_eq!(curves.ticks.first().map(|tick| tick.points), Some(0));
        assert!(Curves::of(&[], &[], &[], &[]).lines.is_empty());
    }
}
