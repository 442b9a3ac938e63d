//! Passwords: hashed with argon2id, compared in the same time whether or not the user exists.
//!
//! Owns the threads that hash, each with the 19 MiB that it takes, and how many may wait for them: tens of milliseconds of a
//! core for each. Both stay as long as the accounts do: of memory that is taken and given back by many threads the allocator
//! keeps a share for each of them. How strong a password is, the dashboard says; here only its length counts.

use crate::error::Error;
use crate::people::secret;
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, oneshot};

/// Lengths of a password in characters.
pub const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// How many may wait for a core at once: some seconds of hashing on two cores, the crowd of a large room and some others.
pub const WAITING_MAX: usize = 320;
/// Threads at most: a rush of logins leaves the collector its turn.
const THREADS_MAX: usize = 2;

/// Memory that a hash may ask for at most, in KiB: ours ask for 19 MiB.
const MEMORY_KIB_MAX: u32 = 64 << 10;

/// What a thread hashes in. It grows once.
type Memory = Vec<Block>;
type Job = Box<dyn FnOnce(&mut Memory) + Send>;

#[derive(Debug)]
pub(crate) struct Passwords {
    /// One permit for each who waits or is hashed: whoever finds none is told to come back.
    permits: Semaphore,
    /// To the threads, which end when this does.
    jobs: Sender<Job>,
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
        let threads = threads();
        let jobs = start_threads(threads)?;
        let permits = Semaphore::new(waiting_max + threads);
        let mut passwords = Passwords { permits, jobs, dummy_hash: String::new() };
        passwords.dummy_hash = passwords.on_a_thread(move |memory| hash_now(memory, &bytes)).await?;
        Ok(passwords)
    }

    /// A new hash with a salt of its own.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Error> {
        check_length(password)?;
        let password = password.to_owned();
        self.on_a_thread(move |memory| hash_now(memory, password.as_bytes())).await
    }

    /// Whether the password is the one hashed; without a hash it takes as long and is wrong.
    pub(crate) async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, Error> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy_hash.clone());
        // Longer input cannot be right, and must not cost more.
        let fits = password.len() <= 4 * PASSWORD_LENGTH.end();
        let password = if fits { password.to_owned() } else { String::new() };
        let right = self.on_a_thread(move |memory| verify_now(memory, password.as_bytes(), &hash)).await?;
        Ok(right && known && fits)
    }

    /// Other work that takes its time, in turn with the hashing.
    pub(crate) async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.on_a_thread(|_| work()).await
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.permits.try_acquire().map_err(|_| Error::Overloaded)?;
        let (reply, done) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            // Who has given up waiting needs no answer.
            if !reply.is_closed() {
                let _ = reply.send(work(memory));
            }
        });
        let ended = || Error::Failed("a thread for passwords ended early".to_owned());
        self.jobs.send(job).map_err(|_| ended())?;
        done.await.map_err(|_| ended())?
    }
}

/// How many are hashed at once.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

fn start_threads(count: usize) -> Result<Sender<Job>, Error> {
    let (jobs, todo) = channel();
    let todo = Arc::new(Mutex::new(todo));
    for _ in 0..count {
        let todo = Arc::clone(&todo);
        let started = std::thread::Builder::new().name("passwords".to_owned()).spawn(move || run_jobs(&todo));
        started.map_err(|error| Error::Failed(format!("no thread for passwords ({error}): free some memory")))?;
    }
    Ok(jobs)
}

fn run_jobs(todo: &Mutex<Receiver<Job>>) {
    let mut memory = Memory::new();
    loop {
        let next = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // Whoever waits for it learns that it has ended, and the thread goes on.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
    }
}

/// Whether a password of this length is taken.
pub(crate) fn check_length(password: &str) -> Result<(), Error> {
    if PASSWORD_LENGTH.contains(&password.chars().count()) {
        return Ok(());
    }
    Err(Error::invalid("password", "A password has 8 to 128 characters."))
}

