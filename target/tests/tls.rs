//! The TLS port: the same answers, handshakes of both versions, tickets, faults, reload, and clients that are none.

mod common;

use common::{Client, DRIVERS, Failure, Target, get, token};
use flowtest_testkit::wait_until;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, HandshakeKind, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SELF_SIGNED: [&str; 3] = ["--listen-tls", "127.0.0.1:0", "--tls-self-signed"];

fn start(driver: &str, flags: &[&str]) -> Target {
    Target::start(&[&["--driver", driver], SELF_SIGNED.as_slice(), flags].concat())
}

/// Trusts this certificate and nothing else.
fn trusting(pem: &str, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn trusting_target(target: &Target) -> Arc<ClientConfig> {
    trusting(target.listening["tls"]["certificate"].as_str().expect("a certificate"), &[&TLS13, &TLS12])
}

/// Why a handshake failed.
fn reason(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[test]
fn both_versions_of_tls_get_what_the_plain_port_gives() {
    for driver in DRIVERS {
        let target = start(driver, &[]);
        let pem = target.listening["tls"]["certificate"].as_str().expect("a certificate").to_owned();
        for version in [&TLS13, &TLS12] {
            let mut client = target.client_tls(&trusting(&pem, &[version])).expect("a handshake");
            assert_eq!(client.tls().alpn_protocol(), Some(b"http/1.1".as_slice()));
            assert_eq!(client.tls().protocol_version(), Some(version.version));
            let mut plain = target.client();
            for number in 0..50 {
                let (answer, expected) = (client.get(&token(number)), plain.get(&token(number)));
                let (answer, expected) = (answer.expect("answered"), expected.expect("answered"));
                assert_eq!(answer.header("token"), Some(token(number).as_str()), "{driver}");
                assert_eq!(answer.body, expected.body);
            }
            // A hundred at once: more than a record holds comes back.
            let tokens: Vec<String> = (100..200).map(token).collect();
            client.send(tokens.iter().map(|token| get(token)).collect::<String>().as_bytes());
            for token in &tokens {
                assert_eq!(client.response(false).expect("answered").header("token"), Some(token.as_str()));
            }
        }
        let summary = target.stop();
        assert_eq!(summary["tls_handshakes"], serde_json::json!({"full": 2, "resumed": 0, "failed": 0}), "{driver}");
    }
}

#[test]
fn a_ticket_resumes_a_session() {
    for driver in DRIVERS {
        let target = start(driver, &[]);
        let config = trusting_target(&target);
        for number in 0..3 {
            let mut client = target.client_tls(&config).expect("a handshake");
            client.get(&token(number)).expect("answered");
            let kind = client.tls().handshake_kind();
            assert_eq!(kind == Some(HandshakeKind::Resumed), number > 0, "{driver}: {kind:?}");
        }
        let summary = target.stop();
        assert_eq!(summary["tls_handshakes"], serde_json::json!({"full": 1, "resumed": 2, "failed": 0}), "{driver}");
    }
}

#[test]
fn records_of_one_byte_are_answered_and_an_end_by_one() {
    for driver in DRIVERS {
        let target = start(driver, &[]);
        let config = trusting_target(&target);
        let mut client = target.client_tls(&config).expect("a handshake");
        for byte in get(&token(1)).as_bytes() {
            client.send(&[*byte]);
        }
        assert!(client.response(false).is_ok(), "{driver}");
        // What stands before the end is answered.
        client.send(get(&token(2)).as_bytes());
        client.close_notify();
        let last = client.response(false).expect("answered");
        assert_eq!(last.header("token"), Some(token(2).as_str()));
        assert!(client.is_closed_in_order(), "{driver}");
        // And so is one that asked for it.
        let mut client = target.client_tls(&config).expect("a handshake");
        client.send(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        assert!(client.response(false).is_ok() && client.is_closed_in_order(), "{driver}");
    }
}

#[test]
fn faults_of_handshakes_are_seen_as_often_as_they_were_counted() {
    let delay = Duration::from_millis(120);
    for driver in DRIVERS {
        let target = start(driver, &["--faults", "tls_expired:3,tls_reset:5,tls_slow:7=120ms,wrong_token:2"]);
        let config = trusting_target(&target);
        let (mut expired, mut reset, mut slow, mut good) = (0, 0, 0, 0);
        for number in 1..=42 {
            let begun = Instant::now();
            match target.client_tls(&config) {
                Ok(mut client) => {
                    good += 1;
                    slow += u64::from(number % 7 == 0 && begun.elapsed() >= delay);
                    client.get(&token(number)).expect("answered");
                }
                Err(error) => match reason(&error) {
                    Some(rustls::Error::InvalidCertificate(
                        CertificateError::Expired | CertificateError::ExpiredContext { .. },
                    )) => expired += 1,
                    None => reset += 1,
                    Some(other) => panic!("{driver}: {other}"),
                },
            }
        }
        let summary = target.stop();
        let told = |name: &str| summary["faults"][name].as_u64().expect("a count");
        assert_eq!((told("tls_expired"), told("tls_reset"), told("tls_slow")), (14, 6, 3), "{driver}");
        assert_eq!((expired, reset, slow, good), (14, 6, 3, 22), "{driver}");
        // Requests are counted by their own counter.
        assert_eq!((&summary["tokens"], told("wrong_token")), (&Value::from(22), 11), "{driver}");
    }
}

#[test]
fn a_hangup_reads_the_certificate_again_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let write = |name: &str| {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), name.to_owned()]).expect("a certificate");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        std::fs::write(&certificate, made.cert.pem()).expect("written");
        trusting(&made.cert.pem(), &[&TLS13])
    };
    let first = write("first");
    for driver in DRIVERS {
        let first = if driver == DRIVERS[0] { Arc::clone(&first) } else { write("first") };
        let flags = ["--driver", driver, "--listen-tls", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
        let target = Target::start(&flags);
        let mut kept = target.client_tls(&first).expect("a handshake");
        let second = write("second");
        target.signal(rustix::process::Signal::HUP);
        wait_until("the second certificate", || target.client_tls(&second).ok());
        assert!(target.client_tls(&first).is_err());
        // Connections keep what they began with.
        kept.get(&token(1)).expect("answered");
        std::fs::write(&certificate, "no certificate").expect("written");
        target.signal(rustix::process::Signal::HUP);
        for number in 0..5 {
            target.client_tls(&second).expect("a handshake").get(&token(number)).expect("answered");
        }
        let complaints = target.complaints();
        assert!(complaints.contains("the certificate is read again"), "{complaints}");
        assert!(complaints.contains("holds no certificate; it must be PEM"), "{complaints}");
    }
}

