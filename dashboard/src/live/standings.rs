//! Ranked lines: the scores of one instant, put in order. Pure; it does not decide who may see them.
//!
//! A [`Standing`] is the one line of the standings: frames, `/api/standings`, exports and pages all write these fields
//! under these names, and the archive keeps its [`Figures`].

use super::facts::{Contestant, UserKey};
use super::round_now::ClimbState;
use super::team_state::{StateSince, TeamState};
use crate::live::clock::{Millis, utc_ms};
use flowtest_contest::breakpoint::Climber;
use flowtest_contest::climbed::Climbed;
use flowtest_contest::contest::RankBy;
use flowtest_contest::ladder::{HoldVerdict, Unbroken};
use flowtest_contest::standings::{DecidedBy, Held, Merit, places};
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How a contestant does, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Of the contest, or of the practice round that is played.
    pub points: i64,
    /// Points in the last 60 s.
    pub points_last_minute: i64,
    /// Responses per second.
    pub rate: u64,
    /// Of the exchanges of the last 10 s, how many in a thousand were verified. `None` without any.
    pub verified_permille: Option<u16>,
    /// From the intended instant, in µs, over all that `points` counts.
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    /// Exchanges that failed and cost points.
    pub failures: u64,
    /// Exchanges that count for nobody. Rows of before 0.2.0 do not say.
    #[serde(default)]
    pub void: u64,
    /// Requests a second that it holds in a breakpoint phase as far as is known; 0: none. `None`: nothing was tried.
    #[serde(default)]
    pub holds: Option<u64>,
    /// At this p99, in µs, and since this step.
    #[serde(default)]
    pub holds_p99_us: Option<u64>,
    #[serde(default)]
    pub holds_since: Option<u32>,
    /// The rate that it is asked to hold now, when its limit is not found yet.
    #[serde(default)]
    pub tries: Option<u64>,
    /// Nothing broke it: the generators gave no more, or the contest.
    #[serde(default)]
    pub unbroken: bool,
    /// Which of the two.
    #[serde(default)]
    pub unbroken_by: Option<Unbroken>,
    /// The lowest rate at which it failed, and by what.
    #[serde(default)]
    pub breaks_at: Option<u64>,
    #[serde(default)]
    pub breaks_by: Option<HoldVerdict>,
    /// The rate of the last step that was judged, while a breakpoint phase is played, and what came of it.
    #[serde(default)]
    pub tried: Option<u64>,
    #[serde(default)]
    pub step_verdict: Option<HoldVerdict>,
    /// The same of the climb that was played last, where it is another one than that which counts.
    #[serde(default)]
    pub climb_holds: Option<u64>,
    #[serde(default)]
    pub climb_breaks_at: Option<u64>,
    #[serde(default)]
    pub climb_breaks_by: Option<HoldVerdict>,
    #[serde(default)]
    pub climb_unbroken_by: Option<Unbroken>,
}

impl Figures {
    /// What it holds, by the newest decision of the round that is played. Of a climb of which nothing is decided yet only what
    /// counts is said.
    pub fn climb(&mut self, climber: &Climber, counted: Option<&Climber>, state: ClimbState) {
        self.holds = counted.map(|counted| counted.holds);
        (self.holds_p99_us, self.holds_since) =
            counted.map_or((None, None), |counted| (counted.holds_p99_us, counted.holds_since));
        (self.breaks_at, self.breaks_by) =
            counted.map_or((None, None), |counted| (counted.breaks_at, counted.breaks_by));
        self.unbroken_by = counted.and_then(|counted| counted.unbroken);
        self.unbroken = self.unbroken_by.is_some();
        if state == ClimbState::NextBegun {
            return;
        }
        self.tries = climber.trial.filter(|_| state == ClimbState::Climbing).map(|_| climber.rate);
        (self.tried, self.step_verdict) = (Some(climber.tried), climber.verdict);
        if counted != Some(climber) {
            self.climb_holds = Some(climber.holds);
            (self.climb_breaks_at, self.climb_breaks_by) = (climber.breaks_at, climber.breaks_by);
            self.climb_unbroken_by = climber.unbroken;
        }
    }

