//! Where a team's points come from, line by line, so that the lines add up to the score. Pure.

use crate::live::board::held_points;
use crate::live::clock::utc_ms;
use crate::live::{Facts, UserKey};
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Failure, RoundId, Row, Rules};
use flowtest_scoreboard::RoundTotals;
use serde::Serialize;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One line: so often, so many points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerLine {
    /// `token`, `version`, `from`, or a kind of failure: whoever follows the line finds its evidence under this word.
    pub kind: &'static str,
    /// As people read it.
    pub label: String,
    pub count: u64,
    pub points: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerRound {
    pub number: u32,
    /// Said of a round that counts nothing, or is not over.
    pub note: String,
    pub counts: bool,
    /// Its results are kept, and never change.
    pub is_sealed: bool,
    pub points: i64,
    pub lines: Vec<LedgerLine>,
    /// In that round among those who have a rank, once it is sealed; none where the board hides it.
    pub rank: Option<u32>,
    pub p99_us: Option<u64>,
    /// Requests a second, in its breakpoint phase.
    pub holds: Option<u64>,
    /// From when to when its failures were, in milliseconds: samples of other rounds are no evidence of it.
    pub from_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

impl LedgerRound {
    /// With the span of the round.
    #[must_use]
    pub fn during(self, facts: &Facts, round: RoundId, start_at: Option<UtcUs>) -> LedgerRound {
        let known = facts.rounds.iter().find(|one| one.id == round);
        LedgerRound { from_ms: start_at.map(utc_ms), until_ms: known.map(|one| utc_ms(one.settled_at)), ..self }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    pub rounds: Vec<LedgerRound>,
    /// Reason and points.
    pub adjustments: Vec<(String, i64)>,
    /// What the rounds that count and the adjustments add up to.
    pub total: i64,
    /// The same without the round that is not sealed.
    pub of_the_past: i64,
    /// See [`version`].
    pub version: String,
}

impl Ledger {
    pub fn of(rounds: Vec<LedgerRound>, adjustments: Vec<(String, i64)>, version: String) -> Ledger {
        let counted = |is_past: bool| {
            let rounds = rounds.iter().filter(move |round| round.counts && (round.is_sealed || !is_past));
            let points = rounds.map(|round| round.points).chain(adjustments.iter().map(|(_, points)| *points));
            points.fold(0, i64::saturating_add)
        };
        let (total, of_the_past) = (counted(false), counted(true));
        Ledger { rounds, adjustments, total, of_the_past, version }
    }
}

/// Another one when something of the past has changed: a page that is open then asks for all of it again.
pub fn version(facts: &Facts, id: &UserKey, frozen_at: Option<UtcUs>) -> String {
    let mut hasher = DefaultHasher::new();
    for (round, number) in &facts.numbers {
        let is_over = facts.rounds.iter().any(|one| one.id == *round);
        (number, is_over, facts.carried.has(round), facts.carried.is_voided(round)).hash(&mut hasher);
    }
    for round in &facts.not_valid {
        (round.number, round.ruling.as_ref().map(std::mem::discriminant)).hash(&mut hasher);
    }
    (facts.adjustments.get(id), frozen_at.map(|at| at.0)).hash(&mut hasher);
    facts.contestants.iter().filter(|one| !one.is_ranked()).for_each(|one| one.id.hash(&mut hasher));
    format!("{:x}", hasher.finish())
}

/// The round that is played or was the last, by its row and what it holds of the steps that count. `None` before the first, and
/// where its results are among those of the past.
pub fn played(control: &Control, facts: &Facts, row: &Row, holds: Option<u64>) -> Option<LedgerRound> {
    let is_past = |round: &RoundId| facts.carried.has(round) || facts.rounds.iter().any(|one| one.id == *round);
    let is_on = !matches!(control.state, State::Draft | State::Aborted);
    let round = control.round.filter(|round| is_on && !is_past(round))?;
    let rules = &control.contest.rules;
    let held = held(holds, control.contest.breakpoint_points);
    let points = row.tally.points(rules) + held.as_ref().map_or(0, |line| i128::from(line.points));
    let played = LedgerRound {
        number: facts.numbers.get(&round).copied().unwrap_or(1),
        note: if control.scored { "not sealed yet" } else { PRACTICE }.to_owned(),
        counts: control.scored,
        points: i64::try_from(points).unwrap_or(if points > 0 { i64::MAX } else { i64::MIN }),
        lines: lines(row, rules).into_iter().chain(held).collect(),
        holds,
        p99_us: row.latency.quantile(0.99),
        ..LedgerRound::default()
    };
    Some(played.during(facts, round, control.timeline.start_at))
}

/// What somebody holds in the round of the document, by the steps that count: the board and the seal have the same.
pub fn holds(control: Option<&Control>, totals: Option<&RoundTotals>, name: &str) -> Option<u64> {
    let counted = control.map(|control| control.contest.counted_steps()).unwrap_or_default();
    let climbers = totals?.counted_climbers(&counted);
    climbers.iter().find(|climber| climber.contestant == name).map(|climber| climber.holds)
}

/// Said of a round of practice for all.
pub const PRACTICE: &str = "practice for all: counts nothing";

/// What the contest stands at, while the points that are shown are those of a practice for all; else none.
pub fn beside_practice(control: Option<&Control>, facts: &Facts, id: &UserKey) -> Option<i64> {
    let control = control.filter(|control| !matches!(control.state, State::Draft | State::Aborted))?;
    control.round.filter(|_| !control.scored)?;
    let carried = facts.carried.of(id).map_or(0, |total| total.points);
    let adjusted = facts.adjustments.get(id).copied().unwrap_or(0);
    i64::try_from(carried + i128::from(adjusted)).ok()
}

/// The lines of one round: right and wrong of each header, each kind of failure, what counts for nobody.
pub fn lines(row: &Row, rules: &Rules) -> Vec<LedgerLine> {
    let tally = &row.tally;
    let worth = |count: u64, points: i64| i64::try_from(i128::from(count) * i128::from(points)).unwrap_or(i64::MAX);
    let headers = [
        ("token", "Token", tally.token_right, tally.token_wrong, rules.token),
        ("version", "Version", tally.version_right, tally.version_wrong, rules.version),
        ("from", "From", tally.from_right, tally.from_wrong, rules.from),
    ];
    let mut lines = Vec::new();
    for (kind, name, right, wrong, points) in headers {
        let points = i64::from(points);
        for (word, count, points) in [("right", right, points), ("wrong or missing", wrong, -points)] {
            lines.push(LedgerLine { kind, label: format!("{name} {word}"), count, points: worth(count, points) });
        }
    }
    let each = i64::try_from(rules.exchange_points()).unwrap_or(i64::MAX);
    for failure in Failure::ALL {
        let points = if failure == Failure::OwnFault { 0 } else { -each };
        let count = tally.failure(failure);
        let label = match failure {
            Failure::OwnFault => "Our own fault: counts for nobody".to_owned(),
            _ => crate::views::advice::of(failure.name()).map_or(failure.name(), |advice| advice.title).to_owned(),
        };
        lines.push(LedgerLine { kind: failure.name(), label, count, points: worth(count, points) });
    }
    lines.retain(|line| line.count > 0);
    lines
}

/// The word of the line that says what a held rate is worth.
pub const HELD: &str = "holds";

/// What a rate that is held brings; none where it brings nothing.
pub fn held(holds: Option<u64>, worth: u32) -> Option<LedgerLine> {
    let count = holds.filter(|holds| *holds > 0 && worth > 0)?;
    let points = held_points(count, worth);
    Some(LedgerLine { kind: HELD, label: "Requests a second held".to_owned(), count, points })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::Tally;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_lines_of_a_round_add_up_to_its_points(counts in prop::array::uniform32(0_u64..1_000_000)) {
            let mut values = [0; Tally::LEN];
            values.iter_mut().zip(counts).for_each(|(value, count)| *value = count);
            let row = Row { tally: Tally::from_array(values), ..Row::default() };
            let rules = Rules { token: 70, ..Rules::default() };
            let sum: i64 = lines(&row, &rules).iter().map(|line| line.points).sum();
            prop_assert_eq!(i128::from(sum), row.tally.points(&rules));
        }
    }

    #[test]
    fn the_rounds_that_count_and_the_adjustments_add_up_to_the_score() {
        let round = |number, points, counts| LedgerRound { number, points, counts, ..LedgerRound::default() };
        let sealed = LedgerRound { is_sealed: true, ..round(1, 500, true) };
        let rounds = vec![sealed, round(2, 9_000, false), round(3, 7, true)];
        let ledger = Ledger::of(rounds, vec![("late".into(), -100)], String::new());
        assert_eq!((ledger.total, ledger.of_the_past), (407, 400));
    }
}
