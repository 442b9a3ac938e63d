//! A process of ours: started, listened to, measured, and never left behind.
//!
//! Each child gets a process group of its own, so that Ctrl-C in a terminal reaches only the parent, which stops its
//! children in order. Dropping a [`Child`] kills it; `setpriv`, where there is one, has the kernel kill it when the
//! parent dies without a word.

use crate::error::{Error, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines of one stream that are kept; a child that talks more loses its oldest words.
const LINES_MAX: usize = 20_000;
/// How often a waiting loop looks.
const POLL: Duration = Duration::from_millis(5);
/// How long a child may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// The kernel counts CPU time in these ticks per second, on every Linux architecture that Rust supports.
const TICKS_PER_SECOND: u64 = 100;
/// Cores that the C library's `cpu_set_t` has room for.
const CORES_MAX: usize = 1024;

/// CPU time that a process has used, and the most memory that it ever held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub user_us: u64,
    pub system_us: u64,
}

impl Usage {
    pub fn total_us(self) -> u64 {
        self.user_us + self.system_us
    }

    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
        }
    }
}

/// How a child ended, and all it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub usage: Usage,
}

#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    stdout: Stream,
    stderr: Stream,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts the command with its output in our hands. `name` is what messages call it.
    pub fn start(name: impl Into<String>, command: &Command) -> Result<Child> {
        let name = name.into();
        let mut command = dying_with_us(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut process = command.spawn().map_err(|source| Error::Start { name: name.clone(), source })?;
        let stdout = Stream::read(process.stdout.take().expect("stdout is piped"));
        let stderr = Stream::read(process.stderr.take().expect("stderr is piped"));
        Ok(Child { name, process, stdout, stderr, ended: None })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until a line of either stream makes `found` return something. `awaited` names it in messages.
    pub fn wait_for<T>(&mut self, awaited: &str, within: Duration, found: impl Fn(&str) -> Option<T>) -> Result<T> {
        let until = Instant::now() + within;
        loop {
            if let Some(found) = self.stdout.find(&found).or_else(|| self.stderr.find(&found)) {
                return Ok(found);
            }
            if let Some(status) = self.poll_end() {
                // Its last words may still be in the pipe; a moment later they are not.
                std::thread::sleep(POLL * 10);
                if let Some(found) = self.stdout.find(&found).or_else(|| self.stderr.find(&found)) {
                    return Ok(found);
                }
                return Err(Error::Ended {
                    name: self.name.clone(),
                    status: status.to_string(),
                    last_words: self.last_words(),
                });
            }
            if Instant::now() >= until {
                return Err(Error::Silent {
                    name: self.name.clone(),
                    awaited: awaited.into(),
                    within,
                    last_words: self.last_words(),
                });
            }
            std::thread::sleep(POLL);
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.poll_end().is_none()
    }

    /// The end of what it said, for a message.
    pub fn last_words(&self) -> String {
        let mut words = self.stderr.tail(5);
        words.extend(self.stdout.tail(3));
        if words.is_empty() { "(none)".into() } else { words.join(" / ") }
    }

    /// CPU time used so far by all its threads.
    pub fn usage(&self) -> Usage {
        usage_of(self.id()).unwrap_or_default()
    }

    /// The most memory that it ever held, in KiB. `None` once it has ended.
    pub fn rss_peak_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    pub fn signal(&self, signal: Signal) {
        // A child that ended meanwhile is a zombie of ours, so its id cannot be anybody else's.
        if self.ended.is_none()
            && let Some(pid) = Pid::from_raw(self.id() as i32)
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for it to end by itself. One that does not is killed, and that is an error.
    pub fn wait(self, within: Duration) -> Result<Ended> {
        self.wait_while(within, || true)
    }

    /// Waits for it to end by itself, or until `go_on` says no; then it is asked to stop.
    pub fn wait_while(mut self, within: Duration, go_on: impl Fn() -> bool) -> Result<Ended> {
        let until = Instant::now() + within;
        while !self.has_exited() {
            if !go_on() {
                return self.stop();
            }
            if Instant::now() >= until {
                return Err(Error::Silent {
                    name: self.name.clone(),
                    awaited: "its end".into(),
                    within,
                    last_words: self.last_words(),
                });
            }
            std::thread::sleep(POLL);
        }
        self.collect()
    }

    /// Asks it to stop by SIGTERM, kills it when it does not, and returns all it said.
    pub fn stop(mut self) -> Result<Ended> {
        self.signal(Signal::TERM);
        let until = Instant::now() + GRACE;
        while !self.has_exited() {
            if Instant::now() >= until {
                self.kill_group();
            }
            std::thread::sleep(POLL);
        }
        self.collect()
    }

    /// Kills it at once, as a crash would.
    pub fn kill(mut self) -> Result<Ended> {
        self.kill_group();
        while !self.has_exited() {
            std::thread::sleep(POLL);
        }
        self.collect()
    }

    /// The child and whatever it started.
    fn kill_group(&self) {
        if self.ended.is_none()
            && let Some(pid) = Pid::from_raw(self.id() as i32)
        {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Whether it still runs, leaving it unreaped when it does not, so that its CPU time can be read at the end.
    pub fn is_alive(&mut self) -> bool {
        !self.has_exited()
    }

    /// Whether it has ended, leaving it unreaped so that its CPU time can still be read.
    fn has_exited(&mut self) -> bool {
        if self.ended.is_some() {
            return true;
        }
        let Some(pid) = Pid::from_raw(self.id() as i32) else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
    }

    fn poll_end(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().ok().flatten();
        }
        self.ended
    }

    fn collect(mut self) -> Result<Ended> {
        let usage = self.usage();
        let status = match self.ended {
            Some(status) => status,
            None => self.process.wait().map_err(Error::io(format!("waiting for {}", self.name)))?,
        };
        self.ended = Some(status);
        Ok(Ended { status, stdout: self.stdout.finish(), stderr: self.stderr.finish(), usage })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.poll_end().is_none() {
            self.kill_group();
            let _ = self.process.wait();
        }
    }
}

/// One output stream, read by a thread so that the child never waits for us.
#[derive(Debug)]
struct Stream {
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn read(source: impl Read + Send + 'static) -> Stream {
        let lines = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut bytes = Vec::new();
            while matches!(source.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_string();
                bytes.clear();
                let mut lines = sink.0.lock().expect("no reader panics");
                if lines.len() == LINES_MAX {
                    lines.remove(0);
                }
                lines.push(line);
                sink.1.notify_all();
            }
        });
        Stream { lines, reader: Some(reader) }
    }

    fn find<T>(&self, found: &impl Fn(&str) -> Option<T>) -> Option<T> {
        self.lines.0.lock().expect("no reader panics").iter().find_map(|line| found(line))
    }

    fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines.0.lock().expect("no reader panics");
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.lines.0.lock().expect("no reader panics").join("\n")
    }
}

/// The folder that our programs were built into: this program's, or for a test the one above its own.
pub fn build_folder() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let folder = this.parent().unwrap_or(Path::new(".")).to_path_buf();
    if folder.ends_with("deps") { folder.parent().unwrap_or(&folder).to_path_buf() } else { folder }
}

