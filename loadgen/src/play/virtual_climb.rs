//! Breakpoint phases under virtual time: several generators with several workers each, over pretended kernels, against servers
//! whose capacity is known; what one of them decides by the counts of all, the others follow.

use crate::engine::block::{self, Block, Receiver, Sender};
use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::control::WorkerControl;
use crate::engine::http::RequestTemplate;
use crate::engine::plan::{ContestantPlan, Plan, Target, TrafficMode};
use crate::engine::ring::pretend::{Character, Manner, Mischief, Pretend, Queues};
use crate::engine::schedule::Schedule;
use crate::engine::share::Share;
use crate::engine::sizes::sizes;
use crate::engine::trace::Tracing;
use crate::engine::worker::Worker;
use crate::play::plan::phases;
use crate::play::steps::{self, HoldFigures, Steps, ToJudge};
use flowtest_contest::Contest;
use flowtest_contest::breakpoint::{Climber, Decision};
use flowtest_contest::ladder::{HoldVerdict, Unbroken};
use flowtest_contest::timeline::SPLIT_LEAD_US;
use flowtest_contract::rules::{Deadlines, UtcUs};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const START: PlanInstant = PlanInstant::from_ns(10 * MS);
/// How often a generator looks at what was counted and decided.
const LOOK: u64 = 50 * MS;
/// A hold of four seconds, a timeout of a third of one, and three to decide.
const STEP_MS: u64 = 7_300;

/// A script of a climb; then [`Script::play`].
#[derive(Clone, Debug)]
struct Script {
    servers: Vec<Character>,
    start: u64,
    steps: u64,
    generators: usize,
    workers: u32,
    /// See [`Pretend`].
    costs: (u64, u64),
    /// The first generator dies at this instant.
    dies: Option<RunInstant>,
    /// What the first generator counts comes to nobody between these two.
    rows_late: Option<(RunInstant, RunInstant)>,
    /// From one instant until another each answer of Redis takes so long, in ns. None: it is away.
    redis: Vec<(RunInstant, RunInstant, Option<u64>)>,
}

/// The decisions that a Redis holds, and since when.
#[derive(Debug, Default)]
struct PretendRedis {
    put: Vec<(RunInstant, Decision)>,
    /// On its way: when it comes there, and the latest that is taken.
    coming: Option<(RunInstant, UtcUs, Decision)>,
}

struct Generator {
    control: Arc<WorkerControl>,
    workers: Vec<(Worker<Pretend>, Option<Sender>, Receiver)>,
    playing: Vec<bool>,
    plan: Arc<Plan>,
    steps: Steps,
    sums: Block,
    lives: bool,
    /// Others have its share from then on.
    gone_from: Option<UtcUs>,
    /// What it has counted in each hold, by contestant.
    counted: BTreeMap<u32, Vec<u64>>,
}

impl Generator {
    fn collect(&mut self) {
        for (_, _, receiver) in &mut self.workers {
            receiver.drain(|block| self.sums.merge(block));
        }
        let counts = self.sums.hold.counts().iter().map(|counts| counts.due);
        self.counted.insert(self.sums.hold.step, counts.collect());
    }

    /// As a runner of rounds does, of decisions that stand in Redis by now.
    fn hear_all(&mut self, put: &[&Decision], now: RunInstant) {
        let plan = self.plan.clone();
        for step in self.steps.to_hear(&plan, now) {
            let Some(at) = put.iter().position(|decision| decision.step == step) else {
                self.steps.skip(&plan, now, step);
                continue;
            };
            // What it goes on from, and was looked for too early.
            for decision in &put[..=at] {
                self.hear(decision, now);
            }
        }
    }

    /// As the driver does.
    fn hear(&mut self, decision: &Decision, now: RunInstant) {
        assert_eq!(self.steps.hear(decision), None, "whoever hears of it comes to the same");
        if Steps::is_in_time(&self.plan, decision, now) {
            let schedule = self.plan.schedule.as_ref().clone().with_step(steps::rates(decision));
            self.change(schedule);
        }
    }

    fn change(&mut self, schedule: Schedule) {
        let plan = Plan { schedule: Arc::new(schedule), ..Plan::clone(&self.plan) }.with_holds();
        self.plan = Arc::new(plan);
        self.control.change(self.plan.clone());
    }
}

impl Script {
    fn new(servers: &[Character]) -> Script {
        Script {
            servers: servers.to_vec(),
            start: 100,
            steps: 36,
            generators: 1,
            workers: 1,
            costs: (0, 0),
            dies: None,
            rows_late: None,
            redis: Vec::new(),
        }
    }

