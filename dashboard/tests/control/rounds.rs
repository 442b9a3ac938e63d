//! Rounds from arming to their seal, by the clock, by the organiser, and across deaths of the dashboard.

use crate::stage::{CONTEST, SECOND, Stage, rows};
use flowtest_accounts::{Actor, RoundResult, Ruling, User};
use flowtest_contest::State;
use flowtest_contest::breakpoint::{Climbs, HoldSums};
use flowtest_contest::ladder::Unbroken;
use flowtest_contest::lifecycle::Change;
use flowtest_contest::timeline::DeadlineName;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity, StreamId};
use flowtest_dashboard::control::form::SettingsForm;
use flowtest_dashboard::control::readiness::Mark;
use flowtest_dashboard::control::settings::Settings;
use flowtest_dashboard::control::show::Show;
use flowtest_dashboard::control::{ChangeError, Sealing};
use flowtest_dashboard::live::clock::ContestClock;
use flowtest_dashboard::live::{Feed, FeedConfig, HubConfig, RevealWait, UserKey};
use flowtest_scoreboard::RedisAddress;
use flowtest_testkit::{WAIT_MAX, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_round_goes_by_the_clock_from_arming_to_results_that_stand() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    let (round, publisher) = stage.play().await;
    // The stream has not ended, and is named.
    stage.turn().await;
    let Sealing::Missing(missing) = stage.controller.status().sealing else {
        panic!("{:?}", stage.controller.status().sealing)
    };
    assert_eq!(missing.len(), 1);
    publisher.end(2, rows(&[11, 7]), WAIT_MAX).expect("it ends");
    stage.turn().await;
    assert_eq!(stage.control().state, State::Sealed);
    assert_eq!(stage.published().expect("a document").state, State::Sealed);
    let results = stage.controller.accounts().results_of(round).await.expect("results");
    let told: Vec<(&str, u32, i64)> =
        results.iter().map(|result| (result.name.as_str(), result.rank, result.points)).collect();
    assert_eq!(told, [("alice", 1, 2200), ("bob", 2, 1400)]);
    let rounds = stage.controller.accounts().rounds().await.expect("rounds");
    assert_eq!((rounds.len(), rounds[0].number, rounds[0].state.as_str()), (1, 1, "sealed"));
    assert!(stage.controller.watch_facts().borrow().carried.has(&round), "the live feed is told");
    // Turns after the end change nothing.
    let revision = stage.control().revision;
    stage.turn_at(stage.now + 100 * SECOND).await;
    assert_eq!(stage.control().revision, revision);
    stage.change(Change::Draft).await;
    assert_eq!(stage.control().state, State::Draft);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_is_sealed_an_hour_late_has_ended_when_it_ended_and_what_waited_for_it_is_shown_since_then() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    let (ada, begin) = (stage.by(&stage.ada), stage.now);
    let said = (begin + 70 * SECOND).floor(SECOND);
    let wanted = |show: Show| show.freeze(begin, begin)?.reveal_later(Some(said), begin);
    stage.controller.set_show(None, wanted, &ada, begin).await.expect("it is planned");
    let (round, publisher) = stage.play().await;
    let end = stage.control().timeline.end_at(&stage.control().contest).expect("an end");
    stage.turn_at(stage.now + 3_600 * SECOND).await;
    publisher.note_validity(RoundValidity { seconds: 60, valid_seconds: 60, due: 18, void: 0, late_ms: 0 });
    publisher.end(2, rows(&[11, 7]), WAIT_MAX).expect("it ends");
    // Whoever has seen it wait is gone by then.
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Sealed);
    assert_eq!(stage.controller.show().revealed_at, Some(stage.now));
    let span = |stage: &Stage| stage.controller.watch_facts().borrow().rounds[0].clone();
    assert_eq!((span(&stage).id, span(&stage).end_at), (round, end));
    assert!(span(&stage).settled_at > stage.now, "and its last answers are looked for until then");
    stage.reopen().await;
    assert_eq!(span(&stage).end_at, end, "the document of then says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_is_parked_hears_so_before_a_round_and_when_one_is_armed() {
    let mut stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    let coming = |stage: &Stage| stage.controller.arrival(alice.id, true, stage.now).unwrap_or_default();
    let parked = "The organisers have parked you";
    let (_, publisher) = stage.play().await;
    stage.controller.park(&alice, true, &stage.by(&stage.ada), stage.now).await.expect("she is parked");
    assert!(coming(&stage).starts_with(parked), "{}", coming(&stage));
    let reset = stage.controller.reset_endpoint(alice.id, &stage.by(&alice), stage.now).await.expect_err("she stays");
    assert!(reset.to_string().contains("parked you"), "{reset}");
    publisher.end(2, rows(&[11, 7]), WAIT_MAX).expect("it ends");
    stage.turn().await;
    stage.turn().await;
    for change in [None, Some(Change::Draft)] {
        if let Some(change) = change {
            stage.change(change).await;
        }
        assert!(stage.control().state != State::Running && coming(&stage).starts_with(parked), "{}", coming(&stage));
    }
    // Nor does she leave the roster, to come back to it and play.
    let reset = stage.controller.reset_endpoint(alice.id, &stage.by(&alice), stage.now).await.expect_err("she stays");
    assert!(reset.to_string().contains("parked you"), "{reset}");
    let another = stage.controller.set_endpoint(&alice, "127.0.0.1:8083", &stage.by(&alice), stage.now).await;
    another.expect("another endpoint");
    assert!(stage.control().parked.contains("alice"), "{:?}", stage.control().parked);
}