/// In the PHC string format, as argon2 writes it.
fn hash_now(memory: &mut Memory, password: &[u8]) -> Result<String, Error> {
    let mut salt = [0; Salt::RECOMMENDED_LENGTH];
    secret::fill(&mut salt)?;
    let argon2 = Argon2::default();
    let output = output(memory, &argon2, password, &salt, Params::DEFAULT_OUTPUT_LEN)?;
    let salt = Salt::new(&salt).map_err(|error| Error::Failed(format!("a password could not be hashed: {error}")))?;
    let (m, t, p) = (argon2.params().m_cost(), argon2.params().t_cost(), argon2.params().p_cost());
    Ok(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${output}"))
}

/// Compared in constant time, as [`Output`] does.
fn verify_now(memory: &mut Memory, password: &[u8], hash: &str) -> Result<bool, Error> {
    let damaged = |why: &dyn std::fmt::Display| Error::Failed(format!("a password's hash is damaged: {why}"));
    let hash = PasswordHash::new(hash).map_err(|error| damaged(&error))?;
    let params = Params::try_from(&hash).map_err(|error| damaged(&error))?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(|error| damaged(&error))?;
    let version = hash.version.map(Version::try_from).transpose().map_err(|error| damaged(&error))?;
    let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
        return Err(damaged(&"it has no salt or no output"));
    };
    if params.m_cost() > MEMORY_KIB_MAX {
        return Err(damaged(&"it asks for too much memory"));
    }
    let argon2 = Argon2::new(algorithm, version.unwrap_or_default(), params);
    Ok(output(memory, &argon2, password, &salt, expected.len())? == expected)
}

fn output(
    memory: &mut Memory,
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    length: usize,
) -> Result<Output, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::Failed(format!("a password could not be hashed: {why}"));
    let blocks = argon2.params().block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    let mut bytes = vec![0; length];
    argon2
        .hash_password_into_with_memory(password, salt, &mut bytes, &mut memory[..blocks])
        .map_err(|error| failed(&error))?;
    Output::new(&bytes).map_err(|error| failed(&error))
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
        // As 0.1 hashed it, by the library's own way, and with other costs.
        let old = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IG9mIDE2$OLD";
        for (m, t) in [(19_456, 2), (8, 1), (32, 3)] {
            use argon2::password_hash::PasswordHasher;
            let params = Params::new(m, t, 1, None).expect("costs");
            let old =
                Argon2::from(params).hash_password_with_salt(b"correct horse", b"some salt of 16.").expect("a hash");
            assert!(passwords.verify("correct horse", Some(old.to_string())).await.expect("an answer"), "{old}");
            assert!(!passwords.verify("correct horsf", Some(old.to_string())).await.expect("an answer"), "{old}");
        }
        let greedy = old.replace("m=19456", "m=4000000").replace("OLD", "b3V0cHV0IG9mIHRoZSBoYXNoIG9mIDMyIGJ5dGVz");
        assert!(passwords.verify("x", Some(greedy)).await.is_err());
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_back_and_those_who_wait_are_served() {
        let passwords = Arc::new(Passwords::with_waiting_max(3).await.expect("random bits"));
        let cores = threads();
        // Nobody is served as long as this is held.
        let (hold, busy) = channel::<()>();
        let busy = Arc::new(Mutex::new(busy));
        for _ in 0..cores {
            let busy = busy.clone();
            let wait = move || {
                let _ = busy.lock().unwrap_or_else(PoisonError::into_inner).recv();
            };
            passwords.jobs.send(Box::new(move |_| wait())).expect("the threads live");
        }
        let one = |passwords: Arc<Passwords>| async move { passwords.verify("correct horse", None).await };
        let all: Vec<_> = (0..cores + 10).map(|_| tokio::spawn(one(passwords.clone()))).collect();
        while passwords.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        drop(hold);
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
    async fn a_thread_goes_on_after_what_has_panicked() {
        let passwords = Passwords::start().await.expect("random bits");
        for _ in 0..2 * threads() {
            let ended = passwords.on_a_core(|| -> Result<(), Error> { panic!("on purpose") }).await;
            assert!(matches!(ended, Err(Error::Failed(_))), "{ended:?}");
        }
        assert_eq!(passwords.on_a_core(|| Ok(7)).await.expect("it goes on"), 7);
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
