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
//! us, and where all of three or more, or of all that there are, fail at once. One that passes in spite of our lateness has passed:
//! that makes a server look slower, never faster. Where one fails late again, while somebody else held as much or more in the same
//! hold and as late, it is its own failure, if it fails also without what our lateness may have done: without the late ones among
//! its wrong answers, and faster by the whole p99 of that other one.
//!
//! Where holding again does not help, the highest climbers, who asked for more than anybody has shown of late, ask for more than the
//! generators can give: they end as unbroken, and the others climb on. Only what tells of the generators' strength ends anybody:
//! what was void or late, and not what was not known in time, unless that goes on and on. The same happens before a step that all
//! of them together ask more in than somebody has said that the fleet carries.

use crate::ladder::{
    Found, Hold, HoldVerdict, Ladder, LadderTerms, Measured, NOT_VALID_MAX, Pass, SEARCH_STEPS_MAX, Trial, Unbroken,
};
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
/// Holds in a row that failed in figures that were late by us, while somebody showed as much: that is no chance.
const OUTDONE_MAX: u32 = 2;
/// So many are hardly all too slow at once by themselves; of fewer it is all that there are, and never one alone.
const TOGETHER_MIN: usize = 3;
const TOGETHER_LEAST: usize = 2;
/// Who fails with so many times the latency that it may have shows nothing at that rate, however right its answers are.
const SLOW_TIMES: u64 = 2;
/// Holds in a row of which too little was known, until that is taken for the limit of our own side as well.
const UNKNOWN_MAX: u32 = 10;
/// Whoever climbs at so much of the highest rate stands with the highest, in hundredths.
const HIGHEST_PERCENT: u64 = 97;

const _: () = assert!(HOLD_MIN.as_micros() as u64 > SETTLE_US);

/// What a breakpoint phase asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakpoint {
    pub ladder: LadderTerms,
    pub hold_us: u64,
    /// Requests a second of all together that the generators and their links carry, as somebody says; none: that shows.
    pub fleet_max: Option<u64>,
}

/// The steps of a phase: all begin together, one after the other. What is left of the phase behind them is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepClock {
    pub step_us: u64,
    pub count: u32,
}

/// What bounds the climbs of a phase, besides their ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections of a contestant at the most.
    pub connections: u32,
    /// The step behind the last one that is judged: what is decided for it is the last of the phase.
    pub end: u32,
}

impl Bounds {
    pub const NONE: Bounds = Bounds { connections: u32::MAX, end: u32::MAX };
}

impl Breakpoint {
    /// Whether so many cannot begin to climb: their first step is more than somebody has said that the fleet carries.
    pub fn is_beyond_fleet(&self, contestants: u64) -> bool {
        self.fleet_max.is_some_and(|most| self.ladder.start.saturating_mul(contestants) > most)
    }

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

    /// How far so many steps lead: the highest rate that is tried, and the highest of which a break is still searched to its end.
    pub fn leads_to(&self, steps: u32) -> (u64, u64) {
        let at = |steps: u32| self.rate_at_most(steps.saturating_sub(1));
        let is_searched = |climbed: &u32| climbed.saturating_add(self.ladder.search_steps(at(*climbed))) <= steps;
        let fewest = steps.saturating_sub(SEARCH_STEPS_MAX);
        let climbed = (fewest..steps).rev().find(is_searched).unwrap_or(fewest);
        (at(steps), at(climbed))
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
    /// Those of them that were verified: all three headers right.
    pub verified: u64,
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
        self.verified = self.verified.saturating_add(other.verified);
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
        let HoldCounts { due, verified, own_fault, late, ref latency } = *self;
        HoldSums { due, verified, own_fault, late, p99_us: latency.quantile(0.99), unsettled: false }
    }
}

/// The same, of all generators, as a decision tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSums {
    pub due: u64,
    #[serde(alias = "right")]
    pub verified: u64,
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
    /// Its limit is looked for between what it holds and what broke it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_searched: bool,
}

