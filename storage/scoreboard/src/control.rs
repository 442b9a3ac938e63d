//! The control document: the contest as the dashboard steers it, one JSON text in Redis.
//!
//! It is the contest file with the same keys and values, plus what only a running system knows. Old documents go
//! on being readable (a golden file guards that), and keys of newer ones are ignored unless `dialect` says that
//! they change what the old ones mean.

use crate::contest::document::{self, UnknownKeys};
use crate::contest::{Contest, ContestError};
use flowtest_contract::id::RoundId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// Raised when a document can no longer be understood by an older program.
pub const DIALECT: u64 = 1;

/// Generators of one round at most: far more than anybody has.
pub const GENERATORS_MAX: usize = 1_000;

/// Where a round stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
    /// The generators of the round, in order: request k of a contestant belongs to generator k mod n.
    pub split: Vec<String>,
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
}

impl Control {
    /// The document of a contest of which no round was armed yet.
    pub fn new(contest: Contest) -> Control {
        Control { contest, revision: 1, round: None, state: State::Draft, ids: BTreeMap::new(), split: Vec::new() }
    }

    pub fn to_json(&self) -> String {
        let mut document = self.contest.to_json();
        document["dialect"] = DIALECT.into();
        document["revision"] = self.revision.into();
        document["round"] = self.round.map(|round| round.to_string()).into();
        document["state"] = self.state.as_str().into();
        document["ids"] = self
            .ids
            .iter()
            .map(|(name, id)| (name.clone(), id.clone().into()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        document["split"] = self.split.clone().into();
        document.to_string()
    }

    pub fn from_json(text: &str) -> Result<Control, ControlError> {
        let json = document::parse_json(text).map_err(ControlError::Json)?;
        let mut document = document::from_json(json, UnknownKeys::Ignore)
            .ok_or_else(|| ControlError::Json("not an object".to_owned()))?;
        if let Some(entry) = document.take("dialect") {
            let dialect = entry.integer(1, u64::MAX, "dialects")?;
            if dialect > DIALECT {
                return Err(ControlError::Dialect(dialect));
            }
        }
        let revision = document.need("revision", "1")?.integer(0, crate::row::COUNT_MAX, "revisions")?;
        let round = match document.take("round") {
            None => None,
            Some(entry) => Some(entry.text()?.parse().map_err(|error| entry.wrong(format!("is wrong: {error}")))?),
        };
        let state = match document.take("state") {
            None => State::Draft,
            Some(entry) => entry.text()?.parse().map_err(|()| {
                let known: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
                entry.wrong(format!("is no state: it is one of {}", known.join(", ")))
            })?,
        };
        let contest = Contest::from_document(&mut document)?;
        let names: BTreeSet<&str> = contest.contestants.iter().map(|contestant| contestant.name.as_str()).collect();
        let (mut ids, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for entry in document.section("ids")?.into_texts() {
            let (name, entry) = entry?;
            let id = entry.text()?.to_owned();
            if !names.contains(name.as_str()) {
                return Err(entry.wrong("is the id of nobody: no contestant has this name").into());
            }
            if id.is_empty() || !taken.insert(id.clone()) {
                return Err(entry.wrong("is empty or somebody else's: give each contestant its own id").into());
            }
            ids.insert(name, id);
        }
        let split = match document.take("split") {
            None => Vec::new(),
            Some(entry) => entry
                .into_texts(GENERATORS_MAX)?
                .map(|generator| Ok(generator?.text()?.to_owned()))
                .collect::<Result<_, ContestError>>()?,
        };
        Ok(Control { contest, revision, round, state, ids, split })
    }
}
