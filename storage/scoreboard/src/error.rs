//! What can go wrong between us and Redis. Each is a sentence with the cause and the next step.

use flowtest_contest::control::UnreadControl;
use flowtest_contract::id::{RoundId, StreamId};
use flowtest_contract::text::shown;
use std::path::PathBuf;

/// A failed operation on the scoreboard. No text holds a password.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ScoreboardError {
    #[error(
        "{url} is no Redis address: {cause}; write redis://host:port, rediss://host:port for TLS, or unix:///path/to/socket, \
         and a password into a file that --redis-password-file names: in a URL each sign of it that is no letter and no digit \
         is percent-encoded (/ is %2F, # is %23, ? is %3F)"
    )]
    Url { url: String, cause: String },
    #[error("{path}: the password file cannot be read ({cause}): write the password into its first line", path = shown(path))]
    PasswordFile { path: PathBuf, cause: String },
    #[error("{path}: Redis cannot be trusted by it ({cause}): name a file of certificates in PEM by --redis-ca", path = shown(path))]
    CaFile { path: PathBuf, cause: String },
    #[error("no Redis answers at {url}: {cause}; start it, or give its address with --redis")]
    Unreachable { url: String, cause: String },
    #[error(
        "Redis at {url} refuses our password: {cause}; give the right one, or none if it asks for none. In a URL each sign of a password that is no letter and no digit is percent-encoded (% is %25); in a file that --redis-password-file names it stands as it is"
    )]
    Password { url: String, cause: String },
    #[error("Redis at {url} forbids us a command: {cause}; widen the access list of this user")]
    Permission { url: String, cause: String },
    #[error(
        "Redis at {url} does not have our functions, and this user may not load them: start the dashboard, which does"
    )]
    Functions { url: String },
    #[error("the server at {url} is {found}; Flow Test needs Redis 7.0 or Valkey 7.2, or newer")]
    Version { url: String, found: String },
    #[error("what answers at {url} is no Redis that we know: {found}; give the address of a Redis or Valkey server")]
    UnknownServer { url: String, found: String },
    #[error("Redis at {url} would lose scores: {cause}; or take it as it is with --redis-volatile")]
    Volatile { url: String, cause: String },
    #[error("Redis at {url} is a replica: give the address of its primary")]
    Replica { url: String },
    /// It answers, and keeps nothing that it is told.
    #[error("Redis at {url} takes no writes: {cause}")]
    NoWrites { url: String, cause: String },
    #[error("Redis at {url} is still reading its files: wait until it is ready")]
    Loading { url: String },
    #[error("no answer from Redis while we {doing}: {cause}")]
    Lost { doing: &'static str, cause: String },
    #[error("Redis could not {doing}: {cause}; look at its log")]
    Redis { doing: &'static str, cause: String },
    #[error("Redis knows no round {0}: create it before a generator joins")]
    RoundUnknown(RoundId),
    #[error("no generator ever joined round {0}, so there is nothing to seal: abort it")]
    RoundEmpty(RoundId),
    #[error("round {0} takes no new generators or points: it drains, is sealed or was aborted; join the next round")]
    RoundClosed(RoundId),
    #[error("round {round} is not sealed, for {missing} did not end: wait for it, or abandon it by name", missing = names(.missing))]
    Missing { round: RoundId, missing: Vec<StreamId> },
    #[error(
        "Redis holds rows of stream {stream} with number {held}, which we never put (ours: {ours}): somebody wrote there, and \
         the points of this generator stand still; delete the fields q:{stream} and hq:{stream} of the round's hash, and all its rows are put \
         again"
    )]
    Ahead { stream: StreamId, held: String, ours: u64 },
    #[error("the final points did not reach Redis in time: {cause}")]
    Timeout { cause: String },
    #[error("Redis holds a control document that we cannot read: {0}")]
    Control(#[from] Box<UnreadControl>),
    #[error(
        "Redis holds a decision about step {step} of a breakpoint phase that we cannot read, or that nobody can have made: nobody climbs by \
         it here; give all generators one version, and let nothing else write there"
    )]
    Decision { step: u32 },
    #[error("{0}")]
    Config(String),
    #[error("the publisher's thread could not start: {0}; free some memory or processes")]
    Thread(String),
}

impl ScoreboardError {
    /// Nothing answers, so that each further question would wait as long for nothing.
    pub fn is_outage(&self) -> bool {
        matches!(self, ScoreboardError::Unreachable { .. } | ScoreboardError::Lost { .. })
    }
}

fn names(streams: &[StreamId]) -> String {
    let names: Vec<String> = streams.iter().take(5).map(|stream| format!("stream {stream}")).collect();
    match streams.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
