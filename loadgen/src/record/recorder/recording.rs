//! Workers and the recorder that takes what they count, as whoever plays a round looks after them: load pauses when the
//! disk is stuck, a journal that cannot be written is not waited for without end, and both end together.

use super::{Fresh, Recorded, Recorder};
use crate::Failed;
use crate::engine::control::WorkerControl;
use crate::engine::plan::Plan;
use crate::engine::run::{Run, RunError, Workers};
use flowtest_journal::record::Control;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a journal that cannot be written is tried after the last worker has ended.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(60);

/// A round that is being recorded.
#[derive(Debug)]
pub struct Recording {
    workers: Workers,
    recorder: Recorder,
    done_since: Option<Instant>,
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
        Recording { workers, recorder, done_since: None }
    }

    pub fn worker_control(&self) -> &Arc<WorkerControl> {
        self.workers.worker_control()
    }

    /// Records a revision of the contest. Called before the workers hear of it.
    pub fn control(&self, control: Control) {
        self.recorder.control(control);
    }

    /// Looks after both, some twenty times a second, and takes what happened since the last call.
    pub fn look(&mut self) -> Fresh {
        if self.recorder.is_stuck() {
            self.workers.worker_control().pause(true);
        }
        if self.workers.are_done() {
            let since = *self.done_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= JOURNAL_TIMEOUT {
                self.recorder.give_up();
            }
        }
        self.recorder.take()
    }

    pub fn is_over(&self) -> bool {
        self.recorder.is_over()
    }

    /// Waits for the end of both.
    pub fn finish(self) -> Finished {
        let fresh = self.recorder.take();
        // When the recorder failed, workers may still be running; nobody takes their counts any more.
        self.workers.worker_control().drain();
        let recorded = self.recorder.join();
        Finished { fresh, recorded, broken: self.workers.join() }
    }
}
