//! Where a round stands, in one word.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

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
