//! The round on the page: its levers, its generators, what keeps it from being sealed, and earlier rounds.

use super::as_message;
use super::ready_panel::light;
use crate::app::App;
use crate::control::readiness::{self, Mark, Situation};
use crate::control::shares::{GeneratorShare, ShareState, shares};
use crate::control::{Sealing, Status};
use crate::error::RequestError;
use crate::handlers::convert::round_state;
use crate::live::clock::utc_ms;
use crate::views::Field;
use crate::views::format;
use crate::views::setting::{
    ArmForm, GeneratorChoice, InvalidRound, Light, MissingStream, PastRound, RoundAction, RoundPanel, ShareLine,
};
use flowtest_accounts::{Round, User, UserId};
use flowtest_contest::{Control, State};
use flowtest_contract::StreamId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{RoundStreams, SeenGenerator, StopStatus};

/// Earlier rounds on the page at most.
const PAST_MAX: usize = 20;

fn actions(control: Option<&Control>) -> Vec<RoundAction> {
    use RoundAction::{Abort, Arm, Next, Pause, Resume, Seal, Stop};
    let Some(control) = control else { return Vec::new() };
    match control.state {
        State::Draft => vec![Arm],
        State::Armed => vec![Abort],
        State::Running => vec![Pause, Stop, Abort],
        State::Paused => vec![Resume, Stop, Abort],
        State::Draining => vec![Seal, Abort],
        State::Sealed | State::Aborted => vec![Next],
    }
}

pub(super) fn round(
    app: &App,
    control: Option<&Control>,
    status: &Status,
    rounds: &[Round],
    typed: Option<ArmForm>,
    situation: &Situation,
) -> RoundPanel {
    let now = situation.now;
    let state = control.map_or(State::Draft, |control| control.state);
    let last = rounds.last().map_or(0, |round| round.number);
    let (start, scored, chosen) = match typed {
        Some(ArmForm { start, scored, generators }) => (start, scored, Some(generators)),
        None => (Field::new("+30s"), control.is_none_or(|control| control.scored), None),
    };
    let generators = status.generators.iter().filter(|seen| readiness::is_heard(seen, now)).filter_map(|seen| {
        let health = seen.health.as_ref()?;
        let found = readiness::judge_generator(health);
        let mark = readiness::with_trust(found, health, situation.contest.as_ref()).0;
        let is_chosen = match &chosen {
            Some(chosen) => chosen.contains(&seen.id),
            None => mark != Mark::No,
        };
        Some(GeneratorChoice { id: seen.id.clone(), chosen: is_chosen, light: light(mark) })
    });
    let missing = match &status.sealing {
        Sealing::Missing(streams) => streams
            .iter()
            .map(|stream| MissingStream { id: stream.to_string(), message: of_whom(stream, control, status, now) })
            .collect(),
        Sealing::Fine | Sealing::Returning(_) | Sealing::Trouble(_) => Vec::new(),
    };
    let unsealed = match &status.sealing {
        Sealing::Returning(why) | Sealing::Trouble(why) if state == State::Draining => Some(as_message(why)),
        _ => None,
    };
    let reveal_waits = app.feed.facts().freeze.reveal_waits(now);
    let show = app.controller.show().waiting(reveal_waits.is_some());
    RoundPanel {
        number: if state == State::Draft { last + 1 } else { last },
        state,
        scored,
        actions: actions(control),
        doubts: Vec::new(),
        start,
        generators: generators.collect(),
        shares: control
            .map_or_else(Vec::new, |control| shares(control, &status.generators, now).into_iter().map(share).collect()),
        missing,
        unsealed,
        seal_reason: Field::default(),
        deadline: Field::default(),
        halted: control.is_some_and(|control| control.halted),
        unapplied: control
            .filter(|control| control.halted)
            .map_or_else(Vec::new, |control| unapplied(control, status, now)),
        frozen: show.frozen_at(now).is_some(),
        over: show.over,
        freezes_at_ms: show.freeze_at.filter(|at| *at > now).map(utc_ms),
        freeze: Field::default(),
        reveals_at_ms: show.reveal_at.filter(|at| *at > now && !show.revealed).map(utc_ms),
        reveal_waits,
        hides: app.controller.hides_result_of(rounds).map(format::hides_result),
        reveal: Field::default(),
        show_version: app.controller.show_version(),
        invalid: rounds.iter().rev().filter_map(invalid).collect(),
        past: Vec::new(),
    }
}

