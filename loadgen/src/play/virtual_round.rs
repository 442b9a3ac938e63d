//! A whole generator under virtual time: several workers, each over a pretended kernel, the health gate that looks at what
//! they count, and the rests that a round may take.

use crate::engine::block::{self, Block, Receiver, Sender};
use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::control::WorkerControl;
use crate::engine::http::RequestTemplate;
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{ContestantPlan, Load, Phase, Plan, Ramp, Target, TrafficMode};
use crate::engine::ring::pretend::{Character, Manner, Mischief, Pretend};
use crate::engine::run::{ToldUntil, told_by_all};
use crate::engine::schedule::{Gap, Schedule};
use crate::engine::share::Share;
use crate::engine::sizes::sizes;
use crate::engine::trace::Tracing;
use crate::engine::worker::Worker;
use crate::observe::series::{Look, Series, State};
use crate::play::health_gate::HealthGate;
use flowtest_contract::Tally;
use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const START: PlanInstant = PlanInstant::from_ns(10 * MS);
/// How often the gate looks.
const LOOK: u64 = 50 * MS;
const HONEST: Character = Character::Honest { delay: 40 * MS };

/// Why nothing is sent for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// The round is paused: the plan's clock stands still.
    Pause,
    /// The first contestant is parked.
    Park,
    /// All traffic is halted.
    Halt,
    /// The journal's disk is stuck.
    Disk,
}

/// A script of a round; then [`Script::play`].
#[derive(Clone, Debug)]
struct Script {
    servers: Vec<Character>,
    load: Load,
    seconds: u64,
    connections: u32,
    workers: u32,
    rest: Option<(Rest, RunInstant, RunInstant)>,
    /// Which requests are this generator's.
    share: Share,
    /// When it hears of another share, and from when on that is its.
    split: Option<(RunInstant, RunInstant, Share)>,
    /// When it hears that the last of the servers' contestants joins, and from when on that plays.
    join: Option<(RunInstant, RunInstant)>,
    /// From when on the first contestant is not admitted.
    absent: Option<RunInstant>,
    timeout_us: u64,
    connection_life: u64,
    /// From when to when our process has no descriptor for a socket.
    short: Option<(u64, u64)>,
    /// When our process stands still, and for how long.
    stalls: Vec<(u64, u64)>,
    /// Somebody looks whether the plan is the newest, but not from when to when.
    unseen: Option<(RunInstant, RunInstant)>,
}

/// What came of it.
#[derive(Debug)]
struct Played {
    tallies: Vec<Tally>,
    /// Requests that each server has seen until the end of each second.
    seen: Vec<Vec<u64>>,
    /// Why requests were missed, of samples.
    missed: Vec<crate::engine::trace::Missed>,
    series: Series,
}

struct Generator {
    control: Arc<WorkerControl>,
    workers: Vec<(Worker<Pretend>, Option<Sender>, Receiver)>,
    playing: Vec<bool>,
    sums: Block,
    missed: Vec<crate::engine::trace::Missed>,
    /// As the collector has it.
    told: Vec<ToldUntil>,
    late_us: Vec<u64>,
    series: Series,
}

impl Generator {
    fn collect(&mut self, plan: &Plan) {
        for (index, (_, _, receiver)) in self.workers.iter_mut().enumerate() {
            self.told[index].has_ended = !self.playing[index];
            receiver.drain(|block| {
                self.sums.merge(block);
                self.missed.extend(block.samples.as_slice().iter().filter_map(|sample| sample.missed));
                self.told[index].until = block.until;
                self.late_us[index] = block.counters.late_us;
            });
        }
        self.observe(plan);
    }

    /// What is known by now, second by second.
    fn observe(&mut self, plan: &Plan) {
        let now = self.workers.iter().map(|(worker, ..)| worker.now()).max().expect("a worker");
        let late_us = self.late_us.iter().sum();
        let look = Look {
            now,
            until: told_by_all(&self.told),
            attended: RunInstant::START,
            sums: &self.sums,
            cpu_us: None,
            late_us,
        };
        self.series.observe(look, |instant| State::at(plan, instant), |_| {});
    }
}

impl Script {
    fn new(servers: &[Character], load: Load) -> Script {
        Script {
            servers: servers.to_vec(),
            load,
            seconds: 20,
            connections: 4,
            workers: 1,
            rest: None,
            share: Share::WHOLE,
            split: None,
            join: None,
            absent: None,
            timeout_us: 300_000,
            connection_life: 0,
            short: None,
            stalls: Vec::new(),
            unseen: None,
        }
    }

