//! Tests of endpoints and practice: who may ask, how often, and who reads the answer.

use crate::stage::{CONTEST, SECOND, Stage};
use flowtest_contract::rules::UtcUs;
use flowtest_dashboard::control::readiness::Mark;
use flowtest_dashboard::control::requests::{NoRequest, Practice};
use flowtest_scoreboard::{ProbeAnswer, ProbeVerdicts};
use flowtest_testkit::documents::{RIGHT, probe_answer};

fn answer(id: &str, at: UtcUs, right: bool) -> ProbeAnswer {
    probe_answer(id, "http://127.0.0.1:8081/", at, ProbeVerdicts { version: right, ..RIGHT })
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
async fn servers_are_looked_at_while_an_organiser_watches() {
    let mut stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    stage.contestant("bob", 0).await;
    let taken = |stage: &Stage| stage.redis.scoreboard().take_probe(CONTEST, stage.now).expect("Redis answers");
    stage.beat("g1", |_| ());
    stage.turn().await;
    assert_eq!(taken(&stage), None, "nobody watches");
    stage.controller.requests().watch(stage.now);
    stage.turn().await;
    let asked = taken(&stage).expect("a test");
    assert!(asked.automatic && asked.contestant == "alice", "{asked:?}");
    assert_eq!(taken(&stage), None, "bob has no endpoint");
    stage.controller.requests().ask_probe(&alice, stage.now).await.expect("her own test is not kept waiting");
    taken(&stage).expect("hers");
    stage.redis.scoreboard().answer_probe(CONTEST, &answer(&asked.id, stage.now, true)).expect("Redis answers");
    stage.turn().await;
    assert_eq!(taken(&stage), None, "once in half a minute");
    stage.controller.requests().test_all(stage.now);
    stage.turn().await;
    assert!(taken(&stage).is_some_and(|asked| asked.automatic), "an organiser wants it now");
    // An armed round has not begun: whose server dies now is seen before the start.
    stage.arm().await;
    stage.controller.requests().test_all(stage.now);
    stage.turn().await;
    assert!(taken(&stage).is_some_and(|asked| asked.automatic), "the round has not started");
    let start = stage.now + 10 * SECOND;
    stage.turn_at(start).await;
    stage.controller.requests().test_all(stage.now);
    stage.turn().await;
    assert_eq!(taken(&stage), None, "a round has its own answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn practice_is_bounded_rare_and_never_beside_a_round() {
    let stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    for (rate, seconds) in [(0, 30), (501, 30), (500, 31), (500, 0)] {
        stage
            .controller
            .requests()
            .ask_practice(&alice, Practice::Hold { rate, seconds }, 1, stage.now)
            .await
            .expect_err("out of bounds");
    }
    let (id, before) = stage
        .controller
        .requests()
        .ask_practice(&alice, Practice::Hold { rate: 500, seconds: 30 }, 1, stage.now)
        .await
        .expect("asked");
    let error = stage
        .controller
        .requests()
        .ask_practice(&alice, Practice::Hold { rate: 10, seconds: 5 }, 1, stage.now + 60 * SECOND)
        .await
        .expect_err("too soon");
    assert!(error.to_string().contains("wait 4m"), "{error}");
    assert_eq!(before, 0);
    assert_eq!(stage.controller.requests().practices_before(&id, stage.now).await.expect("Redis"), Some(0));
    let taken = stage.redis.scoreboard().take_practice(CONTEST, stage.now).expect("Redis answers").expect("a request");
    assert_eq!((taken.id, taken.rate), (id.clone(), 500));
    assert_eq!(stage.controller.requests().practice(&id, &alice, false).await.expect("its own"), None);
    stage.arm().await;
    let error = stage
        .controller
        .requests()
        .ask_practice(&alice, Practice::Hold { rate: 10, seconds: 5 }, 1, stage.now + 600 * SECOND)
        .await
        .expect_err("a round is on");
    assert!(error.to_string().contains("a round is on"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_with_the_place_and_what_nobody_took_gives_the_time_back() {
    let mut stage = Stage::new().await;
    let mut teams = Vec::new();
    for (name, port) in [("alice", 8081), ("bob", 8082), ("carol", 8083), ("dave", 8084)] {
        teams.push(stage.contestant(name, port).await);
    }
    for (place, team) in teams[..3].iter().enumerate() {
        let (_, before) = stage
            .controller
            .requests()
            .ask_practice(team, Practice::Hold { rate: 10, seconds: 5 }, 1, stage.now)
            .await
            .expect("there is room");
        assert_eq!(before, place);
    }
    let full = stage
        .controller
        .requests()
        .ask_practice(&teams[3], Practice::Hold { rate: 10, seconds: 5 }, 1, stage.now)
        .await
        .expect_err("it is full");
    assert!(full.to_string().contains("3 others wait") && full.to_string().contains("number 4"), "{full}");
    let two = stage
        .controller
        .requests()
        .ask_practice(&teams[3], Practice::Hold { rate: 10, seconds: 5 }, 2, stage.now)
        .await;
    assert_eq!(two.expect("two generators take more").1, 3, "and no time was lost");
    // No generator comes.
    stage.now += 126 * SECOND;
    stage.turn().await;
    let again = stage
        .controller
        .requests()
        .ask_practice(&teams[0], Practice::Hold { rate: 10, seconds: 5 }, 1, stage.now)
        .await;
    assert_eq!(again.expect("nobody took it").1, 0);
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
