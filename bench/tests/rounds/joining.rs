//! Contestants that come while a round is played, and those that are never ready.

use crate::addresses::point;
use crate::arena::{Arena, PASSWORD, SECOND, perfect, served, sleep_until};
use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::visitor::Page;
use flowtest_bench::contest_box::{Target, Team};
use flowtest_bench::error::Error;
use flowtest_contest::contest::Absent;
use flowtest_contest::lifecycle::Change;
use flowtest_contract::Rules;
use flowtest_testkit::wait_until_or;
use std::time::Duration;

fn target(name: &str, flags: &[&str]) -> Target {
    Target::start(name, flags).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_contestant_joins_in_mid_round_at_one_instant_and_has_exact_points() {
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let zoe = target("zoe", &[]);
    let mut arena = Arena::open(stage, &["alice", "bob"], Duration::from_secs(12), 300, &["g1", "g2"]);
    let start = arena.arm(&["g1", "g2"]);
    sleep_until(start + SECOND);
    let at = start + 7 * SECOND;
    let endpoint = zoe.endpoint.parse().expect("an endpoint");
    arena.make(Change::Join { contestant: "zoe".to_owned(), id: Some("u9".to_owned()), endpoint, since: start, at });
    sleep_until(at - 200_000);
    let asked = served(&zoe);
    assert!(asked < 30, "before her instant she is asked, and not flooded: {asked}");
    let mut tallies = arena.sealed();
    // Seconds 7 to 12 of 300 a second, and everybody else as if nothing had happened.
    perfect(&[("zoe".to_owned(), tallies.remove("zoe").expect("she plays"))].into(), 5 * 300);
    perfect(&tallies, 12 * 300);
    arena.assert_proved(&["g1", "g2"]);
    let words = arena.logs();
    assert_eq!(words.matches("zoe joins the round").count(), 2, "{words}");
}

#[test]
fn who_is_never_ready_is_charged_what_falls_due_and_told_why() {
    let stage = Stage::light().contestant("alice", &[]).contestant("late", &["--faults", "status:1=503"]);
    let mut arena = Arena::open(stage, &["alice", "late"], Duration::from_secs(6), 200, &["g1", "g2"]);
    arena.arm(&["g1", "g2"]);
    let mut tallies = arena.sealed();
    let late = tallies.remove("late").expect("it plays");
    assert_eq!((late.due, late.missed, late.sent), (1200, 1200, 0), "{late:?}");
    assert_eq!(late.points(&Rules::default()), -200 * 1200);
    perfect(&tallies, 1200);
    arena.assert_proved(&["g1", "g2"]);
    let errors = arena.control_store.scoreboard().read_errors("arena", "late").expect("Redis is there");
    let is_told = |message: &str| errors.iter().any(|error| error.message.contains(message));
    assert!(is_told("this endpoint is not admitted"), "{errors:?}");
}

#[test]
fn with_absence_free_nothing_falls_due_to_who_is_not_ready() {
    let stage = Stage::light().contestant("alice", &[]).contestant("late", &["--faults", "status:1=503"]);
    let mut arena = Arena::open(stage, &["alice", "late"], Duration::from_secs(4), 200, &["g1"]);
    arena.control_store.control.contest.absent = Absent::Free;
    arena.arm(&["g1"]);
    let mut tallies = arena.sealed();
    let late = tallies.remove("late").unwrap_or_default();
    assert_eq!((late.due, late.failures()), (0, 0), "{late:?}");
    perfect(&tallies, 800);
    arena.assert_proved(&["g1"]);
}

#[test]
fn who_comes_with_the_server_of_another_does_not_join_and_is_told_why() {
    let phase = Phase { length: Duration::from_secs(24), rate: Some(100), connections: 12, pipeline: 1 };
    let stage = Stage::light().contestant("alice", &[]);
    let endpoint = stage.target("alice").endpoint.clone();
    let mut arena = Arena::open(stage, &["alice"], phase.length, 100, &["g1"]);
    point(&arena, &[("mallory.test", &["127.0.0.1"])]);
    let (mut dashboard, _admin) = arena.hand_over(phase, &endpoint);
    arena.control_store.follow().unwrap_or_else(|error| panic!("{error}"));
    let start = arena.control_store.control.timeline.start_at.expect("it is armed");
    sleep_until(start + 2 * SECOND);
    let come = || {
        let invitation = dashboard.invite(1)?.remove(0);
        let team = Team::register(dashboard.visitor(), &invitation, "mallory", "Mallory", PASSWORD)?;
        let port = endpoint.rsplit(':').next().expect("a port");
        team.set_endpoint(&format!("mallory.test:{port}"))?;
        Ok::<Team, Error>(team)
    };
    let team = come().unwrap_or_else(|error| panic!("{error}"));
    wait_until_or("why she does not play", || {
        let page = team.visitor.open("/index").and_then(Page::fine).unwrap_or_else(|error| panic!("{error}"));
        let is_told = page.text.contains("another contestant plays with the server that your endpoint leads to");
        is_told.then_some(()).ok_or(page.text)
    });
    let mut tallies = arena.sealed();
    perfect(&[("alice".to_owned(), tallies.remove("alice").expect("she plays"))].into(), 2400);
    assert!(
        tallies.is_empty() && arena.control_store.control.timeline.joins.is_empty(),
        "nobody is charged: {tallies:?}"
    );
    arena.assert_proved(&["g1"]);
    dashboard.stop().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_team_that_registers_in_mid_round_joins_it_and_its_page_says_when() {
    let phase = Phase { length: Duration::from_secs(30), rate: Some(100), connections: 12, pipeline: 1 };
    let stage = Stage::light().contestant("alice", &[]);
    let endpoint = stage.target("alice").endpoint.clone();
    let zoe = target("zoe", &[]);
    let mut arena = Arena::open(stage, &["alice"], phase.length, 100, &["g1", "g2"]);
    let (mut dashboard, admin) = arena.hand_over(phase, &endpoint);
    arena.control_store.follow().unwrap_or_else(|error| panic!("{error}"));
    let start = arena.control_store.control.timeline.start_at.expect("it is armed");
    sleep_until(start + 2 * SECOND);
    let come = || {
        let invitation = dashboard.invite(1)?.remove(0);
        let team = Team::register(dashboard.visitor(), &invitation, "zoe", "Zoe", PASSWORD)?;
        team.set_endpoint(&zoe.endpoint)?;
        Ok::<Team, Error>(team)
    };
    let team = come().unwrap_or_else(|error| panic!("{error}"));
    let page = team.visitor.open("/index").and_then(Page::fine).unwrap_or_else(|error| panic!("{error}"));
    assert!(page.text.contains("A round is on, and you join it") || page.text.contains("You join the round at"));
    let at = wait_until_or("her joining", || {
        arena.control_store.follow().unwrap_or_else(|error| panic!("{error}"));
        let join = arena.control_store.control.timeline.joins.first();
        join.map(|join| join.at).ok_or_else(|| arena.last_words())
    });
    let page = admin.visitor.open("/setting").and_then(Page::fine).unwrap_or_else(|error| panic!("{error}"));
    assert!(page.text.contains("joined the round"), "{}", page.text);
    let mut tallies = arena.sealed();
    arena.assert_proved(&["g1", "g2"]);
    let zoe = tallies.remove("zoe").expect("she plays");
    perfect(&tallies, 3000);
    // What the plan has left from her instant on, up to the request that her place in the interval decides.
    let left = (start + 30 * SECOND - at) * 100;
    assert!(zoe.due == left / SECOND || zoe.due == left / SECOND + 1, "{} of {left} µ; {zoe:?}", zoe.due);
    perfect(&[("zoe".to_owned(), zoe)].into(), zoe.due);
    dashboard.stop().unwrap_or_else(|error| panic!("{error}"));
}
