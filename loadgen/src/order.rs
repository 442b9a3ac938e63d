//! What the control side tells the workers: a few bytes, read once per turn.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// What is asked of workers.
#[derive(Debug, Default)]
pub struct Order {
    stage: AtomicU8,
    paused: AtomicBool,
    traces_off: AtomicBool,
}

impl Order {
    /// Start nothing more, finish what is in flight.
    pub fn drain(&self) {
        self.stage.fetch_max(1, Ordering::Relaxed);
    }

    /// Stop now.
    pub fn abort(&self) {
        self.stage.store(2, Ordering::Relaxed);
    }

    /// 0: go on; 1: drain; 2: stop.
    pub fn get(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
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
