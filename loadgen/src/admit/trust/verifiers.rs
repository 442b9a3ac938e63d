//! Who looks at a server's certificate: by whom it was signed, or nobody at all.

use crate::engine::tls::Fields;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::collections::HashSet;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates behind a server's own that are looked at, and of one name among them.
const CANDIDATES_MAX: usize = 6;
const SAME_NAME_MAX: usize = 2;

/// Takes the certificates of webpki, and one that is trusted itself though an authority's.
///
/// `openssl req -x509` makes such ones unless told otherwise, and whoever names one of them by `--ca` means that very server.
/// OpenSSL and Chromium take it; webpki, as Firefox, takes no authority for a server. Signed by another authority it is
/// taken by nobody here: the Baseline Requirements (7.1.2.7.8) forbid it, so that no public authority makes one.
#[derive(Debug)]
pub(super) struct Trusted {
    chains: Arc<WebPkiServerVerifier>,
    /// All that is trusted, byte for byte.
    trusted: HashSet<CertificateDer<'static>>,
}

impl Trusted {
    /// `trusted` is what `roots` were made of.
    ///
    /// # Errors
    /// No root at all.
    pub(super) fn new(
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Trusted, Error> {
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
        let chains = chains.map_err(|error| Error::General(error.to_string()))?;
        Ok(Trusted { chains, trusted: trusted.into_iter().collect() })
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let candidates = candidates(certificate, chain);
        match self.chains.verify_server_cert(certificate, &candidates, name, ocsp, now) {
            // The dates were looked at before this was found.
            Err(error) if is_an_authority(&error) && self.trusted.contains(certificate) => {
                if !may_serve(certificate) {
                    return Err(CertificateError::InvalidPurpose.into());
                }
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            said => said,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Nothing but that was found about a certificate.
fn is_an_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(why))
        if matches!(why.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)))
}

/// Of the certificates behind a server's own those that may be its chain, by their names.
///
/// Whoever sends many that may each be the next one has webpki try a hundred signatures before it gives up, some ten
/// milliseconds in which a worker sees no answer of anybody. Authorities have one name or two between a server and a root, and
/// some are signed by two others.
fn candidates<'a>(certificate: &'a CertificateDer<'_>, chain: &'a [CertificateDer<'_>]) -> Vec<CertificateDer<'a>> {
    let named = |one: &'a CertificateDer<'_>| {
        Fields::read(one).and_then(|fields| Some((fields.subject()?, fields.issuer, one)))
    };
    let chain: Vec<_> = chain.iter().filter_map(named).collect();
    let mut wanted: Vec<&[u8]> = named(certificate).iter().map(|(_, issuer, _)| *issuer).collect();
    let mut candidates = Vec::new();
    let mut next = 0;
    while let Some(name) = wanted.get(next).copied() {
        next += 1;
        for (_, issuer, one) in chain.iter().filter(|(subject, ..)| *subject == name).take(SAME_NAME_MAX) {
            if candidates.len() == CANDIDATES_MAX {
                return candidates;
            }
            candidates.push(CertificateDer::from(&one[..]));
            if !wanted.contains(issuer) {
                wanted.push(issuer);
            }
        }
    }
    candidates
}

/// Whether a server may show it: webpki has not looked at that yet.
fn may_serve(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    match certificate.extended_key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.any || usage.value.server_auth),
        Err(_) => false,
    }
}

/// Takes any certificate.
#[derive(Debug)]
pub(super) struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Anybody {
        Anybody(algorithms)
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::crypto::ring;
    use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts the signatures that are looked at.
    #[derive(Debug)]
    struct Counting(AtomicUsize);

    fn one() -> &'static dyn SignatureVerificationAlgorithm {
        let (_, known) = ring::default_provider()
            .signature_verification_algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == SignatureScheme::ECDSA_NISTP256_SHA256)
            .expect("it is known");
        known[0]
    }

    impl SignatureVerificationAlgorithm for Counting {
        fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Ordering::Relaxed);
            one().verify_signature(key, message, signature)
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            one().public_key_alg_id()
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            one().signature_alg_id()
        }
    }

    static COUNTING: Counting = Counting(AtomicUsize::new(0));
    static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 1] = [&COUNTING];

    fn authority(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    #[test]
    fn a_chain_that_is_made_to_cost_signatures_costs_a_few() {
        let mut provider = ring::default_provider();
        provider.signature_verification_algorithms.all = &ALGORITHMS;
        let provider = Arc::new(provider);
        let keys: Vec<KeyPair> = (0..60).map(|_| KeyPair::generate().expect("a key")).collect();
        let name = ServerName::try_from("host").expect("a name");
        let leaf = |issuer: &CertificateParams, key: &KeyPair| {
            let params = CertificateParams::new(vec!["host".to_owned()]).expect("a name");
            let signed = params.signed_by(&KeyPair::generate().expect("a key"), &Issuer::from_params(issuer, key));
            signed.expect("signed").der().clone()
        };
        let root = authority("the root");
        let signed = root.self_signed(&keys[0]).expect("a root").der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(signed.clone()).expect("an authority");
        let trusted = Trusted::new(roots, vec![signed], &provider).expect("a root");
        let look = |leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]| {
            let before = COUNTING.0.load(Ordering::Relaxed);
            let said = trusted.verify_server_cert(leaf, chain, &name, &[], UnixTime::now());
            (said.map(drop), COUNTING.0.load(Ordering::Relaxed) - before)
        };
        // Everybody has the root's name, and nobody its signature.
        let twins: Vec<_> = keys[1..]
            .iter()
            .map(|key| root.signed_by(key, &Issuer::from_params(&root, &keys[1])).expect("signed").der().clone())
            .collect();
        let (said, signatures) = look(&leaf(&root, &keys[1]), &twins);
        assert!(said.is_err() && (1..=20).contains(&signatures), "{said:?} after {signatures}");
        // Names in circles, two of each.
        let names = ["one", "two", "three"];
        let circle: Vec<_> = (0..60)
            .map(|at| {
                let (own, issuer) =
                    (authority(names[at % 3]), authority(if at % 2 == 0 { "the root" } else { names[(at + 1) % 3] }));
                own.signed_by(&keys[at], &Issuer::from_params(&issuer, &keys[1])).expect("signed").der().clone()
            })
            .collect();
        let (said, signatures) = look(&leaf(&authority("one"), &keys[1]), &circle);
        assert!(said.is_err() && signatures <= 40, "{said:?} after {signatures}");
        // One in between at the end of a bundle that has nothing to do with it.
        let between = authority("in between");
        let signed = between.signed_by(&keys[2], &Issuer::from_params(&root, &keys[0])).expect("signed").der().clone();
        let bundle: Vec<_> = twins[..40].iter().cloned().chain([signed]).collect();
        assert_eq!(look(&leaf(&between, &keys[2]), &bundle).0, Ok(()));
        // And one that two have signed, of whom the second is trusted.
        let (other, both) = (authority("another root"), authority("in between"));
        let by_other = both.signed_by(&keys[3], &Issuer::from_params(&other, &keys[4])).expect("signed").der().clone();
        let by_root = both.signed_by(&keys[3], &Issuer::from_params(&root, &keys[0])).expect("signed").der().clone();
        assert_eq!(look(&leaf(&both, &keys[3]), &[by_other, by_root]).0, Ok(()));
    }
}
