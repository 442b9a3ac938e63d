//! Announcements: what the organiser says to everybody, until it is ended.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::store::columns::{OptionUtc, Utc, last_id, stored, word_enum};
use crate::store::ids::AnnouncementId;
use crate::store::schema::announcements;
use crate::text;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::json;

word_enum! {
    /// How loud an announcement is.
    Level {
        Info = "info",
        Warn = "warn",
    }
}

/// One announcement. It is shown until `ended_at`, which may lie ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = announcements)]
pub struct Announcement {
    pub id: AnnouncementId,
    pub level: Level,
    pub text: String,
    /// The login name of whoever made it.
    pub by_name: String,
    #[diesel(deserialize_as = Utc)]
    pub at: UtcUs,
    #[diesel(deserialize_as = OptionUtc)]
    pub ended_at: Option<UtcUs>,
}

impl Accounts {
    /// Says something to everybody until it is ended: one line of 1 to 500 characters.
    ///
    /// # Errors
    /// See [`Accounts::announce_until`].
    pub async fn announce(&self, level: Level, text: &str, by: &Actor, now: UtcUs) -> Result<Announcement, Error> {
        self.announce_until(level, text, None, by, now).await
    }

    /// The same, but no longer than until an instant. One that is over at once is only among those of the past.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is empty, too long or not one line, and as every query.
    pub async fn announce_until(
        &self,
        level: Level,
        text: &str,
        until: Option<UtcUs>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Announcement, Error> {
        let text = text::announcement(text)?;
        let by = by.clone();
        self.store
            .write(move |conn| {
                diesel::insert_into(announcements::table)
                    .values((
                        announcements::level.eq(level),
                        announcements::text.eq(&text),
                        announcements::by_name.eq(&by.name),
                        announcements::at.eq(stored(now)),
                        announcements::ended_at.eq(until.map(stored)),
                    ))
                    .execute(conn)?;
                let id = AnnouncementId(last_id(conn)?);
                Change::of("announcement.make", subject(id))
                    .after(json!({ "level": level, "text": text }))
                    .write(conn, &by, now)?;
                get(conn, id)
            })
            .await
    }

    /// Stops showing it. One that has ended already stays as it is.
    ///
    /// # Errors
    /// [`Error::Missing`] without such an announcement, and as every query.
    pub async fn end_announcement(&self, id: AnnouncementId, by: &Actor, now: UtcUs) -> Result<Announcement, Error> {
        let by = by.clone();
        self.store
            .write(move |conn| {
                let found = get(conn, id)?;
                if found.ended_at.is_some_and(|at| at <= now) {
                    return Ok(found);
                }
                let row = announcements::table.find(id.0);
                diesel::update(row).set(announcements::ended_at.eq(stored(now))).execute(conn)?;
                Change::of("announcement.end", subject(id))
                    .before(json!({ "level": found.level, "text": found.text }))
                    .write(conn, &by, now)?;
                get(conn, id)
            })
            .await
    }

    /// Those that are shown now, newest first.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn active_announcements(&self, now: UtcUs) -> Result<Vec<Announcement>, Error> {
        self.store
            .read(move |conn| {
                let goes_on = announcements::ended_at.is_null().or(announcements::ended_at.gt(stored(now)));
                let active = announcements::table.filter(goes_on);
                Ok(active.order(announcements::id.desc()).select(Announcement::as_select()).load(conn)?)
            })
            .await
    }

    /// All of them, newest first.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn announcements(&self) -> Result<Vec<Announcement>, Error> {
        self.store
            .read(|conn| {
                let all = announcements::table.order(announcements::id.desc());
                Ok(all.select(Announcement::as_select()).load(conn)?)
            })
            .await
    }
}

fn get(conn: &mut SqliteConnection, id: AnnouncementId) -> Result<Announcement, Error> {
    let found = announcements::table.find(id.0).select(Announcement::as_select()).first(conn).optional()?;
    found.ok_or(Error::Missing("announcement"))
}

fn subject(id: AnnouncementId) -> String {
    format!("announcement:{id}")
}
