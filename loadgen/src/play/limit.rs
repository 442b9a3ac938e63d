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
use flowtest_contest::ladder::{Hold, HoldVerdict, Ladder, LadderTerms, Measured, Pass};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A step settles for so long before it is judged.
const SETTLE: Duration = Duration::from_secs(1);
/// With fewer connections nothing is worth measuring: then the first step says what is missing.
const CONNECTIONS_LEAST: u32 = 16;
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
    let most = most_connections(flags, &target, &cores);
    result.connections_most = most;
    let mut trouble = None;
    while let Some(hold) = ladder.now() {
        let measured = match step(flags, &target, &cores, most, hold, stop) {
            Ok(Some(measured)) => measured,
            Err(error) if result.steps.is_empty() => return Err(error),
            // What was measured until here is told all the same.
            ended => {
                (result.interrupted, trouble) = (true, ended.err());
                break;
            }
        };
        let verdict = ladder.take(measured.judged(&pass));
        let step = LimitStep { verdict, ..measured };
        if is_told {
            results::print(step.line())?;
        }
        result.steps.push(step);
    }
    result.found(ladder.found());
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
    most: u32,
    hold: Hold,
    stop: &Stop,
) -> Result<Option<LimitStep>, Failed> {
    let clock = Clock::now();
    let plan = Arc::new(plan(flags, target.clone(), cores.len() as u32, clock, most, hold.sent()));
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
        due: total.requests,
        verified: total.verified,
        own_fault: total.failed.own_fault,
        p50_us: total.latency_us.p50,
        p99_us: total.latency_us.p99,
        valid,
        verdict: HoldVerdict::NotValid,
    }))
}

fn plan(flags: &Limit, target: ContestantPlan, workers: u32, clock: Clock, most: u32, rate: u64) -> Plan {
    let settling = Schedule::before_pauses(clock.after(HEAD_START));
    let start = settling + SETTLE.as_nanos() as u64;
    let end = start + (flags.hold.as_nanos() as u64).max(NS_PER_SECOND / 10);
    let (load, connections) =
        (Load::Open(Ramp { from: rate, to: rate, seconds: 1 }), flags.pass().connections(rate, most));
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

impl LimitStep {
    /// What the ladder is told. What our own side could not judge says nothing about the server.
    fn judged(&self, pass: &Pass) -> Measured {
        let due = self.due.saturating_sub(self.own_fault);
        Measured { due, verified: self.verified, p99_us: self.p99_us, valid: self.valid }.beside(self.own_fault, pass)
    }
}
