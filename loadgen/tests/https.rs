//! The program itself over https: servers of both versions of TLS and of several makes, and certificates that nobody should
//! trust. Every certificate is made here.

mod identity;
mod server;

use flowtest_testkit::servers::Make;
use identity::{Identity, rsa, serve, serve_until_close};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

fn stress(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowtest-loadgen"));
    command.arg("stress").args(arguments).args(["--json", "-", "--cores", "0", "--warmup", "0s"]);
    command.output().expect("it runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn assert_all_right(output: &Output, requests: u64) {
    let figures = json(output);
    assert_eq!((&figures["requests"], &figures["verified"]), (&requests.into(), &requests.into()), "{figures}");
    assert_eq!(figures["points"], 200 * requests, "{figures}");
}

#[test]
fn both_versions_are_flooded_with_and_without_a_pipeline() {
    let identity = Identity::honest();
    let ca = identity.path("ca.pem");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let address = serve(identity.config(&[version]), 0);
        for (host, pipeline) in [("localhost", "1"), ("127.0.0.1", "16")] {
            let url = format!("https://{host}:{}/a?b=c", address.port());
            let flags = [&url, "--ca", &ca, "--requests", "2000", "--connections", "4", "--pipeline", pipeline];
            assert_all_right(&stress(&flags), 2000);
        }
        let url = format!("https://127.0.0.1:{}", address.port());
        assert_all_right(&stress(&[&url, "--ca", &ca, "--rate", "500", "--requests", "500"]), 500);
    }
}

#[test]
fn a_server_with_a_key_of_rsa_is_flooded_over_both_versions() {
    let identity = Identity::with_key(&rsa(), &["127.0.0.1"], |_| {});
    let ca = identity.path("ca.pem");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let url = format!("https://127.0.0.1:{}", serve(identity.config(&[version]), 50).port());
        assert_all_right(&stress(&[&url, "--ca", &ca, "--requests", "500", "--connections", "4"]), 500);
    }
}

#[test]
fn connections_that_end_after_each_answer_are_made_anew() {
    let identity = Identity::honest();
    let ca = identity.path("ca.pem");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let url = format!("https://127.0.0.1:{}", serve(identity.config(&[version]), 1).port());
        assert_all_right(&stress(&[&url, "--ca", &ca, "--requests", "300", "--connections", "4"]), 300);
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_needs_close_notify_and_is_told_so() {
    let identity = Identity::honest();
    let ca = identity.path("ca.pem");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let stress = |says_so| {
            let url = format!("https://127.0.0.1:{}", serve_until_close(identity.config(&[version]), says_so).port());
            stress(&[&url, "--ca", &ca, "--requests", "20", "--connections", "10"])
        };
        assert_all_right(&stress(true), 20);
        let figures = json(&stress(false));
        let count = |key: &str| figures["failed"][key].as_i64().expect("a count");
        assert!(count("reset") > 0 && count("reset") + count("own_fault") == 20, "{figures}");
        assert!(figures.to_string().contains("without TLS's close_notify"), "{figures}");
    }
}

#[test]
fn plain_and_tls_are_flooded_side_by_side() {
    let identity = Identity::honest();
    let sealed = format!("https://127.0.0.1:{}", serve(identity.config(rustls::ALL_VERSIONS), 0).port());
    let plain = format!("127.0.0.1:{}", server::serve("127.0.0.1", 0).0.port());
    let output =
        stress(&[&sealed, &plain, "--ca", &identity.path("ca.pem"), "--requests", "700", "--connections", "3"]);
    assert_all_right(&output, 1400);
    let figures = json(&output);
    assert_eq!(figures["contestants"][0]["name"], format!("{sealed}/"));
}

