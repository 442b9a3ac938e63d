//! `limit`: one URL, a rate that climbs until it breaks, and the highest that was held.
//!
//! Each step is a run of its own in open loop: a second in which it settles, then the hold that is judged. Which rate comes next
//! is the [`Ladder`]'s to say.

use super::stress::{contestant, endpoint};
use crate::Failed;
use crate::engine::plan::{ContestantPlan, Load, NS_PER_SECOND, Phase, Plan, Ramp};
use crate::engine::run::{Clock, reserve};
use crate::engine::schedule::Schedule;
use crate::engine::trace::Tracing;
use crate::observe::limit::{CONNECTIONS_MOST, LimitPage, LimitResult, LimitStep};
use crate::observe::output::Outputs;
use crate::observe::results;
use crate::observe::title::Title;
use crate::play::driver::{Driver, Ended, Totals};
use crate::play::flags::Limit;
use crate::play::plan::HEAD_START;
use crate::signals::Stop;
use flowtest_contest::contest::CONNECTIONS_MAX;
use flowtest_contest::ladder::{Found, Hold, HoldVerdict, Ladder, LadderTerms, Measured, Pass, Unbroken, carried_rate};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A step settles for so long before it is judged.
const SETTLE: Duration = Duration::from_secs(1);
/// With fewer connections nothing is worth measuring: then the first step says what is missing.
const CONNECTIONS_LEAST: u32 = 16;
/// A step has as many connections as its rate needs at so many times the lowest median that was shown ..
const MEDIANS: u64 = 16;
/// .. and no fewer than these.
const CONNECTIONS_USUAL: u32 = 64;
/// How many times a median answers may take on the mean at a higher rate: some take longer, and all do near the limit.
const LONGEST_IN_MEDIANS: u64 = 4;
const _: () = assert!(CONNECTIONS_MOST <= CONNECTIONS_MAX);

/// Runs the command. The exit code is 0 where a limit was found, 3 where our own side was the limit or it was ended before.
///
/// # Errors
/// What is wrong with the flags, and why there is nothing to measure.
pub fn limit(flags: &Limit, stop: &Stop) -> Result<u8, Failed> {
    check(flags)?;
    let pass = flags.pass();
    let terms = LadderTerms { start: flags.start, step: flags.step, max: flags.max, pass };
    let mut ladder = Ladder::new(terms).map_err(Failed::Usage)?;
    [&flags.json, &flags.report].into_iter().try_for_each(|path| results::prepare(path.as_deref()))?;
    let cores = flags.server.cores.choose()?;
    let names = flags.server.hosts.names()?;
    let endpoint = endpoint(&flags.url)?;
    let trust = flags.server.trust(std::slice::from_ref(&endpoint))?;
    let target = contestant(&endpoint, &names, trust.as_ref(), flags.quiet)?;
    let is_told = !flags.quiet && flags.json.as_deref() != Some(Path::new("-"));
    let mut result = LimitResult::new(target.endpoint.clone(), pass, flags.hold);
    stop.catch_signals();
    if is_told {
        results::print(result.heading())?;
    }
    let mut trouble = None;
    let mut width = Width::new(pass, most_connections(flags, &target, &cores));
    while let Some(hold) = width.next(&mut ladder) {
        let measured = match step(flags, &target, &cores, width.connections(hold.sent()), hold, stop) {
            Ok(Some(measured)) => measured,
            Err(error) if result.steps.is_empty() => return Err(error),
            // What was measured until here is told all the same.
            ended => {
                (result.interrupted, trouble) = (true, ended.err());
                break;
            }
        };
        let verdict = width.take(&mut ladder, measured.judged(&pass), measured.p50_us);
        let step = LimitStep { verdict, ..measured };
        if is_told {
            results::print(step.line())?;
        }
        result.steps.push(step);
    }
    result.connections_most = width.most;
    result.found(width.found(&ladder));
    if is_told {
        results::print(result.message())?;
    }
    if let Some(path) = &flags.json {
        results::write_json(path, &result)?;
    }
    if let Some(path) = &flags.report {
        results::write(path, LimitPage::new(&result).render()?.as_bytes())?;
    }
    match trouble {
        Some(error) => Err(error),
        None => Ok(if result.is_found() { 0 } else { 3 }),
    }
}

