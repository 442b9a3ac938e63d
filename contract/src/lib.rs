//! What the load generator and a contestant's server agree on.
//!
//! Pure but for [`clock`]: no socket, no allocation in [`verdict::judge`]. Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`header`] | names and values that travel on the wire, and the limits of a response |
//! | [`tls`] | what both sides ask of TLS |
//! | [`token`] | the 32 hex digits that make every request unique |
//! | [`rules`] | points, timeout, grace, deadlines |
//! | [`verdict`] | what was observed in one exchange, and what that is worth |
//! | [`tally`] | counters of a contestant, a partition of all that came due |
//! | [`histogram`] | latencies in microseconds |
//! | [`row`] | what one stream counted for one contestant, and its text |
//! | [`span`] | a stretch of a row's histograms, and its bytes |
//! | [`id`] | ids of streams and rounds |
//! | [`clock`] | instants in UTC, and now |
//! | [`validity`] | how much of a round is valid |
//! | [`text`] | how whole numbers read for people |

#![warn(clippy::missing_errors_doc)]

pub mod clock;
pub mod header;
pub mod histogram;
pub mod id;
pub mod row;
pub mod rules;
pub mod span;
pub mod tally;
pub mod text;
pub mod tls;
pub mod token;
pub mod validity;
pub mod verdict;

pub use clock::{UtcUs, utc_us};
pub use header::{Platform, Version};
pub use histogram::Histogram;
pub use id::{RoundId, StreamId};
pub use row::{Row, RowError};
pub use rules::{Deadline, Rules};
pub use tally::Tally;
pub use token::{Token, TokenMint};
pub use validity::RoundValidity;
pub use verdict::{Failure, Observed, Outcome, Seen, Verdict, judge};
