//! Where Redis is and how one gets in: address, password, and what is asked of the server, as one value.
//!
//! All commands read it here. A password may stand in the URL or in a file; neither `Display`, `Debug` nor an error
//! shows it.

use crate::error::ScoreboardError;
use redis::{ConnectionInfo, IntoConnectionInfo};
use std::fmt;
use std::path::Path;

/// The longest password in a file, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// The address of a Redis, with the password for it.
#[derive(Clone)]
pub struct RedisAddress {
    info: ConnectionInfo,
    /// The URL without secrets.
    redacted: String,
    volatile_allowed: bool,
    reads_only: bool,
}

impl RedisAddress {
    /// `redis://[user[:password]@]host[:port][/database]`, `rediss://` for the same over TLS, or
    /// `unix:///path/to/socket`. Over TLS the server's certificate must be one that the system trusts, or the file that
    /// the variable `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// [`ScoreboardError::Url`] when it is none of these.
    pub fn new(url: &str) -> Result<RedisAddress, ScoreboardError> {
        let redacted = without_secrets(url);
        let info = url.into_connection_info().map_err(|error| ScoreboardError::Url {
            url: redacted.clone(),
            // The crate may repeat the URL in its detail, and the URL may hold a password.
            cause: error.category().to_owned(),
        })?;
        Ok(RedisAddress { info, redacted, volatile_allowed: false, reads_only: false })
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

    /// Where to connect to, password included.
    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
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

/// A URL may hold a password, also a malformed URL: before an @, or in the query of a Unix socket's address.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.find("://").map_or(("", url), |at| url.split_at(at + 3));
    match (rest.find('?'), rest.rfind('@')) {
        // Either of the two may be part of a password that holds the other.
        (Some(query), Some(at)) if query < at => format!("{scheme}..."),
        (Some(query), Some(at)) => format!("{scheme}{}", &rest[at + 1..query]),
        (Some(query), None) => format!("{scheme}{}", &rest[..query]),
        (None, Some(at)) => format!("{scheme}{}", &rest[at + 1..]),
        (None, None) => url.to_owned(),
    }
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
        ];
        for (url, redacted) in cases {
            assert_eq!(without_secrets(url), redacted);
        }
        let error = RedisAddress::new("http://:secret@host").expect_err("not Redis");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        let address = RedisAddress::new("redis://user:secret@host:1").expect("an address").with_password("secret");
        assert_eq!(format!("{address} {address:?}"), "redis://host:1 redis://host:1");
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
