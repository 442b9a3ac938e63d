//! What a probe says of each kind of server.

use crate::peer::{Notes, Peer, Reply, answer, right, terms};
use flowtest_contract::verdict::Failure;
use flowtest_loadgen::admit::probe::{Finding, ProbeError, ProbeReport, Team, probe};
use flowtest_testkit::WAIT_MAX;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn ask(peer: &Peer) -> ProbeReport {
    probe(&peer.endpoint(), None, &[peer.address], &terms(WAIT_MAX), None, WAIT_MAX).expect("it was asked")
}

#[track_caller]
fn assert_fails(report: &ProbeReport, failure: Failure, part: &str) {
    assert!(!report.ready() && report.verdicts().is_none(), "{report:?}");
    assert_eq!(report.exchanges[0].finding.failure(), Some(failure), "{report:?}");
    assert!(report.message().contains(part), "{}", report.message());
}

#[test]
fn an_honest_server_is_ready_after_three_fresh_tokens_on_one_connection() {
    let notes = Notes::default();
    let seen = notes.clone();
    let peer = Peer::start(move |request| {
        seen.add(&String::from_utf8_lossy(&request.bytes));
        Reply::Keep(right(&request.token))
    });
    let report = ask(&peer);
    assert!(report.ready(), "{report:?}");
    assert_eq!(report.message(), "all three headers are right in all 3 answers");
    assert_eq!((report.exchanges.len(), peer.connections()), (3, 1));
    let requests: HashSet<String> = notes.all().into_iter().collect();
    assert_eq!(requests.len(), 3, "each request has a token of its own");
    let host = format!("GET / HTTP/1.1\r\nHost: {}\r\nUser-Agent: FlowTest/", peer.address);
    assert!(requests.iter().all(|request| request.starts_with(&host)), "{requests:?}");
    let first = &report.exchanges[0];
    assert_eq!(first.status_line.as_deref(), Some("HTTP/1.1 200 OK"));
    assert!(first.latency_us.is_some() && first.head.ends_with("Content-Length: 2\\r\\n\\r\\n"), "{}", first.head);
}

#[test]
fn wrong_headers_are_named_with_what_was_expected_and_what_came() {
    let peer = Peer::start(|request| Reply::Keep(answer(&[("Token", &request.token[1..]), ("Version", "v1")])));
    let report = ask(&peer);
    assert!(!report.ready());
    assert_eq!(report.exchanges.len(), 3);
    let verdicts = report.verdicts().expect("it answered");
    assert!(!verdicts.token && !verdicts.version && !verdicts.from);
    let Finding::Answered(headers) = &report.exchanges[0].finding else { panic!("{report:?}") };
    let [token, version, from] = &**headers;
    assert!(token.expected.starts_with("Token: ") && token.expected.len() == "Token: ".len() + 32);
    assert!(token.expected.ends_with(&token.received["Token: ".len()..]), "{token:?}");
    assert_eq!((version.expected.as_str(), version.received.as_str()), ("Version: v2", "Version: v1"));
    assert_eq!((from.expected.as_str(), from.received.as_str()), ("From: ECS", "no From header"));
    assert!(report.message().contains("from: there is no From header"), "{}", report.message());
}

#[test]
fn one_right_answer_of_three_is_none() {
    let asked = AtomicUsize::new(0);
    let peer = Peer::start(move |request| match asked.fetch_add(1, Ordering::Relaxed) {
        1 => Reply::Keep(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
        _ => Reply::Keep(right(&request.token)),
    });
    let report = ask(&peer);
    let verdicts = report.verdicts().expect("it answered");
    assert!(!report.ready() && !verdicts.token && !verdicts.version && !verdicts.from, "{report:?}");
}

#[test]
fn one_wrong_version_leaves_the_other_two_right() {
    let peer =
        Peer::start(|request| Reply::Keep(answer(&[("token", &request.token), ("VERSION", " v1\t"), ("from", "ECS")])));
    let report = ask(&peer);
    let verdicts = report.verdicts().expect("it answered");
    assert!(verdicts.token && !verdicts.version && verdicts.from && !report.ready());
    assert!(report.message().starts_with("version: v1 was right before the deadline"), "{}", report.message());
}

#[test]
fn a_server_that_closes_after_each_answer_gets_a_connection_for_each() {
    let peer = Peer::start(|request| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n".to_vec();
        bytes.extend_from_slice(&right(&request.token)[b"HTTP/1.1 200 OK\r\n".len()..]);
        Reply::Close(bytes)
    });
    let report = ask(&peer);
    assert!(report.ready(), "{report:?}");
    assert_eq!(peer.connections(), 3);
    assert!(report.exchanges.iter().all(|exchange| !exchange.resent));
}

