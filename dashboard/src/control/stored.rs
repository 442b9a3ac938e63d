//! A value that the database keeps as a text with a version: read at the start, replaced as a whole, and followed when
//! another process has replaced it.

use super::error::{ChangeError, OpenError};
use flowtest_accounts::{Accounts, Actor};
use flowtest_contract::rules::UtcUs;
use std::sync::Arc;
use tokio::sync::watch;

/// Such a value, as far as this process knows. It holds no lock while the database is asked.
#[derive(Debug)]
pub(super) struct Stored<T> {
    /// Its name among the settings of the database.
    name: &'static str,
    read: fn(&str) -> Result<T, String>,
    write: fn(&T) -> Result<String, String>,
    newest: watch::Sender<Newest<T>>,
}

#[derive(Debug)]
struct Newest<T> {
    /// None before it was first saved.
    version: Option<u64>,
    value: Arc<T>,
}

impl<T: Default> Stored<T> {
    pub(super) async fn open(
        accounts: &Accounts,
        name: &'static str,
        read: fn(&str) -> Result<T, String>,
        write: fn(&T) -> Result<String, String>,
    ) -> Result<Stored<T>, OpenError> {
        let newest = watch::Sender::new(Newest { version: None, value: Arc::default() });
        let stored = Stored { name, read, write, newest };
        stored.follow(accounts).await?;
        Ok(stored)
    }

    pub(super) fn value(&self) -> Arc<T> {
        Arc::clone(&self.newest.borrow().value)
    }

    /// How often it was saved.
    pub(super) fn version(&self) -> u64 {
        self.newest.borrow().version.unwrap_or(0)
    }

    /// Saves another value, unless another process has done so since.
    pub(super) async fn put(&self, accounts: &Accounts, value: T, by: &Actor, now: UtcUs) -> Result<(), ChangeError> {
        let text = (self.write)(&value).map_err(ChangeError::Unfit)?;
        let version = self.newest.borrow().version;
        let version = accounts.put_setting(self.name, version, &text, by, now).await?;
        self.newest.send_replace(Newest { version: Some(version), value: Arc::new(value) });
        Ok(())
    }

    /// Takes over what another process has saved since.
    pub(super) async fn follow(&self, accounts: &Accounts) -> Result<(), OpenError> {
        let Some(setting) = accounts.setting(self.name).await? else { return Ok(()) };
        let value = (self.read)(&setting.text).map_err(|cause| OpenError::Setting { name: self.name, cause })?;
        if Some(setting.version) > self.newest.borrow().version {
            self.newest.send_replace(Newest { version: Some(setting.version), value: Arc::new(value) });
        }
        Ok(())
    }
}
