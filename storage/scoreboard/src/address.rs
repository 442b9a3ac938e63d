//! Where Redis is and how one gets in: address, password, and what is asked of the server, as one value.
//!
//! All commands read it here. A password may stand in the URL or in a file; neither `Display`, `Debug` nor an error
//! shows it.

use crate::error::ScoreboardError;
use crate::wire;
use flowtest_contest::text::bounded;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::fmt;
use std::path::{Path, PathBuf};

/// The longest password in a file, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// The address of a Redis, with the password for it.
#[derive(Clone)]
pub struct RedisAddress {
    info: ConnectionInfo,
    /// The URL without secrets.
    redacted: String,
    /// A file of the certificates that its server may show over TLS; none: whom the system trusts.
    trusted: Option<PathBuf>,
    volatile_allowed: bool,
    reads_only: bool,
}

impl RedisAddress {
    /// `redis://[user[:password]@]host[:port][/database]`, `rediss://` for the same over TLS, or
    /// `unix:///path/to/socket`. Over TLS the server's certificate must be one that the system trusts, unless
    /// [`RedisAddress::with_ca_file`] names others.
    ///
    /// # Errors
    /// [`ScoreboardError::Url`] when it is none of these.
    pub fn new(url: &str) -> Result<RedisAddress, ScoreboardError> {
        let redacted = redacted(url);
        let wrong = |cause: &str| ScoreboardError::Url { url: redacted.clone(), cause: cause.to_owned() };
        // A sign that ends the host's part of a URL, and stands in a password that is not encoded: what came before it would
        // be taken for the host.
        let cut = after_scheme(url).1.find(['/', '?', '#']);
        if !is_socket(url) && cut.is_some_and(|at| after_scheme(url).1[at..].contains('@')) {
            return Err(wrong("there is a /, ? or # before its @, as in a password that is not percent-encoded"));
        }
        // The crate may repeat the URL in its detail, and the URL may hold a password.
        let info = url.into_connection_info().map_err(|error| wrong(error.category()))?;
        Ok(RedisAddress { info, redacted, trusted: None, volatile_allowed: false, reads_only: false })
    }

    /// The same with a password, which wins over one in the URL.
    #[must_use]
    pub fn with_password(self, password: &str) -> RedisAddress {
        let settings = self.info.redis_settings().clone().set_password(password);
        RedisAddress { info: self.info.set_redis_settings(settings), ..self }
    }

    /// The same with the password that is the first line of a file, so that no list of processes shows it. Without a file
    /// nothing changes.
    ///
    /// # Errors
    /// [`ScoreboardError::PasswordFile`] when the file cannot be read, or its first line is no password.
    pub fn with_password_file(self, path: Option<&Path>) -> Result<RedisAddress, ScoreboardError> {
        let Some(path) = path else { return Ok(self) };
        let wrong = |cause: String| ScoreboardError::PasswordFile { path: path.to_owned(), cause };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        match text.lines().next() {
            Some(password) if (1..=PASSWORD_BYTES_MAX).contains(&password.len()) => Ok(self.with_password(password)),
            _ => Err(wrong(format!("its first line is empty or longer than {PASSWORD_BYTES_MAX} bytes"))),
        }
    }

    /// The same, trusting over TLS the certificates of this file and nobody else. It is Redis's alone: whom the servers of
    /// contestants are trusted by is another matter. It is read for each connection, so that it may be replaced. Without a
    /// file nothing changes.
    ///
    /// # Errors
    /// [`ScoreboardError::CaFile`] when it holds none.
    pub fn with_ca_file(self, path: Option<&Path>) -> Result<RedisAddress, ScoreboardError> {
        let Some(path) = path else { return Ok(self) };
        wire::certificates_of(path)
            .map_err(|cause| ScoreboardError::CaFile { path: path.to_owned(), cause: cause.to_string() })?;
        Ok(RedisAddress { trusted: Some(path.to_owned()), ..self })
    }

    /// Whether a Redis will do that would lose scores when it stops: without append-only file, or one that evicts keys.
    #[must_use]
    pub fn allow_volatile(self, allowed: bool) -> RedisAddress {
        RedisAddress { volatile_allowed: allowed, ..self }
    }

    /// The same for somebody who only reads: a replica will do, and our functions are not loaded.
    #[must_use]
    pub fn for_reading(self) -> RedisAddress {
        RedisAddress { reads_only: true, ..self }
    }

    /// Its host and port; none for a socket in the file system.
    pub fn host_and_port(&self) -> Option<(String, u16)> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Some((host.clone(), *port)),
            _ => None,
        }
    }

    /// Where to connect to, password included.
    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    pub(crate) fn trusted(&self) -> Option<&Path> {
        self.trusted.as_deref()
    }

    pub(crate) fn is_volatile_allowed(&self) -> bool {
        self.volatile_allowed
    }

    pub(crate) fn reads_only(&self) -> bool {
        self.reads_only
    }
}

