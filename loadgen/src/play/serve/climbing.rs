//! Breakpoint phases among several generators: what each has counted in a hold goes to Redis once it is on its disk; one of
//! them, the first of the split that is alive, decides from the sums of all what comes next; and all of them, itself included,
//! go by what then stands in Redis.
//!
//! When it is late, because it has just died, any of the others decides: of two decisions Redis keeps the first. While Redis is
//! away nobody decides, and nobody climbs. Whoever has come in mid-climb and finds no decision there, as in a Redis that is another
//! one now, leaves it to those who have played for longer: they know them all, and it would begin anew.

use super::home::Home;
use super::round_runner::{RoundRunner, SaidHold};
use crate::engine::block::CountedHold;
use crate::engine::plan::HoldWindow;
use crate::play::steps::{HoldFigures, ToJudge};
use flowtest_contest::breakpoint::Decision;
use flowtest_contest::timeline::{Split, Timeline};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{HoldReport, Scoreboard, ScoreboardError, SeenGenerator};
use std::collections::BTreeSet;

impl RoundRunner {
    /// Hears of decisions, says what is counted here, and decides where that is our part.
    ///
    /// # Errors
    /// [`ScoreboardError::Decision`] for one that nobody can read, and what is wrong with Redis.
    pub fn climb(&mut self, home: &Home, scoreboard: &mut Scoreboard) -> Result<(), ScoreboardError> {
        let unread = self.hear_steps(home, scoreboard)?;
        self.say_hold(home, scoreboard)?;
        self.decide_step(home, scoreboard)?;
        unread.map_or(Ok(()), Err)
    }

    /// Returns what is wrong with a decision that is there and cannot be read.
    fn hear_steps(
        &mut self,
        home: &Home,
        scoreboard: &mut Scoreboard,
    ) -> Result<Option<ScoreboardError>, ScoreboardError> {
        let (now, mut unread) = (self.now(), None);
        let Some((steps, plan)) = self.driver.steps() else { return Ok(None) };
        for step in steps.to_hear(plan, now) {
            let heard = readable(scoreboard.read_step(&home.contest, &self.id, step), &mut unread)?;
            let Some((steps, plan)) = self.driver.steps() else { return Ok(unread) };
            let roster = plan.contestants.iter().map(|one| one.name.as_str());
            let ours = heard.filter(|decision| is_ours(decision, step, roster));
            let is_impossible = ours.as_ref().is_some_and(|decision| !steps.is_possible(decision));
            if is_impossible {
                unread = Some(ScoreboardError::Decision { step });
            }
            let Some(decision) = ours.filter(|_| !is_impossible) else {
                steps.skip(plan, now, step);
                continue;
            };
            for missed in self.missed(home, scoreboard, &decision)?.iter().rev() {
                self.driver.take_step(missed, now);
            }
            self.driver.take_step(&decision, self.now());
        }
        Ok(unread)
    }

    /// Decisions that this one goes on from, and that we do not know: the newest first. We have looked for them too early.
    fn missed(
        &mut self,
        home: &Home,
        scoreboard: &mut Scoreboard,
        decision: &Decision,
    ) -> Result<Vec<Decision>, ScoreboardError> {
        let Some((steps, _)) = self.driver.steps() else { return Ok(Vec::new()) };
        let (known, mut missed, mut next) = (steps.tried(), Vec::new(), decision.judged);
        while next > known {
            // Why it cannot be read was told when it was looked for.
            let one = readable(scoreboard.read_step(&home.contest, &self.id, next), &mut None)?;
            let Some(one) = one else { break };
            let Some((steps, plan)) = self.driver.steps() else { break };
            let roster = plan.contestants.iter().map(|one| one.name.as_str());
            if !is_ours(&one, next, roster) || !steps.is_possible(&one) || one.judged >= next {
                break;
            }
            next = one.judged;
            missed.push(one);
        }
        Ok(missed)
    }

