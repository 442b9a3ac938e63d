//! TLS against rustls's own server, in memory: every version and cipher, cut anywhere, and peers that mean no good.

use super::*;
use proptest::prelude::*;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A server's certificate and key, and who trusts it.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    roots: RootCertStore,
}

fn identity(names: &[&str], change: impl FnOnce(&mut rcgen::CertificateParams)) -> Identity {
    identity_of(&rcgen::KeyPair::generate().expect("a key"), names, change)
}

fn identity_of(key: &rcgen::KeyPair, names: &[&str], change: impl FnOnce(&mut rcgen::CertificateParams)) -> Identity {
    let mut params =
        rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
    change(&mut params);
    let certificate = params.self_signed(key).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("an authority");
    Identity { chain: vec![certificate.der().clone()], key: key.serialize_der(), roots }
}

fn suites(wanted: Option<CipherSuite>) -> Arc<CryptoProvider> {
    let mut provider = provider::default_provider();
    provider.cipher_suites.retain(|suite: &SupportedCipherSuite| wanted.is_none_or(|wanted| suite.suite() == wanted));
    Arc::new(provider)
}

fn client(identity: &Identity) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(suites(None))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(identity.roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_secret_extraction = true;
    config.resumption = Resumption::in_memory_sessions(2);
    Arc::new(config)
}

fn server(
    identity: &Identity,
    version: &'static SupportedProtocolVersion,
    suite: Option<CipherSuite>,
) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(suites(suite))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), PrivatePkcs8KeyDer::from(identity.key.clone()).into())
        .expect("certificate and key");
    config.ticketer = provider::Ticketer::new().expect("tickets");
    config.send_tls13_tickets = 2;
    config.enable_secret_extraction = true;
    Arc::new(config)
}

/// Both ends, and what lies between them.
struct Pair {
    tls: Tls,
    server: ServerConnection,
    /// What the client got to read.
    read: Vec<u8>,
    /// How many bytes come at once.
    cut: usize,
}

impl Pair {
    fn new(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &'static str, cut: usize) -> Pair {
        let name = ServerName::try_from(name).expect("a name");
        let tls = Tls::new(Arc::clone(client), name);
        Pair { tls, server: ServerConnection::new(Arc::clone(server)).expect("a server"), read: Vec::new(), cut }
    }

    /// Carries everything over until nobody has anything to say.
    fn carry(&mut self) -> Result<(), Opened> {
        loop {
            while self.tls.wants_handshake() {
                if let Handshake::Failed(reason) = self.tls.handshake() {
                    return Err(Opened::Failed(reason));
                }
                if self.tls.is_established() {
                    self.give(&mut [])?;
                }
            }
            let sent = self.tls.outgoing().len();
            if sent > 0 {
                let bytes = self.tls.outgoing().to_vec();
                self.tls.on_taken(sent);
                self.for_server(&bytes);
            }
            let mut bytes = self.flight();
            for part in bytes.chunks_mut(self.cut) {
                self.give(part)?;
            }
            if bytes.is_empty() && sent == 0 && !self.tls.wants_handshake() {
                return Ok(());
            }
        }
    }

    fn give(&mut self, bytes: &mut [u8]) -> Result<(), Opened> {
        let read = &mut self.read;
        let opened = self.tls.on_bytes(bytes, |plain| {
            read.extend_from_slice(plain);
            Step::Go
        });
        match opened {
            Opened::Plain(Step::Go) | Opened::Handshake => Ok(()),
            opened => Err(opened),
        }
    }

    /// Begins the handshake: the server has our hello.
    fn greet(&mut self) {
        assert_eq!(self.tls.handshake(), Handshake::Waits);
        let hello = self.tls.outgoing().to_vec();
        self.tls.on_taken(hello.len());
        self.for_server(&hello);
    }

    /// All that the server has to say now.
    fn flight(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut bytes).expect("memory");
        }
        bytes
    }

    /// The alert that the server gets of a client that has ended the connection: it is said once, whatever is asked afterwards.
    fn heard(&mut self) -> Option<AlertDescription> {
        self.tls.part();
        self.server.read_tls(&mut self.tls.outgoing()).expect("memory");
        match self.server.process_new_packets() {
            Err(rustls::Error::AlertReceived(alert)) => Some(alert),
            _ => None,
        }
    }

    fn for_server(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.server.read_tls(&mut bytes).expect("memory");
            let _ = self.server.process_new_packets();
        }
    }

    /// Sends so many requests of this length, each of another letter; what the server got.
    fn ask(&mut self, request: usize, count: usize) -> Vec<u8> {
        let mut area = vec![0xAA; Layout::room(request, count)];
        let layout = self.tls.layout(0, request).expect("established");
        assert!(layout.fits(area.len()) >= count, "{request} {count}");
        for index in 0..count {
            let at = layout.at(index);
            area[at..at + request].fill(b'a' + (index % 26) as u8);
        }
        let len = self.tls.seal(&mut area, &layout, count).expect("sealed");
        assert!(len <= area.len());
        let mut got = Vec::new();
        // As a server reads: its buffer for plaintext is bounded.
        for part in area[..len].chunks(4096) {
            self.for_server(part);
            let _ = self.server.reader().read_to_end(&mut got);
        }
        got
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Opened> {
        for part in bytes.chunks(16_000) {
            self.server.writer().write_all(part).expect("memory");
            self.carry()?;
        }
        Ok(std::mem::take(&mut self.read))
    }
}

/// Of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Version {
    Tls13,
    Tls12,
}

/// What the server of [`ends`] is called.
pub(in crate::engine) const NAME: &str = "host";

/// A client and a server that trust each other.
pub(in crate::engine) fn ends(version: Version) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    ends_of(version, 1, 2)
}