/// The URL without a password.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

/// The longest URL that is repeated, in bytes.
const SHOWN_BYTES_MAX: usize = 200;

fn after_scheme(url: &str) -> (&str, &str) {
    url.find("://").map_or(("", url), |at| url.split_at(at + 3))
}

fn is_socket(url: &str) -> bool {
    after_scheme(url).0.contains("unix")
}

/// A URL as messages repeat it: without a password, which also a malformed one may hold, short, and with nothing that a
/// terminal obeys. Text around a URL is taken for a part of it.
pub fn redacted(url: &str) -> String {
    let (scheme, rest) = after_scheme(url);
    let shown = match (rest.find('?'), rest.rfind('@')) {
        // Either of the two may be part of a password that holds the other.
        (Some(query), Some(at)) if query < at => "...",
        (Some(query), Some(at)) => &rest[at + 1..query],
        (Some(query), None) => &rest[..query],
        (None, Some(at)) => &rest[at + 1..],
        (None, None) => rest,
    };
    // Without an @, what stands behind a colon may be the password of somebody who forgot the host.
    let authority = shown.split(['/', '#']).next().unwrap_or(shown);
    let is_plain = authority.starts_with('[')
        || authority
            .split_once(':')
            .is_none_or(|(host, port)| !host.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()));
    let is_odd = !scheme.is_empty() && !rest.contains('@') && !is_socket(url) && !is_plain;
    bounded(&format!("{scheme}{}", if is_odd { "..." } else { shown }), SHOWN_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let cases = [
            ("redis://:secret@host:1/2", "redis://host:1/2"),
            ("redis://user:sec@ret@host", "redis://host"),
            ("user:secret@host", "host"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            ("unix:///run/redis.sock?db=1&pass=secret", "unix:///run/redis.sock"),
            ("unix:///run/redis.sock?pass=sec@ret", "unix://..."),
            ("redis://:sec?ret@host:1/2", "redis://..."),
            ("redis://:secret@host?protocol=resp3", "redis://host"),
            ("sec?ret@host", "..."),
            // the host was forgotten
            ("redis://:open-sesame", "redis://..."),
            ("redis://user:open-sesame/0", "redis://..."),
            ("redis://[::1]:6379", "redis://[::1]:6379"),
            ("redis://host:6379/2", "redis://host:6379/2"),
            ("redis://a\u{1b}[2J", "redis://a\\u{1b}[2J"),
        ];
        for (url, shown) in cases {
            assert_eq!(redacted(url), shown);
        }
        assert!(redacted(&format!("redis://:x@{}", "h".repeat(2_000))).len() <= SHOWN_BYTES_MAX);
        let error = RedisAddress::new("http://:secret@host").expect_err("not Redis");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        let address = RedisAddress::new("redis://user:secret@host:1").expect("an address").with_password("secret");
        assert_eq!(format!("{address} {address:?}"), "redis://host:1 redis://host:1");
    }

    #[test]
    fn a_password_that_is_not_encoded_is_told_with_the_way_out() {
        // Each of them would be read as another host, port or database.
        for url in [
            "redis://:op/en@host:1",
            "redis://u:12/3@host",
            "redis://u:12?x@host",
            "redis://u:12#x@host",
            "redis://:o#x@h",
        ] {
            let error = RedisAddress::new(url).expect_err(url).to_string();
            assert!(error.contains("percent-encoded") && error.contains("--redis-password-file"), "{url}: {error}");
        }
        for url in ["redis://:op%2Fen@host:1", "redis://:a@b@host", "unix:///run/a@b?db=1", "redis://host:1/2"] {
            assert!(RedisAddress::new(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_password_is_the_first_line_of_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        let read = || RedisAddress::new("redis://:other@host").expect("an address").with_password_file(Some(&path));
        let error = read().expect_err("no file");
        assert!(error.to_string().contains("password file cannot be read"), "{error}");
        for wrong in [String::new(), "\nsecret\n".to_owned(), "x".repeat(PASSWORD_BYTES_MAX + 1)] {
            std::fs::write(&path, &wrong).expect("a file");
            let error = read().expect_err("no password");
            assert!(error.to_string().contains("first line is empty or longer"), "{error}");
        }
        for right in ["secret", "secret\n", "secret\r\nanother\n"] {
            std::fs::write(&path, right).expect("a file");
            let address = read().expect("a password");
            assert_eq!(address.info.redis_settings().password(), Some("secret"), "it wins over the URL's");
        }
        let address = RedisAddress::new("redis://:other@host").expect("an address").with_password_file(None);
        assert_eq!(address.expect("no file").info.redis_settings().password(), Some("other"));
    }
}