    /// What it held in the newest round that is sealed and counts.
    pub fn held(&mut self, climbed: &Climbed) {
        self.holds = Some(climbed.holds);
        (self.holds_p99_us, self.holds_since) = (climbed.holds_p99_us, climbed.holds_since);
        (self.breaks_at, self.breaks_by) = (climbed.breaks_at, climbed.breaks_by);
        (self.unbroken, self.unbroken_by) = (climbed.unbroken.is_some(), climbed.unbroken);
    }
}

/// Whether somebody had a rank at an instant: the past shows who was out of the competition then, not who is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Participation {
    Ranked,
    Disqualified,
    Hidden,
}

impl Participation {
    pub fn of(contestant: &Contestant) -> Participation {
        match (contestant.hidden, contestant.disqualified) {
            (true, _) => Participation::Hidden,
            (false, true) => Participation::Disqualified,
            (false, false) => Participation::Ranked,
        }
    }
}

/// What one contestant has at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    pub id: UserKey,
    pub figures: Figures,
    /// When it came to these points.
    pub reached_at: Option<UtcUs>,
    /// Its rank 60 s before, when it had one.
    pub rank_before: Option<u32>,
    /// While a round is on.
    pub state: Option<StateSince>,
    /// What its answers of the round were, until now.
    pub answers: Answers,
    /// `None`: a row of before 0.3 does not say.
    pub participation: Option<Participation>,
}

/// What a contestant's answers were, counted from the round's start; and how fast the last ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// With all three headers right, at most: the sum of [`Count::verified`](super::window::Count::verified) of each second.
    #[serde(default, rename = "right")]
    pub verified: u64,
    /// With a header that was wrong or missing, at least.
    #[serde(default)]
    pub wrong: u64,
    /// Exchanges without a valid answer.
    #[serde(default)]
    pub failed: u64,
    /// Of the last second, in µs from the intended instant. `None` without any.
    #[serde(default)]
    pub second_p50_us: Option<u64>,
    #[serde(default)]
    pub second_p99_us: Option<u64>,
}

impl Score {
    /// Points alone.
    pub fn of_points(id: UserKey, points: i64) -> Score {
        let figures = Figures { points, ..Figures::default() };
        let answers = Answers::default();
        Score { id, figures, reached_at: None, rank_before: None, state: None, answers, participation: None }
    }
}

/// All scores of one instant, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    pub at: UtcUs,
    pub lines: Vec<Score>,
    /// Seconds of the round that are not valid, until now.
    pub invalid_seconds: u64,
    /// The seconds from then on are not known: nobody wrote them down.
    pub gap_from: Option<UtcUs>,
    /// What puts one before another.
    pub rank_by: RankBy,
}

/// One line of the standings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// From 1; equal ones share it. `None`: hidden, disqualified, or one's own line during a freeze.
    pub rank: Option<u32>,
    #[serde(flatten)]
    pub contestant: Contestant,
    /// See [`UserKey::colour`].
    pub colour: u32,
    #[serde(flatten)]
    pub figures: Figures,
    /// Ranks gained over the last 60 s; below 0: lost.
    pub rank_change: i64,
    /// Why it stands behind the line above.
    pub decided: Option<DecidedBy>,
    /// How it fares, while a round is on.
    pub state: Option<TeamState>,
    /// Since when.
    pub state_since: Option<Millis>,
}

/// The standings of an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// Of the data; during a freeze the public's is that of the freeze.
    pub at: UtcUs,
    /// By rank, those without one last.
    pub lines: Vec<Standing>,
}

impl Standings {
    /// The line of a contestant.
    pub fn of(&self, id: &UserKey) -> Option<&Standing> {
        self.lines.iter().find(|line| line.contestant.id == *id)
    }

    /// Points behind the next better and ahead of the next worse contestant. `None` for who has no rank, or nobody there.
    pub fn gaps(&self, id: &UserKey) -> (Option<i64>, Option<i64>) {
        let ranked: Vec<&Standing> = self.lines.iter().filter(|line| line.rank.is_some()).collect();
        let Some(index) = ranked.iter().position(|line| line.contestant.id == *id) else { return (None, None) };
        let points = |line: &&Standing| line.figures.points;
        let own = ranked[index].figures.points;
        let ahead = index.checked_sub(1).and_then(|index| ranked.get(index)).map(points);
        let behind = ranked.get(index + 1).map(points);
        (ahead.map(|ahead| ahead.saturating_sub(own)), behind.map(|behind| own.saturating_sub(behind)))
    }