/// The same with a certificate of so many names, and so many tickets after each handshake.
pub(in crate::engine) fn ends_of(
    version: Version,
    names: usize,
    tickets: usize,
) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let others: Vec<String> = (1..names).map(|number| format!("{number:05}.a-name-of-some-length.{NAME}")).collect();
    let names: Vec<&str> = others.iter().map(String::as_str).chain([NAME]).collect();
    let identity = identity(&names, |_| {});
    let version = match version {
        Version::Tls13 => &TLS13,
        Version::Tls12 => &TLS12,
    };
    let mut config = ServerConfig::clone(&server(&identity, version, None));
    config.send_tls13_tickets = tickets;
    (client(&identity), Arc::new(config))
}

/// So many records without a byte, the last that a server says.
pub(in crate::engine) fn nothing(server: ServerConnection, records: usize) -> Vec<u8> {
    let version = server.protocol_version().expect("established");
    let secrets = server.dangerous_extract_secrets().expect("they may be had");
    let mut sealer = Sealer::new(secrets.tx.0, &secrets.tx.1, version).expect("known");
    let len = sealer.record_len(0);
    let mut said = vec![0; len * records];
    said.chunks_mut(len).for_each(|record| assert!(sealer.seal(Content::ApplicationData, record)));
    said
}

/// Looking at a certificate takes so much time, which is added to `spent`; and how often that was.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Dear {
    pub(in crate::engine) look_ns: u64,
    /// The first look takes so much longer.
    pub(in crate::engine) stall_ns: Arc<AtomicU64>,
    /// None is taken.
    pub(in crate::engine) is_refused: bool,
    pub(in crate::engine) spent: Arc<AtomicU64>,
    pub(in crate::engine) looks: Arc<AtomicU64>,
}

/// The same with this client, and a server that gives so many tickets and shows so many chains in turn; 0: another one each time.
pub(in crate::engine) fn dear_ends(
    version: Version,
    tickets: usize,
    chains: u64,
    dear: &Dear,
) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let (client, server) = ends_of(version, 1, tickets);
    let mut client = ClientConfig::clone(&client);
    client.dangerous().set_certificate_verifier(Arc::new(dear.clone()));
    let mut server = ServerConfig::clone(&server);
    server.cert_resolver =
        Arc::new(Varied { usual: Arc::clone(&server.cert_resolver), chains, shown: AtomicU64::new(0) });
    (Arc::new(client), Arc::new(server))
}

/// A certificate, and behind it something else each time.
#[derive(Debug)]
struct Varied {
    usual: Arc<dyn ResolvesServerCert>,
    chains: u64,
    shown: AtomicU64,
}

impl ResolvesServerCert for Varied {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usual = self.usual.resolve(hello)?;
        let shown = self.shown.fetch_add(1, Ordering::Relaxed);
        let other = shown.checked_rem(self.chains).unwrap_or(shown).to_be_bytes().to_vec();
        let chain = usual.cert.iter().cloned().chain([other.into()]).collect();
        Some(Arc::new(CertifiedKey::new(chain, Arc::clone(&usual.key))))
    }
}

