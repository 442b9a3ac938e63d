//! Whether somebody gives the shares of dead generators to others, and the one change of the control document that a generator
//! makes itself when it is that keeper.

use crate::connection::Connection;
use crate::error::ScoreboardError;
use crate::generator::Lease;
use crate::keys;
use crate::reader::Scoreboard;
use flowtest_contest::Control;
use flowtest_contract::StreamId;
use redis::Value;

impl Scoreboard {
    /// Takes or renews the keeper's lease for a process, where no other has it.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn hold_keeper(&mut self, contest: &str, process: StreamId) -> Result<Lease, ScoreboardError> {
        self.keeper_for(contest, process, keys::KEEPER_LIFE_MS)
    }

    /// Gives it back, so that another process need not wait for its end.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn release_keeper(&mut self, contest: &str, process: StreamId) -> Result<(), ScoreboardError> {
        self.keeper_for(contest, process, 1).map(drop)
    }

    fn keeper_for(&mut self, contest: &str, process: StreamId, life_ms: u64) -> Result<Lease, ScoreboardError> {
        let mut call = redis::cmd("FCALL");
        call.arg("flowtest_lease").arg(1).arg(keys::keeper(contest)).arg(process.to_string()).arg(life_ms);
        let answer: String = self.run(|connection| connection.call("hold the keeper's lease", &call))?;
        Ok(if answer == "HELD" { Lease::Others } else { Lease::Ours })
    }

    /// Takes the keeper's lease from whoever has it: a dashboard owns the document wherever there is one. Returns who that was, if
    /// another process.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn take_keeper(&mut self, contest: &str, process: StreamId) -> Result<Option<StreamId>, ScoreboardError> {
        let mut command = redis::cmd("SET");
        command.arg(keys::keeper(contest)).arg(process.to_string()).arg("PX").arg(keys::KEEPER_LIFE_MS).arg("GET");
        let before: Option<String> = self.run(|connection| connection.command("take the keeper's lease", &command))?;
        Ok(before.and_then(|text| text.parse().ok()).filter(|before| *before != process))
    }

    /// Whether anybody holds the keeper's lease.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn has_keeper(&mut self, contest: &str) -> Result<bool, ScoreboardError> {
        let mut command = redis::cmd("EXISTS");
        command.arg(keys::keeper(contest));
        self.run(|connection| connection.command("look for a keeper", &command))
    }

    /// Puts a control document in the place of the one that was seen; `false`, and nothing is done, when another one stands
    /// there by now.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn replace_control(&mut self, seen: &Control, next: &Control) -> Result<bool, ScoreboardError> {
        let (key, before, after) = (keys::control(&seen.contest.name), seen.to_json(), next.to_json());
        self.run(|connection| replace(connection, &key, &before, &after))
    }
}

fn replace(connection: &mut Connection, key: &str, before: &str, after: &str) -> Result<bool, ScoreboardError> {
    const DOING: &str = "replace the control document";
    connection.command::<()>(DOING, redis::cmd("WATCH").arg(key))?;
    let found: Option<Vec<u8>> = connection.command(DOING, redis::cmd("GET").arg(key))?;
    if !found.is_some_and(|found| is_same(&found, before)) {
        connection.command::<()>(DOING, &redis::cmd("UNWATCH"))?;
        return Ok(false);
    }
    let mut put = redis::pipe();
    put.atomic().set(key, after).ignore();
    Ok(connection.pipeline::<Option<Vec<Value>>>(DOING, &put)?.is_some())
}

/// Somebody else may have written the same in other words.
fn is_same(found: &[u8], before: &str) -> bool {
    let read = |text: &str| Control::from_json(text).ok();
    found == before.as_bytes() || std::str::from_utf8(found).ok().and_then(read) == read(before)
}