const CLIMB: &str = "[[phase]]\nkind = \"breakpoint\"\nfor = \"60s\"\nstart = 100\nstep = \"x2\"\nhold = \"5s\"\n\
                     pass = { verified = 0.99, p99 = \"250ms\" }\nmax = 9000\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_breakpoint_found_ranks_counts_and_stands_when_redis_has_forgotten_it() {
    let mut stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    let bob = stage.contestant("bob", 8082).await;
    let typed = SettingsForm {
        allow: "127.0.0.0/8".into(),
        plan: CLIMB.into(),
        holds_first: true,
        breakpoint_points: "3".into(),
        ..SettingsForm::of(&Settings::default())
    };
    let settings = typed.read().expect("settings");
    stage.controller.save_settings(None, settings, &stage.by(&stage.ada), stage.now).await.expect("saved");
    let (round, publisher) = stage.play().await;
    // In the second step alice breaks.
    let (_, breakpoint) = stage.control().contest.breakpoints()[0];
    let mut climbs = Climbs::new(breakpoint, 0);
    for step in [1, 2] {
        let measured = ["alice", "bob"].into_iter().enumerate().map(|(place, name)| {
            let due = climbs.expected(place);
            let right = if step == 2 && name == "alice" { due / 2 } else { due };
            (name.to_owned(), HoldSums { due, verified: right, p99_us: Some(900), ..HoldSums::default() })
        });
        let measured: Vec<_> = measured.collect();
        let decision = climbs.decide(step, (UtcUs(1), UtcUs(2)), measured);
        assert!(stage.redis.scoreboard().put_step(CONTEST, &round, &decision).expect("Redis answers"));
    }
    publisher.end(2, rows(&[10, 7]), WAIT_MAX).expect("it ends");
    stage.turn().await;
    let results = stage.controller.accounts().results_of(round).await.expect("results");
    let told: Vec<_> = results.iter().map(|one| (one.name.as_str(), one.rank, one.points, one.holds)).collect();
    // 200 points for an answer, and 3 for each request a second.
    assert_eq!(told, [("bob", 1, 1_400 + 600, Some(200)), ("alice", 2, 2_000 + 300, Some(100))]);

    stage.flush();
    stage.reopen().await;
    let facts = stage.controller.watch_facts().borrow().clone();
    let climbed = |user: &User| {
        let carried = facts.carried.of(&UserKey::of_user(user.id.0)).expect("its result");
        carried.climbed.clone().expect("its climb")
    };
    assert_eq!((climbed(&bob).holds, climbed(&bob).breaks_at), (200, None));
    assert_eq!(climbed(&bob).unbroken, Some(Unbroken::Time), "nobody has decided of its last steps");
    let (steps, pass) = (&climbed(&alice).steps, breakpoint.ladder.pass);
    assert_eq!((climbed(&alice).pass, climbed(&alice).unbroken), (Some(pass), None), "whatever the next plan asks");
    assert_eq!((steps.len(), climbed(&alice).breaks_at), (2, Some(200)));
    assert!(steps[1].message(&pass).contains("50.00 % of the answers were verified"));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_results_are_ranked_by_who_got_there_first_as_on_the_board() {
    let mut stage = Stage::new().await;
    for (index, name) in ["alice", "bob", "carol"].into_iter().enumerate() {
        stage.contestant(name, 8081 + index as u16).await;
    }
    let round = stage.arm().await;
    stage.turn_at(stage.now + 10 * SECOND).await;
    let feed = FeedConfig {
        address: RedisAddress::new(&stage.redis.url()).expect("an address"),
        contest: CONTEST.to_owned(),
        hub: HubConfig::default(),
        clock: ContestClock::default(),
        past: Vec::new(),
    };
    let facts = stage.controller.watch_facts().borrow().as_ref().clone();
    let feed = Feed::start(feed, facts, drop).expect("a feed");
    stage.controller.automation().rank_as_on(feed.clone());
    let publisher = stage.join(round, &["alice", "bob", "carol"]);
    // The board must have looked at each before the next: bob is there first, then carol, and alice after its last look.
    for (seq, right) in [(1, [6, 7, 6]), (2, [6, 7, 7])] {
        publisher.publish(seq, rows(&right));
        wait_until("the look", || {
            let totals = feed.seen().totals.clone()?;
            let due = |name: &str| totals.contestants.get(name).map(|row| row.tally.due);
            (["alice", "bob", "carol"].map(due) == right.map(Some)).then_some(())
        });
    }
    stage.turn_at(stage.now + 60 * SECOND).await;
    publisher.end(3, rows(&[7, 7, 7]), WAIT_MAX).expect("it ends");
    stage.turn().await;
    assert_eq!(stage.control().state, State::Sealed);
    let results = stage.controller.accounts().results_of(round).await.expect("results");
    let told: Vec<(&str, u32)> = results.iter().map(|result| (result.name.as_str(), result.rank)).collect();
    assert_eq!(told, [("bob", 1), ("carol", 2), ("alice", 3)]);
    // What Redis loses now nobody puts back, and Control says what does.
    stage.flush();
    stage.turn().await;
    wait_until("the look", || feed.seen().error.clone());
    let checks = stage.controller.readiness(stage.now).await.expect("checks");
    let redis = checks.iter().find(|check| check.what == "Redis").expect("it is looked at");
    assert!(redis.mark == Mark::No && redis.message.contains("flowtest-loadgen rebuild"), "{redis:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_round_keeps_what_its_generators_said_and_what_redis_holds() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    let (round, publisher) = stage.play().await;
    let other = RoundId::from_bits(1);
    // Another one than plays this round says nothing about it; who is gone has said its last.
    let says = |seconds, valid_seconds| RoundValidity { seconds, valid_seconds, due: 1, void: 1, late_ms: 2 };
    let said = [("g1", round, says(60, 50)), ("g2", round, says(60, 60)), ("g3", other, says(9, 0))];
    for (stream, (id, of, validity)) in (1..).zip(said) {
        stage.beat(id, |health| {
            health.stream = Some(StreamId::from_bits(stream));
            (health.round, health.validity) = (Some(of), validity);
        });
    }
    // One that nobody has heard here has said it with its rows.
    publisher.note_validity(says(30, 29));
    stage.turn().await;
    for id in ["g1", "g2", "g3"] {
        stage.beat(id, |_| ());
    }
    let mut last = rows(&[11, 7]).to_vec();
    (last[0].tally.due, last[0].tally.own_fault) = (13, 2);
    publisher.end(2, last.into(), WAIT_MAX).expect("it ends");
    stage.turn().await;
    assert_eq!(stage.control().state, State::Sealed);
    let kept = stage.controller.accounts().round(round).await.expect("rounds").expect("the round");
    assert_eq!(kept.validity(), Some(RoundValidity { seconds: 150, valid_seconds: 139, due: 20, void: 2, late_ms: 6 }));
    assert!(kept.wants_ruling());
}

#[tokio::test(flavor = "multi_thread")]
async fn seconds_in_which_nobody_held_a_share_are_not_valid_in_a_sealed_round() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    let (round, publisher) = stage.play().await;
    // The only generator was gone after 20 seconds, each of which was valid.
    let said = RoundValidity { seconds: 20, valid_seconds: 20, due: 17, void: 0, late_ms: 0 };
    publisher.note_validity(said);
    publisher.end(2, rows(&[10, 7]), WAIT_MAX).expect("it ends");
    stage.turn().await;
    assert_eq!(stage.control().state, State::Sealed);
    let kept = stage.controller.accounts().round(round).await.expect("rounds").expect("the round");
    assert_eq!(kept.validity(), Some(RoundValidity { seconds: 60, late_ms: 40_000, ..said }));
    assert!(kept.wants_ruling(), "the organiser is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reveal_for_the_end_of_a_round_waits_for_its_seal_and_for_the_word_on_it() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    let (ada, begin) = (stage.by(&stage.ada), stage.now);
    // The round begins in ten seconds and lasts sixty. What reveals itself before its end has nothing to wait for.
    // Pages say it to the second.
    let end = (begin + 70 * SECOND).floor(SECOND);
    let plan = async |stage: &Stage, at: UtcUs| {
        let wanted = |_: Show| Show::default().freeze(begin, begin)?.reveal_later(Some(at), begin);
        stage.controller.set_show(None, wanted, &ada, stage.now).await.expect("it is planned");
    };
    let freeze = |stage: &Stage| stage.controller.watch_facts().borrow().freeze;
    let (round, publisher) = stage.play().await;
    plan(&stage, UtcUs(end.0 - 1)).await;
    assert!(freeze(&stage).is_revealed(stage.now));
    plan(&stage, end).await;
    assert_eq!((freeze(&stage).is_revealed(end), freeze(&stage).reveal_waits(end)), (false, Some(RevealWait::Seal)));
    assert_eq!(freeze(&stage).reveal_waits(UtcUs(end.0 - 1)), None, "its instant has not come");
    // What is hidden is not shown by another freeze either.
    let show = stage.controller.show().waiting(true);
    assert!(show.clone().freeze(stage.now, stage.now).is_err() && show.reveal(stage.now).is_ok());
    stage.reopen().await;
    assert_eq!(freeze(&stage).reveal_waits(end), Some(RevealWait::Seal));

    publisher.note_validity(RoundValidity { seconds: 60, valid_seconds: 20, due: 17, void: 0, late_ms: 0 });
    publisher.end(2, rows(&[10, 7]), WAIT_MAX).expect("it ends");
    stage.turn().await;
    assert_eq!(stage.control().state, State::Sealed);
    let later = stage.now + 3_600 * SECOND;
    for at in [stage.now, later] {
        assert_eq!(
            (freeze(&stage).is_revealed(at), freeze(&stage).reveal_waits(at)),
            (false, Some(RevealWait::Ruling))
        );
    }
    plan(&stage, UtcUs(end.0 - 1)).await;
    assert!(freeze(&stage).is_revealed(stage.now), "what had revealed itself is not frozen again");
    plan(&stage, end).await;
    stage.controller.rule(None, round, Ruling::Count, "", &ada, stage.now).await.expect("the word");
    assert_eq!((freeze(&stage).is_revealed(stage.now), freeze(&stage).reveal_waits(stage.now)), (true, None));
    // Whoever looks back finds it frozen until then, however late that is noted; another word later changes nothing of it.
    let ruled = stage.now;
    stage.controller.rule(None, round, Ruling::Void, "A test.", &ada, later).await.expect("another word");
    stage.turn_at(later).await;
    stage.reopen().await;
    assert_eq!(freeze(&stage).revealed_at, Some(ruled));
    assert_eq!([end, UtcUs(ruled.0 - 1), ruled].map(|at| freeze(&stage).holds(at)), [Some(begin), Some(begin), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reveal_for_the_end_of_a_round_does_not_come_before_an_end_that_a_pause_puts_off() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    let (ada, begin) = (stage.by(&stage.ada), stage.now);
    let end = (begin + 70 * SECOND).floor(SECOND);
    let wanted = |show: Show| show.freeze(begin, begin)?.reveal_later(Some(end), begin);
    stage.controller.set_show(None, wanted, &ada, begin).await.expect("it is planned");
    let freeze = |stage: &Stage| stage.controller.watch_facts().borrow().freeze;
    stage.arm().await;
    stage.turn_at(begin + 10 * SECOND).await;
    stage.change(Change::Pause).await;
    assert_eq!(freeze(&stage).reveal_waits(end), Some(RevealWait::Seal));
    stage.change(Change::Abort).await;
    assert!(freeze(&stage).is_revealed(end), "there is nothing to wait for");
    stage.turn_at(end + SECOND).await;
    assert_eq!(freeze(&stage).revealed_at, Some(end), "nobody has seen it wait");
    // An abort behind the end is what the next one waits for.
    stage.change(Change::Draft).await;
    let next = stage.now;
    let again = (next + 70 * SECOND).floor(SECOND);
    let wanted = |show: Show| show.freeze(next, next)?.reveal_later(Some(again), next);
    stage.controller.set_show(None, wanted, &ada, next).await.expect("it is planned");
    stage.play().await;
    stage.turn_at(next + 100 * SECOND).await;
    assert_eq!(freeze(&stage).reveal_waits(stage.now), Some(RevealWait::Seal));
    stage.change(Change::Abort).await;
    let aborted = stage.now;
    stage.turn_at(aborted + SECOND).await;
    assert_eq!(freeze(&stage).revealed_at, Some(aborted));
    // And the one of before is still known.
    assert_eq!(stage.controller.watch_facts().borrow().freeze_then(begin).holds(begin), Some(begin));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_that_dies_in_every_state_goes_on_where_it_was() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Draft);
    let round = stage.arm().await;
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Armed);
    stage.now += 10 * SECOND;
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Running, "the start came while nobody was there");
    let publisher = stage.join(round, &["alice", "bob"]);
    stage.change(Change::Pause).await;
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Paused);
    stage.now += 30 * SECOND;
    stage.beat("g1", |_| ());
    let by = stage.by(&stage.ada);
    stage.controller.resume(None, None, Vec::new(), &by, stage.now).await.expect("it goes on");
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Running);
    stage.now += 100 * SECOND;
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Draining);
    publisher.finish(1, rows(&[3, 4]), WAIT_MAX).expect("the generator seals");
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Sealed);
    let results = stage.controller.accounts().results_of(round).await.expect("results");
    assert_eq!(results.iter().map(|result| result.points).collect::<Vec<_>>(), [800, 600]);
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Sealed);
    let states = stage.controller.accounts().rounds().await.expect("rounds");
    assert_eq!(states.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_results_and_seal_leaves_the_results_as_they_were() {
    let mut stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    let (round, _publisher) = stage.play().await;
    // What the dead one had written; Redis has forgotten it all since.
    let result = RoundResult {
        user: alice.id,
        name: "alice".into(),
        rank: 1,
        points: 4200,
        failures: 0,
        p99_us: None,
        row: String::new(),
        holds: None,
        climb: None,
    };
    stage
        .controller
        .accounts()
        .finish_round(round, vec![result], None, &Actor::program(), stage.now)
        .await
        .expect("written");
    stage.flush();
    stage.reopen().await;
    assert_eq!(stage.control().state, State::Sealed);
    let results = stage.controller.accounts().results_of(round).await.expect("results");
    assert_eq!((results.len(), results[0].points), (1, 4200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_never_ends_is_abandoned_with_a_reason() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.contestant("bob", 8082).await;
    let (round, publisher) = stage.play().await;
    drop(publisher);
    stage.turn().await;
    let Sealing::Missing(missing) = stage.controller.status().sealing else { panic!("it is missed") };
    let by = stage.by(&stage.ada);
    let error =
        stage.controller.automation().abandon(missing.clone(), " ", &by, stage.now).await.expect_err("no reason");
    assert!(matches!(error, ChangeError::Field { field: "reason", .. }), "{error}");
    assert_eq!(stage.control().state, State::Draining);
    let sealing = stage
        .controller
        .automation()
        .abandon(missing, "its host burned down", &by, stage.now)
        .await
        .expect("abandoned");
    assert_eq!((sealing, stage.control().state), (Sealing::Fine, State::Sealed));
    assert!(stage.audited().await.contains(&("ada".into(), "setting.put".into())));
    let results = stage.controller.accounts().results_of(round).await.expect("results");
    assert_eq!(results[0].points, 2000, "what it had published counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_nobody_joined_says_so_and_can_be_aborted() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let round = stage.arm().await;
    stage.turn_at(stage.now + 10 * SECOND).await;
    let (mark, message) = stage.message_of("Play").await;
    assert!(mark == Mark::No && message.contains("g1 is not heard"), "{message}");
    assert!(message.contains("pause or abort the round"), "the next step: {message}");
    stage.turn_at(stage.now + 60 * SECOND).await;
    stage.turn().await;
    let Sealing::Trouble(message) = stage.controller.status().sealing else {
        panic!("{:?}", stage.controller.status().sealing)
    };
    assert!(message.contains("abort"), "{message}");
    stage.change(Change::Abort).await;
    let known = stage.controller.accounts().round(round).await.expect("rounds").expect("the round");
    assert_eq!(known.state, "aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_is_told_as_saved_and_a_round_with_results_is_not_aborted() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let round = stage.arm().await;
    stage.turn_at(stage.now + 10 * SECOND).await;
    // As a death between writing the results and saying so leaves it: the table of rounds takes no other state.
    let accounts = stage.controller.accounts().clone();
    accounts.finish_round(round, Vec::new(), None, &Actor::program(), stage.now).await.expect("finished");
    let made = stage.change(Change::Pause).await;
    assert_eq!((made.control.state, stage.control().state), (State::Paused, State::Paused));
    assert_eq!(stage.published().expect("a document").state, State::Paused);
    let (by, before) = (stage.by(&stage.ada), stage.control());
    let error =
        stage.controller.change(None, Change::Abort, "A test.", &by, stage.now).await.expect_err("it has results");
    assert!(error.to_string().contains("cannot be aborted"), "{error}");
    assert_eq!(stage.control(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_that_is_silent_or_whose_clock_is_off_cannot_be_armed() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let by = stage.by(&stage.ada);
    let start = stage.now + 10 * SECOND;
    let arm = |generators: Vec<String>| stage.controller.arm(None, start, true, generators, &by, stage.now);
    let error = arm(Vec::new()).await.expect_err("nobody is heard");
    assert!(error.to_string().contains("no generator"), "{error}");
    let error = arm(vec!["g1".into()]).await.expect_err("it is silent");
    assert!(error.to_string().contains("not heard"), "{error}");
    stage.beat("g1", |health| health.clock_offset_us = Some(30_000));
    let error = arm(Vec::new()).await.expect_err("its clock is off");
    assert!(error.to_string().contains("30 ms off"), "{error}");
    assert_eq!(stage.control().state, State::Draft);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_the_lifecycle_is_a_sentence_and_changes_nothing() {
    let stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    let by = stage.by(&stage.ada);
    let before = stage.control();
    for change in [
        Change::Begin,
        Change::Pause,
        Change::Resume { at: stage.now, generators: vec!["g1".into()] },
        Change::MoveDeadline { deadline: DeadlineName::Version, to: stage.now },
        Change::Stop,
        Change::Drain,
        Change::Seal,
        Change::Abort,
        Change::Draft,
        Change::Park { contestant: "nobody".into(), parked: true },
    ] {
        let error = stage.controller.change(None, change, "A test.", &by, stage.now).await.expect_err("it is refused");
        assert!(matches!(error, ChangeError::Refused(_)) && error.to_string().contains(": "), "{error}");
    }
    let error =
        stage.controller.arm(None, stage.now, true, Vec::new(), &by, stage.now).await.expect_err("nobody plays");
    assert!(!error.to_string().is_empty());
    assert_eq!(stage.control(), before);
}
