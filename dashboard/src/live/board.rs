//! All of the scores: told once a second what Redis and the accounts say, asked by everybody. Pure: `now` comes in.
//!
//! Contest score = sealed scored rounds + the scored round that is played + adjustments. While a practice round is
//! played its points stand alone.

use super::archive::{self, Basis};
use super::audience::{Audience, Visibility, visibility};
use super::facts::{CarriedTotal, Contestant, Facts, Freeze, UserKey};
use super::round_now::ClimbState;
use super::series::Series;
use super::standings::{Answers, Figures, Participation, Score, Scores, Standing, Standings, rank};
use super::team_state::{StateSince, TeamState};
use super::validity::{HeardValidity, ValidityNow};
use super::window::{Count, Ring};
use flowtest_contest::breakpoint::Climber;
use flowtest_contest::names::HOUSE;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Histogram, RoundId, Row, Rules};
use flowtest_scoreboard::{RoundTotals, SeenGenerator};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SECOND_US: u64 = 1_000_000;
/// Movement and the last minute's points look back so far.
const MINUTE_US: u64 = 60 * SECOND_US;
/// Seconds are kept one by one; a longer time without one is a gap.
const GAP_US: u64 = 4 * SECOND_US;
/// How much was verified is told over so long.
const VERIFIED_US: u64 = 10 * SECOND_US;
/// A contestant is failing when nothing was right for so long.
const STATE_US: u64 = 5 * SECOND_US;
/// A rate is the mean over so long: three looks at Redis, so that one that came late does not show.
const RATE_US: u64 = 3 * SECOND_US;

/// What is known at an instant.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    pub now: UtcUs,
    pub control: Option<&'a Arc<Control>>,
    /// Of the control document's round.
    pub totals: Option<&'a RoundTotals>,
    pub generators: &'a [SeenGenerator],
    pub facts: &'a Arc<Facts>,
    /// Whether Redis answered. Otherwise the scores stay as they are.
    pub fresh: bool,
}

/// One second as it was counted.
#[derive(Clone, Debug)]
struct Second {
    scores: Arc<Scores>,
    counts: BTreeMap<UserKey, Count>,
}

#[derive(Clone, Debug, Default)]
pub struct Board {
    facts: Arc<Facts>,
    control: Option<Arc<Control>>,
    contestants: BTreeMap<UserKey, Contestant>,
    /// Whose counters the seconds hold.
    counted: Option<RoundId>,
    contest: Track,
    /// Of the practice round whose points are shown.
    practice: Option<(RoundId, Track)>,
    /// Practice rounds of before a restart, until it is known whether one of them goes on.
    practised: Vec<(RoundId, Scores)>,
    /// Of the document's round.
    validity: HeardValidity,
    /// The last second that was kept before a restart, until the first one after it.
    before_restart: Option<Scores>,
    has_counted: bool,
    /// From when to when nobody wrote down a round that was played.
    gaps: Vec<(UtcUs, UtcUs)>,
    /// How contestants fared last while this round ran and traffic was allowed.
    fared: (Option<RoundId>, BTreeMap<UserKey, StateSince>),
}

/// What is remembered of points that are counted from one basis. A practice round has one of its own, so that the
/// contest's outlasts it.
#[derive(Clone, Debug)]
struct Track {
    seconds: Ring<Second>,
    series: Series,
    reached: BTreeMap<UserKey, (i64, UtcUs)>,
    /// Latencies of the round that is played as the last look found them.
    latencies: BTreeMap<UserKey, Histogram>,
    /// The scores at the freeze, from the first look after it on.
    frozen: Option<(UtcUs, Arc<Scores>)>,
}

impl Default for Track {
    fn default() -> Track {
        Track {
            seconds: Ring::new(MINUTE_US),
            series: Series::default(),
            reached: BTreeMap::new(),
            latencies: BTreeMap::new(),
            frozen: None,
        }
    }
}

