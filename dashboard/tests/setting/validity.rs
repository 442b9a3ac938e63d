//! A round that is not valid: who is told what while it is played, and the organiser's word on it once it is sealed.

use crate::browser::{Answer, Site};
use flowtest_accounts::{Actor, AuditFilter, NewRound, RoundResult, Ruling, User};
use flowtest_contest::State;
use flowtest_contest::lifecycle::{Change, change};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use flowtest_contract::{RoundId, RoundValidity, Row, StreamId};
use flowtest_dashboard::live::{Audience, RevealWait, Seen};
use flowtest_testkit::WAIT_MAX;
use flowtest_testkit::documents::generator_health;
use salvo::http::StatusCode;
use std::sync::Arc;

const ROUND: RoundId = RoundId::from_bits(7);
const SECOND: u64 = 1_000_000;
const NOT_VALID: RoundValidity =
    RoundValidity { seconds: 1_200, valid_seconds: 1_141, due: 60_000, void: 1_234, late_ms: 9_000 };
/// What of its own a generator says it was.
const CAUSE: &str = "a worker stood still";
/// What the banner begins with where it is shown.
const SHOWN: &str = "<div class=\"notices\" data-validity><";
const HIDDEN: &str = "<div class=\"notices\" data-validity hidden><";

/// A generator that plays the round says this of it.
fn beat(site: &Site, validity: RoundValidity) {
    let mut health = generator_health("g1", utc_us());
    (health.round, health.stream, health.validity) = (Some(ROUND), Some(StreamId::from_bits(1)), validity);
    health.own_fault_cause = (!validity.is_flawless()).then(|| CAUSE.to_owned());
    site.redis.scoreboard().write_health("finals", &health).expect("Redis answers");
}

async fn until(site: &Site, found: impl FnMut(&Arc<Seen>) -> bool) {
    let mut seen = site.app.feed.watch();
    tokio::time::timeout(WAIT_MAX, seen.wait_for(found)).await.expect("it comes").expect("the feed runs");
}

/// The round runs, as another dashboard may have armed it.
async fn run(site: &Site) {
    let now = utc_us();
    let new = NewRound { id: ROUND, scored: true, label: String::new(), start_at: None };
    site.app.accounts.create_round(new, &Actor::program(), now).await.expect("a round");
    let draft = site.app.controller.control().expect("a document");
    let arm =
        Change::Arm { round: ROUND, start_at: now + 10 * SECOND, scored: true, generators: vec!["g1".to_owned()] };
    let armed = change(&draft, arm, now).expect("it may be armed");
    let running = change(&armed, Change::Begin, now + 10 * SECOND).expect("it may begin");
    site.redis.scoreboard().write_control(&running).expect("Redis answers");
    until(site, |seen| seen.control.as_ref().is_some_and(|control| control.state == State::Running)).await;
}

/// The round is sealed with ten points of alice's.
async fn seal(site: &Site, alice: &User, validity: RoundValidity) {
    let (program, now) = (Actor::program(), utc_us());
    let new = NewRound { id: ROUND, scored: true, label: String::new(), start_at: None };
    site.app.accounts.create_round(new, &program, now).await.expect("a round");
    let result = RoundResult {
        user: alice.id,
        name: alice.name.clone(),
        rank: 1,
        points: 10,
        failures: 0,
        p99_us: None,
        row: Row::default().encode(),
        holds: None,
        climb: None,
    };
    site.app.accounts.finish_round(ROUND, vec![result], Some(validity), &program, now).await.expect("sealed");
    until_carried(site, 10).await;
}

/// Waits until the contest's standings hold so many points.
async fn until_carried(site: &Site, points: i64) {
    let sum = || site.app.feed.standings(&Audience::Admin).lines.iter().map(|line| line.figures.points).sum::<i64>();
    until(site, |_| sum() == points).await;
}

