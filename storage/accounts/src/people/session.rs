//! Sessions: who is logged in, from where, until when.
//!
//! Owns the two limits. Role and `disabled` are the user's and are read from there each time, never from a session.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change, shortened};
use crate::people::secret::{self, SessionSecret};
use crate::people::user::{self, User};
use crate::store::columns::{Utc, last_id, stored};
use crate::store::ids::{SessionId, UserId};
use crate::store::schema::{sessions, users};
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

const MINUTE_US: u64 = 60_000_000;
/// Sessions of one account: a team's browsers, and those of a room that shares one. The oldest ends for a newer one.
pub const SESSIONS_MAX: i64 = 200;
/// A session ends this long after the login, whatever happens.
pub const SESSION_LIFE_US: u64 = 12 * 60 * MINUTE_US;
/// A session ends when it was not used for this long.
pub const SESSION_IDLE_US: u64 = 2 * 60 * MINUTE_US;
/// `last_seen_at` is written no more often than this: a page that polls must not keep the disk busy.
const SEEN_EVERY_US: u64 = MINUTE_US;
/// How long a request waits until that is written.
const SEEN_TIMEOUT: Duration = Duration::from_millis(50);
const _: () = assert!(SEEN_EVERY_US * 10 < SESSION_IDLE_US && SESSION_IDLE_US < SESSION_LIFE_US);

/// A session as its owner and the organiser see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub struct Session {
    pub id: SessionId,
    /// Where it was started from.
    pub address: String,
    /// What the browser called itself; at most 100 characters are kept.
    pub agent: String,
    #[diesel(deserialize_as = Utc)]
    pub created_at: UtcUs,
    /// Exact to a minute.
    #[diesel(deserialize_as = Utc)]
    pub last_seen_at: UtcUs,
}

impl Accounts {
    /// Logs somebody in.
    ///
    /// # Errors
    /// [`Error::Missing`] without such a user, [`Error::Refused`] if the account was disabled since the password was checked,
    /// and as every query.
    pub async fn start_session(
        &self,
        id: UserId,
        address: &str,
        agent: &str,
        now: UtcUs,
    ) -> Result<SessionSecret, Error> {
        let secret = SessionSecret::draw()?;
        let digest = secret.digest();
        let (address, agent) = (shortened(address), shortened(agent));
        self.store
            .write(move |conn| {
                let user = user::get(conn, id)?;
                if user.disabled {
                    return Err(Error::Refused("This account is disabled. Ask the organiser.".to_owned()));
                }
                diesel::insert_into(sessions::table)
                    .values((
                        sessions::secret_hash.eq(digest),
                        sessions::user_id.eq(id.0),
                        sessions::address.eq(&address),
                        sessions::agent.eq(&agent),
                        sessions::created_at.eq(stored(now)),
                        sessions::last_seen_at.eq(stored(now)),
                    ))
                    .execute(conn)?;
                let session = last_id(conn)?;
                let own = sessions::table.filter(sessions::user_id.eq(id.0)).select(sessions::id);
                let one_too_many: Option<i64> =
                    own.order(sessions::id.desc()).offset(SESSIONS_MAX).first(conn).optional()?;
                if let Some(newest) = one_too_many {
                    let surplus = sessions::user_id.eq(id.0).and(sessions::id.le(newest));
                    diesel::delete(sessions::table.filter(surplus)).execute(conn)?;
                }
                diesel::update(users::table.find(id.0)).set(users::last_login_at.eq(stored(now))).execute(conn)?;
                Change::of("login.ok", user::subject(id)).after(json!({ "session": session, "agent": agent })).write(
                    conn,
                    &Actor::user(&user, address),
                    now,
                )
            })
            .await?;
        Ok(secret)
    }