    fn address(index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1000 + index as u16))
    }

    fn contest(&self) -> Contest {
        let length = self.steps * STEP_MS;
        let mut text = format!(
            "name = \"climb\"\n[rules]\ntimeout = \"300ms\"\n[[phase]]\nkind = \"breakpoint\"\nfor = \"{length}ms\"\n\
             start = {}\nstep = \"x1.25\"\nhold = \"4s\"\npass = {{ verified = 0.995, p99 = \"50ms\" }}\nmax = 60000\n\
             connections = 64\n[policy]\nallow = [\"127.0.0.0/8\"]\n",
            self.start
        );
        for index in 0..self.servers.len() {
            let address = Script::address(index);
            text.push_str(&format!("[[contestant]]\nname = \"c{index}\"\nendpoint = \"{address}\"\n"));
        }
        Contest::from_toml(&text).expect("a contest")
    }

    fn plan(&self, share: Share) -> Plan {
        let contest = self.contest();
        let contestants = contest.contestants.iter().enumerate().map(|(index, one)| ContestantPlan {
            name: one.name.clone(),
            endpoint: Script::address(index).to_string(),
            addresses: vec![Target::new(Script::address(index))],
            request: RequestTemplate::new("/", "host"),
            tls: None,
            traffic: TrafficMode::Flood,
        });
        let deadlines = vec![(UtcUs::EPOCH, Deadlines::default())];
        let schedule = Schedule::new(deadlines, Vec::new(), RunInstant::NEVER, vec![(RunInstant::START, share)]);
        let plan = Plan {
            rules: contest.rules,
            schedule: Arc::new(schedule),
            utc_base: UtcUs(1_000_000_000),
            phases: phases(&contest, START),
            contestants: contestants.collect(),
            workers: self.workers,
            places: self.servers.len(),
            room: self.servers.len(),
            ..Plan::default()
        };
        plan.with_holds()
    }

    fn generator(&self, index: usize, queues: &Queues) -> Generator {
        let share = Share { index: index as u64, of: self.generators as u64 };
        let plan = Arc::new(self.plan(share));
        let workers = (0..self.workers).map(|number| {
            let servers = self.servers.iter().enumerate().map(|(index, server)| (Script::address(index), *server));
            let seed = 1 + u64::from(number) + 10 * index as u64;
            let mut kernel = Pretend::new(sizes(&plan, number), servers.collect(), Mischief::default(), seed);
            (kernel.queues, kernel.costs) = (queues.clone(), self.costs);
            let (sender, receiver) = block::channel(plan.contestants.len(), Tracing::Off);
            (Worker::new(kernel, plan.clone(), number, [7; 16], Tracing::Off), Some(sender), receiver)
        });
        Generator {
            control: Arc::new(WorkerControl::new(plan.clone())),
            workers: workers.collect(),
            playing: vec![true; self.workers as usize],
            steps: Steps::new(&plan).expect("it climbs"),
            sums: Block::new(self.servers.len(), Tracing::Off),
            plan,
            lives: true,
            gone_from: None,
            counted: BTreeMap::new(),
        }
    }

    /// What was decided of all steps. Whoever was judged was judged by all that was counted.
    fn play(&self) -> Vec<Decision> {
        let queues = Queues::default();
        let mut generators: Vec<Generator> = (0..self.generators).map(|index| self.generator(index, &queues)).collect();
        let (mut redis, mut look_at) = (PretendRedis::default(), RunInstant::START + LOOK);
        loop {
            // The worker whose clock is behind goes on, so that all stand within a turn of each other.
            let behind = generators.iter().enumerate().filter(|(_, generator)| generator.lives);
            let behind = behind.flat_map(|(at, generator)| {
                let playing = (0..generator.workers.len()).filter(|index| generator.playing[*index]);
                playing.map(move |index| (generator.workers[index].0.now(), at, index))
            });
            let Some((now, at, index)) = behind.min() else { break };
            let generator = &mut generators[at];
            let (worker, sender, _) = &mut generator.workers[index];
            let sender = sender.as_mut().expect("it plays");
            generator.playing[index] = worker.go_on(&generator.control, sender).expect("no ring fails here");
            if now >= look_at {
                look_at = now + LOOK;
                self.bury(&mut generators, now);
                self.collect(&mut generators, now);
                self.speak(&mut generators, &mut redis, now);
            }
        }
        generators.iter_mut().for_each(Generator::collect);
        let decisions: Vec<Decision> = redis.put.into_iter().map(|(_, decision)| decision).collect();
        decisions.iter().for_each(|decision| assert_judged_by_all(decision, &generators));
        decisions
    }

    /// With Redis, one command after the other: whoever decides looks who lives, what is decided, and what was counted.
    fn speak(&self, generators: &mut [Generator], redis: &mut PretendRedis, now: RunInstant) {
        let trouble = self.redis.iter().find(|(from, to, _)| *from <= now && now < *to);
        let Some(takes) = trouble.map_or(Some(0), |(.., takes)| *takes) else {
            redis.coming = None;
            return;
        };
        if redis.coming.is_none() {
            let decided = decide(generators, now);
            redis.coming = decided.map(|(decision, by)| (now + 4 * takes, by, decision));
        }
        let is_in_time = |at, by| generators.iter().any(|generator| generator.plan.utc_us(at) < by);
        // The first decision of a step stands.
        if let Some((at, by, decision)) = redis.coming.take_if(|(at, ..)| *at <= now)
            && is_in_time(at, by)
            && redis.put.iter().all(|(_, put)| put.step != decision.step)
        {
            redis.put.push((at, decision));
        }
        let heard: Vec<&Decision> =
            redis.put.iter().filter(|(at, _)| *at + takes <= now).map(|(_, decision)| decision).collect();
        generators.iter_mut().filter(|generator| generator.lives).for_each(|generator| generator.hear_all(&heard, now));
    }

    /// As recorders do, and publishers.
    fn collect(&self, generators: &mut [Generator], now: RunInstant) {
        let is_late = self.rows_late.is_some_and(|(from, to)| from <= now && now < to);
        let living = generators.iter_mut().filter(|generator| generator.lives);
        living.skip(usize::from(is_late)).for_each(Generator::collect);
    }

    /// The first one dies where the script says so; some time later the others have its share.
    fn bury(&self, generators: &mut [Generator], now: RunInstant) {
        if !generators[0].lives || self.dies.is_none_or(|dies| now < dies) {
            return;
        }
        generators[0].lives = false;
        let (from, of) = (now + 3 * SPLIT_LEAD_US * 1_000, self.generators as u64 - 1);
        generators[0].gone_from = Some(generators[0].plan.utc_us(from));
        for (index, generator) in (0..).zip(&mut generators[1..]) {
            let old = Share { index: index + 1, of: of + 1 };
            let shares = vec![(RunInstant::START, old), (from, Share { index, of })];
            let deadlines = vec![(UtcUs::EPOCH, Deadlines::default())];
            let decided = generator.plan.schedule.steps().to_vec();
            generator.change(Schedule::new(deadlines, Vec::new(), RunInstant::NEVER, shares).with_steps(decided));
        }
    }
}

