//! One blocking connection to Redis, and a check of what is at its other end.

use crate::address::RedisAddress;
use crate::error::ScoreboardError;
use crate::library::{self, Loaded};
use crate::wire::Wire;
use redis::{ErrorKind, FromRedisValue, RedisError, ServerError, ServerErrorKind};

/// Oldest Redis that has function libraries.
const REDIS_MIN: (u32, u32) = (7, 0);
/// Oldest Valkey there is.
const VALKEY_MIN: (u32, u32) = (7, 2);
/// Servers that speak the protocol and even claim a version of Redis, but keep other promises.
const STRANGERS: [&str; 4] = ["dragonfly_version", "kvrocks_version", "redict_version", "garnet_version"];

/// The code of a transaction of which commands were refused: they say why.
const EXECABORT: &str = "EXECABORT";
/// How much of what a server says is repeated.
const EXCERPT_CHARS_MAX: usize = 200;

/// A checked connection with our functions loaded.
pub struct Connection {
    wire: Wire,
    /// The address without secrets.
    redacted: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.redacted)
    }
}

impl Connection {
    /// # Errors
    /// What answers there and why it will not do: [`ScoreboardError::Unreachable`], [`ScoreboardError::Password`],
    /// [`ScoreboardError::Permission`], [`ScoreboardError::Functions`], [`ScoreboardError::Version`], [`ScoreboardError::UnknownServer`],
    /// [`ScoreboardError::Volatile`], [`ScoreboardError::Replica`], [`ScoreboardError::Loading`].
    pub fn open(address: &RedisAddress) -> Result<Connection, ScoreboardError> {
        let redacted = address.to_string();
        let failed = |error: RedisError| explain(&redacted, &error);
        let mut wire = Wire::connect(address.info().addr(), address.trusted()).map_err(failed)?;
        introduce(&mut wire, address)?;
        let info: String = redis::cmd("INFO").query(&mut wire).map_err(failed)?;
        check_server(&info, address)?;
        // A replica takes no functions, and who reads calls none.
        if !address.reads_only() {
            match library::load(&mut wire).map_err(failed)? {
                Loaded::Ready => {}
                Loaded::Forbidden => return Err(ScoreboardError::Functions { url: redacted }),
            }
        }
        Ok(Connection { wire, redacted })
    }

