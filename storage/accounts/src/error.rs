//! What can go wrong, in sentences for the person who asked.
//!
//! Owns the meaning of what SQLite, diesel and the pools report. Never carries a secret.

use diesel::result::{DatabaseErrorKind, Error as Sql};
use std::path::PathBuf;

/// Why something was not done. Nothing was changed then.
///
/// Every query can fail with [`Error::Busy`], [`Error::Full`], [`Error::ReadOnly`] and [`Error::Failed`]; a function names what
/// else can happen to it.
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
    #[error(
        "The database is locked: something else has been writing to it for too long. End the program that holds it, such as a \
         shell or a copy; if there is none, look at the load of its disk."
    )]
    Busy,
    #[error("The disk of the database is full. Make room on it: until then nothing can be saved.")]
    Full,
    #[error(
        "The database is read-only: nothing can be saved. Look at the permissions of its file and folder, and whether its disk \
         is mounted read-only."
    )]
    ReadOnly,
    #[error(
        "The file of the database is gone from its place, or is another one: what is written now is lost with the next start. \
         Put it back and restart the dashboard, or restore a backup."
    )]
    Gone,
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
        if let Sql::DatabaseError(_, details) = &error
            && let Some(known) = known(details.message())
        {
            return known;
        }
        match error {
            Sql::NotFound => Error::Missing("row"),
            Sql::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => Error::Missing("user or round"),
            other => Error::Failed(other.to_string()),
        }
    }
}

/// What SQLite's own words mean: diesel passes on its text and not its code. The texts are those of `sqlite3_errstr`.
fn known(message: &str) -> Option<Error> {
    // (begin of the text, meaning)
    let texts = [
        ("database is locked", Error::Busy),
        ("database table is locked", Error::Busy),
        ("database or disk is full", Error::Full),
        ("attempt to write a readonly database", Error::ReadOnly),
    ];
    texts.into_iter().find(|(text, _)| message.starts_with(text)).map(|(_, error)| error)
}

/// Whether a row was refused because its like is there already.
pub(crate) fn is_duplicate(error: &Sql) -> bool {
    matches!(error, Sql::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::connection::SimpleConnection;
    use diesel::prelude::*;

    #[test]
    fn what_sqlite_says_of_a_lock_a_full_disk_and_a_file_that_cannot_be_written_is_understood() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.db");
        let open = || SqliteConnection::establish(path.to_str().expect("a path")).expect("it opens");
        let mut first = open();
        first.batch_execute("PRAGMA journal_mode = WAL; CREATE TABLE words (word TEXT)").expect("a table");
        let said = |conn: &mut SqliteConnection, sql: &str| {
            Error::from(diesel::sql_query(sql).execute(conn).expect_err("it is refused"))
        };
        first.batch_execute("BEGIN IMMEDIATE").expect("the lock is free");
        let locked = said(&mut open(), "INSERT INTO words VALUES ('a')");
        assert!(matches!(locked, Error::Busy), "{locked:?}");
        first.batch_execute("ROLLBACK; PRAGMA max_page_count = 2").expect("it is set");
        let full = said(&mut first, "INSERT INTO words VALUES (zeroblob(100000))");
        assert!(matches!(full, Error::Full), "{full:?}");
        first.batch_execute("PRAGMA query_only = ON").expect("it is set");
        let read_only = said(&mut first, "INSERT INTO words VALUES ('a')");
        assert!(matches!(read_only, Error::ReadOnly), "{read_only:?}");
        let other = said(&mut first, "SELECT word FROM nowhere");
        assert!(matches!(&other, Error::Failed(cause) if cause.contains("nowhere")), "{other:?}");
    }
}
