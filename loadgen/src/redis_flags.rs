//! How the Redis is spoken to that a command names by `--redis`.

use crate::Failed;
use clap::builder::BoolishValueParser;
use flowtest_scoreboard::RedisAddress;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct RedisFlags {
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

impl RedisFlags {
    /// The Redis at a URL, as these flags say.
    ///
    /// # Errors
    /// What is wrong with the URL, the password's file or that of certificates.
    pub fn address(&self, url: &str) -> Result<RedisAddress, Failed> {
        let redis = RedisAddress::new(url)?.with_password_file(self.redis_password_file.as_deref())?;
        let redis = redis.with_ca_file(self.redis_ca.as_deref())?;
        Ok(redis.allow_volatile(self.redis_volatile))
    }
}
