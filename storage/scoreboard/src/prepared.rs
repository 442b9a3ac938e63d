//! The prepare check as others may read it: of every contestant, ready or not, what its newest check found.
//!
//! One hash per contest, a field for each contestant. It explains and decides nothing: who is let in is each generator's
//! own matter, and where several play the newest word stands.

use crate::error::ScoreboardError;
use crate::keys;
use crate::probe::ProbeVerdicts;
use crate::reader::Scoreboard;
use flowtest_contest::address::comparable;
use flowtest_contest::contest::CONTESTANTS_MAX;
use flowtest_contest::names;
use flowtest_contest::text::bounded;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const TEXT_BYTES_MAX: usize = 400;
/// Addresses that are told: as many of a name are used.
const ADDRESSES_MAX: usize = 64;
/// Whatever we wrote is shorter; a longer text is somebody else's and is not parsed.
const JSON_BYTES_MAX: usize = 32 * 1024;

/// What the check of one contestant found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// When it was checked.
    pub at: UtcUs,
    /// Who checked.
    pub generator: String,
    /// It is let in.
    pub ready: bool,
    /// Nothing when no well-framed 2xx answer came.
    pub verdicts: Option<ProbeVerdicts>,
    /// What to do next, or that all is well.
    #[serde(flatten, with = "crate::message")]
    pub message: String,
    /// Normalised.
    pub endpoint: String,
    /// All that it resolved to, as `address:port`; none when it was refused.
    pub addresses: Vec<String>,
    /// Those of them where it plays. None: nowhere, or an older generator says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admitted: Vec<String>,
}

impl Prepared {
    /// Where it plays, each in the form in which addresses are compared.
    pub fn plays_at(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.admitted.iter().filter_map(|address| Some(comparable(address.parse().ok()?)))
    }

    /// Whether another check found the same, whenever that was.
    pub fn says_the_same(&self, other: &Prepared) -> bool {
        let at = self.at;
        *self == Prepared { at, ..other.clone() }
    }

    fn from_json(text: &[u8]) -> Option<Prepared> {
        let prepared: Prepared = if text.len() > JSON_BYTES_MAX { None } else { serde_json::from_slice(text).ok() }?;
        Some(prepared.within_bounds())
    }

    fn within_bounds(mut self) -> Prepared {
        self.addresses.truncate(ADDRESSES_MAX);
        self.admitted.truncate(ADDRESSES_MAX);
        let texts = [&mut self.generator, &mut self.message, &mut self.endpoint];
        for text in texts.into_iter().chain(&mut self.addresses).chain(&mut self.admitted) {
            *text = bounded(text, TEXT_BYTES_MAX);
        }
        self
    }
}

impl Scoreboard {
    /// Says what checks found, by the contestant's key (its lasting id, or its name without one).
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn write_prepared(&mut self, contest: &str, found: &BTreeMap<String, Prepared>) -> Result<(), ScoreboardError> {
        if found.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("HSET");
        command.arg(keys::prepared(contest));
        for (contestant, prepared) in found {
            let text = serde_json::to_string(&prepared.clone().within_bounds()).expect("texts are always JSON");
            command.arg(contestant).arg(text);
        }
        self.run(|connection| connection.command("say what the prepare check found", &command))
    }

    /// The newest check of every contestant, by its key. What we did not write is left out.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn read_prepared(&mut self, contest: &str) -> Result<BTreeMap<String, Prepared>, ScoreboardError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(keys::prepared(contest));
        let fields: Vec<(Vec<u8>, Vec<u8>)> =
            self.run(|connection| connection.command("read what the prepare check found", &command))?;
        let read = fields.into_iter().take(CONTESTANTS_MAX).filter_map(|(contestant, text)| {
            let contestant = String::from_utf8(contestant).ok().filter(|contestant| names::is_name(contestant))?;
            Some((contestant, Prepared::from_json(&text)?))
        });
        Ok(read.collect())
    }
}
