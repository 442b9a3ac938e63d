//! Where things lie on a chart: axes, ticks, paths. Pure: numbers in, SVG path data out.
//!
//! Every plot is a box of [`WIDTH`] by [`HEIGHT`] units that the page stretches to its column, so that labels, which are
//! HTML beside it, keep their size on any screen.

use std::fmt::Write as _;

pub const WIDTH: f64 = 1000.0;
pub const HEIGHT: f64 = 200.0;
/// What lies on an axis' end would be cut in half by the edge of the box.
const MARGIN: f64 = 1.0;

/// From values to a part of the axis, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Axis {
    /// From `from` to `to`.
    Linear { from: f64, to: f64 },
    /// Decades from `from` to `to`, both above 0.
    Log { from: f64, to: f64 },
}

impl Axis {
    /// What lies outside is put on the edge.
    pub fn part(self, value: f64) -> f64 {
        let part = match self {
            Axis::Linear { from, to } => (value - from) / (to - from),
            Axis::Log { from, to } => (value.max(from) / from).ln() / (to / from).ln(),
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn y(self, value: f64) -> f64 {
        HEIGHT - MARGIN - self.part(value) * (HEIGHT - 2.0 * MARGIN)
    }

    /// Up from 0 to a round number that is not below `max`, and the ticks between.
    pub fn up_to(max: f64) -> (Axis, Vec<f64>) {
        let step = round_up(max.max(1e-9) / 4.0);
        let count = (max / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=count as u32).map(|index| f64::from(index) * step).collect();
        (Axis::Linear { from: 0.0, to: count * step }, ticks)
    }

    /// Whole decades around the values, or 1, 2, 5 where these are too wide; and the ticks.
    pub fn decades(min: f64, max: f64) -> (Axis, Vec<f64>) {
        let min = min.max(1.0);
        let max = max.max(min);
        let (low, high) = (min.log10().floor() as i32, (max.log10() + 1e-9).floor() as i32 + 1);
        let fine = high - low <= 2;
        let steps: &[f64] = if fine { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let ticks: Vec<f64> =
            (low..=high).flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade))).collect();
        let from = ticks.iter().copied().filter(|tick| *tick <= min).fold(ticks[0], f64::max);
        let to = ticks.iter().copied().find(|tick| *tick >= max && *tick > from).unwrap_or(10f64.powi(high));
        let ticks = ticks.into_iter().filter(|tick| (from..=to).contains(tick)).collect();
        (Axis::Log { from, to }, ticks)
    }
}

/// 1, 2, 2.5 or 5 times a power of ten, not below `value`.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .iter()
        .map(|step| step * power)
        .find(|step| *step >= value * (1.0 - 1e-9))
        .unwrap_or(value)
}

/// Seconds at which the time axis is labelled: at most seven, at distances that people count in.
pub fn time_ticks(length_s: f64) -> Vec<u32> {
    const STEPS: [u32; 18] =
        [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400];
    let step = STEPS.into_iter().find(|step| length_s / f64::from(*step) <= 6.0).unwrap_or(604_800);
    (0..=6).map(|index| index * step).filter(|at| f64::from(*at) <= length_s).collect()
}

/// From when to when a value holds, as parts of the time axis.
pub type Span = (f64, f64);

fn number(out: &mut String, command: char, value: f64) {
    let rounded = (value * 10.0).round() / 10.0;
    // Writing to a string cannot fail.
    let _ = write!(out, "{command}{}", if rounded == 0.0 { 0.0 } else { rounded });
}

/// A line that keeps each value for its span, with gaps where there is none.
pub fn steps(spans: &[Span], values: &[Option<f64>], axis: Axis) -> String {
    let mut path = String::new();
    let mut pen = None;
    for ((from, to), value) in spans.iter().zip(values) {
        let Some(value) = value else {
            pen = None;
            continue;
        };
        let y = axis.y(*value);
        match pen {
            None => {
                number(&mut path, 'M', from * WIDTH);
                number(&mut path, ' ', y);
            }
            Some(before) if before != y => number(&mut path, 'V', y),
            Some(_) => {}
        }
        number(&mut path, 'H', to * WIDTH);
        pen = Some(y);
    }
    path
}

