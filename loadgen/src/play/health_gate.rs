//! Who is worth a flood: a contestant that was asked for ten seconds and gave no answer with the right token gets one probe
//! a second until it answers again, so that nobody floods a stranger or a dead host. Pure.
//!
//! What an answer is worth is another matter: who misses a flip is alive. And silence is only what follows a request: while
//! nothing is sent to a contestant (a pause, a park, a halt, somebody else's share) its clock rests, and what comes after
//! begins with the flood.

use crate::engine::block::Block;
use crate::engine::clock::RunInstant;
use crate::engine::index::{ContestantIndex, Key, Table};
use crate::engine::plan::{NS_PER_SECOND, Plan, TrafficMode};

/// Asked for so long without an answer, in nanoseconds, a contestant falls to probes.
const SILENCE_NS: u64 = 10 * NS_PER_SECOND;
/// A look counts for so long at the most: we may have stood still ourselves since the one before.
const LOOK_NS_MAX: u64 = NS_PER_SECOND;
/// Answers that bring the flood back.
const ANSWERS_AGAIN: u64 = 3;

/// What has been counted of a contestant until a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests that the kernel took, and connections that were not made for one.
    pub asked: u64,
    /// Well-framed 2xx answers with the right token.
    pub alive: u64,
}

impl Counted {
    /// Of all workers, in scored phases and others.
    pub fn of(sums: &Block, contestant: ContestantIndex) -> Counted {
        let tallies = sums.of(contestant).map(|counts| &counts.row.tally);
        Counted {
            asked: tallies.iter().map(|tally| tally.sent + tally.resent + tally.refused + tally.timeout).sum(),
            alive: tallies.iter().map(|tally| tally.token_right).sum(),
        }
    }
}

/// What is known of one contestant.
#[derive(Clone, Copy, Debug, Default)]
struct ContestantHealth {
    /// At the last look while it was flooded; none before the first of a flood.
    last: Option<(RunInstant, Counted)>,
    /// The last look that found a new request.
    asked_at: RunInstant,
    /// How long it has been asked since it last answered.
    silent_ns: u64,
    /// While it only gets probes: since when, and its answers by then.
    probed: Option<(RunInstant, u64)>,
}

/// All contestants of a round.
#[derive(Clone, Debug)]
pub struct HealthGate {
    contestants: Table<ContestantIndex, ContestantHealth>,
    /// A request may be answered for so long.
    timeout: u64,
}

impl HealthGate {
    pub fn new(contestants: usize, timeout: u64) -> HealthGate {
        HealthGate { contestants: Table::filled(ContestantHealth::default(), contestants), timeout }
    }

    /// What a contestant gets begins anew, with the flood: it was admitted, or may be flooded again.
    pub fn restart(&mut self, contestant: ContestantIndex) {
        self.contestants[contestant] = ContestantHealth::default();
    }

    /// What a contestant gets.
    pub fn traffic(&self, contestant: ContestantIndex) -> TrafficMode {
        self.contestants[contestant].probed.map_or(TrafficMode::Flood, |(since, _)| TrafficMode::Probe { since })
    }

    /// Looks at everybody; says whether anybody gets something else now. `resting`: nothing is sent to anybody.
    pub fn look_at_all(&mut self, now: RunInstant, plan: &Plan, resting: bool, sums: &Block) -> bool {
        let resting = resting || plan.schedule.is_paused(now);
        let mut changed = false;
        for (index, contestant) in ContestantIndex::all().zip(plan.contestants.iter()) {
            let before = self.traffic(index);
            let flooded = !resting && contestant.traffic != TrafficMode::Halted;
            changed |= self.look(index, now, flooded, Counted::of(sums, index)) != before;
        }
        changed
    }

