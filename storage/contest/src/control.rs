//! The control document: the contest as the dashboard steers it, one JSON text in Redis.
//!
//! It is the contest file with the same keys and values, plus what only a running system knows. Old documents go
//! on being readable (a golden file guards that), and keys of newer ones are ignored unless `dialect` says that
//! they change what the old ones mean.

mod check;
mod earlier;
mod reading;
mod unread;
mod writing;

pub(crate) use check::check_generators;
pub use earlier::{EARLIER_MAX, EarlierRound};
pub use unread::{UnreadControl, with_halt};

use crate::contest::{Contest, ContestError, Load};
use crate::names::HOUSE;
use crate::refusal::Refusal;
use crate::state::State;
use crate::timeline::Timeline;
use flowtest_contract::id::RoundId;
use flowtest_contract::rules::UtcUs;
use std::collections::{BTreeMap, BTreeSet};

/// Raised when a document can no longer be understood by an older program. 2 has breakpoint phases, and is said by documents
/// that have some.
pub const DIALECT: u64 = 2;
/// Said by all others.
const DIALECT_FIRST: u64 = 1;

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
    /// Since when each contestant has named its server, by name: of two who name one address the first has it. Who is
    /// missing named it before that was noted.
    pub since: BTreeMap<String, UtcUs>,
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
    /// Rounds before this one that somebody may still play, in order.
    pub earlier: Vec<EarlierRound>,
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
            since: BTreeMap::new(),
            split: Vec::new(),
            scored: true,
            timeline: Timeline::default(),
            parked: BTreeSet::new(),
            halted: false,
            left_out: BTreeSet::new(),
            earlier: Vec::new(),
        }
    }

    /// The places of the contestants in the roster in the order in which they come to an address that several name: the house
    /// before all, then who named its server first, then as the roster has them. It is the same on all generators.
    pub fn precedence(&self) -> Vec<usize> {
        let contestants = &self.contest.contestants;
        let mut places: Vec<usize> = (0..contestants.len()).collect();
        places.sort_by_key(|place| {
            let name = contestants[*place].name.as_str();
            (name != HOUSE, self.since.get(name).copied().unwrap_or(UtcUs::EPOCH))
        });
        places
    }

    /// What a program must understand to read it.
    fn dialect(&self) -> u64 {
        let is_newer = self.contest.phases.iter().any(|phase| matches!(phase.load, Load::Breakpoint(_)));
        if is_newer { DIALECT } else { DIALECT_FIRST }
    }

    /// Whether it makes sense by itself. One that names a running round without a start is from before rounds had a clock, and
    /// passes.
    ///
    /// # Errors
    /// The [`Refusal`] that names what contradicts what.
    pub fn check(&self) -> Result<(), Refusal> {
        check::control(self)
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
