//! The steps of breakpoint phases, decided again: what was counted in each judged hold, from the traces of all folders, and what
//! followed from it, by the ladders of all contestants from the first step on.
//!
//! What a decision says was counted must be what the traces say. Where figures were not whole when somebody had to decide, as
//! when a generator had just died or rows came late, a decision knows less than the traces, says so, and must have judged nobody by
//! it.

use super::decided::Decided;
use super::in_force::Since;
use super::judge::Judge;
use super::stream::Stream;
use flowtest_contest::Contest;
use flowtest_contest::breakpoint::{Bounds, Breakpoint, Climbs, Decision, HoldCounts, HoldSums};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::verdict::{Failure, Outcome};
use flowtest_journal::record::{ArchivedTrace, DecisionEntry, NOTHING_ANSWERED, Observation, UNSETTLED};
use flowtest_journal::stream::{self, Record};
use std::collections::BTreeMap;

/// What there is to say of the steps of a round: sentences about what is wrong, and how many decisions were made again.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) decisions: usize,
    pub(super) wrong: Vec<String>,
    /// Nothing proves what was counted: outcomes have left no trace.
    pub(super) is_unproved: bool,
}

/// Decides all steps of a round again.
pub(super) fn audit(streams: &[Stream]) -> Steps {
    let mut steps = Steps::default();
    let decided = merged(streams, &mut steps.wrong);
    steps.decisions = decided.len();
    if decided.is_empty() {
        return steps;
    }
    let beginning = streams.iter().find_map(|stream| stream.beginning.as_ref());
    let contest = beginning.and_then(|beginning| serde_json::from_slice(&beginning.document).ok());
    let Some(contest) = contest.and_then(|document| Contest::from_json(document).ok()) else {
        steps
            .wrong
            .push("the contest of the round cannot be read, so that its steps cannot be decided again".to_owned());
        return steps;
    };
    steps.is_unproved = streams.iter().any(|stream| stream.untraced > 0);
    let names: Vec<&str> = streams
        .iter()
        .filter_map(|stream| stream.beginning.as_ref())
        .map(|beginning| &beginning.names)
        .max_by_key(|names| names.len())
        .map_or_else(Vec::new, |names| names.iter().map(String::as_str).collect());
    let windows: Vec<(UtcUs, UtcUs)> = decided.values().map(|one| (one.from, one.to)).collect();
    let counted = counted(streams, &windows, names.len());
    decide_again(&contest, &decided, &counted, &names, &mut steps);
    steps
}

/// The decisions of all streams by their steps: each stands in one form.
fn merged(streams: &[Stream], wrong: &mut Vec<String>) -> BTreeMap<u32, Decided> {
    let mut merged: BTreeMap<u32, Decided> = BTreeMap::new();
    for stream in streams {
        for decided in &stream.decisions {
            let known = merged.entry(decided.step).or_insert_with(|| decided.clone());
            if known != decided {
                wrong.push(format!(
                    "stream {} has heard another decision of step {} than others",
                    stream.folder.stream, decided.step
                ));
            }
        }
    }
    merged
}

/// What fell due in each window, by the traces of all streams.
fn counted(streams: &[Stream], windows: &[(UtcUs, UtcUs)], contestants: usize) -> Vec<Vec<HoldCounts>> {
    let mut counts = vec![vec![HoldCounts::default(); contestants]; windows.len()];
    for stream in streams {
        let Some(beginning) = &stream.beginning else { continue };
        let judge = |since: &Since| (since.at, Judge::new(beginning.rules, since.deadlines));
        let judges: Vec<(UtcUs, Judge)> = stream.in_force.iter().map(judge).collect();
        let timeout_us = beginning.rules.timeout_us;
        // What cannot be read was told.
        let _ = stream::read(&stream.folder, |group| {
            for record in &group.records {
                let Record::Traces(block) = record else { continue };
                let base = UtcUs(block.base.to_native());
                for trace in block.traces.iter() {
                    let intended = trace.intended(base);
                    // Windows lie one behind the other.
                    let begun = windows.partition_point(|(from, _)| *from <= intended);
                    let Some(window) = begun.checked_sub(1).filter(|window| intended < windows[*window].1) else {
                        continue;
                    };
                    let Some(counts) = counts[window].get_mut(usize::from(trace.contestant.to_native())) else {
                        continue;
                    };
                    count(counts, base, trace, &judges, timeout_us);
                }
            }
        });
    }
    counts
}

fn count(counts: &mut HoldCounts, base: UtcUs, trace: &ArchivedTrace, judges: &[(UtcUs, Judge)], timeout_us: u64) {
    let Some(Observation { outcome, .. }) = Observation::unpack(trace.observed.to_native()) else { return };
    let sent = trace.sent(base);
    counts.due += 1;
    match outcome {
        Outcome::Answered(observed) => {
            let place = judges.partition_point(|(at, _)| *at <= sent).saturating_sub(1);
            let is_right = judges.get(place).is_some_and(|(_, judge)| judge.is_wholly_right(observed, sent));
            counts.right += u64::from(is_right);
            counts.latency.record(trace.latency_us.to_native().into());
        }
        Outcome::Failed(Failure::Status) => counts.latency.record(trace.latency_us.to_native().into()),
        Outcome::Failed(Failure::Timeout | Failure::Missed) => counts.latency.record(timeout_us),
        Outcome::Failed(Failure::OwnFault) => counts.own_fault += 1,
        Outcome::Failed(Failure::Refused | Failure::Reset | Failure::Malformed | Failure::Tls) => {}
    }
}

