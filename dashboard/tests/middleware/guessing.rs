//! Passwords and invitations are not guessed: not by many attempts at one moment, and not to lock somebody out.

use crate::stage::{Answer, Browser, PASSWORD, Stage};
use flowtest_accounts::Actor;
use flowtest_contract::utc_us;
use flowtest_dashboard::limits::throttle::PasswordAttempt;
use futures_util::future::join_all;
use salvo::http::Method;

/// The browser's own address is believed to be a proxy's, so that a test can come from anywhere.
const BEHIND_A_PROXY: &[&str] = &["--proxy", "0.0.0.0"];

async fn sign_in_from(browser: &mut Browser, address: &str, name: &str, password: &str) -> Answer {
    let token = browser.token().await;
    let form = [("name", name), ("password", password), ("csrf_token", token.as_str())];
    browser.ask(Method::POST, "/login", &[("x-forwarded-for", address)], Some(&form)).await
}

/// How many were answered with a status.
fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test]
async fn many_attempts_at_one_moment_are_counted_before_any_is_looked_at() {
    let stage = Stage::open(&[]).await;
    stage.admin("boss").await;
    let mut browsers: Vec<Browser> = (0..30).map(|_| stage.browser()).collect();
    let answers = join_all(browsers.iter_mut().map(|browser| browser.sign_in("boss", "wrong"))).await;
    assert_eq!((count(&answers, 401), count(&answers, 429)), (5, 25));
    let waits = answers.iter().filter(|answer| answer.status == 429 && answer.body.contains("Try again in"));
    assert_eq!(waits.count(), 25, "whoever has to wait reads how long");
    stage.close().await;
}

#[tokio::test]
async fn attempts_at_ones_own_present_password_are_counted_the_same_way() {
    let stage = Stage::open(&[]).await;
    stage.contestant("alice", "Alice").await;
    let alice = stage.signed_in("alice").await;
    let form = [("current", "wrong"), ("password", "another quite long passphrase")];
    let mut tabs = vec![alice; 12];
    let answers = join_all(tabs.iter_mut().map(|tab| tab.send("/account/password", &form))).await;
    assert_eq!((count(&answers, 422), count(&answers, 429)), (5, 7));
    stage.close().await;
}

#[tokio::test]
async fn a_room_that_signs_in_at_one_moment_gets_in() {
    let stage = Stage::open(&[]).await;
    stage.admin("boss").await;
    let mut browsers: Vec<Browser> = (0..30).map(|_| stage.browser()).collect();
    for five in browsers.chunks_mut(5) {
        for answer in join_all(five.iter_mut().map(|browser| browser.sign_in("boss", PASSWORD))).await {
            assert_eq!(answer.status, 303, "what was right is no failure");
        }
    }
    stage.close().await;
}

#[tokio::test]
async fn who_guesses_from_elsewhere_keeps_nobody_out() {
    let stage = Stage::open(BEHIND_A_PROXY).await;
    stage.admin("boss").await;
    let mut rival = stage.browser();
    for _ in 0..5 {
        assert_eq!(sign_in_from(&mut rival, "192.0.2.66", "boss", "wrong").await.status, 401);
    }
    assert_eq!(sign_in_from(&mut rival, "192.0.2.66", "boss", PASSWORD).await.status, 429);
    let mut boss = stage.browser();
    assert_eq!(sign_in_from(&mut boss, "192.0.2.1", "boss", PASSWORD).await.status, 303);
    stage.close().await;
}

/// Guesses at the boss from so many addresses that the account waits everywhere.
async fn guess_from_everywhere(stage: &Stage) {
    let failures = &stage.app.failures;
    for address in 0..200_u32 {
        let from = std::net::IpAddr::from((0x0a00_0000 + address).to_be_bytes());
        for _ in 0..5 {
            let _ = failures.at_password("boss", from, None, utc_us());
        }
    }
}

