//! Which addresses are worth a flood: one that was asked for ten seconds and gave no answer with the right token gets one probe
//! a second until it has answered three of them, so that nobody floods a stranger or a dead host. Pure.
//!
//! Each address of a contestant has its own health and loses it alone. While others answer, these get all that falls due, and
//! the silent one is asked beside the flood; when none answers, the flood itself falls to one request a second.
//!
//! What an answer is worth is another matter: who misses a flip is alive. And silence is only what follows a request: while
//! nothing is sent to a contestant (a pause, a park, a halt, somebody else's share) its clock rests, and what comes after
//! begins with the flood. It rests as well while all that comes of its requests is our own fault.

use crate::engine::clock::RunInstant;
use crate::engine::index::{ContestantIndex, Key, Table};
use crate::engine::plan::{AddressCounts, NS_PER_SECOND, Plan, Target, TrafficMode};
use std::net::SocketAddr;

/// Asked for so long without an answer, in nanoseconds, an address falls to probes.
const SILENCE_NS: u64 = 10 * NS_PER_SECOND;
/// A look counts for so long at the most: we may have stood still ourselves since the one before.
const LOOK_NS_MAX: u64 = NS_PER_SECOND;
/// Answers that bring the flood back.
pub const ANSWERS_AGAIN: u64 = 3;

/// What is known of one address.
#[derive(Clone, Copy, Debug, Default)]
struct AddressHealth {
    /// At the last look while it was flooded; none before the first of a flood.
    last: Option<(RunInstant, AddressCounts)>,
    /// The last look that found a new outcome; none before the first of a flood, since what was asked earlier says nothing of what
    /// is asked now, and since what was found was our own fault and nothing else.
    asked_at: Option<RunInstant>,
    /// How long it has been asked since it last answered.
    silent_ns: u64,
    /// While it only gets probes: since when, and its answers by then.
    probed: Option<(RunInstant, u64)>,
}

impl AddressHealth {
    /// Looks at what has been counted by now. A request may be answered for `timeout`.
    fn look(&mut self, now: RunInstant, counted: AddressCounts, timeout: u64) {
        if let Some((looked_at, last)) = self.last.replace((now, counted)) {
            if counted.asked > last.asked {
                self.asked_at = Some(now);
            } else if counted.own > last.own {
                self.asked_at = None;
            }
            if counted.alive > last.alive {
                self.silent_ns = 0;
            } else if self.asked_at.is_some_and(|asked_at| now <= asked_at + timeout) {
                self.silent_ns += (now - looked_at).min(LOOK_NS_MAX);
            }
        }
        match self.probed {
            Some((_, alive)) if counted.alive >= alive + ANSWERS_AGAIN => self.revive(),
            None if self.silent_ns >= SILENCE_NS => self.probed = Some((now, counted.alive)),
            Some(_) | None => {}
        }
    }

    fn revive(&mut self) {
        (self.probed, self.silent_ns) = (None, 0);
    }

    /// It was silent when the round began, and is still: it gets nothing of the flood before it has answered.
    fn never_answered(&self) -> bool {
        self.probed.is_some_and(|(since, _)| since == RunInstant::START)
    }
}

/// All contestants of a round.
#[derive(Clone, Debug)]
pub struct HealthGate {
    /// Each with the addresses that it had at the last look.
    contestants: Table<ContestantIndex, Vec<(SocketAddr, AddressHealth)>>,
    /// A request may be answered for so long.
    timeout: u64,
}

impl HealthGate {
    /// Of a plan that begins: addresses that are silent in it get nothing but probes from the first request on.
    pub fn of(plan: &Plan) -> HealthGate {
        let begin = |target: &Target| {
            let probed = target.is_silent.then_some((RunInstant::START, 0));
            (target.address, AddressHealth { probed, ..AddressHealth::default() })
        };
        let contestants = plan.contestants.iter().map(|contestant| contestant.addresses.iter().map(begin).collect());
        HealthGate { contestants: contestants.collect(), timeout: plan.timeout() }
    }

