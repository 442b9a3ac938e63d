//! Passwords: hashed with argon2id, compared in the same time whether or not the user exists.
//!
//! Owns how many are hashed at once (each takes 19 MiB and tens of milliseconds of a core), and how many may wait. How
//! strong a password is, the dashboard says; here only its length counts.

use crate::error::Error;
use crate::people::secret;
use crate::store::file::blocking;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Lengths of a password in characters.
pub const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// How many may wait for a core at once: some seconds of hashing on two cores, the crowd of a large room.
const WAITING_MAX: usize = 200;

#[derive(Debug)]
pub(crate) struct Passwords {
    /// One permit for each who waits or is hashed: whoever finds none is told to come back.
    permits: Semaphore,
    /// One permit per core, so that a rush of logins leaves the collector its turn.
    cores: Arc<Semaphore>,
    /// Hash of a password nobody has, made with today's parameters.
    dummy_hash: String,
}

impl Passwords {
    pub(crate) async fn start() -> Result<Passwords, Error> {
        Passwords::with_waiting_max(WAITING_MAX).await
    }

    async fn with_waiting_max(waiting_max: usize) -> Result<Passwords, Error> {
        let mut bytes = [0; 32];
        secret::fill(&mut bytes)?;
        let dummy_hash = blocking(move || hash_now(&bytes)).await?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let permits = Semaphore::new(waiting_max + cores);
        Ok(Passwords { permits, cores: Arc::new(Semaphore::new(cores)), dummy_hash })
    }

    /// A new hash with a salt of its own.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Error> {
        check_length(password)?;
        let password = password.to_owned();
        self.on_a_core(move || hash_now(password.as_bytes())).await
    }

    /// Whether the password is the one hashed; without a hash it takes as long and is wrong.
    pub(crate) async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, Error> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy_hash.clone());
        // Longer input cannot be right, and must not cost more.
        let fits = password.len() <= 4 * PASSWORD_LENGTH.end();
        let password = if fits { password.to_owned() } else { String::new() };
        let right = self
            .on_a_core(move || {
                let hash = PasswordHash::new(&hash)
                    .map_err(|error| Error::Failed(format!("a password's hash is damaged: {error}")))?;
                Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(right && known && fits)
    }

    pub(crate) async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.permits.try_acquire().map_err(|_| Error::Overloaded)?;
        let permit = self.cores.clone().acquire_owned().await.map_err(|error| Error::Failed(error.to_string()))?;
        // The permit goes along: who gives up waiting does not free the core that is still hashing.
        blocking(move || {
            let _permit = permit;
            work()
        })
        .await
    }
}

/// Whether a password of this length is taken.
pub(crate) fn check_length(password: &str) -> Result<(), Error> {
    if PASSWORD_LENGTH.contains(&password.chars().count()) {
        return Ok(());
    }
    Err(Error::invalid("password", "A password has 8 to 128 characters."))
}

fn hash_now(password: &[u8]) -> Result<String, Error> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password)
        .map_err(|error| Error::Failed(format!("a password could not be hashed: {error}")))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_right_only_where_it_was_hashed() {
        let passwords = Passwords::start().await.expect("random bits");
        let hash = passwords.hash("correct horse").await.expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse").await.expect("a hash"), "each has a salt of its own");
        assert!(passwords.verify("correct horse", Some(hash.clone())).await.expect("an answer"));
        assert!(!passwords.verify("correct horsf", Some(hash.clone())).await.expect("an answer"));
        assert!(!passwords.verify(&"x".repeat(10_000_000), Some(hash)).await.expect("an answer"));
        assert!(!passwords.verify("correct horse", None).await.expect("an answer"));
        assert!(passwords.verify("x", Some("no hash".into())).await.is_err());
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_back_and_those_who_wait_are_served() {
        let passwords = Arc::new(Passwords::with_waiting_max(3).await.expect("random bits"));
        let cores = passwords.cores.available_permits();
        let busy = passwords.cores.clone().acquire_many_owned(cores as u32).await.expect("all cores");
        let one = |passwords: Arc<Passwords>| async move { passwords.verify("correct horse", None).await };
        let all: Vec<_> = (0..cores + 10).map(|_| tokio::spawn(one(passwords.clone()))).collect();
        while passwords.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        drop(busy);
        let mut refused = 0;
        for answer in all {
            match answer.await.expect("it does not panic") {
                Ok(right) => assert!(!right),
                Err(Error::Overloaded) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refused, 7);
        passwords.verify("correct horse", None).await.expect("there is room again");
    }

    #[tokio::test]
    async fn passwords_have_8_to_128_characters() {
        let passwords = Passwords::start().await.expect("random bits");
        // characters, not bytes
        for good in ["ä".repeat(8), "😀".repeat(128)] {
            passwords.hash(&good).await.expect("a hash");
        }
        for bad in ["", "ä2345ö7", &"x".repeat(129)] {
            assert!(passwords.hash(bad).await.is_err(), "{bad:?}");
        }
    }
}
