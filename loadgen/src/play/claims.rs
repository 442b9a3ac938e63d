//! Since when contestants have had the addresses that they name: an address that was typed since then, one of a name since it
//! gave right answers to a generator there first. All generators ask Redis, so that they agree.

use flowtest_contest::Endpoint;
use flowtest_contest::endpoint::Host;
use flowtest_contest::names::HOUSE;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{Named, RedisAddress, Scoreboard, ScoreboardError};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Behind whoever is known to have had it.
const NOBODY_KNOWS: UtcUs = UtcUs(u64::MAX);

/// An address that somebody names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming<'a> {
    pub(super) name: &'a str,
    pub(super) endpoint: &'a Endpoint,
    pub(super) typed_at: UtcUs,
    pub(super) address: SocketAddr,
    /// It has answered right there: from now on at the latest it is known.
    pub(super) is_verified: bool,
}

/// What Redis has said so far.
#[derive(Debug)]
pub(super) struct Claims {
    redis: RedisAddress,
    contest: String,
    scoreboard: Option<Scoreboard>,
    known: HashMap<Named, UtcUs>,
    was_told: bool,
}

impl Claims {
    pub(super) fn new(redis: RedisAddress, contest: String) -> Claims {
        Claims { redis, contest, scoreboard: None, known: HashMap::new(), was_told: false }
    }

    /// Since when each of these has had its address.
    pub(super) fn since(&mut self, claims: &[Naming<'_>], now: UtcUs) -> Vec<UtcUs> {
        let named = claims.iter().map(|claim| match claim.endpoint.host {
            Host::Name(_) if claim.name != HOUSE => Some(Named::new(claim.name, claim.endpoint, claim.address)),
            Host::Name(_) | Host::V4(_) | Host::V6(_) => None,
        });
        let named: Vec<Option<Named>> = named.collect();
        let unknown = |is_verified: bool| -> Vec<Named> {
            let asked = named.iter().zip(claims).filter(|(_, claim)| claim.is_verified == is_verified);
            asked.filter_map(|(named, _)| named.clone()).filter(|named| !self.known.contains_key(named)).collect()
        };
        let (verified, others) = (unknown(true), unknown(false));
        self.ask(verified, |scoreboard, contest, named| scoreboard.note_named(contest, named, now));
        self.ask(others, Scoreboard::named_since);
        let since = claims.iter().zip(named).map(|(claim, named)| {
            let seen = |named: &Named| self.known.get(named).map_or(NOBODY_KNOWS, |seen| claim.typed_at.max(*seen));
            named.as_ref().map_or(claim.typed_at, seen)
        });
        since.collect()
    }

    fn ask(
        &mut self,
        named: Vec<Named>,
        ask: impl FnOnce(&mut Scoreboard, &str, &[Named]) -> Result<Vec<Option<UtcUs>>, ScoreboardError>,
    ) {
        if named.is_empty() {
            return;
        }
        let since = match &mut self.scoreboard {
            Some(scoreboard) => ask(scoreboard, &self.contest, &named),
            None => Scoreboard::open(self.redis.clone())
                .and_then(|scoreboard| ask(self.scoreboard.insert(scoreboard), &self.contest, &named)),
        };
        match since {
            Ok(since) => {
                self.was_told = false;
                self.known.extend(named.into_iter().zip(since).filter_map(|(named, at)| Some((named, at?))));
            }
            Err(error) => {
                if !std::mem::replace(&mut self.was_told, true) {
                    eprintln!(
                        "flowtest-loadgen: {error}; until it is back, an address that a name has is theirs who typed it, \
                         where somebody has"
                    );
                }
            }
        }
    }
}
