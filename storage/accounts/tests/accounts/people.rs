//! Users, logins, sessions: who is let in, and for how long.

use crate::harness::*;
use flowtest_accounts::*;
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_admin_is_made_once_and_found_in_any_case() {
    let harness = Harness::new().await;
    assert_eq!((harness.boss.role, harness.boss.disabled, harness.boss.last_login_at), (Role::Admin, false, None));
    let found = harness.accounts.user_named("BoSS").await.expect("an answer");
    assert_eq!(found, Some(harness.boss.clone()));
    assert_eq!(harness.accounts.user(harness.boss.id).await.expect("an answer"), found);
    let again = harness.accounts.create_admin(new_user("BOSS"), &Actor::command_line(), NOON).await;
    assert!(matches!(again, Err(Error::NameTaken)), "{again:?}");
    assert_eq!(harness.accounts.users().await.expect("a list").len(), 1);
}

#[tokio::test]
async fn the_last_enabled_admin_stays_one() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let second = harness.contestant("second").await;
    for refused in [
        accounts.set_role(harness.boss.id, Role::Staff, &by, NOON).await,
        accounts.set_disabled(harness.boss.id, true, &by, NOON).await,
    ] {
        assert!(matches!(refused, Err(Error::LastAdmin)), "{refused:?}");
    }
    accounts.set_role(second.id, Role::Admin, &by, NOON).await.expect("a second admin");
    accounts.set_disabled(second.id, true, &by, NOON).await.expect("disabled");
    // A disabled admin cannot run the contest, so the boss is the last one again.
    assert!(matches!(accounts.set_role(harness.boss.id, Role::Staff, &by, NOON).await, Err(Error::LastAdmin)));
    accounts.set_disabled(second.id, false, &by, NOON).await.expect("enabled");
    let boss = accounts.set_role(harness.boss.id, Role::Staff, &by, NOON).await.expect("there is another one");
    assert_eq!(boss.role, Role::Staff);
}

#[tokio::test]
async fn everything_that_is_wrong_with_two_names_is_told_at_once() {
    let harness = Harness::new().await;
    let wrong = async |name: &str, display_name: &str| {
        let found = harness.accounts.check_names(name, display_name, Role::Staff).await.expect("an answer");
        found.into_iter().map(|(field, _)| field).collect::<Vec<_>>()
    };
    harness.contestant("alice").await;
    // (name, display name, the fields that are wrong)
    let cases: [(&str, &str, &[&str]); 5] = [
        ("bobby", "Bobby", &[]),
        ("a b", "House", &["name", "display_name"]),
        ("ALICE", "", &["name", "display_name"]),
        ("bobby", "team ALICE", &["display_name"]),
        ("alice", "Bobby", &["name"]),
    ];
    for (name, display_name, fields) in cases {
        assert_eq!(wrong(name, display_name).await, fields, "{name:?} {display_name:?}");
    }
}

#[tokio::test]
async fn marks_are_set_and_taken_away() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let alice = harness.contestant("alice").await;
    accounts.set_display_name(alice.id, " Alice & Söhne ", &by, NOON).await.expect("renamed");
    accounts.set_hidden(alice.id, true, &by, NOON).await.expect("hidden");
    let marked = accounts.disqualify(alice.id, "relayed to a rival", &by, NOON).await.expect("disqualified");
    assert_eq!(
        (marked.display_name.as_str(), marked.hidden, marked.disqualified.as_deref()),
        ("Alice & Söhne", true, Some("relayed to a rival"))
    );
    accounts.set_hidden(alice.id, false, &by, NOON).await.expect("shown");
    let plain = accounts.requalify(alice.id, &by, NOON).await.expect("requalified");
    assert_eq!((plain.hidden, plain.disqualified), (false, None));
    let unseen = accounts.set_display_name(alice.id, "a\u{202e}b", &by, NOON).await;
    assert!(matches!(unseen, Err(Error::Invalid { field: "display_name", .. })), "{unseen:?}");
    let student = accounts.set_category(alice.id, " student ", &by, NOON).await.expect("set");
    let reached = accounts.set_contact(alice.id, "table 7, +41 79 000 00 00", &by, NOON).await.expect("set");
    assert_eq!(
        (student.category.as_deref(), reached.contact.as_deref()),
        (Some("student"), Some("table 7, +41 79 000 00 00"))
    );
    let none = accounts.set_category(alice.id, "  ", &by, NOON).await.expect("taken away");
    assert_eq!((none.category, none.contact), (None, reached.contact));
    let long = accounts.set_category(alice.id, &"x".repeat(31), &by, NOON).await;
    assert!(matches!(long, Err(Error::Invalid { field: "category", .. })), "{long:?}");
    let nobody = accounts.set_hidden(UserId(99), true, &by, NOON).await;
    assert!(matches!(nobody, Err(Error::Missing(_))), "{nobody:?}");
}