#[test]
fn a_server_that_closes_in_silence_is_asked_once_more_with_another_token() {
    // It promises to keep the connection and does not: what comes second on it goes out again.
    let peer = Peer::start(|request| match request.number {
        0 => Reply::Keep(right(&request.token)),
        _ => Reply::Close(Vec::new()),
    });
    let report = ask(&peer);
    assert!(report.ready(), "{report:?}");
    let resent: Vec<bool> = report.exchanges.iter().map(|exchange| exchange.resent).collect();
    assert_eq!((resent, peer.connections()), (vec![false, true, true], 3));
}

#[test]
fn a_server_that_closes_a_fresh_connection_has_reset_it() {
    let peer = Peer::start(|_| Reply::Close(Vec::new()));
    let report = ask(&peer);
    assert_fails(&report, Failure::Reset, "the connection ended before the answer was complete");
    assert_eq!(peer.connections(), 3, "nothing is sent twice on a fresh connection");
    let cut = Peer::start(|request| Reply::Close(right(&request.token)[..30].to_vec()));
    assert_fails(&ask(&cut), Failure::Reset, "received: HTTP/1.1 200 OK");
}

#[test]
fn a_silent_server_times_out_once_and_is_not_asked_again() {
    let peer = Peer::start(|_| Reply::Silence);
    let timeout = Duration::from_millis(200);
    let report = probe(&peer.endpoint(), None, &[peer.address], &terms(timeout), None, WAIT_MAX).expect("it was asked");
    assert_fails(&report, Failure::Timeout, "no whole answer came within 0.2 s");
    assert!(report.message().contains("received: not a byte"), "{}", report.message());
    assert_eq!(report.exchanges.len(), 1);
}

#[test]
fn a_server_that_drips_byte_by_byte_does_not_move_the_deadline() {
    let peer = Peer::start(|_| Reply::Drip([b"HTTP/1.1 200 OK\r\nX: ", vec![b'x'; 5_000].as_slice()].concat()));
    let report = probe(&peer.endpoint(), None, &[peer.address], &terms(Duration::from_millis(200)), None, WAIT_MAX)
        .expect("asked");
    assert_fails(&report, Failure::Timeout, "no whole answer came within 0.2 s");
}

#[test]
fn nobody_at_the_address_is_refused() {
    let peer = Peer::honest();
    let (endpoint, address) = (peer.endpoint(), peer.address);
    drop(peer);
    let report = probe(&endpoint, None, &[address], &terms(WAIT_MAX), None, WAIT_MAX).expect("it was asked");
    assert_fails(&report, Failure::Refused, "nothing listens there");
}

