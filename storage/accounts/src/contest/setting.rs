//! Settings: small named JSON values, each with a version against lost updates.
//!
//! What a name means is the dashboard's. Values stand in the audit log, except those of names that say they are secret.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::store::columns::{U64, Utc, stored, stored_count};
use crate::store::schema::settings;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde_json::{Value, json};

/// Names that begin so have their values left out of the audit log, such as a key that signs forms.
pub const SECRET_PREFIX: &str = "secret.";

/// The setting that is written to see whether anything can be.
const CHECKED: &str = "checked";

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = settings)]
pub struct Setting {
    /// From 1; each change adds one.
    #[diesel(deserialize_as = U64)]
    pub version: u64,
    /// JSON text.
    pub text: String,
    /// When it was set.
    #[diesel(deserialize_as = Utc)]
    pub at: UtcUs,
}

impl Accounts {
    /// A setting; none if it was never set.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn setting(&self, name: &str) -> Result<Option<Setting>, Error> {
        let name = name.to_owned();
        self.store.read(move |conn| find(conn, &name)).await
    }

    /// Sets a value if `expected` is the version that is there (none: it was never set). Returns the new version.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text is no JSON, [`Error::Stale`] with the version that is there instead, and as every query.
    pub async fn put_setting(
        &self,
        name: &str,
        expected: Option<u64>,
        text: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<u64, Error> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Error::invalid("text", format!("A setting is JSON; this is not: {error}")))?;
        let (name, text, by) = (name.to_owned(), text.to_owned(), by.clone());
        self.store
            .write(move |conn| {
                let found = find(conn, &name)?;
                let version = found.as_ref().map(|setting| setting.version);
                if version != expected {
                    return Err(Error::Stale { found: version });
                }
                let next = version.unwrap_or_default() + 1;
                let row = (
                    settings::name.eq(&name),
                    settings::version.eq(stored_count(next)),
                    settings::text.eq(&text),
                    settings::at.eq(stored(now)),
                );
                diesel::replace_into(settings::table).values(row).execute(conn)?;
                let logged = |value: Value| if name.starts_with(SECRET_PREFIX) { json!("hidden") } else { value };
                let before = found.map(|setting| serde_json::from_str(&setting.text).unwrap_or_default());
                Change::of("setting.put", format!("setting:{name}"))
                    .before(before.map(logged))
                    .after(logged(value))
                    .write(conn, &by, now)?;
                Ok(next)
            })
            .await
    }
}

impl Accounts {
    /// Notes an instant, for the sake of writing.
    pub(crate) async fn mark_checked(&self, now: UtcUs) -> Result<(), Error> {
        let row = (
            settings::name.eq(CHECKED),
            settings::version.eq(1),
            settings::text.eq("null"),
            settings::at.eq(stored(now)),
        );
        self.store
            .write(move |conn| Ok(diesel::replace_into(settings::table).values(row).execute(conn).map(drop)?))
            .await
    }
}

fn find(conn: &mut SqliteConnection, name: &str) -> Result<Option<Setting>, Error> {
    Ok(settings::table.find(name).select(Setting::as_select()).first(conn).optional()?)
}
