//! `--capacity`: a server that has a limit, so that who needs more must start another one.
//!
//! The model is a token bucket with a queue, one for all workers of the process. The bucket fills at N tokens a second
//! and holds those of [`BURST`]; each page costs one. Below N there is always one, however unevenly requests come, and
//! an answer is not a microsecond later for it. Above N the bucket is empty: a request takes the next place in the
//! queue and is answered when its token falls due, so that exactly N a second are, and latency grows with the queue.
//! When [`QUEUE`] of waiting is taken, further requests are refused with 503 at once, and cost no token.
//!
//! Only pages cost: not `/healthz` or `/metrics`, and not what is refused for what it is. A connection is answered in
//! order, so of a pipelined one only the first request has a place in the queue. `--faults` act behind it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much of unused capacity is kept for a burst: more than requests of a steady load come unevenly by, timers and
/// other people's schedulers included, and little beside a phase of a contest.
pub const BURST: Duration = Duration::from_millis(50);
/// How long a request waits for its turn at most: a third of a judge's usual timeout, so that a slow answer still counts.
pub const QUEUE: Duration = Duration::from_secs(1);
/// More a second than one machine answers.
pub const PER_SECOND_MAX: u32 = 1_000_000;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Now,
    /// In the queue: answer it when this much time has passed.
    After(Duration),
    /// The queue is full.
    Full,
}

/// The bucket and the queue. Instants are nanoseconds since its making, [`Capacity::now_ns`].
#[derive(Debug)]
pub struct Capacity {
    pub per_second: u32,
    interval_ns: u64,
    started: Instant,
    /// Until when tokens are taken. The bucket is full while that has passed, and empty from [`BURST`] ahead on.
    next_ns: AtomicU64,
    waited: AtomicU64,
    refused: AtomicU64,
}

impl Capacity {
    /// `per_second` from 1 to [`PER_SECOND_MAX`].
    pub fn new(per_second: u32) -> Capacity {
        assert!((1..=PER_SECOND_MAX).contains(&per_second), "the flag is checked");
        Capacity {
            per_second,
            interval_ns: 1_000_000_000 / u64::from(per_second),
            started: Instant::now(),
            next_ns: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Takes a token, now or in its turn.
    pub fn take(&self, now_ns: u64) -> Place {
        let (burst_ns, queue_ns) = (BURST.as_nanos() as u64, QUEUE.as_nanos() as u64);
        let mut wait_ns = 0;
        let taken = self.next_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next_ns| {
            let due_ns = next_ns.max(now_ns);
            wait_ns = (due_ns - now_ns).saturating_sub(burst_ns);
            (wait_ns < queue_ns).then_some(due_ns + self.interval_ns)
        });
        if taken.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Place::Full;
        }
        if wait_ns == 0 {
            return Place::Now;
        }
        self.waited.fetch_add(1, Ordering::Relaxed);
        Place::After(Duration::from_nanos(wait_ns))
    }

    /// Requests that waited for their turn.
    pub fn waited(&self) -> u64 {
        self.waited.load(Ordering::Relaxed)
    }

    /// Requests that found the queue full.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    /// Takes one at each instant; returns how many there were of each kind: now, later, refused.
    fn take_at(capacity: &Capacity, instants: impl Iterator<Item = u64>) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for now_ns in instants {
            match capacity.take(now_ns) {
                Place::Now => counts.0 += 1,
                Place::After(_) => counts.1 += 1,
                Place::Full => counts.2 += 1,
            }
        }
        counts
    }

    #[test]
    fn a_steady_load_below_it_never_waits() {
        let capacity = Capacity::new(1000);
        // 990 a second for ten seconds, eight at a time, late by up to twenty milliseconds.
        let instants = (0..9_900u64).map(|number| number / 8 * 8 * 1_000_000_000 / 990 + (number / 8 * 7 % 20) * MS);
        assert_eq!(take_at(&capacity, instants), (9_900, 0, 0));
        assert_eq!((capacity.waited(), capacity.refused()), (0, 0));
    }

    #[test]
    fn above_it_answers_get_later_until_the_queue_is_full() {
        let capacity = Capacity::new(1000);
        let mut last = 0;
        // All at once: 50 from the bucket, then one each millisecond, the last one just before a second is over.
        for number in 0..3000u64 {
            let wait_ns = match capacity.take(0) {
                Place::Now => 0,
                Place::After(wait) => wait.as_nanos() as u64,
                Place::Full => break,
            };
            assert_eq!(wait_ns, (number * MS).saturating_sub(50 * MS));
            last = number;
        }
        assert_eq!(last, 50 + 999);
        // Each millisecond makes room for one, and what was refused took nobody's place.
        assert_eq!(take_at(&capacity, std::iter::repeat_n(0, 500)), (0, 0, 500));
        assert_eq!(take_at(&capacity, std::iter::repeat_n(10 * MS, 500)), (0, 10, 490));
        assert_eq!(capacity.refused(), 1 + 500 + 490);
    }

    #[test]
    fn an_idle_server_saves_up_no_more_than_a_burst() {
        let capacity = Capacity::new(1000);
        assert_eq!(take_at(&capacity, std::iter::repeat_n(3_600_000 * MS, 2000)), (51, 999, 950));
    }

    proptest! {
        /// Closed loop: each of some clients asks again a moment after its answer, whoever is late by how much.
        #[test]
        fn a_closed_loop_gets_exactly_as_many(
            per_second in 1u32..2000,
            clients in 1usize..64,
            late_ms in proptest::collection::vec(0u64..8, 16),
        ) {
            let capacity = Capacity::new(per_second);
            let mut ask_ns = vec![0u64; clients];
            let (mut answered, end_ns) = (0u64, 4_000 * MS);
            let mut turn = 0;
            loop {
                let client = (0..clients).min_by_key(|client| ask_ns[*client]).unwrap();
                let now_ns = ask_ns[client];
                if now_ns >= end_ns {
                    break;
                }
                turn += 1;
                ask_ns[client] = match capacity.take(now_ns) {
                    Place::Now => { answered += 1; now_ns + 10_000 }
                    Place::After(wait) => {
                        answered += 1;
                        now_ns + wait.as_nanos() as u64 + late_ms[turn % 16] * MS + 10_000
                    }
                    Place::Full => now_ns + 50 * MS,
                };
            }
            // Four seconds, a bucket, and a place in the queue for each client at the end.
            let due = 4 * u64::from(per_second);
            let most = due * 101 / 100 + u64::from(per_second) / 20 + clients as u64 + 1;
            prop_assert!(answered <= most, "{answered}, and at most {most}");
            // Clients that are ten milliseconds late cannot all together ask for more than this.
            if clients * 100 >= per_second as usize {
                prop_assert!(answered + 1 >= due * 99 / 100, "{answered} of {due}");
            }
        }
    }
}