impl ServerCertVerifier for Dear {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.spent.fetch_add(self.look_ns + self.stall_ns.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.looks.fetch_add(1, Ordering::Relaxed);
        if self.is_refused {
            return Err(CertificateError::UnknownIssuer.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &suites(None).signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &suites(None).signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        suites(None).signature_verification_algorithms.supported_schemes()
    }
}

fn requests(request: usize, count: usize) -> Vec<u8> {
    (0..count).flat_map(|index| std::iter::repeat_n(b'a' + (index % 26) as u8, request)).collect()
}

#[test]
fn every_version_and_cipher_carries_requests_and_answers() {
    let rsa = rcgen::KeyPair::from_pem(include_str!("../../../tests/identity/rsa.pem")).expect("a key");
    let [of_ecdsa, of_rsa] = [identity(&["localhost"], |_| {}), identity_of(&rsa, &["localhost"], |_| {})];
    let all = suites(None);
    for suite in &all.cipher_suites {
        let version: &'static SupportedProtocolVersion = if suite.tls13().is_some() { &TLS13 } else { &TLS12 };
        let identity = if format!("{:?}", suite.suite()).contains("RSA") { &of_rsa } else { &of_ecdsa };
        let mut pair = Pair::new(&client(identity), &server(identity, version, Some(suite.suite())), "localhost", 1400);
        pair.carry().unwrap_or_else(|opened| panic!("{suite:?}: {opened:?}"));
        assert!(pair.tls.is_established() && !pair.server.is_handshaking(), "{suite:?}");
        assert_eq!(pair.server.alpn_protocol(), None);
        for (request, count) in [(1, 1), (120, 1), (120, 16), (120, 1024), (2200, 40), (16_384, 2)] {
            assert_eq!(pair.ask(request, count), requests(request, count), "{suite:?} {request} {count}");
            let answer = requests(701, count);
            assert_eq!(pair.answer(&answer), Ok(answer), "{suite:?}");
        }
        assert!(pair.tls.take_records() > 0 && pair.tls.take_records() == 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn bytes_cut_anywhere_are_the_same(cut in 1usize..600, is_13: bool, lens in proptest::collection::vec(0usize..5000, 1..6)) {
        let identity = identity(&["localhost"], |_| {});
        let version = if is_13 { &TLS13 } else { &TLS12 };
        let mut pair = Pair::new(&client(&identity), &server(&identity, version, None), "localhost", cut);
        prop_assert_eq!(pair.carry(), Ok(()));
        for len in lens {
            let answer: Vec<u8> = (0..len).map(|index| index as u8).collect();
            prop_assert_eq!(pair.answer(&answer), Ok(answer));
        }
    }

    #[test]
    fn noise_ends_a_connection_and_nothing_else(noise in proptest::collection::vec(any::<u8>(), 1..400), cut in 1usize..50, begun: bool) {
        let identity = identity(&["localhost"], |_| {});
        let mut pair = Pair::new(&client(&identity), &server(&identity, &TLS13, None), "localhost", 1 << 20);
        if begun {
            prop_assert_eq!(pair.carry(), Ok(()));
        } else {
            prop_assert_eq!(pair.tls.handshake(), Handshake::Waits);
        }
        let mut noise = noise;
        for part in noise.chunks_mut(cut) {
            if pair.give(part).is_err() {
                break;
            }
            if pair.tls.wants_handshake() && matches!(pair.tls.handshake(), Handshake::Failed(_)) {
                break;
            }
        }
        prop_assert!(pair.read.is_empty());
    }

    #[test]
    fn a_flipped_bit_is_noticed(at in 0usize..200, bit in 0u8..8, is_13: bool) {
        let identity = identity(&["localhost"], |_| {});
        let version = if is_13 { &TLS13 } else { &TLS12 };
        let mut pair = Pair::new(&client(&identity), &server(&identity, version, None), "localhost", 1 << 20);
        prop_assert_eq!(pair.carry(), Ok(()));
        pair.server.writer().write_all(&[b'x'; 200]).expect("memory");
        let mut bytes = Vec::new();
        pair.server.write_tls(&mut bytes).expect("memory");
        bytes[at] ^= 1 << bit;
        let opened = pair.give(&mut bytes);
        // A length that was made larger waits for the rest; everything else is refused. The low byte of the version says
        // nothing in TLS 1.2, where it is not looked at.
        prop_assert!(opened == Err(Opened::Failed(TlsReason::Protocol)) || (opened == Ok(()) && matches!(at, 2..=4)), "{:?}", opened);
        if at != 2 || is_13 {
            prop_assert!(pair.read.is_empty());
        }
    }
}

#[test]
fn a_session_is_resumed_by_its_ticket_in_both_versions() {
    let identity = identity(&["localhost"], |_| {});
    for version in [&TLS13, &TLS12] {
        let (client, server) = (client(&identity), server(&identity, version, None));
        for number in 0..4 {
            let mut pair = Pair::new(&client, &server, "localhost", 1400);
            pair.carry().expect("a handshake");
            assert_eq!(pair.ask(10, 1), requests(10, 1));
            assert_eq!(pair.answer(b"x"), Ok(b"x".to_vec()));
            let kind = pair.server.handshake_kind();
            assert_eq!(kind == Some(HandshakeKind::Resumed), number > 0, "{version:?} {number} {kind:?}");
        }
    }
}

/// A clock that is set by hand.
#[derive(Debug)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// Who looks at certificates, and how often that was.
#[derive(Debug)]
struct Looks {
    by: Arc<WebPkiServerVerifier>,
    count: AtomicU64,
}

impl ServerCertVerifier for Looks {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.by.verify_server_cert(certificate, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by.supported_verify_schemes()
    }
}

/// The last second of the older certificate.
const LAST: u64 = 2_208_988_800;

/// A contestant that renews its certificate, and a generator that trusts both.
struct Renewal {
    clock: Arc<Clock>,
    looks: Arc<Looks>,
    client: Arc<ClientConfig>,
    /// One that takes any.
    careless: Arc<ClientConfig>,
    old: Arc<ServerConfig>,
    renewed: Arc<ServerConfig>,
}

impl Renewal {
    fn new(version: &'static SupportedProtocolVersion) -> Renewal {
        let until = |year| identity(&["localhost"], |params| params.not_after = rcgen::date_time_ymd(year, 1, 1));
        let (old, renewed) = (until(2040), until(2060));
        let mut roots = old.roots.clone();
        roots.extend(renewed.roots.roots.iter().cloned());
        let by = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), suites(None)).build().expect("roots");
        let looks = Arc::new(Looks { by, count: AtomicU64::new(0) });
        let verifier: Arc<dyn ServerCertVerifier> = Arc::<Looks>::clone(&looks);
        let clock = Arc::new(Clock(AtomicU64::new(0)));
        let mut config = ClientConfig::builder_with_details(suites(None), Arc::<Clock>::clone(&clock))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier))
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        let old = server(&old, version, None);
        let mut renewed = ServerConfig::clone(&server(&renewed, version, None));
        // Whoever renews a certificate may go on with the keys of its tickets.
        renewed.ticketer = Arc::clone(&old.ticketer);
        Renewal {
            clock,
            looks,
            client: Remembering::new(&config, Some(&verifier)).config,
            careless: Remembering::new(&config, None).config,
            old,
            renewed: Arc::new(renewed),
        }
    }

    fn shake(&self, client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, at: u64) -> Result<HandshakeKind, Opened> {
        self.clock.0.store(at, Ordering::Relaxed);
        let mut pair = Pair::new(client, server, "localhost", 1400);
        pair.carry()?;
        assert_eq!(pair.answer(b"x"), Ok(b"x".to_vec()));
        Ok(pair.server.handshake_kind().expect("it is done"))
    }
}

const FULL: Result<HandshakeKind, Opened> = Ok(HandshakeKind::Full);
const RESUMED: Result<HandshakeKind, Opened> = Ok(HandshakeKind::Resumed);
const OVER: Result<HandshakeKind, Opened> = Err(Opened::Failed(TlsReason::Expired(Some(LAST))));

#[test]
fn a_session_is_resumed_to_the_last_second_of_its_certificate_and_no_longer() {
    for version in [&TLS13, &TLS12] {
        let both = Renewal::new(version);
        for (server, at, said) in [
            (&both.old, LAST - 10, FULL),
            (&both.old, LAST - 10, RESUMED),
            (&both.old, LAST, RESUMED),
            (&both.old, LAST + 1, OVER),
            // Nothing is left of what was resumed before.
            (&both.old, LAST + 1, OVER),
            (&both.renewed, LAST + 2, FULL),
            (&both.renewed, LAST + 3, RESUMED),
        ] {
            assert_eq!(both.shake(&both.client, server, at), said, "{version:?} at {at}");
        }
        // Dates are nothing to those who take any certificate. (This verifier looks at them all the same when it is asked.)
        for (at, said) in [(LAST - 10, FULL), (LAST - 10, RESUMED), (LAST + 1, RESUMED)] {
            assert_eq!(both.shake(&both.careless, &both.old, at), said, "{version:?} at {at}");
        }
    }
}

