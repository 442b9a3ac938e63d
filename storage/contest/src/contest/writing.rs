//! From a contest to its JSON dialect.

use super::{Absent, Contest, Load, Policy, RankBy, Start, When};
use crate::breakpoint::Breakpoint;
use crate::policy::TlsTrust;
use flowtest_contract::rules::UtcUs;
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(super) fn contest(contest: &Contest) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("name".into(), contest.name.clone().into());
    let start = match contest.start {
        Start::Now => "now".to_owned(),
        Start::At(at) => instant(at),
    };
    document.insert("start".into(), start.into());
    let mut deadlines = Map::new();
    for (key, when) in [("version", contest.deadlines.version), ("from", contest.deadlines.from)] {
        if let Some(when) = when {
            deadlines.insert(key.into(), instant_or_offset(when).into());
        }
    }
    document.insert("deadlines".into(), deadlines.into());
    let rules = &contest.rules;
    document.insert(
        "rules".into(),
        json!({
            "timeout": duration(rules.timeout_us),
            "grace": duration(rules.grace_us),
            "token": rules.token,
            "version": rules.version,
            "from": rules.from,
            "token_required": rules.token_required,
        }),
    );
    // Programs from before it was a key go on reading documents that do not use it.
    if contest.absent != Absent::default() {
        document["rules"]["absent"] = contest.absent.as_str().into();
    }
    if contest.rank_by != RankBy::default() {
        document["rules"]["rank_by"] = contest.rank_by.as_str().into();
    }
    if contest.breakpoint_points > 0 {
        document["rules"]["breakpoint_points"] = contest.breakpoint_points.into();
    }
    let phases = contest.phases.iter().map(|phase| {
        let mut keys = Map::new();
        if let Load::Breakpoint(_) = phase.load {
            keys.insert("kind".into(), "breakpoint".into());
        }
        keys.insert("for".into(), duration(phase.duration_us).into());
        match phase.load {
            Load::Open { from, to } if from == to => keys.insert("rate".into(), from.into()),
            Load::Open { from, to } => keys.insert("rate".into(), format!("{from}..{to}").into()),
            Load::Closed { pipeline } => keys.insert("pipeline".into(), pipeline.into()),
            Load::Breakpoint(breakpoint) => ladder(&mut keys, &breakpoint),
        };
        keys.insert("connections".into(), phase.connections.into());
        keys.insert("scored".into(), phase.scored.into());
        Value::Object(keys)
    });
    document.insert("phase".into(), phases.collect());
    let contestants = contest
        .contestants
        .iter()
        .map(|contestant| json!({ "name": contestant.name, "endpoint": contestant.endpoint.to_string() }));
    document.insert("contestant".into(), contestants.collect());
    document.insert("policy".into(), policy(&contest.policy).into());
    document
}

fn ladder(keys: &mut Map<String, Value>, breakpoint: &Breakpoint) -> Option<Value> {
    let terms = &breakpoint.ladder;
    keys.insert("start".into(), terms.start.into());
    keys.insert("step".into(), terms.step.to_string().into());
    keys.insert("hold".into(), duration(breakpoint.hold_us).into());
    keys.insert("pass".into(), json!({ "verified": terms.pass.verified, "p99": duration(terms.pass.p99_us) }));
    keys.insert("max".into(), terms.max.into());
    // Programs from before it was a key go on reading documents that do not use it.
    breakpoint.fleet_max.and_then(|most| keys.insert("fleet_max".into(), most.into()))
}

fn policy(policy: &Policy) -> Map<String, Value> {
    let mut keys = Map::new();
    keys.insert("allow".into(), policy.allow.iter().map(ToString::to_string).collect());
    // Programs from before it was a key go on reading documents that do not use it.
    if !policy.deny.is_empty() {
        keys.insert("deny".into(), policy.deny.iter().map(ToString::to_string).collect());
    }
    keys.insert("allow_shared".into(), policy.allow_shared.into());
    // As of deny.
    if policy.ownership.is_asked_for() {
        keys.insert("ownership".into(), policy.ownership.as_str().into());
    }
    if policy.tls != TlsTrust::default() {
        keys.insert("tls".into(), policy.tls.as_str().into());
    }
    keys
}

fn instant_or_offset(when: When) -> String {
    match when {
        When::At(at) => instant(at),
        When::AfterStart { us } => format!("+{}", duration(us)),
    }
}

/// RFC 3339.
pub(crate) fn instant(at: UtcUs) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|at| jiff::Timestamp::from_microsecond(at).ok())
        // Reading admits no instant that a calendar does not have.
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

fn duration(us: u64) -> String {
    humantime::format_duration(Duration::from_micros(us)).to_string()
}
