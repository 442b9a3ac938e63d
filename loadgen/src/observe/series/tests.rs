//! A hand-made run, second by second.

use super::*;
use crate::engine::block::Counts;
use crate::engine::clock::PlanInstant;
use crate::engine::plan::{Load, OwnRest, Phase, Plan, Ramp};
use crate::engine::schedule::Schedule;
use crate::engine::share::Share;
use flowtest_contract::Failure;
use flowtest_contract::rules::{Deadlines, UtcUs};
use proptest::prelude::*;
use std::sync::Arc;

const S: u64 = NS_PER_SECOND;
const OPEN: State = State { part: RoundPart::Phase(0), scored: true, open: true };

/// Cumulative sums as a collector has them.
struct Sums(Block);

impl Sums {
    fn new(contestants: usize) -> Sums {
        Sums(Block {
            scored: vec![Counts::default(); contestants],
            unscored: vec![Counts::default(); contestants],
            ..Block::default()
        })
    }

    /// So many requests came due, and were answered right after `latency_us`; the last one at `last`.
    fn right(&mut self, contestant: usize, count: u64, latency_us: u64, last: u64) {
        let last = RunInstant::from_ns(last);
        let counts = &mut self.0.scored[contestant];
        counts.row.tally.due += count;
        counts.row.tally.sent += count;
        counts.row.tally.token_right += count;
        counts.row.tally.version_right += count;
        counts.row.tally.from_right += count;
        counts.meter.verified += count;
        (0..count).for_each(|_| counts.row.latency.record(latency_us));
        self.0.last = self.0.last.max(last);
    }

    fn look(&self, now: u64, cpu_us: u64) -> Look<'_> {
        let now = RunInstant::from_ns(now);
        Look { now, until: now, attended: RunInstant::START, sums: &self.0, cpu_us: Some(cpu_us), late_us: 0 }
    }
}

fn phase_until(end: u64) -> impl Fn(RunInstant) -> State {
    move |instant| if instant.ns() < end { OPEN } else { State::DRAINING }
}

#[test]
fn each_second_has_what_came_in_it() {
    let mut series = Series::new(RunInstant::from_ns(5 * S), 2, 1);
    let mut sums = Sums::new(2);
    let state = phase_until(8 * S);
    let mut seen = Vec::new();
    for tenth in 1..=30u64 {
        let now = 5 * S + tenth * S / 10;
        sums.right(0, 10, 100 * tenth.div_ceil(10), now);
        if tenth == 15 {
            let counts = &mut sums.0.scored[1];
            counts.row.tally.due += 4;
            counts.row.tally.failed(Failure::OwnFault);
            counts.row.tally.failed(Failure::Reset);
            counts.row.tally.failed(Failure::Missed);
            counts.row.tally.failed(Failure::Missed);
        }
        // The collector looks a little later than the workers hand over.
        let look = Look { now: RunInstant::from_ns(now + 3_000_000), ..sums.look(now, tenth * 50_000) };
        series.observe(look, &state, |second| {
            seen.push((second.number, second.moment, *second.all, second.each.to_vec()));
        });
    }
    assert_eq!(seen.len(), 3);
    for (index, (number, moment, all, each)) in seen.iter().enumerate() {
        assert_eq!(*number, index as u64);
        assert_eq!((moment.start_ms, moment.length_ms, moment.state), (1_000 * index as u32, 1_000, OPEN));
        assert_eq!(moment.busy, Some(500), "half a core");
        assert_eq!((each[0].due, each[0].answered, each[0].verified, each[0].wrong()), (100, 100, 100, 0));
        let (wanted, p50) = (100 * (index as u64 + 1), each[0].latency.p50().unwrap());
        assert!((wanted..=wanted + wanted / 32).contains(&p50), "{p50}: this second's latency, not all so far");
        assert_eq!(all.due, each[0].due + each[1].due);
        assert_eq!(each[0].invalid, 0);
    }
    let bad = seen[1].3[1];
    assert_eq!((bad.due, bad.reset, bad.missed, bad.own_fault, bad.failed()), (4, 1, 2, 1, 1));
    assert_eq!((bad.rate_ratio(), bad.invalid), (Some(0.75), 1));
    assert_eq!(
        (
            series.invalid_of(ContestantIndex::FIRST),
            series.invalid_of(ContestantIndex::from_index(1)),
            series.invalid_s()
        ),
        (0, 1, 0)
    );
}

