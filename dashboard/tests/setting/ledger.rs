//! What a team reads of its past rounds, and what an organiser's show goes from.

use crate::browser::{Browser, Site};
use flowtest_accounts::{Actor, NewRound, RoundResult, User};
use flowtest_contract::utc_us;
use flowtest_contract::{RoundId, RoundValidity, Row, Tally};
use flowtest_dashboard::live::archive::{self, Basis};
use flowtest_dashboard::live::standings::{Answers, Score, Scores};
use flowtest_dashboard::live::{Audience, UserKey};
use flowtest_testkit::WAIT_MAX;
use serde_json::Value;

const SECOND: u64 = 1_000_000;
const VALID: RoundValidity = RoundValidity { seconds: 60, valid_seconds: 60, due: 100, void: 0, late_ms: 0 };

async fn with_endpoint(site: &Site, name: &str) -> User {
    let user = site.contestant(name).await;
    let controller = &site.app.controller;
    controller.set_endpoint(&user, &format!("{name}.test"), &Actor::program(), utc_us()).await.expect("an endpoint");
    user
}

fn result(user: &User, rank: u32, points: i64, row: &Row) -> RoundResult {
    let (user, name, row) = (user.id, user.name.clone(), row.encode());
    RoundResult { user, name, rank, points, failures: 0, p99_us: None, row, holds: None, climb: None }
}

/// A round is sealed, in which the first of these was the first, and so on.
async fn seal(site: &Site, round: u128, points: &[(&User, i64)]) {
    let (program, now, id) = (Actor::program(), utc_us(), RoundId::from_bits(round));
    let new = NewRound { id, scored: true, label: String::new(), start_at: None };
    site.app.accounts.create_round(new, &program, now).await.expect("a round");
    let results = points.iter().zip(1..).map(|((user, points), rank)| result(user, rank, *points, &Row::default()));
    site.app.accounts.finish_round(id, results.collect(), Some(VALID), &program, now).await.expect("sealed");
    site.app.people_changed();
}

/// Waits until the board has somebody at so many points, for organisers.
async fn until_points(site: &Site, user: &User, points: i64) {
    let id = UserKey::of_user(user.id.0);
    let has = || site.app.feed.standings(&Audience::Admin).of(&id).map(|line| line.figures.points) == Some(points);
    let mut seen = site.app.feed.watch();
    tokio::time::timeout(WAIT_MAX, seen.wait_for(|_| has())).await.expect("it comes").expect("the feed runs");
}

