//! Contestants: who plays, and whose server answered right.

use super::check::{Group, List, Mark};
use super::situation::{Contestant, Situation, Tested};
use crate::control::instant;
use flowtest_contest::Contest;
use flowtest_contest::contest::Absent;

/// A test older than this says little: servers are looked at every half minute while it matters. In microseconds.
const PROBE_OLD_US: u64 = 2 * 60 * 1_000_000;

pub(super) fn contestants(list: &mut List, situation: &Situation) {
    if let Some(contest) = &situation.contest {
        list.add(Group::Contestant, "Not ready at the start", Mark::Go, absence(contest.absent));
    }
    for contestant in &situation.contestants {
        let (mark, message) = judge_contestant(contestant, situation);
        list.add(Group::Contestant, &contestant.name, mark, message);
    }
}

/// What becomes of whoever is not ready.
fn absence(absent: Absent) -> &'static str {
    match absent {
        Absent::Charged => {
            "Whoever has an endpoint that has not given three right answers misses what falls due in scored phases, and that costs \
             points. Whoever joins later is charged from then on."
        }
        Absent::Free => {
            "Nothing falls due to anybody before its endpoint has given three right answers, so that costs nothing."
        }
    }
}

/// A contestant's troubles are its own: they warn and keep nobody else from playing.
pub fn judge_contestant(contestant: &Contestant, situation: &Situation) -> (Mark, String) {
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
        tested => {
            match (judge_test(tested.as_ref(), situation), too_far(tested.as_ref(), situation.contest.as_ref())) {
                ((Mark::Go, message), Some(far)) => (Mark::Warn, format!("{message} {far}")),
                (judged, _) => judged,
            }
        }
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
pub(super) fn judge_test(tested: Option<&Tested>, situation: &Situation) -> (Mark, String) {
    let Some(tested) = tested else { return (Mark::Warn, "It was not tested yet: test it.".to_owned()) };
    let Some(answer) = &tested.answer else {
        return (Mark::Warn, "Its test has no answer yet: a generator must run.".to_owned());
    };
    let age_us = situation.now.saturating_since(answer.at);
    let age = instant::duration(age_us / 1_000_000 * 1_000_000);
    if answer.not_made {
        return (Mark::Warn, format!("It is not known: {} (asked {age} ago)", answer.message));
    }
    if !tested.expects_as(situation.deadlines, situation.now) {
        return (Mark::Warn, format!("It was tested {age} ago, by other deadlines: test it again."));
    }
    if !answer.is_verified() {
        return (Mark::Warn, format!("{} (tested {age} ago)", answer.message));
    }
    if age_us > PROBE_OLD_US {
        return (Mark::Warn, format!("All three were right, {age} ago: test it again."));
    }
    (Mark::Go, format!("All three right, tested {age} ago."))
}
