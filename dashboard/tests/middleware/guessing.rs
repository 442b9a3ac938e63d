//! Passwords and invitations are not guessed: not by many attempts at one moment, and not to lock somebody out.

use crate::stage::{Answer, Browser, PASSWORD, Stage};
use futures_util::future::join_all;
use salvo::http::Method;

/// The browser's own address is believed to be a proxy's, so that a test can come from anywhere.
const BEHIND_A_PROXY: &[&str] = &["--proxy", "0.0.0.0"];

async fn sign_in_from(browser: &mut Browser, address: &str, name: &str, password: &str) -> Answer {
    let token = browser.token().await;
    let form = [("name", name), ("password", password), ("csrf_token", token.as_str())];
    browser.ask(Method::POST, "/login", &[("x-forwarded-for", address)], Some(&form)).await
}

/// How many were answered with a status.
fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test]
async fn many_attempts_at_one_moment_are_counted_before_any_is_looked_at() {
    let stage = Stage::open(&[]).await;
    stage.admin("boss").await;
    let mut browsers: Vec<Browser> = (0..30).map(|_| stage.browser()).collect();
    let answers = join_all(browsers.iter_mut().map(|browser| browser.sign_in("boss", "wrong"))).await;
    assert_eq!((count(&answers, 401), count(&answers, 429)), (5, 25));
    stage.close().await;
}

#[tokio::test]
async fn attempts_at_ones_own_present_password_are_counted_the_same_way() {
    let stage = Stage::open(&[]).await;
    stage.contestant("alice", "Alice").await;
    let alice = stage.signed_in("alice").await;
    let form = [("current", "wrong"), ("password", "another quite long passphrase")];
    let mut tabs = vec![alice; 12];
    let answers = join_all(tabs.iter_mut().map(|tab| tab.send("/account/password", &form))).await;
    assert_eq!((count(&answers, 422), count(&answers, 429)), (5, 7));
    stage.close().await;
}

#[tokio::test]
async fn a_room_that_signs_in_at_one_moment_gets_in() {
    let stage = Stage::open(&[]).await;
    stage.admin("boss").await;
    let mut browsers: Vec<Browser> = (0..30).map(|_| stage.browser()).collect();
    for five in browsers.chunks_mut(5) {
        for answer in join_all(five.iter_mut().map(|browser| browser.sign_in("boss", PASSWORD))).await {
            assert_eq!(answer.status, 303, "what was right is no failure");
        }
    }
    stage.close().await;
}

#[tokio::test]
async fn who_guesses_from_elsewhere_keeps_nobody_out() {
    let stage = Stage::open(BEHIND_A_PROXY).await;
    stage.admin("boss").await;
    let mut rival = stage.browser();
    for _ in 0..5 {
        assert_eq!(sign_in_from(&mut rival, "192.0.2.66", "boss", "wrong").await.status, 401);
    }
    assert_eq!(sign_in_from(&mut rival, "192.0.2.66", "boss", PASSWORD).await.status, 429);
    let mut boss = stage.browser();
    assert_eq!(sign_in_from(&mut boss, "192.0.2.1", "boss", PASSWORD).await.status, 303);
    stage.close().await;
}
