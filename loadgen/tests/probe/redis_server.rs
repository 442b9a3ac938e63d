//! A private redis-server on a Unix socket in its own folder, killed when dropped.
//!
//! It panics when the machine cannot run one: a test without it proves nothing.

use crate::peer::PATIENCE;
use flowtest_scoreboard::Scoreboard;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct RedisServer {
    folder: tempfile::TempDir,
    child: Child,
}

impl RedisServer {
    pub(crate) fn start() -> RedisServer {
        // The path of a Unix socket has room for 107 bytes: the prefix is short.
        let folder = tempfile::Builder::new().prefix("ft").tempdir().expect("a private folder");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"])
            .args(["--dir", &folder.path().to_string_lossy()])
            .args(["--unixsocket", &folder.path().join("redis.sock").to_string_lossy()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server cannot run: {error}; install it"));
        RedisServer { folder, child }
    }

    /// A connection, once it answers.
    pub(crate) fn scoreboard(&self) -> Scoreboard {
        let url = format!("unix://{}", self.folder.path().join("redis.sock").display());
        let give_up = Instant::now() + PATIENCE;
        loop {
            match Scoreboard::connect(&url) {
                Ok(scoreboard) => return scoreboard,
                Err(error) => assert!(Instant::now() < give_up, "redis-server does not answer: {error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
