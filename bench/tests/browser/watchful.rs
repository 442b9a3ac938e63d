//! The plays would notice what they look for: a page that does everything wrong is told.

use crate::browser::{Browser, play, turn};
use std::io::{Read, Write};
use std::net::TcpListener;

/// Scrolls sideways, runs an inline script against its policy, asks a stranger, and writes by a script of its own.
const PAGE: &str = "<!doctype html><title>bad</title><script>document.title = 'inline'</script>\
                    <script src=\"/own.js\"></script><img src=\"http://stranger.example/pixel.png\">\
                    <p id=\"said\">plain</p>";

/// Serves the page, and its script, until the test ends.
fn site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let (kind, body) = match head[..length].starts_with(b"GET /own.js") {
                true => ("text/javascript", "addEventListener('load', () => { said.textContent = 'scripted' })"),
                false => ("text/html", PAGE),
            };
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\
                 Content-Security-Policy: default-src 'none'; script-src 'self'; img-src *\r\n\r\n{body}",
                body.len()
            );
        }
    });
    origin
}

#[test]
fn a_page_that_breaks_its_policy_and_asks_strangers_is_told() {
    let Some(_turn) = turn() else { return };
    play(async {
        let origin = site();
        let browser = Browser::open(&origin).await;
        browser.go("/").await;
        browser.until_words("scripted").await;
        let notes = browser.notes().await;
        assert!(notes.console.iter().any(|line| line.contains("Content Security Policy")), "{notes:?}");
        assert!(notes.foreign.iter().any(|url| url.contains("stranger.example")), "{notes:?}");
        let notes = browser.notes().await;
        assert!(notes.console.is_empty() && notes.foreign.is_empty(), "told twice: {notes:?}");
        browser.close().await;
    });
}

#[test]
fn a_browser_without_scripts_runs_none() {
    let Some(_turn) = turn() else { return };
    play(async {
        let browser = Browser::without_scripts(&site()).await;
        browser.go("/").await;
        browser.until_words("plain").await;
        browser.close().await;
    });
}