impl Board {
    /// A board that goes on where one before a restart was: rows of [`Board::archive`], in any order. Of a contest that
    /// is frozen they must hold the last one before the freeze.
    pub fn restored(past: impl IntoIterator<Item = (UtcUs, Vec<u8>)>, freeze: &Freeze) -> Board {
        let read = |(at, payload): (UtcUs, Vec<u8>)| {
            let read = archive::read(at, &payload);
            if read.is_none() {
                tracing::warn!(at = at.0, "a row of the history is left out: this program did not write it");
            }
            read
        };
        let mut past: Vec<(Basis, Scores)> = past.into_iter().filter_map(read).collect();
        past.sort_by_key(|(_, scores)| scores.at);
        let mut board = Board::default();
        for (basis, scores) in past {
            board.gaps.extend(scores.gap_from.map(|from| (from, scores.at)));
            match basis {
                Basis::Contest => {
                    board.before_restart = Some(scores.clone());
                    board.contest.recall(scores, freeze);
                }
                Basis::Practice(round) => board.practised.push((round, scores)),
            }
        }
        board
    }

    /// Takes what is known now.
    pub fn tick(&mut self, tick: &Tick<'_>) {
        self.facts = Arc::clone(tick.facts);
        self.control = tick.control.cloned();
        self.contestants = contestants(tick.control.map(|control| &**control), tick.facts);
        // Before anything newer comes in, so that nothing of after the freeze can be in it.
        let freeze = self.facts.freeze.at.filter(|at| *at <= tick.now);
        self.contest.hold(freeze);
        self.practice.iter_mut().for_each(|(_, track)| track.hold(freeze));
        if tick.fresh {
            self.validity.look(tick.control.map(|control| &**control), tick.generators, tick.totals, tick.now);
            self.advance(tick);
        } else {
            self.validity.heard_nothing(tick.now);
        }
    }

    /// How much of the round is valid, as an audience is told it. None before a generator has said anything.
    pub fn validity(&self, audience: &Audience, now: UtcUs) -> Option<ValidityNow> {
        let is_on = |control: &Arc<Control>| matches!(control.state, State::Running | State::Paused | State::Draining);
        let house = UserKey::from(HOUSE);
        let newest = self.newest();
        let house_failures = newest.lines.iter().find(|score| score.id == house).map(|score| score.figures.failures);
        self.validity.now(audience, self.control.as_ref().is_some_and(is_on), house_failures, now)
    }

    /// The standings as an audience sees them at an instant.
    pub fn standings(&self, audience: &Audience, now: UtcUs) -> Standings {
        let visibility = self.visibility(audience, now);
        let Some(freeze) = visibility.until() else { return self.show(&self.newest(), &visibility) };
        let mut shown = self.show(&self.scores_at(freeze), &visibility);
        // How somebody fares now is not for those who see an earlier instant, and how it did then helps nobody.
        shown.lines.iter_mut().for_each(|line| (line.state, line.state_since) = (None, None));
        let live = self.show(&self.newest(), &visibility);
        let is_own = |line: &Standing| visibility.owns(&line.contestant.id);
        if let Some(own) = live.lines.into_iter().find(is_own) {
            // Where it stands among the others would tell how they fare.
            let own = Standing { rank: None, rank_change: 0, decided: None, ..own };
            match shown.lines.iter_mut().find(|line| is_own(line)) {
                Some(line) => *line = own,
                None => shown.lines.push(own),
            }
        }
        shown
    }

    /// What everybody sees of a freeze that began at this instant, or saw when it is over.
    pub fn frozen_standings(&self, freeze: UtcUs) -> Standings {
        self.show(&self.scores_at(freeze), &visibility(&Audience::Public, &Freeze::default(), freeze))
    }

