//! Equal shares of a worker's time in closed loop: round robin with a quantum. Pure.
//!
//! In closed loop a contestant gets its next request when an answer has come, so whoever's answers cost us much time, by
//! their bytes or by a connection for each, would take that time from its rivals. So a turn begins requests of a contestant
//! for at most a quantum of our time; what it could begin beyond that waits for the next turn, which follows at once. The
//! quantum is what the most modest contestant takes in a turn, and at least its part of a tenth of a millisecond: whoever
//! needs less than others gets all it needs, and time that nobody else wants is not lost. When all would take more than the
//! quantum it grows, for then its size is no matter of fairness, and few long turns cost less than many short ones.
//!
//! What a request costs is what the contestant's last ones did, by what was measured of sends, receives, bytes, records and connects.

use crate::engine::clock::RunInstant;
use crate::engine::cost::{CONNECTION_NS, REQUEST_NS, handshake_ns, receive_ns, records_ns};
use crate::engine::index::{ContestantIndex, Table};

/// What the contestants of a turn may use together, at least.
const TURN_NS: u64 = 100_000;
/// What one of them may use in a turn, at most.
const QUANTUM_MAX_NS: u64 = 1_000_000;
/// How often the quantum is reckoned; whoever began nothing for so long leaves all to the others.
const PERIOD_NS: u64 = 10_000_000;
/// The cost of a request is a mean over about so many.
const MEAN_OF: u64 = 64;

/// What one contestant costs, and what it has had.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// Of the last `requests`.
    spent: u64,
    requests: u64,
    /// In the turn of this number; what one request was beyond a quantum is taken from those that follow.
    turn: u64,
    begun: u64,
    /// The last turn in which it began any.
    turn_begun: u64,
    /// In this period: in all, and in how many turns.
    total: u64,
    turns: u64,
    is_held: bool,
    is_active: bool,
}

impl Use {
    fn enter(&mut self, turn: u64, each: u64) {
        if self.turn != turn {
            // The quantum may have been another one then.
            let most = each.saturating_add(self.request_ns());
            self.begun = self.begun.min(most).saturating_sub(each.saturating_mul(turn - self.turn));
            self.turn = turn;
        }
    }

    fn request_ns(&self) -> u64 {
        self.spent.checked_div(self.requests).unwrap_or(REQUEST_NS)
    }
}

/// The shares of a worker's turns.
#[derive(Debug)]
pub struct Quantum {
    uses: Table<ContestantIndex, Use>,
    /// Who has begun requests in this period, or would have, each once.
    active: Vec<ContestantIndex>,
    /// What each may begin in a turn.
    each: u64,
    turn: u64,
    period_at: RunInstant,
}

impl Quantum {
    pub fn new(contestants: usize) -> Quantum {
        Quantum {
            uses: Table::filled(Use::default(), contestants),
            active: Vec::with_capacity(contestants),
            each: u64::MAX,
            turn: 1,
            period_at: RunInstant::START,
        }
    }

    /// There are so many contestants now.
    pub fn grow(&mut self, contestants: usize) {
        self.uses.grow(contestants, Use::default());
    }

    /// A turn begins.
    #[inline]
    pub fn on_turn(&mut self, now: RunInstant) {
        self.turn += 1;
        if now >= self.period_at {
            self.period_at = now + PERIOD_NS;
            self.on_period();
        }
    }

    fn on_period(&mut self) {
        let modest = (self.active.iter().map(|index| &self.uses[*index]).filter(|used| !used.is_held))
            .map(|used| used.total / used.turns.max(1))
            .min();
        self.each = match self.active.len() as u64 {
            0 | 1 => u64::MAX,
            active => modest.unwrap_or(self.each.saturating_mul(2)).clamp(TURN_NS / active, QUANTUM_MAX_NS),
        };
        for index in self.active.drain(..) {
            let used = &mut self.uses[index];
            (used.total, used.turns, used.is_held, used.is_active) = (0, 0, false, false);
        }
    }

    /// Whether a contestant has had its part of this turn; then it waits.
    #[inline]
    pub fn is_used_up(&mut self, index: ContestantIndex) -> bool {
        let used = &mut self.uses[index];
        used.enter(self.turn, self.each);
        let is_used_up = used.begun >= self.each;
        if is_used_up {
            used.is_held = true;
            self.is_active(index);
        }
        is_used_up
    }

