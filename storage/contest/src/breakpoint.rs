//! A breakpoint phase: all contestants climb ladders of their own on one clock, and what comes next is decided for all of them
//! at once. Pure.
//!
//! A phase is cut into steps of one length. A step settles for a second, is held and judged, and goes on while the last answers
//! are awaited and the next step is decided and told:
//!
//! ```text
//!     |settles|          is judged          |   answers come, and it is decided   | the next step
//!     0       1 s                         hold              hold + timeout + 3 s
//! ```
//!
//! A decision has what was measured and what follows from it, so that whoever reads all decisions in order knows all that
//! there is to know: [`Climbs`] is the same in each generator, and in the audit. Where none comes in time, as while Redis is
//! away, nobody climbs: everybody rests at the rate that it holds.
//!
//! What our own side did not do is held against nobody. Figures that are not whole, or not known to be, or void by more than a
//! hundredth, judge nothing, and the step is held again; so it is where a step fails and more than a hundredth of it was late by
//! us. One that passes in spite of our lateness has passed: that makes a server look slower, never faster. Where holding again does not help,
//! the highest climbers are those who asked for more than the generators can give: they end as unbroken, and the others climb on.

use crate::ladder::{HoldVerdict, Ladder, LadderTerms, Measured, NOT_VALID_MAX, Trial, Unbroken};
use flowtest_contract::Histogram;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A step settles for so long before it is judged.
pub const SETTLE_US: u64 = 1_000_000;
/// Behind the hold and the timeout of its last request: what is counted comes to the disk and to Redis, somebody decides, and
/// everybody hears of it.
pub const DECIDE_US: u64 = 3_000_000;
/// The shortest hold: a second of it is judged.
pub const HOLD_MIN: Duration = Duration::from_secs(2);
/// A phase holds so many steps at the least.
pub const STEPS_MIN: u32 = 3;
/// Whoever does not hold any more what it held slips by so many hundredths, and by twice as many each time in a row.
const SLIP_PERCENT: u64 = 3;
/// Whoever climbs at so much of the highest rate stands with the highest, in hundredths.
const HIGHEST_PERCENT: u64 = 97;

const _: () = assert!(HOLD_MIN.as_micros() as u64 > SETTLE_US);

/// What a breakpoint phase asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakpoint {
    pub ladder: LadderTerms,
    pub hold_us: u64,
}

/// The steps of a phase: all begin together, one after the other. What is left of the phase behind them is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepClock {
    pub step_us: u64,
    pub count: u32,
}

impl Breakpoint {
    pub fn clock(&self, duration_us: u64, timeout_us: u64) -> StepClock {
        let step_us = self.hold_us + timeout_us + DECIDE_US;
        StepClock { step_us, count: u32::try_from(duration_us / step_us).unwrap_or(u32::MAX) }
    }

    /// How many steps a phase is cut into, with what is left behind the last whole one.
    pub fn steps(&self, duration_us: u64, timeout_us: u64) -> u32 {
        let StepClock { step_us, count } = self.clock(duration_us, timeout_us);
        count + u32::from(duration_us > u64::from(count) * step_us)
    }

    /// Connections of each contestant in a step at this rate, `most` at the most.
    pub fn connections(&self, rate: u64, most: u32) -> u32 {
        self.ladder.pass.connections(rate, most)
    }

    /// The highest rate that so many steps lead to.
    pub fn rate_at_most(&self, steps: u32) -> u64 {
        let LadderTerms { start, step, max, .. } = self.ladder;
        (0..steps).fold(start, |rate, _| if rate < max { step.after(rate).min(max) } else { max })
    }

    /// Requests that fall due to a contestant while a rate is judged.
    pub fn judged_due(&self, rate: u64) -> u64 {
        (u128::from(rate) * u128::from(self.hold_us - SETTLE_US) / 1_000_000) as u64
    }
}