#[tokio::test]
async fn a_crowd_that_guesses_keeps_no_browser_out_that_was_in_before() {
    let stage = Stage::open(BEHIND_A_PROXY).await;
    let mut boss = stage.admin("boss").await;
    boss.send("/logout", &[]).await;
    guess_from_everywhere(&stage).await;
    let mut elsewhere = stage.browser();
    assert_eq!(sign_in_from(&mut elsewhere, "192.0.2.1", "boss", PASSWORD).await.status, 429);
    assert_eq!(sign_in_from(&mut boss, "192.0.2.1", "boss", PASSWORD).await.status, 303, "it is known");
    // Whoever else signs in there takes nothing of that.
    boss.send("/logout", &[]).await;
    stage.contestant("carol", "Carol").await;
    assert_eq!(sign_in_from(&mut boss, "192.0.2.1", "carol", PASSWORD).await.status, 303);
    boss.send("/logout", &[]).await;
    assert_eq!(sign_in_from(&mut boss, "192.0.2.1", "boss", PASSWORD).await.status, 303, "it is still known");
    // Its cookie opens no other account, and one that somebody made up opens none.
    stage.contestant("alice", "Alice").await;
    for _ in 0..5 {
        sign_in_from(&mut boss, "192.0.2.9", "alice", "wrong").await;
    }
    assert_eq!(sign_in_from(&mut boss, "192.0.2.9", "alice", PASSWORD).await.status, 429);
    let cookie = boss.cookies.get_mut("flowtest-device").expect("it has one");
    *cookie = format!("{}{}", "0".repeat(32), &cookie[32..97]);
    boss.send("/logout", &[]).await;
    assert_eq!(sign_in_from(&mut boss, "192.0.2.1", "boss", PASSWORD).await.status, 429);
    stage.close().await;
}

#[tokio::test]
async fn a_link_from_the_command_line_signs_in_once_whatever_others_have_guessed() {
    let stage = Stage::open(BEHIND_A_PROXY).await;
    stage.admin("boss").await;
    guess_from_everywhere(&stage).await;
    let link = |secret: &str| format!("/login/link/boss/{secret}");
    let first = stage.accounts().create_login_link("boss", &Actor::command_line(), utc_us()).await.expect("a link");
    let second = stage.accounts().create_login_link("Boss", &Actor::command_line(), utc_us()).await.expect("a link");
    let mut boss = stage.browser();
    // A newer one replaces it, and whoever only looks spends nothing.
    assert_eq!(boss.send(&link(first.reveal()), &[]).await.status, 422);
    let looked = boss.get(&link(second.reveal())).await;
    assert!(looked.status == 200 && looked.body.contains("Sign in as boss"), "{}", looked.body);
    let signed_in = boss.send(&link(second.reveal()), &[]).await;
    assert_eq!((signed_in.status, signed_in.location.as_str()), (303, "/setting"), "{}", signed_in.body);
    assert_eq!(boss.get("/setting").await.status, 200);
    let again = stage.browser().send(&link(second.reveal()), &[]).await;
    assert!(again.status == 422 && again.body.contains("used up"), "{}", again.body);
    // Too old; of nobody; not written as a secret is.
    let old = utc_us() - flowtest_accounts::LOGIN_LINK_LIFE_US;
    let third = stage.accounts().create_login_link("boss", &Actor::command_line(), old).await.expect("a link");
    for path in [link(third.reveal()), format!("/login/link/nobody/{}", third.reveal()), link("x")] {
        assert_eq!(stage.browser().send(&path, &[]).await.status, 422, "{path}");
    }
    // However many wrong ones have come from the same network.
    let fourth = stage.accounts().create_login_link("boss", &Actor::command_line(), utc_us()).await.expect("a link");
    let mut neighbour = stage.browser();
    let wrong = link(&"0".repeat(32));
    let mut closed = 0;
    for _ in 0..20 {
        closed += u32::from(neighbour.send(&wrong, &[]).await.status == 429);
    }
    assert!(closed > 0, "guesses are counted");
    assert_eq!(stage.browser().send(&link(fourth.reveal()), &[]).await.status, 303);
    assert!(stage.accounts().create_login_link("nobody", &Actor::command_line(), utc_us()).await.is_err());
    stage.close().await;
}

#[tokio::test]
async fn a_right_code_makes_a_screen_whatever_others_have_guessed_from_the_same_network() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let page = boss.send("/setting/screen", &[("label", "hall")]).await.body;
    let code = page.split("screen-code\"><code>").nth(1).and_then(|rest| rest.split('<').next()).expect("a code");
    let mut neighbour = stage.browser();
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(neighbour.send("/screen", &[("code", "22222-22222")]).await);
    }
    assert!(count(&answers, 422) == 5 && count(&answers, 429) == 15, "guesses are counted");
    let typed = stage.browser().send("/screen", &[("code", code)]).await;
    assert_eq!((typed.status, typed.location.as_str()), (303, "/chart?view=projector"), "{}", typed.body);
    let photographed = stage.browser().get(&format!("/screen/{code}")).await;
    assert_eq!(photographed.status, 303, "{}", photographed.body);
    stage.close().await;
}

