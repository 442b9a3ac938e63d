//! Forms that somebody else wants a browser to send, and forms that are wrong.

use crate::stage::{PASSWORD, SITE, Stage};
use flowtest_dashboard::routes::routes;
use salvo::http::Method;

#[tokio::test]
async fn no_form_is_taken_without_its_token() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let stranger = stage.browser().token().await;
    let before = stage.accounts().audit_page(None, 1, Default::default()).await.expect("the log");
    let mut wrong = Vec::new();
    for route in routes().iter().filter(|route| route.method == Method::POST) {
        let path = route.path.replace("{id}", "1").replace("{action}", "hide");
        // (what is sent, why it is no token of this browser)
        for fields in [&[][..], &[("csrf_token", "")], &[("csrf_token", "AAAA")], &[("csrf_token", stranger.as_str())]]
        {
            let answer = boss.ask(Method::POST, &path, &[], Some(fields)).await;
            if answer.status != 403 {
                wrong.push(format!("{route:?} with {fields:?}: {}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let after = stage.accounts().audit_page(None, 1, Default::default()).await.expect("the log");
    assert_eq!(before, after, "nothing was done");
    stage.close().await;
}

#[tokio::test]
async fn a_form_that_was_opened_as_somebody_else_changes_nobody() {
    let stage = Stage::open(&[]).await;
    stage.contestant("alice", "Alice").await;
    stage.contestant("bob", "Bob").await;
    let mut browser = stage.browser();
    let before = browser.token().await;
    assert_eq!(browser.sign_in("alice", PASSWORD).await.status, 303);
    let as_alice = browser.get("/account").await.csrf().expect("a token");
    let elsewhere = stage.signed_in("alice").await.token().await;
    browser.send("/logout", &[]).await;
    let after = browser.token().await;
    assert_eq!(browser.sign_in("bob", PASSWORD).await.status, 303);
    // (the token of a form that lay open, when that was)
    let forms = [(before, "before"), (as_alice, "as alice"), (elsewhere, "elsewhere"), (after, "between")];
    for (token, opened) in &forms {
        let fields = [("csrf_token", token.as_str()), ("display_name", "Alice")];
        let answer = browser.ask(Method::POST, "/account/display-name", &[], Some(&fields)).await;
        assert_eq!(answer.status, 403, "opened {opened}");
        assert!(answer.body.contains("This form is too old"), "{}", answer.body);
    }
    let bob = stage.accounts().user_named("bob").await.expect("a database").expect("it registered");
    assert_eq!(bob.display_name, "Bob");
    let own = browser.get("/account").await.csrf().expect("a token");
    let fields = [("csrf_token", own.as_str()), ("display_name", "Robert")];
    assert_eq!(browser.ask(Method::POST, "/account/display-name", &[], Some(&fields)).await.status, 303);
    stage.close().await;
}

#[tokio::test]
async fn a_form_of_another_site_is_refused_even_with_the_token() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let token = boss.token().await;
    let fields = [("csrf_token", token.as_str()), ("level", "info"), ("text", "hello")];
    let foreign = [
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
        vec![("sec-fetch-site", "same-site")],
    ];
    for headers in foreign {
        let answer = boss.ask(Method::POST, "/setting/announce", &headers, Some(&fields)).await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    assert_eq!(stage.accounts().announcements().await.expect("none").len(), 0);
    let ours = [("origin", SITE), ("sec-fetch-site", "same-origin")];
    assert_eq!(boss.ask(Method::POST, "/setting/announce", &ours, Some(&fields)).await.status, 303);
    assert_eq!(stage.accounts().announcements().await.expect("one").len(), 1);
    stage.close().await;
}

#[tokio::test]
async fn every_form_on_every_page_carries_the_token() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let mut alice = stage.contestant("alice", "Alice").await;
    let mut nobody = stage.browser();
    for route in routes().iter().filter(|route| route.method == Method::GET && !route.path.contains('{')) {
        for browser in [&mut boss, &mut alice, &mut nobody] {
            let body = browser.get(route.path).await.body;
            for form in body.split("<form").skip(1) {
                let form = form.split("</form>").next().unwrap_or_default();
                let posts = form.split('>').next().unwrap_or_default().contains("post");
                assert!(!posts || form.contains("name=\"csrf_token\""), "{route:?}: {}", &form[..form.len().min(200)]);
            }
        }
    }
    stage.close().await;
}

#[tokio::test]
async fn what_was_typed_wrongly_is_named_by_its_field_and_kept() {
    let stage = Stage::open(&[]).await;
    let token = stage.invitation().await;
    let mut browser = stage.browser();
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("token", &token), ("name", "a b"), ("display_name", "Kept"), ("password", PASSWORD)], "name"),
        (&[("token", &token), ("name", "alice"), ("display_name", "Kept"), ("password", "12345678")], "password"),
        (&[("token", "nonsense"), ("name", "alice"), ("display_name", "Kept"), ("password", PASSWORD)], "token"),
        (
            &[("token", &token), ("name", "alice"), ("display_name", "\u{202e}Kept"), ("password", PASSWORD)],
            "display_name",
        ),
    ];
    for (fields, field) in cases {
        let answer = browser.send("/register", fields).await;
        assert_eq!(answer.status, 422, "{field}");
        assert!(answer.body.contains(&format!("f-{field}-error")) || answer.body.contains("error"), "{field}");
        assert!(answer.body.contains("Kept"), "{field}: what was typed stays");
        assert!(!answer.body.contains(PASSWORD), "{field}: a password is never written back");
    }
    // As a form of 0.1 called the field.
    let good = [("token", token.as_str()), ("name", "alice"), ("shown", "Kept"), ("password", PASSWORD)];
    assert_eq!(browser.send("/register", &good).await.status, 303, "the invitation is still good");
    for (endpoint, why) in
        [("ftp://x.example", "https"), ("10.0.0.1:22", "22"), ("127.0.0.1:8081", "127.0.0.1"), ("", "")]
    {
        let answer = browser.send("/index/endpoint", &[("endpoint", endpoint)]).await;
        assert_eq!(answer.status, 422, "{endpoint:?}: {}", answer.location);
        assert!(answer.body.contains(why), "{endpoint:?}");
    }
    stage.close().await;
}

