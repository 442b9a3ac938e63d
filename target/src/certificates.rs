//! Whose certificate the TLS port shows: read from files, again at every reload, or made at the start for tries.

use flowtest_contract::tls::{ALPN, is_preferred_suite};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Where certificate and key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// PEM: the chain, leaf first, and the key of the leaf.
    Files { certificate: PathBuf, key: PathBuf },
    /// Made at the start, for these names and addresses, and written to `copy` for those who are to trust it.
    SelfSigned { names: Vec<String>, copy: Option<PathBuf> },
}

/// Why there is no certificate. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{flag} {path}: {cause}; give a PEM file that this user may read")]
    File { flag: &'static str, path: String, cause: String },
    #[error("--tls-cert {path} holds no certificate; it must be PEM, the server's own certificate first")]
    Empty { path: String },
    #[error("--tls-cert and --tls-key do not go together: {0}; give the key that the first certificate was made for")]
    Pair(rustls::Error),
    #[error("no certificate could be made: {0}; give one by --tls-cert and --tls-key")]
    Making(#[from] rcgen::Error),
    #[error("--tls-self-signed={path}: {cause}; name a file that can be written")]
    Copy { path: String, cause: std::io::Error },
    #[error("TLS could not be set up: {0}; this is a fault of the program, please report it")]
    Setup(rustls::Error),
}

/// What the TLS port answers handshakes with. Connections keep what they began with.
#[derive(Debug)]
pub struct Certificates {
    source: Source,
    current: RwLock<Arc<ServerConfig>>,
    /// What `--faults tls_expired` shows.
    expired: Option<Arc<ServerConfig>>,
    /// The certificate that was made, as PEM.
    made: Option<String>,
}

impl Certificates {
    pub fn load(source: Source, with_expired: bool) -> Result<Certificates, CertificateError> {
        let (config, expired, made) = match &source {
            Source::Files { .. } => {
                let expired = if with_expired {
                    let key = rcgen::KeyPair::generate()?;
                    Some(Made::new(&["localhost".to_owned()], &key, Validity::Expired)?.into_config()?)
                } else {
                    None
                };
                (from_files(&source)?, expired, None)
            }
            Source::SelfSigned { names, copy } => {
                let key = rcgen::KeyPair::generate()?;
                let made = Made::new(names, &key, Validity::Now)?;
                // Of the same name and key, so that whoever trusts the one has nothing against the other but its date.
                let expired = with_expired.then(|| Made::new(names, &key, Validity::Expired)).transpose()?;
                let pem = made.pem.clone();
                if let Some(path) = copy {
                    let refused = |cause| CertificateError::Copy { path: path.display().to_string(), cause };
                    std::fs::write(path, &pem).map_err(refused)?;
                }
                (made.into_config()?, expired.map(Made::into_config).transpose()?, Some(pem))
            }
        };
        let shared = Arc::new;
        Ok(Certificates { source, current: RwLock::new(shared(config)), expired: expired.map(shared), made })
    }

    /// Reads the files again; where they are not right, what there was stays. A certificate that was made stays as well.
    pub fn reload(&self) -> Result<(), CertificateError> {
        if let Source::Files { .. } = self.source {
            let config = Arc::new(from_files(&self.source)?);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        }
        Ok(())
    }

    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn expired(&self) -> Option<Arc<ServerConfig>> {
        self.expired.clone()
    }

    /// The certificate that was made at the start, as PEM.
    pub fn made(&self) -> Option<&str> {
        self.made.as_deref()
    }
}

fn from_files(source: &Source) -> Result<ServerConfig, CertificateError> {
    let Source::Files { certificate, key } = source else { unreachable!("asked for files only") };
    let path = certificate.display().to_string();
    let wrong = |flag, path: &std::path::Path, cause: rustls::pki_types::pem::Error| CertificateError::File {
        flag,
        path: path.display().to_string(),
        cause: cause.to_string(),
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|cause| wrong("--tls-cert", certificate, cause))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty { path });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|cause| wrong("--tls-key", key, cause))?;
    config(chain, key)
}

/// A certificate of our own making.
struct Made {
    pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

#[derive(Clone, Copy, Debug)]
enum Validity {
    /// From yesterday on, for a year.
    Now,
    Expired,
}

impl Made {
    fn new(names: &[String], key: &rcgen::KeyPair, validity: Validity) -> Result<Made, rcgen::Error> {
        let mut params = rcgen::CertificateParams::new(names)?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "flowtest-target");
        let day = |date: jiff::civil::Date| {
            rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
        };
        let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
        let days = |count| jiff::Span::new().days(count);
        (params.not_before, params.not_after) = match validity {
            Validity::Now => (day(today.saturating_sub(days(1))), day(today.saturating_add(days(365)))),
            Validity::Expired => (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1)),
        };
        let certificate = params.self_signed(key)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Made { pem: certificate.pem(), certificate: certificate.der().clone(), key })
    }

    fn into_config(self) -> Result<ServerConfig, CertificateError> {
        config(vec![self.certificate], self.key)
    }
}

fn config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, CertificateError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(CertificateError::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(CertificateError::Pair)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ignore_client_order = true;
    config.ticketer = ring::Ticketer::new().map_err(CertificateError::Setup)?;
    Ok(config)
}

/// What both sides prefer comes first.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !is_preferred_suite(suite.suite().into()));
    provider
}

/// The names that a certificate for tries is for.
pub fn names_of(listen: IpAddr) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let own = listen.to_string();
    if !listen.is_unspecified() && !names.contains(&own) {
        names.push(own);
    }
    names
}
