//! What the control side tells the workers: a few bytes, read once per turn.

use crate::engine::clock::RunInstant;
use crate::engine::plan::Plan;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// How far a worker shall go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GoOn {
    /// By the plan.
    Run = 0,
    /// Start nothing more, finish what is in flight.
    Drain = 1,
    /// End now.
    Stop = 2,
}

/// What is asked of workers.
#[derive(Debug)]
pub struct WorkerControl {
    go_on: AtomicU8,
    paused: AtomicBool,
    traces_off: AtomicBool,
    /// How many plans there were before the newest.
    version: AtomicU64,
    plan: Mutex<Arc<Plan>>,
    /// When somebody last looked whether the plan is still the newest, a [`RunInstant`]; never: nobody changes it.
    looked_at: AtomicU64,
}

impl WorkerControl {
    pub fn new(plan: Arc<Plan>) -> WorkerControl {
        WorkerControl {
            go_on: AtomicU8::new(GoOn::Run as u8),
            paused: AtomicBool::new(false),
            traces_off: AtomicBool::new(false),
            version: AtomicU64::new(0),
            plan: Mutex::new(plan),
            looked_at: AtomicU64::new(RunInstant::NEVER.ns()),
        }
    }

    /// Go on by this plan, which is of the same round.
    pub fn change(&self, plan: Arc<Plan>) {
        *self.plan.lock() = plan;
        self.version.fetch_add(1, Ordering::Release);
    }

    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The newest plan. Takes a lock: only when the version has changed.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.lock().clone()
    }

    /// Somebody has looked whether the plan is the newest.
    pub fn look(&self, now: RunInstant) {
        self.looked_at.store(now.ns(), Ordering::Relaxed);
    }

    pub fn looked_at(&self) -> RunInstant {
        RunInstant::from_ns(self.looked_at.load(Ordering::Relaxed))
    }

    /// Start nothing more, finish what is in flight.
    pub fn drain(&self) {
        self.go_on.fetch_max(GoOn::Drain as u8, Ordering::Relaxed);
    }

    /// Stop now.
    pub fn abort(&self) {
        self.go_on.store(GoOn::Stop as u8, Ordering::Relaxed);
    }

    pub fn go_on(&self) -> GoOn {
        match self.go_on.load(Ordering::Relaxed) {
            0 => GoOn::Run,
            1 => GoOn::Drain,
            _ => GoOn::Stop,
        }
    }

    /// Send nothing, or go on. What falls due meanwhile is our own fault and costs nobody a point.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Whether the blocks that are opened from now on shall keep traces.
    pub fn trace(&self, wanted: bool) {
        self.traces_off.store(!wanted, Ordering::Relaxed);
    }

    pub fn wants_traces(&self) -> bool {
        !self.traces_off.load(Ordering::Relaxed)
    }
}
