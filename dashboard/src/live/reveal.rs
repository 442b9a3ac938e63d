//! The way from the frozen standings to the final ones, as a resolver of a programming contest goes it: whoever stands lowest
//! and is not resolved gets its hidden points, rises to where they take it, and so on up to the first place. Pure.
//!
//! Without frozen standings there is nothing that everybody knows: places are told from the last to the first.
//!
//! A [`RevealStep`] holds what the room knows after a step, and nothing of what comes later.

use super::facts::UserKey;
use super::standings::{Figures, Standing, held};
use flowtest_contest::contest::RankBy;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// From so many places on, those far from the podium are told together.
const ALONE_FROM: usize = 12;
/// Groups end at these places.
const GROUP_ENDS: [usize; 4] = [100, 50, 20, 10];
/// Before these places the room is kept waiting.
const PODIUM: usize = 3;

/// One press of the button.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// These get their hidden points, one after the other, by index of the final standings.
    Resolve {
        from_place: usize,
        to_place: usize,
        lines: Vec<usize>,
    },
    /// Whose turn it is, before its points come in.
    Suspense {
        place: usize,
        line: usize,
    },
    Ceremony,
}

/// All steps, from one pair of standings.
#[derive(Clone, Debug)]
pub struct Reveal {
    /// The final standings.
    last: Vec<Standing>,
    /// Of each of them, its place and its figures in the frozen ones.
    frozen: Vec<(usize, Figures)>,
    is_frozen: bool,
    rank_by: RankBy,
    steps: Vec<Step>,
}

/// What puts one before another on the way: what it holds where contestants rank by that (more, at a lower p99, earlier), then
/// points.
type Worth = (u64, Reverse<u64>, Reverse<u32>, i64);

/// What the room sees after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevealStep {
    pub step: usize,
    /// How many there are; the last one is the ceremony.
    pub steps: usize,
    /// What happened, as a sentence.
    pub said: String,
    /// Of the next step, as its button says it.
    pub next: Option<String>,
    pub board: Vec<Place>,
    /// Places that nobody knows anything of yet, when nothing was frozen.
    pub unknown: usize,
    /// Whose turn it is.
    pub suspense: Option<String>,
    pub ceremony: bool,
    /// Contestants rank by what they hold in a breakpoint phase: that is the figure of a place, before its points.
    pub by_holds: bool,
}

/// One line of the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub id: String,
    pub display_name: String,
    pub rank: usize,
    pub points: i64,
    /// Requests a second that it holds in a breakpoint phase; none where nothing was tried.
    pub holds: Option<u64>,
    /// Nothing broke it.
    pub unbroken: bool,
    pub resolved: bool,
    /// Since the step before.
    pub moved: bool,
    /// Ranks that it won by its hidden points.
    pub rank_change: i64,
    pub points_won: i64,
}

impl Reveal {
    /// Only those with a rank take part. `frozen` is what the public sees; `is_frozen` that there is a freeze.
    pub fn of(frozen: &[Standing], last: &[Standing], is_frozen: bool, rank_by: RankBy) -> Reveal {
        let ranked = |lines: &[Standing]| -> Vec<Standing> {
            lines.iter().filter(|line| line.contestant.is_ranked()).cloned().collect()
        };
        let (last, frozen) = (ranked(last), ranked(frozen));
        let known: BTreeMap<&UserKey, (usize, Figures)> =
            frozen.iter().enumerate().map(|(place, line)| (&line.contestant.id, (place, line.figures))).collect();
        // Whoever came after the freeze stands at the end of what was known.
        let late = (usize::MAX, Figures::default());
        let frozen = last.iter().map(|line| known.get(&line.contestant.id).copied().unwrap_or(late));
        let mut reveal = Reveal { frozen: frozen.collect(), last, is_frozen, rank_by, steps: Vec::new() };
        reveal.steps = reveal.steps();
        reveal
    }

    pub fn count(&self) -> usize {
        self.steps.len()
    }

