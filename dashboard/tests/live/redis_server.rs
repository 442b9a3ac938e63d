//! A private redis-server on a Unix socket in its own folder, killed when dropped.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct RedisServer {
    folder: tempfile::TempDir,
    child: Child,
}

impl RedisServer {
    pub(crate) fn start() -> RedisServer {
        // The path of a Unix socket has room for 107 bytes: the prefix is short.
        let folder = tempfile::Builder::new().prefix("ft").tempdir().expect("a private folder");
        let child = launch(&folder);
        RedisServer { folder, child }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("redis.sock").display())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it ends");
    }

    /// Starts it again after a kill, with what its folder holds.
    pub(crate) fn restart(&mut self) {
        self.child = launch(&self.folder);
    }

    /// Connections stay open and nobody answers.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// How often a command was run, by Redis's own word.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let mut stream = UnixStream::connect(self.folder.path().join("redis.sock")).expect("Redis answers");
        stream.write_all(b"INFO commandstats\r\nQUIT\r\n").expect("it is sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().and_then(|calls| calls.parse().ok()).expect("a number"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is our child");
    }
}

fn launch(folder: &tempfile::TempDir) -> Child {
    let socket = folder.path().join("redis.sock");
    let _ = std::fs::remove_file(&socket);
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--appendonly", "yes", "--save", "", "--daemonize", "no", "--maxmemory-policy"]);
    command.args(["noeviction", "--logfile", ""]).arg("--dir").arg(folder.path()).arg("--unixsocket").arg(&socket);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().expect("redis-server runs; install it");
    let give_up = Instant::now() + READY_TIMEOUT;
    let url = format!("unix://{}", socket.display());
    while flowtest_scoreboard::Scoreboard::connect(&url).is_err() {
        assert!(Instant::now() < give_up, "redis-server does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
