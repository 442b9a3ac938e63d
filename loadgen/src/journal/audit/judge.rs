//! What was observed, judged again: a table of verdicts for each stretch of time, made once and read by number.
//!
//! This is a judge of the audit's own, written from the rules and not from the generator's code, so that a slip in one
//! shows as a difference. It never asks which verdict the generator gave.

use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use flowtest_contract::verdict::{Observed, Outcome};
use flowtest_contract::{Platform, Seen, Tally, Version};
use flowtest_journal::record::Observation;

/// Every observation has a number below this: [`Observations`] lists them.
pub const OBSERVATIONS: usize = 2 * (2 * 4 * 4 + 8);
/// Instants at which a verdict may change: the grace around each of two deadlines begins and ends.
pub const BORDERS_MAX: usize = 4;
/// Stretches of time between them.
pub const STRETCHES: usize = BORDERS_MAX + 1;

/// Bits that say an observation, as in [`flowtest_journal::record::Trace::observed`].
const BITS: usize = 1 << 10;

/// The number of each observation by its bits; [`OBSERVATIONS`] for bits that are none.
#[derive(Debug)]
pub struct Observations {
    numbers: [u8; BITS],
    observations: Vec<Observation>,
}

const _: () = assert!(OBSERVATIONS < u8::MAX as usize);

impl Observations {
    pub fn new() -> Observations {
        let mut numbers = [OBSERVATIONS as u8; BITS];
        let mut observations = Vec::with_capacity(OBSERVATIONS);
        for (bits, number) in numbers.iter_mut().enumerate() {
            if let Some(observation) = Observation::unpack(bits as u16) {
                *number = observations.len() as u8;
                observations.push(observation);
            }
        }
        assert_eq!(observations.len(), OBSERVATIONS, "the bits of an observation are as they were counted here");
        Observations { numbers, observations }
    }

    /// [`OBSERVATIONS`] when the bits are no observation.
    #[inline]
    pub fn number(&self, bits: u16) -> usize {
        self.numbers.get(usize::from(bits)).map_or(OBSERVATIONS, |number| usize::from(*number))
    }

    /// All of them, by number.
    pub fn all(&self) -> &[Observation] {
        &self.observations
    }
}

impl Default for Observations {
    fn default() -> Observations {
        Observations::new()
    }
}

/// Rules and deadlines, cut into stretches of time in which every request is judged alike.
#[derive(Clone, Debug)]
pub struct Judge {
    rules: Rules,
    deadlines: Deadlines,
    /// The first instants of all stretches but the first, rising.
    borders: Vec<UtcUs>,
}

