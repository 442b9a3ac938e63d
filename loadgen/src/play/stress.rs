//! `stress`: URLs in, one plan, a progress bar, a summary.

use crate::Failed;
use crate::admit::resolve::names::STUCK_AFTER;
use crate::admit::resolve::{Names, ResolveError, left_out, silent};
use crate::admit::trust::Trust;
use crate::engine::plan::{ContestantPlan, Load, Phase, Plan, Ramp, Target, TrafficMode};
use crate::engine::ring::Features;
use crate::engine::run::Clock;
use crate::engine::schedule::Schedule;
use crate::engine::trace::Tracing;
use crate::observe::title::Title;
use crate::play::driver::{Driver, Ended, Totals};
use crate::play::flags::Stress;
use crate::play::plan::{self, HEAD_START};
use crate::signals::Stop;
use flowtest_contest::endpoint::{Endpoint, EndpointError};
use flowtest_contract::text::{grouped, percent};
use flowtest_scoreboard::redacted;
use std::net::SocketAddr;
use std::sync::Arc;

/// Runs the command; the exit code says whether the result is valid.
pub fn stress(flags: &Stress, stop: &Stop) -> Result<u8, Failed> {
    let cores = flags.server.cores.choose()?;
    let names = flags.server.hosts.names()?;
    let endpoints = flags.urls.iter().map(|url| endpoint(url)).collect::<Result<Vec<_>, _>>()?;
    let trust = flags.server.trust(&endpoints)?;
    let contestants = endpoints
        .iter()
        .map(|endpoint| contestant(endpoint, &names, trust.as_ref(), flags.outputs.quiet))
        .collect::<Result<Vec<_>, _>>()?;
    let prepared = flags.outputs.prepare()?;
    let clock = Clock::now();
    let plan = Arc::new(make_plan(flags, contestants, cores.len() as u32, clock));
    let output = prepared.open(&plan, Title::Stress)?;
    let mut driver = Driver::in_memory(plan, clock, &cores, Tracing::Samples, output)?;
    stop.catch_signals();
    let is_cut = driver.play_out(stop.flag());
    let Ended { result, broken, .. } = driver.finish(is_cut);
    let Totals { closed, .. } = result?;
    let summary = closed.summary.clone();
    closed.write()?;
    if let Some(broken) = broken {
        return Err(broken.into());
    }
    if summary.interrupted && summary.total.requests == 0 {
        return Err(Failed::Message(format!(
            "stopped in the warm-up, which takes {}, before anything counted: let it go on for longer, or ask for --warmup 0s",
            humantime::format_duration(flags.warmup)
        )));
    }
    if summary.contestants.iter().all(|contestant| contestant.figures.rate == 0.0) {
        return Err(Failed::Message(
            "no request was answered with 2xx: see the counts above for how they failed".to_owned(),
        ));
    }
    if let Some(least) = flags.min_verified {
        let total = &summary.total;
        if (total.verified as f64) * 100.0 / (total.requests.max(1) as f64) < least {
            return Err(Failed::Message(format!(
                "{} of {} requests were verified, which is {}, and --min-verified asks for {least} %: see above why",
                grouped(total.verified),
                grouped(total.requests),
                percent(total.verified, total.requests)
            )));
        }
    }
    Ok(if summary.is_valid() { 0 } else { 3 })
}

pub(super) fn endpoint(url: &str) -> Result<Endpoint, Failed> {
    url.parse().map_err(|error: EndpointError| Failed::Usage(format!("{}: {error}", redacted(url))))
}

pub(super) fn contestant(
    endpoint: &Endpoint,
    names: &Names,
    trust: Option<&Trust>,
    quiet: bool,
) -> Result<ContestantPlan, Failed> {
    let addresses = flooded(endpoint, names.addresses(endpoint, STUCK_AFTER)?, quiet)?;
    let tls = trust.map(|trust| trust.server(endpoint)).transpose()?.flatten();
    let targets = addresses.into_iter().map(Target::new).collect();
    Ok(plan::contestant(endpoint.to_string(), endpoint, tls, targets, TrafficMode::Flood))
}

/// Where somebody listens. What dies later is asked to the end: how it fails is what somebody wants to see here.
fn flooded(endpoint: &Endpoint, addresses: Vec<SocketAddr>, quiet: bool) -> Result<Vec<SocketAddr>, Failed> {
    let silent = silent(&addresses);
    if silent.len() == addresses.len()
        && let Some(error) = addresses.last().and_then(|last| silent.get(last))
    {
        return Err(ResolveError::Silent { endpoint: endpoint.to_string(), error: error.to_string() }.into());
    }
    let (left_out, told) = left_out(endpoint, &addresses, &silent);
    if let Some(told) = told.filter(|_| !quiet) {
        eprintln!("flowtest-loadgen: {told}: these get no request; start the server there before, or name one address");
    }
    Ok(addresses.into_iter().filter(|address| !left_out.contains(address)).collect())
}

fn make_plan(flags: &Stress, contestants: Vec<ContestantPlan>, workers: u32, clock: Clock) -> Plan {
    let load = match flags.rate {
        Some(ramp) => Load::Open(ramp),
        None => Load::Closed { pipeline: flags.pipeline },
    };
    let length = match (flags.requests, flags.rate) {
        (None, _) => flags.duration.as_nanos() as u64,
        // As long as it takes: a week is the longest that a flag can ask for.
        (Some(_), None) => 7 * 24 * 3600 * 1_000_000_000,
        (Some(requests), Some(Ramp { from, to, seconds })) => {
            u64::try_from(u128::from(requests) * 2_000_000_000 * u128::from(seconds) / u128::from(from + to))
                .unwrap_or(u64::MAX)
                .min(u64::MAX / 4)
        }
    };
    let warm = Schedule::before_pauses(clock.after(HEAD_START));
    let start = warm + flags.warmup.as_nanos() as u64;
    let phase = |start, end, scored| Phase { start, end, load, connections: flags.connections, scored };
    let mut phases = Vec::new();
    if start > warm {
        // A ramp warms up at the rate that it begins with.
        let load = match load {
            Load::Open(ramp) => Load::Open(Ramp { from: ramp.from.max(1), to: ramp.from.max(1), ..ramp }),
            other @ (Load::Closed { .. } | Load::Step(_)) => other,
        };
        phases.push(Phase { load, ..phase(warm, start, false) });
    }
    phases.push(phase(start, start + length.max(1), true));
    Plan {
        rules: flags.server.rules(),
        schedule: Arc::new(flags.server.schedule()),
        utc_base: clock.utc_base,
        phases: phases.into(),
        contestants: contestants.into(),
        requests: flags.requests.filter(|_| flags.rate.is_none()),
        workers,
        unused: flags.without.iter().copied().fold(Features::default(), Features::and),
        ..Plan::default()
    }
}
