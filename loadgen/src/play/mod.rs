//! The commands that flood.
//!
//! | module | noun |
//! |---|---|
//! | [`flags`] | what the commands are asked |
//! | [`stress`] | URLs and flags, no contest |
//! | [`limit`] | one URL, and the highest rate that it holds |
//! | [`run`] | a contest from a file |
//! | [`serve`] | rounds by the control document |
//! | [`stop`] | the end of all traffic of a contest |
//! | [`driver`] | workers from start to end, and who gets what they count |
//! | [`plan`] | from a contest to the plan of one generator, with its defaults |
//! | [`steps`] | the steps of breakpoint phases: which hold is judged when, and what was decided |
//! | `claims` | since when contestants have had the addresses that they name |
//! | [`practice`] | half a minute of load beside all rounds, on request |
//! | [`health_gate`] | which addresses are worth a flood |
//! | [`address_probes`] | those that are not, asked beside it |

pub mod address_probes;
mod claims;
pub mod driver;
pub mod flags;
pub mod health_gate;
pub mod limit;
pub mod plan;
pub mod practice;
pub mod run;
pub mod serve;
pub mod steps;
pub mod stop;
pub mod stress;
#[cfg(test)]
mod virtual_climb;
#[cfg(test)]
mod virtual_round;
