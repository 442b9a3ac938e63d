//! Ranked lines: the scores of one instant, put in order. Pure; it does not decide who may see them.

use super::facts::{Person, UserKey};
use flowtest_contest::standings::{DecidedBy, Merit, places};
use flowtest_contract::rules::UtcUs;
use std::collections::BTreeMap;

/// What one contestant has at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    pub key: UserKey,
    /// Of the contest, or of the practice round that is played.
    pub points: i64,
    /// Points in the last 60 s.
    pub minute: i64,
    /// Responses per second.
    pub rate: u64,
    /// Of the exchanges of the last 10 s, how many in a thousand were all right. `None` without any.
    pub success: Option<u16>,
    /// From the intended instant, in µs, over all that `points` counts.
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    /// Exchanges that failed and cost points.
    pub failures: u64,
    /// When it came to these points.
    pub reached: Option<UtcUs>,
    /// Its rank 60 s before, when it had one.
    pub rank_before: Option<u32>,
}

/// All scores of one instant, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    pub at: UtcUs,
    pub lines: Vec<Score>,
}

/// One line of the standings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub person: Person,
    /// From 1; equal ones share it. `None`: hidden, disqualified, or one's own line during a freeze.
    pub rank: Option<u32>,
    /// Ranks gained over the last 60 s.
    pub gained: i64,
    pub score: Score,
    /// Why it stands behind the line above.
    pub decided: Option<DecidedBy>,
}

/// The standings of an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// Of the data; during a freeze the public's is that of the freeze.
    pub at: UtcUs,
    /// By rank, those without one last.
    pub lines: Vec<Line>,
}

impl Standings {
    /// The line of a contestant.
    pub fn of(&self, user: &UserKey) -> Option<&Line> {
        self.lines.iter().find(|line| line.person.key == *user)
    }

    /// Points behind the next better and ahead of the next worse contestant. `None` for who has no rank, or nobody there.
    pub fn gaps(&self, user: &UserKey) -> (Option<i64>, Option<i64>) {
        let ranked: Vec<&Line> = self.lines.iter().filter(|line| line.rank.is_some()).collect();
        let Some(index) = ranked.iter().position(|line| line.person.key == *user) else { return (None, None) };
        let points = |line: &&Line| line.score.points;
        let own = ranked[index].score.points;
        let ahead = index.checked_sub(1).and_then(|index| ranked.get(index)).map(points);
        let behind = ranked.get(index + 1).map(points);
        (ahead.map(|ahead| ahead.saturating_sub(own)), behind.map(|behind| own.saturating_sub(behind)))
    }

    /// How many have a rank.
    pub fn ranked(&self) -> usize {
        self.lines.iter().filter(|line| line.rank.is_some()).count()
    }
}

/// Puts scores in order. Who is not among the people has left and gets no line.
pub fn rank(scores: &Scores, people: &BTreeMap<UserKey, Person>) -> Standings {
    let mut lines: Vec<Line> = scores
        .lines
        .iter()
        .filter_map(|score| {
            let person = people.get(&score.key)?.clone();
            Some(Line { person, rank: None, gained: 0, score: score.clone(), decided: None })
        })
        .collect();
    lines.sort_by(|a, b| {
        let ranked = b.person.is_ranked().cmp(&a.person.is_ranked());
        let name = || a.person.name.cmp(&b.person.name);
        ranked.then_with(|| merit(a).against(&merit(b)).0).then_with(name)
    });
    let merits: Vec<Merit> = lines.iter().take_while(|line| line.person.is_ranked()).map(merit).collect();
    for (line, (rank, decided)) in lines.iter_mut().zip(places(&merits)) {
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        line.rank = Some(rank);
        line.gained = line.score.rank_before.map_or(0, |before| i64::from(before) - i64::from(rank));
        line.decided = decided;
    }
    Standings { at: scores.at, lines }
}

fn merit(line: &Line) -> Merit {
    let Score { points, failures, p99_us, reached, .. } = line.score;
    Merit { points: points.into(), failures, p99_us, reached }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(key: &str, points: i64) -> Score {
        Score {
            key: key.into(),
            points,
            minute: 0,
            rate: 0,
            success: None,
            p50_us: None,
            p99_us: None,
            failures: 0,
            reached: None,
            rank_before: None,
        }
    }

    fn people(flags: &[(&str, bool, bool)]) -> BTreeMap<UserKey, Person> {
        let person = |&(key, hidden, disqualified): &(&str, bool, bool)| {
            (key.into(), Person { key: key.into(), name: key.into(), shown: key.into(), hidden, disqualified })
        };
        flags.iter().map(person).collect()
    }

    #[test]
    fn hidden_and_disqualified_ones_take_nobodys_rank() {
        let scores = Scores { at: 1, lines: vec![score("a", 5), score("b", 9), score("c", 7), score("d", 5)] };
        let people = people(&[("a", false, false), ("b", true, false), ("c", false, true), ("d", false, false)]);
        let standings = rank(&scores, &people);
        let summary: Vec<_> =
            standings.lines.iter().map(|line| (line.person.name.as_str(), line.rank, line.decided)).collect();
        assert_eq!(
            summary,
            [("a", Some(1), None), ("d", Some(1), Some(DecidedBy::Shared)), ("b", None, None), ("c", None, None)]
        );
        assert_eq!(standings.ranked(), 2);
    }

    #[test]
    fn movement_counts_ranks_gained() {
        let mut climber = score("a", 9);
        climber.rank_before = Some(4);
        let scores = Scores { at: 1, lines: vec![climber, score("b", 3)] };
        let standings = rank(&scores, &people(&[("a", false, false), ("b", false, false)]));
        assert_eq!(standings.lines.iter().map(|line| line.gained).collect::<Vec<_>>(), [3, 0]);
        assert_eq!(standings.gaps(&"b".into()), (Some(6), None));
        assert_eq!(standings.gaps(&"a".into()), (None, Some(6)));
    }
}
