//! Why a command failed.

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
    Run(#[from] crate::engine::run::RunError),
    #[error(transparent)]
    Scoreboard(#[from] flowtest_scoreboard::ScoreboardError),
    #[error(transparent)]
    Resolve(#[from] crate::admit::resolve::ResolveError),
}