#[test]
fn a_look_that_spans_a_boundary_is_split_by_time() {
    let mut series = Series::new(RunInstant::START, 1, 1);
    let mut sums = Sums::new(1);
    sums.right(0, 60, 10, 6 * S / 10);
    series.observe(sums.look(6 * S / 10, 0), |_| OPEN, |_| {});
    sums.right(0, 80, 10, 14 * S / 10);
    series.observe(sums.look(14 * S / 10, 0), |_| OPEN, |_| {});
    assert_eq!(series.all().iter().map(|entry| entry.verified).collect::<Vec<_>>(), [100]);
    series.finish(sums.look(14 * S / 10, 0), |_| OPEN, |_| {});
    assert_eq!(series.all().iter().map(|entry| entry.verified).collect::<Vec<_>>(), [100, 40]);
    assert_eq!(series.moments()[1].per_second(series.all()[1].verified).round(), 100.0, "the last one is 0.4 s long");
}

#[test]
fn answers_that_come_after_the_plan_belong_to_its_last_second() {
    let mut series = Series::new(RunInstant::START, 1, 1);
    let mut sums = Sums::new(1);
    sums.right(0, 50, 10, S);
    series.observe(sums.look(S, 0), phase_until(S), |_| {});
    sums.right(0, 2, 10, S + 5_000_000);
    let mut shown = Vec::new();
    series.finish(sums.look(S + 100_000_000, 0), phase_until(S), |second| {
        shown.push((second.number, second.moment.state, second.all.verified, second.each[0].verified));
    });
    // The first second was shown before they came.
    assert_eq!(shown, [(1, State::DRAINING, 2, 2)]);
    assert_eq!(series.moments().len(), 1);
    assert_eq!((series.moments()[0].length_ms, series.all()[0].verified), (1_000, 52));
}

#[test]
fn a_closed_second_is_judged_by_its_turns() {
    let mut series = Series::new(RunInstant::START, 2, 2);
    let (sums, closed) = (Sums::new(2), State { open: false, ..OPEN });
    // Of two workers one was late for 5 ms, then for 30 ms more: 2.5 and 15 thousandths of a second each.
    for (second, late_us) in [(1, 5_000), (2, 35_000), (3, 35_000)] {
        series.observe(Look { late_us, ..sums.look(second * S, 0) }, |_| closed, |_| {});
    }
    assert_eq!(series.all().iter().map(|entry| entry.invalid).collect::<Vec<_>>(), [0, 1, 0]);
    let validity = series.validity();
    assert_eq!((validity.seconds, validity.valid_seconds, validity.rate_ratio()), (3, 2, None));
    assert_eq!(validity.closed_ratio(), Some(1.0 - 17_500.0 / 3_000_000.0));
}

#[test]
fn seconds_without_a_share_are_not_this_generators() {
    let load = Load::Open(Ramp::per_second(1, 1));
    let phase =
        Phase { start: PlanInstant::START, end: PlanInstant::from_ns(10 * S), load, connections: 1, scored: true };
    let at = RunInstant::from_ns;
    let shares = vec![(RunInstant::START, Share::NONE), (at(3 * S), Share::WHOLE), (at(6 * S), Share::NONE)];
    let deadlines = vec![(UtcUs::EPOCH, Deadlines::default())];
    let schedule = Schedule::new(deadlines, Vec::new(), RunInstant::NEVER, shares);
    let whole = Plan { phases: [phase].into(), ..Plan::default() };
    let plan = Plan { schedule: Arc::new(schedule), ..whole.clone() };
    let (mut series, mut sums) = (Series::new(RunInstant::START, 1, 1), Sums::new(1));
    let state = |instant| State::at(&plan, instant);
    sums.right(0, 3, 10, 5 * S);
    series.observe(Look { until: at(5 * S), ..sums.look(6 * S, 0) }, state, |_| {});
    // What it had begun ends without it.
    sums.0.scored[0].row.tally.failed(Failure::OwnFault);
    sums.0.last = at(7 * S);
    series.observe(Look { until: at(7 * S), ..sums.look(9 * S, 0) }, state, |_| {});
    let counts = series.validity().counts();
    assert_eq!((counts.seconds, counts.valid_seconds, counts.void), (3, 3, 1));
    assert_eq!([0, 4, 6].map(|second| series.moments()[second].state.part == RoundPart::NoShare), [true, false, true]);
    // Seconds in which it sent nothing by its own decision are not its either: those, whenever they are looked at.
    let plan = Plan { own_rests: [OwnRest { from: at(S), to: at(3 * S) }].into(), ..whole.clone() };
    let mut series = Series::new(RunInstant::START, 1, 1);
    series.observe(Sums::new(1).look(6 * S, 0), |instant| State::at(&plan, instant), |_| {});
    assert_eq!(series.validity().counts().seconds, 4);
    assert_eq!(
        [0, 1, 2, 3].map(|second| series.moments()[second].state.part == RoundPart::NoShare),
        [false, true, true, false]
    );
    let plan = Plan { own_rests: [OwnRest { from: at(4 * S), to: RunInstant::NEVER }].into(), ..whole };
    assert_eq!(
        [3, 4, 9].map(|second| State::at(&plan, at(second * S)).part == RoundPart::NoShare),
        [false, true, true]
    );
}

