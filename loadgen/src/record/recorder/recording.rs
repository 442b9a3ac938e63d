//! Workers and the recorder that takes what they count, as whoever plays a round looks after them: load pauses when the
//! disk is stuck, a journal that cannot be written is not waited for without end, and both end together.

use super::{Fresh, Recorded, Recorder};
use crate::Failed;
use crate::engine::control::WorkerControl;
use crate::engine::plan::Plan;
use crate::engine::run::{Run, RunError, Workers};
use crate::record::standstill::{Change, Standstill};
use flowtest_contract::text::shown;
use flowtest_journal::record::{Control, Decision, Join};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a journal that cannot be written is tried after the last worker has ended.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(60);
/// A recorder that does not end so long after it was given up never will: nothing wakes it any more.
const RECORDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks come some ten times a second: longer ago, and this process did not run.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// A round that is being recorded.
#[derive(Debug)]
pub struct Recording {
    workers: Workers,
    recorder: Recorder,
    standstill: Standstill,
    /// When something had come to the disk at the last look, and when that was.
    durable_at: Option<Instant>,
    looked_at: Instant,
    done_since: Option<Instant>,
    /// [`JOURNAL_TIMEOUT`] and [`RECORDER_TIMEOUT`], but in tests.
    timeout: Duration,
    recorder_timeout: Duration,
    /// The recorder does not answer, and nobody waits for it any longer.
    is_lost: bool,
}

/// What was recorded, to its end.
#[derive(Debug)]
pub struct Finished {
    /// What nobody has taken yet.
    pub fresh: Fresh,
    pub recorded: Result<Recorded, Failed>,
    /// A worker's ring failed and ended the run.
    pub broken: Option<RunError>,
}

impl Recording {
    /// From now on the workers' counts are taken.
    pub fn begin(run: Run, plan: &Arc<Plan>, recorder: Recorder) -> Recording {
        let Run { workers, collector } = run;
        recorder.record(plan.clone(), collector, workers.worker_control().clone());
        Recording {
            workers,
            recorder,
            standstill: Standstill::default(),
            durable_at: None,
            looked_at: Instant::now(),
            done_since: None,
            timeout: JOURNAL_TIMEOUT,
            recorder_timeout: RECORDER_TIMEOUT,
            is_lost: false,
        }
    }

    pub fn worker_control(&self) -> &Arc<WorkerControl> {
        self.workers.worker_control()
    }

    /// Records a revision of the contest. Called before the workers hear of it.
    pub fn control(&self, control: Control) {
        self.recorder.control(control);
    }

    /// Records who joins. Called before the workers hear of it.
    pub fn join(&self, joins: Vec<Join>) {
        self.recorder.join_round(joins);
    }

    /// Records what was decided of a step. Called before the workers hear of it.
    pub fn decision(&self, decision: Decision) {
        self.recorder.decision(decision);
    }

    /// Looks after both, some twenty times a second, and takes what happened since the last call.
    pub fn look(&mut self) -> Fresh {
        self.tell_standstill();
        // Who stood still itself, with the recorder, has not seen whether the disk is stuck.
        let stood_still = std::mem::replace(&mut self.looked_at, Instant::now()).elapsed() >= STOOD_STILL;
        if self.recorder.is_stuck() && !stood_still {
            self.workers.worker_control().pause(true);
        }
        if self.workers.are_done() {
            let waited = self.done_since.get_or_insert_with(Instant::now).elapsed();
            if waited >= self.timeout {
                self.recorder.give_up();
            }
            self.is_lost = waited >= self.timeout + self.recorder_timeout;
        }
        self.recorder.take()
    }

    /// A write that does not come back is no error that anybody would hear of.
    fn tell_standstill(&mut self) {
        let durable_at = self.recorder.durable_at();
        let moved = durable_at != self.durable_at || self.recorder.is_over();
        self.durable_at = durable_at;
        let journal = shown(self.recorder.dir());
        match self.standstill.look(Instant::now(), moved) {
            Some(Change::StandsStill) => eprintln!(
                "flowtest-loadgen: journal {journal}: nothing has come to the disk for two seconds: counts wait in memory, \
                 nothing is published, and soon load pauses; look at the disk"
            ),
            Some(Change::GoesOn(after)) => {
                eprintln!("flowtest-loadgen: journal {journal}: the disk goes on after {} s", after.as_secs());
            }
            None => {}
        }
    }

    /// For how long nothing has come to the disk, where that is too long.
    pub fn still_for(&self) -> Option<Duration> {
        self.standstill.lasts(Instant::now())
    }

    pub fn is_over(&self) -> bool {
        self.is_lost || self.recorder.is_over()
    }

    /// Waits for the end of both.
    pub fn finish(self) -> Finished {
        let fresh = self.recorder.take();
        // When the recorder failed, workers may still be running; nobody takes their counts any more.
        self.workers.worker_control().drain();
        let recorded = if self.recorder.is_over() || !self.is_lost {
            self.recorder.join()
        } else {
            Err(Failed::Message(format!(
                "the journal in {} did not answer to the end: what came to the disk before that is safe, and rebuild \
                 publishes it; look at the disk and at dmesg",
                shown(self.recorder.dir())
            )))
        };
        Finished { fresh, recorded, broken: self.workers.join() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::run::Clock;
    use crate::engine::trace::Tracing;
    use crate::record::recorder::{Shared, Task};
    use flowtest_journal::writer;
    use std::sync::mpsc;

    /// A recorder whose executor sleeps for good, as one whose wake was lost.
    fn stuck() -> (Recorder, mpsc::Receiver<Task>) {
        let forever = || async {
            glommio::timer::sleep(Duration::from_secs(3_600)).await;
            Err(Failed::Message("it woke".to_owned()))
        };
        let shared = Arc::new(Shared::default());
        *shared.durable_at.lock() = Some(Instant::now());
        let (task, tasks) = mpsc::sync_channel(1);
        let thread = writer::spawn(None, forever).expect("an executor");
        (Recorder { thread, shared, task, tracing: Tracing::Off, dir: "nowhere".into() }, tasks)
    }

    #[test]
    fn a_recorder_that_never_wakes_is_told_and_left() {
        let plan = Arc::new(Plan::default());
        let run = Run::start(&plan, Clock::now(), &[0], Tracing::Off).expect("a worker");
        let (recorder, _tasks) = stuck();
        let mut recording = Recording::begin(run, &plan, recorder);
        (recording.timeout, recording.recorder_timeout) = (Duration::ZERO, Duration::from_secs(3));
        let mut told = false;
        while !recording.is_over() {
            recording.look();
            told |= recording.standstill.is_told();
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(told);
        let error = recording.finish().recorded.expect_err("nothing was recorded").to_string();
        assert!(error.contains("did not answer to the end") && error.contains("rebuild"), "{error}");
    }
}
