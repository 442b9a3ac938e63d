//! The dashboard as the keeper of the split: shares of generators that die go to the others, and an organiser's word stands.

use crate::stage::{SECOND, Stage};
use flowtest_contest::State;
use flowtest_contest::lifecycle::{Change, change};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_dashboard::control::readiness::Unsaved;
use flowtest_testkit::wait::wait_until_or_async;

/// How often it looks.
const LOOK: u64 = SECOND / 4;

impl Stage {
    /// A generator that is in the round and takes splits.
    fn plays(&self, id: &str, round: RoundId, takes_from: UtcUs) {
        self.beat(id, |health| (health.round, health.takes_from) = (Some(round), Some(takes_from)));
    }

    /// Looks until so much later, while these play.
    async fn plays_on(&mut self, us: u64, round: RoundId, generators: &[(&str, UtcUs)]) {
        let until = self.now + us;
        while self.now < until {
            self.now += LOOK;
            generators.iter().for_each(|(id, takes_from)| self.plays(id, round, *takes_from));
            self.turn().await;
        }
    }

    /// Looks until Redis, which was away, is there for the controller as well.
    async fn until_redis_answers(&self) {
        wait_until_or_async("Redis", async || {
            self.turn().await;
            self.controller.status().redis.map_or(Ok(()), Err)
        })
        .await;
    }

    /// What GO or NO-GO says of a generator.
    async fn told_of(&self, id: &str) -> String {
        let checks = self.controller.readiness(self.now).await.expect("checks");
        checks.into_iter().find(|check| check.what == id).expect("it is heard").message
    }

    async fn arm_with(&mut self, generators: &[&str]) -> RoundId {
        self.contestant("alice", 8081).await;
        let start = self.now + 10 * SECOND;
        let names = generators.iter().map(|name| (*name).to_owned()).collect();
        let made = self.controller.arm(None, start, true, names, &self.by(&self.ada), self.now).await.expect("armed");
        made.control.round.expect("a round")
    }

