//! How much of its time a thread did not rest: it ran, or it waited for a core that somebody else had.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Of a thread's time since its start, in nanoseconds; the rest it has rested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    pub ran_ns: u64,
    /// For a core.
    pub waited_ns: u64,
}

/// The kernel's account of the thread that made this.
#[derive(Debug)]
pub struct Occupied {
    /// Three numbers: nanoseconds on a core, nanoseconds in its queue, turns on it.
    account: Option<File>,
}

impl Occupied {
    pub fn of_this_thread() -> Occupied {
        Occupied { account: File::open("/proc/thread-self/schedstat").ok() }
    }

    /// `None` of a kernel that keeps no such account.
    pub fn look(&self) -> Option<Occupancy> {
        self.account.as_ref().and_then(read)
    }
}

fn read(account: &File) -> Option<Occupancy> {
    let mut bytes = [0; 96];
    let len = account.read_at(&mut bytes, 0).ok()?;
    let text = std::str::from_utf8(&bytes[..len]).ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    Some(Occupancy { ran_ns: numbers.next()?.ok()?, waited_ns: numbers.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_thread_that_sleeps_is_not_occupied_and_one_that_counts_is() {
        let occupied = Occupied::of_this_thread();
        let share = |what: &dyn Fn()| {
            let ns = || {
                let Occupancy { ran_ns, waited_ns } = occupied.look().expect("this kernel keeps the account");
                ran_ns + waited_ns
            };
            let (before, since) = (ns(), Instant::now());
            what();
            (ns() - before) as f64 / since.elapsed().as_nanos() as f64
        };
        let asleep = share(&|| std::thread::sleep(Duration::from_millis(200)));
        let awake = share(&|| {
            let since = Instant::now();
            while since.elapsed() < Duration::from_millis(200) {
                std::hint::spin_loop();
            }
        });
        assert!(asleep < 0.5 && awake > 0.8, "asleep {asleep}, awake {awake}");
    }
}
