//! What generator and dashboard share through Redis, and the contest that both read.
//!
//! Redis is a view, never the truth: every stream publishes its own cumulative rows, so whatever Redis loses
//! comes back with the next publication. Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`contest`] | the contest file: who plays, by which rules, under which traffic |
//! | [`endpoint`] | a contestant's address |
//! | [`policy`] | which endpoints and addresses a contest may flood |
//! | [`control`] | the contest as the dashboard steers it, as JSON |
//! | [`timeline`] | a round on the clock: start, pauses, moved deadlines, splits, end |
//! | [`lifecycle`] | what may be changed when, and which document may follow another |
//! | [`row`] | what one stream counted for one contestant, as text |
//! | [`keys`] | the names of everything in Redis |
//! | [`library`] | the functions that run inside Redis |
//! | [`connection`] | one blocking connection with a timeout on everything, and the check of what is at its other end |
//! | [`publisher`] | the thread that keeps Redis up to date |
//! | [`reader`] | the reading side: control document and the sums of a round |
//! | [`standings`] | ranks |
//! | [`generator`] | what a generator says about itself |
//! | [`clock`] | how far our clock is from Redis's |
//! | [`probe`] | tests of an endpoint, and their answers |
//! | [`prepared`] | what the prepare check of each contestant found |
//! | [`practice`] | load that counts nowhere, on request |
//! | [`explained`] | failures that a contestant can learn from |
//! | [`text`] | text from elsewhere, made fit to show |
//! | [`error`] | what can go wrong with Redis, as sentences |

pub mod clock;
pub mod connection;
pub mod contest;
pub mod control;
pub mod endpoint;
pub mod error;
pub mod explained;
pub mod generator;
pub mod keys;
pub mod library;
pub mod lifecycle;
pub mod policy;
pub mod practice;
pub mod prepared;
pub mod probe;
pub mod publisher;
pub mod reader;
pub mod row;
pub mod standings;
pub mod text;
pub mod timeline;

pub use clock::{ClockOffset, measure_clock};
pub use contest::{Contest, ContestError};
pub use control::{Control, ControlError, State};
pub use endpoint::{Endpoint, EndpointError};
pub use error::ScoreboardError;
pub use explained::ExplainedError;
pub use flowtest_contract::id::{RoundId, StreamId};
pub use generator::{GeneratorHealth, SeenGenerator};
pub use lifecycle::{Change, Refusal};
pub use policy::{Policy, PolicyError};
pub use practice::{PracticeReport, PracticeRequest, PracticeState};
pub use prepared::Prepared;
pub use probe::{ProbeAnswer, ProbeRequest, ProbeVerdicts};
pub use publisher::{Health, Publisher, PublisherConfig};
pub use reader::{RoundTotals, Scoreboard, StreamState};
pub use row::{Row, RowError};
pub use standings::{DecidedBy, Merit, Standing, standings};
pub use timeline::Timeline;
