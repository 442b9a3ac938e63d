//! The audit log: every change has its line, no line goes away, no secret is in it.

use crate::harness::*;
use diesel::prelude::*;
use flowtest_accounts::*;
use std::collections::BTreeSet;

/// Does everything that changes something; returns each secret it came by.
async fn do_everything(harness: &Harness) -> Vec<String> {
    let (accounts, by) = (&harness.accounts, harness.by());
    let (token, revoked) = (harness.token().await, harness.token().await);
    let alice = harness.contestant("alice").await;
    accounts.revoke_invites(&[InviteId(2)], &by, NOON).await.expect("revoked");
    accounts.log_in("alice", "my wrong password", "192.0.2.7", NOON).await.expect("an answer");
    accounts.log_in("typed-into-the-wrong-field", "x", "192.0.2.7", NOON).await.expect("an answer");
    let session = accounts.start_session(alice.id, "192.0.2.7", "browser", NOON).await.expect("a session");
    let id = accounts.find_session(session.reveal(), NOON).await.expect("an answer").expect("a session").0;
    accounts.end_session(id, &by, NOON).await.expect("ended");
    accounts.end_sessions_of(alice.id, None, &by, NOON).await.expect("ended");
    accounts.set_password(alice.id, "a new password", None, &by, NOON).await.expect("set");
    accounts.set_role(alice.id, Role::Admin, &by, NOON).await.expect("set");
    for on in [true, false] {
        accounts.set_disabled(alice.id, on, &by, NOON).await.expect("set");
        accounts.set_hidden(alice.id, on, &by, NOON).await.expect("set");
    }
    accounts.set_display_name(alice.id, "Alice", &by, NOON).await.expect("set");
    accounts.set_category(alice.id, "student", &by, NOON).await.expect("set");
    accounts.set_contact(alice.id, "table 7", &by, NOON).await.expect("set");
    accounts.disqualify(alice.id, "relayed", &by, NOON).await.expect("set");
    accounts.requalify(alice.id, &by, NOON).await.expect("set");
    accounts.save_control(None, 1, "{}", "start", &by, NOON).await.expect("saved");
    accounts.put_setting("freeze", None, "true", &by, NOON).await.expect("set");
    accounts.put_setting("secret.forms", None, "\"key of the forms\"", &by, NOON).await.expect("set");
    accounts.set_endpoint(alice.id, Some("http://a.example/"), &by, NOON).await.expect("set");
    let round = harness.round(1, true).await;
    accounts.set_round_state(round.id, "running", &by, NOON).await.expect("noted");
    accounts.finish_round(round.id, vec![], None, &by, NOON).await.expect("sealed");
    let adjustment = accounts.adjust(alice.id, 5, "fair play", &by, NOON).await.expect("made");
    accounts.withdraw_adjustment(adjustment.id, &by, NOON).await.expect("withdrawn");
    let announcement = accounts.announce(Level::Info, "Lunch", &by, NOON).await.expect("said");
    accounts.end_announcement(announcement.id, &by, NOON).await.expect("ended");
    let (screen, link) = accounts.create_screen("hall", &by, NOON).await.expect("a screen");
    accounts.revoke_screen(screen.id, &by, NOON).await.expect("revoked");
    accounts.backup(harness.beside("copy.db"), &by, NOON).await.expect("a backup");
    accounts.note("export.csv", "standings", None, &by, NOON).await.expect("noted");
    let bare = |token: &str| token.replace('-', "");
    vec![
        bare(&token),
        bare(&revoked),
        token,
        revoked,
        PASSWORD.into(),
        "my wrong password".into(),
        "typed-into-the-wrong-field".into(),
        "a new password".into(),
        "key of the forms".into(),
        session.reveal().into(),
        link.reveal().into(),
    ]
}

#[tokio::test]
async fn every_change_leaves_its_line_and_no_secret() {
    let harness = Harness::new().await;
    let secrets = do_everything(&harness).await;
    let lines = harness.accounts.audit_page(None, 1000, AuditFilter::default()).await.expect("a page");
    let actions: BTreeSet<&str> = lines.iter().map(|line| line.action.as_str()).collect();
    let expected = [
        "adjustment.make",
        "adjustment.withdraw",
        "announcement.end",
        "announcement.make",
        "backup.make",
        "control.save",
        "endpoint.set",
        "export.csv",
        "invite.create",
        "invite.redeem",
        "invite.revoke",
        "login.fail",
        "login.ok",
        "round.create",
        "round.finish",
        "round.state",
        "screen.create",
        "screen.revoke",
        "session.end",
        "session.end_all",
        "setting.put",
        "user.category",
        "user.contact",
        "user.create",
        "user.disable",
        "user.disqualify",
        "user.enable",
        "user.hide",
        "user.password",
        "user.requalify",
        "user.role",
        "user.shown",
        "user.unhide",
    ];
    assert_eq!(actions, BTreeSet::from(expected));
    assert!(lines.iter().all(|line| line.at == NOON && !line.by.address.is_empty()));

    let log = texts(
        &mut harness.raw(),
        "SELECT actor_name || address || action || subject || ifnull(before, '') || ifnull(after, '') AS text FROM audit",
    );
    assert_eq!(log.len(), lines.len());
    for secret in &secrets {
        assert!(!log.iter().any(|line| line.contains(secret)), "{secret} is in the log");
    }
    // Elsewhere only what has to be handed out: the unused token, and the setting that is a secret.
    let all = everything(&mut harness.raw());
    let kept: Vec<&String> = secrets.iter().filter(|secret| all.iter().any(|text| text.contains(*secret))).collect();
    assert_eq!(kept, [&secrets[2], &secrets[8]]);
}

