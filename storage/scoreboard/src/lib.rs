//! What generators and dashboard share through Redis.
//!
//! Redis is a view, never the truth: every stream publishes its own cumulative rows, so whatever Redis loses
//! comes back with the next publication. Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`address`] | where Redis is, and the password for it |
//! | [`keys`] | the names of everything in Redis |
//! | [`library`] | the functions that run inside Redis |
//! | `wire` | the bytes: TCP, TLS or a Unix socket, each step with a timeout, none cut short by a signal |
//! | [`connection`] | one blocking connection, and the check of what is at its other end |
//! | [`publisher`] | the thread that keeps Redis up to date |
//! | [`reader`] | the reading side: control document and the sums of a round |
//! | [`steering`] | who steers a contest, and changes of its document |
//! | [`generator`] | what a generator says about itself |
//! | `stop_status` | who applies a stop, and who cannot be asked; pure |
//! | [`split_keeper`] | who is to send what when generators die and come back; pure |
//! | `keeper` | who decides that |
//! | [`breakpoint`] | breakpoint phases: what was counted in a hold, and what was decided |
//! | [`clock`] | how far our clock is from Redis's |
//! | [`probe`] | tests of an endpoint, and their answers |
//! | [`named`] | since when names have had their addresses |
//! | [`prepared`] | what the prepare check of each contestant found |
//! | [`practice`] | load that counts nowhere, on request |
//! | [`explained`] | failures that a contestant can learn from |
//! | [`error`] | what can go wrong with Redis, as sentences |

#![warn(clippy::missing_errors_doc)]

pub mod address;
pub mod breakpoint;
pub mod clock;
pub mod connection;
pub mod error;
pub mod explained;
pub mod generator;
mod keeper;
pub mod keys;
pub mod library;
mod message;
pub mod named;
pub mod practice;
pub mod prepared;
pub mod probe;
pub mod publisher;
pub mod reader;
pub mod split_keeper;
pub mod steering;
mod stop_status;
mod wire;

pub use address::{RedisAddress, redacted};
pub use breakpoint::HoldReport;
pub use clock::{ClockOffset, measure_clock};
pub use error::ScoreboardError;
pub use explained::ExplainedError;
pub use flowtest_contract::RoundValidity;
pub use generator::{BusyWith, GeneratorHealth, Lease, SeenGenerator};
pub use named::Named;
pub use practice::{PracticeReport, PracticeRequest, PracticeState};
pub use prepared::Prepared;
pub use probe::{ProbeAnswer, ProbeRequest, ProbeVerdicts};
pub use publisher::{Health, Publisher, PublisherConfig};
pub use reader::{RoundStreams, RoundTotals, Scoreboard, StreamState};
pub use split_keeper::{Resplit, SplitKeeper};
pub use steering::{ControlEdit, Stopped};
pub use stop_status::{MayPlay, StopStatus, may_play};
