//! Why a generator sends nothing by itself, whatever the document says: somebody said so on its machine, or nobody could read
//! the document for longer than a setting allows.
//!
//! SIGUSR1 stops all traffic of the process and SIGUSR2 lets it go on; SIGTERM and SIGINT end it. A thread of its own passes
//! them on to the workers, and looks how old the document is, so that no stop waits for a Redis that hangs.

use super::HAND_OVER;
use crate::Failed;
use crate::engine::control::WorkerControl;
use crate::engine::plan::{Plan, TrafficMode};
use parking_lot::Mutex;
use signal_hook::consts::{SIGUSR1, SIGUSR2};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often signals are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The signals, and the workers that they are for.
#[derive(Debug, Default)]
pub(super) struct Signals {
    stop: Arc<AtomicBool>,
    go_on: Arc<AtomicBool>,
    is_stopped: AtomicBool,
    /// Others get our share when we end, and until they have it we play on.
    hands_over: AtomicBool,
    /// The workers' plan was changed from here: whoever steers the round is to change it again.
    changed_plan: AtomicBool,
    workers: Mutex<Option<Arc<WorkerControl>>>,
}

impl Signals {
    pub(super) fn register() -> Result<Signals, Failed> {
        let signals = Signals::default();
        for (signal, flag) in [(SIGUSR1, &signals.stop), (SIGUSR2, &signals.go_on)] {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .map_err(|error| Failed::Message(format!("no handler for signals ({error})")))?;
        }
        Ok(signals)
    }

    /// Passes signals on, and what the document's age asks for, until `over`. `end`: the process is asked to end.
    pub(super) fn watch(&self, readings: &Readings, end: &AtomicBool, over: &AtomicBool) {
        let mut end_at = None;
        while !over.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
            if self.stop.swap(false, Ordering::Relaxed) {
                eprintln!("flowtest-loadgen: stopped by SIGUSR1: nothing is sent until SIGUSR2");
                self.is_stopped.store(true, Ordering::Relaxed);
            }
            if self.go_on.swap(false, Ordering::Relaxed) && self.is_stopped.swap(false, Ordering::Relaxed) {
                eprintln!("flowtest-loadgen: SIGUSR2: it goes on");
            }
            let workers = self.workers.lock();
            let Some(workers) = &*workers else { continue };
            if end.load(Ordering::Relaxed) {
                let end_at = *end_at.get_or_insert_with(Instant::now);
                // Whoever hands over ends in time by itself, unless it waits for a Redis that hangs.
                if !self.hands_over.load(Ordering::Relaxed) || end_at.elapsed() >= HAND_OVER {
                    workers.drain();
                }
            }
            // Whoever steers the round changes the plan as well, as soon as Redis lets it look; a stop waits for nobody.
            let is_to_rest = self.is_stopped() || readings.too_old().is_some();
            if is_to_rest && workers.plan().contestants.iter().any(|one| one.traffic != TrafficMode::Halted) {
                let mut plan = Plan::clone(&workers.plan());
                plan.contestants.iter_mut().for_each(|one| one.traffic = TrafficMode::Halted);
                workers.change(Arc::new(plan));
                self.changed_plan.store(true, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Whether others would get our share, and time to take it.
    pub(super) fn set_hands_over(&self, hands_over: bool) {
        self.hands_over.store(hands_over, Ordering::Relaxed);
    }

    /// Whether the workers' plan was changed from here since this was asked last.
    pub(super) fn take_changed_plan(&self) -> bool {
        self.changed_plan.swap(false, Ordering::Relaxed)
    }

    /// Whom they are for from now on.
    pub(super) fn set_workers(&self, workers: Option<Arc<WorkerControl>>) {
        *self.workers.lock() = workers;
    }
}

/// How long ago a control document was read. Whoever reads it notes it; its copies are told.
#[derive(Clone, Debug)]
pub(super) struct Readings {
    /// None: the round goes on however long there is none.
    limit: Option<Duration>,
    newest: Arc<Mutex<Instant>>,
}

impl Readings {
    pub(super) fn new(limit: Option<Duration>) -> Readings {
        Readings { limit, newest: Arc::new(Mutex::new(Instant::now())) }
    }

    pub(super) fn note(&self) {
        *self.newest.lock() = Instant::now();
    }

    /// Why nothing is sent, where it was too long ago.
    pub(super) fn too_old(&self) -> Option<String> {
        let limit = self.limit.filter(|limit| self.newest.lock().elapsed() >= *limit)?;
        Some(format!("no control document could be read for {}", humantime::format_duration(limit)))
    }
}
