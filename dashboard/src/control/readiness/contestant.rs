//! Contestants: who plays, and whose server answered right.

use super::check::{Group, List, Mark};
use super::situation::{Contestant, Situation, Tested};
use crate::control::instant;
use flowtest_contest::Contest;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::ProbeAnswer;

/// A probe older than this says little, in microseconds.
const PROBE_OLD_US: u64 = 15 * 60 * 1_000_000;

pub(super) fn contestants(list: &mut List, situation: &Situation) {
    for contestant in &situation.contestants {
        let (mark, message) = judge_contestant(contestant, situation.contest.as_ref(), situation.now);
        list.add(Group::Contestant, &contestant.name, mark, message);
    }
}

/// A contestant's troubles are its own: they warn and keep nobody else from playing.
pub fn judge_contestant(contestant: &Contestant, contest: Option<&Contest>, now: UtcUs) -> (Mark, String) {
    let warn = |message: &str| (Mark::Warn, message.to_owned());
    if contestant.disabled {
        return warn("Its account is disabled, so it does not play.");
    }
    if contestant.disqualified {
        return warn("It is disqualified, so it does not play.");
    }
    if let Some(reason) = &contestant.left_out {
        return (Mark::Warn, format!("It cannot play: {reason}."));
    }
    if contestant.endpoint.is_none() {
        return warn("It has registered and set no endpoint yet.");
    }
    if contestant.parked {
        return warn("It is parked and gets no traffic: resume it when its server is ready.");
    }
    match &contestant.tested {
        Some(tested) if Some(&tested.endpoint) != contestant.endpoint.as_ref() => {
            warn("Its endpoint was not tested since it changed: test it.")
        }
        tested => match (judge_test(tested.as_ref(), now), too_far(tested.as_ref(), contest)) {
            ((Mark::Go, message), Some(far)) => (Mark::Warn, format!("{message} {far}")),
            (judged, _) => judged,
        },
    }
}

/// Open loop needs as many connections as the rate times the latency.
fn too_far(tested: Option<&Tested>, contest: Option<&Contest>) -> Option<String> {
    let latency_us = tested?.answer.as_ref()?.latency_us?;
    let few = contest?.too_few_connections(latency_us)?;
    Some(format!(
        "But it answers in {} ms: {few}, and the rest is missed. Write more connections in the plan, or leave them out.",
        latency_us.div_ceil(1_000)
    ))
}

/// The last test of a server, a contestant's or the house's.
pub(super) fn judge_test(tested: Option<&Tested>, now: UtcUs) -> (Mark, String) {
    let Some(tested) = tested else { return (Mark::Warn, "It was not tested yet: test it.".to_owned()) };
    let Some(answer) = &tested.answer else {
        return (Mark::Warn, "Its test has no answer yet: a generator must run.".to_owned());
    };
    let age_us = now.saturating_sub(answer.at);
    let age = instant::duration(age_us / 1_000_000 * 1_000_000);
    if !all_right(answer) {
        return (Mark::Warn, format!("{} (tested {age} ago)", answer.message));
    }
    if age_us > PROBE_OLD_US {
        return (Mark::Warn, format!("All three were right, {age} ago: test it again."));
    }
    (Mark::Go, format!("All three right, tested {age} ago."))
}

pub(super) fn all_right(answer: &ProbeAnswer) -> bool {
    answer.verdicts.is_some_and(|verdicts| verdicts.token && verdicts.version && verdicts.from)
}