/// One of our own programs, from the folder that this one was built into.
pub fn sibling(program: &str) -> Result<Command> {
    let folder = build_folder();
    let path = folder.join(program);
    if !path.is_file() {
        return Err(Error::NotBuilt { program: program.into(), folder, make: "make test, make demo or make bench" });
    }
    Ok(Command::new(path))
}

/// A program on the path, in the system folders, or among the peers that `make bench` built.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let peers = build_folder().parent().map(|build| build.join("peers/bin"));
    std::env::split_paths(&path)
        .chain(peers)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The command on one core, by `taskset`.
pub fn pinned(core: usize, command: &Command) -> Result<Command> {
    pinned_by(find_program("taskset").as_deref(), core, command)
}

/// A figure of an unpinned child beside one of a pinned child compares nothing, so without `taskset` there is none.
fn pinned_by(taskset: Option<&Path>, core: usize, command: &Command) -> Result<Command> {
    let program = command.get_program().to_string_lossy();
    let missing = || {
        Error::Other(format!(
            "taskset is not there, so {program} cannot be held to core {core}; install the package util-linux"
        ))
    };
    let mut pinned = Command::new(taskset.ok_or_else(missing)?);
    pinned.arg("-c").arg(core.to_string());
    Ok(wrap(pinned, command))
}

