//! Servers whose handshakes are slow, endless, huge or broken, beside honest ones, which lose nothing.

use crate::stage::Stage;
use flowtest_bench::contest_box::certificate::Dates;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{Certificate, ContestFile, Generator, Injected, Journal};
use flowtest_testkit::WAIT_MAX;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{ConnectionTrafficSecrets, ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const RATE: u64 = 80;
const LENGTH: Duration = Duration::from_secs(4);

/// How a server shakes hands, or what it does afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It takes connections and says nothing.
    Silent,
    /// A byte now and then.
    Slow,
    /// Records of a message that never ends.
    Endless,
    /// It answers the hello by a reset.
    Reset,
    /// Bytes that are no TLS.
    Noise,
    /// A certificate near the limit.
    Huge,
    /// Tickets by the hundred.
    Tickets,
    /// Each byte of an answer is a record.
    Bytewise,
    /// A connection, and so a handshake, for each answer.
    Closing,
    /// Forty certificates of P-384, others each time, none of which leads to anybody who is trusted.
    Chains,
    /// After the handshake it asks for another one, again and again.
    Renegotiating,
}

impl Manner {
    const ALL: [Manner; 11] = [
        Manner::Silent,
        Manner::Slow,
        Manner::Endless,
        Manner::Reset,
        Manner::Noise,
        Manner::Huge,
        Manner::Tickets,
        Manner::Bytewise,
        Manner::Closing,
        Manner::Chains,
        Manner::Renegotiating,
    ];

    /// Strange, but right.
    fn is_right(self) -> bool {
        matches!(self, Manner::Huge | Manner::Tickets | Manner::Bytewise | Manner::Closing)
    }

    /// What it shows is trusted by who trusts this certificate, in PEM; of [`Manner::Chains`] nothing is.
    fn config(self) -> (Arc<ServerConfig>, String) {
        let names = if self == Manner::Huge { 1_300 } else { 1 };
        let names: Vec<String> =
            (1..names).map(|number| format!("{number:05}.a-name-of-some-length.host.test")).collect();
        let names = [names, vec!["127.0.0.1".to_owned()]].concat();
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        // Of several authorities of one name each has to be tried, and how many signatures are looked at is bounded.
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{self:?}"));
        let certificate = params.self_signed(&key).expect("a certificate");
        let mut provider = rustls::crypto::ring::default_provider();
        let versions = match self {
            // A record of it is made by hand.
            Manner::Renegotiating => {
                provider.cipher_suites = vec![TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256];
                &[&rustls::version::TLS12][..]
            }
            _ => rustls::DEFAULT_VERSIONS,
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions);
        let builder = builder.expect("versions").with_no_client_auth();
        let private = || PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let mut config = match self {
            Manner::Chains => builder.with_cert_resolver(Arc::new(Rotating::new())),
            _ => {
                let chain = vec![certificate.der().clone()];
                builder.with_single_cert(chain, private()).expect("certificate and key")
            }
        };
        config.enable_secret_extraction = self == Manner::Renegotiating;
        config.ticketer = rustls::crypto::ring::Ticketer::new().expect("tickets");
        config.send_tls13_tickets = if self == Manner::Tickets { 500 } else { 2 };
        (Arc::new(config), certificate.pem())
    }