    fn address(index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1000 + index as u16))
    }

    /// As it is known at an instant.
    fn schedule(&self, now: RunInstant) -> Schedule {
        let pauses = match self.rest {
            Some((Rest::Pause, from, to)) => vec![Gap { from, to }],
            _ => Vec::new(),
        };
        let told = self.split.filter(|(heard, ..)| *heard <= now).map(|(_, from, share)| (from, share));
        let shares = [(RunInstant::START, self.share)].into_iter().chain(told).collect();
        let joins = self.join.filter(|(heard, _)| *heard <= now).map(|(_, from)| from);
        Schedule::new(vec![(UtcUs::EPOCH, Deadlines::default())], pauses, RunInstant::NEVER, shares)
            .with_joins(joins.into_iter().collect())
    }

    /// How many contestants are known.
    fn known(&self, now: RunInstant) -> usize {
        self.servers.len() - usize::from(self.join.is_some_and(|(heard, _)| now < heard))
    }

    fn contestant(index: usize) -> ContestantPlan {
        ContestantPlan {
            name: format!("c{index}"),
            endpoint: Script::address(index).to_string(),
            addresses: vec![Target::new(Script::address(index))],
            request: RequestTemplate::new("/", "host"),
            tls: None,
            traffic: TrafficMode::Flood,
        }
    }

    fn plan(&self) -> Plan {
        let (load, connections) = (self.load, self.connections);
        let places = self.servers.len() + usize::from(self.join.is_some());
        Plan {
            rules: Rules { timeout_us: self.timeout_us, ..Rules::default() },
            schedule: Arc::new(self.schedule(RunInstant::START)),
            utc_base: UtcUs(1_000_000_000),
            phases: [Phase { start: START, end: START + self.seconds * SECOND, load, connections, scored: true }]
                .into(),
            contestants: (0..self.known(RunInstant::START)).map(Script::contestant).collect(),
            connection_life: self.connection_life,
            workers: self.workers,
            places,
            room: places,
            ..Plan::default()
        }
    }

    /// What everybody gets at an instant, by the gate and the rest that is on.
    fn plan_at(&self, now: RunInstant, plan: &Plan, gate: &HealthGate) -> Plan {
        // Who was known keeps what was counted at its address.
        let known = plan.contestants.iter().cloned();
        let joined = (plan.contestants.len()..self.known(now)).map(Script::contestant);
        let contestants = known.chain(joined).collect();
        let mut plan = Plan { schedule: Arc::new(self.schedule(now)), contestants, ..plan.clone() };
        for (index, contestant) in ContestantIndex::all().zip(plan.contestants.iter_mut()) {
            let halted = match self.rest {
                Some((Rest::Park, from, to)) => index == ContestantIndex::FIRST && (from..to).contains(&now),
                Some((Rest::Halt, from, to)) => (from..to).contains(&now),
                _ => false,
            };
            contestant.traffic = match halted {
                true => TrafficMode::Halted,
                false if self.absent.is_some_and(|from| from <= now) && index == ContestantIndex::FIRST => {
                    TrafficMode::Absent
                }
                false => gate.traffic(index, &contestant.addresses),
            };
        }
        plan
    }

    fn generator(&self, plan: &Arc<Plan>) -> Generator {
        let workers = (0..self.workers).map(|number| {
            let servers = self.servers.iter().enumerate().map(|(index, server)| (Script::address(index), *server));
            let mut kernel = Pretend::new(sizes(plan, number), servers.collect(), Mischief::default(), 1);
            kernel.short = self.short.into_iter().collect();
            kernel.stalls = self.stalls.iter().copied().collect();
            let (sender, receiver) = block::channel(plan.contestants.len(), Tracing::On);
            (Worker::new(kernel, plan.clone(), number, [7; 16], Tracing::On), Some(sender), receiver)
        });
        Generator {
            control: Arc::new(WorkerControl::new(plan.clone())),
            workers: workers.collect(),
            playing: vec![true; self.workers as usize],
            sums: Block::new(self.servers.len(), Tracing::Off),
            missed: Vec::new(),
            told: vec![ToldUntil::default(); self.workers as usize],
            late_us: vec![0; self.workers as usize],
            series: Series::new(plan.schedule.run_clock(START), self.servers.len(), self.workers),
        }
    }

    fn play(&self) -> Played {
        let first = self.plan();
        let mut gate = HealthGate::of(&first);
        gate.grow(self.servers.len());
        let mut plan = Arc::new(self.plan_at(RunInstant::START, &first, &gate));
        let mut generator = self.generator(&plan);
        let begun = RunInstant::START;
        let (mut look_at, mut second_at, mut seen) =
            (begun + LOOK, begun + SECOND, vec![Vec::new(); self.servers.len()]);
        loop {
            // The one whose clock is behind goes on, so that all stand within a turn of each other.
            let behind = (0..generator.workers.len()).filter(|index| generator.playing[*index]);
            let Some(index) = behind.min_by_key(|index| generator.workers[*index].0.now()) else { break };
            let (worker, sender, _) = &mut generator.workers[index];
            let now = worker.now();
            let sender = sender.as_mut().expect("it plays");
            generator.playing[index] = worker.go_on(&generator.control, sender).expect("no ring fails here");
            while now >= second_at {
                for (index, seen) in seen.iter_mut().enumerate() {
                    seen.push(generator.workers.iter_mut().map(|worker| requests(&mut worker.0, index)).sum());
                }
                second_at = second_at + SECOND;
            }
            if now >= look_at {
                look_at = now + LOOK;
                generator.collect(&plan);
                let resting = matches!(self.rest, Some((Rest::Disk, from, to)) if (from..to).contains(&now));
                generator.control.pause(resting);
                if self.unseen.is_some_and(|(from, to)| !(from..to).contains(&now)) {
                    generator.control.look(now);
                }
                generator.sums.grow(plan.contestants.len());
                gate.look_at_all(now, &plan, resting);
                let newer = self.plan_at(now, &plan, &gate);
                let traffic = |plan: &Plan| plan.contestants.iter().map(|one| one.traffic).collect::<Vec<_>>();
                if traffic(&newer) != traffic(&plan) || newer.schedule != plan.schedule {
                    plan = Arc::new(newer);
                    generator.control.change(plan.clone());
                }
            }
        }
        generator.collect(&plan);
        let Generator { workers, mut sums, mut late_us, mut told, mut series, missed, .. } = generator;
        for (index, (worker, ..)) in workers.into_iter().enumerate() {
            let block = worker.into_block();
            sums.merge(&block);
            (told[index].until, late_us[index]) = (block.until, block.counters.late_us);
        }
        let until = told_by_all(&told);
        let look = Look {
            now: until,
            until,
            attended: RunInstant::START,
            sums: &sums,
            cpu_us: None,
            late_us: late_us.iter().sum(),
        };
        series.finish(look, |instant| State::at(&plan, instant), |_| {});
        let tallies = sums.scored.iter().map(|counts| counts.row.tally).collect();
        Played { tallies, seen, missed, series }
    }
}

