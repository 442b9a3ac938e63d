//! Standings of finished rounds. Written once, then never changed: triggers see to it.
//!
//! Ranks and points were computed by whoever hands them in.

use crate::Accounts;
use crate::contest::round::{self, Ruling, SEALED};
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::store::columns::{OptionU64, U32, U64, stored, stored_count};
use crate::store::ids::UserId;
use crate::store::schema::{results, rounds};
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity};
use serde::Serialize;
use serde_json::json;

/// One contestant's result of one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = results)]
pub struct RoundResult {
    #[diesel(column_name = user_id)]
    pub user: UserId,
    /// The name that stood in the table then.
    pub name: String,
    /// From 1; equals share one.
    #[diesel(deserialize_as = U32)]
    pub rank: u32,
    /// An i64, for that is what SQLite holds. The scoreboard counts in i128, whose sums cannot get here: at a billion
    /// requests a second and 200 points each, an i64 lasts for a year.
    pub points: i64,
    #[diesel(deserialize_as = U64)]
    pub failures: u64,
    /// From the intended instant, in microseconds; none without an answer.
    #[diesel(deserialize_as = OptionU64)]
    pub p99_us: Option<u64>,
    /// The tally's row as text, for whoever wants to look closer.
    pub row: String,
    /// Requests a second that it held in a breakpoint phase; none where there was no such phase.
    #[diesel(deserialize_as = OptionU64)]
    pub holds: Option<u64>,
    /// What its climb came to, step by step, as JSON.
    pub climb: Option<String>,
}

impl Accounts {
    /// Writes a round's results with how much of it is valid, where that is known, and seals it. The same results again are
    /// fine, whatever their order, and change nothing; others are refused.
    ///
    /// # Errors
    /// [`Error::Missing`] without such a round or user, [`Error::Refused`] if it was sealed with other results, and as every
    /// query.
    pub async fn finish_round(
        &self,
        id: RoundId,
        mut given: Vec<RoundResult>,
        validity: Option<RoundValidity>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<(), Error> {
        given.sort_by_key(|result| result.user);
        let by = by.clone();
        self.store
            .write(move |conn| {
                let round = round::get(conn, id)?;
                if round.finished_at.is_some() {
                    return match by_user(conn, id)? == given {
                        true => Ok(()),
                        false => Err(Error::Refused(format!(
                            "Round {} is sealed with other results, and those stand. Adjust points instead.",
                            round.number
                        ))),
                    };
                }
                for result in &given {
                    insert(conn, id, result)?;
                }
                diesel::update(rounds::table.find(id.to_string()))
                    .set((
                        rounds::state.eq(SEALED),
                        rounds::state_at.eq(stored(now)),
                        rounds::finished_at.eq(stored(now)),
                        rounds::seconds.eq(validity.map(|validity| stored_count(validity.seconds))),
                        rounds::valid_seconds.eq(validity.map(|validity| stored_count(validity.valid_seconds))),
                        rounds::due.eq(validity.map(|validity| stored_count(validity.due))),
                        rounds::void.eq(validity.map(|validity| stored_count(validity.void))),
                        rounds::late_ms.eq(validity.map(|validity| stored_count(validity.late_ms))),
                    ))
                    .execute(conn)?;
                let points: Vec<_> = given.iter().map(|result| json!([result.user, result.points])).collect();
                Change::of("round.finish", round::subject(id))
                    .before(json!(round.state))
                    .after(json!({ "state": SEALED, "points": points, "validity": validity }))
                    .write(conn, &by, now)
            })
            .await
    }

    /// The results of a round, best first; nothing before it is finished.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn results_of(&self, id: RoundId) -> Result<Vec<RoundResult>, Error> {
        self.store
            .read(move |conn| {
                let mut found = by_user(conn, id)?;
                found.sort_by_key(|result| (result.rank, result.user));
                Ok(found)
            })
            .await
    }

    /// Every result that counts for the contest: of sealed rounds that are scored and that the organiser did not void, in the
    /// order of rounds and ranks.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn scored_results(&self) -> Result<Vec<(RoundId, RoundResult)>, Error> {
        let rows: Vec<(String, RoundResult)> = self
            .store
            .read::<_, Error>(|conn| {
                Ok(results::table
                    .inner_join(rounds::table)
                    .filter(rounds::scored.eq(true).and(rounds::state.eq(SEALED)))
                    .filter(rounds::ruling.is_null().or(rounds::ruling.eq(Ruling::Count)))
                    .order((rounds::number, results::rank, results::user_id))
                    .select((results::round_id, RoundResult::as_select()))
                    .load(conn)?)
            })
            .await?;
        rows.into_iter()
            .map(|(id, result)| {
                let id = id.parse().map_err(|error| Error::Failed(format!("a round's id is damaged: {error}")))?;
                Ok((id, result))
            })
            .collect()
    }
}

fn by_user(conn: &mut SqliteConnection, id: RoundId) -> Result<Vec<RoundResult>, Error> {
    let of_round = results::table.filter(results::round_id.eq(id.to_string())).order(results::user_id);
    Ok(of_round.select(RoundResult::as_select()).load(conn)?)
}

fn insert(conn: &mut SqliteConnection, id: RoundId, result: &RoundResult) -> Result<(), Error> {
    diesel::insert_into(results::table)
        .values((
            results::round_id.eq(id.to_string()),
            results::user_id.eq(result.user.0),
            results::name.eq(&result.name),
            results::rank.eq(i64::from(result.rank)),
            results::points.eq(result.points),
            results::failures.eq(stored_count(result.failures)),
            results::p99_us.eq(result.p99_us.map(stored_count)),
            results::row.eq(&result.row),
            results::holds.eq(result.holds.map(stored_count)),
            results::climb.eq(&result.climb),
        ))
        .execute(conn)?;
    Ok(())
}
