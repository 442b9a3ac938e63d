//! The file: opened, brought to this program's schema, and shared by one writer and four readers.
//!
//! Owns pools, pragmas and transactions. All writing goes through one connection and begins with `BEGIN IMMEDIATE`, so
//! "database is locked" cannot come from ourselves. A future that is dropped leaves no transaction open: closures run to
//! their end on a blocking thread. Knows no table.

use crate::error::Error;
use deadpool_diesel::sqlite::{Hook, HookError, Manager, Pool};
use deadpool_diesel::{InteractError, PoolError, Runtime};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The schema travels inside the program.
pub(crate) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Pages ask side by side; four readers outrun what one dashboard renders.
const READERS: usize = 4;
/// A request that waited this long for a connection is told so instead of hanging.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// First of all, so that the next pragmas wait for other processes instead of failing.
const BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 5000";
const COMMON: [&str; 3] = [BUSY_TIMEOUT, "PRAGMA foreign_keys = ON", "PRAGMA trusted_schema = OFF"];
/// FULL: a redeemed invitation survives a power cut. There are few writes, so it costs nothing.
const WRITER: [&str; 3] =
    ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA wal_autocheckpoint = 1000"];
/// A query that writes by mistake fails here instead of breaking the rule of one writer.
const READER: [&str; 1] = ["PRAGMA query_only = ON"];

pub(crate) struct Store {
    path: PathBuf,
    /// Device and number of the file that was opened.
    file: (u64, u64),
    writer: Pool,
    readers: Pool,
    runtime: tokio::runtime::Handle,
}

impl Store {
    /// Opens or creates the file (mode 0600) and brings it to this program's schema.
    pub(crate) async fn open(path: &Path) -> Result<Store, Error> {
        let wanted = path.to_path_buf();
        let path = blocking(move || prepare(&wanted)).await?;
        let url = url_of(&path)?;
        let file = file_at(&path).ok_or(Error::Gone)?;
        Ok(Store {
            file,
            writer: pool(&url, 1, &WRITER)?,
            readers: pool(&url, READERS, &READER)?,
            runtime: tokio::runtime::Handle::current(),
            path,
        })
    }

    /// Runs `work` on a reader. It sees one consistent state per statement.
    pub(crate) async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let conn = self.readers.get().await.map_err(pool_error)?;
        conn.interact(work).await.map_err(|error| interact_error(&error))?
    }

    /// Runs `work` on the writer as one transaction: all of it is on disk when this returns, or nothing is.
    pub(crate) async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + From<diesel::result::Error> + Send + 'static,
    {
        let conn = self.writer.get().await.map_err(pool_error)?;
        conn.interact(|conn| conn.immediate_transaction(work)).await.map_err(|error| interact_error(&error))?
    }

    /// Whether the file that was opened still lies at its path: what is written to another one is read by nobody again.
    pub(crate) fn is_in_place(&self) -> bool {
        file_at(&self.path) == Some(self.file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Device and number of a file.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Drop for Store {
    /// The pools close their connections on a blocking thread, which needs a runtime at hand, and panics without one.
    fn drop(&mut self) {
        let _runtime = self.runtime.enter();
        self.readers.close();
        self.writer.close();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Runs what blocks where blocking is fine.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Failed(format!("a blocking task ended early: {error}"))),
    }
}

/// A connection of its own, outside the pools.
pub(crate) fn connect(path: &Path) -> Result<SqliteConnection, Error> {
    let mut conn = SqliteConnection::establish(&url_of(path)?)
        .map_err(|error| Error::Failed(format!("{} cannot be opened: {error}", path.display())))?;
    pragmas(&mut conn, &COMMON)?;
    Ok(conn)
}

/// Creates a file that only its owner may read, unless something is there already.
pub(crate) fn create_private(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

fn prepare(path: &Path) -> Result<PathBuf, Error> {
    let told = |error: std::io::Error| Error::Failed(format!("{}: {error}", path.display()));
    match create_private(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(told(error)),
        _ => {}
    }
    // Absolute, so that SQLite does not read a name such as `file:` or `:memory:` as something else.
    let path = path.canonicalize().map_err(told)?;
    let mut conn = connect(&path)?;
    pragmas(&mut conn, &WRITER)?;
    refuse_newer(&mut conn, &path)?;
    conn.run_pending_migrations(MIGRATIONS)
        .map_err(|error| Error::Failed(format!("{} cannot be brought to this version: {error}", path.display())))?;
    Ok(path)
}

fn refuse_newer(conn: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let Some(found) = applied(conn)? else { return Ok(()) };
    if found > newest()? { Err(Error::Newer { path: path.to_path_buf(), found }) } else { Ok(()) }
}

/// The newest migration in the file; none in an empty one.
pub(crate) fn applied(conn: &mut SqliteConnection) -> Result<Option<String>, Error> {
    let versions = MigrationHarness::<Sqlite>::applied_migrations(conn)
        .map_err(|error| Error::Failed(format!("its migrations cannot be read: {error}")))?;
    Ok(versions.iter().map(ToString::to_string).max())
}

/// The newest migration this program knows.
fn newest() -> Result<String, Error> {
    use diesel::migration::MigrationSource;
    let known = MigrationSource::<Sqlite>::migrations(&MIGRATIONS).map_err(|error| Error::Failed(error.to_string()))?;
    Ok(known.iter().map(|migration| migration.name().version().to_string()).max().unwrap_or_default())
}

fn url_of(path: &Path) -> Result<String, Error> {
    let text = path.to_str().ok_or_else(|| Error::Failed(format!("{} is no UTF-8 path", path.display())))?;
    Ok(text.to_owned())
}

fn pool(url: &str, size: usize, own: &'static [&'static str]) -> Result<Pool, Error> {
    let set_up = Hook::async_fn(move |conn: &mut deadpool_diesel::Connection<SqliteConnection>, _| {
        Box::pin(async move {
            let done = conn.interact(move |conn| pragmas(conn, &COMMON).and_then(|()| pragmas(conn, own))).await;
            match done {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(HookError::message(error.to_string())),
                Err(error) => Err(HookError::message(error.to_string())),
            }
        })
    });
    Pool::builder(Manager::new(url, Runtime::Tokio1))
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT_MAX))
        .create_timeout(Some(WAIT_MAX))
        .post_create(set_up)
        .build()
        .map_err(|error| Error::Failed(error.to_string()))
}

/// One statement each: their order matters.
fn pragmas(conn: &mut SqliteConnection, all: &[&str]) -> Result<(), Error> {
    all.iter().try_for_each(|pragma| Ok(conn.batch_execute(pragma)?))
}

fn pool_error(error: PoolError) -> Error {
    match error {
        PoolError::Timeout(_) => Error::Busy,
        other => Error::Failed(other.to_string()),
    }
}

fn interact_error(error: &InteractError) -> Error {
    Error::Failed(format!("a query ended early: {error}"))
}