fn at(ns: u64) -> RunInstant {
    RunInstant::from_ns(ns)
}

fn requests(worker: &mut Worker<Pretend>, server: usize) -> u64 {
    let requests: &HashMap<SocketAddr, u64> = &worker.ring_mut().kernel_mut().requests;
    requests.get(&Script::address(server)).copied().unwrap_or(0)
}

fn open(rate: u64) -> Load {
    Load::Open(Ramp::per_second(rate, rate))
}

impl Played {
    /// Requests that a server has seen between two seconds.
    fn seen_between(&self, server: usize, from: u64, to: u64) -> u64 {
        self.seen[server][to as usize - 1] - self.seen[server][from as usize - 1]
    }

    fn assert_whole(&self, points_each: i128) {
        for (index, tally) in self.tallies.iter().enumerate() {
            let due = i128::from(tally.due - tally.own_fault);
            assert!(tally.is_partition() && due > 0, "{index}: {tally:?}");
            assert_eq!(tally.points(&Rules::default()), points_each * due, "{index}: {tally:?}");
        }
    }
}

impl Played {
    /// The scored seconds that are not valid.
    fn invalid_seconds(&self) -> Vec<u64> {
        let seconds = (0..).zip(self.series.all());
        let invalid: Vec<u64> = seconds.filter(|(_, entry)| entry.invalid > 0).map(|(second, _)| second).collect();
        assert_eq!(self.series.validity().counts().invalid_seconds(), invalid.len() as u64, "{invalid:?}");
        invalid
    }
}