    /// Who is behind a cookie's text, if that session lives and its user is enabled.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn find_session(&self, secret: &str, now: UtcUs) -> Result<Option<(SessionId, User)>, Error> {
        let Some(digest) = secret::digest_of_hex(secret) else { return Ok(None) };
        let found: Option<(Session, User)> = self
            .store
            .read::<_, Error>(move |conn| {
                Ok(sessions::table
                    .inner_join(users::table)
                    .filter(sessions::secret_hash.eq(digest).and(users::disabled.eq(false)))
                    .select((Session::as_select(), User::as_select()))
                    .first(conn)
                    .optional()?)
            })
            .await?;
        let Some((session, user)) = found.filter(|(session, _)| session.lives(now)) else { return Ok(None) };
        if now >= session.last_seen_at.saturating_add(SEEN_EVERY_US) {
            // A disk that takes no more writes must not log everybody out, and one that is slow must keep nobody waiting; the
            // session then ends early at worst. A write that has begun goes on by itself.
            let _ = tokio::time::timeout(SEEN_TIMEOUT, self.mark_seen(session.id, now)).await;
        }
        Ok(Some((session.id, user)))
    }

    /// Logs out. Nothing happens if the session is gone already.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn end_session(&self, id: SessionId, by: &Actor, now: UtcUs) -> Result<(), Error> {
        let by = by.clone();
        self.store
            .write(move |conn| {
                let owner: Option<i64> = sessions::table.find(id.0).select(sessions::user_id).first(conn).optional()?;
                let Some(owner) = owner else { return Ok(()) };
                diesel::delete(sessions::table.find(id.0)).execute(conn)?;
                Change::of("session.end", user::subject(UserId(owner)))
                    .before(json!({ "session": id }))
                    .write(conn, &by, now)
            })
            .await
    }

    /// Ends all sessions of a user, except one. Returns how many ended.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn end_sessions_of(
        &self,
        user: UserId,
        except: Option<SessionId>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<usize, Error> {
        let by = by.clone();
        self.store
            .write(move |conn| {
                let kept = except.map_or(0, |session| session.0);
                let others = sessions::table.filter(sessions::user_id.eq(user.0).and(sessions::id.ne(kept)));
                let ended = diesel::delete(others).execute(conn)?;
                Change::of("session.end_all", user::subject(user))
                    .before(json!({ "sessions": ended }))
                    .write(conn, &by, now)?;
                Ok(ended)
            })
            .await
    }

    /// The sessions of a user that live, newest first.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn sessions_of(&self, user: UserId, now: UtcUs) -> Result<Vec<Session>, Error> {
        let (life, idle) = oldest(now);
        self.store
            .read(move |conn| {
                let live = sessions::created_at.gt(life).and(sessions::last_seen_at.gt(idle));
                Ok(sessions::table
                    .filter(sessions::user_id.eq(user.0).and(live))
                    .order(sessions::id.desc())
                    .select(Session::as_select())
                    .load(conn)?)
            })
            .await
    }

    /// Deletes sessions that are over. Housekeeping: the log does not tell it. Returns how many went.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn purge_sessions(&self, now: UtcUs) -> Result<usize, Error> {
        let (life, idle) = oldest(now);
        self.store
            .write(move |conn| {
                let over = sessions::created_at.le(life).or(sessions::last_seen_at.le(idle));
                Ok(diesel::delete(sessions::table.filter(over)).execute(conn)?)
            })
            .await
    }

    async fn mark_seen(&self, id: SessionId, now: UtcUs) -> Result<(), Error> {
        self.store
            .write(move |conn| {
                let older = sessions::table.find(id.0).filter(sessions::last_seen_at.lt(stored(now)));
                diesel::update(older).set(sessions::last_seen_at.eq(stored(now))).execute(conn)?;
                Ok(())
            })
            .await
    }
}

/// Sessions that began, or were last seen, at these instants or before are over, as [`Session::lives`] has it.
fn oldest(now: UtcUs) -> (i64, i64) {
    (stored(now.saturating_sub(SESSION_LIFE_US)), stored(now.saturating_sub(SESSION_IDLE_US)))
}

impl Session {
    fn lives(&self, now: UtcUs) -> bool {
        now < self.created_at.saturating_add(SESSION_LIFE_US) && now < self.last_seen_at.saturating_add(SESSION_IDLE_US)
    }
}