#[track_caller]
fn lacks(answer: &Answer, part: &str) {
    assert!(!answer.body.contains(part), "{part:?} is there: {}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_played_everybody_is_told_and_organisers_are_told_whose_fault_it_is() {
    let (site, alice) = Site::with_alice().await;
    let (mut ada, mut alice) = (site.admin("ada").await, site.sign_in(alice).await);
    let is_told = || site.app.feed.validity(&Audience::Public).map(|validity| validity.warn);
    run(&site).await;
    beat(&site, RoundValidity { valid_seconds: 1_200, void: 0, ..NOT_VALID });
    until(&site, |_| is_told() == Some(false)).await;
    for path in ["/setting", "/chart", "/chart?view=projector"] {
        ada.get(path).await.says(HIDDEN);
    }
    alice.get("/index").await.says(HIDDEN);
    beat(&site, NOT_VALID);
    until(&site, |_| is_told() == Some(true)).await;
    for path in ["/setting", "/chart"] {
        let page = ada.get(path).await;
        page.says(SHOWN)
            .says("data-validity-names>g1<")
            .says("data-validity-void>1,234<")
            .says("data-validity-late-ms>9,000<")
            .says(CAUSE)
            .says("A generator that is late");
    }
    lacks(&ada.get("/setting").await, "<dt>Late</dt>");
    for (page, who) in [(alice.get("/index").await, "alice"), (alice.get("/chart").await, "alice")] {
        page.says(SHOWN)
            .says("Our own machine was late")
            .says("data-validity-invalid>59<")
            .says(CAUSE)
            .says("Nobody loses a point");
        assert!(!page.body.contains("data-validity-names"), "{who} is told whose fault it is");
    }
    // The wall is the public's, whoever opens it.
    let wall = ada.get("/chart?view=projector").await;
    wall.says(SHOWN).says("Our own machine was late");
    lacks(&wall, "data-validity-names");
    let figures = "\"valid\":false,\"seconds\":1200,\"valid_seconds\":1141,\"due\":60000,\"void\":1234,\"late_ms\":9000,\"warn\":true";
    ada.get("/api/standings").await.says(figures).says("\"late_generators\":[\"g1\"]");
    for path in ["/api/standings", "/api/me"] {
        let answer = alice.get(path).await;
        answer.says(figures);
        lacks(&answer, "late_generators");
    }
    // Where it is that which decides, Control says it beside the others.
    beat(&site, RoundValidity { late_ms: 12_001, ..NOT_VALID });
    until(&site, |_| site.app.feed.validity(&Audience::Admin).is_some_and(|now| now.figures.is_late())).await;
    ada.get("/setting").await.says("<dt>Late</dt><dd class=\"warn\">12,001 ms</dd>");
    alice.get("/export/standings.csv").await.says(
        ",success_permille,void,holds,holds_p99_us,unbroken,category,holds_since,breaks_at,breaks_by,unbroken_by,not_valid\n",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_has_revealed_itself_is_not_frozen_again_by_a_round_that_is_not_valid() {
    let (site, alice) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    ada.follow("/setting/freeze", &[]).await.says("The board is frozen");
    ada.follow("/setting/reveal-at", &[("at", "+1s")]).await.says("is revealed at");
    let is_frozen = || site.app.feed.facts().freeze.holds(utc_us()).is_some();
    until(&site, |_| site.app.feed.facts().freeze.reveal_at.is_some()).await;
    until(&site, |_| !is_frozen()).await;
    seal(&site, &alice, NOT_VALID).await;
    until(&site, |_| site.app.feed.facts().freeze.unruled_since.is_some()).await;
    assert!(!is_frozen());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_round_that_is_not_valid_is_asked_about_until_the_word_is_given_and_totals_follow_it() {
    let (site, alice) = Site::with_alice().await;
    let (mut ada, mut bea) = (site.admin("ada").await, site.admin("bea").await);
    seal(&site, &alice, NOT_VALID).await;
    const QUESTION: &str = "Round 1 is sealed and not valid: does it count?";
    let question = ada.get("/setting").await;
    question
        .says(QUESTION)
        .says("1,141 of 1,200 measured seconds are valid, 1,234 of 60,000 requests count for nobody.");
    let round = ROUND.to_string();
    let word = |word| [("round", round.as_str()), ("ruling", word)];
    let answer = ada.post("/setting/round/ruling", &word("perhaps")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    bea.get("/setting").await.says(QUESTION);
    // Whoever has watched the round to its seal is asked without loading the page again.
    bea.get("/setting/live").await.says(QUESTION);
    ada.get("/export/standings.csv").await.says("round 1: the organiser has said nothing yet");
    // Until then everybody reads that it is open, and nothing that is hidden is shown, by nobody and not by itself.
    const OPEN: &str = "Whether it counts is to be decided by the organiser";
    const FIRST: &str = "say on Control whether it counts, then reveal the result";
    for path in ["/chart", "/chart?view=projector"] {
        ada.get(path).await.says(OPEN);
    }
    ada.follow("/setting/freeze", &[]).await.says("The board is frozen");
    ada.follow("/setting/reveal-at", &[("at", "+1s")]).await.says("is revealed at");
    let freeze = || site.app.feed.facts().freeze;
    until(&site, |_| freeze().reveal_waits(utc_us()) == Some(RevealWait::Ruling)).await;
    assert!(freeze().holds(utc_us()).is_some());
    ada.get("/setting").await.says("as soon as you say whether it counts, everybody sees the result");
    for path in ["/setting", "/chart", "/chart?view=projector"] {
        ada.get(path).await.says("board frozen: the reveal waits for the word on its validity");
    }
    ada.get("/api/standings").await.says("\"reveal_waits\":\"ruling\"");
    ada.follow("/setting/freeze", &[]).await.says("is frozen already");
    for lever in ["/setting/reveal", "/setting/unfreeze"] {
        ada.follow(lever, &[]).await.says(FIRST);
    }
    for path in ["/chart?view=reveal", "/api/reveal?step=9"] {
        assert_eq!(ada.get(path).await.status, StatusCode::CONFLICT, "{path}");
    }
    let voided = ada.follow("/setting/round/ruling", &word("void")).await;
    voided.says("Round 1 is void").says("voided by the organiser, counts nothing").says("not valid");
    lacks(&voided, QUESTION);
    until_carried(&site, 0).await;
    lacks(&ada.get("/chart").await, OPEN);
    assert!(freeze().is_revealed(utc_us()) && freeze().reveal_waits(utc_us()).is_none());
    ada.follow("/setting/unfreeze", &[]).await.says("Everybody sees the board as it is");
    let results = site.app.accounts.results_of(ROUND).await.expect("results");
    assert_eq!(results[0].points, 10, "it stays in the record");
    ada.get("/export/standings.csv").await.says(",\"round 1: voided by the organiser, counts nothing\"\n");
    ada.get("/export/standings.json").await.says("\"rounds_not_valid\":[{\"number\":1,\"ruling\":\"void\"}]");
    ada.get("/export/rounds.csv")
        .await
        .says(",late_ms,house_failures\n")
        .says(",1200,1141,60000,1234,false,void,9000,\n");
    let report = ada.get("/report.html").await;
    lacks(report.says("<b>Not valid.</b>").says("Ruling: voided by the organiser"), "The house lost");
    // Where there was a house target, what it lost stands beside.
    let house = format!("{{\"{ROUND}\":{{\"points\":7,\"failures\":1500,\"void\":2}}}}");
    site.app.accounts.put_setting("house", None, &house, &Actor::program(), utc_us()).await.expect("it is kept");
    ada.get("/export/rounds.csv").await.says(",false,void,9000,1500\n");
    ada.get("/report.html").await.says("count for nobody. The house lost 1,500. Ruling:");
    // Who was wrong says it again, and why.
    bea.follow("/setting/round/ruling", &word("count")).await.says("A reason has 1 to 200 characters");
    let again = [word("count"), [("reason", "the house lost nothing"), ("", "")]].concat();
    bea.follow("/setting/round/ruling", &again[..3]).await.says("Round 1 counts all the same");
    until_carried(&site, 10).await;
    let filter = AuditFilter { action: Some("round.ruling".into()), ..AuditFilter::default() };
    let log = site.app.accounts.audit_page(None, 9, filter).await.expect("the log");
    let said: Vec<_> =
        log.iter().map(|line| (line.by.name.as_str(), line.after.as_deref(), line.at > UtcUs::EPOCH)).collect();
    assert_eq!(
        said,
        [
            ("bea", Some("{\"reason\":\"the house lost nothing\",\"ruling\":\"count\"}"), true),
            ("ada", Some("\"void\""), true)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_is_played_again_counts_nothing_and_leaves_its_plan_to_the_next_draft() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    let controller = &site.app.controller;
    // Sealed by the clock, as the automation leaves it.
    let (program, start) = (Actor::program(), utc_us() + 10 * SECOND);
    let arm = Change::Arm { round: ROUND, start_at: start, scored: true, generators: vec!["g1".to_owned()] };
    controller.change(None, arm, "A test.", &program, utc_us()).await.expect("armed");
    controller.change(None, Change::Begin, "A test.", &program, start).await.expect("it runs");
    let plan = controller.control().expect("a document").contest.clone();
    let accounts = &site.app.accounts;
    accounts.finish_round(ROUND, Vec::new(), Some(NOT_VALID), &program, utc_us()).await.expect("sealed");
    // After a stop the last requests have a second.
    for (step, after) in [(Change::Stop, SECOND), (Change::Seal, 3 * SECOND)] {
        controller.change(None, step, "A test.", &program, start + after).await.expect("sealed");
    }
    let round = ROUND.to_string();
    let page = ada.follow("/setting/round/ruling", &[("round", &round), ("ruling", "replay")]).await;
    page.says("the same plan can be armed again").says("Arm round 2");
    let control = controller.control().expect("a document");
    assert_eq!((control.state, &control.contest), (State::Draft, &plan));
    let ruled = accounts.round(ROUND).await.expect("rounds").expect("the round");
    assert_eq!((ruled.ruling, ruled.counts()), (Some(Ruling::Replay), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_about_a_round_that_is_valid() {
    let (site, alice) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    seal(&site, &alice, RoundValidity { valid_seconds: 1_199, void: 0, ..NOT_VALID }).await;
    lacks(&ada.get("/setting").await, "does it count?");
    let round = ROUND.to_string();
    let fields = [("round", round.as_str()), ("ruling", "void")];
    ada.follow("/setting/round/ruling", &fields).await.says("Round 1 is valid, and counts");
    until_carried(&site, 10).await;
}
