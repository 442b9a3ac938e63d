//! The contest as a document: who plays, by which rules, where a round stands, and who is ahead.
//!
//! Pure: no file, no socket, no clock. Time comes in as an argument, documents as text. Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`contest`] | the contest file: who plays, by which rules, under which traffic |
//! | [`names`] | what may be a name, and the one that is the platform's own |
//! | [`endpoint`] | a contestant's address |
//! | [`address`] | when two addresses are one server |
//! | [`policy`] | which endpoints and addresses a contest may flood |
//! | [`timeline`] | a round on the clock: start, pauses, moved deadlines, splits, end |
//! | [`state`], [`refusal`] | where a round stands; why a change of it is refused |
//! | [`control`] | the contest as the dashboard steers it, as JSON |
//! | [`lifecycle`] | what may be changed when, and which document may follow another |
//! | [`ladder`] | which rate a breakpoint test tries next |
//! | [`breakpoint`] | the steps of a breakpoint phase, and what is decided of all contestants |
//! | [`climbed`] | what a contestant's climb came to, in figures and in words |
//! | [`mod@standings`] | ranks |
//! | [`text`] | text from elsewhere, made fit to show |

#![warn(clippy::missing_errors_doc)]

pub mod address;
pub mod breakpoint;
pub mod climbed;
pub mod contest;
pub mod control;
pub mod endpoint;
pub mod ladder;
pub mod lifecycle;
pub mod names;
pub mod policy;
pub mod refusal;
pub mod standings;
pub mod state;
pub mod text;
pub mod timeline;

pub use contest::{Contest, ContestError};
pub use control::{Control, ControlError};
pub use endpoint::{Endpoint, EndpointError};
pub use lifecycle::Change;
pub use policy::{Policy, PolicyError};
pub use refusal::Refusal;
pub use standings::{DecidedBy, Held, Merit, Standing, standings};
pub use state::State;
pub use timeline::Timeline;
