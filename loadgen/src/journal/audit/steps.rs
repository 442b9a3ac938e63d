//! The steps of breakpoint phases, decided again: what was counted in each judged hold, from the traces of all folders, and what
//! followed from it, by the ladders of all contestants from the first step on.
//!
//! What a decision says was counted must be what the traces say, and what Redis holds of it, which ranks and pays, must be what
//! follows. How many requests were late by us the windows of lateness bound, which the stream says itself: what fell due in a turn
//! that came late was late, and what fell due outside all windows was not, however long a server let it wait. Where figures were not whole when somebody had to decide, as when a
//! generator had just died or rows came late, a decision knows less than the traces, says so, and must have judged nobody by it.

use super::beginning::contest;
use super::decided::Decided;
use super::in_force::Since;
use super::judge::Judge;
use super::late::{self, CUT_US, LATE_US};
use super::redis::HeldSteps;
use super::stream::Stream;
use flowtest_contest::Contest;
use flowtest_contest::breakpoint::{Bounds, Breakpoint, Climber, Climbs, Decision, HoldCounts, HoldSums, SETTLE_US};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::verdict::{Failure, Outcome};
use flowtest_journal::record::{ArchivedTrace, DecisionEntry, LateCause, NOTHING_ANSWERED, Observation, UNSETTLED};
use flowtest_journal::stream::{self, Record};
use flowtest_scoreboard::breakpoint::LIFE_SECONDS;
use std::collections::BTreeMap;

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

/// What the traces say of a contestant in a hold.
#[derive(Clone, Debug, Default)]
struct Traced {
    /// So many may have been late at the most.
    counts: HoldCounts,
    /// And so many were.
    late_least: u64,
}

/// Whether we came late to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lateness {
    InTime,
    Perhaps,
    Late,
}

/// What fell due in each window, by the traces of all streams.
fn counted(streams: &[Stream], windows: &[(UtcUs, UtcUs)], contestants: usize) -> Vec<Vec<Traced>> {
    let mut counts = vec![vec![Traced::default(); contestants]; windows.len()];
    for stream in streams {
        let Some(beginning) = &stream.beginning else { continue };
        let judge = |since: &Since| (since.at, Judge::new(beginning.rules, since.deadlines));
        let judges: Vec<(UtcUs, Judge)> = stream.in_force.iter().map(judge).collect();
        let timeout_us = beginning.rules.timeout_us;
        let mut late = LateWindows::new(timeout_us);
        // What cannot be read was told.
        let _ = stream::read(&stream.folder, |group| {
            late.group(&group.records);
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
                    let Some(traced) = counts[window].get_mut(usize::from(trace.contestant.to_native())) else {
                        continue;
                    };
                    let lateness = late.of(block.worker.to_native(), trace, intended);
                    // What is void is not counted as late.
                    let observation = Observation::unpack(trace.observed.to_native());
                    let is_void = observation.is_some_and(|one| one.outcome == Outcome::Failed(Failure::OwnFault));
                    traced.counts.late += u64::from(lateness != Lateness::InTime && !is_void);
                    traced.late_least += u64::from(lateness == Lateness::Late && !is_void);
                    if let Some(Observation { outcome, .. }) = observation {
                        count(&mut traced.counts, base, trace, outcome, &judges, timeout_us);
                    }
                }
            }
        });
    }
    counts
}

/// When the workers of a stream were late, by worker, as it says itself: from, to, why. Their ends rise, nearly.
#[derive(Debug)]
struct LateWindows {
    known: BTreeMap<u16, Vec<(UtcUs, UtcUs, LateCause)>>,
    timeout_us: u64,
}

impl LateWindows {
    fn new(timeout_us: u64) -> LateWindows {
        LateWindows { known: BTreeMap::new(), timeout_us }
    }

