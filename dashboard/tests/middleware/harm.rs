//! Names and texts that mean harm are shown and do nothing.

use crate::stage::{PASSWORD, Stage};
use flowtest_dashboard::middleware::headers::CONTENT_SECURITY_POLICY;
use flowtest_dashboard::routes::routes;
use flowtest_testkit::hostile::NAMES;
use salvo::http::Method;

const SCRIPT: &str = NAMES[0];
const ATTRIBUTE: &str = NAMES[1];
const FORMULA: &str = NAMES[3];

#[tokio::test]
async fn hostile_names_are_inert_on_every_page_and_in_every_file() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    stage.contestant("alice", SCRIPT).await;
    stage.contestant("bob", ATTRIBUTE).await;
    let mut carol = stage.contestant("carol", FORMULA).await;
    assert_eq!(boss.send("/setting/announce", &[("level", "warn"), ("text", SCRIPT)]).await.status, 303);
    let id = stage.accounts().user_named("carol").await.expect("a database").expect("it registered").id.0;
    let adjust = [("points", "-5"), ("reason", FORMULA)];
    assert_eq!(boss.send(&format!("/setting/contestant/{id}/adjust"), &adjust).await.status, 303);
    let mut seen = 0;
    for route in routes().iter().filter(|route| route.method == Method::GET && !route.path.contains('{')) {
        for browser in [&mut boss, &mut carol] {
            let answer = browser.get(route.path).await;
            let html = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
            if html {
                assert!(!answer.body.contains(SCRIPT), "{route:?}");
                assert!(!answer.body.contains(ATTRIBUTE), "{route:?}");
                seen += usize::from(answer.body.contains("&lt;script&gt;"));
            }
            if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")) {
                for cell in answer.body.split([',', '\n']) {
                    assert!(!cell.trim_matches('"').starts_with('='), "{route:?}: {cell}");
                }
            }
        }
    }
    assert!(seen >= 3, "the names are shown somewhere: {seen}");
    stage.close().await;
}

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_no_inline_code() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let mut paths: Vec<&str> =
        routes().iter().filter(|route| route.method == Method::GET).map(|route| route.path).collect();
    paths.extend(["/nothing-here", "/static/x/app.css", "/healthz"]);
    for path in paths.into_iter().filter(|path| !path.contains('{') && *path != "/live") {
        let answer = boss.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert!(answer.header("x-request-id").is_some(), "{path}");
        let policy = answer.header("content-security-policy").expect("a policy");
        if path == "/report.html" {
            // It stands alone, with its own style and nothing that runs.
            assert!(!policy.contains("script-src"), "{policy}");
            continue;
        }
        assert_eq!(policy, CONTENT_SECURITY_POLICY, "{path}");
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            assert!(!answer.body.contains(" style=\""), "{path}");
            assert!(!answer.body.contains("<style"), "{path}");
            for script in answer.body.split("<script").skip(1) {
                let tag = script.split('>').next().unwrap_or_default();
                assert!(tag.contains("src=\"/static/") || tag.contains("application/json"), "{path}: {tag}");
            }
            for foreign in ["src=\"http", "href=\"http", "url(http"] {
                let ours = answer.body.matches(foreign).count();
                assert_eq!(ours, 0, "{path}: {foreign}");
            }
        }
    }
    stage.close().await;
}

#[tokio::test]
async fn a_failure_names_its_cause_and_its_request_and_no_secret() {
    let stage = Stage::open(&[]).await;
    let mut nobody = stage.browser();
    let answer = nobody.get("/nothing-here").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("There is no such page"));
    let id = answer.header("x-request-id").expect("an id");
    assert!(answer.body.contains(id), "the page tells the number that the log has");
    let json = nobody.get("/api/standings").await;
    assert_eq!(
        (json.status, json.header("content-type").map(|kind| kind.starts_with("application/json"))),
        (401, Some(true))
    );
    let wrong = nobody.sign_in("boss", PASSWORD).await;
    assert!(!wrong.body.contains(PASSWORD));
    stage.close().await;
}