/// Nobody was judged by a part of what fell due.
fn assert_judged_by_all(decision: &Decision, generators: &[Generator]) {
    use HoldVerdict::{FailedByP99, FailedByVerified, Passed};
    for (place, climber) in decision.climbers.iter().enumerate() {
        let counted = generators.iter().filter_map(|generator| generator.counted.get(&decision.judged)?.get(place));
        if let Some(Passed | FailedByVerified | FailedByP99) = climber.verdict {
            assert_eq!(climber.sums.due, counted.sum::<u64>(), "step {}: {climber:?}", decision.step);
        }
    }
}

/// The first one that lives decides, by what all that live have counted; and the latest at which Redis takes it.
fn decide(generators: &mut [Generator], now: RunInstant) -> Option<(Decision, UtcUs)> {
    let first = generators.iter().position(|generator| generator.lives)?;
    let plan = generators[first].plan.clone();
    let to_judge = generators[first].steps.to_judge(&plan, now)?;
    let holds = generators.iter().filter(|generator| generator.lives).map(|generator| &generator.sums.hold);
    let told = holds.filter(|hold| hold.step == to_judge.window.step).map(|hold| hold.report(&plan));
    let has_share = |one: &&Generator| one.gone_from.is_none_or(|from| to_judge.window.from < from);
    let figures = HoldFigures::together(told, generators.iter().filter(has_share).count());
    let steps = &mut generators[first].steps;
    if !to_judge.is_last_chance && !steps.is_whole(&figures, &plan) {
        return None;
    }
    Some((steps.decide(to_judge, &figures, &plan), to_judge.heard_by))
}

const fn bounded(capacity: u64) -> Character {
    Character::Bounded { capacity, manner: Manner::Steady }
}

fn last(decisions: &[Decision]) -> &[Climber] {
    &decisions.last().expect("some steps").climbers
}

fn holds(decisions: &[Decision]) -> Vec<u64> {
    last(decisions).iter().map(|climber| climber.holds).collect()
}

