//! Whom a server over https is trusted by: from files and the system to what connections begin with.
//!
//! The system's own authorities, not a list inside the program: a list ages with the program, and a company's own
//! authority stands in the system's.

mod verifiers;

use crate::Failed;
use crate::admit::resolve::ADDRESSES_MAX;
use crate::engine::plan::TlsServer;
use crate::engine::tls::CHAINS;
use flowtest_contest::endpoint::{Endpoint, Host, Scheme};
use flowtest_contest::policy::TlsTrust;
use flowtest_contract::tls::{ALPN, is_preferred_suite};
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use verifiers::Verifier;

// Each address of a name may be a server with a certificate of its own.
const _: () = assert!(CHAINS >= ADDRESSES_MAX);

/// Why nobody can be trusted. Each says what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TrustError {
    #[error("--ca {path}: {cause}; name a file of certificates in PEM")]
    File { path: String, cause: String },
    #[error("--ca {path} holds no certificate; name a file of certificates in PEM")]
    Empty { path: String },
    #[error(
        "no certificates to trust: {cause}; install the system's authorities (ca-certificates), or name a file of them by --ca"
    )]
    Nobody { cause: String },
    #[error("{host}: TLS knows no such name ({cause}); give the name that stands in the server's certificate")]
    Name { host: String, cause: String },
    #[error("TLS could not be set up: {0}; this is a fault of the program, please report it")]
    Setup(rustls::Error),
}

impl TrustError {
    /// Whether it is wrong with the generator's machine, which no contestant pays for.
    pub fn is_ours(&self) -> bool {
        match self {
            TrustError::Name { .. } => false,
            TrustError::File { .. } | TrustError::Empty { .. } | TrustError::Nobody { .. } | TrustError::Setup(_) => {
                true
            }
        }
    }

    /// The sentence for a contestant, who cannot mend what is wrong with the generator's machine.
    pub fn for_contestants(&self) -> String {
        if !self.is_ours() {
            return self.to_string();
        }
        "the generator knows no authority by which it could trust a server over https: tell the organisers".to_owned()
    }
}

impl From<TrustError> for Failed {
    fn from(error: TrustError) -> Failed {
        match error {
            TrustError::File { .. } | TrustError::Empty { .. } | TrustError::Name { .. } => {
                Failed::Usage(error.to_string())
            }
            TrustError::Nobody { .. } | TrustError::Setup(_) => Failed::Message(error.to_string()),
        }
    }
}

/// What connections over TLS begin with, or why there is nobody to trust: that is told to whoever needs it, and a machine
/// without authorities plays http all the same.
#[derive(Clone, Debug)]
pub struct Trust(Result<Handshakes, TrustError>);

/// How handshakes are made.
#[derive(Clone, Debug)]
struct Handshakes {
    config: Arc<ClientConfig>,
    /// Who looks at certificates; none: any is taken.
    verifier: Option<Arc<dyn ServerCertVerifier>>,
}

/// Whom the servers of a contest are trusted by, whichever its policy says.
#[derive(Clone, Debug)]
pub struct ContestTrust {
    verify: Trust,
    any: Trust,
}

impl ContestTrust {
    /// The system's authorities and those in these files, or anybody.
    ///
    /// # Errors
    /// Files that hold none.
    pub fn new(files: &[PathBuf]) -> Result<ContestTrust, TrustError> {
        Ok(ContestTrust { verify: Trust::system_and(files)?, any: Trust::anybody()? })
    }

    /// Why no server can be verified.
    pub fn trouble(&self) -> Option<&TrustError> {
        self.verify.0.as_ref().err()
    }

    pub fn of(&self, setting: TlsTrust) -> &Trust {
        match setting {
            TlsTrust::Verify => &self.verify,
            TlsTrust::Any => &self.any,
        }
    }
}

