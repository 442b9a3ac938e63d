//! Points of each contestant over time: every second for 10 minutes, every 5 for 2 hours, every 30 for a day. Pure.
//!
//! A row of points is shared by the resolutions that hold it, so a second of 200 contestants costs 1.6 KB once.

use super::facts::UserKey;
use super::standings::Scores;
use flowtest_contract::rules::UtcUs;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const SECOND_US: u64 = 1_000_000;

/// Steps in seconds, and rows kept of each: 10 minutes, 2 hours, 24 hours.
const RESOLUTIONS: [(u64, usize); 3] = [(1, 600), (5, 1_440), (30, 2_880)];

/// Stands in a row for a contestant that was not there. No score is so low.
const ABSENT: i64 = i64::MIN;

#[derive(Clone, Debug)]
pub struct Series {
    /// Where each contestant stands in a row. Rows from before it came are shorter.
    slots: BTreeMap<UserKey, usize>,
    rings: [Resolution; RESOLUTIONS.len()],
}

/// The rows of one step.
#[derive(Clone, Debug)]
struct Resolution {
    step_s: u64,
    rows_max: usize,
    rows: VecDeque<Instant>,
}

/// What is known of one instant.
#[derive(Clone, Debug)]
struct Instant {
    at: UtcUs,
    row: Arc<[i64]>,
    /// Until then.
    invalid_seconds: u64,
}

impl Default for Series {
    fn default() -> Series {
        let ring = |(step_s, rows_max)| Resolution { step_s, rows_max, rows: VecDeque::new() };
        Series { slots: BTreeMap::new(), rings: RESOLUTIONS.map(ring) }
    }
}

impl Series {
    /// Adds the points of an instant, which must be later than the last.
    pub fn push(&mut self, scores: &Scores) {
        if self.rings[0].rows.back().is_some_and(|last| scores.at <= last.at) {
            return;
        }
        let mut row = vec![ABSENT; self.slots.len()];
        for score in &scores.lines {
            let next = self.slots.len();
            let slot = *self.slots.entry(score.id.clone()).or_insert(next);
            row.resize(row.len().max(slot + 1), ABSENT);
            row[slot] = score.figures.points.max(ABSENT + 1);
        }
        let instant = Instant { at: scores.at, row: row.into(), invalid_seconds: scores.invalid_seconds };
        for ring in &mut self.rings {
            ring.push(&instant);
        }
    }

    /// The step to show what there is since an instant: the finest that still reaches so far back. `wanted` is the
    /// finest that somebody cares for.
    pub fn step_s(&self, since: UtcUs, wanted_s: u64) -> u64 {
        let first = self.rings.iter().filter_map(Resolution::first).min().unwrap_or(UtcUs::EPOCH).max(since);
        let reaches =
            |ring: &&Resolution| ring.rows.len() < ring.rows_max || ring.first().is_none_or(|oldest| oldest <= first);
        let mut fine = self.rings.iter().filter(|ring| ring.step_s >= wanted_s);
        let found = fine.clone().find(reaches).or(fine.next_back());
        found.unwrap_or(&self.rings[RESOLUTIONS.len() - 1]).step_s
    }

    /// The instants of one step since an instant, each with its row, whose places [`Series::slots`] tells.
    pub fn rows(&self, step_s: u64, since: UtcUs) -> impl Iterator<Item = (UtcUs, &[i64])> {
        let ring = self.ring(step_s);
        ring.rows.range(ring.from(since)..).map(|instant| (instant.at, &instant.row[..]))
    }

    /// Those of the same instants before which, since the instant before, there was a second that is not valid.
    pub fn invalid(&self, step_s: u64, since: UtcUs) -> impl Iterator<Item = UtcUs> {
        let rows = &self.ring(step_s).rows;
        let from = self.ring(step_s).from(since).max(1).min(rows.len());
        // A new round counts from 0 again.
        let grew = move |index: &usize| rows[*index].invalid_seconds > rows[*index - 1].invalid_seconds;
        (from..rows.len()).filter(grew).map(|index| rows[index].at)
    }

    fn ring(&self, step_s: u64) -> &Resolution {
        self.rings.iter().find(|ring| ring.step_s == step_s).unwrap_or(&self.rings[0])
    }

    /// Everybody who ever stood in a row, with the place there.
    pub fn slots(&self) -> impl Iterator<Item = (&UserKey, usize)> {
        self.slots.iter().map(|(user, slot)| (user, *slot))
    }

    /// Everybody's points at an instant, from the finest rows that reach so far back.
    pub fn at(&self, instant: UtcUs) -> Option<(UtcUs, Vec<(UserKey, i64)>)> {
        let found = self.rings.iter().find_map(|ring| ring.rows.iter().rev().find(|one| one.at <= instant))?;
        let points = self.slots.iter().filter_map(|(user, slot)| Some((user.clone(), points(&found.row, *slot)?)));
        Some((found.at, points.collect()))
    }
}

/// The finest step that is kept and no finer than wanted; the coarsest where none is.
pub fn step_at_least(wanted_s: u64) -> u64 {
    let steps = RESOLUTIONS.map(|(step_s, _)| step_s);
    steps.into_iter().find(|step_s| *step_s >= wanted_s).unwrap_or(steps[steps.len() - 1])
}

/// The points in a row. `None` when the contestant was not there.
pub fn points(row: &[i64], slot: usize) -> Option<i64> {
    row.get(slot).copied().filter(|points| *points != ABSENT)
}

impl Resolution {
    fn first(&self) -> Option<UtcUs> {
        self.rows.front().map(|instant| instant.at)
    }

    /// The index of the first instant that is not before this one.
    fn from(&self, since: UtcUs) -> usize {
        self.rows.partition_point(|instant| instant.at < since)
    }