/// A certificate in files, and a client that trusts it.
fn in_files(folder: &Path) -> ([String; 2], Arc<ClientConfig>) {
    let paths = ["cert.pem", "key.pem"].map(|name| folder.join(name).display().to_string());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&paths[0], made.cert.pem()).expect("written");
    std::fs::write(&paths[1], made.signing_key.serialize_pem()).expect("written");
    let client = trusting(&made.cert.pem(), &[&TLS13, &TLS12]);
    (paths, client)
}

#[test]
fn a_hangup_ends_the_sessions_that_began_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let ([certificate, key], client) = in_files(folder.path());
    for driver in DRIVERS {
        let flags = ["--driver", driver, "--listen-tls", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
        let target = Target::start(&flags);
        let shake = || {
            let mut made = target.client_tls(&client).expect("a handshake");
            made.get(&token(1)).expect("answered");
            made.tls().handshake_kind()
        };
        assert_eq!((shake(), shake()), (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)), "{driver}");
        target.signal(rustix::process::Signal::HUP);
        // What was resumed would not show the new certificate.
        wait_until("a whole handshake", || (shake() == Some(HandshakeKind::Full)).then_some(()));
        assert_eq!(shake(), Some(HandshakeKind::Resumed), "{driver}");
    }
}

#[test]
fn an_expired_certificate_is_shown_beside_one_from_files_and_to_those_with_a_ticket_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let ([certificate, key], client) = in_files(folder.path());
    for driver in DRIVERS {
        let flags = ["--driver", driver, "--listen-tls", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
        let target = Target::start(&[&flags[..], &["--faults", "tls_expired:3"]].concat());
        for number in 1..=9 {
            match target.client_tls(&client) {
                Ok(mut made) if number % 3 != 0 => drop(made.get(&token(number)).expect("answered")),
                Err(error) if number % 3 == 0 => assert!(
                    matches!(
                        reason(&error),
                        Some(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))
                    ),
                    "{driver}: {error}"
                ),
                other => panic!("{driver}: {number} is {:?}", other.map(drop)),
            }
        }
    }
}

