//! Clients of the dashboard that never come to an end: they are let go, and nobody waits for them.

use crate::stage::Stage;
use flowtest_bench::contest_box::{Dashboard, Redis};
use flowtest_testkit::WAIT_MAX;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How many begin a request and do not end it.
const DAWDLERS: usize = 100;

#[test]
fn clients_that_never_finish_a_request_are_let_go_and_keep_nobody_waiting() {
    let stage = Stage::light();
    let redis = Redis::start(&stage.folder().join("redis")).unwrap_or_else(|error| panic!("{error}"));
    let dashboard = Dashboard::start(stage.folder(), &redis.url(), "venue").unwrap_or_else(|error| panic!("{error}"));
    let address = dashboard.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    // Nothing at all, half a head, half a body.
    let halves = [
        "",
        "GET /login HTTP/1.1\r\nHost: a.example\r\nX-Slow: ",
        "POST /login HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 100\r\n\r\nname=",
    ];
    let dawdlers: Vec<TcpStream> = (0..DAWDLERS)
        .map(|number| {
            let mut stream = TcpStream::connect(&address).expect("it listens");
            stream.write_all(halves[number % halves.len()].as_bytes()).expect("it is taken");
            stream
        })
        .collect();
    let page = dashboard.visitor().open("/login").unwrap_or_else(|error| panic!("{error}"));
    page.fine().unwrap_or_else(|error| panic!("{error}"));
    let until = Instant::now() + WAIT_MAX;
    for (number, mut stream) in dawdlers.into_iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).expect("a time");
        let mut said = Vec::new();
        if let Err(error) = stream.read_to_end(&mut said) {
            // A reset is an end, too.
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "dawdler {number} was kept");
        }
        assert!(!said.starts_with(b"HTTP/1.1 2"), "dawdler {number} got {}", String::from_utf8_lossy(&said));
    }
}
