//! What can go wrong, in sentences for the person who asked.
//!
//! Owns the meaning of what SQLite, diesel and the pools report. Never carries a secret.

use diesel::result::{DatabaseErrorKind, Error as Sql};
use std::path::PathBuf;

/// Why something was not done. Nothing was changed then.
///
/// Every query can fail with [`Error::Busy`] and [`Error::Failed`]; a function names what else can happen to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A person typed what cannot be: `field` names the input, the message says what would be right.
    #[error("{message}")]
    Invalid { field: &'static str, message: String },
    /// What was asked for by its id is not there.
    #[error("There is no such {0}. Reload the page: somebody may have removed it.")]
    Missing(&'static str),
    #[error("The name is taken. Choose another one.")]
    NameTaken,
    /// The last enabled admin cannot be disabled or lose the role.
    #[error("This is the last enabled admin. Make somebody else an admin first.")]
    LastAdmin,
    /// Somebody else saved in between; `found` is the revision or version that is there now.
    #[error("Somebody else saved in between{}. Reload and make the change again.", found_words(.found))]
    Stale { found: Option<u64> },
    /// It cannot be done in the state things are in; the sentence says why.
    #[error("{0}")]
    Refused(String),
    #[error("{0} exists already. Choose another file: a backup never overwrites.")]
    Exists(PathBuf),
    #[error(
        "The database {path} was written by a newer Flow Test (migration {found}). \
         Start that version, or restore a backup that this one made."
    )]
    Newer { path: PathBuf, found: String },
    #[error("The database was busy for too long. Try again; if it stays so, look at the load of its disk.")]
    Busy,
    /// Too many wait to have a password hashed; this one was not looked at.
    #[error("Too many people sign in at this moment. Try again in some seconds.")]
    Overloaded,
    /// The disk, the file or the program failed; an operator must look.
    #[error("The database failed: {0}. Look at its disk, its space and its permissions.")]
    Failed(String),
}

impl Error {
    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Error {
        Error::Invalid { field, message: message.into() }
    }
}

fn found_words(found: &Option<u64>) -> String {
    found.map_or_else(String::new, |found| format!(" (revision {found} is there now)"))
}

impl From<Sql> for Error {
    fn from(error: Sql) -> Error {
        match error {
            Sql::NotFound => Error::Missing("row"),
            Sql::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => Error::Missing("user or round"),
            Sql::DatabaseError(_, details) if details.message().contains("database is locked") => Error::Busy,
            other => Error::Failed(other.to_string()),
        }
    }
}

/// Whether a row was refused because its like is there already.
pub(crate) fn is_duplicate(error: &Sql) -> bool {
    matches!(error, Sql::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}