#[tokio::test]
async fn registration_tells_all_that_is_wrong_at_once() {
    let stage = Stage::open(&[]).await;
    stage.contestant("alice", "Alice").await;
    let token = stage.invitation().await;
    let form = [("token", token.as_str()), ("name", "alice"), ("display_name", "ALICE"), ("password", "12345678")];
    let answer = stage.browser().send("/register", &form).await;
    assert_eq!(answer.status, 422);
    for told in ["is taken", "looks like that of another team", "guessed quickly"] {
        assert!(answer.body.contains(told), "{told}: {}", answer.body);
    }
    stage.close().await;
}

#[tokio::test]
async fn what_was_typed_when_the_session_had_ended_comes_back_after_signing_in() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let token = boss.token().await;
    let typed = [("csrf_token", token.as_str()), ("level", "info"), ("text", "Lunch \"at\" <noon>"), ("minutes", "5")];
    boss.cookies.clear();
    let asked = boss.ask(Method::POST, "/setting/announce", &[], Some(&typed)).await;
    assert_eq!(asked.status, 401);
    assert!(asked.body.contains("What you typed is kept"), "{}", asked.body);
    let field = |body: &str, name: &str| {
        let (_, rest) =
            body.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name}: {body}"));
        rest.split('"')
            .next()
            .unwrap_or_default()
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    };
    // A wrong password keeps it too.
    let mut page = asked;
    for (password, status) in [("not it", 401), (PASSWORD, 200)] {
        let (token, path, kept) =
            (page.csrf().expect("a token"), field(&page.body, "kept_path"), field(&page.body, "kept"));
        let fields = [
            ("csrf_token", token.as_str()),
            ("name", "boss"),
            ("password", password),
            ("kept_path", &path),
            ("kept", &kept),
        ];
        page = boss.ask(Method::POST, "/login", &[], Some(&fields)).await;
        assert_eq!(page.status, status, "{}", page.body);
    }
    assert!(page.body.contains("Send it now?") && !page.body.contains("<noon>"), "{}", page.body);
    assert_eq!(stage.accounts().announcements().await.expect("none").len(), 0, "it is asked about first");
    let token = page.csrf().expect("a token of the new session");
    let (level, text, minutes) = (field(&page.body, "level"), field(&page.body, "text"), field(&page.body, "minutes"));
    let again = [("csrf_token", token.as_str()), ("level", &level), ("text", &text), ("minutes", &minutes)];
    assert_eq!(boss.ask(Method::POST, "/setting/announce", &[], Some(&again)).await.status, 303);
    assert_eq!(stage.accounts().announcements().await.expect("one")[0].text, "Lunch \"at\" <noon>");
    // What is too long to go along is not lost without a word.
    let long = "x".repeat(20_000);
    let asked = stage.browser().ask(Method::POST, "/setting/contest", &[], Some(&[("plan", long.as_str())])).await;
    assert!(asked.status == 401 && asked.body.contains("too long to go along"), "{}", asked.body);
    assert!(asked.body.contains("action=\"/login\"") && !asked.body.contains("name=\"kept\""), "{}", asked.body);
    // A password goes nowhere, and nothing leads to another site.
    let typed = [("current", "my old secret"), ("password", "my new secret")];
    let asked = stage.browser().ask(Method::POST, "/account/password", &[], Some(&typed)).await;
    assert!(asked.status == 401 && !asked.body.contains("secret"), "{}", asked.body);
    let mut other = stage.browser();
    let evil =
        [("name", "boss"), ("password", PASSWORD), ("kept_path", "//evil.example/setting/halt"), ("kept", "a=b")];
    assert_eq!(other.send("/login", &evil).await.location, "/setting", "it is left out");
    stage.close().await;
}

#[tokio::test]
async fn who_has_no_invitation_is_told_nothing_of_the_rest() {
    let stage = Stage::open(&[]).await;
    stage.contestant("alice", "Alice").await;
    let form = [("token", "nonsense"), ("name", "alice"), ("shown", "\u{202e}"), ("password", "12345678")];
    let answer = stage.browser().send("/register", &form).await;
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("no invitation of this contest"), "{}", answer.body);
    for told in ["guessed quickly", "is taken", "invisible"] {
        assert!(!answer.body.contains(told), "{told}");
    }
    stage.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let long = "x".repeat(100_000);
    let answer = boss.send("/setting/announce", &[("level", "info"), ("text", &long)]).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    stage.close().await;
}
