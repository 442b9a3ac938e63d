//! GO or NO-GO on the page: checks, contestants, generators.

use super::as_message;
use crate::control::Status;
use crate::control::readiness::{self, Group, Mark, Situation};
use crate::control::shares::{GeneratorShare, ShareState, shares};
use crate::live::clock::utc_ms;
use crate::live::{TeamState, UserKey};
use crate::views::format;
use crate::views::setting::{Check, ContestantCheck, Face, GeneratorCheck, Light, Readiness, TeamLine, TeamLineState};
use flowtest_accounts::User;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{GeneratorHealth, MayPlay, SeenGenerator};

pub(super) fn readiness(
    situation: &Situation,
    status: &Status,
    control: Option<&Control>,
    users: &[User],
) -> Readiness {
    let checks = readiness::checks(situation);
    let shares = control.map_or_else(Vec::new, |control| shares(control, &situation.generators, situation.now));
    let face = face(situation.state);
    // That a round is on is what the page is about then, and tests of before say nothing of it.
    let is_of_before = |check: &readiness::Check| match check.what.as_str() {
        "Round" => !situation.halted,
        "House target" | "Teams" => true,
        _ => false,
    };
    let checks: Vec<readiness::Check> =
        checks.into_iter().filter(|check| face == Face::Prepare || !is_of_before(check)).collect();
    let missing = checks.iter().filter(|check| check.mark == Mark::No);
    let missing = missing.map(|check| format!("{}: {}", check.what, check.message)).collect();
    let one = |check: &readiness::Check| Check {
        name: check.what.clone(),
        light: light(check.mark),
        message: check.message.clone(),
    };
    let platform = checks.iter().filter(|check| check.group == Group::Platform).map(one).collect();
    let contestants = situation.contestants.iter().map(|contestant| {
        let (mark, reason) = readiness::judge_contestant(contestant, situation);
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
        face,
        validity: None,
        warnings: Vec::new(),
        missing,
        adopt: status.conflict.as_ref().is_some_and(|conflict| conflict.revision.is_some()),
        contestants: contestants.collect(),
        generators: generators(situation, &shares),
        checks: platform,
    }
}

/// What somebody should look at while a round is on: seconds that are not valid, generators, servers that died.
pub(super) fn warnings(readiness: &Readiness, state: State, teams: &[TeamLine]) -> Vec<String> {
    if readiness.face != Face::Live {
        return Vec::new();
    }
    let mut told = Vec::new();
    if state == State::Paused {
        told.push("The round rests, and its deadlines with it: Resume lets it go on.".to_owned());
    }
    if let Some(figures) = readiness.validity.as_ref().filter(|validity| !validity.valid).map(|now| now.figures) {
        let [invalid, all] = [figures.invalid_seconds(), figures.seconds].map(format::count);
        told.push(format!("Not valid so far: {invalid} of {all} measured seconds{}.", format::late(&figures)));
    }
    let returning = readiness.checks.iter().filter(|check| check.name == "Seal" && check.light == Light::Warn);
    told.extend(returning.map(|check| check.message.clone()));
    let late = readiness.generators.iter().filter(|one| one.light != Light::Good);
    told.extend(late.map(|one| format!("Generator {}: {}", one.id, one.message)));
    use TeamLineState::{NotReady, Now, Was};
    let failing = TeamState::Failing;
    told.extend(told_of(teams, |state| state == Now(failing), ["is failing", "are failing"]));
    told.extend(told_of(teams, |state| state == Was(failing), ["was failing until then", "were failing until then"]));
    told.extend(told_of(teams, |state| state == NotReady, ["is not ready", "are not ready"]));
    // Its own word, so that nobody looks for a dead server.
    let is_wrong = |state| matches!(state, Now(state) if state.is_wrong());
    told.extend(told_of(teams, is_wrong, ["has missed a deadline", "have missed a deadline"]));
    told
}

/// One sentence of all teams that are in a state.
fn told_of(teams: &[TeamLine], is_so: impl Fn(TeamLineState) -> bool, [one_does, all_do]: [&str; 2]) -> Option<String> {
    let names: Vec<&str> =
        teams.iter().filter(|team| is_so(team.state)).map(|team| team.display_name.as_str()).collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("{one} {one_does}.")),
        [one, ..] => Some(format!("{} teams {all_do}, such as {one}.", names.len())),
    }
}

fn face(state: State) -> Face {
    match state {
        State::Draft => Face::Prepare,
        State::Armed | State::Running | State::Paused | State::Draining => Face::Live,
        State::Sealed | State::Aborted => Face::After,
    }
}

/// Those of the round that is on, or that may play one of before, also where Redis has forgotten them.
fn generators(situation: &Situation, shares: &[GeneratorShare]) -> Vec<GeneratorCheck> {
    let is_known = |one: &&MayPlay| situation.generators.iter().any(|seen| seen.id == one.id);
    let forgotten = situation.may_play.iter().filter(|one| !is_known(one));
    let known = situation.generators.iter().filter_map(|seen| generator(seen, situation, shares));
    known.chain(forgotten.map(|one| unheard(&one.id, UtcUs::EPOCH, 0, Mark::No, readiness::may_play_on(one)))).collect()
}

