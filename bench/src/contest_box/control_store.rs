//! The control document of a contest in a box: changed by the rules of its lifecycle and published, as a dashboard would.

use super::ContestFile;
use crate::error::{Error, Result};
use flowtest_contest::Control;
use flowtest_contest::contest::Contest;
use flowtest_contest::lifecycle::{Change, change};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, utc_us};
use flowtest_scoreboard::Scoreboard;

#[derive(Debug)]
pub struct ControlStore {
    scoreboard: Scoreboard,
    pub control: Control,
}

impl ControlStore {
    /// Publishes the draft of a contest.
    pub fn open(redis_url: &str, contest: &ContestFile) -> Result<ControlStore> {
        let contest = Contest::from_toml(&contest.to_toml()).map_err(scoreboard_error)?;
        let mut scoreboard = Scoreboard::connect(redis_url).map_err(scoreboard_error)?;
        let control = Control::new(contest);
        scoreboard.write_control(&control).map_err(scoreboard_error)?;
        Ok(ControlStore { scoreboard, control })
    }

    /// Makes a change now, and publishes it. A generator that keeps the split may have changed the document meanwhile.
    pub fn make(&mut self, wanted: Change) -> Result<()> {
        self.follow()?;
        self.control = change(&self.control, wanted, utc_us()).map_err(scoreboard_error)?;
        self.publish()
    }

    /// Takes over a newer document, which a generator that keeps the split has written.
    pub fn follow(&mut self) -> Result<()> {
        // What is no document any more is replaced.
        if let Ok(Some(found)) = self.scoreboard.read_control(&self.control.contest.name)
            && found.revision > self.control.revision
        {
            self.control = found;
        }
        Ok(())
    }

    /// Puts the document as it is, as after a Redis that lost it.
    pub fn publish(&mut self) -> Result<()> {
        self.scoreboard.write_control(&self.control).map_err(scoreboard_error)
    }

    /// Arms a round to start at an instant, with these generators.
    pub fn arm(&mut self, start_at: UtcUs, generators: &[&str]) -> Result<RoundId> {
        let round = RoundId::from_bits(u128::from(utc_us().0) << 64 | u128::from(std::process::id()));
        let generators = generators.iter().map(|name| (*name).to_owned()).collect();
        self.make(Change::Arm { round, start_at, scored: true, generators })?;
        Ok(round)
    }

    pub fn scoreboard(&mut self) -> &mut Scoreboard {
        &mut self.scoreboard
    }

    pub fn contest(&self) -> &str {
        &self.control.contest.name
    }
}

fn scoreboard_error(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("organising: {error}"))
}
