//! A test of an endpoint is no reader of what the network opens to generators alone: no page says what such a server said.

use crate::stage::{PASSWORD, Stage, status};
use flowtest_contract::utc_us;
use flowtest_scoreboard::{ProbeAnswer, ProbeRequest};
use flowtest_testkit::RedisServer;
use flowtest_testkit::wait::{wait_until_async, wait_until_or_async};

const SECRET: &str = "hunter2";

#[tokio::test(flavor = "multi_thread")]
async fn no_page_repeats_what_a_closed_server_says() {
    let redis = RedisServer::start();
    let stage = Stage::open(Some(&redis.url()), &[]).await;
    stage.contestant("alice", "http://10.0.0.9:9303/").await;
    let mut alice = stage.browser();
    assert_eq!(status(&alice.sign_in("alice", PASSWORD).await), 303);
    assert_eq!(status(&alice.send("/index/probe", &[]).await), 303);
    let mut scoreboard = redis.scoreboard();
    let asked: ProbeRequest =
        wait_until_async("the question", || scoreboard.take_probe("cup", utc_us()).ok().flatten()).await;
    let answer = ProbeAnswer {
        id: asked.id.clone(),
        at: utc_us(),
        generator: "g1".into(),
        endpoint: asked.endpoint,
        address: Some("10.0.0.9:9303".into()),
        message: format!("malformed: no status line (expected: HTTP/1.1; received: -ERR password {SECRET})"),
        head: format!("-ERR password {SECRET}"),
        ..ProbeAnswer::default()
    };
    redis.scoreboard().answer_probe("cup", &answer).expect("Redis answers");
    let answer_page = format!("/index/probe/{}", asked.id);
    // The dashboard fetches it by itself.
    let told = wait_until_or_async("the answer", async || {
        let told = alice.get("/index").await;
        if told.contains("Test failed") { Ok(told) } else { Err(told) }
    });
    let told = told.await;
    assert!(told.contains("no status line"), "{told}");
    for page in [told, alice.get(&answer_page).await, alice.get("/api/me").await] {
        assert!(status(&page) == 200 && !page.contains(SECRET), "{page}");
    }
}
