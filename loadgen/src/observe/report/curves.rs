//! The curves of one contestant, or of all together: the same five charts of the same seconds, each with its key.

use super::geometry::{Axis, Span, joined, stack, steps, time_ticks};
use crate::engine::block::RATE_RATIO_MIN;
use crate::engine::clock::RunInstant;
use crate::engine::plan::Plan;
use crate::observe::series::{Entry, Moment};
use crate::observe::summary::clock;
use sailfish::TemplateSimple;

/// A label beside an axis.
pub(super) struct Tick {
    pub at: f64,
    pub text: String,
    /// The first and the last one lie inside the plot; every second one is left out on small screens.
    pub class: &'static str,
}

/// A line or an area, and its words in the key.
pub(super) struct Curve {
    /// Names colour and stroke in the page's style sheet.
    pub class: &'static str,
    pub name: &'static str,
    pub path: String,
    pub is_area: bool,
}

/// Something with a beginning and an end, as parts of the time axis in percent.
pub(super) struct Band {
    pub from: f64,
    pub width: f64,
    pub text: String,
}

/// A vertical mark with its word.
pub(super) struct Mark {
    pub at: f64,
    pub text: String,
}

/// What all charts of a report share: the time axis and what is marked on it.
pub(super) struct Timeline {
    pub length_s: f64,
    pub x: Vec<Tick>,
    pub phases: Vec<Band>,
    /// Phases that do not count, pauses, and what drained at the end.
    pub unscored: Vec<Band>,
    pub deadlines: Vec<Mark>,
}

#[derive(TemplateSimple)]
#[template(path = "chart.stpl")]
struct Chart<'a> {
    title: &'a str,
    unit: &'a str,
    label: String,
    y: Vec<Tick>,
    curves: Vec<Curve>,
    invalid: Vec<Band>,
    timeline: &'a Timeline,
}

impl Timeline {
    pub(super) fn new(plan: &Plan, start: RunInstant, moments: &[Moment]) -> Timeline {
        let length_s = moments.last().map_or(1.0, Moment::end_s).max(0.001);
        let at = |instant: RunInstant| (instant.saturating_since(start) as f64 / 1e9 / length_s).min(1.0);
        let mut phases: Vec<Band> = Vec::new();
        for (index, phase) in plan.phases.iter().enumerate() {
            let (from, to) = (at(plan.schedule.run_clock(phase.start)), at(plan.schedule.run_clock(phase.end)));
            if to <= from {
                continue;
            }
            let written = plan.written(index);
            match phases.last_mut().filter(|_| written.step.is_some_and(|step| step > 1)) {
                // One band for all steps of a breakpoint.
                Some(breakpoint) => breakpoint.width = to * 100.0 - breakpoint.from,
                None => phases.push(band((from, to), super::words::phase(written.number, phase))),
            }
        }
        let unscored = joined(
            spans(moments, length_s)
                .into_iter()
                .zip(moments)
                .filter_map(|(span, moment)| (!moment.state.scored).then_some(span)),
        );
        let started = plan.utc_us(start);
        let mut deadlines = Vec::new();
        if let Some((_, last)) = plan.schedule.all_deadlines().last() {
            for (deadline, text) in [(last.version, "v2"), (last.from, "ECS")] {
                let at = deadline.0.checked_since(started).map(|us| us as f64 / 1e6 / length_s);
                if let Some(at) = at.filter(|at| *at <= 1.0) {
                    deadlines.push(Mark { at: at * 100.0, text: text.to_owned() });
                }
            }
        }
        // Two at one instant share their word.
        if let [first, second] = &mut deadlines[..]
            && (first.at - second.at).abs() < 0.5
        {
            first.text = format!("{}, {}", first.text, second.text);
            deadlines.truncate(1);
        }
        let unscored = unscored.into_iter().map(|span| band(span, String::new())).collect();
        Timeline { length_s, x: time_axis(length_s), phases, unscored, deadlines }
    }
}

fn time_axis(length_s: f64) -> Vec<Tick> {
    let seconds = time_ticks(length_s);
    let small = length_s < 120.0;
    let ticks = seconds.iter().enumerate().map(|(index, at)| Tick {
        at: f64::from(*at) / length_s * 100.0,
        text: if small { format!("{at} s") } else { clock(u64::from(*at)) },
        class: match index {
            0 => "first",
            _ if f64::from(*at) / length_s > 0.96 => "last",
            _ if index % 2 == 1 => "odd",
            _ => "",
        },
    });
    ticks.collect()
}

