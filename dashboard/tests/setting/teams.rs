//! What is done to one contestant or account: done, audited, and refused with a sentence.

use crate::browser::Site;
use flowtest_accounts::{Actor, NewRound, RoundResult, User};
use flowtest_contract::utc_us;
use flowtest_contract::{RoundId, Row};
use flowtest_testkit::documents::generator_health;
use flowtest_testkit::wait_until;
use salvo::http::StatusCode;

#[tokio::test(flavor = "multi_thread")]
async fn adjusting_hiding_and_disqualifying_are_done_and_audited() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let mut ada = site.admin("ada").await;
    let of = |action: &str| format!("/setting/contestant/{}/{action}", alice.id);
    ada.follow(&of("adjust"), &[("points", "-500"), ("reason", "a late start")]).await.says("-500 points");
    let line = &site.app.accounts.adjustments().await.expect("adjustments")[0];
    assert_eq!((line.points, line.reason.as_str(), line.by_name.as_str()), (-500, "a late start", "ada"));
    let answer = ada.post(&format!("/setting/adjustment/{}/withdraw", line.id), &[]).await;
    assert_eq!(answer.to.as_deref(), Some(format!("/setting?team={0}#team-{0}", alice.id).as_str()), "back to her");
    ada.get("/setting").await.says("withdrawn");
    // Disqualifying asks: its button lies in a fold that says what follows.
    let open = ada.get(&format!("/setting?team={}", alice.id)).await;
    let asks =
        open.body.split("<details class=\"sure\"").find(|fold| fold.contains(&of("disqualify"))).expect("a fold");
    assert!(asks.starts_with("><summary class=\"button small\">Disqualify…</summary>"), "it is shut: {asks}");
    assert!(asks.contains("It gets no traffic any more and loses its rank"), "{asks}");
    ada.follow(&of("hide"), &[]).await.says("on no board");
    ada.follow(&of("show"), &[]).await.says("on the board again");
    ada.follow(&of("disqualify"), &[("reason", "it relays")]).await.says("is disqualified");
    ada.follow(&of("requalify"), &[]).await.says("plays again");
    ada.follow(&of("password"), &[("password", "a long and windy road")]).await.says("sessions have ended");
    let audited = site.audited().await;
    for action in [
        "adjustment.make",
        "adjustment.withdraw",
        "user.hide",
        "user.unhide",
        "user.disqualify",
        "user.requalify",
        "user.password",
    ] {
        assert!(audited.contains(&("ada".into(), action.into())), "{action}: {audited:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_wrongly_about_a_team_is_told_in_its_field() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let mut ada = site.admin("ada").await;
    // (action, fields, parts of the page)
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], [&'a str; 2]);
    let cases: [Case<'_>; 6] = [
        ("adjust", &[("points", "lots"), ("reason", "luck")], ["whole number", "lots"]),
        ("adjust", &[("points", "0"), ("reason", "luck")], ["at least one point", "luck"]),
        ("adjust", &[("points", "5"), ("reason", "")], ["A reason has", "value=\"5\""]),
        ("disqualify", &[("reason", "")], ["A reason has", "Disqualify"]),
        ("endpoint", &[("endpoint", "ftp://x.example")], ["neither http nor https", "ftp://x.example"]),
        ("password", &[("password", "12345678")], ["guessed quickly", "New password"]),
    ];
    for (action, fields, parts) in cases {
        let answer = ada.post(&format!("/setting/contestant/{}/{action}", alice.id), fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{action}: {}", answer.body);
        answer.says(parts[0]).says(parts[1]).says("aria-invalid=\"true\"");
        // By this the script puts the team that is open into the address.
        answer.says(&format!("data-open=\"{}\"", alice.id));
        assert!(!answer.body.contains("12345678"), "passwords are not written back");
    }
    assert!(site.app.accounts.adjustments().await.expect("adjustments").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_contestant_cannot_be_acted_on() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let mut ada = site.admin("ada").await;
    let me = ada.user.id;
    for path in [
        format!("/setting/contestant/{me}/hide"),
        "/setting/contestant/999/hide".to_owned(),
        "/setting/contestant/x/hide".to_owned(),
        format!("/setting/contestant/{}/explode", alice.id),
        "/setting/user/999/disable".to_owned(),
        "/setting/adjustment/999/withdraw".to_owned(),
    ] {
        assert_eq!(ada.post(&path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    ada.follow(&format!("/setting/contestant/{}/park", alice.id), &[]).await.says("endpoints first");
    ada.follow(&format!("/setting/user/{me}/disable"), &[]).await.says("ask another admin");
    ada.follow(&format!("/setting/user/{}/role", alice.id), &[("role", "admin")]).await.says("is an admin");
    ada.follow(&format!("/setting/user/{}/disable", alice.id), &[]).await.says("is disabled");
    assert!(site.app.accounts.user(alice.id).await.expect("users").expect("alice").disabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn contestants_reach_none_of_it() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let mut browser = site.sign_in(alice).await;
    for path in ["/setting", "/setting-token", "/setting-token/export.csv", "/setting-token/slips"] {
        assert_eq!(browser.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_practice_that_no_generator_has_taken_yet_is_followed_by_the_page() {
    let site = Site::open().await;
    let mut alice = site.sign_in(site.contestant("alice").await).await;
    alice.follow("/index/endpoint", &[("endpoint", "http://alice.example:8080/")]).await;
    alice.get("/index").await.says("data-practice-id=\"\"");
    let page = alice.follow("/index/practice", &[("rate", "100"), ("seconds", "2")]).await;
    page.says("You are number 1 in the queue, and no generator is heard").says("you may ask again at once");
    // Where one is heard, nobody is told to complain.
    site.redis.scoreboard().write_health("finals", &generator_health("g1", utc_us())).expect("Redis answers");
    wait_until("the generator", || site.app.controller.status().generators.first().map(drop));
    let page = alice.get("/index").await;
    assert!(
        page.body.contains("number 1 in the queue.") && !page.body.contains("no generator is heard"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("data-practice-id=\"\""), "the script asks for this one's report");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_an_earlier_round_is_somebody_who_competes() {
    let site = Site::open().await;
    let (alice, bob) = (site.contestant("alice").await, site.contestant("bob").await);
    let mut ada = site.admin("ada").await;
    let (program, now) = (Actor::program(), utc_us());
    let round = RoundId::from_bits(7);
    let new = NewRound { id: round, scored: true, label: String::new(), start_at: None };
    site.app.accounts.create_round(new, &program, now).await.expect("a round");
    let result = |user: &User, rank: u32| RoundResult {
        user: user.id,
        name: user.name.clone(),
        rank,
        points: 100 / i64::from(rank),
        failures: 0,
        p99_us: None,
        row: Row::default().encode(),
        holds: None,
        climb: None,
    };
    let results = vec![result(&alice, 1), result(&bob, 2)];
    site.app.accounts.finish_round(round, results, None, &program, now).await.expect("finished");
    let first = |name: &str| format!("data-label=\"First\"><span class=\"name\">{name}</span>");
    ada.get("/setting").await.says(&first("alice"));
    let of = |action: &str| format!("/setting/contestant/{}/{action}", alice.id);
    ada.follow(&of("disqualify"), &[("reason", "it relays")]).await.says(&first("bob"));
    ada.follow(&of("requalify"), &[]).await.says(&first("alice"));
    ada.follow(&of("hide"), &[]).await.says(&first("bob"));
}
