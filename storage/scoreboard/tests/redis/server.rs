//! A private redis-server: its own folder, a Unix socket or a free port, killed when dropped.
//!
//! It panics when the machine cannot run a redis-server: a test without one proves nothing.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it answers, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Somebody may take the port between our look and the server's.
const PORT_ATTEMPTS: usize = 5;

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    UnixSocket,
    Port(u16),
}

/// A running server.
#[derive(Debug)]
pub(crate) struct RedisServer {
    folder: tempfile::TempDir,
    reach: Reach,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// A server on a Unix socket in its own folder, with an append-only file.
    pub(crate) fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// The same with more arguments, which win over ours.
    pub(crate) fn start_with(arguments: &[&str]) -> RedisServer {
        let mut server = RedisServer::prepare(arguments);
        server.launch().unwrap_or_else(|cause| panic!("{cause}"));
        server
    }

    /// A server on a free port of 127.0.0.1.
    pub(crate) fn start_tcp(arguments: &[&str]) -> RedisServer {
        let mut server = RedisServer::prepare(arguments);
        let mut causes = Vec::new();
        for _ in 0..PORT_ATTEMPTS {
            let probe = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
            server.reach = Reach::Port(probe.local_addr().expect("it is bound").port());
            drop(probe);
            match server.launch() {
                Ok(()) => return server,
                Err(cause) => causes.push(cause),
            }
        }
        panic!("{}", causes.join("; "));
    }

    fn prepare(arguments: &[&str]) -> RedisServer {
        // The path of a Unix socket has room for 107 bytes: the prefix is short.
        let folder = tempfile::Builder::new().prefix("ft").tempdir().expect("a private folder");
        RedisServer {
            folder,
            reach: Reach::UnixSocket,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            child: None,
        }
    }

    /// What a client is given.
    pub(crate) fn url(&self) -> String {
        match self.reach {
            Reach::UnixSocket => format!("unix://{}", self.socket().display()),
            Reach::Port(port) => format!("redis://127.0.0.1:{port}"),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The newest append-only file.
    pub(crate) fn append_only_file(&self) -> PathBuf {
        let files = std::fs::read_dir(self.folder().join("appendonlydir")).expect("the server made the folder");
        let files = files.map(|file| file.expect("it is readable").path());
        let newest = files.filter(|file| file.to_string_lossy().ends_with(".incr.aof")).max();
        newest.expect("the server made the file")
    }

    /// Runs one command, such as `["FLUSHALL"]`, on a connection of its own.
    pub(crate) fn command(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        self.connect().and_then(|mut connection| command.query(&mut connection)).expect("the server answers")
    }

    /// As a power cut does: no chance to write anything more.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when the process is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same folder and address, after killing it if it still runs.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.launch().unwrap_or_else(|cause| panic!("{cause}"));
    }

    /// Kills it and deletes everything it knew.
    pub(crate) fn wipe(&mut self) {
        self.kill9();
        std::fs::remove_dir_all(self.folder().join("appendonlydir")).expect("the folder can be deleted");
    }

    /// Stops it in its tracks: connections stay open and nobody answers.
    pub(crate) fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("the server runs");
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("it is our child");
    }

    fn socket(&self) -> PathBuf {
        self.folder().join("redis.sock")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("redis.log")
    }

    fn connect(&self) -> redis::RedisResult<redis::Connection> {
        let url = match self.password() {
            Some(password) => match self.reach {
                Reach::UnixSocket => format!("{}?pass={password}", self.url()),
                Reach::Port(port) => format!("redis://:{password}@127.0.0.1:{port}"),
            },
            None => self.url(),
        };
        let connection = redis::Client::open(url)?.get_connection_with_timeout(READY_TIMEOUT)?;
        connection.set_read_timeout(Some(READY_TIMEOUT))?;
        Ok(connection)
    }

    fn password(&self) -> Option<&str> {
        let at = self.arguments.iter().position(|argument| argument == "--requirepass")?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    fn launch(&mut self) -> Result<(), String> {
        let folder = self.folder().to_string_lossy().into_owned();
        let mut command = Command::new("redis-server");
        command.args(["--dir", &folder, "--appendonly", "yes", "--save", "", "--daemonize", "no"]);
        command.args(["--logfile", &self.log().to_string_lossy(), "--maxmemory-policy", "noeviction"]);
        match self.reach {
            Reach::UnixSocket => command.args(["--port", "0", "--unixsocket", &self.socket().to_string_lossy()]),
            Reach::Port(port) => command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]),
        };
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().map_err(|error| format!("redis-server cannot run: {error}; install it"))?);
        let give_up = Instant::now() + READY_TIMEOUT;
        loop {
            let answer: redis::RedisResult<String> =
                self.connect().and_then(|mut connection| redis::cmd("INFO").query(&mut connection));
            let child = self.child.as_mut().expect("it was started");
            let error = match answer {
                Ok(info) if is_process(&info, child.id()) && !is_loading(&info) => return Ok(()),
                Ok(info) if is_loading(&info) => "it is still reading its files".to_owned(),
                Ok(_) => "somebody else answers at its address".to_owned(),
                Err(error) => error.to_string(),
            };
            let ended = !matches!(child.try_wait(), Ok(None));
            if ended || Instant::now() >= give_up {
                self.kill9();
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                return Err(format!("redis-server does not answer: {error}; its log says:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether an answer to `INFO` comes from this process: somebody else may have taken its port.
fn is_process(info: &str, id: u32) -> bool {
    info.lines().any(|line| line.trim_end() == format!("process_id:{id}"))
}

fn is_loading(info: &str) -> bool {
    info.lines().any(|line| line.trim_end() == "loading:1")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill9();
    }
}
