//! What contestants take of a worker's time in open phases, by what was measured of requests, receives, bytes, records and connections. Pure.
//!
//! Nobody is held back by it (docs/decisions/0018-no-parts-in-open-phases.md): where a worker never rested, it says whose exchanges filled its time.

use crate::engine::index::{ContestantIndex, Table};

/// Of one worker's time on this kernel, in nanoseconds (BENCHMARKS.md): a request and its answer of a few bytes, a receive,
/// 1,000 bytes of an answer, a connection made and closed.
pub const REQUEST_NS: u64 = 5_000;
const RECEIVE_NS: u64 = 1_000;
const KILOBYTE_NS: u64 = 650;
pub const CONNECTION_NS: u64 = 35_000;
/// What opening a record of TLS costs beside its bytes, as bytes of an answer.
pub const RECORD_AS_BYTES: usize = 512;
/// What a step of a handshake of TLS is taken to have cost at the most: it is measured, and may have been interrupted.
const HANDSHAKE_NS_MAX: u64 = 4_000_000;

/// Of so many bytes of answers.
#[inline]
pub const fn bytes_ns(bytes: usize) -> u64 {
    bytes as u64 * KILOBYTE_NS / 1_000
}

/// Of a receive of so many bytes.
#[inline]
pub const fn receive_ns(bytes: usize) -> u64 {
    RECEIVE_NS + bytes_ns(bytes)
}

/// Of so many records, beside their bytes.
#[inline]
pub const fn records_ns(records: usize) -> u64 {
    bytes_ns(records * RECORD_AS_BYTES)
}

/// Of a step of a handshake that took so long.
pub fn handshake_ns(took_ns: u64) -> u64 {
    took_ns.min(HANDSHAKE_NS_MAX)
}

/// What somebody has taken, and how many requests that was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub ns: u64,
    pub requests: u64,
}

/// Of what was taken before, this part is let go whenever an interval comes in which a worker never rested: what is told is of the last
/// second or two.
const FADING: u64 = 16;

impl Cost {
    pub fn add(&mut self, other: Cost) {
        self.ns += other.ns;
        self.requests += other.requests;
    }

    /// It is of an interval before the one that comes.
    pub fn fade(&mut self) {
        self.ns -= self.ns.div_ceil(FADING);
        self.requests -= self.requests.div_ceil(FADING);
    }
}

/// What each has taken since it was looked at last.
#[derive(Debug)]
pub struct Costs {
    each: Table<ContestantIndex, Cost>,
    /// Who has taken anything, each once.
    active: Vec<ContestantIndex>,
}

impl Costs {
    pub fn new(contestants: usize) -> Costs {
        Costs { each: Table::filled(Cost::default(), contestants), active: Vec::with_capacity(contestants) }
    }

    /// There are so many contestants now.
    pub fn grow(&mut self, contestants: usize) {
        self.each.grow(contestants, Cost::default());
    }

    #[inline]
    pub fn on_begun(&mut self, index: ContestantIndex) {
        self.add(index, Cost { ns: REQUEST_NS, requests: 1 });
    }

    #[inline]
    pub fn on_received(&mut self, index: ContestantIndex, bytes: usize) {
        self.add(index, Cost { ns: receive_ns(bytes), requests: 0 });
    }

    #[inline]
    pub fn on_records(&mut self, index: ContestantIndex, records: usize) {
        self.add(index, Cost { ns: records_ns(records), requests: 0 });
    }

    pub fn on_opening(&mut self, index: ContestantIndex) {
        self.add(index, Cost { ns: CONNECTION_NS, requests: 0 });
    }

    pub fn on_handshake(&mut self, index: ContestantIndex, took_ns: u64) {
        self.add(index, Cost { ns: handshake_ns(took_ns), requests: 0 });
    }

    #[inline]
    fn add(&mut self, index: ContestantIndex, cost: Cost) {
        let each = &mut self.each[index];
        if *each == Cost::default() {
            self.active.push(index);
        }
        each.add(cost);
    }

    /// What each has taken; from here on it is counted anew.
    pub fn take(&mut self, mut each: impl FnMut(ContestantIndex, Cost)) {
        for index in self.active.drain(..) {
            each(index, std::mem::take(&mut self.each[index]));
        }
    }
}

/// Whose exchanges took most of the time of workers that never rested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costliest {
    pub contestant: ContestantIndex,
    /// Its part of what all exchanges took then, and of the requests.
    pub time_percent: u8,
    pub requests_percent: u8,
}

impl Costliest {
    /// Of what each took. `None`: no worker was without a rest.
    pub fn of(each: impl Iterator<Item = (ContestantIndex, Cost)>) -> Option<Costliest> {
        let (mut all, mut most) = (Cost::default(), None::<(ContestantIndex, Cost)>);
        for (contestant, cost) in each.filter(|(_, cost)| cost.ns > 0) {
            all.add(cost);
            if most.is_none_or(|(_, most)| cost.ns > most.ns) {
                most = Some((contestant, cost));
            }
        }
        let percent = |part: u64, whole: u64| (u128::from(part) * 100 / u128::from(whole.max(1))) as u8;
        most.map(|(contestant, cost)| Costliest {
            contestant,
            time_percent: percent(cost.ns, all.ns),
            requests_percent: percent(cost.requests, all.requests),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::index::Key;

    #[test]
    fn whoever_took_most_is_named_with_its_part_of_the_time_and_of_the_requests() {
        let at = ContestantIndex::from_index;
        let mut costs = Costs::new(4);
        for _ in 0..10 {
            costs.on_begun(at(0));
            costs.on_received(at(0), 200);
            costs.on_begun(at(2));
            costs.on_opening(at(2));
            costs.on_received(at(2), 60_000);
        }
        let mut took = Vec::new();
        costs.take(|index, cost| took.push((index, cost)));
        let [modest, large] = took[..] else { panic!("two took anything") };
        assert_eq!((modest.0, modest.1.requests, large.0, large.1.requests), (at(0), 10, at(2), 10));
        let costliest = Costliest { contestant: at(2), time_percent: 92, requests_percent: 50 };
        assert_eq!(Costliest::of(took.into_iter()), Some(costliest));
        // Looked at, it is counted anew.
        costs.take(|_, _| panic!("nobody took anything since"));
        assert_eq!(Costliest::of([(at(1), Cost::default())].into_iter()), None);
    }
}
