//! A copy of the database while it is in use: consistent, compact, whole or not there at all.
//!
//! The copy holds everything the database does, password hashes and unused invitations too: mode 0600.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::people::secret;
use crate::store::file::{blocking, connect, create_private};
use diesel::prelude::*;
use diesel::sql_types::Text;
use flowtest_contract::rules::UtcUs;
use serde_json::json;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

impl Accounts {
    /// Writes a backup to `to`, which must not exist yet ([`Error::Exists`]). It is on disk when this returns.
    /// The line in the log comes after the copy, so the copy does not hold it.
    pub async fn backup(&self, to: impl AsRef<Path>, by: &Actor, now: UtcUs) -> Result<(), Error> {
        let (from, to) = (self.store.path().to_path_buf(), to.as_ref().to_path_buf());
        let told = to.display().to_string();
        blocking(move || copy(&from, &to)).await?;
        let by = by.clone();
        self.store
            .write(move |conn| Change::of("backup.make", "database").after(json!({ "to": told })).write(conn, &by, now))
            .await
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if to.symlink_metadata().is_ok() {
        return Err(Error::Exists(to.to_path_buf()));
    }
    let temporary = beside(to)?;
    // SQLite writes into a file that is there and empty, and so into one that nobody else may read.
    create_private(&temporary).map_err(|error| told(to, &error))?;
    let done = fill(from, &temporary).and_then(|()| publish(&temporary, to));
    // By now the copy has its own name, or it is not wanted.
    let _ = fs::remove_file(&temporary);
    done
}

fn fill(from: &Path, temporary: &Path) -> Result<(), Error> {
    let name = temporary.to_str().ok_or_else(|| Error::Failed(format!("{} is no UTF-8 path", temporary.display())))?;
    diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(name).execute(&mut connect(from)?)?;
    Ok(())
}

/// Gives the whole copy its name. A hard link refuses a name that is taken, a rename would replace it.
fn publish(temporary: &Path, to: &Path) -> Result<(), Error> {
    let done = File::open(temporary)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::hard_link(temporary, to))
        .and_then(|()| File::open(folder_of(to))?.sync_all());
    done.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Exists(to.to_path_buf()),
        _ => told(to, &error),
    })
}

/// A name in the same folder that nobody uses.
fn beside(to: &Path) -> Result<PathBuf, Error> {
    let Some(name) = to.file_name() else {
        return Err(Error::Refused(format!("{} names no file. Give the backup a name.", to.display())));
    };
    let mut bytes = [0; 8];
    secret::fill(&mut bytes)?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{:016x}.tmp", u64::from_be_bytes(bytes)));
    Ok(to.with_file_name(hidden))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn told(to: &Path, error: &io::Error) -> Error {
    Error::Failed(format!("the backup {} cannot be written: {error}", to.display()))
}
