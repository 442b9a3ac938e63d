//! Who looks at a server's certificate: by whom it was signed, or nobody at all.

use crate::engine::tls::{Fields, NOT_SIGNED_BY_ITS_KEY};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName, SignatureVerificationAlgorithm,
    SubjectPublicKeyInfoDer, UnixTime, alg_id,
};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates behind a server's own that are looked at, and of one name among them.
const CANDIDATES_MAX: usize = 4;
const SAME_NAME_MAX: usize = 2;
/// What the signatures of a chain may cost before it is given up, where most cost 1: one by a key of P-384 takes two
/// milliseconds, and whoever names a root with such a key chooses that. A turn that is 10 ms late is one in which we were.
const SIGNATURES_MAX: u32 = 8;
const P384_COST: u32 = 2;

/// Looks at a server's certificate, where there is somebody to be trusted, and at the signature of its handshake.
#[derive(Debug)]
pub(super) struct Verifier {
    /// None: any certificate is taken.
    trusted: Option<Trusted>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Takes the certificates of webpki, and one that is trusted itself though an authority's.
///
/// `openssl req -x509` makes such ones unless told otherwise, and whoever names one of them by `--ca` means that very server.
/// OpenSSL and Chromium take it; webpki, as Firefox, takes no authority for a server. Signed by another authority it is
/// taken by nobody here: the Baseline Requirements (7.1.2.7.8) forbid it, so that no public authority makes one.
#[derive(Debug)]
struct Trusted {
    roots: RootCertStore,
    /// All that is trusted, byte for byte.
    certificates: HashSet<CertificateDer<'static>>,
}

impl Verifier {
    /// `trusted` is what `roots` were made of.
    pub(super) fn trusting(
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Verifier {
        Verifier { trusted: Some(Trusted { roots, certificates: trusted.into_iter().collect() }), algorithms }
    }

    /// Takes any certificate.
    pub(super) fn anybody(algorithms: WebPkiSupportedAlgorithms) -> Verifier {
        Verifier { trusted: None, algorithms }
    }

    /// The key of a certificate of which nothing else matters. webpki would read all of it, and takes none of X.509 version 1, which
    /// is what `openssl x509 -req` makes.
    fn key_alone<'a>(&self, certificate: &'a CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'a>> {
        if self.trusted.is_some() {
            return None;
        }
        Fields::read(certificate)?.public_key().map(SubjectPublicKeyInfoDer::from)
    }
}

impl Trusted {
    /// Whether a root has signed the certificate, itself or by its chain.
    fn verify_chain(
        &self,
        certificate: &ParsedCertificate<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Error> {
        let cost = AtomicU32::new(0);
        let bounded: Vec<_> = algorithms.all.iter().map(|by| Bounded { by: *by, cost: &cost }).collect();
        let algorithms: Vec<_> = bounded.iter().map(|one| one as &dyn SignatureVerificationAlgorithm).collect();
        let said = verify_server_cert_signed_by_trust_anchor(certificate, &self.roots, chain, now, &algorithms);
        if said.is_err() && cost.load(Ordering::Relaxed) > SIGNATURES_MAX {
            let why = OtherError(Arc::new(webpki::Error::MaximumSignatureChecksExceeded));
            return Err(CertificateError::Other(why).into());
        }
        said
    }
}

/// Looks at signatures of one chain for [`SIGNATURES_MAX`], and takes none after them.
#[derive(Debug)]
struct Bounded<'a> {
    by: &'static dyn SignatureVerificationAlgorithm,
    /// Of all that the chain's algorithms were asked about.
    cost: &'a AtomicU32,
}

impl SignatureVerificationAlgorithm for Bounded<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let cost = if self.by.public_key_alg_id() == alg_id::ECDSA_P384 { P384_COST } else { 1 };
        if self.cost.fetch_add(cost, Ordering::Relaxed) + cost > SIGNATURES_MAX {
            return Err(InvalidSignature);
        }
        self.by.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.by.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.by.signature_alg_id()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        let parsed = ParsedCertificate::try_from(certificate)?;
        match trusted.verify_chain(&parsed, &candidates(certificate, chain), now, &self.algorithms) {
            // The dates were looked at before this was found.
            Err(error) if is_an_authority(&error) && trusted.certificates.contains(certificate) => {
                if !may_serve(certificate) {
                    return Err(CertificateError::InvalidPurpose.into());
                }
            }
            said => said?,
        }
        verify_server_name(&parsed, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let said = match self.key_alone(certificate) {
            Some(key) => signed_by(message, &key, signed, &self.algorithms),
            None => verify_tls12_signature(message, certificate, signed, &self.algorithms),
        };
        told_apart(said)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let said = match self.key_alone(certificate) {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms),
            None => verify_tls13_signature(message, certificate, signed, &self.algorithms),
        };
        told_apart(said)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A handshake of TLS 1.2 by a key: its scheme may be one of several curves.
fn signed_by(
    message: &[u8],
    key: &SubjectPublicKeyInfoDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = webpki::RawPublicKeyEntity::try_from(key).map_err(|_| CertificateError::BadEncoding)?;
    let of_scheme = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let mut possible = of_scheme.into_iter().flat_map(|(_, algorithms)| algorithms.iter());
    match possible.any(|by| key.verify_signature(*by, message, signed.signature()).is_ok()) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(NOT_SIGNED_BY_ITS_KEY.into()),
    }
}

