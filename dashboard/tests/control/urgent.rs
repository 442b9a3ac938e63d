//! What stops traffic goes to Redis first, whatever the database does, and is saved when that takes it. Each test holds the
//! database in its state until everything that must not wait for it has happened.

use crate::stage::{CONTEST, SECOND, Stage};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::{Control, State};
use flowtest_dashboard::control::ChangeError;
use flowtest_dashboard::control::readiness::Mark;
use flowtest_scoreboard::Stopped;
use flowtest_testkit::documents::{RIGHT, probe_answer};
use flowtest_testkit::wait::wait_until_or_async;
use std::io::Write;
use std::path::Path;
use std::process::Command;

impl Stage {
    pub(crate) async fn stop_at_once(&self, change: Change) -> flowtest_dashboard::control::Made {
        let by = self.by(&self.ada);
        self.controller.change_at_once(change, "Stopped.", &by, self.now).await.expect("it is in force")
    }

    pub(crate) async fn saved(&self) -> Control {
        let saved = self.controller.accounts().control().await.expect("it is read").expect("a document");
        Control::from_json(&saved.document).expect("a document")
    }

    pub(crate) async fn run(&mut self) {
        self.contestant("alice", 8081).await;
        self.arm().await;
        self.turn_at(self.now + 10 * SECOND).await;
        assert_eq!(self.control().state, State::Running);
    }

