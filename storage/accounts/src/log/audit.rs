//! The audit log: who did what, when, from where, and what stood there before.
//!
//! A line is written in the transaction of the change itself, so there is no change without one. Triggers keep lines from
//! being changed or deleted. Never holds a password, a token or a session's secret.

use crate::Accounts;
use crate::error::Error;
use crate::log::Actor;
use crate::store::columns::{Utc, stored};
use crate::store::ids::UserId;
use crate::store::schema::audit;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable};
use diesel::sqlite::Sqlite;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::Value;

/// Longest name or address that is kept, in characters: both may come from a network.
const ORIGIN_MAX: usize = 100;
/// Most lines of one page.
const PAGE_MAX: u32 = 1000;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditLine {
    pub id: i64,
    pub at: UtcUs,
    pub by: Actor,
    /// `noun.verb`, such as `user.disable`.
    pub action: String,
    /// What was changed, such as `user:3` or `control`.
    pub subject: String,
    /// JSON text; none where nothing was there.
    pub before: Option<String>,
    /// JSON text; none where nothing is left.
    pub after: Option<String>,
}

/// Which lines; what is none does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub actor: Option<UserId>,
    /// The whole action, or a noun: `user` finds `user.disable` and its like.
    pub action: Option<String>,
    pub subject: Option<String>,
    /// A line has each of them.
    pub words: Vec<AuditWord>,
}

/// A word that is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditWord {
    /// It stands somewhere in the line, in small letters, in capitals or as it is here.
    pub text: String,
    /// Or the line says that this was done, whatever it is called there.
    pub or_actions: Vec<String>,
    /// Or it is about one of these.
    pub or_subjects: Vec<String>,
}

impl Accounts {
    /// The newest `limit` (at most 1000) lines older than line `before`, newest first.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn audit_page(
        &self,
        before: Option<i64>,
        limit: u32,
        filter: AuditFilter,
    ) -> Result<Vec<AuditLine>, Error> {
        self.store
            .read(move |conn| {
                let mut query = audit::table.into_boxed();
                if let Some(before) = before {
                    query = query.filter(audit::id.lt(before));
                }
                if let Some(UserId(actor)) = filter.actor {
                    query = query.filter(audit::actor_id.eq(actor));
                }
                if let Some(action) = filter.action {
                    let verbs = (format!("{action}."), format!("{action}/"));
                    query = query.filter(audit::action.eq(action).or(audit::action.between(verbs.0, verbs.1)));
                }
                if let Some(subject) = filter.subject {
                    query = query.filter(audit::subject.eq(subject));
                }
                for word in filter.words {
                    query = query.filter(has(word));
                }
                let rows: Vec<StoredLine> = query
                    .order(audit::id.desc())
                    .limit(i64::from(limit.min(PAGE_MAX)))
                    .select(StoredLine::as_select())
                    .load(conn)?;
                Ok(rows.into_iter().map(AuditLine::from).collect())
            })
            .await
    }

    /// Notes something that changes no row here, such as an export or a link that was opened.
    /// `detail` is JSON without secrets.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn note(
        &self,
        action: &'static str,
        subject: impl Into<String>,
        detail: Option<Value>,
        by: &Actor,
        now: UtcUs,
    ) -> Result<(), Error> {
        let (by, subject) = (by.clone(), subject.into());
        self.store.write(move |conn| Change::of(action, subject).after(detail).write(conn, &by, now)).await
    }
}

/// A line about to be written.
#[derive(Debug)]
pub(crate) struct Change {
    action: &'static str,
    subject: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl Change {
    pub(crate) fn of(action: &'static str, subject: impl Into<String>) -> Change {
        Change { action, subject: subject.into(), before: None, after: None }
    }

    pub(crate) fn before(mut self, before: impl Into<Option<Value>>) -> Change {
        self.before = before.into();
        self
    }

    pub(crate) fn after(mut self, after: impl Into<Option<Value>>) -> Change {
        self.after = after.into();
        self
    }

    /// Writes the line; called inside the change's own transaction.
    pub(crate) fn write(self, conn: &mut SqliteConnection, by: &Actor, now: UtcUs) -> Result<(), Error> {
        diesel::insert_into(audit::table)
            .values((
                audit::at.eq(stored(now)),
                audit::actor_id.eq(by.user.map(|user| user.0)),
                audit::actor_name.eq(shortened(&by.name)),
                audit::address.eq(shortened(&by.address)),
                audit::action.eq(self.action),
                audit::subject.eq(self.subject),
                audit::before.eq(self.before.map(|json| json.to_string())),
                audit::after.eq(self.after.map(|json| json.to_string())),
            ))
            .execute(conn)?;
        Ok(())
    }
}

/// SQLite compares A to Z in any case, and all other letters as they are.
fn has(word: AuditWord) -> Box<dyn BoxableExpression<audit::table, Sqlite, SqlType = Nullable<Bool>>> {
    let AuditWord { text, or_actions, or_subjects } = word;
    let mut found: Box<dyn BoxableExpression<audit::table, Sqlite, SqlType = Nullable<Bool>>> =
        Box::new(audit::action.eq_any(or_actions).or(audit::subject.eq_any(or_subjects)).nullable());
    let spellings = if text.is_ascii() { vec![text] } else { vec![text.to_lowercase(), text.to_uppercase(), text] };
    for spelling in spellings {
        let like = || pattern(&spelling);
        found = Box::new(
            found
                .or(audit::actor_name.like(like()).escape('\\'))
                .or(audit::address.like(like()).escape('\\'))
                .or(audit::action.like(like()).escape('\\'))
                .or(audit::subject.like(like()).escape('\\'))
                .or(audit::before.like(like()).escape('\\'))
                .or(audit::after.like(like()).escape('\\')),
        );
    }
    found
}

/// What finds a text anywhere. What means something to LIKE is meant as it stands.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for symbol in text.chars() {
        if matches!(symbol, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(symbol);
    }
    pattern.push('%');
    pattern
}

pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(ORIGIN_MAX).collect()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit)]
struct StoredLine {
    id: i64,
    #[diesel(deserialize_as = Utc)]
    at: UtcUs,
    actor_id: Option<UserId>,
    actor_name: String,
    address: String,
    action: String,
    subject: String,
    before: Option<String>,
    after: Option<String>,
}

impl From<StoredLine> for AuditLine {
    fn from(row: StoredLine) -> AuditLine {
        AuditLine {
            id: row.id,
            at: row.at,
            by: Actor { user: row.actor_id, name: row.actor_name, address: row.address },
            action: row.action,
            subject: row.subject,
            before: row.before,
            after: row.after,
        }
    }
}