    /// What an audience may see at an instant.
    pub fn visibility(&self, audience: &Audience, now: UtcUs) -> Visibility {
        visibility(audience, &self.facts.freeze, now)
    }

    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    pub fn control(&self) -> Option<&Arc<Control>> {
        self.control.as_ref()
    }

    pub fn contestants(&self) -> &BTreeMap<UserKey, Contestant> {
        &self.contestants
    }

    /// From when to when nobody wrote down a round that was played.
    pub fn gaps(&self) -> &[(UtcUs, UtcUs)] {
        &self.gaps
    }

    pub fn series(&self) -> &Series {
        &self.track().series
    }

    /// The newest second, to be kept.
    pub fn archive(&self) -> Option<(UtcUs, Vec<u8>)> {
        let basis = self.practice.as_ref().map_or(Basis::Contest, |(round, _)| Basis::Practice(*round));
        let scores = &self.track().seconds.newest()?.scores;
        Some((scores.at, archive::write(basis, scores)))
    }

    /// When a contestant came to the points that it has now, of those that are shown; nobody comes to none.
    pub fn reached_at(&self, id: &UserKey) -> Option<UtcUs> {
        self.track().reached.get(id).filter(|(points, _)| *points != 0).map(|(_, at)| *at)
    }

    /// How contestants fared last while the document's round ran and traffic was allowed: what a pause, the end or the red switch
    /// has cut short. After a restart it begins anew.
    pub fn fared(&self) -> &BTreeMap<UserKey, StateSince> {
        &self.fared.1
    }

    fn track(&self) -> &Track {
        self.practice.as_ref().map_or(&self.contest, |(_, track)| track)
    }

    fn track_mut(&mut self) -> &mut Track {
        self.practice.as_mut().map_or(&mut self.contest, |(_, track)| track)
    }

    fn show(&self, scores: &Scores, visibility: &Visibility) -> Standings {
        let mut standings = rank(scores, &self.contestants);
        standings.lines.retain(|line| visibility.sees(&line.contestant));
        standings
    }

    fn newest(&self) -> Arc<Scores> {
        self.track().seconds.newest().map(|second| Arc::clone(&second.scores)).unwrap_or_default()
    }

    /// The scores at the freeze: those of the practice round that was being played then, if it still is, else the
    /// contest's.
    fn scores_at(&self, freeze: UtcUs) -> Arc<Scores> {
        let practised = self.practice.as_ref().map(|(_, track)| track.scores_at(freeze));
        practised.filter(|scores| !scores.lines.is_empty()).unwrap_or_else(|| self.contest.scores_at(freeze))
    }

    fn advance(&mut self, tick: &Tick<'_>) {
        let played = played(tick);
        self.turn_to(played.filter(|(control, ..)| !control.scored).map(|(_, round, _)| round));
        let round = played.map(|(_, round, _)| round);
        if self.counted != round {
            // The counters of the next round start at 0 again.
            self.track_mut().seconds.items_mut().for_each(|second| second.counts.clear());
            self.track_mut().latencies.clear();
            self.counted = round;
        }
        let mut scores = self.count(tick, played);
        self.note_how_they_fare(tick, &scores);
        scores.gap_from = self.gap_before(&scores, played);
        self.gaps.extend(scores.gap_from.map(|from| (from, scores.at)));
        let scores = Arc::new(scores);
        let count = |row: &Row| Count::of(&row.tally);
        let counts = self.contestants.values().filter_map(|contestant| {
            // Whoever has no row yet had no outcome.
            let row = played.and_then(|(_, _, totals)| Some(totals?.contestants.get(&contestant.name)))?;
            Some((contestant.id.clone(), row.map(count).unwrap_or_default()))
        });
        let counts = counts.collect();
        let rows = self.contestants.values().filter_map(|contestant| {
            let row = played.and_then(|(_, _, totals)| totals?.contestants.get(&contestant.name))?;
            Some((contestant.id.clone(), row.latency.clone()))
        });
        let latencies = rows.collect();
        let track = self.track_mut();
        track.latencies = latencies;
        track.series.push(&scores);
        track.seconds.push(tick.now, Second { scores, counts });
    }