    /// There are so many contestants now.
    pub fn grow(&mut self, contestants: usize) {
        self.contestants.grow(contestants, Vec::new());
    }

    /// What a contestant gets begins anew, with the flood: it was admitted, or may be flooded again.
    pub fn restart(&mut self, contestant: ContestantIndex) {
        self.contestants[contestant].clear();
    }

    /// Since when an address gets nothing but probes.
    pub fn silent_since(&self, contestant: ContestantIndex, address: SocketAddr) -> Option<RunInstant> {
        let (_, health) = self.contestants[contestant].iter().find(|(known, _)| *known == address)?;
        health.probed.map(|(since, _)| since)
    }

    /// Whether it has looked at an address since something is sent to its contestant.
    pub fn has_seen(&self, contestant: ContestantIndex, address: SocketAddr) -> bool {
        self.contestants[contestant].iter().any(|(known, _)| *known == address)
    }

    /// An address has answered what it was asked beside the flood.
    pub fn revive(&mut self, contestant: ContestantIndex, address: SocketAddr) {
        let known = self.contestants[contestant].iter_mut().find(|(known, _)| *known == address);
        if let Some((_, health)) = known {
            health.revive();
        }
    }

    /// What a contestant gets that has these addresses: probes when all of them are silent.
    pub fn traffic(&self, contestant: ContestantIndex, targets: &[Target]) -> TrafficMode {
        let silent = targets.iter().map(|target| self.silent_since(contestant, target.address));
        let since = silent.reduce(|one, other| Some(one?.max(other?))).flatten();
        since.map_or(TrafficMode::Flood, |since| TrafficMode::Probe { since })
    }

    /// Looks at everybody; says whether an address gets something else now. `resting`: nothing is sent to anybody.
    pub fn look_at_all(&mut self, now: RunInstant, plan: &Plan, resting: bool) -> bool {
        let resting = resting || plan.schedule.is_paused(now);
        let mut changed = false;
        for (index, contestant) in ContestantIndex::all().zip(plan.contestants.iter()) {
            let flooded = !resting && contestant.traffic.sends();
            let counted = contestant.addresses.iter().map(|target| (target.address, target.meter.counts()));
            changed |= self.look(index, now, flooded, counted);
        }
        changed
    }

    /// Looks at a contestant; says whether one of its addresses gets something else now. `flooded`: requests may be sent to it
    /// now, were it alive.
    fn look(
        &mut self,
        contestant: ContestantIndex,
        now: RunInstant,
        flooded: bool,
        counted: impl Iterator<Item = (SocketAddr, AddressCounts)>,
    ) -> bool {
        let known = &mut self.contestants[contestant];
        if !flooded {
            let had_silent = known.iter().any(|(_, health)| health.probed.is_some() && !health.never_answered());
            known.retain(|(_, health)| health.never_answered());
            return had_silent;
        }
        let mut changed = false;
        let before = std::mem::take(known);
        for (place, (address, counted)) in counted.enumerate() {
            // As a rule they are the same as before, in the same order.
            let same = before.get(place).filter(|(known, _)| *known == address);
            let same = same.or_else(|| before.iter().find(|(known, _)| *known == address));
            let mut health = same.map_or_else(AddressHealth::default, |(_, health)| *health);
            let was_silent = health.probed.is_some();
            health.look(now, counted, self.timeout);
            changed |= health.probed.is_some() != was_silent;
            known.push((address, health));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::plan::contestant;
    use proptest::prelude::*;

    const SECOND: u64 = NS_PER_SECOND;

    /// So many tenths of a second after the start.
    fn at(tenth: u64) -> RunInstant {
        RunInstant::from_ns(tenth * SECOND / 10)
    }

    fn counted(asked: u64, alive: u64) -> AddressCounts {
        AddressCounts { asked, alive, own: 0 }
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 80))
    }

    impl HealthGate {
        /// Of one contestant.
        fn new(timeout: u64) -> HealthGate {
            HealthGate { contestants: Table::filled(Vec::new(), 1), timeout }
        }