/// What a certificate costs that is not to be trusted, and what is said of it.
fn refused(identity: &Identity, url: &str, more: &[&str]) -> String {
    let ca = identity.path("ca.pem");
    // A connection rests after failures: each of these has two.
    let flags = ["--requests", "20", "--connections", "10", "--timeout", "1s"];
    let trusted = if more.is_empty() { vec!["--ca", &ca] } else { more.to_vec() };
    let output = stress(&[&[url], flags.as_slice(), &trusted].concat());
    let figures = json(&output);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let count = |key: &str| figures["failed"][key].as_i64().expect("a count");
    // On a machine with other work we may have been late.
    assert!(figures["requests"] == 20 && count("tls") > 0 && count("tls") + count("own_fault") == 20, "{figures}");
    assert_eq!(figures["points"], -200 * count("tls"), "{figures}");
    // What was our own fault may stand before it.
    let causes = figures["causes"].as_array().expect("causes");
    let cause = causes.iter().find(|cause| cause["kind"] == "tls").expect("a cause");
    assert_eq!(cause["count"], count("tls"), "{figures}");
    cause["cause"].as_str().expect("a sentence").to_owned()
}

#[test]
fn certificates_that_are_not_to_be_trusted_cost_as_any_failure_and_say_why() {
    let url = |identity: &Identity, host: &str| {
        format!("https://{host}:{}", serve(identity.config(rustls::ALL_VERSIONS), 0).port())
    };
    let expired = Identity::new(&["127.0.0.1"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let said = refused(&expired, &url(&expired, "127.0.0.1"), &[]);
    assert!(said.contains("expired on 2021-01-01"), "{said}");
    let other = Identity::new(&["other.example", "10.0.0.1"], |_| {});
    for host in ["localhost", "127.0.0.1"] {
        let said = refused(&other, &url(&other, host), &[]);
        assert!(said.contains("for another name"), "{said}");
    }
    let honest = Identity::honest();
    let stranger = Identity::honest();
    let said = refused(&honest, &url(&honest, "127.0.0.1"), &["--ca", &stranger.path("ca.pem")]);
    assert!(said.contains("not signed by the authority that it names"), "{said}");
    // All of them are taken by those who take anybody.
    for identity in [&expired, &other, &honest] {
        let flags = [&*url(identity, "127.0.0.1"), "--insecure", "--requests", "20", "--connections", "2"];
        assert_all_right(&stress(&flags), 20);
    }
    // And a server that speaks no TLS, and says so at once as most do.
    let plain = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = plain.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in plain.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let said = refused(&honest, &format!("https://{address}"), &[]);
    assert!(said.contains("handshake") || said.contains("not answer in TLS"), "{said}");
}

#[test]
fn flags_that_name_nobody_to_trust_are_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pem").display().to_string();
    std::fs::write(&empty, "").expect("written");
    let url = "https://127.0.0.1:1";
    for (flags, part) in [
        (vec![url, "--ca", &empty], "holds no certificate"),
        (vec![url, "--ca", "/nowhere.pem"], "name a file of certificates"),
        (vec![url, "--ca", &empty, "--insecure"], "cannot be used with"),
    ] {
        let output = stress(&flags);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(part), "{said}");
    }
}

// --- servers of other makes ------------------------------------------------------------------------------------------

fn is_verified_whole(make: Make) {
    let identity = Identity::honest();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| identity.folder.path().join(name));
    let Some(server) = make.start(identity.folder.path(), &certificate, &key) else { return };
    let url = format!("https://localhost:{}/", server.port);
    for pipeline in ["1", "8"] {
        let flags =
            ["--ca", &identity.path("ca.pem"), "--requests", "1500", "--connections", "6", "--pipeline", pipeline];
        assert_all_right(&stress(&[&[&*url], flags.as_slice()].concat()), 1500);
    }
}

#[test]
fn nginx_is_verified_whole() {
    is_verified_whole(Make::Nginx);
}

#[test]
fn haproxy_is_verified_whole() {
    is_verified_whole(Make::Haproxy);
}

#[test]
fn node_is_verified_whole() {
    is_verified_whole(Make::Node);
}

#[test]
fn python_is_verified_whole() {
    is_verified_whole(Make::Python);
}

#[test]
fn go_is_verified_whole() {
    is_verified_whole(Make::Go);
}
