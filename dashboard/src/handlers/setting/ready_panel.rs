//! GO or NO-GO on the page: checks, contestants, generators.

use super::as_sentence;
use crate::clock::utc_ms;
use crate::control::Status;
use crate::control::players::{Part, Player, players};
use crate::control::readiness::{self, Group, Mark, Situation};
use crate::live::UserKey;
use crate::views::format;
use crate::views::setting::{Check, ContestantCheck, GeneratorCheck, Light, Readiness};
use flowtest_accounts::User;
use flowtest_contest::Control;
use flowtest_scoreboard::{GeneratorHealth, SeenGenerator};

pub(super) fn readiness(
    situation: &Situation,
    status: &Status,
    control: Option<&Control>,
    users: &[User],
) -> Readiness {
    let checks = readiness::checks(situation);
    let players = control.map_or_else(Vec::new, |control| players(control, &situation.generators, situation.now));
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
        generators: situation.generators.iter().filter_map(|seen| generator(seen, situation, &players)).collect(),
        checks: platform,
    }
}

/// A generator that is heard. Those that are silent stand nowhere: they may be of yesterday.
fn generator(seen: &SeenGenerator, situation: &Situation, players: &[Player]) -> Option<GeneratorCheck> {
    let health = seen.health.as_ref()?;
    let player = players.iter().find(|player| player.id == seen.id);
    let (mark, message) = match readiness::is_heard(seen, situation.now) {
        true => player.map_or_else(|| readiness::judge_generator(health), |player| in_round(player, health)),
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

/// What it does in the round that is on, and what else is wrong with it.
fn in_round(player: &Player, health: &GeneratorHealth) -> (Mark, String) {
    let (mark, found) = readiness::judge_generator(&GeneratorHealth { round: None, ..health.clone() });
    let plays = matches!(player.part, Part::Plays { .. } | Part::Begins { .. });
    let at = player.part.at().map_or_else(String::new, |at| format!(" {}", format::utc_clock(utc_ms(at))));
    let does = as_sentence(&format!("{}{at}", player.part.sentence()));
    let mark = if plays { mark } else { mark.max(Mark::Warn) };
    (mark, format!("{does} {found}"))
}

pub(super) fn light(mark: Mark) -> Light {
    match mark {
        Mark::Go => Light::Good,
        Mark::Warn => Light::Warn,
        Mark::No => Light::Bad,
    }
}