#[tokio::test]
async fn a_change_that_fails_leaves_no_line() {
    let harness = Harness::new().await;
    let before = harness.accounts.audit_page(None, 1000, AuditFilter::default()).await.expect("a page").len();
    let by = harness.by();
    harness.accounts.set_role(harness.boss.id, Role::Staff, &by, NOON).await.expect_err("the last admin");
    harness.accounts.save_control(Some(9), 10, "{}", "x", &by, NOON).await.expect_err("stale");
    harness.accounts.create_admin(new_user("boss"), &by, NOON).await.expect_err("taken");
    let after = harness.accounts.audit_page(None, 1000, AuditFilter::default()).await.expect("a page").len();
    assert_eq!(before, after);
}

#[tokio::test]
async fn no_line_is_changed_deleted_or_replaced() {
    let harness = Harness::new().await;
    let mut raw = harness.raw();
    let before = texts(&mut raw, "SELECT action AS text FROM audit");
    for statement in [
        "UPDATE audit SET action = 'x'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT id, at, actor_id, 'somebody', address, action, subject, before, after FROM audit",
        "REPLACE INTO audit (id, at, actor_name, address, action, subject) VALUES (1, 1, 'x', 'x', 'x', 'x')",
    ] {
        let error = diesel::sql_query(statement).execute(&mut raw).expect_err(statement);
        assert!(error.to_string().contains("append-only"), "{statement}: {error}");
    }
    assert_eq!(texts(&mut raw, "SELECT action AS text FROM audit"), before);
}

#[tokio::test]
async fn pages_go_back_in_time_and_are_filtered() {
    let harness = Harness::new().await;
    do_everything(&harness).await;
    let page = async |before, limit, filter: AuditFilter| {
        harness.accounts.audit_page(before, limit, filter).await.expect("a page")
    };
    let all = page(None, 1000, AuditFilter::default()).await;
    let (mut walked, mut before) = (Vec::new(), None);
    loop {
        let next = page(before, 7, AuditFilter::default()).await;
        let Some(last) = next.last() else { break };
        before = Some(last.id);
        walked.extend(next);
    }
    assert_eq!(walked, all);
    assert!(all.is_sorted_by(|a, b| a.id > b.id), "newest first");

    let of = |filter: AuditFilter| page(None, 1000, filter);
    let by_boss = of(AuditFilter { actor: Some(harness.boss.id), ..AuditFilter::default() }).await;
    assert!(by_boss.iter().all(|line| line.by.name == "boss") && by_boss.len() < all.len());
    let users = of(AuditFilter { action: Some("user".into()), ..AuditFilter::default() }).await;
    assert!(users.iter().all(|line| line.action.starts_with("user.")) && users.len() > 5);
    let one = of(AuditFilter { action: Some("user.shown".into()), ..AuditFilter::default() }).await;
    let [line] = one.as_slice() else { panic!("{one:?}") };
    let shown = |json: &Option<String>| {
        let value: serde_json::Value = serde_json::from_str(json.as_ref().expect("JSON")).expect("JSON");
        value["shown"].as_str().expect("a name").to_owned()
    };
    assert_eq!((shown(&line.before), shown(&line.after)), ("Team alice".to_owned(), "Alice".to_owned()));
    let of_round = of(AuditFilter { subject: Some(format!("round:{:032x}", 1)), ..AuditFilter::default() }).await;
    assert_eq!(of_round.len(), 3);
    // Words are found wherever they stand; what means something to the database is only text.
    let word = |text: &str| AuditWord { text: text.into(), ..AuditWord::default() };
    let text = |text: &str| of(AuditFilter { words: vec![word(text)], ..AuditFilter::default() });
    let (relayed, lunch) = (text("RELAYED").await, text("lunch").await);
    assert!(relayed.iter().all(|line| line.action.contains("qualify")) && relayed.len() == 2, "{relayed:?}");
    assert!(lunch.iter().all(|line| line.action.starts_with("announcement.")) && lunch.len() == 2, "{lunch:?}");
    for wild in ["%", "_%_", "\\"] {
        assert_eq!(text(wild).await, [], "{wild}");
    }
    let subject = format!("user:{}", harness.boss.id);
    let also = AuditWord { or_subjects: vec![subject.clone()], ..word("lunch") };
    let also = AuditFilter { words: vec![also], ..AuditFilter::default() };
    assert!(of(also).await.iter().any(|line| line.subject == subject));
    let done = AuditWord { or_actions: vec!["user.shown".into()], ..word("no such word") };
    let renamed = of(AuditFilter { words: vec![done.clone()], ..AuditFilter::default() }).await;
    assert!(renamed.len() == 1 && renamed[0].action == "user.shown", "{renamed:?}");
    // All words, each wherever it is.
    assert_eq!(of(AuditFilter { words: vec![done, word("lunch")], ..AuditFilter::default() }).await, []);
    harness.accounts.note("export.csv", "ÄRGER", None, &Actor::program(), NOON).await.expect("noted");
    assert_eq!(text("ärger").await.len(), 1, "in any case of other letters too");
}

#[tokio::test]
async fn what_came_from_a_network_is_kept_short() {
    let harness = Harness::new().await;
    let by = Actor { user: None, name: "n".repeat(10_000), address: "a".repeat(10_000) };
    harness.accounts.note("export.csv", "standings", None, &by, NOON).await.expect("noted");
    let line = &harness.accounts.audit_page(None, 1, AuditFilter::default()).await.expect("a page")[0];
    assert_eq!((line.by.name.len(), line.by.address.len()), (100, 100));
}
