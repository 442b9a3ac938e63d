//! Which signals end a command with its result. Only commands that flood take them; all others end at once, as the system
//! has it, for they have nothing to finish.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Whether somebody wants the command to end.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
}

impl Stop {
    /// From now on the first SIGINT, SIGTERM or SIGHUP only asks for the end, and lets what is in flight finish; the second
    /// ends the process. Called when there is something to finish: before that, a signal ends the process at once.
    pub fn catch_signals(&self) {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
            if let Err(error) = self.catch(signal) {
                eprintln!("flowtest-loadgen: no handler for signals ({error}): Ctrl-C will lose the summary");
            }
        }
    }

    fn catch(&self, signal: i32) -> io::Result<()> {
        signal_hook::flag::register_conditional_shutdown(signal, 1, self.asked.clone())?;
        signal_hook::flag::register(signal, self.asked.clone())?;
        Ok(())
    }

    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }
}

/// Whether who started us has made us deaf to a signal, as `nohup` does: that stays. Linux says it in a mask of which the
/// lowest bit is signal 1.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
