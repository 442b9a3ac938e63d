//! A copy of the database while it is in use: consistent, compact, whole or not there at all.
//!
//! The copy holds everything the database does, password hashes and unused invitations too: mode 0600.

use crate::error::Error;
use crate::store::file::{connect, create_private};
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Copies the database `from` to `to`, which must not exist yet ([`Error::Exists`]). It is on disk when this returns.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
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
    let drawn = getrandom::u64().map_err(|error| Error::Failed(format!("the kernel gives no random bits: {error}")))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{drawn:016x}.tmp"));
    Ok(to.with_file_name(hidden))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn told(to: &Path, error: &io::Error) -> Error {
    Error::Failed(format!("the backup {} cannot be written: {error}", to.display()))
}
