//! CPU time of a process.

/// The kernel counts CPU time in these ticks per second, on every Linux architecture that Rust supports.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time that a process has used.
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
/// CPU time of a process, dead or alive, as long as nobody has reaped it.
pub(super) fn usage_of(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows it is numbers. utime and stime are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next_us = || Some(fields.next()?.parse::<u64>().ok()? * (1_000_000 / TICKS_PER_SECOND));
    Some(Usage { user_us: next_us()?, system_us: next_us()? })
}