#[test]
fn what_a_worker_that_was_late_at_the_end_tells_behind_it_counts_in_the_last_second() {
    let phase_then = |rest: State| move |instant: RunInstant| if instant.ns() < 2 * S { OPEN } else { rest };
    let paused = State { part: RoundPart::Paused, ..State::DRAINING };
    let closed = State { part: RoundPart::Phase(1), open: false, ..OPEN };
    for rest in [State::DRAINING, paused, State { part: RoundPart::NoShare, ..paused }, closed] {
        let (mut series, mut sums) = (Series::new(RunInstant::START, 1, 1), Sums::new(1));
        sums.right(0, 1_000, 10, S);
        series.observe(sums.look(S, 0), phase_then(rest), |_| {});
        sums.right(0, 700, 10, 17 * S / 10);
        series.observe(sums.look(17 * S / 10, 0), phase_then(rest), |_| {});
        series.observe(sums.look(2 * S, 0), phase_then(rest), |_| {});
        assert_eq!(series.validity().valid_seconds, 2);
        // It stood still over the end of the phase, and comes to the rest of it now.
        sums.right(0, 300, 10, 21 * S / 10);
        sums.0.scored[0].meter.late += 300;
        series.observe(sums.look(3 * S, 0), phase_then(rest), |_| {});
        series.finish(sums.look(3 * S, 0), phase_then(rest), |_| {});
        let validity = series.validity();
        let invalid = validity.seconds - validity.valid_seconds;
        assert_eq!((invalid, validity.due), (1, 2_000), "{rest:?}");
        let due = if rest == closed { 1_700.0 } else { 2_000.0 };
        assert_eq!(validity.rate_ratio(), Some((due - 300.0) / due), "{rest:?}");
    }
}

#[test]
fn seconds_in_which_a_worker_stands_stay_open_and_are_told_as_not_valid_until_it_goes_on() {
    let (mut series, mut sums) = (Series::new(RunInstant::START, 1, 1), Sums::new(1));
    sums.right(0, 500, 10, 5 * S);
    series.observe(sums.look(5 * S, 0), |_| OPEN, |_| {});
    let stands = |now| Look { until: RunInstant::from_ns(5 * S), ..sums.look(now, 0) };
    let mut standing = |now| {
        series.observe(stands(now), |_| OPEN, |_| {});
        (series.validity().seconds, series.standing(|_| OPEN))
    };
    assert_eq!([55 * S / 10, 65 * S / 10, 79 * S / 10].map(&mut standing), [(5, 0), (5, 1), (5, 2)]);
    // It goes on, and comes to all that fell due.
    sums.right(0, 300, 10, 8 * S);
    sums.0.scored[0].meter.late += 290;
    series.observe(sums.look(8 * S, 0), |_| OPEN, |_| {});
    let counts = series.validity().counts();
    assert_eq!((counts.seconds, counts.valid_seconds, series.standing(|_| OPEN)), (8, 5, 0));
}