    /// So many requests of it are begun.
    #[inline]
    pub fn on_begun(&mut self, index: ContestantIndex, requests: u64) {
        if requests == 0 {
            return;
        }
        let used = &mut self.uses[index];
        used.enter(self.turn, self.each);
        used.turns += u64::from(std::mem::replace(&mut used.turn_begun, self.turn) != self.turn);
        let cost = requests * used.request_ns();
        used.begun += cost;
        used.total += cost;
        used.spent += requests * REQUEST_NS;
        used.requests += requests;
        if used.requests >= 2 * MEAN_OF {
            (used.spent, used.requests) = (used.spent / 2, used.requests / 2);
        }
        self.is_active(index);
    }

    fn is_active(&mut self, index: ContestantIndex) {
        if !std::mem::replace(&mut self.uses[index].is_active, true) {
            self.active.push(index);
        }
    }

    #[inline]
    pub fn on_received(&mut self, index: ContestantIndex, bytes: usize) {
        self.uses[index].spent += receive_ns(bytes);
    }

    #[inline]
    pub fn on_records(&mut self, index: ContestantIndex, records: usize) {
        self.uses[index].spent += records_ns(records);
    }

    pub fn on_handshake(&mut self, index: ContestantIndex, took_ns: u64) {
        self.uses[index].spent += handshake_ns(took_ns);
    }

    pub fn on_opening(&mut self, index: ContestantIndex) {
        self.uses[index].spent += CONNECTION_NS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::index::Key;

    const MODEST: ContestantIndex = ContestantIndex::FIRST;

    fn large() -> ContestantIndex {
        ContestantIndex::from_index(1)
    }

    /// Turns of a millisecond, in which each begins so many requests, or as many as it may; how many in the last.
    fn turns(quantum: &mut Quantum, from: u64, count: u64, wanted: [u64; 2]) -> [u64; 2] {
        let mut begun = [0; 2];
        for turn in from..from + count {
            quantum.on_turn(RunInstant::from_ns(turn * 1_000_000));
            for (index, (wanted, begun)) in [MODEST, large()].into_iter().zip(wanted.into_iter().zip(&mut begun)) {
                *begun = 0;
                while *begun < wanted && !quantum.is_used_up(index) {
                    quantum.on_begun(index, 1);
                    *begun += 1;
                }
            }
        }
        begun
    }

    #[test]
    fn alone_there_is_no_limit_and_beside_others_there_is_a_quantum() {
        let mut quantum = Quantum::new(2);
        assert_eq!(turns(&mut quantum, 0, 100, [0, 1_000]), [0, 1_000]);
        // As much as the modest one; at least half of the least turn.
        assert_eq!(turns(&mut quantum, 100, 100, [30, 1_000]), [30, 30]);
        assert_eq!(turns(&mut quantum, 200, 100, [3, 1_000]), [3, 10]);
        // When both want all, both get more of a turn.
        assert_eq!(turns(&mut quantum, 300, 200, [1_000, 1_000]), [200, 200]);
        // And when the other has gone, all.
        assert_eq!(turns(&mut quantum, 500, 100, [0, 1_000]), [0, 1_000]);
    }

    #[test]
    fn a_request_costs_what_its_answers_did() {
        let mut quantum = Quantum::new(2);
        for _ in 0..1_000 {
            quantum.on_begun(large(), 1);
            for _ in 0..30 {
                quantum.on_received(large(), 2_000);
            }
        }
        let cost = quantum.uses[large()].request_ns();
        assert!((70_000..80_000).contains(&cost), "{cost}");
        // So do a hundred records of TLS, few bytes as they have.
        for _ in 0..1_000 {
            quantum.on_begun(MODEST, 1);
            quantum.on_records(MODEST, 100);
        }
        let cost = quantum.uses[MODEST].request_ns();
        assert!((35_000..42_000).contains(&cost), "{cost}");
        // By and by it is what they are now.
        quantum.on_begun(large(), 1_000);
        for _ in 0..10 {
            quantum.on_begun(large(), 200);
        }
        assert!(quantum.uses[large()].request_ns() < 6_000);
    }
}
