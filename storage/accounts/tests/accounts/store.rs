//! The file itself: who may read it, its schema up and down, backups, and transactions nobody waits for.

use crate::harness::*;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use flowtest_accounts::*;
use flowtest_contract::RoundValidity;
use flowtest_contract::rules::UtcUs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_file_is_for_its_owner_alone() {
    let harness = Harness::new().await;
    for name in ["flowtest.db", "flowtest.db-wal", "flowtest.db-shm"] {
        assert_eq!(mode(&harness.beside(name)), 0o600, "{name}");
    }
    assert!(harness.accounts.is_alive().await);
    assert_eq!(harness.accounts.schema_version().await.expect("a version"), "00000000000006");
    let nowhere = Accounts::open(harness.beside("no/such/folder.db")).await;
    assert!(matches!(&nowhere, Err(Error::Failed(why)) if why.contains("folder.db")), "{nowhere:?}");
}

#[tokio::test]
async fn a_file_is_opened_again_with_all_it_holds() {
    let harness = Harness::new().await;
    let alice = harness.contestant("alice").await;
    let again = Accounts::open(harness.file()).await.expect("a second process may");
    assert_eq!(again.users().await.expect("a list"), [harness.boss.clone(), alice]);
}

#[tokio::test]
async fn what_is_no_database_is_refused_with_a_sentence() {
    let harness = Harness::new().await;
    std::fs::write(harness.beside("poem.db"), "shall I compare thee ".repeat(1000)).expect("written");
    let refused = Accounts::open(harness.beside("poem.db")).await;
    assert!(matches!(&refused, Err(Error::Failed(why)) if why.contains("not a database")), "{refused:?}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let harness = Harness::new().await;
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('00000000000099')";
    diesel::sql_query(newer).execute(&mut harness.raw()).expect("marked");
    let refused = Accounts::open(harness.file()).await.expect_err("newer");
    assert!(matches!(&refused, Error::Newer { found, .. } if found == "00000000000099"), "{refused:?}");
    assert!(refused.to_string().contains("newer Flow Test"), "{refused}");
}

#[tokio::test]
async fn migrations_go_up_down_and_up_on_a_filled_database() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let alice = harness.contestant("alice").await;
    let unused = harness.token().await;
    let secret = accounts.start_session(alice.id, "192.0.2.7", "browser", NOON).await.expect("a session");
    accounts.save_control(None, 1, "{}", "start", &by, NOON).await.expect("saved");
    accounts.put_setting("freeze", None, "true", &by, NOON).await.expect("set");
    accounts.set_endpoint(alice.id, Some("http://a.example/"), &by, NOON).await.expect("set");
    let round = harness.round(1, true).await;
    let (user, name) = (alice.id, alice.name.clone());
    let result = RoundResult {
        user,
        name,
        rank: 1,
        points: 7,
        failures: 0,
        p99_us: None,
        row: String::new(),
        holds: None,
        climb: None,
    };
    accounts.finish_round(round.id, vec![result], None, &by, NOON).await.expect("sealed");
    accounts.append_history(round.id, NOON, b"x").await.expect("appended");
    accounts.adjust(alice.id, 5, "fair play", &by, NOON).await.expect("made");
    accounts.announce(Level::Info, "Lunch", &by, NOON).await.expect("said");
    accounts.create_screen("hall", &by, NOON).await.expect("a screen");
    let log = accounts.audit_page(None, 1000, AuditFilter::default()).await.expect("a page");
    accounts.backup(harness.beside("copy.db"), &by, NOON).await.expect("a copy nobody has open");

    let file = harness.beside("copy.db");
    let mut conn = raw(&file);
    diesel::sql_query("PRAGMA foreign_keys = ON").execute(&mut conn).expect("on");
    for _ in 0..5 {
        conn.revert_last_migration(MIGRATIONS).expect("down by one");
    }
    let again = Accounts::open(&file).await.expect("up again");
    // What both schemas share survived; what only the newer one has is empty.
    assert_eq!(again.users().await.expect("a list"), accounts.users().await.expect("a list"));
    assert!(again.find_session(secret.reveal(), NOON).await.expect("an answer").is_some());
    again.check_invite(&unused, NOON).await.expect("still good");
    assert_eq!(again.audit_page(None, 1000, AuditFilter::default()).await.expect("a page"), log);
    assert_eq!(again.control().await.expect("an answer"), None);
    assert_eq!(again.rounds().await.expect("a list"), []);
    drop(again);

    conn.revert_all_migrations(MIGRATIONS).expect("down to nothing");
    let left =
        "SELECT name AS text FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_\\_%' ESCAPE '\\'";
    assert_eq!(texts(&mut conn, left), Vec::<String>::new());
    let fresh = Accounts::open(&file).await.expect("up from nothing");
    assert_eq!(fresh.users().await.expect("a list"), []);
    fresh.create_admin(new_user("boss"), &Actor::command_line(), NOON).await.expect("an admin");
}

