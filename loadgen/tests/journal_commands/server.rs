//! A private redis-server on a Unix socket in its own folder, killed when dropped.
//!
//! It panics when the machine cannot run one: a test without it proves nothing.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take until it answers, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Server {
    folder: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// Keeps an append-only file.
    pub(crate) fn start() -> Server {
        // The path of a Unix socket has room for 107 bytes: the prefix is short.
        let folder = tempfile::Builder::new().prefix("ft").tempdir().expect("a private folder");
        let socket = folder.path().join("redis.sock");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(folder.path())
            .arg("--unixsocket")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server cannot run: {error}; install it"));
        let server = Server { folder, child };
        let give_up = Instant::now() + READY_TIMEOUT;
        while server.try_command(&["PING"]).is_err() {
            assert!(Instant::now() < give_up, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("redis.sock").display())
    }

    /// Runs one command, such as `["FLUSHALL"]`.
    pub(crate) fn command(&self, words: &[&str]) -> redis::Value {
        self.try_command(words).expect("the server answers")
    }

    fn try_command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut redis::Client::open(self.url())?.get_connection()?)
    }

    /// All fields of a hash.
    pub(crate) fn hash(&self, key: &str) -> Vec<(String, String)> {
        let mut fields: Vec<(String, String)> =
            redis::from_redis_value(self.command(&["HGETALL", key])).expect("fields and values");
        fields.sort();
        fields
    }

    /// Puts back what a hash was.
    pub(crate) fn restore(&self, key: &str, fields: &[(String, String)]) {
        self.command(&["DEL", key]);
        for (field, value) in fields {
            self.command(&["HSET", key, field, value]);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