#[test]
fn a_standstill_over_a_resume_spoils_the_seconds_of_load_in_it_and_none_before_the_pause() {
    // Seconds begin 10 ms after our clock does; the pause ends with one of them.
    for load in [open(200), Load::Closed { pipeline: 1 }] {
        for (from, length, invalid) in [(8_010, 2_600, vec![10]), (8_010, 3_500, vec![10, 11])] {
            let mut script = Script::new(&[HONEST; 3], load);
            (script.connections, script.seconds, script.timeout_us) = (8, 12, 3_000_000);
            script.rest = Some((Rest::Pause, at(5_010 * MS), at(10_010 * MS)));
            script.stalls = vec![(from * MS, length * MS)];
            assert_eq!(script.play().invalid_seconds(), invalid, "{load:?}: {from} {length}");
        }
    }
}

#[test]
fn each_second_in_which_we_stood_still_is_not_valid() {
    // Seconds begin 10 ms after our clock does.
    let stalls = [
        (vec![(5_050, 2_900)], vec![5, 6, 7]),
        (vec![(5_050, 900)], vec![5]),
        (vec![(5_500, 1_000)], vec![5, 6]),
        (vec![(3_200, 5), (5_050, 700), (9_300, 60)], vec![5, 9]),
        // Over the end of the phase.
        (vec![(11_500, 2_000)], vec![11]),
    ];
    for load in [open(200), Load::Closed { pipeline: 1 }] {
        for (workers, connections) in [(1, 8), (2, 8)] {
            for (stalls, invalid) in &stalls {
                let mut script = Script::new(&[HONEST; 3], load);
                (script.workers, script.connections, script.seconds) = (workers, connections, 12);
                script.timeout_us = 3_000_000;
                script.stalls = stalls.iter().map(|(from, length)| (from * MS, length * MS)).collect();
                let played = script.play();
                played.assert_whole(200);
                // What a worker tells next reaches a tenth of a second behind that, and may so reach into one more.
                let found = played.invalid_seconds();
                let is_all = invalid.iter().all(|second| found.contains(second));
                let is_near = |second: &u64| invalid.iter().any(|late| (*late..=late + 1).contains(second));
                let is_more = found.len() > invalid.len() + 1 || !found.iter().all(is_near);
                assert!(is_all && !is_more, "{workers} workers, {load:?}: {stalls:?} and {found:?}");
            }
        }
    }
}

#[test]
fn what_waits_while_load_pauses_for_our_journal_is_late() {
    for load in [open(200), Load::Closed { pipeline: 1 }] {
        let mut script = Script::new(&[HONEST; 3], load);
        (script.connections, script.seconds, script.timeout_us) = (16, 12, 3_000_000);
        // Shorter than the timeout: all is sent, and all is right.
        script.rest = Some((Rest::Disk, at(5_110 * MS), at(6_910 * MS)));
        let played = script.play();
        played.assert_whole(200);
        assert_eq!(played.invalid_seconds(), [5, 6], "{load:?}");
        let late: u64 = played.series.all().iter().map(|entry| u64::from(entry.late)).sum();
        let void: u64 = played.tallies.iter().map(|tally| tally.own_fault).sum();
        if load.is_open() {
            // Three times 200 a second for 1.8 seconds, as exactly as the gate looks.
            assert!((1_000..=1_150).contains(&late) && void == 0, "{late} late, {void} void");
        }
        // Longer: what waits too long is void, and taken away once.
        script.rest = Some((Rest::Disk, at(3_110 * MS), at(8_910 * MS)));
        let played = script.play();
        played.assert_whole(200);
        assert_eq!(played.invalid_seconds(), [3, 4, 5, 6, 7, 8], "{load:?}");
        if load.is_open() {
            let ratio = played.series.validity().rate_ratio().expect("an open phase");
            assert!((ratio - 6.2 / 12.0).abs() < 0.01, "{ratio}: late for 5.8 of twelve seconds");
        }
    }
}

