//! A server with a round in it, so that a test's body is a script.

use flowtest_contract::{RoundId, Row, StreamId, Tally};
use flowtest_scoreboard::{
    Health, Publisher, PublisherConfig, RedisAddress, RoundTotals, Scoreboard, ScoreboardError, keys,
};
use flowtest_testkit::RedisServer;
use flowtest_testkit::wait_until;
use std::sync::Arc;

pub(crate) const CONTEST: &str = "finals";
pub(crate) const NAMES: [&str; 3] = ["alice", "bob", "house of cards"];

pub(crate) struct Stage {
    pub(crate) server: RedisServer,
    pub(crate) round: RoundId,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage::on(RedisServer::start())
    }

    pub(crate) fn on(server: RedisServer) -> Stage {
        let stage = Stage { server, round: RoundId::from_bits(random_bits()) };
        stage.scoreboard().open_round(CONTEST, &stage.round).expect("a round");
        stage
    }

    pub(crate) fn scoreboard(&self) -> Scoreboard {
        Scoreboard::connect(&self.server.url()).expect("Redis answers")
    }

    pub(crate) fn key(&self) -> String {
        keys::round(CONTEST, &self.round)
    }

    pub(crate) fn config(&self, names: &[&str]) -> PublisherConfig {
        PublisherConfig {
            address: RedisAddress::new(&self.server.url()).expect("an address"),
            contest: CONTEST.to_owned(),
            round: self.round,
            stream: StreamId::from_bits(random_bits()),
            contestants: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    pub(crate) fn publisher(&self) -> Publisher {
        Publisher::start(self.config(&NAMES)).expect("a publisher")
    }

    pub(crate) fn totals(&self) -> RoundTotals {
        self.scoreboard().read_round(CONTEST, &self.round).expect("the round")
    }

    /// The sums in Redis are these rows, in the order of [`NAMES`].
    pub(crate) fn assert_totals(&self, rows: &[Row]) {
        let totals = self.totals();
        assert_eq!(totals.junk, Vec::<String>::new());
        assert_eq!(totals.contestants.len(), rows.len());
        for (name, row) in NAMES.iter().zip(rows) {
            assert_eq!(&totals.contestants[*name], row, "{name}");
        }
    }
}

/// Cumulative rows after `count` requests of each contestant; only one contestant moves at a time.
pub(crate) fn rows(count: u64) -> Arc<[Row]> {
    (0..NAMES.len() as u64)
        .map(|contestant| {
            let done = count / 3 + u64::from(count % 3 > contestant);
            let mut row = Row {
                tally: Tally { due: done, sent: done, token_right: done, bytes: done * 100, ..Tally::default() },
                ..Row::default()
            };
            for request in 0..done {
                row.latency.record(request * 37);
                row.service.record(request * 31);
            }
            row
        })
        .collect()
}

/// Waits until the publisher has put so much, histograms included.
pub(crate) fn wait_for_put(publisher: &Publisher, seq: u64) -> Health {
    let is_put = |health: &Health| health.connected && health.put_seq.min(health.histograms_seq) >= seq;
    wait_until("the put", || Some(publisher.health()).filter(is_put))
}

/// Why Redis does not take us with this password.
pub(crate) fn refusal(url: &str, password: Option<&str>) -> ScoreboardError {
    let address = RedisAddress::new(url).expect("an address");
    let address = match password {
        Some(password) => address.with_password(password),
        None => address,
    };
    Scoreboard::open(address).expect_err("it is refused")
}

/// Bits for an id that nobody has.
pub(crate) fn random_bits() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("random bits");
    u128::from_be_bytes(bytes)
}