fn decide_again(
    contest: &Contest,
    decided: &BTreeMap<u32, Decided>,
    counted: &[Vec<HoldCounts>],
    names: &[&str],
    steps: &mut Steps,
) {
    // By the number of their first step.
    let phases = contest.bounded_breakpoints().into_iter().map(|(first, terms, bounds)| (first, (terms, bounds)));
    let phases: BTreeMap<u32, (Breakpoint, Bounds)> = phases.collect();
    let mut climbs: Option<(u32, Climbs)> = None;
    for (one, counted) in decided.values().zip(counted) {
        let Some((first, (terms, bounds))) = phases.range(..one.step).next_back() else {
            steps.wrong.push(format!("step {} belongs to no breakpoint phase of the plan", one.step));
            continue;
        };
        let (_, climbs) = match &mut climbs {
            Some(climbs) if climbs.0 == *first => climbs,
            other => other.insert((*first, Climbs::new(*terms, *first).within(*bounds))),
        };
        if one.judged != climbs.tried() {
            steps.wrong.push(format!(
                "step {} was decided by the hold of step {}, and the one before it was of step {}: a journal is missing, or a \
                 decision",
                one.step,
                one.judged,
                climbs.tried()
            ));
        }
        if !steps.is_unproved {
            compare_counts(one, climbs, counted, names, &mut steps.wrong);
        }
        let ours =
            climbs.decide(one.step, (one.from, one.to), one.entries.iter().map(|entry| (String::new(), sums(entry))));
        compare_rates(one, &ours, names, &mut steps.wrong);
    }
}

/// Whether a decision was made by what the traces say.
fn compare_counts(one: &Decided, climbs: &Climbs, counted: &[HoldCounts], names: &[&str], wrong: &mut Vec<String>) {
    for (place, (entry, traces)) in one.entries.iter().zip(counted).enumerate() {
        let (said, traced) = (sums(entry), HoldSums { late: entry.late, ..traces.sums() });
        let is_part = said.due <= traced.due && said.right <= traced.right && said.own_fault <= traced.own_fault;
        // Of a hold that nobody heard whole, or knew to be, what was heard is a part.
        let may_lack = is_part && (said.unsettled || !said.is_whole(climbs.expected(place)));
        if said != traced && !may_lack {
            wrong.push(format!(
                "{}: step {} was decided by {} right of {} requests ({} void, p99 {}), and the traces say {} of {} ({} void, p99 {})",
                names.get(place).unwrap_or(&"?"),
                one.step,
                said.right,
                said.due,
                said.own_fault,
                micros(said.p99_us),
                traced.right,
                traced.due,
                traced.own_fault,
                micros(traced.p99_us)
            ));
        }
    }
}

fn compare_rates(one: &Decided, ours: &Decision, names: &[&str], wrong: &mut Vec<String>) {
    for (place, (entry, ours)) in one.entries.iter().zip(&ours.climbers).enumerate() {
        let said = [entry.tried, entry.rate, entry.rest, entry.holds];
        let expected = [ours.tried, ours.rate, ours.rest, ours.holds];
        if said != expected {
            let text =
                |[tried, rate, rest, holds]: [u64; 4]| format!("{tried}/s, then {rate}/s or {rest}/s, holds {holds}/s");
            wrong.push(format!(
                "{}: step {} was decided as {}, and by its figures it is {}",
                names.get(place).unwrap_or(&"?"),
                one.step,
                text(said),
                text(expected)
            ));
        }
    }
}

fn sums(entry: &DecisionEntry) -> HoldSums {
    let DecisionEntry { due, right, own_fault, late, p99_us, .. } = *entry;
    let is_answered = !matches!(p99_us, NOTHING_ANSWERED | UNSETTLED);
    let p99_us = is_answered.then_some(p99_us);
    HoldSums { due, right, own_fault, late, p99_us, unsettled: entry.p99_us == UNSETTLED }
}

fn micros(us: Option<u64>) -> String {
    us.map_or_else(|| "-".to_owned(), crate::observe::summary::micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::ladder::{LadderTerms, Pass, Step};

    #[test]
    fn a_step_that_was_decided_by_late_figures_must_have_judged_nobody() {
        let ladder = LadderTerms {
            start: 281,
            step: Step::Times(1.25),
            max: 10_000,
            pass: Pass { right: 0.995, p99_us: 50_000 },
        };
        let contest = || Climbs::new(Breakpoint { ladder, hold_us: 3_000_000 }, 0);
        let mut traced = HoldCounts { due: 562, right: 562, ..HoldCounts::default() };
        (0..562).for_each(|_| traced.latency.record(1_000));
        let p99_us = traced.sums().p99_us.expect("answered");
        let wrong = |due, p99_us| {
            let entry = DecisionEntry { tried: 281, due, right: due, p99_us, ..DecisionEntry::default() };
            let one = Decided { step: 1, judged: 0, from: UtcUs(1), to: UtcUs(2), entries: vec![entry] };
            let mut wrong = Vec::new();
            compare_counts(&one, &contest(), std::slice::from_ref(&traced), &["a"], &mut wrong);
            let ours = contest().decide(1, (one.from, one.to), [(String::new(), sums(&one.entries[0]))]);
            (wrong.len(), ours.climbers[0].rate)
        };
        // (how much was heard, its p99, differences, the rate that follows)
        assert_eq!(wrong(562, p99_us), (0, 351), "all of it, and it passed");
        assert_eq!(wrong(560, p99_us), (1, 351), "who passes by less than the traces say is told");
        assert_eq!(wrong(560, UNSETTLED), (0, 281), "it was not known to be whole, and is held again");
        assert_eq!(wrong(563, UNSETTLED).0, 1, "nobody hears of more than there is");
        assert_eq!(wrong(300, p99_us), (0, 281), "as older journals have it");
    }
}
