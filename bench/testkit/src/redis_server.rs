//! A private redis-server: its own folder, a Unix socket or a free port, killed when dropped.

use crate::child::Child;
use crate::scratch;
use crate::wait::WAIT_MAX;
use flowtest_scoreboard::Scoreboard;
use redis::{RedisResult, Value};
use rustix::process::Signal;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Somebody may take the port between our look and the server's.
const PORT_ATTEMPTS: usize = 5;
/// Between two looks at a server that starts; it takes some ten milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    UnixSocket,
    Port(u16),
}

/// A running server, or one that was killed and may be started again.
#[derive(Debug)]
pub struct RedisServer {
    folder: tempfile::TempDir,
    reach: Reach,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// A server on a Unix socket in its own folder, with an append-only file and without eviction.
    #[track_caller]
    pub fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// The same with more arguments, which win over ours.
    #[track_caller]
    pub fn start_with(arguments: &[&str]) -> RedisServer {
        let mut server = RedisServer::prepare(arguments);
        server.launch().unwrap_or_else(|cause| panic!("{cause}"));
        server
    }

    /// A server on a free port of 127.0.0.1.
    #[track_caller]
    pub fn start_tcp(arguments: &[&str]) -> RedisServer {
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
        RedisServer {
            folder: scratch::folder(),
            reach: Reach::UnixSocket,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            child: None,
        }
    }

    /// What a client is given.
    pub fn url(&self) -> String {
        match self.reach {
            Reach::UnixSocket => format!("unix://{}", self.socket().display()),
            Reach::Port(port) => format!("redis://127.0.0.1:{port}"),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection of the product's own client.
    pub fn scoreboard(&self) -> Scoreboard {
        Scoreboard::connect(&self.url()).expect("Redis answers")
    }

    /// The newest append-only file.
    pub fn append_only_file(&self) -> PathBuf {
        let files = std::fs::read_dir(self.folder().join("appendonlydir")).expect("the server made the folder");
        let files = files.map(|file| file.expect("it is readable").path());
        let newest = files.filter(|file| file.to_string_lossy().ends_with(".incr.aof")).max();
        newest.expect("the server made the file")
    }

    /// Runs one command, such as `["FLUSHALL"]`, on a connection of its own.
    pub fn command(&self, words: &[&str]) -> Value {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        self.connect().and_then(|mut connection| command.query(&mut connection)).expect("the server answers")
    }

    /// What was SET there, where it is text.
    pub fn text(&self, key: &str) -> String {
        redis::from_redis_value(self.command(&["GET", key])).expect("a text")
    }

    /// All fields of a hash with their values, in the order of their names.
    pub fn hash(&self, key: &str) -> Vec<(String, Vec<u8>)> {
        let answer = self.command(&["HGETALL", key]);
        let mut fields: Vec<(String, Vec<u8>)> = redis::from_redis_value(answer).expect("fields and values");
        fields.sort();
        fields
    }

    /// Makes a hash of these fields and no others.
    pub fn set_hash(&self, key: &str, fields: &[(String, Vec<u8>)]) {
        self.command(&["DEL", key]);
        let mut connection = self.connect().expect("the server answers");
        for (field, value) in fields {
            redis::cmd("HSET").arg(key).arg(field).arg(value).exec(&mut connection).expect("the server answers");
        }
    }

    /// How often a command was run, by the server's own count.
    pub fn calls(&self, command: &str) -> u64 {
        let info: String = redis::from_redis_value(self.command(&["INFO", "commandstats"])).expect("a text");
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().and_then(|calls| calls.parse().ok()).expect("a number"))
    }

    /// As a power cut does: no chance to write anything more.
    pub fn kill(&mut self) {
        self.child = None;
    }

    /// Starts it again on the same folder and address, after killing it if it still runs.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.launch().unwrap_or_else(|cause| panic!("{cause}"));
    }

    /// Kills it and deletes everything it knew.
    pub fn wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.folder().join("appendonlydir")).expect("the folder can be deleted");
    }

    /// Stops it in its tracks: connections stay open and nobody answers.
    pub fn pause(&self) {
        self.child.as_ref().expect("the server runs").signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.child.as_ref().expect("the server runs").signal(Signal::CONT);
    }

    fn socket(&self) -> PathBuf {
        self.folder().join("redis.sock")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("redis.log")
    }

    fn connect(&self) -> RedisResult<redis::Connection> {
        let url = match (self.password(), self.reach) {
            (None, _) => self.url(),
            (Some(password), Reach::UnixSocket) => format!("{}?pass={password}", self.url()),
            (Some(password), Reach::Port(port)) => format!("redis://:{password}@127.0.0.1:{port}"),
        };
        let connection = redis::Client::open(url)?.get_connection_with_timeout(WAIT_MAX)?;
        connection.set_read_timeout(Some(WAIT_MAX))?;
        Ok(connection)
    }

    fn password(&self) -> Option<&str> {
        let at = self.arguments.iter().position(|argument| argument == "--requirepass")?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    fn launch(&mut self) -> Result<(), String> {
        // One that was killed left its socket.
        let _ = std::fs::remove_file(self.socket());
        let folder = self.folder().to_string_lossy().into_owned();
        let mut command = Command::new("redis-server");
        command.args(["--dir", &folder, "--appendonly", "yes", "--save", "", "--daemonize", "no"]);
        command.args(["--logfile", &self.log().to_string_lossy(), "--maxmemory-policy", "noeviction"]);
        match self.reach {
            Reach::UnixSocket => command.args(["--port", "0", "--unixsocket", &self.socket().to_string_lossy()]),
            Reach::Port(port) => command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]),
        };
        command.args(&self.arguments);
        let child = self.child.insert(Child::start(&command));
        let id = child.id();
        let give_up = Instant::now() + WAIT_MAX;
        loop {
            let answer: RedisResult<String> =
                self.connect().and_then(|mut connection| redis::cmd("INFO").query(&mut connection));
            let error = match answer {
                Ok(info) if is_process(&info, id) && !is_loading(&info) => return Ok(()),
                Ok(info) if is_loading(&info) => "it is still reading its files".to_owned(),
                Ok(_) => "somebody else answers at its address".to_owned(),
                Err(error) => error.to_string(),
            };
            let child = self.child.as_mut().expect("it was started");
            if !child.is_running() || Instant::now() >= give_up {
                child.kill();
                let complaints = child.complaints();
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                return Err(format!("redis-server does not answer: {error}; it says:\n{complaints}{log}"));
            }
            std::thread::sleep(LOOK_EVERY);
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
