//! One check: what was looked at, how it ended, and what was found.

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Go,
    /// It can be armed, and somebody should look.
    Warn,
    /// It must not be armed.
    No,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: a contestant, a generator, `Redis`, ...
    pub what: String,
    pub group: Group,
    pub mark: Mark,
    /// What was found, and the next step.
    pub message: String,
}

/// Where a check stands on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Platform,
    Generator,
    Contestant,
}

/// The worst of all.
pub fn verdict(checks: &[Check]) -> Mark {
    checks.iter().map(|check| check.mark).max().unwrap_or(Mark::No)
}

/// The checks so far.
#[derive(Debug, Default)]
pub(super) struct List(pub(super) Vec<Check>);

impl List {
    pub(super) fn add(&mut self, group: Group, what: &str, mark: Mark, message: impl Into<String>) {
        self.0.push(Check { what: what.to_owned(), group, mark, message: message.into() });
    }
}
