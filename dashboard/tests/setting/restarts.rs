//! What a dashboard that is started again shows of before, and what one that ends has kept.

use crate::browser::{DATABASE, Site};
use flowtest_accounts::{Actor, NewRound};
use flowtest_contest::State;
use flowtest_contest::lifecycle::{Change, change};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use flowtest_dashboard::control::show::{self, Show};
use flowtest_dashboard::live::feed::Archived;
use flowtest_dashboard::live::{Audience, Seen};
use flowtest_dashboard::tasks;
use std::sync::Arc;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

#[tokio::test(flavor = "multi_thread")]
async fn the_freeze_of_an_hour_ago_is_the_same_second_after_a_restart() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let (program, now) = (Actor::program(), utc_us());
    let accounts = site.app.accounts.clone();
    // Somebody with points has a line, before Redis is heard too.
    accounts.adjust(alice.id, 1, "A test.", &program, now).await.expect("adjusted");
    let round = RoundId::from_bits(7);
    let begin = (now - 60 * MINUTE).floor(MINUTE);
    let new = NewRound { id: round, scored: true, label: String::new(), start_at: Some(begin) };
    accounts.create_round(new, &program, now).await.expect("a round");
    for second in 0..90 {
        let row = format!(r#"{{"v":1,"round":null,"rows":[["u{}",{second},0,0,null,null,null,0,null]]}}"#, alice.id);
        accounts.append_history(round, begin + second * SECOND, row.as_bytes()).await.expect("kept");
    }
    // In the middle of a half minute, of which the rest is coarse.
    let freeze = |show: Show, second| show.freeze(begin + second * SECOND, begin + second * SECOND);
    let first = freeze(Show::default(), 20).and_then(|show| show.reveal(begin + 40 * SECOND)).expect("it is frozen");
    let frozen = freeze(first, 70).expect("nothing is frozen");
    let text = serde_json::to_string(&frozen).expect("JSON");
    accounts.put_setting(show::SETTING, None, &text, &program, now).await.expect("frozen");
    site.app.stop().await;
    let folder = tempfile::tempdir().expect("a private folder");
    accounts.backup(folder.path().join(DATABASE), &program, now).await.expect("a copy");
    let site = Site::open_in(folder).await;
    let mut seen = site.app.feed.watch();
    seen.changed().await.expect("the feed runs");
    let shown = site.app.feed.standings(&Audience::Public);
    assert_eq!(shown.lines.iter().map(|line| line.figures.points).collect::<Vec<_>>(), [70]);
    // Whoever looks back finds each freeze of its time, and no later than the one that holds: (second, since when, points).
    let mut alice = site.sign_in(site.app.accounts.user(alice.id).await.expect("users").expect("she is there")).await;
    for (second, frozen, points) in [(10, None, 10), (30, Some(20), 20), (50, None, 50), (80, None, 70)] {
        let ms = |second: u64| (begin + second * SECOND).0 / 1_000;
        let moment = alice.get(&format!("/api/moment?at={}", ms(second))).await;
        let moment: serde_json::Value = serde_json::from_str(&moment.body).expect("JSON");
        let said = (moment["standings_at"].as_u64(), moment["standings"][0]["points"].as_u64());
        assert_eq!(said, (frozen.map(ms), Some(points)), "{second}: {moment}");
    }
}

/// A round that runs, as another dashboard may have armed it, and since when the feed has it.
async fn running_round(site: &Site) -> (RoundId, UtcUs) {
    let alice = site.contestant("alice").await;
    let (program, now) = (Actor::program(), utc_us());
    let controller = &site.app.controller;
    controller.set_endpoint(&alice, "alice.test", &program, now).await.expect("an endpoint");
    let round = RoundId::from_bits(7);
    let new = NewRound { id: round, scored: true, label: String::new(), start_at: None };
    site.app.accounts.create_round(new, &program, now).await.expect("a round");
    let draft = controller.control().expect("a document");
    let arm = Change::Arm { round, start_at: now + 10 * SECOND, scored: true, generators: vec!["g1".to_owned()] };
    let armed = change(&draft, arm, now).expect("it may be armed");
    let running = change(&armed, Change::Begin, now + 10 * SECOND).expect("it may begin");
    site.redis.scoreboard().write_control(&running).expect("Redis answers");
    let mut seen = site.app.feed.watch();
    let is_running = |seen: &Arc<Seen>| seen.control.as_ref().is_some_and(|control| control.state == State::Running);
    let since = seen.wait_for(is_running).await.expect("the feed runs").at;
    (round, since)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_seconds_of_history_are_kept_when_it_ends() {
    let site = Site::open().await;
    let (round, since) = running_round(&site).await;
    let accounts = site.app.accounts.clone();
    assert_eq!(site.app.stop().await, 0, "nothing is lost");
    let kept = accounts.history(round, since, UtcUs::MAX, 0).await.expect("history");
    assert!(!kept.is_empty(), "fewer than are written at once, and there all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_how_many_seconds_of_history_a_locked_database_costs() {
    let site = Site::open().await;
    running_round(&site).await;
    let _lock = site.lock_database();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(site.app.stop().await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn seconds_of_history_wait_for_a_database_that_is_locked_and_none_is_lost() {
    let site = Site::open().await;
    let (program, now) = (Actor::program(), utc_us());
    let round = RoundId::from_bits(7);
    let new = NewRound { id: round, scored: true, label: String::new(), start_at: None };
    let accounts = site.app.accounts.clone();
    accounts.create_round(new, &program, now).await.expect("a round");
    let tasks = tokio_util::task::TaskTracker::new();
    let unwritten = tasks::UnwrittenSeconds::default();
    let mut keep = tasks::keep_history(accounts.clone(), &tasks, unwritten.clone());
    let second = |at: u64| Archived { round, at: UtcUs(at), payload: at.to_string().into_bytes() };
    keep(vec![second(1), second(2)]);
    let lock = site.lock_database();
    // Longer than any write waits for the lock.
    for at in 3..=20 {
        keep(vec![second(at)]);
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    }
    assert!(unwritten.count() >= 18, "{}", unwritten.count());
    drop(lock);
    // The feed has ended; what waits is written all the same.
    drop(keep);
    tasks.close();
    tokio::time::timeout(flowtest_testkit::WAIT_MAX, tasks.wait()).await.expect("it ends");
    assert_eq!(unwritten.count(), 0);
    let kept = accounts.history(round, UtcUs::EPOCH, UtcUs::MAX, 0).await.expect("history");
    assert_eq!(kept.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (1..=20).map(UtcUs).collect::<Vec<_>>());
}
