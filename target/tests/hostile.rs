//! Odd and hostile requests: which status, and what becomes of the connection, however the bytes arrive.

mod common;

use common::{Client, DRIVERS, Target};
use std::time::Duration;

const T: &str = "Token: 0123456789abcdef0123456789abcdef\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The next request on the connection is answered.
    Keep,
    /// The last response says close, and the connection ends.
    Close,
    /// No answer yet: the request is not complete.
    Wait,
}
use Fate::{Close, Keep, Wait};

struct Case {
    bytes: Vec<u8>,
    statuses: &'static [u16],
    fate: Fate,
    why: &'static str,
}

fn row(bytes: impl Into<Vec<u8>>, statuses: &'static [u16], fate: Fate, why: &'static str) -> Case {
    Case { bytes: bytes.into(), statuses, fate, why }
}

/// A request of this first line and these header lines.
fn r(first: &str, lines: &str) -> String {
    format!("{first}\r\nHost: t\r\n{lines}\r\n")
}

fn rows() -> Vec<Case> {
    let long = "x".repeat(9000);
    let post = |lines: &str, body: &str| r("POST / HTTP/1.1", lines) + body;
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    vec![
        // the usual
        row(r("GET / HTTP/1.1", T), &[200], Keep, "the usual request"),
        row(r("GET / HTTP/1.1", ""), &[200], Keep, "no token: a page without one"),
        row(r("GET /a/b?c=d&e HTTP/1.1", T), &[200], Keep, "any path and query"),
        row(r("HEAD / HTTP/1.1", T), &[200], Keep, "HEAD"),
        row(r("POST / HTTP/1.1", T), &[200], Keep, "POST without a body"),
        row(r("GET http://t/x HTTP/1.1", T), &[200], Keep, "absolute form"),
        row(
            r("GET / HTTP/1.1", "token:0123456789abcdef0123456789abcdef\r\n"),
            &[200],
            Keep,
            "names in any case, no space",
        ),
        row(
            r("GET / HTTP/1.1", "Token: \t0123456789abcdef0123456789abcdef\t \r\n"),
            &[200],
            Keep,
            "spaces around a value",
        ),
        row(format!("\r\n{}", r("GET / HTTP/1.1", T)), &[200], Keep, "an empty line before a request is skipped"),
        row(r("GET / HTTP/1.1", "X-\u{e9}: 1\r\n"), &[400], Close, "a header name beyond ASCII"),
        row(r("GET / HTTP/1.1", "X: \u{e9}\r\n"), &[200], Keep, "a header value beyond ASCII is opaque"),
        row(r("GET / HTTP/1.1", "X:\r\n"), &[200], Keep, "an empty value"),
        row(r("GET / HTTP/1.1", "Upgrade: h2c\r\nConnection: upgrade\r\n"), &[200], Keep, "upgrades are ignored"),
        // persistence
        row(r("GET / HTTP/1.1", "Connection: close\r\n"), &[200], Close, "close"),
        row(r("GET / HTTP/1.1", "Connection: foo , CLOSE\r\n"), &[200], Close, "close in a list, in any case"),
        row(r("GET / HTTP/1.1", "Connection: keep-alive\r\n"), &[200], Keep, "keep-alive is the default"),
        row(r("GET / HTTP/1.1", "Connection: keep-alive, close\r\n"), &[200], Close, "close wins"),
        row("GET / HTTP/1.0\r\n\r\n", &[200], Close, "HTTP/1.0 closes, and needs no Host"),
        row("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &[200], Keep, "HTTP/1.0 that asked to stay"),
        row("HEAD / HTTP/1.0\r\n\r\n", &[200], Close, "HEAD in HTTP/1.0"),
        // pipelining
        row(r("GET / HTTP/1.1", T).repeat(3), &[200, 200, 200], Keep, "three at once"),
        row(
            r("GET / HTTP/1.1", T) + &r("HEAD / HTTP/1.1", T) + &r("GET /2 HTTP/1.1", ""),
            &[200, 200, 200],
            Keep,
            "three different ones",
        ),
        row(
            r("GET / HTTP/1.1", "Connection: close\r\n") + &r("GET / HTTP/1.1", T),
            &[200],
            Close,
            "nothing after close",
        ),
        row(r("GET / HTTP/1.1", T) + "BAD\r\n\r\n", &[200, 400], Close, "a good one before a bad one"),
        row(
            post("Content-Length: 3\r\n", "abc") + &r("GET / HTTP/1.1", T),
            &[200, 200],
            Keep,
            "a body, then a request",
        ),
        row(r("GET / HTTP/1.1", T) + "GET / HT", &[200], Wait, "one and a half"),
        // the request line
        row(r("get / HTTP/1.1", ""), &[501], Keep, "methods are case-sensitive"),
        row(r("BREW / HTTP/1.1", T), &[501], Keep, "a method that nobody knows"),
        row(r("BREW / HTTP/1.1", "Content-Length: 2\r\n") + "ab", &[501], Keep, "the body of an unknown method"),
        row(r("DELETE / HTTP/1.1", T), &[405], Keep, "a method we do not take"),
        row(r("PUT / HTTP/1.1", "Content-Length: 2\r\n") + "ab", &[405], Keep, "its body is dropped"),
        row(r("OPTIONS * HTTP/1.1", ""), &[405], Keep, "asterisk form"),
        row(r("CONNECT t:80 HTTP/1.1", ""), &[405], Close, "no tunnels"),
        row(r("GET * HTTP/1.1", ""), &[400], Close, "an asterisk is for OPTIONS"),
        row(r("GET t:80 HTTP/1.1", ""), &[400], Close, "authority form is for CONNECT"),
        row(r("GET https://t/ HTTP/1.1", ""), &[400], Close, "another scheme is not ours"),
        row(r("GET  / HTTP/1.1", ""), &[400], Close, "two spaces"),
        row(r("GET / HTTP/1.1 ", ""), &[400], Close, "a space at the end"),
        row(r("GET / x HTTP/1.1", ""), &[400], Close, "a space in the target"),
        row(r("GET /\u{7f} HTTP/1.1", ""), &[400], Close, "DEL in the target"),
        row(r("GET /\u{e9} HTTP/1.1", T), &[400], Close, "a path beyond ASCII"),
        row(r("GET /?\u{e9} HTTP/1.1", T), &[400], Close, "a query beyond ASCII"),
        row(b"GET /\xe9 HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(), &[400], Close, "a path that is not UTF-8"),
        row(r("DELETE /\u{e9} HTTP/1.1", T), &[400], Close, "the same with another method"),
        row(r("GET http://u@t/ HTTP/1.1", T), &[400], Close, "a user in the absolute form"),
        row("GET /\0 HTTP/1.1\r\nHost: t\r\n\r\n", &[400], Close, "NUL in the target"),
        row("GET /\r\n\r\n", &[400], Close, "HTTP/0.9"),
        row(r("GET / HTTP/2.0", ""), &[505], Close, "HTTP/2 without its preface"),
        row("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505], Close, "the preface of HTTP/2"),
        row(r("GET / HTTP/1.2", ""), &[505], Close, "a later HTTP/1"),
        row(r("GET / HTTP/0.9", ""), &[505], Close, "an earlier HTTP"),
        row(r("GET / http/1.1", ""), &[400], Close, "the version is case-sensitive"),
        row(r("GET / HTTP/11", ""), &[400], Close, "a version without a dot"),
        row(" GET / HTTP/1.1\r\nHost: t\r\n\r\n", &[400], Close, "a space before the method"),
        row(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400], Close, "a TLS hello"),
        row("SSH-2.0-OpenSSH_9.2\r\n", &[400], Close, "SSH"),
        // header lines
        row("GET / HTTP/1.1\r\n\r\n", &[400], Close, "no Host"),
        row(r("GET / HTTP/1.1", "Host: u\r\n"), &[400], Close, "two Hosts"),
        row(r("GET / HTTP/1.1", "Host: t\r\n"), &[400], Close, "the same Host twice"),
        row("GET / HTTP/1.1\r\nHost: user@h\r\n\r\n", &[400], Close, "a user in Host"),
        row("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", &[400], Close, "a space in Host"),
        row("GET / HTTP/1.1\r\nHost: h/path\r\n\r\n", &[400], Close, "a path in Host"),
        row("GET / HTTP/1.1\r\nHost: h:x\r\n\r\n", &[400], Close, "a port that is no number"),
        row("GET / HTTP/1.0\r\nHost: user@h\r\n\r\n", &[400], Close, "a user in Host, in HTTP/1.0"),
        row("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", &[200], Keep, "an IPv6 address in Host"),
        row("GET / HTTP/1.1\r\nHost:\r\n\r\n", &[200], Keep, "an empty Host, of a client that has none"),
        row(r("GET / HTTP/1.1", "X : 1\r\n"), &[400], Close, "a space before the colon"),
        row(r("GET / HTTP/1.1", " folded: 1\r\n"), &[400], Close, "a folded line"),
        row(r("GET / HTTP/1.1", "no colon\r\n"), &[400], Close, "no colon"),
        row(r("GET / HTTP/1.1", ": 1\r\n"), &[400], Close, "no name"),
        row(r("GET / HTTP/1.1", "X: a\rb\r\n"), &[400], Close, "a bare CR"),
        row(r("GET / HTTP/1.1", "X: a\0b\r\n"), &[400], Close, "NUL"),
        row("GET / HTTP/1.1\nHost: t\n\n", &[400], Close, "bare LF throughout"),
        row("GET / HTTP/1.1\r\nHost: t\n\r\n", &[400], Close, "one bare LF"),
        row(r("GET / HTTP/1.1", &format!("X: {long}\r\n")), &[431], Close, "a line above the limit"),
        row(format!("GET /{long} HTTP/1.1\r\n\r\n"), &[431], Close, "a target above the limit"),
        row(r("GET / HTTP/1.1", &"X: 1\r\n".repeat(64)), &[431], Close, "65 header lines"),
        row(r("GET / HTTP/1.1", &"X: 1\r\n".repeat(63)), &[200], Keep, "64 header lines"),
        // the token
        row(r("GET / HTTP/1.1", "Token: 0123456789ABCDEF0123456789abcdef\r\n"), &[200], Keep, "upper-case digits"),
        row(r("GET / HTTP/1.1", "Token: 0123456789abcdef0123456789abcde\r\n"), &[200], Keep, "31 digits"),
        row(r("GET / HTTP/1.1", &format!("Token: {}\r\n", &long[..128])), &[200], Keep, "128 characters"),
        row(r("GET / HTTP/1.1", &format!("Token: {}\r\n", &long[..129])), &[400], Close, "129 characters"),
        row(r("GET / HTTP/1.1", "Token: a b\r\n"), &[400], Close, "a space in a token"),
        row(r("GET / HTTP/1.1", "Token: \u{e9}\r\n"), &[400], Close, "a token beyond ASCII"),
        row(r("GET / HTTP/1.1", "Token:\r\n"), &[400], Close, "an empty token"),
        row(r("GET / HTTP/1.1", &T.repeat(2)), &[400], Close, "two tokens, even equal ones"),
        row(r("HEAD / HTTP/1.1", "Token: x y\r\n"), &[400], Close, "HEAD gets no body with a 400 either"),
        // bodies
        row(post("Content-Length: 5\r\n", "hello"), &[200], Keep, "a length"),
        row(post("Content-Length: 0\r\n", ""), &[200], Keep, "an empty body"),
        row(r("GET / HTTP/1.1", "Content-Length: 5\r\n") + "hello", &[200], Keep, "GET with a body"),
        row(post("Content-Length: 5\r\n", "hell"), &[], Wait, "a body that is not complete"),
        row(post("Content-Length: 65536\r\n", &"x".repeat(65536)), &[200], Keep, "a body of the limit"),
        row(post("Content-Length: 65537\r\n", ""), &[413], Close, "a body above the limit"),
        row(post("Content-Length: 99999999999999999999999\r\n", ""), &[413], Close, "a length above any number"),
        row(post("Content-Length: -1\r\n", ""), &[400], Close, "a negative length"),
        row(post("Content-Length: +5\r\n", "hello"), &[400], Close, "a sign"),
        row(post("Content-Length: 5 5\r\n", "hello"), &[400], Close, "two numbers"),
        row(post("Content-Length: 5, 5\r\n", "hello"), &[400], Close, "a list"),
        row(post("Content-Length:\r\n", ""), &[400], Close, "no number"),
        row(post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), &[400], Close, "two lengths"),
        row(
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            &[400],
            Close,
            "a length beside chunks",
        ),
        row(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), &[200], Keep, "chunks"),
        row(
            post("Transfer-Encoding: Chunked\r\n", "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"),
            &[200],
            Keep,
            "extension and trailer",
        ),
        row(post("Transfer-Encoding: chunked\r\n", "5\r\nhel"), &[], Wait, "chunks that are not complete"),
        row(chunked("5 x\r\nhello\r\n0\r\n\r\n"), &[400], Close, "junk behind a chunk size"),
        row(chunked("5x\r\nhello\r\n0\r\n\r\n"), &[400], Close, "junk that touches a chunk size"),
        row(chunked("5 \r\nhello\r\n0\r\n\r\n"), &[400], Close, "white space behind a chunk size"),
        row(chunked("5;\r\nhello\r\n0\r\n\r\n"), &[400], Close, "an extension without a name"),
        row(chunked("5;a=\r\nhello\r\n0\r\n\r\n"), &[400], Close, "an extension without its value"),
        row(chunked("5;a b\r\nhello\r\n0\r\n\r\n"), &[400], Close, "an extension of two words"),
        row(chunked("5;a=\"b\r\nhello\r\n0\r\n\r\n"), &[400], Close, "a quote that does not end"),
        row(chunked("5 ; a = \"\\\"b;\" ;c\r\nhello\r\n0\r\n\r\n"), &[200], Keep, "all that an extension may be"),
        row(chunked("0\r\nno colon\r\n\r\n"), &[400], Close, "a trailer without a colon"),
        row(chunked("0\r\nX : y\r\n\r\n"), &[400], Close, "a trailer with a space before its colon"),
        row(chunked("0\r\n folded: y\r\n\r\n"), &[400], Close, "a folded trailer"),
        row(post("Transfer-Encoding: chunked\r\n", "z\r\n"), &[400], Close, "a chunk size that is none"),
        row(
            post("Transfer-Encoding: chunked\r\n", "5\r\nhelloworld\r\n"),
            &[400],
            Close,
            "a chunk longer than it said",
        ),
        row(post("Transfer-Encoding: chunked\r\n", "10001\r\n"), &[413], Close, "a chunk above the limit"),
        row(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), &[400], Close, "chunked twice"),
        row(post("Transfer-Encoding: gzip, chunked\r\n", ""), &[501], Close, "a coding that we do not know"),
        row(post("Transfer-Encoding: chunked, gzip\r\n", ""), &[400], Close, "a coding after chunked"),
        row(
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", ""),
            &[400],
            Close,
            "the same in two lines",
        ),
        row(post("Transfer-Encoding: gzip\r\n", ""), &[400], Close, "no chunked at all: nobody knows the end"),
        row("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400], Close, "chunks in HTTP/1.0"),
        row(post("Expect: 100-continue\r\nContent-Length: 2\r\n", "ab"), &[100, 200], Keep, "continue"),
        row(post("Expect: tea\r\nContent-Length: 2\r\n", "ab"), &[417], Close, "another expectation"),
        row(post("Expect: 100-continue\r\nContent-Length: 65537\r\n", ""), &[413], Close, "no continue for too much"),
    ]
}

