//! Tests of endpoints and practice: who may ask, how often, and who reads the answer.

use crate::stage::{CONTEST, SECOND, Stage};
use flowtest_dashboard::control::readiness::Mark;
use flowtest_dashboard::control::requests::NoRequest;
use flowtest_scoreboard::{ProbeAnswer, ProbeVerdicts};

fn answer(id: &str, at: u64, right: bool) -> ProbeAnswer {
    ProbeAnswer {
        id: id.to_owned(),
        at,
        generator: "g1".to_owned(),
        endpoint: "http://127.0.0.1:8081/".to_owned(),
        address: Some("127.0.0.1:8081".to_owned()),
        verdicts: Some(ProbeVerdicts { token: true, version: right, from: true }),
        latency_us: Some(300),
        message: "Version is v1 and should be v2.".to_owned(),
        head: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_asked_once_in_ten_seconds_and_read_by_its_owner_and_admins_only() {
    let stage = Stage::new().await;
    let (alice, bob) = (stage.contestant("alice", 8081).await, stage.contestant("bob", 0).await);
    let error = stage.controller.requests().ask_probe(&bob, stage.now).await.expect_err("bob has no endpoint");
    assert!(error.to_string().contains("set it first"), "{error}");
    let id = stage.controller.requests().ask_probe(&alice, stage.now).await.expect("asked");
    let error = stage.controller.requests().ask_probe(&alice, stage.now + SECOND).await.expect_err("too soon");
    assert!(error.to_string().contains("wait 9 s"), "{error}");
    let request = stage.redis.scoreboard().take_probe(CONTEST, stage.now).expect("Redis answers").expect("a request");
    assert_eq!((request.id.as_str(), request.contestant.as_str()), (id.as_str(), "alice"));
    assert_eq!(
        stage.controller.requests().probe(&id, &alice, false).await.expect("its own"),
        None,
        "nobody has answered yet"
    );
    stage.redis.scoreboard().answer_probe(CONTEST, &answer(&id, stage.now, true)).expect("Redis answers");
    assert!(stage.controller.requests().probe(&id, &alice, false).await.expect("its own").is_some());
    assert!(stage.controller.requests().probe(&id, &stage.ada, true).await.expect("an admin").is_some());
    assert!(
        matches!(stage.controller.requests().probe(&id, &bob, false).await, Err(NoRequest::Unknown)),
        "another contestant"
    );
    assert!(
        matches!(stage.controller.requests().practice(&id, &alice, false).await, Err(NoRequest::Unknown)),
        "it is no practice"
    );
    assert!(matches!(stage.controller.requests().probe("p:1", &stage.ada, true).await, Err(NoRequest::Unknown)));
}

#[tokio::test(flavor = "multi_thread")]
async fn go_or_no_go_knows_the_last_test_though_nobody_read_it() {
    let stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    stage.beat("g1", |_| ());
    stage.turn().await;
    let id = stage.controller.requests().ask_probe(&alice, stage.now).await.expect("asked");
    stage.redis.scoreboard().answer_probe(CONTEST, &answer(&id, stage.now, false)).expect("Redis answers");
    stage.turn().await;
    let checks = stage.controller.readiness(stage.now).await.expect("checks");
    let of = |what: &str| checks.iter().find(|check| check.what == what).unwrap_or_else(|| panic!("{checks:#?}"));
    assert!(of("alice").mark == Mark::Warn && of("alice").message.contains("Version is v1"), "{:?}", of("alice"));
    assert_eq!((of("g1").mark, of("Redis").mark, of("Round").mark), (Mark::Go, Mark::Go, Mark::Go));
}

#[tokio::test(flavor = "multi_thread")]
async fn practice_is_bounded_rare_and_never_beside_a_round() {
    let stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    for (rate, seconds) in [(0, 30), (501, 30), (500, 31), (500, 0)] {
        stage.controller.requests().ask_practice(&alice, rate, seconds, stage.now).await.expect_err("out of bounds");
    }
    let id = stage.controller.requests().ask_practice(&alice, 500, 30, stage.now).await.expect("asked");
    let error =
        stage.controller.requests().ask_practice(&alice, 10, 5, stage.now + 60 * SECOND).await.expect_err("too soon");
    assert!(error.to_string().contains("wait 4m"), "{error}");
    let taken = stage.redis.scoreboard().take_practice(CONTEST, stage.now).expect("Redis answers").expect("a request");
    assert_eq!((taken.id, taken.rate), (id.clone(), 500));
    assert_eq!(stage.controller.requests().practice(&id, &alice, false).await.expect("its own"), None);
    stage.arm().await;
    let error = stage
        .controller
        .requests()
        .ask_practice(&alice, 10, 5, stage.now + 600 * SECOND)
        .await
        .expect_err("a round is on");
    assert!(error.to_string().contains("a round is on"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_asks_fail_with_a_sentence_and_may_be_put_again() {
    let mut stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    stage.redis.kill();
    let error = stage.controller.requests().ask_probe(&alice, stage.now).await.expect_err("Redis is away");
    assert!(error.to_string().contains("Redis"), "{error}");
    stage.redis.restart();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    stage.controller.requests().ask_probe(&alice, stage.now).await.expect("it was never asked");
}
