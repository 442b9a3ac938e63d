//! Waiting for what happens instead of sleeping for as long as it might take.

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine. Never what a test waits for when all is well.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Between two looks. Short beside anything that is waited for, long beside a look.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until there is something. `what` is what the message says did not come.
#[track_caller]
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "{what} did not come within {WAIT_MAX:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The same inside a runtime, whose other tasks go on meanwhile.
#[cfg(feature = "tokio")]
pub async fn wait_until_async<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "{what} did not come within {WAIT_MAX:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
