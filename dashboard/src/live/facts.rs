//! What the live feed must be told by whoever owns the accounts: contestants, adjustments, sealed results, notices, the
//! freeze. It owns no connection and asks nobody; a new value replaces the old one as a whole.

use super::marks::Mark;
use crate::live::clock::{Millis, utc_ms};
use flowtest_accounts::{Level, Ruling};
use flowtest_contest::climbed::Climbed;
use flowtest_contest::names::HOUSE;
use flowtest_contest::{Control, State};
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

/// As many as `assets/app.css` has.
const COLOURS: u64 = 12;
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
    /// In which it competes, such as `student`.
    pub category: Option<String>,
    /// Out of competition and absent for the public: the house target, or whoever the organiser hides.
    pub hidden: bool,
    /// Shown without a rank; why is told elsewhere.
    #[serde(skip)]
    pub disqualified: bool,
    /// It plays no round that is on and played none that counts: it has no endpoint.
    #[serde(skip)]
    pub absent: bool,
}

impl Contestant {
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
    /// Since when, by hand or by itself; `None`: nobody noted it.
    pub revealed_at: Option<UtcUs>,
    /// The same from this instant on, unless it waits for a round. What came of it is noted when it happens.
    pub reveal_at: Option<UtcUs>,
    /// A scored round is not sealed that is over from then on.
    pub unsealed_since: Option<UtcUs>,
    /// Of one that is over since then the organiser has not said whether it counts.
    pub unruled_since: Option<UtcUs>,
}

/// What a reveal that was set for an instant waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RevealWait {
    Seal,
    Ruling,
}

impl Freeze {
    /// The instant that the public sees, when it sees no later one.
    pub fn holds(&self, now: UtcUs) -> Option<UtcUs> {
        self.at.filter(|at| *at <= now && !self.is_revealed(now))
    }

    pub fn is_revealed(&self, now: UtcUs) -> bool {
        match self.revealed {
            true => self.is_told(now),
            false => self.is_due(now) && self.waits().is_none(),
        }
    }

    /// The instant for which what is shown by itself by now was set, while nobody has noted it.
    pub fn reveals_itself(&self, now: UtcUs) -> Option<UtcUs> {
        let is_frozen = self.at.is_some_and(|at| at <= now) && !self.revealed;
        self.reveal_at.filter(|_| is_frozen && self.is_revealed(now))
    }

    /// Why what is set to be revealed by now is not: what was frozen for the end of a round is shown when nothing of that can
    /// change any more. What has revealed itself before the end of a round stays so.
    pub fn reveal_waits(&self, now: UtcUs) -> Option<RevealWait> {
        let is_frozen = self.at.is_some_and(|at| at <= now) && !self.is_told(now);
        self.waits().filter(|_| is_frozen && self.is_due(now))
    }

    /// What it waited for at an instant that is over, by the document of then. Where no round was to be sealed that was over by
    /// its instant, the word on one was missing, whatever was prepared or played meanwhile.
    pub fn reveal_waited(&self, at: UtcUs, control: &Control) -> Option<RevealWait> {
        let reveal_at = self.reveal_at.filter(|_| self.revealed && self.is_due(at) && !self.is_told(at))?;
        let is_unsealed =
            unsealed_from(control).is_some_and(|over| control.state != State::Sealed && over <= reveal_at);
        Some(if is_unsealed { RevealWait::Seal } else { RevealWait::Ruling })
    }

    fn is_told(&self, now: UtcUs) -> bool {
        self.revealed && self.revealed_at.is_none_or(|at| at <= now)
    }

    fn is_due(&self, now: UtcUs) -> bool {
        self.reveal_at.is_some_and(|at| at <= now)
    }

    fn waits(&self) -> Option<RevealWait> {
        let reveal_at = self.reveal_at?;
        let is_within = |since: Option<UtcUs>| since.is_some_and(|since| since <= reveal_at);
        match (is_within(self.unruled_since), is_within(self.unsealed_since)) {
            (true, _) => Some(RevealWait::Ruling),
            (false, true) => Some(RevealWait::Seal),
            (false, false) => None,
        }
    }
}