    pub(crate) async fn message_of(&self, what: &str) -> (Mark, String) {
        let checks = self.controller.readiness(self.now).await.expect("checks");
        let check = checks.iter().find(|check| check.what == what).unwrap_or_else(|| panic!("{what}: {checks:#?}"));
        (check.mark, check.message.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_stop_are_in_redis_while_the_database_is_locked_and_saved_afterwards() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let before = stage.saved().await.revision;
    let lock = stage.lock_database();
    let paused = stage.stop_at_once(Change::Pause).await;
    assert_eq!(stage.published().map(|control| control.state), Some(State::Paused));
    let halted = stage.stop_at_once(Change::Halt { halted: true }).await;
    let published = stage.published().expect("a document");
    assert!(published.halted && published.state == State::Paused, "{published:?}");
    for made in [paused, halted] {
        assert_eq!(made.unpublished, None);
        assert!(made.unsaved.as_ref().is_some_and(|why| why.contains("locked")), "{:?}", made.unsaved);
    }
    assert_eq!(stage.saved().await.revision, before, "the lock still holds");
    stage.turn().await;
    let (mark, message) = stage.message_of("Database").await;
    assert!(mark == Mark::No && message.contains("locked") && message.contains("A change is in force"), "{message}");
    let (mark, message) = stage.message_of("Control").await;
    assert!(mark == Mark::No && message.contains("locked"), "what cannot be done by itself is NO-GO: {message}");
    drop(lock);
    stage.turn().await;
    assert_eq!(stage.saved().await, *stage.control());
    assert!(stage.control().halted && stage.control().state == State::Paused);
    let history = stage.controller.accounts().control_history(2).await.expect("it is read");
    assert!(history.iter().all(|saved| saved.by_name == "ada" && saved.what == "Stopped."), "{history:?}");
    assert_eq!(stage.message_of("Database").await.0, Mark::Go);
    // All goes on as usual.
    stage.change(Change::Halt { halted: false }).await;
    assert_eq!(stage.published().as_ref(), Some(&*stage.control()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_whose_start_could_not_be_saved_can_be_paused() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    stage.arm().await;
    let _lock = stage.lock_database();
    stage.turn_at(stage.now + 10 * SECOND).await;
    assert_eq!(stage.control().state, State::Armed, "the database took no start");
    stage.stop_at_once(Change::Pause).await;
    assert_eq!(stage.published().map(|control| control.state), Some(State::Paused));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_changes_something_meanwhile_keeps_the_stop() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let lock = stage.lock_database();
    let parking = tokio::spawn({
        let (controller, by, now) = (stage.controller.clone(), stage.by(&stage.bea), stage.now);
        let park = Change::Park { contestant: "alice".into(), parked: true };
        async move { controller.change(None, park, "alice was parked.", &by, now).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    stage.stop_at_once(Change::Halt { halted: true }).await;
    assert!(stage.published().expect("a document").halted);
    drop(lock);
    parking.await.expect("no panic").expect("it is parked");
    stage.turn().await;
    for control in [(*stage.control()).clone(), stage.published().expect("a document"), stage.saved().await] {
        assert!(control.halted && control.parked.contains("alice"), "{control:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_from_elsewhere_is_heeded_kept_and_can_be_released() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let stop = |stage: &Stage| stage.redis.scoreboard().stop_traffic(CONTEST).expect("Redis answers");
    assert!(matches!(stop(&stage), Stopped::Now(_)));
    stage.turn().await;
    assert_eq!(stage.controller.status().conflict, None, "nobody else steers");
    assert!(stage.control().halted && stage.saved().await.halted);
    assert!(stage.published().expect("a document").halted);
    stage.change(Change::Halt { halted: false }).await;
    assert!(!stage.published().expect("a document").halted);
    // Beside a change that is made here in the same moment: neither is lost.
    assert!(matches!(stop(&stage), Stopped::Now(_)));
    stage.change(Change::Park { contestant: "alice".into(), parked: true }).await;
    let published = stage.published().expect("a document");
    assert!(published.halted && published.parked.contains("alice"), "{published:?}");
    assert!(matches!(stop(&stage), Stopped::Before(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_upon_an_older_document_of_ours_is_a_stop_and_no_other_dashboard() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let older = stage.control();
    stage.change(Change::Park { contestant: "alice".into(), parked: true }).await;
    // Redis has fallen back, while generators follow the newest.
    let newest = stage.control().revision;
    stage.redis.scoreboard().write_control(&older).expect("written");
    stage.beat("g1", |health| health.revision = newest);
    let stopped = stage.redis.scoreboard().stop_traffic(CONTEST).expect("Redis answers");
    assert_eq!(stopped, Stopped::Now(newest + 1));
    stage.turn().await;
    assert_eq!(stage.controller.status().conflict, None);
    let published = stage.published().expect("a document");
    assert!(published.halted && published.parked.contains("alice"), "{published:?}");
    assert_eq!(published, *stage.control());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_given_while_no_dashboard_runs_holds_when_one_begins_with_a_change_of_its_own() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let stopped = stage.redis.scoreboard().stop_traffic(CONTEST).expect("Redis answers");
    assert!(matches!(stopped, Stopped::Now(_)));
    // Its own addresses are others, which is a change that nobody asks for.
    stage.reopen_at("203.0.113.7").await;
    assert!(stage.published().expect("a document").halted, "before anything else is done");
    stage.turn().await;
    let holds = |stage: &Stage, what: &str| {
        let published = stage.published().expect("a document");
        assert!(published.halted && stage.control().halted, "{what}: {published:?}");
        let denied = published.contest.policy.deny.iter().any(|denied| denied.to_string().contains("203.0.113.7"));
        assert!(denied, "{what}: its own change counts as well: {published:?}");
        assert_eq!(stage.controller.status().conflict, None, "{what}");
    };
    holds(&stage, "after a turn");
    stage.change(Change::Halt { halted: false }).await;
    assert!(!stage.published().expect("a document").halted, "it can be released");
    // Also where Redis was not there when it began, and the change has the number of the stop.
    stage.redis.scoreboard().stop_traffic(CONTEST).expect("Redis answers");
    stage.redis.kill();
    stage.reopen_at("203.0.113.8").await;
    stage.redis.restart();
    wait_until_or_async("the stop", async || {
        assert!(stage.published().expect("a document").halted);
        stage.turn().await;
        stage.control().halted.then_some(()).ok_or_else(|| format!("{:?}", stage.controller.status().redis))
    })
    .await;
    stage.turn().await;
    assert!(stage.published().expect("a document").halted);
}

/// What a newer program wrote, with a key that only that one knows.
const NEWER: &str = r#"{"dialect":99,"name":"finals","revision":40,"waves":[3]}"#;

impl Stage {
    /// What stands in the place of the document, as it stands there.
    fn put_raw(&self, text: &str) {
        self.redis.command(&["SET", "flowtest:{finals}:control", text]);
    }

    fn raw(&self) -> serde_json::Value {
        serde_json::from_str(&self.redis.text("flowtest:{finals}:control")).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_red_switch_stops_all_traffic_of_a_newer_programs_document_and_changes_nothing_else_in_it() {
    let mut stage = Stage::new().await;
    stage.run().await;
    stage.put_raw(NEWER);
    stage.turn().await;
    let conflict = stage.controller.status().conflict.expect("it is shown");
    assert!(!conflict.is_halted() && conflict.message.contains("Stop all traffic is written into it"), "{conflict:?}");
    // Others follow more than Redis holds.
    stage.beat("g1", |health| health.revision = 50);
    let made = stage.stop_at_once(Change::Halt { halted: true }).await;
    assert_eq!(made.unpublished, None, "generators know");
    let mut expected: serde_json::Value = serde_json::from_str(NEWER).expect("JSON");
    (expected["revision"], expected["halted"]) = (51.into(), true.into());
    assert_eq!(stage.raw(), expected);
    assert!(stage.controller.status().conflict.is_some_and(|conflict| conflict.is_halted()));
    assert_eq!(stage.controller.status().untold, None);
    // Whoever steers there may take it back, and is not stopped again.
    (expected["revision"], expected["halted"]) = (52.into(), false.into());
    stage.put_raw(&expected.to_string());
    stage.turn().await;
    assert_eq!(stage.raw(), expected);
    // Whoever means them again is heard again.
    assert_eq!(stage.stop_at_once(Change::Halt { halted: true }).await.unpublished, None);
    (expected["revision"], expected["halted"]) = (53.into(), true.into());
    assert_eq!(stage.raw(), expected);
    // Nothing else can be put there, and nobody says that it was.
    let made = stage.change(Change::Abort).await;
    assert!(made.unpublished.is_some_and(|why| why.contains("newer program")));
    stage.turn().await;
    assert!(stage.controller.status().untold.is_some_and(|told| told.contains("the round was aborted")));
    assert_eq!(stage.raw(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_red_switch_stops_also_where_a_document_says_that_all_is_stopped_and_no_generator_stops_by_it() {
    let mut stage = Stage::new().await;
    stage.run().await;
    // One that has no revision, and one that generators have been let go on from.
    stage.beat("g1", |health| health.revision = 50);
    for (text, is_stopped) in [
        (r#"{"dialect":99,"name":"finals","halted":true}"#, false),
        (r#"{"dialect":99,"revision":12,"halted":true}"#, true),
    ] {
        stage.put_raw(text);
        stage.turn().await;
        let conflict = stage.controller.status().conflict.expect("it is shown");
        assert_eq!(conflict.is_halted(), is_stopped, "by a revision alone: {conflict:?}");
        assert_eq!(stage.stop_at_once(Change::Halt { halted: true }).await.unpublished, None, "{text}");
        assert_eq!((&stage.raw()["revision"], &stage.raw()["halted"]), (&51.into(), &true.into()), "{text}");
        assert!(stage.controller.status().conflict.is_some_and(|conflict| conflict.is_halted()));
        stage.change(Change::Halt { halted: false }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_red_switch_of_a_dashboard_without_a_document_stops_what_redis_holds() {
    let stage = Stage::new().await;
    let by = stage.by(&stage.ada);
    let stop = async || {
        let made = stage.controller.change_at_once(Change::Halt { halted: true }, "Stopped.", &by, stage.now).await;
        made.expect_err("there is nothing here to change").to_string()
    };
    assert!(!stop().await.contains("all traffic is stopped"), "nobody floods");
    stage.put_raw(NEWER);
    assert!(stop().await.contains("all traffic is stopped; but nobody can play yet"));
    assert_eq!(stage.raw()["halted"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_what_is_no_document_holds_when_that_is_replaced() {
    let mut stage = Stage::new().await;
    stage.run().await;
    stage.beat("g1", |health| health.revision = 50);
    stage.put_raw("{");
    let stopped = stage.redis.scoreboard().stop_traffic(CONTEST).expect("Redis answers");
    assert_eq!(stopped, Stopped::Now(51));
    stage.turn().await;
    let published = stage.published().expect("a document");
    assert!(published.halted && published.revision > 51 && published.state == State::Running, "{published:?}");
    assert_eq!((&published, stage.saved().await.halted), (&*stage.control(), true));
    // The same where ours is stopped already, by a revision that generators have left behind.
    stage.put_raw(r#"{"revision":90,"halted":true}"#);
    stage.turn().await;
    assert!(stage.published().is_some_and(|published| published.halted && published.revision > 90));
    stage.change(Change::Halt { halted: false }).await;
    assert!(stage.published().is_some_and(|published| !published.halted && published.revision > 91));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_on_top_of_somebody_elses_document() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let mut paused = (*stage.control()).clone();
    (paused.revision, paused.scored) = (paused.revision + 1, false);
    stage.redis.scoreboard().write_control(&paused).expect("written");
    stage.turn().await;
    assert!(stage.controller.status().conflict.is_some());
    stage.contestant("zoe", 8082).await;
    for _ in 0..8 {
        stage.beat("g1", |_| ());
        stage.turn_at(stage.now + SECOND).await;
        let mut scoreboard = stage.redis.scoreboard();
        while let Some(asked) = scoreboard.take_probe(CONTEST, stage.now).expect("Redis answers") {
            let answer = probe_answer(&asked.id, &asked.endpoint, stage.now, RIGHT);
            scoreboard.answer_probe(CONTEST, &answer).expect("Redis answers");
        }
    }
    assert_eq!(stage.published(), Some(paused), "it stays until an organiser decides");
    assert!(stage.controller.status().conflict.is_some());
}

/// Where a child of this test has a file system of its own.
const DISK: &str = "FLOWTEST_TEST_DISK";

/// Runs a test of this file again, on a small disk that is its own. False: this user may not mount.
fn on_small_disk(test: &str) -> bool {
    let may_mount = Command::new("unshare").args(["-m", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        println!("not tried: this user may not mount");
        return false;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=4m flowtest \"$0\" || exit 99; exec \"$@\"";
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(folder.path()).arg(program).args(["--exact", test, "--nocapture"]);
    let ended = command.env(DISK, folder.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    true
}

/// Takes all room that is left.
fn fill(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("filler");
    let mut file = std::fs::File::create(&path).expect("a file");
    for bytes in [1 << 16, 1 << 10, 1] {
        while file.write_all(&vec![0; bytes]).is_ok() {}
    }
    path
}

#[test]
fn a_stop_is_in_redis_while_the_disk_of_the_database_is_full() {
    let Some(disk) = std::env::var_os(DISK) else {
        on_small_disk("urgent::a_stop_is_in_redis_while_the_disk_of_the_database_is_full");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut stage = Stage::new_in(tempfile::tempdir_in(&disk).expect("a folder")).await;
        stage.run().await;
        let filler = fill(Path::new(&disk));
        let made = stage.stop_at_once(Change::Halt { halted: true }).await;
        assert!(stage.published().expect("a document").halted);
        assert_eq!(made.unpublished, None);
        assert!(made.unsaved.as_ref().is_some_and(|why| why.contains("full")), "{:?}", made.unsaved);
        stage.turn().await;
        let (mark, message) = stage.message_of("Database").await;
        assert!(mark == Mark::No && message.contains("full"), "{message}");
        std::fs::remove_file(filler).expect("it goes");
        stage.turn().await;
        assert_eq!(stage.saved().await, *stage.control());
        let (mark, message) = stage.message_of("Database").await;
        assert!(mark == Mark::No && message.contains("about to be full"), "before it hurts: {message}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_databases_behind_one_contest_one_steers_and_the_other_takes_no_action() {
    let mut stage = Stage::new().await;
    stage.run().await;
    let other = stage.with_another_database().await;
    let before = stage.published();
    let by = stage.by(&stage.ada);
    other.automation().turn(0, false, stage.now).await;
    let why = other.status().steered_elsewhere.expect("it says so");
    assert!(why.contains(CONTEST) && why.contains("--contest"), "{why}");
    let checks = other.readiness(stage.now).await.expect("checks");
    assert!(checks.iter().any(|check| check.what == "Steering" && check.mark == Mark::No), "{checks:?}");
    let park = Change::Park { contestant: "alice".into(), parked: true };
    let refused = other.change(None, park, "A test.", &by, stage.now).await.expect_err("it takes no action");
    assert!(matches!(refused, ChangeError::Elsewhere(_)), "{refused}");
    assert_eq!(stage.published(), before, "nothing is written over");
    stage.turn().await;
    assert_eq!(stage.controller.status().steered_elsewhere, None, "who steered steers");
    // The red switch is the only lever there, and it stops what is really played.
    let stopped = other.change_at_once(Change::Halt { halted: true }, "A test.", &by, stage.now).await;
    assert!(stopped.expect_err("it says whose it is").to_string().contains("all traffic is stopped"));
    assert!(stage.published().expect("a document").halted);
    stage.turn().await;
    assert!(stage.control().halted);
    stage.controller.release().await;
    other.automation().turn(0, false, stage.now).await;
    // The other's lease may be some milliseconds from its end.
    wait_until_or_async("the steering", async || {
        other.automation().turn(0, false, stage.now).await;
        other.status().steered_elsewhere.map_or(Ok(()), |elsewhere| Err(format!("{elsewhere:?}")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_heard_when_a_round_was_left_is_no_go_until_it_has_ended() {
    let mut stage = Stage::new().await;
    stage.contestant("alice", 8081).await;
    ["g1", "g2"].iter().for_each(|id| stage.beat(id, |_| ()));
    let (start, by) = (stage.now + 10 * SECOND, stage.by(&stage.ada));
    let made = stage.controller.arm(None, start, true, Vec::new(), &by, stage.now).await.expect("armed");
    let round = made.control.round.expect("a round");
    stage.turn_at(start).await;
    stage.now = start + 5 * SECOND;
    stage.beat("g1", |_| ());
    stage.change(Change::Abort).await;
    let is_named = |(mark, message): (Mark, String)| {
        mark == Mark::No && message.contains("not heard, and may play a round that is over here until")
    };
    let key = flowtest_scoreboard::keys::round(CONTEST, &round);
    // (who of both has ended its stream, whether g2 is named)
    for (ended, named) in [(&[][..], true), (&["1"][..], true), (&["1", "2"][..], false)] {
        stage.redis.command(&["DEL", &key]);
        let streams = [1, 2].map(|bits| flowtest_contract::StreamId::from_bits(bits).to_string());
        let text = |text: &str| text.as_bytes().to_vec();
        let mut fields = vec![("state".to_owned(), text("running")), ("streams".to_owned(), text(&streams.join(" ")))];
        fields.extend(streams.iter().map(|stream| (format!("q:{stream}"), text("1"))));
        let ended = streams.iter().filter(|stream| ended.iter().any(|ended| stream.ends_with(ended)));
        fields.extend(ended.map(|stream| (format!("e:{stream}"), text("1"))));
        stage.redis.set_hash(&key, &fields);
        stage.turn().await;
        assert_eq!(is_named(stage.message_of("g2").await), named, "{:?}", stage.message_of("g2").await);
        if stage.control().state == State::Aborted {
            stage.change(Change::Draft).await;
            stage.turn().await;
            assert!(is_named(stage.message_of("g2").await), "the next round knows of it");
        }
    }
    stage.redis.command(&["DEL", &key]);
    stage.turn().await;
    assert!(is_named(stage.message_of("g2").await), "nobody knows of an end");
    stage.turn_at(start + 60 * SECOND).await;
    assert!(!is_named(stage.message_of("g2").await), "its plan is over");
}
