//! From the tree of either dialect to a valid contest.

use super::document::{Entry, Section, duration_us, shorten};
use super::{
    Absent, CONNECTIONS_ALL_MAX, CONNECTIONS_BY_RATE_MAX, CONNECTIONS_MAX, CONTESTANTS_MAX, Contest, ContestError,
    Contestant, DeadlineSpec, Load, PHASES_MAX, PIPELINE_MAX, POINTS_MAX, Phase, Policy, RATE_MAX, RankBy, Rate, Start,
    When,
};
use crate::breakpoint::{Breakpoint, HOLD_MIN, STEPS_MIN};
use crate::endpoint::{Endpoint, Host};
use crate::ladder::{Ladder, LadderTerms, Pass, Step, carried_rate};
use crate::names;
use crate::policy::{ENTRIES_MAX, Ownership, TlsTrust};
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
    let mut section = document.section("rules")?;
    let absent = absent(&mut section)?;
    let rank_by = rank_by(&mut section)?;
    let breakpoint_points = match section.take("breakpoint_points") {
        Some(entry) => narrow(entry.integer(0, POINTS_MAX.into(), "points for each request a second")?),
        None => 0,
    };
    let rules = rules(section)?;
    let phases = phases(document, rules.timeout_us)?;
    let has_breakpoint = phases.iter().any(|phase| matches!(phase.load, Load::Breakpoint(_)));
    if !has_breakpoint && (rank_by == RankBy::Holds || breakpoint_points > 0) {
        return Err(document.wrong(
            "the rules count what contestants hold, and no phase finds it out: add a [[phase]] with kind = \"breakpoint\", or \
             leave `rank_by` and `breakpoint_points` out",
        ));
    }
    let policy = policy(document.section("policy")?)?;
    let contestants = contestants(document, policy.may_name_one_server())?;
    let phases: Vec<Phase> = phases.into_iter().map(|phase| with_connections(phase, contestants.len())).collect();
    if let Some(message) = phases.iter().enumerate().find_map(|(index, phase)| beyond_connections(index, phase)) {
        return Err(document.wrong(message));
    }
    let contest =
        Contest { name, start, deadlines, rules, absent, rank_by, breakpoint_points, phases, contestants, policy };
    match contest.beyond_fleet() {
        // Who joins a contest that is on makes its document unreadable for nobody.
        Some(message) if document.is_typed() => Err(document.wrong(message)),
        _ => Ok(contest),
    }
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

fn absent(section: &mut Section) -> Result<Absent, ContestError> {
    let Some(entry) = section.take("absent") else { return Ok(Absent::default()) };
    entry.text()?.parse().map_err(|()| {
        entry.wrong(
            "says neither \"charged\" (who is not ready in a scored phase misses what is due) nor \"free\" (nothing falls due \
             to it)",
        )
    })
}