    /// The lines of one category; ranks stay those of all. None or an empty one: all lines.
    #[must_use]
    pub fn of_category(mut self, category: Option<&str>) -> Standings {
        if let Some(category) = category.filter(|category| !category.is_empty()) {
            self.lines.retain(|line| line.contestant.category.as_deref() == Some(category));
        }
        self
    }

    /// The categories of these lines, in the order of their names.
    pub fn categories(&self) -> Vec<String> {
        let named: BTreeSet<&String> = self.lines.iter().filter_map(|line| line.contestant.category.as_ref()).collect();
        named.into_iter().cloned().collect()
    }

    /// How many have a rank.
    pub fn ranked(&self) -> usize {
        self.lines.iter().filter(|line| line.rank.is_some()).count()
    }
}

/// Puts scores in order. Who is not among the contestants has left and gets no line.
pub fn rank(scores: &Scores, contestants: &BTreeMap<UserKey, Contestant>) -> Standings {
    let mut lines: Vec<(&Score, Standing)> = scores
        .lines
        .iter()
        .filter_map(|score| {
            let contestant = contestants.get(&score.id)?.clone();
            let (colour, figures) = (contestant.id.colour(), score.figures);
            let state = score.state.map(|state| state.state);
            let state_since = score.state.map(|state| utc_ms(state.since));
            let line =
                Standing { rank: None, contestant, colour, figures, rank_change: 0, decided: None, state, state_since };
            Some((score, line))
        })
        .collect();
    lines.sort_by(|(a, one), (b, other)| {
        let ranked = other.contestant.is_ranked().cmp(&one.contestant.is_ranked());
        let name = || one.contestant.name.cmp(&other.contestant.name);
        ranked.then_with(|| merit(scores, a, one).against(&merit(scores, b, other)).0).then_with(name)
    });
    let ranked = lines.iter().take_while(|(_, line)| line.contestant.is_ranked());
    let merits: Vec<Merit> = ranked.map(|(score, line)| merit(scores, score, line)).collect();
    for ((score, line), (rank, decided)) in lines.iter_mut().zip(places(&merits)) {
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        line.rank = Some(rank);
        line.rank_change = score.rank_before.map_or(0, |before| i64::from(before) - i64::from(rank));
        // Whoever did not play is told so, whomever it shares its place with.
        line.decided = if line.contestant.absent { Some(DecidedBy::Absent) } else { decided };
    }
    Standings { at: scores.at, lines: lines.into_iter().map(|(_, line)| line).collect() }
}

/// What decides before points do.
pub(super) fn held(figures: &Figures, rank_by: RankBy) -> Held {
    match rank_by {
        RankBy::Points => Held::default(),
        RankBy::Holds => {
            Held { rate: figures.holds.unwrap_or(0), p99_us: figures.holds_p99_us, since: figures.holds_since }
        }
    }
}