impl Trust {
    /// The system's authorities, or the file that the variable `SSL_CERT_FILE` names, and those in these files.
    ///
    /// # Errors
    /// Files that hold none. A system that has none is told by [`Trust::server`].
    pub fn system_and(files: &[PathBuf]) -> Result<Trust, TrustError> {
        let mut trusted: Vec<CertificateDer<'static>> = Vec::new();
        let mut roots = RootCertStore::empty();
        for file in files {
            add(&mut roots, &mut trusted, file)?;
        }
        let found = rustls_native_certs::load_native_certs();
        trusted.extend(found.certs.iter().cloned());
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let cause = found.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
            return Ok(Trust(Err(TrustError::Nobody { cause })));
        }
        let provider = Arc::new(provider());
        let verifier: Arc<dyn ServerCertVerifier> =
            Arc::new(Verifier::trusting(roots, trusted, provider.signature_verification_algorithms));
        let config = config(provider, Arc::clone(&verifier))?;
        Ok(Trust(Ok(Handshakes { config, verifier: Some(verifier) })))
    }

    /// Any certificate at all. That the server has its key is still asked.
    ///
    /// # Errors
    /// [`TrustError::Setup`].
    pub fn anybody() -> Result<Trust, TrustError> {
        let provider = Arc::new(provider());
        let verifier = Arc::new(Verifier::anybody(provider.signature_verification_algorithms));
        Ok(Trust(Ok(Handshakes { config: config(provider, verifier)?, verifier: None })))
    }

    /// How TLS is spoken with the server of an endpoint; none where it speaks plain http.
    ///
    /// # Errors
    /// [`TrustError::Name`], and [`TrustError::Nobody`].
    pub fn server(&self, endpoint: &Endpoint) -> Result<Option<TlsServer>, TrustError> {
        if endpoint.scheme == Scheme::Http {
            return Ok(None);
        }
        let Handshakes { config, verifier } = self.0.as_ref().map_err(Clone::clone)?.clone();
        let name = match &endpoint.host {
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|error| TrustError::Name { host: name.clone(), cause: error.to_string() })?,
            Host::V4(address) => ServerName::from(std::net::IpAddr::from(*address)),
            Host::V6(address) => ServerName::from(std::net::IpAddr::from(*address)),
        };
        Ok(Some(TlsServer { name, config, verifier }))
    }
}

fn config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, TrustError> {
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(TrustError::Setup)?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    // The engine seals and opens records by itself.
    config.enable_secret_extraction = true;
    // A worker keeps sessions of each contestant apart. Whoever asks beside the flood keeps none, and sees the certificate.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn add(roots: &mut RootCertStore, trusted: &mut Vec<CertificateDer<'static>>, file: &Path) -> Result<(), TrustError> {
    let path = file.display().to_string();
    let wrong = |cause: String| TrustError::File { path: path.clone(), cause };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(TrustError::Empty { path });
    }
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(|error| wrong(error.to_string()))?;
        trusted.push(certificate);
    }
    Ok(())
}

/// What both sides prefer comes first.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !is_preferred_suite(suite.suite().into()));
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_needs_somebody_to_trust() {
        let endpoint = |text: &str| text.parse::<Endpoint>().expect("an endpoint");
        let nobody = Trust(Err(TrustError::Nobody { cause: "the system has none".to_owned() }));
        assert!(nobody.server(&endpoint("a.test")).is_ok_and(|server| server.is_none()));
        let error = nobody.server(&endpoint("https://a.test")).expect_err("nobody");
        assert!(error.to_string().contains("install the system's authorities"), "{error}");
        assert!(error.is_ours());
        assert!(error.for_contestants().contains("tell the organisers") && !error.for_contestants().contains("--ca"));
        let any = Trust::anybody().expect("set up");
        let server = any.server(&endpoint("https://a.test")).expect("a name").expect("it speaks TLS");
        assert_eq!(server, any.server(&endpoint("https://a.test:8443/x")).expect("a name").expect("it speaks TLS"));
        assert_ne!(Some(server), any.server(&endpoint("https://[::1]")).expect("an address"));
        let error = any.server(&endpoint("https://a!b.test")).expect_err("no name").to_string();
        assert!(error.contains("a!b.test") && error.contains("server's certificate"), "{error}");
    }
}