#[tokio::test]
async fn whoever_has_a_large_network_takes_not_all_turns_at_the_passwords() {
    use flowtest_dashboard::limits::connections::{Crowd, Kind};
    let stage = Stage::open(BEHIND_A_PROXY).await;
    let mut boss = stage.admin("boss").await;
    boss.send("/logout", &[]).await;
    let part = |part: u16| Crowd::Network(std::net::IpAddr::from([0x2001, 0xdb8, 7, part, 0, 0, 0, 0]));
    let sign_ins = &stage.app.sign_ins;
    let held: Vec<_> = (0..2_000).filter_map(|at| sign_ins.begin(Kind::Stranger, part(at % 1_000))).collect();
    assert!(held.len() > 100, "{}", held.len());
    let mut attacker = stage.browser();
    let there = sign_in_from(&mut attacker, "2001:db8:7:ffff::1", "boss", PASSWORD).await;
    assert_eq!((there.status, there.header("retry-after")), (503, Some("5")), "{}", there.body);
    let mut elsewhere = stage.browser();
    assert_eq!(sign_in_from(&mut elsewhere, "2001:db8:8::1", "boss", PASSWORD).await.status, 303);
    let known = sign_in_from(&mut boss, "2001:db8:7:ffff::1", "boss", PASSWORD).await;
    assert_eq!(known.status, 303, "whoever is known in its browser comes in from anywhere");
    drop(held);
    stage.close().await;
}

#[tokio::test]
async fn one_contestants_right_passwords_keep_nobody_waiting_but_itself() {
    use flowtest_dashboard::limits::connections::{Crowd, Kind};
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    boss.send("/logout", &[]).await;
    let mut alice = stage.contestant("alice", "Alice").await;
    let mut bobby = stage.contestant("bobby", "Bobby").await;
    let id = stage.accounts().user_named("alice").await.expect("a database").expect("she has an account").id.0;
    // Her browsers are known, and her passwords are being looked at.
    let sign_ins = &stage.app.sign_ins;
    let own: Vec<_> = (0..1_000).filter_map(|_| sign_ins.begin(Kind::Contestant, Crowd::Account(id))).collect();
    alice.send("/logout", &[]).await;
    // Where strangers have room she has what one of them would have.
    assert_eq!(alice.sign_in("alice", PASSWORD).await.status, 303, "a known browser has no less than another");
    alice.send("/logout", &[]).await;
    let here = Crowd::Network("0.0.0.0".parse().expect("an address"));
    let strangers: Vec<_> = (0..1_000).filter_map(|_| sign_ins.begin(Kind::Stranger, here)).collect();
    let token = alice.token().await;
    let kept = [("kept_path", "/account/display-name"), ("kept", "display_name=Lovelace")];
    let mut form = vec![("name", "alice"), ("password", PASSWORD), ("csrf_token", token.as_str())];
    form.extend(kept);
    let more = alice.ask(Method::POST, "/login", &[], Some(&form)).await;
    assert_eq!((more.status, more.header("retry-after")), (503, Some("5")), "{}", more.body);
    for part in ["value=\"alice\"", "display_name=Lovelace", "Too many"] {
        assert!(more.body.contains(part), "{part}: {}", more.body);
    }
    drop(strangers);
    bobby.send("/logout", &[]).await;
    assert_eq!(bobby.sign_in("bobby", PASSWORD).await.status, 303, "another contestant");
    // And of as many accounts as there are.
    let all = (1_000..2_000).filter_map(|id| sign_ins.begin(Kind::Contestant, Crowd::Account(id)));
    let held: Vec<_> = all.collect();
    assert!(held.len() + own.len() < 100, "{}", held.len());
    assert_eq!(boss.sign_in("boss", PASSWORD).await.status, 303, "an organiser in a known browser");
    drop((own, held));
    // One after the other they are counted, too, whatever browsers they come from.
    let from = std::net::IpAddr::from([192, 0, 2, 1]);
    let again = |browser: usize| stage.app.failures.at_password("Alice", from, Some(&browser.to_string()), utc_us());
    let counted = (0..200).filter(|browser| again(*browser).map(PasswordAttempt::on_right).is_ok()).count();
    assert!((50..=60).contains(&counted), "{counted}");
    assert_eq!(alice.sign_in("alice", PASSWORD).await.status, 429);
    stage.close().await;
}