#[tokio::test]
async fn no_two_display_names_look_alike_and_none_speaks_for_the_platform() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let (alice, bob) = (harness.contestant("alice").await, harness.contestant("bob").await);
    accounts.set_display_name(alice.id, "Team Red", &by, NOON).await.expect("it is free");
    // Cyrillic letters, full width, another's login name.
    for taken in ["Tеаm Red", "ＴＥＡＭ　ＲＥＤ", "team red", "Alice"] {
        let refused = accounts.set_display_name(bob.id, taken, &by, NOON).await;
        assert!(matches!(refused, Err(Error::Invalid { field: "display_name", .. })), "{taken:?}: {refused:?}");
    }
    for reserved in ["House", "FLOW TEST", "Оrganiser"] {
        let refused = accounts.set_display_name(bob.id, reserved, &by, NOON).await;
        assert!(
            refused.as_ref().is_err_and(|error| error.to_string().contains("platform")),
            "{reserved:?}: {refused:?}"
        );
    }
    // One's own is no other's.
    accounts.set_display_name(alice.id, "TEAM RED", &by, NOON).await.expect("it is its own");
    accounts.set_display_name(bob.id, "Team Blue", &by, NOON).await.expect("it is free");
}

#[tokio::test]
async fn only_the_right_password_of_an_enabled_user_logs_in() {
    let harness = Harness::new().await;
    let alice = harness.contestant("alice").await;
    let log_in = async |name: &str, password: &str| {
        let found = harness.accounts.log_in(name, password, "192.0.2.7", NOON).await.expect("an answer");
        found.map(|user| user.id)
    };
    assert_eq!(log_in("ALICE", PASSWORD).await, Some(alice.id));
    assert_eq!(log_in("alice", "wrong").await, None);
    assert_eq!(log_in("nobody", PASSWORD).await, None);
    harness.accounts.set_disabled(alice.id, true, &harness.by(), NOON).await.expect("disabled");
    assert_eq!(log_in("alice", PASSWORD).await, None);
    let refused = harness.accounts.start_session(alice.id, "192.0.2.7", "browser", NOON).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let harness = Harness::new().await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        for (name, times) in [("boss", &mut known), ("nobody", &mut unknown)] {
            let start = Instant::now();
            let found = harness.accounts.log_in(name, "wrong password", "192.0.2.7", NOON).await.expect("an answer");
            assert_eq!(found, None);
            times.push(start.elapsed());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    let ratio = median(&mut unknown) / median(&mut known);
    assert!((0.5..2.0).contains(&ratio), "an unknown name takes {ratio:.2} times as long as a wrong password");
}

#[tokio::test]
async fn a_session_ends_when_idle_or_old() {
    let harness = Harness::new().await;
    let accounts = &harness.accounts;
    let secret = accounts.start_session(harness.boss.id, "192.0.2.7", "browser", NOON).await.expect("a session");
    let alive = async |secret: &SessionSecret, now| {
        accounts.find_session(secret.reveal(), now).await.expect("an answer").is_some()
    };
    assert!(alive(&secret, NOON + SESSION_IDLE_US - 1).await);
    // It was seen then, so it lives for as long again.
    assert!(alive(&secret, NOON + 2 * SESSION_IDLE_US - 2).await);
    assert!(!alive(&secret, NOON + 3 * SESSION_IDLE_US - 2).await, "idle for two hours");

    let old = accounts.start_session(harness.boss.id, "192.0.2.7", "browser", NOON).await.expect("a session");
    for hour in 1..12 {
        assert!(alive(&old, NOON + hour * HOUR).await, "used every hour, at {hour}");
    }
    assert!(!alive(&old, NOON + SESSION_LIFE_US).await, "twelve hours old, though never idle");
    assert!(!alive(&SessionSecret::clone(&secret), NOON + SESSION_LIFE_US).await);
    assert_eq!(accounts.purge_sessions(NOON + SESSION_LIFE_US).await.expect("purged"), 2);
    for text in ["", "x", &"0".repeat(64), &"é".repeat(1000)] {
        assert_eq!(accounts.find_session(text, NOON).await.expect("an answer"), None, "{text:?}");
    }
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_the_oldest_ends_for_a_newer_one() {
    let harness = Harness::new().await;
    let accounts = &harness.accounts;
    let alice = harness.contestant("alice").await;
    let others = accounts.start_session(harness.boss.id, "192.0.2.7", "browser", NOON).await.expect("a session");
    let mut own = Vec::new();
    for _ in 0..SESSIONS_MAX + 2 {
        own.push(accounts.start_session(alice.id, "192.0.2.7", "browser", NOON).await.expect("a session"));
    }
    assert_eq!(accounts.sessions_of(alice.id, NOON).await.expect("an answer").len(), SESSIONS_MAX as usize);
    for (secret, lives) in [(&own[1], false), (&own[2], true), (&others, true)] {
        assert_eq!(accounts.find_session(secret.reveal(), NOON).await.expect("an answer").is_some(), lives);
    }
}

#[tokio::test]
async fn when_a_session_was_seen_is_written_at_most_once_a_minute() {
    let harness = Harness::new().await;
    let secret =
        harness.accounts.start_session(harness.boss.id, "192.0.2.7", "browser", NOON).await.expect("a session");
    let mut seen = Vec::new();
    for now in [NOON + 59 * SECOND, NOON + MINUTE, NOON + 119 * SECOND, NOON + 2 * MINUTE] {
        harness.accounts.find_session(secret.reveal(), now).await.expect("an answer").expect("a session");
        seen.push(harness.accounts.sessions_of(harness.boss.id, now).await.expect("a list")[0].last_seen_at);
    }
    assert_eq!(seen, [NOON, NOON + MINUTE, NOON + MINUTE, NOON + 2 * MINUTE]);
}

#[tokio::test]
async fn role_and_disabled_are_read_from_the_user_each_time() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let alice = harness.contestant("alice").await;
    let secret = accounts.start_session(alice.id, "192.0.2.7", "browser", NOON).await.expect("a session");
    let seen = async || accounts.find_session(secret.reveal(), NOON).await.expect("an answer");
    assert_eq!(seen().await.expect("a session").1.role, Role::Staff);
    accounts.set_role(alice.id, Role::Admin, &by, NOON).await.expect("promoted");
    assert_eq!(seen().await.expect("a session").1.role, Role::Admin);
    accounts.set_disabled(alice.id, true, &by, NOON).await.expect("disabled");
    assert_eq!(seen().await, None);
    accounts.set_disabled(alice.id, false, &by, NOON).await.expect("enabled");
    assert_eq!(seen().await, None, "disabling ended the session for good");
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let start =
        async || accounts.start_session(harness.boss.id, "192.0.2.7", "browser", NOON).await.expect("a session");
    let (mine, other) = (start().await, start().await);
    let session = accounts.find_session(mine.reveal(), NOON).await.expect("an answer").expect("mine").0;
    let short = accounts.set_password(harness.boss.id, "short", Some(session), &by, NOON).await;
    assert!(matches!(short, Err(Error::Invalid { field: "password", .. })), "{short:?}");
    assert!(accounts.check_password(harness.boss.id, PASSWORD).await.expect("an answer"), "nothing changed");

    let ended = accounts.set_password(harness.boss.id, "another password", Some(session), &by, NOON).await;
    assert_eq!(ended.expect("changed"), 1);
    assert!(accounts.find_session(mine.reveal(), NOON).await.expect("an answer").is_some());
    assert!(accounts.find_session(other.reveal(), NOON).await.expect("an answer").is_none());
    assert!(!accounts.check_password(harness.boss.id, PASSWORD).await.expect("an answer"));
    assert!(accounts.check_password(harness.boss.id, "another password").await.expect("an answer"));
    assert!(!accounts.check_password(UserId(99), PASSWORD).await.expect("an answer"));
}

#[tokio::test]
async fn sessions_are_ended_one_by_one_or_all_at_once() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    for _ in 0..4 {
        accounts.start_session(harness.boss.id, "192.0.2.7", "browser", NOON).await.expect("a session");
    }
    let ids = async || {
        let all = accounts.sessions_of(harness.boss.id, NOON).await.expect("a list");
        all.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    let all = ids().await;
    accounts.end_session(all[0], &by, NOON).await.expect("ended");
    accounts.end_session(all[0], &by, NOON).await.expect("gone already");
    assert_eq!(ids().await, all[1..]);
    assert_eq!(accounts.end_sessions_of(harness.boss.id, Some(all[2]), &by, NOON).await.expect("ended"), 2);
    assert_eq!(ids().await, [all[2]]);
    assert_eq!(accounts.end_sessions_of(harness.boss.id, None, &by, NOON).await.expect("ended"), 1);
}