/// What stands in the column *Rank* of *My rounds*, newest first.
async fn ranks(browser: &mut Browser<'_>, path: &str) -> Vec<String> {
    let page = browser.get(path).await.body;
    let card = page.split("data-my-rounds>").nth(1).and_then(|rest| rest.split("</section>").next()).expect("the card");
    let cells = card.split("data-label=\"Rank\">").skip(1).map(|rest| rest.split("</td>").next().unwrap_or_default());
    let words = |cell: &str| cell.split('<').map(|part| part.rsplit('>').next().unwrap_or_default()).collect();
    cells.map(words).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn my_rounds_tell_no_rank_of_behind_the_freeze_and_ranks_are_those_of_the_board() {
    let site = Site::open().await;
    let (alice, bob) = (with_endpoint(&site, "alice").await, with_endpoint(&site, "bob").await);
    let mut ada = site.admin("ada").await;
    let mut team = site.sign_in(alice.clone()).await;
    seal(&site, 1, &[(&bob, 900), (&alice, 10)]).await;
    until_points(&site, &alice, 10).await;
    assert_eq!(ranks(&mut team, "/index").await, ["2"]);
    ada.follow("/setting/freeze", &[]).await.says("The board is frozen");
    seal(&site, 2, &[(&alice, 5), (&bob, 1)]).await;
    until_points(&site, &alice, 15).await;
    // What everybody knew before the freeze stays; she sees her points, and no rank.
    assert_eq!(ranks(&mut team, "/index").await, ["hidden", "2"]);
    team.get("/index").await.says("data-of-the-past=\"15\"");
    assert_eq!(ranks(&mut ada, &format!("/index?as={}", alice.id)).await, ["1", "2"]);
    // Whoever is out of the competition takes nobody's place, as on the board.
    ada.follow(&format!("/setting/contestant/{}/disqualify", bob.id), &[("reason", "it relays")]).await;
    ada.follow("/setting/reveal", &[]).await;
    until_points(&site, &alice, 15).await;
    let ranked = || async { site.app.feed.facts().contestants.iter().filter(|one| one.is_ranked()).count() };
    assert_eq!(ranked().await, 1);
    assert_eq!(ranks(&mut team, "/index").await, ["1", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_the_past_makes_an_open_page_ask_for_it_again_and_the_ledger_is_the_score() {
    let site = Site::open().await;
    let alice = with_endpoint(&site, "alice").await;
    let mut ada = site.admin("ada").await;
    let mut team = site.sign_in(alice.clone()).await;
    let mut versions = Vec::new();
    let mut look = async |points: i64| {
        until_points(&site, &alice, points).await;
        let me: Value = serde_json::from_str(&team.get("/api/me").await.body).expect("JSON");
        let version = me["ledger_version"].as_str().expect("a version").to_owned();
        let page = team.get("/index").await;
        page.says(&format!("data-version=\"{version}\"")).says(&format!("data-of-the-past=\"{points}\""));
        page.says(&format!("data-endpoint={}", me["endpoint"]));
        assert_eq!(me["points"], points);
        versions.push(version);
    };
    look(0).await;
    seal(&site, 1, &[(&alice, 410)]).await;
    look(410).await;
    let adjust = format!("/setting/contestant/{}/adjust", alice.id);
    ada.follow(&adjust, &[("points", "-500"), ("reason", "late")]).await;
    look(-90).await;
    seal(&site, 2, &[(&alice, 100)]).await;
    look(10).await;
    let me: Value = serde_json::from_str(&team.get("/api/me").await.body).expect("JSON");
    assert!(me["coming"].as_str().is_some_and(|coming| coming.starts_with("Requests come when")), "{me}");
    assert!(me["practice_refused"].is_null(), "{me}");
    versions.dedup();
    assert_eq!(versions.len(), 4, "{versions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_goes_from_the_freeze_whatever_was_revealed_meanwhile() {
    let site = Site::open().await;
    let (alice, bob) = (with_endpoint(&site, "alice").await, with_endpoint(&site, "bob").await);
    let mut ada = site.admin("ada").await;
    seal(&site, 1, &[(&bob, 900), (&alice, 10)]).await;
    until_points(&site, &alice, 10).await;
    ada.follow("/setting/freeze", &[]).await;
    seal(&site, 2, &[(&alice, 4_711), (&bob, 0)]).await;
    until_points(&site, &alice, 4_721).await;
    let page = ada.get("/setting").await;
    page.says("Show everybody the result…").says("<a href=\"/chart?view=reveal\">the reveal</a>");
    let before = ada.get("/api/reveal?step=1").await.body;
    let stage: Value = serde_json::from_str(&before).expect("JSON");
    let frozen = stage["frozen"].as_u64().expect("an instant");
    assert!(frozen > 0 && !before.contains("4721"), "{before}");
    // Everybody is shown the end: the show has not lost its beginning, nor its place.
    ada.follow("/setting/reveal", &[]).await.says("Everybody sees the result");
    for path in ["/api/reveal?step=1".to_owned(), format!("/api/reveal?step=1&frozen={frozen}")] {
        assert_eq!(ada.get(&path).await.body, before, "{path}");
    }
    let places: Value = serde_json::from_str(&ada.get("/api/reveal?step=0&frozen=0").await.body).expect("JSON");
    assert_eq!((&places["frozen"], &places["unknown"]), (&0.into(), &2.into()), "one that began without a freeze");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_verifies_nobody_who_was_wrong_in_another_header_each_second() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let mut ada = site.admin("ada").await;
    let (program, id, start) = (Actor::program(), RoundId::from_bits(1), utc_us() - 60 * SECOND);
    let new = NewRound { id, scored: true, label: String::new(), start_at: Some(start) };
    let accounts = &site.app.accounts;
    accounts.create_round(new, &program, start).await.expect("a round");
    // Ten answers with another token, then ten with another platform.
    for second in 1..=2 {
        let answers = Answers { wrong: 10 * second, ..Answers::default() };
        let score = Score { answers, ..Score::of_points(UserKey::of_user(alice.id.0), 0) };
        let at = start + second * SECOND;
        let row = archive::write(Basis::Contest, &Scores { at, lines: vec![score], ..Scores::default() });
        accounts.append_history(id, at, &row).await.expect("kept");
    }
    let headers = Tally { token_right: 10, token_wrong: 10, version_right: 20, ..Tally::default() };
    let row = Row { tally: Tally { from_right: 10, from_wrong: 10, ..headers }, ..Row::default() };
    accounts.finish_round(id, vec![result(&alice, 1, 0, &row)], Some(VALID), &program, utc_us()).await.expect("sealed");
    ada.get("/report.html").await.says("<td class=\"r\">0 of 20</td>");
}