/// All contestants of one breakpoint phase. Decisions are made, or followed, one after the other.
#[derive(Clone, Debug)]
pub struct Climbs {
    breakpoint: Breakpoint,
    bounds: Bounds,
    /// All have failed in the hold before, and are held again.
    together: bool,
    /// The highest rate that passed in each of the last holds.
    shown: [u64; NOT_VALID_MAX as usize],
    /// The step whose rates are decided and not judged yet.
    tried: u32,
    climbs: Vec<Climb>,
}

/// One of them.
#[derive(Clone, Debug)]
struct Climb {
    ladder: Ladder,
    /// It has slipped, or what was tried once more has failed, and rests before what is left is judged.
    rests: bool,
    /// It has slipped, and is to show that it holds this.
    stays: Option<u64>,
    /// How often it has slipped in a row.
    slips: u32,
    /// Times in a row that its step was held for nothing, since the generators were too weak, and since too little was known.
    not_valid: u32,
    unknown: u32,
    /// Times that it failed late by itself, while somebody showed as much, and was not judged in between.
    outdone: u32,
    passes: Vec<PassedStep>,
}

/// What was measured of one contestant in a hold, and what it says.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// What was sent.
    rate: u64,
    sums: HoldSums,
    measured: Measured,
    verdict: HoldVerdict,
    /// More of it was void than a step may pass with.
    is_void: bool,
    /// It is a failure, and too much of it was late by us.
    is_late: bool,
    /// It is one, and somebody showed as much as late: it fails also without what our lateness may have done.
    is_outdone: bool,
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
        Climbs {
            breakpoint,
            bounds: Bounds::NONE,
            together: false,
            shown: Default::default(),
            tried: first,
            climbs: Vec::new(),
        }
    }

    pub fn within(self, bounds: Bounds) -> Climbs {
        Climbs { bounds, ..self }
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
        let measured: Vec<(String, HoldSums)> = measured.into_iter().collect();
        while self.climbs.len() < measured.len() {
            self.climbs.push(Climb::new(&self.breakpoint));
        }
        let is_last = step >= self.bounds.end;
        let figures: Vec<Figures> = self.figures(measured.iter().map(|(_, sums)| *sums), step);
        let passed = figures.iter().filter(|figures| figures.verdict == HoldVerdict::Passed);
        self.shown.rotate_left(1);
        self.shown[NOT_VALID_MAX as usize - 1] = passed.map(|figures| figures.rate).max().unwrap_or(0);
        let verdicts = self.climbs.iter_mut().zip(&figures).map(|(climb, figures)| climb.take(judged, figures));
        let verdicts: Vec<Option<HoldVerdict>> = verdicts.collect();
        self.end_highest();
        self.end_beyond_fleet();
        let climbers = measured.into_iter().zip(&figures).zip(verdicts).zip(&self.climbs);
        let climbers = climbers.map(|((((contestant, sums), figures), verdict), climb)| {
            let Found { holds, broke, unbroken } = climb.found(&self.bounds, is_last);
            // Who has slipped is at a rate that it has not shown yet: no latency is known of it.
            let held = climb.passes.iter().rev().find(|pass| pass.rate == holds);
            let (breaks_at, breaks_by) = broke.unzip();
            let rate = climb.rate();
            Climber {
                contestant,
                tried: figures.rate,
                sums,
                verdict,
                rate,
                trial: climb.trial(),
                rest: if holds > 0 { holds } else { rate },
                holds,
                holds_p99_us: held.and_then(|held| held.p99_us),
                holds_since: held.map(|held| held.since),
                breaks_at,
                breaks_by,
                unbroken,
                is_searched: climb.ladder.is_searched(),
            }
        });
        Decision { step, judged, from, to, climbers: climbers.collect() }
    }

    /// What the sums of all say. Where all fail at once, that is hardly theirs. It is not believed the first time, and never where
    /// nobody could show anything any more behind it, nor of those who stay: what somebody holds it only loses where somebody
    /// else shows that our side was well.
    fn figures(&mut self, sums: impl Iterator<Item = HoldSums>, step: u32) -> Vec<Figures> {
        let pass = &self.breakpoint.ladder.pass;
        let figures = sums
            .zip(&self.climbs)
            .map(|(sums, climb)| Figures::new(sums, climb.rate(), self.breakpoint.judged_due(climb.rate()), pass));
        let mut figures: Vec<Figures> = figures.collect();
        let outdone: Vec<bool> = figures.iter().map(|one| one.is_outdone_by(&figures, pass)).collect();
        figures.iter_mut().zip(outdone).for_each(|(figures, is_outdone)| figures.is_outdone = is_outdone);
        // Who has never held anything says nothing of a hold in which it does not, either.
        let is_known = |climb: &Climb| climb.trial() == Some(Trial::Climb) || climb.ladder.found().holds > 0;
        let known = self.climbs.iter().filter(|climb| is_known(climb)).count();
        let judged = figures.iter_mut().zip(&self.climbs);
        let judged: Vec<(&mut Figures, &Climb)> =
            judged.filter(|(figures, climb)| is_known(climb) && figures.verdict != HoldVerdict::NotValid).collect();
        let least = known.clamp(TOGETHER_LEAST, TOGETHER_MIN);
        let all_failed =
            judged.len() >= least && judged.iter().all(|(figures, _)| figures.verdict != HoldVerdict::Passed);
        let is_over = step.saturating_add(1) >= self.bounds.end;
        self.together = all_failed && !self.together;
        for (figures, climb) in judged {
            if self.together || all_failed && (is_over || climb.trial().is_none()) {
                figures.verdict = HoldVerdict::NotValid;
            }
        }
        figures
    }

    /// Whether it could have been decided of anybody: what lies in a Redis may be anything.
    pub fn is_possible(&self, decision: &Decision) -> bool {
        let rates = 1..=self.breakpoint.ladder.max;
        let fits = |climber: &Climber| rates.contains(&climber.rate) && rates.contains(&climber.rest);
        !decision.climbers.is_empty() && decision.climbers.iter().all(fits)
    }

    /// Goes on by somebody's decision; what should have been decided, from what it says was measured.
    pub fn follow(&mut self, decision: &Decision) -> Decision {
        let measured = decision.climbers.iter().map(|climber| (climber.contestant.clone(), climber.sums));
        self.decide(decision.step, (decision.from, decision.to), measured)
    }

    /// Whoever stands highest, and asks for more than anybody showed of late, asks for more than the generators can give, once
    /// that was tried often enough; then all others have another try.
    fn end_highest(&mut self) {
        let shown = self.shown.into_iter().max().unwrap_or(0);
        // Whoever has not passed anything has not climbed: it is held again until something is known of it. Once is chance.
        let is_climbing = |climb: &Climb| {
            climb.ladder.now().is_some()
                && climb.not_valid > 1
                && climb.ladder.found().holds > 0
                && climb.rate() > shown
        };
        if !self.climbs.iter().any(|climb| is_climbing(climb) && climb.not_valid >= NOT_VALID_MAX) {
            return;
        }
        let rate = |climb: &Climb| if is_climbing(climb) { climb.rate() } else { 0 };
        end_at_the_top(&mut self.climbs, rate);
        // Whose rate was shown stands still by our lateness, whoever else ends.
        for climb in self.climbs.iter_mut().filter(|climb| climb.rate() > shown) {
            (climb.not_valid, climb.unknown) = (0, 0);
        }
    }

    /// What all are to be asked for is more than the fleet carries, as was said: whoever asks most of it does not climb any more.
    fn end_beyond_fleet(&mut self) {
        let Some(fleet_max) = self.breakpoint.fleet_max else { return };
        // A try above what somebody holds; the lower ones may still be tried.
        let tried = |climb: &Climb| {
            let holds = climb.ladder.found().holds;
            let is_climbing = climb.ladder.now().is_some() && holds > 0 && climb.rate() > holds;
            if is_climbing { climb.rate() } else { 0 }
        };
        // Who rests is asked for all of it again, whatever others were given meanwhile.
        let sum = |climbs: &[Climb]| climbs.iter().map(Climb::rate_rested).fold(0, u64::saturating_add);
        while sum(&self.climbs) > fleet_max && end_at_the_top(&mut self.climbs, tried) {}
    }
}