fn band((from, to): Span, text: String) -> Band {
    Band { from: from * 100.0, width: (to - from) * 100.0, text }
}

fn spans(moments: &[Moment], length_s: f64) -> Vec<Span> {
    moments.iter().map(|moment| (moment.start_s() / length_s, moment.end_s() / length_s)).collect()
}

/// How busy the generator was, where that is known.
pub(super) fn busy(timeline: &Timeline, moments: &[Moment]) -> Result<Option<String>, sailfish::RenderError> {
    let view =
        View { whose: "the generator", timeline, moments, entries: &[], spans: spans(moments, timeline.length_s) };
    let values: Vec<_> = moments.iter().map(|moment| moment.busy.map(|busy| f64::from(busy) / 10.0)).collect();
    if values.iter().all(Option::is_none) {
        return Ok(None);
    }
    let axis = Axis::Linear { from: 0.0, to: 100.0 };
    let curves = vec![view.line("busy", "user and system time", &values, axis)];
    let y = ticks_of(axis, &[0.0, 25.0, 50.0, 75.0, 100.0], |percent| format!("{percent} %"));
    view.chart("Workers", "part of their cores", y, curves).render_once().map(Some)
}

/// Renders all charts of these seconds.
pub(super) fn render(
    whose: &str,
    timeline: &Timeline,
    moments: &[Moment],
    entries: &[Entry],
) -> Result<Vec<String>, sailfish::RenderError> {
    let view = View { whose, timeline, moments, entries, spans: spans(moments, timeline.length_s) };
    let charts = [Some(view.rate()), Some(view.latency()), Some(view.outcomes()), view.not_right(), view.validity()];
    charts.into_iter().flatten().map(Chart::render_once).collect()
}

/// The seconds of one contestant or of all.
struct View<'a> {
    whose: &'a str,
    timeline: &'a Timeline,
    moments: &'a [Moment],
    entries: &'a [Entry],
    spans: Vec<Span>,
}

impl<'a> View<'a> {
    fn per_second(&self, count: impl Fn(&Entry) -> u32) -> Vec<f64> {
        self.moments.iter().zip(self.entries).map(|(moment, entry)| moment.per_second(count(entry))).collect()
    }

