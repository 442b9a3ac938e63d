//! Programs as people run them: words in, text and an exit code out, and none that outlives its test.

use crate::wait::WAIT_MAX;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at a child that is to end.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A running program, killed when dropped.
///
/// Its standard output is read line by line; its standard error is kept for messages.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Locked by nobody: a receiver alone would keep servers from being shared by threads.
    lines: Mutex<Receiver<String>>,
    complaints: Option<JoinHandle<String>>,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts it without standard input.
    pub fn start(command: &Command) -> Child {
        let mut command = dying_with_us(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot run: {error}"));
        let (sender, lines) = channel();
        let stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        std::thread::spawn(move || {
            // Whoever dropped the child wants no more lines.
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).is_ok()
        });
        let complaints = read_all(process.stderr.take().expect("stderr is piped"));
        Child { process, lines: Mutex::new(lines), complaints: Some(complaints), ended: None }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line of its output, or nothing once it has closed it.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        match self.lines.get_mut().expect("nobody locks it").recv_timeout(WAIT_MAX) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {WAIT_MAX:?}"),
        }
    }

    /// The first of its lines, from the next on, of which `found` makes something.
    #[track_caller]
    pub fn wait_for_line<T>(&mut self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        while let Some(line) = self.line() {
            if let Some(found) = found(&line) {
                return found;
            }
        }
        self.kill();
        panic!("{what} was not said before the end; it complained:\n{}", self.complaints());
    }

    pub fn is_running(&mut self) -> bool {
        self.poll().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        // Until it is waited for, its id cannot be anybody else's.
        if self.ended.is_none() {
            kill_process(Pid::from_child(&self.process), signal).expect("it is our child");
        }
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let give_up = Instant::now() + WAIT_MAX;
        loop {
            if let Some(status) = self.poll() {
                return status;
            }
            if Instant::now() >= give_up {
                self.kill();
                panic!("it did not end within {WAIT_MAX:?}; it complained:\n{}", self.complaints());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Kills it as a power cut does: no chance to write anything more.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            // Both fail only when the process is gone already.
            let _ = self.process.kill();
            self.ended = self.process.wait().ok();
        }
    }

    /// All that it wrote to its standard error. Only after its end.
    pub fn complaints(&mut self) -> String {
        self.complaints.take().map(|reader| reader.join().expect("the reader does not panic")).unwrap_or_default()
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().expect("it is our child");
        }
        self.ended
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a run of a program said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn exits(self, code: i32) -> Said {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// The output holds this.
    #[track_caller]
    pub fn says(self, text: &str) -> Said {
        assert!(self.out.contains(text), "{text:?} is not in:\n{}", self.out);
        self
    }

    /// The output is one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Standard error holds this.
    #[track_caller]
    pub fn complains(self, text: &str) -> Said {
        assert!(self.err.contains(text), "{text:?} is not in:\n{}", self.err);
        self
    }
}

/// A program that is told everything by its words: our flags are environment variables, too, and none of them counts.
pub fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLOWTEST_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a program to its end, which comes within [`WAIT_MAX`].
#[track_caller]
pub fn run(command: &Command) -> Said {
    let mut command = dying_with_us(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot run: {error}"));
    let out = read_all(process.stdout.take().expect("stdout is piped"));
    let err = read_all(process.stderr.take().expect("stderr is piped"));
    let give_up = Instant::now() + WAIT_MAX;
    let status = loop {
        if let Some(status) = process.try_wait().expect("it is our child") {
            break Some(status);
        }
        if Instant::now() >= give_up {
            let _ = process.kill();
            let _ = process.wait();
            break None;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let [out, err] = [out, err].map(|reader| reader.join().expect("the reader does not panic"));
    let status = status.unwrap_or_else(|| panic!("it did not end within {WAIT_MAX:?}; it said:\n{out}\n{err}"));
    let code = status.code().unwrap_or_else(|| panic!("it was killed: {status}"));
    Said { code, out, err }
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is worth telling.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The same command, killed by the kernel when the thread that starts it ends without a word; where there is no
/// `setpriv`, only as long as we live.
pub fn dying_with_us(command: &Command) -> Command {
    let found = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|path| std::path::Path::new(path).exists());
    let mut wrapped = match found {
        Some(setpriv) => {
            let mut wrapped = Command::new(setpriv);
            wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
            wrapped
        }
        None => Command::new(command.get_program()),
    };
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_run_is_heard_whole() {
        run(&shell("echo one; echo two; echo oops >&2; exit 3")).exits(3).says("one\ntwo\n").complains("oops\n");
    }

    #[test]
    fn a_line_is_waited_for_and_dropping_kills() {
        let mut child = Child::start(&shell("echo starting; echo ready at 5; exec sleep 600"));
        assert_eq!(child.wait_for_line("ready", |line| line.strip_prefix("ready at ").map(str::to_owned)), "5");
        let id = child.id();
        assert!(child.is_running());
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    #[should_panic(expected = "the port is taken")]
    fn one_that_ends_early_is_quoted() {
        Child::start(&shell("echo the port is taken >&2; exit 1")).wait_for_line("ready", |_| None::<()>);
    }
}