    /// Only once nothing falls due in the hold any more: before that it is nobody's business.
    fn say_hold(&mut self, home: &Home, scoreboard: &mut Scoreboard) -> Result<(), ScoreboardError> {
        let now = self.now();
        let Some((steps, plan)) = self.driver.steps() else { return Ok(()) };
        let Some(window) = steps.window(plan).filter(|window| window.to <= plan.utc_us(now)) else { return Ok(()) };
        let Some(hold) = self.driver.counted().map(|progress| &progress.sums.hold) else { return Ok(()) };
        let CountedHold { counts, is_settled } = hold.report(self.driver.plan());
        let counted = counts.iter().map(|counts| counts.due + counts.late).sum();
        let said = SaidHold { step: hold.step, counted, is_settled };
        if hold.step != window.step || said == self.said {
            return Ok(());
        }
        let report = HoldReport { step: hold.step, is_settled, counts: counts.to_vec() };
        scoreboard.write_hold(&home.contest, &self.id, self.stream, &report)?;
        self.said = said;
        Ok(())
    }

    fn decide_step(&mut self, home: &Home, scoreboard: &mut Scoreboard) -> Result<(), ScoreboardError> {
        let now = self.now();
        let at = self.utc_us();
        let Some((steps, plan)) = self.driver.steps() else { return Ok(()) };
        let Some(to_judge) = steps.to_judge(plan, now) else { return Ok(()) };
        let ToJudge { window, is_last_chance, .. } = to_judge;
        let may_lack = steps.may_lack(plan);
        let Some(split) = self.control.timeline.split_at(at) else { return Ok(()) };
        let generators = match is_last_chance && !may_lack {
            true => Vec::new(),
            false => scoreboard.read_generators(&home.contest)?,
        };
        let takes_from = self.takes_from().unwrap_or(UtcUs::MAX);
        let us = Candidate { id: &home.id, takes_from, may_lack, is_last_chance };
        if !us.decides(split, self.id, &generators) {
            return Ok(());
        }
        self.put_back_steps(home, scoreboard)?;
        let reports = scoreboard.read_holds(&home.contest, &self.id, window.step)?;
        let Some((steps, plan)) = self.driver.steps() else { return Ok(()) };
        let told = reports.iter().map(|report| CountedHold { counts: &report.counts, is_settled: report.is_settled });
        let figures = HoldFigures::together(told, sharers(&self.control.timeline, window));
        if !is_last_chance && !steps.is_whole(&figures, plan) {
            return Ok(());
        }
        let decision = steps.decide(to_judge, &figures, plan);
        // Whatever Redis took for its answers until here, and takes for this one: who hears of it later cannot follow.
        if scoreboard.put_step_before(&home.contest, &self.id, &decision, to_judge.heard_by)? {
            self.driver.take_step(&decision, self.now());
        }
        Ok(())
    }

    /// A Redis that is another one now lacks decisions that we know: who begins anew goes by them.
    fn put_back_steps(&mut self, home: &Home, scoreboard: &mut Scoreboard) -> Result<(), ScoreboardError> {
        let Some((steps, _)) = self.driver.steps() else { return Ok(()) };
        let Some(newest) = steps.newest().map(|newest| newest.step) else { return Ok(()) };
        let held = scoreboard.read_newest_step(&home.contest, &self.id)?;
        if held.is_some_and(|held| held.step >= newest) {
            return Ok(());
        }
        let Some((steps, _)) = self.driver.steps() else { return Ok(()) };
        for decision in steps.known() {
            scoreboard.put_step(&home.contest, &self.id, decision)?;
        }
        Ok(())
    }
}

/// A decision, as far as there is one that can be read; why it cannot is put into `unread`.
fn readable(
    read: Result<Option<Decision>, ScoreboardError>,
    unread: &mut Option<ScoreboardError>,
) -> Result<Option<Decision>, ScoreboardError> {
    match read {
        Err(error @ ScoreboardError::Decision { .. }) => {
            *unread = Some(error);
            Ok(None)
        }
        read => read,
    }
}

/// A decision of this round's roster, and of the step that was asked for.
fn is_ours<'a>(decision: &Decision, step: u32, roster: impl Iterator<Item = &'a str>) -> bool {
    let names = decision.climbers.iter().map(|climber| climber.contestant.as_str());
    // Who has joined since is not in it, or not yet known here.
    decision.step == step && names.zip(roster).all(|(ours, theirs)| ours == theirs)
}

/// How many generators had a share of the requests in a hold, by the splits that counted in it.
fn sharers(timeline: &Timeline, window: HoldWindow) -> usize {
    let ends = timeline.splits.iter().skip(1).map(|next| next.from).chain([UtcUs::MAX]);
    let counted = timeline.splits.iter().zip(ends).filter(|(split, end)| {
        let (from, to) = (split.from.max(window.from), window.to.min(*end));
        from < to
    });
    counted.flat_map(|(split, _)| &split.generators).collect::<BTreeSet<_>>().len()
}

