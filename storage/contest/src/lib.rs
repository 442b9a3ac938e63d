//! The contest as a document: who plays, by which rules, where a round stands, and who is ahead.
//!
//! Pure: no file, no socket, no clock. Time comes in as an argument, documents as text. Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`contest`] | the contest file: who plays, by which rules, under which traffic |
//! | [`names`] | what may be a name, and the one that is the platform's own |
//! | [`endpoint`] | a contestant's address |
//! | [`policy`] | which endpoints and addresses a contest may flood |
//! | [`control`] | the contest as the dashboard steers it, as JSON |
//! | [`timeline`] | a round on the clock: start, pauses, moved deadlines, splits, end |
//! | [`lifecycle`] | what may be changed when, and which document may follow another |
//! | [`mod@standings`] | ranks |
//! | [`text`] | text from elsewhere, made fit to show |

#![warn(clippy::missing_errors_doc)]

pub mod contest;
pub mod control;
pub mod endpoint;
pub mod lifecycle;
pub mod names;
pub mod policy;
pub mod standings;
pub mod text;
pub mod timeline;

pub use contest::{Contest, ContestError};
pub use control::{Control, ControlError, State};
pub use endpoint::{Endpoint, EndpointError};
pub use lifecycle::{Change, Refusal};
pub use policy::{Policy, PolicyError};
pub use standings::{DecidedBy, Merit, Standing, standings};
pub use timeline::Timeline;
