//! Workers from start to end, for every command that floods: what they count is collected, with or without a recorder, the
//! health gate looks at it, and the outputs and the scoreboard get it. Whoever has a driver calls [`Driver::look`] some ten
//! times a second until [`Driver::is_over`], and then [`Driver::finish`].

use super::address_probes::AddressProbes;
use super::health_gate::HealthGate;
use super::steps::{self, HoldFigures, Steps};
use crate::Failed;
use crate::admit::probe::Terms;
use crate::engine::causes::OwnCause;
use crate::engine::clock::RunInstant;
use crate::engine::control::WorkerControl;
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{Plan, TrafficMode};
use crate::engine::run::{Clock, Collector, Progress, Run, RunError, Workers};
use crate::engine::trace::Tracing;
use crate::observe::failures::FailureSample;
use crate::observe::output::{Closed, Output};
use crate::observe::series::Look;
use crate::observe::summary::busy_with;
use crate::observe::wording;
use crate::record::publish::Board;
use crate::record::recorder::explain::{Explained, explain};
use crate::record::recorder::requests::Requests;
use crate::record::recorder::{Fresh, Recorded, Recorder, Recording};
use flowtest_contest::breakpoint::Decision;
use flowtest_contract::{RoundValidity, Row};
use flowtest_journal::record::{self, LateCause};
use flowtest_scoreboard::{BusyWith, ExplainedError, Prepared};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a driver looks that nothing else is asked of: the workers' hand-over interval.
pub const LOOK: Duration = Duration::from_millis(100);
/// How long what is in flight may take when somebody wants the end: then it is our own fault, and costs nobody.
const DRAIN_MAX: Duration = Duration::from_millis(700);
/// How long the workers may take. Together with closing the outputs it is less than two seconds.
const LEAVE_AFTER: Duration = Duration::from_millis(1_500);
/// That seconds are not valid is told once in so long, however many there are.
const TELL_OWN_FAULT_EVERY: Duration = Duration::from_secs(10);

/// A round under way.
#[derive(Debug)]
pub struct Driver {
    plan: Arc<Plan>,
    source: Source,
    /// None: everybody is flooded, whatever comes back.
    gate: Option<HealthGate>,
    /// Addresses that are asked beside the flood.
    probes: AddressProbes,
    /// Of breakpoint phases.
    steps: Option<Steps>,
    output: Output,
    board: Option<Board>,
    /// The number of the newest rows that may be published.
    seq: u64,
    told_own_fault: ToldOwnFault,
}

/// What was told last of our own faults, and when.
#[derive(Debug, Default)]
struct ToldOwnFault {
    counts: RoundValidity,
    at: Option<Instant>,
}

/// Where what counts comes from.
#[derive(Debug)]
enum Source {
    /// What counts is what is in memory.
    Memory { workers: Workers, collector: Collector, ended: bool },
    /// What counts is what is on disk.
    Journal { recording: Recording, shown: Option<Progress> },
}

/// What one look took from the workers or the recorder.
struct Taken {
    fresh: Fresh,
    /// Something was counted.
    is_new: bool,
}

/// What came of a round.
#[derive(Debug)]
pub struct Ended {
    pub result: Result<Totals, Failed>,
    pub board: Option<Board>,
    /// A worker's ring failed and ended the run.
    pub broken: Option<RunError>,
}

/// All that was counted.
#[derive(Debug)]
pub struct Totals {
    /// The number of the last rows, and these.
    pub seq: u64,
    pub rows: Arc<[Row]>,
    pub progress: Progress,
    pub closed: Closed,
}

impl Driver {
    /// Starts workers without a journal, one for each core.
    ///
    /// # Errors
    /// Why the workers cannot run.
    pub fn in_memory(
        plan: Arc<Plan>,
        clock: Clock,
        cores: &[usize],
        tracing: Tracing,
        output: Output,
    ) -> Result<Driver, RunError> {
        let Run { workers, collector } = Run::start(&plan, clock, cores, tracing)?;
        Ok(Driver::new(plan, Source::Memory { workers, collector, ended: false }, output))
    }

