//! Why a change was not made, and why the control of a contest cannot begin.

use super::link::LinkError;
use flowtest_accounts::ControlRevision;
use flowtest_contest::{ControlError, Refusal};

/// A change that was not made. Everything is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Somebody else was faster.
    #[error("{by} was faster: {what} Look at it, then make your change again.")]
    Stale { revision: u64, by: String, what: String },
    #[error("nobody can play yet: contestants, or the house target, set their endpoints first")]
    NoContest,
    /// What was typed is not right; the field has this name.
    #[error("{message}")]
    Field { field: &'static str, message: String },
    /// Another dashboard, with another database, steers the contest.
    #[error("{0}")]
    Elsewhere(String),
    /// It makes no sense now.
    #[error("{0}")]
    Unfit(String),
    #[error("{0}")]
    Redis(#[from] LinkError),
    #[error("{0}")]
    Accounts(#[from] flowtest_accounts::Error),
}

impl ChangeError {
    /// Whoever saved this was faster.
    pub(super) fn stale(saved: ControlRevision) -> ChangeError {
        ChangeError::Stale { revision: saved.revision, by: saved.by_name, what: saved.what }
    }
}

/// Why the control of a contest cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Accounts(#[from] flowtest_accounts::Error),
    #[error(
        "the database holds contest {found:?} and not {wanted:?}: give its name with --contest, or another database"
    )]
    Contest { found: String, wanted: String },
    #[error("the control document in the database cannot be read: {0}; restore a backup")]
    Control(#[from] ControlError),
    #[error("setting {name:?} in the database cannot be read: {cause}; restore a backup")]
    Setting { name: &'static str, cause: String },
    #[error("no thread to speak with Redis: {0}; free some memory or processes")]
    Thread(#[from] std::io::Error),
}
