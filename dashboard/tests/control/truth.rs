//! The database is the source of truth: what Redis loses comes back, what is newer there is not overwritten, and of two
//! who change at once one is told who was faster.

use crate::stage::{CONTEST, SECOND, Stage};
use flowtest_accounts::Actor;
use flowtest_contest::State;
use flowtest_contest::lifecycle::Change;
use flowtest_dashboard::control::ChangeError;
use flowtest_testkit::wait::{wait_until_async, wait_until_or_async};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

fn park(parked: bool) -> Change {
    Change::Park { contestant: "alice".into(), parked }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_loses_is_back_within_two_seconds() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (controller, stop) = (stage.controller.clone(), stop.clone());
        async move { controller.automation().run(stop).await }
    });
    wait_until_async("the first document", || stage.published()).await;
    stage.flush();
    let begun = Instant::now();
    let back = wait_until_async("the document", || stage.published()).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(back, *stage.control());
    stop.cancel();
    running.await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_document_of_ours_is_replaced_also_after_a_restart() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let older = (*stage.control()).clone();
    stage.change(Change::Halt { halted: true }).await;
    let halted = (*stage.control()).clone();
    stage.change(Change::Halt { halted: false }).await;
    stage.turn().await;
    // A stop that was taken back since is one of ours as well.
    for ours in [older, halted] {
        stage.redis.scoreboard().write_control(&ours).expect("written");
        stage.reopen().await;
        assert_eq!(stage.published().as_ref(), Some(&*stage.control()));
        assert!(!stage.control().halted, "{ours:?}");
    }
    stage.redis.command(&["SET", "flowtest:{finals}:control", "{"]);
    stage.turn().await;
    assert_eq!(stage.published().as_ref(), Some(&*stage.control()), "and what is no document");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_this_database_never_saved_is_not_replaced_whatever_its_number() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.change(park(true)).await;
    for below in [0, 1] {
        let mut other = (*stage.control()).clone();
        (other.revision, other.scored) = (other.revision - below, false);
        stage.redis.scoreboard().write_control(&other).expect("written");
        stage.turn().await;
        assert_eq!(stage.published(), Some(other.clone()), "it stays");
        let conflict = stage.controller.status().conflict.expect("a problem");
        assert!(conflict.message.contains("never saved"), "{}", conflict.message);
        stage.reopen().await;
        assert_eq!(stage.published(), Some(other), "also by a process that has just begun");
        // An organiser decides.
        let made = stage.change(park(below == 1)).await;
        assert_eq!((made.unpublished, stage.controller.status().conflict), (None, None));
        assert_eq!(stage.published().as_ref(), Some(&*stage.control()));
    }
    let mut other = (*stage.control()).clone();
    (other.revision, other.scored) = (other.revision - 1, false);
    stage.redis.scoreboard().write_control(&other).expect("written");
    stage.turn().await;
    let by = stage.by(&stage.ada);
    stage.controller.adopt(&by, stage.now).await.expect("it is taken over");
    assert!(!stage.control().scored && stage.controller.status().conflict.is_none());
    assert_eq!(stage.published().as_ref(), Some(&*stage.control()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_dashboards_on_copies_of_a_database_neither_writes_over_the_other() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let copy = stage.with_a_copy_of_the_database().await;
    stage.change(park(true)).await;
    let published = stage.published();
    let (by, what) = (stage.by(&stage.bea), "A test.");
    let made = copy.change(None, Change::Halt { halted: false }, what, &by, stage.now).await.expect("it is saved");
    assert_eq!(Some(made.control.revision), published.as_ref().map(|control| control.revision), "of one number");
    assert!(made.unpublished.expect("it is told").contains("copy of the database"));
    copy.automation().turn(0, false, stage.now).await;
    assert_eq!(stage.published(), published);
    stage.turn().await;
    assert_eq!((stage.published(), stage.controller.status().conflict), (published, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_dashboards_on_copies_of_a_database_tell_of_each_other_before_anything_is_changed() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let copy = stage.with_a_copy_of_the_database().await;
    for _ in 0..5 {
        copy.automation().turn(0, false, stage.now).await;
        stage.turn().await;
    }
    for controller in [&stage.controller, &copy] {
        let status = controller.status();
        assert!(status.redis.is_some_and(|told| told.contains("as well: end one of the two")));
        assert_eq!(status.conflict, None);
    }
    // One of them has ended.
    stage.turn().await;
    assert_eq!(stage.controller.status().redis, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_document_is_shown_as_a_problem_and_a_change_goes_on_above_it() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let mut newer = (*stage.control()).clone();
    newer.revision += 1_000;
    newer.halted = true;
    // More than a stop, which is applied.
    newer.scored = false;
    stage.redis.scoreboard().write_control(&newer).expect("written");
    stage.turn().await;
    assert_eq!(stage.published(), Some(newer.clone()), "it is not overwritten");
    let conflict = stage.controller.status().conflict.expect("a problem");
    assert!(conflict.message.contains("Take over"), "{}", conflict.message);
    let checks = stage.controller.readiness(stage.now).await.expect("checks");
    assert!(checks.iter().any(|check| check.message == conflict.message), "NO-GO");
    // A death in between forgets nothing.
    stage.reopen().await;
    let made = stage.change(park(true)).await;
    assert_eq!((made.control.revision, made.unpublished), (newer.revision + 1, None));
    // A change is no release: what was stopped stays so until somebody allows traffic again.
    let published = stage.published().expect("a document");
    assert!(published.halted && published.parked.contains("alice"), "{published:?}");
    stage.change(Change::Halt { halted: false }).await;
    assert!(!stage.published().expect("a document").halted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_document_can_be_taken_over() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let by = stage.by(&stage.ada);
    stage.controller.adopt(&by, stage.now).await.expect_err("there is nothing to take over");
    let mut newer = (*stage.control()).clone();
    newer.revision += 7;
    newer.halted = true;
    // More than a stop, which is applied.
    newer.scored = false;
    stage.redis.scoreboard().write_control(&newer).expect("written");
    stage.turn().await;
    stage.controller.adopt(&by, stage.now).await.expect("it is taken over");
    assert_eq!(*stage.control(), newer);
    assert_eq!(stage.controller.status().conflict, None);
    assert_eq!(
        stage.controller.accounts().control().await.expect("saved").expect("a document").revision,
        newer.revision
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_redis_is_saved_told_and_published_later() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.redis.kill();
    let made = stage.change(Change::Halt { halted: true }).await;
    assert!(made.unpublished.expect("it is told").contains("Redis"));
    assert!(stage.control().halted);
    stage.redis.restart();
    wait_until_or_async("the document", async || {
        stage.turn().await;
        let is_published = stage.published().as_ref() == Some(&*stage.control());
        is_published.then_some(()).ok_or_else(|| format!("{:?}", stage.controller.status()))
    })
    .await;
    assert_eq!(stage.controller.status().redis, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_admins_the_slower_one_is_told_who_was_faster_and_what_changed() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let looked_at = Some(stage.control().revision);
    let (ada, bea) = (stage.by(&stage.ada), stage.by(&stage.bea));
    stage.controller.change(looked_at, park(true), "alice was parked.", &ada, stage.now).await.expect("the faster one");
    let error = stage.controller.change(looked_at, park(false), "alice plays on.", &bea, stage.now).await;
    let error = error.expect_err("the slower one");
    assert!(matches!(&error, ChangeError::Stale { by, .. } if by == "ada"), "{error}");
    assert!(error.to_string().contains("alice was parked."), "{error}");
    assert!(stage.control().parked.contains("alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_admins_at_once_make_one_change() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let looked_at = Some(stage.control().revision);
    let (ada, bea) = (stage.by(&stage.ada), stage.by(&stage.bea));
    let park = |by| {
        let change = park(true);
        stage.controller.change(looked_at, change, "alice was parked.", by, stage.now)
    };
    let (one, other) = tokio::join!(park(&ada), park(&bea));
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_dashboards_on_one_database_the_slower_one_takes_over_what_the_other_saved() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let second = stage.second_controller().await;
    let (ada, bea) = (stage.by(&stage.ada), stage.by(&stage.bea));
    stage.controller.change(None, park(true), "alice was parked.", &ada, stage.now).await.expect("the faster one");
    let error = second.change(None, park(true), "alice was parked.", &bea, stage.now).await.expect_err("the slower");
    assert!(error.to_string().contains("ada was faster"), "{error}");
    assert_eq!(second.control(), stage.controller.control());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dashboard_does_by_itself_makes_no_form_stale() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.arm().await;
    let looked_at = Some(stage.control().revision);
    stage.turn_at(stage.now + 10 * SECOND).await;
    assert_eq!(stage.control().state, State::Running);
    assert_ne!(Some(stage.control().revision), looked_at);
    let by = stage.by(&stage.ada);
    stage.controller.change(looked_at, Change::Pause, "A pause.", &by, stage.now).await.expect("it is paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_another_person_is_not_buried_under_what_the_dashboard_does() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let looked_at = Some(stage.control().revision);
    let (ada, bea) = (stage.by(&stage.ada), stage.by(&stage.bea));
    stage.controller.change(None, park(true), "alice was parked.", &ada, stage.now).await.expect("ada's");
    // More than anybody would look through.
    for turn in 0..600 {
        let made = stage.controller.change(None, park(turn % 2 == 0), "A turn.", &Actor::program(), stage.now).await;
        made.expect("the dashboard's own");
    }
    let error =
        stage.controller.change(looked_at, park(true), "alice stays.", &bea, stage.now).await.expect_err("refused");
    assert!(error.to_string().contains("alice was parked."), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_contest_is_refused() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let accounts = stage.controller.accounts().clone();
    let address = flowtest_scoreboard::RedisAddress::new(&stage.redis.url()).expect("an address");
    let link = flowtest_dashboard::control::Link::start(address).expect("a thread");
    let error = flowtest_dashboard::control::Controller::open("other", accounts, link).await.expect_err("refused");
    assert!(error.to_string().contains(CONTEST), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_corrects_a_path_or_leaves_the_draft_for_a_moment_is_no_younger() {
    let mut stage = Stage::new().await;
    let (alice, typed_at) = (stage.contestant("alice", 8081).await, stage.now);
    let by = stage.by(&alice);
    stage.turn_at(typed_at + SECOND).await;
    assert_eq!(stage.control().since["alice"], typed_at);
    // Somebody else points a name at her server meanwhile, and she corrects her path.
    stage.now += SECOND;
    stage.contestant("bobby", 8082).await;
    stage.now += SECOND;
    stage.controller.set_endpoint(&alice, "127.0.0.1:8081/shop", &by, stage.now).await.expect("an endpoint");
    stage.turn_at(stage.now + SECOND).await;
    // An organiser takes her out and puts her back.
    let (ada, accounts) = (stage.by(&stage.ada), stage.controller.accounts().clone());
    accounts.disqualify(alice.id, "a mistake", &ada, stage.now).await.expect("she is out");
    stage.controller.automation().people_changed();
    stage.turn_at(stage.now + 3 * SECOND).await;
    assert!(!stage.control().since.contains_key("alice"), "{:?}", stage.control().since);
    accounts.requalify(alice.id, &ada, stage.now).await.expect("she is back");
    stage.controller.automation().people_changed();
    stage.turn_at(stage.now + 3 * SECOND).await;
    assert_eq!(stage.control().since["alice"], typed_at, "{:?}", stage.control().since);
    assert!(stage.control().since["bobby"] > typed_at);
    // Another server is another matter.
    stage.controller.set_endpoint(&alice, "127.0.0.1:8083", &by, stage.now).await.expect("an endpoint");
    stage.turn_at(stage.now + 3 * SECOND).await;
    assert!(stage.control().since["alice"] > stage.control().since["bobby"]);
}
