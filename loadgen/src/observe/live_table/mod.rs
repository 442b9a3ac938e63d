//! What a terminal shows while a run goes on; nothing where standard error is no terminal. Gone when the run is over.

mod frame;

use crate::engine::block::Block;
use crate::engine::clock::RunInstant;
use crate::engine::plan::{NS_PER_SECOND, Plan};
use crate::observe::progress::Bar;
use crate::observe::series::{Entry, Moment, Series, State};
use frame::Frame;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two drawings.
const REDRAW_NS: u64 = NS_PER_SECOND / 2;

/// The newest second that is over.
#[derive(Clone, Debug)]
pub struct Newest {
    pub moment: Moment,
    pub all: Entry,
    pub each: Vec<Entry>,
}

/// What there is to show at an instant.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub plan: &'a Plan,
    pub now: RunInstant,
    pub sums: &'a Block,
    pub newest: Option<&'a Newest>,
    pub series: &'a Series,
    /// Why Redis does not take what is counted.
    pub trouble: Option<&'a str>,
}

/// What is drawn.
#[derive(Debug)]
pub enum View {
    Nothing,
    /// One URL: a bar and one line.
    Bar(Bar),
    /// A line for each contestant.
    Table(Table),
}

impl View {
    /// `title`: what is run. One contestant gets the bar, unless it is a contest.
    pub fn new(plan: &Plan, title: &str, contest: bool, quiet: bool) -> View {
        if quiet || !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            View::Nothing
        } else if contest || plan.contestants.len() > 1 {
            View::Table(Table::new(title))
        } else {
            View::Bar(Bar::new(plan))
        }
    }

    pub fn show(&mut self, shown: Shown<'_>) {
        match self {
            View::Nothing => {}
            View::Bar(bar) => bar.show(shown.plan, shown.now, shown.sums),
            View::Table(table) => table.show(shown),
        }
    }

    /// Takes everything away, so that the summary stands alone.
    pub fn finish(&self) {
        match self {
            View::Nothing => {}
            View::Bar(bar) => bar.finish(),
            View::Table(table) => table.bar.finish_and_clear(),
        }
    }
}

/// Several lines, drawn as the message of one bar, which knows how to replace them without flicker.
#[derive(Debug)]
pub struct Table {
    bar: ProgressBar,
    title: String,
    next: RunInstant,
}

impl Table {
    fn new(title: &str) -> Table {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Table { bar, title: title.to_owned(), next: RunInstant::START }
    }

    fn show(&mut self, Shown { plan, now, sums, newest, series, trouble }: Shown<'_>) {
        if now < self.next {
            return;
        }
        self.next = now + REDRAW_NS;
        let frame = Frame { title: &self.title, plan, now, state: State::at(plan, now), sums, newest, series, trouble };
        self.bar.set_message(frame.lines().join("\n"));
    }
}