fn is_near(one: u64, other: u64, percent: u64) -> bool {
    one.abs_diff(other) * 100 <= one.max(other) * percent
}

/// Somebody's capacity is found, and nothing is tried any more.
fn assert_found(decisions: &[Decision], place: usize, capacity: u64, what: &str) {
    let climber = &last(decisions)[place];
    assert!(is_near(climber.holds, capacity, 5), "{what}: {capacity} a second, and found was {climber:?}");
    assert_eq!((climber.trial, climber.unbroken), (None, None), "{what}: {climber:?}");
}

#[test]
fn whatever_a_server_is_like_what_it_holds_is_found_within_five_percent() {
    let start = START.ns();
    let manners = [
        Manner::Steady,
        Manner::Cliff { wait: 30 * MS },
        Manner::Noisy { percent: 40 },
        // Cold, at two thirds, it fails what is tried then.
        Manner::WarmingUp { until: 45 * SECOND },
        // Good while a step settles, and at the ends of holds.
        Manner::Cheating { start, period: STEP_MS * MS, from: 1_100 * MS, to: 3_800 * MS },
    ];
    let capacities = [170, 260, 420, 310, 230];
    let servers: Vec<Character> =
        capacities.iter().zip(manners).map(|(&capacity, manner)| Character::Bounded { capacity, manner }).collect();
    let decisions = Script { generators: 2, steps: 40, ..Script::new(&servers) }.play();
    for (place, manner) in manners.iter().enumerate() {
        assert_found(&decisions, place, capacities[place], &format!("{manner:?}"));
    }
}

#[test]
fn equal_servers_are_equal_wherever_they_stand_and_whoever_counts() {
    let servers = [bounded(330), bounded(150), bounded(270), bounded(210), bounded(330)];
    let mut found = Vec::new();
    for (generators, workers) in [(1, 1), (2, 1), (3, 1), (1, 3), (2, 2)] {
        let decisions = Script { generators, workers, ..Script::new(&servers) }.play();
        let holds = holds(&decisions);
        let what = format!("{generators} generators of {workers} workers: {holds:?}");
        assert!(is_near(holds[0], holds[4], 3), "{what}");
        for (place, capacity) in [(1, 150), (2, 270), (3, 210), (0, 330)] {
            assert_found(&decisions, place, capacity, &what);
        }
        found.push(holds);
    }
    for other in &found[1..] {
        let all_near = found[0].iter().zip(other).all(|(one, other)| is_near(*one, *other, 3));
        assert!(all_near, "{found:?}");
    }
}

#[test]
fn who_has_a_share_only_since_a_phase_began_may_lack_decisions_until_it_hears_of_one() {
    let plan = Script::new(&[bounded(180)]).plan(Share { index: 0, of: 2 });
    let mut there = Steps::new(&plan).expect("it climbs");
    assert!(!there.may_lack(&plan), "it was there from the beginning, and there is none");
    let begun = RunInstant::from_ns(START.ns() + 2 * STEP_MS * MS);
    let shares = vec![(RunInstant::START, Share::NONE), (begun, Share { index: 0, of: 2 })];
    let deadlines = vec![(UtcUs::EPOCH, Deadlines::default())];
    let late = Schedule::new(deadlines, Vec::new(), RunInstant::NEVER, shares);
    let late = Plan { schedule: Arc::new(late), ..plan.clone() };
    let mut anew = Steps::new(&late).expect("it climbs");
    assert!(anew.may_lack(&late));
    let to_judge = ToJudge { window: plan.holds[0], step: 1, heard_by: UtcUs::MAX, is_last_chance: true };
    let decision = there.decide(to_judge, &HoldFigures::default(), &plan);
    assert_eq!(anew.hear(&decision), None);
    assert!(!anew.may_lack(&late));
}

#[test]
fn a_generator_that_dies_in_mid_climb_costs_a_step_and_nothing_else() {
    let servers = [bounded(180), bounded(300)];
    let dies = RunInstant::from_ns(2 * STEP_MS * MS + 2 * SECOND);
    let decisions = Script { generators: 2, dies: Some(dies), ..Script::new(&servers) }.play();
    assert_found(&decisions, 0, 180, "the lower");
    assert_found(&decisions, 1, 300, "the higher");
    // What it had counted of its last hold was never told, so that step judged nobody.
    let verdicts: Vec<_> = decisions.iter().map(|decision| decision.climbers[1].verdict).collect();
    assert!(verdicts[..4].contains(&Some(HoldVerdict::NotValid)), "{verdicts:?}");
}