#[test]
fn a_collector_that_was_away_takes_no_worker_for_one_that_stands() {
    // The disk takes 1.5 s each time; three blocks of 100 ms are known after each, and no more.
    let (mut series, sums) = (Series::new(RunInstant::START, 1, 1), Sums::new(1));
    let (mut attended, mut before) = (RunInstant::START, RunInstant::START);
    for now in (1..6).map(|times| RunInstant::from_ns(times * 15 * S / 10)) {
        attended = crate::engine::run::attended(attended, before, now);
        let until = before + 3 * S / 10;
        series.observe(Look { until, attended, ..sums.look(now.ns(), 0) }, |_| OPEN, |_| {});
        assert_eq!(series.standing(|_| OPEN), 0, "{now:?}");
        before = now;
    }
    // It comes often again, and one worker says nothing.
    let until = before;
    for tenth in 1..=12 {
        let now = until + tenth * S / 10;
        attended = crate::engine::run::attended(attended, before, now);
        series.observe(Look { until, attended, ..sums.look(now.ns(), 0) }, |_| OPEN, |_| {});
        before = now;
    }
    assert_eq!(series.standing(|_| OPEN), 1);
}

#[test]
fn late_sends_are_no_matter_in_a_closed_loop() {
    let mut series = Series::new(RunInstant::START, 1, 1);
    let mut sums = Sums::new(1);
    sums.0.scored[0].row.tally.due = 10;
    sums.0.scored[0].meter.late = 10;
    series.observe(sums.look(S, 0), |_| State { open: false, ..OPEN }, |_| {});
    assert_eq!((series.all()[0].late, series.all()[0].invalid, series.invalid_s()), (10, 0, 0));
}

#[test]
fn nothing_happens_for_a_while_and_seconds_go_on() {
    let mut series = Series::new(RunInstant::START, 1, 1);
    let sums = Sums::new(1);
    series.observe(sums.look(5 * S + 1, 0), |_| OPEN, |_| {});
    assert_eq!(series.moments().len(), 5);
    assert_eq!((series.all()[3].rate_ratio(), series.all()[3].latency.p99()), (None, None));
}

#[test]
fn a_long_run_is_kept_in_pairs_and_loses_no_count() {
    let mut series = Series::new(RunInstant::START, 1, 1);
    let mut sums = Sums::new(1);
    let seconds = ENTRIES_MAX as u64 * 2 + 3;
    for second in 1..=seconds {
        sums.right(0, 2, second, second * S);
        series.observe(sums.look(second * S, 0), |_| OPEN, |_| {});
    }
    assert_eq!(series.width_s(), 4);
    assert_eq!(series.moments().len(), ENTRIES_MAX / 2 + 1);
    assert_eq!(series.all().iter().map(|entry| u64::from(entry.verified)).sum::<u64>(), 2 * seconds);
    assert_eq!((series.moments()[1].start_ms, series.moments()[1].length_ms), (4_000, 4_000));
    assert_eq!(series.all()[1].latency.p50(), Some(8), "the worst of the four");
    let (moments, entries) = thinned(series.moments(), series.all(), 100);
    assert!(moments.len() <= 100 && entries.len() == moments.len());
    assert_eq!(entries.iter().map(|entry| u64::from(entry.verified)).sum::<u64>(), 2 * seconds);
}

proptest! {
    #[test]
    fn seconds_add_up_to_the_sums(steps in proptest::collection::vec((1u64..2_500_000_000, 0u64..50), 1..40)) {
        let mut series = Series::new(RunInstant::START, 1, 1);
        let mut sums = Sums::new(1);
        let (mut now, mut verified, mut shown) = (0, 0, [0; 2]);
        let mut show = |second: &Second<'_>| {
            shown[0] += u64::from(second.all.verified);
            shown[1] += u64::from(second.each[0].verified);
        };
        for (step, count) in steps {
            now += step;
            verified += count;
            sums.right(0, count, 7, if count > 0 { now } else { 0 });
            series.observe(sums.look(now + 1_000, 0), |_| OPEN, &mut show);
        }
        series.finish(sums.look(now + 2_000, 0), |_| OPEN, &mut show);
        prop_assert_eq!(shown, [verified; 2]);
        prop_assert_eq!(series.all().iter().map(|entry| u64::from(entry.verified)).sum::<u64>(), verified);
        prop_assert_eq!(series.all(), series.of(ContestantIndex::FIRST));
    }
}
