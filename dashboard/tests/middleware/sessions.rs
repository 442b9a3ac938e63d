//! Signing in, staying in, and being sent away.

use crate::stage::{PASSWORD, Stage};
use flowtest_accounts::{Accounts, Actor, NewUser, SESSION_LIFE_US};
use flowtest_contract::utc_us;
use flowtest_testkit::wait::wait_until_or_async;

#[tokio::test]
async fn signing_in_gives_a_new_session_and_ends_the_old_one() {
    let stage = Stage::open(&[]).await;
    stage.admin("boss").await;
    let mut browser = stage.browser();
    // A cookie that somebody planted is not taken over.
    browser.cookies.insert("flowtest".to_owned(), "a".repeat(64));
    assert_eq!(browser.sign_in("boss", PASSWORD).await.status, 303);
    let first = browser.cookies["flowtest"].clone();
    assert_ne!(first, "a".repeat(64));
    assert_eq!(browser.sign_in("boss", PASSWORD).await.status, 303);
    assert_ne!(browser.cookies["flowtest"], first);
    let mut old = stage.browser();
    old.cookies.insert("flowtest".to_owned(), first);
    assert_eq!(old.get("/setting").await.status, 303, "the session before is over");
    stage.close().await;
}

#[tokio::test]
async fn signing_out_ends_the_session_and_not_only_the_cookie() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let kept = boss.clone();
    assert_eq!(boss.get("/logout").await.status, 200, "a GET asks and does nothing");
    assert_eq!(boss.get("/setting").await.status, 200);
    assert_eq!(boss.send("/logout", &[]).await.status, 303);
    assert!(!boss.cookies.contains_key("flowtest"));
    let mut replayed = kept;
    assert_eq!(replayed.get("/setting").await.location, "/login?next=%2Fsetting");
    stage.close().await;
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let mut elsewhere = stage.signed_in("boss").await;
    let new = "another quite long passphrase";
    let wrong = boss.send("/account/password", &[("current", "not it"), ("password", new)]).await;
    assert_eq!(wrong.status, 422);
    assert_eq!(elsewhere.get("/setting").await.status, 200);
    assert_eq!(boss.send("/account/password", &[("current", PASSWORD), ("password", new)]).await.status, 303);
    assert_eq!(boss.get("/setting").await.status, 200);
    assert_eq!(elsewhere.get("/setting").await.status, 303);
    stage.close().await;
}