#[test]
fn as_many_connections_as_begin_at_once_have_a_ticket_each() {
    let both = Renewal::new(&TLS13);
    both.clock.0.store(LAST, Ordering::Relaxed);
    for client in [&both.client, &both.careless] {
        let begun = || [(); 20].map(|()| Pair::new(client, &both.old, "localhost", 1400));
        for mut pair in begun() {
            pair.carry().expect("a handshake");
        }
        // Twice as many tickets were given, of which the newest are taken.
        let mut pairs = begun();
        pairs.iter_mut().for_each(|pair| assert_eq!(pair.tls.handshake(), Handshake::Waits));
        for mut pair in pairs {
            pair.carry().expect("a handshake");
            assert_eq!(pair.server.handshake_kind(), Some(HandshakeKind::Resumed));
        }
    }
}

#[test]
fn a_chain_is_looked_at_once_while_it_is_in_date_and_a_refused_one_once_a_second() {
    let mut both = Renewal::new(&TLS13);
    for server in [&mut both.old, &mut both.renewed] {
        // Every handshake is a full one.
        let mut config = ServerConfig::clone(server);
        config.send_tls13_tickets = 0;
        *server = Arc::new(config);
    }
    // (who is asked, when, what comes of it, how often a chain was looked at by then)
    for (server, at, said, looks) in [
        (&both.old, LAST - 10, FULL, 1),
        (&both.old, LAST - 10, FULL, 1),
        (&both.old, LAST, FULL, 1),
        (&both.renewed, LAST, FULL, 2),
        (&both.renewed, LAST, FULL, 2),
        // A name may stand for two servers.
        (&both.old, LAST, FULL, 2),
        (&both.renewed, LAST, FULL, 2),
        (&both.old, LAST + 1, OVER, 3),
        (&both.old, LAST + 1, OVER, 3),
        (&both.old, LAST + 2, OVER, 4),
        (&both.renewed, LAST + 2, FULL, 4),
    ] {
        assert_eq!(both.shake(&both.client, server, at), said, "{at}");
        assert_eq!(both.looks.count.load(Ordering::Relaxed), looks, "{at}");
    }
    // What is known of one name is nothing to another.
    let mut pair = Pair::new(&both.client, &both.renewed, "other.example", 1400);
    assert_eq!(pair.carry(), Err(Opened::Failed(TlsReason::WrongName)));
}

#[test]
fn keys_may_be_changed_by_either_side_and_not_without_end() {
    let identity = identity(&["localhost"], |_| {});
    let mut pair = Pair::new(&client(&identity), &server(&identity, &TLS13, None), "localhost", 100);
    pair.carry().expect("a handshake");
    for _ in 0..10 {
        pair.server.refresh_traffic_keys().expect("TLS 1.3");
        assert_eq!(pair.answer(b"after"), Ok(b"after".to_vec()));
        assert_eq!(pair.ask(100, 3), requests(100, 3));
    }
    let TlsState::Traffic(traffic) = &mut pair.tls.state else { panic!("established") };
    traffic.update_own_key(&mut pair.tls.outgoing).expect("TLS 1.3");
    pair.carry().expect("the update");
    assert_eq!(pair.ask(100, 3), requests(100, 3));
    let refused = (0..UPDATES_MAX).find_map(|_| {
        pair.server.refresh_traffic_keys().expect("TLS 1.3");
        pair.carry().err()
    });
    assert_eq!(refused, Some(Opened::Failed(TlsReason::Messages)));
}

#[test]
fn so_many_messages_after_the_handshake_are_looked_at_as_there_is_time_for() {
    let identity = identity(&["localhost"], |_| {});
    let mut pair = Pair::new(&client(&identity), &server(&identity, &TLS13, None), "localhost", 1400);
    pair.carry().expect("a handshake");
    pair.tls.allow(Allowance { messages: 3, ..Allowance::ALL });
    for _ in 0..3 {
        pair.server.refresh_traffic_keys().expect("TLS 1.3");
        assert_eq!(pair.answer(b"after"), Ok(b"after".to_vec()));
    }
    // One more waits, and all that comes behind it, one by one.
    for _ in 0..2 {
        pair.server.refresh_traffic_keys().expect("TLS 1.3");
        assert_eq!(pair.answer(b"waits"), Ok(Vec::new()));
    }
    for said in [&b"waits"[..], b"waits"] {
        assert!(pair.tls.is_behind());
        pair.tls.allow(Allowance { messages: 1, ..Allowance::ALL });
        assert_eq!(pair.answer(b""), Ok(Vec::new()));
        pair.give(&mut []).expect("what waited");
        assert_eq!(std::mem::take(&mut pair.read), said);
    }
    assert!(!pair.tls.is_behind());
    assert_eq!(pair.answer(b"after"), Ok(b"after".to_vec()));
    // Tickets leave some to updates, and beyond that are let be.
    let mut server = Lawless::new(&TLS13);
    server.tls.allow(Allowance { messages: KEPT_FROM_TICKETS + 2, ..Allowance::ALL });
    assert_eq!(server.takes(Content::Handshake, &ticket(100)), None);
    assert_eq!(server.tls.allowance().messages, KEPT_FROM_TICKETS);
}

