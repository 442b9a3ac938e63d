//! Requests that no browser sends.

use crate::stage::{HERE, Stage, exchange, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host_once() {
    let stage = Stage::open(None, &[]).await;
    // (what stands behind the request line, the status)
    let cases = [
        ("Host: scores.example.org\r\n", 200),
        ("", 400),
        ("Host:\r\n", 400),
        ("Host: a\r\nHost: b\r\n", 400),
        ("Host: a\r\nhost: a\r\n", 400),
        ("Host: user@scores.example.org\r\n", 400),
        ("Host: scores.example.org/path\r\n", 400),
    ];
    for path in ["/rules", "/healthz"] {
        for (hosts, expected) in cases {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
            let answer = exchange(stage.address, HERE, request.as_bytes()).await;
            assert_eq!(status(&answer), expected, "{path} {hosts:?}: {answer}");
        }
    }
    let old = exchange(stage.address, HERE, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&old), 200, "{old}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_request_says_stands_in_a_link() {
    let stage = Stage::open(None, &[]).await;
    let evil = "evil.example";
    for path in ["/login", "/register", "/rules", "/nothing", "/index", "/"] {
        let head = format!("Host: {evil}\r\nX-Forwarded-Host: {evil}\r\nForwarded: host={evil}\r\n");
        for target in [path.to_owned(), format!("http://{evil}{path}")] {
            let request = format!("GET {target} HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
            let answer = exchange(stage.address, HERE, request.as_bytes()).await;
            assert!(status(&answer) < 500 && status(&answer) != 0, "{target}: {answer}");
            assert!(!answer.contains(evil), "{target}: {answer}");
        }
    }
    // The form of a link goes to no other host.
    for path in ["/login/link/boss/00", "//login/link/boss/00", "//login//link/boss/00"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = exchange(stage.address, HERE, request.as_bytes()).await;
        assert!(!answer.contains("action=\"//"), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_never_taken_for_two() {
    let stage = Stage::open(None, &[]).await;
    let hidden = "GET /rules HTTP/1.1\r\nHost: x\r\n\r\n";
    // (the headers of a request, its body): where readers differ, nothing but an end may follow.
    let cases = [
        // two ways of saying how long it is
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", format!("0\r\n\r\n{hidden}")),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", format!("0\r\n\r\n{hidden}")),
        ("Content-Length: 0\r\nContent-Length: 35\r\n", hidden.to_owned()),
        ("Content-Length: 0, 35\r\n", hidden.to_owned()),
        ("Content-Length: +0\r\n", hidden.to_owned()),
        ("Transfer-Encoding: xchunked\r\n", format!("0\r\n\r\n{hidden}")),
        ("Transfer-Encoding: chunked, identity\r\n", format!("0\r\n\r\n{hidden}")),
        ("Transfer-Encoding : chunked\r\n", format!("0\r\n\r\n{hidden}")),
        ("Transfer-Encoding: chunked\r\n", format!("1;a\nb\r\n0\r\n\r\n{hidden}")),
        (" Content-Length: 35\r\n", hidden.to_owned()),
        ("X: a\r\n b\r\n", hidden.to_owned()),
    ];
    for (headers, body) in &cases {
        let request = format!("POST /login HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}");
        let answer = exchange(stage.address, HERE, request.as_bytes()).await;
        assert!(!answer.contains("HTTP/1.1 200"), "{headers:?} hides a request: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_cut_off() {
    let stage = Stage::open(None, &[]).await;
    let long = "x".repeat(4 << 20);
    let cases = [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: flowtest={long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(10_000)),
        // what a thousand silent connections could fill the memory with
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\nConnection: close\r\n\r\n", &long[..100 << 10]),
        format!("POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{long}", long.len()),
        format!("POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n{long}\r\n0\r\n\r\n"),
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ];
    for request in &cases {
        let answer = exchange(stage.address, HERE, request.as_bytes()).await;
        let refused = matches!(status(&answer), 0 | 400 | 403 | 404 | 405 | 413 | 414 | 431 | 505);
        assert!(refused, "{}: {answer}", &request[..40.min(request.len())]);
    }
    let answer = exchange(stage.address, HERE, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 200, "it lives: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_writes_no_files() {
    let stage = Stage::open(None, &[]).await;
    let part = "--x\r\nContent-Disposition: form-data; name=\"csrf_token\"; filename=\"a\"\r\n\r\nhello\r\n--x--\r\n";
    for kind in ["multipart/form-data; boundary=x", "application/json", "text/plain", "application/xml"] {
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{part}",
            part.len()
        );
        let answer = exchange(stage.address, HERE, request.as_bytes()).await;
        assert_eq!(status(&answer), 400, "{kind}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_files() {
    let stage = Stage::open(None, &[]).await;
    let ways = [
        "/static/x/../../Cargo.toml",
        "/static/x/..%2f..%2f..%2fetc%2fpasswd",
        "/static/x/%2e%2e/%2e%2e/etc/passwd",
        "/static/x//etc/passwd",
        "/static/x/....//etc/passwd",
        "/static/x/..\\..\\etc\\passwd",
        "/static/x/%00/etc/passwd",
        "/static/x/%252e%252e/etc/passwd",
    ];
    for path in ways {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = exchange(stage.address, HERE, request.as_bytes()).await;
        assert!(matches!(status(&answer), 400 | 404), "{path}: {answer}");
        assert!(!answer.contains("root:") && !answer.contains("[package]"), "{path}: {answer}");
    }
}