/// What was counted of one contestant while its rate was judged, by the intended instants of its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldCounts {
    /// Requests that have their outcome.
    pub due: u64,
    /// Those whose answers were wholly right.
    pub right: u64,
    /// Those that count for nobody.
    pub own_fault: u64,
    /// Requests that we came to late, whatever became of them.
    pub late: u64,
    pub latency: Histogram,
}

impl HoldCounts {
    pub fn merge(&mut self, other: &HoldCounts) {
        // What others have counted comes over the network, and may be anything.
        self.due = self.due.saturating_add(other.due);
        self.right = self.right.saturating_add(other.right);
        self.own_fault = self.own_fault.saturating_add(other.own_fault);
        self.late = self.late.saturating_add(other.late);
        self.latency.merge(&other.latency);
    }

    pub fn is_empty(&self) -> bool {
        (self.due, self.late) == (0, 0)
    }

    pub fn clear(&mut self) {
        if !self.is_empty() {
            *self = HoldCounts::default();
        }
    }

    pub fn sums(&self) -> HoldSums {
        let HoldCounts { due, right, own_fault, late, ref latency } = *self;
        HoldSums { due, right, own_fault, late, p99_us: latency.quantile(0.99), unsettled: false }
    }
}

/// The same, of all generators, as a decision tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSums {
    pub due: u64,
    pub right: u64,
    pub own_fault: u64,
    pub late: u64,
    /// From the intended instant; none where nothing was answered.
    pub p99_us: Option<u64>,
    /// Somebody had to decide before all generators had said that each of their requests has its outcome.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
}

impl HoldSums {
    /// Whether all that fell due is here, but for what the spread of contestants moves over a border.
    pub fn is_whole(&self, expected: u64) -> bool {
        self.due.abs_diff(expected) <= 2 + expected / 1_000
    }

    /// Whether a step may pass by it: the server was asked for what it was to be asked for.
    fn may_pass(&self, expected: u64) -> bool {
        !self.unsettled && self.is_whole(expected) && self.own_fault.saturating_mul(100) <= self.due
    }

    /// Whether a step may fail by it: nothing of it is ours.
    fn may_fail(&self) -> bool {
        self.own_fault.saturating_add(self.late).saturating_mul(100) <= self.due
    }
}

/// What is decided of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// It counts from this step of the plan on; steps are numbered from 0, over all breakpoint phases.
    pub step: u32,
    /// The step that was judged, and when: `to` is excluded.
    pub judged: u32,
    pub from: UtcUs,
    pub to: UtcUs,
    /// In the order of the roster.
    pub climbers: Vec<Climber>,
}

/// What is decided of one contestant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Climber {
    pub contestant: String,
    /// The rate that was judged, with what was counted.
    pub tried: u64,
    #[serde(flatten)]
    pub sums: HoldSums,
    /// None: nothing of it is known.
    pub verdict: Option<HoldVerdict>,
    /// From the step on.
    pub rate: u64,
    /// None: it has found what it holds, and stays there.
    pub trial: Option<Trial>,
    /// In later steps of which nobody decides.
    pub rest: u64,
    /// Requests a second that it holds as far as is known; 0: none. With the latency at which it does, and since which step.
    pub holds: u64,
    pub holds_p99_us: Option<u64>,
    pub holds_since: Option<u32>,
    pub breaks_at: Option<u64>,
    pub breaks_by: Option<HoldVerdict>,
    pub unbroken: Option<Unbroken>,
}

/// All contestants of one breakpoint phase. Decisions are made, or followed, one after the other.
#[derive(Clone, Debug)]
pub struct Climbs {
    breakpoint: Breakpoint,
    /// The step whose rates are decided and not judged yet.
    tried: u32,
    climbs: Vec<Climb>,
}

/// One of them.
#[derive(Clone, Debug)]
struct Climb {
    ladder: Ladder,
    /// It has slipped, and rests before what is left is judged.
    rests: bool,
    /// How often it has slipped in a row.
    slips: u32,
    /// Times in a row that its step was held for nothing.
    not_valid: u32,
    passes: Vec<PassedStep>,
}

