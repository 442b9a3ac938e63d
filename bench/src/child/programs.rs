//! Where programs are, and the commands that start them: on one core, or dying with us.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Cores that the C library's `cpu_set_t` has room for.
const CORES_MAX: usize = 1024;

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

pub(super) fn dying_with_us(command: &Command) -> Command {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_taskset_nothing_runs_unpinned() {
        let error = pinned_by(None, 3, &Command::new("nginx")).expect_err("it is not there").to_string();
        assert!(error.contains("nginx cannot be held to core 3; install the package util-linux"), "{error}");
    }
}
