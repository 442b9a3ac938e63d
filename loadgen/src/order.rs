//! What the control thread tells the workers: one byte, read once per turn.

use std::sync::atomic::{AtomicU8, Ordering};

/// What the control thread asks of workers, read once per turn.
#[derive(Debug, Default)]
pub struct Order(AtomicU8);

impl Order {
    /// Start nothing more, finish what is in flight.
    pub fn drain(&self) {
        self.0.fetch_max(1, Ordering::Relaxed);
    }

    /// Stop now.
    pub fn abort(&self) {
        self.0.store(2, Ordering::Relaxed);
    }

    /// 0: go on; 1: drain; 2: stop.
    pub fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