    /// The same with a recorder: what counts is what it has on disk.
    ///
    /// # Errors
    /// As [`Driver::in_memory`].
    pub fn recorded(
        plan: Arc<Plan>,
        clock: Clock,
        cores: &[usize],
        recorder: Recorder,
        output: Output,
    ) -> Result<Driver, RunError> {
        let run = Run::start(&plan, clock, cores, recorder.tracing())?;
        let recording = Recording::begin(run, &plan, recorder);
        Ok(Driver::new(plan, Source::Journal { recording, shown: None }, output))
    }

    fn new(plan: Arc<Plan>, source: Source, output: Output) -> Driver {
        let steps = Steps::new(&plan);
        Driver {
            plan,
            source,
            gate: None,
            probes: AddressProbes::default(),
            steps,
            output,
            board: None,
            seq: 0,
            told_own_fault: ToldOwnFault::default(),
        }
    }

    /// Whoever gives no answer for long is only probed from now on.
    #[must_use]
    pub fn gated(self) -> Driver {
        Driver { gate: Some(HealthGate::of(&self.plan)), ..self }
    }

    /// From now on the scoreboard gets what counts.
    #[must_use]
    pub fn publish_on(self, board: Option<Board>) -> Driver {
        Driver { board, ..self }
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    pub fn worker_control(&self) -> &Arc<WorkerControl> {
        match &self.source {
            Source::Memory { workers, .. } => workers.worker_control(),
            Source::Journal { recording, .. } => recording.worker_control(),
        }
    }

    /// The contestants' names in Redis, where they have changed.
    pub fn rename(&mut self, keys: Vec<String>) {
        if let Some(board) = &mut self.board {
            board.rename(keys);
        }
    }

    /// Tells a contestant why it gets nothing, or lost points.
    pub fn explain(&self, contestant: ContestantIndex, error: ExplainedError) {
        if let Some(board) = &self.board {
            board.explain(contestant, error);
        }
    }

    /// Tells what the prepare check of a contestant found.
    pub fn prepared(&self, contestant: ContestantIndex, found: Prepared) {
        if let Some(board) = &self.board {
            board.prepared(contestant, found);
        }
    }

    /// What a contestant gets by the gate.
    pub fn traffic(&self, contestant: ContestantIndex) -> TrafficMode {
        let targets = &self.plan.contestants[contestant].addresses;
        self.gate.as_ref().map_or(TrafficMode::Flood, |gate| gate.traffic(contestant, targets))
    }

    /// What a contestant gets begins anew, with the flood; the next [`Driver::change`] tells the workers.
    pub fn restart(&mut self, contestant: ContestantIndex) {
        if let Some(gate) = &mut self.gate {
            gate.restart(contestant);
        }
    }

    /// Contestants join the round, the last of its roster: recorded and known to the scoreboard before the workers hear of it.
    pub fn join(&mut self, joins: Vec<record::Join>, names: &[String]) {
        if let Source::Journal { recording, .. } = &self.source {
            recording.join(joins);
        }
        if let Some(board) = &self.board {
            board.set_contestants(names.to_vec());
        }
    }

    /// Records a revision of the contest. Called before the workers hear of it.
    pub fn control(&self, control: record::Control) {
        if let Source::Journal { recording, .. } = &self.source {
            recording.control(control);
        }
    }

    /// Goes on by another plan of the same round. Who is halted or absent in it stays so; what the others get is the gate's to
    /// say.
    pub fn change(&mut self, plan: Plan) {
        let mut plan = plan.with_holds();
        if let Some(gate) = &mut self.gate {
            gate.grow(plan.contestants.len());
            for (index, contestant) in ContestantIndex::all().zip(plan.contestants.iter_mut()) {
                if contestant.traffic.sends() {
                    contestant.traffic = gate.traffic(index, &contestant.addresses);
                }
                for target in &mut contestant.addresses {
                    target.is_silent = gate.silent_since(index, target.address).is_some();
                }
            }
        }
        self.plan = Arc::new(plan);
        self.worker_control().change(self.plan.clone());
    }

    /// What is known of breakpoint phases, and of the plan.
    pub fn steps(&mut self) -> Option<(&mut Steps, &Plan)> {
        Some((self.steps.as_mut()?, &self.plan))
    }

    /// Goes by a decision of a step, which is recorded before the workers hear of it.
    pub fn take_step(&mut self, decision: &Decision, now: RunInstant) {
        let Some(steps) = &mut self.steps else { return };
        if let Some(complaint) = steps.hear(decision) {
            eprintln!("flowtest-loadgen: {complaint}");
        }
        if let Source::Journal { recording, .. } = &self.source {
            recording.decision(steps::recorded(decision, self.plan.utc_us(now)));
        }
        if Steps::is_in_time(&self.plan, decision, now) {
            let schedule = self.plan.schedule.as_ref().clone().with_step(steps::rates(decision));
            self.change(Plan { schedule: Arc::new(schedule), ..Plan::clone(&self.plan) });
        }
    }

    /// Decides of the next step, where nobody else counts anything.
    fn decide_alone(&mut self) {
        let Some(steps) = &mut self.steps else { return };
        let Some(Progress { now, sums, .. }) = self.source.counted() else { return };
        let Some(to_judge) = steps.to_judge(&self.plan, *now) else { return };
        let ours = (sums.hold.step == to_judge.window.step).then(|| sums.hold.report(&self.plan));
        let figures = HoldFigures::together(ours, 1);
        if !to_judge.is_last_chance && !steps.is_whole(&figures, &self.plan) {
            return;
        }
        let (decision, now) = (steps.decide(to_judge, &figures, &self.plan), *now);
        self.take_step(&decision, now);
        if let Some(board) = &self.board {
            board.note_step(decision);
        }
    }

    /// Takes what has come, and hands it on. Explained failures that no scoreboard takes come back.
    pub fn look(&mut self) -> Vec<Explained> {
        let Taken { mut fresh, is_new } = self.take();
        if is_new {
            self.show();
        }
        self.ask_silent();
        if self.gate.is_some() {
            self.tell_own_fault();
        }
        match &mut self.board {
            Some(board) => {
                board.note_validity(self.output.validity());
                board.pass_on(fresh);
                Vec::new()
            }
            None => std::mem::take(&mut fresh.explained),
        }
    }

    /// What has come since the last time.
    fn take(&mut self) -> Taken {
        let contestants = self.plan.contestants.len();
        match &mut self.source {
            Source::Memory { collector, ended, .. } => {
                let mut fresh = Fresh::default();
                // Without a journal endpoints stay where they are.
                let requests = Requests::new(self.plan.clone());
                *ended = collector.collect(|_, block| {
                    let samples = block.samples.as_slice().iter();
                    fresh.explained.extend(samples.flat_map(|sample| explain(&requests, sample)));
                });
                self.seq += 1;
                // Megabytes where many play, so only for somebody who takes them.
                fresh.durable = self.board.as_ref().map(|_| (self.seq, collector.progress().rows()));
                Taken { fresh, is_new: true }
            }
            Source::Journal { recording, shown } => {
                let mut fresh = recording.look();
                self.seq = fresh.durable.as_ref().map_or(self.seq, |(seq, _)| *seq);
                let newer = fresh.shown.take();
                let is_new = newer.is_some();
                *shown = newer.or(shown.take());
                // Nobody has counted anything yet of who has just joined.
                if let Some(progress) = shown {
                    progress.sums.grow(contestants);
                }
                Taken { fresh, is_new }
            }
        }
    }

    /// The gate and the outputs see what has been counted.
    fn show(&mut self) {
        let resting = self.worker_control().is_paused();
        let Some(progress) = self.source.counted() else { return };
        let changed = self.gate.as_mut().is_some_and(|gate| gate.look_at_all(progress.now, &self.plan, resting));
        if let (Source::Journal { .. }, Some(board)) = (&self.source, &self.board) {
            self.output.note_backlog(Some(self.seq.saturating_sub(board.put_seq())));
        }
        self.output.note_standstill(self.board.as_ref().map(Board::standstill));
        self.output.show(&self.plan, Look::of(progress));
        if changed {
            let before = self.plan.clone();
            self.change(Plan::clone(&self.plan));
            self.tell_silent(&before);
        }
    }

    /// Asks the addresses that fell silent while others of their contestant answer; who has answered with the right token three times gets the flood again.
    fn ask_silent(&mut self) {
        let Some(gate) = &mut self.gate else { return };
        let now = self.source.counted().map_or(RunInstant::START, |progress| progress.now);
        let schedule = &self.plan.schedule;
        let terms = Terms::new(self.plan.rules, *schedule.deadlines(self.plan.utc_us(now)));
        let back = self.probes.look(&self.plan, &terms, schedule.share_at(now).of);
        if back.is_empty() {
            return;
        }
        back.iter().for_each(|(contestant, address)| gate.revive(*contestant, *address));
        let before = self.plan.clone();
        self.change(Plan::clone(&self.plan));
        self.tell_silent(&before);
    }

    /// Says which addresses get nothing but probes now, and which get the flood again.
    fn tell_silent(&self, before: &Plan) {
        let Some(gate) = &self.gate else { return };
        let contestants = ContestantIndex::all().zip(self.plan.contestants.iter());
        for ((index, is), was) in contestants.zip(before.contestants.iter()) {
            for target in &is.addresses {
                let was_silent = was.addresses.iter().any(|one| one.address == target.address && one.is_silent);
                if target.is_silent != was_silent {
                    let what = match target.is_silent {
                        true => {
                            "gave no answer with the right token for ten seconds and gets one probe a second until it gives three"
                        }
                        false if gate.has_seen(index, target.address) => {
                            "gave three answers with the right token and gets its part of the requests again"
                        }
                        false => {
                            "gets nothing while nothing is sent to its contestant, and its part of the requests for ten seconds after that"
                        }
                    };
                    eprintln!("flowtest-loadgen: {}: {} {what}", is.name, target.address);
                }
            }
        }
    }

    /// Looks until the plan is over; `stop` lets what is in flight finish, for less than a second at the most. Whether the plan was
    /// cut short by it.
    pub fn play_out(&mut self, stop: &AtomicBool) -> bool {
        let mut asked_at = None;
        let mut is_cut = false;
        while !self.is_over() {
            thread::sleep(LOOK);
            if stop.load(Ordering::Relaxed) || self.board.as_ref().is_some_and(Board::is_stopped) {
                let since = asked_at.get_or_insert_with(Instant::now).elapsed();
                self.worker_control().drain();
                is_cut = is_cut || !self.is_played();
                if since >= DRAIN_MAX {
                    self.worker_control().abort();
                }
                if since >= LEAVE_AFTER && self.leave() {
                    break;
                }
            }
            let explained = self.look();
            self.decide_alone();
            for Explained { contestant, error } in explained {
                let contestant = self.plan.contestants[contestant].name.clone();
                self.output.note_failure(FailureSample {
                    contestant,
                    kind: error.kind,
                    message: error.message,
                    expected: error.expected,
                    received: error.received,
                    request: error.request,
                    response: error.response,
                    at: error.at,
                });
            }
        }
        is_cut
    }

    /// Whether nothing of the plan falls due any more.
    fn is_played(&self) -> bool {
        let now = self.counted().map_or(RunInstant::START, |progress| progress.now);
        self.plan.schedule.plan_clock(now) >= self.plan.end()
    }

    /// Waits no longer for workers that are busy with what fell due. What is in a journal is worth waiting for.
    fn leave(&mut self) -> bool {
        match &mut self.source {
            Source::Memory { workers, .. } => {
                workers.leave();
                true
            }
            Source::Journal { .. } => false,
        }
    }

    pub fn is_over(&self) -> bool {
        match &self.source {
            Source::Memory { ended, .. } => *ended,
            Source::Journal { recording, .. } => recording.is_over(),
        }
    }

    /// All that has been counted, as far as it may be shown.
    pub fn counted(&self) -> Option<&Progress> {
        self.source.counted()
    }

    /// How much of what is scored so far is valid.
    pub fn validity(&self) -> RoundValidity {
        self.output.validity()
    }

    /// What of the newest second was sent in time; `None` in closed phases, and where nothing was due.
    pub fn rate_ratio(&self) -> Option<f64> {
        self.output.rate_ratio()
    }

    /// What of our own it was last that made seconds not valid, or requests void; `None` where nothing did.
    pub fn own_fault_cause(&self) -> Option<&'static str> {
        let is_flawless = self.validity().is_flawless();
        let told = self.counted().and_then(|progress| progress.sums.trouble).map(|trouble| trouble.cause);
        let stands = self.output.stands_still().then_some(OwnCause::Late(LateCause::Gap));
        stands.or(told).filter(|_| !is_flawless).map(wording::own_cause)
    }