/// A generator that is heard, or has had a share of the round that is on. Others that are silent stand nowhere: they may be of
/// yesterday.
fn generator(seen: &SeenGenerator, situation: &Situation, shares: &[GeneratorShare]) -> Option<GeneratorCheck> {
    let share = shares.iter().find(|share| share.id == seen.id);
    let plays_on = situation.may_play.iter().find(|one| one.id == seen.id);
    let Some(health) = seen.health.as_ref() else {
        let age_s = situation.now.saturating_since(seen.beat) / 1_000_000;
        let message = plays_on.map(readiness::may_play_on);
        return match (share, message) {
            (share, Some(message)) if share.is_none_or(is_gone) => {
                Some(unheard(&seen.id, seen.beat, age_s, Mark::No, message))
            }
            (share, _) => share.map(|share| silent(seen, share, age_s)),
        };
    };
    let (mark, message) = match readiness::is_heard(seen, situation.now) {
        true => {
            let found = share.map_or_else(|| readiness::judge_generator(health), |share| in_round(share, health));
            let found = readiness::with_what_it_follows(found, health, situation.due_revision);
            readiness::with_trust(found, health, situation.contest.as_ref())
        }
        false if situation.is_unwritten => {
            (Mark::Warn, "It cannot be heard while Redis takes no writes; it may well play on.".to_owned())
        }
        false => (
            Mark::No,
            plays_on.map_or_else(|| "It is silent: see whether it still runs.".to_owned(), readiness::may_play_on),
        ),
    };
    let (mark, message) = readiness::with_who_waits((mark, message), seen);
    Some(GeneratorCheck {
        id: seen.id.clone(),
        light: light(mark),
        message,
        beat_ms: utc_ms(seen.beat),
        age_s: situation.now.saturating_since(seen.beat) / 1_000_000,
        version: health.version.clone(),
        cores: health.cores,
        features: health.features.join(", "),
        rate: health.rate,
        clock_offset_us: health.clock_offset_us,
        clock_error_us: health.clock_error_us,
        invalid_seconds: health.validity.invalid_seconds(),
        rate_ratio: health.rate_ratio,
        lag_p99_us: health.lag_p99_us,
        backlog: health.backlog,
        disk_free_bytes: health.disk_free_bytes,
        busy_percent: health.busy_percent.clone(),
    })
}

/// One of the round of which nothing is known any more.
fn silent(seen: &SeenGenerator, share: &GeneratorShare, age_s: u64) -> GeneratorCheck {
    let mark = if is_gone(share) { Mark::Warn } else { Mark::No };
    let message = format!(
        "Not heard for {} s: it may play on by what it knew then, if it runs. Look at its machine.",
        format::count(age_s)
    );
    unheard(&seen.id, seen.beat, age_s, mark, message)
}

fn is_gone(share: &GeneratorShare) -> bool {
    matches!(share.state, ShareState::Gone { .. })
}

/// Without figures: there are none.
fn unheard(id: &str, beat: UtcUs, age_s: u64, mark: Mark, message: String) -> GeneratorCheck {
    GeneratorCheck {
        id: id.to_owned(),
        light: light(mark),
        message,
        beat_ms: utc_ms(beat),
        age_s,
        version: String::new(),
        cores: 0,
        features: String::new(),
        rate: 0,
        clock_offset_us: None,
        clock_error_us: None,
        invalid_seconds: 0,
        rate_ratio: None,
        lag_p99_us: None,
        backlog: 0,
        disk_free_bytes: 0,
        busy_percent: Vec::new(),
    }
}

/// What it does in the round that is on, and what else is wrong with it.
fn in_round(share: &GeneratorShare, health: &GeneratorHealth) -> (Mark, String) {
    let (mark, found) = readiness::judge_generator(&GeneratorHealth { round: None, ..health.clone() });
    let plays = matches!(share.state, ShareState::Plays { .. } | ShareState::Begins { .. });
    let at = share.state.at().map_or_else(String::new, |at| format!(" {}", format::utc(utc_ms(at))));
    let does = as_message(&format!("{}{at}", share.state.message()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::validity::ValidityNow;
    use flowtest_contract::RoundValidity;

    #[test]
    fn a_round_that_is_on_warns_of_each_state_that_needs_somebody() {
        use TeamLineState::{NotReady, NotSeen, Now, Ready, Was};
        let line = |state| TeamLine {
            id: 1,
            name: "a".to_owned(),
            display_name: "A".to_owned(),
            category: None,
            light: Light::Bad,
            state,
            since_ms: None,
            note: String::new(),
            rate: 0,
            verified_permille: None,
            p99_us: None,
            points: 0,
            hidden: false,
            joined_at_ms: None,
        };
        let live = Readiness { face: Face::Live, ..Readiness::default() };
        let told = |state| warnings(&live, State::Running, &[line(state)]).concat();
        // (state, what is said)
        let cases = [
            (Now(TeamState::Failing), "A is failing."),
            (Was(TeamState::Failing), "A was failing until then."),
            (NotReady, "A is not ready."),
            (Now(TeamState::WrongVersion), "A has missed a deadline."),
            (Now(TeamState::WrongBoth), "A has missed a deadline."),
            (Was(TeamState::WrongVersion), ""),
            (Now(TeamState::Playing), ""),
            (Now(TeamState::Parked), ""),
            (Ready, ""),
            (NotSeen, ""),
        ];
        for (state, said) in cases {
            assert_eq!(told(state), said, "{state:?}");
        }
    }

    #[test]
    fn a_second_that_was_late_all_through_is_told_with_how_late_it_was() {
        let told = |late_ms| {
            let figures = RoundValidity { seconds: 60, valid_seconds: 59, late_ms, ..RoundValidity::default() };
            let validity = Some(ValidityNow { valid: figures.is_valid(), figures, ..ValidityNow::default() });
            let live = Readiness { face: Face::Live, validity, ..Readiness::default() };
            warnings(&live, State::Running, &[]).concat()
        };
        assert_eq!(told(500), "");
        assert_eq!(told(900), "Not valid so far: 1 of 60 measured seconds, 900 ms of all were late.");
    }
}
