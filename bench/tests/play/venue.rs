//! A venue behind one address: everybody arrives at once, and nobody is sent away.

use crate::stage::Stage;
use flowtest_bench::contest_box::people::sign_in;
use flowtest_bench::contest_box::{Dashboard, Redis, Team};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const REGISTRATIONS: usize = 100;
const LOGINS: usize = 200;
const WITHIN: Duration = Duration::from_secs(60);
/// How many people press a button at the same moment.
const HANDS: usize = 16;
/// How many begin a request and do not end it.
const DAWDLERS: usize = 100;
/// By then they were let go, however slow the machine.
const TIMEOUT: Duration = Duration::from_secs(60);
const PASSWORD: &str = "seven green lanterns";

/// Does everything once, with many hands, and returns what went wrong.
fn with_many_hands<T: Sync>(work: &[T], act: impl Fn(&T) -> flowtest_bench::error::Result<()> + Sync) -> Vec<String> {
    let (next, refused) = (Mutex::new(work.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..HANDS {
            scope.spawn(|| {
                loop {
                    let Some(one) = next.lock().expect("no hand panics").next() else { return };
                    if let Err(error) = act(one) {
                        refused.lock().expect("no hand panics").push(error.to_string());
                    }
                }
            });
        }
    });
    refused.into_inner().expect("no hand panicked")
}

/// A dashboard with its Redis.
fn open(stage: &Stage) -> (Redis, Dashboard) {
    let redis = Redis::start(&stage.folder().join("redis")).unwrap_or_else(|error| panic!("{error}"));
    let dashboard = Dashboard::start(stage.folder(), &redis.url(), "venue").unwrap_or_else(|error| panic!("{error}"));
    (redis, dashboard)
}

#[test]
fn a_hundred_teams_register_and_two_hundred_sign_in_from_one_address_within_a_minute() {
    let stage = Stage::new();
    let (redis, mut dashboard) = open(&stage);
    let invitations = dashboard.invite(REGISTRATIONS).unwrap_or_else(|error| panic!("{error}"));
    let people: Vec<(String, String)> =
        invitations.into_iter().enumerate().map(|(index, token)| (format!("team-{index}"), token)).collect();

    let start = Instant::now();
    let refused = with_many_hands(&people, |(name, token)| {
        Team::register(dashboard.visitor(), token, name, &format!("Team {name}"), PASSWORD).map(drop)
    });
    assert_eq!(refused, Vec::<String>::new(), "of {REGISTRATIONS} registrations");
    let logins: Vec<&String> = people.iter().map(|(name, _)| name).cycle().take(LOGINS).collect();
    let refused = with_many_hands(&logins, |name| sign_in(&dashboard.visitor(), name, PASSWORD).map(drop));
    assert_eq!(refused, Vec::<String>::new(), "of {LOGINS} logins");
    assert!(start.elapsed() < WITHIN, "it took {:?}", start.elapsed());
    dashboard.stop().unwrap_or_else(|error| panic!("{error}"));
    redis.stop().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn clients_that_never_finish_a_request_are_let_go_and_keep_nobody_waiting() {
    let stage = Stage::light();
    let (_redis, dashboard) = open(&stage);
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
    let until = Instant::now() + TIMEOUT;
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