    /// Looks at a group. A window stands before the traces of what fell due in it, or in an earlier group.
    fn group(&mut self, records: &[Record<'_>]) {
        for record in records {
            let Record::Late(late) = record else { continue };
            for window in late.windows.iter() {
                let cause = match LateCause::from_code(window.cause.to_native()) {
                    // A thread that never rested, and came to what fell due in time.
                    Some(LateCause::Busy) => continue,
                    cause => cause.unwrap_or(LateCause::Control),
                };
                let known = self.known.entry(late.worker.to_native()).or_default();
                let (from, to) = (UtcUs(window.from.to_native()), UtcUs(window.to.to_native()));
                // One pause is told turn by turn.
                match known.last_mut() {
                    Some(last) if cause == LateCause::Journal && last.2 == cause && from <= last.1 => {
                        last.1 = last.1.max(to);
                    }
                    _ => known.push((from, to, cause)),
                }
            }
        }
    }

    /// Whether we came late to a request that fell due then. One of which nothing but its lag is long has waited for its server.
    fn of(&self, worker: u16, trace: &ArchivedTrace, intended: UtcUs) -> Lateness {
        let known = self.known.get(&worker).map_or(&[][..], Vec::as_slice);
        // Never sent: its lag is the highest that there is.
        let is_long = u64::from(trace.lag_us.to_native()) + CUT_US >= LATE_US;
        let ended = known.partition_point(|(_, to, _)| to.saturating_add(self.timeout_us) < intended);
        let near = known[ended..].iter().take_while(|(from, ..)| *from <= intended.saturating_add(self.timeout_us));
        let mut lateness = Lateness::InTime;
        for &(from, to, cause) in near {
            let (begun, over) = (from.saturating_sub(CUT_US), to.saturating_add(CUT_US));
            match cause {
                // A turn that came late: what fell due since the one before, more than so much before its end.
                LateCause::Gap => {
                    if is_long && begun <= intended && intended.saturating_add(LATE_US) <= over {
                        lateness = Lateness::Perhaps;
                    }
                    let is_over = intended.saturating_add(self.timeout_us) <= over;
                    if late::is_certain(from, to, intended) && !is_over {
                        return Lateness::Late;
                    }
                }
                // What fell due in the turn before waits, too.
                LateCause::Journal if begun.saturating_sub(LATE_US) <= intended && intended <= over => {
                    lateness = Lateness::Perhaps;
                }
                LateCause::Journal => {}
                // Something else that took long: it is told when it is over.
                _ if is_long && begun.saturating_sub(self.timeout_us) <= intended && intended <= over => {
                    lateness = Lateness::Perhaps;
                }
                _ => {}
            }
        }
        lateness
    }
}

fn count(
    counts: &mut HoldCounts,
    base: UtcUs,
    trace: &ArchivedTrace,
    outcome: Outcome,
    judges: &[(UtcUs, Judge)],
    timeout_us: u64,
) {
    let sent = trace.sent(base);
    counts.due += 1;
    match outcome {
        Outcome::Answered(observed) => {
            let place = judges.partition_point(|(at, _)| *at <= sent).saturating_sub(1);
            let is_verified = judges.get(place).is_some_and(|(_, judge)| judge.is_verified(observed, sent));
            counts.verified += u64::from(is_verified);
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
    counted: &[Vec<Traced>],
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
        // Steps of another phase are of another length.
        let before = before.replace(one).filter(|before| before.judged >= *first);
        compare_window(one, before, terms, timeout_us, &mut steps.wrong);
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

/// What Redis has forgotten of the decisions of a sealed round: it keeps each for a week, and results were made before. What is
/// lacking and is younger somebody has taken away, or Redis has lost it: that is no forgetting.
pub(super) fn forgotten(ours: &[Decision], held: &HeldSteps) -> usize {
    // It was put after its hold.
    let is_over = |ours: &&Decision| ours.to.saturating_add(LIFE_SECONDS * 1_000_000) <= held.at;
    let is_there = |ours: &Decision| held.steps.iter().any(|decision| decision.step == ours.step);
    ours.iter().filter(is_over).filter(|ours| !is_there(ours)).count()
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
    counted: &[Traced],
    names: &[&str],
    wrong: &mut Vec<String>,
) -> usize {
    let mut parts = 0;
    for (place, (entry, traces)) in one.entries.iter().zip(counted).enumerate() {
        let (said, traced) = (sums(entry), HoldSums { late: entry.late, ..traces.counts.sums() });
        let (least, most) = (traces.late_least, traces.counts.late);
        // Of a part that was heard of, less may have been late.
        if entry.late > most || entry.late < least && said == traced {
            wrong.push(format!(
                "{}: step {} was decided by {} requests that were late by us, and by the traces {least} at the least were, and \
                 {most} at the most",
                names.get(place).unwrap_or(&"?"),
                one.step,
                entry.late,
            ));
        }
        let is_part = said.due <= traced.due && said.verified <= traced.verified && said.own_fault <= traced.own_fault;
        // Of a hold that nobody heard whole, or knew to be, what was heard is a part.
        let may_lack = is_part && (said.unsettled || !said.is_whole(climbs.expected(place)));
        parts += usize::from(said != traced && may_lack);
        if said != traced && !may_lack {
            wrong.push(format!(
                "{}: step {} was decided by {} verified of {} requests ({} void, p99 {}), and the traces say {} of {} ({} void, p99 {})",
                names.get(place).unwrap_or(&"?"),
                one.step,
                said.verified,
                said.due,
                said.own_fault,
                micros(said.p99_us),
                traced.verified,
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
    HoldSums { due, verified: right, own_fault, late, p99_us, unsettled: entry.p99_us == UNSETTLED }
}

fn micros(us: Option<u64>) -> String {
    us.map_or_else(|| "-".to_owned(), flowtest_contract::text::micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::ladder::{LadderTerms, Pass, Step};
    use flowtest_journal::record::{Late, LateWindow, NEVER_SENT, Trace};

    #[test]
    fn a_step_that_was_decided_by_late_figures_must_have_judged_nobody() {
        let ladder = LadderTerms {
            start: 281,
            step: Step::Times(1.25),
            max: 10_000,
            pass: Pass { verified: 0.995, p99_us: 50_000 },
        };
        let contest = || Climbs::new(Breakpoint { ladder, hold_us: 3_000_000, fleet_max: None }, 0);
        let mut traced = HoldCounts { due: 562, verified: 562, ..HoldCounts::default() };
        (0..562).for_each(|_| traced.latency.record(1_000));
        let p99_us = traced.sums().p99_us.expect("answered");
        let of = |late_least, late| Traced { counts: HoldCounts { late, ..traced.clone() }, late_least };
        let wrong = |due, p99_us| {
            let entry = DecisionEntry { tried: 281, due, right: due, p99_us, ..DecisionEntry::default() };
            let one = Decided { step: 1, judged: 0, from: UtcUs(1), to: UtcUs(2), entries: vec![entry] };
            let mut wrong = Vec::new();
            compare_counts(&one, &contest(), &[of(0, 0)], &["a"], &mut wrong);
            let ours = contest().decide(1, (one.from, one.to), [(String::new(), sums(&one.entries[0]))]);
            (wrong.len(), ours.climbers[0].rate)
        };
        let late = |said, least, most| {
            let entry =
                DecisionEntry { tried: 281, due: 562, right: 562, p99_us, late: said, ..DecisionEntry::default() };
            let one = Decided { step: 1, judged: 0, from: UtcUs(1), to: UtcUs(2), entries: vec![entry] };
            let mut late = Vec::new();
            compare_counts(&one, &contest(), &[of(least, most)], &["a"], &mut late);
            late
        };
        assert_eq!([late(9, 3, 12), late(3, 3, 3)], [Vec::<String>::new(), Vec::new()]);
        let told = late(9, 0, 0);
        assert!(
            told.len() == 1 && told[0].contains("by the traces 0 at the least were, and 0 at the most"),
            "{told:?}"
        );
        let told = late(0, 281, 300);
        assert!(told.len() == 1 && told[0].contains("was decided by 0 requests that were late"), "{told:?}");
        // (how much was heard, its p99, differences, the rate that follows)
        assert_eq!(wrong(562, p99_us), (0, 351), "all of it, and it passed");
        assert_eq!(wrong(560, p99_us), (1, 351), "who passes by less than the traces say is told");
        assert_eq!(wrong(560, UNSETTLED), (0, 281), "it was not known to be whole, and is held again");
        assert_eq!(wrong(563, UNSETTLED).0, 1, "nobody hears of more than there is");
        assert_eq!(wrong(300, p99_us), (0, 281), "as older journals have it");
    }

    #[test]
    fn what_was_late_is_bounded_by_the_windows_of_lateness() {
        use Lateness::{InTime, Late as Surely, Perhaps};
        let window = |from, to, cause| LateWindow { from, to, cause: cause as u16 };
        let windows = vec![
            window(1_100_000, 1_101_000, LateCause::Journal),
            window(1_101_000, 1_300_000, LateCause::Journal),
            window(1_500_000, 1_520_000, LateCause::Gap),
            window(2_000_000, 2_100_000, LateCause::Busy),
            window(3_000_000, 3_000_000, LateCause::Control),
        ];
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&Late { worker: 3, windows }).expect("archived");
        let mut late = LateWindows::new(250_000);
        late.group(&[Record::Late(rkyv::access::<_, rkyv::rancor::Error>(&bytes).expect("valid"))]);
        let of = |worker, intended: u64, lag_us| {
            let trace = Trace { lag_us, ..Trace::default() };
            let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&trace).expect("archived");
            let trace = rkyv::access::<ArchivedTrace, rkyv::rancor::Error>(&bytes).expect("valid");
            late.of(worker, trace, UtcUs(intended))
        };
        // (worker, when it fell due, its lag, what is known of it)
        for (worker, intended, lag_us, lateness) in [
            // Sent when the pause is over, in the pause, and of the turn before it; then before and after it.
            (3, 1_299_900, 100, Perhaps),
            (3, 1_100_500, 0, Perhaps),
            (3, 1_095_000, 9_000, Perhaps),
            (3, 1_080_000, 9_000, InTime),
            (3, 1_300_100, 100, InTime),
            (2, 1_299_900, 100, InTime),
            // In a turn that came late: by more than ten milliseconds, by less, and about so much.
            (3, 1_505_000, 15_000, Surely),
            (3, 1_505_000, NEVER_SENT, Surely),
            (3, 1_515_000, 5_000, InTime),
            (3, 1_515_000, NEVER_SENT, InTime),
            (3, 1_510_000, 10_000, Perhaps),
            (2, 1_505_000, NEVER_SENT, InTime),
            // It waited for its server.
            (3, 2_050_000, NEVER_SENT, InTime),
            (3, 4_000_000, 2_000_000, InTime),
            // What we were told late.
            (3, 2_900_000, 100_000, Perhaps),
            (3, 2_900_000, 100, InTime),
            (3, 2_700_000, 100_000, InTime),
        ] {
            assert_eq!(of(worker, intended, lag_us), lateness, "worker {worker} at {intended}, {lag_us} us");
        }
    }

    /// A contest with a breakpoint phase of four steps, and what was decided of them for two.
    fn climbed() -> (Contest, BTreeMap<u32, Decided>) {
        let contest = Contest::from_toml(
            "name = \"climb\"\n[rules]\ntimeout = \"1s\"\n[[phase]]\nkind = \"breakpoint\"\nfor = \"36s\"\nstart = 300\n\
             step = \"x1.5\"\nhold = \"5s\"\npass = { verified = 0.995, p99 = \"50ms\" }\nmax = 60000\nconnections = 64\n\
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
                HoldSums { due, verified: right, p99_us: Some(1_000), ..HoldSums::default() }
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
    fn a_phase_begins_where_the_one_before_it_ends_however_long_the_steps_of_either() {
        let phase = |length, hold, more| {
            format!(
                "[[phase]]\nkind = \"breakpoint\"\nfor = \"{length}\"\nstart = 300\nstep = \"x1.25\"\nhold = \"{hold}\"\n\
                 pass = {{ verified = 0.995, p99 = \"50ms\" }}\nmax = 60000\nconnections = 64\n{more}"
            )
        };
        // 60 s are ten steps of 6 s, and 65 s leave a remainder, which has a number of its own.
        for (length, first) in [("60s", 10), ("65s", 11)] {
            let contest = format!(
                "name = \"climb\"\n[rules]\ntimeout = \"1s\"\n{}{}[policy]\nallow = [\"127.0.0.0/8\"]\n\
                 [[contestant]]\nname = \"alice\"\nendpoint = \"127.0.0.1:1\"\n",
                phase(length, "2s", "scored = false\n"),
                phase("90s", "10s", "")
            );
            let contest = Contest::from_toml(&contest).expect("a contest");
            let phases = contest.bounded_breakpoints();
            assert_eq!(phases.iter().map(|(first, ..)| *first).collect::<Vec<_>>(), [0, first]);
            let mut decided = BTreeMap::new();
            let mut begins = 0;
            for ((first, terms, bounds), length) in phases.into_iter().zip([length, "90s"]) {
                let length: u64 = length.trim_end_matches('s').parse().expect("seconds");
                let clock = terms.clock(length * 1_000_000, contest.rules.timeout_us);
                let mut climbs = Climbs::new(terms, first).within(bounds);
                for step in 0..clock.count {
                    let due = climbs.expected(0);
                    let sums = HoldSums { due, verified: due, p99_us: Some(1_000), ..HoldSums::default() };
                    let from = begins + u64::from(step) * clock.step_us + SETTLE_US;
                    let window = (UtcUs(from), UtcUs(from + terms.hold_us - SETTLE_US));
                    let decision = climbs.decide(first + step + 1, window, [("alice".to_owned(), sums)]);
                    let recorded = crate::play::steps::recorded(&decision, UtcUs(0));
                    let (from, to) = (UtcUs(recorded.from), UtcUs(recorded.to));
                    let one =
                        Decided { step: recorded.step, judged: recorded.judged, from, to, entries: recorded.entries };
                    decided.insert(one.step, one);
                }
                begins += length * 1_000_000;
            }
            let again = decided_again(&contest, &decided, &["alice"]);
            assert_eq!(again.map(|again| again.len()), Ok(decided.len()), "{length}");
        }
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
            let held = HeldSteps { steps: steps.to_vec(), newest: newest.cloned(), at: UtcUs::EPOCH };
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
        // A week after a decision Redis forgets it, and not before.
        let lost = |steps: &[Decision], newest: Option<&Decision>, at: UtcUs| {
            let held = HeldSteps { steps: steps.to_vec(), newest: newest.cloned(), at };
            let forgotten = forgotten(&ours, &held);
            (forgotten, compare_held(&ours, &held, false, forgotten).len())
        };
        let [early, second, late] =
            [ours[0].to, ours[1].to, ours[3].to].map(|to| to.saturating_add(LIFE_SECONDS * 1_000_000));
        assert_eq!(lost(&[], None, late), (4, 0));
        assert_eq!(lost(&[], None, ours[3].to.saturating_add(60_000_000)), (0, 1), "wiped a minute after the round");
        assert_eq!(lost(&[], None, late.saturating_sub(1)), (3, 1), "the last one is a moment too young");
        assert_eq!(lost(&ours[2..], ours.last(), second), (2, 0));
        assert_eq!(lost(&ours[2..], ours.last(), early), (1, 1));
        assert_eq!(lost(&[], ours.last(), late).1, 1, "the last one is kept as long as what says that it is the last");
        assert_eq!(lost(&ours[..2], None, late).1, 1);
        let more = Decision { step: 5, judged: 4, ..ours[3].clone() };
        let more = [&ours[..], &[more]].concat();
        assert!(held(&more, more.last())[0].contains("no journal here has one"));
    }
}