    /// Whether nothing has changed for two rows: of such a time its two ends are kept, so that no night takes a round's
    /// seconds away.
    fn is_still(&self, instant: &Instant) -> bool {
        let is_same = |row: &Instant| row.row == instant.row && row.invalid_seconds == instant.invalid_seconds;
        self.rows.len() >= 2 && self.rows.iter().rev().take(2).all(is_same)
    }

    /// Keeps the first row of each step of the clock.
    fn push(&mut self, instant: &Instant) {
        let bucket = |at: UtcUs| at.floor(self.step_s * SECOND_US);
        if self.step_s > 1 && self.rows.back().is_some_and(|last| bucket(last.at) == bucket(instant.at)) {
            return;
        }
        if self.is_still(instant)
            && let Some(last) = self.rows.back_mut()
        {
            last.at = instant.at;
            return;
        }
        if self.rows.len() == self.rows_max {
            self.rows.pop_front();
        }
        self.rows.push_back(instant.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::standings::Score;

    fn scores(second: u64, points: &[(&str, i64)]) -> Scores {
        let line = |&(id, points): &(&str, i64)| Score::of_points(id.into(), points);
        Scores { at: UtcUs(second * SECOND_US), lines: points.iter().map(line).collect(), ..Scores::default() }
    }

    #[test]
    fn a_day_of_seconds_is_kept_at_three_steps() {
        let mut series = Series::default();
        let seconds = 25 * 3_600;
        for second in 0..seconds {
            series.push(&scores(second, &[("a", second as i64)]));
        }
        let lengths: Vec<usize> =
            RESOLUTIONS.iter().map(|(step, _)| series.rows(*step, UtcUs::EPOCH).count()).collect();
        assert_eq!(lengths, [600, 1_440, 2_880]);
        for (step, _) in RESOLUTIONS {
            let (at, row) = series.rows(step, UtcUs::EPOCH).next().expect("rows");
            assert_eq!(points(row, 0), Some((at.0 / SECOND_US) as i64));
        }
        // (since, wanted, the step that reaches so far)
        let ago = |back: u64| UtcUs((seconds - back) * SECOND_US);
        for (since, wanted, step) in
            [(ago(60), 1, 1), (ago(60), 5, 5), (ago(3_600), 1, 5), (UtcUs::EPOCH, 1, 30), (UtcUs::EPOCH, 99, 30)]
        {
            assert_eq!(series.step_s(since, wanted), step, "since {since:?}");
        }
    }

    #[test]
    fn whatever_step_is_asked_for_it_is_one_of_those_that_are_kept() {
        let cases = [(0, 1), (1, 1), (2, 5), (5, 5), (6, 30), (30, 30), (31, 30), (u64::MAX, 30)];
        for (wanted, step) in cases {
            assert_eq!(step_at_least(wanted), step, "{wanted}");
        }
    }

    #[test]
    fn a_short_contest_is_shown_from_its_start_in_seconds() {
        let mut series = Series::default();
        (0..100).for_each(|second| series.push(&scores(second, &[("a", 1)])));
        assert_eq!(series.step_s(UtcUs::EPOCH, 1), 1);
    }

    #[test]
    fn a_night_after_a_round_takes_none_of_its_seconds() {
        let mut series = Series::default();
        (0..300).for_each(|second| series.push(&scores(second, &[("a", second as i64)])));
        (300..80_000).for_each(|second| series.push(&scores(second, &[("a", 299)])));
        assert_eq!(series.step_s(UtcUs::EPOCH, 1), 1);
        let rows: Vec<_> = series.rows(1, UtcUs::EPOCH).map(|(at, row)| (at.0 / SECOND_US, points(row, 0))).collect();
        assert_eq!((rows.len(), rows[7], rows[299]), (301, (7, Some(7)), (299, Some(299))));
        assert_eq!(rows[300], (79_999, Some(299)), "and the newest is known");
    }

    #[test]
    fn a_second_that_is_not_valid_is_told_at_every_step() {
        let mut series = Series::default();
        let invalid_seconds = |second: u64| [0, 1, 3, 0, 1][(second / 7).min(4) as usize];
        for second in 0..40 {
            series.push(&Scores { invalid_seconds: invalid_seconds(second), ..scores(second, &[("a", 1)]) });
        }
        let invalid = |step, since: u64| {
            series.invalid(step, UtcUs(since * SECOND_US)).map(|at| at.0 / SECOND_US).collect::<Vec<_>>()
        };
        assert_eq!(invalid(1, 0), [7, 14, 28], "at 21 another round began");
        assert_eq!(invalid(1, 14), [14, 28]);
        assert_eq!(invalid(5, 0), [10, 15, 30]);
        assert_eq!(invalid(30, 0), [30]);
        assert!(invalid(1, 99).is_empty());
    }

    #[test]
    fn who_comes_later_was_absent_before_and_who_leaves_is_absent_after() {
        let mut series = Series::default();
        series.push(&scores(1, &[("a", 1)]));
        series.push(&scores(2, &[("a", 2), ("b", 20)]));
        series.push(&scores(3, &[("b", 30)]));
        let of = |slot| series.rows(1, UtcUs::EPOCH).map(|(_, row)| points(row, slot)).collect::<Vec<_>>();
        assert_eq!(of(0), [Some(1), Some(2), None]);
        assert_eq!(of(1), [None, Some(20), Some(30)]);
        let at = |second: u64| series.at(UtcUs(second * SECOND_US)).map(|(_, points)| points);
        assert_eq!(at(0), None);
        assert_eq!(at(2), Some(vec![("a".into(), 2), ("b".into(), 20)]));
    }
}
