//! What the board showed, one row per second of a round, so that a late joiner sees the curve from its start.
//!
//! The bytes are the dashboard's. A second that is there already stays as it is; rows leave no line in the audit log.

use crate::Accounts;
use crate::error::Error;
use crate::store::columns::{stored, stored_count};
use crate::store::schema::history;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;

/// One row of a round's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    pub round: RoundId,
    pub at: UtcUs,
    pub payload: Vec<u8>,
}

impl Accounts {
    /// Adds one row.
    ///
    /// # Errors
    /// [`Error::Missing`] without such a round, and as every query.
    pub async fn append_history(&self, round: RoundId, at: UtcUs, payload: &[u8]) -> Result<(), Error> {
        self.append_history_rows(vec![HistoryRow { round, at, payload: payload.to_vec() }]).await
    }

    /// Adds many rows in one transaction, such as those of an outage.
    ///
    /// # Errors
    /// [`Error::Missing`] without one of the rounds, and as every query.
    pub async fn append_history_rows(&self, rows: Vec<HistoryRow>) -> Result<(), Error> {
        self.store
            .write(move |conn| {
                for row in rows {
                    diesel::insert_into(history::table)
                        .values((
                            history::round_id.eq(row.round.to_string()),
                            history::at.eq(stored(row.at)),
                            history::payload.eq(row.payload),
                        ))
                        .on_conflict_do_nothing()
                        .execute(conn)?;
                }
                Ok(())
            })
            .await
    }

    /// The rows of `since <= at < until`, oldest first: of each `step_us` the last one, for what it holds is cumulative.
    /// A step of 0 gives every row.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn history(
        &self,
        round: RoundId,
        since: UtcUs,
        until: UtcUs,
        step_us: u64,
    ) -> Result<Vec<(UtcUs, Vec<u8>)>, Error> {
        self.store
            .read(move |conn| {
                // SQLite takes the other columns from the row that has the maximum (sqlite.org/lang_select.html 2.5).
                let rows: Vec<TimedPayload> = diesel::sql_query(
                    "SELECT max(at) AS at, payload FROM history \
                     WHERE round_id = ?1 AND at >= ?2 AND at < ?3 GROUP BY at / ?4 ORDER BY at",
                )
                .bind::<Text, _>(round.to_string())
                .bind::<BigInt, _>(stored(since))
                .bind::<BigInt, _>(stored(until))
                .bind::<BigInt, _>(stored_count(step_us.max(1)))
                .load(conn)?;
                Ok(rows
                    .into_iter()
                    .map(|row| (UtcUs(u64::try_from(row.at).unwrap_or_default()), row.payload))
                    .collect())
            })
            .await
    }
}

impl Accounts {
    /// The newest row of a round that is not later than an instant.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn history_at(&self, round: RoundId, at: UtcUs) -> Result<Option<(UtcUs, Vec<u8>)>, Error> {
        self.store
            .read(move |conn| {
                let rows =
                    history::table.filter(history::round_id.eq(round.to_string()).and(history::at.le(stored(at))));
                let newest = rows.order(history::at.desc()).select((history::at, history::payload));
                let found: Option<(i64, Vec<u8>)> = newest.first(conn).optional()?;
                Ok(found.map(|(at, payload)| (UtcUs(u64::try_from(at).unwrap_or_default()), payload)))
            })
            .await
    }
}

#[derive(QueryableByName)]
struct TimedPayload {
    #[diesel(sql_type = BigInt)]
    at: i64,
    #[diesel(sql_type = Binary)]
    payload: Vec<u8>,
}
