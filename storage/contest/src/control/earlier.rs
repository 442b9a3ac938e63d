//! Rounds that were left before the end of their plan. Whoever has not heard of that plays them by what it knows, and what the
//! document says of the next round says nothing of them.

use super::Control;
use crate::state::State;
use crate::timeline::{GENERATORS_MAX, INSTANT_MAX};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use std::collections::BTreeSet;

/// Rounds that are remembered at most: more are left before their time in no contest.
pub const EARLIER_MAX: usize = 100;

/// A round that was aborted or ended before its time, until that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierRound {
    pub round: RoundId,
    /// The end of its plan.
    pub until: UtcUs,
    /// All that had a share of it, by name.
    pub generators: Vec<String>,
}

impl Control {
    /// Until when somebody plays the round who hears nothing of it: by the plan, since that one knows neither of an earlier end
    /// nor of a pause that lasts. `None` while no round is on the clock.
    pub fn played_until(&self) -> Option<UtcUs> {
        let mut planned = self.timeline.clone();
        planned.pauses.retain(|pause| pause.to.is_some());
        planned.instant_of(self.contest.duration_us())
    }

    /// All that had a share of the round, by name.
    pub fn shared_by(&self) -> BTreeSet<&String> {
        self.timeline.splits.iter().flat_map(|split| &split.generators).chain(&self.split).collect()
    }

    /// What a draft remembers that leaves this round behind: earlier rounds that somebody may still play, and this one.
    pub(crate) fn left_behind(&self, now: UtcUs) -> Vec<EarlierRound> {
        let mut earlier = self.earlier.clone();
        if let (Some(round), Some(until)) = (self.round, self.played_until())
            && matches!(self.state, State::Sealed | State::Aborted)
        {
            let generators = self.shared_by().into_iter().take(GENERATORS_MAX).cloned().collect();
            earlier.push(EarlierRound { round, until: until.min(INSTANT_MAX), generators });
        }
        earlier.retain(|earlier| now < earlier.until);
        earlier.drain(..earlier.len().saturating_sub(EARLIER_MAX));
        earlier
    }
}