#[test]
fn so_many_records_of_a_few_bytes_are_opened_as_there_is_time_for_and_the_others_wait() {
    for version in [&TLS13, &TLS12] {
        let mut server = Lawless::new(version);
        server.tls.take_records();
        // The shortest that is none of a few bytes, and the longest that is one.
        let enough = 128 - server.sealer.record_len(0);
        for short in [0, 1, enough - 1] {
            server.tls.allow(Allowance { short_records: 3, ..Allowance::ALL });
            let read =
                (0..5).map(|_| server.says(Content::ApplicationData, &vec![b'x'; short])).fold(0, |sum, said| {
                    assert_eq!(said.0, Opened::Plain(Step::Go));
                    sum + said.1.len()
                });
            assert_eq!((read, server.tls.is_behind(), server.tls.take_records()), (3 * short, true, 3), "{version:?}");
            // What comes behind waits with them, and an end that comes is told last.
            let longer = vec![b'y'; enough];
            assert_eq!(server.says(Content::ApplicationData, &longer), (Opened::Plain(Step::Go), Vec::new()));
            server.tls.end_behind(Failure::Reset);
            assert_eq!(server.tls.take_end(), None);
            server.tls.allow(Allowance { short_records: 3, ..Allowance::ALL });
            let (opened, read) = server.gets(&mut []);
            assert_eq!((opened, read), (Opened::Plain(Step::Go), [vec![b'x'; 2 * short], longer].concat()));
            assert!(!server.tls.is_behind() && server.tls.take_records() == 3 && server.kept() < 1_024);
            assert_eq!(server.tls.take_end(), Some(Failure::Reset));
        }
        server.tls.allow(Allowance { short_records: 0, ..Allowance::ALL });
        assert_eq!(server.takes(Content::ApplicationData, &vec![b'x'; enough]), None);
        assert!(!server.tls.is_behind());
    }
}

#[test]
fn what_has_waited_is_opened_within_bounds_however_long_its_records_are() {
    for version in [&TLS13, &TLS12] {
        let mut server = Lawless::new(version);
        server.tls.allow(Allowance { short_records: 0, ..Allowance::ALL });
        // Its bytes and what a record costs beside them, in short records of 128 bytes: (plaintext, how many it is as long as).
        let rows = [(1, 1), (100, 1), (110, 2), (1_100, 3), (1_200, 3), (16_384, 27)];
        for (plaintext, _) in rows {
            assert_eq!(server.says(Content::ApplicationData, &vec![b'x'; plaintext]).1, b"");
        }
        for (plaintext, takes) in rows {
            // One more is begun while there is any time, or the longest might never be.
            server.tls.allow(Allowance { short_records: takes, ..Allowance::ALL });
            assert_eq!(server.gets(&mut []).1.len(), plaintext, "{version:?} {plaintext}");
            assert_eq!(server.tls.allowance().short_records, 0);
        }
        // Whoever has nothing that waits is opened at once.
        assert_eq!(server.says(Content::ApplicationData, &[b'y'; 16_384]).1.len(), 16_384);
    }
}

#[test]
fn used_up_keys_are_changed_where_that_is_known_and_wear_a_connection_out_where_not() {
    let identity = identity(&["localhost"], |_| {});
    for version in [&TLS13, &TLS12] {
        let mut pair = Pair::new(&client(&identity), &server(&identity, version, None), "localhost", 100);
        pair.carry().expect("a handshake");
        let TlsState::Traffic(traffic) = &mut pair.tls.state else { panic!("established") };
        traffic.sealer.skip_to(RECORDS_MAX - 1);
        let layout = pair.tls.layout(0, 10).expect("established");
        let mut area = vec![0; Layout::room(10, 1)];
        pair.tls.seal(&mut area, &layout, 1).expect("sealed");
        assert_eq!(pair.tls.is_worn_out(), version.version == ProtocolVersion::TLSv1_2);
        assert_eq!(pair.tls.outgoing().is_empty(), version.version == ProtocolVersion::TLSv1_2);
    }
}

