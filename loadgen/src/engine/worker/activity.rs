//! What a worker is doing: one word for what would be said by several flags. Pure.
//!
//! ```text
//! Between <-> Playing     a phase begins and ends, also by a pause of the plan
//!    ^           |
//!    +- Paused <-+        the journal stands still, and goes on
//!
//! any -> Draining -> Over
//! ```

use crate::engine::plan::{Load, Phase};

/// A phase that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) load: Load,
    pub(super) scored: bool,
}

impl Running {
    pub(super) fn of(phase: &Phase) -> Running {
        Running { load: phase.load, scored: phase.scored }
    }
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// No phase runs: before the first, between two, after the last, or in a pause of the plan. The next one begins at its
    /// instant.
    Between,
    /// A phase runs: one to warm up, or one that is scored.
    Playing(Running),
    /// Our journal stands still: nothing is sent. What falls due meanwhile is our own fault.
    Paused,
    /// Nothing more falls due; what is in flight or waits comes to its end, as soon as the journal goes on.
    Draining { is_paused: bool },
    /// Nothing is in flight any more, and sockets are closed.
    Over,
}

impl Activity {
    #[inline]
    pub(super) fn running(&self) -> Option<Running> {
        match self {
            Activity::Playing(running) => Some(*running),
            Activity::Between | Activity::Paused | Activity::Draining { .. } | Activity::Over => None,
        }
    }

    /// A phase runs that goes as fast as answers come.
    #[inline]
    pub(super) fn is_closed_loop(&self) -> bool {
        matches!(self, Activity::Playing(Running { load: Load::Closed { .. }, .. }))
    }

    /// Nothing may be sent, for our journal stands still.
    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        matches!(self, Activity::Paused | Activity::Draining { is_paused: true })
    }

    /// No phase begins any more.
    #[inline]
    pub(super) fn is_draining(&self) -> bool {
        matches!(self, Activity::Draining { .. } | Activity::Over)
    }

    /// The journal stands still, or goes on. `false`: it did so already.
    pub(super) fn pause(&mut self, paused: bool) -> bool {
        if self.is_paused() == paused || *self == Activity::Over {
            return false;
        }
        *self = match self {
            Activity::Draining { .. } => Activity::Draining { is_paused: paused },
            _ if paused => Activity::Paused,
            _ => Activity::Between,
        };
        true
    }

    /// Nothing more is to fall due. `false`: that was so already.
    pub(super) fn drain(&mut self) -> bool {
        let is_new = !self.is_draining();
        if is_new {
            *self = Activity::Draining { is_paused: self.is_paused() };
        }
        is_new
    }

    /// The phase that runs ends, or is to be begun anew. `false`: none ran.
    pub(super) fn leave_phase(&mut self) -> bool {
        let ran = self.running().is_some();
        if ran {
            *self = Activity::Between;
        }
        ran
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: Running = Running { load: Load::Closed { pipeline: 1 }, scored: true };

    #[test]
    fn a_pause_ends_a_phase_and_never_a_drain() {
        let mut activity = Activity::Playing(RUNNING);
        assert!(activity.pause(true) && !activity.pause(true));
        assert_eq!((activity, activity.running()), (Activity::Paused, None));
        // Drained while it is paused, it stays paused until the journal goes on.
        assert!(activity.drain() && !activity.drain());
        assert!(activity.is_paused() && activity.is_draining());
        assert!(activity.pause(false));
        assert_eq!(activity, Activity::Draining { is_paused: false });
        assert!(!activity.leave_phase());
    }

    #[test]
    fn a_phase_that_is_left_can_begin_again_and_one_that_does_not_run_cannot_be_left() {
        let mut activity = Activity::Playing(RUNNING);
        assert!(activity.leave_phase() && !activity.leave_phase());
        assert_eq!(activity, Activity::Between);
        activity.pause(true);
        assert!(!activity.leave_phase() && activity.is_paused());
        assert!(activity.pause(false));
        assert_eq!(activity, Activity::Between);
    }

    #[test]
    fn what_is_over_is_neither_paused_nor_drained() {
        let mut activity = Activity::Over;
        assert!(!activity.pause(true) && !activity.drain() && !activity.leave_phase());
        assert_eq!(activity, Activity::Over);
    }
}