#[test]
fn what_is_no_client_is_sent_away_and_the_others_are_served() {
    for driver in DRIVERS {
        let target = start(driver, &["--request-timeout", "500ms"]);
        let config = trusting_target(&target);
        let mut silent = TcpStream::connect(target.address_tls()).expect("connects");
        let junk: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\nHost: t\r\n\r\n",
            // A record of handshake bytes that are none, of the largest length and above it, and an alert.
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
            b"\x16\x03\x01\x48\x00",
            b"\x16\x03\x01\xff\xff",
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"\x17\x03\x03\x00\x01x",
        ];
        for bytes in junk {
            let mut socket = TcpStream::connect(target.address_tls()).expect("connects");
            socket.set_read_timeout(Some(common::TIMEOUT)).expect("timeout");
            socket.write_all(bytes).expect("sent");
            let mut said = Vec::new();
            // An alert, or nothing, and then the end.
            let _ = socket.read_to_end(&mut said);
            assert!(said.is_empty() || said[0] == 21, "{driver}: {said:?}");
        }
        silent.set_read_timeout(Some(common::TIMEOUT)).expect("timeout");
        assert_eq!(silent.read(&mut [0; 16]).expect("closed"), 0, "{driver}");
        target.client_tls(&config).expect("a handshake").get(&token(1)).expect("answered");
        // A hello does not make sense on the plain port.
        let mut plain = target.client();
        plain.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        assert_eq!(plain.response(false).map(|response| response.status), Ok(400));
    }
}

#[test]
fn stopping_answers_what_is_in_flight_over_tls() {
    for driver in DRIVERS {
        let target = start(driver, &["--faults", "delay:1=300ms"]);
        let mut client = target.client_tls(&trusting_target(&target)).expect("a handshake");
        client.send(get(&token(1)).as_bytes());
        target.wait_for("the request", |health| health["tokens"] == 1);
        target.signal_stop();
        let last = client.response(false).expect("answered");
        assert!(last.closes() && last.header("token") == Some(token(1).as_str()), "{driver}");
        assert!(client.is_closed_in_order(), "{driver}");
        target.stopped();
    }
}

/// Other clients than our own library, where they are here.
#[test]
fn curl_and_openssl_trust_the_certificate_that_was_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("made.pem").display().to_string();
    let made = format!("--tls-self-signed={path}");
    let target = Target::start(&["--listen-tls", "127.0.0.1:0", &made]);
    let port = target.address_tls().port().to_string();
    let mut tried = 0;
    if let Some(output) = said("curl", &["-sS", "--cacert", &path, &format!("https://127.0.0.1:{port}/healthz")]) {
        let health: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
        assert_eq!(health["status"], "ok");
        tried += 1;
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let (connect, name) = (format!("127.0.0.1:{port}"), "localhost");
        let flags =
            ["s_client", "-connect", &connect, "-servername", name, version, "-CAfile", &path, "-verify_return_error"];
        if let Some(output) = said("openssl", &[flags.as_slice(), &["-verify_hostname", name]].concat()) {
            assert!(output.contains("Verify return code: 0 (ok)"), "{output}");
            tried += 1;
        }
    }
    if tried == 0 {
        eprintln!("neither curl nor openssl is here: nothing was tried");
    }
}

/// What a program says; `None` where it is not here.
fn said(program: &str, flags: &[&str]) -> Option<String> {
    let present =
        std::env::split_paths(&std::env::var_os("PATH")?).any(|folder| Path::new(&folder).join(program).exists());
    if !present {
        return None;
    }
    let output = Command::new(program).args(flags).stdin(std::process::Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_start_without_a_usable_certificate_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(path("cert.pem"), one.cert.pem()).expect("written");
    std::fs::write(path("other.pem"), other.signing_key.serialize_pem()).expect("written");
    std::fs::write(path("empty.pem"), "").expect("written");
    let cases = [
        ("missing.pem", "other.pem", "give a PEM file that this user may read"),
        ("empty.pem", "other.pem", "holds no certificate"),
        ("cert.pem", "empty.pem", "--tls-key"),
        ("cert.pem", "other.pem", "do not go together"),
    ];
    for (certificate, key, part) in cases {
        let (certificate, key) = (path(certificate), path(key));
        let flags = ["--listen-tls", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
        let output = common::command(&flags).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

/// What `--insecure` clients do: the handshake is as good as any.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn an_expired_certificate_is_nothing_to_those_who_trust_anybody_and_only_http2_is_refused() {
    let target = start("auto", &["--faults", "tls_expired:1"]);
    let config = |protocols: &[&[u8]]| {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    };
    let mut client: Client = target.client_tls(&config(&[])).expect("a handshake");
    assert_eq!(client.get(&token(1)).map(|response| response.status), Ok(200));
    assert_eq!(client.tls().alpn_protocol(), None);
    let refused = target.client_tls(&config(&[b"h2"])).err().expect("no protocol in common");
    assert!(reason(&refused).is_some_and(|error| error.to_string().contains("NoApplicationProtocol")), "{refused}");
    // The end of an unfinished head is told as on the plain port.
    client.send(b"GET / HTTP/1.1\r\n");
    client.finish_sending();
    assert!(matches!(client.response(false), Err(Failure::Cut | Failure::Closed | Failure::Reset)));
}
