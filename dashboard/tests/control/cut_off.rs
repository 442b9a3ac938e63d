//! What ends traffic while nobody can be told holds when somebody can be: over somebody else's newer document, when that is taken
//! over, and after a restart of the dashboard.

use crate::stage::{SECOND, Stage};
use flowtest_contest::lifecycle::{Change, change, follows};
use flowtest_contest::{Control, State};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_dashboard::control::form::SettingsForm;
use flowtest_dashboard::control::readiness::Mark;
use flowtest_testkit::wait::wait_until_or_async;
use std::collections::BTreeSet;
use std::time::Duration;

/// By which somebody else's document is known.
const THEIRS: &str = "g9";

/// What is done after somebody else's newer document was found.
enum Then {
    Look,
    Restart,
    TakeOver,
    AllowElsewhere,
    AllowHere,
}

/// Whose number somebody else's document has.
enum Revision {
    Newer,
    Same,
}

impl Stage {
    /// Makes a change of which nobody can be told.
    async fn change_unheard(&self, change: Change) {
        let made = match change {
            Change::Halt { .. } | Change::Pause => self.stop_at_once(change).await,
            change => self.change(change).await,
        };
        assert!(made.unpublished.is_some(), "nobody is told");
    }

    /// Somebody else's document, such as that of a generator that keeps the split, in a Redis that is back.
    fn back_with(&mut self, mut theirs: Control, revision: u64) -> Control {
        self.redis.restart();
        (theirs.revision, theirs.left_out) = (revision, [THEIRS.to_owned()].into());
        self.redis.scoreboard().write_control(&theirs).expect("Redis answers");
        theirs
    }