/// Holds this thread to one core.
pub fn pin_this_thread(core: usize) -> Result<()> {
    // The kernel is asked, not our own mask: whoever started us may be held to another core. Beyond the mask's end the
    // library aborts instead of refusing.
    if core < CORES_MAX && core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        return Ok(());
    }
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    Err(Error::Other(format!(
        "core {core} does not exist or this process may not use it; this machine has {}: choose one of those",
        online.trim()
    )))
}

fn dying_with_us(command: &Command) -> Command {
    let Some(setpriv) = find_program("setpriv") else { return copy(command) };
    let mut wrapped = Command::new(setpriv);
    wrapped.args(["--pdeathsig", "KILL", "--"]);
    wrap(wrapped, command)
}

fn copy(command: &Command) -> Command {
    let copied = Command::new(command.get_program());
    with_rest(copied, command)
}

fn wrap(mut outer: Command, command: &Command) -> Command {
    outer.arg(command.get_program());
    with_rest(outer, command)
}

fn with_rest(mut outer: Command, command: &Command) -> Command {
    outer.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(key, value),
            None => outer.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// CPU time of a process, dead or alive, as long as nobody has reaped it.
fn usage_of(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows it is numbers. utime and stime are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next_us = || Some(fields.next()?.parse::<u64>().ok()? * (1_000_000 / TICKS_PER_SECOND));
    Some(Usage { user_us: next_us()?, system_us: next_us()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start("a shell", &command).expect("sh runs")
    }

    fn exists(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_child_is_heard_and_collected() {
        let mut child = shell("echo ready at 5; echo oops >&2; exit 3");
        let found = child.wait_for("ready", GRACE, |line| line.strip_prefix("ready at ").map(String::from));
        assert_eq!(found.expect("it says so"), "5");
        let ended = child.wait(GRACE).expect("it ends");
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("ready at 5", "oops"));
    }

    #[test]
    fn one_that_ends_early_is_quoted() {
        let mut child = shell("echo the port is taken >&2; exit 1");
        let error = child.wait_for("listening", GRACE, |_| None::<()>).expect_err("it never listens").to_string();
        assert!(error.contains("ended before it was ready") && error.contains("the port is taken"), "{error}");
    }

    #[test]
    fn without_taskset_nothing_runs_unpinned() {
        let error = pinned_by(None, 3, &Command::new("nginx")).expect_err("it is not there").to_string();
        assert!(error.contains("nginx cannot be held to core 3; install the package util-linux"), "{error}");
    }

    #[test]
    fn dropping_kills() {
        let child = shell("exec sleep 600");
        let pid = child.id();
        assert!(exists(pid));
        drop(child);
        assert!(!exists(pid));
    }

    #[test]
    fn a_deaf_child_that_outlives_its_time_is_an_error_and_gone() {
        let child = shell("trap '' TERM; exec sleep 600");
        let pid = child.id();
        assert!(child.wait(Duration::from_millis(50)).is_err());
        assert!(!exists(pid));
    }

    #[test]
    fn cpu_time_is_read_after_the_end() {
        let child = shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done");
        let ended = child.wait(Duration::from_secs(60)).expect("it ends");
        assert!(ended.usage.total_us() > 0, "{:?}", ended.usage);
    }
}