/// Ends the climbs of the highest rate, and of those close to it; 0 is the rate of whoever is left as it is. Whether there was one.
fn end_at_the_top(climbs: &mut [Climb], rate: impl Fn(&Climb) -> u64) -> bool {
    let highest = climbs.iter().map(&rate).max().unwrap_or(0);
    let is_at_the_top = |climb: &&mut Climb| rate(climb) > 0 && rate(climb) * 100 >= highest * HIGHEST_PERCENT;
    climbs.iter_mut().filter(is_at_the_top).for_each(|climb| climb.ladder.end_unbroken());
    highest > 0
}

impl Figures {
    /// `expected`: requests that must have fallen due.
    fn new(sums: HoldSums, rate: u64, expected: u64, pass: &Pass) -> Figures {
        let measured = Measured {
            due: sums.due.saturating_sub(sums.own_fault),
            verified: sums.verified,
            p99_us: sums.p99_us,
            valid: sums.may_pass(expected),
        };
        let verdict = pass.judge(measured);
        let is_failure = matches!(verdict, HoldVerdict::FailedByVerified | HoldVerdict::FailedByP99);
        let is_void = !sums.unsettled && sums.is_whole(expected) && !measured.valid;
        Figures { rate, sums, measured, verdict, is_void, is_late: is_failure && !sums.may_fail(), is_outdone: false }
    }

