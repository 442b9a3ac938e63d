//! The live feed: what the collector reads once a second, and what everybody who watches gets of it.
//!
//! Redis is read once for all, one frame is written for all, and a viewer costs a copy of its bytes. What decides is a
//! function of its arguments; only [`reader`], [`feed`] and [`socket`] touch the world.
//!
//! | module | noun |
//! |---|---|
//! | [`clock`] | the contest's clock, which is Redis's |
//! | [`facts`] | what the collector must be told: contestants, adjustments, sealed results, notices, the freeze |
//! | [`audience`] | who may see what of the scores, and of which instant. The only place that decides it |
//! | [`standings`] | ranked lines, as one audience sees them, with the names of their fields everywhere |
//! | [`team_state`] | how a contestant fares at this moment, in one word |
//! | [`window`] | the last minute: rates, how much was verified, movement |
//! | [`series`] | points over time at three resolutions |
//! | [`board`] | all of the scores: told once a second, asked by everybody |
//! | [`round_now`] | the round, phase and due values at an instant |
//! | [`validity`] | how much of the round is valid, and whether pages say so |
//! | [`frame`] | one snapshot and one delta per class of audience, shared by all its viewers |
//! | [`past`] | the same of an instant that is over, from what was kept |
//! | [`reveal`] | the way from the frozen standings to the final ones, step by step |
//! | [`marks`] | deadlines, phases, pauses and the freeze, as lines in a chart |
//! | [`history`] | the body of `/api/history`, prepared once for a crowd |
//! | [`archive`] | one second of the scores as a row of SQLite |
//! | [`hub`] | subscriptions: who watches, how many may, and whom to send away |
//! | [`socket`] | one WebSocket |
//! | [`reader`] | the thread that asks Redis |
//! | [`feed`] | the whole of it, running |

pub mod archive;
pub mod audience;
pub mod board;
pub mod clock;
pub mod facts;
pub mod feed;
pub mod frame;
pub mod history;
pub mod hub;
pub mod marks;
pub mod past;
pub mod reader;
pub mod reveal;
pub mod round_now;
pub mod series;
pub mod socket;
pub mod standings;
pub mod team_state;
pub mod validity;
pub mod window;

pub use audience::{Audience, Visibility};
pub use facts::{Carried, Contestant, Facts, Freeze, HouseResult, NotValid, Notice, PlayedRound, RevealWait, UserKey};
pub use feed::{Feed, FeedConfig, Seen};
pub use hub::{Close, Hub, HubConfig};
pub use round_now::{ClimbNow, ClimbState, Due, RoundNow};
pub use standings::{Figures, Standing, Standings};
pub use team_state::{StateSince, TeamState};
pub use validity::{Causes, HeardValidity, ValidityNow};
