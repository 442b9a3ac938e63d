//! Why exchanges failed, more exactly than the tally says it: which status, what was malformed. Counted, never sampled.
//!
//! The room is there from the start and never grows. What finds none is counted together.

use crate::engine::clock::RunInstant;
use crate::engine::http::Malformed;
use crate::engine::index::ContestantIndex;
use crate::engine::tls::TlsReason;
use flowtest_journal::record::LateCause;

/// A cause behind one kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A status that is not 2xx.
    Status(u16),
    /// What was wrong with the answer; none: an answer before it on the same connection was malformed.
    Malformed(Option<Malformed>),
    /// What was wrong with TLS; none: a connection before it on which the request stood.
    Tls(Option<TlsReason>),
}

/// What of our own makes an exchange void, or late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnCause {
    /// As the journal has it.
    Late(LateCause),
    /// No local port was left towards a server.
    Ports,
    Descriptors,
    Memory,
    /// A firewall of our own machine forbade it.
    Forbidden,
    /// Our own machine has no way to a server.
    Route,
    /// Our own machine knows no authority by which it could trust a server.
    Trust,
}

impl OwnCause {
    /// Of an errno that is [our own fault](crate::engine::contestant::meaning).
    pub fn of_errno(errno: i32) -> OwnCause {
        match errno {
            libc::EADDRNOTAVAIL => OwnCause::Ports,
            libc::EMFILE | libc::ENFILE => OwnCause::Descriptors,
            libc::ENOMEM | libc::ENOBUFS => OwnCause::Memory,
            libc::EPERM => OwnCause::Forbidden,
            libc::ENETUNREACH | libc::ENETDOWN => OwnCause::Route,
            _ => OwnCause::Late(LateCause::Resources),
        }
    }

    /// As the journal has it.
    pub fn recorded(self) -> LateCause {
        match self {
            OwnCause::Late(cause) => cause,
            OwnCause::Ports
            | OwnCause::Descriptors
            | OwnCause::Memory
            | OwnCause::Forbidden
            | OwnCause::Route
            | OwnCause::Trust => LateCause::Resources,
        }
    }
}

/// What was the matter with us last. What voided an exchange is told before what only made turns late, and either before what an
/// organiser changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnTrouble {
    pub is_void: bool,
    pub at: RunInstant,
    pub cause: OwnCause,
}

impl OwnTrouble {
    /// Of two the one to be told.
    pub fn newer(one: Option<OwnTrouble>, other: Option<OwnTrouble>) -> Option<OwnTrouble> {
        let is_ordered = |trouble: &OwnTrouble| trouble.cause == OwnCause::Late(LateCause::Control);
        let key = |trouble: &OwnTrouble| (!is_ordered(trouble), trouble.is_void, trouble.at);
        one.into_iter().chain(other).max_by_key(key)
    }
}

/// One cause at one contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub contestant: ContestantIndex,
    pub cause: Cause,
    pub count: u64,
}

/// Causes that are told apart: several for each of some dozen endpoints. Looking through all costs less than an answer.
pub const CAUSES: usize = 128;

/// The causes of scored exchanges.
#[derive(Clone, Debug, Default)]
pub struct Causes {
    counted: Vec<Counted>,
    /// Those for which no room was left.
    pub others: u64,
}

impl Causes {
    pub fn with_room() -> Causes {
        Causes { counted: Vec::with_capacity(CAUSES), others: 0 }
    }

    #[cold]
    pub fn add(&mut self, contestant: ContestantIndex, cause: Cause, count: u64) {
        let is_same = |known: &Counted| known.contestant == contestant && known.cause == cause;
        match self.counted.iter().position(is_same) {
            Some(place) => self.counted[place].count += count,
            None if self.counted.len() < CAUSES => self.counted.push(Counted { contestant, cause, count }),
            None => self.others += count,
        }
    }

    pub fn merge(&mut self, other: &Causes) {
        other.counted.iter().for_each(|more| self.add(more.contestant, more.cause, more.count));
        self.others += other.others;
    }

    pub fn clear(&mut self) {
        self.counted.clear();
        self.others = 0;
    }

    pub fn as_slice(&self) -> &[Counted] {
        &self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_add_up_and_what_finds_no_room_is_counted_together() {
        let first = ContestantIndex::FIRST;
        let (mut causes, mut sum) = (Causes::with_room(), Causes::with_room());
        for status in 0..CAUSES as u16 + 2 {
            causes.add(first, Cause::Status(status), 1);
        }
        sum.merge(&causes);
        sum.merge(&causes);
        assert_eq!((sum.as_slice().len(), sum.others), (CAUSES, 4));
        assert!(sum.as_slice().iter().all(|counted| counted.count == 2));
        causes.clear();
        assert!(causes.as_slice().is_empty() && causes.others == 0);
    }

    #[test]
    fn what_an_organiser_changed_is_told_only_where_nothing_else_was_the_matter() {
        let trouble = |second: u64, is_void, cause| {
            Some(OwnTrouble { is_void, at: RunInstant::from_ns(second * 1_000_000_000), cause: OwnCause::Late(cause) })
        };
        let (parked, late) = (trouble(5, true, LateCause::Control), trouble(20, false, LateCause::Gap));
        assert_eq!(OwnTrouble::newer(parked, late), late);
        assert_eq!(OwnTrouble::newer(late, trouble(30, true, LateCause::Control)), late);
        assert_eq!(OwnTrouble::newer(parked, None), parked);
        let void = trouble(10, true, LateCause::Gap);
        assert_eq!(OwnTrouble::newer(void, late), void);
    }
}
