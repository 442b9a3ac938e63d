//! GO or NO-GO on the page: checks, contestants, generators.

use crate::clock::utc_ms;
use crate::control::Status;
use crate::control::readiness::{self, Group, Mark, Situation};
use crate::live::UserKey;
use crate::views::setting::{Check, ContestantCheck, GeneratorCheck, Light, Readiness};
use flowtest_accounts::User;
use flowtest_scoreboard::SeenGenerator;

pub(super) fn readiness(situation: &Situation, status: &Status, users: &[User]) -> Readiness {
    let checks = readiness::checks(situation);
    let missing = checks.iter().filter(|check| check.mark == Mark::No);
    let missing = missing.map(|check| format!("{}: {}", check.what, check.message)).collect();
    let one = |check: &readiness::Check| Check {
        name: check.what.clone(),
        light: light(check.mark),
        message: check.message.clone(),
    };
    let mut platform: Vec<Check> = checks.iter().filter(|check| check.group == Group::Platform).map(one).collect();
    if let Some(trouble) = &status.trouble {
        platform.push(Check { name: "Control".to_owned(), light: Light::Bad, message: trouble.clone() });
    }
    let contestants = situation.contestants.iter().map(|contestant| {
        let (mark, reason) = readiness::judge_contestant(contestant, situation.contest.as_ref(), situation.now);
        let user = users.iter().find(|user| user.name == contestant.name);
        ContestantCheck {
            id: user.map(|user| UserKey::of_user(user.id.0).to_string()).unwrap_or_default(),
            display_name: user.map_or_else(|| contestant.name.clone(), |user| user.display_name.clone()),
            light: light(mark),
            endpoint: contestant.endpoint.clone(),
            probed_at_ms: contestant.tested.as_ref().map(|tested| utc_ms(tested.at)),
            reason,
        }
    });
    Readiness {
        missing,
        adopt: status.conflict.as_ref().is_some_and(|conflict| conflict.revision.is_some()),
        contestants: contestants.collect(),
        generators: situation.generators.iter().filter_map(|seen| generator(seen, situation)).collect(),
        checks: platform,
    }
}

/// A generator that is heard. Those that are silent stand nowhere: they may be of yesterday.
fn generator(seen: &SeenGenerator, situation: &Situation) -> Option<GeneratorCheck> {
    let health = seen.health.as_ref()?;
    let (mark, message) = match readiness::is_heard(seen, situation.now) {
        true => readiness::judge_generator(health),
        false if situation.is_unwritten => {
            (Mark::Warn, "It cannot be heard while Redis takes no writes; it may well play on.".to_owned())
        }
        false => (Mark::No, "It is silent: see whether it still runs.".to_owned()),
    };
    Some(GeneratorCheck {
        id: seen.id.clone(),
        light: light(mark),
        message,
        beat_ms: utc_ms(seen.beat),
        age_s: situation.now.saturating_sub(seen.beat) / 1_000_000,
        version: health.version.clone(),
        cores: health.cores,
        features: health.features.join(", "),
        rate: health.rate,
        clock_offset_us: health.clock_offset_us,
        clock_error_us: health.clock_error_us,
        saturated_seconds: health.saturated_seconds,
        rate_ratio: health.rate_ratio,
        lag_p99_us: health.lag_p99_us,
        backlog: health.backlog,
        disk_free_bytes: health.disk_free_bytes,
        busy_percent: health.busy_percent.clone(),
    })
}

pub(super) fn light(mark: Mark) -> Light {
    match mark {
        Mark::Go => Light::Good,
        Mark::Warn => Light::Warn,
        Mark::No => Light::Bad,
    }
}
