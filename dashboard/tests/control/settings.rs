//! Settings, people and endpoints, and what they do to a draft and to a round that is on.

use crate::stage::{SECOND, Stage};
use flowtest_accounts::Actor;
use flowtest_contest::lifecycle::Change;
use flowtest_contest::policy::Ownership;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_dashboard::control::ChangeError;
use flowtest_dashboard::control::settings::Settings;
use flowtest_dashboard::control::show::Show;

fn with_token(settings: &Settings, token: u32) -> Settings {
    let mut settings = settings.clone();
    settings.rules.token = token;
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_follows_settings_and_people_at_once() {
    let stage = Stage::new().await;
    assert!(stage.controller.control().is_none(), "nobody can play yet");
    let alice = stage.contestant("alice", 8081).await;
    assert_eq!(stage.control().ids["alice"], format!("u{}", alice.id));
    let by = stage.by(&stage.ada);
    let looked_at = Some(stage.control().revision);
    let wanted = with_token(&stage.controller.settings(), 90);
    stage.controller.save_settings(looked_at, wanted, &by, stage.now).await.expect("saved").expect("a revision");
    assert_eq!(stage.control().contest.rules.token, 90);
    let error = stage.controller.save_settings(looked_at, Settings::default(), &by, stage.now).await;
    assert!(matches!(error, Err(ChangeError::Stale { .. })), "who has not seen it is refused");
    stage.contestant("bob", 8082).await;
    assert_eq!(stage.control().contest.contestants.len(), 2);
    stage.controller.reset_endpoint(alice.id, &stage.by(&alice), stage.now).await.expect("reset");
    assert_eq!(stage.control().contest.contestants.len(), 1);
    stage.turn().await;
    assert_eq!(stage.published().as_ref(), Some(&*stage.control()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_named_a_server_first_keeps_nobody_from_it_who_can_prove_it_is_his() {
    let stage = Stage::new().await;
    let (bobby, alice) = (stage.contestant("bobby", 8081).await, stage.contestant("alice", 0).await);
    let program = Actor::program();
    let set = || stage.controller.set_endpoint(&alice, "127.0.0.1:8081", &program, stage.now);
    let refused = set().await.expect_err("bobby has it").to_string();
    assert!(refused.contains("somebody else plays") && !refused.contains(&bobby.name), "{refused}");
    let mut settings = stage.controller.settings().as_ref().clone();
    settings.policy.ownership = Ownership::Header;
    stage.controller.save_settings(None, settings, &stage.by(&stage.ada), stage.now).await.expect("saved");
    set().await.expect("the server says whose it is");
    let both: Vec<String> = stage.control().contest.contestants.iter().map(|one| one.endpoint.to_string()).collect();
    assert_eq!(both, ["http://127.0.0.1:8081/"; 2]);
    let control = stage.control();
    assert_eq!(Control::from_json(&control.to_json()).expect("it is read again"), *control);
    assert_eq!(stage.controller.status().roster.left_out, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_judged_with_a_sentence_at_its_field() {
    let stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    let bob = stage.contestant("bob", 0).await;
    // (what bob types, part of the sentence)
    let cases = [
        ("", "empty"),
        ("ftp://10.0.0.1", "https"),
        ("10.0.0.1", "allow"),
        ("https://10.0.0.1", "allow"),
        ("https://127.0.0.1:8081", "somebody else"),
        ("127.0.0.1:22", "port 22"),
        ("127.0.0.1:8081/other", "somebody else"),
    ];
    for (text, part) in cases {
        let error = stage.controller.set_endpoint(&bob, text, &stage.by(&bob), stage.now).await.expect_err(text);
        assert!(matches!(error, ChangeError::Field { field: "endpoint", .. }), "{text:?}: {error}");
        assert!(error.to_string().contains(part), "{text:?}: {error}");
        assert!(!error.to_string().contains("alice"), "whose it is stays secret: {error}");
    }
    assert_eq!(stage.controller.accounts().endpoint_of(bob.id).await.expect("endpoints"), None);
    stage
        .controller
        .set_endpoint(&alice, "127.0.0.1:8081/shop", &stage.by(&alice), stage.now)
        .await
        .expect("its own port");
    let error = stage.controller.set_endpoint(&stage.ada, "127.0.0.1:8083", &stage.by(&stage.ada), stage.now).await;
    assert!(error.expect_err("admins do not play").to_string().contains("admins"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_round_contestants_move_newcomers_wait_and_nobody_leaves() {
    let mut stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    stage.arm().await;
    stage.turn_at(stage.now + 10 * SECOND).await;
    stage.controller.set_endpoint(&alice, "127.0.0.1:8085", &stage.by(&alice), stage.now).await.expect("it moves");
    assert_eq!(stage.control().contest.contestants[0].endpoint.port, 8085);
    stage.controller.set_endpoint(&alice, "https://127.0.0.1:8085", &stage.by(&alice), stage.now).await.expect("moved");
    assert_eq!(stage.control().contest.contestants[0].endpoint.to_string(), "https://127.0.0.1:8085/");
    assert_eq!(stage.control().state, State::Running);
    stage.contestant("bob", 8082).await;
    assert_eq!(stage.control().contest.contestants.len(), 1, "a newcomer waits");
    let error = stage.controller.reset_endpoint(alice.id, &stage.by(&alice), stage.now).await.expect_err("no way out");
    assert!(error.to_string().contains("a round is on"), "{error}");
    // Rules wait for the next draft, the policy counts at once.
    let mut wanted = with_token(&stage.controller.settings(), 10);
    wanted.policy.deny = vec!["127.0.0.9".parse().expect("an entry")];
    let looked_at = Some(stage.control().revision);
    stage.controller.save_settings(looked_at, wanted, &stage.by(&stage.ada), stage.now).await.expect("saved");
    assert_eq!(stage.control().contest.rules.token, 100);
    assert_eq!(stage.control().contest.policy.deny.len(), 1);
    let error = stage.controller.save_settings(looked_at, Settings::default(), &stage.by(&stage.bea), stage.now).await;
    assert!(error.expect_err("bea has not seen it").to_string().contains("ada was faster"));
    stage.change(Change::Abort).await;
    stage.change(Change::Draft).await;
    stage.turn().await;
    assert_eq!(stage.control().contest.contestants.len(), 2);
    assert_eq!(stage.control().contest.rules.token, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disqualified_contestant_gets_no_traffic_and_plays_no_further_round() {
    let mut stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    stage.arm().await;
    stage.turn_at(stage.now + 10 * SECOND).await;
    let by = stage.by(&stage.ada);
    stage.controller.disqualify(&alice, "it relays to bob", &by, stage.now).await.expect("disqualified");
    assert!(stage.control().parked.contains("alice"));
    assert!(stage.audited().await.contains(&("ada".into(), "user.disqualify".into())), "{:?}", stage.audited().await);
    let facts = stage.controller.watch_facts().borrow().clone();
    assert!(facts.contestants.iter().any(|one| one.name == "alice" && one.disqualified));
    stage.change(Change::Abort).await;
    stage.change(Change::Draft).await;
    stage.turn().await;
    let names: Vec<String> = stage.control().contest.contestants.iter().map(|one| one.name.clone()).collect();
    assert_eq!(names, ["bob"]);
    stage.controller.requalify(&alice, &by, stage.now).await.expect("requalified");
    assert_eq!(stage.control().contest.contestants.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn adjustments_hiding_and_announcements_reach_the_live_feed_and_the_log() {
    let stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    let (accounts, by) = (stage.controller.accounts(), stage.by(&stage.ada));
    accounts.adjust(alice.id, -300, "a late start", &by, stage.now).await.expect("adjusted");
    accounts.adjust(alice.id, 100, "a kind word", &by, stage.now).await.expect("adjusted");
    accounts.set_hidden(alice.id, true, &by, stage.now).await.expect("hidden");
    accounts.announce(flowtest_accounts::Level::Warn, "Lunch.", &by, stage.now).await.expect("announced");
    stage.turn().await;
    let facts = stage.controller.watch_facts().borrow().clone();
    assert_eq!(facts.adjustments.values().copied().collect::<Vec<_>>(), [-200]);
    assert!(facts.contestants[0].hidden);
    assert_eq!(facts.notices[0].text, "Lunch.");
    let actions: Vec<String> = stage.audited().await.into_iter().map(|(_, action)| action).collect();
    for action in ["adjustment.make", "user.hide", "announcement.make"] {
        assert!(actions.iter().any(|done| done == action), "{action}: {actions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn freeze_and_reveal_survive_a_restart() {
    let mut stage = Stage::new().await;
    let (by, now) = (stage.by(&stage.ada), stage.now);
    let error =
        stage.controller.set_show(None, |show| show.reveal(now), &by, now).await.expect_err("nothing is frozen");
    assert!(error.to_string().contains("not frozen"), "{error}");
    stage.controller.set_show(None, |show| show.freeze(now, now), &by, now).await.expect("frozen");
    stage.reopen().await;
    assert_eq!(stage.controller.show(), Show { freeze_at: Some(now), ..Show::default() });
    assert_eq!(stage.controller.watch_facts().borrow().freeze.at, Some(now));
    stage.controller.set_show(None, |show| show.reveal(now + 1), &by, now).await.expect("revealed");
    assert!(stage.controller.watch_facts().borrow().freeze.revealed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_feed_is_told_last_is_what_was_decided_last() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    // While somebody else steers, the controller only tells, and keeps nobody from changing the document.
    let mut newer = (*stage.control()).clone();
    newer.revision += 1_000;
    stage.redis.scoreboard().write_control(&newer).expect("written");
    stage.turn().await;
    assert!(stage.controller.status().conflict.is_some());
    let (by, now) = (stage.by(&stage.ada), stage.now);
    for round in 0..100 {
        let at = now + round;
        let decide = stage.controller.set_show(None, |show| show.unfreeze().freeze(at, UtcUs::EPOCH), &by, now);
        let (decided, ..) = tokio::join!(decide, stage.turn(), stage.turn(), stage.turn());
        decided.expect("frozen");
        assert_eq!(stage.controller.watch_facts().borrow().freeze.at, Some(at));
    }
}
