//! Practice that climbs: short steps from a low rate up, until one breaks or the time is over. What it finds is as close as half a
//! minute allows; `limit` on a machine of one's own finds it closer.

use super::{Newest, Session};
use crate::Failed;
use crate::engine::clock::RunInstant;
use crate::engine::plan::{Load, NS_PER_SECOND, Phase, Ramp};
use crate::engine::run::{Clock, Progress};
use crate::engine::schedule::Schedule;
use crate::observe::summary::Figures;
use crate::play::driver::{Ended, LOOK, Totals};
use crate::play::plan::HEAD_START;
use flowtest_contest::breakpoint::HoldSums;
use flowtest_contest::climbed::{Climbed, JudgedStep};
use flowtest_contest::endpoint::Endpoint;
use flowtest_contest::ladder::{Found, HoldVerdict, Ladder, LadderTerms, Measured, Step};
use flowtest_contract::text::grouped;
use flowtest_scoreboard::practice::PracticeState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The first step is this part of the highest: six steps lead there.
const START_PART: u64 = 16;
const STEP: Step = Step::Times(1.6);
/// A step settles for so long, and is judged for so long.
const SETTLE_MS: u64 = 500;
const JUDGED_MS: u64 = 1_500;
/// Connections at most: as many as the highest rate needs when answers take a second.
const CONNECTIONS_MAX: u32 = 2_000;

/// One rate, played.
struct PlayedStep {
    /// What was counted while it was judged.
    sums: HoldSums,
    /// Our own side kept to its plan.
    valid: bool,
}

