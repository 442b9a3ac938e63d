//! The steps of breakpoint phases as one generator knows them: which hold is to be judged when, what was decided, and what
//! follows from it for the plan. Pure: it neither counts nor asks Redis.
//!
//! Whoever decides calls [`Steps::to_judge`], and [`Steps::decide`] with what all generators have counted; whoever follows calls
//! [`Steps::hear`]. Both end in the same [`Climbs`], so that anybody can go on where another one died.

use crate::engine::block::CountedHold;
use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{HoldWindow, Load, NS_PER_US, Phase, Plan};
use crate::engine::schedule::{Step, StepRate, StepRates};
use flowtest_contest::breakpoint::{Bounds, Climbs, Decision, HoldCounts, HoldSums};
use flowtest_contest::timeline::NOTICE_US;
use flowtest_contract::rules::UtcUs;
use flowtest_journal::record;

/// A decision that is made so late is still heard by everybody in time.
const NOTICE_NS: u64 = NOTICE_US * NS_PER_US;
/// So long before that nobody waits any more for figures that are not whole.
const LAST_CHANCE_NS: u64 = 500_000_000;
/// A decision that stands in Redis so long before its step is heard by everybody who looks there, and told.
const HEARING_US: u64 = 500_000;
const _: () = assert!(TELLING_NS / NS_PER_US < HEARING_US && HEARING_US < NOTICE_US);
/// Between hearing of a decision and its step: time to tell the workers.
const TELLING_NS: u64 = 150_000_000;

/// What is known of the breakpoint phase that is played, or was played last.
#[derive(Debug)]
pub struct Steps {
    climbs: Climbs,
    /// The number of its first step.
    first: u32,
    /// Up to this step all decisions are known, or nobody made one.
    heard: u32,
    /// All decisions of the phase that are known, in order.
    known: Vec<Decision>,
}

/// A hold whose figures may be judged now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToJudge {
    pub window: HoldWindow,
    /// What is decided counts from this step on.
    pub step: u32,
    /// Whoever puts a decision later than that is not heard by everybody.
    pub heard_by: UtcUs,
    /// Figures that are not whole now will not be in time.
    pub is_last_chance: bool,
}

/// What was counted in a hold, as far as it was heard of.
#[derive(Clone, Debug, Default)]
pub struct HoldFigures {
    /// By contestant, of all generators together.
    pub counts: Vec<HoldCounts>,
    /// All of them have said that each of their requests has its outcome.
    pub is_settled: bool,
}

impl HoldFigures {
    /// Of generators that say so much each. `sharers`: how many of them had a share in the hold.
    pub fn together<'a>(reports: impl IntoIterator<Item = CountedHold<'a>>, sharers: usize) -> HoldFigures {
        let (mut counts, mut settled, mut told) = (Vec::new(), 0, 0);
        for CountedHold { counts: part, is_settled } in reports {
            counts.resize(part.len().max(counts.len()), HoldCounts::default());
            counts.iter_mut().zip(part).for_each(|(sum, part)| sum.merge(part));
            (settled, told) = (settled + usize::from(is_settled), told + 1);
        }
        HoldFigures { counts, is_settled: settled == told && settled >= sharers }
    }

    fn sums(&self, contestant: usize) -> HoldSums {
        let sums = self.counts.get(contestant).map_or_else(HoldSums::default, HoldCounts::sums);
        HoldSums { unsettled: !self.is_settled, ..sums }
    }
}

impl Steps {
    /// `None`: the plan has no breakpoint phase.
    pub fn new(plan: &Plan) -> Option<Steps> {
        let first = plan.phases.iter().find_map(step_of)?;
        Some(Steps { climbs: climbs(plan, first), first: first.first, heard: first.first, known: Vec::new() })
    }

    /// The newest decision that is known.
    pub fn newest(&self) -> Option<&Decision> {
        self.known.last()
    }

    pub fn known(&self) -> &[Decision] {
        &self.known
    }

    /// Whether decisions may have been made of which nobody here has heard: none is known, and nothing was ours when the phase
    /// began.
    pub fn may_lack(&self, plan: &Plan) -> bool {
        let begins = plan.phases.iter().find(|phase| step_of(phase).is_some_and(|step| step.number == self.first));
        let begins = begins.map(|phase| plan.schedule.run_clock(phase.start));
        self.known.is_empty() && begins.is_some_and(|begins| plan.schedule.share_at(begins).is_none())
    }

    /// The step that is judged by the next decision.
    pub fn tried(&self) -> u32 {
        self.climbs.tried()
    }

    /// The steps of which nobody knows yet here whether they were decided, up to the one that comes next. One that has begun
    /// and was not decided will never be: see [`Steps::skip`].
    pub fn to_hear(&mut self, plan: &Plan, now: RunInstant) -> std::ops::Range<u32> {
        match self.running(plan, now) {
            Some((_, step)) => self.heard + 1..step.number + 2,
            None => 0..0,
        }
    }

    /// Nobody has decided of this step, and it has begun.
    pub fn skip(&mut self, plan: &Plan, now: RunInstant, step: u32) {
        if self.running(plan, now).is_some_and(|(_, running)| step <= running.number) {
            self.heard = self.heard.max(step);
        }
    }

    /// When the hold is or was that is judged next.
    pub fn window(&self, plan: &Plan) -> Option<HoldWindow> {
        plan.holds.iter().find(|window| window.step == self.climbs.tried()).copied()
    }

