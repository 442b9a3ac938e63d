//! Ranks: points, then fewer failures, then the lower p99 from the intended instant, then who got there first.

use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Row, Rules};
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The rule that puts a contestant behind the one shown above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DecidedBy {
    Points,
    /// Equal points, more failures.
    Failures,
    /// Equal points and failures, a higher p99.
    P99,
    /// Equal in all three, got there later.
    #[serde(rename = "reached")]
    ReachedFirst,
    /// Equal in everything: both share the rank and stand in the order of their names.
    Shared,
}

/// One line of the standings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// From 1. Equal ones share a rank, and the ranks after them are skipped.
    pub rank: usize,
    pub name: String,
    pub points: i128,
    /// Exchanges that failed and cost points.
    pub failures: u64,
    /// Of `latency`, in µs. `None` before the first measured exchange, which ranks last.
    pub p99_us: Option<u64>,
    /// `None` for the first line.
    pub decided_by: Option<DecidedBy>,
    pub row: Row,
}

/// The standings when nobody recorded who got there first.
pub fn standings(contestants: &BTreeMap<String, Row>, rules: &Rules) -> Vec<Standing> {
    standings_with(contestants, rules, &BTreeMap::new())
}

/// The standings. `reached` says when a contestant came to its present points; whoever is not in it came last.
pub fn standings_with(
    contestants: &BTreeMap<String, Row>,
    rules: &Rules,
    reached: &BTreeMap<String, UtcUs>,
) -> Vec<Standing> {
    let mut lines: Vec<Standing> = contestants
        .iter()
        .map(|(name, row)| Standing {
            rank: 1,
            name: name.clone(),
            points: row.tally.points(rules),
            failures: row.tally.failures(),
            p99_us: row.latency.quantile(0.99),
            decided_by: None,
            row: row.clone(),
        })
        .collect();
    let merit = |line: &Standing| Merit {
        points: line.points,
        failures: line.failures,
        p99_us: line.p99_us,
        reached: reached.get(&line.name).copied(),
    };
    // Stable: equal ones keep the order of their names, which is the map's.
    lines.sort_by(|a, b| merit(a).against(&merit(b)).0);
    let merits: Vec<Merit> = lines.iter().map(merit).collect();
    for (line, (rank, decided_by)) in lines.iter_mut().zip(places(&merits)) {
        line.rank = rank;
        line.decided_by = decided_by;
    }
    lines
}

/// All that decides a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merit {
    pub points: i128,
    pub failures: u64,
    /// In µs; nothing measured stands last.
    pub p99_us: Option<u64>,
    /// When it came to its present points; who never did stands last.
    pub reached: Option<UtcUs>,
}

impl Merit {
    /// `Less` when this one stands before the other, and the rule that says so.
    pub fn against(&self, other: &Merit) -> (Ordering, DecidedBy) {
        let last = |value: Option<u64>| value.unwrap_or(u64::MAX);
        let rules = [
            (other.points.cmp(&self.points), DecidedBy::Points),
            (self.failures.cmp(&other.failures), DecidedBy::Failures),
            (last(self.p99_us).cmp(&last(other.p99_us)), DecidedBy::P99),
            (last(self.reached).cmp(&last(other.reached)), DecidedBy::ReachedFirst),
        ];
        rules.into_iter().find(|(order, _)| order.is_ne()).unwrap_or((Ordering::Equal, DecidedBy::Shared))
    }
}