    fn note_how_they_fare(&mut self, tick: &Tick<'_>, scores: &Scores) {
        let round = tick.control.and_then(|control| control.round);
        if self.fared.0 != round {
            self.fared = (round, BTreeMap::new());
        }
        // All get nothing then, which says nothing of anybody.
        if tick.control.is_some_and(|control| control.halted) {
            return;
        }
        let fare = scores.lines.iter().filter_map(|score| Some((score.id.clone(), score.state?)));
        self.fared.1.extend(fare);
    }

    /// Since when nobody has written down the round that is played, at the first second after a start: what was counted until
    /// then is known, and how it came is not.
    fn gap_before(&mut self, scores: &Scores, played: Option<Played<'_>>) -> Option<UtcUs> {
        let before = self.before_restart.take();
        if std::mem::replace(&mut self.has_counted, true) {
            return None;
        }
        let (control, ..) = played.filter(|(control, ..)| control.scored && control.state != State::Sealed)?;
        let start = control.timeline.start_at?;
        let before = before.filter(|before| before.at >= start);
        let from = before.as_ref().map_or(start, |before| before.at);
        let counted = |scores: &Scores| -> BTreeMap<UserKey, (i64, u64)> {
            let lines = scores.lines.iter();
            lines.map(|line| (line.id.clone(), (line.figures.points, line.figures.failures))).collect()
        };
        // Seconds in which nothing changes are not kept.
        let is_same = before.is_some_and(|before| counted(&before) == counted(scores));
        (scores.at.saturating_since(from) > GAP_US && !is_same).then_some(from)
    }

    /// Shows the points of a practice round, or of none.
    fn turn_to(&mut self, practice: Option<RoundId>) {
        // Whatever was played before a restart either goes on now, or never does.
        let practised = std::mem::take(&mut self.practised);
        if self.practice.as_ref().map(|(round, _)| *round) == practice {
            return;
        }
        self.practice = practice.map(|round| {
            let mut track = Track::default();
            for (_, scores) in practised.into_iter().filter(|(of, _)| *of == round) {
                track.recall(scores, &self.facts.freeze);
            }
            (round, track)
        });
    }