    /// Whether it fails also without what our lateness may have done, by those who held as much in the same hold, and were late
    /// half as much at the least: they show what it does to a latency at the most.
    fn is_outdone_by(&self, others: &[Figures], pass: &Pass) -> bool {
        if !self.is_late {
            return false;
        }
        let share = |sums: HoldSums, due: u64| u128::from(sums.late) * u128::from(due);
        let shows = |other: &&Figures| {
            let is_as_late = share(other.sums, self.sums.due).saturating_mul(2) >= share(self.sums, other.sums.due);
            other.verdict == HoldVerdict::Passed && other.rate >= self.rate && is_as_late
        };
        let Some(p99_us) = others.iter().filter(shows).filter_map(|other| other.sums.p99_us).min() else {
            return false;
        };
        let Measured { due, verified, .. } = self.measured;
        let without = Measured {
            verified: verified.saturating_add(self.sums.late).min(due),
            p99_us: self.measured.p99_us.map(|us| us.saturating_sub(p99_us)),
            ..self.measured
        };
        pass.judge(without) != HoldVerdict::Passed
    }

    /// Requests a second that were verified.
    fn verified_rate(&self) -> u64 {
        let verified =
            u128::from(self.rate) * u128::from(self.measured.verified) / u128::from(self.measured.due.max(1));
        u64::try_from(verified).unwrap_or(u64::MAX)
    }
}

impl Climb {
    fn new(breakpoint: &Breakpoint) -> Climb {
        let ladder = Ladder::new(breakpoint.ladder).expect("terms that were looked at");
        Climb { ladder, rests: false, stays: None, slips: 0, not_valid: 0, unknown: 0, outdone: 0, passes: Vec::new() }
    }

    /// What is sent now. Who holds nothing is asked now and then, and no more.
    fn rate(&self) -> u64 {
        let rests = |rate: u64| if self.rests { rate / 2 } else { rate };
        self.ladder.now().map_or_else(|| rests(self.stays()), Hold::sent).max(1)
    }

    /// The same, without its rest.
    fn rate_rested(&self) -> u64 {
        self.ladder.now().map_or_else(|| self.stays(), |hold| hold.rate).max(1)
    }

    /// At which rate it stays where nothing is tried any more.
    fn stays(&self) -> u64 {
        self.stays.unwrap_or(self.ladder.found().holds)
    }

    /// Why; none: it stays.
    fn trial(&self) -> Option<Trial> {
        self.ladder.now().map(|hold| hold.trial).or(self.rests.then_some(Trial::Rest))
    }

