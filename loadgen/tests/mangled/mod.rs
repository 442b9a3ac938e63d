//! A server's side of TLS, mangled: whatever comes of it, nothing is read that the server did not say, and it ends.

use flowtest_contest::Endpoint;
use flowtest_loadgen::admit::trust::Trust;
use flowtest_loadgen::engine::plan::TlsServer;
use flowtest_loadgen::engine::step::Step;
use flowtest_loadgen::engine::tls::{Allowance, Handshake, Opened, Tls};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection};
use std::io::Write;
use std::sync::{Arc, LazyLock};

/// What the server says once it may.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Flights of both sides in a whole handshake, and some.
const FLIGHTS: usize = 6;
/// What a client may have to say at once.
const OUTGOING_MAX: usize = 16 << 10;

static CLIENT: LazyLock<TlsServer> = LazyLock::new(|| {
    let endpoint: Endpoint = "https://host.test".parse().expect("an endpoint");
    Trust::anybody().expect("set up").server(&endpoint).expect("a name").expect("it speaks TLS")
});

/// By version: 1.3 and 1.2.
static SERVERS: LazyLock<[Arc<ServerConfig>; 2]> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["host.test".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    [&rustls::version::TLS13, &rustls::version::TLS12].map(|version| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
        let config = config.expect("a version").with_no_client_auth();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Arc::new(config.with_single_cert(vec![certificate.clone()], key).expect("certificate and key"))
    })
});

/// The first byte says how many come at once, the second who speaks; the rest is what he says, or what is changed of what a
/// server says, three bytes for each place.
pub(crate) fn is_survived(input: &[u8]) {
    let [cut, who, rest @ ..] = input else { return };
    let cut = usize::from(*cut) + 1;
    let mut client = Client { tls: Tls::new(Arc::clone(&CLIENT.config), CLIENT.name.clone()), read: Vec::new() };
    match SERVERS.get(usize::from(*who)) {
        Some(config) => client.meets(config, rest, cut),
        None => drop(client.shake() && client.hears(rest, cut)),
    }
    assert!(ANSWER.starts_with(&client.read), "{:?}", client.read);
}

struct Client {
    tls: Tls,
    read: Vec<u8>,
}

impl Client {
    /// `false`: it has ended.
    fn shake(&mut self) -> bool {
        while self.tls.wants_handshake() {
            match self.tls.handshake() {
                Handshake::Failed(_) => return false,
                // What came behind it.
                Handshake::Done => return self.hears(&[], 1),
                Handshake::Waits => {}
            }
        }
        assert!(self.tls.outgoing().len() < OUTGOING_MAX);
        true
    }

    fn hears(&mut self, bytes: &[u8], cut: usize) -> bool {
        // Also of nothing: what came behind a handshake is told then.
        let pieces: Vec<&[u8]> = if bytes.is_empty() { vec![bytes] } else { bytes.chunks(cut).collect() };
        if !pieces.into_iter().all(|piece| self.hears_at_once(piece)) {
            return false;
        }
        while self.tls.is_behind() {
            if !self.hears_at_once(&[]) {
                return false;
            }
        }
        true
    }

    /// There is time for one record of a few bytes; the others wait.
    fn hears_at_once(&mut self, piece: &[u8]) -> bool {
        let read = &mut self.read;
        self.tls.allow(Allowance { short_records: 1, ..Allowance::ALL });
        let opened = self.tls.on_bytes(&mut piece.to_vec(), |plain| {
            read.extend_from_slice(plain);
            Step::Go
        });
        matches!(opened, Opened::Plain(Step::Go) | Opened::Handshake) && self.shake()
    }

    fn meets(&mut self, config: &Arc<ServerConfig>, changes: &[u8], cut: usize) {
        let mut server = ServerConnection::new(Arc::clone(config)).expect("a configuration");
        server.writer().write_all(ANSWER).expect("memory");
        let mut changes = changes.chunks_exact(3).peekable();
        let mut said_before = 0;
        if !self.shake() {
            return;
        }
        for _ in 0..FLIGHTS {
            let said = self.tls.outgoing().to_vec();
            self.tls.on_taken(said.len());
            let mut rest = &said[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).expect("memory");
                // It may have been told anything before.
                if server.process_new_packets().is_err() {
                    break;
                }
            }
            let mut said = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut said).expect("memory");
            }
            let place = |change: &[u8]| usize::from(u16::from_be_bytes([change[0], change[1]]));
            while let Some(change) = changes.next_if(|change| place(change) < said_before + said.len()) {
                if let Some(at) = place(change).checked_sub(said_before) {
                    said[at] ^= change[2];
                }
            }
            said_before += said.len();
            if !said.is_empty() && !self.hears(&said, cut) {
                return;
            }
        }
    }
}
