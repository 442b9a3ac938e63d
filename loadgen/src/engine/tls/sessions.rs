//! The sessions of one contestant in one worker: resumed for as long as the certificates that they began with are in date.
//!
//! rustls resumes a session without looking at a certificate. A browser looks at it again; here a session that has
//! outlived a certificate of its chain is not offered, so that the server must show what it has by then: a new one is as
//! good as any, and an old one fails as it does at everybody else. It costs a resumed handshake nothing.
//!
//! And the chains that this contestant has shown: each is looked at once, and how many were is told to whoever shares out the
//! time of the worker.

use super::certificate::Fields;
use parking_lot::{Mutex, MutexGuard};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, Error, NamedGroup, SignatureScheme};
use std::collections::VecDeque;
use std::iter;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Tickets of TLS 1.3 that are kept. Each is good for one connection, and so many may begin before one of them brings others: as many
/// as a turn begins. Each holds the chain that it came with, at the limit of both five megabytes in all.
const TICKETS: usize = 64;

/// Chains that are known at once: a name may stand for as many servers as it may have addresses, each with a certificate of
/// its own.
pub const CHAINS: usize = 64;

/// What connections of one contestant in one worker begin with.
#[derive(Debug)]
pub struct Remembering {
    pub config: Arc<ClientConfig>,
    has_looked: Arc<AtomicBool>,
}

impl Remembering {
    /// The same configuration with sessions of its own. `verifier` is who looks at certificates; none: their dates are nothing
    /// to anybody.
    pub fn new(config: &ClientConfig, verifier: Option<&Arc<dyn ServerCertVerifier>>) -> Remembering {
        let mut config = config.clone();
        let has_looked = Arc::default();
        let until = AtomicU64::new(if verifier.is_some() { 0 } else { u64::MAX });
        let clock = Arc::clone(&config.time_provider);
        let sessions = Arc::new(Sessions { known: Mutex::default(), clock, until });
        if let Some(verifier) = verifier {
            let (verifier, known) = (Arc::clone(verifier), Mutex::default());
            let verifier =
                Dated { verifier, sessions: Arc::clone(&sessions), known, has_looked: Arc::clone(&has_looked) };
            config.dangerous().set_certificate_verifier(Arc::new(verifier));
        }
        config.resumption = Resumption::store(sessions);
        Remembering { config: Arc::new(config), has_looked }
    }

    /// Whether a chain was looked at since the last call: a step looks at one at the most.
    pub fn has_looked(&self) -> bool {
        self.has_looked.swap(false, Ordering::Relaxed)
    }
}

/// What is known of one server: a contestant whose endpoint moves begins anew.
#[derive(Debug, Default)]
struct Server {
    name: Option<ServerName<'static>>,
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    /// The oldest is the first.
    tickets: VecDeque<Tls13ClientSessionValue>,
}

#[derive(Debug)]
struct Sessions {
    known: Mutex<Server>,
    clock: Arc<dyn TimeProvider>,
    /// The last second in which everything is in date that was shown since it last was not: seconds since the Unix epoch.
    until: AtomicU64,
}

impl Sessions {
    /// A chain was verified that is in date until then.
    fn on_verified(&self, ends: u64, now: u64) {
        // Sessions of another chain may be here as well.
        let known = self.until.load(Ordering::Relaxed);
        self.until.store(if known < now { ends } else { known.min(ends) }, Ordering::Relaxed);
    }

    /// What is known of a server, of others nothing more: sessions not before something was verified, nor after it is over.
    fn of(&self, name: &ServerName<'_>) -> MutexGuard<'_, Server> {
        let mut server = self.known.lock();
        if server.name.as_ref() != Some(name) {
            *server = Server { name: Some(name.to_owned()), ..Server::default() };
        }
        if !self.are_in_date() {
            (server.tls12, server.tickets) = (None, VecDeque::new());
        }
        server
    }

    fn are_in_date(&self) -> bool {
        self.clock.current_time().is_some_and(|now| now.as_secs() <= self.until.load(Ordering::Relaxed))
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.of(&server).group = Some(group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.of(server).group
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        if self.are_in_date() {
            self.of(&server).tls12 = Some(session);
        }
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.of(server).tls12.clone()
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.of(server).tls12 = None;
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, session: Tls13ClientSessionValue) {
        if self.are_in_date() {
            let mut known = self.of(&server);
            if known.tickets.len() == TICKETS {
                known.tickets.pop_front();
            }
            known.tickets.push_back(session);
        }
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.of(server).tickets.pop_back()
    }
}

/// Who looks at certificates, and tells the sessions until when they are good.
///
/// A chain that was looked at is known while it is in date, as browsers know it, and one that was refused for the second in
/// which it was: what a chain costs, of signatures above all, it costs once and not for each connection.
#[derive(Debug)]
struct Dated {
    verifier: Arc<dyn ServerCertVerifier>,
    sessions: Arc<Sessions>,
    /// The one that was shown last is the first.
    known: Mutex<Vec<Known>>,
    has_looked: Arc<AtomicBool>,
}

/// What was said of a chain, and for which seconds since the Unix epoch that holds.
#[derive(Debug)]
struct Known {
    digest: blake3::Hash,
    said: Result<(), Error>,
    seconds: RangeInclusive<u64>,
}

impl Known {
    fn new<'a>(
        digest: blake3::Hash,
        shown: impl Iterator<Item = &'a CertificateDer<'a>>,
        said: Result<(), Error>,
        now: UnixTime,
    ) -> Known {
        let now = now.as_secs();
        // What is over already was in no chain that was verified, but beside it.
        let not_after = |shown: &CertificateDer<'_>| Fields::read(shown)?.not_after();
        let ends = shown.map(|shown| not_after(shown).unwrap_or(now)).filter(|end| *end >= now).min();
        let ends = if said.is_ok() { ends.unwrap_or(now) } else { now };
        Known { digest, said, seconds: now..=ends }
    }
}

/// Of a chain that is shown for a name.
fn digest(certificate: &CertificateDer<'_>, chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> blake3::Hash {
    let name = name.to_str();
    let mut hasher = blake3::Hasher::new();
    let shown = iter::once(certificate).chain(chain).map(|shown| shown.as_ref());
    for part in iter::once(name.as_bytes()).chain(shown) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.finalize()
}

impl ServerCertVerifier for Dated {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut all = self.known.lock();
        let digest = digest(certificate, chain, name);
        match all.iter().position(|known| known.digest == digest && known.seconds.contains(&now.as_secs())) {
            Some(place) => all[..=place].rotate_right(1),
            None => {
                self.has_looked.store(true, Ordering::Relaxed);
                let said = self.verifier.verify_server_cert(certificate, chain, name, ocsp, now).map(drop);
                all.truncate(CHAINS - 1);
                all.insert(0, Known::new(digest, iter::once(certificate).chain(chain), said, now));
            }
        }
        let known = &all[0];
        known.said.clone()?;
        self.sessions.on_verified(*known.seconds.end(), now.as_secs());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