/// A generator that might decide.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    id: &'a str,
    /// From which instant on splits are its.
    takes_from: UtcUs,
    /// See [`Steps::may_lack`](crate::play::steps::Steps::may_lack).
    may_lack: bool,
    /// Whoever should decide has not.
    is_last_chance: bool,
}

impl Candidate<'_> {
    /// Whether it does: the first of the split that is alive and plays the round, and anybody in the end. Who may lack decisions
    /// leaves it to whoever plays for longer, so that one of them always does.
    fn decides(&self, split: &Split, round: RoundId, generators: &[SeenGenerator]) -> bool {
        let health = |name: &str| {
            let health = generators.iter().find(|one| one.id == name).and_then(|one| one.health.as_ref());
            health.filter(|health| health.round == Some(round))
        };
        let mut names = split.generators.iter().map(String::as_str);
        let is_its_turn = match self.is_last_chance {
            true => names.any(|name| name == self.id),
            false => names.find(|name| health(name).is_some()) == Some(self.id),
        };
        let plays_longer = |name: &str| {
            let takes_from = health(name).and_then(|health| health.takes_from);
            name != self.id && takes_from.is_some_and(|from| from < self.takes_from)
        };
        is_its_turn && !(self.may_lack && split.generators.iter().any(|name| plays_longer(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_scoreboard::GeneratorHealth;
    use flowtest_testkit::documents::generator_health;

    #[test]
    fn who_comes_in_mid_climb_and_knows_no_decision_leaves_it_to_who_plays_for_longer() {
        let (round, other) = (RoundId::from_bits(7), RoundId::from_bits(8));
        let split = Split { from: UtcUs(0), generators: ["a", "b", "c"].map(str::to_owned).to_vec() };
        let seen = |id: &str, round, takes_from: Option<u64>| {
            let (round, takes_from) = (Some(round), takes_from.map(UtcUs));
            let health = GeneratorHealth { round, takes_from, ..generator_health(id, UtcUs(50)) };
            SeenGenerator { id: id.to_owned(), beat: UtcUs(50), health: Some(health), waiting: None }
        };
        let decides = |id: &str, takes_from, may_lack, is_last_chance, generators: &[SeenGenerator]| {
            let candidate = Candidate { id, takes_from: UtcUs(takes_from), may_lack, is_last_chance };
            candidate.decides(&split, round, generators)
        };
        // The first was started anew at 40; the second plays from the beginning, and the third another round.
        let generators = [seen("a", round, Some(40)), seen("b", round, Some(1)), seen("c", other, Some(1))];
        assert!(decides("a", 40, false, false, &generators), "the first that is alive, once it knows them");
        assert!(!decides("a", 40, true, false, &generators) && !decides("a", 40, true, true, &generators));
        assert!(!decides("b", 1, false, false, &generators), "not before its turn");
        assert!(decides("b", 1, false, true, &generators), "in its place");
        // Both were started anew, or nobody else plays the round: whoever was there first begins anew.
        let anew = [seen("a", round, Some(40)), seen("b", round, Some(41)), seen("c", other, Some(1))];
        assert!(decides("a", 40, true, false, &anew) && !decides("b", 41, true, true, &anew));
        let leaving = [seen("a", round, Some(40)), seen("b", round, None)];
        assert!(decides("a", 40, true, false, &leaving), "who leaves takes no share, and may be gone");
        assert!(!decides("d", 1, false, true, &generators), "it has no share");
    }

    #[test]
    fn whoever_had_a_share_in_the_hold_is_to_be_heard() {
        let split = |from, names: &[&str]| Split {
            from: UtcUs(from),
            generators: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let splits = vec![
            split(0, &["a", "b"]),
            split(20, &["a", "c"]),
            // the place of the one before it
            split(30, &["d"]),
            split(30, &["a", "e", "f"]),
        ];
        let timeline = Timeline { splits, ..Timeline::default() };
        let of = |from, to| sharers(&timeline, HoldWindow { step: 0, from: UtcUs(from), to: UtcUs(to) });
        assert_eq!([of(5, 20), of(5, 21), of(20, 30), of(20, 31), of(40, 50)], [2, 3, 2, 4, 3]);
    }
}
