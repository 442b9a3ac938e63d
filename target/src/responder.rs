//! What one worker answers with: its pages, the head of the last request, its counts.

use crate::capacity::{Capacity, Place};
use crate::counters::{Counters, Counts};
use crate::fast_parser::HeadCache;
use crate::faults::{Fault, HandshakeFault};
use crate::page::{Bodies, Date, Pages};
use crate::schedule::Schedule;
use crate::tls::Handshake;
use flowtest_contract::header::{Flip, Platform, Version};
use flowtest_contract::rules::UtcUs;
use std::sync::Arc;

/// Which values are due when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedules {
    pub version: Schedule<Version>,
    pub from: Schedule<Platform>,
}

impl Schedules {
    /// Microseconds until the next flip of either.
    pub fn change_in(&self, now: UtcUs) -> Option<u64> {
        let changes = [self.version.changes_in(now), self.from.changes_in(now)];
        changes.into_iter().flatten().min()
    }
}

/// What all workers answer alike.
#[derive(Clone, Debug)]
pub struct Common {
    pub bodies: Bodies,
    pub schedules: Schedules,
    pub team: Option<Arc<str>>,
    pub counters: Arc<Counters>,
}

/// Owned by one worker thread; nothing here is shared but `counters`.
#[derive(Debug)]
pub struct Responder {
    pub pages: Pages,
    pub head_cache: HeadCache,
    pub counts: Counts,
    counters: Arc<Counters>,
    worker: usize,
    schedules: Schedules,
    /// Whether a request has to be shown to the faults at all.
    faulty: bool,
    capacity: Option<Arc<Capacity>>,
    /// On the clock of `capacity`, as of the bytes at hand.
    now_ns: u64,
    /// Stopping: responses say `Connection: close`.
    pub draining: bool,
}

impl Responder {
    pub fn new(common: Common, worker: usize, now: UtcUs) -> Responder {
        let Common { bodies, schedules, team, counters } = common;
        let (version, from) = (schedules.version.at(now), schedules.from.at(now));
        Responder {
            pages: Pages::new(bodies, date(now), version, from, team),
            head_cache: HeadCache::default(),
            counts: Counts::default(),
            faulty: !counters.faults.is_none(),
            capacity: counters.capacity.clone(),
            now_ns: 0,
            counters,
            worker,
            schedules,
            draining: false,
        }
    }

    /// Brings date and values up to now.
    pub fn refresh(&mut self, now: UtcUs) {
        self.pages.refresh(date(now), self.schedules.version.at(now), self.schedules.from.at(now));
    }

    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// Takes note of the time, where a place in the queue depends on it: once for the bytes of one read.
    #[inline]
    pub fn read_clock(&mut self) {
        if let Some(capacity) = &self.capacity {
            self.now_ns = capacity.now_ns();
        }
    }

    /// Whether a page may be sent now; `None` without a capacity.
    #[inline]
    pub fn place(&self) -> Option<Place> {
        self.capacity.as_ref().map(|capacity| capacity.take(self.now_ns))
    }

    /// Counts a good request with a token, and says what goes wrong with it.
    #[inline]
    pub fn fault(&mut self) -> Option<Fault> {
        self.counts.tokens += 1;
        if self.faulty { self.counters.faults.next() } else { None }
    }

    /// Counts a handshake that begins, and says what goes wrong with it.
    pub fn handshake_fault(&self) -> Option<HandshakeFault> {
        self.counters.faults.next_handshake()
    }

    /// Counts a handshake that has come to its end; `None`: it failed.
    pub fn count_handshake(&self, handshake: Option<Handshake>) {
        if let Some(counts) = &self.counters.tls {
            counts.count(handshake);
        }
    }

    #[inline]
    pub fn publish(&self) {
        self.counters.of(self.worker).publish(&self.counts);
    }

    pub fn metrics(&self) -> String {
        self.publish();
        self.counters.to_prometheus()
    }

    pub fn health(&self) -> String {
        self.publish();
        let status = if self.draining { "draining" } else { "ok" };
        let (version, from) = (self.pages.version().as_str(), self.pages.from().as_str());
        self.counters.to_json(status, version, from).to_string()
    }
}

/// The Date header of an instant. Years past 9999 have none; the epoch stands in for them.
fn date(now: UtcUs) -> Date {
    const EPOCH: Date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    i64::try_from(now.0)
        .ok()
        .and_then(|us| jiff::Timestamp::from_microsecond(us).ok())
        .and_then(|now| jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok())
        .and_then(|text| text.into_bytes().try_into().ok())
        .unwrap_or(EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_imf_fixdates() {
        assert_eq!(&date(UtcUs(784_111_777_000_000)), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&date(UtcUs::MAX), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn the_next_flip_is_the_nearer_one() {
        let version = Schedule::FlipsAt(UtcUs(50));
        let schedules = Schedules { version, from: Schedule::FlipsAt(UtcUs(30)) };
        assert_eq!(schedules.change_in(UtcUs(10)), Some(20));
        assert_eq!(schedules.change_in(UtcUs(30)), Some(20));
        assert_eq!(schedules.change_in(UtcUs(50)), None);
    }
}
