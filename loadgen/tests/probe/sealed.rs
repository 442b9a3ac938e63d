//! What a probe says of servers over https: those that are trusted, those that are not, and those that break TLS.

#[path = "../identity/mod.rs"]
mod identity;

use crate::peer::terms;
use flowtest_contest::Endpoint;
use flowtest_contest::policy::TlsTrust;
use flowtest_contract::verdict::Failure;
use flowtest_loadgen::admit::probe::{ProbeReport, probe};
use flowtest_loadgen::admit::trust::ContestTrust;
use flowtest_testkit::WAIT_MAX;
use identity::{Identity, serve, serve_until_close};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// As long as a server may take that says nothing.
const SHORT: Duration = Duration::from_millis(400);

fn ask(identity: &Identity, setting: TlsTrust, host: &str, address: SocketAddr, timeout: Duration) -> ProbeReport {
    let trust = ContestTrust::new(&[identity.path("ca.pem").into()]).expect("an authority");
    let endpoint: Endpoint = format!("https://{host}:{}/", address.port()).parse().expect("an endpoint");
    let tls = trust.of(setting).server(&endpoint).expect("a name");
    probe(&endpoint, tls.as_ref(), &[address], &terms(timeout), None, WAIT_MAX).expect("it was asked")
}

#[track_caller]
fn assert_fails(report: &ProbeReport, failure: Failure, part: &str) {
    assert!(!report.ready() && report.exchanges.len() == 1, "it is asked once: {report:?}");
    assert_eq!(report.exchanges[0].finding.failure(), Some(failure), "{report:?}");
    assert!(report.message().contains(part), "{}", report.message());
}

/// A server that does this with each connection.
fn hostile(script: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || script(stream));
        }
    });
    address
}

#[test]
fn right_answers_are_right_over_both_versions_also_on_a_connection_for_each() {
    let identity = Identity::honest();
    let mut seen = std::collections::BTreeSet::new();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for answers_each in [0, 1] {
            let address = serve(identity.config(&[version]), answers_each);
            for host in ["localhost", "127.0.0.1"] {
                let report = ask(&identity, TlsTrust::Verify, host, address, WAIT_MAX);
                assert!(report.ready() && report.exchanges.len() == 3, "{report:?}");
                assert_eq!(report.endpoint, format!("https://{host}:{}/", address.port()));
                assert!(report.exchanges.iter().all(|exchange| !exchange.resent), "{report:?}");
                seen.insert(report.certificate().expect("it showed one").to_owned());
            }
        }
    }
    // One server is known by its certificate, however it is reached.
    assert!(seen.len() == 1 && seen.iter().all(|certificate| certificate.len() == 64), "{seen:?}");
}

#[test]
fn a_certificate_that_is_not_trusted_is_named_and_taken_where_any_will_do() {
    let expired = Identity::new(&["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let other = Identity::new(&["other.example", "10.0.0.1"], |_| {});
    let (honest, stranger) = (Identity::honest(), Identity::honest());
    let all = || rustls::ALL_VERSIONS;
    // (whose certificate, whom we trust, part of the sentence)
    for (shown, trusted, part) in [
        (&expired, &expired, "expired on 2021-01-01"),
        (&other, &other, "for another name"),
        // Its authority has the name of the trusted one, and another key.
        (&honest, &stranger, "not signed by the authority that it names"),
    ] {
        let address = serve(shown.config(all()), 0);
        assert_fails(&ask(trusted, TlsTrust::Verify, "localhost", address, WAIT_MAX), Failure::Tls, part);
        assert!(ask(trusted, TlsTrust::Any, "localhost", address, WAIT_MAX).ready(), "{part}");
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_needs_close_notify_and_is_told_so() {
    let identity = Identity::honest();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let ask = |says_so| {
            let address = serve_until_close(identity.config(&[version]), says_so);
            ask(&identity, TlsTrust::Verify, "localhost", address, WAIT_MAX)
        };
        assert!(ask(true).ready());
        let report = ask(false);
        assert_eq!(report.exchanges[0].finding.failure(), Some(Failure::Reset), "{report:?}");
        assert!(!report.ready() && report.message().contains("without TLS's close_notify"), "{report:?}");
    }
}

#[test]
fn a_server_that_breaks_tls_is_told_so_and_keeps_nobody_longer_than_it_may() {
    let identity = Identity::honest();
    let ask = |script, timeout| {
        let begun = Instant::now();
        let report = ask(&identity, TlsTrust::Verify, "localhost", hostile(script), timeout);
        assert!(timeout == WAIT_MAX || begun.elapsed() < 10 * SHORT, "{report:?}");
        report
    };
    let plain = ask(
        |mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        },
        WAIT_MAX,
    );
    assert_fails(&plain, Failure::Tls, "does not answer in TLS");
    let closing = ask(|mut stream| drop(stream.read(&mut [0; 4096])), WAIT_MAX);
    assert_fails(&closing, Failure::Tls, "in the middle of the handshake");
    let alert = ask(
        |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"\x15\x03\x03\x00\x02\x02\x28");
        },
        WAIT_MAX,
    );
    assert_fails(&alert, Failure::Tls, "HandshakeFailure");
    let silent = ask(|mut stream| while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}, SHORT);
    assert_fails(&silent, Failure::Timeout, "within 0.4 s");
    // A record that grows by a byte now and then.
    let dripping = ask(
        |mut stream| {
            let _ = stream.write_all(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xff");
            while stream.write_all(&[0]).is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        },
        SHORT,
    );
    assert_fails(&dripping, Failure::Timeout, "within 0.4 s");
    // Handshake records without end.
    let endless = ask(
        |mut stream| {
            let record = [b"\x16\x03\x03\x40\x00".as_slice(), b"\x02\xff\xff\xff", &[0; 0x4000 - 4]].concat();
            while stream.write_all(&record).is_ok() {}
        },
        WAIT_MAX,
    );
    assert_fails(&endless, Failure::Tls, "longer than 73728 bytes");
}
