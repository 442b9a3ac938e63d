//! A round under virtual time: counters grow as a test says, and boards are told of them once a second.

use flowtest_contest::lifecycle::{Change, change};
use flowtest_contest::{Contest, Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, Row, Tally};
use flowtest_dashboard::live::board::{Board, Tick};
use flowtest_dashboard::live::{Contestant, Facts, UserKey};
use flowtest_scoreboard::{RoundTotals, SeenGenerator};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

pub(crate) const SECOND: u64 = 1_000_000;
/// When virtual rounds are armed.
pub(crate) const NOW: UtcUs = UtcUs(1_763_892_000 * SECOND);
pub(crate) const CONTEST: &str = "finals";

/// What one contestant did in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Did {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) timeouts: u64,
    pub(crate) latency_us: u64,
}

/// Five right answers, and nothing at all.
pub(crate) const DID: Did = Did { right: 5, wrong: 0, timeouts: 0, latency_us: 100 };
pub(crate) const IDLE: Did = Did { right: 0, latency_us: 0, ..DID };

pub(crate) fn name(index: usize) -> String {
    format!("c{index}")
}

pub(crate) fn key(index: usize) -> UserKey {
    UserKey::of_user(index as i64)
}

pub(crate) fn contestant(index: usize) -> Contestant {
    let display_name = format!("Contestant \"{index}\" <&>");
    let (id, name) = (key(index), name(index));
    Contestant { id, name, display_name, category: None, hidden: false, disqualified: false, absent: false }
}

/// The document of a contest of so many, as a draft.
pub(crate) fn draft(contestants: usize) -> Control {
    let mut text = format!("name = \"{CONTEST}\"\n[[phase]]\nfor = \"1h\"\nrate = 1000\nconnections = 8\n");
    text += "[policy]\nallow = [\"10.0.0.0/8\"]\n";
    for index in 0..contestants {
        let (high, low) = (index / 200, index % 200 + 1);
        let name = name(index);
        write!(text, "[[contestant]]\nname = \"{name}\"\nendpoint = \"10.0.{high}.{low}\"\n").expect("memory");
    }
    let mut control = Control::new(Contest::from_toml(&text).expect("a contest"));
    control.ids = (0..contestants).map(|index| (name(index), key(index).to_string())).collect();
    control
}

/// The same, its round running since `start`.
pub(crate) fn running(contestants: usize, round: RoundId, scored: bool, start: UtcUs) -> Control {
    let generators = vec!["g1".to_owned()];
    let arm = Change::Arm { round, start_at: start, scored, generators };
    let armed = change(&draft(contestants), arm, start - 10 * SECOND).expect("it may be armed");
    change(&armed, Change::Begin, start).expect("it may begin")
}

/// Redis's totals of a round, and a board that is told of them.
pub(crate) struct World {
    pub(crate) control: Arc<Control>,
    pub(crate) facts: Facts,
    pub(crate) totals: RoundTotals,
    pub(crate) generators: Vec<SeenGenerator>,
    pub(crate) board: Board,
    pub(crate) now: UtcUs,
}

impl World {
    pub(crate) fn new(contestants: usize) -> World {
        let control = running(contestants, RoundId::from_bits(7), true, NOW);
        let facts = Facts { contestants: (0..contestants).map(contestant).collect(), ..Facts::default() };
        let totals = RoundTotals { state: State::Running, ..RoundTotals::default() };
        let control = Arc::new(control);
        World { control, facts, totals, generators: Vec::new(), board: Board::default(), now: NOW }
    }

    /// A second passes in which everybody did this, and the board looks.
    pub(crate) fn second(&mut self, did: &[Did]) {
        self.now += SECOND;
        for (index, did) in did.iter().enumerate() {
            add(self.totals.contestants.entry(name(index)).or_default(), *did);
        }
        self.look(true);
    }

    pub(crate) fn look(&mut self, fresh: bool) {
        let facts = Arc::new(self.facts.clone());
        let (control, totals) = (Some(&self.control), Some(&self.totals));
        let generators = &self.generators;
        self.board.tick(&Tick { now: self.now, control, totals, generators, facts: &facts, fresh });
    }
}

pub(crate) fn add(row: &mut Row, did: Did) {
    let answered = did.right + did.wrong;
    row.tally.merge(&Tally {
        due: answered + did.timeouts,
        sent: answered + did.timeouts,
        token_right: did.right,
        token_wrong: did.wrong,
        version_right: answered,
        from_right: answered,
        timeout: did.timeouts,
        ..Tally::default()
    });
    (0..answered.min(20)).for_each(|_| row.latency.record(did.latency_us));
}

/// Points by the default rules.
pub(crate) fn points(row: &Row) -> i64 {
    row.tally.points(&flowtest_contract::Rules::default()) as i64
}

/// The totals by name as points.
pub(crate) fn all_points(totals: &RoundTotals) -> BTreeMap<&str, i64> {
    totals.contestants.iter().map(|(name, row)| (name.as_str(), points(row))).collect()
}