/// A rate that passed: with which latency the last time, and since when.
#[derive(Clone, Copy, Debug)]
struct PassedStep {
    rate: u64,
    p99_us: Option<u64>,
    since: u32,
}

impl Climbs {
    /// `first`: the number of the phase's first step, in which all have the start.
    ///
    /// # Panics
    /// For terms that contradict each other: reading refuses them.
    pub fn new(breakpoint: Breakpoint, first: u32) -> Climbs {
        Ladder::new(breakpoint.ladder).expect("terms that were read");
        Climbs { breakpoint, tried: first, climbs: Vec::new() }
    }

    /// The step whose hold is judged by the next decision.
    pub fn tried(&self) -> u32 {
        self.tried
    }

    /// Requests that must have fallen due to a contestant in the hold that is judged next.
    pub fn expected(&self, contestant: usize) -> u64 {
        let rate = self.climbs.get(contestant).map_or(self.breakpoint.ladder.start, Climb::rate);
        self.breakpoint.judged_due(rate)
    }

    /// Judges the step that is tried, between two instants, and says what all do from `step` on. `measured`: of each contestant,
    /// in the order of the roster.
    pub fn decide(
        &mut self,
        step: u32,
        (from, to): (UtcUs, UtcUs),
        measured: impl IntoIterator<Item = (String, HoldSums)>,
    ) -> Decision {
        let judged = std::mem::replace(&mut self.tried, step);
        let mut climbers = Vec::new();
        for (place, (contestant, sums)) in measured.into_iter().enumerate() {
            let expected = self.expected(place);
            if place == self.climbs.len() {
                self.climbs.push(Climb::new(&self.breakpoint));
            }
            let climb = &mut self.climbs[place];
            let tried = climb.rate();
            let verdict = climb.take(judged, sums, expected, &self.breakpoint);
            climbers.push((contestant, tried, sums, verdict));
        }
        self.end_highest();
        let climbers = climbers.into_iter().zip(&self.climbs);
        let climbers = climbers.map(|((contestant, tried, sums, verdict), climb)| {
            let found = climb.ladder.found();
            // Who has slipped is at a rate that it has not shown yet: no latency is known of it.
            let held = climb.passes.iter().rev().find(|pass| pass.rate == found.holds);
            let (breaks_at, breaks_by) = found.broke.unzip();
            let rate = climb.rate();
            Climber {
                contestant,
                tried,
                sums,
                verdict,
                rate,
                trial: climb.trial(),
                rest: if found.holds > 0 { found.holds } else { rate },
                holds: found.holds,
                holds_p99_us: held.and_then(|held| held.p99_us),
                holds_since: held.map(|held| held.since),
                breaks_at,
                breaks_by,
                unbroken: found.unbroken,
            }
        });
        Decision { step, judged, from, to, climbers: climbers.collect() }
    }

    /// Goes on by somebody's decision; what should have been decided, from what it says was measured.
    pub fn follow(&mut self, decision: &Decision) -> Decision {
        let measured = decision.climbers.iter().map(|climber| (climber.contestant.clone(), climber.sums));
        self.decide(decision.step, (decision.from, decision.to), measured)
    }

    /// Whoever stands highest asks for more than the generators can give, once that was tried often enough; then all others
    /// have another try.
    fn end_highest(&mut self) {
        // Whoever has not passed anything has not climbed: it is held again until something is known of it. Once is chance.
        let is_climbing =
            |climb: &Climb| climb.ladder.now().is_some() && climb.not_valid > 1 && climb.ladder.found().holds > 0;
        if !self.climbs.iter().any(|climb| is_climbing(climb) && climb.not_valid >= NOT_VALID_MAX) {
            return;
        }
        let rate = |climb: &Climb| if is_climbing(climb) { climb.rate() } else { 0 };
        let highest = self.climbs.iter().map(rate).max().unwrap_or(0);
        for climb in &mut self.climbs {
            if rate(climb) > 0 && rate(climb) * 100 >= highest * HIGHEST_PERCENT {
                climb.ladder.end_unbroken();
            }
            climb.not_valid = 0;
        }
    }
}

