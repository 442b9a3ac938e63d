//! The levers of a round: each refusal is a sentence on the page, and the red switch always works.

use crate::browser::Site;
use diesel::connection::SimpleConnection;
use flowtest_accounts::Actor;
use flowtest_contest::State;
use flowtest_contest::lifecycle::Change;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, utc_us};
use flowtest_testkit::documents::generator_health;
use flowtest_testkit::wait::wait_until_or_async;
use salvo::http::StatusCode;

const SECOND: u64 = 1_000_000;

fn beat(site: &Site) {
    site.redis.scoreboard().write_health("finals", &generator_health("g1", utc_us())).expect("Redis answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_lifecycle_refuses_is_a_sentence_on_the_page() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    // (which lever, part of the sentence)
    let cases = [
        ("pause", "cannot be paused: arm it first"),
        ("stop", "cannot be stopped: arm it first"),
        ("abort", "cannot be aborted: arm it first"),
        ("next", "cannot be left for the next: arm it first"),
        ("seal", "sealed by itself"),
    ];
    for (lever, part) in cases {
        ada.follow(&format!("/setting/round/{lever}"), &[]).await.says(part);
    }
    beat(&site);
    ada.follow("/setting/round/resume", &[]).await.says("cannot be resumed: arm it first");
    // Levers are those of the state: a draft has no deadline to move.
    assert!(!ada.get("/setting").await.body.contains("action=\"/setting/deadline\""));
    let answer = ada.post("/setting/deadline", &[("deadline", "version"), ("to", "+10m")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.says("cannot have its deadlines moved: arm it first").says("+10m");
    let answer = ada.post("/setting/deadline", &[("deadline", "lunch"), ("to", "+10m")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    ada.follow("/setting/reveal", &[]).await.says("not frozen");
    assert_eq!(site.app.controller.control().expect("a document").state, State::Draft);
}

#[tokio::test(flavor = "multi_thread")]
async fn arming_under_no_go_asks_once_more_with_the_reasons() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    beat(&site);
    let fields = [("start", "+60s"), ("scored", "yes"), ("generators", "g1")];
    let asked = ada.post("/setting/round/arm", &fields).await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", asked.body);
    asked.says("Arm it all the same?").says("Teams: None of 1 is ready").says("name=\"confirm\"").says("+60s");
    // What was read is confirmed, whatever its numbers are by now, and what came since is asked about.
    let read: Vec<String> = asked
        .form("/setting/round/arm")
        .into_iter()
        .filter_map(|(name, value)| (name == "doubt").then_some(value))
        .collect();
    assert!(read.iter().any(|key| key.starts_with("Teams: None of is ready")), "{read:?}");
    let some = read.iter().skip(1).map(|key| ("doubt", key.as_str()));
    beat(&site);
    let half: Vec<(&str, &str)> =
        fields.into_iter().chain([("confirm", "yes"), ("doubt", "another")]).chain(some).collect();
    let again = ada.post("/setting/round/arm", &half).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", again.body);
    again.says("Arm it all the same?").says(&read[0]);
    assert_eq!(site.app.controller.control().expect("a document").state, State::Draft);
    beat(&site);
    let all = read.iter().map(|key| ("doubt", key.as_str()));
    let sure: Vec<(&str, &str)> = fields.into_iter().chain([("confirm", "yes")]).chain(all).collect();
    ada.follow("/setting/round/arm", &sure).await.says("The round is armed");
    // What is fetched again while somebody looks has the levers of now, and no verdict that a round is on.
    let live = ada.get("/setting/live").await;
    live.says("data-state=\"armed\"").says("/setting/round/abort");
    assert!(!live.body.contains("NO-GO") && !live.body.contains("/setting/round/arm"), "{}", live.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_not_ready_are_reminded_by_name() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    let mut seen = site.app.feed.watch();
    ada.follow("/setting/remind", &[]).await.says("are reminded");
    // The feed is told by a task of its own.
    while site.app.feed.facts().notices.is_empty() {
        seen.changed().await.expect("the feed runs");
    }
    ada.get("/chart").await.says("Not ready yet: ");
    // One reminder at a time, and none for ever: whoever is ready by then is named no longer.
    ada.follow("/setting/remind", &[]).await.says("are reminded");
    let now = utc_us();
    let shown = site.app.accounts.active_announcements(now).await.expect("announcements");
    assert_eq!(shown.len(), 1, "{shown:?}");
    let end = shown[0].ended_at.expect("it ends by itself");
    assert!(end > now && end <= now + 5 * 60_000_000, "{shown:?}");
    // Control lists it by itself.
    let end = format!("/setting/announce/{}/end", shown[0].id);
    wait_until_or_async("its line", async || {
        let body = ada.get("/setting/live").await.body;
        if body.contains(&end) { Ok(()) } else { Err(body) }
    })
    .await;
    ada.follow("/setting/test-all", &[]).await.says("All endpoints are tested now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_makes_no_sense_is_told_in_its_field() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    beat(&site);
    // (start, part of the sentence)
    for (start, part) in [("noonish", "is no instant"), ("+1s", "too soon"), ("2001-01-01T00:00:00Z", "too soon")] {
        beat(&site);
        let answer = ada.post("/setting/round/arm", &[("start", start), ("scored", "yes"), ("confirm", "yes")]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{start}: {}", answer.body);
        answer.says(part).says(start);
    }
    beat(&site);
    let fields = [("start", "+60s"), ("scored", "yes"), ("generators", "g1"), ("confirm", "yes")];
    ada.follow("/setting/round/arm", &fields).await.says("The round is armed");
    let control = site.app.controller.control().expect("a document");
    assert_eq!((control.state, control.scored, control.split.as_slice()), (State::Armed, true, &["g1".to_owned()][..]));
    ada.follow("/setting/round/abort", &[]).await.says("aborted");
    ada.follow("/setting/round/next", &[]).await.says("being prepared");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_red_switch_works_in_one_post_whatever_the_page_had_shown() {
    let (site, _) = Site::with_alice().await;
    let (mut ada, mut bea) = (site.admin("ada").await, site.admin("bea").await);
    let page = bea.get("/setting").await;
    let alice = site.app.accounts.user_named("alice").await.expect("users").expect("alice");
    ada.follow(&format!("/setting/contestant/{}/park", alice.id), &[]).await.says("gets no traffic any more");
    // Whoever looks at the team, or at the log, is told who did it.
    bea.get(&format!("/setting?team={}", alice.id))
        .await
        .says("no traffic, by ada")
        .says("parked by <b class=\"name\">ada");
    bea.get("/audit?q=alice").await.says("user.park");
    let answer = bea.post_from(&page, "/setting/halt", &[("halted", "yes")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    bea.get("/setting").await.says("All traffic is stopped.");
    // A page that was open already is told, and gets the other button.
    ada.get("/setting/live").await.says("All traffic is stopped.").says("Allow traffic again");
    assert!(site.app.controller.control().expect("a document").halted);
    bea.follow("/setting/halt", &[("halted", "no")]).await.says("Traffic is allowed again.");
    assert!(!site.app.controller.control().expect("a document").halted);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_switch_is_saved_and_the_page_says_who_does_not_know() {
    let (mut site, _) = Site::with_alice().await;
    site.redis.kill();
    let mut ada = site.admin("ada").await;
    ada.follow("/setting/halt", &[("halted", "yes")]).await.says("Generators do not know of it yet").says("NO-GO");
    assert!(site.app.controller.control().expect("a document").halted);
    // However often the page is loaded again.
    for path in ["/setting", "/setting/live"] {
        let page = ada.get(path).await;
        page.says("not everybody has said so").says("Generators may not know of it").says("Stop all traffic again");
        assert!(!page.body.contains("No generator sends anything"), "{}", page.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_all_traffic_is_stopped_is_said_when_every_generator_has_said_so() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    beat(&site);
    let fields = [("start", "+60s"), ("scored", "yes"), ("generators", "g1"), ("confirm", "yes")];
    ada.follow("/setting/round/arm", &fields).await.says("The round is armed");
    ada.follow("/setting/halt", &[("halted", "yes")]).await;
    let control = site.app.controller.control().expect("a document");
    let say = |age_us: u64, halted_by: u64| {
        let mut health = generator_health("g1", utc_us() - age_us);
        (health.round, health.revision, health.halted_by) = (control.round, control.revision, Some(halted_by));
        site.redis.scoreboard().write_health("finals", &health).expect("Redis answers");
    };
    until_said(&mut ada, || say(0, 0), "Generator g1 has not said yet that it sends nothing").await;
    // Its figures live for some seconds and may be of before.
    until_said(&mut ada, || say(3_400_000, control.revision), "Generator g1 is not heard, and may play on").await;
    until_said(&mut ada, || say(0, control.revision), "No generator sends anything").await;
    // Somebody else's document has the stop, too.
    let mut theirs = site.redis.scoreboard().read_control("finals").expect("Redis answers").expect("a document");
    (theirs.revision, theirs.scored) = (theirs.revision + 1, !theirs.scored);
    site.redis.scoreboard().write_control(&theirs).expect("Redis answers");
    let page = until(&mut ada, "Take over what Redis holds").await;
    assert!(!page.body.contains("by which generators go"), "{}", page.body);
    // Gone for good: it stays where everybody looks.
    site.redis.command(&["DEL", "flowtest:{finals}:generator:g1"]);
    until(&mut ada, "Generator g1 is not heard, and may play on").await;
    until(&mut ada, "it may play on by what it knew then").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_play_a_round_that_was_left_stands_on_the_page_and_under_the_red_switch() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    beat(&site);
    let fields = [("start", "+60s"), ("scored", "yes"), ("generators", "g1"), ("confirm", "yes")];
    ada.follow("/setting/round/arm", &fields).await.says("The round is armed");
    site.redis.command(&["DEL", "flowtest:{finals}:generator:g1"]);
    ada.follow("/setting/round/abort", &[]).await.says("aborted");
    until(&mut ada, "It is not heard, and may play a round that is over here until ").await;
    ada.follow("/setting/round/next", &[]).await.says("being prepared");
    let page = until(&mut ada, "It is not heard, and may play a round that is over here until ").await;
    page.says("NO-GO");
    ada.follow("/setting/halt", &[("halted", "yes")]).await;
    let page = until(&mut ada, "Generator g1 is not heard, and may play on until ").await;
    assert!(!page.body.contains("No generator sends anything"), "{}", page.body);
}

/// A round whose traffic was ended a second after its start, which is ten seconds ahead: nothing seals it by itself meanwhile.
async fn draining(site: &Site) -> (RoundId, UtcUs) {
    let (controller, round, start) = (&site.app.controller, RoundId::from_bits(7), utc_us() + 10 * SECOND);
    let arm = Change::Arm { round, start_at: start, scored: true, generators: vec!["g1".to_owned()] };
    controller.change(None, arm, "A test.", &Actor::program(), utc_us()).await.expect("armed");
    for (change, after) in [(Change::Begin, 0), (Change::Stop, SECOND)] {
        controller.change(None, change, "A test.", &Actor::program(), start + after).await.expect("made");
    }
    (round, start + 10 * SECOND)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_lies_ahead_is_taken_back_also_while_a_round_drains() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    ada.follow("/setting/freeze", &[("at", "+3h")]).await.says("The board freezes at");
    draining(&site).await;
    ada.follow("/setting/unfreeze", &[]).await.says("Everybody sees the board as it is");
    assert_eq!(site.app.controller.show().freeze_at, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_round_is_not_sealed_stands_where_everybody_looks() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    ada.follow("/setting/freeze", &[]).await.says("The board is frozen");
    let (round, later) = draining(&site).await;
    // Nor is its result shown before that, and no lever says that it could be.
    let page = ada.get("/setting").await;
    page.says("Round 1 is not sealed: its last answers are being counted");
    assert!(!page.body.contains("Show everybody the result"), "{}", page.body);
    for lever in ["/setting/reveal", "/setting/unfreeze"] {
        ada.follow(lever, &[]).await.says("Round 1 is not sealed: its last answers are being counted");
    }
    for path in ["/chart?view=reveal", "/api/reveal?step=1"] {
        assert_eq!(ada.get(path).await.status, StatusCode::CONFLICT, "{path}");
    }
    let turn = async || site.app.controller.automation().turn(0, false, later).await;
    let key = flowtest_scoreboard::keys::round("finals", &round);
    let lost = "The round waits for streams of generators that are not heard: Seal\u{2026} names them and what to do.";
    // Redis has lost it: nobody can be named.
    turn().await;
    let page = ada.get("/setting").await;
    page.says("<li>Seal: ").says("flowtest-loadgen rebuild");
    assert!(!page.body.contains("Nothing needs attention"), "{}", page.body);
    assert!(!page.body.contains("All streams have ended"), "{}", page.body);
    // Whoever still plays it puts it back: that is to be waited for.
    let mut plays = generator_health("g1", later);
    plays.round = Some(round);
    site.redis.scoreboard().write_health("finals", &plays).expect("Redis answers");
    turn().await;
    let page = ada.get("/setting").await;
    page.says("It is being put back: generator g1");
    assert!(!page.body.contains("<li>Seal: "), "nobody has to do anything: {}", page.body);
    // A stream has no end. One that is heard ends it by itself.
    let stream = flowtest_contract::StreamId::from_bits(1);
    let text = |text: &str| text.as_bytes().to_vec();
    let fields =
        [("state", text("running")), ("streams", text(&stream.to_string()))].map(|(name, it)| (name.to_owned(), it));
    site.redis.set_hash(&key, &[&fields[..], &[(format!("q:{stream}"), text("1"))]].concat());
    for is_heard in [true, false] {
        if is_heard {
            let mut health = generator_health("g1", later);
            (health.round, health.stream) = (Some(round), Some(stream));
            site.redis.scoreboard().write_health("finals", &health).expect("Redis answers");
        } else {
            site.redis.command(&["DEL", "flowtest:{finals}:generator:g1"]);
        }
        turn().await;
        let page = ada.get("/setting").await;
        assert_eq!(page.body.contains(lost), !is_heard, "{}", page.body);
        page.says("Streams that have not ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_another_dashboard_steers_each_lever_says_why_it_does_nothing_and_what_to_do() {
    let (site, _) = Site::with_alice().await;
    let (mut ada, alice) = (site.admin("ada").await, site.app.accounts.user_named("alice").await);
    let alice = alice.expect("users").expect("alice");
    let (round, later) = draining(&site).await;
    let key = flowtest_scoreboard::keys::round("finals", &round);
    let stream = flowtest_contract::StreamId::from_bits(1);
    let text = |text: &str| text.as_bytes().to_vec();
    let fields = [("state", text("running")), ("streams", text(&stream.to_string()))];
    site.redis.set_hash(&key, &fields.map(|(name, it)| (name.to_owned(), it)));
    site.app.controller.automation().turn(0, false, later).await;
    let before = site.redis.scoreboard().read_control("finals").expect("Redis answers");
    let other = flowtest_contract::StreamId::from_bits(9).to_string();
    site.redis.command(&["SET", &flowtest_scoreboard::keys::steering("finals"), &other]);
    let told = |page: &str| page.matches("nother dashboard, with another database, steers contest").count();
    let on_page = told(&until(&mut ada, "Steered elsewhere").await.body);
    let (stream, team) = (stream.to_string(), format!("/setting/contestant/{}", alice.id));
    let abandoned = [("abandon", stream.as_str()), ("reason", "its disk is gone")];
    let levers = ["pause", "stop", "abort", "next"].map(|lever| format!("/setting/round/{lever}"));
    let of_team = ["park", "disqualify", "probe"].map(|action| format!("{team}/{action}"));
    let mut asked: Vec<(String, &[(&str, &str)])> =
        levers.into_iter().chain(of_team).map(|path| (path, &[("reason", "it relays")][..])).collect();
    asked.push((format!("{team}/endpoint"), &[("endpoint", "other.test")]));
    asked.push(("/setting/round/seal".to_owned(), &abandoned));
    asked.push(("/setting/halt".to_owned(), &[("halted", "no")]));
    asked.push(("/setting/adopt".to_owned(), &[]));
    for (path, fields) in asked {
        let page = ada.follow(&path, fields).await;
        assert_eq!(told(&page.body), on_page + 1, "as the answer, too: {path}: {}", page.body);
        page.says("End that one, and this one steers");
    }
    let mut team = site.sign_in(alice.clone()).await;
    team.follow("/index/endpoint", &[("endpoint", "other.test")])
        .await
        .says("the contest is steered from another site");
    let endpoint = site.app.accounts.endpoint_of(alice.id).await.expect("endpoints").expect("hers");
    let now = site.app.accounts.user(alice.id).await.expect("users").expect("alice");
    assert_eq!(
        (endpoint.endpoint.as_str(), now.disqualified.is_some()),
        ("http://alice.test/", false),
        "nothing is done"
    );
    assert_eq!(site.redis.scoreboard().read_control("finals").expect("Redis answers"), before);
    let state = site.redis.scoreboard().read_streams("finals", &round).expect("Redis answers").expect("the round");
    assert!(state.iter().all(|stream| !stream.abandoned), "{state:?}");
    ada.follow("/setting/halt", &[("halted", "yes")]).await.says("All traffic is stopped; but another dashboard");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_a_team_without_redis_says_who_does_not_know() {
    let (mut site, alice) = Site::with_alice().await;
    beat(&site);
    site.admin("ada")
        .await
        .follow("/setting/round/arm", &[("start", "+60s"), ("scored", "yes"), ("generators", "g1"), ("confirm", "yes")])
        .await
        .says("The round is armed");
    site.redis.kill();
    let mut team = site.sign_in(alice.clone()).await;
    let page = team.follow("/index/endpoint", &[("endpoint", "other.test")]).await;
    page.says("It is saved, and no requests go there yet");
    assert!(!page.body.contains("Redis"), "that is the organisers': {}", page.body);
    let mut bea = site.admin("bea").await;
    let form = [("reason", "it relays"), ("endpoint", "third.test")];
    for action in ["endpoint", "park", "disqualify", "requalify"] {
        let page = bea.follow(&format!("/setting/contestant/{}/{action}", alice.id), &form).await;
        page.says("enerators do not know of it yet");
    }
    bea.get("/setting").await.says("Stop: Generators do not know yet that alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn freezing_announcing_and_screens_work_from_the_page() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    ada.follow("/setting/freeze", &[]).await.says("The board is frozen");
    assert!(site.app.controller.show().frozen_at(utc_us()).is_some());
    ada.follow("/setting/unfreeze", &[]).await.says("as it is");
    for (at, part) in [("soonish", "is no instant"), ("2001-01-01T00:00:00Z", "That is over")] {
        let answer = ada.post("/setting/freeze", &[("at", at)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        answer.says(part).says(at);
    }
    // Planned, seen, moved and given up.
    ada.follow("/setting/freeze", &[("at", "+20m")]).await.says("The board freezes at").says("freezes at <time");
    ada.follow("/setting/freeze", &[("at", "+10m")]).await.says("freezes at <time");
    // A reveal at a set time comes after it.
    let answer = ada.post("/setting/reveal-at", &[("at", "+5m")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.says("comes after the freeze");
    ada.follow("/setting/reveal-at", &[("at", "+30m")]).await.says("is revealed at").says("sees everything from <time");
    assert!(site.app.controller.show().reveal_at.is_some());
    ada.follow("/setting/reveal-at", &[("at", "")]).await.says("not revealed by itself");
    assert_eq!(site.app.controller.show().reveal_at, None);
    let show = site.app.controller.show();
    assert!(show.freeze_at.is_some_and(|at| at < utc_us() + 11 * 60_000_000) && show.frozen_at(utc_us()).is_none());
    ada.follow("/setting/unfreeze", &[]).await.says("as it is");
    assert_eq!(site.app.controller.show().freeze_at, None);
    let long = "x".repeat(900);
    let answer = ada.post("/setting/announce", &[("level", "warn"), ("text", &long)]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.says(&long);
    ada.follow("/setting/announce", &[("level", "info"), ("text", "Doors close"), ("minutes", "5")]).await.says("told");
    let (now, minute) = (utc_us(), 60_000_000);
    let at = async |at| site.app.accounts.active_announcements(at).await.expect("announcements").len();
    assert_eq!([at(now).await, at(now + 4 * minute).await, at(now + 6 * minute).await], [1, 1, 0]);
    ada.follow("/setting/announce", &[("level", "warn"), ("text", "Lunch at noon")]).await.says("Everybody is told");
    // The feed is told by a task of its own.
    let mut seen = site.app.feed.watch();
    while site.app.feed.facts().notices.len() < 2 {
        seen.changed().await.expect("the feed runs");
    }
    // One line, whatever there is to say.
    let page = ada.get("/chart").await;
    page.says("Lunch at noon").says("and 1 more");
    assert_eq!(page.body.matches("data-notice=").count(), 1);
    let notices = site.app.accounts.active_announcements(utc_us()).await.expect("announcements");
    assert_eq!(notices[0].text, "Lunch at noon");
    ada.follow(&format!("/setting/announce/{}/end", notices[0].id), &[]).await.says("taken down");
    let answer = ada.post("/setting/screen", &[("label", "")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let answer = ada.post("/setting/screen", &[("label", "Main hall")]).await;
    answer.says("view=projector&amp;screen=");
    let code = answer.body.split("screen-code\"><code>").nth(1).and_then(|rest| rest.split('<').next());
    let code = code.expect("a code to type").to_owned();
    // A code that is typed, in whatever case, becomes a cookie: no secret stands in the address bar.
    let mut wall = ada.nobody();
    let wrong = wall.post("/screen", &[("code", "ABCDE-FGHJK")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    wrong.says("mistyped");
    let opened = wall.post("/screen", &[("code", &code.to_lowercase())]).await;
    assert_eq!(opened.to.as_deref(), Some("/chart?view=projector"));
    let board = wall.get("/chart?view=projector").await;
    assert!(board.status == StatusCode::OK && !board.body.contains("screen="), "{}", board.body);
    assert_eq!(wall.get("/setting").await.status, StatusCode::SEE_OTHER, "the board and nothing else");
    ada.get("/setting").await.says("<b class=\"name\">Main hall</b> <span class=\"muted small\">seen <time");
    // The link of a script leaves its secret behind as well, and the photographed code needs no typing.
    let (_, link) = answer.body.split_once("view=projector&amp;screen=").expect("a link");
    let secret: String = link.chars().take_while(char::is_ascii_hexdigit).collect();
    let mut script = ada.nobody();
    let moved = script.get(&format!("/chart?view=ticker&screen={secret}")).await;
    assert_eq!(moved.to.as_deref(), Some("/chart?view=ticker"));
    assert_eq!(script.get("/api/standings").await.status, StatusCode::OK);
    assert_eq!(ada.nobody().get(&format!("/screen/{code}")).await.to.as_deref(), Some("/chart?view=projector"));
    let screens = site.app.accounts.screens().await.expect("screens");
    ada.follow(&format!("/setting/screen/{}/revoke", screens[0].id), &[]).await.says("nothing any more");
    assert_eq!(wall.get("/api/standings").await.status, StatusCode::FORBIDDEN);
    assert_eq!(ada.nobody().post("/screen", &[("code", &code)]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    ada.follow("/setting/backup", &[]).await.says("holds everything");
    let copies = std::fs::read_dir(site.folder.path()).expect("the folder").flatten();
    let copies: Vec<_> = copies.filter(|file| file.file_name().to_string_lossy().starts_with("flowtest-2")).collect();
    assert_eq!(copies.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_is_frozen_is_not_frozen_again_and_who_comes_too_late_is_told() {
    let (site, _) = Site::with_alice().await;
    let (mut ada, mut bea) = (site.admin("ada").await, site.admin("bea").await);
    let before = bea.get("/setting").await;
    ada.follow("/setting/freeze", &[]).await.says("The board is frozen").says("Unfreeze…");
    let frozen = site.app.controller.show();
    // Bea's page still offers the freeze, and ada sends the form once more.
    let answer = bea.post_from(&before, "/setting/freeze", &[]).await;
    bea.get(&answer.to.expect("a page to go back to")).await.says("Somebody else has changed what the public sees");
    ada.follow("/setting/freeze", &[("at", "+10m")]).await.says("frozen already");
    assert_eq!(site.app.controller.show(), frozen, "what the freeze hides stays hidden");
    // Whoever saw another freeze neither lifts nor reveals this one.
    let old = bea.get("/setting").await;
    ada.follow("/setting/unfreeze", &[]).await.says("as it is");
    ada.follow("/setting/freeze", &[]).await.says("The board is frozen");
    for lever in ["/setting/unfreeze", "/setting/reveal"] {
        let answer = bea.post_from(&old, lever, &[]).await;
        bea.get(&answer.to.expect("a page to go back to")).await.says("Somebody else has changed what the public sees");
    }
    assert!(site.app.controller.show().frozen_at(utc_us()).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reveal_has_no_row_before_its_step_and_a_team_has_the_publics_curve() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    let alice = site.app.accounts.user_named("alice").await.expect("users").expect("alice");
    let mut seen = site.app.feed.watch();
    seen.wait_for(|seen| seen.control.is_some()).await.expect("the feed runs");
    ada.follow("/setting/freeze", &[]).await.says("The board is frozen");
    let reveal = ada.get("/chart?view=reveal").await;
    reveal.says("data-live=\"/live?as=public\"");
    assert!(!reveal.body.contains("data-id="), "a row before its step: {}", reveal.body);
    ada.get("/api/reveal?step=0").await.says("\"step\":0").says("alice");
    ada.get("/chart?view=projector").await.says("data-live=\"/live?as=public\"");
    let mut alice = site.sign_in(alice).await;
    assert_eq!(alice.get("/chart?view=reveal").await.status, StatusCode::FORBIDDEN);
    assert_eq!(alice.get("/api/reveal?step=9").await.status, StatusCode::FORBIDDEN);
    // Her own points go on at /index; here her line is as frozen as her frames are.
    alice.get("/chart").await.says("data-history=\"/api/history?as=public\"");
    alice.get("/index").await.says("data-history=\"/api/history");
    ada.get("/chart").await.says("data-history=\"/api/history\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contest_is_over_when_the_organiser_says_so_and_not_while_a_round_is_on() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    let mut seen = site.app.feed.watch();
    seen.wait_for(|seen| seen.control.is_some()).await.expect("the feed runs");
    ada.follow("/setting/end", &[("over", "yes")]).await.says("The contest is over").says("The contest goes on");
    // The feed is told by a task of its own.
    while !site.app.feed.facts().ended {
        seen.changed().await.expect("the feed runs");
    }
    ada.get("/chart").await.says("data-state=\"ended\"");
    ada.follow("/setting/freeze", &[]).await.says("The board is frozen");
    ada.follow("/setting/unfreeze", &[]).await.says("The contest goes on");
    beat(&site);
    let arm = [("start", "+60s"), ("scored", "yes"), ("generators", "g1"), ("confirm", "yes")];
    let answer = ada.post("/setting/round/arm", &arm).await;
    assert!(site.app.controller.control().expect("a document").state == State::Draft, "{}", answer.body);
    ada.follow("/setting/end", &[("over", "no")]).await.says("The contest goes on.").says("End the contest…");
    beat(&site);
    ada.follow("/setting/round/arm", &arm).await.says("The round is armed");
    ada.follow("/setting/end", &[("over", "yes")]).await.says("A round is on");
    assert!(!site.app.controller.show().over);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_red_switch_waits_for_no_database_and_the_page_names_what_is_wrong_with_it() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    let page = ada.get("/setting").await;
    // The session was last seen long ago, which would be written down with the next request.
    site.database()
        .batch_execute(
            "UPDATE sessions SET created_at = created_at - 600000000, last_seen_at = last_seen_at - 600000000",
        )
        .expect("it is old");
    let lock = site.lock_database();
    let answer = ada.post_from(&page, "/setting/halt", &[("halted", "yes")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert!(site.redis.scoreboard().read_control("finals").expect("Redis answers").expect("a document").halted);
    let back = ada.get("/setting").await;
    back.says("All traffic is stopped. Generators know of it. It is not saved yet: The database is locked");
    // What is saved first is refused with the cause.
    ada.follow("/setting/halt", &[("halted", "no")]).await.says("The database is locked").says("NO-GO");
    drop(lock);
    ada.follow("/setting/halt", &[("halted", "no")]).await.says("Traffic is allowed again.");
    assert!(!site.redis.scoreboard().read_control("finals").expect("Redis answers").expect("a document").halted);
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_can_be_stopped_by_who_was_known_when_the_database_answers_nobody_any_more() {
    let (site, _) = Site::with_alice().await;
    let (mut ada, mut bea) = (site.admin("ada").await, site.admin("bea").await);
    let page = ada.get("/setting").await;
    let bea_page = bea.get("/setting").await;
    site.app.close_sessions_of(bea.user.id, None);
    site.database().batch_execute("ALTER TABLE sessions RENAME TO lost").expect("it is gone");
    let answer = bea.post_from(&bea_page, "/setting/halt", &[("halted", "yes")]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "her sessions had ended");
    let control = || site.redis.scoreboard().read_control("finals").expect("Redis answers").expect("a document");
    assert!(!control().halted);
    let answer = ada.post_from(&page, "/setting/announce", &[("level", "warn"), ("text", "Lunch")]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "nothing else is done from memory");
    let answer = ada.post_from(&page, "/setting/halt", &[("halted", "yes")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.says("All traffic is stopped.").says("Generators know of it.");
    assert!(control().halted);
}

#[tokio::test(flavor = "multi_thread")]
async fn contestants_read_nothing_of_what_an_organiser_would_do_about_the_database() {
    let (site, _) = Site::with_alice().await;
    let alice = site.app.accounts.user_named("alice").await.expect("users").expect("alice");
    let mut alice = site.sign_in(alice).await;
    let lock = site.lock_database();
    let answer = alice.follow("/index/endpoint", &[("endpoint", "bob.test")]).await;
    answer.says("something of ours is away");
    assert!(!answer.body.contains("The database is locked"), "{}", answer.body);
    drop(lock);
}

#[tokio::test(flavor = "multi_thread")]
async fn contestants_read_nothing_of_what_an_organiser_would_do_about_redis() {
    let (mut site, _) = Site::with_alice().await;
    let user = site.app.accounts.user_named("alice").await.expect("users").expect("alice");
    let probe = site.app.controller.requests().ask_probe(&user, utc_us()).await.expect("Redis answers");
    site.redis.kill();
    let mut ada = site.admin("ada").await;
    let mut alice = site.sign_in(user).await;
    let pages = ["/index", "/chart", "/account", "/api/me", "/api/me/seconds", "/api/standings", "/api/history"];
    let exports = ["standings.csv", "standings.json", "history.csv", "rounds.csv", "errors.csv"];
    let exports = exports.map(|name| format!("/export/{name}"));
    let asked = [format!("/index/probe/{probe}"), "/index/practice/x".to_owned()];
    let paths: Vec<String> = pages.map(str::to_owned).into_iter().chain(exports).chain(asked).collect();
    for path in &paths {
        let answer = alice.get(path).await;
        for word in ["--redis", "unix://", "redis://", "redis.sock"] {
            assert!(!answer.body.contains(word), "{path}: {}", answer.body);
        }
    }
    let answer = alice.get(&format!("/index/probe/{probe}")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    answer.says("Try again in a minute");
    ada.get(&format!("/index/probe/{probe}")).await.says("Redis does not do its part");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_is_armed_by_redis_clock_on_a_machine_whose_clock_is_ten_minutes_off() {
    for shift_us in [600_000_000, -600_000_000] {
        let site = Site::open_with(tempfile::tempdir().expect("a folder"), shift_us).await;
        let alice = site.contestant("alice").await;
        let controller = &site.app.controller;
        controller.set_endpoint(&alice, "alice.test", &Actor::program(), utc_us()).await.expect("an endpoint");
        let mut ada = site.admin("ada").await;
        beat(&site);
        let fields = [("start", "+60s"), ("scored", "yes"), ("generators", "g1"), ("confirm", "yes")];
        ada.follow("/setting/round/arm", &fields).await.says("The round is armed");
        let start = site.app.controller.control().expect("a document").timeline.start_at.expect("a start");
        assert!(start.abs_diff(utc_us() + 60_000_000) < 50_000_000, "in a minute by Redis's clock, not in eleven");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_a_generators_figures_and_a_journal_that_stands_still_are_on_the_page() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    let say = |health: flowtest_scoreboard::GeneratorHealth| {
        site.redis.scoreboard().write_health("finals", &health).expect("Redis answers");
    };
    let mut stuck = generator_health("g1", utc_us());
    stuck.journal_still_us = Some(7_000_000);
    say(stuck);
    let page = until(&mut ada, "Nothing has come to its journal").await;
    assert!(page.body.contains("7s") && page.body.contains("Look at the disk"), "{}", page.body);
    let mut refused = generator_health("g1", utc_us());
    refused.publish_error = Some("Redis takes no writes: its memory is full".to_owned());
    say(refused);
    until(&mut ada, "Redis does not take its points: Redis takes no writes: its memory is full.").await;
    say(generator_health("g1", utc_us() - 3_400_000));
    until(&mut ada, "All figures are of 3 s ago.").await;
}

/// Loads the page until it says something.
async fn until(ada: &mut crate::browser::Browser<'_>, part: &str) -> crate::browser::Answer {
    until_said(ada, || {}, part).await
}

/// The same while a generator says something all the time, as generators do: what it has said once is soon of before.
async fn until_said(ada: &mut crate::browser::Browser<'_>, say: impl Fn(), part: &str) -> crate::browser::Answer {
    wait_until_or_async(part, async || {
        say();
        let page = ada.get("/setting").await;
        if page.body.contains(part) { Ok(page) } else { Err(page.body) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_who_plays_and_why_somebody_does_not() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    beat(&site);
    ada.follow("/setting/round/arm", &[("start", "+60s"), ("scored", "yes"), ("confirm", "yes")])
        .await
        .says("The round is armed");
    let control = site.app.controller.control().expect("a document");
    let says = |id: &str, change: &dyn Fn(&mut flowtest_scoreboard::GeneratorHealth)| {
        let mut health = generator_health(id, utc_us());
        change(&mut health);
        site.redis.scoreboard().write_health("finals", &health).expect("Redis answers");
    };
    says("g1", &|health| (health.round, health.takes_from) = (control.round, Some(UtcUs(1))));
    says("g2", &|health| health.trouble = Some("the round cannot be played here: no disk".to_owned()));
    site.app.controller.automation().turn(0, false, utc_us()).await;
    let page = ada.get("/setting").await;
    page.says("plays 1 of 1 from").says("plays nothing: the round cannot be played here: no disk");
    page.says("Plays nothing: the round cannot be played here: no disk.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_set_during_a_round_is_a_test_of_its_network() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    let zoe = site.contestant("zoe").await;
    let mut zoe = site.sign_in(zoe).await;
    // As many as there may be, from where all browsers of this test are.
    let use_up = || {
        let nowhere = std::net::Ipv4Addr::UNSPECIFIED.into();
        while site.app.failures.at_test(nowhere, utc_us()).is_ok() {}
    };
    use_up();
    let set = zoe.post("/index/endpoint", &[("endpoint", "zoe.test")]).await;
    assert_eq!(set.status, StatusCode::SEE_OTHER, "no generator asks it now: {}", set.body);
    beat(&site);
    let fields = [("start", "+60s"), ("scored", "yes"), ("generators", "g1"), ("confirm", "yes")];
    ada.follow("/setting/round/arm", &fields).await.says("The round is armed");
    let max = site.contestant("max").await;
    let mut max = site.sign_in(max).await;
    use_up();
    max.follow("/index/endpoint", &[("endpoint", "max.test")])
        .await
        .says("Many tests and practices were asked for from your network");
    assert!(site.app.accounts.endpoint_of(max.user.id).await.expect("a database").is_none());
    // Practice begins with three requests, as a test does.
    let practice = max.follow("/index/practice", &[("rate", "10"), ("seconds", "2")]).await;
    practice.says("Many tests and practices were asked for from your network");
    max.follow("/index/climb", &[("most", "100")]).await.says("Many tests and practices were asked for");
}
