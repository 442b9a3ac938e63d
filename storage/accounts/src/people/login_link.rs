//! A link that signs somebody in once: the way in for an organiser that nobody's guesses can close.
//!
//! One at a time for each account, kept as a digest among the settings; a new one replaces it.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::people::secret::{self, Secret};
use crate::people::user::{self, User};
use crate::store::columns::{stored, stored_count};
use crate::store::schema::{settings, users};
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How long a link is good.
pub const LOGIN_LINK_LIFE_US: u64 = 15 * 60 * 1_000_000;

/// What is kept of a link.
#[derive(Serialize, Deserialize)]
struct Kept {
    digest: Vec<u8>,
    until: UtcUs,
}

fn setting_name(user: &User) -> String {
    format!("secret.login-link.{}", user.id)
}

fn named(conn: &mut SqliteConnection, name: &str) -> Result<Option<User>, Error> {
    let enabled = users::table.filter(users::name.eq(name)).filter(users::disabled.eq(false));
    Ok(enabled.select(User::as_select()).first(conn).optional()?)
}

/// Whom a link signs in now.
fn kept_for(conn: &mut SqliteConnection, name: &str, digest: &[u8], now: UtcUs) -> Result<Option<User>, Error> {
    let Some(user) = named(conn, name)? else { return Ok(None) };
    let text: Option<String> =
        settings::table.find(setting_name(&user)).select(settings::text).first(conn).optional()?;
    let kept = text.and_then(|text| serde_json::from_str::<Kept>(&text).ok());
    Ok(kept.is_some_and(|kept| kept.digest == digest && now < kept.until).then_some(user))
}

impl Accounts {
    /// A secret that signs this user in once, within [`LOGIN_LINK_LIFE_US`].
    ///
    /// # Errors
    /// [`Error::Missing`] without an enabled user of this name, and as every query.
    pub async fn create_login_link(&self, name: &str, by: &Actor, now: UtcUs) -> Result<Secret, Error> {
        let secret = Secret::draw()?;
        let kept = Kept { digest: secret.digest(), until: now + LOGIN_LINK_LIFE_US };
        let (name, by) = (name.to_owned(), by.clone());
        self.store
            .write(move |conn| {
                let user = named(conn, &name)?.ok_or(Error::Missing("user"))?;
                let text = serde_json::to_string(&kept).map_err(|error| Error::Failed(error.to_string()))?;
                let row = (
                    settings::name.eq(setting_name(&user)),
                    settings::version.eq(stored_count(1)),
                    settings::text.eq(text),
                    settings::at.eq(stored(now)),
                );
                diesel::replace_into(settings::table).values(row).execute(conn)?;
                Change::of("login.link", user::subject(user.id))
                    .after(json!({ "until": kept.until }))
                    .write(conn, &by, now)
            })
            .await?;
        Ok(secret)
    }

    /// Whether a link would sign in now. It changes nothing and waits for no writer.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub async fn is_login_link(&self, name: &str, secret: &str, now: UtcUs) -> Result<bool, Error> {
        let Some(digest) = secret::digest_of_hex(secret) else { return Ok(false) };
        let name = name.to_owned();
        self.store.read(move |conn| Ok(kept_for(conn, &name, &digest, now)?.is_some())).await
    }

    /// The user whom a link signs in; it is spent by that. None: it is wrong, spent, replaced or too old.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn redeem_login_link(
        &self,
        name: &str,
        secret: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Option<User>, Error> {
        let Some(digest) = secret::digest_of_hex(secret) else { return Ok(None) };
        let (name, by) = (name.to_owned(), by.clone());
        self.store
            .write(move |conn| {
                let Some(user) = kept_for(conn, &name, &digest, now)? else { return Ok(None) };
                diesel::delete(settings::table.find(setting_name(&user))).execute(conn)?;
                Change::of("login.by_link", user::subject(user.id)).write(conn, &by, now)?;
                Ok(Some(user))
            })
            .await
    }
}
