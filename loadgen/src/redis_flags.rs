//! The Redis that a command names by `--redis`, and how it is spoken to.

use crate::Failed;
use clap::builder::BoolishValueParser;
use flowtest_scoreboard::RedisAddress;
use std::path::PathBuf;

/// Of a command that is nothing without one.
#[derive(Debug, clap::Args)]
pub struct RedisFlags {
    /// The Redis of the contest (redis://host[:port], rediss:// for TLS, or unix:///path).
    #[arg(long, value_name = "URL", env = "FLOWTEST_LOADGEN_REDIS", hide_env_values = true)]
    redis: String,
    #[command(flatten)]
    access: Access,
}

impl RedisFlags {
    /// # Errors
    /// What is wrong with the URL, the password's file or that of certificates.
    pub fn address(&self) -> Result<RedisAddress, Failed> {
        self.access.address(&self.redis)
    }
}

/// Of a command that does without one, too.
#[derive(Debug, clap::Args)]
pub struct MaybeRedisFlags {
    /// Publish scores to this Redis (redis://host[:port], rediss:// for TLS, or unix:///path).
    #[arg(long, value_name = "URL", env = "FLOWTEST_LOADGEN_REDIS", hide_env_values = true)]
    redis: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl MaybeRedisFlags {
    /// # Errors
    /// As [`RedisFlags::address`].
    pub fn address(&self) -> Result<Option<RedisAddress>, Failed> {
        self.redis.as_deref().map(|url| self.access.address(url)).transpose()
    }
}

#[derive(Debug, clap::Args)]
struct Access {
    /// A file with the password of that Redis, instead of one in the URL.
    #[arg(long, value_name = "FILE", env = "FLOWTEST_LOADGEN_REDIS_PASSWORD_FILE", requires = "redis")]
    redis_password_file: Option<PathBuf>,
    /// A file of the certificates (PEM) that this Redis may show over TLS, instead of those that the system trusts. It says
    /// nothing about contestants.
    #[arg(long, value_name = "FILE", env = "FLOWTEST_LOADGEN_REDIS_CA", requires = "redis")]
    redis_ca: Option<PathBuf>,
    /// Take a Redis that forgets when it restarts, as ElastiCache does, which has no append-only file: generators publish
    /// again what it has lost, until the round is sealed.
    #[arg(long, env = "FLOWTEST_LOADGEN_REDIS_VOLATILE", requires_if("true", "redis"), value_parser = BoolishValueParser::new())]
    redis_volatile: bool,
}

impl Access {
    fn address(&self, url: &str) -> Result<RedisAddress, Failed> {
        let redis = RedisAddress::new(url)?.with_password_file(self.redis_password_file.as_deref())?;
        if let Some(doubt) = self.doubt(url, std::env::var_os("SSL_CERT_FILE").is_some()) {
            eprintln!("flowtest-loadgen: {doubt}");
        }
        let redis = redis.with_ca_file(self.redis_ca.as_deref())?;
        Ok(redis.allow_volatile(self.redis_volatile))
    }

    /// What may be meant otherwise where a variable names all that this process trusts.
    fn doubt(&self, url: &str, names_all: bool) -> Option<&'static str> {
        (names_all && url.starts_with("rediss://") && self.redis_ca.is_none()).then_some(
            "SSL_CERT_FILE names all that contestants over https are trusted by, too: if it is there for Redis, give its file by \
             --redis-ca and take the variable away",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_was_meant_for_redis_is_told() {
        let access = |redis_ca: Option<&str>| Access {
            redis_password_file: None,
            redis_ca: redis_ca.map(PathBuf::from),
            redis_volatile: false,
        };
        let told = |redis_ca, url, names_all| access(redis_ca).doubt(url, names_all).is_some();
        assert!(told(None, "rediss://a.test", true));
        assert!(!told(None, "rediss://a.test", false) && !told(None, "redis://a.test", true));
        assert!(!told(Some("ca.pem"), "rediss://a.test", true));
    }
}