    /// The hold that may be judged now, where all that fell due in it can have its outcome and there is time to tell of it.
    pub fn to_judge(&mut self, plan: &Plan, now: RunInstant) -> Option<ToJudge> {
        let (phase, running) = self.running(plan, now)?;
        let step = running.number + 1;
        if !running.is_judged || self.climbs.tried() >= step || self.heard >= step {
            return None;
        }
        let planned = plan.schedule.plan_clock(now);
        let settled = phase.start + running.terms.hold_us * NS_PER_US + plan.timeout();
        if planned < settled || planned + NOTICE_NS > phase.end {
            return None;
        }
        let window = self.window(plan)?;
        let heard_by = UtcUs(plan.utc_us(plan.schedule.run_clock(phase.end)).0.saturating_sub(HEARING_US));
        Some(ToJudge { window, step, heard_by, is_last_chance: planned + NOTICE_NS + LAST_CHANCE_NS > phase.end })
    }

    /// Whether these are all requests that fell due in the hold which is judged next.
    pub fn is_whole(&self, figures: &HoldFigures, plan: &Plan) -> bool {
        let is_whole = |index: usize| figures.sums(index).is_whole(self.climbs.expected(index));
        figures.is_settled && (0..plan.contestants.len()).all(is_whole)
    }

    /// What follows from the figures of all generators.
    pub fn decide(&mut self, to_judge: ToJudge, figures: &HoldFigures, plan: &Plan) -> Decision {
        let mut climbs = self.climbs.clone();
        let sums = |index: usize| figures.sums(index);
        let measured = ContestantIndex::all()
            .zip(plan.contestants.iter())
            .map(|(index, one)| (one.name.clone(), sums(index.index())));
        climbs.decide(to_judge.step, (to_judge.window.from, to_judge.window.to), measured)
    }

    /// Whether it could have been decided: nobody is asked for more than the phase's `max`, or for nothing.
    pub fn is_possible(&self, decision: &Decision) -> bool {
        self.climbs.is_possible(decision)
    }

    /// Goes on by a decision. The sentence says that we would have decided otherwise.
    pub fn hear(&mut self, decision: &Decision) -> Option<String> {
        if decision.step <= self.climbs.tried() {
            return None;
        }
        let ours = self.climbs.follow(decision);
        self.heard = self.heard.max(decision.step);
        self.known.push(decision.clone());
        (ours != *decision).then(|| {
            format!(
                "step {} of the breakpoint was decided otherwise than its figures say: `audit` tells who is concerned",
                decision.step
            )
        })
    }

    /// Whether the workers can still go by a decision: its step lies ahead, or it began before anything was ours.
    pub fn is_in_time(plan: &Plan, decision: &Decision, now: RunInstant) -> bool {
        let begins = plan.phases.iter().find(|phase| step_of(phase).is_some_and(|step| step.number == decision.step));
        let Some(begins) = begins.map(|phase| plan.schedule.run_clock(phase.start)) else { return false };
        now + TELLING_NS < begins || plan.schedule.share_at(begins).is_none()
    }

    /// The step that is played, and its phase. A phase behind the one that is known begins anew.
    fn running<'a>(&mut self, plan: &'a Plan, now: RunInstant) -> Option<(&'a Phase, Step)> {
        let planned: PlanInstant = plan.schedule.plan_clock(now);
        let phase = plan.phases.iter().find(|phase| phase.start <= planned && planned < phase.end)?;
        let step = step_of(phase)?;
        if step.first != self.first {
            (self.climbs, self.first, self.heard) = (climbs(plan, step), step.first, step.first);
            self.known.clear();
        }
        Some((phase, step))
    }
}

/// What the workers are told.
pub fn rates(decision: &Decision) -> StepRates {
    let rates = decision.climbers.iter().map(|climber| StepRate { rate: climber.rate, rest: climber.rest });
    StepRates { step: decision.step, rates: rates.collect() }
}

/// A decision as the journal keeps it.
pub fn recorded(decision: &Decision, at: UtcUs) -> record::Decision {
    let entries = ContestantIndex::all().zip(&decision.climbers).map(|(index, climber)| record::DecisionEntry {
        tried: climber.tried,
        due: climber.sums.due,
        right: climber.sums.verified,
        own_fault: climber.sums.own_fault,
        late: climber.sums.late,
        p99_us: match climber.sums {
            HoldSums { unsettled: true, .. } => record::UNSETTLED,
            HoldSums { p99_us, .. } => p99_us.unwrap_or(record::NOTHING_ANSWERED),
        },
        rate: climber.rate,
        rest: climber.rest,
        holds: climber.holds,
        contestant: index.in_records(),
    });
    record::Decision {
        at: at.0,
        step: decision.step,
        judged: decision.judged,
        from: decision.from.0,
        to: decision.to.0,
        entries: entries.collect(),
    }
}

/// The climbs of the phase to which a step belongs.
fn climbs(plan: &Plan, Step { first, terms, .. }: Step) -> Climbs {
    let steps = plan.phases.iter().filter_map(|phase| Some((phase, step_of(phase)?)));
    let mut judged = steps.filter(|(_, step)| step.first == first && step.is_judged);
    let bounds = judged
        .next_back()
        .map_or(Bounds::NONE, |(phase, last)| Bounds { connections: phase.connections, end: last.number + 1 });
    Climbs::new(terms, first).within(bounds)
}

fn step_of(phase: &Phase) -> Option<Step> {
    match phase.load {
        Load::Step(step) => Some(step),
        Load::Open(_) | Load::Closed { .. } => None,
    }
}
