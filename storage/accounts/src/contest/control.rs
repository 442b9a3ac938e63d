//! The contest's control document: every revision that was ever in force.
//!
//! The database is its source; Redis gets a copy. The text is opaque here: whoever saves it has checked it.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::store::columns::{U64, Utc, stored, stored_count};
use crate::store::schema::control;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde_json::json;

/// A control document with when and why it came.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = control)]
pub struct ControlRevision {
    #[diesel(deserialize_as = U64)]
    pub revision: u64,
    /// JSON text.
    pub document: String,
    /// What was changed, in words.
    pub what: String,
    /// The login name of whoever saved it.
    pub by_name: String,
    #[diesel(deserialize_as = Utc)]
    pub at: UtcUs,
}

impl Accounts {
    /// The document in force; none before the first was saved.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn control(&self) -> Result<Option<ControlRevision>, Error> {
        self.store.read(newest).await
    }

    /// One revision of the past.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn control_at(&self, revision: u64) -> Result<Option<ControlRevision>, Error> {
        let row = move |conn: &mut SqliteConnection| {
            Ok(control::table
                .find(stored_count(revision))
                .select(ControlRevision::as_select())
                .first(conn)
                .optional()?)
        };
        self.store.read(row).await
    }

    /// What was in force at an instant; none before the first was saved.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn control_then(&self, at: UtcUs) -> Result<Option<ControlRevision>, Error> {
        let row = move |conn: &mut SqliteConnection| {
            let then = control::table.filter(control::at.le(stored(at))).order(control::revision.desc());
            Ok(then.select(ControlRevision::as_select()).first(conn).optional()?)
        };
        self.store.read(row).await
    }

    /// The newest `limit` revisions, newest first.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn control_history(&self, limit: u32) -> Result<Vec<ControlRevision>, Error> {
        self.store
            .read(move |conn| {
                let newest_first = control::table.order(control::revision.desc()).limit(i64::from(limit));
                Ok(newest_first.select(ControlRevision::as_select()).load(conn)?)
            })
            .await
    }

    /// The newest revision after `revision` that somebody else than `not_by` has saved.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn control_by_others_since(
        &self,
        revision: u64,
        not_by: &Actor,
    ) -> Result<Option<ControlRevision>, Error> {
        let name = not_by.name.clone();
        self.store
            .read(move |conn| {
                let others = control::revision.gt(stored_count(revision)).and(control::by_name.ne(name));
                let newest_first = control::table.filter(others).order(control::revision.desc());
                Ok(newest_first.select(ControlRevision::as_select()).first(conn).optional()?)
            })
            .await
    }

    /// Saves `document` as `revision`, if `expected` is what is in force (none: nothing yet). A revision is greater
    /// than the one before.
    ///
    /// # Errors
    /// [`Error::Stale`] tells what is in force instead, [`Error::Refused`] if the revision does not follow it, and as every
    /// query.
    pub async fn save_control(
        &self,
        expected: Option<u64>,
        revision: u64,
        document: &str,
        what: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<(), Error> {
        let (document, what, by) = (document.to_owned(), what.to_owned(), by.clone());
        let row = i64::try_from(revision)
            .map_err(|_| Error::Refused(format!("Revision {revision} is beyond what can be stored.")))?;
        self.store
            .write(move |conn| {
                let found = newest(conn)?.map(|saved| saved.revision);
                if found != expected {
                    return Err(Error::Stale { found });
                }
                if found.is_some_and(|found| revision <= found) {
                    return Err(Error::Refused(format!(
                        "Revision {revision} does not follow revision {}. Save a greater one.",
                        found.unwrap_or_default()
                    )));
                }
                diesel::insert_into(control::table)
                    .values((
                        control::revision.eq(row),
                        control::document.eq(document),
                        control::what.eq(&what),
                        control::by_name.eq(&by.name),
                        control::at.eq(stored(now)),
                    ))
                    .execute(conn)?;
                // The documents themselves are kept by their revisions, so the line only names them.
                Change::of("control.save", "control")
                    .before(found.map(|revision| json!({ "revision": revision })))
                    .after(json!({ "revision": revision, "what": what }))
                    .write(conn, &by, now)
            })
            .await
    }
}

fn newest(conn: &mut SqliteConnection) -> Result<Option<ControlRevision>, Error> {
    Ok(control::table.order(control::revision.desc()).select(ControlRevision::as_select()).first(conn).optional()?)
}
