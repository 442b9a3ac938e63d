//! Every route and method, as nobody, as a contestant and as an organiser.

use crate::stage::{Answer, Browser, Stage};
use flowtest_contract::rules::UtcUs;
use flowtest_dashboard::middleware::guard::Access;
use flowtest_dashboard::routes::routes;
use salvo::http::Method;

/// What an answer to somebody means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// The handler was reached, whatever it said.
    In,
    /// Sent to the login page, or told to sign in.
    Stranger,
    Forbidden,
}

fn met(answer: &Answer) -> Met {
    match answer.status {
        303 if answer.location.starts_with("/login?next=") => Met::Stranger,
        401 if !answer.body.contains("do not belong together") => Met::Stranger,
        403 => Met::Forbidden,
        _ => Met::In,
    }
}

async fn try_route(browser: &mut Browser, method: &Method, path: &str) -> Answer {
    // Ids that exist nowhere, and forms that say nothing.
    let path = path.replace("{id}", "999999").replace("{action}", "nothing");
    if *method == Method::GET {
        return browser.get(&path).await;
    }
    let token = browser.token().await;
    browser.ask(Method::POST, &path, &[], Some(&[("csrf_token", token.as_str())])).await
}

#[tokio::test]
async fn every_route_lets_in_its_audience_and_nobody_else() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let mut alice = stage.contestant("alice", "Alice").await;
    let mut nobody = stage.browser();
    let mut wrong = Vec::new();
    for route in routes() {
        // Signing out would end what the rest needs.
        if route.path == "/logout" && route.method == Method::POST {
            continue;
        }
        let expected = match route.access {
            Access::Public => [Met::In, Met::In, Met::In],
            Access::Screen | Access::Staff => [Met::Stranger, Met::In, Met::In],
            Access::Admin => [Met::Stranger, Met::Forbidden, Met::In],
        };
        for (browser, expected) in [&mut nobody, &mut alice, &mut boss].into_iter().zip(expected) {
            let answer = try_route(browser, &route.method, route.path).await;
            // An organiser has no endpoint of its own, and is told so.
            let own_form = route.method == Method::POST && route.path.starts_with("/index/");
            if met(&answer) != expected && !(own_form && met(&answer) == Met::Forbidden) {
                wrong.push(format!("{route:?}: expected {expected:?}, got {} {}", answer.status, answer.location));
            }
            if answer.status == 500 {
                wrong.push(format!("{route:?}: {}", answer.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    stage.close().await;
}

#[tokio::test]
async fn what_is_not_in_the_list_does_not_exist() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    for path in ["/admin", "/.env", "/setting/nothing", "/static", "/api", "/live/x"] {
        let answer = boss.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    for (method, path) in [(Method::PUT, "/setting"), (Method::DELETE, "/account"), (Method::PUT, "/setting/halt")] {
        let token = boss.token().await;
        let answer = boss.ask(method.clone(), path, &[("x-csrf-token", token.as_str())], None).await;
        assert!(matches!(answer.status, 404 | 405), "{method} {path}: {}", answer.status);
    }
    stage.close().await;
}

#[tokio::test]
async fn the_address_of_a_form_leads_to_its_page() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let mut alice = stage.contestant("alice", "Alice").await;
    let opened: Vec<&str> =
        routes().iter().filter(|route| route.method == Method::GET).map(|route| route.path).collect();
    for route in routes().iter().filter(|route| route.method == Method::POST && !opened.contains(&route.path)) {
        let path = route.path.replace("{id}", "2").replace("{action}", "hide");
        let answer = boss.get(&path).await;
        assert_eq!(answer.status, 303, "{path}");
        let page = answer.location.split(['?', '#']).next().unwrap_or_default().to_owned();
        assert_eq!(boss.get(&page).await.status, 200, "{path} leads to {page}");
    }
    assert_eq!(alice.get("/index/endpoint").await.location, "/index");
    assert_eq!(alice.get("/setting/halt").await.status, 403, "it is nobody else's for that");
    assert_eq!(stage.browser().get("/setting/halt").await.location, "/login?next=%2Fsetting%2Fhalt");
    stage.close().await;
}

#[tokio::test]
async fn a_contestant_reaches_nothing_of_another_by_its_id() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let mut alice = stage.contestant("alice", "Alice").await;
    let mut bob = stage.contestant("bob", "Bob").await;
    let users = stage.accounts().users().await.expect("users");
    let id_of = |name: &str| users.iter().find(|user| user.name == name).expect("it registered").id.0;
    let alices_endpoint = "93.184.216.34:8081/alices-secret-path";
    assert_eq!(alice.send("/index/endpoint", &[("endpoint", alices_endpoint)]).await.status, 303);
    let theirs = alice.get("/index").await.body;
    assert!(theirs.contains("alices-secret-path"), "its owner sees it");
    let seen = boss.get(&format!("/index?as={}", id_of("alice"))).await.body;
    assert!(seen.contains("alices-secret-path"), "an organiser sees it");
    for path in ["/index", "/api/me", "/export/errors.csv"] {
        for id in [id_of("alice"), id_of("boss"), 999_999] {
            let answer = bob.get(&format!("{path}?as={id}")).await;
            assert_eq!(answer.status, 404, "{path} as {id}");
        }
    }
    // Wherever a contestant and a stranger may look, they do not find the endpoint of another.
    let mut nobody = stage.browser();
    for route in routes().iter().filter(|route| route.method == Method::GET && !route.path.contains('{')) {
        for browser in [&mut bob, &mut nobody] {
            let answer = browser.get(route.path).await;
            assert!(!answer.body.contains("alices-secret-path"), "{route:?}");
        }
    }
    // Sessions of another.
    let session =
        stage.accounts().sessions_of(flowtest_accounts::UserId(id_of("alice")), now()).await.expect("one")[0].id.0;
    assert_eq!(bob.send(&format!("/account/sessions/{session}/end"), &[]).await.status, 404);
    assert_eq!(alice.get("/account").await.status, 200, "it goes on");
    stage.close().await;
}

#[tokio::test]
async fn an_organiser_takes_away_the_errors_of_the_team_that_it_looks_at() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    stage.contestant("alice", "Alice").await;
    stage.contestant("bob", "Bob").await;
    let bob = stage.accounts().user_named("bob").await.expect("a database").expect("it registered").id;
    let page = boss.get(&format!("/index?as={bob}")).await.body;
    assert!(page.contains(&format!("href=\"/export/errors.csv?as={bob}\"")), "{page}");
    // An organiser has no errors of its own, so that a link without a team is an empty file.
    for path in ["/setting", "/chart", "/index"] {
        assert!(!boss.get(path).await.body.contains("href=\"/export/errors.csv\""), "{path}");
    }
    stage.close().await;
}

fn now() -> UtcUs {
    flowtest_contract::utc_us()
}