#[test]
fn an_end_is_told_and_an_alert_is_a_reason() {
    let identity = identity(&["localhost"], |_| {});
    let begun = || {
        let mut pair = Pair::new(&client(&identity), &server(&identity, &TLS13, None), "localhost", 7);
        pair.carry().expect("a handshake");
        pair
    };
    let mut pair = begun();
    pair.server.writer().write_all(b"last").expect("memory");
    pair.server.send_close_notify();
    assert_eq!(pair.carry(), Err(Opened::Ended));
    assert_eq!(pair.read, b"last");
    // The server is shown noise, and answers with an alert.
    let mut pair = begun();
    pair.for_server(b"\x17\x03\x03\x00\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(pair.carry(), Err(Opened::Failed(TlsReason::Alert(20))));
}

#[test]
fn why_a_handshake_failed_is_told() {
    let good = identity(&["localhost"], |_| {});
    // An authority of the same name, and one of another.
    let twin = identity(&["localhost"], |_| {});
    let other = identity(&["localhost"], |params| params.distinguished_name.push(rcgen::DnType::CommonName, "another"));
    let past = rcgen::date_time_ymd(2020, 1, 1)..rcgen::date_time_ymd(2021, 1, 1);
    let future = rcgen::date_time_ymd(2200, 1, 1)..rcgen::date_time_ymd(2201, 1, 1);
    let dated = |dates: std::ops::Range<_>| {
        identity(&["localhost"], |params| (params.not_before, params.not_after) = (dates.start, dates.end))
    };
    let (expired, early) = (dated(past), dated(future));
    let failed = |identity: &Identity, roots: &Identity, name| {
        let mut pair = Pair::new(&client(roots), &server(identity, &TLS13, None), name, 1400);
        match pair.carry() {
            Err(Opened::Failed(reason)) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failed(&good, &good, "example.com"), TlsReason::WrongName);
    assert_eq!(failed(&good, &other, "localhost"), TlsReason::UnknownAuthority);
    assert_eq!(failed(&good, &twin, "localhost"), TlsReason::Issuer);
    assert_eq!(failed(&early, &early, "localhost"), TlsReason::NotYetValid);
    let reason = failed(&expired, &expired, "localhost");
    assert_eq!(reason, TlsReason::Expired(Some(1_609_459_200)));
    assert!(reason.to_string().contains("expired on 2021-01-01 at 00:00:00 UTC"), "{reason}");
    // Bytes that are no TLS, an alert, and more than a handshake may have.
    let begun = || {
        let mut tls = Tls::new(client(&good), ServerName::try_from("localhost").expect("a name"));
        assert_eq!(tls.handshake(), Handshake::Waits);
        tls
    };
    let shown = |bytes: &[u8]| {
        let mut tls = begun();
        let mut bytes = bytes.to_vec();
        match tls.on_bytes(&mut bytes, |_| panic!("nothing is read")) {
            Opened::Handshake => tls.handshake(),
            Opened::Failed(reason) => Handshake::Failed(reason),
            other => panic!("{other:?}"),
        }
    };
    // A server that speaks before it is asked.
    let mut early = Tls::new(client(&good), ServerName::try_from("localhost").expect("a name"));
    assert_eq!(
        early.on_bytes(&mut b"220 mail.example ESMTP\r\n".to_vec(), |_| panic!("nothing is read")),
        Opened::Handshake
    );
    assert_eq!(early.handshake(), Handshake::Failed(TlsReason::NotTls));
    assert_eq!(shown(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Handshake::Failed(TlsReason::NotTls));
    assert_eq!(shown(b"\x15\x03\x03\x00\x02\x02\x28"), Handshake::Failed(TlsReason::Alert(40)));
    assert_eq!(shown(&[b'\x16'; HANDSHAKE_BYTES_MAX + 1]), Handshake::Failed(TlsReason::TooLong));
    // A chain that is longer than rustls takes, in records of their longest.
    let mut chain = [&[11, 1, 0, 0][..], &[0; 16_380]].concat();
    chain.splice(..0, *b"\x16\x03\x03\x40\x00");
    assert_eq!(shown(&chain), Handshake::Failed(TlsReason::TooLong));
    assert!(TlsReason::TooLong.to_string().contains("longer than 73728 bytes"));
    // A message in more records than a handshake has: nothing of it is looked at.
    let mut tls = begun();
    let mut many = b"\x16\x03\x03\x00\x01\x02".repeat(HANDSHAKE_RECORDS_MAX);
    assert_eq!(tls.on_bytes(&mut many, |_| panic!("nothing is read")), Opened::Handshake);
    let opened = tls.on_bytes(&mut many[..6], |_| panic!("nothing is read"));
    assert_eq!(opened, Opened::Failed(TlsReason::TooLong));
    // What came before the end says why, or nothing did.
    let cut = |bytes: &[u8]| {
        let mut tls = begun();
        tls.on_bytes(&mut bytes.to_vec(), |_| panic!("nothing is read"));
        (tls.on_cut(), tls.handshake())
    };
    assert_eq!(cut(b"\x15\x03\x03\x00\x02\x02\x28"), (true, Handshake::Failed(TlsReason::Alert(40))));
    assert_eq!(cut(b"\x15\x03\x03"), (true, Handshake::Failed(TlsReason::Closed)));
    let mut silent = begun();
    assert!(!silent.on_cut() && !silent.wants_handshake() && silent.outgoing().is_empty());
}

#[test]
fn what_stands_behind_the_end_of_a_handshake_is_looked_at_by_us_and_not_by_rustls() {
    let identity = identity(&["localhost"], |_| {});
    let mut config = ServerConfig::clone(&server(&identity, &TLS13, None));
    // It says something before it has heard the end of ours, as whoever sends tickets there by the thousand would.
    config.send_half_rtt_data = true;
    let mut pair = Pair::new(&client(&identity), &Arc::new(config), "localhost", 1400);
    pair.greet();
    pair.server.writer().write_all(b"early").expect("memory");
    let mut flight = pair.flight();
    pair.give(&mut flight).expect("a part of a handshake");
    assert_eq!((pair.tls.handshake(), pair.tls.take_records()), (Handshake::Done, 0));
    pair.give(&mut []).expect("what has come");
    assert_eq!((pair.tls.take_records(), pair.read.as_slice()), (1, &b"early"[..]));
    pair.carry().expect("the end of the handshake");
    assert_eq!(pair.ask(10, 1), requests(10, 1));
}

#[test]
fn what_a_handshake_has_brought_is_kept_until_it_is_done() {
    let identity = identity(&["localhost"], |_| {});
    for version in [&TLS13, &TLS12] {
        let mut server = ServerConfig::clone(&server(&identity, version, None));
        // So that its certificate is whole long before its handshake is.
        server.max_fragment_size = Some(64);
        let mut pair = Pair::new(&client(&identity), &Arc::new(server), "localhost", 1400);
        pair.greet();
        let mut brought = 0;
        for part in pair.flight().chunks_mut(50) {
            pair.give(part).expect("a part of a handshake");
            brought += part.len();
            if pair.tls.handshake() == Handshake::Waits {
                assert_eq!(pair.tls.kept(), brought, "{version:?}");
            }
        }
        assert!(brought > 500, "{version:?} {brought}");
    }
}

#[test]
fn a_record_that_comes_in_pieces_takes_no_more_room_than_it_has_bytes() {
    let mut server = Lawless::new(&TLS13);
    let mut record = vec![0; server.sealer.record_len(PLAINTEXT_MAX)];
    for _ in 0..3 {
        assert!(server.sealer.seal(Content::ApplicationData, &mut record));
        let mut read = 0;
        for piece in record.clone().chunks_mut(2_048) {
            let (opened, plain) = server.gets(piece);
            assert_eq!(opened, Opened::Plain(Step::Go));
            read += plain.len();
        }
        assert_eq!(read, PLAINTEXT_MAX);
        assert!(server.kept() <= RECORD_MAX, "{}", server.kept());
    }
}

/// A server that holds the keys of a connection and keeps to nothing else.
struct Lawless {
    tls: Tls,
    sealer: Sealer,
}

impl Lawless {
    fn new(version: &'static SupportedProtocolVersion) -> Lawless {
        let identity = identity(&["localhost"], |_| {});
        let mut pair = Pair::new(&client(&identity), &server(&identity, version, None), "localhost", 1400);
        pair.carry().expect("a handshake");
        let secrets = pair.server.dangerous_extract_secrets().expect("they may be had");
        let sealer = Sealer::new(secrets.tx.0, &secrets.tx.1, version.version).expect("known");
        Lawless { tls: pair.tls, sealer }
    }

    /// What comes of a record, and what is read of it.
    fn says(&mut self, content: Content, plaintext: &[u8]) -> (Opened, Vec<u8>) {
        self.says_sealed(plaintext, |sealer, record| sealer.seal(content, record))
    }

    fn says_sealed(
        &mut self,
        plaintext: &[u8],
        seal: impl FnOnce(&mut Sealer, &mut [u8]) -> bool,
    ) -> (Opened, Vec<u8>) {
        let at = self.sealer.plaintext_at();
        let mut record = vec![0; self.sealer.record_len(plaintext.len())];
        record[at..at + plaintext.len()].copy_from_slice(plaintext);
        assert!(seal(&mut self.sealer, &mut record));
        self.gets(&mut record)
    }

    fn gets(&mut self, bytes: &mut [u8]) -> (Opened, Vec<u8>) {
        let mut read = Vec::new();
        let opened = self.tls.on_bytes(bytes, |plain| {
            read.extend_from_slice(plain);
            Step::Go
        });
        (opened, read)
    }

    /// What this connection keeps.
    fn kept(&self) -> usize {
        let TlsState::Traffic(traffic) = &self.tls.state else { return 0 };
        let waiting = traffic.late.capacity() + traffic.partial.capacity();
        self.tls.outgoing.capacity() + traffic.message.capacity() + waiting
    }

    /// How many of these records are taken before one ends the connection; `None`: any number.
    fn takes(&mut self, content: Content, plaintext: &[u8]) -> Option<usize> {
        (0..10_000).find(|_| self.says(content, plaintext).0 != Opened::Plain(Step::Go))
    }
}

/// A handshake message.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32).to_be_bytes();
    [&[kind], &len[1..], body].concat()
}

/// A ticket of TLS 1.3 that is good for a day: lifetime, age, nonce, the ticket itself, no extension.
fn ticket(len: u16) -> Vec<u8> {
    let (lifetime, age, nonce) = (86_400u32.to_be_bytes(), [7; 4], [2, 1, 2]);
    message(
        NEW_SESSION_TICKET,
        &[&lifetime, &age, &nonce[..], &len.to_be_bytes(), &vec![9; len.into()], &[0, 0]].concat(),
    )
}

#[test]
fn what_a_server_may_say_without_end_and_what_it_may_not() {
    use Content::{Alert, ApplicationData, Handshake};
    const WARNED: [u8; 2] = [WARNING, 90];
    let (updates, any) = (Some(UPDATES_MAX as usize), None);
    // (version, what it says again and again, how many are taken, why)
    let rows: [(_, _, Vec<u8>, Option<usize>); 15] = [
        // Records without a byte: strange and allowed. Each costs its contestant as half a KiB.
        (&TLS13, ApplicationData, Vec::new(), any),
        (&TLS12, ApplicationData, Vec::new(), any),
        // Tickets: a few are looked at.
        (&TLS13, Handshake, ticket(100), any),
        (&TLS13, Handshake, ticket(16_000), any),
        // In TLS 1.2 they belong to the handshake.
        (&TLS12, Handshake, ticket(100), Some(0)),
        // Updates of keys. This server changes none, so that the first is the last that can be read.
        (&TLS13, Handshake, message(KEY_UPDATE, &[0]), Some(1)),
        (&TLS13, Handshake, message(KEY_UPDATE, &[2]), Some(0)),
        (&TLS12, Handshake, message(KEY_UPDATE, &[0]), Some(0)),
        // The wish for another handshake.
        (&TLS12, Handshake, message(HELLO_REQUEST, &[]), updates),
        (&TLS13, Handshake, message(HELLO_REQUEST, &[]), Some(0)),
        // Another hello, and a request for our certificate: nobody agreed to that.
        (&TLS12, Handshake, message(2, &[3; 70]), Some(0)),
        (&TLS13, Handshake, message(13, &[0, 0, 0]), Some(0)),
        // A message longer than any.
        (&TLS13, Handshake, vec![NEW_SESSION_TICKET, 0xff, 0xff, 0xff], Some(0)),
        // Warnings, and an error.
        (&TLS12, Alert, WARNED.to_vec(), updates),
        (&TLS13, Alert, vec![2, 80], Some(0)),
    ];
    for (version, content, plaintext, taken) in rows {
        let mut server = Lawless::new(version);
        let said = &plaintext[..plaintext.len().min(8)];
        assert_eq!(server.takes(content, &plaintext), taken, "{version:?} {content:?} {said:?}");
        assert!(server.kept() < 96 * 1024, "{version:?} {content:?} {said:?} keeps {}", server.kept());
    }
}

#[test]
fn a_message_in_pieces_is_whole_again_and_nothing_may_stand_between_them() {
    let whole = ticket(5_000);
    for piece in [1, 3, 4, 999] {
        let mut server = Lawless::new(&TLS13);
        for piece in whole.chunks(piece) {
            assert_eq!(server.says(Content::Handshake, piece).0, Opened::Plain(Step::Go));
        }
        assert_eq!(server.says(Content::ApplicationData, b"after"), (Opened::Plain(Step::Go), b"after".to_vec()));
    }
    for (content, plaintext) in [(Content::ApplicationData, &b"between"[..]), (Content::Alert, &[WARNING, 0])] {
        let mut server = Lawless::new(&TLS13);
        assert_eq!(server.says(Content::Handshake, &whole[..7]).0, Opened::Plain(Step::Go));
        assert_eq!(server.says(content, plaintext), (Opened::Failed(TlsReason::Protocol), Vec::new()));
    }
}

#[test]
fn padding_is_no_plaintext_and_a_record_of_padding_alone_is_none() {
    let mut server = Lawless::new(&TLS13);
    // The content type stands before the padding.
    let mut padded = |plaintext: &[u8]| server.says_sealed(plaintext, |sealer, record| sealer.seal_with(0, record));
    let mut long = b"hi\x17".to_vec();
    long.resize(PLAINTEXT_MAX, 0);
    assert_eq!(padded(&long), (Opened::Plain(Step::Go), b"hi".to_vec()));
    assert_eq!(padded(b"hi\x17\0\0"), (Opened::Plain(Step::Go), b"hi".to_vec()));
    assert_eq!(padded(&[0; 100]), (Opened::Failed(TlsReason::Protocol), Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn however_little_time_there_is_at_once_all_is_read_in_order(
        is_13: bool,
        lens in proptest::collection::vec(0usize..300, 1..40),
        cut in 1usize..900,
        time in 1u32..6,
    ) {
        let mut server = Lawless::new(if is_13 { &TLS13 } else { &TLS12 });
        let (mut records, mut said) = (Vec::new(), Vec::new());
        for (number, len) in lens.iter().enumerate() {
            let at = records.len() + server.sealer.plaintext_at();
            records.resize(records.len() + server.sealer.record_len(*len), number as u8);
            said.extend(std::iter::repeat_n(number as u8, *len));
            let begin = at - server.sealer.plaintext_at();
            prop_assert!(server.sealer.seal(Content::ApplicationData, &mut records[begin..]));
        }
        let mut read = Vec::new();
        for part in records.chunks_mut(cut) {
            server.tls.allow(Allowance { short_records: time, ..Allowance::ALL });
            let (opened, more) = server.gets(part);
            prop_assert_eq!(opened, Opened::Plain(Step::Go));
            read.extend(more);
        }
        let mut turns = 0;
        while server.tls.is_behind() {
            server.tls.allow(Allowance { short_records: time, ..Allowance::ALL });
            read.extend(server.gets(&mut []).1);
            turns += 1;
            prop_assert!(turns <= lens.len());
        }
        prop_assert_eq!(read, said);
    }
}

proptest! {
    #[test]
    fn whatever_the_holder_of_the_keys_says_is_bounded(
        is_13: bool,
        said in proptest::collection::vec((0u8..3, proptest::collection::vec(any::<u8>(), 0..40), 0usize..3), 1..60),
    ) {
        let mut server = Lawless::new(if is_13 { &TLS13 } else { &TLS12 });
        for (content, bytes, shape) in said {
            let content = [Content::ApplicationData, Content::Handshake, Content::Alert][usize::from(content)];
            // Noise, something like a ticket, and something like any other message.
            let bytes = match shape {
                0 => bytes,
                1 => message(NEW_SESSION_TICKET, &bytes),
                _ => message(bytes.first().copied().unwrap_or(0), &bytes),
            };
            let (opened, read) = server.says(content, &bytes);
            prop_assert!(read.is_empty() || (content == Content::ApplicationData && read == bytes));
            prop_assert!(server.kept() < 96 * 1024);
            if !matches!(opened, Opened::Plain(_)) {
                // It has ended: nothing is read of it any more.
                prop_assert_eq!(server.says(Content::ApplicationData, b"more").1, Vec::<u8>::new());
                break;
            }
        }
    }
}

#[test]
fn a_server_is_told_why_it_is_refused_and_that_we_say_no_more() {
    let good = identity(&["localhost"], |_| {});
    let past = identity(&["localhost"], |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1));
    for version in [&TLS13, &TLS12] {
        // (what it shows, whom the client trusts, the name that it asks for, what the server hears)
        let refused = [
            (&past, &past, "localhost", AlertDescription::CertificateExpired),
            // An authority of that name is trusted, and it is another one.
            (&good, &past, "localhost", AlertDescription::DecryptError),
            (&good, &good, "example.com", AlertDescription::BadCertificate),
        ];
        for (shown, trusted, name, alert) in refused {
            let mut pair = Pair::new(&client(trusted), &server(shown, version, None), name, 1400);
            assert!(matches!(pair.carry(), Err(Opened::Failed(_))));
            assert_eq!(pair.heard(), Some(alert), "{version:?}");
        }
        let mut pair = Pair::new(&client(&good), &server(&good, version, None), "localhost", 1400);
        pair.carry().expect("a handshake");
        pair.tls.part();
        pair.server.read_tls(&mut pair.tls.outgoing()).expect("memory");
        assert!(pair.server.process_new_packets().expect("TLS").peer_has_closed());
        // What is no record of this connection, and a message that no handshake has.
        let mut pair = Pair::new(&client(&good), &server(&good, version, None), "localhost", 1400);
        pair.carry().expect("a handshake");
        let mut none = [&[23, 3, 3, 0, 40], &[7; 40][..]].concat();
        assert_eq!(pair.give(&mut none), Err(Opened::Failed(TlsReason::Protocol)));
        assert_eq!(pair.heard(), Some(AlertDescription::BadRecordMac), "{version:?}");
        let mut pair = Pair::new(&client(&good), &server(&good, version, None), "localhost", 1400);
        pair.greet();
        let mut endless = [b"\x16\x03\x03\x40\x00\x02\x00\xff\xff", &[0; 0x4000 - 4][..]].concat().repeat(5);
        assert_eq!(pair.give(&mut endless), Err(Opened::Failed(TlsReason::TooLong)));
        assert_eq!(pair.heard(), Some(AlertDescription::UnexpectedMessage), "{version:?}");
        // To whoever has said his last nothing is said.
        let mut pair = Pair::new(&client(&good), &server(&good, version, None), "localhost", 1400);
        pair.carry().expect("a handshake");
        pair.server.send_close_notify();
        assert_eq!(pair.carry(), Err(Opened::Ended));
        pair.tls.part();
        assert!(pair.tls.outgoing().is_empty());
    }
}

#[test]
fn a_layout_never_needs_more_room_than_it_said() {
    let identity = identity(&["localhost"], |_| {});
    let mut pair = Pair::new(&client(&identity), &server(&identity, &TLS12, None), "localhost", 1400);
    pair.carry().expect("a handshake");
    for request in [1, 99, 120, 2_300, 8_000, 16_384] {
        for count in [1, 2, 7, 16, 137, 1024] {
            let layout = pair.tls.layout(0, request).expect("established");
            let room = Layout::room(request, count);
            assert!(layout.fits(room) >= count, "{request} {count}");
            assert!(layout.at(count - 1) + request + records::TAG <= room, "{request} {count}");
        }
    }
}
