//! Logging in, and passwords of those who are there.
//!
//! Says nothing of why a login failed, and takes the same time for every reason.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::people::user::{self, User};
use crate::store::ids::{SessionId, UserId};
use crate::store::schema::{sessions, users};
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde_json::json;

impl Accounts {
    /// The user, if name and password are right and the account is enabled. Failures are logged, with the user if
    /// there is one; what was typed as a name is not, for people type their password there.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many wait to have a password hashed, and as every query.
    pub async fn log_in(&self, name: &str, password: &str, address: &str, now: UtcUs) -> Result<Option<User>, Error> {
        let name = name.to_owned();
        let found: Option<(User, String)> = self
            .store
            .read::<_, Error>(move |conn| {
                let named = users::table.filter(users::name.eq(name)).filter(users::disabled.eq(false));
                Ok(named.select((User::as_select(), users::password_hash)).first(conn).optional()?)
            })
            .await?;
        let (user, hash) = found.unzip();
        if self.passwords.verify(password, hash).await? {
            return Ok(user);
        }
        let subject = user.map_or_else(|| "nobody".to_owned(), |user| user::subject(user.id));
        self.note("login.fail", subject, None, &Actor::nobody(address), now).await?;
        Ok(None)
    }

    /// Whether this is the user's password, such as before it is changed.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many wait to have a password hashed, and as every query.
    pub async fn check_password(&self, id: UserId, password: &str) -> Result<bool, Error> {
        let hash = self
            .store
            .read::<_, Error>(move |conn| {
                Ok(users::table.find(id.0).select(users::password_hash).first(conn).optional()?)
            })
            .await?;
        self.passwords.verify(password, hash).await
    }

    /// Sets a password and ends the user's sessions, except the one to `keep`. Returns how many ended.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a password that is too short or too long, [`Error::Missing`] without such a user,
    /// [`Error::Overloaded`], and as every query.
    pub async fn set_password(
        &self,
        id: UserId,
        password: &str,
        keep: Option<SessionId>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<usize, Error> {
        let hash = self.passwords.hash(password).await?;
        let by = by.clone();
        self.store
            .write(move |conn| {
                user::get(conn, id)?;
                diesel::update(users::table.find(id.0)).set(users::password_hash.eq(hash)).execute(conn)?;
                let kept = keep.map_or(0, |session| session.0);
                let others = sessions::table.filter(sessions::user_id.eq(id.0).and(sessions::id.ne(kept)));
                let ended = diesel::delete(others).execute(conn)?;
                Change::of("user.password", user::subject(id))
                    .after(json!({ "sessions_ended": ended }))
                    .write(conn, &by, now)?;
                Ok(ended)
            })
            .await
    }
}
