//! One builder for all tests of the accounts: a real file in a folder of its own, and people in it.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use flowtest_accounts::*;
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use std::path::PathBuf;
use tempfile::TempDir;

pub(crate) const SECOND: u64 = 1_000_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// Some day of the contest.
pub(crate) const NOON: UtcUs = UtcUs(1_800_000_000 * SECOND);
pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Harness {
    folder: TempDir,
    pub(crate) accounts: Accounts,
    pub(crate) boss: User,
}

impl Harness {
    /// A new database with one admin, `boss`.
    pub(crate) async fn new() -> Harness {
        let folder = TempDir::new().expect("a folder");
        let accounts = Accounts::open(folder.path().join("flowtest.db")).await.expect("a database");
        let boss = accounts.create_admin(new_user("boss"), &Actor::command_line(), NOON).await.expect("an admin");
        Harness { folder, accounts, boss }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.beside("flowtest.db")
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn by(&self) -> Actor {
        Actor::user(&self.boss, "192.0.2.1")
    }

    /// One unused invitation for a contestant, good for an hour.
    pub(crate) async fn token(&self) -> String {
        let new = NewInvites { count: 1, label: "row 1".into(), role: Role::Staff, expires_at: NOON + HOUR };
        let made = self.accounts.create_invites(new, &self.by(), NOON).await.expect("an invitation");
        made[0].token.as_ref().expect("a new one has its token").reveal().to_owned()
    }

    /// A contestant, by way of an invitation.
    pub(crate) async fn contestant(&self, name: &str) -> User {
        let token = self.token().await;
        self.accounts.redeem(&token, new_user(name), &Actor::nobody("192.0.2.9"), NOON).await.expect("a contestant")
    }

    pub(crate) async fn round(&self, bits: u128, scored: bool) -> Round {
        let new = NewRound { id: RoundId::from_bits(bits), scored, label: "warm-up".into(), start_at: Some(NOON) };
        self.accounts.create_round(new, &self.by(), NOON).await.expect("a round")
    }

    /// A connection that knows nothing of our rules, as anybody with the file has one.
    pub(crate) fn raw(&self) -> SqliteConnection {
        raw(&self.file())
    }
}

/// A connection past the store. It waits for others: a store that was dropped closes its own a moment later.
pub(crate) fn raw(file: &std::path::Path) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(file.to_str().expect("a UTF-8 path")).expect("the file opens");
    conn.batch_execute("PRAGMA busy_timeout = 10000").expect("it waits");
    conn
}

pub(crate) fn new_user(name: &str) -> NewUser {
    NewUser { name: name.into(), display_name: format!("Team {name}"), password: PASSWORD.into() }
}

#[derive(QueryableByName)]
pub(crate) struct Text {
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub(crate) text: String,
}

/// Every value of a query's only column, named `text`.
pub(crate) fn texts(conn: &mut SqliteConnection, query: &str) -> Vec<String> {
    let rows: Vec<Text> = diesel::sql_query(query).load(conn).expect(query);
    rows.into_iter().map(|row| row.text).collect()
}

/// Every value of every table, as text; blobs as hex.
pub(crate) fn everything(conn: &mut SqliteConnection) -> Vec<String> {
    let tables = "SELECT name AS text FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut all = Vec::new();
    for table in texts(conn, tables) {
        for column in texts(conn, &format!("SELECT name AS text FROM pragma_table_info('{table}')")) {
            all.extend(texts(
                conn,
                &format!(
                    "SELECT CASE typeof(\"{column}\") WHEN 'blob' THEN hex(\"{column}\") \
                     ELSE CAST(\"{column}\" AS TEXT) END AS text FROM {table} WHERE \"{column}\" IS NOT NULL"
                ),
            ));
        }
    }
    all
}