    /// Turns until Redis holds what is to be.
    async fn turn_until(&self, what: &str, is_so: impl Fn(&Control) -> bool) -> Control {
        // The link rests for a moment after a failure.
        wait_until_or_async(what, async || {
            self.turn().await;
            match self.published() {
                Some(found) if is_so(&found) => Ok(found),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// The stops of which nobody has been told, as a restart finds them.
    async fn untold(&self) -> String {
        let kept = self.controller.accounts().setting("untold_stops").await.expect("it is read");
        kept.map_or("[]".to_owned(), |kept| kept.text)
    }

    /// Why generators do not know of what was stopped here, where an organiser looks.
    async fn told(&self) -> Option<String> {
        let checks = self.controller.readiness(self.now).await.expect("checks");
        let told = checks.into_iter().find(|check| check.what == "Stop");
        told.map(|check| {
            assert_eq!(check.mark, Mark::No, "{check:?}");
            check.message
        })
    }

    async fn take_over(&self) {
        let by = self.by(&self.ada);
        wait_until_or_async("their document", async || self.controller.adopt(&by, self.now).await).await;
    }
}

/// Whether a document says what the last of these changes made.
fn says(changes: &[Change], control: &Control) -> bool {
    match changes.last() {
        Some(Change::Halt { .. }) => control.halted,
        Some(Change::Pause) => control.state == State::Paused,
        Some(Change::Stop) => control.state == State::Draining && control.timeline.stopped_at.is_some(),
        Some(Change::Abort | Change::Draft) => control.state == State::Aborted,
        Some(Change::Park { contestant, .. }) => control.parked.contains(contestant),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ended_traffic_while_cut_off_holds_over_a_newer_document_a_restart_and_when_that_is_taken_over() {
    let halt = || Change::Halt { halted: true };
    let park = || Change::Park { contestant: "alice".to_owned(), parked: true };
    let cases = [
        (vec![halt()], Revision::Newer, Then::Look),
        (vec![halt()], Revision::Newer, Then::AllowElsewhere),
        (vec![halt()], Revision::Newer, Then::AllowHere),
        (vec![park(), halt()], Revision::Newer, Then::Restart),
        (vec![Change::Pause], Revision::Same, Then::Look),
        (vec![Change::Pause], Revision::Newer, Then::TakeOver),
        (vec![Change::Pause, Change::Abort], Revision::Newer, Then::Look),
        (vec![Change::Pause, Change::Abort, Change::Draft], Revision::Newer, Then::Restart),
        (vec![Change::Abort], Revision::Newer, Then::TakeOver),
        (vec![Change::Stop], Revision::Newer, Then::Restart),
        (vec![Change::Pause, Change::Stop], Revision::Newer, Then::TakeOver),
        (vec![park()], Revision::Same, Then::Restart),
    ];
    // Each waits for a Redis of its own, on a thread of its own: a look that borrows cannot move between threads.
    let runtime = tokio::runtime::Handle::current();
    let alone = |(changes, revision, then)| {
        let runtime = runtime.clone();
        tokio::task::spawn_blocking(move || runtime.block_on(holds(changes, revision, then)))
    };
    let cases: Vec<_> = cases.into_iter().map(alone).collect();
    for case in cases {
        case.await.expect("it holds");
    }
}

async fn holds(changes: Vec<Change>, revision: Revision, then: Then) {
    let mut stage = Stage::new().await;
    stage.run().await;
    let what = format!("{changes:?}");
    let theirs = (*stage.control()).clone();
    stage.redis.kill();
    for change in &changes {
        stage.change_unheard(change.clone()).await;
    }
    let ours = stage.control().revision;
    if matches!(then, Then::Restart) {
        stage.reopen().await;
    }
    let revision = match revision {
        Revision::Newer => ours + 2,
        Revision::Same => ours,
    };
    let theirs = stage.back_with(theirs, revision);
    if matches!(then, Then::TakeOver) {
        stage.take_over().await;
    }
    let found = stage.turn_until(&what, |found| says(&changes, found)).await;
    let is_theirs = |control: &Control| control.left_out.contains(THEIRS);
    assert!(found.revision > theirs.revision.max(ours) && is_theirs(&found), "{what}: {found:?}");
    match then {
        Then::Look | Then::Restart => {
            assert!(stage.controller.status().conflict.is_some(), "it is still somebody else's");
            stage.take_over().await;
        }
        Then::TakeOver => {}
        Then::AllowHere => {
            stage.change(Change::Halt { halted: false }).await;
            stage.turn().await;
            assert!(!stage.control().halted, "once is enough");
            assert_eq!(stage.published().as_ref(), Some(&*stage.control()));
            return;
        }
        Then::AllowElsewhere => {
            let allowed = Control { halted: false, revision: found.revision + 1, ..found };
            stage.redis.scoreboard().write_control(&allowed).expect("Redis answers");
            stage.turn().await;
            assert_eq!(stage.published(), Some(allowed), "who has heard of the stop may take it back");
            return;
        }
    }
    stage.turn().await;
    for control in [(*stage.control()).clone(), stage.published().expect("a document"), stage.saved().await] {
        assert!(says(&changes, &control) && is_theirs(&control), "{what}: {control:?}");
    }
    // Whoever has been told is not told again by the next process.
    assert_eq!(stage.untold().await, "[]", "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_neither_redis_nor_the_database_holds_is_told_and_saved_when_one_of_them_is_back() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let theirs = (*stage.control()).clone();
    let lock = stage.lock_database();
    stage.redis.kill();
    let made = stage.stop_at_once(Change::Halt { halted: true }).await;
    assert!(made.unpublished.is_some() && made.unsaved.is_some(), "{made:?}");
    stage.turn().await;
    let (mark, message) = stage.message_of("Database").await;
    assert!(mark == Mark::No && message.contains("a restart of this dashboard would lose it"), "{message}");
    drop(lock);
    stage.turn().await;
    let (_, message) = stage.message_of("Database").await;
    assert!(!message.contains("restart"), "{message}");
    // Now it may be restarted, and the stop is put where Redis has gone on meanwhile.
    stage.reopen().await;
    let newer = stage.control().revision + 2;
    stage.back_with(theirs, newer);
    let found = stage.turn_until("the stop", |found| found.halted).await;
    assert_eq!(found.left_out, BTreeSet::from([THEIRS.to_owned()]), "on what Redis had");
}

/// A round that runs, and in Redis a newer document of somebody else.
async fn with_their_document() -> (Stage, Control) {
    let mut stage = Stage::new().await;
    stage.run().await;
    let mut theirs = (*stage.control()).clone();
    (theirs.revision, theirs.left_out) = (theirs.revision + 2, [THEIRS.to_owned()].into());
    stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    (stage, theirs)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_traffic_upon_somebody_elses_document_is_told_that_generators_know() {
    let (stage, theirs) = with_their_document().await;
    let made = stage.stop_at_once(Change::Halt { halted: true }).await;
    assert_eq!(made.unpublished, None);
    assert!(stage.published().is_some_and(|found| found.halted && found.left_out == theirs.left_out));
    let conflict = stage.controller.status().conflict.expect("it is still somebody else's");
    assert!(conflict.is_halted());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_a_round_upon_somebody_elses_document_is_told_that_generators_know() {
    let (stage, theirs) = with_their_document().await;
    let made = stage.change(Change::Stop).await;
    assert_eq!(made.unpublished, None);
    let found = stage.published().expect("a document");
    assert!(found.state == State::Draining && found.left_out == theirs.left_out, "{found:?}");
    assert!(stage.controller.status().conflict.is_some_and(|conflict| !conflict.is_halted()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_put_upon_somebody_elses_document_also_where_that_is_shown_already_and_the_database_is_locked() {
    for (stop, state) in [(Change::Pause, State::Paused), (Change::Stop, State::Draining)] {
        let (stage, theirs) = with_their_document().await;
        // What generators would take back in no document of ours.
        let split = Change::Split { at: stage.now + 3 * SECOND, generators: vec!["g2".to_owned(), "g1".to_owned()] };
        let theirs = change(&theirs, split, stage.now).expect("it is legal");
        stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
        stage.turn().await;
        let status = stage.controller.status();
        assert!(status.conflict.is_some(), "it is shown: {status:?}");
        match stop {
            Change::Pause => {
                let lock = stage.lock_database();
                let made = stage.stop_at_once(stop.clone()).await;
                assert_eq!((made.unpublished, made.unsaved.is_some()), (None, true));
                drop(lock);
            }
            _ => assert_eq!(stage.change(stop.clone()).await.unpublished, None),
        }
        let found = stage.published().expect("a document");
        follows(&theirs, &found).expect("generators follow it");
        assert_eq!((stage.control().state, found.state), (state, state));
        assert!(stage.controller.status().conflict.is_some(), "it is still somebody else's");
        stage.take_over().await;
        assert_eq!((stage.control().state, &stage.control().timeline.splits), (state, &theirs.timeline.splits));
    }
}

/// Somebody else's document, which is of another round than ours.
async fn with_another_round() -> (Stage, Control) {
    let mut stage = Stage::new().await;
    stage.run().await;
    let theirs = Control { round: Some(RoundId::from_bits(9)), revision: 90, ..(*stage.control()).clone() };
    stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    (stage, theirs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_or_an_end_of_another_round_than_is_played_is_refused_and_the_stop_of_all_traffic_is_not() {
    let (stage, theirs) = with_another_round().await;
    stage.turn().await;
    let before = stage.control();
    let by = stage.by(&stage.ada);
    let paused = stage.controller.change_at_once(Change::Pause, "Paused.", &by, stage.now).await;
    let mut refused = vec![paused.expect_err("it would stop nothing")];
    for change in [Change::Stop, Change::Abort] {
        refused
            .push(stage.controller.change(None, change, "Ended.", &by, stage.now).await.expect_err("nor would this"));
    }
    for error in refused {
        assert!(error.to_string().contains("of another round than the one here. Stop all traffic"), "{error}");
    }
    assert_eq!((stage.control(), stage.published()), (before, Some(theirs.clone())));
    assert_eq!(stage.stop_at_once(Change::Halt { halted: true }).await.unpublished, None);
    let found = stage.published().expect("a document");
    assert!(found.halted && found.round == theirs.round, "{found:?}");
    // Once it is taken over it is the round of the page.
    stage.take_over().await;
    assert_eq!(stage.stop_at_once(Change::Pause).await.unpublished, None);
    assert_eq!(stage.published().map(|found| (found.round, found.state)), Some((theirs.round, State::Paused)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_finds_another_round_is_told_until_somebody_decides() {
    let (stage, theirs) = with_another_round().await;
    let made = stage.stop_at_once(Change::Pause).await;
    assert!(made.unpublished.is_some_and(|why| why.contains("of another round")));
    stage.turn().await;
    let told = stage.told().await.expect("generators do not know");
    assert!(told.contains("the round was paused") && told.contains("of another round"), "{told}");
    assert_eq!(stage.published(), Some(theirs));
    let made = stage.stop_at_once(Change::Halt { halted: true }).await;
    assert_eq!(made.unpublished, None, "of this one they know");
    stage.take_over().await;
    stage.turn().await;
    assert_eq!((stage.told().await, stage.untold().await.as_str()), (None, "[]"), "it is not the round here any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_by_itself_waits_while_somebody_elses_document_is_shown() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.arm().await;
    stage.now += 10 * SECOND;
    // The start is due and being saved when their document is found.
    let lock = stage.lock_database();
    let mut theirs = (*stage.control()).clone();
    (theirs.revision, theirs.left_out) = (90, [THEIRS.to_owned()].into());
    stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    let turn = |number| {
        let (controller, now, runtime) = (stage.controller.clone(), stage.now, tokio::runtime::Handle::current());
        let turn = async move { controller.automation().turn(number, false, now).await };
        tokio::task::spawn_blocking(move || runtime.block_on(turn))
    };
    let saving = turn(1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let looking = turn(2);
    wait_until_or_async("their document", async || {
        stage.controller.status().conflict.map(|_| ()).ok_or_else(|| "it is not shown".to_owned())
    })
    .await;
    drop(lock);
    for turn in [saving, looking] {
        turn.await.expect("it ends");
    }
    stage.turn().await;
    assert_eq!(stage.published(), Some(theirs.clone()), "an organiser decides");
    let saved = stage.saved().await.revision;
    let message = stage.controller.status().conflict.expect("it is shown").message;
    for words in ["Until then nothing happens here by itself", "is moved to another endpoint", "the policy stays"] {
        assert!(message.contains(words), "{words}: {message}");
    }
    // Shares, joins, the end of the plan, its seal: nothing is written, neither there nor here.
    stage.beat("g2", |health| health.takes_from = Some(UtcUs(1)));
    let zoe = stage.contestant("zoe", 8082).await;
    for second in [1, 2, 50, 60] {
        stage.turn_at(stage.now + second * SECOND).await;
    }
    let told = stage.controller.arrival(zoe.id, true, stage.now);
    assert!(told.as_ref().is_some_and(|told| told.contains("nobody joins it at this moment")), "{told:?}");
    assert_eq!((stage.published(), stage.saved().await.revision), (Some(theirs), saved));
    let by = stage.by(&stage.ada);
    let abandoned = stage.controller.automation().abandon(Vec::new(), "it is lost", &by, stage.now).await;
    assert!(abandoned.is_err_and(|error| error.to_string().contains("Redis holds revision 90")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_replaces_nobodys_document() {
    let stage = Stage::new().await;
    let alice = stage.contestant("alice", 8081).await;
    let climb = "[[phase]]\nkind = \"breakpoint\"\nfor = \"60s\"\nstart = 100\nstep = \"x2\"\nhold = \"5s\"\nmax = 9000\n\
                 pass = { verified = 0.99, p99 = \"250ms\" }\nfleet_max = 150\n";
    let typed = SettingsForm { plan: climb.into(), ..SettingsForm::of(&stage.controller.settings()) };
    let settings = typed.read().expect("settings");
    stage.controller.save_settings(None, settings, &stage.by(&stage.ada), stage.now).await.expect("saved");
    let ours = stage.control();
    let mut theirs = (*ours).clone();
    (theirs.revision, theirs.left_out) = (90, [THEIRS.to_owned()].into());
    stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    stage.turn().await;
    assert!(stage.controller.status().conflict.is_some());
    // A team has another endpoint since, and one that could play is left out.
    let another = "127.0.0.1:8083";
    stage.controller.set_endpoint(&alice, another, &stage.by(&alice), stage.now).await.expect("an endpoint");
    assert!(
        stage.controller.arrival(alice.id, true, stage.now).is_some_and(|said| said.contains("Requests come when"))
    );
    ["g1", "g2"].iter().for_each(|id| stage.beat(id, |_| ()));
    let (by, soon) = (stage.by(&stage.ada), stage.now + SECOND);
    let armed = stage.controller.arm(None, soon, true, vec!["g1".to_owned()], &by, stage.now).await;
    assert!(armed.is_err_and(|error| error.to_string().contains("start")));
    assert_eq!(stage.published(), Some(theirs.clone()), "an organiser may still take it over");
    assert!(stage.controller.status().conflict.is_some());
    // A round that goes on too early likewise.
    let resumed = stage.controller.resume(None, Some(soon), vec!["g1".to_owned()], &by, stage.now).await;
    assert!(resumed.is_err());
    // Or one that who has come since makes too much.
    stage.contestant("bob", 8082).await;
    let later = stage.now + 10 * SECOND;
    let armed = stage.controller.arm(None, later, true, vec!["g1".to_owned()], &by, stage.now).await;
    assert!(armed.is_err_and(|error| error.to_string().contains("fleet_max")));
    assert_eq!(
        (stage.published(), stage.control(), stage.saved().await),
        (Some(theirs), ours.clone(), (*ours).clone())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_stays_shown_where_a_stop_is_made_while_redis_does_not_answer() {
    let (mut stage, _) = with_their_document().await;
    stage.turn().await;
    stage.redis.pause();
    let (by, now) = (stage.by(&stage.ada), stage.now);
    let (controller, ada) = (stage.controller.clone(), by.clone());
    let ending = tokio::spawn(async move { controller.change(None, Change::Stop, "Ended.", &ada, now).await });
    // From here on Redis is asked for the end alone.
    wait_until_or_async("the end", async || {
        let untold = stage.untold().await;
        if untold.contains("end") { Ok(()) } else { Err(untold) }
    })
    .await;
    let controller = stage.controller.clone();
    let halt = Change::Halt { halted: true };
    let halting = tokio::spawn(async move { controller.change_at_once(halt, "Stopped.", &by, now).await });
    wait_until_or_async("the stop", async || if stage.control().halted { Ok(()) } else { Err("not yet") }).await;
    stage.redis.kill();
    for made in [ending, halting] {
        assert!(made.await.expect("it ends").expect("it is in force").unpublished.is_some(), "nobody is told");
    }
    assert!(stage.controller.status().conflict.is_some(), "nothing happens here by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_join_is_told_while_nobody_is_let_in() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let zoe = stage.contestant("zoe", 8082).await;
    let arrival = |stage: &Stage| stage.controller.arrival(zoe.id, true, stage.now).expect("a round is on");
    let nobody = "nobody joins it at this moment";
    stage.turn().await;
    assert!(arrival(&stage).contains("Your server is asked now"), "{}", arrival(&stage));
    stage.stop_at_once(Change::Halt { halted: true }).await;
    assert!(arrival(&stage).contains(nobody), "all traffic is stopped: {}", arrival(&stage));
    stage.change(Change::Halt { halted: false }).await;
    assert!(!arrival(&stage).contains(nobody), "{}", arrival(&stage));
    stage.controller.release().await;
    stage.with_another_database().await.automation().turn(0, false, stage.now).await;
    stage.turn().await;
    assert!(arrival(&stage).contains(nobody), "another dashboard steers: {}", arrival(&stage));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_refused_upon_their_document_is_told_until_it_is_put_there_or_nobody_wants_it() {
    let (mut stage, goes_on) = with_a_pause_that_is_refused().await;
    let lost = stage.controller.adopt(&stage.by(&stage.ada), stage.now).await.expect_err("it would be lost");
    assert!(lost.to_string().contains("the round goes on at"), "{lost}");
    stage.turn_at(goes_on + SECOND).await;
    assert_eq!(stage.published().map(|found| found.state), Some(State::Paused), "now it may rest");
    assert_eq!(stage.told().await, None, "it is done");
    stage.take_over().await;
    assert_eq!(stage.control().state, State::Paused);
    let (stage, goes_on) = with_a_pause_that_is_refused().await;
    stage.change(Change::Resume { at: goes_on + 10 * SECOND, generators: vec!["g1".to_owned()] }).await;
    assert_eq!(stage.told().await, None, "nobody wants it any more");
}

/// A round that was paused here, and by somebody else's document goes on at an instant before which no pause may begin.
async fn with_a_pause_that_is_refused() -> (Stage, UtcUs) {
    let mut stage = Stage::new().await;
    stage.run().await;
    // It was paused there, and goes on in twenty seconds: until then no pause may begin.
    let paused = change(&stage.control(), Change::Pause, stage.now).expect("it may rest");
    let goes_on = stage.now + 20 * SECOND;
    let resume = Change::Resume { at: goes_on, generators: vec!["g1".to_owned()] };
    let theirs = change(&paused, resume, stage.now + 2 * SECOND).expect("it may go on");
    stage.redis.kill();
    stage.now += 2 * SECOND;
    stage.change_unheard(Change::Pause).await;
    stage.back_with(theirs.clone(), theirs.revision);
    wait_until_or_async("that it is somebody else's", async || {
        stage.turn().await;
        let status = stage.controller.status();
        if status.conflict.is_some() { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    assert_eq!(stage.published().map(|found| found.state), Some(State::Running), "its lifecycle refuses");
    let told = stage.told().await.expect("it is told at the same look");
    assert!(told.contains("the round was paused") && told.contains("the round goes on at"), "{told}");
    assert!(told.contains("Stop all traffic is done at once"), "the next step: {told}");
    (stage, goes_on)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_generator_has_split_is_taken_over_with_a_stop_that_was_made_meanwhile() {
    for (stop, state) in [(Change::Pause, State::Paused), (Change::Stop, State::Draining)] {
        let mut stage = Stage::new().await;
        stage.run().await;
        let ours = stage.control();
        let split = Change::Split { at: stage.now + 3 * SECOND, generators: vec!["g2".to_owned(), "g1".to_owned()] };
        let theirs = change(&ours, split, stage.now).expect("it is legal");
        stage.redis.kill();
        let alice = stage.controller.accounts().user_named("alice").await.expect("users").expect("alice");
        let moved = stage.controller.set_endpoint(&alice, "127.0.0.1:8085", &stage.by(&alice), stage.now).await;
        assert!(moved.expect("it is saved").untold.is_some(), "nobody is told");
        // Its instant is another one than that which generators come to hear of.
        stage.change_unheard(stop.clone()).await;
        stage.now += 2 * SECOND;
        stage.redis.restart();
        stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
        let found = stage.turn_until("the stop", |found| found.state == state).await;
        stage.turn().await;
        let (now, published) = (stage.control(), stage.published().expect("a document"));
        assert_eq!((stage.controller.status().conflict, &published), (None, &*now), "{stop:?}");
        assert_eq!((now.state, now.timeline.splits.len()), (state, 2), "neither is lost: {now:?}");
        assert_eq!(now.contest.contestants[0].endpoint.port, 8085, "nor is where she has moved");
        follows(&found, &now).expect("generators go on by what they were told");
        assert_eq!(stage.saved().await, *now);
        if stop == Change::Pause {
            let resume = Change::Resume { at: stage.now + 20 * SECOND, generators: vec!["g1".to_owned()] };
            stage.change(resume).await;
            follows(&found, &stage.published().expect("a document")).expect("and by its end");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_with_our_stop_upon_it_is_taken_over_also_where_the_answer_of_redis_came_too_late() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let split = Change::Split { at: stage.now + 3 * SECOND, generators: vec!["g2".to_owned(), "g1".to_owned()] };
    let theirs = change(&stage.control(), split, stage.now).expect("it is legal");
    stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    // It does what it was asked to when nobody waits for that any more.
    stage.redis.command(&["CLIENT", "PAUSE", "1000", "WRITE"]);
    stage.stop_at_once(Change::Pause).await;
    let found = stage.turn_until("the stop", |found| found.state == State::Paused).await;
    stage.turn().await;
    let now = stage.control();
    assert_eq!((stage.controller.status().conflict, stage.published().as_ref()), (None, Some(&*now)));
    assert_eq!((now.state, now.timeline.splits.len()), (State::Paused, 2), "{now:?}");
    assert_eq!(now.timeline.pauses, found.timeline.pauses, "generators rest by that");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_closed_and_left_while_cut_off_is_so_in_somebody_elses_newer_document() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let theirs = (*stage.control()).clone();
    stage.redis.kill();
    stage.change_unheard(Change::Halt { halted: true }).await;
    stage.change_unheard(Change::Halt { halted: false }).await;
    assert_eq!(stage.untold().await, "[]", "nobody wants it any more");
    let (accounts, controller) = (stage.controller.accounts(), &stage.controller);
    let alice = accounts.user_named("alice").await.expect("users").expect("alice");
    let moved = controller.set_endpoint(&alice, "127.0.0.1:8085", &stage.by(&alice), stage.now).await;
    assert!(moved.expect("it is saved").untold.is_some(), "she is told that nobody goes there yet");
    let mut settings = (*controller.settings()).clone();
    settings.policy.deny = vec!["127.0.0.9".parse().expect("an entry")];
    settings.policy.allow = vec!["127.0.0.0/9".parse().expect("a network")];
    let made = controller.save_settings(None, settings, &stage.by(&stage.ada), stage.now).await;
    assert!(made.expect("saved").is_some_and(|made| made.unpublished.is_some()), "nobody is told");
    stage.turn().await;
    let told = stage.told().await.expect("it is told");
    assert!(
        told.contains("alice has left http://127.0.0.1:8081/, 127.0.0.9/32 was denied, 127.0.0.0/8 was closed"),
        "{told}"
    );
    stage.reopen().await;
    let newer = stage.control().revision + 2;
    stage.back_with(theirs, newer);
    let found = stage.turn_until("what is closed", |found| !found.contest.policy.deny.is_empty()).await;
    assert_eq!(found.contest.contestants[0].endpoint.port, 8085);
    assert_eq!(found.contest.policy.allow, stage.control().contest.policy.allow);
    assert_eq!(found.left_out, BTreeSet::from([THEIRS.to_owned()]), "and nothing else is changed");
    assert!(stage.controller.status().conflict.is_some(), "it is still somebody else's");
    stage.turn().await;
    assert_eq!((stage.told().await, stage.untold().await.as_str()), (None, "[]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_was_made_while_cut_off_reaches_whoever_has_the_steering_since() {
    let mut stage = Stage::new().await;
    stage.run().await;
    stage.controller.release().await;
    let other = stage.with_another_database().await;
    stage.redis.kill();
    stage.change_unheard(Change::Halt { halted: true }).await;
    stage.redis.restart();
    wait_until_or_async("the stop", async || {
        other.automation().turn(0, false, stage.now).await;
        stage.turn().await;
        let is_halted = stage.published().expect("a document").halted;
        is_halted.then_some(()).ok_or_else(|| format!("{:?}", stage.controller.status()))
    })
    .await;
    let status = stage.controller.status();
    assert!(status.steered_elsewhere.is_some(), "another one steers");
    assert_eq!((status.redis, status.conflict), (None, None), "nothing of before is told for ever");
    stage.turn().await;
    assert!(stage.saved().await.halted && stage.control().halted);
    assert_eq!(stage.untold().await, "[]", "it was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_round_was_ended_is_kept_while_redis_is_still_asked() {
    let mut stage = Stage::new().await;
    stage.run().await;
    stage.redis.pause();
    let ending = stage.change(Change::Stop);
    let kept = wait_until_or_async("the end", async || {
        let untold = stage.untold().await;
        if untold.contains("end") { Ok(()) } else { Err(untold) }
    });
    tokio::select! {
        biased;
        () = kept => {}
        made = ending => panic!("whoever is killed before this has told nobody: {made:?}"),
    }
    stage.redis.resume();
}
