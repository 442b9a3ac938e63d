//! A private redis-server on a Unix socket in its own folder, killed when dropped.
//!
//! It panics when the machine cannot run a redis-server: a test without one proves nothing.

use flowtest_scoreboard::Scoreboard;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it answers, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct RedisServer {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl RedisServer {
    pub(crate) fn start() -> RedisServer {
        // The path of a Unix socket has room for 107 bytes: the prefix is short.
        let folder = tempfile::Builder::new().prefix("ft").tempdir().expect("a private folder");
        let mut server = RedisServer { folder, child: None };
        server.restart();
        server
    }

    /// Starts it on its folder, after killing it if it still runs.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut command = Command::new("redis-server");
        command.args(["--dir", &folder, "--appendonly", "yes", "--save", "", "--daemonize", "no", "--port", "0"]);
        command.args(["--unixsocket", &self.socket().to_string_lossy(), "--maxmemory-policy", "noeviction"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed"));
        let give_up = Instant::now() + READY_TIMEOUT;
        while let Err(error) = Scoreboard::connect(&self.url()) {
            assert!(Instant::now() < give_up, "redis-server does not answer: {error}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when the process is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn scoreboard(&self) -> Scoreboard {
        Scoreboard::connect(&self.url()).expect("Redis answers")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