/// Why a stop of all traffic may not be one yet, as sentences.
fn unapplied(control: &Control, status: &Status, now: UtcUs) -> Vec<String> {
    const BY_HAND: &str = "stop it on its machine, by SIGUSR1 (at once) or SIGTERM";
    let mut told = Vec::new();
    if let Some(trouble) = &status.redis {
        told.push(format!("Generators may not know of it, and go on: {}", as_message(trouble)));
    }
    if status.conflict.as_ref().is_some_and(|conflict| !conflict.is_halted()) {
        told.push("Redis holds somebody else's document, by which generators go.".to_owned());
    }
    let seen: Vec<SeenGenerator> = status.generators.iter().map(|seen| readiness::as_heard(seen, now)).collect();
    let said = StopStatus::of(control, 1, &seen, &RoundStreams::new(), now);
    told.extend(
        said.going_on
            .iter()
            .map(|id| format!("Generator {id} has not said yet that it sends nothing: if it stays so, {BY_HAND}.")),
    );
    told.extend(status.may_play.iter().map(|one| {
        let until = readiness::until(one.until);
        format!(
            "Generator {} is not heard, and may play on{until}: {BY_HAND}. If it has died, rebuild there ends its stream.",
            one.id
        )
    }));
    told
}

fn share(share: GeneratorShare) -> ShareLine {
    let light = match share.state {
        ShareState::Plays { .. } | ShareState::Begins { .. } => Light::Good,
        ShareState::Idle(_) | ShareState::Gone { .. } => Light::Warn,
        ShareState::Missing(_) => Light::Bad,
    };
    ShareLine { light, message: share.state.message(), at_ms: share.state.at().map(utc_ms), id: share.id }
}

/// A round on which the organiser may rule.
fn invalid(round: &Round) -> Option<InvalidRound> {
    let validity = round.validity().filter(|validity| round.scored && !validity.is_valid())?;
    Some(InvalidRound { id: round.id.to_string(), number: round.number, validity, ruling: round.ruling })
}

fn of_whom(stream: &StreamId, control: Option<&Control>, status: &Status, now: UtcUs) -> String {
    let round = control.and_then(|control| control.round);
    let plays_on = status.may_play.iter().filter(|one| Some(one.round) == round).find_map(|one| one.until);
    match status.sender(*stream, now) {
        Some(seen) => format!("of generator {:?}, which is heard: it will end by itself", seen.id),
        None => {
            let (first, colon) = match plays_on {
                None => (String::new(), ":"),
                until => {
                    let until = readiness::until(until);
                    (format!(" and may play on{until}: end it on its machine. If it has died"), ",")
                }
            };
            format!(
                "of a generator that is not heard{first}{colon} start it again on its journal folder, or run rebuild there"
            )
        }
    }
}

pub(super) async fn past(
    app: &App,
    rounds: &[Round],
    users: &[User],
    control: Option<&Control>,
) -> Result<Vec<PastRound>, RequestError> {
    // Results stay as they were; whoever is out of competition by now was not first.
    let competes = |id: UserId| {
        let user = users.iter().find(|user| user.id == id);
        user.is_some_and(|user| !user.hidden && !user.disabled && user.disqualified.is_none())
    };
    let current = control.filter(|control| control.state != State::Draft).and_then(|control| control.round);
    let mut past = Vec::new();
    for round in rounds.iter().rev().filter(|round| Some(round.id) != current).take(PAST_MAX) {
        let results = app.accounts.results_of(round.id).await?;
        past.push(PastRound {
            number: round.number,
            state: round_state(round),
            scored: round.scored,
            start_at_ms: round.start_at.map(utc_ms),
            end_at_ms: round.finished_at.map(utc_ms),
            winner: results.into_iter().find(|result| competes(result.user)).map(|result| result.name),
            validity: round.validity(),
            ruling: round.ruling,
        });
    }
    Ok(past)
}