#[tokio::test]
async fn a_round_of_before_its_validity_was_kept_is_there_and_says_that_it_is_not_known() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let round = harness.round(1, true).await;
    let validity = RoundValidity { seconds: 60, valid_seconds: 40, due: 1_000, void: 9, late_ms: 700 };
    accounts.finish_round(round.id, Vec::new(), Some(validity), &by, NOON).await.expect("sealed");
    accounts.rule_round(round.id, Ruling::Void, "", &by, NOON).await.expect("said");
    let before = accounts.round(round.id).await.expect("an answer").expect("the round");
    assert_eq!((before.validity(), before.ruling), (Some(validity), Some(Ruling::Void)));
    accounts.backup(harness.beside("copy.db"), &by, NOON).await.expect("a copy nobody has open");

    let file = harness.beside("copy.db");
    let back_by = async |migrations: u32| {
        for _ in 0..migrations {
            raw(&file).revert_last_migration(MIGRATIONS).expect("down by one");
        }
        let again = Accounts::open(&file).await.expect("up again");
        again.round(round.id).await.expect("an answer").expect("the round")
    };
    // Of one of before it was kept how late its seconds were, that is as if none was.
    let after = back_by(1).await;
    assert_eq!(after.validity(), Some(RoundValidity { late_ms: 0, ..validity }));
    let after = back_by(4).await;
    assert_eq!((after.validity(), after.ruling), (None, None));
    assert_eq!((after.number, &after.state, after.finished_at), (before.number, &before.state, before.finished_at));
    assert!(!after.wants_ruling(), "nobody is asked about what nobody knows");
}

#[tokio::test]
async fn a_backup_is_whole_private_and_never_overwrites() {
    let harness = Harness::new().await;
    let alice = harness.contestant("alice").await;
    let to = harness.beside("backup.db");
    harness.accounts.backup(&to, &harness.by(), NOON).await.expect("a backup");
    assert_eq!(mode(&to), 0o600);
    let taken = harness.accounts.backup(&to, &harness.by(), NOON).await;
    assert!(matches!(&taken, Err(Error::Exists(path)) if *path == to), "{taken:?}");
    assert!(harness.accounts.backup(harness.beside("no/such/copy.db"), &harness.by(), NOON).await.is_err());
    assert_eq!(texts(&mut raw(&to), "SELECT integrity_check AS text FROM pragma_integrity_check"), ["ok"]);
    let copy = Accounts::open(&to).await.expect("it opens");
    assert_eq!(copy.users().await.expect("a list"), [harness.boss.clone(), alice]);
    let folder = std::fs::read_dir(to.parent().expect("a folder")).expect("a folder");
    let stray: Vec<_> = folder
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().ends_with(".tmp"))
        .collect();
    assert!(stray.is_empty(), "{stray:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_future_leaves_no_open_transaction() {
    let harness = Harness::new().await;
    let round = harness.round(1, true).await.id;
    for attempt in 0..20_u64 {
        let rows =
            (0..2000).map(|n| HistoryRow { round, at: UtcUs(attempt * 10_000 + n), payload: vec![7; 100] }).collect();
        let timeout = Duration::from_micros(attempt * 500);
        let _ = tokio::time::timeout(timeout, harness.accounts.append_history_rows(rows)).await;
        // The writer is at hand for the next one, which sees whole batches only.
        harness.accounts.announce(Level::Info, "next", &harness.by(), NOON).await.expect("the writer is free");
    }
    let stored = harness.accounts.history(round, UtcUs::EPOCH, UtcUs::MAX, 0).await.expect("rows");
    assert_eq!(stored.len() % 2000, 0, "a batch is whole or not there");
    assert!(!stored.is_empty(), "some batch was stored, or this shows nothing");
    // Somebody else's write would be refused if a transaction were still open.
    let mut raw = harness.raw();
    diesel::sql_query("BEGIN IMMEDIATE").execute(&mut raw).expect("nobody holds the lock");
}

#[test]
fn the_accounts_may_outlive_their_runtime() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let harness = runtime.block_on(Harness::new());
    drop(runtime);
    drop(harness);
}