    /// Whose exchanges filled the time of workers that never rested; `None` where all is valid.
    pub fn busy_with(&self) -> Option<BusyWith> {
        let counted = self.counted().filter(|_| !self.validity().is_flawless())?;
        busy_with(&self.plan, &counted.sums)
    }

    /// Tells of seconds that are not valid and of requests that are void, with the cause.
    fn tell_own_fault(&mut self) {
        let (counts, cause) = (self.validity(), self.own_fault_cause());
        let cause = cause.map(|cause| wording::with_who(cause, self.busy_with().as_ref()));
        let closed = self.output.closed_validity();
        if let Some(told) = self.told_own_fault.look(counts, closed, cause.as_deref(), Instant::now()) {
            eprintln!("flowtest-loadgen: {told}");
        }
    }

    /// How many batches are on disk and not in Redis.
    pub fn backlog(&self) -> u64 {
        self.board.as_ref().map_or(0, |board| self.seq.saturating_sub(board.put_seq()))
    }

    /// Why Redis does not take what is counted, as long as that lasts.
    pub fn publish_error(&self) -> Option<String> {
        self.board.as_ref().and_then(Board::standstill)
    }

    /// For how long nothing has come to the journal's disk, where that is too long.
    pub fn journal_still(&self) -> Option<Duration> {
        match &self.source {
            Source::Memory { .. } => None,
            Source::Journal { recording, .. } => recording.still_for(),
        }
    }