    /// What it has found. A break above what its connections carry, at the lowest latency that it has shown, is theirs.
    fn found(&self, bounds: &Bounds, is_last: bool) -> Found {
        let found = self.ladder.found();
        let is_over = self.ladder.now().is_none();
        let lowest_p99_us = self.passes.iter().filter_map(|pass| pass.p99_us).min();
        let found = found.over(bounds.connections, lowest_p99_us, is_over || is_last);
        let is_cut = is_last && !is_over && found.broke.is_none() && found.unbroken.is_none();
        let cut = if self.not_valid >= NOT_VALID_MAX { Unbroken::Generator } else { Unbroken::Time };
        Found { unbroken: found.unbroken.or(is_cut.then_some(cut)), ..found }
    }

    /// What was measured while it was held; none: nothing of it is known, and it is held again.
    fn take(&mut self, judged: u32, figures: &Figures) -> Option<HoldVerdict> {
        if self.trial() == Some(Trial::Rest) {
            (self.not_valid, self.unknown) = (0, 0);
            if !std::mem::take(&mut self.rests) {
                self.ladder.take(figures.measured);
            }
            return Some(HoldVerdict::Rested);
        }
        if figures.sums.due == 0 {
            return None;
        }
        let verdict = self.believed(figures);
        if verdict == HoldVerdict::NotValid {
            if figures.is_void || figures.is_late {
                self.not_valid += 1;
            } else {
                self.unknown += 1;
            }
            if self.unknown >= UNKNOWN_MAX {
                self.not_valid = self.not_valid.max(NOT_VALID_MAX);
            }
            return Some(verdict);
        }
        (self.not_valid, self.unknown) = (0, 0);
        match self.ladder.now() {
            Some(hold) => {
                self.ladder.take(figures.measured);
                // What was tried once more and failed has left its queue.
                self.rests = hold.trial == Trial::Retry && verdict != HoldVerdict::Passed;
            }
            None if verdict == HoldVerdict::Passed => self.stay(figures.rate),
            None => self.slip(figures, verdict),
        }
        if verdict == HoldVerdict::Passed {
            let (rate, p99_us) = (figures.rate, figures.sums.p99_us);
            match self.passes.iter_mut().find(|pass| pass.rate == rate) {
                // What it stays at has the latency with which it was found.
                Some(pass) if self.ladder.now().is_some() => pass.p99_us = p99_us,
                Some(_) => {}
                None => self.passes.push(PassedStep { rate, p99_us, since: judged }),
            }
        }
        Some(verdict)
    }

    /// What failed in figures that were late by us may be our failure, unless it fails by itself again. A hold in which nobody
    /// showed as much, or of which too little is known, says nothing of that.
    fn believed(&mut self, figures: &Figures) -> HoldVerdict {
        self.outdone += u32::from(figures.is_outdone);
        if figures.verdict == HoldVerdict::NotValid || figures.is_late && self.outdone < OUTDONE_MAX {
            return HoldVerdict::NotValid;
        }
        self.outdone = 0;
        figures.verdict
    }

    /// It holds to the end what it has found, or what it has slipped to.
    fn stay(&mut self, rate: u64) {
        self.slips = 0;
        if self.stays.take().is_some() {
            self.ladder.hold(rate);
        }
    }

    /// It does not hold any more what it held: a little less is tried next. Of that it holds what it still answered right, where it
    /// was not much slower than it may be; else what has passed, and is not more than that.
    fn slip(&mut self, figures: &Figures, verdict: HoldVerdict) {
        let percent = SLIP_PERCENT << self.slips.min(5);
        let less = figures.rate.saturating_sub((figures.rate * percent.min(100) / 100).max(1));
        // What failed shows nothing that was not held before.
        let most = less.min(figures.verified_rate()).min(self.ladder.found().holds);
        let is_slow = figures.sums.p99_us.is_none_or(|us| us > self.ladder.pass().p99_us.saturating_mul(SLOW_TIMES));
        let shown = if is_slow { self.ladder.passed_within(most) } else { most };
        self.ladder.slip(figures.rate, verdict, shown);
        self.stays = (less > self.ladder.found().holds).then_some(less);
        self.slips += 1;
        self.rests = figures.rate > 1;
    }
}

#[cfg(test)]
mod tests;