    fn count(&mut self, tick: &Tick<'_>, played: Option<Played<'_>>) -> Scores {
        let now = tick.now;
        let seconds = &self.track().seconds;
        let before = seconds.since(now.saturating_sub(MINUTE_US)).map(|(_, second)| Arc::clone(&second.scores));
        let first = before.is_none();
        let before = before.unwrap_or_default();
        let ranks: BTreeMap<UserKey, u32> = rank(&before, &self.contestants)
            .lines
            .into_iter()
            .filter_map(|line| Some((line.contestant.id, line.rank?)))
            .collect();
        let points_before: BTreeMap<&UserKey, i64> =
            before.lines.iter().map(|line| (&line.id, line.figures.points)).collect();
        let practice = self.practice.is_some();
        let facts = Arc::clone(&self.facts);
        let newest = self.newest();
        let roster = tick.control.into_iter().flat_map(|control| &control.contest.contestants);
        let roster: BTreeSet<&str> = roster.map(|contestant| contestant.name.as_str()).collect();
        let newest_decision = tick.totals.and_then(|totals| totals.decisions.last());
        let climb_state =
            tick.control.zip(newest_decision).map(|(control, newest)| ClimbState::of(control, newest, now));
        let climb_state = climb_state.unwrap_or(ClimbState::Climbing);
        let climbers = tick.totals.map_or(&[][..], RoundTotals::climbers);
        let climbers: BTreeMap<&str, &Climber> = climbers.iter().map(|one| (one.contestant.as_str(), one)).collect();
        let steps = tick.control.map(|control| control.contest.counted_steps()).unwrap_or_default();
        let counted = tick.totals.map_or(&[][..], |totals| totals.counted_climbers(&steps));
        let counted: BTreeMap<&str, &Climber> = counted.iter().map(|one| (one.contestant.as_str(), one)).collect();
        let lines_before: BTreeMap<&UserKey, &Score> = newest.lines.iter().map(|line| (&line.id, line)).collect();
        let (rank_by, worth) = tick
            .control
            .map_or_else(Default::default, |control| (control.contest.rank_by, control.contest.breakpoint_points));
        let mut lines = Vec::with_capacity(self.contestants.len());
        for contestant in self.contestants.values() {
            let id = &contestant.id;
            let is_left_out = is_left_out(tick, contestant);
            let totals = played.and_then(|(_, _, totals)| totals).or(tick.totals.filter(|_| is_left_out));
            let row = totals.and_then(|totals| totals.contestants.get(&contestant.name));
            let climber = totals.and_then(|_| climbers.get(contestant.name.as_str()));
            let carried = facts.carried.of(id).filter(|_| !practice);
            let adjusted = if practice { 0 } else { facts.adjustments.get(id).copied().unwrap_or(0) };
            let rules = tick.control.map(|control| control.contest.rules).unwrap_or_default();
            let mut score = total(id.clone(), row, &rules, carried, adjusted);
            score.participation = Some(Participation::of(contestant));
            let line_before = lines_before.get(id).copied();
            if let Some(climber) = climber {
                let counted = counted.get(contestant.name.as_str()).copied();
                score.figures.climb(climber, counted, climb_state);
                let holds = counted.map_or(0, |counted| counted.holds);
                score.figures.points = score.figures.points.saturating_add(held_points(holds, worth));
            } else if let Some(climbed) = carried.and_then(|carried| carried.climbed.as_ref()) {
                // Its points are in those of the results.
                score.figures.held(climbed);
            }
            if !first {
                let points_before = points_before.get(id).copied().unwrap_or(0);
                score.figures.points_last_minute = score.figures.points.saturating_sub(points_before);
            }
            score.rank_before = ranks.get(id).copied();
            let reached = self.track().reached.get(id).filter(|(points, _)| *points == score.figures.points);
            score.reached_at = reached.map(|(_, at)| *at);
            if let Some(row) = row {
                self.pace(&mut score, Count::of(&row.tally), now);
                score.answers = self.answers(id, row, line_before.map(|line| line.answers));
            }
            let plays = roster.contains(contestant.name.as_str());
            score.state = played
                .and_then(|(control, ..)| self.state(control, contestant, plays, row, now))
                .map(|state| StateSince::next(line_before.and_then(|line| line.state), state, now));
            lines.push(score);
        }
        let track = self.track_mut();
        for score in &mut lines {
            let reached_at = *score.reached_at.get_or_insert(now);
            track.reached.insert(score.id.clone(), (score.figures.points, reached_at));
        }
        let invalid_seconds = self.validity.sum().unwrap_or_default().invalid_seconds();
        Scores { at: now, lines, invalid_seconds, gap_from: None, rank_by }
    }

    fn state(
        &self,
        control: &Control,
        contestant: &Contestant,
        plays: bool,
        row: Option<&Row>,
        now: UtcUs,
    ) -> Option<TeamState> {
        let id = &contestant.id;
        let (at, second) = self.track().seconds.at(now.saturating_sub(STATE_US))?;
        // Counters of before a gap say nothing of these seconds.
        let before = second.counts.get(id).copied().filter(|_| now.saturating_since(*at) < 3 * STATE_US);
        let count = row.map(|row| Count::of(&row.tally));
        TeamState::of(control, contestant, plays, count, before)
    }

