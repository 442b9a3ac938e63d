//! From the tree of either dialect to a valid contest.

use super::document::{Entry, Section, duration_us, shorten};
use super::{
    CONNECTIONS_ALL_MAX, CONNECTIONS_BY_RATE_MAX, CONNECTIONS_MAX, CONTESTANTS_MAX, Contest, ContestError, Contestant,
    DeadlineSpec, Load, PHASES_MAX, PIPELINE_MAX, Phase, Policy, RATE_MAX, Rate, Start, When,
};
use crate::endpoint::{Endpoint, Host};
use crate::names;
use crate::policy::ENTRIES_MAX;
use flowtest_contract::Rules;
use flowtest_contract::text::is_hidden;
use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const WEEK: Duration = Duration::from_hours(7 * 24);
/// A timeout longer than a minute leaves the range of the histogram (2^26 µs).
const TIMEOUT_MAX: Duration = Duration::from_mins(1);
/// Points of one header: far above every sensible rule, far below what could overflow a sum.
const POINTS_MAX: u64 = 1_000_000;

const _: () = assert!(TIMEOUT_MAX.as_micros() < 1 << 26);

pub(super) fn contest(document: &mut Section) -> Result<Contest, ContestError> {
    let name = name(&document.need("name", "\"finals\"")?)?;
    let start = match document.take("start") {
        None => Start::Now,
        Some(entry) if entry.text() == Ok("now") => Start::Now,
        Some(entry) => Start::At(entry.instant_us().map_err(|mut error| {
            error.message.push_str(", or \"now\"");
            error
        })?),
    };
    let deadlines = deadlines(document.section("deadlines")?)?;
    let rules = rules(document.section("rules")?)?;
    let phases = phases(document)?;
    let policy = policy(document.section("policy")?)?;
    let contestants = contestants(document, policy.allow_shared)?;
    let phases = phases.into_iter().map(|phase| with_connections(phase, contestants.len())).collect();
    Ok(Contest { name, start, deadlines, rules, phases, contestants, policy })
}

/// A name becomes part of Redis keys, of tables in a terminal and of pages.
pub(super) fn name(entry: &Entry) -> Result<String, ContestError> {
    let name = entry.text()?;
    let shown = shorten(name);
    if name.is_empty() {
        return Err(entry.wrong("is empty: give a name"));
    }
    if name.chars().count() > names::NAME_CHARS_MAX {
        return Err(entry.wrong(format!("is {shown:?}, too long: at most {} characters", names::NAME_CHARS_MAX)));
    }
    if name.trim() != name {
        return Err(entry.wrong(format!("is {shown:?}, with space at an end: remove it")));
    }
    // Escape codes would rewrite a terminal; marks that turn the direction would let one name pass for another.
    match name.chars().find(|c| is_hidden(*c) || names::FORBIDDEN_IN_NAMES.contains(c)) {
        Some(c) => Err(entry.wrong(format!(
            "is {shown:?}, which holds {c:?}: a name becomes part of Redis keys, so use no braces, colons or control \
             characters"
        ))),
        None => Ok(name.to_owned()),
    }
}

fn deadlines(mut section: Section) -> Result<DeadlineSpec, ContestError> {
    let mut when = |key| section.take(key).map(|entry| instant_or_offset(&entry)).transpose();
    let spec = DeadlineSpec { version: when("version")?, from: when("from")? };
    section.finish()?;
    Ok(spec)
}

fn instant_or_offset(entry: &Entry) -> Result<When, ContestError> {
    match entry.text().ok().and_then(|text| text.strip_prefix('+')) {
        Some(offset) => match duration_us(offset, MS, WEEK) {
            Ok(us) => Ok(When::AfterStart { us }),
            Err(message) => Err(entry.wrong(format!("counts from the start but {message}"))),
        },
        None => entry.instant_us().map(When::At).map_err(|mut error| {
            error.message.push_str(", or \"+20m\" to count from the start");
            error
        }),
    }
}

fn rules(mut section: Section) -> Result<Rules, ContestError> {
    let mut rules = Rules::default();
    if let Some(entry) = section.take("timeout") {
        rules.timeout_us = entry.duration_us(MS, TIMEOUT_MAX)?;
    }
    if let Some(entry) = section.take("grace") {
        rules.grace_us = entry.duration_us(Duration::ZERO, HOUR)?;
    }
    for (key, points) in [("token", &mut rules.token), ("version", &mut rules.version), ("from", &mut rules.from)] {
        if let Some(entry) = section.take(key) {
            *points = narrow(entry.integer(0, POINTS_MAX, "points")?);
        }
    }
    if let Some(entry) = section.take("token_required") {
        rules.token_required = entry.boolean()?;
    }
    if rules.exchange_points() == 0 {
        return Err(section.wrong("gives no points for anything: set token, version or from above 0"));
    }
    section.finish()?;
    Ok(rules)
}

fn phases(document: &mut Section) -> Result<Vec<Phase>, ContestError> {
    let sections = document.sections("phase")?;
    if sections.len() == 0 {
        return Err(document.wrong("the contest has no phase: add a [[phase]] with `for` and `rate`"));
    }
    if sections.len() > PHASES_MAX {
        return Err(document.wrong(format!("the contest has {} phases: at most {PHASES_MAX}", sections.len())));
    }
    let phases =
        sections.into_sections().map(|section| phase(section?)).collect::<Result<Vec<Phase>, ContestError>>()?;
    let total_us: u64 = phases.iter().map(|phase| phase.duration_us).sum();
    if u128::from(total_us) > WEEK.as_micros() {
        return Err(document.wrong("the phases take longer than a week together: shorten or remove some"));
    }
    Ok(phases)
}

/// A phase that says nothing of connections, until the contestants are known.
const BY_RATE: u32 = 0;