/// The rank of each, from 1, and the rule that puts it behind the one before. They must be in order already.
pub fn places(merits: &[Merit]) -> Vec<(usize, Option<DecidedBy>)> {
    let mut places: Vec<(usize, Option<DecidedBy>)> = Vec::with_capacity(merits.len());
    for (index, merit) in merits.iter().enumerate() {
        let place = match index.checked_sub(1) {
            None => (1, None),
            Some(ahead) => match merits[ahead].against(merit).1 {
                DecidedBy::Shared => (places[ahead].0, Some(DecidedBy::Shared)),
                rule => (index + 1, Some(rule)),
            },
        };
        places.push(place);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::Tally;
    use proptest::prelude::*;

    fn row(right: u64, wrong: u64, timeout: u64, latency_us: u64) -> Row {
        let mut row = Row {
            tally: Tally { token_right: right, token_wrong: wrong, timeout, ..Tally::default() },
            ..Row::default()
        };
        row.latency.record(latency_us);
        row
    }

    fn board(rows: &[(&str, Row)]) -> BTreeMap<String, Row> {
        rows.iter().map(|(name, row)| ((*name).to_owned(), row.clone())).collect()
    }

    fn summary(lines: &[Standing]) -> Vec<(usize, &str, Option<DecidedBy>)> {
        lines.iter().map(|line| (line.rank, line.name.as_str(), line.decided_by)).collect()
    }

    #[test]
    fn each_rule_decides_where_those_before_it_are_equal() {
        let contestants = board(&[
            ("ann", row(10, 0, 0, 10)), // 1000 points
            ("bob", row(8, 0, 0, 10)),  // 800
            ("cid", row(10, 0, 1, 10)), // 800, a failure
            ("dan", row(10, 0, 1, 20)), // 800, a failure, slower
            ("eve", row(10, 0, 1, 20)), // the same, reached first
        ]);
        let reached = BTreeMap::from([("eve".to_owned(), 5), ("dan".to_owned(), 6)]);
        assert_eq!(
            summary(&standings_with(&contestants, &Rules::default(), &reached)),
            [
                (1, "ann", None),
                (2, "bob", Some(DecidedBy::Points)),
                (3, "cid", Some(DecidedBy::Failures)),
                (4, "eve", Some(DecidedBy::P99)),
                (5, "dan", Some(DecidedBy::ReachedFirst)),
            ]
        );
    }

    #[test]
    fn equal_ones_share_the_rank_and_the_next_is_skipped() {
        let contestants = board(&[("ann", row(1, 0, 0, 10)), ("bob", row(2, 0, 0, 10)), ("cid", row(2, 0, 0, 10))]);
        assert_eq!(
            summary(&standings(&contestants, &Rules::default())),
            [(1, "bob", None), (1, "cid", Some(DecidedBy::Shared)), (3, "ann", Some(DecidedBy::Points))]
        );
    }

    #[test]
    fn who_measured_nothing_stands_behind_who_did() {
        let contestants = board(&[("ann", Row::default()), ("bob", row(0, 0, 0, 1_000_000))]);
        assert_eq!(
            summary(&standings(&contestants, &Rules::default())),
            [(1, "bob", None), (2, "ann", Some(DecidedBy::P99))]
        );
    }

    proptest! {
        #[test]
        fn ranks_follow_points_and_name_every_contestant_once(
            rows in proptest::collection::vec((0u64..4, 0u64..4, 0u64..3, 1u64..4), 0..12)
        ) {
            let contestants: BTreeMap<String, Row> = rows
                .iter()
                .enumerate()
                .map(|(index, (right, wrong, timeout, latency))| (format!("c{index}"), row(*right, *wrong, *timeout, *latency)))
                .collect();
            let lines = standings(&contestants, &Rules::default());
            prop_assert_eq!(lines.len(), contestants.len());
            for (index, line) in lines.iter().enumerate() {
                prop_assert_eq!(&contestants[&line.name], &line.row);
                // As many stand strictly better as the rank says.
                let merit = |line: &Standing| Merit { points: line.points, failures: line.failures, p99_us: line.p99_us, reached: None };
                let better = lines.iter().filter(|other| merit(other).against(&merit(line)).0.is_lt()).count();
                prop_assert_eq!(line.rank, better + 1);
                if index > 0 {
                    prop_assert!(lines[index - 1].points >= line.points);
                }
            }
        }
    }
}
