//! The exact account: what each contestant's faults must have cost, and whether everybody says the same.

use crate::contest_box::target::Injected;
use crate::contest_box::{Journal, Outcome};
use crate::error::Result;
use flowtest_contest::standings::Standing;
use flowtest_contract::text::grouped;
use flowtest_contract::{Rules, Tally};
use std::collections::BTreeMap;

/// Tells what a contestant's faults cost, and whether Redis agrees to the last counter.
pub(super) fn of(name: &str, injected: &Injected, standings: &[Standing], rules: &Rules) -> bool {
    let Some(standing) = standings.iter().find(|standing| standing.name == name) else {
        println!("{name:>6}: not in Redis");
        return false;
    };
    let tally = &standing.row.tally;
    let perfect = i128::from(tally.due) * rules.exchange_points();
    let points = tally.points(rules);
    let mut wrong = injected.differences(tally);
    if points != standing.points {
        wrong.push(format!("the score is {} and should be {}", grouped(standing.points), grouped(points)));
    }
    let mut faults: Vec<String> = injected.0.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if faults.is_empty() {
        faults.push("no faults".into());
    }
    if tally.own_fault > 0 {
        faults.push(format!("{} void", tally.own_fault));
    }
    let faults = faults.join(", ");
    let word = if wrong.is_empty() { "exact".into() } else { format!("DIFFERS: {}", wrong.join("; ")) };
    println!(
        "{name:>6}: {} requests × {} − {} for {faults} = {}: {word}",
        tally.due,
        rules.exchange_points(),
        grouped(perfect - points),
        grouped(points)
    );
    wrong.is_empty()
}

/// Whether Redis holds what the generator itself counted.
pub(super) fn same_sums(outcome: &Outcome, standings: &[Standing]) -> Result<bool> {
    let counted = outcome.tallies()?;
    let held: BTreeMap<String, Tally> =
        standings.iter().map(|standing| (standing.name.clone(), Tally { sent: 0, ..standing.row.tally })).collect();
    Ok(compared("Redis and the generator's own sums", &counted, &held))
}

/// Whether the dashboard says the points that Redis holds, the house's too.
pub(super) fn same_pages(sealed: &BTreeMap<String, i128>, standings: &[Standing]) -> bool {
    let held = standings.iter().map(|standing| (standing.name.clone(), standing.points)).collect();
    compared("Redis and what the dashboard sealed", sealed, &held)
}

fn compared<T: PartialEq + std::fmt::Debug>(what: &str, said: &T, held: &T) -> bool {
    let same = said == held;
    let word = if same { "equal".into() } else { format!("DIFFERENT: {said:?} and {held:?}") };
    println!("{what}: {word}");
    same
}

/// Whether every point can be proved: the audit judges each exchange again and compares with the journal and Redis.
pub(super) fn proved(journal: &Journal, redis_url: &str) -> Result<bool> {
    let audit = journal.audit_shown(redis_url)?;
    println!("\nThe audit judges every exchange again, from the journal alone:\n{}", audit.stdout.trim_end());
    if !audit.status.success() {
        println!("{}", audit.stderr.trim_end());
    }
    Ok(audit.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::standings::standings;
    use flowtest_contract::Row;

    fn board(tally: Tally) -> Vec<Standing> {
        let row = Row { tally, ..Row::default() };
        standings(&BTreeMap::from([("bob".to_owned(), row)]), &Rules::default())
    }

    #[test]
    fn one_point_that_no_fault_explains_is_a_difference() {
        let injected = Injected(BTreeMap::from([("wrong_token".to_owned(), 2)]));
        let exact =
            Tally { due: 9, token_right: 7, token_wrong: 2, version_right: 9, from_right: 9, ..Tally::default() };
        let rules = Rules::default();
        assert!(of("bob", &injected, &board(exact), &rules));
        let lost = Tally { token_right: 6, token_wrong: 3, ..exact };
        assert!(!of("bob", &injected, &board(lost), &rules));
        let more = Tally { token_right: 8, token_wrong: 1, ..exact };
        assert!(!of("bob", &injected, &board(more), &rules));
        assert!(!of("carol", &injected, &board(exact), &rules), "who is not in Redis is not exact");
    }

    #[test]
    fn a_page_that_misses_somebody_or_a_point_is_different() {
        let tally = Tally { due: 1, token_right: 1, version_right: 1, from_right: 1, ..Tally::default() };
        let board = board(tally);
        let page = |points: i128| BTreeMap::from([("bob".to_owned(), points)]);
        assert!(same_pages(&page(200), &board));
        assert!(!same_pages(&page(199), &board));
        assert!(!same_pages(&BTreeMap::new(), &board));
    }
}