    /// Waits for the end of all threads and closes the outputs. `stopped`: it ended before its plan did.
    pub fn finish(self, stopped: bool) -> Ended {
        let Driver { plan, source, output, mut board, seq, steps, gate, mut told_own_fault, .. } = self;
        let (recorded, broken) = match source {
            Source::Memory { workers, collector, .. } => {
                let broken = workers.join();
                let progress = collector.into_progress();
                // The end comes with rows of its own number.
                (Ok(Recorded { seq: seq + 1, rows: progress.rows(), progress }), broken)
            }
            Source::Journal { recording, .. } => {
                let finished = recording.finish();
                if let Some(board) = &mut board {
                    board.pass_on(finished.fresh);
                }
                (finished.recorded, finished.broken)
            }
        };
        let result = recorded.map(|Recorded { mut progress, seq, rows }| {
            progress.sums.grow(plan.contestants.len());
            let mut closed = output.close(&plan, &progress, stopped);
            if let Some(newest) = steps.as_ref().and_then(Steps::newest) {
                closed.summary.set_climbs(newest);
            }
            let counts = closed.validity.counts();
            if let Some(board) = &board {
                board.note_validity(counts);
            }
            let summary = &closed.summary;
            let cause = summary.own_fault_cause.map(|cause| wording::with_who(cause, summary.busy_with.as_ref()));
            if gate.is_some()
                && let Some(told) = told_own_fault.end(counts, cause.as_deref())
            {
                eprintln!("flowtest-loadgen: {told}");
            }
            Totals { seq, rows, progress, closed }
        });
        Ended { result, board, broken }
    }
}

