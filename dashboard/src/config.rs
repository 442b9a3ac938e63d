//! What `serve` runs by: parsed once, valid from then on.

use crate::cli::Serve;
use flowtest_scoreboard::{RedisAddress, ScoreboardError};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use url::Url;

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub database: PathBuf,
    /// The contest's Redis.
    pub redis: RedisAddress,
    /// The one that is read once a second: a replica, or the same.
    pub redis_read: RedisAddress,
    pub contest: String,
    pub metrics: Option<SocketAddr>,
    /// As browsers write it in `Origin`: scheme, host and port, no slash at the end.
    pub public_url: Option<String>,
    /// Where contestants find what the organiser gives them.
    pub kit_url: Option<String>,
    /// Where tests and practice come from besides the generators.
    pub test_sources: Vec<IpAddr>,
    pub proxies: Vec<IpAddr>,
    pub tls: Option<Tls>,
    pub viewers_max: usize,
    /// Added to what this machine's clock says, in microseconds: not 0 only in rehearsals.
    pub clock_shift_us: i64,
}

#[derive(Clone, Debug)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What is wrong with the flags.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path:?} cannot be read ({cause}): give a file that this user may read")]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error(
        "--contest {0:?} cannot be part of a key: write 1 to 64 characters without braces, colons and control characters"
    )]
    Contest(String),
    #[error(transparent)]
    Redis(#[from] ScoreboardError),
    #[error("--public-url {0:?} is no address of a site: write https://host or http://host:port, without a path")]
    PublicUrl(String),
    #[error("--kit-url {0:?} is no address that a browser opens: write https://host/path or http://host/path")]
    KitUrl(String),
}

impl Config {
    pub fn new(flags: &Serve) -> Result<Config, ConfigError> {
        if !flowtest_contest::names::is_name(&flags.contest) {
            return Err(ConfigError::Contest(flags.contest.clone()));
        }
        let tls = match (&flags.tls_cert, &flags.tls_key) {
            (Some(certificate), Some(key)) => {
                for path in [certificate, key] {
                    std::fs::File::open(path).map_err(|cause| ConfigError::Unreadable { path: path.clone(), cause })?;
                }
                Some(Tls { certificate: certificate.clone(), key: key.clone() })
            }
            _ => None,
        };
        let redis = |url: &str| {
            RedisAddress::new(url)?
                .with_password_file(flags.redis_password_file.as_deref())?
                .with_ca_file(flags.redis_ca.as_deref())
                .map(|redis| redis.allow_volatile(flags.redis_volatile))
        };
        Ok(Config {
            listen: flags.listen,
            database: flags.database.database.clone(),
            redis: redis(&flags.redis)?,
            redis_read: redis(flags.redis_read.as_ref().unwrap_or(&flags.redis))?.for_reading(),
            contest: flags.contest.clone(),
            metrics: flags.metrics,
            public_url: flags.public_url.as_deref().map(origin).transpose()?,
            kit_url: flags.kit_url.as_deref().map(page).transpose()?,
            test_sources: flags.test_source.clone(),
            proxies: flags.proxy.clone(),
            tls,
            viewers_max: flags.viewers_max.max(1),
            clock_shift_us: flags.clock_shift_us,
        })
    }

    /// Whether browsers reach us by TLS, ours or a proxy's.
    pub fn is_https(&self) -> bool {
        match &self.public_url {
            Some(url) => url.starts_with("https:"),
            None => self.tls.is_some(),
        }
    }
}

fn origin(text: &str) -> Result<String, ConfigError> {
    let wrong = || ConfigError::PublicUrl(text.to_owned());
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.password().is_some() || !plain {
        return Err(wrong());
    }
    Ok(url.origin().ascii_serialization())
}

/// An address that a page may lead to: nothing but http, which is no script.
fn page(text: &str) -> Result<String, ConfigError> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.to_string()),
        _ => Err(ConfigError::KitUrl(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kit_is_where_a_browser_can_go() {
        assert_eq!(
            page("https://kit.example.org/a b/NOTES.md").ok().as_deref(),
            Some("https://kit.example.org/a%20b/NOTES.md")
        );
        for bad in ["javascript:alert(1)", "kit.example.org/x", "s3://kit/x", ""] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_public_url_is_an_origin() {
        let cases = [
            ("https://scores.example.org", Some("https://scores.example.org")),
            ("https://scores.example.org/", Some("https://scores.example.org")),
            ("http://Host:8000", Some("http://host:8000")),
            // browsers leave the default port out
            ("https://host:443", Some("https://host")),
            ("https://host/path", None),
            ("ftp://host", None),
            ("host:8000", None),
            ("https://user:secret@host", None),
        ];
        for (text, expected) in cases {
            assert_eq!(origin(text).ok().as_deref(), expected, "{text}");
        }
    }
}