    fn chart(&self, title: &'a str, unit: &'a str, y: Vec<Tick>, curves: Vec<Curve>) -> Chart<'a> {
        let invalid = self.spans.iter().zip(self.entries).filter(|(_, entry)| entry.invalid > 0).map(|(span, _)| *span);
        Chart {
            title,
            unit,
            label: format!("{title} of {}, {unit}", self.whose),
            y,
            curves: curves.into_iter().filter(|curve| !curve.path.is_empty()).collect(),
            invalid: joined(invalid).into_iter().map(|span| band(span, String::new())).collect(),
            timeline: self.timeline,
        }
    }

    fn line(&self, class: &'static str, name: &'static str, values: &[Option<f64>], axis: Axis) -> Curve {
        Curve { class, name, path: steps(&self.spans, values, axis), is_area: false }
    }

    fn rate(&self) -> Chart<'a> {
        let (answered, due) = (self.per_second(|entry| entry.answered), self.per_second(|entry| entry.due));
        let (axis, ticks) = Axis::up_to(largest(answered.iter().chain(&due)));
        // In closed loop what is due follows the answers; a second line would say nothing.
        let open = self.moments.iter().map(|moment| moment.state.open);
        let due: Vec<_> = due.into_iter().zip(open).map(|(due, open)| open.then_some(due)).collect();
        let answered: Vec<_> = answered.into_iter().map(Some).collect();
        let curves = vec![self.line("due", "came due", &due, axis), self.line("answered", "answered", &answered, axis)];
        self.chart("Rate", "requests per second", ticks_of(axis, &ticks, super::words::short), curves)
    }

    fn latency(&self) -> Chart<'a> {
        let quantile = |read: fn(&Entry) -> Option<u64>| -> Vec<Option<f64>> {
            self.entries.iter().map(|entry| read(entry).map(|us| us as f64)).collect()
        };
        let all = [
            ("max", "max", quantile(|entry| entry.latency.max())),
            ("p999", "p99.9", quantile(|entry| entry.latency.p999())),
            ("p99", "p99", quantile(|entry| entry.latency.p99())),
            ("p90", "p90", quantile(|entry| entry.latency.p90())),
            ("p50", "p50", quantile(|entry| entry.latency.p50())),
        ];
        let known = || all.iter().flat_map(|(_, _, values)| values).flatten();
        let smallest = known().copied().fold(f64::INFINITY, f64::min);
        let (axis, ticks) = Axis::decades(if smallest.is_finite() { smallest } else { 1.0 }, largest(known()));
        let curves = all.iter().map(|(class, name, values)| self.line(class, name, values, axis)).collect();
        let unit = "from the intended instant, logarithmic";
        self.chart("Latency", unit, ticks_of(axis, &ticks, super::words::round_micros), curves)
    }

    fn outcomes(&self) -> Chart<'a> {
        self.stacked("Outcomes", "per second, stacked", &KINDS)
    }

    /// The same without what is right, where there is something: one in a thousand could not be seen beside the others.
    fn not_right(&self) -> Option<Chart<'a>> {
        let any = self.entries.iter().any(|entry| KINDS[1..].iter().any(|(_, _, count)| count(entry) > 0));
        any.then(|| self.stacked("What was not right", "per second, stacked, on a scale of its own", &KINDS[1..]))
    }

    fn stacked(&self, title: &'a str, unit: &'a str, kinds: &[Kind]) -> Chart<'a> {
        let layers: Vec<_> = kinds.iter().map(|(_, _, count)| self.per_second(count)).collect();
        let tops: Vec<f64> = (0..self.spans.len()).map(|at| layers.iter().map(|layer| layer[at]).sum()).collect();
        let (axis, ticks) = Axis::up_to(largest(tops.iter()));
        let paths = stack(&self.spans, &layers, axis);
        let curves = kinds
            .iter()
            .zip(paths)
            .map(|((class, name, _), path)| Curve { class, name, path, is_area: true })
            .collect();
        self.chart(title, unit, ticks_of(axis, &ticks, super::words::short), curves)
    }

    /// Only in open loop.
    fn validity(&self) -> Option<Chart<'a>> {
        let ratios: Vec<Option<f64>> = self
            .moments
            .iter()
            .zip(self.entries)
            .map(|(moment, entry)| entry.rate_ratio().filter(|_| moment.state.open))
            .collect();
        let lowest = ratios.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        if !lowest.is_finite() {
            return None;
        }
        // Close to 1 the difference between valid and not must be seen.
        let from = [0.98, 0.95, 0.9, 0.8, 0.5].into_iter().find(|from| *from <= lowest).unwrap_or(0.0);
        let axis = Axis::Linear { from, to: 1.0 };
        // The more important first: one that would lie on another is left out.
        let mut ticks: Vec<f64> = Vec::new();
        for tick in [1.0, from, RATE_RATIO_MIN, (from + 1.0) / 2.0] {
            if ticks.iter().all(|other| (axis.part(*other) - axis.part(tick)).abs() > 0.12) {
                ticks.push(tick);
            }
        }
        let least = [(0.0, 1.0)];
        let threshold = Curve {
            class: "least",
            name: "valid from 0.99 on",
            path: steps(&least, &[Some(RATE_RATIO_MIN)], axis),
            is_area: false,
        };
        let curves = vec![threshold, self.line("ratio", "rate_ratio", &ratios, axis)];
        let y = ticks_of(axis, &ticks, |ratio| {
            format!("{ratio:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
        });
        Some(self.chart("Validity", "part of what was due that we sent in time", y, curves))
    }
}

/// Class, name, and how many of them an entry has.
type Kind = (&'static str, &'static str, fn(&Entry) -> u32);

/// What becomes of a request, each with its colour. From the bottom up.
const KINDS: [Kind; 5] = [
    ("right", "verified", |entry| entry.verified),
    ("wrong", "a header wrong", Entry::wrong),
    ("failed", "failed", Entry::failed),
    ("missed", "missed", |entry| entry.missed),
    ("own", "our own fault", |entry| entry.own_fault),
];

fn largest<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    values.copied().fold(0.0, f64::max)
}

fn ticks_of(axis: Axis, ticks: &[f64], text: impl Fn(f64) -> String) -> Vec<Tick> {
    ticks.iter().map(|tick| Tick { at: axis.part(*tick) * 100.0, text: text(*tick), class: "" }).collect()
}