impl Judge {
    pub fn new(rules: Rules, deadlines: Deadlines) -> Judge {
        let mut borders: Vec<UtcUs> =
            [deadlines.version.0, deadlines.from.0].into_iter().flat_map(|at| grace(at, rules.grace_us)).collect();
        borders.retain(|border| *border > UtcUs::EPOCH);
        borders.sort_unstable();
        borders.dedup();
        Judge { rules, deadlines, borders }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// The first instants of all stretches but the first, rising; at most [`BORDERS_MAX`].
    pub fn borders(&self) -> &[UtcUs] {
        &self.borders
    }

    /// The stretch that an instant lies in.
    pub fn stretch(&self, sent: UtcUs) -> usize {
        self.borders.partition_point(|border| *border <= sent)
    }

    /// Counts `count` exchanges of one observation that were sent in one stretch. `due` and `sent` are not judged here.
    pub fn count(&self, tally: &mut Tally, observation: Observation, stretch: usize, count: u64) {
        match observation.outcome {
            Outcome::Failed(failure) => {
                let name = failure.name();
                let mut counters = tally.to_array();
                let index = Tally::FIELDS.iter().position(|field| *field == name);
                counters[index.expect("each failure has its counter")] += count;
                *tally = Tally::from_array(counters);
            }
            Outcome::Answered(observed) => {
                let Answer { token, version, from } = self.answer(observed, stretch);
                let pick = |right: bool| if right { [count, 0] } else { [0, count] };
                let ([token_right, token_wrong], [version_right, version_wrong], [from_right, from_wrong]) =
                    (pick(token), pick(version), pick(from));
                tally.token_right += token_right;
                tally.token_wrong += token_wrong;
                tally.version_right += version_right;
                tally.version_wrong += version_wrong;
                tally.from_right += from_right;
                tally.from_wrong += from_wrong;
            }
        }
    }

    /// Whether all three of an answer are right that was sent at an instant.
    pub fn is_verified(&self, observed: Observed, sent: UtcUs) -> bool {
        let Answer { token, version, from } = self.answer(observed, self.stretch(sent));
        token && version && from
    }

    fn answer(&self, observed: Observed, stretch: usize) -> Answer {
        let at = if stretch == 0 { UtcUs::EPOCH } else { self.borders[stretch - 1] };
        let right = |deadline: UtcUs, is_before: bool, is_after: bool| {
            let Accepted { first, second } = accepted(deadline, self.rules.grace_us, at);
            (is_before && first) || (is_after && second)
        };
        let version = right(
            self.deadlines.version.0,
            observed.version == Seen::Value(Version::V1),
            observed.version == Seen::Value(Version::V2),
        );
        let from = right(
            self.deadlines.from.0,
            observed.from == Seen::Value(Platform::Ec2),
            observed.from == Seen::Value(Platform::Ecs),
        );
        let void = self.rules.token_required && !observed.token_right;
        Answer { token: observed.token_right, version: version && !void, from: from && !void }
    }
}

/// Which of the three headers of an answer are right.
struct Answer {
    token: bool,
    version: bool,
    from: bool,
}

/// Which of a deadline's two values are right.
struct Accepted {
    first: bool,
    second: bool,
}

/// A deadline that has passed from the start, and one that never comes: neither has a grace.
const PASSED: UtcUs = UtcUs::EPOCH;
const NEVER: UtcUs = UtcUs::MAX;

/// The instant from which the second value is right, and the one from which the first is not any more.
fn grace(deadline: UtcUs, grace_us: u64) -> impl Iterator<Item = UtcUs> {
    let comes = deadline != PASSED && deadline != NEVER;
    let begins = comes.then(|| deadline.saturating_sub(grace_us));
    let over = comes.then(|| deadline.0.checked_add(grace_us)?.checked_add(1).map(UtcUs)).flatten();
    begins.into_iter().chain(over)
}

/// What is right in the answer to a request that was sent at `at`.
fn accepted(deadline: UtcUs, grace_us: u64, at: UtcUs) -> Accepted {
    match deadline {
        PASSED => Accepted { first: false, second: true },
        NEVER => Accepted { first: true, second: false },
        _ => {
            Accepted { first: at <= deadline.saturating_add(grace_us), second: at >= deadline.saturating_sub(grace_us) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::{Deadline, judge};
    use proptest::prelude::*;

    fn deadlines() -> impl Strategy<Value = Deadline> {
        // Near zero and near the end of time, where sums do not fit, and in the middle.
        prop_oneof![
            Just(Deadline::PASSED),
            Just(Deadline::NEVER),
            (0u64..40).prop_map(|at| Deadline(UtcUs(at))),
            (0u64..40).prop_map(|back| Deadline(UtcUs::MAX - back)),
            (1_000u64..1_040).prop_map(|at| Deadline(UtcUs(at))),
        ]
    }

    fn instants() -> impl Strategy<Value = UtcUs> {
        prop_oneof![0u64..80, (0u64..80).prop_map(|back| u64::MAX - back), 960u64..1_080].prop_map(UtcUs)
    }

    fn verdict(judge: &Judge, observed: Observed, sent: UtcUs) -> flowtest_contract::Verdict {
        let mut tally = Tally::default();
        let observation = Observation { outcome: Outcome::Answered(observed), scored: true };
        judge.count(&mut tally, observation, judge.stretch(sent), 1);
        assert_eq!(tally.responses(), 1);
        assert_eq!((tally.version_wrong, tally.from_wrong), (1 - tally.version_right, 1 - tally.from_right));
        flowtest_contract::Verdict {
            token: tally.token_right == 1,
            version: tally.version_right == 1,
            from: tally.from_right == 1,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn the_audit_judges_as_the_contract_does(
            version in deadlines(), from in deadlines(), grace_us in prop_oneof![0u64..50, Just(u64::MAX)],
            token_required: bool, sent in instants()
        ) {
            let rules = Rules { grace_us, token_required, ..Rules::default() };
            let deadlines = Deadlines { version, from };
            let ours = Judge::new(rules, deadlines);
            prop_assert!(ours.borders().len() <= BORDERS_MAX);
            for observation in Observations::new().all() {
                if let Outcome::Answered(observed) = observation.outcome {
                    prop_assert_eq!(verdict(&ours, observed, sent), judge(observed, &rules, &deadlines, sent));
                }
            }
        }
    }

    #[test]
    fn each_failure_is_counted_under_its_own_name() {
        let judge = Judge::new(Rules::default(), Deadlines::default());
        for observation in Observations::new().all() {
            if let Outcome::Failed(failure) = observation.outcome {
                let mut tally = Tally::default();
                judge.count(&mut tally, *observation, 0, 3);
                assert_eq!((tally.failure(failure), tally.settled()), (3, 3));
            }
        }
    }

    #[test]
    fn bits_that_nobody_writes_are_no_observation() {
        let observations = Observations::new();
        for bits in 0..=u16::MAX {
            assert_eq!(observations.number(bits) < OBSERVATIONS, Observation::unpack(bits).is_some(), "{bits:b}");
        }
    }
}
