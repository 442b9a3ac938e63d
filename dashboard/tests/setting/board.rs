//! What an organiser reads at a glance: the way to the first round, teams by their trouble, the log in words, categories.

use crate::browser::Site;
use flowtest_accounts::Actor;
use flowtest_contract::utc_us;
use flowtest_testkit::documents::generator_health;
use flowtest_testkit::wait::wait_until_or_async;

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_first_round_names_each_next_step() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let page = ada.get("/setting").await;
    page.says("To the first round")
        .says("href=\"/setting-token\"")
        .says("Open the settings")
        .says("data-stage-due hidden")
        .says("href=\"/setting/contest#f-house\"");
    page.says(&format!("flowtest-loadgen serve --contest finals --redis {} --journal journal", site.redis.url()));
    site.redis.scoreboard().write_health("finals", &generator_health("g1", utc_us())).expect("Redis answers");
    let alice = site.contestant("alice").await;
    site.app
        .controller
        .set_endpoint(&alice, "10.1.2.3", &Actor::program(), utc_us())
        .await
        .expect_err("a private network");
    ada.get("/setting").await.says("1 team has registered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_opens_in_its_line_and_whoever_acts_on_it_comes_back_to_it() {
    let site = Site::open().await;
    let (alice, bob) = (site.contestant("alice").await, site.contestant("bob").await);
    let mut ada = site.admin("ada").await;
    let closed = ada.get("/setting").await;
    assert!(!closed.body.contains("/adjust"), "levers are for the team that is open");
    let open = ada.get(&format!("/setting?team={}", alice.id)).await;
    open.says(&format!("/setting/contestant/{}/adjust", alice.id));
    assert!(!open.body.contains(&format!("/setting/contestant/{}/adjust", bob.id)));
    let answer = ada.post(&format!("/setting/contestant/{}/hide", alice.id), &[]).await;
    assert_eq!(answer.to.as_deref(), Some(format!("/setting?team={0}#team-{0}", alice.id).as_str()));
    // What was done to it stands with it, in words; the script gets the same.
    for path in [format!("/setting?team={}", alice.id), format!("/setting/team/{}", alice.id)] {
        ada.get(&path).await.says("took off the board");
    }
    assert_eq!(ada.get("/setting/team/999").await.status, 404);
    site.sign_in(alice).await.get("/setting/team/2").await.says("not for you");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_play_stands_first() {
    let site = Site::open().await;
    let (alice, bob) = (site.contestant("alice").await, site.contestant("bob").await);
    let _carol = site.contestant("carol").await;
    let (actor, now) = (Actor::program(), utc_us());
    site.app.controller.set_endpoint(&bob, "bob.test", &actor, now).await.expect("an endpoint");
    site.app.controller.set_endpoint(&alice, "alice.test", &actor, now).await.expect("an endpoint");
    site.app.controller.disqualify(&alice, "it relays", &actor, now).await.expect("disqualified");
    let mut ada = site.admin("ada").await;
    let page = ada.get("/setting").await.body;
    let place = |name: &str| {
        page.find(&format!("<span class=\"muted small\">{name}</span>")).unwrap_or_else(|| panic!("no {name}"))
    };
    // Not tested yet; no endpoint yet; out of the contest.
    assert!(place("bob") < place("carol") && place("carol") < place("alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_two_hundred_teams_is_light() {
    let site = Site::open().await;
    for index in 0..40 {
        site.contestant(&format!("team{index:03}")).await;
    }
    let mut ada = site.admin("ada").await;
    let page = ada.get("/setting").await.body;
    let teams =
        page.split("id=\"teams\"").nth(1).and_then(|rest| rest.split("</section>").next()).expect("the section");
    // Two hundred of them in 200 kB; they were 975.
    assert!(teams.len() / 40 < 1_000, "{} bytes each", teams.len() / 40);
    assert_eq!(teams.matches("data-team ").count(), 40);
    ada.get("/setting").await.says("of 41 accounts 20 stand here");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_name_and_by_how_they_are_reached() {
    let site = Site::open().await;
    for name in ["alice", "bobby"] {
        site.contestant(name).await;
    }
    let mut ada = site.admin("ada").await;
    let bob = site.app.accounts.user_named("bobby").await.expect("users").expect("he is there");
    ada.follow(&format!("/setting/contestant/{}/contact", bob.id), &[("contact", "table 7")])
        .await
        .says("reached is noted");
    for query in ["BOBB", "table+7"] {
        let page = ada.get(&format!("/setting?who={query}")).await;
        page.says("1 account fits").says("table 7");
        let people = page.body.split("id=\"people\"").nth(1).expect("the section");
        assert!(people.contains("bobby") && !people.contains(">alice<"), "{query}");
    }
    ada.get("/setting?who=nobody").await.says("0 accounts fit");
    // Whoever acts on somebody comes back to those that were found.
    let found = ada.get("/setting?who=BOBB").await;
    let form = found.form(&format!("/setting/user/{}/disable", bob.id));
    let fields: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = ada.send(&format!("/setting/user/{}/disable", bob.id), &fields).await;
    assert_eq!(answer.to.as_deref(), Some("/setting?who=BOBB#people"));
    let answer = ada.post(&format!("/setting/user/{}/enable", bob.id), &[]).await;
    assert_eq!(answer.to.as_deref(), Some("/setting#people"));
    // How a team is reached is for organisers, and the team itself.
    let mut alice =
        site.sign_in(site.app.accounts.user_named("alice").await.expect("users").expect("she is there")).await;
    let mut own = site.sign_in(bob).await;
    for path in ["/chart", "/index", "/api/standings", "/api/me", "/export/standings.csv", "/rules"] {
        for browser in [&mut alice, &mut own] {
            assert!(!browser.get(path).await.body.contains("table 7"), "{path}");
        }
    }
    own.get("/account").await.says("table 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_who_did_what_to_whom_in_words_and_is_searched_and_exported() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    site.contestant("bobby").await;
    let mut ada = site.admin("ada").await;
    ada.follow(&format!("/setting/contestant/{}/disqualify", alice.id), &[("reason", "it relays")]).await;
    ada.follow("/setting/announce", &[("level", "info"), ("text", "Lunch at 2040-12-01T10:45:00Z")]).await;
    let all = ada.get("/audit").await;
    all.says("disqualified <b class=\"name\">alice</b>").says("<ins>it relays</ins>").says("announced");
    all.says("<ins>Lunch at 2040-12-01T10:45:00Z</ins>");
    assert!(!all.body.contains("{&quot;"), "nobody reads JSON");
    for query in ["relays", "alice", "ALICE", "disqualif"] {
        let page = ada.get(&format!("/audit?q={query}")).await;
        page.says("<ins>it relays</ins>");
        assert!(!page.body.contains("<ins>Lunch"), "{query}");
    }
    ada.get("/audit?q=nothing+of+it").await.says("No line matches");
    // What the page says is found, whatever the log calls it.
    ada.follow(&format!("/setting/contestant/{}/requalify", alice.id), &[]).await;
    ada.follow(&format!("/setting/contestant/{}/hide", alice.id), &[]).await;
    for query in ["let+compete+again", "ada+let+compete+again+alice", "took+off+the+board", "BOARD+alice"] {
        let page = ada.get(&format!("/audit?q={query}")).await;
        assert!(!page.body.contains("No line matches"), "{query}");
        assert!(page.body.contains("let compete again") != page.body.contains("took off the board"), "{query}");
    }
    ada.follow("/setting/freeze", &[]).await;
    for query in ["public", "saved+what+the+public+may+see", "setting:show"] {
        let page = ada.get(&format!("/audit?q={query}")).await;
        page.says("what the public may see");
        assert!(!page.body.contains("took off the board"), "{query}");
    }
    let file = ada.get("/export/audit.csv?q=relays").await;
    assert_eq!(file.status, 200);
    file.says("at,who,address,action,what,whom,subject,before,after")
        .says("ada,")
        .says("user.disqualify,disqualified,alice")
        .says("after,changes")
        .says("disqualified: it relays");
    assert!(!file.body.contains("Lunch"), "{}", file.body);
    assert_eq!(site.sign_in(alice).await.get("/export/audit.csv").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_marks_the_board_and_narrows_board_and_exports() {
    let site = Site::open().await;
    let (alice, bob) = (site.contestant("alice").await, site.contestant("bobby").await);
    let actor = Actor::program();
    for (user, host) in [(&alice, "alice.test"), (&bob, "bobby.test")] {
        site.app.controller.set_endpoint(user, host, &actor, utc_us()).await.expect("an endpoint");
    }
    let mut ada = site.admin("ada").await;
    ada.follow(&format!("/setting/contestant/{}/category", alice.id), &[("category", "student & co")])
        .await
        .says("competes in student");
    let told = "category\":\"student";
    wait_until_or_async("its category in the feed", async || {
        let body = ada.get("/api/standings").await.body;
        if body.contains(told) { Ok(()) } else { Err(body) }
    })
    .await;
    ada.get("/chart").await.says("<option value=\"student &amp; co\">").says("class=\"category\">student");
    let query = "category=student+%26+co";
    let board = ada.get(&format!("/chart?{query}")).await;
    board.says("selected").says(&format!("/export/standings.csv?{query}"));
    let rows = board.body.split("data-rows").nth(1).expect("the rows");
    assert!(rows.contains("alice") && !rows.contains("bobby"), "{rows}");
    for path in ["/api/standings", "/export/standings.csv", "/export/standings.json"] {
        let answer = ada.get(&format!("{path}?{query}")).await;
        answer.says("alice").says("student & co");
        assert!(!answer.body.contains("bobby"), "{path}");
        ada.get(path).await.says("bobby");
    }
    let long = ada.post(&format!("/setting/contestant/{}/category", alice.id), &[("category", &"x".repeat(31))]).await;
    long.says("30 characters; this has 31");
}