impl ToldOwnFault {
    /// What there is to tell now, where it has become worse: once in so long. Only what is `closed` counts as told, for the rest may
    /// turn out to be valid.
    fn look(
        &mut self,
        counts: RoundValidity,
        closed: RoundValidity,
        cause: Option<&str>,
        now: Instant,
    ) -> Option<String> {
        let is_told = self.at.is_some_and(|at| now.saturating_duration_since(at) < TELL_OWN_FAULT_EVERY);
        let news = self.news(counts, cause).filter(|_| !is_told)?;
        (self.counts, self.at) = (closed, Some(now));
        Some(news)
    }

    /// What there is to tell at the end of what was not told before.
    fn end(&mut self, counts: RoundValidity, cause: Option<&str>) -> Option<String> {
        let verdict = if counts.is_valid() { "it is valid" } else { "it is NOT VALID" };
        Some(format!("at the end of the round {}: {verdict}", self.news(counts, cause)?))
    }

    fn news(&self, counts: RoundValidity, cause: Option<&str>) -> Option<String> {
        let told = self.counts;
        let is_worse = counts.void > told.void || counts.invalid_seconds() > told.invalid_seconds();
        is_worse.then(|| {
            format!(
                "{} of {} scored seconds are not valid and {} requests count for nobody; the last time {}",
                counts.invalid_seconds(),
                counts.seconds,
                counts.void,
                cause.unwrap_or("nobody knows why")
            )
        })
    }
}