#[test]
fn a_step_of_which_the_last_rows_come_late_is_held_again_and_costs_nothing_else() {
    let servers = [Character::Honest { delay: 2 * MS }];
    let step = START.ns() + 2 * STEP_MS * MS;
    // A moment before the hold is over, until nobody can wait any longer: a request or two of thirty are missing.
    let rows_late = Some((RunInstant::from_ns(step + 3_930 * MS), RunInstant::from_ns(step + 7_000 * MS)));
    for generators in [1, 2] {
        let script = Script { start: 10, steps: 6, generators, rows_late, ..Script::new(&servers) };
        let verdicts: Vec<_> = script.play().iter().map(|decision| decision.climbers[0].verdict).collect();
        let (passed, held_again) = (Some(HoldVerdict::Passed), Some(HoldVerdict::NotValid));
        assert_eq!(verdicts, [passed, passed, held_again, passed, passed, passed], "{generators} generators");
    }
}

#[test]
fn whose_redis_is_slow_or_away_loses_nothing_of_its_climb() {
    let servers = [bounded(180), Character::Honest { delay: 2 * MS }];
    let at = |step: u64, ms: u64| RunInstant::from_ns(START.ns() + (step * STEP_MS + ms) * MS);
    // Away for some seconds, in which one step is decided and another one begins; then slow, by a second and by less.
    let redis = vec![
        (at(3, 3_000), at(4, 1_000), None),
        (at(8, 2_000), at(10, 5_000), Some(SECOND)),
        (at(13, 2_000), at(15, 3_000), Some(300 * MS)),
    ];
    let calm = Script { generators: 2, steps: 26, ..Script::new(&servers) };
    let decisions = Script { redis, ..calm }.play();
    assert_found(&decisions, 0, 180, "who has a limit");
    let unlimited: Vec<&Climber> = decisions.iter().map(|decision| &decision.climbers[1]).collect();
    assert!(unlimited.is_sorted_by_key(|climber| climber.holds), "nothing that was held is lost: {unlimited:?}");
    let last = unlimited.last().expect("some");
    // Of 26 steps a handful was not decided, or not by all: all others it passed.
    assert!(last.holds >= 100 * 30 && last.breaks_at.is_none(), "{last:?}");
    assert!(decisions.len() < 25, "it was away: {}", decisions.len());
    let by_others = decisions.iter().flat_map(|decision| &decision.climbers).filter_map(|climber| climber.unbroken);
    let mut reasons = by_others.filter(|unbroken| *unbroken != Unbroken::Time);
    assert_eq!(reasons.next(), None);
}

#[test]
fn nobody_is_held_down_by_who_is_hostile_beside_it() {
    use Character::{Failing, Flooding, Large, Refusing, Resetting, Silent, Unreachable};
    let good = [bounded(180), bounded(300)];
    let bad = [Silent, Resetting, Refusing, Flooding, Failing, Unreachable, Large { body: 20_000 }];
    // As few steps as find both: those who flood and those with large bodies take as long as they do here.
    let script = |servers: &[Character]| Script { start: 150, steps: 14, ..Script::new(servers) };
    let alone = script(&good).play();
    let beside = script(&[&good[..1], &bad[..], &good[1..]].concat()).play();
    let (alone, beside) = (holds(&alone), holds(&beside));
    assert!(is_near(alone[0], beside[0], 3) && is_near(alone[1], beside[8], 3), "{alone:?} and {beside:?}");
    // One by one: some of them answer right before they do what they do.
    assert!([1, 2, 3, 5, 6].iter().all(|place| beside[*place] == 0), "none of these is ever right: {beside:?}");
}

#[test]
fn a_weak_fleet_is_nobodys_limit_but_that_of_who_asks_most_of_it() {
    // A request takes our thread a millisecond: a thousand a second in all.
    let servers = [Character::Honest { delay: 2 * MS }, bounded(120), Character::Honest { delay: 2 * MS }];
    let script = Script { costs: (MS, 0), start: 50, steps: 60, ..Script::new(&servers) };
    let decisions = script.play();
    let climbers = last(&decisions);
    for climber in [&climbers[0], &climbers[2]] {
        assert_eq!(climber.unbroken, Some(Unbroken::Generator), "{climber:?}");
        assert!(climber.breaks_at.is_none() && climber.holds >= 120, "{climber:?}");
    }
    // Who has a limit of its own is found near it, and known to have failed, also where the generators have ended its search.
    let bounded = &climbers[1];
    assert!(is_near(bounded.holds, 120, 5) && bounded.breaks_at.is_some() && bounded.trial.is_none(), "{bounded:?}");
}
