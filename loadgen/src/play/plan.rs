//! From the control document to the plan of one generator. Pure: two generators that read one document do the same at
//! the same instants, each its own share.

use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::http::RequestTemplate;
use crate::engine::plan::{
    ContestantPlan, Load, NS_PER_SECOND, NS_PER_US, Phase, Plan, Ramp, Target, TlsServer, TrafficMode,
};
use crate::engine::run::Clock;
use crate::engine::schedule::{Gap, Schedule, Step};
use crate::engine::share::Share;
use flowtest_contest::breakpoint::Breakpoint;
use flowtest_contest::endpoint::Endpoint;
use flowtest_contest::timeline::Split;
use flowtest_contest::{Contest, Control, contest};
use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use std::sync::Arc;
use std::time::Duration;

/// An instant on the run clock. What lies before it began is its beginning.
pub fn run_clock(clock: &Clock, utc: UtcUs) -> RunInstant {
    RunInstant::from_ns(utc.saturating_since(clock.utc_base).saturating_mul(NS_PER_US))
}

/// From making a plan to its start: workers make rings and arenas in it.
pub const HEAD_START: Duration = Duration::from_millis(50);
/// The same where a recorder makes its first segment in it.
pub const JOURNAL_HEAD_START: Duration = Duration::from_secs(1);
/// A connection lives so long in a contest, so that instances added behind a name get their share.
const CONNECTION_LIFE_NS: u64 = 10 * NS_PER_SECOND;

/// The plan of a contest's round, or of practice for one: what is the same for all of them is said here.
pub fn contest_plan(
    rules: Rules,
    schedule: Schedule,
    clock: &Clock,
    phases: Arc<[Phase]>,
    contestants: Vec<ContestantPlan>,
    workers: usize,
) -> Plan {
    Plan {
        rules,
        schedule: Arc::new(schedule),
        utc_base: clock.utc_base,
        phases,
        contestants: contestants.into(),
        connection_life: CONNECTION_LIFE_NS,
        workers: workers as u32,
        ..Plan::default()
    }
    .with_holds()
}

/// The phases of a contest that starts then. A breakpoint phase is one for each of its steps.
pub fn phases(contest: &Contest, start: PlanInstant) -> Arc<[Phase]> {
    let (mut at, mut steps) = (start, 0);
    let mut phases = Vec::with_capacity(contest.phases.len());
    for phase in &contest.phases {
        let start = at;
        at = start + phase.duration_us * NS_PER_US;
        let load = match phase.load {
            contest::Load::Open { from, to } => Load::Open(Ramp::per_second(from, to)),
            contest::Load::Closed { pipeline } => Load::Closed { pipeline },
            contest::Load::Breakpoint(terms) => {
                let whole = Phase {
                    start,
                    end: at,
                    load: Load::Closed { pipeline: 1 },
                    connections: phase.connections,
                    scored: phase.scored,
                };
                phases.extend(self::steps(whole, terms, contest.rules.timeout_us, &mut steps));
                continue;
            }
        };
        // A practice round counts for itself; whether that is worth anything is the round's matter.
        phases.push(Phase { start, end: at, load, connections: phase.connections, scored: phase.scored });
    }
    phases.into()
}

/// The steps of a breakpoint phase, and what is left of it behind them. `next`: the number of the next step of the plan.
fn steps(whole: Phase, terms: Breakpoint, timeout_us: u64, next: &mut u32) -> Vec<Phase> {
    let clock = terms.clock((whole.end - whole.start) / NS_PER_US, timeout_us);
    let first = *next;
    let mut step = |start, end, is_judged| {
        let number = std::mem::replace(next, *next + 1);
        Phase { start, end, load: Load::Step(Step { number, first, is_judged, terms }), ..whole }
    };
    let length = clock.step_us * NS_PER_US;
    let mut steps: Vec<Phase> = (0..u64::from(clock.count))
        .map(|index| step(whole.start + index * length, whole.start + (index + 1) * length, true))
        .collect();
    let end = whole.start + u64::from(clock.count) * length;
    if end < whole.end {
        steps.push(step(end, whole.end, false));
    }
    steps
}

