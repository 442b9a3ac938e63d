//! The house target: the platform's own contestant, which answers right by construction. What it loses, the network or
//! the generator has lost, and contestants may have lost alike. It plays as everybody does and is left out of nothing.

use crate::engine::block::Block;
use crate::engine::plan::Plan;
use flowtest_contest::names::HOUSE;
use flowtest_contract::text::grouped;
use flowtest_contract::{Rules, Tally};
use serde::Serialize;

/// What the house lost so far, against a house that got everything right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct House {
    pub lost_points: u64,
    /// Outcomes so far, those that are our own fault included.
    pub settled: u64,
}

impl House {
    /// Of a plan that has a house; what is not scored counts too, since it tells as much.
    pub fn of(plan: &Plan, sums: &Block) -> Option<House> {
        let house = plan.contestants.keys().find(|index| plan.contestants[*index].name == HOUSE)?;
        let tallies = sums.of(house).map(|counts| &counts.row.tally);
        Some(House {
            lost_points: tallies.iter().map(|tally| lost(tally, &plan.rules)).sum(),
            settled: tallies.iter().map(|tally| tally.settled()).sum(),
        })
    }

    pub fn is_clean(&self) -> bool {
        self.lost_points == 0
    }

    /// The figure, as people read it.
    pub fn figure(&self) -> String {
        let points = grouped(self.lost_points);
        if self.settled == 0 { "nothing asked yet".to_owned() } else { format!("{points} points") }
    }

    /// What the figure means.
    pub fn meaning(&self) -> &'static str {
        match (self.settled, self.is_clean()) {
            (0, _) => "the house target was not asked",
            (_, true) => "the house target lost nothing",
            (_, false) => {
                "the house target answers right by itself, so the network or the generator lost these, and \
                 contestants may have lost alike"
            }
        }
    }
}

/// Points that a perfect contestant would have beyond this one. Our own faults cost nobody any.
fn lost(tally: &Tally, rules: &Rules) -> u64 {
    let judged = i128::from(tally.settled() - tally.own_fault);
    u64::try_from(judged * rules.exchange_points() - tally.points(rules)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_house_loses_what_it_is_short_of_a_perfect_one() {
        let right = |right| Tally { token_right: right, version_right: right, from_right: right, ..Tally::default() };
        let rules = Rules::default();
        assert_eq!(lost(&Tally { due: 12, own_fault: 2, ..right(7) }, &rules), 0, "what is in flight is not lost");
        assert_eq!(lost(&Tally { timeout: 1, ..right(7) }, &rules), 400);
        assert_eq!(lost(&Tally { token_right: 6, token_wrong: 1, ..right(7) }, &rules), 200);
        assert!(House { lost_points: 0, settled: 9 }.is_clean());
    }
}