/// Areas on top of one another, the first at the bottom; an empty path where a layer has nothing at all.
pub fn stack(spans: &[Span], layers: &[Vec<f64>], axis: Axis) -> Vec<String> {
    let mut floor = vec![0.0; spans.len()];
    let mut paths = Vec::with_capacity(layers.len());
    for layer in layers {
        let top: Vec<f64> = floor.iter().zip(layer).map(|(floor, value)| floor + value).collect();
        paths.push(if layer.iter().all(|value| *value <= 0.0) {
            String::new()
        } else {
            area(spans, &floor, &top, axis)
        });
        floor = top;
    }
    paths
}

/// The area between two stepped lines.
fn area(spans: &[Span], floor: &[f64], top: &[f64], axis: Axis) -> String {
    let mut path = String::new();
    let upper = spans.iter().zip(top).map(|((from, to), value)| (*from, *to, *value));
    let lower = spans.iter().zip(floor).rev().map(|((from, to), value)| (*to, *from, *value));
    let mut pen = None;
    for (from, to, value) in upper.chain(lower) {
        let y = axis.y(value);
        if pen.is_none() {
            number(&mut path, 'M', from * WIDTH);
            number(&mut path, ' ', y);
        } else if pen != Some(y) {
            number(&mut path, 'V', y);
        }
        number(&mut path, 'H', to * WIDTH);
        pen = Some(y);
    }
    path.push('Z');
    path
}

/// Spans that follow one another become one.
pub fn joined(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if (last.1 - from).abs() < 1e-9 => last.1 = to,
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Axis = Axis::Linear { from: 0.0, to: 1.0 };

    #[test]
    fn a_linear_axis_ends_on_a_round_number() {
        // (largest value, ticks)
        let table: [(f64, &[f64]); 4] = [
            (1.0, &[0.0, 0.25, 0.5, 0.75, 1.0]),
            (9_998.0, &[0.0, 2_500.0, 5_000.0, 7_500.0, 10_000.0]),
            (10_001.0, &[0.0, 5_000.0, 10_000.0, 15_000.0]),
            (42.0, &[0.0, 20.0, 40.0, 60.0]),
        ];
        for (max, wanted) in table {
            let (axis, ticks) = Axis::up_to(max);
            assert_eq!(ticks, wanted, "{max}");
            assert_eq!((axis.part(0.0), axis.part(*ticks.last().unwrap())), (0.0, 1.0));
        }
        assert_eq!(Axis::up_to(0.0).1.len(), 2, "nothing at all still has an axis");
    }

    #[test]
    fn a_logarithmic_axis_has_decades_or_finer_steps() {
        assert_eq!(Axis::decades(120.0, 1_500_000.0).1, [100.0, 1e3, 1e4, 1e5, 1e6, 1e7]);
        assert_eq!(Axis::decades(120.0, 480.0).1, [100.0, 200.0, 500.0]);
        assert_eq!(Axis::decades(0.0, 0.0).1, [1.0, 2.0]);
        let (axis, _) = Axis::decades(10.0, 100_000.0);
        assert!((axis.part(1_000.0) - 0.5).abs() < 1e-9);
        assert_eq!((axis.part(0.0), axis.part(1e12)), (0.0, 1.0), "what lies outside is put on the edge");
    }

    #[test]
    fn time_is_labelled_at_few_round_seconds() {
        assert_eq!(time_ticks(0.4), [0]);
        assert_eq!(time_ticks(10.0), [0, 2, 4, 6, 8, 10]);
        assert_eq!(time_ticks(3_600.0), [0, 600, 1_200, 1_800, 2_400, 3_000, 3_600]);
        for length in 1..2_000 {
            assert!((1..=7).contains(&time_ticks(f64::from(length) * 17.0).len()));
        }
    }

    #[test]
    fn a_stepped_line_has_gaps_where_nothing_is_known() {
        let spans = [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)];
        let path = steps(&spans, &[Some(0.0), Some(1.0), None, Some(1.0)], UNIT);
        assert_eq!(path, "M0 199H250V1H500M750 1H1000");
        assert_eq!(steps(&spans, &[None; 4], UNIT), "");
    }

    #[test]
    fn areas_lie_on_top_of_one_another() {
        let spans = [(0.0, 0.5), (0.5, 1.0)];
        let paths = stack(&spans, &[vec![0.5, 0.5], vec![0.0, 0.0], vec![0.0, 0.5]], UNIT);
        assert_eq!(paths, ["M0 100H500H1000V199H500H0Z", "", "M0 100H500V1H1000V100H500H0Z"]);
    }

    #[test]
    fn neighbours_become_one_band() {
        assert_eq!(joined([(0.0, 0.1), (0.1, 0.2), (0.5, 0.6)].into_iter()), [(0.0, 0.2), (0.5, 0.6)]);
    }
}
