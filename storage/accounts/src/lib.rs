//! People, invitations, settings, rounds, history and the audit log, in SQLite.
//!
//! One file, one writer, four readers. Knows nothing of Redis, HTTP or pages. Time comes in as `now`, and every change
//! takes who makes it: its line in the audit log is written in the same transaction. Housekeeping (`purge_*`, when a
//! session was last seen, history rows) changes nothing anybody decided, and leaves no line.
//!
//! | module | noun |
//! |---|---|
//! | `store` | the file: schema, connections, transactions, backups |
//! | `log` | who did what, when, from where |
//! | `text` | what people may type |
//! | `people` | users, their passwords, logins and sessions |
//! | `invitations` | how strangers become people |
//! | `contest` | what the organiser decided, where contestants are, what was played |
//! | `error` | what can go wrong, in sentences for the person who asked |

#![warn(clippy::missing_errors_doc)]

mod contest;
mod error;
mod invitations;
mod log;
mod people;
mod store;
mod text;

pub use contest::adjustment::Adjustment;
pub use contest::announcement::{Announcement, Level};
pub use contest::control::ControlRevision;
pub use contest::endpoint::{Endpoint, EndpointChange};
pub use contest::history::HistoryRow;
pub use contest::results::RoundResult;
pub use contest::round::{NewRound, RULING, Round, Ruling};
pub use contest::screen::Screen;
pub use contest::setting::{SECRET_PREFIX, Setting};
pub use error::Error;
pub use invitations::invite::{BATCH_MAX, Invite, InviteStatus, InviteUse, NewInvites};
pub use invitations::redeem::{RedeemError, RedeemableInvite};
pub use log::{Actor, AuditFilter, AuditLine, AuditWord};
pub use people::login_link::LOGIN_LINK_LIFE_US;
pub use people::password::{PASSWORD_LENGTH, WAITING_MAX as PASSWORDS_WAITING_MAX};
pub use people::secret::{ScreenSecret, Secret, SessionSecret};
pub use people::session::{SESSION_IDLE_US, SESSION_LIFE_US, SESSIONS_MAX, Session};
pub use people::user::{NewUser, Role, User};
pub use store::ids::{AdjustmentId, AnnouncementId, InviteId, ScreenId, SessionId, UserId};
pub use text::{ANNOUNCEMENT_MAX, CATEGORY_MAX, CONTACT_MAX, DISPLAY_NAME_LENGTH, LABEL_MAX, NAME_LENGTH, REASON_MAX};

use flowtest_contract::rules::UtcUs;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// The accounts of one contest. Cheap to clone; all clones share the connections.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub(crate) store: Arc<store::file::Store>,
    pub(crate) passwords: Arc<people::password::Passwords>,
}

impl Accounts {
    /// Opens the database, creating it (mode 0600) and bringing it to this version's schema as needed.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Newer`] if a newer program wrote the file; [`Error::Failed`] if it cannot be created, opened or migrated.
    pub async fn open(path: impl AsRef<Path>) -> Result<Accounts, Error> {
        let store = store::file::Store::open(path.as_ref()).await?;
        Ok(Accounts { store: Arc::new(store), passwords: Arc::new(people::password::Passwords::start().await?) })
    }

    /// Writes a backup to `to`, which must not exist yet: it is on disk when this returns.
    /// The line in the log comes after the copy, so the copy does not hold it.
    ///
    /// # Errors
    /// [`Error::Exists`] if `to` is there already, [`Error::Refused`] if it names no file, and as every query.
    pub async fn backup(&self, to: impl AsRef<Path>, by: &Actor, now: UtcUs) -> Result<(), Error> {
        let (from, to) = (self.store.path().to_path_buf(), to.as_ref().to_path_buf());
        let detail = json!({ "to": to.display().to_string() });
        store::file::blocking(move || store::backup::copy(&from, &to)).await?;
        self.note("backup.make", "database", Some(detail), by, now).await
    }

    /// Runs work that costs as much as hashing a password, such as scoring one, within the same limits.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many wait for a core.
    pub async fn on_a_core<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        self.passwords.on_a_core(move || Ok(work())).await
    }

    /// Writes as a change would, so that what is in the way is known before somebody needs it. Housekeeping: nothing is
    /// decided by it.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn check_write(&self, now: UtcUs) -> Result<(), Error> {
        if !self.store.is_in_place() {
            return Err(Error::Gone);
        }
        self.mark_checked(now).await
    }

    /// Room on the disk of the database, in bytes. None: the system does not say.
    pub fn free_bytes(&self) -> Option<u64> {
        let room = rustix::fs::statvfs(self.store.path()).ok()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }

    /// Whether the database answers.
    pub async fn is_alive(&self) -> bool {
        self.schema_version().await.is_ok()
    }

    /// The newest migration in the file, such as `00000000000002`.
    ///
    /// # Errors
    /// [`Error::Failed`] if there is no schema, and as every query.
    pub async fn schema_version(&self) -> Result<String, Error> {
        let found = self.store.read(store::file::applied).await?;
        found.ok_or_else(|| Error::Failed("it has no schema any more".to_owned()))
    }
}
