//! "What if": another contest file's rules and deadlines over the same exchanges.

use super::beginning::{Beginning, contest};
use super::finding::{Finding, Kind};
use super::judge::Judge;
use crate::Failed;
use flowtest_contest::Contest;
use flowtest_contest::contest::{Start, When};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::text::shown;
use flowtest_contract::{Deadline, Rules, Tally};
use std::path::Path;

#[derive(Clone, Debug)]
pub struct WhatIf {
    contest: Contest,
}

/// The answer for one stream.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Of each contestant, by the traces alone.
    pub points: Vec<i128>,
}

impl WhatIf {
    pub fn read(path: &Path) -> Result<WhatIf, Failed> {
        let shown = shown(path);
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failed::Usage(format!("{shown}: the contest file cannot be read ({error})")))?;
        let contest = Contest::from_toml(&text).map_err(|error| Failed::Usage(format!("{shown}: {error}")))?;
        Ok(WhatIf { contest })
    }

    pub fn rules(&self) -> &Rules {
        &self.contest.rules
    }

    /// How a stream is judged. Deadlines after the start count from the start of the round that was played.
    pub fn judge(&self, beginning: &Beginning) -> Judge {
        Judge::new(self.contest.rules, self.contest.deadlines(start(beginning)))
    }

    pub fn answer(&self, tallies: &[Tally]) -> Answer {
        Answer { points: tallies.iter().map(|tally| tally.points(&self.contest.rules)).collect() }
    }

    /// What the answer does not say of streams that begin so. `untraced`: outcomes without a trace, of all of them.
    pub fn limits<'a>(&self, beginnings: impl IntoIterator<Item = &'a Beginning>, untraced: u64) -> Vec<Finding> {
        let mut limits = Vec::new();
        let other = |beginning: &Beginning| beginning.rules.timeout_us != self.contest.rules.timeout_us;
        if beginnings.into_iter().any(other) {
            limits.push(remark(
                "what if: the timeout differs from the one that was played; exchanges that timed out stay timed out, \
                 and answers that were in time stay answers",
            ));
        }
        if untraced > 0 {
            limits.push(remark("what if: its points are of traced exchanges only, and not all are traced"));
        }
        limits
    }
}

fn remark(text: &str) -> Finding {
    Finding::of_all(Kind::WhatIf, false, text.to_owned())
}

/// When the round started: as its contest says, or as its deadlines show, or else when its journal did.
fn start(beginning: &Beginning) -> UtcUs {
    let Some(contest) = contest(&beginning.document) else { return beginning.at };
    if let Start::At(at) = contest.start {
        return at;
    }
    let shown = |when: Option<When>, deadline: Deadline| match when {
        Some(When::AfterStart { us }) => deadline.0.0.checked_sub(us).map(UtcUs),
        _ => None,
    };
    shown(contest.deadlines.version, beginning.deadlines.version)
        .or_else(|| shown(contest.deadlines.from, beginning.deadlines.from))
        .unwrap_or(beginning.at)
}