fn merit(scores: &Scores, score: &Score, line: &Standing) -> Merit {
    let Figures { points, failures, p99_us, .. } = score.figures;
    let held = held(&score.figures, scores.rank_by);
    // Before the first points nobody was there first: whoever registered early stands with the others.
    let reached = score.reached_at.filter(|_| points != 0);
    Merit { points: points.into(), failures, p99_us, reached, absent: line.contestant.absent, held }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn score(id: &str, points: i64) -> Score {
        Score::of_points(id.into(), points)
    }

    fn contestants(flags: &[(&str, bool, bool)]) -> BTreeMap<UserKey, Contestant> {
        let contestant = |&(id, hidden, disqualified): &(&str, bool, bool)| {
            let (name, display_name) = (id.to_owned(), id.to_owned());
            (
                id.into(),
                Contestant { id: id.into(), name, display_name, category: None, hidden, disqualified, absent: false },
            )
        };
        flags.iter().map(contestant).collect()
    }

    #[test]
    fn hidden_and_disqualified_ones_take_nobodys_rank() {
        let scores = Scores {
            at: UtcUs(1),
            lines: vec![score("a", 5), score("b", 9), score("c", 7), score("d", 5)],
            ..Scores::default()
        };
        let contestants =
            contestants(&[("a", false, false), ("b", true, false), ("c", false, true), ("d", false, false)]);
        let standings = rank(&scores, &contestants);
        let summary: Vec<_> =
            standings.lines.iter().map(|line| (line.contestant.name.as_str(), line.rank, line.decided)).collect();
        assert_eq!(
            summary,
            [("a", Some(1), None), ("d", Some(1), Some(DecidedBy::Shared)), ("b", None, None), ("c", None, None)]
        );
        assert_eq!(standings.ranked(), 2);
    }

    #[test]
    fn a_category_keeps_the_ranks_of_all() {
        let scores =
            Scores { at: UtcUs(1), lines: vec![score("a", 5), score("b", 9), score("c", 7)], ..Scores::default() };
        let mut contestants = contestants(&[("a", false, false), ("b", false, false), ("c", false, false)]);
        for id in ["a", "c"] {
            contestants.get_mut(&id.into()).expect("it is there").category = Some("student".to_owned());
        }
        let standings = rank(&scores, &contestants);
        assert_eq!(standings.categories(), ["student"]);
        let names = |category: Option<&str>| -> Vec<(String, Option<u32>)> {
            let of = standings.clone().of_category(category).lines;
            of.into_iter().map(|line| (line.contestant.name, line.rank)).collect()
        };
        assert_eq!(names(Some("student")), [("c".to_owned(), Some(2)), ("a".to_owned(), Some(3))]);
        assert_eq!((names(Some("")).len(), names(None).len(), names(Some("expert")).len()), (3, 3, 0));
    }

    #[test]
    fn before_the_first_points_all_share_the_first_place_whoever_came_early() {
        let reached = |id: &str, at| Score { reached_at: Some(UtcUs(at)), ..score(id, 0) };
        let scores = Scores { at: UtcUs(9), lines: vec![reached("a", 5), reached("b", 1)], ..Scores::default() };
        let standings = rank(&scores, &contestants(&[("a", false, false), ("b", false, false)]));
        assert_eq!(standings.lines.iter().map(|line| line.rank).collect::<Vec<_>>(), [Some(1), Some(1)]);
    }

    #[test]
    fn movement_counts_ranks_gained() {
        let mut climber = score("a", 9);
        climber.rank_before = Some(4);
        let scores = Scores { at: UtcUs(1), lines: vec![climber, score("b", 3)], ..Scores::default() };
        let standings = rank(&scores, &contestants(&[("a", false, false), ("b", false, false)]));
        assert_eq!(standings.lines.iter().map(|line| line.rank_change).collect::<Vec<_>>(), [3, 0]);
        assert_eq!(standings.gaps(&"b".into()), (Some(6), None));
        assert_eq!(standings.gaps(&"a".into()), (None, Some(6)));
    }

    /// Scripts, spreadsheets and `/api/standings` read these names: one that changes keeps its old one there for a release.
    #[test]
    fn a_line_says_these_fields_under_these_names() {
        let scores = Scores { at: UtcUs(1), lines: vec![score("u3", 9), score("u4", 9)], ..Scores::default() };
        let standings = rank(&scores, &contestants(&[("u3", false, false), ("u4", false, false)]));
        let expected = json!({
            "rank": 1, "id": "u4", "name": "u4", "display_name": "u4", "category": null, "hidden": false, "colour": 4, "points": 9,
            "points_last_minute": 0, "rate": 0, "verified_permille": null, "p50_us": null, "p99_us": null,
            "failures": 0, "void": 0, "holds": null, "holds_p99_us": null, "holds_since": null, "tries": null,
            "unbroken": false, "unbroken_by": null, "breaks_at": null, "breaks_by": null, "tried": null,
            "step_verdict": null, "climb_holds": null, "climb_breaks_at": null, "climb_breaks_by": null, "climb_unbroken_by": null,
            "rank_change": 0, "decided": "shared", "state": null, "state_since": null,
        });
        assert_eq!(serde_json::to_value(&standings.lines[1]).expect("JSON"), expected);
    }
}
