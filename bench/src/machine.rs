//! What a figure was measured on: kernel, processor, cores, commit, command. A figure without these is a rumour.

use serde::Serialize;
use std::process::Command;

/// Where a client and its server run, each on a core of its own.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Cores {
    #[arg(long, default_value_t = 0)]
    pub client_core: usize,
    #[arg(long, default_value_t = 1)]
    pub server_core: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub date: String,
    pub kernel: String,
    pub processor: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub congestion_control: String,
    pub commit: String,
    pub command: String,
}

impl Machine {
    pub fn here() -> Machine {
        let field = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).map(String::from);
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_string())).unwrap_or_else(unknown)
        };
        let memory = field("/proc/meminfo", "MemTotal");
        Machine {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            kernel: first_line("/proc/sys/kernel/osrelease"),
            processor: field("/proc/cpuinfo", "model name"),
            // Of the machine: this thread may be pinned to one of them.
            cores: processors(),
            memory_mib: memory.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024,
            congestion_control: first_line("/proc/sys/net/ipv4/tcp_congestion_control"),
            commit: commit(),
            command: command(),
        }
    }

    /// The facts as a line of Markdown.
    pub fn to_markdown(&self) -> String {
        format!(
            "{}. Linux {}, {}, {} cores, {} MiB, congestion control {}, loopback. Commit {}. `{}`",
            self.date,
            self.kernel,
            self.processor,
            self.cores,
            self.memory_mib,
            self.congestion_control,
            self.commit,
            self.command
        )
    }
}

fn processors() -> usize {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}

fn unknown() -> String {
    "unknown".into()
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| text.lines().next().map(|line| line.trim().to_string()))
        .unwrap_or_else(unknown)
}

/// The commit of the tree that we stand in, with a mark when it has changes of its own.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    match (git(&["rev-parse", "--short=12", "HEAD"]), git(&["status", "--porcelain", "--untracked-files=no"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit} with changes"),
        (None, _) => unknown(),
    }
}

/// This program's command line, its path shortened to the name: a path of one machine says nothing on another.
fn command() -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(program) = words.first_mut()
        && let Some(name) = program.rsplit('/').next()
    {
        *program = name.to_string();
    }
    words.join(" ")
}