/// Sends the pieces, then holds the answers and the connection against the row.
fn check(target: &Target, row: &Case, pieces: &[&[u8]], how: &str, pause: Duration) {
    let context = format!("{} ({how}): {}", row.why, row.bytes[..row.bytes.len().min(120)].escape_ascii());
    let mut client = target.client();
    for piece in pieces {
        client.send(piece);
        std::thread::sleep(pause);
    }
    let methods = methods(row);
    for (index, expected) in row.statuses.iter().enumerate() {
        let response = client.response(methods[index]).unwrap_or_else(|error| panic!("{context}: {error:?}"));
        assert_eq!(response.status, *expected, "{context}");
        let last = index + 1 == row.statuses.len();
        assert_eq!(response.closes(), last && row.fate == Close, "{context}: {response:?}");
        assert_eq!(response.header("date").is_some(), *expected != 100, "{context}");
    }
    match row.fate {
        Keep => assert_eq!(client.get(&common::token(1)).map(|next| next.status), Ok(200), "{context}"),
        Close => assert!(client.is_closed(), "{context}"),
        Wait => {
            client.read_timeout(Duration::from_millis(30));
            assert_eq!(client.response(false), Err(common::Failure::Timeout), "{context}");
        }
    }
}

/// Whether the n-th response of a row answers a HEAD.
fn methods(row: &Case) -> Vec<bool> {
    if row.bytes.starts_with(b"HEAD ") {
        return vec![true];
    }
    // The only row that mixes methods has HEAD in the middle.
    let mixed = row.why == "three different ones";
    vec![false, mixed, false]
}