/// A contestant at its endpoint, with which TLS is spoken like this.
pub fn contestant(
    name: String,
    endpoint: &Endpoint,
    tls: Option<TlsServer>,
    addresses: Vec<Target>,
    traffic: TrafficMode,
) -> ContestantPlan {
    ContestantPlan { name, endpoint: endpoint.to_string(), addresses, request: request(endpoint), tls, traffic }
}

/// What an endpoint is sent.
pub fn request(endpoint: &Endpoint) -> RequestTemplate {
    RequestTemplate::new(&endpoint.path_and_query, &endpoint.host_header())
}

/// Which share is ours by a list of generators.
pub fn share(generators: &[String], id: &str) -> Share {
    match generators.iter().position(|generator| generator == id) {
        Some(index) => Share { index: index as u64, of: generators.len() as u64 },
        None => Share::NONE,
    }
}

/// A generator in a round: its name in splits, and from which instant on they are for its process. What came before was
/// another's, or nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taker {
    pub id: String,
    pub takes_from: UtcUs,
}

/// The shares that splits give to a generator, and since when. The first counts from the beginning of time, and of splits that
/// begin at one instant the last.
fn shares(splits: &[Split], taker: &Taker, clock: &Clock) -> Vec<(RunInstant, Share)> {
    let mut shares = vec![(RunInstant::START, Share::NONE)];
    let start = splits.first().map_or(UtcUs::EPOCH, |first| first.from);
    for split in splits {
        let from = if split.from == start { RunInstant::START } else { run_clock(clock, split.from) };
        let is_ours = split.from >= taker.takes_from;
        shares.pop_if(|(held, _)| *held == from);
        shares.push((from, if is_ours { share(&split.generators, &taker.id) } else { Share::NONE }));
    }
    shares
}

/// The schedule of the round as the document tells it. What counted before `from`, by which requests may have been judged
/// already, stays as it was in `before`.
pub fn schedule(control: &Control, taker: &Taker, clock: &Clock, before: Option<&Schedule>, from: UtcUs) -> Schedule {
    let timeline = &control.timeline;
    let pauses = timeline.pauses.iter().map(|pause| Gap {
        from: run_clock(clock, pause.from),
        to: pause.to.map_or(RunInstant::NEVER, |to| run_clock(clock, to)),
    });
    let told = deadlines(control);
    let deadlines = match before {
        Some(before) => amended(before.all_deadlines(), &told, from),
        None => told,
    };
    let shares = shares(&timeline.splits, taker, clock);
    let stop_at = timeline.stopped_at.map_or(RunInstant::NEVER, |at| run_clock(clock, at));
    let joins = timeline.joins.iter().map(|join| run_clock(clock, join.at)).collect();
    let steps = before.map_or_else(Vec::new, |before| before.steps().to_vec());
    Schedule::new(deadlines, pauses.collect(), stop_at, shares).with_joins(joins).with_steps(steps)
}

/// All deadlines that the document tells, with the instants from which on they count.
fn deadlines(control: &Control) -> Vec<(UtcUs, Deadlines)> {
    let timeline = &control.timeline;
    let changes = timeline.moved.iter().map(|moved| moved.at).chain(timeline.pauses.iter().map(|pause| pause.from));
    let mut instants: Vec<UtcUs> = std::iter::once(UtcUs::EPOCH).chain(changes).collect();
    instants.sort_unstable();
    instants.dedup();
    instants.into_iter().map(|at| (at, timeline.deadlines_at(&control.contest, at))).collect()
}

