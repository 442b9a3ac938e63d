//! From a contest to its JSON dialect.

use super::{Contest, Load, Policy, Start, When};
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
    let phases = contest.phases.iter().map(|phase| {
        let mut keys = Map::new();
        keys.insert("for".into(), duration(phase.duration_us).into());
        match phase.load {
            Load::Open { from, to } if from == to => keys.insert("rate".into(), from.into()),
            Load::Open { from, to } => keys.insert("rate".into(), format!("{from}..{to}").into()),
            Load::Closed { pipeline } => keys.insert("pipeline".into(), pipeline.into()),
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

fn policy(policy: &Policy) -> Map<String, Value> {
    let mut keys = Map::new();
    keys.insert("allow".into(), policy.allow.iter().map(ToString::to_string).collect());
    // Programs from before it was a key go on reading documents that do not use it.
    if !policy.deny.is_empty() {
        keys.insert("deny".into(), policy.deny.iter().map(ToString::to_string).collect());
    }
    keys.insert("allow_shared".into(), policy.allow_shared.into());
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
    i64::try_from(at)
        .ok()
        .and_then(|at| jiff::Timestamp::from_microsecond(at).ok())
        // Reading admits no instant that a calendar does not have.
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

fn duration(us: u64) -> String {
    humantime::format_duration(Duration::from_micros(us)).to_string()
}