/// What flags say that no climb can be made of.
fn check(flags: &Limit) -> Result<(), Failed> {
    if flags.hold < flags.server.timeout {
        return Err(Failed::Usage(format!(
            "a step of {} is over before an exchange of {} can fail: write --hold {} or longer, or a shorter --timeout",
            humantime::format_duration(flags.hold),
            humantime::format_duration(flags.server.timeout),
            humantime::format_duration(flags.server.timeout)
        )));
    }
    if let Some(p99) = flags.p99.filter(|p99| *p99 > flags.server.timeout) {
        return Err(Failed::Usage(format!(
            "within a timeout of {} no answer takes {}: write a shorter --p99, or a longer --timeout",
            humantime::format_duration(flags.server.timeout),
            humantime::format_duration(p99)
        )));
    }
    if flags.report.as_deref().is_some_and(results::is_stdout) {
        return Err(Failed::Usage("--report wants a file: name one, as in --report limit.html".to_owned()));
    }
    Ok(())
}

/// Connections of the highest step, as many as this machine's descriptors, ports and memory allow.
fn most_connections(flags: &Limit, target: &ContestantPlan, cores: &[usize]) -> u32 {
    let clock = Clock::now();
    let mut most = flags.pass().connections(flags.max, CONNECTIONS_MOST);
    let is_too_much = |most| reserve(&plan(flags, target.clone(), cores.len() as u32, clock, most, flags.max)).is_err();
    while most > CONNECTIONS_LEAST && is_too_much(most) {
        most /= 2;
    }
    most
}

/// Holds a rate, and says what was measured. `None`: it was ended by hand.
fn step(
    flags: &Limit,
    target: &ContestantPlan,
    cores: &[usize],
    connections: u32,
    hold: Hold,
    stop: &Stop,
) -> Result<Option<LimitStep>, Failed> {
    let clock = Clock::now();
    let plan = Arc::new(plan(flags, target.clone(), cores.len() as u32, clock, connections, hold.sent()));
    let outputs = Outputs { quiet: true, ..Outputs::default() };
    let output = outputs.prepare()?.open(&plan, Title::Stress)?;
    let mut driver = Driver::in_memory(plan, clock, cores, Tracing::Off, output)?;
    let is_cut = driver.play_out(stop.flag());
    let Ended { result, broken, .. } = driver.finish(is_cut);
    let Totals { closed, .. } = result?;
    if let Some(broken) = broken {
        return Err(broken.into());
    }
    if is_cut || stop.flag().load(Ordering::Relaxed) {
        return Ok(None);
    }
    let (valid, total) = (closed.validity.is_on_plan(), closed.summary.total);
    Ok(Some(LimitStep {
        rate: hold.sent(),
        trial: hold.trial,
        connections,
        due: total.requests,
        verified: total.verified,
        own_fault: total.failed.own_fault,
        p50_us: total.latency_us.p50,
        p99_us: total.latency_us.p99,
        valid,
        verdict: HoldVerdict::NotValid,
    }))
}

fn plan(flags: &Limit, target: ContestantPlan, workers: u32, clock: Clock, connections: u32, rate: u64) -> Plan {
    let settling = Schedule::before_pauses(clock.after(HEAD_START));
    let start = settling + SETTLE.as_nanos() as u64;
    let end = start + (flags.hold.as_nanos() as u64).max(NS_PER_SECOND / 10);
    let load = Load::Open(Ramp { from: rate, to: rate, seconds: 1 });
    let phase = |start, end, scored| Phase { start, end, load, connections, scored };
    Plan {
        rules: flags.server.rules(),
        schedule: Arc::new(flags.server.schedule()),
        utc_base: clock.utc_base,
        phases: [phase(settling, start, false), phase(start, end, true)].into(),
        contestants: vec![target].into(),
        workers,
        ..Plan::default()
    }
}