/// Pages say instants to the second: whoever sets one for the end of a round sets what they say of it.
const SAID_US: u64 = 1_000_000;

/// From when on a round is over, as it was meant and told when it began: whoever set an instant for its end knew of no pause. An
/// organiser's end may come before that.
pub fn over_from(control: &Control) -> Option<UtcUs> {
    let planned = control.timeline.start_at?.saturating_add(control.contest.duration_us()).floor(SAID_US);
    Some(control.timeline.stopped_at.map_or(planned, |stopped| stopped.min(planned)))
}

/// The same of a scored round whose results may not be known yet.
pub fn unsealed_from(control: &Control) -> Option<UtcUs> {
    match control.state {
        State::Armed | State::Running | State::Paused | State::Draining | State::Sealed if control.scored => {
            over_from(control)
        }
        _ => None,
    }
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
    /// Shown until then.
    #[serde(skip)]
    pub until: Option<UtcUs>,
}

impl Notice {
    pub fn at_ms(&self) -> Millis {
        utc_ms(self.at)
    }

    pub fn is_shown(&self, now: UtcUs) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

fn millis<S: Serializer>(at: &UtcUs, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(utc_ms(*at))
}

/// A round that was or is played, with its span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlayedRound {
    pub id: RoundId,
    pub number: u32,
    pub scored: bool,
    /// In milliseconds where they leave the server.
    #[serde(serialize_with = "millis")]
    pub start_at: UtcUs,
    /// When its last request was due: by the plan, or earlier by the organiser's word. However late it is sealed, this stays.
    #[serde(serialize_with = "millis")]
    pub end_at: UtcUs,
    /// By when its last answer was on the board; the planned end while it is played.
    #[serde(serialize_with = "millis")]
    pub settled_at: UtcUs,
    /// What changed it, by the document of then.
    #[serde(skip)]
    pub marks: Arc<[Mark]>,
}

/// A sealed scored round that is not valid, and what the organiser said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NotValid {
    pub number: u32,
    pub ruling: Option<Ruling>,
}

/// What sealed scored rounds have brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    rounds: BTreeSet<RoundId>,
    /// Those of them that count nothing, by the organiser's ruling.
    voided: BTreeSet<RoundId>,
    totals: BTreeMap<UserKey, CarriedTotal>,
}

/// What the house had in one sealed round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HouseResult {
    pub points: i64,
    pub failures: u64,
    pub void: u64,
}

/// Of one contestant, over all sealed scored rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarriedTotal {
    pub points: i128,
    pub failures: u64,
    pub void: u64,
    /// From the intended instant.
    pub latency: Histogram,
    /// In the newest of these rounds with a breakpoint phase. What it is worth is in the points.
    pub climbed: Option<Arc<Climbed>>,
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

    /// Adds what a contestant held in a sealed scored round; rounds come in their order.
    pub fn add_climb(&mut self, user: UserKey, climbed: Climbed) {
        self.totals.entry(user).or_default().climbed = Some(Arc::new(climbed));
    }

    /// No scored round is sealed yet.
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    pub fn has(&self, round: &RoundId) -> bool {
        self.rounds.contains(round)
    }

    pub fn is_voided(&self, round: &RoundId) -> bool {
        self.voided.contains(round)
    }

    /// Adds what the house had in a sealed scored round: it is no account and has no result.
    pub fn add_house(&mut self, round: &RoundId, house: HouseResult) {
        if self.has(round) && !self.is_voided(round) {
            let total = self.totals.entry(UserKey::from(HOUSE)).or_default();
            total.points += i128::from(house.points);
            total.failures = total.failures.saturating_add(house.failures);
            total.void = total.void.saturating_add(house.void);
        }
    }

    pub fn of(&self, user: &UserKey) -> Option<&CarriedTotal> {
        self.totals.get(user)
    }
}

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
    /// Those that have ended, oldest first.
    pub rounds: Vec<PlayedRound>,
    pub not_valid: Vec<NotValid>,
    /// An open question of the organiser's among them.
    pub notices: Vec<Notice>,
    pub freeze: Freeze,
    /// Those of before, oldest first, which were all shown.
    pub past_freezes: Arc<[Freeze]>,
    /// No round will follow.
    pub ended: bool,
    /// Why Redis takes no writes, as long as it does not: then what it holds stands still, however it answers.
    pub unwritten: Option<String>,
}

