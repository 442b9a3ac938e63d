//! The standings as Redis holds them: read like a dashboard would, knowing only the contest's name.

use crate::error::{Error, Result};
use flowtest_contest::State;
use flowtest_contest::standings::{Standing, standings};
use flowtest_contract::{RoundId, Rules};
use flowtest_scoreboard::reader::{RoundTotals, Scoreboard};

#[derive(Debug)]
pub struct Board {
    scoreboard: Scoreboard,
    contest: String,
    round: Option<RoundId>,
}

impl Board {
    pub fn connect(redis_url: &str, contest: &str) -> Result<Board> {
        let scoreboard = Scoreboard::connect(redis_url).map_err(scoreboard_error)?;
        Ok(Board { scoreboard, contest: contest.into(), round: None })
    }

    /// What Redis holds of the contest's round. `None` as long as there is no round.
    pub fn read(&mut self) -> Result<Option<RoundTotals>> {
        if self.round.is_none() {
            let control = self.scoreboard.read_control(&self.contest).map_err(scoreboard_error)?;
            self.round = control.and_then(|control| control.round);
        }
        match &self.round {
            Some(round) => self.scoreboard.read_round(&self.contest, round).map(Some).map_err(scoreboard_error),
            None => Ok(None),
        }
    }

    pub fn standings(&mut self, rules: &Rules) -> Result<Vec<Standing>> {
        Ok(self.read()?.map(|totals| standings(&totals.contestants, rules)).unwrap_or_default())
    }

    /// Whether the round is closed for good.
    pub fn is_sealed(&mut self) -> Result<bool> {
        Ok(self.read()?.is_some_and(|totals| totals.state == State::Sealed))
    }
}

fn scoreboard_error(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("reading the scoreboard: {error}"))
}
