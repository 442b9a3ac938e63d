//! Ranks: points, then fewer failures, then the lower p99 from the intended instant, then who got there first. Where a contest
//! ranks by what contestants hold in a breakpoint phase, that comes before all of these.

use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Row, Rules};
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The rule that puts a contestant behind the one shown above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DecidedBy {
    /// It holds less.
    Holds,
    /// It holds as much, at a higher p99.
    #[serde(rename = "held_p99")]
    HeldP99,
    /// It holds as much, at the same p99, and since a later step.
    #[serde(rename = "held_first")]
    HeldFirst,
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
    /// It did not play, and stands behind all who did.
    Absent,
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

/// What decides beside the rows, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// When a contestant came to its present points; whoever is not in it came last.
    pub reached: BTreeMap<String, UtcUs>,
    /// What each holds in a breakpoint phase, where contestants rank by it.
    pub held: BTreeMap<String, Held>,
    /// Points that are no counters of the row times rules: those of a held rate.
    pub points: BTreeMap<String, i64>,
}

/// The standings by the rows alone.
pub fn standings(contestants: &BTreeMap<String, Row>, rules: &Rules) -> Vec<Standing> {
    standings_with(contestants, rules, &Beside::default())
}

/// The same, with what the rows do not say.
pub fn standings_with(contestants: &BTreeMap<String, Row>, rules: &Rules, beside: &Beside) -> Vec<Standing> {
    let mut lines: Vec<Standing> = contestants
        .iter()
        .map(|(name, row)| Standing {
            rank: 1,
            name: name.clone(),
            points: row.tally.points(rules) + i128::from(beside.points.get(name).copied().unwrap_or(0)),
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
        reached: beside.reached.get(&line.name).copied(),
        absent: false,
        held: beside.held.get(&line.name).copied().unwrap_or_default(),
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
    /// It had no endpoint and did not play: it stands behind all who did, whatever they have lost.
    pub absent: bool,
    /// The same for all where contestants do not rank by it.
    pub held: Held,
}

/// What a contestant holds in a breakpoint phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Requests a second.
    pub rate: u64,
    /// At this p99, in µs, and since this step.
    pub p99_us: Option<u64>,
    pub since: Option<u32>,
}

impl Merit {
    /// `Less` when this one stands before the other, and the rule that says so.
    pub fn against(&self, other: &Merit) -> (Ordering, DecidedBy) {
        let held_p99 = |merit: &Merit| merit.held.p99_us.unwrap_or(u64::MAX);
        let held_since = |merit: &Merit| merit.held.since.unwrap_or(u32::MAX);
        let latency = |merit: &Merit| merit.p99_us.unwrap_or(u64::MAX);
        let reached = |merit: &Merit| merit.reached.unwrap_or(UtcUs::MAX);
        let rules = [
            (self.absent.cmp(&other.absent), DecidedBy::Absent),
            (other.held.rate.cmp(&self.held.rate), DecidedBy::Holds),
            (held_p99(self).cmp(&held_p99(other)), DecidedBy::HeldP99),
            (held_since(self).cmp(&held_since(other)), DecidedBy::HeldFirst),
            (other.points.cmp(&self.points), DecidedBy::Points),
            (self.failures.cmp(&other.failures), DecidedBy::Failures),
            (latency(self).cmp(&latency(other)), DecidedBy::P99),
            (reached(self).cmp(&reached(other)), DecidedBy::ReachedFirst),
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
    fn who_did_not_play_stands_behind_all_who_did() {
        let merit = |points: i128, absent: bool| Merit {
            points,
            failures: 0,
            p99_us: None,
            reached: None,
            absent,
            held: Held::default(),
        };
        let (lost, absent) = (merit(-76_800, false), merit(0, true));
        assert_eq!(lost.against(&absent), (Ordering::Less, DecidedBy::Absent));
        let places = places(&[merit(5, false), lost, absent, absent]);
        let expected =
            [(1, None), (2, Some(DecidedBy::Points)), (3, Some(DecidedBy::Absent)), (3, Some(DecidedBy::Shared))];
        assert_eq!(places, expected);
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
        let reached = BTreeMap::from([("eve".to_owned(), UtcUs(5)), ("dan".to_owned(), UtcUs(6))]);
        assert_eq!(
            summary(&standings_with(&contestants, &Rules::default(), &Beside { reached, ..Beside::default() })),
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
    fn what_is_held_beside_the_rows_gives_points_and_comes_first_where_it_ranks() {
        let contestants = board(&[("ann", row(10, 0, 0, 10)), ("bob", row(8, 0, 0, 10))]);
        let points = BTreeMap::from([("bob".to_owned(), 300)]);
        let by_points = Beside { points, ..Beside::default() };
        let lines = standings_with(&contestants, &Rules::default(), &by_points);
        assert_eq!(summary(&lines), [(1, "bob", None), (2, "ann", Some(DecidedBy::Points))]);
        assert_eq!(lines.iter().map(|line| line.points).collect::<Vec<_>>(), [1_100, 1_000]);
        let held = BTreeMap::from([("bob".to_owned(), Held { rate: 7, ..Held::default() })]);
        let lines = standings_with(&contestants, &Rules::default(), &Beside { held, ..Beside::default() });
        assert_eq!(summary(&lines), [(1, "bob", None), (2, "ann", Some(DecidedBy::Holds))]);
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

    #[test]
    fn what_is_held_comes_first_where_contestants_rank_by_it() {
        let merit = |rate, p99_us, since, points| Merit {
            points,
            failures: 0,
            p99_us: None,
            reached: None,
            absent: false,
            held: Held { rate, p99_us, since },
        };
        let best = merit(900, Some(20), Some(4), 1);
        // (the other, why it stands behind)
        let cases = [
            (merit(899, Some(1), Some(1), 99), DecidedBy::Holds),
            (merit(900, Some(21), Some(1), 99), DecidedBy::HeldP99),
            (merit(900, None, Some(1), 99), DecidedBy::HeldP99),
            (merit(900, Some(20), Some(5), 99), DecidedBy::HeldFirst),
            (merit(900, Some(20), Some(4), 0), DecidedBy::Points),
        ];
        for (other, why) in cases {
            assert_eq!(best.against(&other), (Ordering::Less, why), "{other:?}");
        }
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
                let merit = |line: &Standing| Merit { points: line.points, failures: line.failures, p99_us: line.p99_us, reached: None, absent: false, held: Held::default() };
                let better = lines.iter().filter(|other| merit(other).against(&merit(line)).0.is_lt()).count();
                prop_assert_eq!(line.rank, better + 1);
                if index > 0 {
                    prop_assert!(lines[index - 1].points >= line.points);
                }
            }
        }
    }
}
