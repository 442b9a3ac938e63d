//! Rounds: numbered from 1, each with the state it was last seen in.
//!
//! Which state may follow which, the scoreboard's lifecycle says; here a state is a word. Only `sealed` means something,
//! and only `finish_round` writes it. Nobody's standings change after that.

use crate::Accounts;
use crate::error::{Error, is_duplicate};
use crate::log::{Actor, Change};
use crate::store::columns::{self, OptionU64, U32, U64, stored};
use crate::store::schema::rounds;
use crate::text;
use diesel::dsl::max;
use diesel::prelude::*;
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::json;

/// The state of a round whose results stand.
pub(crate) const SEALED: &str = "sealed";
/// The state a round is created in.
const DRAFT: &str = "draft";
/// Longest word for a state.
const STATE_MAX: usize = 20;

/// A round to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRound {
    /// Random, never reused.
    pub id: RoundId,
    /// Whether it counts for the contest's score.
    pub scored: bool,
    /// At most 80 characters, may be empty.
    pub label: String,
    /// When it is planned to start.
    pub start_at: Option<UtcUs>,
}

/// A round as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = rounds)]
pub struct Round {
    #[diesel(deserialize_as = columns::RoundText)]
    pub id: RoundId,
    /// From 1, in the order of creation.
    #[diesel(deserialize_as = U32)]
    pub number: u32,
    pub scored: bool,
    pub label: String,
    #[diesel(deserialize_as = OptionU64)]
    pub start_at: Option<UtcUs>,
    /// `draft` at first.
    pub state: String,
    /// Since when.
    #[diesel(deserialize_as = U64)]
    pub state_at: UtcUs,
    #[diesel(deserialize_as = U64)]
    pub created_at: UtcUs,
    /// When its results were written.
    #[diesel(deserialize_as = OptionU64)]
    pub finished_at: Option<UtcUs>,
}

impl Accounts {
    /// Creates a round under the next number, in state `draft`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a label that cannot be, [`Error::Refused`] if the id is there already, and as every query.
    pub async fn create_round(&self, new: NewRound, by: &Actor, now: UtcUs) -> Result<Round, Error> {
        let label = text::label(&new.label)?;
        let by = by.clone();
        self.store
            .write(move |conn| {
                let last: Option<i64> = rounds::table.select(max(rounds::number)).first(conn)?;
                let number = last.unwrap_or_default() + 1;
                diesel::insert_into(rounds::table)
                    .values((
                        rounds::id.eq(new.id.to_string()),
                        rounds::number.eq(number),
                        rounds::scored.eq(new.scored),
                        rounds::label.eq(&label),
                        rounds::start_at.eq(new.start_at.map(stored)),
                        rounds::state.eq(DRAFT),
                        rounds::state_at.eq(stored(now)),
                        rounds::created_at.eq(stored(now)),
                    ))
                    .execute(conn)
                    .map_err(|error| match is_duplicate(&error) {
                        true => Error::Refused(format!("Round {} is there already. Draw a new id.", new.id)),
                        false => error.into(),
                    })?;
                Change::of("round.create", subject(new.id))
                    .after(json!({ "number": number, "scored": new.scored, "label": label, "start_at": new.start_at }))
                    .write(conn, &by, now)?;
                get(conn, new.id)
            })
            .await
    }

    /// Notes the state a round has come to, since `now`. The same one again changes and logs nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no word, [`Error::Missing`] without such a round, [`Error::Refused`] for a finished round
    /// and for `sealed`, which comes with results, and as every query.
    pub async fn set_round_state(&self, id: RoundId, state: &str, by: &Actor, now: UtcUs) -> Result<Round, Error> {
        let (state, by) = (state.to_owned(), by.clone());
        if state.is_empty() || state.len() > STATE_MAX || !state.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(Error::invalid("state", format!("A state is a word of at most {STATE_MAX} small letters.")));
        }
        self.store
            .write(move |conn| {
                let before = get(conn, id)?;
                if before.state == state {
                    return Ok(before);
                }
                if before.finished_at.is_some() || state == SEALED {
                    return Err(Error::Refused(format!(
                        "Round {} cannot go from {} to {state}: it is sealed by its results, once.",
                        before.number, before.state
                    )));
                }
                diesel::update(rounds::table.find(id.to_string()))
                    .set((rounds::state.eq(&state), rounds::state_at.eq(stored(now))))
                    .execute(conn)?;
                Change::of("round.state", subject(id))
                    .before(json!(before.state))
                    .after(json!(state))
                    .write(conn, &by, now)?;
                get(conn, id)
            })
            .await
    }

    /// All rounds, in the order of their numbers.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn rounds(&self) -> Result<Vec<Round>, Error> {
        self.store.read(|conn| Ok(rounds::table.order(rounds::number).select(Round::as_select()).load(conn)?)).await
    }

    /// A round by id.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn round(&self, id: RoundId) -> Result<Option<Round>, Error> {
        self.store
            .read(move |conn| {
                Ok(rounds::table.find(id.to_string()).select(Round::as_select()).first(conn).optional()?)
            })
            .await
    }
}

pub(crate) fn get(conn: &mut SqliteConnection, id: RoundId) -> Result<Round, Error> {
    rounds::table.find(id.to_string()).select(Round::as_select()).first(conn).optional()?.ok_or(Error::Missing("round"))
}

pub(crate) fn subject(id: RoundId) -> String {
    format!("round:{id}")
}