/// What held stays up to `from`; from there on it is as told.
fn amended(held: &[(UtcUs, Deadlines)], told: &[(UtcUs, Deadlines)], from: UtcUs) -> Vec<(UtcUs, Deadlines)> {
    let mut amended: Vec<_> = held.iter().copied().filter(|(at, _)| *at < from).collect();
    let now = told.iter().rev().find(|(at, _)| *at <= from).map(|(_, deadlines)| (from, *deadlines));
    let later = told.iter().copied().filter(|(at, _)| *at > from);
    for (at, deadlines) in now.into_iter().chain(later) {
        if amended.last().is_none_or(|(_, last)| *last != deadlines) {
            amended.push((at, deadlines));
        }
    }
    amended
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::lifecycle::{Change, change};
    use flowtest_contest::timeline::DeadlineName;
    use flowtest_contract::RoundId;
    use flowtest_contract::rules::Deadline;
    use std::time::Instant;

    const SECOND: u64 = 1_000_000;
    const NOW: UtcUs = UtcUs(1_796_119_200 * SECOND);

    fn taker(id: &str) -> Taker {
        Taker { id: id.to_owned(), takes_from: UtcUs::EPOCH }
    }

    fn clock() -> Clock {
        Clock { base: Instant::now(), utc_base: NOW }
    }

    fn armed() -> Control {
        let contest = Contest::from_toml(
            "name = \"cup\"\n[deadlines]\nversion = \"+20s\"\nfrom = \"+40s\"\n[[phase]]\nfor = \"60s\"\nrate = 5\n\
             connections = 1\n[policy]\nallow = [\"127.0.0.0/8\"]\n[[contestant]]\nname = \"a\"\nendpoint = \"127.0.0.1:8081\"\n",
        )
        .unwrap();
        let generators = vec!["g1".to_owned(), "g2".to_owned()];
        let arm = Change::Arm { round: RoundId::from_bits(7), start_at: NOW + 10 * SECOND, scored: true, generators };
        change(&Control::new(contest), arm, NOW).unwrap()
    }

    #[test]
    fn an_armed_round_is_phases_on_the_run_clock_and_a_share() {
        let (control, clock) = (armed(), clock());
        let start = run_clock(&clock, control.timeline.start_at.unwrap());
        let phases = phases(&control.contest, Schedule::before_pauses(start));
        assert_eq!((phases[0].start.ns(), phases[0].end.ns()), (10_000_000_000, 70_000_000_000));
        let schedule = schedule(&control, &taker("g2"), &clock, None, UtcUs::EPOCH);
        assert_eq!(schedule.shares(), [(PlanInstant::START, Share { index: 1, of: 2 })]);
        let deadlines = schedule.deadlines(NOW);
        assert_eq!((deadlines.version, deadlines.from), (Deadline(NOW + 30 * SECOND), Deadline(NOW + 50 * SECOND)));
        assert_eq!(
            super::schedule(&control, &taker("g9"), &clock, None, UtcUs::EPOCH).shares(),
            [(PlanInstant::START, Share::NONE)]
        );
    }

    #[test]
    fn a_moved_deadline_counts_for_what_is_sent_from_its_instant_on_or_from_when_it_was_heard() {
        let (control, clock) = (change(&armed(), Change::Begin, NOW + 10 * SECOND).unwrap(), clock());
        let first = schedule(&control, &taker("g1"), &clock, None, UtcUs::EPOCH);
        let to = NOW + 45 * SECOND;
        let moved = Change::MoveDeadline { deadline: DeadlineName::Version, to };
        let control = change(&control, moved, NOW + 12 * SECOND).unwrap();
        let counts_from = NOW + 13 * SECOND;
        let version = |schedule: &Schedule, sent| schedule.deadlines(sent).version.0;
        let in_time = schedule(&control, &taker("g1"), &clock, Some(&first), NOW + 12 * SECOND + 50_000);
        assert_eq!(version(&in_time, counts_from - 1), NOW + 30 * SECOND);
        assert_eq!(version(&in_time, counts_from), to);
        // Heard of it too late: what was sent before that has been judged by the old one.
        let heard = NOW + 17 * SECOND;
        let late = schedule(&control, &taker("g1"), &clock, Some(&first), heard);
        assert_eq!(version(&late, heard - 1), NOW + 30 * SECOND);
        assert_eq!(version(&late, heard), to);
        // Hearing the same again changes nothing.
        assert_eq!(schedule(&control, &taker("g1"), &clock, Some(&late), heard + SECOND), late);
    }

    #[test]
    fn a_pause_holds_everything_back_until_its_end_is_known() {
        let (control, clock) = (change(&armed(), Change::Begin, NOW + 10 * SECOND).unwrap(), clock());
        let first = schedule(&control, &taker("g1"), &clock, None, UtcUs::EPOCH);
        let control = change(&control, Change::Pause, NOW + 19 * SECOND).unwrap();
        let paused = schedule(&control, &taker("g1"), &clock, Some(&first), NOW + 19 * SECOND + 250_000);
        let second = |s: u64| PlanInstant::from_ns(s * 1_000_000_000);
        assert_eq!([19, 20].map(|s| paused.run_clock(second(s)).ns()), [19_000_000_000, u64::MAX]);
        let resume = Change::Resume { at: NOW + 40 * SECOND, generators: vec!["g2".to_owned(), "g1".to_owned()] };
        let control = change(&control, resume, NOW + 30 * SECOND).unwrap();
        let resumed = schedule(&control, &taker("g1"), &clock, Some(&paused), NOW + 30 * SECOND);
        assert_eq!(resumed.run_clock(second(20)).ns(), 40_000_000_000);
        let shares = [(PlanInstant::START, Share { index: 0, of: 2 }), (second(20), Share { index: 1, of: 2 })];
        assert_eq!(resumed.shares(), shares);
        assert_eq!(resumed.deadlines(NOW + 41 * SECOND).version, Deadline(NOW + 50 * SECOND));
    }

    #[test]
    fn a_split_in_mid_round_counts_for_the_process_that_was_ready_before_it() {
        let (control, clock) = (change(&armed(), Change::Begin, NOW + 10 * SECOND).unwrap(), clock());
        let split = |control: &Control, second: u64, generators: &[&str]| {
            let generators = generators.iter().map(|name| (*name).to_owned()).collect();
            let split = Change::Split { at: NOW + second * SECOND, generators };
            change(control, split, NOW + (second - 2) * SECOND).unwrap()
        };
        let control = split(&split(&control, 20, &["g1"]), 30, &["g1", "g2"]);
        let second = |s: u64| PlanInstant::from_ns(s * 1_000_000_000);
        let (whole, half) = (Share::WHOLE, |index| Share { index, of: 2 });
        let shares = |id: &str, takes_from: UtcUs| {
            let taker = Taker { id: id.to_owned(), takes_from };
            schedule(&control, &taker, &clock, None, UtcUs::EPOCH).shares()
        };
        let start = PlanInstant::START;
        assert_eq!(shares("g1", UtcUs::EPOCH), [(start, half(0)), (second(20), whole), (second(30), half(0))]);
        assert_eq!(shares("g2", UtcUs::EPOCH), [(start, half(1)), (second(20), Share::NONE), (second(30), half(1))]);
        // A new process of that name, ready after its share had gone to the other: what was due before is not its.
        assert_eq!(shares("g2", NOW + 25 * SECOND), [(start, Share::NONE), (second(30), half(1))]);
        assert_eq!(shares("g2", NOW + 30 * SECOND + 1), [(start, Share::NONE)]);
    }

    #[test]
    fn a_split_that_is_made_before_the_start_takes_the_place_of_the_first() {
        let (control, clock) = (armed(), clock());
        let split = Change::Split { at: NOW + 10 * SECOND, generators: vec!["g2".to_owned()] };
        let control = change(&control, split, NOW + 2 * SECOND).unwrap();
        let shares = |id: &str| schedule(&control, &taker(id), &clock, None, UtcUs::EPOCH).shares();
        assert_eq!(shares("g2"), [(PlanInstant::START, Share::WHOLE)]);
        assert_eq!(shares("g1"), [(PlanInstant::START, Share::NONE)]);
    }
}
