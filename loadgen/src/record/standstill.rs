//! Something that should go on, and does not: told once when it has stood still for a while, and once when it goes on. Pure.

use std::time::{Duration, Instant};

/// Longer than a busy machine takes for a write or an answer, and soon enough for somebody to act.
pub const TELL_AFTER: Duration = Duration::from_secs(2);

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    StandsStill,
    /// After so long.
    GoesOn(Duration),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Standstill {
    since: Option<Instant>,
    told: bool,
}

impl Standstill {
    /// `moved`: it has moved since the last look, or nothing was asked of it.
    pub fn look(&mut self, now: Instant, moved: bool) -> Option<Change> {
        if moved {
            let since = std::mem::take(self);
            return since.since.filter(|_| since.told).map(|since| Change::GoesOn(now - since));
        }
        let since = *self.since.get_or_insert(now);
        let tells = !self.told && now - since >= TELL_AFTER;
        self.told |= tells;
        tells.then_some(Change::StandsStill)
    }

    /// For how long it has stood still, once that was told.
    pub fn lasts(&self, now: Instant) -> Option<Duration> {
        self.since.filter(|_| self.told).map(|since| now.saturating_duration_since(since))
    }

    /// It stands still, and that was told.
    pub fn is_told(&self) -> bool {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_is_told_once_and_so_is_its_end() {
        let (start, mut it) = (Instant::now(), Standstill::default());
        let mut told = Vec::new();
        // A look each 100 ms; it stands still from 1 s on for 9 s, and stutters before.
        for tenth in 0..200u32 {
            let moved = if tenth < 10 { tenth % 3 == 0 } else { tenth >= 100 };
            told.extend(it.look(start + tenth * Duration::from_millis(100), moved).map(|change| (tenth, change)));
        }
        assert_eq!(told, [(30, Change::StandsStill), (100, Change::GoesOn(Duration::from_secs(9)))]);
    }
}
