//! What contestants may do, they may not do as fast as a machine can.

use crate::stage::{Answer, Browser, Stage};

async fn told(browser: &mut Browser, answer: Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.body);
    browser.get(&answer.location).await.body
}

#[tokio::test]
async fn an_endpoint_is_changed_once_in_five_seconds_and_a_typing_error_does_not_count() {
    let stage = Stage::open(&[]).await;
    let mut alice = stage.contestant("alice", "Alice").await;
    let id = stage.accounts().user_named("alice").await.expect("a database").expect("it registered").id;
    assert_eq!(alice.send("/index/endpoint", &[("endpoint", "10.0.0.1:22")]).await.status, 422);
    let first = alice.send("/index/endpoint", &[("endpoint", "93.184.216.34/one")]).await;
    assert!(told(&mut alice, first).await.contains("Your endpoint is"));
    // Told at the field, with what was typed.
    let second = alice.send("/index/endpoint", &[("endpoint", "93.184.216.34/two")]).await;
    assert_eq!(second.status, 422, "{}", second.body);
    assert!(second.body.contains("You changed your endpoint a moment ago: wait ") && second.body.contains("34/two"));
    let reset = alice.send("/index/endpoint/reset", &[]).await;
    assert!(told(&mut alice, reset).await.contains("You changed your endpoint a moment ago: wait "));
    let lines = stage.accounts().endpoint_history(id).await.expect("its history");
    assert_eq!(lines.len(), 1, "the first is there, and nothing else was written");
    // An organiser who helps is not made to wait.
    let mut boss = stage.admin("boss").await;
    for path in ["three", "four"] {
        let form = [("endpoint", format!("93.184.216.34/{path}"))];
        let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(boss.send(&format!("/setting/contestant/{id}/endpoint"), &form).await.status, 303);
    }
    assert_eq!(stage.accounts().endpoint_history(id).await.expect("its history").len(), 3);
    stage.close().await;
}

#[tokio::test]
async fn a_name_on_the_board_is_changed_once_in_five_seconds() {
    let stage = Stage::open(&[]).await;
    let mut alice = stage.contestant("alice", "Alice").await;
    assert_eq!(alice.send("/account/shown", &[("display_name", "\u{202e}x")]).await.status, 422);
    let first = alice.send("/account/shown", &[("display_name", "Alice the First")]).await;
    assert!(told(&mut alice, first).await.contains("is changed"));
    let second = alice.send("/account/shown", &[("display_name", "Alice the Second")]).await;
    assert_eq!(second.status, 422, "{}", second.body);
    assert!(second.body.contains("You changed your name on the board a moment ago: wait "), "{}", second.body);
    let page = alice.get("/account").await.body;
    assert!(page.contains("Alice the First") && !page.contains("Alice the Second"));
    stage.close().await;
}