#[test]
fn what_is_held_until_somebody_has_looked_at_the_plan_is_late_and_its_burst_costs_nobody() {
    for load in [open(200), Load::Closed { pipeline: 1 }] {
        // It fails when more comes at once than it does in a tenth of a second.
        let fragile = Character::Bounded { capacity: 1_000, manner: Manner::Cliff { wait: 100 * MS } };
        let mut script = Script::new(&[fragile, HONEST], load);
        (script.connections, script.seconds, script.timeout_us) = (400, 12, 3_000_000);
        if !load.is_open() {
            script.connections = 16;
        }
        script.unseen = Some((at(4_900 * MS), at(6_610 * MS)));
        let quiet = script.play();
        quiet.assert_whole(200);
        assert_eq!((quiet.invalid_seconds(), quiet.tallies[0].own_fault), (vec![], 0), "{load:?}");
        // After a gap of 600 ms nothing starts until there was a look, a second later.
        script.stalls = vec![(5_020 * MS, 600 * MS)];
        let played = script.play();
        assert_eq!(played.invalid_seconds(), [5, 6], "{load:?}");
        let [fragile, honest] = played.tallies[..] else { panic!("two") };
        assert_eq!(honest.points(&Rules::default()), 200 * i128::from(honest.due - honest.own_fault), "{honest:?}");
        // The burst is too much for it. What fell due just behind that is its own, as ever.
        assert!(fragile.status <= 5 && (!load.is_open() || fragile.own_fault > 50), "{load:?} {fragile:?}");
    }
}

/// CPU time of this thread for a change of one of a hundred contestants, each of whom has so many connections.
fn cpu_of_a_change(connections: u32) -> f64 {
    let mut script = Script::new(&[HONEST; 100], open(1));
    (script.connections, script.seconds) = (connections, 60);
    let mut plan = Arc::new(script.plan());
    let mut generator = script.generator(&plan);
    let (worker, sender, _) = &mut generator.workers[0];
    let sender = sender.as_mut().expect("it plays");
    while worker.now() < at(2 * SECOND) {
        assert!(worker.go_on(&generator.control, sender).expect("no ring fails here"));
    }
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let mut used = 0.0;
    for change in 0..100 {
        let mut next = Plan::clone(&plan);
        next.contestants[ContestantIndex::FIRST].addresses[0].is_silent = change % 2 == 0;
        plan = Arc::new(next);
        generator.control.change(plan.clone());
        let before = now();
        assert!(worker.go_on(&generator.control, sender).expect("no ring fails here"));
        used += now() - before;
    }
    used / 100.0
}

#[test]
fn a_change_of_one_costs_no_more_where_the_others_have_many_connections() {
    let (mut few, mut many) = (f64::MAX, f64::MAX);
    for _ in 0..3 {
        few = few.min(cpu_of_a_change(4));
        many = many.min(cpu_of_a_change(64));
    }
    println!("{few:.0} ns where each has 4 connections, {many:.0} ns where each has 64");
    // A walk over everybody's connections made it fifteen times.
    assert!(many < 5.0 * few, "{few} ns where each has 4 connections, {many} ns where each has 64");
}

/// Fewer and more connections than workers.
const CREWS: [(u32, u32); 6] = [(1, 1), (1, 8), (3, 2), (4, 2), (8, 4), (8, 12)];

#[test]
fn whoever_joins_is_sent_exactly_the_rest_and_nobody_else_anything_other() {
    for (workers, connections) in CREWS {
        for heard in [2, 4] {
            let mut script = Script::new(&[HONEST; 4], open(20));
            (script.workers, script.connections, script.seconds) = (workers, connections, 12);
            let joins_at = at(10 * MS + 5 * SECOND);
            script.join = Some((at(heard * SECOND), joins_at));
            let played = script.play();
            let due: Vec<u64> = played.tallies.iter().map(|tally| tally.due).collect();
            assert_eq!(due, [240, 240, 240, 140], "{workers} workers, {connections} connections");
            played.assert_whole(200);
            assert_eq!(played.seen_between(3, 1, 5), 0, "nothing before its instant");
        }
        let mut script = Script::new(&[HONEST; 3], Load::Closed { pipeline: 1 });
        (script.workers, script.connections, script.seconds) = (workers, connections, 12);
        script.join = Some((at(2 * SECOND), at(5 * SECOND)));
        let played = script.play();
        played.assert_whole(200);
        let (before, after) = (played.seen_between(2, 1, 5), played.seen_between(2, 6, 8));
        let others = played.seen_between(0, 6, 8);
        assert!(before == 0 && after * 10 >= others * 9, "{before} before, {after} after, others {others}");
    }
}

#[test]
fn who_is_not_admitted_misses_all_that_is_due_and_is_sent_nothing() {
    for (workers, connections) in CREWS {
        let mut script = Script::new(&[HONEST; 3], open(20));
        (script.workers, script.connections, script.seconds) = (workers, connections, 6);
        script.absent = Some(RunInstant::START);
        let played = script.play();
        let absent = played.tallies[0];
        assert_eq!((absent.due, absent.missed, absent.sent), (120, 120, 0), "{absent:?}");
        assert_eq!(played.seen_between(0, 1, 5), 0);
        assert!(
            played.missed.iter().all(|why| *why == crate::engine::trace::Missed::NotAdmitted),
            "{:?}",
            played.missed
        );
        for tally in &played.tallies[1..] {
            assert_eq!((tally.due, tally.points(&Rules::default())), (120, 24_000), "{tally:?}");
        }
    }
}

