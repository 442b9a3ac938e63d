//! A decision about a step of a breakpoint phase, as a stream has it.

use flowtest_contract::rules::UtcUs;
use flowtest_journal::record::{ArchivedDecision, ArchivedDecisionEntry, DecisionEntry};

/// A decision as a stream has recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub step: u32,
    pub judged: u32,
    pub from: UtcUs,
    pub to: UtcUs,
    pub entries: Vec<DecisionEntry>,
}

impl Decided {
    pub fn new(decision: &ArchivedDecision) -> Decided {
        let entry = |entry: &ArchivedDecisionEntry| DecisionEntry {
            tried: entry.tried.to_native(),
            due: entry.due.to_native(),
            right: entry.right.to_native(),
            own_fault: entry.own_fault.to_native(),
            late: entry.late.to_native(),
            p99_us: entry.p99_us.to_native(),
            rate: entry.rate.to_native(),
            rest: entry.rest.to_native(),
            holds: entry.holds.to_native(),
            contestant: entry.contestant.to_native(),
        };
        Decided {
            step: decision.step.to_native(),
            judged: decision.judged.to_native(),
            from: UtcUs(decision.from.to_native()),
            to: UtcUs(decision.to.to_native()),
            entries: decision.entries.iter().map(entry).collect(),
        }
    }
}