        /// Looks at a contestant of one address; says what it gets.
        fn one(&mut self, now: RunInstant, flooded: bool, counted: AddressCounts) -> TrafficMode {
            self.look(ContestantIndex::FIRST, now, flooded, [(address(1), counted)].into_iter());
            self.traffic(ContestantIndex::FIRST, &[Target::new(address(1))])
        }
    }

    struct Contestant {
        gate: HealthGate,
        asked: u64,
        alive: u64,
    }

    impl Contestant {
        fn new() -> Contestant {
            Contestant { gate: HealthGate::new(3 * SECOND), asked: 0, alive: 0 }
        }

        /// Looks at each of these tenths of a second, in which so much is asked and answered; says what it gets at the end.
        fn go(&mut self, tenths: std::ops::Range<u64>, flooded: bool, asked: u64, alive: u64) -> TrafficMode {
            let mut traffic = TrafficMode::Flood;
            for tenth in tenths {
                self.asked += asked;
                self.alive += alive;
                let counted = counted(self.asked, self.alive);
                traffic = self.gate.one(at(tenth), flooded, counted);
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
    fn what_is_our_own_fault_is_no_silence() {
        let mut gate = HealthGate::new(60 * SECOND);
        let mut look = |tenths: std::ops::Range<u64>, asked: u64, alive: u64, own: fn(u64) -> u64| {
            let looks = tenths.map(|tenth| gate.one(at(tenth), true, AddressCounts { asked, alive, own: own(tenth) }));
            looks.last().expect("a look")
        };
        look(0..2, 10, 10, |_| 0);
        // The timeout is a minute, and nothing but faults of ours comes, now and then.
        assert_eq!(look(2..500, 10, 10, |tenth| tenth / 2), TrafficMode::Flood);
        // The first that is none is a question again.
        assert_eq!(look(500..599, 11, 10, |_| 250), TrafficMode::Flood);
        assert_eq!(look(599..600, 11, 10, |_| 250), TrafficMode::Probe { since: at(599) });
    }

    #[test]
    fn whoever_takes_longer_than_ten_seconds_within_its_timeout_is_not_silent_after_a_rest() {
        let mut gate = HealthGate::new(30 * SECOND);
        // Each answer takes 12 seconds, so that none comes for so long behind the rest, and nothing is known of it before.
        for (tenths, flooded, outcomes) in
            [(0..120, true, 0), (120..200, true, 50), (200..400, false, 50), (400..520, true, 50)]
        {
            for tenth in tenths {
                assert_eq!(gate.one(at(tenth), flooded, counted(outcomes, outcomes)), TrafficMode::Flood, "at {tenth}");
            }
        }
        // Once something of it has failed, ten seconds are enough, as at the start.
        let mut traffic = |tenth: u64| gate.one(at(tenth), true, counted(60, 50));
        assert_eq!((520..619).map(&mut traffic).last(), Some(TrafficMode::Flood));
        assert!(matches!(traffic(619), TrafficMode::Probe { .. }));
    }

    #[test]
    fn who_was_probed_is_flooded_after_a_rest() {
        let mut it = Contestant::new();
        assert!(matches!(it.go(0..200, true, 10, 0), TrafficMode::Probe { .. }));
        assert!(it.gate.has_seen(ContestantIndex::FIRST, address(1)));
        assert_eq!(it.go(200..201, false, 0, 0), TrafficMode::Flood);
        // That is no answer of its own, and is not told as one.
        assert!(!it.gate.has_seen(ContestantIndex::FIRST, address(1)));
        assert_eq!(it.go(201..290, true, 10, 0), TrafficMode::Flood);
    }

    #[test]
    fn a_look_that_comes_late_is_no_silence() {
        let mut gate = HealthGate::new(3 * SECOND);
        gate.one(at(0), true, counted(1, 1));
        // Sixteen seconds later the round has rested and gone on, and nobody looked.
        assert_eq!(gate.one(at(160), true, counted(9, 1)), TrafficMode::Flood);
    }

    #[test]
    fn an_address_loses_its_health_alone_and_gets_it_back_by_answers_of_its_own() {
        let (mut gate, both) = (HealthGate::new(3 * SECOND), [address(1), address(2)].map(Target::new));
        let look = |gate: &mut HealthGate, tenth: u64, alive: [u64; 2]| {
            let counted = [0, 1].map(|place| (both[place].address, counted(10 * (tenth + 1), alive[place])));
            gate.look(ContestantIndex::FIRST, at(tenth), true, counted.into_iter())
        };
        let silent = |gate: &HealthGate| {
            [address(1), address(2)].map(|address| gate.silent_since(ContestantIndex::FIRST, address).is_some())
        };
        let traffic = |gate: &HealthGate| gate.traffic(ContestantIndex::FIRST, &both);
        let changes: Vec<u64> = (0..150).filter(|tenth| look(&mut gate, *tenth, [*tenth, 0])).collect();
        assert_eq!((changes, silent(&gate)), (vec![100], [false, true]));
        assert_eq!(traffic(&gate), TrafficMode::Flood, "the other one gets all");
        // The first falls silent as well: nothing is left to flood.
        let changes = (150..260).filter(|tenth| look(&mut gate, *tenth, [149, 0])).count();
        assert_eq!(changes, 1);
        assert_eq!((silent(&gate), traffic(&gate)), ([true, true], TrafficMode::Probe { since: at(249) }));
        // Three answers of the second are no answers of the first.
        assert!(look(&mut gate, 260, [150, 3]));
        assert_eq!((silent(&gate), traffic(&gate)), ([true, false], TrafficMode::Flood));
        gate.revive(ContestantIndex::FIRST, address(1));
        assert_eq!(silent(&gate), [false, false]);
        // An address that nobody has looked at yet is flooded, and so is its contestant.
        let third = [address(3)].map(Target::new);
        assert_eq!(gate.traffic(ContestantIndex::FIRST, &third), TrafficMode::Flood);
    }

    #[test]
    fn an_address_that_is_silent_from_the_start_gets_probes_until_it_answers() {
        let both = [address(1), address(2)];
        let targets = [Target::new(both[0]), Target { is_silent: true, ..Target::new(both[1]) }];
        let endpoint = "two.test".parse().expect("an endpoint");
        let contestant = contestant("two".to_owned(), &endpoint, None, targets.to_vec(), TrafficMode::Flood);
        let mut gate = HealthGate::of(&Plan { contestants: vec![contestant].into(), ..Plan::default() });
        let look = |gate: &mut HealthGate, tenths: std::ops::Range<u64>, alive: u64| {
            for tenth in tenths {
                let counted = [counted(tenth, tenth), counted(0, alive)];
                gate.look(ContestantIndex::FIRST, at(tenth), true, both.into_iter().zip(counted));
            }
            both.map(|address| gate.silent_since(ContestantIndex::FIRST, address).is_some())
        };
        assert_eq!(look(&mut gate, 0..300, 0), [false, true]);
        // A rest is no answer.
        let rests = |gate: &mut HealthGate| gate.look(ContestantIndex::FIRST, at(300), false, std::iter::empty());
        assert!(!rests(&mut gate));
        assert_eq!(look(&mut gate, 301..302, 0), [false, true]);
        assert_eq!(look(&mut gate, 302..310, 3), [false, false]);
    }

    proptest! {
        /// However a round rests, whoever answers within two seconds what it is asked is never taken for dead.
        #[test]
        fn whoever_answers_is_flooded(
            steps in proptest::collection::vec((1u64..300, any::<bool>(), any::<bool>(), 0u64..20), 1..20),
            delay in 0usize..20,
        ) {
            let mut gate = HealthGate::new(3 * SECOND);
            let (mut tenth, mut sent, mut alive) = (0, 0, 0);
            let mut under_way = vec![0; delay + 1];
            for (length, flooded, asked, rate) in steps {
                for _ in 0..length {
                    tenth += 1;
                    let new = if flooded && asked { rate } else { 0 };
                    sent += new;
                    under_way.push(new);
                    alive += under_way.remove(0);
                    let traffic = gate.one(at(tenth), flooded, counted(sent, alive));
                    prop_assert_eq!(traffic, TrafficMode::Flood);
                }
            }
        }
    }
}
