//! One bar and one line on a terminal, for a run against one URL.

use crate::engine::block::Block;
use crate::engine::clock::RunInstant;
use crate::engine::plan::{NS_PER_SECOND, Plan};
use flowtest_contract::text::{grouped, micros};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;

#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// Answers and instant at the last look, for the rate.
    last: Cell<(u64, RunInstant)>,
    start: RunInstant,
}

impl Bar {
    pub fn new(plan: &Plan) -> Bar {
        let start = plan.schedule.run_clock(plan.start());
        let total =
            plan.requests.map_or((plan.end() - plan.start()) / 1_000_000, |each| each * plan.contestants.len() as u64);
        let bar = ProgressBar::new(total.max(1));
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("  {bar:30} {elapsed:>3}  {msg}") {
            bar.set_style(style);
        }
        Bar { bar, last: Cell::new((0, start)), start }
    }

    /// Shows the sums as they were at `now`.
    pub fn show(&self, plan: &Plan, now: RunInstant, sums: &Block) {
        let (mut answers, mut verified, mut failures, mut due) = (0, 0, 0, 0);
        for counts in sums.scored.iter().chain(&sums.unscored) {
            answers += counts.row.tally.responses();
            verified += counts.meter.verified;
            failures += counts.row.tally.failures();
        }
        for counts in &sums.scored {
            due += counts.row.tally.due;
        }
        let (before, then) = self.last.replace((answers, now));
        let elapsed = now.saturating_since(then).max(1);
        let rate = (u128::from(answers - before) * u128::from(NS_PER_SECOND) / u128::from(elapsed)) as u64;
        let p99 = sums.scored.iter().filter_map(|counts| counts.row.latency.quantile(0.99)).max();
        self.bar.set_position(match plan.requests {
            Some(_) => due,
            None => now.saturating_since(self.start) / 1_000_000,
        });
        self.bar.set_message(format!(
            "{}/s  verified {}  wrong or failed {}  p99 {}",
            grouped(rate),
            grouped(verified),
            grouped(answers - verified + failures),
            p99.map_or_else(|| "-".to_owned(), micros),
        ));
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
