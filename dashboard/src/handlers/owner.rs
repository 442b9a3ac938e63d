//! What one contestant may know of itself, now: points, counts, failures. Everybody else's figures are the live feed's.

use crate::app::App;
use crate::live::{Audience, UserKey};
use crate::views::index::{FailureCount, HeaderCount};
use flowtest_accounts::User;
use flowtest_contract::{Row, Rules};
use flowtest_scoreboard::ExplainedError;

/// One contestant's own figures.
#[derive(Clone, Debug)]
pub struct Owner {
    pub id: UserKey,
    pub points: i64,
    pub rank: Option<u32>,
    pub rank_change: i64,
    pub gaps: (Option<i64>, Option<i64>),
    /// How many have a rank.
    pub of: usize,
    pub frozen: bool,
    /// Of the round that is played or was the last.
    pub row: Row,
    pub rules: Rules,
    /// `None`: nobody knows right now.
    pub errors: Option<Vec<ExplainedError>>,
}

impl Owner {
    pub async fn of(app: &App, user: &User) -> Owner {
        let id = UserKey::of_user(user.id.0);
        let audience = Audience::Owner(id.clone());
        let standings = app.feed.standings(&audience);
        let seen = app.feed.seen();
        let frozen = app.feed.facts().freeze;
        let frozen = frozen.at.is_some_and(|at| at <= app.now()) && !frozen.revealed;
        let line = standings.of(&id);
        let row = seen.totals.as_ref().and_then(|totals| totals.contestants.get(&user.name));
        Owner {
            points: line.map_or(0, |line| line.figures.points),
            rank: line.and_then(|line| line.rank).filter(|_| !frozen),
            rank_change: line.map_or(0, |line| line.rank_change),
            gaps: if frozen { (None, None) } else { standings.gaps(&id) },
            of: standings.ranked(),
            frozen,
            row: row.cloned().unwrap_or_default(),
            rules: seen.control.as_ref().map(|control| control.contest.rules).unwrap_or_default(),
            // Not known is not the same as none: nobody is to believe that all is well.
            errors: app.feed.errors(id.as_str()).await.ok(),
            id,
        }
    }
}

/// Right and wrong of each header.
pub fn headers(owner: &Owner) -> Vec<HeaderCount> {
    let tally = &owner.row.tally;
    let line = |name, right: u64, wrong: u64, points: u32| HeaderCount {
        name,
        right,
        wrong,
        points: (right as i64 - wrong as i64).saturating_mul(i64::from(points)),
    };
    vec![
        line("token", tally.token_right, tally.token_wrong, owner.rules.token),
        line("version", tally.version_right, tally.version_wrong, owner.rules.version),
        line("from", tally.from_right, tally.from_wrong, owner.rules.from),
    ]
}

/// Failed exchanges by kind, the most frequent first.
pub fn failures(owner: &Owner) -> Vec<FailureCount> {
    let tally = &owner.row.tally;
    let each = i64::from(owner.rules.token) + i64::from(owner.rules.version) + i64::from(owner.rules.from);
    let kinds = [
        ("timeout", tally.timeout),
        ("refused", tally.refused),
        ("reset", tally.reset),
        ("malformed", tally.malformed),
        ("status", tally.status),
        ("missed", tally.missed),
    ];
    let mut counts: Vec<FailureCount> = kinds
        .into_iter()
        .map(|(kind, count)| FailureCount {
            kind: kind.to_owned(),
            count,
            points: -(count as i64).saturating_mul(each),
        })
        .collect();
    counts.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    counts
}
