//! A private redis-server: its own folder and port, an append-only file, nothing evicted.

use crate::child::{self, Child};
use crate::error::{Error, Result};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long it may take until it accepts connections.
const START: Duration = Duration::from_secs(20);
/// redis-server cannot choose a free port by itself; another process may take the one we found.
const TRIES: usize = 5;

#[derive(Debug)]
pub struct Redis {
    child: Option<Child>,
    folder: PathBuf,
    port: u16,
}

impl Redis {
    /// Starts one that keeps its data in `folder`, which is made when it is not there and should be empty.
    pub fn start(folder: &Path) -> Result<Redis> {
        std::fs::create_dir_all(folder).map_err(Error::io("making Redis's folder"))?;
        let mut last = None;
        for _ in 0..TRIES {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("looking for a free port"))?;
            let port = listener.local_addr().map_err(Error::io("looking for a free port"))?.port();
            drop(listener);
            let mut redis = Redis { child: None, folder: folder.to_path_buf(), port };
            match redis.restart() {
                Ok(()) => return Ok(redis),
                Err(error @ Error::NotInstalled { .. }) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("at least one try failed"))
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id; 0 while it does not run.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// What it says of itself: lines of `key:value`.
    pub fn info(&self, timeout: Duration) -> Result<String> {
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(timeout))?;
            stream.write_all(b"INFO\r\nQUIT\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        ask().map_err(Error::io("asking Redis how it fares"))
    }

    /// Kills it without a word, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        match self.child.take() {
            Some(child) => child.kill().map(drop),
            None => Ok(()),
        }
    }

    /// Removes all that it kept. Only while it is not running.
    pub fn wipe(&self) -> Result<()> {
        assert!(self.child.is_none(), "a running redis-server is not wiped");
        let wiping = |source| Error::Io { what: format!("wiping {}", self.folder.display()), source };
        std::fs::remove_dir_all(&self.folder).map_err(wiping)?;
        std::fs::create_dir_all(&self.folder).map_err(wiping)
    }

    /// Starts it again on the same port, with whatever its folder holds.
    pub fn restart(&mut self) -> Result<()> {
        let program = child::find_program("redis-server").ok_or_else(|| Error::NotInstalled {
            program: "redis-server".into(),
            make: "make demo (or: apt-get install redis-server)",
        })?;
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--daemonize", "no"]);
        command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]);
        command.args(["--maxmemory-policy", "noeviction", "--logfile", ""]);
        command.arg("--dir").arg(&self.folder);
        let mut child = Child::start("redis-server", &command)?;
        child.wait_for("Ready to accept connections", START, |line| {
            line.contains("Ready to accept connections").then_some(())
        })?;
        self.child = Some(child);
        Ok(())
    }

    /// Stops it in order.
    pub fn stop(mut self) -> Result<()> {
        match self.child.take() {
            Some(child) => child.stop().map(drop),
            None => Ok(()),
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(Child::is_running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(redis: &Redis, line: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port)).expect("it listens");
        write!(stream, "{line}\r\nQUIT\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and closes");
        answer
    }

    #[test]
    fn what_it_holds_outlives_a_restart_and_not_a_wipe() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut redis = Redis::start(folder.path()).expect("redis-server runs");
        assert!(ask(&redis, "SET answer 42").starts_with("+OK"));
        // appendfsync everysec: what was written reaches the file at once, the disk within a second.
        redis.kill().expect("it dies");
        assert!(!redis.is_running());
        redis.restart().expect("it comes back");
        assert!(ask(&redis, "GET answer").contains("42"));
        redis.kill().expect("it dies");
        redis.wipe().expect("its folder is ours");
        redis.restart().expect("it comes back");
        assert!(ask(&redis, "GET answer").starts_with("$-1"));
        redis.stop().expect("it stops");
    }
}
