//! What ends traffic while nobody can be told holds when somebody can be: over somebody else's newer document, when that is taken
//! over, and after a restart of the dashboard.

use crate::stage::Stage;
use flowtest_contest::lifecycle::Change;
use flowtest_contest::{Control, State};
use flowtest_dashboard::control::readiness::Mark;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

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
        let give_up = Instant::now() + flowtest_testkit::WAIT_MAX;
        loop {
            self.turn().await;
            match self.published() {
                Some(found) if is_so(&found) => return found,
                other => assert!(Instant::now() < give_up, "{what}: {other:?}"),
            }
            // The link rests for a moment after a failure.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn take_over(&self) {
        let (by, give_up) = (self.by(&self.ada), Instant::now() + flowtest_testkit::WAIT_MAX);
        while let Err(error) = self.controller.adopt(&by, self.now).await {
            assert!(Instant::now() < give_up, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
    // Each waits for a Redis of its own.
    let cases: Vec<_> =
        cases.into_iter().map(|(changes, revision, then)| tokio::spawn(holds(changes, revision, then))).collect();
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
    let kept = stage.controller.accounts().setting("untold_stops").await.expect("it is read");
    assert_eq!(kept.map_or("[]".to_owned(), |kept| kept.text), "[]", "{what}");
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

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_traffic_upon_somebody_elses_document_is_told_that_generators_know() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let mut theirs = (*stage.control()).clone();
    (theirs.revision, theirs.left_out) = (theirs.revision + 2, [THEIRS.to_owned()].into());
    stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    let made = stage.stop_at_once(Change::Halt { halted: true }).await;
    assert_eq!(made.unpublished, None);
    assert!(stage.published().is_some_and(|found| found.halted && found.left_out == theirs.left_out));
    assert!(stage.controller.status().conflict.is_some(), "it is still somebody else's");
}