    /// What its answers of the round were, and how fast those since the last look. `before`: what its line said then.
    fn answers(&self, id: &UserKey, row: &Row, before: Option<Answers>) -> Answers {
        let count = Count::of(&row.tally);
        let nothing = Histogram::default();
        let second = row.latency.since(self.track().latencies.get(id).unwrap_or(&nothing));
        // Second by second, so that a header that was wrong once hides none that is wrong now. Whoever has no counters of the
        // round before these begins with what they say.
        let counted = self.track().seconds.newest().and_then(|second| second.counts.get(id));
        let verified = match (counted, before) {
            (Some(counted), Some(before)) => before.verified.saturating_add(count.since(*counted).verified()),
            _ => count.verified(),
        };
        Answers {
            verified,
            wrong: count.responses.saturating_sub(verified),
            failed: row.tally.failures(),
            second_p50_us: second.quantile(0.5),
            second_p99_us: second.quantile(0.99),
        }
    }

    /// The rate and how much was verified, from the counters of some seconds ago.
    fn pace(&self, score: &mut Score, count: Count, now: UtcUs) {
        let earlier = |us: u64| {
            let (at, second) = self.track().seconds.since(now.saturating_sub(us))?;
            Some((now.saturating_since(*at), *second.counts.get(&score.id)?))
        };
        if let Some((us, before)) = earlier(RATE_US) {
            score.figures.rate = count.rate_since(before, us);
        }
        // Whose counters are not so old yet began at nothing.
        let before = earlier(VERIFIED_US).map(|(_, before)| before).unwrap_or_default();
        score.figures.verified_permille = count.verified_permille_since(before);
    }
}

impl Track {
    /// Takes a row of before a restart; they come in order.
    fn recall(&mut self, scores: Scores, freeze: &Freeze) {
        for score in &scores.lines {
            let reached_at = score.reached_at.unwrap_or(scores.at);
            self.reached.insert(score.id.clone(), (score.figures.points, reached_at));
        }
        self.series.push(&scores);
        let (at, scores) = (scores.at, Arc::new(scores));
        if let Some(freeze) = freeze.at.filter(|freeze| at <= *freeze) {
            self.frozen = Some((freeze, Arc::clone(&scores)));
        }
        self.seconds.push(at, Second { scores, counts: BTreeMap::new() });
    }

    /// Keeps the scores of the freeze when it has begun: nothing of later can take their place.
    fn hold(&mut self, freeze: Option<UtcUs>) {
        match freeze {
            Some(at) if self.frozen.as_ref().is_none_or(|(held, _)| *held != at) => {
                self.frozen = Some((at, self.found_at(at)));
            }
            Some(_) => {}
            None => self.frozen = None,
        }
    }

    fn scores_at(&self, freeze: UtcUs) -> Arc<Scores> {
        match &self.frozen {
            Some((at, scores)) if *at == freeze => Arc::clone(scores),
            _ => self.found_at(freeze),
        }
    }

    /// The scores of an instant, as far as they are still known: whole for a minute, then the points alone.
    fn found_at(&self, instant: UtcUs) -> Arc<Scores> {
        if let Some((_, second)) = self.seconds.at(instant) {
            return Arc::clone(&second.scores);
        }
        let (at, points) = self.series.at(instant).unwrap_or((instant, Vec::new()));
        let lines = points.into_iter().map(|(id, points)| Score::of_points(id, points)).collect();
        Arc::new(Scores { at, lines, ..Scores::default() })
    }
}

/// The document, the round whose points count now, and what Redis holds of it.
type Played<'a> = (&'a Control, RoundId, Option<&'a RoundTotals>);

/// The round that is played, or whose result is not sealed into the carried totals yet.
fn played<'a>(tick: &Tick<'a>) -> Option<Played<'a>> {
    let control = tick.control?;
    let counts = match control.state {
        State::Armed | State::Running | State::Paused | State::Draining | State::Sealed => true,
        State::Draft | State::Aborted => false,
    };
    let round = control.round.filter(|round| counts && !tick.facts.carried.has(round))?;
    Some((control, round, tick.totals))
}