    fn steps(&self) -> Vec<Step> {
        let count = self.last.len();
        // From the lowest place up. Nobody who is not resolved passes another such, however high the others rise: it is the order
        // of the freeze, and so are the places.
        let order = if self.is_frozen { self.board(&BTreeSet::new()) } else { (0..count).collect() };
        let mut steps = Vec::new();
        let mut group: Option<(usize, usize, Vec<usize>)> = None;
        for (index, line) in order.into_iter().enumerate().rev() {
            let place = index + 1;
            let end = GROUP_ENDS.into_iter().find(|end| *end < place).filter(|_| count > ALONE_FROM && place > 10);
            match (end, &mut group) {
                (Some(end), Some((_, of, lines))) if *of == end => lines.push(line),
                (end, _) => {
                    steps.extend(group.take().map(|(from, end, lines)| resolve(from, end + 1, lines)));
                    match end {
                        Some(end) => group = Some((place, end, vec![line])),
                        None => {
                            if place <= PODIUM {
                                steps.push(Step::Suspense { place, line });
                            }
                            steps.push(resolve(place, place, vec![line]));
                        }
                    }
                }
            }
        }
        steps.extend(group.map(|(from, end, lines)| resolve(from, end + 1, lines)));
        if count > 0 {
            steps.push(Step::Ceremony);
        }
        steps
    }

    /// The order of the board when these are resolved, by index of the final standings.
    fn board(&self, resolved: &BTreeSet<usize>) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.last.len()).collect();
        order.sort_by_cached_key(|line| {
            let is_resolved = resolved.contains(line);
            let place = if is_resolved { *line } else { self.frozen[*line].0 };
            // Of equal ones, whoever is resolved stands behind whoever may still gain.
            (Reverse(self.worth(*line, is_resolved)), is_resolved, place)
        });
        order
    }

    fn figures(&self, line: usize, is_resolved: bool) -> &Figures {
        if is_resolved { &self.last[line].figures } else { &self.frozen[line].1 }
    }

    fn worth(&self, line: usize, is_resolved: bool) -> Worth {
        let figures = self.figures(line, is_resolved);
        let held = held(figures, self.rank_by);
        let (p99_us, since) = (held.p99_us.unwrap_or(u64::MAX), held.since.unwrap_or(u32::MAX));
        (held.rate, Reverse(p99_us), Reverse(since), figures.points)
    }

    /// What the room sees after so many steps; no more than there are.
    pub fn step(&self, step: usize) -> RevealStep {
        let step = step.min(self.steps.len());
        let mut resolved = BTreeSet::new();
        let mut before = BTreeSet::new();
        for one in &self.steps[..step] {
            before.clone_from(&resolved);
            if let Step::Resolve { lines, .. } = one {
                resolved.extend(lines.iter().copied());
            }
        }
        let last = step.checked_sub(1).map(|index| &self.steps[index]);
        let moved: BTreeSet<usize> = match last {
            Some(Step::Resolve { lines, .. }) => lines.iter().copied().collect(),
            _ => BTreeSet::new(),
        };
        let ceremony = last == Some(&Step::Ceremony);
        let (old, new) = (self.board(&before), self.board(&resolved));
        let is_over = resolved.len() == self.last.len();
        let known = new.iter().enumerate().filter(|(_, line)| self.is_frozen || resolved.contains(*line));
        let board: Vec<Place> = known
            .map(|(at, line)| {
                let (is_moved, standing) = (moved.contains(line), &self.last[*line]);
                let from = old.iter().position(|one| one == line).unwrap_or(at);
                // Equal points share a rank only where all that decides between them is told.
                let rank = if is_over { standing.rank.map_or(at + 1, |rank| rank as usize) } else { at + 1 };
                let figures = self.figures(*line, resolved.contains(line));
                let points = figures.points;
                Place {
                    id: standing.contestant.id.to_string(),
                    display_name: standing.contestant.display_name.clone(),
                    rank: if self.is_frozen { rank } else { standing.rank.map_or(at + 1, |rank| rank as usize) },
                    points,
                    holds: figures.holds,
                    unbroken: figures.unbroken,
                    resolved: resolved.contains(line),
                    moved: is_moved,
                    rank_change: if is_moved && self.is_frozen { from as i64 - at as i64 } else { 0 },
                    points_won: if is_moved { points.saturating_sub(self.figures(*line, false).points) } else { 0 },
                }
            })
            .collect();
        RevealStep {
            step,
            steps: self.steps.len(),
            said: last.map(|step| self.said(step)).unwrap_or_default(),
            next: self.steps.get(step).map(|next| self.button(next)),
            unknown: self.last.len() - board.len(),
            board,
            suspense: match last {
                Some(Step::Suspense { line, .. }) if self.is_frozen => Some(self.last[*line].contestant.id.to_string()),
                _ => None,
            },
            ceremony,
            by_holds: self.rank_by == RankBy::Holds,
        }
    }

    fn said(&self, step: &Step) -> String {
        match step {
            Step::Resolve { lines, from_place, to_place } if lines.len() > 1 => {
                format!("Places {from_place} to {to_place}")
            }
            Step::Resolve { lines, .. } => self.last[lines[0]].contestant.display_name.clone(),
            Step::Suspense { place, line } if self.is_frozen => {
                format!("Place {place} at the freeze: {}. Does it hold?", self.last[*line].contestant.display_name)
            }
            Step::Suspense { place, .. } => format!("Place {place} goes to…"),
            Step::Ceremony => "The podium".to_owned(),
        }
    }

    /// No name of what comes.
    fn button(&self, step: &Step) -> String {
        match step {
            Step::Resolve { lines, from_place, to_place } if lines.len() > 1 => {
                format!("Places {from_place} to {to_place}")
            }
            Step::Resolve { from_place, .. } if *from_place <= PODIUM => "Show it".to_owned(),
            Step::Resolve { from_place: place, .. } | Step::Suspense { place, .. } => format!("Place {place}"),
            Step::Ceremony => "Ceremony".to_owned(),
        }
    }
}

