//! Waiting for what happens instead of sleeping for as long as it might take.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine. Never what a test waits for when all is well.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Between two looks at the least. Short beside anything that is waited for, long beside a look.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// At the most: what takes long is looked at less often, since a look may cost the machine a page or a process.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(50);
/// Looking less often makes a wait longer by this part at the most.
const LONGER_PART: u32 = 20;

/// Looks until there is something. `what` is what the message says did not come.
#[track_caller]
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    wait_until_or(what, || look().ok_or("nothing"))
}

/// The same where a look says what there is instead; the message ends with what the last one said.
#[track_caller]
pub fn wait_until_or<T, E: Display>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) => std::thread::sleep(before_the_next(what, begun, instead)),
        }
    }
}

/// As [`wait_until`] inside a runtime, whose other tasks go on meanwhile.
#[cfg(feature = "tokio")]
pub async fn wait_until_async<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    wait_until_or_async(what, async || look().ok_or("nothing")).await
}

/// As [`wait_until_or`] inside a runtime; a look may wait as well.
#[cfg(feature = "tokio")]
pub async fn wait_until_or_async<T, E: Display>(what: &str, mut look: impl AsyncFnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(instead) => tokio::time::sleep(before_the_next(what, begun, instead)).await,
        }
    }
}

#[track_caller]
fn before_the_next(what: &str, begun: Instant, instead: impl Display) -> Duration {
    let waited = begun.elapsed();
    assert!(waited < WAIT_MAX, "{what} did not come within {WAIT_MAX:?}, but {instead}");
    (waited / LONGER_PART).clamp(LOOK_EVERY, LOOK_EVERY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_at_the_third_look_is_waited_for() {
        let mut looks = 0;
        let found = wait_until_or("the third look", || {
            looks += 1;
            if looks == 3 { Ok("it") } else { Err(format!("look {looks}")) }
        });
        assert_eq!((found, looks), ("it", 3));
    }

    #[test]
    #[should_panic(expected = "the bus did not come within 60s, but the tram did")]
    fn who_gives_up_says_what_there_is_instead() {
        let long_ago = Instant::now().checked_sub(WAIT_MAX).expect("the machine runs for longer");
        before_the_next("the bus", long_ago, "the tram did");
    }
}