impl Climb {
    fn new(breakpoint: &Breakpoint) -> Climb {
        let ladder = Ladder::new(breakpoint.ladder).expect("terms that were looked at");
        Climb { ladder, rests: false, slips: 0, not_valid: 0, passes: Vec::new() }
    }

    /// What is sent now. Who rests gets half of what it holds, for at the whole of it a server that is nearly full would not
    /// get rid of what waits. Who holds nothing is asked now and then, and no more.
    fn rate(&self) -> u64 {
        let rate = self.ladder.now().map_or(self.ladder.found().holds, |hold| hold.rate);
        let part = if self.trial() == Some(Trial::Rest) { rate / 2 } else { rate };
        part.max(1)
    }

    /// Why; none: it stays.
    fn trial(&self) -> Option<Trial> {
        self.ladder.now().map(|hold| hold.trial).or(self.rests.then_some(Trial::Rest))
    }

    /// What was measured while it was held; none: nothing of it is known, and it is held again.
    fn take(&mut self, judged: u32, sums: HoldSums, expected: u64, breakpoint: &Breakpoint) -> Option<HoldVerdict> {
        let rate = self.rate();
        let measured = Measured {
            due: sums.due.saturating_sub(sums.own_fault),
            right: sums.right,
            p99_us: sums.p99_us,
            valid: sums.may_pass(expected),
        };
        let judge = || match breakpoint.ladder.pass.judge(measured) {
            HoldVerdict::FailedByRight | HoldVerdict::FailedByP99 if !sums.may_fail() => HoldVerdict::NotValid,
            verdict => verdict,
        };
        let Some(hold) = self.ladder.now() else {
            // It stays, and what it held it must hold to the end.
            if sums.due == 0 {
                return None;
            }
            if std::mem::take(&mut self.rests) {
                return Some(HoldVerdict::Rested);
            }
            let verdict = judge();
            if matches!(verdict, HoldVerdict::FailedByRight | HoldVerdict::FailedByP99) {
                self.ladder.slip(verdict, SLIP_PERCENT << self.slips.min(5));
                self.slips += 1;
                self.rests = self.ladder.found().holds > 0;
            }
            if verdict == HoldVerdict::Passed {
                self.slips = 0;
                if self.passes.iter().all(|pass| pass.rate != rate) {
                    self.passes.push(PassedStep { rate, p99_us: sums.p99_us, since: judged });
                }
            }
            return Some(verdict);
        };
        if hold.trial != Trial::Rest {
            if sums.due == 0 {
                return None;
            }
            if judge() == HoldVerdict::NotValid {
                self.not_valid += 1;
                return Some(HoldVerdict::NotValid);
            }
        }
        self.not_valid = 0;
        let verdict = self.ladder.take(measured);
        // What was tried once more and failed has left its queue.
        self.rests = hold.trial == Trial::Retry && self.ladder.now().is_none() && verdict != HoldVerdict::Passed;
        if verdict == HoldVerdict::Passed {
            match self.passes.iter_mut().find(|pass| pass.rate == rate) {
                Some(pass) => pass.p99_us = sums.p99_us,
                None => self.passes.push(PassedStep { rate, p99_us: sums.p99_us, since: judged }),
            }
        }
        Some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::{Pass, Step};
    use proptest::prelude::*;

    const PASS: Pass = Pass { right: 0.995, p99_us: 50_000 };

    fn breakpoint(start: u64, times: f64) -> Breakpoint {
        let ladder = LadderTerms { start, step: Step::Times(times), max: 1_000_000, pass: PASS };
        Breakpoint { ladder, hold_us: 5_000_000 }
    }

    /// A queue in front of a server that takes so many a second.
    fn queue(capacity: f64, rate: u64, due: u64) -> HoldSums {
        let load = rate as f64 / capacity;
        let p99_us = if load < 1.0 { 1_000.0 + 400.0 * load / (1.0 - load) } else { 3_000_000.0 };
        let right = if load <= 1.0 { due } else { (due as f64 / load) as u64 };
        HoldSums { due, right, p99_us: Some(p99_us as u64), ..HoldSums::default() }
    }

    #[test]
    fn nonsense_of_others_judges_and_breaks_nothing() {
        let most =
            HoldSums { due: u64::MAX, right: u64::MAX, own_fault: u64::MAX, late: u64::MAX, ..HoldSums::default() };
        let most = HoldSums { p99_us: Some(u64::MAX), ..most };
        let mut sum = HoldCounts { due: u64::MAX, late: u64::MAX, own_fault: 1, ..HoldCounts::default() };
        sum.merge(&sum.clone());
        assert_eq!((sum.due, sum.own_fault, sum.late), (u64::MAX, 2, u64::MAX));
        let mut climbs = Climbs::new(breakpoint(100, 1.25), 0);
        for (step, sums) in (1..).zip([most, sum.sums(), HoldSums { own_fault: u64::MAX, ..HoldSums::default() }]) {
            let decision = climbs.decide(step, (UtcUs(0), UtcUs(1)), [("alice".to_owned(), sums)]);
            assert_eq!((decision.climbers[0].holds, decision.climbers[0].rate), (0, 100), "{decision:?}");
        }
    }

    /// Plays so many steps against servers; the last decision, and all of them.
    fn play(
        breakpoint: Breakpoint,
        contestants: usize,
        steps: u32,
        mut server: impl FnMut(u32, usize, u64, u64) -> HoldSums,
    ) -> Vec<Decision> {
        let mut climbs = Climbs::new(breakpoint, 7);
        let mut rates = vec![breakpoint.ladder.start; contestants];
        let mut follower = climbs.clone();
        let mut decisions = Vec::new();
        for step in 8..8 + steps {
            let measured = (0..contestants).map(|place| {
                let due = climbs.expected(place);
                assert_eq!(due, breakpoint.judged_due(rates[place]), "all know at which rate each is");
                (format!("c{place}"), server(step, place, rates[place], due))
            });
            let measured: Vec<_> = measured.collect();
            let decision = climbs.decide(step, (UtcUs(1), UtcUs(2)), measured);
            assert_eq!((decision.judged, climbs.tried()), (step - 1, step));
            let text = serde_json::to_string(&decision).expect("JSON");
            let heard: Decision = serde_json::from_str(&text).expect("what was written");
            assert_eq!(follower.follow(&heard), decision, "whoever hears of it comes to the same");
            rates = decision.climbers.iter().map(|climber| climber.rate).collect();
            decisions.push(decision);
        }
        decisions
    }

    fn last(decisions: &[Decision]) -> &[Climber] {
        &decisions.last().expect("some steps").climbers
    }

    #[test]
    fn each_finds_its_own_and_stays_there() {
        let capacities = [900.0, 2_100.0, 7_000.0];
        let decisions = play(breakpoint(500, 1.25), 3, 60, |_, place, rate, due| queue(capacities[place], rate, due));
        for (climber, capacity) in last(&decisions).iter().zip(capacities) {
            let holds = climber.holds as f64;
            assert!(holds >= capacity * 0.95 && holds <= capacity, "{climber:?}");
            assert_eq!((climber.trial, climber.rate, climber.unbroken), (None, climber.holds, None));
            assert!(climber.holds_p99_us.is_some_and(|p99_us| p99_us <= PASS.p99_us) && climber.breaks_at.is_some());
        }
    }

    #[test]
    fn what_does_not_hold_to_the_end_slips() {
        let decisions = play(breakpoint(500, 1.25), 1, 60, |step, _, rate, due| {
            queue(if step < 50 { 2_100.0 } else { 1_500.0 }, rate, due)
        });
        let before = decisions[40].climbers[0].holds;
        assert!(before >= 1_995 && last(&decisions)[0].holds <= 1_500, "{before} {:?}", last(&decisions));
        assert_eq!(last(&decisions)[0].breaks_by, Some(HoldVerdict::FailedByRight));
    }

    #[test]
    fn a_weak_fleet_ends_whoever_asks_most_of_it_as_unbroken_and_nobody_else() {
        // Two without a limit, one with its own; the generators carry 20,000/s in all, and void everybody's beyond it.
        let mut rates = [0; 3];
        let decisions = play(breakpoint(500, 1.25), 3, 90, |_, place, rate, due| {
            rates[place] = rate;
            let void = if rates.iter().sum::<u64>() > 20_000 { due / 10 } else { 0 };
            let sums = queue([1e9, 1e9, 3_000.0][place], rate, due);
            HoldSums { own_fault: void, right: sums.right.saturating_sub(void), ..sums }
        });
        let climbers = last(&decisions);
        for climber in &climbers[..2] {
            assert_eq!(climber.unbroken, Some(Unbroken::Generator), "{climber:?}");
            assert!(climber.holds >= 6_000 && climber.breaks_at.is_none(), "{climber:?}");
        }
        assert!((2_850..=3_000).contains(&climbers[2].holds) && climbers[2].unbroken.is_none(), "{climbers:?}");
    }

    #[test]
    fn who_holds_nothing_and_is_late_ends_nobody_as_the_limit_of_the_fleet() {
        // One never holds anything, and all it fails in comes late; the other is late once.
        let decisions = play(breakpoint(500, 1.25), 2, 60, |step, place, rate, due| match (place, step) {
            (0, _) => HoldSums { right: 0, late: due / 20, ..queue(1e9, rate, due) },
            (_, 11) => HoldSums { p99_us: Some(90_000), late: due / 20, ..queue(1e9, rate, due) },
            _ => queue(2_100.0, rate, due),
        });
        let other = &last(&decisions)[1];
        assert!((1_995..=2_100).contains(&other.holds) && other.unbroken.is_none(), "{other:?}");
    }

    #[test]
    fn figures_that_are_not_whole_judge_nobody() {
        let clean = play(breakpoint(500, 1.25), 1, 60, |_, _, rate, due| queue(2_100.0, rate, due));
        let holed = play(breakpoint(500, 1.25), 1, 90, |step, _, rate, due| match step % 5 {
            // Nothing is known, half is missing, it was slow and too much of it was late.
            0 => HoldSums::default(),
            1 => queue(2_100.0, rate, due / 2),
            2 => HoldSums { late: due / 20, p99_us: Some(90_000), ..queue(2_100.0, rate, due) },
            _ => queue(2_100.0, rate, due),
        });
        assert_eq!(last(&clean)[0].holds, last(&holed)[0].holds);
        assert_eq!(last(&holed)[0].unbroken, None);
    }

    #[test]
    fn lateness_of_ours_fails_nobody_and_keeps_nobody_from_passing() {
        let mut climbs = Climbs::new(breakpoint(500, 2.0), 0);
        let mut decide =
            |step, sums| climbs.decide(step, (UtcUs(1), UtcUs(2)), [("a".to_owned(), sums)]).climbers[0].clone();
        let late =
            |p99_us| HoldSums { due: 2_000, right: 2_000, late: 300, p99_us: Some(p99_us), ..HoldSums::default() };
        for step in 1..6 {
            let climber = decide(step, late(90_000));
            assert_eq!((climber.verdict, climber.rate, climber.unbroken), (Some(HoldVerdict::NotValid), 500, None));
        }
        assert_eq!(decide(6, late(40_000)).verdict, Some(HoldVerdict::Passed));
    }

    #[test]
    fn figures_that_look_whole_and_are_not_known_to_be_judge_nobody() {
        let mut climbs = Climbs::new(breakpoint(500, 2.0), 0);
        let mut decide =
            |step, sums| climbs.decide(step, (UtcUs(1), UtcUs(2)), [("a".to_owned(), sums)]).climbers[0].clone();
        let heard = |right, p99_us| HoldSums { due: 1_999, right, p99_us: Some(p99_us), ..HoldSums::default() };
        for (step, sums) in (1..).zip([heard(1_999, 1_000), heard(0, 1_000), heard(1_999, 900_000)]) {
            let climber = decide(step, HoldSums { unsettled: true, ..sums });
            assert_eq!((climber.verdict, climber.rate), (Some(HoldVerdict::NotValid), 500), "{climber:?}");
        }
        assert_eq!(decide(4, heard(1_999, 1_000)).verdict, Some(HoldVerdict::Passed));
    }

    #[test]
    fn who_joins_begins_at_the_start() {
        let mut climbs = Climbs::new(breakpoint(500, 2.0), 0);
        let one = |name: &str, rate: u64, due| (name.to_owned(), queue(1e9, rate, due));
        climbs.decide(1, (UtcUs(1), UtcUs(2)), [one("a", 500, 2_000)]);
        let decision = climbs.decide(2, (UtcUs(3), UtcUs(4)), [one("a", 1_000, 4_000), one("b", 500, 700)]);
        let told: Vec<_> =
            decision.climbers.iter().map(|climber| (climber.tried, climber.verdict, climber.rate)).collect();
        assert_eq!(
            told,
            [(1_000, Some(HoldVerdict::Passed), 2_000), (500, Some(HoldVerdict::NotValid), 500)],
            "a part of a hold judges nobody"
        );
    }

    #[test]
    fn steps_and_connections_are_reckoned() {
        let breakpoint = breakpoint(500, 1.25);
        let clock = breakpoint.clock(65_000_000, 1_000_000);
        assert_eq!((clock.step_us, clock.count), (9_000_000, 7));
        let at = |rate| breakpoint.connections(rate, 8_192);
        assert_eq!((at(10), at(500), at(20_000), at(1_000_000)), (16, 25, 1_000, 8_192));
        assert_eq!((PASS.carried(1_000), PASS.carried(8_192)), (20_000, 163_840));
        assert_eq!(breakpoint.judged_due(500), 2_000);
    }

    /// A server on a clock: a queue in front of what it can do at each instant.
    struct Server {
        /// Requests a second at so many seconds of the play and of the step.
        capacity: Box<dyn Fn(f64, f64) -> f64>,
        /// Beyond its capacity nothing is right any more.
        has_cliff: bool,
        queue: f64,
        seconds: f64,
    }

    impl Server {
        fn new(capacity: impl Fn(f64, f64) -> f64 + 'static) -> Server {
            Server { capacity: Box::new(capacity), has_cliff: false, queue: 0.0, seconds: 0.0 }
        }

        /// A whole step at a rate, by hundredths of a second; what is counted of its hold.
        fn step(&mut self, rate: u64, breakpoint: &Breakpoint) -> HoldCounts {
            const TICK: f64 = 0.01;
            const TIMEOUT: f64 = 1.0;
            let mut counts = HoldCounts::default();
            let (mut due, mut counted) = (0.0, 0u64);
            let ticks = breakpoint.clock(0, (TIMEOUT * 1e6) as u64).step_us / 10_000;
            for tick in 0..ticks {
                let at = tick as f64 * TICK;
                let capacity = (self.capacity)(self.seconds + at, at);
                let wait = self.queue / capacity;
                let is_over = rate as f64 > capacity && self.has_cliff;
                // Who would wait longer than the timeout leaves.
                self.queue = (self.queue + (rate as f64 - capacity) * TICK).clamp(0.0, capacity * TIMEOUT);
                if (SETTLE_US..breakpoint.hold_us).contains(&(tick * 10_000)) {
                    due += rate as f64 * TICK;
                    while (counted as f64) < due.floor() {
                        counted += 1;
                        counts.due += 1;
                        counts.right += u64::from(wait < TIMEOUT && !is_over);
                        counts.latency.record(1_000 + (wait * 1e6) as u64);
                    }
                }
            }
            self.seconds += ticks as f64 * TICK;
            counts
        }
    }

    #[test]
    fn whatever_the_server_is_like_its_capacity_is_found_within_five_percent() {
        let cliff = |capacity: f64| Server { has_cliff: true, ..Server::new(move |_, _| capacity) };
        let noisy = |capacity: f64| {
            // SplitMix64 of the hundredth of a second, from -1 to 1.
            let noise = |seconds: f64| {
                let mut bits = ((seconds * 100.0).round() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
            };
            Server::new(move |seconds, _| capacity * (1.0 + 0.02 * noise(seconds)))
        };
        // Cold it does not even hold the start.
        let warming_up =
            |capacity: f64| Server::new(move |seconds, _| if seconds < 40.0 { 250.0 } else { capacity });
        // For one hold it does nothing, in mid-climb.
        let pausing = |capacity: f64| {
            Server::new(move |seconds, _| if (20.0..23.0).contains(&seconds) { 1.0 } else { capacity })
        };
        // It does what it is asked at the ends of steps and of holds, and else what it can.
        let cheating = |capacity: f64| Server::new(move |_, at| if !(1.2..4.2).contains(&at) { 1e9 } else { capacity });
        let steady = |capacity: f64| Server::new(move |_, _| capacity);
        let kinds: [(&str, &dyn Fn(f64) -> Server); 6] = [
            ("steady", &steady),
            ("cliff", &cliff),
            ("noisy", &noisy),
            ("warming up", &warming_up),
            ("pausing", &pausing),
            ("cheating", &cheating),
        ];
        let breakpoint = breakpoint(300, 1.2);
        for (kind, server) in kinds {
            for capacity in [1_100.0, 3_750.0] {
                let mut server = server(capacity);
                let decisions = play(breakpoint, 1, 60, |_, _, rate, _| server.step(rate, &breakpoint).sums());
                let holds = last(&decisions)[0].holds as f64;
                assert!((holds - capacity).abs() <= 0.05 * capacity, "{kind}: holds {holds} of {capacity}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_capacity_is_found_within_five_percent_and_equal_ones_are_equal(
            capacity in 300.0f64..50_000.0, start in 50u64..2_000, times in 110u32..126, others in 1usize..5,
            generators in 1u64..6,
        ) {
            let breakpoint = breakpoint(start, f64::from(times) / 100.0);
            // Two equal ones at the ends of the roster, others between. Its parts are the generators': their sum is one.
            let decisions = play(breakpoint, others + 2, 110, |_, place, rate, due| {
                let capacity = if place == 0 || place == others + 1 { capacity } else { capacity * (1.5 + place as f64) };
                let whole = queue(capacity, rate, due);
                let mut sums = HoldCounts::default();
                for generator in 0..generators {
                    let part = |of: u64| of / generators + u64::from(generator < of % generators);
                    let mut part = HoldCounts { due: part(whole.due), right: part(whole.right), ..HoldCounts::default() };
                    (0..part.due.min(200)).for_each(|_| part.latency.record(whole.p99_us.expect("answered")));
                    sums.merge(&part);
                }
                sums.sums()
            });
            let climbers = last(&decisions);
            let (one, other) = (climbers[0].holds as f64, climbers[others + 1].holds as f64);
            prop_assert!(one <= capacity && one >= capacity * 0.95 - 1.0, "{capacity}: {climbers:?}");
            prop_assert!((one - other).abs() <= one * 0.03);
        }
    }
}