    /// A round that has been played for two seconds, and the two generators that play it.
    async fn two_play(&mut self) -> (RoundId, [(&'static str, UtcUs); 2]) {
        ["g1", "g2"].iter().for_each(|id| self.beat(id, |_| ()));
        let armed_at = self.now;
        let round = self.arm_with(&[]).await;
        let both = [("g1", armed_at), ("g2", armed_at)];
        self.plays_on(12 * SECOND, round, &both).await;
        (round, both)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_of_one_that_dies_goes_to_the_others_and_back_when_it_is_back() {
    let mut stage = Stage::new().await;
    let (round, both) = stage.two_play().await;
    assert_eq!((stage.control().state, stage.control().timeline.splits.len()), (State::Running, 1));
    let (died, seen) = (stage.now, stage.control().revision);
    stage.plays_on(4 * SECOND, round, &both[..1]).await;
    let control = stage.control();
    assert_eq!(control.split, ["g1"]);
    let at = control.timeline.splits[1].from;
    assert!(at > died + 2 * SECOND && at <= died + 5 * SECOND, "{at:?}");
    assert_eq!(stage.published().as_ref(), Some(&*control), "generators hear of it");
    // Another process of its name.
    let back = stage.now;
    stage.plays_on(6 * SECOND, round, &[both[0], ("g2", back)]).await;
    let control = stage.control();
    assert_eq!(control.split, ["g1", "g2"]);
    assert!(control.timeline.splits[2].from <= back + 5 * SECOND, "{:?}", control.timeline.splits);
    // An organiser who has looked before all that is not told that somebody else was faster.
    let by = stage.by(&stage.ada);
    stage.controller.change(Some(seen), Change::Pause, "A test.", &by, stage.now).await.expect("it is paused");
    // In a pause the organiser decides.
    stage.plays_on(5 * SECOND, round, &both[..1]).await;
    assert_eq!((stage.control().state, stage.control().timeline.splits.len()), (State::Paused, 3));
    assert!(stage.redis.scoreboard().has_keeper("finals").expect("Redis answers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_plays_and_does_not_follow_the_document_is_told_after_two_seconds() {
    let mut stage = Stage::new().await;
    let (round, both) = stage.two_play().await;
    let before = stage.control().revision;
    stage.change(Change::Halt { halted: true }).await;
    let newest = stage.control().revision;
    for second in 0..4 {
        stage.now += SECOND;
        for (id, revision) in [("g1", newest), ("g2", before)] {
            stage.beat(id, |health| {
                (health.round, health.takes_from, health.revision) = (Some(round), Some(both[0].1), revision);
            });
        }
        stage.turn().await;
        let told = [stage.told_of("g1").await, stage.told_of("g2").await];
        let is_behind = told.map(|message| message.contains("does not reach it, also no stop"));
        assert_eq!(is_behind, [false, second >= 2], "after {} s", second + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_given_away_while_the_database_is_locked_and_the_split_saved_afterwards() {
    let mut stage = Stage::new().await;
    ["g1", "g2"].iter().for_each(|id| stage.beat(id, |_| ()));
    let armed_at = stage.now;
    let round = stage.arm_with(&[]).await;
    let both = [("g1", armed_at), ("g2", armed_at)];
    stage.plays_on(12 * SECOND, round, &both).await;
    let lock = stage.lock_database();
    // Each turn waits for the database, and silence lasts longer than two of them.
    for _ in 0..3 {
        stage.now += 2 * SECOND;
        stage.plays("g1", round, armed_at);
        stage.turn().await;
    }
    assert_eq!(stage.published().expect("a document").split, ["g1"], "generators hear of it");
    let saved = stage.controller.accounts().control_history(1).await.expect("it is read");
    assert!(!saved[0].what.contains("g2"), "the lock still holds: {saved:?}");
    drop(lock);
    stage.plays_on(SECOND, round, &both[..1]).await;
    let saved = stage.controller.accounts().control().await.expect("it is read").expect("a document");
    assert_eq!(saved.document, stage.control().to_json());
    assert!(stage.controller.status().unsaved == Unsaved::Nothing && saved.what.contains("g2"), "{saved:?}");
    // A pause is made upon it.
    stage.change(Change::Pause).await;
    assert_eq!((stage.control().state, stage.control().timeline.splits.len()), (State::Paused, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_named_stays_out_until_a_pause_takes_in_all() {
    let mut stage = Stage::new().await;
    ["g1", "g2"].iter().for_each(|id| stage.beat(id, |_| ()));
    let armed_at = stage.now;
    // Its clock is off when the round is armed: it could not have been named.
    stage.beat("g4", |health| health.clock_offset_us = Some(30_000));
    let round = stage.arm_with(&["g1"]).await;
    assert_eq!(stage.control().left_out.iter().collect::<Vec<_>>(), ["g2"]);
    let both = [("g1", armed_at), ("g2", armed_at)];
    stage.plays_on(15 * SECOND, round, &both).await;
    assert_eq!(stage.control().split, ["g1"]);
    // Its clock has been set.
    let mended = ("g4", stage.now);
    stage.plays_on(5 * SECOND, round, &[both[0], both[1], mended]).await;
    assert_eq!(stage.control().split, ["g1", "g4"]);
    // One that was not there when the round was armed comes in.
    let late = ("g3", stage.now);
    stage.plays_on(5 * SECOND, round, &[both[0], both[1], mended, late]).await;
    assert_eq!(stage.control().split, ["g1", "g4", "g3"]);
    stage.change(Change::Pause).await;
    stage.plays_on(2 * SECOND, round, &[both[0], both[1], mended, late]).await;
    let by = stage.by(&stage.ada);
    stage.controller.resume(None, None, Vec::new(), &by, stage.now).await.expect("it goes on");
    assert_eq!(stage.control().split, ["g1", "g2", "g3", "g4"]);
    assert!(stage.control().left_out.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_left_out_because_redis_was_away() {
    let mut stage = Stage::new().await;
    let (round, both) = stage.two_play().await;
    // Everything that it holds is gone, and nobody has written anything for a while.
    stage.redis.kill();
    for _ in 0..4 {
        stage.now += LOOK;
        stage.turn().await;
    }
    stage.redis.restart();
    stage.flush();
    stage.until_redis_answers().await;
    // One of them needs three seconds more than the other.
    stage.plays_on(3 * SECOND, round, &both[..1]).await;
    stage.plays_on(5 * SECOND, round, &both).await;
    assert_eq!(stage.control().timeline.splits.len(), 1, "{:?}", stage.control().timeline.splits);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_generator_has_split_while_no_dashboard_was_there_is_taken_over() {
    let mut stage = Stage::new().await;
    stage.two_play().await;
    let ours = stage.control();
    let split = Change::Split { at: stage.now + 2 * SECOND, generators: vec!["g1".to_owned()] };
    let theirs = change(&ours, split, stage.now).expect("it is legal");
    stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    stage.reopen().await;
    assert_eq!((&*stage.control(), stage.controller.status().conflict), (&theirs, None));
    // What somebody else has changed otherwise is the organiser's to take over.
    let other =
        change(&theirs, Change::Park { contestant: "alice".to_owned(), parked: true }, stage.now).expect("it is legal");
    stage.redis.scoreboard().write_control(&other).expect("Redis answers");
    stage.turn().await;
    assert_eq!(*stage.control(), theirs);
    assert!(stage.controller.status().conflict.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_generator_has_split_while_this_dashboard_was_cut_off_is_taken_over_into_what_was_done_meanwhile() {
    let mut stage = Stage::new().await;
    ["g1", "g2"].iter().for_each(|id| stage.beat(id, |_| ()));
    let round = stage.arm_with(&[]).await;
    let armed = stage.control();
    // The round begins here, and Redis hears nothing of it.
    stage.redis.kill();
    stage.controller.automation().turn(1, false, stage.now + 11 * SECOND).await;
    stage.redis.restart();
    assert_eq!(stage.control().state, State::Running);
    let split = Change::Split { at: stage.now + 20 * SECOND, generators: vec!["g1".to_owned()] };
    let theirs = change(&armed, split, stage.now).expect("it is legal");
    stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    stage.now += 12 * SECOND;
    stage.turn().await;
    stage.until_redis_answers().await;
    stage.plays_on(SECOND, round, &[("g1", armed.timeline.start_at.expect("a start"))]).await;
    let (ours, published) = (stage.control(), stage.published());
    assert_eq!((ours.state, &ours.timeline.splits), (State::Running, &theirs.timeline.splits), "neither is lost");
    assert_eq!((stage.controller.status().conflict, published.as_ref()), (None, Some(&*ours)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_generator_has_split_is_taken_over_also_where_the_plan_ends_before_this_dashboard_hears_of_it() {
    let mut stage = Stage::new().await;
    let (round, _) = stage.two_play().await;
    let publisher = stage.join(round, &["alice"]);
    let running = stage.control();
    let split = Change::Split { at: stage.now + 20 * SECOND, generators: vec!["g1".to_owned()] };
    let theirs = change(&running, split, stage.now).expect("it is legal");
    stage.redis.kill();
    stage.turn_at(stage.now + 60 * SECOND).await;
    assert_eq!(stage.control().state, State::Draining);
    stage.redis.restart();
    stage.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    stage.until_redis_answers().await;
    stage.turn().await;
    let ours = stage.control();
    assert_eq!((ours.state, &ours.timeline.splits), (State::Draining, &theirs.timeline.splits), "neither is lost");
    assert_eq!((stage.controller.status().conflict, stage.published().as_ref()), (None, Some(&*ours)));
    drop(publisher);
}