#[test]
fn the_table_is_large_and_every_row_different() {
    let rows = rows();
    let mut reasons: Vec<_> = rows.iter().map(|row| row.why).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), rows.len());
    assert!(rows.len() >= 60, "{}", rows.len());
}

#[test]
fn odd_and_hostile_requests_get_their_status_and_fate_delivered_whole() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver]);
        for row in rows() {
            check(&target, &row, &[&row.bytes], driver, Duration::ZERO);
        }
    }
}

#[test]
fn the_same_delivered_byte_by_byte() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver]);
        for row in rows().iter().filter(|row| row.bytes.len() < 10_000) {
            let bytes: Vec<&[u8]> = row.bytes.chunks(1).collect();
            check(&target, row, &bytes, driver, Duration::ZERO);
        }
    }
}

#[test]
fn the_same_split_at_every_line_end() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver]);
        for row in rows().iter().filter(|row| row.bytes.len() < 2_000) {
            // Before, within and behind the first line ends, the place where parsers lose their thread.
            let ends = memchr::memchr_iter(b'\n', &row.bytes).take(4);
            for at in ends.flat_map(|end| [end.saturating_sub(1), end, end + 1]) {
                let (front, back) = row.bytes.split_at(at);
                check(&target, row, &[front, back], &format!("{driver}, split at {at}"), Duration::from_millis(1));
            }
        }
    }
}

#[test]
fn nothing_that_was_sent_killed_the_server_and_all_of_it_was_counted() {
    let target = Target::start(&[]);
    let mut expected = 0;
    for row in rows() {
        expected += row.statuses.iter().filter(|status| **status != 100).count() as u64;
        expected += u64::from(row.fate == Keep);
        check(&target, &row, &[&row.bytes], "counted", Duration::ZERO);
    }
    let summary = target.stop();
    // Rows that wait were cut off by the client, without an answer.
    assert_eq!((&summary["requests"], &summary["responses"]), (&expected.into(), &expected.into()));
}

#[test]
fn noise_of_any_kind_is_refused_and_hurts_nobody() {
    let target = Target::start(&[]);
    let mut state = 1u64;
    for _ in 0..200 {
        let noise: Vec<u8> = (0..300)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let mut client: Client = target.client();
        client.send(&noise);
        client.finish_sending();
        assert!(client.response(false).is_ok_and(|response| response.status >= 400));
    }
    assert_eq!(target.client().get(&common::token(7)).map(|response| response.status), Ok(200));
}