impl Facts {
    /// The freeze that counts at an instant: the newest that has begun by then.
    pub fn freeze_then(&self, at: UtcUs) -> Freeze {
        let begun = |freeze: &&Freeze| freeze.at.is_some_and(|from| from <= at);
        *[&self.freeze].into_iter().chain(self.past_freezes.iter().rev()).find(begun).unwrap_or(&self.freeze)
    }

    /// When the board was frozen, each time.
    pub fn freezes(&self) -> impl Iterator<Item = UtcUs> {
        self.past_freezes.iter().chain([&self.freeze]).filter_map(|freeze| freeze.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_revealed_late_was_frozen_until_then() {
        let planned = Freeze { at: Some(UtcUs(100)), reveal_at: Some(UtcUs(200)), ..Freeze::default() };
        let noted = |at| Freeze { revealed: true, revealed_at: at, ..planned };
        let frozen = |freeze: Freeze| [99, 100, 199, 200, 250, 300].map(|now| freeze.holds(UtcUs(now)).is_some());
        assert_eq!(frozen(planned), [false, true, true, false, false, false]);
        assert_eq!(frozen(noted(Some(UtcUs(200)))), frozen(planned));
        assert_eq!(frozen(noted(Some(UtcUs(300)))), [false, true, true, true, true, false], "it waited");
        assert_eq!(frozen(noted(Some(UtcUs(150)))), [false, true, false, false, false, false], "by hand before");
        assert_eq!(frozen(noted(None)), [false; 6], "of before it was noted");
        let late = noted(Some(UtcUs(300)));
        let noting = |freeze: Freeze| [199, 200].map(|now| freeze.reveals_itself(UtcUs(now)));
        assert_eq!(noting(planned), [None, Some(UtcUs(200))]);
        assert_eq!(noting(Freeze { unruled_since: Some(UtcUs(180)), ..planned }), [None, None]);
        assert_eq!((noting(late), noting(Freeze { at: None, ..planned })), ([None; 2], [None; 2]));
    }

    #[test]
    fn of_two_freezes_each_counts_for_its_own_time() {
        let freeze = |at, shown: Option<u64>| Freeze {
            at: Some(UtcUs(at)),
            revealed: shown.is_some(),
            revealed_at: shown.map(UtcUs),
            ..Freeze::default()
        };
        let [first, second, ahead] = [freeze(100, Some(200)), freeze(300, Some(400)), freeze(500, None)];
        let facts = Facts { freeze: ahead, past_freezes: [first, second].into(), ..Facts::default() };
        let held = [99, 100, 199, 200, 350, 400, 499, 500].map(|at| facts.freeze_then(UtcUs(at)).holds(UtcUs(at)));
        let [first, second, ahead] = [100, 300, 500].map(|at| Some(UtcUs(at)));
        assert_eq!(held, [None, first, first, None, second, None, None, ahead]);
        assert_eq!(facts.freezes().collect::<Vec<_>>(), [100, 300, 500].map(UtcUs));
        assert_eq!(Facts::default().freeze_then(UtcUs(9)), Freeze::default());
    }

    #[test]
    fn a_colour_depends_on_the_id_alone() {
        assert_eq!(UserKey::of_user(3).colour(), 3);
        assert_eq!(UserKey::of_user(27).colour(), 3);
        assert_eq!(UserKey::from("house").colour(), UserKey::from("house").colour());
        assert!(UserKey::from("uhu").colour() < COLOURS as u32);
    }
}
