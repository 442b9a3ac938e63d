//! People, invitations, settings, rounds, history and the audit log, in SQLite.
//!
//! One file, one writer, four readers. Knows nothing of Redis, HTTP or pages. Time comes in as `now`, and every change
//! takes who makes it: its line in the audit log is written in the same transaction. Housekeeping (`purge_*`, when a
//! session was last seen, history rows) changes nothing anybody decided, and leaves no line.
//!
//! | module | noun |
//! |---|---|
//! | `store` | the file: schema, connections, transactions |
//! | `backup` | a copy of the file while it is in use |
//! | `actor`, `audit` | who did what, when, from where |
//! | `words` | what people may type |
//! | `secret`, `token`, `password` | what only its owner knows |
//! | `user`, `login`, `session` | people, and who is logged in |
//! | `invite`, `redeem` | how strangers become people |
//! | `control`, `setting` | what the organiser decided |
//! | `endpoint` | where contestants are |
//! | `round`, `results`, `history` | what was played, and how it went |
//! | `adjustment`, `announcement`, `screen` | what the organiser says beside it |

mod actor;
mod adjustment;
mod announcement;
mod audit;
mod backup;
mod control;
mod endpoint;
mod error;
mod history;
mod invite;
mod login;
mod password;
mod redeem;
mod results;
mod round;
mod schema;
mod screen;
mod secret;
mod session;
mod setting;
mod sql;
mod store;
mod token;
mod user;
mod words;

pub use actor::Actor;
pub use adjustment::{Adjustment, AdjustmentId};
pub use announcement::{Announcement, AnnouncementId, Level};
pub use audit::{AuditFilter, AuditLine};
pub use control::Saved;
pub use endpoint::{Endpoint, EndpointChange};
pub use error::Error;
pub use history::HistoryRow;
pub use invite::{BATCH_MAX, Invite, InviteId, InviteStatus, InviteUse, NewInvites};
pub use password::PASSWORD_LENGTH;
pub use redeem::{GoodInvite, RedeemError};
pub use results::RoundResult;
pub use round::{NewRound, Round};
pub use screen::{Screen, ScreenId};
pub use secret::{ScreenSecret, Secret, SessionSecret};
pub use session::{SESSION_IDLE_US, SESSION_LIFE_US, Session, SessionId};
pub use setting::{SECRET_PREFIX, Setting};
pub use user::{NewUser, Role, User, UserId};
pub use words::{ANNOUNCEMENT_MAX, LABEL_MAX, NAME_LENGTH, REASON_MAX, SHOWN_LENGTH, is_hidden};

use std::path::Path;
use std::sync::Arc;

/// The accounts of one contest. Cheap to clone; all clones share the connections.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub(crate) store: Arc<store::Store>,
    pub(crate) passwords: Arc<password::Passwords>,
}

impl Accounts {
    /// Opens the database, creating it (mode 0600) and bringing it to this version's schema as needed.
    ///
    /// Needs a tokio runtime. [`Error::Newer`] if a newer program wrote it.
    pub async fn open(path: impl AsRef<Path>) -> Result<Accounts, Error> {
        let store = store::Store::open(path.as_ref()).await?;
        Ok(Accounts { store: Arc::new(store), passwords: Arc::new(password::Passwords::start().await?) })
    }

    /// Whether the database answers.
    pub async fn is_alive(&self) -> bool {
        self.schema_version().await.is_ok()
    }

    /// The newest migration in the file, such as `00000000000002`.
    pub async fn schema_version(&self) -> Result<String, Error> {
        let found = self.store.read(store::applied).await?;
        found.ok_or_else(|| Error::Failed("it has no schema any more".to_owned()))
    }
}