impl Source {
    fn counted(&self) -> Option<&Progress> {
        match self {
            Source::Memory { collector, .. } => Some(collector.progress()),
            Source::Journal { shown, .. } => shown.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_in_so_long_and_all_of_it_at_the_end() {
        let counts = |seconds, invalid| RoundValidity {
            seconds,
            valid_seconds: seconds - invalid,
            due: 9,
            ..RoundValidity::default()
        };
        let (mut told, now) = (ToldOwnFault::default(), Instant::now());
        let cause = Some("a worker stood still");
        // A second that was open when it was told is told again when it is closed.
        let mut early = ToldOwnFault::default();
        assert!(early.look(counts(6, 1), counts(5, 0), cause, now).is_some());
        assert!(early.end(counts(6, 1), cause).is_some_and(|end| end.ends_with("it is valid")));
        assert_eq!(told.look(counts(5, 0), counts(5, 0), None, now), None);
        let first = told.look(counts(6, 1), counts(6, 1), cause, now).expect("it is news");
        assert!(first.starts_with("1 of 6 scored seconds are not valid") && first.ends_with("stood still"), "{first}");
        assert_eq!(
            told.look(counts(8, 2), counts(8, 2), cause, now + TELL_OWN_FAULT_EVERY / 2),
            None,
            "not so soon again"
        );
        let end = told.end(counts(9, 3), cause).expect("what came since is news");
        assert!(end.contains("end of the round 3 of 9") && end.ends_with("NOT VALID"), "{end}");
        assert!(told.look(counts(9, 3), counts(9, 3), cause, now + TELL_OWN_FAULT_EVERY).is_some());
        assert_eq!(told.end(counts(9, 3), cause), None, "all of it was told");
    }
}
