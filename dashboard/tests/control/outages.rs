//! What is wrong with Redis is told while it is, and no longer; and the contest goes by Redis's clock, not by this machine's.

use crate::stage::{Stage, open_by};
use flowtest_accounts::Accounts;
use flowtest_contract::utc_us;
use flowtest_dashboard::control::readiness::{Check, Mark};
use flowtest_dashboard::live::clock::ContestClock;
use flowtest_testkit::RedisServer;
use flowtest_testkit::wait::wait_until_or_async;

async fn check(stage: &Stage, what: &str) -> Check {
    let checks = stage.controller.readiness(stage.now).await.expect("checks");
    checks.iter().find(|check| check.what == what).unwrap_or_else(|| panic!("{what}: {checks:#?}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_redis_answers_is_over_when_one_does_also_before_there_is_a_document() {
    let mut stage = Stage::new().await;
    assert_eq!(stage.controller.control(), None);
    stage.redis.kill();
    stage.turn().await;
    let trouble = check(&stage, "Redis").await;
    assert!(trouble.mark == Mark::No && trouble.message.contains("Redis"), "{trouble:?}");
    stage.redis.restart();
    // The link rests for a moment after a failure.
    wait_until_or_async("Redis", async || {
        stage.turn().await;
        let check = check(&stage, "Redis").await;
        if check.mark == Mark::Go { Ok(()) } else { Err(format!("{check:?}")) }
    })
    .await;
    assert_eq!(stage.controller.status().redis, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_and_takes_no_writes_is_no_go_and_nobody_is_told_to_start_a_generator() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.beat("g1", |_| ());
    stage.turn().await;
    assert_eq!(check(&stage, "Redis").await.mark, Mark::Go);
    let facts = stage.controller.watch_facts();
    // (what spoils it, what mends it, a word of the sentence)
    let cases = [
        (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"], "memory is full"),
        (["REPLICAOF", "127.0.0.1", "1", ""], ["REPLICAOF", "NO", "ONE", ""], "is a replica"),
    ];
    for (spoil, mend, part) in cases {
        let run = |words: [&str; 4]| {
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            stage.redis.command(&words);
        };
        run(spoil);
        stage.now += 3_000_000;
        stage.turn().await;
        let trouble = check(&stage, "Redis").await;
        assert!(trouble.mark == Mark::No && trouble.message.contains(part), "{trouble:?}");
        let generators = check(&stage, "Generators").await.message;
        assert!(!generators.contains("start one"), "{generators}");
        let silent = check(&stage, "g1").await.message;
        assert!(!silent.contains("Start it again") && silent.contains("takes no writes"), "{silent}");
        assert!(facts.borrow().unwritten.as_ref().is_some_and(|why| why.contains(part)), "the board stands still");
        run(mend);
        stage.turn().await;
        assert_eq!(check(&stage, "Redis").await.mark, Mark::Go);
        assert_eq!(facts.borrow().unwritten, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ten_minutes_off_moves_no_round() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().expect("a folder");
    for shift_us in [600_000_000, -600_000_000] {
        let clock = ContestClock::new(shift_us);
        let accounts = Accounts::open(folder.path().join("flowtest.db")).await.expect("a database");
        let controller = open_by(clock.clone(), accounts, &redis).await;
        assert!(controller.clock().now().abs_diff(utc_us()) < 100_000_000, "it goes by Redis's, which is right");
        // Somebody sets it while a round is played: it is set back by the next look, and until then nobody asks the system.
        clock.set(utc_us().saturating_add_signed(shift_us));
        assert!(controller.clock().now().abs_diff(utc_us()) > 500_000_000);
        let again = open_by(clock.clone(), controller.accounts().clone(), &redis).await;
        assert!(again.clock().now().abs_diff(utc_us()) < 100_000_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_file_is_gone_is_no_go_and_so_is_another_one_in_its_place() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.turn().await;
    assert_eq!(check(&stage, "Database").await.mark, Mark::Go);
    let (path, aside) = (stage.folder.path().join("flowtest.db"), stage.folder.path().join("aside"));
    std::fs::rename(&path, &aside).expect("moved");
    let gone = async |what: &str| {
        stage.turn().await;
        let trouble = check(&stage, "Database").await;
        assert!(trouble.mark == Mark::No && trouble.message.contains("gone from its place"), "{what}: {trouble:?}");
    };
    gone("moved").await;
    std::fs::copy(&aside, &path).expect("copied");
    gone("another one").await;
    std::fs::rename(&aside, &path).expect("moved back");
    stage.turn().await;
    assert_eq!(check(&stage, "Database").await.mark, Mark::Go);
}
