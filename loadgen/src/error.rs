//! Why a command failed. It knows no room: errors of rooms become one where they are defined.

/// Why a command failed. Each text names the cause and the next step.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// What was asked for is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Message(String),
    #[error(transparent)]
    Journal(#[from] flowtest_journal::JournalError),
    #[error(transparent)]
    Scoreboard(#[from] flowtest_scoreboard::ScoreboardError),
}