/// Whether somebody played a round whose results are carried, and has none of its own there: a contestant without an account,
/// and a house of before its results were kept. What Redis holds of it is shown until the next round.
fn is_left_out(tick: &Tick<'_>, contestant: &Contestant) -> bool {
    let round = tick.control.filter(|control| control.state == State::Sealed).and_then(|control| control.round);
    let carried = &tick.facts.carried;
    round.is_some_and(|round| carried.has(&round) && !carried.is_voided(&round) && carried.of(&contestant.id).is_none())
}

/// What a rate that is held is worth beside the answers.
pub fn held_points(holds: u64, breakpoint_points: u32) -> i64 {
    i64::try_from(holds).unwrap_or(i64::MAX).saturating_mul(breakpoint_points.into())
}

fn total(id: UserKey, row: Option<&Row>, rules: &Rules, carried: Option<&CarriedTotal>, adjusted: i64) -> Score {
    let points = row.map_or(0, |row| row.tally.points(rules))
        + carried.map_or(0, |carried| carried.points)
        + i128::from(adjusted);
    let latency = match (row, carried) {
        (Some(row), Some(carried)) => {
            let mut latency = carried.latency.clone();
            latency.merge(&row.latency);
            Some(latency)
        }
        (Some(row), None) => Some(row.latency.clone()),
        (None, carried) => carried.map(|carried| carried.latency.clone()),
    };
    let quantile = |at: f64| latency.as_ref().and_then(|latency: &Histogram| latency.quantile(at));
    let (failures, void) = row.map_or((0, 0), |row| (row.tally.failures(), row.tally.own_fault));
    let figures = Figures {
        // 2^63 points are 10^9 a second for three centuries.
        points: points.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64,
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        failures: failures.saturating_add(carried.map_or(0, |carried| carried.failures)),
        void: void.saturating_add(carried.map_or(0, |carried| carried.void)),
        ..Figures::default()
    };
    Score { figures, ..Score::of_points(id, figures.points) }
}

/// Everybody with a line: the roster, and who has points of earlier rounds. A contestant without an account (a contest
/// from a file, the house target) goes by its name.
pub(super) fn contestants(control: Option<&Control>, facts: &Facts) -> BTreeMap<UserKey, Contestant> {
    let by_name: BTreeMap<&str, &Contestant> = facts.contestants.iter().map(|one| (one.name.as_str(), one)).collect();
    let stranger = |control: &Control, name: &str| Contestant {
        id: control.ids.get(name).map_or(name, String::as_str).into(),
        name: name.to_owned(),
        display_name: name.to_owned(),
        category: None,
        hidden: false,
        disqualified: false,
        absent: false,
    };
    let roster = control.into_iter().flat_map(|control| {
        let names = control.contest.contestants.iter().map(|contestant| contestant.name.as_str());
        names.map(|name| by_name.get(name).map_or_else(|| stranger(control, name), |known| (*known).clone()))
    });
    let mut all: BTreeMap<UserKey, Contestant> = roster.map(|contestant| (contestant.id.clone(), contestant)).collect();
    // Before the first round nobody is late.
    let is_on =
        |control: &Control| matches!(control.state, State::Running | State::Paused | State::Draining | State::Sealed);
    let has_played = control.is_some_and(is_on) || !facts.carried.is_empty();
    for one in &facts.contestants {
        let has_result = facts.carried.of(&one.id).is_some();
        let has_points = has_result || facts.adjustments.contains_key(&one.id);
        // The house is no account: it is there or not by the organiser's choice.
        let may_be_absent = has_played && one.name != HOUSE;
        if !all.contains_key(&one.id) && (may_be_absent || has_points) {
            all.insert(one.id.clone(), Contestant { absent: may_be_absent && !has_result, ..one.clone() });
        }
    }
    all
}