/// A handshake whose signature is wrong, or by a key that nobody takes, is no certificate that is signed wrongly: rustls has the same
/// errors for both.
fn told_apart(said: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
    said.map_err(|error| match error {
        Error::InvalidCertificate(
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => NOT_SIGNED_BY_ITS_KEY.into(),
        error => error,
    })
}

/// Nothing but that was found about a certificate.
fn is_an_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(why))
        if matches!(why.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)))
}

/// Of the certificates behind a server's own those that may be its chain, by their names.
///
/// Whoever sends many that may each be the next one has webpki try each in each place. Authorities have one name or two between
/// a server and a root, and some are signed by two others.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tls::TlsReason;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::crypto::ring;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::version::{TLS12, TLS13};
    use rustls::{
        AlertDescription, ClientConfig, ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion,
    };

    /// Counts the signatures that are looked at.
    #[derive(Debug)]
    struct Counting(SignatureScheme);

    static LOOKED_AT: AtomicU32 = AtomicU32::new(0);
    static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 2] =
        [&Counting(SignatureScheme::ECDSA_NISTP256_SHA256), &Counting(SignatureScheme::ECDSA_NISTP384_SHA384)];

    impl Counting {
        fn by(&self) -> &'static dyn SignatureVerificationAlgorithm {
            let mapping = ring::default_provider().signature_verification_algorithms.mapping;
            let (_, known) = mapping.iter().find(|(scheme, _)| *scheme == self.0).expect("it is known");
            known[0]
        }
    }

    impl SignatureVerificationAlgorithm for Counting {
        fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
            LOOKED_AT.fetch_add(1, Ordering::Relaxed);
            self.by().verify_signature(key, message, signature)
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            self.by().public_key_alg_id()
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            self.by().signature_alg_id()
        }
    }

    fn authority(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    #[test]
    fn a_chain_that_is_made_to_cost_signatures_costs_a_few() {
        let mut algorithms = ring::default_provider().signature_verification_algorithms;
        algorithms.all = &ALGORITHMS;
        let keys: Vec<KeyPair> = (0..60).map(|_| KeyPair::generate().expect("a key")).collect();
        let name = ServerName::try_from("host").expect("a name");
        let leaf = |issuer: &CertificateParams, key: &KeyPair| {
            let params = CertificateParams::new(vec!["host".to_owned()]).expect("a name");
            let signed = params.signed_by(&KeyPair::generate().expect("a key"), &Issuer::from_params(issuer, key));
            signed.expect("signed").der().clone()
        };
        let root = authority("the root");
        let signed = root.self_signed(&keys[0]).expect("a root").der().clone();
        let second = authority("a second root");
        let dear = [authority("a dear root"), authority("another dear root")];
        let p384: Vec<KeyPair> =
            (0..4).map(|_| KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key")).collect();
        let mut roots = RootCertStore::empty();
        roots.add(signed.clone()).expect("an authority");
        for (own, key) in [(&second, &keys[0]), (&dear[0], &p384[0]), (&dear[1], &p384[0])] {
            roots.add(own.self_signed(key).expect("a root").der().clone()).expect("an authority");
        }
        let trusted = Verifier::trusting(roots, vec![signed], algorithms);
        let look = |leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]| {
            let before = LOOKED_AT.load(Ordering::Relaxed);
            let said = trusted.verify_server_cert(leaf, chain, &name, &[], UnixTime::now());
            (said.map(drop), LOOKED_AT.load(Ordering::Relaxed) - before)
        };
        // Everybody has the root's name, and nobody its signature.
        let twins: Vec<_> = keys[1..]
            .iter()
            .map(|key| root.signed_by(key, &Issuer::from_params(&root, &keys[1])).expect("signed").der().clone())
            .collect();
        let (said, signatures) = look(&leaf(&root, &keys[1]), &twins);
        assert!(said.is_err() && (1..=SIGNATURES_MAX).contains(&signatures), "{said:?} after {signatures}");
        // Each has the name of a root, and says that the other one has signed it. The dearest keys have fewer looked at.
        for ([one, other], keys, most) in [([&root, &second], &keys, 8), ([&dear[0], &dear[1]], &p384, 4)] {
            let circle: Vec<_> = (keys.iter().zip([(one, other), (other, one)].iter().cycle()))
                .map(|(key, (own, issuer))| own.signed_by(key, &Issuer::from_params(issuer, &keys[1])))
                .map(|signed| signed.expect("signed").der().clone())
                .collect();
            let (said, signatures) = look(&leaf(one, &keys[1]), &circle);
            assert_eq!(signatures, most, "{said:?}");
            assert_eq!(said.map_err(|error| TlsReason::of(&error)), Err(TlsReason::TooMany));
        }
        // A long chain that is right.
        let mut issuer = (root.clone(), &keys[0]);
        let mut levels = Vec::new();
        for (level, key) in ["first", "second", "third"].into_iter().zip(&keys[5..]) {
            let own = authority(level);
            let signed = own.signed_by(key, &Issuer::from_params(&issuer.0, issuer.1)).expect("signed").der().clone();
            levels.push(signed);
            issuer = (own, key);
        }
        assert_eq!(look(&leaf(&issuer.0, issuer.1), &levels), (Ok(()), 4));
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

    /// What a client makes of a server that shows one certificate and signs by this key, and what the server hears.
    fn shake(
        version: &'static SupportedProtocolVersion,
        verifier: Verifier,
        shown: &CertificateDer<'static>,
        key: &KeyPair,
    ) -> Result<(), (TlsReason, Error)> {
        let provider = Arc::new(ring::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .expect("a version")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let key = ring::sign::any_supported_type(&PrivatePkcs8KeyDer::from(key.serialize_der()).into()).expect("a key");
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![shown.clone()], key))));
        let name = ServerName::try_from("host").expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
        let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
        let mut said = None;
        loop {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).expect("memory");
            }
            let mut bytes = bytes.as_slice();
            while !bytes.is_empty() {
                server.read_tls(&mut bytes).expect("memory");
            }
            match (server.process_new_packets(), said) {
                (Err(heard), Some(said)) => return Err((said, heard)),
                (heard, _) => drop(heard.expect("it hears nothing wrong")),
            }
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).expect("memory");
            }
            let mut bytes = bytes.as_slice();
            while !bytes.is_empty() {
                client.read_tls(&mut bytes).expect("memory");
            }
            said = client.process_new_packets().err().map(|error| TlsReason::of(&error));
            if said.is_none() && !client.is_handshaking() {
                return Ok(());
            }
        }
    }

    #[test]
    fn a_certificate_and_a_handshake_that_are_signed_wrongly_are_told_apart_and_both_by_decrypt_error() {
        let keys = [(); 3].map(|()| KeyPair::generate().expect("a key"));
        let [root_key, other_key, key] = &keys;
        let root = authority("the root");
        let signed = |by: &KeyPair| {
            let params = CertificateParams::new(vec!["host".to_owned()]).expect("a name");
            params.signed_by(key, &Issuer::from_params(&root, by)).expect("signed").der().clone()
        };
        let trusted = root.self_signed(root_key).expect("a root").der().clone();
        let trusting = || {
            let mut roots = RootCertStore::empty();
            roots.add(trusted.clone()).expect("an authority");
            let algorithms = ring::default_provider().signature_verification_algorithms;
            Verifier::trusting(roots, vec![trusted.clone()], algorithms)
        };
        for version in [&TLS13, &TLS12] {
            // (who signed the certificate, who the handshake, what is told): OpenSSL's client sends the same alert for both.
            for (by, signer, reason) in [(other_key, key, TlsReason::Issuer), (root_key, other_key, TlsReason::Key)] {
                let heard = Error::AlertReceived(AlertDescription::DecryptError);
                assert_eq!(shake(version, trusting(), &signed(by), signer), Err((reason, heard)), "{version:?}");
            }
        }
    }

    /// The tag and the contents of the first thing in DER, and what is behind it.
    fn split(der: &[u8]) -> (u8, &[u8], &[u8]) {
        let (len, header) = match der[1] {
            0x81 => (usize::from(der[2]), 3),
            0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
            short => (usize::from(short), 2),
        };
        (der[0], &der[header..header + len], &der[header + len..])
    }

    fn sequence(contents: &[u8]) -> Vec<u8> {
        let len = contents.len();
        let header: &[u8] = match len {
            0..0x80 => &[len as u8],
            0x80..0x100 => &[0x81, len as u8],
            _ => &[0x82, (len >> 8) as u8, len as u8],
        };
        [&[0x30], header, contents].concat()
    }

    /// The same certificate in X.509 version 1: without its version, and without extensions.
    fn first_version(certificate: &CertificateDer<'_>) -> CertificateDer<'static> {
        let (_, whole, _) = split(certificate);
        let (_, mut fields, signature) = split(whole);
        let mut kept = Vec::new();
        while !fields.is_empty() {
            let (tag, _, rest) = split(fields);
            if tag != 0xa0 && tag != 0xa3 {
                kept.extend_from_slice(&fields[..fields.len() - rest.len()]);
            }
            fields = rest;
        }
        sequence(&[sequence(&kept), signature.to_vec()].concat()).into()
    }

    #[test]
    fn where_any_certificate_is_taken_one_of_version_1_is_as_well_and_its_key_must_sign_all_the_same() {
        let [key, other] = [(); 2].map(|()| KeyPair::generate().expect("a key"));
        let shown = CertificateParams::new(vec!["host".to_owned()]).expect("a name");
        let third = shown.self_signed(&key).expect("signed").der().clone();
        let first = first_version(&third);
        assert!(webpki::EndEntityCert::try_from(&first).is_err(), "it is none of version 3");
        let anybody = || Verifier::anybody(ring::default_provider().signature_verification_algorithms);
        for version in [&TLS13, &TLS12] {
            for shown in [&first, &third] {
                assert_eq!(shake(version, anybody(), shown, &key), Ok(()), "{version:?}");
                let (reason, _) = shake(version, anybody(), shown, &other).expect_err("another key has signed");
                assert_eq!(reason, TlsReason::Key, "{version:?}");
            }
        }
    }
}