    /// Runs one command.
    ///
    /// # Errors
    /// [`ScoreboardError::Lost`] without an answer: whether Redis did it is then unknown, and the connection is of no use any
    /// more. Otherwise what Redis refuses.
    pub fn command<T: FromRedisValue>(
        &mut self,
        doing: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, ScoreboardError> {
        command.query(&mut self.wire).map_err(|error| explain_call(&self.redacted, doing, &error))
    }

    /// Runs several commands; in one transaction when the pipeline says so.
    ///
    /// # Errors
    /// As [`Connection::command`].
    pub fn pipeline<T: FromRedisValue>(
        &mut self,
        doing: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, ScoreboardError> {
        pipeline.query(&mut self.wire).map_err(|error| explain_call(&self.redacted, doing, &error))
    }

    /// Runs one of our functions, loading the library again when Redis has lost it.
    ///
    /// # Errors
    /// As [`Connection::command`].
    pub fn call<T: FromRedisValue>(&mut self, doing: &'static str, call: &redis::Cmd) -> Result<T, ScoreboardError> {
        let answer = call.query(&mut self.wire);
        let answer = match answer {
            Err(error) if library::is_absent(&error) => match library::load(&mut self.wire) {
                Ok(Loaded::Ready) => call.query(&mut self.wire),
                Ok(Loaded::Forbidden) => return Err(ScoreboardError::Functions { url: self.redacted.clone() }),
                Err(error) => Err(error),
            },
            other => other,
        };
        answer.map_err(|error| explain_call(&self.redacted, doing, &error))
    }
}

/// Says who we are, and which of the server's databases is meant.
fn introduce(wire: &mut Wire, address: &RedisAddress) -> Result<(), ScoreboardError> {
    let settings = address.info().redis_settings();
    if let Some(password) = settings.password() {
        let mut command = redis::cmd("AUTH");
        command.arg(settings.username()).arg(password);
        command.exec(wire).map_err(|error| match (explain(&address.to_string(), &error), error.kind()) {
            (ScoreboardError::Redis { cause, .. }, ErrorKind::Server(_) | ErrorKind::Extension) => {
                ScoreboardError::Password { url: address.to_string(), cause }
            }
            (other, _) => other,
        })?;
    }
    if settings.db() != 0 {
        let mut command = redis::cmd("SELECT");
        command.arg(settings.db()).exec(wire).map_err(|error| explain(&address.to_string(), &error))?;
    }
    Ok(())
}

/// Refuses servers on which the promises of the scoreboard do not hold. `info` is the answer to `INFO`.
fn check_server(info: &str, address: &RedisAddress) -> Result<(), ScoreboardError> {
    let url = || address.to_string();
    let field = |key: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(key)?.strip_prefix(':'));
    if field("loading") == Some("1") {
        return Err(ScoreboardError::Loading { url: url() });
    }
    let unknown = |found: String| ScoreboardError::UnknownServer { url: url(), found };
    if let Some(stranger) = STRANGERS.into_iter().find(|key| field(key).is_some()) {
        return Err(unknown(format!("it says {stranger}:{}", excerpt(field(stranger).unwrap_or_default()))));
    }
    let (name, text, min) = match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => ("Valkey", version, VALKEY_MIN),
        (None, Some(version)) => ("Redis", version, REDIS_MIN),
        (None, None) => return Err(unknown("it tells no redis_version".to_owned())),
    };
    let mut numbers = text.split('.').map(|number| number.parse::<u32>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) else {
        return Err(unknown(format!("it says its version is {}", excerpt(text))));
    };
    if (major, minor) < min {
        return Err(ScoreboardError::Version { url: url(), found: format!("{name} {}", excerpt(text)) });
    }
    if field("role") == Some("slave") && !address.reads_only() {
        return Err(ScoreboardError::Replica { url: url() });
    }
    if address.is_volatile_allowed() {
        return Ok(());
    }
    let volatile = |cause: String| Err(ScoreboardError::Volatile { url: url(), cause });
    if field("aof_enabled") == Some("0") {
        return volatile("appendonly is off; set `appendonly yes` in its configuration".to_owned());
    }
    match field("maxmemory_policy") {
        None | Some("noeviction") => Ok(()),
        Some(policy) => volatile(format!(
            "maxmemory-policy is {}, which deletes keys; set `maxmemory-policy noeviction`",
            excerpt(policy)
        )),
    }
}

/// What a failure while connecting means.
fn explain(redacted: &str, error: &RedisError) -> ScoreboardError {
    let (url, cause) = (redacted.to_owned(), describe(error));
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => ScoreboardError::UnknownServer { url, found: cause },
        ErrorKind::InvalidClientConfig => ScoreboardError::Url { url, cause },
        ErrorKind::Server(ServerErrorKind::BusyLoading) => ScoreboardError::Loading { url },
        ErrorKind::Io => ScoreboardError::Unreachable { url, cause },
        _ => match code(error).as_deref() {
            Some("NOAUTH" | "WRONGPASS") => ScoreboardError::Password { url, cause },
            Some("NOPERM") => ScoreboardError::Permission { url, cause },
            code => match code.and_then(no_writes) {
                Some(step) => ScoreboardError::NoWrites { url, cause: step.to_owned() },
                None => ScoreboardError::Redis { doing: "greet us", cause },
            },
        },
    }
}

/// Why a Redis that answers takes no writes, and the next step, by the code of its refusal.
fn no_writes(code: &str) -> Option<&'static str> {
    match code {
        "OOM" => Some("its memory is full; raise maxmemory, or delete what is not ours"),
        "MISCONF" => Some("it cannot write its file; make room on its disk, and look at its log"),
        "READONLY" => Some("it is a replica; give the address of its primary"),
        "NOREPLICAS" => Some("it waits for replicas; start them, or set min-replicas-to-write to 0"),
        _ => None,
    }
}

/// What a failure on a connection that worked means.
fn explain_call(redacted: &str, doing: &'static str, error: &RedisError) -> ScoreboardError {
    match error.kind() {
        ErrorKind::Io => ScoreboardError::Lost { doing, cause: describe(error) },
        _ => match explain(redacted, error) {
            ScoreboardError::Redis { cause, .. } => ScoreboardError::Redis { doing, cause },
            other => other,
        },
    }
}

