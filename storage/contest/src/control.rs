//! The control document: the contest as the dashboard steers it, one JSON text in Redis.
//!
//! It is the contest file with the same keys and values, plus what only a running system knows. Old documents go
//! on being readable (a golden file guards that), and keys of newer ones are ignored unless `dialect` says that
//! they change what the old ones mean.

mod reading;
mod writing;

use crate::contest::{Contest, ContestError};
use crate::lifecycle::Refusal;
use crate::timeline::Timeline;
use flowtest_contract::id::RoundId;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// Raised when a document can no longer be understood by an older program.
pub const DIALECT: u64 = 1;

/// Generators of one round at most: far more than anybody has.
pub const GENERATORS_MAX: usize = 1_000;

/// Where a round stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being prepared; nothing is frozen.
    #[default]
    Draft,
    /// Rules, timeout and roster are frozen; the start is set.
    Armed,
    Running,
    Paused,
    /// No new request; what is in flight is settled and published.
    Draining,
    /// Nothing changes any more.
    Sealed,
    /// Ended without a result.
    Aborted,
}

impl State {
    pub const ALL: [State; 7] =
        [State::Draft, State::Armed, State::Running, State::Paused, State::Draining, State::Sealed, State::Aborted];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Draft => "draft",
            State::Armed => "armed",
            State::Running => "running",
            State::Paused => "paused",
            State::Draining => "draining",
            State::Sealed => "sealed",
            State::Aborted => "aborted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<State, ()> {
        State::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// The whole document. Always valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    pub contest: Contest,
    /// Grows with every change.
    pub revision: u64,
    /// The round that is armed, running or the last one.
    pub round: Option<RoundId>,
    pub state: State,
    /// A lasting id of each contestant, by name. Contestants of a contest without a dashboard have none.
    pub ids: BTreeMap<String, String>,
    /// The generators of the round, in order: request k of a contestant belongs to generator k mod n. Since when,
    /// the timeline says.
    pub split: Vec<String>,
    /// False in a practice round: its points are shown and do not count.
    pub scored: bool,
    pub timeline: Timeline,
    /// Contestants without traffic, by name.
    pub parked: BTreeSet<String>,
    /// Nobody gets traffic.
    pub halted: bool,
    /// Generators that take no part unless somebody names them.
    pub left_out: BTreeSet<String>,
}

/// Why a text is no control document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("it is no JSON ({0}); publish it again")]
    Json(String),
    #[error("it speaks dialect {0} and this program understands up to {DIALECT}: update this program")]
    Dialect(u64),
    #[error("{0}")]
    Contest(#[from] ContestError),
    #[error("{0}")]
    Refusal(#[from] Refusal),
}

impl Control {
    /// The document of a contest of which no round was armed yet.
    pub fn new(contest: Contest) -> Control {
        Control {
            contest,
            revision: 1,
            round: None,
            state: State::Draft,
            ids: BTreeMap::new(),
            split: Vec::new(),
            scored: true,
            timeline: Timeline::default(),
            parked: BTreeSet::new(),
            halted: false,
            left_out: BTreeSet::new(),
        }
    }

    /// The text in Redis. Instants of the timeline are numbers: microseconds since the Unix epoch, UTC.
    pub fn to_json(&self) -> String {
        writing::control(self).to_string()
    }

    /// Reads what a program of this or an older version wrote. Keys that this version does not know are ignored.
    ///
    /// # Errors
    /// [`ControlError::Json`] and [`ControlError::Dialect`] for what this program cannot read, [`ControlError::Contest`] for a
    /// contest that is wrong, [`ControlError::Refusal`] for a document that contradicts itself.
    pub fn from_json(text: &str) -> Result<Control, ControlError> {
        reading::control(text)
    }
}