    /// The endpoint of a server that ends with the test's process, and whom to trust for it.
    fn serve(self) -> (String, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it has one").port();
        let (config, trusted) = self.config();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                std::thread::spawn(move || self.play(stream, config));
            }
        });
        (format!("https://127.0.0.1:{port}"), trusted)
    }

    fn play(self, mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut bytes = [0; 16 << 10];
        match self {
            Manner::Silent => while stream.read(&mut bytes)? > 0 {},
            // Closed with bytes that nobody has read.
            Manner::Reset => drop(stream.peek(&mut bytes)?),
            Manner::Noise => {
                let _ = stream.read(&mut bytes)?;
                stream.write_all(&[0xA5; 4096])?;
                while stream.read(&mut bytes)? > 0 {}
            }
            Manner::Endless => {
                let record = [b"\x16\x03\x03\x40\x00".as_slice(), b"\x02\xff\xff\xff", &[0; 0x4000 - 4]].concat();
                loop {
                    stream.write_all(&record)?;
                }
            }
            Manner::Renegotiating => return renegotiate(&mut stream, config),
            Manner::Slow | Manner::Huge | Manner::Tickets | Manner::Bytewise | Manner::Closing | Manner::Chains => {
                return self.talk(&stream, config);
            }
        }
        Ok(())
    }

    fn talk(self, mut stream: &TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            self.say(&mut tls, stream)?;
            let mut received = &mut bytes[..];
            let count = stream.read(received)?;
            if count == 0 {
                return Ok(());
            }
            received = &mut received[..count];
            let mut rest = &*received;
            while !rest.is_empty() {
                tls.read_tls(&mut rest)?;
                tls.process_new_packets().map_err(io::Error::other)?;
                let mut plain = [0; 4096];
                while let Ok(count @ 1..) = tls.reader().read(&mut plain) {
                    seen.extend_from_slice(&plain[..count]);
                }
            }
            while let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&seen[..end]).into_owned();
                seen.drain(..end + 4);
                let token = head.split("\r\n").find_map(|line| line.strip_prefix("Token: ")).unwrap_or("none");
                let close = if self == Manner::Closing { "Connection: close\r\n" } else { "" };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nToken: {token}\r\nVersion: v2\r\nFrom: ECS\r\n{close}\r\nok"
                );
                let piece = if self == Manner::Bytewise { 1 } else { answer.len() };
                for piece in answer.as_bytes().chunks(piece) {
                    tls.writer().write_all(piece)?;
                    self.say(&mut tls, stream)?;
                }
                if self == Manner::Closing {
                    tls.send_close_notify();
                    return self.say(&mut tls, stream);
                }
            }
        }
    }

    /// Sends what TLS has to say.
    fn say(self, tls: &mut ServerConnection, mut stream: &TcpStream) -> io::Result<()> {
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records)?;
        }
        let piece = if self == Manner::Slow { 1 } else { records.len().max(1) };
        for piece in records.chunks(piece) {
            stream.write_all(piece)?;
            if self == Manner::Slow {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

/// Shakes hands, and then asks for another handshake without end.
fn renegotiate(stream: &mut TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(stream)?;
    }
    while tls.wants_write() {
        tls.write_tls(stream)?;
    }
    let (mut sequence, secrets) = tls.dangerous_extract_secrets().map_err(io::Error::other)?.tx;
    let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else { panic!("the only cipher that it has") };
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).map_err(|_| io::Error::other("no key"))?;
    let key = LessSafeKey::new(key);
    loop {
        // HelloRequest: a handshake message without a body.
        let mut record = vec![0; 4];
        let header = [&[22, 3, 3][..], &4_u16.to_be_bytes()].concat();
        let mut nonce: [u8; 12] = iv.as_ref().try_into().expect("twelve bytes");
        nonce[4..].iter_mut().zip(sequence.to_be_bytes()).for_each(|(byte, other)| *byte ^= other);
        let known = Aad::from([&sequence.to_be_bytes()[..], &header].concat());
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, known, &mut record).map_err(|_| io::Error::other("not sealed"))?;
        sequence += 1;
        stream.write_all(&[&[22, 3, 3][..], &(record.len() as u16).to_be_bytes(), &record].concat())?;
    }
}

/// Chains of forty, each of another order.
#[derive(Debug)]
struct Rotating {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    shown: AtomicUsize,
}

impl Rotating {
    fn new() -> Rotating {
        let key = || rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
        let params = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = rcgen::CertificateParams::new(names).expect("names");
            params.distinguished_name.push(rcgen::DnType::CommonName, "an authority of many keys");
            params
        };
        let mut authority = params(&[]);
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let keys: Vec<_> = (0..41).map(|_| key()).collect();
        let signed = |params: &rcgen::CertificateParams, index: usize| {
            let issuer = rcgen::Issuer::from_params(&authority, &keys[index + 1]);
            params.signed_by(&keys[index], &issuer).expect("a certificate").der().clone()
        };
        let own = signed(&params(&["127.0.0.1"]), 0);
        let chain = std::iter::once(own).chain((1..40).map(|index| signed(&authority, index))).collect();
        let key = PrivatePkcs8KeyDer::from(keys[0].serialize_der()).into();
        let key = rustls::crypto::ring::sign::any_ecdsa_type(&key).expect("a key");
        Rotating { chain, key, shown: AtomicUsize::new(0) }
    }
}

