//! The commands that flood.
//!
//! | module | noun |
//! |---|---|
//! | [`flags`] | what the commands are asked |
//! | [`stress`] | URLs and flags, no contest |
//! | [`run`] | a contest from a file |
//! | [`serve`] | rounds by the control document |
//! | [`stop`] | the end of all traffic of a contest |
//! | [`driver`] | workers from start to end, and who gets what they count |
//! | [`plan`] | from a contest to the plan of one generator, with its defaults |
//! | [`practice`] | half a minute of load beside all rounds, on request |
//! | [`health_gate`] | who is worth a flood |

pub mod driver;
pub mod flags;
pub mod health_gate;
pub mod plan;
pub mod practice;
pub mod run;
pub mod serve;
pub mod stop;
pub mod stress;
#[cfg(test)]
mod virtual_round;