/// How many connections a step has. With as many as its rate needs when answers take as long as they may, a moment's stall leaves
/// thousands of requests in flight at once, which slows both sides down so far that they do not come back. So a step has as many
/// as answers need that take many times as long as half of them did at best, and what broke is tried once more with all that may
/// be needed. Where that passes the climb goes on with all of them, until it ends: then that is tried with fewer, and so on. It
/// is over once a rate has failed both ways. Where our own side cannot judge a step, it is tried over fewer, which proves
/// something where it passes; then all are so many.
#[derive(Clone, Copy, Debug)]
struct Width {
    pass: Pass,
    /// At the most, and how many these were before our own side could not judge a step over so many.
    most: u32,
    most_before: u32,
    /// Of steps that passed: what refuses is quick as well.
    lowest_p50_us: Option<u64>,
    lowest_p99_us: Option<u64>,
    /// Of the last that passed.
    last_p50_us: Option<u64>,
    has_all: bool,
    /// The rate that ended it before the last try the other way.
    turned_at: Option<u64>,
    /// A try with another number of connections that was not judged yet.
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
enum Open {
    /// Of what has failed: it is over once this has failed, too.
    Failed,
    /// Of what our own side could not judge; before, it had these.
    Unjudged { most: u32, has_all: bool },
}

impl Width {
    fn new(pass: Pass, most: u32) -> Width {
        Width {
            pass,
            most,
            most_before: most,
            lowest_p50_us: None,
            lowest_p99_us: None,
            last_p50_us: None,
            has_all: false,
            turned_at: None,
            open: None,
        }
    }

    /// What is held next; `None`: it is over.
    fn next(&mut self, ladder: &mut Ladder) -> Option<Hold> {
        if let Some(hold) = ladder.ended_by() {
            let is_unjudged = self.open.is_some() || ladder.found().unbroken.is_some();
            if self.turns(hold.sent(), is_unjudged) {
                ladder.try_again();
            }
        }
        ladder.now()
    }

    /// Whether what ended the climb at this rate can be tried over another number of connections; then they are that many.
    fn turns(&mut self, rate: u64, is_unjudged: bool) -> bool {
        let (few, all) = (self.few(rate), self.all(rate));
        let before = Open::Unjudged { most: self.most, has_all: self.has_all };
        if is_unjudged && (self.open.is_some() || few == all) {
            // With fewer it makes no sense to go on.
            let least = if few < all { few } else { CONNECTIONS_USUAL };
            let half = self.connections(rate) / 2;
            if half <= least {
                return false;
            }
            self.most = half;
            self.open.get_or_insert(before);
            return true;
        }
        let may_turn = few < all && self.turned_at.is_none_or(|turned| turned < rate);
        if !may_turn || is_unjudged && !self.has_all {
            return false;
        }
        (self.has_all, self.turned_at) = (!self.has_all, Some(rate));
        self.open = Some(if is_unjudged { before } else { Open::Failed });
        true
    }

    /// Gives a hold to the ladder. What fails over fewer than our own side could judge ends it, where something is held and so few
    /// may be what keeps it from passing: they carry less, or it had all because of what had failed over few.
    fn take(&mut self, ladder: &mut Ladder, measured: Measured, p50_us: Option<u64>) -> HoldVerdict {
        let verdict = self.pass.judge(measured);
        let has_failed = matches!(verdict, HoldVerdict::FailedByVerified | HoldVerdict::FailedByP99);
        if let (Some(Open::Unjudged { most, has_all }), Some(hold)) = (self.open, ladder.now())
            && has_failed
        {
            let carries = self.last_p50_us.map(|us| carried_rate(self.connections(hold.sent()), longest_us(us)));
            if carries.is_some_and(|carries| has_all || carries < hold.sent()) {
                ladder.end_unbroken();
                return verdict;
            }
            if ladder.found().holds == 0 {
                (self.most, self.has_all) = (most, has_all);
            }
        }
        let verdict = ladder.take(measured);
        if verdict != HoldVerdict::NotValid {
            self.open = None;
        }
        if verdict == HoldVerdict::Passed {
            self.lowest_p50_us = self.lowest_p50_us.into_iter().chain(p50_us).min();
            self.lowest_p99_us = self.lowest_p99_us.into_iter().chain(measured.p99_us).min();
            self.last_p50_us = p50_us;
        }
        verdict
    }

