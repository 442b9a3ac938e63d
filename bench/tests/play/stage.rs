//! The stage of the end-to-end tests: contestants and a generator, so that a test's body is a script.
//!
//! Plays that measure run one at a time: two generators on two cores would measure each other. Plays of a few hundred
//! requests a second that only count run beside one another; they wait more than they work.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use flowtest_bench::contest_box::{Generator, Outcome, Target};
use flowtest_contract::Tally;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

static MACHINE: RwLock<()> = RwLock::new(());

/// No play takes longer, however slow the machine: it would hang.
const TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) struct Stage {
    folder: tempfile::TempDir,
    targets: Vec<Target>,
    urls: Vec<String>,
    _turn: Turn,
}

/// The machine, alone or shared with other light plays.
enum Turn {
    Alone(RwLockWriteGuard<'static, ()>),
    Beside(RwLockReadGuard<'static, ()>),
}

impl Stage {
    /// A stage of a play that measures. One that failed has dropped its children; the next one may go on.
    pub(crate) fn new() -> Stage {
        Stage::of(Turn::Alone(MACHINE.write()))
    }

    /// A stage of a play that counts.
    pub(crate) fn light() -> Stage {
        Stage::of(Turn::Beside(MACHINE.read()))
    }

    fn of(turn: Turn) -> Stage {
        let folder = tempfile::tempdir().expect("a folder of its own");
        Stage { folder, targets: Vec::new(), urls: Vec::new(), _turn: turn }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A contestant on our reference server.
    pub(crate) fn contestant(mut self, name: &str, flags: &[&str]) -> Stage {
        let target = Target::start(name, flags).unwrap_or_else(|error| panic!("{error}"));
        self.urls.push(target.url());
        self.targets.push(target);
        self
    }

    /// A contestant on some other server, which the caller keeps.
    pub(crate) fn stranger(mut self, url: &str) -> Stage {
        self.urls.push(url.to_owned());
        self
    }

    /// Floods everybody with `requests` each and returns what became of it.
    pub(crate) fn flood(&self, requests: u64, flags: &[&str]) -> Scores {
        let requests = requests.to_string();
        let mut all = vec!["--requests", requests.as_str(), "--warmup", "0s", "--quiet"];
        all.extend(flags);
        let generator = Generator::stress(&self.urls, self.folder(), &all).unwrap_or_else(|error| panic!("{error}"));
        let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
        assert!(outcome.is_whole(), "{}", outcome.said);
        Scores { outcome }
    }

    pub(crate) fn target(&self, name: &str) -> &Target {
        self.targets.iter().find(|target| target.name == name).expect("it is on the stage")
    }

    /// Every counter of a contestant is what its own faults make of a perfect one; what is void counts for nobody.
    pub(crate) fn assert_exact(&self, name: &str, tally: &Tally) {
        let injected = self.target(name).injected().unwrap_or_else(|error| panic!("{error}"));
        let wrong = injected.differences(tally);
        assert!(wrong.is_empty(), "{name} injected {injected:?}: {}", wrong.join("; "));
    }
}

/// The token of the next request on a connection, for servers that a test makes; `None`: the generator has closed it.
pub(crate) async fn next_token(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut seen).await? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&seen);
    Ok(Some(head.split("\r\n").find_map(|line| line.strip_prefix("Token: ")).unwrap_or("none").to_owned()))
}

/// What the generator says.
pub(crate) struct Scores {
    pub(crate) outcome: Outcome,
}

impl Scores {
    /// The tally of the contestant with this URL; a stress names contestants by their URLs.
    pub(crate) fn of(&self, url: &str) -> Tally {
        let tallies = self.outcome.tallies().unwrap_or_else(|error| panic!("{error}"));
        *tallies.get(url).unwrap_or_else(|| panic!("{url} is not among {tallies:?}"))
    }
}