/// The code of a refusal; of several that came at once, of the first.
fn code(error: &RedisError) -> Option<String> {
    let first = || refusals(error).first().map(|refusal| refusal.code().to_owned());
    error.code().filter(|code| *code != EXECABORT).map(str::to_owned).or_else(first)
}

/// What the server refused of commands that were sent together.
fn refusals(error: &RedisError) -> Vec<ServerError> {
    let refusals = error.clone().into_server_errors();
    refusals.into_iter().flat_map(|refusals| refusals.iter().map(|(_, one)| one.clone()).collect::<Vec<_>>()).collect()
}

fn describe(error: &RedisError) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    // Those that were sent together fail together, by one cause.
    match refusals(error).first() {
        Some(first) => excerpt(&format!("{} {}", first.code(), first.details().unwrap_or_default())),
        None => excerpt(&error.to_string()),
    }
}

/// Servers may answer anything; a message repeats one short line of it, cut behind a word.
fn excerpt(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT_CHARS_MAX + 1).collect();
    if line.chars().count() <= EXCERPT_CHARS_MAX {
        return line.trim_end().to_owned();
    }
    let words = line.rsplit_once(' ').map_or(line.as_str(), |(words, _)| words);
    // Nor within a bracket, unless it holds nearly all.
    let opened = words.rfind(['(', '[']).filter(|at| *at > words.len() / 2 && !words[*at..].contains([')', ']']));
    let words = opened.map_or(words, |at| &words[..at]);
    format!("{}...", words.trim_end_matches([' ', ',', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(info: &str, allow_volatile: bool) -> Result<(), ScoreboardError> {
        let address = RedisAddress::new("redis://127.0.0.1:1").expect("an address").allow_volatile(allow_volatile);
        check_server(&info.replace('\n', "\r\n"), &address)
    }

    const GOOD: &str = "loading:0\naof_enabled:1\nmaxmemory_policy:noeviction\nrole:master\n";

    #[test]
    fn servers_are_told_apart_by_what_they_say() {
        // (what the server says, what we say: nothing or a part of the sentence)
        let cases = [
            ("redis_version:7.0.15", None),
            ("redis_version:8.2.0", None),
            // Valkey claims a Redis version beside its own
            ("redis_version:7.2.4\nvalkey_version:8.0.1", None),
            ("redis_version:6.2.14", Some("is Redis 6.2.14; Flow Test needs Redis 7.0")),
            ("redis_version:7.2.4\nvalkey_version:7.1.0", Some("is Valkey 7.1.0")),
            ("redis_version:7.4.0\ndragonfly_version:df-v1.2", Some("dragonfly_version:df-v1.2")),
            ("redis_version:soon", Some("it says its version is soon")),
            ("redis_version:", Some("it says its version is")),
            ("nothing:1", Some("tells no redis_version")),
            ("redis_version:7.0.15\nrole:slave", Some("is a replica")),
            ("redis_version:7.0.15\naof_enabled:0", Some("set `appendonly yes`")),
            ("redis_version:7.0.15\nmaxmemory_policy:allkeys-lru", Some("set `maxmemory-policy noeviction`")),
            ("redis_version:7.0.15\nloading:1", Some("still reading its files")),
        ];
        for (says, expected) in cases {
            // What a case says comes first and wins over the good settings behind it.
            match (check(&format!("{says}\n{GOOD}"), false), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{says:?}: {error}"),
                (outcome, _) => panic!("{says:?}: {outcome:?}"),
            }
        }
    }

    #[test]
    fn a_long_answer_of_a_server_is_cut_behind_a_word() {
        assert_eq!(excerpt("OOM no\nmore"), "OOM no more");
        let told = excerpt(&format!("{} (error: maxmemory is reached)", "word ".repeat(38)));
        assert!(told.ends_with("word..."), "{told}");
        let one = excerpt(&"x".repeat(1_000));
        assert!(one.chars().count() <= EXCERPT_CHARS_MAX + 4 && one.ends_with("x..."), "{one}");
    }

    #[test]
    fn a_volatile_server_is_taken_only_when_asked_for() {
        let info = "redis_version:7.0.15\naof_enabled:0\nmaxmemory_policy:allkeys-lru\n";
        assert!(check(info, false).is_err());
        assert!(check(info, true).is_ok());
    }
}