#[test]
fn redirects_are_not_followed_and_other_statuses_fail() {
    for status in ["302 Found", "500 Broken", "404 Not Found"] {
        let bytes = format!("HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
        let peer = Peer::start(move |_| Reply::Keep(bytes.clone().into_bytes()));
        let report = ask(&peer);
        assert_fails(&report, Failure::Status, "redirects are not followed");
        assert!(report.message().contains(&format!("received: HTTP/1.1 {status}")), "{}", report.message());
        assert_eq!((report.exchanges.len(), peer.connections()), (3, 1));
    }
}

#[test]
fn bytes_that_are_no_answer_are_malformed_and_shown_escaped() {
    let peer = Peer::start(|_| Reply::Close(b"SSH-2.0-\x1b[31mOpen\xff\r\n".to_vec()));
    let report = ask(&peer);
    assert_fails(&report, Failure::Malformed, "does not begin with `HTTP/1.`");
    assert_eq!(report.exchanges[0].head, "SSH-2.0-\\x1b[31mOpen\\xff\\r\\n");
}

#[test]
fn a_huge_head_is_malformed_and_only_its_first_kilobyte_shown() {
    let peer = Peer::start(|_| Reply::Close([b"HTTP/1.1 200 OK\r\nX: ", vec![b'x'; 1 << 20].as_slice()].concat()));
    let report = ask(&peer);
    assert_fails(&report, Failure::Malformed, "the head is longer than 8192 bytes");
    assert_eq!(report.exchanges[0].head.len(), 1024);
}

#[test]
fn bytes_that_nobody_asked_for_cost_the_connection_and_are_told() {
    let peer = Peer::start(|request| Reply::Keep([&right(&request.token)[..], b"more"].concat()));
    let report = ask(&peer);
    assert!(report.ready(), "they cost no points: {report:?}");
    assert!(report.message().contains("nobody had asked for"), "{}", report.message());
    assert_eq!(peer.connections(), 3);
}

#[test]
fn every_address_of_a_name_is_asked() {
    let honest = Peer::honest();
    let port = honest.address.port();
    // Another address with the same port is free on this machine unless somebody took it just now.
    let wrong = Peer::start_at([127, 0, 0, 2].into(), port, |_| Reply::Keep(answer(&[("Version", "v2")])));
    let wrong = wrong.expect("the port is free at 127.0.0.2");
    let endpoint = format!("alice.test:{port}").parse().expect("an endpoint");
    let addresses = [honest.address, wrong.address];
    let report = probe(&endpoint, None, &addresses, &terms(WAIT_MAX), None, WAIT_MAX).expect("asked");
    assert!(!report.ready());
    assert_eq!(report.exchanges.len(), 6, "three tokens for each");
    assert!(report.is_verified_at(honest.address) && !report.is_verified_at(wrong.address));
    assert!(report.message().starts_with("127.0.0.2:"), "{}", report.message());
    let mut first = terms(WAIT_MAX);
    first.every_address = false;
    assert!(probe(&endpoint, None, &addresses, &first, None, WAIT_MAX).expect("asked").ready());
    assert_eq!(probe(&endpoint, None, &[], &first, None, WAIT_MAX), Err(ProbeError::NoAddress));
    let late = probe(&endpoint, None, &addresses, &first, None, Duration::ZERO).expect("no time");
    assert!(!late.ready() && late.message().contains("the time was over"), "{}", late.message());
}

#[test]
fn a_server_that_has_to_say_whose_it_is_says_it_in_every_answer() {
    let says = |team: Option<&'static str>| {
        Peer::start(move |request| {
            let lines = [("Token", request.token.as_str()), ("Version", "v2"), ("From", "ECS")];
            let team = team.map(|team| ("Team", team));
            Reply::Keep(answer(&lines.into_iter().chain(team).collect::<Vec<_>>()))
        })
    };
    let ask = |peer: &Peer, team: Option<Team<'_>>| {
        probe(&peer.endpoint(), None, &[peer.address], &terms(WAIT_MAX), team, WAIT_MAX).expect("it was asked")
    };
    let (own, rivals, nobodys) = (says(Some("alice")), says(Some("bobby")), says(None));
    // (the server, whether alice's is asked for, whether it is ready, what it says)
    let cases = [
        (&own, true, true, Some("alice")),
        (&rivals, true, false, Some("bobby")),
        (&rivals, false, true, Some("bobby")),
        (&nobodys, true, false, None),
        (&nobodys, false, true, None),
    ];
    for (peer, asked, ready, seen) in cases {
        let report = ask(peer, asked.then_some(Team("alice")));
        assert_eq!((report.ready(), report.team_seen("alice")), (ready, seen), "{report:?}");
        assert_eq!(report.message().contains("team: "), !ready, "{}", report.message());
    }
}
