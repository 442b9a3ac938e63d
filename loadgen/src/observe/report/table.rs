//! The table that says what the curves say.

use crate::engine::plan::{Plan, WrittenPhase};
use crate::observe::series::{Entry, Moment, RoundPart, thinned};
use crate::observe::summary::clock;
use flowtest_contract::text::{grouped, micros};
use sailfish::{RenderError, TemplateSimple};

struct SecondsRow {
    is_valid: bool,
    cells: Vec<String>,
}

#[derive(TemplateSimple)]
#[template(path = "seconds.stpl")]
struct Seconds {
    summary: String,
    open: bool,
    busy: bool,
    rows: Vec<SecondsRow>,
}

/// At most so many rows; more seconds share one.
pub(super) fn render(plan: &Plan, moments: &[Moment], entries: &[Entry], most: usize) -> Result<String, RenderError> {
    let (moments, entries) = thinned(moments, entries, most);
    let open = moments.iter().any(|moment| moment.state.open);
    let busy = moments.iter().any(|moment| moment.busy.is_some());
    let each = moments.first().map_or(1, |moment| moment.length_ms.div_ceil(1_000));
    let summary =
        if each > 1 { format!("The same as a table, {each} s to a row") } else { "The same as a table".to_owned() };
    let rows = moments.iter().zip(&entries).map(|(moment, entry)| {
        let cells = cells(part(plan, moment), moment, entry, open, busy);
        SecondsRow { is_valid: entry.invalid == 0, cells }
    });
    Seconds { summary, open, busy, rows: rows.collect() }.render_once()
}

/// What was played, as the contest file has it.
fn part(plan: &Plan, moment: &Moment) -> String {
    let number = match moment.state.part {
        RoundPart::Phase(number) => usize::from(number),
        RoundPart::Paused => return "paused".to_owned(),
        RoundPart::NoShare => return "no share".to_owned(),
        RoundPart::Draining => return "draining".to_owned(),
    };
    let WrittenPhase { number, step, .. } = plan.written(number);
    let step = step.map_or_else(String::new, |step| format!(", step {step}"));
    format!("phase {number}{step}{}", if moment.state.scored { "" } else { ", not scored" })
}

fn cells(part: String, moment: &Moment, entry: &Entry, open: bool, busy: bool) -> Vec<String> {
    let nothing = || "–".to_owned();
    let us = |value: Option<u64>| value.map_or_else(nothing, micros);
    let rate = |count: u32| grouped(moment.per_second(count).round() as u64);
    let count = |count: u32| grouped(u64::from(count));
    let latency = entry.latency;
    let mut cells = vec![clock(u64::from(moment.start_ms / 1_000)), part];
    cells.extend([entry.due, entry.answered, entry.verified].map(rate));
    cells.extend([entry.wrong(), entry.failed(), entry.missed, entry.own_fault].map(count));
    cells.extend([latency.p50(), latency.p90(), latency.p99(), latency.p999(), latency.max()].map(us));
    if open {
        let ratio = entry.rate_ratio().filter(|_| moment.state.open);
        cells.push(ratio.map_or_else(nothing, |ratio| format!("{ratio:.4}")));
        cells.push(us(moment.lag_us.map(u64::from)));
    }
    if busy {
        cells.push(moment.busy.map_or_else(nothing, |busy| format!("{} %", busy / 10)));
    }
    cells
}