#[test]
fn who_is_sent_away_in_mid_round_takes_nothing_back_of_what_was_due() {
    for load in [open(20), Load::Closed { pipeline: 1 }, Load::Closed { pipeline: 3 }] {
        for (workers, connections) in CREWS {
            for server in [Character::Silent, HONEST] {
                let mut script = Script::new(&[server, HONEST], load);
                (script.workers, script.connections, script.seconds) = (workers, connections, 6);
                script.absent = Some(at(2 * SECOND + 10 * MS));
                let played = script.play();
                let away = played.tallies[0];
                let context = format!("{server:?} {load:?}, {workers} workers, {connections} connections: {away:?}");
                assert!(away.is_partition() && away.own_fault == 0, "{context}");
                assert_eq!(played.seen_between(0, 3, 5), 0, "{context}");
                if server == HONEST {
                    assert_eq!(away.token_right + away.missed, away.due, "{context}");
                }
                assert_eq!(played.tallies[1].points(&Rules::default()), 200 * i128::from(played.tallies[1].due));
            }
        }
    }
}

#[test]
fn no_trouble_of_our_own_is_silence() {
    for (timeout_us, workers, connections) in [(300_000, 1, 4), (300_000, 4, 2), (300_000, 4, 8), (20_000_000, 1, 4)] {
        // Connections live for 60 ms, so that each is wanted anew while there is none to be had.
        for load in [open(10), open(40), Load::Closed { pipeline: 2 }] {
            let mut script = Script::new(&[HONEST; 2], load);
            (script.timeout_us, script.workers, script.connections) = (timeout_us, workers, connections);
            (script.seconds, script.connection_life) = (24, 60 * MS);
            script.short = Some((SECOND, 20 * SECOND));
            script.play().assert_whole(200);
        }
    }
    // Away for longer than the timeout again and again, and the server is far: no answer comes in time.
    for load in [open(20), Load::Closed { pipeline: 2 }] {
        let mut script = Script::new(&[Character::Honest { delay: 200 * MS }; 2], load);
        (script.seconds, script.connections) = (24, 8);
        script.stalls = (0..48).map(|number| (SECOND + number * 400 * MS, 350 * MS)).collect();
        script.play().assert_whole(200);
    }
}

#[test]
fn no_rest_of_any_length_costs_anybody_a_point() {
    for rest in [Rest::Pause, Rest::Park, Rest::Halt, Rest::Disk] {
        for load in [open(20), Load::Closed { pipeline: 1 }, Load::Closed { pipeline: 3 }] {
            for (workers, connections) in CREWS {
                let mut script = Script::new(&[HONEST; 4], load);
                (script.workers, script.connections) = (workers, connections);
                script.rest = Some((rest, at(3 * SECOND), at(19 * SECOND)));
                // A pause moves the end; the other rests take from the plan.
                script.seconds = if rest == Rest::Pause { 8 } else { 24 };
                let played = script.play();
                played.assert_whole(200);
                for server in 0..4 {
                    let (before, after) = (played.seen_between(server, 1, 2), played.seen_between(server, 21, 22));
                    assert!(
                        after * 10 >= before * 9 && after > 15,
                        "{rest:?} {load:?}, {workers} workers, {connections} connections, server {server}: {before} \
                         requests in a second before the rest and {after} after it"
                    );
                }
            }
        }
    }
}

/// What each of some generators has of the requests before and after a split.
const SPLITS: [&[(Share, Share)]; 4] = [
    // One dies; its part from then on is missing here.
    &[(part(0, 2), Share::WHOLE), (part(1, 2), Share::NONE)],
    &[(part(0, 3), part(0, 2)), (part(1, 3), Share::NONE), (part(2, 3), part(1, 2))],
    // One comes.
    &[(Share::WHOLE, part(0, 2)), (Share::NONE, part(1, 2))],
    &[(part(0, 2), part(2, 3)), (part(1, 2), part(0, 3)), (Share::NONE, part(1, 3))],
];

const fn part(index: u64, of: u64) -> Share {
    Share { index, of }
}

