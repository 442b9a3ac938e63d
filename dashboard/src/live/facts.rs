//! What the live feed must be told by whoever owns the accounts: contestants, adjustments, sealed results, notices, the
//! freeze. It owns no connection and asks nobody; a new value replaces the old one as a whole.

use crate::clock::{Millis, utc_ms};
use flowtest_accounts::Level;
use flowtest_contest::Control;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Histogram, RoundId, Row};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The lasting id of a contestant, as the control document and the frames name it: `u3`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(Arc<str>);

impl UserKey {
    /// The key of a row in the table of users.
    pub fn of_user(id: i64) -> UserKey {
        UserKey(format!("u{id}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A number that stays the same for this contestant, whatever its rank: pages make a colour and dashes of it.
    pub fn colour(&self) -> u32 {
        match self.0.strip_prefix('u').and_then(|digits| digits.parse::<u64>().ok()) {
            Some(id) => (id % COLOURS) as u32,
            // FNV-1a: any function would do that gives the same on every start.
            None => {
                (self.0.bytes().fold(FNV_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
                    % COLOURS) as u32
            }
        }
    }
}

/// Eight colours, each with four kinds of dashes.
const COLOURS: u64 = 32;
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

impl From<&str> for UserKey {
    fn from(text: &str) -> UserKey {
        UserKey(text.into())
    }
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for UserKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UserKey, D::Error> {
        String::deserialize(deserializer).map(|text| UserKey(text.into()))
    }
}

/// A contestant as pages show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contestant {
    pub id: UserKey,
    /// The account's name, which is the contestant's in the control document and in Redis.
    pub name: String,
    pub display_name: String,
    /// Out of competition and absent for the public: the house target, or whoever the organiser hides.
    pub hidden: bool,
    /// Shown without a rank; why is told elsewhere.
    #[serde(skip)]
    pub disqualified: bool,
}

impl Contestant {
    /// Whether it has a rank.
    pub fn is_ranked(&self) -> bool {
        !self.hidden && !self.disqualified
    }
}

/// Until when the public sees the scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freeze {
    /// From then on nothing new is shown; may lie ahead. `None`: no freeze.
    pub at: Option<UtcUs>,
    /// What was frozen is shown to everybody again.
    pub revealed: bool,
}

/// A line that everybody is to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    pub id: i64,
    pub level: Level,
    pub text: String,
    /// In milliseconds where it leaves the server.
    #[serde(serialize_with = "millis")]
    pub at: UtcUs,
}

impl Notice {
    pub fn at_ms(&self) -> Millis {
        utc_ms(self.at)
    }
}

fn millis<S: Serializer>(at: &UtcUs, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(utc_ms(*at))
}

/// What sealed scored rounds have brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    rounds: BTreeSet<RoundId>,
    /// Those of them that count nothing, by the organiser's ruling.
    voided: BTreeSet<RoundId>,
    totals: BTreeMap<UserKey, CarriedTotal>,
}

/// Of one contestant, over all sealed scored rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarriedTotal {
    pub points: i128,
    pub failures: u64,
    pub void: u64,
    /// From the intended instant.
    pub latency: Histogram,
}

impl Carried {
    /// Names a sealed scored round: what Redis says of it is not counted beside its results.
    pub fn add_round(&mut self, round: RoundId) {
        self.rounds.insert(round);
    }

    /// Names one that was voided: neither what Redis says of it nor its results count.
    pub fn add_voided(&mut self, round: RoundId) {
        self.rounds.insert(round);
        self.voided.insert(round);
    }

    /// Adds one contestant's result of a sealed scored round.
    pub fn add(&mut self, round: RoundId, user: UserKey, points: i64, row: &Row) {
        self.rounds.insert(round);
        let total = self.totals.entry(user).or_default();
        total.points += i128::from(points);
        total.failures = total.failures.saturating_add(row.tally.failures());
        total.void = total.void.saturating_add(row.tally.own_fault);
        total.latency.merge(&row.latency);
    }

    pub fn has(&self, round: &RoundId) -> bool {
        self.rounds.contains(round)
    }

    pub fn is_voided(&self, round: &RoundId) -> bool {
        self.voided.contains(round)
    }

    pub fn of(&self, user: &UserKey) -> Option<&CarriedTotal> {
        self.totals.get(user)
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub contestants: Vec<Contestant>,
    /// The saved control document. The newer of this and Redis's counts, so that pages show it while Redis is away.
    pub control: Option<Arc<Control>>,
    /// Of each contestant, the sum of the adjustments in force.
    pub adjustments: BTreeMap<UserKey, i64>,
    pub carried: Carried,
    /// The number of each round, as people call it.
    pub numbers: BTreeMap<RoundId, u32>,
    pub notices: Vec<Notice>,
    pub freeze: Freeze,
    /// No round will follow.
    pub ended: bool,
    /// Why Redis takes no writes, as long as it does not: then what it holds stands still, however it answers.
    pub unwritten: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_depends_on_the_id_alone() {
        assert_eq!(UserKey::of_user(3).colour(), 3);
        assert_eq!(UserKey::of_user(35).colour(), 3);
        assert_eq!(UserKey::from("house").colour(), UserKey::from("house").colour());
        assert!(UserKey::from("uhu").colour() < COLOURS as u32);
    }
}
