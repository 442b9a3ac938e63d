//! Adjustments: points an organiser gives or takes, each with a reason, beside the standings and never inside them.
//!
//! A line is withdrawn, not deleted.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::people::user;
use crate::store::columns::{OptionUtc, Utc, last_id, stored};
use crate::store::ids::{AdjustmentId, UserId};
use crate::store::schema::adjustments;
use crate::text;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::json;

/// Points of one adjustment at most: more than any contest is worth, and far from where sums overflow.
const POINTS_MAX: u64 = 1_000_000_000_000;

/// Points given or taken. It counts while it was not withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = adjustments)]
pub struct Adjustment {
    pub id: AdjustmentId,
    #[diesel(column_name = user_id)]
    pub user: UserId,
    pub points: i64,
    pub reason: String,
    /// The login name of whoever made it.
    pub by_name: String,
    #[diesel(deserialize_as = Utc)]
    pub at: UtcUs,
    pub withdrawn_by: Option<String>,
    #[diesel(deserialize_as = OptionUtc)]
    pub withdrawn_at: Option<UtcUs>,
}

impl Accounts {
    /// Gives (or, below zero, takes) points: at least one, at most 10^12.
    ///
    /// # Errors
    /// [`Error::Invalid`] for points or a reason that cannot be, [`Error::Missing`] without such a user, and as every query.
    pub async fn adjust(
        &self,
        id: UserId,
        points: i64,
        reason: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Adjustment, Error> {
        let reason = text::reason(reason)?;
        if points == 0 {
            return Err(Error::invalid("points", "An adjustment gives or takes at least one point."));
        }
        if points.unsigned_abs() > POINTS_MAX {
            let message = format!("An adjustment gives or takes at most {POINTS_MAX} points.");
            return Err(Error::invalid("points", message));
        }
        let by = by.clone();
        self.store
            .write(move |conn| {
                user::get(conn, id)?;
                diesel::insert_into(adjustments::table)
                    .values((
                        adjustments::user_id.eq(id.0),
                        adjustments::points.eq(points),
                        adjustments::reason.eq(&reason),
                        adjustments::by_name.eq(&by.name),
                        adjustments::at.eq(stored(now)),
                    ))
                    .execute(conn)?;
                let made = AdjustmentId(last_id(conn)?);
                Change::of("adjustment.make", user::subject(id))
                    .after(json!({ "adjustment": made, "points": points, "reason": reason }))
                    .write(conn, &by, now)?;
                get(conn, made)
            })
            .await
    }

    /// Takes an adjustment back. One that was withdrawn already stays as it is.
    ///
    /// # Errors
    /// [`Error::Missing`] without such an adjustment, and as every query.
    pub async fn withdraw_adjustment(&self, id: AdjustmentId, by: &Actor, now: UtcUs) -> Result<Adjustment, Error> {
        let by = by.clone();
        self.store
            .write(move |conn| {
                let found = get(conn, id)?;
                if found.withdrawn_at.is_some() {
                    return Ok(found);
                }
                diesel::update(adjustments::table.find(id.0))
                    .set((adjustments::withdrawn_by.eq(&by.name), adjustments::withdrawn_at.eq(stored(now))))
                    .execute(conn)?;
                Change::of("adjustment.withdraw", user::subject(found.user))
                    .before(json!({ "adjustment": id, "points": found.points, "reason": found.reason }))
                    .write(conn, &by, now)?;
                get(conn, id)
            })
            .await
    }

    /// All of them, withdrawn ones too, in the order they were made.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn adjustments(&self) -> Result<Vec<Adjustment>, Error> {
        self.store
            .read(|conn| Ok(adjustments::table.order(adjustments::id).select(Adjustment::as_select()).load(conn)?))
            .await
    }
}

fn get(conn: &mut SqliteConnection, id: AdjustmentId) -> Result<Adjustment, Error> {
    let found = adjustments::table.find(id.0).select(Adjustment::as_select()).first(conn).optional()?;
    found.ok_or(Error::Missing("adjustment"))
}
