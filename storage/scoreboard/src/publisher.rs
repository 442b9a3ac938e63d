//! The thread that keeps Redis up to date.
use crate::error::ScoreboardError;
use crate::id::{RoundId, StreamId};
use crate::row::Row;
use std::sync::Arc;
use std::time::Duration;

/// What a publisher needs to know.
#[derive(Clone)]
pub struct PublisherConfig {
    /// `redis://host:port` or `unix:///path`.
    pub url: String,
    pub password: Option<String>,
    pub contest: String,
    pub round: RoundId,
    pub stream: StreamId,
    /// In the order of the rows.
    pub contestants: Vec<String>,
    /// Take a Redis without append-only file or with an evicting policy.
    pub allow_volatile: bool,
}

impl std::fmt::Debug for PublisherConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublisherConfig").field("round", &self.round).finish_non_exhaustive()
    }
}

/// How the publisher fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub connected: bool,
    pub last_error: Option<String>,
    /// The newest sequence number that Redis has acknowledged.
    pub put_seq: u64,
    pub reconnects: u64,
}

#[derive(Debug)]
pub struct Publisher {}

impl Publisher {
    pub fn start(config: PublisherConfig) -> Result<Publisher, ScoreboardError> {
        Err(ScoreboardError::Config(format!("not built yet: {config:?}")))
    }

    pub fn publish(&self, _seq: u64, _rows: Arc<[Row]>) {}

    pub fn finish(self, _seq: u64, _rows: Arc<[Row]>, _patience: Duration) -> Result<(), ScoreboardError> {
        Err(ScoreboardError::Config("not built yet".to_owned()))
    }

    pub fn health(&self) -> Health {
        Health::default()
    }
}
