//! Screens: revocable links that open the projector's view without a login.
//!
//! A link shows what the public may see, so it needs no end of its own. Of its secret only the SHA-256 is kept.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::people::secret::{self, ScreenSecret};
use crate::store::columns::{OptionUtc, Utc, last_id, stored};
use crate::store::ids::ScreenId;
use crate::store::schema::screens;
use crate::text;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::json;

/// A link, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = screens)]
pub struct Screen {
    pub id: ScreenId,
    pub label: String,
    /// The login name of whoever made it.
    pub by_name: String,
    #[diesel(deserialize_as = Utc)]
    pub at: UtcUs,
    #[diesel(deserialize_as = OptionUtc)]
    pub revoked_at: Option<UtcUs>,
}

impl Accounts {
    /// Makes a link. Its secret is told here and never again.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a label that cannot be, and as every query.
    pub async fn create_screen(&self, label: &str, by: &Actor, now: UtcUs) -> Result<(Screen, ScreenSecret), Error> {
        let label = text::label(label)?;
        let secret = ScreenSecret::draw()?;
        let (digest, by) = (secret.digest(), by.clone());
        let screen = self
            .store
            .write::<_, Error>(move |conn| {
                diesel::insert_into(screens::table)
                    .values((
                        screens::secret_hash.eq(digest),
                        screens::label.eq(&label),
                        screens::by_name.eq(&by.name),
                        screens::at.eq(stored(now)),
                    ))
                    .execute(conn)?;
                let id = ScreenId(last_id(conn)?);
                Change::of("screen.create", subject(id)).after(json!({ "label": label })).write(conn, &by, now)?;
                get(conn, id)
            })
            .await?;
        Ok((screen, secret))
    }

    /// The screen of a link that was not revoked.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn find_screen(&self, secret: &str) -> Result<Option<Screen>, Error> {
        let Some(digest) = secret::digest_of_hex(secret) else { return Ok(None) };
        self.store
            .read(move |conn| {
                let live = screens::table.filter(screens::secret_hash.eq(digest).and(screens::revoked_at.is_null()));
                Ok(live.select(Screen::as_select()).first(conn).optional()?)
            })
            .await
    }

    /// Closes a link. One that was revoked already stays as it is.
    ///
    /// # Errors
    /// [`Error::Missing`] without such a screen, and as every query.
    pub async fn revoke_screen(&self, id: ScreenId, by: &Actor, now: UtcUs) -> Result<Screen, Error> {
        let by = by.clone();
        self.store
            .write(move |conn| {
                let found = get(conn, id)?;
                if found.revoked_at.is_some() {
                    return Ok(found);
                }
                diesel::update(screens::table.find(id.0)).set(screens::revoked_at.eq(stored(now))).execute(conn)?;
                Change::of("screen.revoke", subject(id))
                    .before(json!({ "label": found.label }))
                    .write(conn, &by, now)?;
                get(conn, id)
            })
            .await
    }

    /// All of them, in the order they were made.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn screens(&self) -> Result<Vec<Screen>, Error> {
        self.store.read(|conn| Ok(screens::table.order(screens::id).select(Screen::as_select()).load(conn)?)).await
    }
}

fn get(conn: &mut SqliteConnection, id: ScreenId) -> Result<Screen, Error> {
    screens::table.find(id.0).select(Screen::as_select()).first(conn).optional()?.ok_or(Error::Missing("screen"))
}

fn subject(id: ScreenId) -> String {
    format!("screen:{id}")
}