#[tokio::test]
async fn who_forgot_a_password_is_told_what_to_do_and_the_command_sets_another_while_it_is_served() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    assert!(stage.browser().get("/login").await.body.contains("<code>flowtest-dashboard admin password NAME</code>"));
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flowtest-dashboard"));
        command.args(arguments).arg("--database").arg(&stage.app.config.database);
        command.output().expect("it runs")
    };
    let made = run(&["admin", "password", "boss"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let told = String::from_utf8(made.stdout).expect("text");
    let password = told.trim().strip_prefix("boss ").expect("the name and the password");
    assert!(String::from_utf8_lossy(&made.stderr).contains("all its sessions have ended"));
    assert_eq!(boss.get("/setting").await.status, 303, "the session of before has ended");
    assert_eq!(stage.browser().sign_in("boss", PASSWORD).await.status, 401, "and so has the password");
    assert_eq!(stage.browser().sign_in("boss", password).await.status, 303);
    let nobody = run(&["admin", "password", "bosss"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(!nobody.status.success() && said.contains("no enabled account \"bosss\""), "{said}");
    stage.close().await;
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let mut alice = stage.contestant("alice", "Alice").await;
    let id = stage.accounts().user_named("alice").await.expect("a database").expect("it registered").id.0;
    assert_eq!(boss.send(&format!("/setting/user/{id}/disable"), &[]).await.status, 303);
    assert_eq!(alice.get("/index").await.status, 303);
    let again = alice.sign_in("alice", PASSWORD).await;
    assert_eq!(again.status, 401);
    stage.close().await;
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_look_alike() {
    let stage = Stage::open(&[]).await;
    stage.admin("boss").await;
    let mut browser = stage.browser();
    let plain = |text: String, name: &str| {
        // The name is written back, the token changes with the browser, the clock goes on.
        let mut text = text.replace(name, "NAME");
        for mark in ["data-now=\"", "name=\"csrf_token\" value=\""] {
            if let Some((before, rest)) = text.split_once(mark) {
                let after = rest.split_once('"').map_or("", |(_, after)| after);
                text = format!("{before}{after}");
            }
        }
        text
    };
    let wrong = browser.sign_in("boss", "wrong password").await;
    let unknown = browser.sign_in("nemo", "wrong password").await;
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert_eq!(plain(wrong.body, "boss").len(), plain(unknown.body, "nemo").len());
    stage.close().await;
}

#[tokio::test]
async fn who_fails_too_often_waits_and_others_do_not() {
    let stage = Stage::open(&[]).await;
    stage.admin("boss").await;
    stage.contestant("alice", "Alice").await;
    let mut browser = stage.browser();
    for _ in 0..5 {
        assert_eq!(browser.sign_in("boss", "wrong").await.status, 401);
    }
    let waits = browser.sign_in("boss", PASSWORD).await;
    assert_eq!(waits.status, 429);
    assert!(waits.header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait <= 60)));
    assert_eq!(browser.sign_in("BOSS", PASSWORD).await.status, 429, "in any case of letters");
    assert_eq!(stage.browser().sign_in("alice", PASSWORD).await.status, 303, "the same address, another account");
    stage.close().await;
}

#[tokio::test]
async fn sessions_that_are_over_leave_the_database_by_themselves() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("flowtest.db");
    let accounts = Accounts::open(&database).await.expect("a database");
    let new = NewUser { name: "boss".to_owned(), display_name: "Boss".to_owned(), password: PASSWORD.to_owned() };
    let boss = accounts.create_admin(new, &Actor::command_line(), utc_us()).await.expect("an admin");
    let long_ago = utc_us() - 2 * SESSION_LIFE_US;
    accounts.start_session(boss.id, "192.0.2.1", "test", long_ago).await.expect("a session");
    accounts.start_session(boss.id, "192.0.2.2", "test", utc_us()).await.expect("another");
    let stage = Stage::open(&["--database", &database.to_string_lossy()]).await;
    // At that instant the old one lived, so that it is seen for as long as it is there.
    wait_until_or_async("the end of the old one", async || {
        match accounts.sessions_of(boss.id, long_ago).await.expect("sessions").len() {
            0 | 1 => Ok(()),
            more => Err(format!("there are {more}")),
        }
    })
    .await;
    assert_eq!(accounts.sessions_of(boss.id, utc_us()).await.expect("sessions").len(), 1);
    stage.close().await;
}

#[tokio::test]
async fn cookies_are_for_this_site_alone() {
    for (flags, prefix, secure) in
        [(&[][..], "", false), (&["--public-url", "https://scores.test"][..], "__Host-", true)]
    {
        let stage = Stage::open(flags).await;
        stage.admin("boss").await;
        let mut browser = stage.browser();
        let answer = browser.sign_in("boss", PASSWORD).await;
        let cookies: Vec<&str> =
            answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect();
        let session = cookies.iter().find(|cookie| cookie.starts_with(&format!("{prefix}flowtest=")));
        let session = session.unwrap_or_else(|| panic!("{cookies:?}"));
        for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(session.contains(part), "{session}");
        }
        assert_eq!(session.contains("Secure"), secure, "{session}");
        assert!(!session.contains("Domain="), "{session}");
        // None of the others is laxer.
        let mut all: Vec<String> = cookies.iter().map(|cookie| (*cookie).to_owned()).collect();
        let opened = stage.browser().get("/login").await;
        all.extend(opened.headers.into_iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value));
        for name in ["flowtest", "flowtest-device", "flowtest-form"] {
            assert!(all.iter().any(|cookie| cookie.starts_with(&format!("{prefix}{name}="))), "{name}: {all:?}");
        }
        for cookie in &all {
            assert!(
                cookie.contains("HttpOnly") && cookie.contains("SameSite=") && cookie.contains("Path=/"),
                "{cookie}"
            );
            assert!(!cookie.contains("SameSite=None") && !cookie.contains("Domain="), "{cookie}");
            assert_eq!(cookie.contains("Secure"), secure, "{cookie}");
        }
        assert_eq!(answer.header("strict-transport-security").is_some(), secure);
        stage.close().await;
    }
}