    /// Looks at a contestant; says what it gets. `flooded`: requests may be sent to it now, were it alive.
    pub fn look(
        &mut self,
        contestant: ContestantIndex,
        now: RunInstant,
        flooded: bool,
        counted: Counted,
    ) -> TrafficMode {
        if !flooded {
            self.restart(contestant);
            return TrafficMode::Flood;
        }
        let health = &mut self.contestants[contestant];
        if let Some((looked_at, last)) = health.last.replace((now, counted)) {
            if counted.asked > last.asked {
                health.asked_at = now;
            }
            if counted.alive > last.alive {
                health.silent_ns = 0;
            } else if now <= health.asked_at + self.timeout && counted.asked > 0 {
                health.silent_ns += (now - looked_at).min(LOOK_NS_MAX);
            }
        } else {
            health.asked_at = now;
        }
        match health.probed {
            Some((_, alive)) if counted.alive >= alive + ANSWERS_AGAIN => {
                (health.probed, health.silent_ns) = (None, 0);
            }
            None if health.silent_ns >= SILENCE_NS => health.probed = Some((now, counted.alive)),
            Some(_) | None => {}
        }
        self.traffic(contestant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = NS_PER_SECOND;

    /// So many tenths of a second after the start.
    fn at(tenth: u64) -> RunInstant {
        RunInstant::from_ns(tenth * SECOND / 10)
    }

    fn counted(asked: u64, alive: u64) -> Counted {
        Counted { asked, alive }
    }

    struct Contestant {
        gate: HealthGate,
        asked: u64,
        alive: u64,
    }

    impl Contestant {
        fn new() -> Contestant {
            Contestant { gate: HealthGate::new(1, 3 * SECOND), asked: 0, alive: 0 }
        }

        /// Looks at each of these tenths of a second, in which so much is asked and answered; says what it gets at the end.
        fn go(&mut self, tenths: std::ops::Range<u64>, flooded: bool, asked: u64, alive: u64) -> TrafficMode {
            let mut traffic = TrafficMode::Flood;
            for tenth in tenths {
                self.asked += asked;
                self.alive += alive;
                let counted = counted(self.asked, self.alive);
                traffic = self.gate.look(ContestantIndex::FIRST, at(tenth), flooded, counted);
            }
            traffic
        }
    }

    #[test]
    fn ten_seconds_of_asking_without_an_answer_are_enough_and_three_answers_bring_the_flood_back() {
        let mut it = Contestant::new();
        assert_eq!(it.go(0..50, true, 10, 10), TrafficMode::Flood);
        assert_eq!(it.go(50..149, true, 10, 0), TrafficMode::Flood);
        assert_eq!(it.go(149..150, true, 10, 0), TrafficMode::Probe { since: at(149) });
        assert_eq!(it.go(150..152, true, 0, 1), TrafficMode::Probe { since: at(149) });
        assert_eq!(it.go(152..153, true, 0, 1), TrafficMode::Flood);
        assert_eq!(it.go(153..250, true, 10, 0), TrafficMode::Flood, "it has ten seconds again");
    }

    #[test]
    fn no_rest_of_ours_is_silence() {
        for rest in [160, 600, 36_000] {
            let mut it = Contestant::new();
            it.go(0..50, true, 10, 10);
            // The last requests have no answer yet when the rest begins, and none comes in it: they were timeouts.
            it.go(50..55, true, 10, 0);
            it.go(55..55 + rest, false, 0, 0);
            let end = 55 + rest;
            assert_eq!(it.go(end..end + 99, true, 10, 0), TrafficMode::Flood, "after {rest} tenths");
            // The same without anybody saying so: nothing is sent, for whatever reason.
            let mut it = Contestant::new();
            it.go(0..50, true, 10, 10);
            it.go(50..50 + rest, true, 0, 0);
            let end = 50 + rest;
            assert_eq!(it.go(end..end + 65, true, 10, 0), TrafficMode::Flood, "after {rest} tenths");
        }
    }

    #[test]
    fn who_was_probed_is_flooded_after_a_rest() {
        let mut it = Contestant::new();
        assert!(matches!(it.go(0..200, true, 10, 0), TrafficMode::Probe { .. }));
        assert_eq!(it.go(200..201, false, 0, 0), TrafficMode::Flood);
        assert_eq!(it.go(201..290, true, 10, 0), TrafficMode::Flood);
    }

    #[test]
    fn a_look_that_comes_late_is_no_silence() {
        let mut gate = HealthGate::new(1, 3 * SECOND);
        gate.look(ContestantIndex::FIRST, at(0), true, counted(1, 1));
        // Sixteen seconds later the round has rested and gone on, and nobody looked.
        assert_eq!(gate.look(ContestantIndex::FIRST, at(160), true, counted(9, 1)), TrafficMode::Flood);
    }

    proptest! {
        /// However a round rests, whoever answers within two seconds what it is asked is never taken for dead.
        #[test]
        fn whoever_answers_is_flooded(
            steps in proptest::collection::vec((1u64..300, any::<bool>(), any::<bool>(), 0u64..20), 1..20),
            delay in 0usize..20,
        ) {
            let mut gate = HealthGate::new(1, 3 * SECOND);
            let (mut tenth, mut sent, mut alive) = (0, 0, 0);
            let mut under_way = vec![0; delay + 1];
            for (length, flooded, asked, rate) in steps {
                for _ in 0..length {
                    tenth += 1;
                    let new = if flooded && asked { rate } else { 0 };
                    sent += new;
                    under_way.push(new);
                    alive += under_way.remove(0);
                    let traffic = gate.look(ContestantIndex::FIRST, at(tenth), flooded, counted(sent, alive));
                    prop_assert_eq!(traffic, TrafficMode::Flood);
                }
            }
        }
    }
}
