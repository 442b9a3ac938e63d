//! Since when the names of contestants' servers have had their addresses.
//!
//! A name may be pointed at any machine at any time, so when it was typed says nothing about an address that it has now: what
//! counts is since when it is known to lead there, in a test, a check or a round, by right answers. One hash per contest, a
//! field for each contestant, server and address; a field is written once.

use crate::error::ScoreboardError;
use crate::keys;
use crate::reader::Scoreboard;
use flowtest_contest::Endpoint;
use flowtest_contest::address::comparable;
use flowtest_contract::rules::UtcUs;
use std::collections::HashMap;
use std::net::SocketAddr;

/// Fields of one contestant at most: what it names then is not noted, and stands behind all that is. A server of as many
/// addresses as are used of a name may move three times as a whole.
pub const CONTESTANT_FIELDS_MAX: usize = 256;
/// The same of a contest.
const FIELDS_MAX: usize = 200_000;

/// An address that the name of somebody's server has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Named {
    pub contestant: String,
    /// Host and port as typed.
    pub server: String,
    /// In the form in which addresses are compared.
    pub address: SocketAddr,
}

impl Named {
    pub fn new(contestant: &str, endpoint: &Endpoint, address: SocketAddr) -> Named {
        let server = format!("{}:{}", endpoint.host, endpoint.port);
        Named { contestant: contestant.to_owned(), server, address: comparable(address) }
    }

    fn field(&self) -> String {
        serde_json::to_string(&(&self.contestant, &self.server, self.address.to_string())).expect("texts are JSON")
    }
}

impl Scoreboard {
    /// Since when each of these is known. `None`: it is not.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn named_since(&mut self, contest: &str, named: &[Named]) -> Result<Vec<Option<UtcUs>>, ScoreboardError> {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let mut read = redis::cmd("HMGET");
        read.arg(keys::named(contest)).arg(named.iter().map(Named::field).collect::<Vec<_>>());
        let known: Vec<Option<u64>> =
            self.run(|connection| connection.command("read since when addresses are known", &read))?;
        Ok(known.into_iter().map(|at| at.map(UtcUs)).collect())
    }

    /// The same; those that are not known are noted as of `now`. `None`: there are too many of its contestant.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn note_named(
        &mut self,
        contest: &str,
        named: &[Named],
        now: UtcUs,
    ) -> Result<Vec<Option<UtcUs>>, ScoreboardError> {
        let known = self.named_since(contest, named)?;
        let new: Vec<&Named> =
            named.iter().zip(&known).filter(|(_, at)| at.is_none()).map(|(named, _)| named).collect();
        if new.is_empty() {
            return Ok(known);
        }
        let key = keys::named(contest);
        let mut list = redis::cmd("HKEYS");
        list.arg(&key);
        let fields: Vec<Vec<u8>> = self.run(|connection| connection.command("list known addresses", &list))?;
        let mut note = redis::pipe();
        // Whoever was faster keeps its instant.
        for named in with_room(new, &fields) {
            note.hset_nx(&key, named.field(), now.0).ignore();
        }
        note.expire(&key, keys::NAMED_LIFE_SECONDS).ignore();
        self.run(|connection| connection.pipeline::<()>("note addresses", &note))?;
        self.named_since(contest, named)
    }
}

/// Those of them for which there is room beside the fields that are there.
fn with_room<'a>(new: Vec<&'a Named>, fields: &[Vec<u8>]) -> impl Iterator<Item = &'a Named> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for field in fields {
        // What we did not write is nobody's.
        if let Ok((contestant, ..)) = serde_json::from_slice::<(String, String, String)>(field) {
            *counts.entry(contestant).or_default() += 1;
        }
    }
    let mut all = fields.len();
    new.into_iter().filter(move |named| {
        let of_contestant = counts.entry(named.contestant.clone()).or_default();
        let has_room = *of_contestant < CONTESTANT_FIELDS_MAX && all < FIELDS_MAX;
        (*of_contestant, all) = (*of_contestant + usize::from(has_room), all + usize::from(has_room));
        has_room
    })
}
