//! The steps of breakpoint phases, decided again: what was counted in each judged hold, from the traces of all folders, and what
//! followed from it, by the ladders of all contestants from the first step on.
//!
//! What a decision says was counted must be what the traces say, and what Redis holds of it, which ranks and pays, must be what
//! follows. How many requests were late by us the traces only bound: none is one that was sent in time, and did not fall due while
//! our journal stood still, which the stream says itself. Where figures were not whole when somebody had to decide, as when a
//! generator had just died or rows came late, a decision knows less than the traces, says so, and must have judged nobody by it.

use super::decided::Decided;
use super::in_force::Since;
use super::judge::Judge;
use super::redis::HeldSteps;
use super::stream::Stream;
use flowtest_contest::Contest;
use flowtest_contest::breakpoint::{Bounds, Breakpoint, Climber, Climbs, Decision, HoldCounts, HoldSums, SETTLE_US};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::verdict::{Failure, Outcome};
use flowtest_journal::record::{ArchivedTrace, DecisionEntry, LateCause, NOTHING_ANSWERED, Observation, UNSETTLED};
use flowtest_journal::stream::{self, Record};
use std::collections::BTreeMap;

/// Instants are cut to microseconds, each by itself.
const CUT_US: u64 = 2;
/// A request that we came to later than this was late by us, and instants are cut to microseconds.
const LATE_US: u64 = 10_000 - 2;

/// What there is to say of the steps of a round: sentences about what is wrong, and how many decisions were made again.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The decisions of the journals, made again, in order.
    pub(super) decisions: Vec<Decision>,
    pub(super) wrong: Vec<String>,
    /// So many steps has the plan, and none of them was decided.
    pub(super) undecided: Option<u32>,
    /// Contestants in decisions whose figures were a part of what the traces say, and so judged nobody.
    pub(super) parts: usize,
    /// Nothing proves what was counted: outcomes have left no trace.
    pub(super) is_unproved: bool,
}

/// Decides all steps of a round again.
pub(super) fn audit(streams: &[Stream]) -> Steps {
    let mut steps = Steps::default();
    let decided = merged(streams, &mut steps.wrong);
    let beginning = streams.iter().find_map(|stream| stream.beginning.as_ref());
    let contest = beginning.and_then(|beginning| contest(&beginning.document));
    if decided.is_empty() {
        let planned = contest.map_or(0, |contest| contest.steps());
        let has_counted = streams.iter().any(|stream| stream.last_counted > 0);
        steps.undecided = (planned > 0 && has_counted).then_some(planned);
        return steps;
    }
    let Some(contest) = contest else {
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

/// A contest as a stream has it.
pub(in crate::journal) fn contest(document: &[u8]) -> Option<Contest> {
    serde_json::from_slice(document).ok().and_then(|document| Contest::from_json(document).ok())
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
        let mut pauses = Pauses::default();
        // What cannot be read was told.
        let _ = stream::read(&stream.folder, |group| {
            pauses.group(&group.records);
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
                    counts.late += u64::from(pauses.may_be_late(block.worker.to_native(), trace, intended));
                    count(counts, base, trace, &judges, timeout_us);
                }
            }
        });
    }
    counts
}

/// When the journal of a stream stood still, by worker: what falls due meanwhile is late, however short its lag is.
#[derive(Debug, Default)]
struct Pauses(BTreeMap<u16, Vec<(UtcUs, UtcUs)>>);