    /// What the climb has found. Where the other way could not be judged, nobody knows what broke it.
    fn found(&self, ladder: &Ladder) -> Found {
        let is_over = ladder.now().is_none();
        let found = ladder.found();
        if is_over && self.open.is_some() {
            return Found { unbroken: found.unbroken.or(Some(Unbroken::Generator)), ..found };
        }
        // Those that are fewer than it needed may be what broke it also once something has passed over them. What passed last was
        // queued for at the limit, so that its median says nothing here.
        let lowest_us = self.lowest_p50_us.filter(|_| self.most < self.most_before).map(longest_us);
        found.over(self.most, self.lowest_p99_us.max(lowest_us), is_over)
    }

    fn connections(&self, rate: u64) -> u32 {
        if self.has_all { self.all(rate) } else { self.few(rate) }
    }

    /// As many as it needs when answers take many times as long as half of them did at best.
    fn few(&self, rate: u64) -> u32 {
        let all = self.all(rate);
        let Some(lowest_us) = self.lowest_p50_us else { return all };
        let usual = Pass { p99_us: lowest_us.saturating_mul(MEDIANS), ..self.pass };
        usual.connections(rate, self.most).max(CONNECTIONS_USUAL).min(all)
    }

    /// As many as it needs when answers take as long as they may.
    fn all(&self, rate: u64) -> u32 {
        self.pass.connections(rate, self.most)
    }
}

/// How long answers may take on the mean at another rate than that of this median.
fn longest_us(p50_us: u64) -> u64 {
    p50_us.saturating_mul(LONGEST_IN_MEDIANS)
}

impl LimitStep {
    /// What the ladder is told. What our own side could not judge says nothing about the server.
    fn judged(&self, pass: &Pass) -> Measured {
        let due = self.due.saturating_sub(self.own_fault);
        Measured { due, verified: self.verified, p99_us: self.p99_us, valid: self.valid }.beside(self.own_fault, pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::ladder::Trial;

    fn measured(rate: u64, verified: u64, p50_us: u64, p99_us: u64) -> (Measured, u64) {
        (Measured { due: rate, verified, p99_us: Some(p99_us), valid: true }, p50_us)
    }

    /// What is found of a server; `play` says what is measured, and the p50, at a rate over so many connections. Beside it the
    /// rate, connections and verdict of each step.
    fn climb(play: impl FnMut(Hold, u32) -> (Measured, u64)) -> (Found, Vec<(u64, u32, HoldVerdict)>) {
        climb_from(500, play)
    }

    fn climb_from(
        start: u64,
        mut play: impl FnMut(Hold, u32) -> (Measured, u64),
    ) -> (Found, Vec<(u64, u32, HoldVerdict)>) {
        let pass = Pass { verified: 0.995, p99_us: 50_000 };
        let step = "x1.25".parse().expect("a step");
        let mut ladder = Ladder::new(LadderTerms { start, step, max: 1_000_000, pass }).expect("terms");
        let mut width = Width::new(pass, CONNECTIONS_MOST);
        let mut steps = Vec::new();
        while let Some(hold) = width.next(&mut ladder) {
            let connections = width.connections(hold.sent());
            let (measured, p50_us) = play(hold, connections);
            let verdict = width.take(&mut ladder, measured, Some(p50_us));
            steps.push((hold.sent(), connections, verdict));
            assert!(steps.len() < 200, "it climbs for ever: {steps:?}");
        }
        (width.found(&ladder), steps)
    }

    /// A server that answers half of its requests in `latency_us` and carries `capacity` requests a second, both by what is asked.
    fn server(rate: u64, connections: u32, latency_us: u64, capacity: u64) -> (Measured, u64) {
        let carried = capacity.min(u64::from(connections) * 1_000_000 / latency_us);
        let p99_us = if rate <= carried { 2 * latency_us } else { 3_000_000 };
        measured(rate, rate, p99_us / 2, p99_us)
    }

    /// One that is near: over many connections it carries less.
    fn near(hold: Hold, connections: u32) -> (Measured, u64) {
        server(hold.sent(), connections, 80, if connections > 400 { 80_000 } else { 140_000 })
    }

    fn is_near(holds: u64, capacity: u64) -> bool {
        holds.abs_diff(capacity) * 20 < capacity
    }

    fn connections_of(holds: u64, steps: &[(u64, u32, HoldVerdict)]) -> u32 {
        let passed = |(rate, _, verdict): &&(u64, u32, HoldVerdict)| *rate == holds && *verdict == HoldVerdict::Passed;
        steps.iter().find(passed).expect("what it holds").1
    }

    #[test]
    fn a_server_that_is_near_is_not_held_down_by_connections_that_it_does_not_need() {
        let (found, steps) = climb(near);
        assert!(is_near(found.holds, 140_000), "{found:?}");
        assert!(connections_of(found.holds, &steps) < 400, "{steps:?}");
    }

    #[test]
    fn a_server_whose_answers_take_longer_at_higher_rates_has_the_connections_that_it_needs() {
        let slow = |rate| if rate < 5_000 { 500 } else { 20_000 };
        let (found, steps) = climb(|hold, connections| server(hold.sent(), connections, slow(hold.sent()), 20_000));
        assert!(is_near(found.holds, 20_000), "{found:?}");
        assert!(connections_of(found.holds, &steps) >= 400, "{steps:?}");
    }

    #[test]
    fn a_server_that_is_far_has_all_of_them_at_once() {
        let (found, _) = climb(|hold, connections| server(hold.sent(), connections, 20_000, 30_000));
        assert!(is_near(found.holds, 30_000), "{found:?}");
    }

    #[test]
    fn a_climb_that_had_all_of_them_for_a_while_is_tried_with_fewer_again() {
        // Moments of the machine spoil what is tried at some 44,000/s over few, so that it is tried with all, and passes.
        let (found, steps) = climb(|hold, connections| match hold.sent() {
            40_000..50_000 if connections <= 400 => measured(hold.sent(), hold.sent(), 2_000_000, 3_000_000),
            _ => near(hold, connections),
        });
        assert!(steps.iter().any(|(_, connections, verdict)| *connections > 400 && *verdict == HoldVerdict::Passed));
        assert!(is_near(found.holds, 140_000), "{found:?}: {steps:?}");
    }

    #[test]
    fn what_could_not_be_judged_the_other_way_was_broken_by_nobody() {
        let fewest = |rate| match rate {
            ..130_000 => u32::MAX,
            130_000..145_000 => 190,
            _ => 250,
        };
        let (found, steps) = climb(|hold, connections| {
            let (measured, p50_us) = near(hold, connections);
            (Measured { valid: connections <= fewest(hold.sent()), ..measured }, p50_us)
        });
        assert!(found.broke.is_some() && found.unbroken == Some(Unbroken::Generator), "{found:?}: {steps:?}");
    }

    #[test]
    fn what_our_own_side_cannot_judge_over_all_of_them_is_tried_over_fewer() {
        // Ours judges nothing over more than a thousand connections, and the first step begins with 5,000.
        let start = 100_000;
        let (found, steps) = climb_from(start, |hold, connections| {
            let (measured, p50_us) = near(hold, connections);
            (Measured { valid: connections <= 1_000, ..measured }, p50_us)
        });
        assert_eq!(steps[0].1, 5_000);
        assert!(is_near(found.holds, 140_000), "{found:?}: {steps:?}");
        // What breaks it over few is judged over as many as ours can, so that it is known that it broke.
        assert!(found.broke.is_some() && found.unbroken.is_none(), "{found:?}: {steps:?}");
        // The same where it came to have all of them on its way.
        let (found, steps) = climb(|hold, connections| {
            let (measured, p50_us) = match hold.sent() {
                40_000..50_000 if connections <= 400 => measured(hold.sent(), hold.sent(), 2_000_000, 3_000_000),
                _ => near(hold, connections),
            };
            (Measured { valid: connections <= 2_500, ..measured }, p50_us)
        });
        assert!(is_near(found.holds, 140_000) && found.unbroken.is_none(), "{found:?}: {steps:?}");
    }

    /// Every answer takes 20 ms for the way, and the server has no limit.
    fn far(hold: Hold, connections: u32) -> (Measured, u64) {
        server(hold.sent(), connections, 20_000, u64::MAX)
    }

    #[test]
    fn a_far_server_is_not_broken_by_fewer_connections_than_our_own_side_could_judge() {
        // Our core carries 60,000/s, over however many.
        let ours = |hold: Hold, connections: u32| {
            let (measured, p50_us) = far(hold, connections);
            (Measured { valid: hold.sent().min(u64::from(connections) * 50) <= 60_000, ..measured }, p50_us)
        };
        for (start, holds) in [(1_000, 55_000..60_000), (100_000, 50_000..60_000)] {
            let (found, steps) = climb_from(start, ours);
            assert!(holds.contains(&found.holds), "from {start}: {found:?}: {steps:?}");
            assert_eq!(found.unbroken, Some(Unbroken::Generator), "from {start}: {found:?}: {steps:?}");
        }
    }

    #[test]
    fn a_server_that_fails_over_as_many_as_it_needs_is_broken_also_where_ours_could_not_judge_more() {
        // Answers take 4 ms, so that half of the connections carry the rate six times.
        let (found, steps) = climb(|hold, connections| {
            let (measured, p50_us) = server(hold.sent(), connections, 4_000, 32_000);
            (Measured { valid: connections <= 1_500, ..measured }, p50_us)
        });
        assert!(steps.iter().any(|(_, _, verdict)| *verdict == HoldVerdict::NotValid), "{steps:?}");
        assert!(is_near(found.holds, 32_000), "{found:?}: {steps:?}");
        assert!(found.broke.is_some() && found.unbroken.is_none(), "{found:?}: {steps:?}");
    }

    #[test]
    fn a_p50_says_nothing_of_how_many_connections_a_tail_needs() {
        // One answer in six takes 40 ms, and the others 4.
        let (found, steps) = climb(|hold, connections| {
            let carried = u64::from(connections) * 1_000_000 / 9_800;
            let p99_us = if hold.sent() <= carried { 45_000 } else { 3_000_000 };
            let (measured, p50_us) = measured(hold.sent(), hold.sent(), 4_000, p99_us);
            (Measured { valid: connections <= 300 || hold.sent() <= 26_000, ..measured }, p50_us)
        });
        assert_eq!(found.unbroken, Some(Unbroken::Generator), "{found:?}: {steps:?}");
        let passed =
            steps.iter().filter(|(_, _, verdict)| *verdict == HoldVerdict::Passed).map(|(rate, ..)| *rate).max();
        assert_eq!(Some(found.holds), passed, "{steps:?}");
    }

    #[test]
    fn what_fails_over_a_part_of_those_that_it_needs_breaks_no_server_that_becomes_slower() {
        // Queued for as in M/M/1. (answers that wait for nobody, what it carries, what ours judges over more than 300)
        for (alone_us, carries, judged) in [(3_400, 24_000, 15_000), (4_000, 33_000, 12_000)] {
            let (found, steps) = climb(|hold, connections| {
                let left = carries - hold.sent().min(carries - 1);
                let p50_us = (alone_us * carries / left).min(3_000_000);
                let is_carried = hold.sent() <= u64::from(connections) * 1_000_000 / p50_us;
                let p99_us = if is_carried { 2 * p50_us } else { 3_000_000 };
                let (measured, p50_us) = measured(hold.sent(), hold.sent(), p50_us, p99_us);
                (Measured { valid: connections <= 300 || hold.sent() <= judged, ..measured }, p50_us)
            });
            assert!(found.unbroken.is_some(), "{found:?}: {steps:?}");
        }
    }

    #[test]
    fn a_server_that_is_near_is_broken_also_where_it_was_queued_for_at_its_limit() {
        // As in an open loop: what it does not carry waits for longer with each second of a hold.
        let (found, steps) = climb(|hold, connections| {
            let beyond = hold.sent().saturating_sub(100_000);
            let p50_us = 100 + 2_500_000 * beyond / 100_000;
            let (measured, p50_us) = measured(hold.sent(), hold.sent(), p50_us, 2 * p50_us);
            (Measured { valid: connections <= 1_000, ..measured }, p50_us)
        });
        assert!(steps.iter().any(|(_, _, verdict)| *verdict == HoldVerdict::NotValid), "{steps:?}");
        assert!(is_near(found.holds, 100_000), "{found:?}: {steps:?}");
        assert!(found.broke.is_some() && found.unbroken.is_none(), "{found:?}: {steps:?}");
    }

    #[test]
    fn what_passed_over_all_is_not_taken_back_by_few_of_which_it_is_known_that_they_fail() {
        // It carries more over many connections, however quick it is; ours judges up to 4,000 of them.
        let (found, steps) = climb(|hold, connections| {
            let (measured, p50_us) =
                server(hold.sent(), connections, 80, if connections > 400 { 120_000 } else { 50_000 });
            (Measured { valid: connections <= 4_000, ..measured }, p50_us)
        });
        assert_eq!(found.unbroken, Some(Unbroken::Generator), "{found:?}: {steps:?}");
        assert!((60_000..80_000).contains(&found.holds), "{found:?}: {steps:?}");
    }

    #[test]
    fn what_few_connections_cannot_carry_breaks_no_server_that_is_far() {
        // Ours judges nothing over more than two thousand.
        let (found, steps) = climb(|hold, connections| {
            let (measured, p50_us) = far(hold, connections);
            (Measured { valid: connections <= 2_000, ..measured }, p50_us)
        });
        assert_eq!((found.broke, found.unbroken), (None, Some(Unbroken::Connections)), "{found:?}: {steps:?}");
        // As many as half of what the step has that could not be judged.
        assert!(is_near(found.holds, 1_082 * 50), "{found:?}: {steps:?}");
    }

    #[test]
    fn what_passed_over_all_stays_where_few_fail_above_it() {
        let slow = |rate| if rate < 5_000 { 500 } else { 20_000 };
        let (found, steps) = climb(|hold, connections| {
            let (measured, p50_us) = server(hold.sent(), connections, slow(hold.sent()), 20_000);
            (Measured { valid: connections <= 800, ..measured }, p50_us)
        });
        assert_eq!(found.unbroken, Some(Unbroken::Generator), "{found:?}: {steps:?}");
        assert!((15_000..16_000).contains(&found.holds), "{found:?}: {steps:?}");
    }

    #[test]
    fn after_holds_that_were_not_valid_the_other_way_ends_as_well() {
        // Our own side is too slow from the first step on that is held again.
        let (found, steps) = climb(|hold, connections| {
            let (measured, p50_us) = near(hold, connections);
            (Measured { valid: !matches!(hold.trial, Trial::Confirm | Trial::Retry), ..measured }, p50_us)
        });
        assert_eq!(found.unbroken, Some(Unbroken::Generator), "{steps:?}");
    }

    #[test]
    fn quick_refusals_say_nothing_about_how_long_answers_take() {
        // Above its limit it refuses at once, once; what is tried afterwards has the connections that its answers need.
        let mut refuses = true;
        let (found, steps) = climb(|hold, connections| match hold.sent() {
            4_000.. if std::mem::take(&mut refuses) => measured(hold.sent(), 0, 5, 10),
            rate => server(rate, connections, 5_000, 30_000),
        });
        assert!(is_near(found.holds, 30_000), "{found:?}");
        // So that nothing below that is too slow.
        let is_slow = |(_, _, verdict): &&(u64, u32, HoldVerdict)| *verdict == HoldVerdict::FailedByP99;
        assert!(steps.iter().filter(is_slow).all(|(rate, ..)| *rate > 30_000), "{steps:?}");
    }
}