#[tokio::test]
async fn a_password_of_a_registration_is_scored_in_its_turn_and_is_an_attempt() {
    use flowtest_dashboard::limits::connections::{Crowd, Kind};
    let stage = Stage::open(&[]).await;
    let token = stage.invitation().await;
    let weak = [("token", token.as_str()), ("name", "alice"), ("display_name", "Alice"), ("password", "aaaaaaaaaaaa")];
    let mut browser = stage.browser();
    let mut answers = Vec::new();
    for spelling in 0..21 {
        // However it is spelled.
        let other = |(place, digit): (usize, char)| match place == spelling {
            true => digit.to_ascii_lowercase(),
            false => digit,
        };
        let spelled: String = token.chars().enumerate().map(other).collect();
        let spelled = format!("{}{spelled}", " ".repeat(spelling % 2));
        let mut weak = weak;
        weak[0].1 = &spelled;
        answers.push(browser.send("/register", &weak).await);
    }
    assert_eq!((count(&answers, 422), count(&answers, 429)), (20, 1));
    // Where strangers have all turns it waits for one, and nothing is spent.
    let another = stage.invitation().await;
    let here = Crowd::Network("0.0.0.0".parse().expect("an address"));
    let held: Vec<_> = (0..1_000).filter_map(|_| stage.app.sign_ins.begin(Kind::Stranger, here)).collect();
    let right = [("token", another.as_str()), ("name", "alice"), ("display_name", "Alice"), ("password", PASSWORD)];
    let crowded = browser.send("/register", &right).await;
    assert_eq!((crowded.status, crowded.header("retry-after")), (503, Some("5")), "{}", crowded.body);
    assert!(crowded.body.contains("value=\"Alice\""), "what was typed is kept: {}", crowded.body);
    drop(held);
    assert_eq!(browser.send("/register", &right).await.status, 303);
    stage.close().await;
}

#[tokio::test]
async fn behind_a_proxy_requests_under_way_are_counted_by_the_address_that_it_forwards() {
    use flowtest_dashboard::limits::connections::{Crowd, Kind};
    let stage = Stage::open(BEHIND_A_PROXY).await;
    let mut browser = stage.browser();
    let crowd = Crowd::Network("192.0.2.66".parse().expect("an address"));
    let held: Vec<_> = (0..2_000).filter_map(|_| stage.app.under_way.begin(Kind::Stranger, crowd)).collect();
    assert!(held.len() < 1_000, "{}", held.len());
    for (address, status) in [("192.0.2.66", 503), ("192.0.2.1", 200)] {
        let answer = browser.ask(Method::GET, "/login", &[("x-forwarded-for", address)], None).await;
        assert_eq!(answer.status, status, "{address}: {}", answer.body);
    }
    drop(held);
    let answer = browser.ask(Method::GET, "/login", &[("x-forwarded-for", "192.0.2.66")], None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    stage.close().await;
}

#[tokio::test]
async fn scoring_a_password_is_an_attempt() {
    let stage = Stage::open(&[]).await;
    let mut alice = stage.contestant("alice", "Alice").await;
    let weak = [("current", PASSWORD), ("password", "aaaaaaaaaaaa")];
    for _ in 0..5 {
        assert_eq!(alice.send("/account/password", &weak).await.status, 422);
    }
    assert_eq!(alice.send("/account/password", &weak).await.status, 429);
    stage.close().await;
}

#[tokio::test]
async fn a_right_invitation_registers_whatever_others_have_guessed_from_the_same_network() {
    fn form(token: &str) -> [(&'static str, &str); 4] {
        [("token", token), ("name", "alice"), ("display_name", "Alice"), ("password", PASSWORD)]
    }
    let stage = Stage::open(&[]).await;
    let token = stage.invitation().await;
    let mut neighbour = stage.browser();
    let mut closed = 0;
    for _ in 0..320 {
        closed += u32::from(neighbour.send("/register", &form("nonsense")).await.status == 429);
    }
    assert!(closed > 0, "guesses are counted");
    let registered = stage.browser().send("/register", &form(&token)).await;
    assert_eq!(registered.status, 303, "{}", registered.body);
    // Nor do they close the door to those who have an account.
    assert_eq!(stage.signed_in("alice").await.get("/index").await.status, 200);
    stage.close().await;
}