#[test]
fn a_split_that_is_heard_ahead_leaves_every_request_to_one_whatever_waits_then() {
    for parts in SPLITS {
        for (workers, connections) in [(1, 6), (3, 6), (4, 12)] {
            // More than the connections carry at once, so that some always wait.
            for rate in [20, 25 * u64::from(connections)] {
                let mut due = [0; 3];
                for (share, then) in parts {
                    let mut script = Script::new(&[HONEST; 3], open(rate));
                    (script.workers, script.connections, script.seconds, script.share) =
                        (workers, connections, 6, *share);
                    script.split = Some((at(2 * SECOND), at(3 * SECOND + 1_234_567), *then));
                    let played = script.play();
                    for (sum, tally) in due.iter_mut().zip(&played.tallies) {
                        assert!(tally.is_partition() && tally.own_fault == 0, "{share:?} {then:?}: {tally:?}");
                        *sum += tally.due;
                    }
                }
                assert_eq!(due, [6 * rate; 3], "{parts:?}, {rate}/s, {workers} workers, {connections} connections");
            }
        }
    }
}

#[test]
fn what_fell_due_before_a_share_was_given_up_is_sent_as_if_it_were_kept() {
    let leaves = at(3 * SECOND + 100 * MS);
    // All connections wait for an answer when the share goes; or a turn comes a little late, and so does what fell due in it.
    let stalling = Character::Stalling { period: SECOND, stall: 150 * MS };
    let fast = Character::Honest { delay: 4 * MS };
    for (server, stalls) in [(stalling, vec![]), (fast, vec![(leaves.ns() - 8 * MS, 9 * MS)])] {
        for (workers, connections) in [(1, 4), (3, 6)] {
            for (share, then) in [(Share::WHOLE, Share::NONE), (part(0, 2), Share::NONE), (part(1, 2), Share::WHOLE)] {
                let mut script = Script::new(&[server; 3], open(120));
                (script.workers, script.connections, script.seconds) = (workers, connections, 6);
                (script.share, script.split) = (share, Some((at(2 * SECOND), leaves, then)));
                script.stalls = stalls.clone();
                let played = script.play();
                played.assert_whole(200);
                assert!(played.tallies.iter().all(|tally| tally.own_fault == 0), "{share:?} {then:?}: {played:?}");
            }
        }
    }
}

#[test]
fn a_split_gives_and_takes_connections_of_a_closed_phase() {
    for (workers, connections) in [(1, 8), (4, 8)] {
        let of = |share, then| {
            let mut script = Script::new(&[HONEST; 2], Load::Closed { pipeline: 1 });
            (script.workers, script.connections, script.seconds, script.share) = (workers, connections, 10, share);
            script.split = Some((at(4 * SECOND), at(5 * SECOND), then));
            let played = script.play();
            played.assert_whole(200);
            [played.seen_between(1, 2, 4), played.seen_between(1, 6, 8)]
        };
        let whole = of(Share::WHOLE, Share::WHOLE)[0];
        let near = |seen: u64, expected: u64| seen.abs_diff(expected) * 20 <= whole;
        let [half, all] = of(part(0, 2), Share::WHOLE);
        assert!(near(half, whole / 2) && near(all, whole), "{half} and {all} of {whole}");
        let [all, half] = of(Share::WHOLE, part(1, 2));
        assert!(near(half, whole / 2) && near(all, whole), "{all} and {half} of {whole}");
        assert_eq!(of(part(0, 2), Share::NONE)[1], 0);
        let [none, half] = of(Share::NONE, part(1, 2));
        assert!(none == 0 && near(half, whole / 2), "{none} and {half} of {whole}");
    }
}

#[test]
fn who_was_silent_is_probed_once_a_second_and_gets_the_flood_back() {
    // Silent from the start for 14 s, and alive from there on.
    let recovering = Character::Stalling { period: 1_000 * SECOND, stall: 14 * SECOND };
    for load in [open(4), open(20), Load::Closed { pipeline: 1 }] {
        for (workers, connections) in CREWS {
            let mut script = Script::new(&[HONEST, recovering, recovering, recovering], load);
            (script.workers, script.connections, script.seconds) = (workers, connections, 22);
            let played = script.play();
            let context = format!("{load:?}, {workers} workers, {connections} connections");
            assert_eq!(
                played.tallies[0].points(&Rules::default()),
                200 * i128::from(played.tallies[0].due),
                "{context}"
            );
            for server in 1..4 {
                let probes = played.seen_between(server, 11, 14);
                assert!((2..=4).contains(&probes), "{context}: server {server} got {probes} probes in three seconds");
                let (honest, back) = (played.seen_between(0, 19, 21), played.seen_between(server, 19, 21));
                assert!(back * 10 >= honest * 9, "{context}: server {server} got {back}, an honest one {honest}");
            }
        }
    }
}

