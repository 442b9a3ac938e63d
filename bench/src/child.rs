//! A process of ours: started, listened to, measured, and never left behind.
//!
//! Each child gets a process group of its own, so that Ctrl-C in a terminal reaches only the parent, which stops its
//! children in order. Dropping a [`Child`] kills it; `setpriv`, where there is one, has the kernel kill it when the
//! parent dies without a word.

mod output;
mod programs;
mod usage;

pub use programs::{build_folder, find_program, pin_this_thread, pinned, sibling};
pub use usage::Usage;

use crate::error::{Error, Result};
use output::Stream;
use programs::dying_with_us;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use usage::usage_of;

/// How often a waiting loop looks.
const POLL: Duration = Duration::from_millis(5);
/// How long a child may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);

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

    /// What it said on its log so far, but for what is long ago.
    pub fn log(&self) -> String {
        self.stderr.tail(usize::MAX).join("\n")
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

/// `listening on http://127.0.0.1:8081` anywhere in a line, as a URL with a path.
pub fn listening_on(line: &str) -> Option<String> {
    let rest = line.split_once("listening on http://")?.1;
    let host = rest.split(|letter: char| letter.is_whitespace() || letter == '/' || letter == ',').next()?;
    (!host.is_empty()).then(|| format!("http://{host}/"))
}

/// The port beside it that speaks TLS: `and https://127.0.0.1:8443` in the same line, as a URL with a path.
pub fn listening_on_tls(line: &str) -> Option<String> {
    let rest = line.split_once(" and https://")?.1;
    let host = rest.split(|letter: char| letter.is_whitespace() || letter == '/' || letter == ',').next()?;
    (!host.is_empty()).then(|| format!("https://{host}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_a_line() {
        let line = "listening on http://127.0.0.1:81 and https://127.0.0.1:82 (io_uring, cores 0)";
        assert_eq!(listening_on(line).as_deref(), Some("http://127.0.0.1:81/"));
        assert_eq!(listening_on_tls(line).as_deref(), Some("https://127.0.0.1:82/"));
        assert_eq!(listening_on_tls("listening on http://127.0.0.1:81 (io_uring, cores 0)"), None);
        assert_eq!(listening_on("listening on http://127.0.0.1:8081").as_deref(), Some("http://127.0.0.1:8081/"));
        assert_eq!(
            listening_on("target: listening on http://[::1]:80/ with 1 core").as_deref(),
            Some("http://[::1]:80/")
        );
        assert_eq!(listening_on("listening on nothing"), None);
    }
    use std::path::Path;

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