fn resolve(from_place: usize, to_place: usize, lines: Vec<usize>) -> Step {
    // A group of one is told as anybody alone.
    let to_place = if lines.len() == 1 { from_place } else { to_place };
    Step::Resolve { from_place, to_place, lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Contestant;
    use crate::live::standings::{Score, Scores, rank};

    fn standings(points: &[(&str, i64)]) -> Vec<Standing> {
        let contestants: BTreeMap<UserKey, Contestant> = points
            .iter()
            .map(|(id, _)| {
                let (name, display_name) = ((*id).to_owned(), format!("name of {id}"));
                let id: UserKey = (*id).into();
                let (hidden, disqualified, absent) = (false, false, false);
                (id.clone(), Contestant { id, name, display_name, category: None, hidden, disqualified, absent })
            })
            .collect();
        let lines = points.iter().map(|(id, points)| Score::of_points((*id).into(), *points)).collect();
        rank(&Scores { at: flowtest_contract::UtcUs(1), lines, ..Scores::default() }, &contestants).lines
    }

    fn order(step: &RevealStep) -> Vec<(&str, i64)> {
        step.board.iter().map(|place| (place.id.as_str(), place.points)).collect()
    }

    #[test]
    fn the_lowest_rises_as_its_points_come_in_and_the_podium_is_waited_for() {
        let frozen = standings(&[("a", 40), ("b", 30), ("c", 20), ("d", 10)]);
        let last = standings(&[("a", 41), ("b", 30), ("c", 20), ("d", 50)]);
        let reveal = Reveal::of(&frozen, &last, true, RankBy::Points);
        assert_eq!(order(&reveal.step(0)), [("a", 40), ("b", 30), ("c", 20), ("d", 10)]);
        // The fourth goes up to the first place.
        let risen = reveal.step(1);
        assert_eq!(order(&risen), [("d", 50), ("a", 40), ("b", 30), ("c", 20)]);
        assert_eq!((risen.board[0].rank_change, risen.board[0].points_won, risen.board[0].resolved), (3, 40, true));
        // The third of the freeze is waited for before it is told, wherever it stands by now; then the second.
        let third = reveal.step(2);
        assert_eq!((risen.next.as_deref(), third.suspense.as_deref()), (Some("Place 3"), Some("c")));
        assert_eq!(third.said, "Place 3 at the freeze: name of c. Does it hold?");
        let waited = reveal.step(4);
        assert_eq!((waited.suspense.as_deref(), waited.next.as_deref()), (Some("b"), Some("Show it")));
        let end = reveal.step(usize::MAX);
        assert!(end.ceremony && end.next.is_none() && end.step == reveal.count());
        assert_eq!(order(&end), [("d", 50), ("a", 41), ("b", 30), ("c", 20)]);
        // Back again: what was said is taken back.
        assert_eq!(reveal.step(1), risen);
    }

    #[test]
    fn where_contestants_rank_by_what_they_hold_that_decides_and_is_told_with_its_place_alone() {
        let holding = |of: &[(&str, i64, u64)]| -> Vec<Standing> {
            let points: Vec<(&str, i64)> = of.iter().map(|(id, points, _)| (*id, *points)).collect();
            let mut lines = standings(&points);
            for line in &mut lines {
                let (.., holds) = of.iter().find(|(id, ..)| *id == line.contestant.id.as_str()).expect("its line");
                line.figures.holds = Some(*holds);
            }
            lines.sort_by_key(|line| Reverse(line.figures.holds));
            lines.iter_mut().zip(1..).for_each(|(line, rank)| line.rank = Some(rank));
            lines
        };
        let frozen = holding(&[("a", 10, 900), ("b", 90, 700), ("c", 50, 500)]);
        let last = holding(&[("a", 10, 900), ("b", 99, 700), ("c", 60, 4_711)]);
        let reveal = Reveal::of(&frozen, &last, true, RankBy::Holds);
        let held = |step| -> Vec<(String, Option<u64>)> {
            reveal.step(step).board.into_iter().map(|place| (place.id, place.holds)).collect()
        };
        let of = |id: &str, holds| (id.to_owned(), Some(holds));
        assert_eq!(held(0), [of("a", 900), of("b", 700), of("c", 500)]);
        // The third is waited for, then it rises to the top; its points would not have moved it.
        assert!(!serde_json::to_string(&reveal.step(1)).expect("JSON").contains("4711"));
        assert_eq!(held(2), [of("c", 4_711), of("a", 900), of("b", 700)]);
        let end = reveal.step(usize::MAX);
        assert!(end.ceremony && end.by_holds && end.board[0].id == "c");
    }

    #[test]
    fn a_stage_holds_nothing_of_what_comes_later() {
        let frozen = standings(&[("a", 40), ("b", 30), ("c", 20)]);
        let last = standings(&[("a", 4_711), ("b", 4_712), ("c", 20)]);
        let reveal = Reveal::of(&frozen, &last, true, RankBy::Points);
        let text = |step| serde_json::to_string(&reveal.step(step)).expect("JSON");
        for step in 0..3 {
            assert!(!text(step).contains("471"), "{step}: {}", text(step));
        }
        // Nothing was frozen: not even who plays.
        let places = Reveal::of(&last, &last, false, RankBy::Points);
        let text = |step| serde_json::to_string(&places.step(step)).expect("JSON");
        assert!(!text(0).contains("name of") && text(2).contains("name of c") && !text(2).contains("name of a"));
        assert_eq!((places.step(0).unknown, places.step(2).unknown), (3, 2));
    }

    #[test]
    fn places_far_from_the_podium_are_told_together() {
        let names: Vec<String> = (0..199).map(|index| format!("t{index:03}")).collect();
        let points: Vec<(&str, i64)> = names.iter().map(|name| name.as_str()).zip((0..199).rev()).collect();
        let lines = standings(&points);
        let risen: Vec<(&str, i64)> = points.iter().map(|(name, points)| (*name, points + 1_000)).collect();
        // Also where each has won so much that it rises above all who are not told yet.
        let reveal = Reveal::of(&lines, &standings(&risen), true, RankBy::Points);
        let [still, rising] =
            [&lines, &standings(&risen)].map(|last| Reveal::of(&lines, last, true, RankBy::Points).steps);
        assert_eq!(still, rising);
        let said: Vec<String> = (0..5).map(|step| reveal.step(step).next.expect("a step")).collect();
        assert_eq!(said, ["Places 199 to 101", "Places 100 to 51", "Places 50 to 21", "Places 20 to 11", "Place 10"]);
        // Four groups, ten places, three of them waited for, the ceremony.
        assert_eq!(reveal.count(), 4 + 10 + 3 + 1);
        assert_eq!(reveal.step(1).board.iter().filter(|place| place.resolved).count(), 99);
    }

    #[test]
    fn every_way_ends_at_the_final_standings() {
        // (frozen, final): somebody falls, somebody comes late, all are equal
        type Points<'a> = &'a [(&'a str, i64)];
        let cases: [(Points<'_>, Points<'_>); 3] = [
            (&[("a", 9), ("b", 5)], &[("a", -9), ("b", 5)]),
            (&[("a", 9)], &[("a", 9), ("b", 90)]),
            (&[("a", 1), ("b", 1)], &[("a", 1), ("b", 1)]),
        ];
        for (frozen, last) in cases {
            let last = standings(last);
            let reveal = Reveal::of(&standings(frozen), &last, true, RankBy::Points);
            let end = reveal.step(reveal.count());
            let wanted: Vec<_> = last.iter().map(|line| (line.contestant.id.as_str(), line.figures.points)).collect();
            assert_eq!(order(&end), wanted);
            assert!(end.board.iter().all(|place| place.resolved));
        }
    }

    #[test]
    fn nobody_to_reveal_is_no_step() {
        let end = Reveal::of(&[], &[], true, RankBy::Points).step(3);
        assert_eq!((end.step, end.steps, end.ceremony, end.board.len()), (0, 0, false, 0));
    }
}
