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
    /// Take a Redis that forgets when it restarts, as ElastiCache does, which has no append-only file: generators publish
    /// again what it has lost, until the round is sealed.
    #[arg(long, env = "FLOWTEST_LOADGEN_REDIS_VOLATILE", requires_if("true", "redis"), value_parser = BoolishValueParser::new())]
    redis_volatile: bool,
}

impl RedisFlags {
    /// The Redis at a URL, as these flags say.
    ///
    /// # Errors
    /// What is wrong with the URL or the password's file.
    pub fn address(&self, url: &str) -> Result<RedisAddress, Failed> {
        let redis = RedisAddress::new(url)?.with_password_file(self.redis_password_file.as_deref())?;
        Ok(redis.allow_volatile(self.redis_volatile))
    }
}
