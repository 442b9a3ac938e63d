//! GO or NO-GO: whether a round could be armed now, as a list of checks with a sentence each.
//!
//! A function of facts. It warns of what costs one contestant something and says no to what would spoil the round.

mod check;
mod contestant;
mod generator;
mod ownership;
mod platform;
mod situation;
#[cfg(test)]
mod tests;

pub use check::{Check, Group, Mark, verdict};
pub use contestant::judge_contestant;
pub use generator::{
    as_heard, is_heard, judge_generator, may_play_on, until, with_trust, with_what_it_follows, with_who_waits,
};
pub use platform::{CORE_RATE, EXCHANGE_BYTES, fleet_message, peak, rate_message, rate_together, step_message};
pub use situation::{Contestant, DatabaseHealth, House, Situation, Tested, Unsaved};

use check::List;

/// All checks: the platform, then each generator, then each contestant.
pub fn checks(situation: &Situation) -> Vec<Check> {
    let mut list = List::default();
    platform::steering(&mut list, situation);
    platform::redis(&mut list, situation);
    platform::database(&mut list, situation);
    platform::clock(&mut list, situation);
    platform::due(&mut list, situation);
    platform::round(&mut list, situation);
    platform::plan(&mut list, situation);
    platform::teams(&mut list, situation);
    platform::house(&mut list, situation);
    ownership::ownership(&mut list, situation);
    platform::certificates(&mut list, situation);
    generator::generators(&mut list, situation);
    contestant::contestants(&mut list, situation);
    list.0
}
