//! Where a team's points come from, line by line, so that the lines add up to the score. Pure.

use crate::live::board::held_points;
use flowtest_contract::{Failure, Row, Rules};
use serde::Serialize;

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

/// One round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerRound {
    pub number: u32,
    /// Said of a round that counts nothing, or is not over.
    pub note: String,
    pub counts: bool,
    pub points: i64,
    pub lines: Vec<LedgerLine>,
    /// In that round, once it is sealed.
    pub rank: Option<u32>,
    pub p99_us: Option<u64>,
    /// Requests a second, in its breakpoint phase.
    pub holds: Option<u64>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    pub rounds: Vec<LedgerRound>,
    /// Reason and points.
    pub adjustments: Vec<(String, i64)>,
    /// What the rounds that count and the adjustments add up to.
    pub total: i64,
}

impl Ledger {
    pub fn of(rounds: Vec<LedgerRound>, adjustments: Vec<(String, i64)>) -> Ledger {
        let counted = rounds.iter().filter(|round| round.counts).map(|round| round.points);
        let total = counted.chain(adjustments.iter().map(|(_, points)| *points)).fold(0, i64::saturating_add);
        Ledger { rounds, adjustments, total }
    }
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
        let ledger = Ledger::of(vec![round(1, 500, true), round(2, 9_000, false)], vec![("late".into(), -100)]);
        assert_eq!(ledger.total, 400);
    }
}