#[test]
fn a_dead_server_gets_one_request_a_second_whatever_the_rate_and_the_crew() {
    for dead in [Character::Silent, Character::Refusing, Character::Resetting, Character::Failing] {
        for load in [open(2), open(40), open(200), Load::Closed { pipeline: 2 }] {
            for (workers, connections) in [(1, 4), (4, 2), (8, 4)] {
                let mut script = Script::new(&[dead, HONEST, dead, dead], load);
                (script.workers, script.connections, script.seconds) = (workers, connections, 33);
                let played = script.play();
                for server in [0, 2, 3] {
                    let tally = played.tallies[server];
                    assert!(tally.is_partition() && tally.token_right == 0, "{tally:?}");
                    let probes = played.seen_between(server, 22, 32);
                    let expected = if dead == Character::Refusing { 0..=0 } else { 9..=11 };
                    assert!(
                        expected.contains(&probes),
                        "{dead:?} {load:?}, {workers} workers, {connections} connections: {probes} probes in ten seconds"
                    );
                }
            }
        }
    }
}

#[test]
fn who_misses_a_flip_is_alive_and_gets_what_the_rules_give() {
    for (workers, connections) in CREWS {
        let mut script = Script::new(&[Character::Flipping { at: u64::MAX }; 3], open(20));
        (script.workers, script.connections) = (workers, connections);
        // Everybody says v1, and v2 is asked for: +100 - 50 + 50.
        let played = script.play();
        played.assert_whole(100);
        assert!(played.tallies.iter().all(|tally| tally.due == 400 && tally.missed == 0));
    }
}

#[test]
fn missed_says_why() {
    use crate::engine::trace::Missed::{NoConnection, Probed};
    let slow = Script::new(&[Character::Honest { delay: 200 * MS }], open(50)).play();
    assert!(slow.missed.iter().all(|why| matches!(why, NoConnection { connections: 4, rate: 50, .. })), "{slow:?}");
    assert!(!slow.missed.is_empty());
    let answer_us = |why: &crate::engine::trace::Missed| match why {
        NoConnection { answer_us, .. } => *answer_us,
        _ => 0,
    };
    // The first are missed before an answer has come.
    assert_eq!(slow.missed.last().map(answer_us), Some(200_000));
    let dead = Script::new(&[Character::Silent], open(50)).play();
    let since = |why: &crate::engine::trace::Missed| if let Probed { since } = why { Some(*since) } else { None };
    let probed: Vec<UtcUs> = dead.missed.iter().filter_map(since).collect();
    assert!(!probed.is_empty() && probed.iter().all(|since| *since == probed[0]), "{probed:?}");
    let second = (probed[0].0 - 1_000_000_000) / 1_000_000;
    assert!((9..=11).contains(&second), "it fell to probes at {second} s");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(2_048) / 8, ..ProptestConfig::default() })]
    #[test]
    fn whoever_is_right_keeps_all_points_however_the_round_rests(
        workers in 1u32..9,
        connections in 1u32..17,
        closed in any::<bool>(),
        rate in 1u64..25,
        rest in prop_oneof![Just(Rest::Pause), Just(Rest::Park), Just(Rest::Halt), Just(Rest::Disk)],
        from in 1u64..20,
        length in 1u64..400,
    ) {
        let load = if closed { Load::Closed { pipeline: 1 } } else { open(rate) };
        let mut script = Script::new(&[HONEST; 2], load);
        (script.workers, script.connections, script.seconds) = (workers, connections, 6);
        let from = from * SECOND / 4;
        script.rest = Some((rest, at(from), at(from + length * SECOND / 10)));
        let played = script.play();
        for tally in &played.tallies {
            prop_assert!(tally.is_partition(), "{tally:?}");
            let counted = i128::from(tally.due - tally.own_fault);
            prop_assert_eq!(tally.points(&Rules::default()), 200 * counted, "{:?}", tally);
            if !closed && rest == Rest::Pause {
                prop_assert_eq!((tally.due, tally.own_fault), (rate * 6, 0));
            }
        }
    }
}