fn rank_by(section: &mut Section) -> Result<RankBy, ContestError> {
    let Some(entry) = section.take("rank_by") else { return Ok(RankBy::default()) };
    entry.text()?.parse().map_err(|()| {
        entry.wrong("says neither \"points\" nor \"holds\" (the rate that a contestant holds in a breakpoint phase)")
    })
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
            *points = narrow(entry.integer(0, POINTS_MAX.into(), "points")?);
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

fn phases(document: &mut Section, timeout_us: u64) -> Result<Vec<Phase>, ContestError> {
    let sections = document.sections("phase")?;
    if sections.len() == 0 {
        return Err(document.wrong("the contest has no phase: add a [[phase]] with `for` and `rate`"));
    }
    if sections.len() > PHASES_MAX {
        return Err(document.wrong(format!("the contest has {} phases: at most {PHASES_MAX}", sections.len())));
    }
    let phases = sections
        .into_sections()
        .map(|section| phase(section?, timeout_us))
        .collect::<Result<Vec<Phase>, ContestError>>()?;
    let is_counted = |phase: &&Phase| phase.scored && matches!(phase.load, Load::Breakpoint(_));
    if phases.iter().filter(is_counted).count() > 1 {
        return Err(document.wrong(
            "two breakpoint phases are scored, and what a contestant holds is one result: write `scored = false` in all but one",
        ));
    }
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
    let needed = match phase.load {
        Load::Breakpoint(breakpoint) => breakpoint.connections(breakpoint.ladder.max, CONNECTIONS_BY_RATE_MAX).into(),
        load => load.rate_max(),
    };
    Phase { connections: needed.clamp(1, each) as u32, ..phase }
}

/// The most that all contestants together may be said to get.
const FLEET_MAX: u64 = RATE_MAX * CONTESTANTS_MAX as u64;

/// How fast a server answers at the best that is worth climbing to.
const FASTEST_US: u64 = 1_000;

/// A ladder with steps that its connections do not carry, whoever answers.
fn beyond_connections(index: usize, phase: &Phase) -> Option<String> {
    let Load::Breakpoint(Breakpoint { ladder: LadderTerms { max, .. }, .. }) = phase.load else { return None };
    let carries = carried_rate(phase.connections, FASTEST_US);
    (carries < max).then(|| {
        format!(
            "phase {} climbs to {max}/s, and the {} connections that descriptors and ports allow for each contestant carry \
             {carries}/s where an answer takes 1 ms: lower `max`, raise `connections`, or play with fewer contestants",
            index + 1,
            phase.connections
        )
    })
}

/// A phase in which each contestant climbs its own ladder.
fn breakpoint(mut section: Section, timeout_us: u64) -> Result<Phase, ContestError> {
    const WHAT: &str = "requests per second per contestant";
    let length = section.need("for", "\"10m\"")?;
    let duration_us = length.duration_us(100 * MS, WEEK)?;
    let start = section.need("start", "500")?.integer(1, RATE_MAX, WHAT)?;
    let step_entry = section.need("step", "\"x1.25\"")?;
    let step: Step =
        step_entry.text()?.parse().map_err(|error: String| step_entry.wrong(format!("is wrong: {error}")))?;
    let hold = section.need("hold", "\"10s\"")?;
    let hold_us = hold.duration_us(HOLD_MIN, HOUR)?;
    if hold_us < timeout_us {
        return Err(hold.wrong(format!(
            "is shorter than the timeout of {}: a step would be over before a request of it can fail; write a longer hold, or a \
             shorter `timeout` in [rules]",
            humantime::format_duration(Duration::from_micros(timeout_us))
        )));
    }
    let max = section.need("max", "200000")?.integer(1, RATE_MAX, WHAT)?;
    let pass = pass(section.section("pass")?, timeout_us)?;
    let connections = match section.take("connections") {
        Some(entry) => narrow(entry.integer(1, u64::from(CONNECTIONS_MAX), "connections per contestant")?),
        None => BY_RATE,
    };
    let scored = section.take("scored").map_or(Ok(true), |entry| entry.boolean())?;
    const ALL: &str = "requests per second of all contestants together";
    let fleet_max = section.take("fleet_max").map(|entry| entry.integer(1, FLEET_MAX, ALL)).transpose()?;
    let breakpoint = Breakpoint { ladder: LadderTerms { start, step, max, pass }, hold_us, fleet_max };
    Ladder::new(breakpoint.ladder).map_err(|error| section.wrong(format!("contradicts itself: {error}")))?;
    let steps = breakpoint.clock(duration_us, timeout_us).count;
    if steps < STEPS_MIN {
        let step = Duration::from_micros(breakpoint.clock(duration_us, timeout_us).step_us);
        return Err(length.wrong(format!(
            "is too short for the first steps: each takes {}, the hold and what judging it takes; write {} or longer",
            humantime::format_duration(step),
            humantime::format_duration(step * STEPS_MIN)
        )));
    }
    section.finish()?;
    Ok(Phase { duration_us, load: Load::Breakpoint(breakpoint), connections, scored })
}

/// What a step has to reach.
fn pass(mut section: Section, timeout_us: u64) -> Result<Pass, ContestError> {
    let verified = match section.take("right") {
        Some(entry) => entry,
        None => section.need("verified", "0.995")?,
    };
    let part = verified.fraction().filter(|part| *part > 0.0 && *part <= 1.0).ok_or_else(|| {
        verified.wrong("is no part of all answers: write how many of them must be verified, as in 0.995, and 1 at most")
    })?;
    let p99_us = section.need("p99", "\"250ms\"")?.duration_us(MS, Duration::from_micros(timeout_us))?;
    section.finish()?;
    Ok(Pass { verified: part, p99_us })
}

fn phase(mut section: Section, timeout_us: u64) -> Result<Phase, ContestError> {
    if let Some(kind) = section.take("kind") {
        return match kind.text()? {
            "breakpoint" => breakpoint(section, timeout_us),
            other => Err(kind.wrong(format!(
                "is {:?}: the only kind that is named is \"breakpoint\"; a phase with `rate` is open, one with `pipeline` closed",
                shorten(other)
            ))),
        };
    }
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
        Load::Open { .. } | Load::Breakpoint(_) => section.take("connections"),
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
    let mut section = document.section("policy")?;
    let policy = reach(&mut section)?;
    section.finish()?;
    Ok(policy)
}

fn policy(mut section: Section) -> Result<Policy, ContestError> {
    let reach = reach(&mut section)?;
    let tls = section.take("tls").map_or(Ok(TlsTrust::Verify), |entry| word(&entry))?;
    section.finish()?;
    Ok(Policy { tls, ..reach })
}

/// Where traffic may go.
fn reach(section: &mut Section) -> Result<Policy, ContestError> {
    Ok(Policy {
        allow: parsed_list(section, "allow")?,
        deny: parsed_list(section, "deny")?,
        allow_shared: section.take("allow_shared").map_or(Ok(false), |entry| entry.boolean())?,
        ownership: section.take("ownership").map_or(Ok(Ownership::Off), |entry| word(&entry))?,
        tls: TlsTrust::default(),
    })
}

/// One of the words that a key may have.
fn word<T: FromStr<Err = &'static str>>(entry: &Entry) -> Result<T, ContestError> {
    let text = entry.text()?;
    text.parse().map_err(|error| entry.wrong(format!("is {:?}: {error}", shorten(text))))
}

fn parsed_list<T: FromStr<Err: Display>>(section: &mut Section, key: &'static str) -> Result<Vec<T>, ContestError> {
    let Some(entry) = section.take(key) else { return Ok(Vec::new()) };
    let parse = |item: Result<Entry, ContestError>| {
        let item = item?;
        item.text()?.parse().map_err(|error| item.wrong(format!("is wrong: {error}")))
    };
    entry.into_texts(ENTRIES_MAX)?.map(parse).collect()
}

fn contestants(document: &mut Section, may_name_one_server: bool) -> Result<Vec<Contestant>, ContestError> {
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
        if let Some(other) = by_address.insert(endpoint.server(), index)
            && !may_name_one_server
            // Of others' documents generators see to that: a policy that allows it may be withdrawn while such a contest is on.
            && section.is_typed()
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

const _: () = assert!(SECOND.as_micros() == 1_000_000);