impl Pauses {
    /// Looks at a group. A pause stands before the traces of what waited for it, or in an earlier group.
    fn group(&mut self, records: &[Record<'_>]) {
        for record in records {
            let Record::Late(late) = record else { continue };
            let windows = late.windows.iter().filter(|window| window.cause == LateCause::Journal as u16);
            for window in windows {
                let (from, to) = (UtcUs(window.from.to_native()), UtcUs(window.to.to_native()));
                // What fell due in the turn before waits, too.
                let (from, to) = (from.saturating_sub(LATE_US + CUT_US), to.saturating_add(CUT_US));
                let known = self.0.entry(late.worker.to_native()).or_default();
                match known.last_mut() {
                    Some(last) if from <= last.1 => *last = (from.min(last.0), to.max(last.1)),
                    _ => known.push((from, to)),
                }
            }
        }
    }

    /// One that was never sent may have been late, too: its lag is the highest that there is.
    fn may_be_late(&self, worker: u16, trace: &ArchivedTrace, intended: UtcUs) -> bool {
        let known = self.0.get(&worker).map_or(&[][..], Vec::as_slice);
        let ended = known.partition_point(|(_, to)| *to < intended);
        let waited = known.get(ended).is_some_and(|(from, _)| *from <= intended);
        waited || u64::from(trace.lag_us.to_native()) >= LATE_US
    }
}

fn count(counts: &mut HoldCounts, base: UtcUs, trace: &ArchivedTrace, judges: &[(UtcUs, Judge)], timeout_us: u64) {
    let Some(Observation { outcome, .. }) = Observation::unpack(trace.observed.to_native()) else { return };
    let sent = trace.sent(base);
    counts.due += 1;
    match outcome {
        Outcome::Answered(observed) => {
            let place = judges.partition_point(|(at, _)| *at <= sent).saturating_sub(1);
            let is_verified = judges.get(place).is_some_and(|(_, judge)| judge.is_verified(observed, sent));
            counts.right += u64::from(is_verified);
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
    let timeout_us = contest.rules.timeout_us;
    let mut before: Option<&Decided> = None;
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
        compare_window(one, before.replace(one), terms, timeout_us, &mut steps.wrong);
        if !steps.is_unproved {
            steps.parts += compare_counts(one, climbs, counted, names, &mut steps.wrong);
        }
        let ours = again(climbs, one, names);
        compare_rates(one, &ours, names, &mut steps.wrong);
        steps.decisions.push(ours);
    }
}

/// A decision, made again by what it says was counted.
fn again(climbs: &mut Climbs, one: &Decided, names: &[&str]) -> Decision {
    let entries = one.entries.iter().enumerate();
    let measured = entries.map(|(place, entry)| (names.get(place).unwrap_or(&"?").to_string(), sums(entry)));
    climbs.decide(one.step, (one.from, one.to), measured)
}

/// All decisions, made again by what they say was counted.
///
/// # Errors
/// A sentence where one of them does not follow from it.
pub(in crate::journal) fn decided_again(
    contest: &Contest,
    decided: &BTreeMap<u32, Decided>,
    names: &[&str],
) -> Result<Vec<Decision>, String> {
    let mut steps = Steps { is_unproved: true, ..Steps::default() };
    decide_again(contest, decided, &vec![Vec::new(); decided.len()], names, &mut steps);
    match steps.wrong.into_iter().next() {
        Some(message) => Err(message),
        None => Ok(steps.decisions),
    }
}

/// What Redis holds of decisions, held against those of the journals. `is_live`: a journal may be behind. `forgotten`: so many
/// may be lacking.
pub(super) fn compare_held(ours: &[Decision], held: &HeldSteps, is_live: bool, forgotten: usize) -> Vec<String> {
    // Of figures that were not known to be whole no latency is kept.
    let plain = |decision: &Decision| {
        let mut decision = decision.clone();
        let unsettled = decision.climbers.iter_mut().filter(|climber| climber.sums.unsettled);
        unsettled.for_each(|climber| climber.sums.p99_us = None);
        decision
    };
    let mut wrong = Vec::new();
    for decision in &held.steps {
        match ours.iter().find(|ours| ours.step == decision.step) {
            Some(ours) if plain(ours) == plain(decision) => {}
            Some(ours) => wrong.push(different(ours, decision)),
            None if is_live => {}
            None => wrong.push(format!("Redis has a decision of step {}, and no journal here has one", decision.step)),
        }
    }
    let lost = ours.iter().filter(|ours| held.steps.iter().all(|decision| decision.step != ours.step)).count();
    if lost > forgotten {
        wrong.push(format!("Redis lacks what was decided of {lost} steps: `rebuild` puts it back"));
    }
    if let Some(newest) = &held.newest
        && held.steps.last().is_none_or(|last| last != newest)
    {
        wrong.push(format!(
            "the newest decision in Redis, of step {}, is not the last of its decisions: standings and results go by it",
            newest.step
        ));
    }
    if held.newest.is_none() && !held.steps.is_empty() {
        wrong.push("Redis lacks which decision is the newest, by which standings and results go".to_owned());
    }
    wrong
}

/// What Redis has forgotten of the decisions of a sealed round: it keeps them for a week, the oldest go first, and results were made
/// before. None where something else than the oldest is lacking, which nobody forgets.
pub(super) fn forgotten(ours: &[Decision], held: &HeldSteps) -> usize {
    let first = held.steps.first().or(held.newest.as_ref()).map_or(u32::MAX, |decision| decision.step);
    let is_old = |decision: &&Decision| decision.step < first;
    let is_there = |ours: &&Decision| held.steps.iter().any(|decision| decision.step == ours.step);
    let lost = ours.iter().filter(|decision| !is_there(decision)).count();
    if ours.iter().filter(is_old).count() == lost { lost } else { 0 }
}

/// Of whom Redis says something else than the journals.
fn different(ours: &Decision, held: &Decision) -> String {
    let step = ours.step;
    let other = held.climbers.iter().zip(&ours.climbers).find(|(held, ours)| held != ours);
    match other {
        Some((held, ours)) => format!(
            "{}: Redis says of step {step} that it holds {}/s (p99 {}, {}), and by the journals it is {}/s (p99 {}, {})",
            ours.contestant,
            held.holds,
            micros(held.holds_p99_us),
            ending(held),
            ours.holds,
            micros(ours.holds_p99_us),
            ending(ours)
        ),
        None => format!("Redis has another decision of step {step} than the journals"),
    }
}

fn ending(climber: &Climber) -> String {
    match (climber.unbroken, climber.breaks_at) {
        (Some(unbroken), _) => format!("unbroken: {}", unbroken.reason()),
        (None, Some(at)) => format!("breaks at {at}/s"),
        (None, None) => "not broken yet".to_owned(),
    }
}

/// Whether a hold was as long as it is to be, and a whole step behind the one before. Pauses only make both longer.
fn compare_window(
    one: &Decided,
    before: Option<&Decided>,
    terms: &Breakpoint,
    timeout_us: u64,
    wrong: &mut Vec<String>,
) {
    let step_us = terms.clock(0, timeout_us).step_us;
    if one.to.saturating_since(one.from) + CUT_US < terms.hold_us - SETTLE_US {
        wrong.push(format!(
            "step {} was judged by {} us of a hold, and it has {}",
            one.step,
            one.to.saturating_since(one.from),
            terms.hold_us - SETTLE_US
        ));
    }
    let Some(before) = before.filter(|before| before.judged < one.judged) else { return };
    let apart = u64::from(one.judged - before.judged).saturating_mul(step_us);
    if one.from.saturating_since(before.from) + CUT_US < apart {
        wrong.push(format!(
            "step {} was judged by a hold that began less than {apart} us behind that of step {}",
            one.step, before.step
        ));
    }
}

/// Whether a decision was made by what the traces say; of how many contestants it knew a part, which judges nobody.
fn compare_counts(
    one: &Decided,
    climbs: &Climbs,
    counted: &[HoldCounts],
    names: &[&str],
    wrong: &mut Vec<String>,
) -> usize {
    let mut parts = 0;
    for (place, (entry, traces)) in one.entries.iter().zip(counted).enumerate() {
        let (said, traced) = (sums(entry), HoldSums { late: entry.late, ..traces.sums() });
        if entry.late > traces.late {
            wrong.push(format!(
                "{}: step {} was decided by {} requests that were late by us, and by the traces {} at the most were",
                names.get(place).unwrap_or(&"?"),
                one.step,
                entry.late,
                traces.late
            ));
        }
        let is_part = said.due <= traced.due && said.right <= traced.right && said.own_fault <= traced.own_fault;
        // Of a hold that nobody heard whole, or knew to be, what was heard is a part.
        let may_lack = is_part && (said.unsettled || !said.is_whole(climbs.expected(place)));
        parts += usize::from(said != traced && may_lack);
        if said != traced && !may_lack {
            wrong.push(format!(
                "{}: step {} was decided by {} verified of {} requests ({} void, p99 {}), and the traces say {} of {} ({} void, p99 {})",
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
    parts
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
    use flowtest_journal::record::{Late, LateWindow, Trace};

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
        let entry = DecisionEntry { tried: 281, due: 562, right: 562, p99_us, late: 9, ..DecisionEntry::default() };
        let one = Decided { step: 1, judged: 0, from: UtcUs(1), to: UtcUs(2), entries: vec![entry] };
        let mut late = Vec::new();
        compare_counts(&one, &contest(), std::slice::from_ref(&traced), &["a"], &mut late);
        assert!(late.len() == 1 && late[0].contains("by the traces 0 at the most were"), "{late:?}");
        // (how much was heard, its p99, differences, the rate that follows)
        assert_eq!(wrong(562, p99_us), (0, 351), "all of it, and it passed");
        assert_eq!(wrong(560, p99_us), (1, 351), "who passes by less than the traces say is told");
        assert_eq!(wrong(560, UNSETTLED), (0, 281), "it was not known to be whole, and is held again");
        assert_eq!(wrong(563, UNSETTLED).0, 1, "nobody hears of more than there is");
        assert_eq!(wrong(300, p99_us), (0, 281), "as older journals have it");
    }

    #[test]
    fn what_fell_due_while_our_journal_stood_still_may_be_late_whatever_its_lag_is() {
        let window = |from, to, cause| LateWindow { from, to, cause: cause as u16 };
        let windows = vec![
            window(100_000, 101_000, LateCause::Journal),
            window(101_000, 300_000, LateCause::Journal),
            window(500_000, 520_000, LateCause::Gap),
        ];
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&Late { worker: 3, windows }).expect("archived");
        let mut pauses = Pauses::default();
        pauses.group(&[Record::Late(rkyv::access::<_, rkyv::rancor::Error>(&bytes).expect("valid"))]);
        let may_be_late = |worker, intended: u64, lag_us| {
            let trace = Trace { lag_us, ..Trace::default() };
            let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&trace).expect("archived");
            let trace = rkyv::access::<ArchivedTrace, rkyv::rancor::Error>(&bytes).expect("valid");
            pauses.may_be_late(worker, trace, UtcUs(intended))
        };
        // A request that is sent when the pause is over, and one of the turn before it.
        assert!(may_be_late(3, 299_900, 100) && may_be_late(3, 95_000, 9_000) && may_be_late(3, 100_500, 0));
        assert!(!may_be_late(3, 300_100, 100) && !may_be_late(3, 80_000, 9_000), "before and after");
        assert!(!may_be_late(2, 299_900, 100), "another worker's");
        assert!(!may_be_late(3, 515_000, 5_000) && may_be_late(3, 505_000, 15_000), "a gap is told by its lag");
    }

    /// A contest with a breakpoint phase of four steps, and what was decided of them for two.
    fn climbed() -> (Contest, BTreeMap<u32, Decided>) {
        let contest = Contest::from_toml(
            "name = \"climb\"\n[rules]\ntimeout = \"1s\"\n[[phase]]\nkind = \"breakpoint\"\nfor = \"36s\"\nstart = 300\n\
             step = \"x1.5\"\nhold = \"5s\"\npass = { right = 0.995, p99 = \"50ms\" }\nmax = 60000\nconnections = 64\n\
             [policy]\nallow = [\"127.0.0.0/8\"]\n[[contestant]]\nname = \"alice\"\nendpoint = \"127.0.0.1:1\"\n\
             [[contestant]]\nname = \"bob\"\nendpoint = \"127.0.0.1:2\"\n",
        );
        let contest = contest.expect("a contest");
        let (first, terms, bounds) = contest.bounded_breakpoints()[0];
        let mut climbs = Climbs::new(terms, first).within(bounds);
        let mut rates = [300, 300];
        let decided = (1..=4).map(|step| {
            let sums = [0, 1].map(|place| {
                let due = climbs.expected(place);
                let right = if rates[place] > [10_000, 400][place] { due / 2 } else { due };
                HoldSums { due, right, p99_us: Some(1_000), ..HoldSums::default() }
            });
            let from = u64::from(step) * 9_000_000;
            let names = ["alice".to_owned(), "bob".to_owned()];
            let decision = climbs.decide(step, (UtcUs(from), UtcUs(from + 4_000_000)), names.into_iter().zip(sums));
            rates = [decision.climbers[0].rate, decision.climbers[1].rate];
            let recorded = crate::play::steps::recorded(&decision, UtcUs(0));
            let (from, to) = (UtcUs(recorded.from), UtcUs(recorded.to));
            (step, Decided { step, judged: recorded.judged, from, to, entries: recorded.entries })
        });
        let decided = decided.collect();
        (contest, decided)
    }

    #[test]
    fn whatever_of_a_decision_does_not_follow_from_its_figures_is_told() {
        let (contest, decided) = climbed();
        let again = |decided: &BTreeMap<u32, Decided>| decided_again(&contest, decided, &["alice", "bob"]);
        assert_eq!(again(&decided).expect("all follow").len(), 4);
        type Change = fn(&mut Decided);
        let changes: [(&str, Change, &str); 6] = [
            ("more than it holds", |one| one.entries[1].holds = 90_000, "bob: step 2 was decided as"),
            ("another rate", |one| one.entries[0].rate += 1, "alice: step 2 was decided as"),
            ("more right answers", |one| one.entries[1].right = one.entries[1].due, "bob: step"),
            ("a shorter hold", |one| one.to = UtcUs(one.to.0 - 1_000), "was judged by 3999000 us of a hold"),
            (
                "another hold",
                |one| (one.from, one.to) = (UtcUs(9_500_000), UtcUs(13_500_000)),
                "less than 9000000 us behind",
            ),
            ("of another step", |one| one.judged = 0, "a journal is missing, or a decision"),
        ];
        for (what, change, told) in changes {
            let mut forged = decided.clone();
            change(forged.get_mut(&2).expect("the second"));
            let message = again(&forged).expect_err(what);
            assert!(message.contains(told), "{what}: {message}");
        }
    }

    #[test]
    fn what_redis_says_of_decisions_is_held_against_the_journals() {
        let (contest, decided) = climbed();
        let ours = decided_again(&contest, &decided, &["alice", "bob"]).expect("all follow");
        let held = |steps: &[Decision], newest: Option<&Decision>| {
            let held = HeldSteps { steps: steps.to_vec(), newest: newest.cloned() };
            compare_held(&ours, &held, false, 0)
        };
        assert_eq!(held(&ours, ours.last()), Vec::<String>::new());
        let mut forged = ours.clone();
        forged[3].climbers[1].holds = 90_000;
        let told = held(&forged, forged.last());
        assert!(told.len() == 1 && told[0].starts_with("bob: Redis says of step 4 that it holds 90000/s"), "{told:?}");
        let mut better = ours.clone();
        better[3].climbers[0].holds_p99_us = Some(1);
        assert_eq!(held(&better, better.last()).len(), 1, "what decides a tie");
        assert!(held(&ours, Some(&forged[3]))[0].contains("is not the last"), "only the newest");
        assert!(held(&ours[..2], Some(&ours[1]))[0].contains("lacks what was decided of 2 steps"));
        assert_eq!(held(&[], None).len(), 1, "all are lost");
        // A week after the round Redis forgets, the oldest first.
        let lost = |steps: &[Decision], newest: Option<&Decision>| {
            let held = HeldSteps { steps: steps.to_vec(), newest: newest.cloned() };
            let forgotten = forgotten(&ours, &held);
            (forgotten, compare_held(&ours, &held, false, forgotten).len())
        };
        assert_eq!(lost(&[], None), (4, 0));
        assert_eq!(lost(&ours[2..], ours.last()), (2, 0));
        assert_eq!(lost(&[], ours.last()), (0, 2), "the last one is kept as long as what says that it is the last");
        assert_eq!(lost(&[&ours[..1], &ours[2..]].concat(), ours.last()), (0, 1), "nobody forgets one in the middle");
        assert_eq!(lost(&ours[..2], None), (0, 2));
        let more = Decision { step: 5, judged: 4, ..ours[3].clone() };
        let more = [&ours[..], &[more]].concat();
        assert!(held(&more, more.last())[0].contains("no journal here has one"));
    }
}