impl Session {
    /// Climbs until the ladder ends, the time is over, or somebody stops it; says what was found.
    pub(super) fn climb(&mut self, endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<String, Failed> {
        let (max, pass) = (self.request.rate, self.config.pass);
        let terms = LadderTerms { start: (max / START_PART).max(1), step: STEP, max, pass };
        let mut ladder = Ladder::new(terms).map_err(Failed::Message)?;
        let begun = Instant::now();
        let length = Duration::from_secs(self.request.seconds);
        let mut errors = Newest::default();
        self.report.climb = Some(Climbed { pass: Some(pass), ..Climbed::default() });
        while let Some(hold) = ladder.now() {
            if begun.elapsed() + Duration::from_millis(SETTLE_MS + JUDGED_MS) > length {
                break;
            }
            let PlayedStep { sums, valid } = self.step(endpoint, addresses, hold.sent(), &mut errors)?;
            if let Some(reason) = self.stop_handle.reason() {
                return Ok(reason);
            }
            let due = sums.due.saturating_sub(sums.own_fault);
            let verdict = ladder.take(
                Measured { due, verified: sums.verified, p99_us: sums.p99_us, valid }.beside(sums.own_fault, &pass),
            );
            self.report.second = begun.elapsed().as_secs().min(self.request.seconds);
            self.note(JudgedStep { step: 0, tried: hold.sent(), verdict: Some(verdict), sums }, ladder.found());
            let told = if verdict == HoldVerdict::Rested { "it rests".to_owned() } else { told(hold.sent(), verdict) };
            self.say(PracticeState::Running, told);
        }
        let mut climbed = self.report.climb.take().unwrap_or_default();
        note_break(&mut climbed, ladder.found(), true);
        self.report.climb = Some(climbed.clone());
        // Where nothing broke, its sentence says so.
        let is_cut = if ladder.is_searched() && climbed.breaks_at.is_some() {
            " The time was over before it was found more closely."
        } else {
            ""
        };
        Ok(format!("practice is over. {}{is_cut}", climbed.message()))
    }

    fn note(&mut self, step: JudgedStep, found: Found) {
        let Some(climbed) = &mut self.report.climb else { return };
        let number = climbed.steps.len() as u32;
        climbed.steps.push(JudgedStep { step: number, ..step });
        let holding = climbed
            .steps
            .iter()
            .rev()
            .find(|step| step.tried == found.holds && step.verdict == Some(HoldVerdict::Passed));
        climbed.holds_p99_us = holding.and_then(|step| step.sums.p99_us);
        climbed.holds_since = holding.map(|step| step.step);
        climbed.holds = found.holds;
        note_break(climbed, found, false);
    }

    /// One rate.
    fn step(
        &mut self,
        endpoint: &Endpoint,
        addresses: &[SocketAddr],
        rate: u64,
        errors: &mut Newest,
    ) -> Result<PlayedStep, Failed> {
        let clock = Clock::now();
        let start = Schedule::before_pauses(clock.after(HEAD_START));
        let judged = start + SETTLE_MS * NS_PER_SECOND / 1_000;
        let connections = self.config.pass.connections(rate, CONNECTIONS_MAX);
        let load = Load::Open(Ramp::per_second(rate, rate));
        let phase = |start, end, scored| Phase { start, end, load, connections, scored };
        let phases =
            [phase(start, judged, false), phase(judged, judged + JUDGED_MS * NS_PER_SECOND / 1_000, true)].into();
        let plan = Arc::new(self.plan(endpoint, addresses, clock, phases)?);
        let mut driver = self.driver(plan, clock)?;
        while !driver.is_over() {
            thread::sleep(LOOK);
            driver.look().into_iter().for_each(|explained| errors.note(explained.error));
        }
        let Ended { result, broken, .. } = driver.finish(false);
        if let Some(broken) = broken {
            return Err(broken.into());
        }
        let Totals { closed, progress, .. } = result?;
        let Progress { sums, .. } = progress;
        let total = &closed.summary.total;
        self.count(RunInstant::START, &sums.scored[0].row, RunInstant::START, errors);
        Ok(PlayedStep { sums: counted(total), valid: closed.validity.is_on_plan() })
    }
}

/// What has broken it, where a break above what its connections carry is theirs.
fn note_break(climbed: &mut Climbed, found: Found, is_over: bool) {
    let passed = climbed.steps.iter().filter(|step| step.verdict == Some(HoldVerdict::Passed));
    let lowest_us = passed.filter_map(|step| step.sums.p99_us).min();
    let Found { broke, unbroken, .. } = found.over(CONNECTIONS_MAX, lowest_us, is_over);
    (climbed.breaks_at, climbed.breaks_by) = broke.unzip();
    climbed.unbroken = unbroken;
}

/// What was counted in a step. In its latencies a request that timed out or was missed took the timeout, as in a round.
fn counted(total: &Figures) -> HoldSums {
    HoldSums {
        due: total.requests,
        verified: total.verified,
        own_fault: total.failed.own_fault,
        p99_us: total.latency_us.p99,
        ..HoldSums::default()
    }
}

fn told(rate: u64, verdict: HoldVerdict) -> String {
    let became = match verdict {
        HoldVerdict::Passed => "passed",
        HoldVerdict::FailedByVerified => "failed: too few answers were verified",
        HoldVerdict::FailedByP99 => "failed: too slow",
        HoldVerdict::NotValid => "is tried again: our own side was not valid",
        HoldVerdict::Rested => "rested",
    };
    format!("{}/s {became}", grouped(rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::block::Block;
    use crate::engine::connection::OutcomeSink;
    use crate::engine::contestant::OutcomeRecorder;
    use crate::engine::exchange::Exchange;
    use crate::engine::index::ContestantIndex;
    use crate::engine::pacer::Due;
    use crate::engine::plan::Plan;
    use crate::engine::ring::Features;
    use crate::engine::timeouts::Timeouts;
    use crate::engine::trace::{ResponseBytes, Tracing};
    use crate::observe::summary::Summary;
    use flowtest_contest::ladder::{Pass, Unbroken};
    use flowtest_contract::verdict::{Failure, Observed, Outcome, Seen};

    /// What a step of a hundred requests comes to, of which so many time out and the others are answered in a millisecond.
    fn step(timeouts: u64) -> HoldSums {
        let plan = Plan::default();
        let mut block = Block::new(1, Tracing::Off);
        for nth in 0..100 {
            let due = Due { intended: RunInstant::from_ns(nth), scored: true };
            let times = Timeouts::new(plan.timeout());
            let now = due.intended + if nth < timeouts { plan.timeout() } else { 1_000_000 };
            let mut outcomes = OutcomeRecorder::new(&plan, &mut block, &times, ContestantIndex::FIRST, now);
            outcomes.fell_due(due, false);
            let right = Observed { token_right: true, version: Seen::Missing, from: Seen::Missing };
            let outcome = if nth < timeouts { Outcome::Failed(Failure::Timeout) } else { Outcome::Answered(right) };
            outcomes.settle(&Exchange::new(due, due.intended), outcome, &ResponseBytes::NOTHING);
        }
        let features = Features { no_sqarray: true, min_wait: true };
        let (now, until) = (RunInstant::START, RunInstant::START);
        let progress = Progress { now, until, attended: RunInstant::START, sums: block, workers: Vec::new(), features };
        counted(&Summary::of(&plan, &progress, false).total)
    }

    #[test]
    fn a_break_above_what_its_connections_carry_is_told_as_theirs_also_where_the_time_was_over() {
        let sums = HoldSums { p99_us: Some(1_200_000), ..HoldSums::default() };
        let passed = JudgedStep { step: 0, tried: 1_250, verdict: Some(HoldVerdict::Passed), sums };
        let climbed = |rate| {
            let mut climbed = Climbed { holds: 1_250, steps: vec![passed], ..Climbed::default() };
            let broke = Some((rate, HoldVerdict::FailedByP99));
            note_break(&mut climbed, Found { holds: 1_250, broke, unbroken: None }, true);
            climbed
        };
        assert_eq!(climbed(1_600).breaks_at, Some(1_600));
        let theirs = climbed(2_000);
        assert_eq!((theirs.breaks_at, theirs.unbroken), (None, Some(Unbroken::Connections)));
        assert!(theirs.message().contains("its connections carried no more"), "{}", theirs.message());
    }

    #[test]
    fn a_request_that_times_out_took_the_timeout_as_in_a_round() {
        let timeout_us = Plan::default().rules.timeout_us;
        // Where hardly any answer must be right, latency alone judges.
        let pass = Pass { verified: 0.01, p99_us: timeout_us / 2 };
        let judged = |timeouts| {
            let HoldSums { due, p99_us, .. } = step(timeouts);
            (
                p99_us.is_some_and(|us| us >= timeout_us),
                pass.judge(Measured { due, verified: due, p99_us, valid: true }),
            )
        };
        assert_eq!(judged(0), (false, HoldVerdict::Passed));
        assert_eq!(judged(2), (true, HoldVerdict::FailedByP99));
    }
}