/// As many connections as an open phase needs where an answer takes a second: rate times latency is what is in flight.
fn with_connections(phase: Phase, contestants: usize) -> Phase {
    if phase.connections != BY_RATE {
        return phase;
    }
    let each = u64::from(CONNECTIONS_BY_RATE_MAX).min(CONNECTIONS_ALL_MAX / contestants.max(1) as u64).max(1);
    Phase { connections: phase.load.rate_max().clamp(1, each) as u32, ..phase }
}

fn phase(mut section: Section) -> Result<Phase, ContestError> {
    let duration_us = section.need("for", "\"30s\"")?.duration_us(100 * MS, WEEK)?;
    let rate = section.take("rate");
    let pipeline = section.take("pipeline");
    let load = match (rate, pipeline) {
        (Some(_), Some(pipeline)) => {
            return Err(pipeline.wrong(
                "stands beside `rate`: an open phase sends by the clock, one request at a time on a connection; \
                 remove one of the two",
            ));
        }
        (Some(rate), None) => open(&rate)?,
        (None, Some(pipeline)) => Load::Closed {
            pipeline: narrow(pipeline.integer(1, u64::from(PIPELINE_MAX), "requests in flight per connection")?),
        },
        (None, None) => Load::Closed { pipeline: 1 },
    };
    let connections = match load {
        Load::Open { .. } => section.take("connections"),
        Load::Closed { .. } => Some(section.need("connections", "64")?),
    };
    let connections = match connections {
        Some(entry) => narrow(entry.integer(1, u64::from(CONNECTIONS_MAX), "connections per contestant")?),
        None => BY_RATE,
    };
    let scored = section.take("scored").map_or(Ok(true), |entry| entry.boolean())?;
    section.finish()?;
    Ok(Phase { duration_us, load, connections, scored })
}

/// `1000`, or `"1000..20000"` for a ramp.
fn open(entry: &Entry) -> Result<Load, ContestError> {
    const WHAT: &str = "requests per second per contestant";
    let Ok(text) = entry.text() else {
        let rate = entry.integer(1, RATE_MAX, WHAT)?;
        return Ok(Load::Open { from: rate, to: rate });
    };
    let rate = |text: &str| -> Option<Rate> {
        let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().filter(|rate| (1..=RATE_MAX).contains(rate))
    };
    match text.split_once("..").map_or((rate(text), rate(text)), |(from, to)| (rate(from), rate(to))) {
        (Some(from), Some(to)) => Ok(Load::Open { from, to }),
        _ => Err(entry.wrong(format!(
            "is {:?}: write a whole number of {WHAT} from 1 to {RATE_MAX}, or a ramp such as \"1000..20000\"",
            shorten(text)
        ))),
    }
}

/// The whole of a policy file: the [policy] of a contest file and nothing else.
pub(super) fn ceiling(document: &mut Section) -> Result<Policy, ContestError> {
    policy(document.section("policy")?)
}

fn policy(mut section: Section) -> Result<Policy, ContestError> {
    let policy = Policy {
        allow: parsed_list(&mut section, "allow")?,
        deny: parsed_list(&mut section, "deny")?,
        allow_shared: section.take("allow_shared").map_or(Ok(false), |entry| entry.boolean())?,
    };
    section.finish()?;
    Ok(policy)
}

fn parsed_list<T: FromStr<Err: Display>>(section: &mut Section, key: &'static str) -> Result<Vec<T>, ContestError> {
    let Some(entry) = section.take(key) else { return Ok(Vec::new()) };
    let parse = |item: Result<Entry, ContestError>| {
        let item = item?;
        item.text()?.parse().map_err(|error| item.wrong(format!("is wrong: {error}")))
    };
    entry.into_texts(ENTRIES_MAX)?.map(parse).collect()
}

fn contestants(document: &mut Section, allow_shared: bool) -> Result<Vec<Contestant>, ContestError> {
    let sections = document.sections("contestant")?;
    if sections.len() == 0 {
        return Err(document.wrong("the contest has no contestant: add a [[contestant]] with `name` and `endpoint`"));
    }
    if sections.len() > CONTESTANTS_MAX {
        return Err(document
            .wrong(format!("the contest has {} contestants: at most {CONTESTANTS_MAX}, so split it", sections.len())));
    }
    let mut contestants: Vec<Contestant> = Vec::with_capacity(sections.len());
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let mut by_address: HashMap<(Host, u16), usize> = HashMap::new();
    for (index, section) in sections.into_sections().enumerate() {
        let mut section = section?;
        let name_entry = section.need("name", "\"alice\"")?;
        let name = name(&name_entry)?;
        if by_name.insert(name.clone(), index).is_some() {
            return Err(name_entry.wrong(format!("is {name:?}, as of another contestant: give each its own")));
        }
        let endpoint_entry = section.need("endpoint", "\"10.0.0.7:8080\"")?;
        let endpoint: Endpoint =
            endpoint_entry.text()?.parse().map_err(|error| endpoint_entry.wrong(format!("is wrong: {error}")))?;
        if let Some(other) = by_address.insert((endpoint.host.clone(), endpoint.port), index)
            && !allow_shared
        {
            return Err(endpoint_entry.wrong(format!(
                "has the host and port of contestant {:?}: give each its own server, or set `allow_shared = true` \
                 in [policy]",
                contestants[other].name
            )));
        }
        section.finish()?;
        contestants.push(Contestant { name, endpoint });
    }
    Ok(contestants)
}

/// Of a number that was checked against a limit that fits.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("its limit fits 32 bits")
}

const _: () = assert!(POINTS_MAX <= u32::MAX as u64);
const _: () = assert!(SECOND.as_micros() == 1_000_000);
