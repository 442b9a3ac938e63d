//! Why a change is refused, or a document not applied: each a message with its cause and the next step.

use crate::contest::instant;
use crate::policy::{ENTRIES_MAX, PolicyError};
use crate::state::State;
use crate::timeline::{DeadlineName, EVENTS_MAX, GENERATORS_MAX};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;

/// A refusal. The round goes on as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a round that is {state} cannot {change}: {next}", next = next_step(*.state))]
    State { change: &'static str, state: State },
    #[error(
        "the {what} is at {at}, which is too soon: set it to {earliest} or later",
        at = instant(*.at),
        earliest = instant(*.earliest)
    )]
    Soon { what: &'static str, at: UtcUs, earliest: UtcUs },
    #[error("the {what} lies beyond the year 2255: set it earlier")]
    TooFar { what: &'static str },
    #[error("the {what} of the round comes at {at}: wait until then", at = instant(*.at))]
    Early { what: &'static str, at: UtcUs },
    #[error("the traffic of the round ends at {at}: let it drain", at = instant(*.at))]
    Over { at: UtcUs },
    #[error("the round goes on at {at}: pause it after that", at = instant(*.at))]
    Resuming { at: UtcUs },
    #[error(
        "the {deadline} deadline {at} has passed, or passes before a change could count, and what has passed stays: \
         set it for the next round",
        at = passed(*.at)
    )]
    DeadlinePassed { deadline: DeadlineName, at: UtcUs },
    #[error(
        "the last change counts from {at}, and this one would come before it: set this machine's clock",
        at = instant(*.at)
    )]
    ClockBack { at: UtcUs },
    #[error("the round has no start: abort it and arm the next one")]
    NoStart,
    #[error("the round has no pause to end: abort it and arm the next one")]
    NoPause,
    #[error("a round has at most {EVENTS_MAX} pauses, and as many moved deadlines and splits: let it end")]
    Events,
    #[error("the document has had all revisions that there are: choose another name for the contest")]
    Revisions,
    #[error("no generator is named: start one, and name it")]
    NoGenerators,
    #[error("{0} generators share the round: at most {GENERATORS_MAX}")]
    Generators(usize),
    #[error("generator {0:?} is named twice or has no name: name each once")]
    GeneratorTwice(String),
    #[error("round {0} has been played: draw a new id")]
    RoundAgain(RoundId),
    #[error("all traffic is halted: release it before arming a round")]
    Halted,
    #[error("{0}")]
    BeyondFleet(String),
    #[error("the contest is {ours:?} and not {theirs:?}: keep its name, or start another contest")]
    Name { ours: String, theirs: String },
    #[error("{0:?} plays already, or is no name: let somebody else join")]
    Known(String),
    #[error("{contestant:?} finds no room: a round of this size holds {places} contestants, so it plays the next one")]
    NoRoom { contestant: String, places: usize },
    #[error("nobody is called {0:?}: write the name of a contestant")]
    Stranger(String),
    #[error("two contestants have one id, or one is empty: give each its own")]
    Ids,
    #[error("{contestant:?} cannot be there: {error}")]
    Policy { contestant: String, error: PolicyError },
    #[error(
        "{contestant:?} would have the host and port of {other:?}: give each its own server, or set \
         `allow_shared = true` in [policy]"
    )]
    Shared { contestant: String, other: String },
    #[error("`{0}` of its policy would have more than {ENTRIES_MAX} entries: write wider networks there")]
    Entries(&'static str),
    #[error("the control document contradicts itself, for {0}: publish it again")]
    Document(&'static str),
    #[error("revision {theirs} does not follow revision {ours}: publish the newest document with a higher number")]
    Revision { ours: u64, theirs: u64 },
    #[error(
        "the control document changes {0}, which was fixed when the round was armed: the round goes on as it \
         was; change it for the next one"
    )]
    Frozen(&'static str),
    #[error(
        "the control document makes round {round}, which was {from}, {to}: the round goes on as it was; publish \
         its real state"
    )]
    Backwards { round: RoundId, from: State, to: State },
}

fn next_step(state: State) -> &'static str {
    match state {
        State::Draft => "arm it first",
        State::Armed => "wait for its start, or abort it",
        State::Running => "pause, stop or abort it first",
        State::Paused => "resume or stop it first",
        State::Draining => "wait until it is sealed",
        State::Sealed | State::Aborted => "prepare the next round",
    }
}

fn passed(at: UtcUs) -> String {
    if at == UtcUs::EPOCH { "of the start".to_owned() } else { format!("of {}", instant(at)) }
}