impl ResolvesServerCert for Rotating {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut chain = self.chain.clone();
        let others = chain.len() - 1;
        chain[1..].rotate_left(self.shown.fetch_add(1, Ordering::Relaxed) % others);
        Some(Arc::new(CertifiedKey::new(chain, Arc::clone(&self.key))))
    }
}

/// One of so many plays is to be judged: a machine with other work may be late for all of one.
const PLAYS: usize = 5;

#[test]
fn whatever_a_handshake_is_made_of_honest_neighbours_lose_nothing() {
    assert!((0..PLAYS).any(|_| is_judged()), "late by itself in each of {PLAYS} plays");
}

/// Plays it once; `false` when we were late for too much of it.
fn is_judged() -> bool {
    let stage = Stage::light();
    let certificate = Certificate::make(stage.folder(), "honest", &["127.0.0.1"], Dates::Now);
    let certificate = certificate.unwrap_or_else(|error| panic!("{error}"));
    let (flags, mut trusted) = (certificate.flags(), std::fs::read_to_string(certificate.path()).expect("it was made"));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let honest = ["alice", "bob", "carol", "dave"];
    let stage =
        stage.contestant("alice", &[]).contestant("bob", &flags).contestant("carol", &flags).contestant("dave", &[]);
    let phase = Phase { length: LENGTH, rate: Some(RATE), connections: 8, pipeline: 1 };
    let mut contest = ContestFile::new("hostile", phase);
    contest.timeout = Duration::from_millis(800);
    // Between the honest ones, so that each has neighbours on both sides.
    let mut neighbours = honest.iter();
    for (place, manner) in Manner::ALL.into_iter().enumerate() {
        if place % 3 == 0
            && let Some(name) = neighbours.next()
        {
            contest = contest.with(name, &stage.target(name).endpoint);
        }
        let (endpoint, shown) = manner.serve();
        contest = contest.with(&format!("{manner:?}"), &endpoint);
        trusted.push_str(&shown);
    }
    contest = neighbours.fold(contest, |contest, name| contest.with(name, &stage.target(name).endpoint));
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let ca = stage.folder().join("trusted.pem").display().to_string();
    std::fs::write(&ca, trusted).expect("it is written");
    let journal = Journal::in_folder(stage.folder());
    let [journal_flag, folder] = journal.flags();
    let generator = Generator::run(&path, None, stage.folder(), &["--quiet", &journal_flag, &folder, "--ca", &ca]);
    let outcome = generator.and_then(|generator| generator.wait(WAIT_MAX)).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    let tallies = outcome.tallies().unwrap_or_else(|error| panic!("{error}"));
    // Of these something has to be known, however late we were.
    let is_unknown = |manner: &Manner| {
        let tally = &tallies[&format!("{manner:?}")];
        !manner.is_right() && Injected::is_void(tally) && tally.tls + tally.timeout == 0
    };
    if honest.iter().any(|name| Injected::is_void(&tallies[*name])) || Manner::ALL.iter().any(is_unknown) {
        println!("late by itself: {tallies:?}");
        return false;
    }
    let due = RATE * LENGTH.as_secs();
    for (name, tally) in &tallies {
        println!("{name:>10}: {tally:?}");
        assert!(tally.is_partition() && tally.due == due, "{name}: {tally:?}");
    }
    for name in honest {
        stage.assert_exact(name, &tallies[name]);
    }
    for manner in Manner::ALL {
        let tally = &tallies[&format!("{manner:?}")];
        match manner {
            _ if manner.is_right() => assert_eq!(tally.failures(), 0, "{manner:?}: {tally:?}"),
            Manner::Silent | Manner::Slow => {
                assert!(tally.timeout > 0 && tally.token_right == 0, "{manner:?}: {tally:?}");
            }
            _ => assert!(tally.tls > 0 && tally.token_right == 0, "{manner:?}: {tally:?}"),
        }
    }
    let audit = journal.audit(None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(audit.exit_code, Some(0), "{}", audit.text);
    true
}
