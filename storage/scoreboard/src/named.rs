//! Since when the names of contestants' servers have had their addresses.
//!
//! A name may be pointed at any machine at any time, so when it was typed says nothing about an address that it has now: what
//! counts is when a generator first saw it there, in a test, a check or a round. One hash per contest, a field for each
//! contestant, server and address; a field is written once.

use crate::error::ScoreboardError;
use crate::keys;
use crate::reader::Scoreboard;
use flowtest_contest::Endpoint;
use flowtest_contract::rules::UtcUs;
use std::net::SocketAddr;

/// Fields of a contest at most: what comes then is not noted, and stands behind all that is.
const FIELDS_MAX: u64 = 200_000;

/// An address that the name of somebody's server has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Named {
    pub contestant: String,
    /// Host and port as typed.
    pub server: String,
    pub address: SocketAddr,
}

impl Named {
    pub fn new(contestant: &str, endpoint: &Endpoint, address: SocketAddr) -> Named {
        let server = format!("{}:{}", endpoint.host, endpoint.port);
        Named { contestant: contestant.to_owned(), server, address }
    }

    fn field(&self) -> String {
        serde_json::to_string(&(&self.contestant, &self.server, self.address.to_string())).expect("texts are JSON")
    }
}

impl Scoreboard {
    /// Since when each of these is known; those that are not are noted as of `now`. `None`: there are too many.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn note_named(
        &mut self,
        contest: &str,
        named: &[Named],
        now: UtcUs,
    ) -> Result<Vec<Option<UtcUs>>, ScoreboardError> {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let key = keys::named(contest);
        let fields: Vec<String> = named.iter().map(Named::field).collect();
        let mut read = redis::cmd("HMGET");
        read.arg(&key).arg(&fields);
        let known: Vec<Option<u64>> =
            self.run(|connection| connection.command("read since when addresses are known", &read))?;
        let new: Vec<&String> =
            fields.iter().zip(&known).filter(|(_, at)| at.is_none()).map(|(field, _)| field).collect();
        if new.is_empty() {
            return Ok(known.into_iter().map(|at| at.map(UtcUs)).collect());
        }
        let mut count = redis::cmd("HLEN");
        count.arg(&key);
        let count: u64 = self.run(|connection| connection.command("count known addresses", &count))?;
        if count.saturating_add(new.len() as u64) <= FIELDS_MAX {
            let mut note = redis::pipe();
            // Whoever was faster keeps its instant.
            for field in new {
                note.hset_nx(&key, field, now.0).ignore();
            }
            note.expire(&key, keys::NAMED_LIFE_SECONDS).ignore();
            self.run(|connection| connection.pipeline::<()>("note addresses", &note))?;
        }
        let noted: Vec<Option<u64>> =
            self.run(|connection| connection.command("read since when addresses are known", &read))?;
        Ok(noted.into_iter().map(|at| at.map(UtcUs)).collect())
    }
}
