//! Since when contestants have had the addresses that they name: an address that was typed since then, one of a name since a
//! generator first saw it there. All generators ask Redis, so that they agree.

use flowtest_contest::endpoint::Host;
use flowtest_contest::names::HOUSE;
use flowtest_contest::{Control, Endpoint};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{Named, RedisAddress, Scoreboard};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Behind whoever is known to have had it.
const NOBODY_KNOWS: UtcUs = UtcUs(u64::MAX);

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
    pub(super) fn since(
        &mut self,
        control: &Control,
        claims: &[(&str, &Endpoint, SocketAddr)],
        now: UtcUs,
    ) -> Vec<UtcUs> {
        let named = claims.iter().map(|(name, endpoint, address)| match endpoint.host {
            Host::Name(_) if *name != HOUSE => Some(Named::new(name, endpoint, *address)),
            Host::Name(_) | Host::V4(_) | Host::V6(_) => None,
        });
        let named: Vec<Option<Named>> = named.collect();
        let unknown = named.iter().flatten().filter(|named| !self.known.contains_key(*named)).cloned().collect();
        self.ask(unknown, now);
        let since = claims.iter().zip(named).map(|((name, _, _), named)| {
            let typed = control.since.get(*name).copied().unwrap_or(UtcUs::EPOCH);
            named.map_or(typed, |named| self.known.get(&named).map_or(NOBODY_KNOWS, |seen| typed.max(*seen)))
        });
        since.collect()
    }

    fn ask(&mut self, unknown: Vec<Named>, now: UtcUs) {
        if unknown.is_empty() {
            return;
        }
        let noted = match &mut self.scoreboard {
            Some(scoreboard) => scoreboard.note_named(&self.contest, &unknown, now),
            None => Scoreboard::open(self.redis.clone())
                .and_then(|scoreboard| self.scoreboard.insert(scoreboard).note_named(&self.contest, &unknown, now)),
        };
        match noted {
            Ok(noted) => {
                self.was_told = false;
                let noted = unknown.into_iter().zip(noted).filter_map(|(named, at)| Some((named, at?)));
                self.known.extend(noted);
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
