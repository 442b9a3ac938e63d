//! Rounds: numbered from 1, each with the state it was last seen in.
//!
//! Which state may follow which, the scoreboard's lifecycle says; here a state is a word. Only `sealed` means something,
//! and only `finish_round` writes it. Nobody's standings change after that; whether they count, the organiser may still say.

use crate::Accounts;
use crate::error::{Error, is_duplicate};
use crate::log::{Actor, Change};
use crate::store::columns::{self, OptionU64, OptionUtc, U32, Utc, stored, word_enum};
use crate::store::schema::rounds;
use crate::text;
use diesel::dsl::max;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity};
use serde::Serialize;
use serde_json::json;

/// The state of a round whose results stand.
pub(crate) const SEALED: &str = "sealed";
/// The state a round is created in.
const DRAFT: &str = "draft";
/// What the log calls it when an organiser says what becomes of a round that is not valid.
pub const RULING: &str = "round.ruling";
/// Longest word for a state.
const STATE_MAX: usize = 20;

word_enum! {
    /// What the organiser says of a sealed round that is not valid. It counts while nothing is said, and pages say that this is
    /// open.
    Ruling {
        /// The results stand, although it is not valid.
        Count = "count",
        /// It stays in the record and counts nothing.
        Void = "void",
        /// The same, and the same plan is played again.
        Replay = "replay",
    }
}

impl Ruling {
    /// Whether the results count for the contest.
    pub fn counts(self) -> bool {
        self == Ruling::Count
    }
}

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
    #[diesel(deserialize_as = OptionUtc)]
    pub start_at: Option<UtcUs>,
    /// `draft` at first.
    pub state: String,
    /// Since when.
    #[diesel(deserialize_as = Utc)]
    pub state_at: UtcUs,
    #[diesel(deserialize_as = Utc)]
    pub created_at: UtcUs,
    /// When its results were written.
    #[diesel(deserialize_as = OptionUtc)]
    pub finished_at: Option<UtcUs>,
    #[diesel(deserialize_as = OptionU64)]
    seconds: Option<u64>,
    #[diesel(deserialize_as = OptionU64)]
    valid_seconds: Option<u64>,
    #[diesel(deserialize_as = OptionU64)]
    due: Option<u64>,
    #[diesel(deserialize_as = OptionU64)]
    void: Option<u64>,
    /// What the organiser said of it.
    pub ruling: Option<Ruling>,
    #[diesel(deserialize_as = OptionU64)]
    late_ms: Option<u64>,
}

impl Round {
    /// How much of it is valid, summed over its generators. None: it is not sealed, or was before anybody asked.
    pub fn validity(&self) -> Option<RoundValidity> {
        Some(RoundValidity {
            seconds: self.seconds?,
            valid_seconds: self.valid_seconds?,
            due: self.due?,
            void: self.void?,
            // Sealed before it was counted.
            late_ms: self.late_ms.unwrap_or(0),
        })
    }

    /// Whether its results count for the contest, once it has any.
    pub fn counts(&self) -> bool {
        self.scored && self.ruling.is_none_or(Ruling::counts)
    }

    /// Whether the organiser is to say what becomes of it: it would count, is not valid, and nothing was said.
    pub fn wants_ruling(&self) -> bool {
        let is_valid = self.validity().is_none_or(|validity| validity.is_valid());
        self.scored && self.finished_at.is_some() && !is_valid && self.ruling.is_none()
    }
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

    /// Notes what the organiser says of a round that is not valid. The same again changes and logs nothing; another word than the
    /// one before needs a reason, which is logged with it.
    ///
    /// # Errors
    /// [`Error::Missing`] without such a round, [`Error::Refused`] for one that is not sealed or that is valid,
    /// [`Error::Invalid`] for a reason that is missing or too long, and as every query.
    pub async fn rule_round(
        &self,
        id: RoundId,
        ruling: Ruling,
        reason: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<Round, Error> {
        let (reason, by) = (reason.to_owned(), by.clone());
        self.store
            .write(move |conn| {
                let before = get(conn, id)?;
                if before.ruling == Some(ruling) {
                    return Ok(before);
                }
                let why = match (before.finished_at, before.validity()) {
                    (None, _) => Some("is not sealed: wait for its end"),
                    (_, Some(validity)) if !validity.is_valid() => None,
                    _ => Some("is valid, and counts: adjust points where that is wrong"),
                };
                if let Some(why) = why {
                    return Err(Error::Refused(format!("Round {} {why}.", before.number)));
                }
                let after = match before.ruling {
                    None => json!(ruling),
                    Some(_) => json!({ "reason": text::reason(&reason)?, "ruling": ruling }),
                };
                diesel::update(rounds::table.find(id.to_string())).set(rounds::ruling.eq(ruling)).execute(conn)?;
                Change::of(RULING, subject(id))
                    .before(before.ruling.map(|ruling| json!(ruling)))
                    .after(after)
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
