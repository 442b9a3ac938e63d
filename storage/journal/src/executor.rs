//! A glommio executor on a thread of its own.
//!
//! Glommio ends the process or panics where the kernel refuses it something. What it will ask for is asked here first,
//! so that a person reads a sentence instead.

use crate::JournalError;
use glommio::{LocalExecutorBuilder, Placement};
use io_uring::{IoUring, Probe, opcode};
use rustix::process::{Resource, getrlimit};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::mpsc;
use std::thread::{self, Builder, JoinHandle};

/// Below this, glommio refuses to start.
const LOCKED_BYTES_MIN: u64 = 512 << 10;
/// What glommio sets aside for writes on their way: two of ours.
const IO_BYTES: usize = 2 << 20;
const THREAD_NAME: &str = "recorder";

/// Work that runs on an executor.
pub struct Handle<T> {
    thread: JoinHandle<Option<T>>,
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("thread", &self.thread).finish()
    }
}

impl<T> Handle<T> {
    /// Waits for the work to end. An error if it panicked.
    ///
    /// # Errors
    /// [`JournalError::Executor`] when it panicked or never started.
    pub fn join(self) -> Result<T, JournalError> {
        match self.thread.join() {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(stopped("it never started".into())),
            Err(panic) => Err(stopped(format!("it panicked: {}", said(&*panic)))),
        }
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Runs `work` on a glommio executor on a thread of its own, named "recorder", pinned to `core` if there is one. Returns
/// when that has started, or with [`JournalError::Executor`] when it cannot.
///
/// Glommio 0.9 never closes one eventfd of each executor: a process that plays a thousand rounds holds a thousand.
///
/// # Errors
/// [`JournalError::Executor`] when the kernel refuses memory, io_uring or the core, or there is no thread.
pub fn spawn<T, F>(core: Option<usize>, work: impl FnOnce() -> F + Send + 'static) -> Result<Handle<T>, JournalError>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    may_lock_memory()?;
    // On a thread of its own: when a ring goes, the kernel interrupts what its thread waits for (seen on Linux 6.18), and
    // ours may be talking to Redis.
    thread::spawn(may_use_io_uring).join().map_err(|_| stopped("the look at io_uring panicked".into()))??;
    let (say, hear) = mpsc::sync_channel(1);
    let thread = Builder::new().name(THREAD_NAME.into()).spawn(move || {
        let placement = core.map_or(Placement::Unbound, Placement::Fixed);
        let made = LocalExecutorBuilder::new(placement).name(THREAD_NAME).io_memory(IO_BYTES).make();
        match made {
            Ok(executor) => {
                let _ = say.send(Ok(()));
                Some(executor.run(async move { work().await }))
            }
            Err(error) => {
                let _ = say.send(Err(error.to_string()));
                None
            }
        }
    });
    let thread = thread.map_err(|error| stopped(format!("no thread: {error}")))?;
    match hear.recv() {
        Ok(Ok(())) => Ok(Handle { thread }),
        Ok(Err(why)) => {
            let on = core.map_or(String::new(), |core| format!(" on core {core}"));
            Err(stopped(format!("{why}{on}; choose a core that this process may use")))
        }
        Err(_) => Err(match thread.join() {
            Ok(_) => stopped("it ended at once".into()),
            Err(panic) => stopped(format!("it panicked: {}", said(&*panic))),
        }),
    }
}

fn may_lock_memory() -> Result<(), JournalError> {
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if bytes < LOCKED_BYTES_MIN => Err(stopped(format!(
            "it may lock only {} KiB of memory and needs {}; raise the limit: `ulimit -l unlimited`, LimitMEMLOCK in \
             systemd, --ulimit memlock in a container",
            bytes >> 10,
            LOCKED_BYTES_MIN >> 10
        ))),
        _ => Ok(()),
    }
}

fn may_use_io_uring() -> Result<(), JournalError> {
    let denied = |error: std::io::Error| {
        stopped(format!(
            "io_uring is refused ({error}); check the sysctl kernel.io_uring_disabled and the container's seccomp profile"
        ))
    };
    let ring = IoUring::new(2).map_err(denied)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(denied)?;
    let needed = [opcode::Fallocate::CODE, opcode::Fsync::CODE, opcode::Write::CODE, opcode::OpenAt::CODE];
    if needed.iter().all(|code| probe.is_supported(*code)) {
        return Ok(());
    }
    Err(stopped("this kernel's io_uring lacks what a journal needs; use Linux 6.1 or later".into()))
}

fn stopped(why: String) -> JournalError {
    JournalError::Executor { why }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it did not say why".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_on_a_thread_of_its_own_and_returns() {
        let handle = spawn(Some(0), || async { std::thread::current().name().map(String::from) }).expect("starts");
        assert_eq!(handle.join().expect("returns").as_deref(), Some("recorder"));
    }

    #[test]
    fn a_core_that_is_not_there_and_a_panic_are_sentences() {
        let error = spawn(Some(100_000), || async {}).expect_err("no such core").to_string();
        assert!(error.contains("choose a core"), "{error}");
        let handle = spawn(None, || async { panic!("on purpose") }).expect("starts");
        let error = handle.join().expect_err("it panicked").to_string();
        assert!(error.ends_with("it panicked: on purpose"), "{error}");
    }
}
